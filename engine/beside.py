"""Priors of fields with others beside them: what was seen goes into a network together with the noised field.

What is noised and what is told lie side by side as channels, (members, 1 + others, rows, columns), on their
way through whatever cuts a map into tiles (`engine.denoise.tiled`): all are cut alike, and each part of a map
is told its own part. A prior of this kind says the clean field in every channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from engine.denoise import Denoiser, Karras, Level


@dataclass(frozen=True)
class Beside(Denoiser):
    """One of these, with the others given."""

    prior: Denoiser
    others: Sequence[Tensor]

    def __call__(self, x: Tensor, sigma: Level) -> Tensor:
        return self.prior(torch.stack([x, *(each.expand_as(x) for each in self.others)], 1), sigma)[:, 0]


@dataclass(frozen=True)
class Conditioned(Denoiser):
    """A network with conditions, as one of these."""

    network: Karras
    unit: int  # what sides have to be multiples of: edges go on for so long

    def __call__(self, x: Tensor, sigma: Level) -> Tensor:
        rows, columns = x.shape[-2:]
        whole = functional.pad(x, (0, -columns % self.unit, 0, -rows % self.unit), "replicate")
        return self.network(whole[:, :1], sigma, whole[:, 1:])[..., :rows, :columns].expand_as(x)


def finer(coarse: Tensor, factor: int) -> Tensor:
    """Maps (..., rows, columns) on cells ``factor`` times as fine: straight between the coarse centres."""
    maps = coarse.reshape(-1, 1, *coarse.shape[-2:])
    fine = functional.interpolate(maps, scale_factor=factor, mode="bilinear")
    return fine.reshape(*coarse.shape[:-2], *fine.shape[-2:])
