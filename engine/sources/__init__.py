"""Sources: where rain comes from. One reader a file; a new file is a new reader.

A source is named either ``case/layer`` (a layer of an installed case, see `cases`) or by the path of a
file. `open_any` finds the reader by looking into the file, never at its name. What comes back keeps the
conventions of `engine.fields`: a field of rain, or `Observations`.

A reader is a module of this folder with a docstring, ``TITLE``, ``sniff(path) -> bool`` and
``read(path) -> DataArray | Observations``. `readers` finds it because it exists.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

import numpy as np
import xarray as xr

from engine.fields import Box, Evidence, Invalid, Observations, Period
from engine.sources.cases import Case, cases, locate
from engine.tasks import Task

__all__ = ["Case", "cases", "digest", "evidence", "held_out", "layer", "open_any", "readers"]


@functools.cache
def readers() -> tuple[ModuleType, ...]:
    """Every reader in this folder, in order of name."""
    found = [importlib.import_module(f"{__name__}.{each.name}") for each in pkgutil.iter_modules(__path__)]
    return tuple(module for module in found if hasattr(module, "sniff") and hasattr(module, "read"))


def existing(path: str | Path) -> Path:
    path = Path(path).expanduser()
    if not path.exists():
        raise Invalid(f"source: no file {path}, and no case of that name; `rainloom cases` lists the cases")
    return path


def open_any(path: str | Path) -> xr.DataArray | Observations:
    """Read a file with the reader that recognises its content."""
    path = existing(path)
    for reader in readers():
        if reader.sniff(path):
            return reader.read(path)
    known = "; ".join(reader.TITLE for reader in readers())
    raise Invalid(f"source: {path} is of no kind that is read here ({known})")


def layer(name: str) -> xr.DataArray | Observations:
    """A source by its name: ``case/layer`` or a path."""
    found = locate(name)
    return found.layer(name.partition("/")[2]) if found else open_any(name)


def digest(name: str) -> str:
    """A hash of what the source holds, so that a changed file is never taken for the old one."""
    found = locate(name)
    path = found.path if found else existing(name)
    if path.is_dir():
        files = sorted(each for each in path.rglob("*") if each.is_file())
        return hashlib.sha256("".join(_digest_of(each) for each in files).encode()).hexdigest()
    return _digest_of(path)


def _digest_of(path: Path) -> str:
    about = path.stat()
    return _digest(path, about.st_size, about.st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def _digest(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def field_of(name: str) -> xr.DataArray:
    found = layer(name)
    if isinstance(found, Observations):
        raise Invalid(f"source {name}: holds gauges; name it under gauges, not under sources")
    return found


def gauges_of(name: str) -> Observations:
    found = layer(name)
    if not isinstance(found, Observations):
        raise Invalid(f"gauges {name}: holds a field; name it under sources, not under gauges")
    return found


def cut(name: str, rain: xr.DataArray, box: Box, period: Period) -> xr.DataArray:
    """The part of a field in a period and a box, with two cells around it for interpolation."""
    times = period.times
    known = rain.indexes["time"]
    if absent := sorted(set(times) - set(known)):
        raise Invalid(
            f"source {name}: {len(absent)} of {len(times)} times are missing, the first {absent[0]}; "
            f"it holds {known[0]} to {known[-1]}"
        )
    step = 2 * abs(float(rain.lon[1] - rain.lon[0]))
    part = rain.sel(
        time=times, lat=slice(box.south - step, box.north + step), lon=slice(box.west - step, box.east + step)
    )
    if part.sizes["lat"] < 2 or part.sizes["lon"] < 2:
        raise Invalid(
            f"source {name}: does not reach the domain {tuple(box)}; choose another domain or source"
        )
    return part


def evidence(task: Task) -> Evidence:
    """What the method may see. Held-out and ignored gauges, and reference sources, are not in it."""
    fields: dict[str, dict[str, xr.DataArray]] = {}
    for use in task.sources:
        if use.role != "reference":
            part = cut(use.name, field_of(use.name), task.domain, task.period)
            fields.setdefault(use.role, {})[use.name] = part.load()
    named = [use.name for use in task.sources] + ([task.gauges.source] if task.gauges else [])
    statics: dict[str, xr.DataArray] = {}
    for name in named:
        if found := locate(name):
            statics |= found.statics()
    return Evidence(task.grid, task.period, fields, _side(task, 0), statics)


def held_out(task: Task) -> Observations | None:
    """The gauges kept from the method, for judging."""
    return _side(task, 1)


def _side(task: Task, side: int) -> Observations | None:
    if task.gauges is None:
        return None
    inside = gauges_of(task.gauges.source).inside(task.domain)
    chosen = inside.select(task.gauges.split(inside.names)[side]).at(task.period.times)
    if not side and not np.isfinite(chosen.values).any():
        raise Invalid(f"gauges {task.gauges.source}: none in use reports inside the domain and the period")
    return chosen
