"""Sources: where rain comes from. One reader a file; a new file is a new reader.

A source is named either ``case/layer`` (a layer of an installed case, see `cases`), by its name in the
catalogue (see `engine.catalogue`), or by a path: of a file, of a folder, or a pattern such as ``radar/*.nc``,
whose files are then one source (see `engine.reading.collected`). `open_any` finds the reader by looking into
the file, never at its name. What comes back keeps the conventions of `engine.fields`: a field of rain, or
`Observations`.

A reader is a module of this folder with a docstring, ``TITLE``, ``sniff(path) -> bool`` and
``read(path, ...) -> DataArray | Observations``. `readers` finds it because it exists; one that is
``GENERAL`` is asked last. What a file does not say of itself (a unit, which end of its interval a stamp is)
``read`` may take by name, each with a default: ``unit``, ``stamp``, ``interval``, ``box``; and ``variable``
where a file holds more than rain: a quantity of `engine.quantities`, or a name in the file. A reader of
files with several variables also has ``contents(path)``: a row a variable, with its ``name``, ``unit``,
``shape`` and what it is ``taken for``.

What comes back says in its attributes ``units``, ``interval``, ``units_found``, where known ``independent``
(of gauges), and in ``notes`` whatever was assumed, dropped or altered. A large field may be lazy: its values
are read, and checked, when they are asked for. Before a reader sees a file, `engine.reading.headers` has
looked at what it claims and whether it reaches beyond itself.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import inspect
import json
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import xarray as xr

from engine import catalogue
from engine.fields import Box, Observations
from engine.reading import collected
from engine.reading.headers import is_zarr, looked_at
from engine.reading.heads import stamp
from engine.sources.cases import Case, cases, locate
from engine.values import Invalid, brief

__all__ = ["Case", "cases", "digest", "layer", "open_any", "read_with", "reader_of", "readers"]
Found = xr.DataArray | Observations


@functools.cache
def readers() -> tuple[ModuleType, ...]:
    """Every reader in this folder, in order of name; one that is ``GENERAL`` comes last."""
    found = [importlib.import_module(f"{__name__}.{each.name}") for each in pkgutil.iter_modules(__path__)]
    able = [module for module in found if hasattr(module, "sniff") and hasattr(module, "read")]
    return tuple(sorted(able, key=lambda module: getattr(module, "GENERAL", False)))


def reader_named(name: str) -> ModuleType:
    """A reader by the name of its module."""
    known = {each.__name__.rpartition(".")[2]: each for each in readers()}
    if name not in known:
        raise Invalid(f"reader: got {brief(name)}; give one of {', '.join(known)}")
    return known[name]


def existing(name: str | Path) -> Path:
    """A file, a folder, or a pattern that something matches."""
    try:
        found = Path(name).expanduser()
        if found.is_file() or found.is_dir():
            return found
        if found.exists():
            raise Invalid(f"source: {brief(str(name))[1:-1]} is no ordinary file")
        if collected.is_pattern(str(found)) and collected.files(found):
            return found
    except (OSError, RuntimeError, ValueError) as error:  # a name that no file can have
        if isinstance(error, Invalid):
            raise
    raise Invalid(f"source: no file {brief(str(name))[1:-1]}, and no case of that name; see `rainloom cases`")


def open_any(path: str | Path, reader: str | None = None, **about: Any) -> Found:
    """Read a file, a folder or a pattern with the reader that recognises its content, or with the one named,
    told what the files do not say of themselves."""
    place = existing(path)
    if alone(place):
        return read_with(reader_named(reader) if reader else reader_of(place), place, **about)
    with _refused(place):
        seen = tuple((each, *stamp(each)) for each in collected.files(place))
    return _joined(place, seen, reader, _Told(about))


def alone(place: Path) -> bool:
    """Whether it is one thing to a reader: a file, a store, or a folder that some reader knows."""
    return place.is_file() or (place.is_dir() and _recognised(place) is not None)


class _Told(dict):
    def __hash__(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return hash(repr(self))


@functools.lru_cache(maxsize=4)
def _joined(place: Path, seen: tuple, reader: str | None, about: _Told) -> Found:
    """All files of a place, which stay as they are as long as they have the same sizes and dates."""

    def read(path: Path) -> Found | None:
        able = reader_named(reader) if reader else _recognised(path)
        return read_with(able, path, **about) if able else None

    with _refused(place):
        return collected.joined(place, read, f"{reader} {sorted(about.items())}")


def reader_of(path: Path) -> ModuleType:
    if found := _recognised(path):
        return found
    raise Invalid(one_line(f"source: {path} is of no kind that is read here; the README lists what is"))


def _recognised(path: Path) -> ModuleType | None:
    with _refused(path):
        looked_at(path)
        return next((reader for reader in readers() if reader.sniff(path)), None)


def read_with(reader: ModuleType, path: Path, **about: Any) -> Found:
    """Read a file with this reader."""
    able = list(inspect.signature(reader.read).parameters)[1:]
    if strange := sorted(set(about) - set(able)):
        told = f"it can be told {', '.join(able)}" if able else "it can be told nothing"
        raise Invalid(f"source: {path} is {reader.TITLE}, which knows no {strange[0]}; {told}")
    if about.get("box") is not None:
        about["box"] = Box.of(about["box"])
    with _refused(path):
        looked_at(path)
        return reader.read(path, **about)


@contextlib.contextmanager
def _refused(path: Path) -> Iterator[None]:
    try:
        yield
    except Invalid as refused:
        if str(refused) == one_line(str(refused)):
            raise
        raise Invalid(one_line(str(refused))) from refused
    except MemoryError as error:
        raise Invalid(
            one_line(f"source: {path} needs more memory than there is; cut or coarsen it")
        ) from error
    except Exception as error:  # whatever a broken file makes a library say
        why = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        raise Invalid(one_line(f"source: {path} cannot be read, it may be damaged ({why[:200]})")) from error


def one_line(text: str) -> str:
    """Text that a file may have a hand in, safe to print: control characters are written as escapes."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def layer(name: str, reader: str | None = None, **about: Any) -> Found:
    """A source by its name: ``case/layer``, a name in the catalogue, or a path."""
    if found := locate(name):
        if reader or about:
            raise Invalid(f"source {name}: is a layer of a case, which needs to be told nothing")
        return found.layer(name.partition("/")[2])
    if entry := catalogue.entry(name):
        return _described(entry, reader, about)
    return open_any(name, reader, **about)


