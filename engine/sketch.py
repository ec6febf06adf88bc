"""A sketch of a field: what a Gaussian makes of everything that was seen, mean and spread of each cell.

A network that has learned what rain looks like must be told what was seen of this hour, and evidence comes in
many kinds: gauges here and there, maps that are wrong in their own ways, nothing at all. Whatever it is, the
Gaussian with the prior's climate has an answer in closed form. The mean and standard deviation of that answer
are two fields of one shape, for any evidence; a network trained with sketches of all kinds
(`scripts/training/sketches.py`) says what fields there may be under one. Without evidence the sketch is the
climate itself, nought and one everywhere, and the network an unconditional prior.

*Readings* are gauges on the latent side, at their exact places (`engine.readings`).

A *backdrop* is what maps foretell: the field's mean is ``expected``, and what they miss is of one or several
laws, each with its part of the map. With weights w that sum to one, a field's covariance is the sum of
sqrt(w) F sqrt(w) over the laws' F, a covariance again, and each law is stationary where its weight is one.
Where they do not sum to one, in a gap, the rest is the climate's. Readings then tell of what was missed: this
is kriging with the maps as drift.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.linalg import cholesky, solve_triangular
from torch import Tensor, nn

from engine.denoise import Gaussian, Level, Levels, Waves, level
from engine.observe import Gather
from engine.readings import FAINT, Readings, weighed

GAP = 1e-6  # of the weights, more than rounding
AT_ONCE = 2**24  # covariances of readings with cells that are held at a time


@dataclass(frozen=True)
class Backdrop:
    """What maps foretell of the whole field."""

    expected: Tensor  # (rows, columns)
    weights: Tensor  # (laws, rows, columns)
    missed: Tensor  # (laws, ...): eigenvalues in the climate's basis


@dataclass(frozen=True)
class Sketch:
    """Mean and standard deviation of each cell, or at each place."""

    mean: Tensor
    spread: Tensor

    @classmethod
    def nothing(cls, shape: tuple[int, ...]) -> Sketch:
        """Of no evidence."""
        return cls(torch.zeros(shape), torch.ones(shape))


class Sketched(nn.Module):
    """A network with the scaling of EDM about a sketch of the field.

    Were every cell N(m, s^2) by itself, E[x | x_t] would be (s^2 x_t + sigma^2 m) / (s^2 + sigma^2), with
    the standard deviation c = sigma s / sqrt(s^2 + sigma^2). The network says what is lacking, in units of
    c: D = plain + c F. Without evidence, with m = 0 and s = 1, this is the scaling of EDM. A cell that was
    read is sure from the start, and the network need not learn to copy.
    """

    def __init__(self, network: Callable[..., Tensor]) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, sigma: Level, sketch: Sketch, *condition: Any) -> Tensor:
        # One level for all stays one: told once, a network says the same whatever the number of members.
        sigma = level(sigma, x).reshape(-1, *(1,) * (x.ndim - 1))
        mean, spread = sketch.mean, sketch.spread
        total = spread**2 + sigma**2
        plain = (spread**2 * x + sigma**2 * mean) / total
        told = torch.stack([each.expand_as(x) for each in (mean, spread.log() / 2, plain)], 1)
        said = self.network(x / (1 + sigma**2).sqrt(), sigma.flatten().log() / 4, told, *condition)
        return plain + sigma * spread / total.sqrt() * said

    def loss(
        self,
        x: Tensor,
        sketch: Sketch,
        generator: torch.Generator,
        *condition: Any,
        levels: Levels,
        known: Tensor,
    ) -> Tensor:
        """Mean of |D(x_t) - x|^2 / c^2 where x is known, over noise levels."""
        sigma = level(levels(len(x), generator).to(x.device), x)
        noised = x + sigma * torch.randn(x.shape, generator=generator).to(x.device)
        weight = 1 / sketch.spread**2 + 1 / sigma**2
        missed = weight * (self(noised, sigma.flatten(), sketch, *condition) - x) ** 2
        return (missed * known).sum() / known.sum()


@dataclass(frozen=True)
class Laws:
    """A Gaussian before any reading: its mean, and its covariance as parts of a stationary kind."""

    mean: np.ndarray
    roots: Sequence[np.ndarray]  # of the weight of each part
    lags: Sequence[np.ndarray]  # covariance by the difference of cells, from -(rows - 1) to rows - 1

    @classmethod
    def of(cls, climate: Gaussian, backdrop: Backdrop | None) -> Laws:
        assert isinstance(climate.basis, Waves)
        mean, values = climate.mean.numpy(), climate.basis.values
        if backdrop is None:
            return cls(mean, [np.ones_like(mean)], [_lags(values, mean.shape)])
        weights, laws = [*backdrop.weights.numpy()], [*backdrop.missed]
        if (rest := (1 - backdrop.weights.sum(0).numpy()).clip(0)).max() > GAP:
            weights, laws = [*weights, rest], [*laws, values]
        roots = [np.sqrt(each) for each in weights]
        return cls(backdrop.expected.numpy(), roots, [_lags(each, mean.shape) for each in laws])

    @property
    def variance(self) -> np.ndarray:
        rows, columns = self.mean.shape
        pairs = zip(self.roots, self.lags, strict=True)
        return np.sum([root**2 * lag[rows - 1, columns - 1] for root, lag in pairs], 0)

    def among(self, place: Gather) -> np.ndarray:
        """(readings, readings)"""
        rows, columns = self.mean.shape
        row, column = (each.numpy() for each in (place.index // columns, place.index % columns))
        found = np.zeros((len(row), len(row)))
        for root, lag in zip(self.roots, self.lags, strict=True):
            weight = place.weight.numpy() * root[row, column]
            for one, other in itertools.product(range(row.shape[1]), repeat=2):
                north = row[:, None, one] - row[None, :, other] + rows - 1
                east = column[:, None, one] - column[None, :, other] + columns - 1
                found += weight[:, None, one] * weight[None, :, other] * lag[north, east]
        return found

    def with_rows(self, place: Gather, first: int, last: int) -> np.ndarray:
        """(readings, cells): each with the cells of some rows of the field."""
        rows, columns = self.mean.shape
        found = np.zeros((len(place.index), last - first, columns), np.float32)
        index, weight = place.index.numpy(), place.weight.numpy()
        for root, lag in zip(self.roots, self.lags, strict=True):
            for number, (cells, weights) in enumerate(zip(index, weight, strict=True)):
                for cell, share in zip(cells, weights * root.flat[cells], strict=True):
                    row, column = divmod(int(cell), columns)
                    north, east = rows - 1 - row, columns - 1 - column
                    seen = lag[north + first : north + last, east : east + columns]
                    found[number] += np.float32(share) * root[first:last] * seen
        return found.reshape(len(found), -1)


def _lags(values: Tensor, shape: tuple[int, ...]) -> np.ndarray:
    table = torch.fft.ifft2(values.double()).real.numpy()
    rows, columns = (np.arange(1 - size, size) for size in shape)
    return table[np.ix_(rows, columns)].astype(np.float32)


def sketch(climate: Gaussian, readings: Readings | None = None, backdrop: Backdrop | None = None) -> Sketch:
    laws = Laws.of(climate, backdrop)
    mean, variance = laws.mean, laws.variance
    if readings is not None and len(readings):
        change, told = _conditioned(laws, readings)
        mean, variance = mean + change, variance - told
    spread = np.sqrt(np.maximum(variance, FAINT * laws.variance))
    return Sketch(*(torch.from_numpy(each.astype(np.float32)) for each in (mean, spread)))


def _conditioned(laws: Laws, readings: Readings) -> tuple[np.ndarray, np.ndarray]:
    """By how much the readings move the mean, and how much of the variance they take."""
    inside = laws.among(readings.place)
    inside[np.diag_indices_from(inside)] += FAINT * inside.diagonal()
    expected = _read(laws.mean, readings.place)
    sites = weighed(inside, expected, readings)
    root = cholesky(inside + np.diag(sites.variance), lower=True)
    off = solve_triangular(root, sites.value - expected, lower=True).astype(np.float32)
    single, change, told = root.astype(np.float32), np.empty_like(laws.mean), np.empty_like(laws.mean)
    rows, columns = laws.mean.shape
    step = max(1, AT_ONCE // (len(off) * columns))
    for first in range(0, rows, step):
        last = min(rows, first + step)
        seen = solve_triangular(single, laws.with_rows(readings.place, first, last), lower=True)
        change[first:last] = (off @ seen).reshape(-1, columns)
        told[first:last] = (seen**2).sum(0).reshape(-1, columns)
    return change, told


def _read(field: np.ndarray, place: Gather) -> np.ndarray:
    return (field.ravel()[place.index.numpy()] * place.weight.numpy()).sum(-1).astype(float)
