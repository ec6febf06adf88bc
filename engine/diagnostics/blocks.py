"""Blocks: what must stay together when a score is asked how sure it is of itself.

Rain of one hour resembles that of the next, and rain here that of the next valley: a thousand reports of
one storm are a handful of independent ones. So an interval is never drawn over single values. Places and
hours are gathered into *blocks*, each larger than a shower; a block keeps together whatever depends on each
other, and blocks are drawn anew, with replacement. On a grid a block is a tile of about 800 km during six
hours; what neighbouring tiles share is lost, and tiles six times as wide as rain is correlated miss some
tenth of the scatter.

At gauges a block is a span of time with all gauges, of six hours or a hundredth of a longer period, where
there are twelve such spans. Then what lasts at a gauge is taken as given: the interval speaks of other times
at these gauges. In a shorter period a block is a tile of the network with all its hours, as wide as leaves
twelve tiles with gauges, but no narrower than 80 km: a smaller network gets no interval. Tiles too are not
wholly independent. Of 300 simulated gauges in 800 x 600 km whose hours are correlated over 50 km, so many
of the intervals that say 95% hold the truth:

    hours                       1      12      72
    gauges one by one          43%     48%     49%
    these blocks               85%     85%     92%
    where none is correlated   92%     92%     93%

A network of 200 km in one hour has four tiles, and 71%.

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
ENOUGH = 12  # blocks at gauges, which are made as large as that allows
MOST_SPANS = 100  # of time at gauges; a week of rain is not seven independent days
NARROWEST_KM = 80.0  # of a tile of gauges: over less, rain of an hour is too much alike
TILE_KM = 800.0
SPAN = pd.Timedelta("6h")


@dataclass(frozen=True)
class Blocks:
    """A whole number for every place and one for every time; equal pairs are one block."""

    place: np.ndarray
    time: np.ndarray

    @classmethod
    def of(cls, observed: xr.DataArray) -> Blocks:
        """Spans of time or tiles of a network; tiles of a grid in spans of time."""
        if "gauge" in observed.dims:
            times = observed.indexes["time"]
            time = spans(times, max(SPAN, (times[-1] - times[0]) / MOST_SPANS))
            if located(observed) and len(np.unique(time)) >= ENOUGH:
                return cls(np.zeros(observed.sizes["gauge"], int), time)
            return cls(districts(observed), np.zeros(len(times), int))
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

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Of every block, of (place, time)."""
        return np.bincount(self.labels(slice(None)).ravel(), values.T.ravel(), self.count)


def located(observed: xr.DataArray) -> bool:
    return {"lat", "lon"} <= set(observed.coords)


def districts(observed: xr.DataArray) -> np.ndarray:
    """The number of the tile that each gauge lies in: the widest tiles of which twelve hold gauges, or the
    narrowest if none do. Gauges of unknown place are a tile each."""
    if not located(observed):
        return np.arange(observed.sizes["gauge"])
    lat, lon = np.asarray(observed.lat, float), np.asarray(observed.lon, float)
    east = (lon - lon.min()) * KM_PER_DEGREE * np.cos(np.deg2rad(lat.mean()))
    north = (lat - lat.min()) * KM_PER_DEGREE
    longest, label = max(east.max(), north.max()), np.zeros(len(lat), int)
    for parts in range(2, int(longest / NARROWEST_KM) + 1):
        side = longest / parts
        cut = [np.minimum(each // side, max(1, round(each.max() / side)) - 1) for each in (north, east)]
        _, label = np.unique(np.stack(cut, 1), axis=0, return_inverse=True)
        if label.max() + 1 >= ENOUGH:
            break
    return label.ravel()


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


def share(of: np.ndarray, among: np.ndarray, tile: np.ndarray) -> tuple[float, float, float]:
    """The share of some gauges that are so, with its interval over the tiles that they lie in."""
    if not among.any():
        return float("nan"), float("nan"), float("nan")
    sums = np.stack([np.bincount(tile, each) for each in (of & among, among)], 1)
    sums = sums[sums[:, 1] > 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        return interval(np.divide(*resampled(sums).T), len(sums))


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
