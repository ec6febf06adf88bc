"""Denoisers: a prior as the answer to one question.

A `Denoiser` maps a noised field x_t = x + sigma eps and its sigma to E[x | x_t]. By Tweedie's formula the
score of the noised prior is (E[x | x_t] - x_t) / sigma^2, so a denoiser is all that a sampler needs, and
whatever answers the question is a prior: a formula, a network, two stages, windows of a longer film,
tiles of a larger map, or a prior that has seen evidence (`engine.guide`). The sampler cannot tell.

Fields are (members, ..., rows, columns); sigma is a number or has a leading axis of members.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.noise import log_normal, variance_preserving
from engine.observe import Gather

Level = Tensor | float
Levels = Callable[[int, torch.Generator], Tensor]  # that many noise levels to train at


class Denoiser(ABC):
    """E[x | x_t]."""

    @abstractmethod
    def __call__(self, x: Tensor, sigma: Level) -> Tensor: ...


def level(sigma: Level, x: Tensor) -> Tensor:
    """sigma, shaped to multiply x."""
    sigma = torch.as_tensor(sigma, dtype=x.dtype, device=x.device)
    return sigma.reshape(sigma.shape + (1,) * (x.ndim - sigma.ndim)) if sigma.ndim else sigma


class Basis(ABC):
    """A symmetric matrix by its eigenvectors: functions of it cost a change of basis there and back."""

    values: Tensor  # the eigenvalues, in the shape that they multiply

    @abstractmethod
    def apply(self, x: Tensor, gain: Tensor) -> Tensor:
        """Multiply x by the matrix that has these eigenvalues instead."""

    def noise(self, shape: torch.Size) -> tuple[int, ...]:
        """The shape of the white noise that makes a field of this shape."""
        return tuple(shape)


@dataclass(frozen=True)
class Waves(Basis):
    """A stationary covariance on a torus: its eigenvectors are waves, its eigenvalues a power spectrum.

    A field may be the corner of a larger torus, so that its opposite edges do not feel each other. It is
    filled up with zeros and cut out again; functions of the matrix are then those of the torus.
    """

    values: Tensor  # (rows, columns), in the order of fft2: the variance of a field is their mean

    def apply(self, x: Tensor, gain: Tensor) -> Tensor:
        # The transform of real fields would be faster, but rounds one field otherwise than several.
        rows, columns = x.shape[-2:]
        whole = torch.fft.ifft2(torch.fft.fft2(x, gain.shape[-2:]) * gain).real
        return whole[..., :rows, :columns].to(x.dtype)

    def noise(self, shape: torch.Size) -> tuple[int, ...]:
        return (*shape[:-2], *self.values.shape)

    def between(self, read: Gather, gain: Tensor) -> Tensor:
        """A C A' for readings of a few cells each: the covariance is looked up by the difference of cells."""
        table = torch.fft.ifft2(gain.double()).real
        row, column = read.index // read.shape[1], read.index % read.shape[1]
        found = table.new_zeros(len(row), len(row))
        weight = read.weight.to(table)
        for one, other in itertools.product(range(row.shape[1]), repeat=2):
            north = (row[:, None, one] - row[None, :, other]) % table.shape[0]
            east = (column[:, None, one] - column[None, :, other]) % table.shape[1]
            found += weight[:, None, one] * weight[None, :, other] * table[north, east]
        return found


@dataclass(frozen=True)
class Dense(Basis):
    """Any covariance of a field that is small enough for a matrix."""

    values: Tensor  # (n,)
    vectors: Tensor  # (n, n), a column each

    @classmethod
    def of(cls, covariance: Tensor) -> Dense:
        values, vectors = torch.linalg.eigh(covariance)
        return cls(values.clamp(min=0), vectors)

    def apply(self, x: Tensor, gain: Tensor) -> Tensor:
        flat = x.reshape(*x.shape[: -self._axes(x)], -1)
        return ((flat @ self.vectors) * gain @ self.vectors.T).reshape(x.shape)

    def _axes(self, x: Tensor) -> int:
        size, axes = 1, 0
        while size < len(self.values):
            axes += 1
            size *= x.shape[-axes]
        return axes


