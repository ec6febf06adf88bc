"""A pixel at a time: rain and the divergence of moisture to one number u, standard normal, and back to rain.

Rain is zero at most places, and zeros have no order. The divergence of moisture gives them one: air that
takes moisture together is nearer to rain than air that spreads it. So one continuous number u can say both:
above a threshold how much it rains, below it how far it is from raining.

*Encoder.* A fully connected network F that rises in both its inputs. A dry pixel gets the threshold less a
positive number, the smaller the more F hears of moisture; a wet one the threshold and F(rain, moisture) -
F(0, moisture), which is nothing where rain begins. So rain and no rain never lie on the same side.

*Decoder.* relu(g(u) - g(threshold)), with a g that rises too: zero below the threshold, exactly, and never
less rain for a larger u. Networks rise because their weights are exponentials; half of their units bend up
and half down, so that any rising shape can be made. Beyond what they have seen they go on as lines.

*Normal.* A quantile loss asks that u be standard normal, far into both tails. What is left of its error a
last rising map takes away (`level`): straight lines between quantiles of what the encoder says.

Rain is transformed here, (rain, moisture) as the network wants them; `engine.pseudo` says how.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

MARGIN = 1e-3  # between the threshold and the first dry pixel: more than rounding
HIDDEN = 64
SCORES = torch.linspace(-3.6, 3.6, 289, dtype=torch.float64)  # of the knots of the last map


class Rising(nn.Module):
    """A fully connected network that rises in all its inputs: (..., inputs) to (...)."""

    def __init__(self, sizes: Sequence[int], reach: float) -> None:
        """``reach`` is how large inputs usually are: there the first units bend."""
        super().__init__()
        self.logarithms = nn.ParameterList()
        self.shifts = nn.ParameterList()
        for number, (before, after) in enumerate(itertools.pairwise(sizes)):
            self.logarithms.append(nn.Parameter(0.5 * torch.randn(after, before) - math.log(before)))
            self.shifts.append(nn.Parameter(torch.randn(after) * (reach if number == 0 else 1.0)))

    def forward(self, x: Tensor) -> Tensor:
        pairs = list(zip(self.logarithms, self.shifts, strict=True))
        for number, (logarithm, shift) in enumerate(pairs):
            x = functional.linear(x, logarithm.exp(), shift)
            if number + 1 < len(pairs):
                up, down = x.chunk(2, -1)
                x = torch.cat([functional.softplus(up), -functional.softplus(-down)], -1)
        return x[..., 0]


class Pixel(nn.Module):
    threshold: Tensor
    said: Tensor
    normal: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Rising((2, HIDDEN, HIDDEN, HIDDEN, 1), reach=2.0)
        self.decoder = Rising((1, HIDDEN, HIDDEN, 1), reach=2.0)
        self.register_buffer("threshold", torch.tensor(0.0))  # before the last map
        self.register_buffer("said", SCORES.float())
        self.register_buffer("normal", SCORES.float(), persistent=False)

    def encode(self, rain: Tensor, moisture: Tensor) -> Tensor:
        return _line(self.raw(rain, moisture), self.said, self.normal)

    def decode(self, u: Tensor) -> Tensor:
        return self.rain(_line(u, self.normal, self.said))

    def raw(self, rain: Tensor, moisture: Tensor) -> Tensor:
        """Before the last map. Half a precision would be too little for a tail, here as in `rain`."""
        with torch.autocast(rain.device.type, enabled=False):
            wet = rain > 0
            none = self.encoder(torch.stack([torch.zeros_like(rain), moisture], -1).float())
            some = self.encoder(torch.stack([rain[wet], moisture[wet]], -1).float()) - none[wet]
            below = -MARGIN - functional.softplus(-none)
            return self.threshold + below.masked_scatter(wet, some)

    def rain(self, raw: Tensor) -> Tensor:
        with torch.autocast(raw.device.type, enabled=False):
            above = torch.cat([self.threshold[None], raw[raw > self.threshold].flatten()])
            found = self.decoder(above[:, None].float())
            # the same sums may be rounded otherwise: rain that begins does not begin below nothing
            return torch.zeros_like(raw).masked_scatter(
                raw > self.threshold, functional.relu(found[1:] - found[0])
            )

    @torch.no_grad()
    def level(self, raw: Tensor) -> None:
        """Let the last map make this sample of what the encoder says standard normal."""
        self.said.copy_(scores(raw, self.normal))


def scores(u: Tensor, normal: Tensor) -> Tensor:
    """The quantiles of a sample where those of a standard normal have these values."""
    ordered = u.flatten().sort().values
    place = torch.special.ndtr(normal.double()) * len(ordered) - 0.5
    low = place.floor().clamp(0, len(ordered) - 2)
    here, above = ordered[low.long()], ordered[low.long() + 1]
    return here + (place - low).clamp(0, 1).to(u) * (above - here)


def unlike_normal(u: Tensor, normal: Tensor) -> Tensor:
    """The quantile loss: mean squared difference at these quantiles."""
    return (scores(u, normal) - normal).square().mean()


def _line(x: Tensor, knots: Tensor, values: Tensor) -> Tensor:
    """Straight between knots; beyond them as steep as one. Two knots in one place have nothing between."""
    place = torch.searchsorted(knots, x.detach().contiguous()).clamp(1, len(knots) - 1)
    left, right = knots[place - 1], knots[place]
    slope = (values[place] - values[place - 1]) / (right - left)
    inside = values[place - 1] + slope * (x - left)
    beyond = torch.where(x < knots[0], values[0] + x - knots[0], values[-1] + x - knots[-1])
    return torch.where((x < knots[0]) | (x > knots[-1]), beyond, inside)
