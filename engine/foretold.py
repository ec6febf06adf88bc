"""What maps foretell of rain, learned from gauges: what is expected, and the climate of what it misses.

A background is not the rain, and nobody knows by how much unless gauges tell. At the gauges in use the
latent rain is regressed on what the backgrounds say there: each one's own latent value and its means over
wider surroundings, for a dry pixel beside a storm is not one in a desert. The regression takes off bias, and
as much of a background as its errors deserve; with several backgrounds it weighs them. What remains at the
gauges has a variance, and a covariance over distance (`engine.climate`): the errors of a map go together, so
ten of its cells say less than ten gauges. Where little rain is expected little is missed, so wet and dry have
a law of their own, and hand over to each other between. All this holds for all hours of a task.

Where gauges are too few to tell, the mean of the backgrounds is taken as it is, with the errors of a usual
satellite.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from scipy import ndimage

from engine.bilinear import at_places, on_grid
from engine.climate import LEAST, Climate, Reports
from engine.covariance import Torus
from engine.fields import KM_PER_DEGREE, Grid, Observations
from engine.transforms import Transform

AROUND_KM = (12.0, 40.0)  # standard deviations of the surroundings
FEWEST, FEWEST_OF_A_SIDE = 60, 25  # pairs of report and background, below which nothing is learned
RIDGE = 1e-2  # of the regression, in variances of what it regresses on
FAR_OFF = 4.0  # deviations at which a remainder is cut: a spike of a gauge is not the map's error
DRY, WET = 0.03, 0.3  # mm/h expected, below and above which the law of dry and of wet holds alone
STRETCHES = (0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)  # of a climate's lengths
NEAR_KM, FAR_KM = (6.0, 12.0, 25.0, 50.0), (60.0, 120.0, 240.0)  # over which a map's errors go together
FAR_SHARE = (0.0, 0.1, 0.2, 0.35, 0.5)
OWN = (0.003, 0.01, 0.03, 0.06, 0.12, 0.25, 0.5)  # share that a gauge does not have in common with others
USUAL = Climate(0.0, (5.0, 60.0), (0.1, 0.3))  # errors where no gauge tells


@dataclass(frozen=True)
class Foretold:
    """Latent fields (time, rows, columns), the laws of what they miss, and where each law holds."""

    expected: np.ndarray
    weights: np.ndarray  # (time, laws, rows, columns), nought in gaps
    missed: tuple[Climate, ...]
    spread: Climate  # of what is expected itself
    plain: np.ndarray  # the mean of the maps as they are


def climate_at(gauges: Observations | None, transform: Transform, usual: Climate) -> tuple[Climate, float]:
    """The climate of a task's own hours and what a gauge has for itself (variance), as far as gauges tell:
    the shape is the usual one, stretched."""
    if gauges is None:
        return usual, 0.0
    latent = _latent(gauges.values, transform)
    if np.isfinite(latent).sum() < FEWEST or (gauges.values >= WET).sum() < FEWEST / 4:
        return usual, 0.0
    mean = float(np.nanmean(latent))
    shapes = [usual.scaled(1.0, stretch, mean) for stretch in STRETCHES]
    reports = Reports.of(latent - mean, gauges.lat, gauges.lon)
    return reports.credible(*reports.likeliest(shapes, OWN)).likeliest(shapes, OWN)


def foretold(
    backgrounds: Sequence[xr.DataArray],
    grid: Grid,
    gauges: Observations | None,
    transform: Transform,
    own: float = 0.0,
) -> Iterator[Foretold | None]:
    """None for each hour read, at last the answer. ``own`` is the variance that a gauge has for itself."""
    hours = backgrounds[0].sizes["time"]
    told: list[np.ndarray] = []
    known = np.zeros((hours, *grid.shape), bool)
    for hour in range(hours):
        maps = [_latent(on_grid(rain[hour], grid), transform) for rain in backgrounds]
        known[hour] = np.isfinite(maps).any(0)
        told.append(_described(_filled(maps), grid))
        yield None
    plain = np.stack([each[: len(backgrounds)].mean(0) for each in told])
    if gauges is None or (pairs := _pairs(told, known, grid, gauges, transform)) is None:
        spread = Climate.of(plain, Torus(grid, 0.0).cell_km)
        yield Foretold(plain, known[:, None].astype(np.float32), (USUAL,), spread, plain)
        return
    features, response = pairs
    rows = np.isfinite(response) & np.isfinite(features).all(-1)
    centre, spread = features[rows].mean(0), features[rows].std(0) + 1e-6
    weights, mean = _ridge((features[rows] - centre) / spread, response[rows])
    low = float(transform.forward(torch.zeros(1)))

    def expected(each: np.ndarray) -> np.ndarray:
        """From features, along the last axis."""
        return np.maximum(mean + ((each - centre) / spread) @ weights, low)

    there = np.where(rows, expected(np.nan_to_num(features)), np.nan)
    fields = np.stack([expected(np.moveaxis(each, 0, -1)).astype(np.float32) for each in told])
    laws = _laws(response - there, there, gauges, transform, own)
    weights, spread = known[:, None].astype(np.float32), Climate.of(fields, Torus(grid, 0.0).cell_km)
    if len(laws) > 1:
        wet = _wetness(fields, transform)
        weights = np.stack([1 - wet, wet], 1) * weights
    yield Foretold(fields, weights, laws, spread, plain)


def _wetness(expected: np.ndarray, transform: Transform) -> np.ndarray:
    """How much of the law is that of wet, 0..1."""
    low, high = (float(each) for each in transform.forward(torch.tensor([DRY, WET])))
    return np.clip((expected - low) / (high - low), 0, 1).astype(np.float32)


def _laws(
    missed: np.ndarray, expected: np.ndarray, gauges: Observations, transform: Transform, own: float
) -> tuple[Climate, ...]:
    """Of what is missed at the gauges (site, time): of dry and of wet, or one for both. They differ in
    variance; over a distance both go together alike. What is a gauge's own is not the map's."""
    wet = _wetness(np.nan_to_num(expected), transform) > 0.5
    sides = [~wet, wet]
    if min(np.isfinite(missed[side]).sum() for side in sides) < FEWEST_OF_A_SIDE:
        sides = [np.ones_like(wet)]
    unit, variances = np.full_like(missed, np.nan), []
    for side in sides:
        # whether it rains at all is the prior's to say: by how much a map is off, wet reports tell
        telling = side & (gauges.values >= DRY) if side is sides[-1] and len(sides) > 1 else side
        side = telling if np.isfinite(missed[telling]).sum() >= FEWEST_OF_A_SIDE else side
        part = missed[side]
        bound = FAR_OFF * np.nanstd(np.clip(part, *(FAR_OFF * np.nanstd(part) * np.array([-1, 1]))))
        part = np.clip(part, -bound, bound)
        variances.append(float(np.nanmean(part**2)) + LEAST)
        unit[side] = part / np.sqrt(variances[-1])
    # misplaced showers nearby, a wrong amount over a wide area
    shapes = [
        Climate(0.0, (near, far), (1 - share, share))
        for near, far, share in itertools.product(NEAR_KM, FAR_KM, FAR_SHARE)
    ]
    shape, alone = Reports.of(unit, gauges.lat, gauges.lon).likeliest(shapes, OWN)
    share = alone / (alone + shape.variance)
    laws = []
    for variance in variances:
        common, rest = (1 - share) * variance, max(share * variance - own, LEAST)
        whole = shape.scaled(common)
        laws.append(Climate(0.0, (1e-3, *whole.lengths), (rest, *whole.variances)))
    return tuple(laws)


def _latent(rain: np.ndarray, transform: Transform) -> np.ndarray:
    return transform.forward(torch.from_numpy(rain.astype(np.float32))).numpy()


def _filled(maps: list[np.ndarray]) -> list[np.ndarray]:
    """Gaps of a map filled by the mean of the others, else by that of the map."""
    with np.errstate(invalid="ignore"):
        others = [np.nan_to_num(np.nanmean(each)) if np.isfinite(each).any() else 0.0 for each in maps]
        filled = [np.where(np.isfinite(each), each, other) for each, other in zip(maps, others, strict=True)]
    if len(maps) == 1:
        return filled
    found = []
    for which, each in enumerate(maps):
        rest = np.mean([other for index, other in enumerate(filled) if index != which], 0)
        found.append(np.where(np.isfinite(each), each, rest))
    return found


def _described(maps: list[np.ndarray], grid: Grid) -> np.ndarray:
    """(features, rows, columns): the maps themselves first, then their surroundings."""
    north = grid.step * KM_PER_DEGREE
    east = north * float(np.cos(np.radians((grid.box.south + grid.box.north) / 2)))
    wider = [
        ndimage.gaussian_filter(each, (km / north, km / east), truncate=3)
        for km in AROUND_KM
        for each in maps
    ]
    return np.stack([*maps, *wider]).astype(np.float32)


def _pairs(
    told: list[np.ndarray], known: np.ndarray, grid: Grid, gauges: Observations, transform: Transform
) -> tuple[np.ndarray, np.ndarray] | None:
    """Features (site, time, feature) and latent reports (site, time) where a map speaks, if enough do."""
    read = np.stack(
        [np.stack([at_places(each, grid, gauges.lat, gauges.lon) for each in hour], -1) for hour in told], 1
    )
    speaks = np.stack([at_places(each * 1.0, grid, gauges.lat, gauges.lon) for each in known], 1) > 0.99
    response = np.where(speaks, _latent(gauges.values, transform), np.nan)
    return (read, response) if np.isfinite(response).sum() >= FEWEST else None


def _ridge(features: np.ndarray, response: np.ndarray) -> tuple[np.ndarray, float]:
    """Coefficients and mean; features have mean nought and variance one."""
    mean = float(response.mean())
    square = features.T @ features / len(features) + RIDGE * np.eye(features.shape[1])
    return np.linalg.solve(square, features.T @ (response - mean) / len(features)), mean
