"""What maps foretell of rain, learned from gauges: what is expected, and the climate of what it misses.

A background is not the rain, and nobody knows by how much unless gauges tell. At the gauges in use the latent
rain is regressed on what the backgrounds say there: each one's own latent value and its means over wider
surroundings, for a dry pixel beside a storm is not one in a desert. The regression takes off bias, and as
much of a background as its errors deserve; with several backgrounds it weighs them. A dry report tells only
that the latent rain is below the score of no rain; its mean below there, and its variance, stand for it,
found in turn with the regression (Tobit's, by expectation and maximisation).

What remains at the gauges has a variance, and a covariance over distance (`engine.climate`): the errors of a
map go together, so ten of its cells say less than ten gauges. Where little rain is expected other errors are
made than in a storm, so wet and dry have a law of their own, and hand over to each other between. All this
holds for all hours of a task.

Where gauges are too few to tell, as much of the mean of the backgrounds is expected as the errors of a usual
satellite allow.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from scipy import ndimage
from scipy.optimize import nnls

from engine.bilinear import at_places, on_grid
from engine.censored import mills
from engine.climate import Climate, common
from engine.covariance import Torus
from engine.fields import Grid
from engine.reports import Reports
from engine.signed import signed
from engine.transforms import NormalScore

AROUND_KM = (12.0, 40.0)  # standard deviations of the surroundings
FEWEST, FEWEST_OF_A_SIDE = 60, 25  # pairs of report and background, below which nothing is learned
LEAST = 1e-4  # variance: what is never missed has a law too
RIDGE = 1e-2  # of the regression, in variances of what it regresses on
FAR_OFF = 4.0  # deviations at which a remainder is cut: a spike of a gauge is not the map's error
DRY, WET = 0.1, 2.0  # mm/h expected, below and above which the law of dry and of wet holds alone
ROUNDS = 12  # of expectation and maximisation
# misplaced showers nearby, a wrong amount over a wide area
NEAR_KM, FAR_KM, FAR_SHARE = (6.0, 12.0, 25.0, 50.0), (60.0, 120.0, 240.0), (0.0, 0.1, 0.2, 0.35, 0.5)
OWN = (0.003, 0.01, 0.03, 0.06, 0.12, 0.25, 0.5)  # share that a place does not have in common with others
USUAL = Climate(0.0, (5.0, 60.0), (0.1, 0.3))  # errors where no gauge tells


@dataclass(frozen=True)
class Foretold:
    """Latent fields (time, rows, columns), the laws of what they miss, and where each law holds."""

    expected: np.ndarray
    weights: np.ndarray  # (time, laws, rows, columns), nought in gaps
    missed: tuple[Climate, ...]
    plain: np.ndarray  # the mean of the maps as they are


def foretold(
    backgrounds: Sequence[xr.DataArray],
    grid: Grid,
    reports: Reports | None,
    score: NormalScore,
) -> Iterator[Foretold | None]:
    """None for each hour read, at last the answer."""
    hours = backgrounds[0].sizes["time"]
    told: list[np.ndarray] = []
    known = np.zeros((hours, *grid.shape), bool)
    for hour in range(hours):
        maps = [_latent(on_grid(rain[hour], grid), grid, score) for rain in backgrounds]
        known[hour] = np.isfinite(maps).any(0)
        told.append(_described(_filled(maps), grid, score.dry))
        yield None
    plain = np.stack([each[: len(backgrounds)].mean(0) for each in told])
    if reports is None or (features := _features(told, known, grid, reports)) is None:
        # of a map of variance one that misses so much, the root of the rest is expected
        usual = math.sqrt(1 - USUAL.variance) * plain * known
        yield Foretold(usual, known[:, None].astype(np.float32), (USUAL,), plain)
        return
    centre, spread = (of(features[np.isfinite(features).all(-1)], 0) for of in (np.mean, np.std))
    normal = Tobit.of((features - centre) / (spread + 1e-6), reports)
    fields = np.stack(
        [normal.expected((np.moveaxis(each, 0, -1) - centre) / (spread + 1e-6)) for each in told]
    )
    weights, laws = known[:, None].astype(np.float32), normal.laws(reports)
    wet = wetness(fields, score)
    weights = np.stack([1 - wet, wet], 1) * weights
    yield Foretold((fields * known).astype(np.float32), weights.astype(np.float32), laws, plain)


def wetness(expected: np.ndarray, score: NormalScore) -> np.ndarray:
    """How much of the law is that of wet, 0..1."""
    low, high = score.forward(torch.tensor([DRY, WET])).tolist()
    return np.clip((expected - low) / (high - low), 0, 1)


@dataclass(frozen=True)
class Tobit:
    """The regression of reports, of which dry ones are only known to be below the score of no rain."""

    weights: np.ndarray
    mean: float
    missed: np.ndarray  # (site, time): report less what was expected, for a dry one on average
    unsure: np.ndarray  # variance of the latter
    wet: np.ndarray  # how much of the law is that of wet

    @classmethod
    def of(cls, features: np.ndarray, reports: Reports) -> Tobit:
        """From features (site, time, feature) of mean nought and variance one."""
        rows = np.isfinite(reports.latent) & np.isfinite(features).all(-1)
        features, dry, value = features[rows], reports.dry[rows], reports.latent[rows]
        square = features.T @ features / len(features) + RIDGE * np.eye(features.shape[1])
        filled, unsure = np.where(dry, value - 1.0, value), np.zeros_like(value)
        mean, weights, expected, wet = 0.0, np.zeros(0), value, np.zeros_like(value)
        for _ in range(ROUNDS):
            mean = float(filled.mean())
            weights = np.linalg.solve(square, features.T @ (filled - mean) / len(features))
            expected = mean + features @ weights
            wet = wetness(expected, reports.score)
            deviation = np.sqrt(_mixed(_variances((filled - expected) ** 2 + unsure, wet), wet))
            a = (value - expected) / deviation
            ratio = mills(a)
            filled = np.where(dry, expected - deviation * ratio, value)
            unsure = np.where(dry, deviation**2 * (1 - ratio * (a + ratio)), 0.0)
        placed = []
        for each in (filled - expected, unsure, wet):
            placed.append(np.full(rows.shape, np.nan))
            placed[-1][rows] = each
        return cls(weights, mean, *placed)

    def expected(self, features: np.ndarray) -> np.ndarray:
        """From features along the last axis."""
        return self.mean + features @ self.weights

    def laws(self, reports: Reports) -> tuple[Climate, ...]:
        """Of what is missed where it is dry and where it is wet. They differ in variance; over a distance
        both go together alike."""
        known = np.isfinite(self.missed)
        variances = _variances((self.missed**2 + self.unsure)[known], self.wet[known])
        deviation = np.sqrt(_mixed(variances, self.wet))
        unit = np.clip(self.missed / deviation, -FAR_OFF, FAR_OFF)
        wet = np.where(reports.dry, np.nan, unit)
        unit = wet if np.isfinite(wet).sum() >= FEWEST_OF_A_SIDE else unit
        shapes = [
            Climate(0.0, (near, far), (1 - share, share))
            for near, far, share in itertools.product(NEAR_KM, FAR_KM, FAR_SHARE)
        ]
        shape = common(unit, reports.away, shapes, OWN)
        return tuple(shape.scaled(each) for each in variances)


def _variances(squares: np.ndarray, wet: np.ndarray) -> np.ndarray:
    """Of dry and of wet, from squares of what was missed where so much of the law is that of wet: least
    squares, each weighed by what it should be, and a spike of a gauge cut."""
    variances = np.full(2, squares.mean() + LEAST)
    if min(wet.sum(), (1 - wet).sum()) < FEWEST_OF_A_SIDE:
        return variances
    for _ in range(ROUNDS):
        scale = _mixed(variances, wet)
        sides = np.stack([1 - wet, wet], 1) / scale[:, None]
        variances = nnls(sides, np.minimum(squares / scale, FAR_OFF**2))[0] + LEAST
    return variances


def _mixed(variances: np.ndarray, wet: np.ndarray) -> np.ndarray:
    return variances[0] + (variances[1] - variances[0]) * wet


def _latent(rain: np.ndarray, grid: Grid, score: NormalScore) -> np.ndarray:
    told = signed(rain, Torus(grid, 0.0).cell_km)
    return np.where(np.isnan(told), np.nan, score.forward(torch.from_numpy(np.nan_to_num(told))).numpy())


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


def _described(maps: list[np.ndarray], grid: Grid, dry: float) -> np.ndarray:
    """(features, rows, columns): the maps themselves first; how much of that is rain, for amounts and
    distances are not of one scale; and their surroundings."""
    north, east = Torus(grid, 0.0).cell_km
    wider = [
        ndimage.gaussian_filter(each, (km / north, km / east), truncate=3)
        for km in AROUND_KM
        for each in maps
    ]
    rain = [np.maximum(each - dry, 0) for each in maps]
    return np.stack([*maps, *rain, *wider]).astype(np.float32)


def _features(told: list[np.ndarray], known: np.ndarray, grid: Grid, reports: Reports) -> np.ndarray | None:
    """(site, time, feature) where a map speaks, else missing; None if too few reports meet a map."""
    lat, lon = reports.gauges.lat, reports.gauges.lon
    read = np.stack([np.stack([at_places(each, grid, lat, lon) for each in hour], -1) for hour in told], 1)
    speaks = np.stack([at_places(each * 1.0, grid, lat, lon) for each in known], 1) > 0.99
    read = np.where(speaks[..., None], read, np.nan)
    met = np.isfinite(reports.latent) & np.isfinite(read).all(-1)
    return read if met.sum() >= FEWEST else None
