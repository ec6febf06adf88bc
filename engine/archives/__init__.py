"""Archives far away: what lies there, fetched part by part into one file.

An archive is a `Remote`; a new file of this folder with ``REMOTES`` brings new ones. It divides what is
asked for into `Part`s (a day, a month, a granule), each a file of the cache that `engine.sources` reads, and
brings one after another. A part is written beside its place and moved there when it is whole and checked, so
a file in the cache is never half of one; `transfer` goes on where it was cut. What is in the cache is not
asked for again.

`fetched` is a generator of `Step`s, and stops when nobody iterates any more. At the end there is one CF
NetCDF: rain as the mean over intervals that end at their stamps, and other quantities beside it. Two cells
around the domain come with it, so that nothing ends at its edge.

Packages that only an archive needs are imported when it is used. Credentials stay where those packages look
for them; here they have names, never values.
"""

from __future__ import annotations

import hashlib
import importlib
import math
import pkgutil
import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import filelock
import numpy as np
import pandas as pd
import xarray as xr

from engine import READING, home
from engine.archives.transfer import attempts
from engine.fields import Box, Period, check
from engine.formats import described
from engine.quantities import QUANTITIES, RAIN, noted, notes
from engine.reading.guard import fits
from engine.sources import read_with
from engine.values import Invalid, brief

MARGIN = 2  # cells around the domain
SPARE = 1.1  # of the disk space that is thought to be needed


@dataclass(frozen=True)
class Asked:
    """What is wanted: where, when, and which quantities; rain always, and in one order."""

    box: Box
    period: Period
    quantities: tuple[str, ...] = (RAIN,)

    def __post_init__(self) -> None:
        if strange := [each for each in self.quantities if each not in (RAIN, *QUANTITIES)]:
            known = ", ".join((RAIN, *QUANTITIES))
            raise Invalid(f"fetch: got quantity {brief(strange[0])}; known are {known}")
        wanted = tuple(each for each in (RAIN, *QUANTITIES) if each in (RAIN, *self.quantities))
        object.__setattr__(self, "quantities", wanted)

    def around(self, step: float) -> Box:
        """The domain and some cells around it, as far as the Earth goes."""
        west, south, east, north = self.box
        more = MARGIN * step
        low = (max(west - more, -180.0), max(south - more, -90.0))
        return Box(*low, min(east + more, 180.0), min(north + more, 90.0))

    def cells(self, step: float) -> int:
        """How many cells of a grid that is."""
        west, south, east, north = self.around(step)
        return math.ceil((east - west) / step + 1) * math.ceil((north - south) / step + 1)

    def digest(self, step: float, *more: str) -> str:
        """A name for this place and these quantities."""
        return hashlib.sha256(repr((tuple(self.around(step)), more)).encode()).hexdigest()[:10]


@dataclass(frozen=True)
class Part:
    """One file of the cache: its name, what comes over the network and what is kept, in bytes as far as that
    is known, and what to ask for."""

    name: str
    size: int
    kept: int
    about: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Step:
    """How far a fetch is, in bytes as they were estimated, and what it is at."""

    done: int
    total: int
    stage: str


@dataclass(frozen=True)
class Remote(ABC):
    """An archive: what it is called and needs, how it is divided, how a part comes and what it holds."""

    title: str
    step: float  # degrees
    interval: str
    package: ClassVar[str]  # that is imported, of the extra ``cloud``
    credentials: ClassVar[str]  # where they are looked for, by name
    page: ClassVar[str]  # where accounts are made and terms accepted
    offers: ClassVar[Mapping[str, tuple[str, ...]]]  # of each quantity what is fetched for it
    reader: ClassVar[ModuleType]  # of its parts, in `engine.sources`

    @abstractmethod
    def parts(self, asked: Asked) -> list[Part]:
        """What makes up the whole, without asking the archive."""

    @abstractmethod
    def connect(self) -> Any:
        """Whatever `fetch` needs, once for many parts."""

    @abstractmethod
    def fetch(self, connection: Any, part: Part, asked: Asked, path: Path) -> Iterator[int | str]:
        """Write a part; ``path`` may hold the beginning of it. Yields bytes so far, or what is waited for."""

    def read(self, path: Path, quantity: str, asked: Asked) -> xr.DataArray:
        """A quantity of a part."""
        told: dict[str, Any] = {"interval": self.interval} if quantity == RAIN else {}
        found = read_with(self.reader, path, variable=quantity, **told)
        if not isinstance(found, xr.DataArray):
            raise Invalid(f"{path}: holds gauges")
        return found

    def imported(self) -> Any:
        try:
            return importlib.import_module(self.package)
        except ImportError:
            raise Invalid(
                f"fetch: {self.title} needs {self.package}; install it with: pip install {self.package} "
                "(or all that archives need: pip install -e '.[cloud]')"
            ) from None


def remotes() -> dict[str, Remote]:
    """Every archive by its name."""
    found: dict[str, Remote] = {}
    for each in pkgutil.iter_modules(__path__):
        found |= getattr(importlib.import_module(f"{__name__}.{each.name}"), "REMOTES", {})
    return found


def remote_named(name: str) -> Remote:
    known = remotes()
    if name not in known:
        raise Invalid(f"fetch: got archive {brief(name)}; give one of {', '.join(known)}")
    return known[name]


def cache(name: str) -> Path:
    """The folder of an archive's parts."""
    return home() / "cache" / "archives" / name


