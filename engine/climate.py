"""The climate of a prior: the mean of its fields, and how they go together over a distance.

What a Gaussian makes of the evidence is known in closed form: it is the sketch that a network paints over
(`engine.sketch`), and it stands for the prior where a network's own derivative is not to be had
(`engine.guide`). It is a stationary one: a covariance that falls with distance in km, a sum of exponentials
of fixed lengths with weights of at least zero. Such a sum is positive definite at every distance, has short
and long tails as the fields have them, and is fitted by non-negative least squares. In km it holds for a grid
of any extent, cells that are not square included.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy import fft
from scipy.linalg import solve_triangular
from scipy.optimize import nnls

from engine.covariance import Torus
from engine.denoise import Gaussian, Waves
from engine.fields import KM_PER_DEGREE, Grid

FAINT = 1e-6  # of the variance: no wave has less, so that one may divide by a spectrum
LENGTHS, CLASSES = 12, 40
MOST_SITES, MOST_HOURS = 250, 12  # that a law is fitted to
ALONE_KM = 1e-3  # the length of what no neighbour shares
MARGIN_KM = 3.0  # lengths that opposite edges are kept apart


@dataclass(frozen=True)
class Climate:
    """Covariance sum_i variances_i exp(-d / lengths_i) about a mean."""

    mean: float
    lengths: tuple[float, ...]  # km
    variances: tuple[float, ...]

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Climate:
        return cls(0.0, tuple(told["lengths"]), tuple(told["variances"]))

    @classmethod
    def of(cls, fields: np.ndarray, cell_km: tuple[float, float]) -> Climate:
        """Of fields (n, rows, columns), missing as NaN: products of all pairs of cells, by their distance."""
        known, shape = np.isfinite(fields), fields.shape[-2:]
        mean = float(fields[known].mean())
        torus = (2 * shape[0], 2 * shape[1])
        off, there = (
            np.asarray(fft.rfft2(each, torus)) for each in (np.where(known, fields - mean, 0.0), known * 1.0)
        )
        total, pairs = (np.asarray(fft.irfft2((np.abs(each) ** 2).sum(0), torus)) for each in (off, there))
        away = distances(torus, cell_km)
        inside = pairs > 0.5
        counted, found = pairs[inside], total[inside] / pairs[inside]
        return cls(mean, *fitted(away[inside], found, counted, min(cell_km), 0.7 * away.max() / 2))

    def scaled(self, variance: float, mean: float | None = None) -> Climate:
        """The same shape with another variance."""
        parts = np.array(self.variances) * variance / self.variance
        return replace(self, mean=self.mean if mean is None else mean, variances=tuple(parts.tolist()))

    def rougher(self, shares: Mapping[float, float]) -> Climate:
        """Shares of its variance go together over these lengths (km) only."""
        rest = 1 - sum(shares.values())
        variances = [
            *(share * self.variance for share in shares.values()),
            *(rest * v for v in self.variances),
        ]
        return Climate(self.mean, (*shares, *self.lengths), tuple(variances))

    @property
    def variance(self) -> float:
        return sum(self.variances)

    def covariance(self, away: np.ndarray) -> np.ndarray:
        parts = zip(self.lengths, self.variances, strict=True)
        return np.sum([variance * np.exp(-away / length) for length, variance in parts], 0)

    def torus(self, shape: tuple[int, int], cell_km: tuple[float, float]) -> tuple[int, int]:
        """Cells of a torus around a grid of this shape: at most twice as many a side."""
        middle = np.dot(self.lengths, self.variances) / self.variance
        sizes: list[int] = [
            fft.next_fast_len(size + min(size, int(np.ceil(MARGIN_KM * middle / cell)))) or size
            for size, cell in zip(shape, cell_km, strict=True)
        ]
        return sizes[0], sizes[1]

    def spectrum(self, torus: tuple[int, int], cell_km: tuple[float, float]) -> torch.Tensor:
        values = np.real(np.asarray(fft.fft2(self.covariance(distances(torus, cell_km)))))
        return torch.from_numpy(np.maximum(values, FAINT * self.variance)).float()

    def on(self, grid: Grid) -> Gaussian:
        """On a grid, in the corner of a torus."""
        cell_km = Torus(grid, 0.0).cell_km
        spectrum = self.spectrum(self.torus(grid.shape, cell_km), cell_km)
        return Gaussian(torch.full(grid.shape, self.mean), Waves(spectrum))


def fitted(
    away: np.ndarray, products: np.ndarray, pairs: np.ndarray, cell_km: float, farthest: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Lengths and variances, from the mean products of so many pairs at distances."""
    edges = np.r_[0, np.geomspace(cell_km / 2, farthest, CLASSES)]
    label = np.clip(np.digitize(away, edges) - 1, 0, CLASSES)
    sums = [
        np.bincount(label, each, CLASSES + 1)[:CLASSES] for each in (products * pairs, pairs, away * pairs)
    ]
    filled = sums[1] > 0
    covariance, middle = (each[filled] / sums[1][filled] for each in (sums[0], sums[2]))
    lengths = np.geomspace(cell_km / 4, 2 * edges[-1], LENGTHS)
    # A class counts by the root of its pairs, and the variance itself for much more.
    weight = np.sqrt(sums[1][filled] / sums[1].max())
    weight[0] = 10.0
    found, _ = nnls(np.exp(-middle[:, None] / lengths) * weight[:, None], covariance * weight)
    found[0] += 1e-6 * (found.sum() + 1e-3)  # nothing at all would have no spectrum
    kept = found > 0
    return tuple(lengths[kept].tolist()), tuple(found[kept].tolist())


