"""Interpolation: the references that every other method has to beat.

Gauges are spread by distance weights, by the nearest one, or linearly over Delaunay triangles; distances
are great circles. A background is brought to the grid bilinearly and can be corrected by what the gauges
miss in it: the residuals are spread in the same way and added, or a ratio of gauge to background is
spread and multiplied, bounded and shrunk towards one where there is little rain to divide by.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import xarray as xr
from scipy.spatial import Delaunay, KDTree

from engine import fields
from engine.bilinear import at_places, on_grid
from engine.fields import EARTH_RADIUS_KM, Grid, Observations, Snapshot
from engine.given import evidence
from engine.methods import Method, setting
from engine.tasks import Task
from engine.values import Invalid

SMALL = 0.5  # mm/h added above and below in a ratio, so that drizzle is not divided by drizzle
LARGEST = 5.0  # no ratio beyond this or its inverse


@dataclass(frozen=True)
class Interpolation(Method):
    """One field, without noise and without uncertainty: the simplest thing that could work.

    **What it does.** With gauges alone it spreads them: by inverse distance, by the nearest gauge, or
    linearly between gauges. With a background alone it regrids it bilinearly. With both it corrects the
    background by the spread of what the gauges miss in it, as a ratio or added; or it leaves one of the
    two aside, as the setting says. Of several backgrounds it takes the mean.

    **When to use it.** As the reference beside any other result; to look at sources on a common grid.

    **When not.** Where the uncertainty matters: there is one member. Spreading blurs: wet areas grow,
    peaks away from gauges vanish, and a wrong gauge stands on the map as a disc.
    """

    title: ClassVar[str] = "Interpolation"
    reference: ClassVar[str] = (
        "Shepard 1968, 10.1145/800186.810616; WMO-No. 168, Guide to Hydrological Practices"
    )
    needs: ClassVar[tuple[str, ...]] = ()
    uses: ClassVar[tuple[str, ...]] = ("gauges", "background")
    most_members: ClassVar[int] = 1

    kind: str = setting(
        "inverse distance", "How gauges are spread", choices=("inverse distance", "nearest", "linear")
    )
    gauges: str = setting(
        "ratio",
        "With a background: gauges correct it as a ratio, added, are not used, or stand alone",
        choices=("ratio", "added", "unused", "alone"),
    )
    power: float = setting(2.0, "Power of the distance in inverse distance weights", 0.5, 6)
    neighbours: int = setting(12, "Nearest gauges that weigh on a cell", 1, 100)

    def accept(self, task: Task) -> None:
        super().accept(task)
        if task.gauges is None and not any(use.role == "background" for use in task.sources):
            raise Invalid(f"method {task.method}: needs gauges or background; add one to the task")

    def run(self, task: Task, seed: int, members: Sequence[int]) -> Iterator[Snapshot]:
        self.accept(task)
        yield Snapshot(0.0, "reading")
        seen = evidence(task)
        backgrounds = list(seen.of("background").values())
        gauges = None if backgrounds and self.gauges == "unused" else seen.gauges
        if gauges is not None and self.gauges == "alone":
            backgrounds = []
        grid, times = seen.grid, seen.period.times
        spread = None
        if gauges is not None:
            index, away = yield from nearest(gauges, grid, 2 * self.neighbours)
            spread = Spread(grid, gauges.lat, gauges.lon, index, away, self)
        values = np.zeros((1, len(times), *grid.shape), np.float32)
        for hour in range(len(times)):
            yield Snapshot(0.2 + 0.8 * hour / len(times), f"hour {hour + 1} of {len(times)}")
            under = regridded(backgrounds, hour, grid)
            told = None if gauges is None else gauges.values[:, hour]
            values[0, hour] = (
                under if told is None or spread is None else self._corrected(under, told, spread)
            )
        about = (times, grid.lat, grid.lon)
        yield Snapshot(1.0, "done", members=fields.rain(values, *about, interval=seen.period.interval))

    def _corrected(self, under: np.ndarray, told: np.ndarray, spread: Spread) -> np.ndarray:
        """A background corrected by one hour's gauges; where it is missing, the gauges alone."""
        reporting = np.isfinite(told)
        there = at_places(under, spread.grid, spread.lat, spread.lon)
        both, missing = reporting & np.isfinite(there), ~np.isfinite(under)
        result = under.copy()
        if both.any() and self.gauges == "ratio":
            ratio = np.log((told + SMALL) / (there + SMALL))
            result = under * np.exp(spread(np.clip(ratio, -np.log(LARGEST), np.log(LARGEST)), both))
        elif both.any():
            result = np.maximum(under + spread(told - there, both), 0.0)
        if reporting.any() and missing.any():
            result[missing] = spread(told, reporting)[missing]
        return result


