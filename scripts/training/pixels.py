"""The pixel's network (`engine.networks.pixel`), taught by pixels in any order before all else.

A step takes a random sample, as large as its tails need. What it should make of rain is the rain, told in
logarithms; an error counts the more the more it rains, for there the way back is steep. Dry pixels have no
such error, by construction; they only take part in the quantile loss, which makes u normal.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from engine.networks.pixel import Pixel, unlike_normal

SAMPLE, RATE, WARM_UP = 8192, 5e-3, 50
NORMAL = torch.linspace(-3.2, 3.2, 129, dtype=torch.float64)  # where quantiles are compared: far into tails
LAST, MOST = 2_000_000, 20.0  # pixels for the last map; mm/h above which weight no longer grows
CLOSE = 0.1  # of a logarithm: errors above count no more by their square

Draw = Callable[[np.random.Generator, int], tuple[Tensor, Tensor]]  # rain and moisture of so many pixels


def teach(pixel: Pixel, draw: Draw, steps: int, seed: int, trace: float) -> None:
    """By ``draw``, which gives transformed values, of rain log(1 + rain / trace)."""
    rng = np.random.default_rng([seed, 0])
    device = pixel.threshold.device
    rain, moisture = (each.to(device) for each in draw(rng, LAST))
    pixel.threshold.fill_(float(torch.special.ndtri((rain == 0).double().mean())))
    parameters = list(pixel.requires_grad_(True).parameters())
    optimiser = torch.optim.Adam(parameters, RATE, (0.9, 0.99))
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / WARM_UP, (steps - step) / (0.7 * steps))
        optimiser.zero_grad()
        some, air = (each.to(device) for each in draw(rng, SAMPLE))
        loss(pixel, some, air, trace).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
    optimiser.zero_grad()
    pixel.requires_grad_(False)
    parts = zip(rain.split(2**17), moisture.split(2**17), strict=True)
    pixel.level(torch.cat([pixel.raw(*part) for part in parts]))


def loss(pixel: Pixel, rain: Tensor, moisture: Tensor, trace: float) -> Tensor:
    u, wet = pixel.raw(rain, moisture), rain > 0
    missed = functional.smooth_l1_loss(pixel.rain(u[wet]), rain[wet], reduction="none", beta=CLOSE)
    weight = 1 + (trace * torch.expm1(rain[wet])).clamp(max=MOST)
    return (weight * missed).sum() / len(rain) + unlike_normal(u, NORMAL.to(u.device))
