"""Blocks: what must stay together when a score is asked how sure it is of itself.

Rain of one hour resembles that of the next, and rain here that of the next valley: a thousand reports of
one storm are a handful of independent ones. So an interval is never drawn over single values. Places and
hours are gathered into *blocks*, each larger than a shower; a block keeps together whatever depends on each
other, and blocks are drawn anew, with replacement. At gauges a block is a gauge with all its hours; on a
grid it is a tile of about 800 km during six hours. What neighbouring blocks share is lost: tiles six times
as wide as rain is correlated miss some tenth of the scatter.

Every score here is a function of sums, and sums add over blocks. So blocks are summed once, and what is
drawn are sums: the first row is the plain total, the others are the totals of blocks drawn anew.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import ndtr, stdtrit

from engine.fields import KM_PER_DEGREE

DRAWS = 400
FEWEST = 4  # blocks from which an interval is given
MOST = 5000  # blocks; beyond them each lasts longer
TILE_KM = 800.0
SPAN = pd.Timedelta("6h")


@dataclass(frozen=True)
class Blocks:
    """A whole number for every place and one for every time; equal pairs are one block."""

    place: np.ndarray
    time: np.ndarray

    @classmethod
    def of(cls, observed: xr.DataArray) -> Blocks:
        """Whole gauges, or tiles of a grid in spans of time."""
        if "gauge" in observed.dims:
            return cls(np.arange(observed.sizes["gauge"]), np.zeros(observed.sizes["time"], int))
        lat, lon = observed.lat.values, observed.lon.values
        row = _tiles(lat, KM_PER_DEGREE)
        column = _tiles(lon, KM_PER_DEGREE * np.cos(np.deg2rad(lat.mean())))
        tiles = (row[:, None] * (column.max() + 1) + column).ravel()
        times = observed.indexes["time"]
        length = (times[-1] - times[0]) * int(tiles.max() + 1) / MOST
        return cls(tiles, spans(times, max(SPAN, length)))

    @property
    def count(self) -> int:
        return int(self.place.max() + 1) * int(self.time.max() + 1)

    def labels(self, hours: slice) -> np.ndarray:
        """The block of every (time, place) in a part of the times."""
        return self.time[hours, None] * int(self.place.max() + 1) + self.place


def _tiles(centres: np.ndarray, km: float) -> np.ndarray:
    """The number of the tile of each cell of an axis: equal parts, as near to the wanted width as they go."""
    count = max(1, round((centres[-1] - centres[0]) * km / TILE_KM))
    return np.arange(len(centres)) * count // len(centres)


def spans(times: pd.Index, length: Any) -> np.ndarray:
    """The number of the span of time of such a length that each of these times lies in."""
    return np.asarray((times - times[0]) // length, int)


@functools.lru_cache(maxsize=4)
def _drawn(blocks: int) -> np.ndarray:
    """How often each block is drawn: once in the first row, at random in the others."""
    rng = np.random.default_rng(0)
    picks = (rng.integers(blocks, size=blocks) for _ in range(DRAWS))
    return np.stack([np.ones(blocks), *(np.bincount(pick, minlength=blocks) for pick in picks)])


def resampled(sums: np.ndarray) -> np.ndarray:
    """Of sums (block, ...) the total, followed by the totals of blocks drawn anew: (1 + DRAWS, ...)."""
    return np.tensordot(_drawn(len(sums)), sums, 1)


def interval(values: np.ndarray, blocks: int) -> tuple[float, float, float]:
    """Of a statistic of `resampled` sums its value and its 95% interval; missing where blocks are few.

    Drawing n blocks anew shows too little scatter, by (n - 1) / n, and knows nothing of Student's wider
    tails: so quantiles farther out are taken, which make up for both (Hesterberg's expanded percentiles).
    """
    value, drawn = float(values[0]), values[1:][np.isfinite(values[1:])]
    if blocks < FEWEST or not np.isfinite(value) or len(drawn) < DRAWS / 2:
        return value, float("nan"), float("nan")
    outer = ndtr(-np.sqrt(blocks / (blocks - 1)) * stdtrit(blocks - 1, 0.975))
    low, high = np.quantile(drawn, [outer, 1 - outer])
    return value, float(low), float(high)
