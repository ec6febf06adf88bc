"""Exact samplers of posteriors that are not Gaussian, for guidance to be held against.

Each draws fields (members, rows, columns) by a way that shares no line with `engine.guide`:

* `censored` and `student`: Gibbs sampling among the few values at the gauges, then the field around them by
  conditional simulation (draw a field of the prior, krige what it misses there);
* `Mixture`: a prior of several Gaussians, whose denoiser and posterior are known in closed form;
* `through`: instruments that see a function of the field, by tempered sequential Monte Carlo.

`crps` and `energy_distance` say how far an ensemble is from what these draw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import log_ndtr, ndtri_exp
from torch import Tensor

from engine.denoise import Denoiser, Gaussian, Level, Waves, level
from engine.observe import Gather, Linear, Operator, cells

SWEEPS = 100  # of Gibbs sampling
POWERS, MOVES, WIDER = 20, 12, 2.0  # of tempered Monte Carlo


def gauged(truth: Tensor, share: float, noise: float, seed: int) -> tuple[Gather, Tensor, Tensor]:
    """Gauges in a share of the cells of a field, what they report, and a mask of the cells without one."""
    generator = torch.Generator().manual_seed(seed)
    there = torch.rand(truth.shape, generator=generator) < share
    gauges = cells(there.numpy())
    clean = gauges(truth[None])[0]
    return gauges, clean + noise * torch.randn(clean.shape, generator=generator, dtype=torch.float64), ~there


def crps(members: Tensor, truths: Tensor) -> float:
    """Fair, of members (m, n), averaged over truths (k, n): E|X - y| - E|X - X'| / 2."""
    apart = torch.cdist(members.T[..., None], truths.T[..., None], p=1).mean()
    within = torch.cdist(members.T[..., None], members.T[..., None], p=1).mean()
    return float(apart - within * len(members) / (len(members) - 1) / 2)


def energy_distance(first: Tensor, second: Tensor) -> float:
    """2E|X - Y| - E|X - X'| - E|Y - Y'| of fields, over the root of their number of cells."""
    first, second = first.flatten(1), second.flatten(1)

    def within(x: Tensor) -> Tensor:
        return torch.cdist(x, x).sum() / (len(x) * (len(x) - 1))

    distance = 2 * torch.cdist(first, second).mean() - within(first) - within(second)
    return float(distance) / math.sqrt(first.shape[1])


def dense(operator: Linear) -> Tensor:
    """An operator as a matrix (n, cells)."""
    eye = torch.eye(math.prod(operator.shape), dtype=torch.float64)
    return operator(eye.reshape(-1, *operator.shape)).T


def covariance(prior: Gaussian) -> Tensor:
    eye = torch.eye(prior.mean.numel(), dtype=torch.float64).reshape(-1, *prior.mean.shape)
    return prior.basis.apply(eye, prior.basis.values).reshape(len(eye), -1)


def around(prior: Gaussian, matrix: Tensor, error: Tensor, told: Tensor, seed: int) -> Tensor:
    """Fields given told = H x + e; what is told, and the variance of e, is (members, n)."""
    generator = torch.Generator().manual_seed(seed)
    fields = prior.draw(torch.randn(len(told), *prior.mean.shape, generator=generator, dtype=torch.float64))
    noise = torch.randn(told.shape, generator=generator, dtype=torch.float64) * error.sqrt()
    crossed = covariance(prior) @ matrix.T
    missed = told - fields.flatten(1) @ matrix.T - noise
    taken = torch.linalg.solve(matrix @ crossed + torch.diag_embed(error), missed)
    return fields + (taken @ crossed.T).reshape(fields.shape)


def censored(
    prior: Gaussian, matrix: Tensor, error: float, observed: Tensor, threshold: float, members: int, seed: int
) -> Tensor:
    """Gauges H x + e that are reported only where they exceed the threshold; the others are at most that.

    What the dry ones would have said, given the wet ones, is a normal vector cut off at the threshold: a
    coordinate given all others is a normal variable cut off there, drawn by its quantile.
    """
    random, size = np.random.default_rng(seed), len(observed)
    total = (matrix @ covariance(prior) @ matrix.T + error**2 * torch.eye(size, dtype=torch.float64)).numpy()
    mean, told = (matrix @ prior.mean.flatten()).numpy(), np.tile(observed.double().numpy(), (members, 1))
    dry = np.flatnonzero(told[0] <= threshold)
    precision = np.linalg.inv(total)
    told[:, dry] = threshold
    for _ in range(SWEEPS):
        for site in dry:
            spread = precision[site, site] ** -0.5
            centre = told[:, site] - (told - mean) @ precision[site] * spread**2
            below = log_ndtr((threshold - centre) / spread)
            told[:, site] = centre + spread * ndtri_exp(below + np.log(random.uniform(size=members)))
    values = torch.from_numpy(told)
    return around(prior, matrix, torch.full_like(values, error**2), values, seed)


