"""What a prior is trained on: hours of signed rain, read once, kept in half precision, dealt out as tiles.

A source of a run is files of a pattern, read through `engine.sources`, or a layer of cases, each a world of
its own. Its maps are brought to cells of ``base`` degrees (means of the known parts, at least half of them)
or keep their own, dry cells are told how far it is to rain (`engine.signed`), and all is written to one array
in build/, so that a corpus larger than memory is trained on, and a second run starts at once. What is held
out is the last hours of all, or the last cases whole; never parts of a map, for neighbouring tiles of an hour
are the same rain.

A tile is a square of a random hour at one of the source's ``multiples`` of its spacing. Rain is rare: a dry
tile is kept only now and then, and the climate told with the weights is that of the tiles chosen so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from training.lessons import written

from engine.bilinear import pooled
from engine.fields import KM_PER_DEGREE, Observations
from engine.signed import FAINT, NEAREST, signed
from engine.sources import Found, layer
from engine.sources.cases import read_case
from engine.values import Invalid

LEAST_KNOWN = 0.9  # of a tile
WET, KEPT_DRY = 0.05, 0.05  # share of wet cells that makes a tile wet, and chance to keep another
TRACE = 0.1  # mm/h
TRIES = 10_000


@dataclass(frozen=True)
class Hours:
    """The maps of one source (rows, columns), signed rain, missing where it says nothing: one an hour."""

    label: str
    step: float  # degrees
    south: float  # of the first cell's centre, as west
    west: float
    maps: Sequence[np.ndarray]
    times: pd.DatetimeIndex
    worlds: np.ndarray  # the case that each is of; "" for files, which are all of one world
    multiples: tuple[int, ...]
    files: Mapping[str, str]  # name: hash
    weight: float = 1.0
    change: Callable[[np.ndarray], np.ndarray] | None = None  # of what is cut from a map

    def part(self, kept: np.ndarray) -> Hours:
        maps = [self.maps[int(each)] for each in np.flatnonzero(kept)]
        return replace(self, maps=maps, times=self.times[kept], worlds=self.worlds[kept])

    def chosen(self, rng: np.random.Generator, size: int, multiple: int) -> tuple[np.ndarray, float]:
        """The first tile that is to be had."""
        for _ in range(TRIES):
            if (found := self.tile(rng, size, multiple)) is not None:
                return found
        extent = " x ".join(str(each // multiple) for each in self.maps[0].shape)
        raise Invalid(f"{self.label}: no tile of {size} known cells in {extent}; give a smaller tile")

    def tile(self, rng: np.random.Generator, size: int, multiple: int) -> tuple[np.ndarray, float] | None:
        """A square of ``size`` cells and its middle latitude; None if it is mostly missing or needlessly dry,
        or wider than the map."""
        wide = size * multiple
        rows, columns = self.maps[0].shape
        if wide > min(rows, columns):
            return None
        top, left = rng.integers(rows - wide + 1), rng.integers(columns - wide + 1)
        found = self.maps[int(rng.integers(len(self.maps)))][top : top + wide, left : left + wide]
        found = coarser(self.change(found) if self.change else found, multiple)
        known = np.isfinite(found)
        if known.mean() < LEAST_KNOWN:
            return None
        wet = (found[known] >= TRACE).mean()
        middle = self.south + self.step * float(top + (wide - 1) / 2)
        return (found, middle) if wet >= WET or rng.random() < KEPT_DRY else None


def coarser(field: np.ndarray, multiple: int) -> np.ndarray:
    """Of signed rain: the mean rain of a square, and where there is none the mean distance."""
    if multiple == 1:
        return np.asarray(field, np.float32)
    rain, away = (pooled(part(field, 0), multiple) for part in (np.maximum, np.minimum))
    return np.where(np.isnan(rain) | (rain > FAINT), rain, np.minimum(away, -NEAREST))


def opened(entry: Mapping[str, Any], path: Path) -> tuple[str, Found]:
    """What an entry of a run means by a file: the world that it is of, and its content."""
    if "cases" in entry:
        return path.stem, read_case(path, path.stat().st_mtime_ns).layer(str(entry["layer"]))
    return "", layer(str(path))


def hashed(files: Sequence[Path]) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def gathered(entry: Mapping[str, Any], files: Sequence[Path], folder: Path) -> Hours:
    """A source of a run: read its files, or find what was read before."""
    hashes, which = hashed(files), [entry["layer"]] if "cases" in entry else []
    told = ["signed", hashes, entry.get("base"), float(entry.get("highest", np.inf)), *which]
    key = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]
    kept, about = folder / f"{key}.npy", folder / f"{key}.json"
    if not about.exists():
        maps, found = read(entry, files)
        with written(kept) as file:
            np.save(file, maps)
        about.write_text(json.dumps(found))
    found = json.loads(about.read_text())
    return Hours(
        str(entry["label"]), found["step"], found["south"], found["west"],
        list(np.load(kept, mmap_mode="r")), pd.DatetimeIndex(found["times"]), np.array(found["worlds"]),
        tuple(int(each) for each in entry.get("multiples", [1])), hashes, float(entry.get("weight", 1)),
    )  # fmt: skip


def read(entry: Mapping[str, Any], files: Sequence[Path]) -> tuple[np.ndarray, dict[str, Any]]:
    """The maps of a source, world by world in order of time, and where and when they are."""
    times, worlds, maps, south, west, step = [], [], [], 0.0, 0.0, entry.get("base")
    for path in files:
        world, field = opened(entry, path)
        if isinstance(field, Observations):
            raise Invalid(f"{path.name}: holds gauges; name it under gauges, not under sources")
        own = round(float(field.lat[1] - field.lat[0]), 6)
        step = step or own
        values = field.where(field <= float(entry.get("highest", np.inf))).values
        middle = float(field.lat.mean())
        cell_km = (step * KM_PER_DEGREE, step * KM_PER_DEGREE * float(np.cos(np.radians(middle))))
        coarse = (pooled(each, max(1, round(step / own))) for each in values)
        maps += [signed(each, cell_km).astype(np.float16) for each in coarse]
        times += list(field.indexes["time"])
        worlds += [world] * len(values)
        south, west = (float(axis[0]) + (step - own) / 2 for axis in (field.lat, field.lon))
        if maps[-1].shape != maps[0].shape:
            raise Invalid(f"{path.name}: not of the extent of {files[0].name}; give it an entry of its own")
    order = np.lexsort((np.array(times), np.array(worlds)))
    listed = {"times": [str(times[each]) for each in order], "worlds": [worlds[each] for each in order]}
    return np.stack([maps[each] for each in order]), listed | {"south": south, "west": west, "step": step}


@dataclass(frozen=True)
class HeldOut:
    """What is never learned from: all that is later than a time, or some worlds whole."""

    after: np.datetime64
    worlds: tuple[str, ...] = ()

    @classmethod
    def of(cls, told: pd.Timedelta | str | int, sources: Sequence[Hours]) -> HeldOut:
        """A length of time before the end of what all sources have, or a number of cases."""
        if not isinstance(told, int):
            try:
                length = pd.to_timedelta([told]).values[0]
            except ValueError:
                raise Invalid(f"hold_out: got {told!r}; give a length of time as 12h") from None
            return cls(min(each.times.values.max() for each in sources) - length)
        worlds = sorted({str(world) for each in sources for world in each.worlds})
        if not 0 < told < len(worlds):
            raise Invalid(f"hold_out: got {told} of {len(worlds)} cases; give fewer, or a length as 12h")
        return cls(pd.Timestamp.max.to_datetime64(), tuple(worlds[-told:]))

    def __call__(self, times: pd.DatetimeIndex, worlds: np.ndarray) -> np.ndarray:
        return (times.values > self.after) | np.isin(worlds, self.worlds)


def parted(hours: Hours, held: HeldOut | pd.Timedelta) -> tuple[Hours, Hours]:
    """The times to learn from, and those held out: of one source alone, the last ones for so long."""
    held = held if isinstance(held, HeldOut) else HeldOut.of(held, [hours])
    mask = held(hours.times, hours.worlds)
    return hours.part(~mask), hours.part(mask)
