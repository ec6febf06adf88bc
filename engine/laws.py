"""Laws: how far an observation may lie from the truth.

A `Law` says how far an observation may lie from what its operator makes of the truth. Given what is
predicted, and how uncertain the prediction is, it answers with a *site*: a target and a variance, the
Gaussian observation that stands in for it at this place. For Gaussian errors these are y and s^2. Where
errors grow with the amount, s follows the prediction. A gauge that may be stuck (Student-t) gets a wider s
the less it fits. A dry gauge says only "at most the tipping threshold": its site has the mean and variance
that truncation gives the prediction, divided by the prediction again, as in expectation propagation.
Neighbours know of each other: a site is settled by what all other observations foretell of it, so a row of
dry gauges is not dried over and over, and a stuck gauge is found out by those around it (`settled`).

The errors of a gridded source go together from cell to cell: ten of its cells say less than ten gauges. A
law may therefore hold the correlation of its errors, and R is a matrix then (`Errors`).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from engine.fields import KM_PER_DEGREE
from engine.values import Invalid


@dataclass(frozen=True)
class Errors:
    """R, the covariance of the errors: of each member its variances, and the correlation that all share."""

    variance: Tensor  # (members, n)
    alike: Tensor | None = None  # (n, n); None where errors are independent

    def __call__(self, w: Tensor) -> Tensor:
        if self.alike is None:
            return self.variance * w
        spread = self.variance.sqrt()
        return spread * each(self.alike, spread * w)

    def matrix(self, member: int) -> Tensor:
        variance = self.variance[member].double()
        if self.alike is None:
            return variance.diag()
        spread = variance.sqrt()
        return spread[:, None] * self.alike.to(spread) * spread

    def draw(self, white: Tensor) -> Tensor:
        if self.alike is not None:
            white = each(torch.linalg.cholesky(self.alike.double()), white)
        return self.variance.sqrt() * white


def each(matrix: Tensor, vectors: Tensor) -> Tensor:
    """The matrix times each vector (members, n), one by one: a product of many vectors at once is rounded
    otherwise for 4 of them than for 32, and a member's last bits would depend on its company."""
    matrix = matrix.to(vectors.device, torch.float64)
    return torch.stack([matrix.mv(vector) for vector in vectors.double()]).to(vectors)


def fading(lat, lon, length: float, share: float = 1.0) -> Tensor:
    """The correlation of errors that fades with distance, ``share`` exp(-d / ``length`` km), at some places;
    the rest of each error is its own."""
    lat, lon = (torch.as_tensor(place, dtype=torch.float64) for place in (lat, lon))
    north = lat[:, None] - lat
    east = (lon[:, None] - lon) * torch.cos(torch.deg2rad(lat.mean()))
    away = KM_PER_DEGREE * torch.hypot(north, east)
    return share * torch.exp(-away / length) + (1 - share) * torch.eye(len(lat), dtype=torch.float64)


