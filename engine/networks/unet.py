"""A U-Net for fields: what is near in full detail, what is far in less.

Fields are (members, rows, columns) or (members, channels, rows, columns), noise levels (members,), and
conditions are further fields on the same cells, with or without channels. The network first folds blocks
of ``patch`` x ``patch`` cells into channels, since a cell of one channel is too little work for a
processor; then each of ``widths`` is a floor, of half the resolution of the one above. On the way down and
on the way up a floor has ``blocks`` residual blocks (one number, or one a floor), and what a floor knew on
the way down is added to what comes up again.

A block is group norm, convolution, group norm scaled and shifted by the noise level, convolution. What
runs past the blocks is never normalised, so the size of a field is not forgotten; and every block begins
as nothing, and the whole network as zero: behind the scaling of Karras that is a sane denoiser already.

``padding`` is what lies beyond the edge: "circular" for a torus, "reflect" or "zeros" elsewhere. On a torus
the network commutes with shifts by whole cells of its lowest floor.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.values import Invalid

Padding = Literal["circular", "reflect", "zeros"]


class UNet(nn.Module):
    def __init__(
        self,
        channels: int = 1,
        conditions: int = 0,
        widths: Sequence[int] = (64, 96, 128),
        blocks: int | Sequence[int] = 1,
        patch: int = 2,
        padding: Padding = "circular",
        says: int | None = None,
    ) -> None:
        """``says`` fields come out, as many as ``channels`` go in unless it is given."""
        super().__init__()
        deep = [blocks] * len(widths) if isinstance(blocks, int) else blocks
        floors = list(zip(deep, widths, strict=True))
        self.patch, self.unit = patch, patch * 2 ** (len(widths) - 1)
        cells, told = patch**2, 4 * widths[0]
        self.told = told
        steps = list(itertools.pairwise(widths))
        self.embed = nn.Sequential(Octaves(widths[0]), nn.Linear(widths[0], told), nn.SiLU())
        self.enter = _convolution(cells * (channels + conditions), widths[0], padding)
        self.down = nn.ModuleList(Floor(count, width, told, padding) for count, width in floors)
        self.fall = nn.ModuleList(nn.Conv2d(above, below, 2, 2) for above, below in steps)
        self.up = nn.ModuleList(Floor(count, width, told, padding) for count, width in floors)
        self.rise = nn.ModuleList(nn.ConvTranspose2d(below, above, 2, 2) for above, below in steps)
        self.leave = nothing(_convolution(widths[0], cells * (says or channels), padding))
        self.says = says

    def forward(self, x: Tensor, level: Tensor, *condition: Tensor, about: Tensor | None = None) -> Tensor:
        """Whatever the fields' precision is, the network computes in its own. ``about`` is what each field is
        told besides its noise level: (members, 4 x the first width), or of the first few, which the others
        repeat."""
        fields = torch.cat([each if each.ndim == 4 else each[:, None] for each in (x, *condition)], 1)
        if any(size % self.unit for size in fields.shape[-2:]):
            size = " x ".join(map(str, fields.shape[-2:]))
            raise Invalid(f"network: a field of {size} cells; give multiples of {self.unit}")
        told = self.embed(level.to(self.leave.weight))
        told = told if about is None else told + about
        if len(fields) == 1:  # convolutions take another way for one field alone, and round otherwise
            fields = fields.expand(2, -1, -1, -1)
        fields = functional.pixel_unshuffle(fields.to(self.leave.weight.dtype), self.patch)
        here, kept = self.enter(fields), []
        for number, floor in enumerate(self.down):
            here = floor(self.fall[number - 1](here) if number else here, told)
            kept.append(here)
        here = self.up[-1](here, told)
        for number in reversed(range(len(self.rise))):
            here = self.up[number](kept[number] + self.rise[number](here), told)
        said = functional.pixel_shuffle(self.leave(here), self.patch)[: len(x)]
        said = said.to(x.dtype)
        return said if self.says else said.reshape(x.shape)


class Octaves(nn.Module):
    """A number as sines and cosines of it, of octaves from slow to quick."""

    rates: Tensor

    def __init__(self, width: int, octaves: float = 4.0) -> None:
        super().__init__()
        rates = 2 ** torch.linspace(-1, octaves - 1, width // 2) * math.pi / 2
        self.register_buffer("rates", rates, persistent=False)

    def forward(self, level: Tensor) -> Tensor:
        phase = level[:, None] * self.rates
        return torch.cat([phase.sin(), phase.cos()], 1)


class Block(nn.Module):
    def __init__(self, width: int, told: int, padding: Padding) -> None:
        super().__init__()
        self.first = nn.Sequential(_norm(width), nn.SiLU(), _convolution(width, width, padding))
        self.norm, self.scale = _norm(width), nn.Linear(told, 2 * width)
        self.second = nn.Sequential(nn.SiLU(), nothing(_convolution(width, width, padding)))

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        # told of some, it holds for as many of all: rows of a product are rounded by how many there are
        said = self.scale(told).repeat(len(x) // len(told), 1)
        scale, shift = said[:, :, None, None].chunk(2, 1)
        return x + self.second(self.norm(self.first(x)) * (1 + scale) + shift)


class Floor(nn.ModuleList):
    def __init__(self, blocks: int, width: int, told: int, padding: Padding) -> None:
        super().__init__(Block(width, told, padding) for _ in range(blocks))
        self.width = width

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        for block in self:
            x = block(x, told)
        return x


def _convolution(before: int, after: int, padding: Padding) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1, padding_mode=padding)


def _norm(width: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(width, 8), width)


def nothing(layer: nn.Conv2d) -> nn.Conv2d:
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