def common(
    values: np.ndarray, away: np.ndarray, shapes: Iterable[Climate], nuggets: Sequence[float]
) -> Climate:
    """The likeliest law of values (site, time) about their mean, missing as NaN: of some shapes of variance
    one, and shares that two neighbours do not have in common.

    With K the correlation and n values, -2 log likelihood is log |K| + n log (y' K^-1 y), apart from
    constants, when the variance is y' K^-1 y / n. ``away`` are the distances of the sites; of many sites and
    hours as many are asked as tell enough.
    """
    sites = np.unique(np.linspace(0, len(away) - 1, MOST_SITES).astype(int))
    hours = np.argsort(-np.nansum(values[sites] ** 2, 0))[:MOST_HOURS]
    values, away = values[np.ix_(sites, hours)], away[np.ix_(sites, sites)]
    away = np.where(np.eye(len(away)) > 0, 0.0, np.maximum(away, 20 * ALONE_KM))  # two gauges at one place

    def unlikely(law: Climate) -> float:
        covariance, logs, square, count = law.covariance(away), 0.0, 0.0, 0
        for hour in values.T:
            there = np.isfinite(hour)
            root = np.linalg.cholesky(covariance[np.ix_(there, there)])
            white = solve_triangular(root, hour[there], lower=True)
            logs += 2 * float(np.log(np.diag(root)).sum())
            square, count = square + float(white @ white), count + len(white)
        return logs + count * np.log(max(square, 1e-12))

    pairs = itertools.product(shapes, nuggets)
    return min((shape.rougher({ALONE_KM: nugget}) for shape, nugget in pairs), key=unlikely)


def distances(torus: tuple[int, int], cell_km: tuple[float, float]) -> np.ndarray:
    """How far (km) each cell of a torus is from the first."""
    north, east = (
        np.minimum(np.arange(size), size - np.arange(size)) * cell
        for size, cell in zip(torus, cell_km, strict=True)
    )
    return np.hypot(north[:, None], east)


def apart(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Distances (km) between sites."""
    north, east = (each[:, None] - each for each in (lat, lon))
    return KM_PER_DEGREE * np.hypot(north, east * np.cos(np.radians(lat.mean())))
