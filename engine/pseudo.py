"""From coarse rain and moisture to ensembles of fine rain, through fields of u (`engine.networks.pixel`).

u is one continuous field: rain above a threshold, and below it how far it is from raining. A field of rain
has edges, and whoever cuts its short waves gets ringing beside them and rain below zero; u has none, so a
coarse u is a fine one without its short waves. The domain is no torus: waves are mirrored at its edges, those
of a cosine transform, and a coarse u of n cells a side holds the first n of them (`Truncation`).

A denoiser of fine u is told the coarse u, brought to fine cells by the same waves, and knows what short waves
go with them; what it says is decoded, pixel by pixel. The coarse u of a task comes from coarse rain and
coarse moisture, encoded in coarse cells. That is not quite the fine u without its short waves, for means of
rain are no means of u: so the denoiser has been told both, in turn.

A time's noise belongs to it, so it is the same in whatever period it stands.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor, nn

from engine.beside import Beside, Conditioned
from engine.denoise import Denoiser, Karras, tiled
from engine.fields import Box, Grid
from engine.networks.pixel import Pixel
from engine.networks.unet import UNet
from engine.noise import Streams, karras, seed_at
from engine.overlap import on_cells
from engine.priors import loaded
from engine.sample import groups, ito, restart
from engine.transforms import Log
from engine.values import Invalid

TRACE = 0.1  # mm/h, of the logarithm
USUAL = 0.5  # mm/h of moisture, about which its logarithm begins
HIGHEST = 10.0  # noise level to begin at: what is large the condition knows
LARGEST, OVERLAP = 2.0, 0.25  # of a tile, in tiles of the training, and what two of them share
SMALLEST = 4  # coarse cells a side
NEEDED = ("run", "step", "top")


class Pseudo(nn.Module):
    """What one training teaches: u of a pixel and back, and fine fields of u under coarse ones."""

    def __init__(self, network: Mapping[str, Any], top: float) -> None:
        super().__init__()
        fine = UNet(1, 1, **network)
        self.pixel, self.fine, self.unit = Pixel(), Karras(fine), fine.unit
        self.log = Log(TRACE, top)

    def encode(self, rain: Tensor, divergence: Tensor) -> Tensor:
        """Of rain and the divergence of moisture, both in mm/h."""
        return self.pixel.encode(self.log.forward(rain), moisture(divergence))

    def decode(self, u: Tensor) -> Tensor:
        """Rain, mm/h."""
        return self.log.inverse(self.pixel.decode(u))


def moisture(divergence: Tensor) -> Tensor:
    """What comes together, as the pixel's network wants it: its tails are long on both sides."""
    return torch.asinh(-divergence / USUAL)


@dataclass(frozen=True)
class Truncation:
    """Fields and their long waves: matrices from a coarse side to a fine one, for rows and columns."""

    rows: Tensor  # (fine, coarse)
    columns: Tensor

    @classmethod
    def of(cls, coarse: Sequence[int], times: int) -> Truncation:
        rows, columns = (waves(times * side)[:side].T @ waves(side) * times**0.5 for side in coarse)
        return cls(rows.float(), columns.float())

    def up(self, coarse: Tensor) -> Tensor:
        """The same waves in fine cells."""
        return self.rows.to(coarse) @ coarse @ self.columns.to(coarse).T

    def down(self, fine: Tensor) -> Tensor:
        """The long waves of a fine field, in coarse cells."""
        times = self.rows.shape[0] / self.rows.shape[1]
        return self.rows.to(fine).T @ fine @ self.columns.to(fine) / times**2

    def cut(self, fine: Tensor) -> Tensor:
        """A fine field without its short waves."""
        return self.up(self.down(fine))


def waves(side: int) -> Tensor:
    """Orthonormal cosines, a row each, from long to short: mirrored at both ends."""
    number = torch.arange(side, dtype=torch.float64)
    cosines = torch.cos(math.pi / side * number[:, None] * (number + 0.5)) * math.sqrt(2 / side)
    return torch.cat([cosines[:1] / math.sqrt(2), cosines[1:]])


