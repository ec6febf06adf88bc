"""Sources: where rain comes from. One reader a file; a new file is a new reader.

A source is named either ``case/layer`` (a layer of an installed case, see `cases`) or by the path of a
file. `open_any` finds the reader by looking into the file, never at its name. What comes back keeps the
conventions of `engine.fields`: a field of rain, or `Observations`.

A reader is a module of this folder with a docstring, ``TITLE``, ``sniff(path) -> bool`` and
``read(path, ...) -> DataArray | Observations``. `readers` finds it because it exists; one that is
``GENERAL`` is asked last. What a file does not say of itself (a unit, which end of its interval a stamp is)
``read`` may take by name, each with a default: ``unit``, ``stamp``, ``interval``, ``box``; and ``variable``
where a file holds more than rain: a quantity of `engine.quantities`, or a name in the file. A reader of
files with several variables also has ``contents(path)``: a row a variable, with its ``name``, ``unit``,
``shape`` and what it is ``taken for``.

What comes back says in its attributes ``units``, ``interval``, ``units_found``, where known
``independent`` (of gauges), and in ``notes`` whatever was assumed, dropped or altered. A large field may be
lazy: its values are read, and checked, when they are asked for.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import xarray as xr

from engine.fields import Observations
from engine.sources.cases import Case, cases, locate
from engine.values import Invalid, brief

__all__ = ["Case", "cases", "digest", "layer", "open_any", "read_with", "reader_of", "readers"]


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


def open_any(path: str | Path, **about: Any) -> xr.DataArray | Observations:
    """Read a file with the reader that recognises its content, told what the file does not say of itself."""
    path = existing(path)
    return read_with(reader_of(path), path, **about)


def reader_of(path: Path) -> ModuleType:
    with _refused(path):
        for reader in readers():
            if reader.sniff(path):
                return reader
    known = "; ".join(reader.TITLE for reader in readers())
    raise Invalid(f"source: {path} is of no kind that is read here ({known})")


def read_with(reader: ModuleType, path: Path, **about: Any) -> xr.DataArray | Observations:
    """Read a file with this reader."""
    able = list(inspect.signature(reader.read).parameters)[1:]
    if strange := sorted(set(about) - set(able)):
        told = f"it can be told {', '.join(able)}" if able else "it can be told nothing"
        raise Invalid(f"source: {path} is {reader.TITLE}, which knows no {strange[0]}; {told}")
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