def student(
    prior: Gaussian, matrix: Tensor, error: float, freedom: float, observed: Tensor, members: int, seed: int
) -> Tensor:
    """Gauges whose errors are Student's t: normal, with a precision that is itself drawn for each gauge.

    By turns the values at the gauges given the precisions (normal), and the precisions given the values:
    gamma of shape (nu + 1) / 2 and rate (nu + misfit^2 / error^2) / 2.
    """
    generator = torch.Generator().manual_seed(seed)
    prior_there = matrix @ covariance(prior) @ matrix.T
    root = torch.linalg.cholesky(prior_there + 1e-9 * torch.eye(len(observed), dtype=torch.float64))
    mean = matrix @ prior.mean.flatten()
    width = torch.full((members, len(observed)), error**2, dtype=torch.float64)
    shape = torch.full_like(width, (freedom + 1) / 2)
    for _ in range(SWEEPS):
        white = torch.randn(2, members, len(observed), generator=generator, dtype=torch.float64)
        there = mean + white[0] @ root.T
        missed = observed - there - white[1] * width.sqrt()
        values = there + torch.linalg.solve(prior_there + torch.diag_embed(width), missed) @ prior_there
        rate = (freedom + ((observed - values) / error) ** 2) / 2
        width = error**2 * rate / torch._standard_gamma(shape, generator=generator)
    return around(prior, matrix, width, observed.expand_as(width), seed)


@dataclass(frozen=True)
class Mixture(Denoiser):
    """One of several Gaussians, of these shares: dry days and wet days."""

    parts: Sequence[Gaussian]
    shares: Tensor

    def __call__(self, x: Tensor, sigma: Level) -> Tensor:
        told = torch.stack([part(x, sigma) for part in self.parts])
        blame = torch.stack([_log_density(part, x, level(sigma, x)) for part in self.parts])
        blame = torch.softmax(blame + self.shares.log()[:, None], 0)
        return (blame[..., None, None] * told).sum(0)

    @property
    def climate(self) -> Gaussian:
        """The Gaussian of the same mean and spectrum, where the means are constants."""
        weighed = list(zip(self.shares, self.parts, strict=True))
        mean = torch.stack([share * part.mean for share, part in weighed]).sum(0)
        apart = [torch.fft.fft2(part.mean - mean, norm="ortho").abs() ** 2 for part in self.parts]
        power = [share * (part.basis.values + far) for (share, part), far in zip(weighed, apart, strict=True)]
        return Gaussian(mean, Waves(torch.stack(power).sum(0)))

    def draw(self, members: int, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        which = torch.multinomial(self.shares, members, True, generator=generator).tolist()
        white = torch.randn(members, *self.parts[0].mean.shape, generator=generator, dtype=torch.float64)
        return torch.stack([self.parts[part].draw(each) for part, each in zip(which, white, strict=True)])

    def posterior(self, matrix: Tensor, error: float, observed: Tensor) -> Mixture:
        """Each part's own posterior, weighed by how well it foretold what was observed."""
        noise = error**2 * torch.eye(len(observed), dtype=torch.float64)
        foretold = []
        for part in self.parts:
            spread = matrix @ covariance(part) @ matrix.T + noise
            law = torch.distributions.MultivariateNormal(matrix @ part.mean.flatten(), spread)
            foretold.append(law.log_prob(observed))
        shares = torch.softmax(self.shares.log() + torch.stack(foretold), 0)
        return Mixture([part.posterior(matrix, noise, observed) for part in self.parts], shares)


def _log_density(part: Gaussian, x: Tensor, sigma: Tensor) -> Tensor:
    """Of noised fields, but for a constant: independent waves of variance S + sigma^2."""
    power = torch.fft.fft2(x - part.mean, norm="ortho").abs() ** 2
    total = part.basis.values + sigma**2
    return -0.5 * (power / total + total.log()).sum((-2, -1))


def through(
    prior: Gaussian, operator: Operator, error: float, observed: Tensor, members: int, seed: int
) -> Tensor:
    """Instruments that see a function of the field, by tempered sequential Monte Carlo.

    About the most likely field the posterior is nearly the normal one of the operator's derivative H there.
    Members are drawn from a wider one, of twice the error, and led to the posterior: the ratio of the two
    likelihoods, y ~ A x over y ~ A m + H (x - m), enters in small powers, by which members are drawn again
    and moved by random walks, short and long by turns, that would leave the normal one as it is.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = error**2 * torch.eye(len(observed), dtype=torch.float64)
    centre = prior.mean
    for _ in range(60):
        seen, matrix = operator(centre[None])[0], dense(operator.linear(centre[None]))
        near = prior.posterior(matrix, noise, observed - seen + matrix @ centre.flatten())
        centre = (centre + near.mean) / 2
    near = prior.posterior(matrix, WIDER**2 * noise, observed - seen + matrix @ centre.flatten())

    def ratio(x: Tensor) -> Tensor:
        straight = (observed - seen - (x - centre).flatten(1) @ matrix.T) / WIDER
        return (straight.square() - (observed - operator(x)).square()).sum(1) / (2 * error**2)

    def walk() -> Tensor:
        white = torch.randn(members, *centre.shape, generator=generator, dtype=torch.float64)
        return near.draw(white) - near.mean

    fields = near.mean + walk()
    for power in torch.linspace(0, 1, POWERS + 1, dtype=torch.float64).tolist()[1:]:
        told = ratio(fields)
        chosen = torch.multinomial(torch.softmax(told / POWERS, 0), members, True, generator=generator)
        fields, told = fields[chosen], told[chosen]
        for turn in range(MOVES):
            stride = 0.5 ** (1 + turn % 4)
            moved = near.mean + math.sqrt(1 - stride**2) * (fields - near.mean) + stride * walk()
            fresh = ratio(moved)
            chance = torch.rand(members, generator=generator, dtype=torch.float64)
            taken = chance.log() < power * (fresh - told)
            fields, told = torch.where(taken[:, None, None], moved, fields), torch.where(taken, fresh, told)
    return fields