def _described(entry: catalogue.Entry, reader: str | None, about: dict[str, Any]) -> Found:
    """An archive with what the catalogue says of it."""
    try:
        found = open_any(entry.path, reader or entry.reader, **{**entry.told, **about})
    except Invalid as refused:
        raise Invalid(f"{refused} (see {entry.name} in {entry.listed})") from refused
    said = {"independent": entry.independent and str(entry.independent).lower(), "title": entry.title}
    said = {key: value for key, value in said.items() if value not in (None, "")}
    if isinstance(found, Observations):
        return Observations(found.rain.assign_attrs(said))
    return found.assign_attrs(said)


def rooted(name: str) -> str:
    """The same name, so that it means the same in any folder."""
    return name if locate(name) or catalogue.entry(name) else str(existing(name).resolve())


def digest(name: str) -> str:
    """A hash of what the source holds and of how it is read, so that a changed file is never taken for the
    old one."""
    if found := locate(name):
        return _digest_of(found.path)
    entry = catalogue.entry(name)
    content = _digest_of_place(existing(entry.path if entry else name))
    if entry is None:
        return content
    told = json.dumps([content, entry.reader, dict(entry.told), entry.independent], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def _digest_of_place(place: Path) -> str:
    if place.is_file():
        return _digest_of(place)
    listed = [place] if is_zarr(place) else collected.files(place)
    inner = [sorted(each.rglob("*")) if each.is_dir() else [each] for each in listed]
    files = [each for group in inner for each in group if each.is_file()]
    return hashlib.sha256("".join(_digest_of(each) for each in files).encode()).hexdigest()


def _digest_of(path: Path) -> str:
    return _digest(path, *stamp(path))


@functools.lru_cache(maxsize=2**16)
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
