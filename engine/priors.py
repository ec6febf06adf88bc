"""Trained priors as denoisers on any grid.

On a grid a prior (`engine.cards`) is told the label whose habits the fields are to have and the spacing of
the cells in km. Fields larger than it was taught on go through it in tiles (`engine.denoise.tiled`), for a
network's means over a map are those of its tiles.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from engine.cards import card, place
from engine.climate import Climate
from engine.denoise import Denoiser, Gaussian, Karras, Level, tiled
from engine.fields import KM_PER_DEGREE, Grid
from engine.networks.points import Places, Points
from engine.transforms import Affine, Chain, Log
from engine.values import Invalid

TRACE, TOP = 0.1, 150.0  # mm/h, of the logarithm that every prior of rain is taught in
LARGEST, OVERLAP = 2.0, 0.25  # of a tile, in tiles of the training, and what two of them share
AT_ONCE = 8  # tiles


@dataclass(frozen=True)
class Prior:
    name: str
    card: Mapping[str, Any]
    network: Karras

    @property
    def transform(self) -> Chain:
        """Rain in mm/h to the latent side."""
        return Chain((Log(TRACE, TOP), Affine(self.card["shift"], self.card["scale"])))

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.card["labels"])

    def label(self, name: str) -> int:
        if name not in self.labels:
            raise Invalid(
                f"settings.label: no {name!r} in prior {self.name}; it has {', '.join(self.labels)}"
            )
        return self.labels.index(name)

    def climate(self, label: str, spacing: float) -> Climate:
        """That of the label, learned at the spacing nearest to this one (km)."""
        told = [each for each in self.card["climate"] if each["label"] == label]
        return Climate.read(min(told, key=lambda each: abs(math.log(each["spacing"] / spacing))))

    def spacings(self, label: str) -> tuple[float, float]:
        """The finest and the coarsest that it was taught, km."""
        told = [each["spacing"] for each in self.card["climate"] if each["label"] == label]
        return min(told), max(told)

    def on(self, grid: Grid, label: str) -> tuple[Denoiser, Gaussian]:
        """Its denoiser on a grid, and its climate there."""
        spacing = grid.step * KM_PER_DEGREE
        denoiser = Told(self.network, self.label(label), spacing)
        tile = int(self.card["run"]["tile"])
        whole = tiled(denoiser, grid.shape, int(LARGEST * tile), int(OVERLAP * tile), AT_ONCE)
        return whole, self.climate(label, spacing).on(grid)

    def at(self, grid: Grid, label: str, places: Places) -> Denoiser:
        """Its denoiser at scattered places, which lie on this grid's lattice."""
        return Told(self.network, self.label(label), grid.step * KM_PER_DEGREE, places)


@dataclass(frozen=True)
class Told(Denoiser):
    """A network with its conditions."""

    network: Karras
    label: int
    spacing: float
    places: Places | None = None

    def __call__(self, x: Tensor, sigma: Level) -> Tensor:
        label, spacing = torch.tensor(self.label), torch.tensor(self.spacing)
        return self.network(x, sigma, label, spacing, None, None, self.places)


@functools.lru_cache(maxsize=4)
def _network(path: Path, changed: int) -> Karras:
    about = card(path.stem)
    with safe_open(path, "pt") as file:
        weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    network = Karras(Points(len(about["labels"]), **about["run"]["network"]))
    network.load_state_dict(weights)
    return network.requires_grad_(False).eval()


def prior(name: str) -> Prior:
    path = place(name)
    return Prior(name, card(name), _network(path, path.stat().st_mtime_ns))
