"""Transforms: rain in mm/h on one side, something near a Gaussian on the other.

Rain is zero most of the time and has a long tail, priors want neither. A transform takes rain to the
latent side (`forward`) and back (`inverse`), and knows the slope of the way back (`slope`), which a
likelihood needs: gauges and area means speak of rain, so the way back stands inside their operator.

The way back is monotone, smooth where rain falls, and *bounded*: beyond what was ever seen it grows no
faster than a line, so that one pixel never ruins a member. Dry is a half line of the latent side, below
its ``dry`` value, not a point: `forward` puts zeros at that value, and a dry gauge says "at most this".
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import ndtr, ndtri
from torch import Tensor

SIGNED = (-3.2, 3.6, 205)  # scores of the knots of signed rain
TAIL = 9  # knots from the end, over which a tail's steepness is told


class Transform(ABC):
    """Rain <-> latent."""

    @abstractmethod
    def forward(self, rain: Tensor) -> Tensor: ...

    @abstractmethod
    def inverse(self, latent: Tensor) -> Tensor: ...

    @abstractmethod
    def slope(self, latent: Tensor) -> Tensor:
        """d inverse / d latent."""


@dataclass(frozen=True)
class Affine(Transform):
    """(x - shift) / scale: what makes any latent of mean zero and variance one."""

    shift: float = 0.0
    scale: float = 1.0

    def forward(self, rain: Tensor) -> Tensor:
        return (rain - self.shift) / self.scale

    def inverse(self, latent: Tensor) -> Tensor:
        return self.shift + self.scale * latent

    def slope(self, latent: Tensor) -> Tensor:
        return torch.full_like(latent, self.scale)


@dataclass(frozen=True)
class Log(Transform):
    """log(1 + rain / trace), zero below zero; above ``top`` mm/h the way back goes on as a line."""

    trace: float = 0.1
    top: float = 200.0

    def forward(self, rain: Tensor) -> Tensor:
        inside = torch.log1p(rain.clamp(0, self.top) / self.trace)
        return inside + (rain - self.top).clamp(min=0) / (self.trace + self.top)

    def inverse(self, latent: Tensor) -> Tensor:
        high = float(np.log1p(self.top / self.trace))
        inside = self.trace * torch.expm1(latent.clamp(0, high))
        return inside + (self.trace + self.top) * (latent - high).clamp(min=0)

    def slope(self, latent: Tensor) -> Tensor:
        high = float(np.log1p(self.top / self.trace))
        return torch.where(latent > 0, self.trace * torch.exp(latent.clamp(0, high)), 0.0)


@dataclass(frozen=True)
class NormalScore(Transform):
    """The quantile of rain, as the quantile of a standard normal; dry is all below Phi^-1(share dry).

    Fitted to rain: ``latent`` and ``rain`` are the knots of a line, straight between them, and beyond the
    last one straight with the steepness of the tail, which a few largest values cannot set alone. Rain may
    go on below zero (`engine.signed`): then the score does too, and the way back ends at zero.
    """

    latent: Tensor
    rain: Tensor
    steepness: float  # mm/h per unit beyond the last knot

    @classmethod
    def of(cls, values: np.ndarray, trace: float = 0.1, knots: int = 200) -> NormalScore:
        values = np.asarray(values, float)
        values = np.sort(values[np.isfinite(values)])
        wet = values[values > trace]
        if len(wet) < 20:
            raise ValueError(f"normal score: {len(wet)} wet values are too few; give at least 20")
        dry = 1 - len(wet) / len(values)
        # Hazen's positions within the wet part. Knots at equal steps of the score: the tail has its own.
        share = dry + (1 - dry) * (np.arange(len(wet)) + 0.5) / len(wet)
        score = ndtri(share)
        start = ndtri(dry) if dry > 0 else score[0] - 0.1
        chosen = np.unique(np.searchsorted(score, np.linspace(score[0], score[-1], knots)))
        latent, rain = np.r_[start, score[chosen]], np.r_[0.0, wet[chosen]]
        keep = np.r_[True, (np.diff(rain) > 1e-9) & (np.diff(latent) > 1e-9)]
        latent, rain = latent[keep], rain[keep]
        tail = latent >= latent[-1] - 1.0
        steep = float(np.polyfit(latent[tail], rain[tail], 1)[0]) if tail.sum() > 2 else float(rain[-1])
        return cls(torch.from_numpy(latent), torch.from_numpy(rain), max(steep, 1e-3))

    @classmethod
    def signed(cls, values: np.ndarray) -> NormalScore:
        """Of rain that goes on below zero: quantiles at equal steps of the score."""
        values = np.sort(np.asarray(values, float))
        score = np.linspace(*SIGNED)
        rain = np.interp(ndtr(score), (np.arange(len(values)) + 0.5) / len(values), values)
        keep = np.r_[True, np.diff(rain) > 1e-6]
        return cls.read({"latent": score[keep].tolist(), "rain": rain[keep].tolist()})

    @classmethod
    def read(cls, told: Mapping[str, Sequence[float]]) -> NormalScore:
        """From its knots; beyond the last one as steep as over the last few."""
        latent, rain = (torch.tensor(told[each], dtype=torch.float64) for each in ("latent", "rain"))
        return cls(latent, rain, float((rain[-1] - rain[-TAIL]) / (latent[-1] - latent[-TAIL])))

    @property
    def told(self) -> dict[str, list[float]]:
        return {"latent": self.latent.tolist(), "rain": self.rain.tolist()}

    @property
    def dry(self) -> float:
        """The score of no rain, at and below which it is dry."""
        return float(self.forward(torch.zeros(1, dtype=torch.float64)))

    def forward(self, rain: Tensor) -> Tensor:
        return self._line(rain, self.rain.to(rain), self.latent.to(rain), 1 / self.steepness)[0]

    def inverse(self, latent: Tensor) -> Tensor:
        return self._line(latent, self.latent.to(latent), self.rain.to(latent), self.steepness)[0].clamp(
            min=0
        )

    def slope(self, latent: Tensor) -> Tensor:
        height, slope = self._line(latent, self.latent.to(latent), self.rain.to(latent), self.steepness)
        return torch.where(height > 0, slope, 0.0)

    def _line(self, x: Tensor, knots: Tensor, values: Tensor, steepness: float) -> tuple[Tensor, Tensor]:
        """The line through the knots at x, and its slope; flat before the first, steep after the last."""
        place = torch.searchsorted(knots, x.detach().contiguous()).clamp(1, len(knots) - 1)
        left, right = knots[place - 1], knots[place]
        slope = (values[place] - values[place - 1]) / (right - left)
        slope = torch.where(x <= knots[0], 0.0, torch.where(x > knots[-1], steepness, slope))
        anchor = torch.where(x > knots[-1], knots[-1], left)
        height = torch.where(x > knots[-1], values[-1], values[place - 1])
        return height + slope * (x - anchor), slope


@dataclass(frozen=True)
class Chain(Transform):
    """One after the other, the first nearest to the rain."""

    parts: tuple[Transform, ...]

    def forward(self, rain: Tensor) -> Tensor:
        for part in self.parts:
            rain = part.forward(rain)
        return rain

    def inverse(self, latent: Tensor) -> Tensor:
        for part in reversed(self.parts):
            latent = part.inverse(latent)
        return latent

    def slope(self, latent: Tensor) -> Tensor:
        whole = torch.ones_like(latent)
        for part in reversed(self.parts):
            whole = whole * part.slope(latent)
            latent = part.inverse(latent)
        return whole


@dataclass(frozen=True)
class Expected(Transform):
    """What a transform gives on average where the latent field is only known to be normal about a value.

    The mean of rain is not the rain of the mean: exp(x) is larger on average than exp of the average, and
    a place that is dry at its most likely value still has a chance of rain, hence a slope. Averages over
    N(latent, ``variance``) by Gauss and Hermite's nodes.
    """

    transform: Transform
    variance: float
    nodes: int = 9

    def forward(self, rain: Tensor) -> Tensor:
        return self.transform.forward(rain)

    def inverse(self, latent: Tensor) -> Tensor:
        return self._mean(self.transform.inverse, latent)

    def slope(self, latent: Tensor) -> Tensor:
        return self._mean(self.transform.slope, latent)

    def _mean(self, of: Callable[[Tensor], Tensor], latent: Tensor) -> Tensor:
        places, weights = np.polynomial.hermite_e.hermegauss(self.nodes)
        weights /= weights.sum()
        pairs = zip((places * self.variance**0.5).tolist(), weights.tolist(), strict=True)
        return torch.stack([weight * of(latent + place) for place, weight in pairs]).sum(0)
