"""What a prior is trained on: hours of rain, read once, kept in half precision, dealt out as tiles.

Each source of a run is read through `engine.sources`, file by file, brought to cells of ``base`` degrees
(means of the known parts, at least half of them), and written to one array in build/, so that a corpus
larger than memory is trained on, and a second run starts at once. Whole times are held out, the last ones,
never parts of a map: neighbouring tiles of an hour are the same rain.

A tile is a square of a random hour at one of the source's ``multiples`` of the base spacing. Rain is rare:
a dry tile is kept only now and then, and what a tile is worth is told with it, so that the climate that is
learned is known.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from engine.sources import field_of

LEAST_KNOWN = 0.9  # of a tile
WET, KEPT_DRY = 0.05, 0.05  # share of wet cells that makes a tile wet, and chance to keep another
TRACE = 0.1  # mm/h


@dataclass(frozen=True)
class Hours:
    """The maps of one source (time, rows, columns) in mm/h, missing where it says nothing."""

    label: str
    step: float  # degrees
    south: float
    maps: np.ndarray
    times: pd.DatetimeIndex
    multiples: tuple[int, ...]
    files: Mapping[str, str]  # name: hash

    def part(self, first: int, last: int) -> Hours:
        return Hours(
            self.label, self.step, self.south, self.maps[first:last], self.times[first:last],
            self.multiples, self.files,
        )  # fmt: skip

    def tile(self, rng: np.random.Generator, size: int, multiple: int) -> np.ndarray | None:
        """A square of ``size`` cells, or None if it is mostly missing or needlessly dry."""
        wide = size * multiple
        hour, rows, columns = self.maps.shape
        if wide > min(rows, columns):
            return None
        top, left = rng.integers(rows - wide + 1), rng.integers(columns - wide + 1)
        found = coarser(self.maps[rng.integers(hour), top : top + wide, left : left + wide], multiple)
        known = np.isfinite(found)
        if known.mean() < LEAST_KNOWN:
            return None
        wet = (found[known] >= TRACE).mean()
        return found if wet >= WET or rng.random() < KEPT_DRY else None


def coarser(field: np.ndarray, multiple: int) -> np.ndarray:
    """Means of squares of cells (the last two axes), known where at least half of the square is."""
    if multiple == 1:
        return np.asarray(field, np.float32)
    rows, columns = (size // multiple for size in field.shape[-2:])
    cut = field[..., : rows * multiple, : columns * multiple].astype(np.float32)
    squares = cut.reshape(*field.shape[:-2], rows, multiple, columns, multiple)
    known = np.isfinite(squares).sum((-3, -1))
    total = np.nansum(squares, (-3, -1))
    return np.where(2 * known >= multiple**2, total / np.maximum(known, 1), np.nan).astype(np.float32)


def gathered(entry: Mapping[str, Any], files: Sequence[Path], folder: Path) -> Hours:
    """A source of a run: read its files, or find what was read before."""
    base, highest = float(entry["base"]), float(entry.get("highest", np.inf))
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    key = hashlib.sha256(json.dumps([hashes, base, highest]).encode()).hexdigest()[:16]
    kept, about = folder / f"{key}.npy", folder / f"{key}.json"
    if not about.exists():
        folder.mkdir(parents=True, exist_ok=True)
        times, maps, south = [], [], 0.0
        for path in files:
            field = field_of(str(path))
            multiple = max(1, round(base / float(field.lat[1] - field.lat[0])))
            values = field.where(field <= highest).values
            maps += [coarser(each, multiple).astype(np.float16) for each in values]
            times += list(field.indexes["time"])
            south = float(field.lat[0])
        order = np.argsort(np.array(times))
        np.save(kept, np.stack([maps[each] for each in order]))
        told = {"times": [str(times[each]) for each in order], "south": south}
        about.write_text(json.dumps(told | {"step": base}))
    told = json.loads(about.read_text())
    multiples = tuple(int(each) for each in entry.get("multiples", [1]))
    maps = np.load(kept, mmap_mode="r")
    return Hours(
        str(entry["label"]), base, told["south"], maps, pd.DatetimeIndex(told["times"]), multiples, hashes
    )


def parted(hours: Hours, held: pd.Timedelta) -> tuple[Hours, Hours]:
    """The times to learn from, and the last ones, which are held out."""
    first = int(np.sum(hours.times.values <= hours.times.values[-1] - np.timedelta64(held)))
    return hours.part(0, first), hours.part(first, len(hours.times))
