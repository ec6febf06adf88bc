"""Trained priors as denoisers on any grid.

On a grid a prior (`engine.cards`) is told what was seen, as a sketch (`engine.sketch`), the label whose
habits the fields are to have and the spacing of the cells in km. Fields larger than it was taught on go
through it in tiles (`engine.denoise.tiled`), for a network's means over a map are those of its tiles.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from safetensors import safe_open
from torch import Tensor, nn

from engine.beside import Beside
from engine.cards import card, place
from engine.climate import Climate
from engine.denoise import Denoiser, Level, tiled
from engine.fields import KM_PER_DEGREE, Grid
from engine.networks.points import Places, Points
from engine.sketch import Sketch, Sketched
from engine.transforms import NormalScore
from engine.values import Invalid

LARGEST, OVERLAP = 2.0, 0.25  # of a tile, in tiles of the training, and what two of them share
AT_ONCE = 8  # tiles
NEEDED = ("run", "labels", "score", "climate")


@dataclass(frozen=True)
class Prior:
    name: str
    card: Mapping[str, Any]
    network: Sketched

    @property
    def score(self) -> NormalScore:
        """Signed rain (`engine.signed`) to the latent side."""
        return NormalScore.read(self.card["score"])

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

    def on(self, grid: Grid, label: str, sketch: Sketch | None = None) -> Denoiser:
        """Its denoiser on a grid, under a sketch or of any fields."""
        told = Told(self.network, self.label(label), grid.step * KM_PER_DEGREE)
        tile = int(self.card["run"]["tile"])
        whole = tiled(told, grid.shape, int(LARGEST * tile), int(OVERLAP * tile), AT_ONCE)
        sketch = sketch or Sketch.nothing(grid.shape)
        return Beside(whole, (sketch.mean, sketch.spread))

    def at(self, grid: Grid, label: str, places: Places) -> Denoiser:
        """Its denoiser of any values at scattered places, which lie on this grid's lattice."""
        told = Told(self.network, self.label(label), grid.step * KM_PER_DEGREE, places)
        nothing = Sketch.nothing(())
        return Beside(told, (nothing.mean, nothing.spread))


@dataclass(frozen=True)
class Told(Denoiser):
    """A network with its conditions. Fields come with their sketch, (members, 3, ...), for who cuts a map
    into tiles cuts both."""

    network: Sketched
    label: int
    spacing: float
    places: Places | None = None

    def __call__(self, x: Tensor, sigma: Level) -> Tensor:
        label, spacing = torch.tensor(self.label), torch.tensor(self.spacing)
        field, mean, spread = x.unbind(1)
        said = self.network(field, sigma, Sketch(mean, spread), label, spacing, None, None, self.places)
        return said[:, None].expand_as(x)


Net = TypeVar("Net", bound=nn.Module)


def loaded(name: str, needed: Sequence[str], made: Callable[[Mapping[str, Any]], Net]) -> tuple[Mapping, Net]:
    """A prior's card, with what is needed of it, and its network, which is ``made`` for such a card."""
    path, about = place(name), card(name, needed)
    return about, cast(Net, _network(path, path.stat().st_mtime_ns, made))


@functools.lru_cache(maxsize=8)
def _network(path: Path, changed: int, made: Callable[[Mapping[str, Any]], nn.Module]) -> nn.Module:
    network = made(card(path.stem))
    with safe_open(path, "pt") as file:
        network.load_state_dict({name: file.get_tensor(name).float() for name in file.keys()})  # noqa: SIM118
    return network.requires_grad_(False).eval()


def prior(name: str) -> Prior:
    return Prior(name, *loaded(name, NEEDED, _made))


def _made(about: Mapping[str, Any]) -> Sketched:
    return Sketched(Points(len(about["labels"]), **about["run"]["network"]))