@dataclass(frozen=True)
class Gaussian(Denoiser):
    """The exact denoiser of a Gaussian prior: mu + C (C + sigma^2)^-1 (x_t - mu)."""

    mean: Tensor
    basis: Basis

    def __call__(self, x: Tensor, sigma: Level) -> Tensor:
        noise = level(sigma, x) ** 2
        gain = self.basis.values / (self.basis.values + noise)
        return self.mean + self.basis.apply(x - self.mean, gain)

    def draw(self, white: Tensor, sigma: float = 0.0) -> Tensor:
        """Fields of the prior, noised to level sigma, from white noise of the shape that the basis wants."""
        return self.mean + self.shaped(white, self.basis.values + sigma**2)

    def shaped(self, white: Tensor, values: Tensor) -> Tensor:
        """Fields of mean zero whose covariance has these eigenvalues."""
        drawn = self.basis.apply(white, values.sqrt())
        return drawn[..., *(slice(size) for size in self.mean.shape)]

    def conditioned(self, matrix: Tensor, covariance: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and covariance (of the flat field) given y = H x + e; ``matrix`` is H over the flat field.

        K = C H' (H C H' + R)^-1, mean mu + K (y - H mu), covariance C - K H C.
        """
        eye = torch.eye(matrix.shape[1], dtype=matrix.dtype).reshape(-1, *self.mean.shape)
        prior = self.basis.apply(eye, self.basis.values.expand_as(eye[0])).reshape(len(eye), -1)
        crossed = prior @ matrix.T
        solve = torch.linalg.solve(matrix @ crossed + covariance, crossed.T).T
        mean = self.mean.flatten() + solve @ (observed - matrix @ self.mean.flatten())
        return mean.reshape(self.mean.shape), prior - solve @ crossed.T

    def posterior(self, matrix: Tensor, covariance: Tensor, observed: Tensor) -> Gaussian:
        """What the prior becomes with y = H x + e, in closed form."""
        mean, rest = self.conditioned(matrix, covariance, observed)
        return Gaussian(mean, Dense.of(rest))


class Karras(Denoiser, nn.Module):
    """A network with the scaling of EDM: what it sees and what it has to say are of variance one.

    D = c_skip x_t + c_out F(c_in x_t, c_noise), and a loss whose weight makes every noise level count
    alike; ``spread`` is the standard deviation of the fields.
    """

    def __init__(self, network: Callable[..., Tensor], spread: float = 1.0) -> None:
        nn.Module.__init__(self)
        self.network, self.spread = network, spread

    def __call__(self, x: Tensor, sigma: Level, *condition: Any) -> Tensor:
        # One level for all stays one: told once, a network says the same whatever the number of members.
        sigma = level(sigma, x).reshape(-1, *(1,) * (x.ndim - 1))
        total = (sigma**2 + self.spread**2).sqrt()
        skip, out = (self.spread / total) ** 2, sigma * self.spread / total
        return skip * x + out * self.network(x / total, sigma.flatten().log() / 4, *condition)

    def loss(
        self,
        x: Tensor,
        generator: torch.Generator,
        *condition: Any,
        levels: Levels = log_normal,
        known: Tensor | None = None,
    ) -> Tensor:
        """Mean over noise levels of (sigma^2 + s^2) / (sigma s)^2 |D(x_t) - x|^2, where x is known."""
        sigma = level(levels(len(x), generator).to(x.device), x)
        noised = x + sigma * torch.randn(x.shape, generator=generator).to(x.device)
        weight = (sigma**2 + self.spread**2) / (sigma * self.spread) ** 2
        missed = weight * (self(noised, sigma.flatten(), *condition) - x) ** 2
        return missed.mean() if known is None else (missed * known).sum() / known.sum()


@dataclass(frozen=True)
class VariancePreserving(Denoiser):
    """A network that was trained on alpha x + s eps, here as a denoiser of x + sigma eps.

    It says eps, or the velocity v = alpha eps - s x; then x = (z - s eps) / alpha, or alpha z - s v.
    """

    network: Callable[[Tensor, Tensor], Tensor]
    says: str = "velocity"  # or "noise"

    def __call__(self, x: Tensor, sigma: Level) -> Tensor:
        alpha, noise = variance_preserving(level(sigma, x))
        said = self.network(alpha * x, torch.as_tensor(sigma, dtype=x.dtype, device=x.device))
        return alpha * alpha * x - noise * said if self.says == "velocity" else x - noise / alpha * said


@dataclass(frozen=True)
class Residual(Denoiser):
    """A first guess and a prior of what it misses: x = guess + residual, one and the same noise."""

    guess: Tensor
    prior: Denoiser

    def __call__(self, x: Tensor, sigma: Level) -> Tensor:
        return self.guess + self.prior(x - self.guess, sigma)


@dataclass(frozen=True)
class Folded(Denoiser):
    """A prior of small fields as a prior of large ones, folded along one axis.

    The large field is covered by windows of ``size``, a ``stride`` apart, the last one flush with the end,
    and each is denoised by itself. Halfway through their overlap two neighbours hand over to each other,
    within ``fade`` cells: a window is believed where it knows its surroundings, and only the first and the
    last one up to their edges. A window's weight is one rise minus the next, so the weights sum to one
    everywhere and no seam is left. Windows go through the prior ``batch`` at a time: memory is bounded.
    """

    prior: Denoiser
    axis: int  # negative, from the end
    size: int
    stride: int
    fade: int = 0
    batch: int = 8

    def __call__(self, x: Tensor, sigma: Level) -> Tensor:
        length = x.shape[self.axis]
        if length <= self.size:
            return self.prior(x, sigma)
        starts = [*range(0, length - self.size, self.stride), length - self.size]
        weights = self._weights(starts, length).to(x)
        whole, noise = torch.zeros_like(x), torch.as_tensor(sigma, dtype=x.dtype, device=x.device)
        for first in range(0, len(starts), self.batch):
            part = range(first, min(first + self.batch, len(starts)))
            windows = torch.cat([x.narrow(self.axis, starts[each], self.size) for each in part])
            answers = self.prior(windows, noise.repeat(len(part)) if noise.ndim else noise)
            for each, answer in zip(part, answers.chunk(len(part)), strict=True):
                kept = weights[each].nonzero().flatten()
                low, count = int(kept[0]), len(kept)
                weight = weights[each, kept].reshape(-1, *(1,) * (-self.axis - 1))
                piece = answer.narrow(self.axis, low - starts[each], count) * weight
                whole.narrow(self.axis, low, count).add_(piece)
        return whole

    def _weights(self, starts: list[int], length: int) -> Tensor:
        """(windows, length): sin^2 rises of width ``fade`` about the middle of each overlap."""
        middle = torch.arange(length, dtype=torch.float64) + 0.5
        rises = [torch.ones(length, dtype=torch.float64)]
        for left, right in itertools.pairwise(starts):
            way = (middle - (left + self.size + right) / 2) / max(self.fade, 1e-6)
            rises.append(torch.sin(torch.pi / 2 * (way + 0.5).clamp(0, 1)) ** 2)
        return torch.stack(rises) - torch.stack([*rises[1:], torch.zeros_like(rises[0])])


def windowed(prior: Denoiser, hours: int, axis: int = -3, batch: int = 8) -> Denoiser:
    """A film of any length from a prior of ``hours``: each hour from the window that it is the middle of."""
    return Folded(prior, axis, hours, stride=1, batch=batch)


def tiled(prior: Denoiser, shape: tuple[int, int], size: int, overlap: int, batch: int = 8) -> Denoiser:
    """Maps of a shape from a prior of at most ``size`` cells a side: folded along columns, then along rows.

    Tiles are as small as their number allows, for what overlaps is computed twice.
    """
    counts = [max(1, math.ceil((length - overlap) / (size - overlap))) for length in shape]
    rows, columns = (
        math.ceil((length + (count - 1) * overlap) / count)
        for length, count in zip(shape, counts, strict=True)
    )
    inner = Folded(prior, -1, columns, columns - overlap, overlap // 2, batch)
    return Folded(inner, -2, rows, rows - overlap, overlap // 2, batch=1)