def plan(name: str, asked: Asked) -> list[tuple[Part, bool]]:
    """The parts, and whether each has come already. Nothing is asked of the archive."""
    remote = remote_named(name)
    if lacking := [each for each in asked.quantities if each not in remote.offers]:
        raise Invalid(f"fetch: {remote.title} has no {lacking[0]}; it has {', '.join(remote.offers)}")
    if asked.period.step != pd.Timedelta(remote.interval):
        raise Invalid(f"fetch: {remote.title} has steps of {remote.interval}, not of {asked.period.interval}")
    if asked.period.start != asked.period.start.floor(remote.interval):
        start = asked.period.start.floor(remote.interval)
        raise Invalid(f"fetch: {asked.period.start} is no whole {remote.interval}; start at {start}")
    fits((len(asked.quantities), len(asked.period.times), asked.cells(remote.step)), "fetch")
    return [(part, (cache(name) / part.name).exists()) for part in remote.parts(asked)]


def fetched(name: str, asked: Asked, out: Path) -> Iterator[Step]:
    """Fetch what is not there yet, and write what was asked for as one file; it must not exist."""
    remote, parts, folder = remote_named(name), plan(name, asked), cache(name)
    if out.exists():
        raise Invalid(f"fetch: {out} exists; choose another name")
    missing = [part for part, there in parts if not there]
    total = sum(part.size for part, _ in parts)
    room(folder, sum(part.kept for part in missing))
    room(out.parent, 4 * len(asked.quantities) * len(asked.period.times) * asked.cells(remote.step))
    try:
        with filelock.FileLock(folder / ".lock", timeout=0):
            yield from _brought(remote, asked, missing, folder, total)
    except filelock.Timeout:
        raise Invalid(f"fetch: another process fetches from {remote.title}; wait until it is done") from None
    yield Step(total, total, "joining")
    paths = [folder / part.name for part, _ in parts]
    write({each: _joined(remote, paths, each, asked) for each in asked.quantities}, out, remote.title)
    yield Step(total, total, "done")


def _brought(
    remote: Remote, asked: Asked, missing: Sequence[Part], folder: Path, total: int
) -> Iterator[Step]:
    """The parts that are missing, one after another."""
    done = total - sum(part.size for part in missing)
    connection: list[Any] = []
    for part in missing:
        partial = folder / f".{part.name}.partial"

        def bring(part: Part = part, partial: Path = partial) -> Iterator[int | str]:
            if not connection:
                yield f"asking {remote.title}"
                connection.append(remote.connect())
            yield from remote.fetch(connection[0], part, asked, partial)

        came = 0
        for said in attempts(bring, remote.title, remote.credentials, remote.page):
            came = min(said, part.size) if isinstance(said, int) else came
            yield Step(done + came, total, part.name if isinstance(said, int) else f"{part.name}: {said}")
        partial.replace(folder / part.name)
        done += part.size
        yield Step(done, total, part.name)


def room(folder: Path, needed: int) -> None:
    """Refuse what the disk cannot hold."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if needed * SPARE > free:
        raise Invalid(
            f"fetch: needs about {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free in {folder}; "
            "ask for less, or elsewhere by --out and RAINLOOM_HOME"
        )


def _joined(remote: Remote, paths: Sequence[Path], quantity: str, asked: Asked) -> xr.DataArray:
    """A quantity of all parts, over the domain and the period."""
    box, pieces = asked.around(remote.step), []
    for path in paths:
        try:
            found = remote.read(path, quantity, asked)
        except Invalid as refused:
            raise Invalid(f"{refused}; remove {path} to fetch it again") from None
        inside = {"lat": slice(box.south, box.north), "lon": slice(box.west, box.east)}
        pieces.append(found.sel(inside).load())
    whole = xr.concat(pieces, "time", join="exact", combine_attrs="drop_conflicts").sortby("time")
    whole = noted(whole.drop_duplicates("time"), *_told(pieces))
    if absent := sorted(set(asked.period.times) - set(whole.indexes["time"])):
        raise Invalid(
            f"fetch: {remote.title} lacks {len(absent)} of {len(asked.period.times)} times, "
            f"the first {absent[0]}; choose another period"
        )
    return check(whole.sel(time=asked.period.times), remote.title, whole.attrs["units"])


def _told(pieces: Sequence[xr.DataArray]) -> list[str]:
    """The notes of all parts, those once that differ in their numbers only."""
    alike: dict[str, list[str]] = {}
    for line in dict.fromkeys(line for each in pieces for line in notes(each)):
        alike.setdefault(re.sub(r"\d+", "", line), []).append(line)
    return [
        one[0] + (" (in one part, and alike in others)" if len(one) > 1 else "") for one in alike.values()
    ]


def write(fields: Mapping[str, xr.DataArray], out: Path, title: str) -> None:
    """One CF NetCDF, as a whole or not at all."""
    whole = described(fields[RAIN].rename(RAIN), title=title)
    for name, one in fields.items():
        if name != RAIN:
            whole[name] = one.drop_vars(set(one.coords) - set(one.dims)).rename(name)
            whole[name].attrs["long_name"] = QUANTITIES[name].title
    packing = {"zlib": True, "complevel": 4, "shuffle": True, "_FillValue": np.float32(np.nan)}
    unfinished = out.with_name(f".{out.name}.partial")
    try:
        with READING:
            whole.to_netcdf(unfinished, engine="h5netcdf", encoding=dict.fromkeys(fields, packing))
        unfinished.replace(out)
    finally:
        unfinished.unlink(missing_ok=True)