class Law(ABC):
    """The errors of some observations, and the observations themselves (n,)."""

    observed: Tensor
    alike: Tensor | None = None

    def __post_init__(self) -> None:
        if missing := int(self.observed.isnan().sum()):
            raise Invalid(f"evidence: {missing} of {len(self.observed)} values are missing; leave them out")

    @property
    def steady(self) -> bool:
        """Whether target and variance are the same for every prediction."""
        return False

    @abstractmethod
    def site(self, predicted: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """Target and variance (members, n), where the prediction is uncertain by ``variance``."""


@dataclass(frozen=True)
class Normal(Law):
    """Errors of standard deviation ``error``, and of ``share`` of the amount that is predicted.

    ``alike`` is their correlation (n, n), where they are not independent.
    """

    observed: Tensor
    error: float | Tensor
    share: float = 0.0
    alike: Tensor | None = None

    @property
    def steady(self) -> bool:
        return self.share == 0

    def site(self, predicted: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        spread = torch.as_tensor(self.error).to(predicted) ** 2 + (self.share * predicted.clamp(min=0)) ** 2
        return self.observed.to(predicted).expand_as(predicted), spread.expand_as(predicted)


@dataclass(frozen=True)
class Robust(Law):
    """Student's t: an observation that does not fit is believed less. ``freedom`` of 3 or 4 is usual."""

    observed: Tensor
    error: float | Tensor
    freedom: float = 4.0

    def site(self, predicted: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        target = self.observed.to(predicted).expand_as(predicted)
        error = (torch.as_tensor(self.error).to(predicted) ** 2).expand_as(predicted)[..., None]
        # Student's t is a normal whose variance w is itself drawn: s^2 / w is gamma of shape and rate nu / 2.
        # Given w the report moves the prediction v / (v + w) of the way. The site moves it by the mean of
        # that, each w weighed by how well it explains the report: one that cannot be explained is let go.
        stretch = torch.logspace(-1, 8, 49, dtype=predicted.dtype, device=predicted.device)
        width = error * stretch
        total = variance[..., None] + width
        misfit = (target - predicted)[..., None] ** 2 / total
        weight = -self.freedom * (stretch.log() + 1 / stretch) - total.log() - misfit
        share = torch.softmax(weight / 2, -1) / total
        return target, (share * width).sum(-1) / share.sum(-1)


@dataclass(frozen=True)
class Censored(Law):
    """Normal errors, but an observation at or below ``threshold`` only says that it is no more than that."""

    observed: Tensor
    error: float | Tensor
    threshold: float = 0.0

    def site(self, predicted: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        observed = self.observed.to(predicted).expand_as(predicted)
        error = (torch.as_tensor(self.error).to(predicted) ** 2).expand_as(predicted)
        # z = A x + e with e of variance R; the prediction of z has variance v + R and is cut off at c:
        # the precision that the cut adds to z is (lambda' / (1 - lambda')) / (v + R), lambda' in (0, 1).
        total = variance + error
        u = (self.threshold - predicted) / total.sqrt()
        ratio = torch.exp(-0.5 * u**2 - torch.special.log_ndtr(u)) / math.sqrt(2 * math.pi)
        shrink = (ratio * (u + ratio)).clamp(1e-6, 1 - 1e-6)
        mean = predicted - ratio * total.sqrt()
        # what the site says of A x itself: its error R is already within the total
        width = total * (1 - shrink) / shrink
        target = (mean * (total + width) - predicted * width) / total
        dry = observed <= self.threshold
        return torch.where(dry, target, observed), torch.where(dry, width + error, error)


@dataclass(frozen=True)
class Joined(Law):
    parts: Sequence[Law]

    @property
    def observed(self) -> Tensor:  # type: ignore[override]
        return torch.cat([part.observed for part in self.parts])

    @cached_property
    def alike(self) -> Tensor | None:  # type: ignore[override]
        if all(part.alike is None for part in self.parts):
            return None
        blocks = [
            torch.eye(len(part.observed), dtype=torch.float64) if part.alike is None else part.alike.double()
            for part in self.parts
        ]
        return torch.block_diag(*blocks)

    @property
    def steady(self) -> bool:
        return all(part.steady for part in self.parts)

    def site(self, predicted: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        sizes = [len(part.observed) for part in self.parts]
        pieces = zip(self.parts, predicted.split(sizes, 1), variance.split(sizes, 1), strict=True)
        targets, variances = zip(*(part.site(*piece) for part, *piece in pieces), strict=True)
        return torch.cat(targets, 1), torch.cat(variances, 1)


SWEEPS, STEP, STILL = 12, 2 / 3, 0.02


def settled(law: Law, mean: Tensor, spread: Tensor) -> tuple[Tensor, Tensor]:
    """Sites of observations that are foretold together: normal, of this mean (n,) and covariance.

    Each is judged by what all the others foretell of it. With P = (R + spread)^-1 and a = P (t - mean),
    the others foretell t - a / P_ii, and that with variance 1 / P_ii, of which R_ii is the error's own
    (kriging with one left out). All sites are renewed at once, and two thirds of the way: neighbours that
    answer each other would swing. They are still when no a moves by a fiftieth of its standard deviation.
    """
    target, width = law.site(mean[None], spread.diagonal()[None])
    before = torch.full_like(mean, math.inf)
    for _ in range(SWEEPS):
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(spread + Errors(width, law.alike).matrix(0)))
        pull, alone = inverse.mv(target[0] - mean), 1 / inverse.diagonal()
        if bool(((pull - before).abs() * alone.sqrt() < STILL).all()):
            break
        before = pull
        own = (alone - width).clamp(min=1e-9 * alone)
        told, wide = law.site(target - alone * pull, own)
        precision = (1 - STEP) / width + STEP / wide
        target = ((1 - STEP) * target / width + STEP * told / wide) / precision
        width = 1 / precision
    return target[0], width[0]
