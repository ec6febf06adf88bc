"""Rain at any places: points to a lattice, a U-Net on it, and back to the points.

A source has its own places: the cells of its grid, the sites of its gauges, a random part of either. The
network lays what it is given on a lattice of equal cells, each value on the four nearest with bilinear
weights, and divides by what has been laid there, so that a lattice cell holds a mean of the values around it;
how much was laid goes in beside it, for an empty cell is not a cell of value zero. A U-Net says two fields on
the lattice, and these are read at the points with the same weights: what is there, and how much of a point's
own departure from the lattice to believe. Where the points are the lattice nothing departs and the whole is a
plain U-Net: what holds on a grid holds at scattered points through its cells, exactly.

Beside the field comes a *sketch* of it (`engine.sketch`), three channels at the same places: what evidence
makes of it, how sure that is, and what both say of the noised value. Beside the noise level the network is
told the *label* of the source, whose habits it is to have (a satellite's, a gauge's), the *spacing* of its
lattice in km, and static fields (elevation, sea) if it was made for any. One network so covers sources of
many resolutions, and a coarser lattice under fewer points costs less.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.networks.unet import Octaves, Padding, UNet

SKETCHED = 3  # channels of a sketch
FULL = 1.0  # what is laid on a lattice cell that a point stands on; more does not count
FAINT = 1e-3  # less than this is nothing


class Places(Protocol):
    """How points lie on a lattice: reading it at them, and laying their values on it (the adjoint)."""

    def __call__(self, x: Tensor) -> Tensor: ...

    def adjoint(self, w: Tensor) -> Tensor: ...


class Points(nn.Module):
    def __init__(
        self,
        labels: int = 1,
        statics: int = 0,
        widths: Sequence[int] = (64, 96, 128),
        blocks: int | Sequence[int] = 1,
        patch: int = 2,
        padding: Padding = "zeros",
    ) -> None:
        super().__init__()
        self.statics = statics
        self.core = UNet(1, 1 + SKETCHED + statics, widths, blocks, patch, padding, says=2)
        self.label = nn.Embedding(labels, 4 * widths[0])
        self.spacing = nn.Sequential(Octaves(widths[0]), nn.Linear(widths[0], 4 * widths[0]))
        nn.init.zeros_(self.label.weight)

    def forward(
        self,
        x: Tensor,
        level: Tensor,
        sketch: Tensor,
        label: Tensor,
        spacing: Tensor,
        known: Tensor | None = None,
        statics: Tensor | None = None,
        places: Places | None = None,
    ) -> Tensor:
        """Fields (members, rows, columns), or values (members, points) at ``places``; the ``sketch`` is of
        the same places, (members, channels, ...).

        ``label`` and ``spacing`` (km) are one for all or (members,); ``known`` is one where a value is given
        and nought where it is missing, of the shape of x; ``statics`` are (members, channels, rows, columns)
        on the lattice.
        """
        known = torch.ones_like(x[:1]) if known is None else known.to(x)
        laid = known if places is None else places.adjoint(known)
        field = torch.cat([(x * known)[:, None], sketch], 1)
        if places is not None:
            field = _means(field * known[:, None], laid, places)
        about = self.label(label.reshape(-1)) + self.spacing(spacing.to(level).reshape(-1).log() / 4)
        laid = laid.clamp(max=FULL).expand(len(x), *laid.shape[1:])[:, None]
        given = [field[:, :1], laid, field[:, 1:]]
        if self.statics:
            assert statics is not None, "this network was made with static fields"
            given.append(statics.expand(len(x), *statics.shape[1:]).to(x))
        whole = torch.cat(given, 1)
        rows, columns = whole.shape[-2:]
        lower, right = (-rows % self.core.unit, -columns % self.core.unit)
        said = self.core(functional.pad(whole, (0, right, 0, lower)), level, about=about)[
            ..., :rows, :columns
        ]
        if places is None:
            return said[:, 0]
        there, trust = places(said[:, 0]), places(said[:, 1])
        return there + trust * (x - places(field[:, 0])) * known


def _means(values: Tensor, laid: Tensor, places: Places) -> Tensor:
    """Of the values (members, channels, points) around each cell of the lattice, where any were laid."""
    fields = places.adjoint(values.flatten(0, 1)).unflatten(0, values.shape[:2])
    return torch.where(laid[:, None] >= FAINT, fields / laid[:, None].clamp(min=FAINT), 0.0)
