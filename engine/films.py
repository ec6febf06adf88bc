"""A trained prior of films: some hours of fine weather, told what is known of them.

A *film* is (quantities, hours, rows, columns): rain first, on the latent side (signed, as the quantile of a
normal), and what goes with it, standardised. The network is a denoiser of films that are `HOURS` long, and it
is told (`Told`) of every hour what a coarse simulation says of it, and how much that is worth: nothing, so
much (`worth`), or all, where the hour is known, for it was drawn before. It has learned with all of this and
without, so it is one prior under any evidence.

With the weights are kept the laws of the reference, of every quantity and every interval that was taught, in
every coarse cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.denoise import Denoiser, Karras, Level, tiled
from engine.fields import Box, Grid
from engine.networks.film import FilmNet
from engine.overlap import part, touched
from engine.priors import loaded
from engine.transforms import NormalScore
from engine.values import Invalid

HOURS = 13  # of a film
MEMORY, AHEAD = 1, 6  # of these known from the film before, and drawn for what they tell, then dropped
KEPT = HOURS - MEMORY - AHEAD
TRACE = 0.1  # mm/h: coarse rain is told as the logarithm of how many of these it is
SHARP = 4.0  # errors of a quarter halve what evidence is worth
KNOWN = 2.0  # the worth of an hour that was drawn before
LARGEST, OVERLAP = 2.0, 0.25  # of a tile, in tiles of the training, and what two of them share
NEEDED = ("run", "box", "step", "shapes", "standard", "score")


@dataclass(frozen=True)
class Told:
    """What is known of films, hour by hour: values (n, quantities, hours, rows, columns), missing as zero,
    and what they are worth (n, 2, hours, rows, columns), rain by itself and all others together."""

    values: Tensor
    worth: Tensor

    @classmethod
    def of(cls, coarse: Tensor, error: Tensor, times: int) -> Told:
        """Of coarse fields, missing as NaN, with errors (n,) of these sizes, in cells ``times`` smaller."""
        known = coarse.isfinite()
        both = torch.stack([known[:, 0], known[:, 1:].all(1)], 1)
        use = torch.cat([both[:, :1], both[:, 1:].expand_as(known[:, 1:])], 1)
        worth = both / (1 + SHARP * error.reshape(-1, 1, 1, 1, 1))
        return cls(_finer(coarse.where(use, 0.0), times), _finer(worth, times))

    def remembering(self, hours: Tensor, known: Tensor) -> Told:
        """With the first hours (n, quantities, `MEMORY`, rows, columns) known, of those films (n,) where they
        are."""
        here = known.reshape(-1, 1, 1, 1, 1)
        values = torch.where(here, hours, self.values[:, :, :MEMORY])
        worth = torch.where(here, KNOWN, self.worth[:, :, :MEMORY])
        later = (each[:, :, MEMORY:] for each in (self.values, self.worth))
        return Told(*(torch.cat(each, 2) for each in zip((values, worth), later, strict=True)))

    def flat(self, north: Tensor) -> Tensor:
        """As channels, with how far north each cell lies (rows, columns)."""
        place = north.expand(len(self.values), 1, *north.shape[-2:])
        return torch.cat([self.values.flatten(1, 2), self.worth.flatten(1, 2), place], 1)


def _finer(coarse: Tensor, times: int) -> Tensor:
    return coarse.repeat_interleave(times, -1).repeat_interleave(times, -2)


def told_rain(rain: Any) -> Any:
    """Coarse rain (mm/h) as it is told. An error of its logarithm is one of a share of the amount."""
    return (torch.log1p if isinstance(rain, Tensor) else np.log1p)(rain / TRACE)


class Films(nn.Module):
    """What one training teaches. ``laws`` are (shares, rows, columns) for each quantity and interval: values
    at equally many equal parts of what it was in every coarse cell."""

    def __init__(self, run: Mapping[str, Any], shapes: Mapping[str, Sequence[int]]) -> None:
        super().__init__()
        self.quantities = 1 + len(run["others"])
        network = FilmNet(HOURS, self.quantities, self.quantities + 2, 1, **run["network"])
        self.film, self.unit = Karras(network), network.unit
        self.laws = nn.Module()
        for name in ("rain", *run["others"]):
            for every in run["intervals"]:
                self.laws.register_buffer(f"{name}_{every}", torch.zeros(*shapes["law"]))


@dataclass(frozen=True)
class Flattened(Denoiser):
    """The network on maps of all channels, those of the film and what it is told, on their way through
    tiles."""

    network: Films

    def __call__(self, x: Tensor, sigma: Level) -> Tensor:
        rows, columns = x.shape[-2:]
        film = self.network.quantities * HOURS
        whole = functional.pad(
            x, (0, -columns % self.network.unit, 0, -rows % self.network.unit), "replicate"
        )
        said = self.network.film(whole[:, :film], sigma, whole[:, film:])[..., :rows, :columns]
        return functional.pad(said, (0, 0, 0, 0, 0, x.shape[1] - film))


@dataclass(frozen=True)
class Under(Denoiser):
    """Films under what is told of them."""

    prior: Denoiser
    told: Tensor  # (members or one, channels, rows, columns)

    def __call__(self, x: Tensor, sigma: Level) -> Tensor:
        flat = x.flatten(1, 2)
        told = self.told.expand(len(x), *self.told.shape[1:])
        return self.prior(torch.cat([flat, told], 1), sigma)[:, : flat.shape[1]].reshape(x.shape)


@dataclass(frozen=True)
class Prior:
    name: str
    card: Mapping[str, Any]
    network: Films

    @property
    def quantities(self) -> tuple[str, ...]:
        return ("rain", *self.card["run"]["others"])

    @property
    def score(self) -> NormalScore:
        """Signed rain (`engine.signed`) to the latent side."""
        return NormalScore.read(self.card["score"])

    @property
    def coarse(self) -> Grid:
        return Grid(Box(*self.card["box"]), self.card["run"]["coarse"])

    @property
    def times(self) -> int:
        return round(self.card["run"]["coarse"] / self.card["step"])

    def every(self, name: str, hours: float) -> int:
        """An interval that was taught."""
        if hours not in (taught := self.card["run"]["intervals"]):
            known = ", ".join(f"{each}h" for each in taught)
            raise Invalid(f"source {name}: means of {hours:g}h; prior {self.name} was taught {known}")
        return int(hours)

    def standard(self, quantity: str, values: np.ndarray) -> np.ndarray:
        """Coarse values as they are told."""
        mean, deviation = self.card["standard"][quantity]
        return ((told_rain(values) if quantity == "rain" else values) - mean) / deviation

    def cells(self, domain: Box) -> Region:
        """The coarse cells that a domain touches."""
        return Region(self, *touched(self.coarse, domain, self.name))


@dataclass(frozen=True)
class Region:
    """Some coarse cells of a prior, and the fine cells in them."""

    prior: Prior
    rows: slice
    columns: slice

    @property
    def coarse(self) -> Grid:
        return part(self.prior.coarse, self.rows, self.columns)

    @property
    def grid(self) -> Grid:
        return replace(self.coarse, step=self.prior.card["step"])

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a film."""
        return len(self.prior.quantities), HOURS, *self.grid.shape

    def law(self, quantity: str, every: int) -> np.ndarray:
        kept = self.prior.network.laws.get_buffer(f"{quantity}_{every}")
        return kept[:, self.rows, self.columns].double().numpy()

    def under(self, coarse: Tensor, error: float, before: Tensor | None) -> Denoiser:
        """The denoiser of films of which coarse fields (quantities, hours, rows, columns) are told, with
        errors of this size, after the last hours of those before, of each member its own."""
        told = Told.of(coarse[None], torch.tensor([error]), self.prior.times)
        if before is not None:
            many = Told(*(each.expand(len(before), *each.shape[1:]) for each in (told.values, told.worth)))
            told = many.remembering(before, torch.ones(len(before), dtype=torch.bool))
        north = northern(self.prior.coarse, self.grid)
        tile = self.prior.card["run"]["tile"]
        whole = tiled(
            Flattened(self.prior.network), self.grid.shape, int(LARGEST * tile), int(OVERLAP * tile), 1
        )
        return Under(whole, told.flat(torch.from_numpy(north).float()[:, None].expand(self.grid.shape)))


def northern(world: Grid, grid: Grid) -> np.ndarray:
    """How far north the rows of a grid lie in the world that was learned: -1 to 1."""
    box = world.box
    return 2 * (grid.lat - box.south) / (box.north - box.south) - 1


def prior(name: str) -> Prior:
    return Prior(name, *loaded(name, NEEDED, _made))


def _made(about: Mapping[str, Any]) -> Films:
    return Films(about["run"], about["shapes"])
