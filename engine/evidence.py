"""Evidence: what was seen, by which operator, and the law of its errors.

A `Seen` is linearised at a field. An operator that looks through a transform is linearised by what it is
expected to see of fields that are only known to be near that one (`engine.transforms.Expected`): a place
that is dry at its most likely value has a chance of rain. Against exact sampling of rain seen through a
logarithm this takes the error of the posterior's mean from a third to a seventh of its standard deviation.
A *hard* zero has no such slope far below it: there let gauges speak on the latent side, censored.

`together` joins any number of observations; posteriors do not nest, so all evidence is joined first and
the prior is wrapped once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from engine.laws import Errors, Joined, Law, settled
from engine.observe import Highest, Linear, Operator, Scaled, Stack, StackedLinear, Through, cells
from engine.transforms import Expected


@dataclass(frozen=True)
class Seen:
    """An operator and the law of its errors."""

    operator: Operator
    law: Law

    def expecting(self, variance: float) -> Seen:
        """The same, seen of fields of which each cell is only known up to this variance."""
        return replace(self, operator=_expecting(self.operator, variance))

    def at(self, clean: Tensor, spread: Tensor) -> tuple[Linear, Tensor, Errors, Tensor]:
        """A, r, R at a field, and how steeply each observation follows it there.

        ``spread`` is the covariance (n, n) with which the plain operator foretells the observations.
        """
        predicted, slopes = self.operator(clean), self.slopes(clean)
        if self.law.steady:
            target, width = self.law.site(predicted, spread.diagonal().to(predicted) * slopes**2)
        else:
            pairs = zip(predicted.double(), slopes.double(), strict=True)
            sites = [settled(self.law, mean, slope[:, None] * spread * slope) for mean, slope in pairs]
            target, width = (torch.stack(part).to(predicted) for part in zip(*sites, strict=True))
        return self.operator.linear(clean), target - predicted, Errors(width, self.law.alike), slopes

    def replace(self, clean: Tensor) -> Tensor:
        """The field with what was observed put in its place, as inpainting does."""
        linear = self.operator.linear(clean)
        wrong = self.law.observed.to(clean) - self.operator(clean)
        weight = linear.adjoint(linear(torch.ones_like(clean)))
        return clean + linear.adjoint(wrong) / weight.clamp(min=1e-6) * (weight > 0)

    @property
    def steady(self) -> bool:
        """Whether derivative and errors are the same at every field."""
        return self.law.steady and self.operator is self.plain

    @property
    def plain(self) -> Linear:
        """The linear part: what the operator would be on the latent side itself."""
        return _plain(self.operator)

    def slopes(self, clean: Tensor) -> Tensor:
        """How steeply each observation follows a change of the latent field all around it."""
        linear, ones = self.operator.linear(clean), torch.ones_like(clean)
        return linear(ones) / self.plain(ones).clamp(min=1e-12)


def _expecting(operator: Operator, variance: float) -> Operator:
    if isinstance(operator, Through):
        return Through(operator.inner, Expected(operator.transform, variance))
    if isinstance(operator, Stack):
        return Stack([_expecting(part, variance) for part in operator.parts])
    return operator


def _plain(operator: Operator) -> Linear:
    if isinstance(operator, Through):
        return _plain(operator.inner)
    if isinstance(operator, Stack):
        return StackedLinear([_plain(part) for part in operator.parts])
    if isinstance(operator, Scaled):
        return operator.inner
    if isinstance(operator, Highest):  # a block's maximum is about as uncertain as any one of its cells
        rows, columns = operator.shape
        size, middles = operator.size, np.zeros(operator.shape, bool)
        middles[size // 2 : rows // size * size : size, size // 2 : columns // size * size : size] = True
        return cells(middles)
    if isinstance(operator, Linear):
        return operator
    raise TypeError(f"{type(operator).__name__} has no linear part")


def together(*seen: Seen) -> Seen:
    """All evidence as one."""
    parts = [each.operator for each in seen]
    linear = [part for part in parts if isinstance(part, Linear)]
    operator = StackedLinear(linear) if len(linear) == len(parts) else Stack(parts)
    return Seen(operator, Joined([each.law for each in seen]))