@dataclass(frozen=True)
class Prior:
    name: str
    card: Mapping[str, Any]
    network: Pseudo

    @property
    def coarse(self) -> float:
        return float(self.card["run"]["coarse"])

    @property
    def times(self) -> int:
        return round(self.coarse / self.card["step"])

    def cells(self, domain: Box) -> Grid:
        """The coarse cells that a domain touches: they lie at whole multiples of their size."""
        west, south = (math.floor(each / self.coarse + 1e-6) for each in (domain.west, domain.south))
        east, north = (math.ceil(each / self.coarse - 1e-6) for each in (domain.east, domain.north))
        if min(east - west, north - south) < SMALLEST:
            side = SMALLEST * self.coarse
            raise Invalid(f"domain: {tuple(domain)}; prior {self.name} needs {side:g} degrees a side")
        return Grid(Box(*(self.coarse * each for each in (west, south, east, north))), self.coarse)

    def told(self, rain: Tensor, divergence: Tensor) -> Tensor:
        """A coarse u in fine cells, from coarse rain and divergence (rows, columns)."""
        u = self.network.encode(rain.float(), divergence.float())
        return Truncation.of(u.shape, self.times).up(u)

    def under(self, told: Tensor) -> Denoiser:
        """The denoiser of fine fields of u under a coarse one in fine cells."""
        tile = self.card["run"]["tile"]
        network = Conditioned(self.network.fine, self.network.unit)
        shape = (told.shape[-2], told.shape[-1])
        return Beside(tiled(network, shape, int(LARGEST * tile), int(OVERLAP * tile)), (told,))


def prior(name: str) -> Prior:
    return Prior(name, *loaded(name, NEEDED, _made))


def _made(about: Mapping[str, Any]) -> Pseudo:
    return Pseudo(about["run"]["network"], about["top"])


@dataclass(frozen=True)
class Refined:
    """Coarse rain and divergence of some times, ready to be made finer."""

    prior: Prior
    cells: Grid
    times: pd.DatetimeIndex
    rain: Tensor  # mm/h, (times, rows, columns)
    divergence: Tensor

    @classmethod
    def of(cls, prior: Prior, domain: Box, rain: xr.DataArray, divergence: xr.DataArray) -> Refined:
        cells, both = prior.cells(domain), {"rain": rain, "moisture divergence": divergence}
        values = [in_cells(name, field, cells) for name, field in both.items()]
        return cls(prior, cells, rain.indexes["time"], *values)

    @property
    def grid(self) -> Grid:
        """Of the fine cells."""
        return Grid(self.cells.box, self.prior.card["step"])

    def parts(self, members: Sequence[int]) -> list[Sequence[int]]:
        """The members in groups that are denoised together."""
        return groups(members, math.prod(self.grid.shape))

    def draws(
        self, seed: int, members: Sequence[int], steps: int
    ) -> Iterator[tuple[float, np.ndarray | None]]:
        """How far these members are, at last with their rain (mm/h) in fine cells."""
        made = np.empty((len(members), len(self.times), *self.grid.shape), np.float32)
        for number, time in enumerate(self.times):
            streams = Streams(seed_at(seed, time), members)
            told = self.prior.told(self.rain[number], self.divergence[number])
            step, x = None, restart(streams, told, HIGHEST)
            for step in ito(self.prior.under(told), x, karras(steps, high=HIGHEST), streams):
                yield (number + step.progress) / len(self.times), None
            assert step is not None
            # one by one: products of fewer or more pixels are rounded otherwise
            made[:, number] = torch.stack([self.prior.network.decode(each) for each in step.x]).numpy()
        yield 1.0, made


def in_cells(name: str, field: xr.DataArray, cells: Grid) -> Tensor:
    """A field of these or smaller cells as means over these."""
    own, box = Grid.of(field), cells.box
    if own.step > 1.01 * cells.step:
        raise Invalid(f"{name}: has cells of {own.step:g} degrees; give cells of {cells.step:g} or less")
    inside = own.box.contains([box.south, box.north], [box.west, box.east])
    if not inside.all() or np.isnan(found := on_cells(field, cells)).any():
        raise Invalid(f"{name}: has missing values in {tuple(box)}; choose a smaller domain")
    return torch.from_numpy(found)
