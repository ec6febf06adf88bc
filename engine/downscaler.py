"""A trained prior of fine rain under coarse: its two networks, and the reference that it learned.

The *regression* says which rain goes with the circulation on coarse cells; the *fine* network is a denoiser
of fine fields that is told coarse rain with white noise of some level, and the level. Rain is in mm/day here,
and on the latent side log10(1 + rain), standardised; beyond the largest rain that was learned the way back
goes on as a line. With the weights are kept the law of the reference in every coarse cell, for each quantity,
and some of its maps of rain.

A domain as wide as the world that was learned is round (`Region.endless`) has no east or west end: maps go on
beyond theirs from the other one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.beside import Beside, Conditioned, finer
from engine.denoise import Denoiser, Karras, Level, tiled
from engine.fields import Box, Grid
from engine.networks.unet import UNet
from engine.noise import Streams
from engine.overlap import part, touched
from engine.priors import loaded
from engine.transforms import Log
from engine.values import Invalid

TRACE = 0.1  # mm/day: less is dry
FAINTEST = 0.1  # of the levels of a condition's noise: below it they look alike
MARGIN = 8  # coarse cells from beyond the ends of a world without ends
LARGEST, OVERLAP = 2.0, 0.25  # of a tile, in tiles of the training, and what two of them share
AT_ONCE = 16  # times that the regression is asked together
NEEDED = ("run", "box", "around", "step", "shapes", "standard", "top", "noisiest")


class Downscaler(nn.Module):
    """What one training teaches: rain in coarse cells from the air above them, and in fine cells from coarse.

    ``laws`` are those of the reference, (shares, rows, columns) for each quantity and for rain: the means of
    so many equal parts of its sorted values in every coarse cell. ``reference`` are some of its maps of rain.
    """

    reference: Tensor

    def __init__(self, run: Mapping[str, Any], shapes: Mapping[str, Sequence[int]]) -> None:
        super().__init__()
        quantities = run["predictors"]
        self.regression = UNet(len(quantities) + 1, says=1, **run["regression"])
        fine = UNet(1, 2, **run["fine"])
        self.fine, self.unit = Karras(fine), fine.unit
        self.laws = nn.Module()
        for name in (*quantities, "rain"):
            self.laws.register_buffer(name, torch.zeros(*shapes["law"]))
        self.register_buffer("reference", torch.zeros(*shapes["reference"]))

    def coarse(self, seen: Tensor) -> Tensor:
        """Rain in coarse cells, (n, rows, columns), from what goes with it, (n, quantities + 1, ...)."""
        return self.regression(seen, seen.new_zeros(len(seen)))[:, 0]


def condition(noised: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """What the fine network is told: coarse rain with white noise of these levels, and the levels."""
    noise = noise.reshape(-1, *(1,) * (noised.ndim - 1))
    return noised / (1 + noise**2).sqrt(), (noise + FAINTEST).log().expand_as(noised)


def northern(rows: int) -> np.ndarray:
    """How far north each row of a world lies: -1 to 1."""
    return (2 * np.arange(rows) + 1) / rows - 1


def around(fields: Tensor, margin: int) -> Tensor:
    """Fields that go on beyond their east and west end from the other one."""
    return torch.cat([fields[..., -margin:], fields, fields[..., :margin]], -1) if margin else fields


@dataclass(frozen=True)
class Endless(Denoiser):
    """A prior of maps as one of maps without an east or west end."""

    prior: Denoiser
    margin: int

    def __call__(self, x: Tensor, sigma: Level) -> Tensor:
        return self.prior(around(x, self.margin), sigma)[..., self.margin : self.margin + x.shape[-1]]


@dataclass(frozen=True)
class Prior:
    name: str
    card: Mapping[str, Any]
    network: Downscaler

    @property
    def quantities(self) -> tuple[str, ...]:
        return tuple(self.card["run"]["predictors"])

    @property
    def coarse(self) -> Grid:
        return Grid(Box(*self.card["box"]), self.card["run"]["coarse"])

    @property
    def times(self) -> int:
        return round(self.card["run"]["coarse"] / self.card["step"])

    def forward(self, rain: np.ndarray) -> np.ndarray:
        """mm/day to the latent side."""
        mean, deviation = self.card["standard"]["rain"]
        return (np.log10(1 + rain) - mean) / deviation

    def inverse(self, latent: Tensor) -> Tensor:
        mean, deviation = self.card["standard"]["rain"]
        rain = Log(1.0, self.card["top"]).inverse((mean + deviation * latent) * math.log(10))
        return torch.where(rain < TRACE, 0.0, rain)

    def cells(self, domain: Box) -> Region:
        """The coarse cells that a domain touches."""
        found, side = touched(self.coarse, domain, self.name), self.card["run"]["tile"] * self.card["step"]
        if min(domain.east - domain.west, domain.north - domain.south) < side:
            raise Invalid(
                f"domain: {tuple(domain)}; prior {self.name} needs {side:g} degrees a side at least"
            )
        return Region(self, *found)


@dataclass(frozen=True)
class Region:
    """Some coarse cells of a prior."""

    prior: Prior
    rows: slice
    columns: slice

    @property
    def grid(self) -> Grid:
        return part(self.prior.coarse, self.rows, self.columns)

    @property
    def endless(self) -> bool:
        return math.isclose(self.grid.box.east - self.grid.box.west, self.prior.card["around"])

    def law(self, quantity: str) -> np.ndarray:
        return self.prior.network.laws.get_buffer(quantity)[:, self.rows, self.columns].double().numpy()

    def regressed(self, values: Mapping[str, np.ndarray]) -> Iterator[np.ndarray]:
        """Rain (mm/day) that goes with these quantities, some times after others."""
        network, whole = self.prior.network, self.prior.coarse.shape[0]
        north, margin = northern(whole)[self.rows], MARGIN if self.endless else 0
        for first in range(0, len(next(iter(values.values()))), AT_ONCE):
            seen = []
            for name in self.prior.quantities:
                mean, deviation = self.prior.card["standard"][name]
                seen.append((values[name][first : first + AT_ONCE] - mean) / deviation)
            seen.append(np.broadcast_to(north[:, None], seen[0].shape))
            fields = around(torch.from_numpy(np.stack(seen, 1)).float(), margin)
            rows, columns = fields.shape[-2:]
            unit = network.regression.unit
            fields = functional.pad(fields, (0, -columns % unit, 0, -rows % unit), "replicate")
            found = network.coarse(fields)[:, :rows, margin : columns - margin]
            mean, deviation = self.prior.card["standard"]["rain"]
            yield np.maximum(10 ** (mean + deviation * found.numpy().astype(float)) - 1, 0)

    def fine(self, coarse: Tensor, streams: Streams, noise: float) -> Denoiser:
        """The denoiser of fine fields under a coarse one of the latent side."""
        prior, margin = self.prior, MARGIN * self.prior.times if self.endless else 0
        known = finer(around(coarse[None], int(self.endless)), prior.times)
        known = known[..., prior.times : -prior.times] if self.endless else known
        shape = (known.shape[-2], known.shape[-1])
        noise = min(noise, prior.card["noisiest"])
        noised = known + noise * streams("condition", shape)
        told = condition(noised, torch.full((len(noised),), noise))
        tile, wide = prior.card["run"]["tile"], (shape[0], shape[1] + 2 * margin)
        network = Conditioned(prior.network.fine, prior.network.unit)
        whole = tiled(network, wide, int(LARGEST * tile), int(OVERLAP * tile))
        return Beside(Endless(whole, margin) if margin else whole, told)


def prior(name: str) -> Prior:
    return Prior(name, *loaded(name, NEEDED, _made))


def _made(about: Mapping[str, Any]) -> Downscaler:
    return Downscaler(about["run"], about["shapes"])
