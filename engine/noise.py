"""Noise: how much of it there is at a time, and where each member's comes from.

*Schedules.* Inside, a noised field is always x_t = x + sigma eps (variance exploding, as in EDM), and the
time is sigma itself. Networks that were trained in another way are brought here by `variance_preserving`:
where z = alpha x + s eps with alpha^2 + s^2 = 1, z / alpha is a field noised by sigma = s / alpha. The
clock of a sampler is Karras': sigma^(1/rho) falls in equal steps; a rho of 30 is nearly even in ln sigma.
For fields of variance one, 20 is far enough to start from: there the noise hides the field's variance to
one part in 400; higher starts only waste steps.

*Streams.* The noise of a member depends on the seed, the member's number and the step alone. Each draw
has a generator of its own, on the processor, keyed by these; so neither the batch, nor the order, nor the
device, nor a stop and a resume changes a bit, and more members never change the first ones.

*Smooth noise* is white noise on a grid, blurred by a Gaussian and scaled back to variance one: a sum of
waves, which can be read between cells, at a gauge say, and is the same field there. White noise has no
value between cells; a place in it reads the cell that it lies in.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

RHO = 30.0
LOWEST, HIGHEST = 0.003, 20.0


def karras(steps: int, low: float = LOWEST, high: float = HIGHEST, rho: float = RHO) -> Tensor:
    """The clock: ``steps`` falling noise levels from high to low, and a last one of zero."""
    share = torch.linspace(0, 1, steps, dtype=torch.float64)
    levels = (high ** (1 / rho) + share * (low ** (1 / rho) - high ** (1 / rho))) ** rho
    return torch.cat([levels, levels.new_zeros(1)])


def variance_preserving(sigma: Tensor) -> tuple[Tensor, Tensor]:
    """alpha and s of the variance-preserving field of level sigma: s = sigma alpha."""
    alpha = (1 + sigma**2).rsqrt()
    return alpha, sigma * alpha


def log_normal(count: int, generator: torch.Generator, mean: float = -1.2, spread: float = 1.2) -> Tensor:
    """Noise levels for training: ln sigma is normal."""
    return torch.exp(mean + spread * torch.randn(count, generator=generator))


def stratified(count: int, generator: torch.Generator, mean: float, spread: float) -> Tensor:
    """The same, one of each of ``count`` equally likely strata, so that no batch is all noise."""
    share = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    return torch.exp(mean + spread * torch.special.ndtri(share.clamp(1e-6, 1 - 1e-6)))


def seed_at(seed: int, time: pd.Timestamp, *numbers: int) -> int:
    """The seed of a time: its noise belongs to it, in whatever period it stands."""
    told = [seed, time.value // 10**9, *numbers]
    return int(np.random.SeedSequence(told).generate_state(1, np.uint64)[0])


@dataclass(frozen=True)
class Streams:
    """The noise of some members: draw ``streams("step 3", shape)`` is (members, *shape)."""

    seed: int
    members: Sequence[int]

    def __call__(self, name: str, shape: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
        draws = [torch.randn(*shape, generator=self.generator(member, name)) for member in self.members]
        return torch.stack(draws).to(device)

    def generator(self, member: int, name: str) -> torch.Generator:
        digest = hashlib.sha256(f"{self.seed}/{member}/{name}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def smooth(white: Tensor, width: float) -> Tensor:
    """White noise blurred over ``width`` cells (a Gaussian's standard deviation), of variance one again.

    The blur is cyclic, over the last two dimensions.
    """
    return torch.fft.ifft2(_waves(white, width)).real if width else white


def read(white: Tensor, width: float, row: Tensor, column: Tensor) -> Tensor:
    """The noise ``smooth(white, width)`` at any places, in cells from the centre of the first one.

    The sum of the waves at the places themselves, so that nothing is lost between cells: (..., places).
    """
    rows, columns = white.shape[-2:]
    if not width:
        return white[..., row.round().long() % rows, column.round().long() % columns]

    def along(place: Tensor, size: int) -> Tensor:
        wave = torch.fft.fftfreq(size, dtype=white.dtype, device=white.device)
        return torch.exp(2j * math.pi * place.to(white)[:, None] * wave) / size

    part = _waves(white, width) @ along(column, columns).T  # (..., rows, places)
    return (part * along(row, rows).T).sum(-2).real


def _waves(white: Tensor, width: float) -> Tensor:
    """The spectrum of smooth noise: the Gaussian's transfer function is exp(-(2 pi k width)^2 / 2), and what
    it leaves of the variance is the mean of its square. The shortest wave of an even grid is left out: it
    would be there at the cells' centres and gone between them."""
    rows, columns = white.shape[-2:]
    ky = torch.fft.fftfreq(rows, dtype=white.dtype, device=white.device)[:, None]
    kx = torch.fft.fftfreq(columns, dtype=white.dtype, device=white.device)
    transfer = torch.exp(-2 * (math.pi * width) ** 2 * (ky**2 + kx**2)) * (ky > -0.5) * (kx > -0.5)
    return torch.fft.fft2(white) * transfer / transfer.square().mean().sqrt()
