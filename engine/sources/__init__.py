"""Sources: where rain comes from. One reader a file; a new file is a new reader.

A source is named either ``case/layer`` (a layer of an installed case, see `cases`) or by the path of a
file. `open_any` finds the reader by looking into the file, never at its name. What comes back keeps the
conventions of `engine.fields`: a field of rain, or `Observations`.

A reader is a module of this folder with a docstring, ``TITLE``, ``sniff(path) -> bool`` and
``read(path) -> DataArray | Observations``. `readers` finds it because it exists. What a file does not say
of itself (a unit, which end of its interval a stamp is) ``read`` may take by name, each with a default.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import math
import pkgutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from engine.fields import Box, Evidence, Observations, Period
from engine.sources.cases import Case, cases, locate
from engine.tasks import Task, Use
from engine.values import Invalid, brief

__all__ = [
    "Case",
    "absolute",
    "cases",
    "digest",
    "evidence",
    "held_out",
    "in_use",
    "independent",
    "layer",
    "open_any",
    "read_with",
    "reader_of",
    "readers",
    "references",
]


@functools.cache
def readers() -> tuple[ModuleType, ...]:
    """Every reader in this folder, in order of name; one that is ``GENERAL`` comes last."""
    found = [importlib.import_module(f"{__name__}.{each.name}") for each in pkgutil.iter_modules(__path__)]
    able = [module for module in found if hasattr(module, "sniff") and hasattr(module, "read")]
    return tuple(sorted(able, key=lambda module: getattr(module, "GENERAL", False)))


def existing(path: str | Path) -> Path:
    try:
        found = Path(path).expanduser()
        if found.exists():
            return found
    except (OSError, RuntimeError, ValueError):  # a name that no file can have
        pass
    raise Invalid(f"source: no file {brief(str(path))[1:-1]}, and no case of that name; see `rainloom cases`")


def absolute(task: Task) -> Task:
    """The same task with its files named from the root, so that it means the same in any folder."""

    def whole(name: str) -> str:
        return name if locate(name) else str(existing(name).resolve())

    sources = tuple(replace(use, name=whole(use.name)) for use in task.sources)
    gauges = replace(task.gauges, source=whole(task.gauges.source)) if task.gauges else None
    return replace(task, sources=sources, gauges=gauges)


def open_any(path: str | Path) -> xr.DataArray | Observations:
    """Read a file with the reader that recognises its content."""
    path = existing(path)
    return read_with(reader_of(path), path)


def reader_of(path: Path) -> ModuleType:
    with _refused(path):
        for reader in readers():
            if reader.sniff(path):
                return reader
    known = "; ".join(reader.TITLE for reader in readers())
    raise Invalid(f"source: {path} is of no kind that is read here ({known})")


def read_with(reader: ModuleType, path: Path, **about: Any) -> xr.DataArray | Observations:
    """Read a file with this reader, told what the file does not say of itself."""
    with _refused(path):
        return reader.read(path, **about)


@contextlib.contextmanager
def _refused(path: Path) -> Iterator[None]:
    try:
        yield
    except Invalid:
        raise
    except Exception as error:  # whatever a broken file makes a library say
        why = f"{type(error).__name__}: {error}".splitlines()[0]
        raise Invalid(f"source: {path} cannot be read, it may be damaged ({why})") from error


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


def matching(name: str, rain: xr.DataArray, period: Period) -> None:
    """Refuse a source whose intervals are not the task's: an hour's mean is not that of three."""
    interval = rain.attrs.get("interval", "1h")
    if pd.Timedelta(interval) != period.step:
        raise Invalid(
            f"source {name}: speaks of intervals of {interval}, the task of {period.interval}; choose one"
        )


def cut(name: str, rain: xr.DataArray, box: Box, period: Period) -> xr.DataArray:
    """The part of a field in a period, over a box and two cells around it; missing where it says nothing."""
    matching(name, rain, period)
    times = period.times
    known = rain.indexes["time"]
    if absent := sorted(set(times) - set(known)):
        raise Invalid(
            f"source {name}: {len(absent)} of {len(times)} times are missing, the first {absent[0]}; "
            f"it holds {known[0]} to {known[-1]}"
        )
    part = rain.sel(time=times)
    for axis, low, high in (("lat", box.south, box.north), ("lon", box.west, box.east)):
        centres = rain[axis].values
        step = (centres[-1] - centres[0]) / (len(centres) - 1)
        first = math.floor((low - centres[0]) / step) - 2
        last = math.ceil((high - centres[0]) / step) + 2
        inside = range(max(first, 0), min(last, len(centres) - 1) + 1)
        if len(inside) < 2:
            raise Invalid(f"source {name}: does not reach the domain {tuple(box)}; choose another one")
        part = part.isel({axis: list(inside)})
        if centres[0] > low + step / 2 or centres[-1] < high - step / 2:
            part = part.pad({axis: (inside[0] - first, last - inside[-1])}, constant_values=np.nan)
            part = part.assign_coords({axis: centres[0] + step * np.arange(first, last + 1)})
    return part


def evidence(task: Task) -> Evidence:
    """What the method may see. Held-out and ignored gauges, and reference sources, are not in it."""
    fields: dict[str, dict[str, xr.DataArray]] = {}
    for use in task.sources:
        if use.role == "reference":
            matching(use.name, field_of(use.name), task.period)  # told now, not after the run
        else:
            part = cut(use.name, field_of(use.name), task.domain, task.period)
            fields.setdefault(use.role, {})[use.name] = part.load()
    named = [use.name for use in task.sources] + ([task.gauges.source] if task.gauges else [])
    statics: dict[str, xr.DataArray] = {}
    for name in named:
        if found := locate(name):
            statics |= found.statics()
    return Evidence(task.grid, task.period, fields, in_use(task), statics)


def in_use(task: Task) -> Observations | None:
    """The gauges that the method sees."""
    return _side(task, 0)


def held_out(task: Task) -> Observations | None:
    """The gauges kept from the method, for judging."""
    return _side(task, 1)


def independent(use: Use) -> bool | None:
    """Whether a source knows nothing of the gauges: as the task says, else as the source says of itself
    (a case of its layers, a file by its attribute ``independent``: true, yes, 1 or false, no, 0), else
    unknown.

    A source that was adjusted to gauges may have seen the reports that judge it, or what is made of it.
    """
    if use.independent is not None:
        return use.independent
    if found := locate(use.name):
        said = found.layers.get(use.name.partition("/")[2], {}).get("independent")
    else:
        said = _said(use.name, digest(use.name))
    return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}.get(
        str(said).lower()
    )


@functools.lru_cache(maxsize=256)
def _said(name: str, digest: str) -> Any:
    """What a file says of its independence, read once while it stays the same."""
    return field_of(name).attrs.get("independent")


def references(task: Task) -> dict[str, xr.DataArray]:
    """What may judge a result besides gauges: sources given as references, and a simulated case's truth."""
    names = [use.name for use in task.sources if use.role == "reference"]
    for name in [use.name for use in task.sources] + ([task.gauges.source] if task.gauges else []):
        if found := locate(name):
            names += [
                f"{found.name}/{each}" for each, about in found.layers.items() if about["role"] == "reference"
            ]
    return {name: cut(name, field_of(name), task.domain, task.period) for name in dict.fromkeys(names)}


def _side(task: Task, side: int) -> Observations | None:
    if task.gauges is None:
        return None
    inside = gauges_of(task.gauges.source).inside(task.domain)
    matching(task.gauges.source, inside.rain, task.period)
    chosen = inside.select(task.gauges.split(inside)[side]).at(task.period.times)
    chosen.rain.attrs.pop("faults", None)  # a simulated network knows which of its gauges lie
    if not side and not np.isfinite(chosen.values).any():
        raise Invalid(f"gauges {task.gauges.source}: none in use reports inside the domain and the period")
    return chosen
