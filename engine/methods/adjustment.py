"""Gauge adjustment: a source corrected by what kriged differences of gauges say of it.

With r the source read at a gauge and g the report, both as depths in mm over one interval, the difference
has one of these forms:

    additive         d = g - r                            corrected  r + D
    multiplicative   d = log (g + s) / (r + s)            corrected  r exp D
    mixed            e = (g - r) / (r^2 + 1), d = e r     corrected  (1 + D) r + E
    mean field       one factor, sum g / sum r, for the whole map

The mixed form splits a difference by least squares into a part that is added where the source is near
dry and a part that scales it where it rains (Pfaff 2010). Differences are spread by simple kriging about
zero: far from gauges the source is left as it is. The correlation is (1 - n) exp(-d / L), with n the share
of the nugget; L and n are those of a few that best predict each difference from all others (leave one
out, which kriging gives at once: e_i = (K^-1 d)_i / (K^-1)_ii, with K of the gauges that report together).
Where neighbours tell each other nothing, that is n = 1, and the source stays.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import linalg

from engine import fields
from engine.bilinear import at_places, means_on_grid
from engine.fields import EARTH_RADIUS_KM, Snapshot
from engine.given import evidence
from engine.methods import Method, setting
from engine.tasks import Task

SMALL = 0.5  # mm added above and below in a ratio, so that drizzle is not divided by drizzle
LARGEST = 5.0  # no ratio beyond this or its inverse
RANGES_KM = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0)
NUGGETS = (0.05, 0.2, 0.5, 0.8)
MOST_FITTED = 500  # gauges that the correlation is fitted to
MOST_SETS = 12  # of gauges that report together, which it is fitted to
CELLS = 4000  # corrected at once


@dataclass(frozen=True)
class Adjustment(Method):
    """The classical ways to pull a radar or a satellite to gauges, with kriged differences.

    **What it does.** At every gauge in use the source is compared with the report. The differences are
    spread over the map by kriging, each interval by itself, and undone: added, as a factor, or as a
    mixture that adds where the source is near dry and scales where it rains. Or one factor for the whole
    map makes the sums equal (mean field bias). Of several backgrounds it takes the mean first.

    **When to use it.** As the reference that hydrological services use, beside any other fusion.

    **When not.** Where the uncertainty matters: there is one member. A factor cannot wet what the source
    has dry; adding puts rain around a gauge that the source missed, in a disc. A gauge that lies pulls the
    map to its lie. Where the source is missing, so is the result.

    Simpler spreading by inverse distance is offered by *interpolation*, with a ratio or added.
    """

    title: ClassVar[str] = "Gauge adjustment"
    reference: ClassVar[str] = (
        "Goudenhoofdt and Delobbe 2009, 10.5194/hess-13-195-2009; Pfaff 2010, mixed errors; wradlib.adjust"
    )
    needs: ClassVar[tuple[str, ...]] = ("gauges", "background")
    uses: ClassVar[tuple[str, ...]] = ()
    most_members: ClassVar[int] = 1

    form: str = setting(
        "mixed",
        "How the source errs: by an amount, by a factor, by both, or by one factor everywhere",
        choices=("additive", "multiplicative", "mixed", "mean field"),
    )
    range_km: float = setting(
        0.0, "Distance (km) at which differences are alike to 1/e; 0: by leaving one gauge out", 0, 3000
    )

    def run(self, task: Task, seed: int, members: Sequence[int]) -> Iterator[Snapshot]:
        self.accept(task)
        yield Snapshot(0.0, "reading")
        seen = evidence(task)
        assert seen.gauges is not None
        grid, times, gauges = seen.grid, seen.period.times, seen.gauges
        hours = seen.period.step / np.timedelta64(1, "h")
        depth = np.empty((len(times), *grid.shape), np.float32)
        there = np.empty(gauges.values.shape)
        for turn, read in enumerate(means_on_grid(seen.of("background").values(), grid)):
            depth[turn] = hours * read
            there[:, turn] = at_places(depth[turn], grid, gauges.lat, gauges.lon)
            yield Snapshot(0.3 * (turn + 1) / len(times), "reading")
        told = hours * gauges.values
        if self.form == "mean field":
            depth *= factors(told, there)[:, None, None].astype(np.float32)
        else:
            yield from self._spread(depth, grid, gauges, told, there)
        rain = fields.rain(depth[None] / hours, times, grid.lat, grid.lon, interval=seen.period.interval)
        yield Snapshot(1.0, "done", members=rain.astype(np.float32))

    def _spread(self, depth, grid, gauges, told, there) -> Iterator[Snapshot]:
        """Correct the depths in place."""
        parts = differences(self.form, told, there)
        apart = distances(gauges.lat, gauges.lon, gauges.lat, gauges.lon)
        reach, nugget = yield from fitted(parts[0], apart, self.range_km)
        weights = []
        for turn in range(len(depth)):
            weights.append(weighed(parts[:, :, turn], apart, reach, nugget))
            yield Snapshot(0.4 + 0.3 * (turn + 1) / len(depth), "weighing the reports")
        towards = np.stack(weights, -1)  # (part, gauge, time)
        lat, lon = (each.ravel() for each in np.meshgrid(grid.lat, grid.lon, indexing="ij"))
        flat = depth.reshape(len(depth), -1)
        for low in range(0, lat.size, CELLS):
            cells = slice(low, low + CELLS)
            near = (1 - nugget) * np.exp(-distances(lat[cells], lon[cells], gauges.lat, gauges.lon) / reach)
            flat[:, cells] = corrected(self.form, flat[:, cells], [(near @ each).T for each in towards])
            yield Snapshot(0.7 + 0.29 * low / lat.size, "correcting")


def differences(form: str, told: np.ndarray, there: np.ndarray) -> np.ndarray:
    """What is spread, (part, gauge, time); missing where the report or the source is."""
    if form == "additive":
        return (told - there)[None]
    if form == "multiplicative":
        return np.log(np.clip((told + SMALL) / (there + SMALL), 1 / LARGEST, LARGEST))[None]
    added = (told - there) / (there**2 + 1)
    return np.stack([added, added * there])


def corrected(form: str, depth: np.ndarray, spread: Sequence[np.ndarray]) -> np.ndarray:
    """A source with the spread differences undone."""
    if form == "additive":
        found = depth + spread[0]
    elif form == "multiplicative":
        found = depth * np.exp(spread[0])
    else:
        found = (1 + spread[1]) * depth + spread[0]
    return np.maximum(found, 0)


def factors(told: np.ndarray, there: np.ndarray) -> np.ndarray:
    """For every time the factor that makes the sums at the gauges equal; one where they are small."""
    both = np.isfinite(told) & np.isfinite(there)
    sums = (np.where(both, each, 0).sum(0) for each in (told, there))
    above, below = (each + SMALL for each in sums)
    return np.clip(above / below, 1 / LARGEST, LARGEST)


def weighed(parts: np.ndarray, apart: np.ndarray, reach: float, nugget: float) -> np.ndarray:
    """K^-1 d (part, gauge) of one time, zero at gauges that have no difference."""
    who, found = np.flatnonzero(np.isfinite(parts[0])), np.zeros(parts.shape)
    if parts[:, who].any():
        law = correlation(apart[np.ix_(who, who)], reach, nugget)
        found[:, who] = linalg.solve(law, parts[:, who].T, assume_a="pos").T
    return found


def fitted(
    values: np.ndarray, apart: np.ndarray, range_km: float
) -> Generator[Snapshot, None, tuple[float, float]]:
    """The range and the nugget that best predict each gauge's differences (gauge, time) from the others'."""
    chosen = np.random.default_rng(0).permutation(len(values))[:MOST_FITTED]
    sets = [(chosen[who], found) for who, found in together(values[chosen])]
    best, law = sum(np.abs(found).sum() for _, found in sets), (range_km or RANGES_KM[0], 1.0)
    ranges = (range_km,) if range_km else RANGES_KM
    for turn, reach in enumerate(ranges):
        for nugget in NUGGETS:
            total = 0.0
            for who, found in sets:
                inverse = linalg.inv(correlation(apart[np.ix_(who, who)], reach, nugget))
                total += np.abs((inverse @ found) / np.diag(inverse)[:, None]).sum()
            if total < best:
                best, law = total, (reach, nugget)
            yield Snapshot(0.3 + 0.1 * turn / len(ranges), "fitting the covariance")
    return law


def together(values: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Which gauges are known at the same times, and what of (gauge, time) they say then; of many such sets
    those with the largest amounts, which decide a sum of errors."""
    known = np.isfinite(values)
    which, turn = np.unique(known, axis=1, return_inverse=True)
    sets = [(np.flatnonzero(who), np.flatnonzero(turn == each)) for each, who in enumerate(which.T)]
    found = [(who, values[np.ix_(who, times)]) for who, times in sets if who.size]
    return sorted(found, key=lambda each: -np.abs(each[1]).sum())[:MOST_SETS]


def correlation(apart: np.ndarray, reach: float, nugget: float) -> np.ndarray:
    """Of the differences at gauges, the nugget at each by itself."""
    return (1 - nugget) * np.exp(-apart / reach) + max(nugget, 1e-6) * np.eye(len(apart))


def distances(lat, lon, there_lat, there_lon) -> np.ndarray:
    """Great-circle distances in km (here, there)."""
    here, there = (
        np.stack([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)], -1)
        for north, east in (np.radians((lat, lon)), np.radians((there_lat, there_lon)))
    )
    return EARTH_RADIUS_KM * np.arccos(np.clip(here @ there.T, -1, 1))
