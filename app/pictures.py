"""Pictures and series: what views draw, and the shelf on which slow work is kept.

A `Shown` names what is wanted, a `Picture` is one hour of it on its own grid, a `Series` its rain over the
whole domain through time. All three are immutable, so every session may hold the same ones.
"""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from app import raster
from app.events import MM, graded


@dataclass(frozen=True)
class Shown:
    """What a map or a time bar shows: a layer of a case, or a statistic of a run."""

    case: str
    layer: str
    run: str = ""
    statistic: str = "mean"
    above: float = 0.0
    member: int = 0


@dataclass(frozen=True)
class Picture:
    """One hour on its grid. ``members`` is how many members it was made from (0: an early picture)."""

    values: np.ndarray
    lat: np.ndarray
    lon: np.ndarray
    rows: raster.Rows
    members: int | None = None

    @classmethod
    def of(cls, values: np.ndarray, grid: xr.DataArray, members: int | None = None) -> Picture:
        """Values on the grid of a field."""
        lat, lon = (np.ascontiguousarray(grid[name].values, dtype=float) for name in ("lat", "lon"))
        return cls(values, lat, lon, _rows(lat.tobytes(), lon.tobytes()), members)

    @classmethod
    def of_members(cls, hour: xr.DataArray, shown: Shown) -> Picture:
        """A statistic of all members (member, lat, lon) of a time. Grades cannot be mixed, row by row."""
        begins = graded(hour.attrs.get("interval", "1h"), total=hour.attrs.get("units") == MM)
        values = raster.statistic(hour.values, shown.statistic, shown.above, shown.member, begins)
        found = cls.of(values, hour, len(hour))
        return replace(found, rows=found.rows.nearest) if shown.statistic == "grade" else found


@functools.lru_cache(maxsize=32)
def _rows(lat: bytes, lon: bytes) -> raster.Rows:
    return raster.Rows.of(np.frombuffer(lat), np.frombuffer(lon))


@dataclass(frozen=True)
class Series:
    """Rain averaged over the domain; with several members the middle and a band from p10 to p90."""

    times: pd.DatetimeIndex
    mean: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None

    @classmethod
    def of(cls, layer: xr.DataArray) -> Series:
        """Of a field, hour by hour: less memory."""
        sums = [raster.area_mean(hour, layer.lat.values) for hour in layer.values]
        return cls(layer.indexes["time"], np.array(sums))  # type: ignore[arg-type]


class Shelf:
    """The newest results of slow work, each made once however many ask for it."""

    def __init__(self, worker: ThreadPoolExecutor, size: int) -> None:
        self.worker, self.size = worker, size
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self._asked: dict[Hashable, Future[Any]] = {}
        self._lock = threading.Lock()

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()

    def known(self, key: Hashable) -> Any:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def ask(self, key: Hashable, make: Callable[[], Any]) -> tuple[Any, Future[Any] | None]:
        """What is on the shelf, else a future to wait for; None is nothing that a shelf could keep."""
        known = self.known(key)
        return (known, None) if known is not None else (None, self.fetch(key, make))

    def fetch(self, key: Hashable, make: Callable[[], Any]) -> Future[Any]:
        """A future of what is on the shelf or being made; errors are not kept."""
        with self._lock:
            if key not in self._asked:
                self._asked[key] = self.worker.submit(self.made, key, make)
            return self._asked[key]

    def made(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Make it here and now, and keep it."""
        try:
            result = make()
        except BaseException:
            with self._lock:
                self._asked.pop(key, None)
            raise
        with self._lock:
            self._asked.pop(key, None)
            self._kept[key] = result
            while len(self._kept) > self.size:
                self._kept.popitem(last=False)
        return result


def cell(lat: np.ndarray, lon: np.ndarray, place: tuple[float, float]) -> tuple[int, int] | None:
    """Row and column of the cell at a place (latitude, longitude); None outside of the grid."""
    row, column = (
        round((at - axis[0]) / (axis[1] - axis[0])) for axis, at in zip((lat, lon), place, strict=True)
    )
    return (row, column) if 0 <= row < lat.size and 0 <= column < lon.size else None


def nearest(picture: Picture, lat: float, lon: float) -> float | None:
    """The exact value of the cell at a place; None outside."""
    at = cell(picture.lat, picture.lon, (lat, lon))
    return None if at is None else float(picture.values[at])