def nearest(
    gauges: Observations, grid: Grid, count: int
) -> Generator[Snapshot, None, tuple[np.ndarray, np.ndarray]]:
    """The gauges nearest to every cell (cell, neighbour), nearest first, and how far (km) they are."""
    tree, count = KDTree(on_sphere(gauges.lat, gauges.lon)), min(count, len(gauges))
    cells = on_sphere(*cells_of(grid))
    found = []
    for part in np.array_split(cells, max(1, len(cells) // 5000)):
        chord, index = tree.query(part, k=count)
        found.append((index.reshape(len(part), count), chord.reshape(len(part), count)))
        yield Snapshot(0.2 * len(found) * 5000 / (len(cells) + 5000), "measuring distances")
    index, chord = (np.concatenate(each) for each in zip(*found, strict=True))
    return index, 2 * EARTH_RADIUS_KM * np.arcsin(np.clip(chord / 2, 0, 1))


@dataclass
class Spread:
    """From values at the gauges, and which of them count, to a field."""

    grid: Grid
    lat: np.ndarray
    lon: np.ndarray
    index: np.ndarray  # of the nearest gauges (cell, neighbour)
    away: np.ndarray
    how: Interpolation
    _last: tuple[bytes, np.ndarray, np.ndarray] | None = None  # most hours, the same gauges report

    def __call__(self, values: np.ndarray, counting: np.ndarray) -> np.ndarray:
        if self._last is None or self._last[0] != counting.tobytes():
            self._last = (counting.tobytes(), *self._weights(counting))
        _, index, weights = self._last
        return (np.where(counting, values, 0.0)[index] * weights).sum(1).reshape(self.grid.shape)

    def _weights(self, counting: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For every cell some gauges and their weights, of sum one."""
        wanted = self.how.neighbours if self.how.kind == "inverse distance" else 1
        known = counting[self.index]
        kept = known & (np.cumsum(known, 1) <= wanted)
        index, weights = (
            self.index.copy(),
            np.where(kept, np.maximum(self.away, 1e-3) ** -self.how.power, 0.0),
        )
        if (lost := ~kept.any(1)).any():  # none of the nearest reports: the nearest that does
            among = np.flatnonzero(counting)
            _, closest = KDTree(on_sphere(self.lat[among], self.lon[among])).query(
                on_sphere(*(each[lost] for each in cells_of(self.grid)))
            )
            index[lost, 0], weights[lost, 0] = among[closest], 1.0
        if self.how.kind == "linear":
            index, weights = triangles(self, counting, index, weights)
        return index, weights / weights.sum(1, keepdims=True)


def on_sphere(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Places as points of the unit sphere, where neighbours are found across any meridian."""
    lat, lon = np.radians(lat), np.radians(lon)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], -1)


def cells_of(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Latitude and longitude of every cell, row by row."""
    lat, lon = np.meshgrid(grid.lat, grid.lon, indexing="ij")
    return lat.reshape(-1), lon.reshape(-1)


def triangles(
    spread: Spread, counting: np.ndarray, index: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The three gauges around each cell with barycentric weights; outside all triangles, what was given."""
    among, shrink = np.flatnonzero(counting), np.cos(np.radians(spread.lat.mean()))
    spots = np.stack([spread.lon[among] * shrink, spread.lat[among]], -1)
    if len(spots) < 3 or np.linalg.matrix_rank(spots - spots[0], tol=1e-6) < 2:
        return index, weights
    mesh = Delaunay(spots)
    lat, lon = cells_of(spread.grid)
    cells = np.stack([lon * shrink, lat], -1)
    found = mesh.find_simplex(cells)
    affine = mesh.transform[found]
    two = np.einsum("nij,nj->ni", affine[:, :2], cells - affine[:, 2])
    inside = (found >= 0)[:, None]
    three = np.clip(np.c_[two, 1 - two.sum(1)], 0, 1)
    best = index[np.arange(len(index)), weights.argmax(1)][:, None]
    corners = np.where(inside, among[mesh.simplices[found]], best)
    return corners, np.where(inside, three, 1 / 3)


def regridded(backgrounds: list[xr.DataArray], hour: int, grid: Grid) -> np.ndarray:
    """Mean of the backgrounds on the grid, bilinear; a cell that none knows is missing."""
    if not backgrounds:
        return np.full(grid.shape, np.nan)
    parts = np.stack([on_grid(rain[hour], grid) for rain in backgrounds])
    known = np.isfinite(parts)
    total = np.where(known, parts, 0.0).sum(0)
    return np.where(known.any(0), total / np.maximum(known.sum(0), 1), np.nan)
