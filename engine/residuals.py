"""Two residual networks: from a satellite to a radar's rain at its resolution, and on to a finer one.

Rain is spoken of by its logarithm. The *correction* knows a satellite's map on coarse cells and draws what
is to be added to it to make it a radar's; the *finer* network knows a coarse map, made smooth between its
cells' centres, and draws what lies between them. Each is an EDM denoiser of its residual alone, scaled to
the spread of one half that EDM's noise levels are made for. The chain is satellite, correction, coarse map
made smooth, finer; both draw, and each has noise of its own.

A chain passes its faults on, so the finer network has to know coarse maps as the correction draws them, not
only as a radar's mean has them. A free draw would do harm: it and the fine map beside it share no more than
the satellite, and a network taught on such pairs learns to mistrust what it is told, and doubts twice. So the
draws that it is taught with begin at the true coarse map under a little noise (`redrawn`): they have the
correction's manner, and still belong to their fine map.

A `Lattice` holds the coarse cells that cover a domain. A source is read onto it, by its means over these
cells or, where it is the coarser one, straight between its centres; what is drawn goes to the task's cells by
overlapping areas, or straight between centres if these are finer. Where a source is missing its nearest known
value is told, and what comes of it is missing again.
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
from scipy import ndimage
from torch import Tensor, nn

from engine.beside import Beside, Conditioned, finer
from engine.bilinear import pooled, positions, read
from engine.denoise import Karras, tiled
from engine.fields import Grid
from engine.networks.unet import UNet
from engine.noise import Streams, karras, seed_at
from engine.observe import overlaps
from engine.priors import loaded
from engine.sample import Step, groups, ito, last, multistep
from engine.transforms import Log

SPREAD = 0.5  # of a scaled residual: EDM's, of which the usual levels are ln sigma ~ N(-1.2, 1.2^2)
LOWEST, HIGHEST = 0.004, 10.0  # noise levels to end and to begin at: twenty times the spread
REDRAWN, REDRAWS = 0.25, 4  # noise level from which coarse maps are drawn again, and in how many steps
RAIN = Log(trace=0.1)
DRIZZLE = 0.02  # mm/h, below which a member is dry: what is left of the noise
STAGES: tuple[str, ...] = ("correction", "finer")
NEEDED = ("run", "scales", "coarse")
MARGIN = 2  # coarse cells beyond the domain: so far sources are known


class Residuals(nn.Module):
    """The two networks."""

    def __init__(self, network: Mapping[str, Any]) -> None:
        super().__init__()
        self.correction, self.finer = (Karras(UNet(1, 1, **network, padding="zeros"), SPREAD) for _ in STAGES)


@dataclass(frozen=True)
class Stage:
    """One of them: what it says is multiplied by ``scale`` and added to what it is told."""

    network: Karras
    scale: float
    tile: int  # cells, of its training

    @property
    def unit(self) -> int:
        network = self.network.network
        assert isinstance(network, UNet)
        return network.unit

    def under(self, told: Tensor) -> Beside:
        """The denoiser of scaled residuals under a map, or under one for each member."""
        shape = (told.shape[-2], told.shape[-1])
        whole = tiled(Conditioned(self.network, self.unit), shape, 2 * self.tile, self.tile // 4)
        return Beside(whole, (told,))

    def draws(self, told: Tensor, streams: Streams, steps: int) -> Iterator[Step]:
        """From noise to scaled residuals."""
        begun = HIGHEST * streams("start", told.shape[-2:])
        return ito(self.under(told), begun, karras(steps, LOWEST, HIGHEST), streams)

    def residual(self, told: Tensor, target: Tensor) -> Tensor:
        return (target - told) / self.scale

    def added(self, told: Tensor, residual: Tensor) -> Tensor:
        return (told + self.scale * residual).clamp(min=0)  # there is no less than no rain


@dataclass(frozen=True)
class Chain:
    """A trained pair."""

    card: Mapping[str, Any]
    network: Residuals

    @property
    def step(self) -> float:
        """Of the coarse cells, in degrees."""
        return float(self.card["coarse"])

    @property
    def factor(self) -> int:
        return int(self.card["run"]["factor"])

    def stage(self, name: str) -> Stage:
        return Stage(getattr(self.network, name), self.card["scales"][name], self.card["run"][name]["tile"])

    def draws(
        self, coarse: np.ndarray, noise: Mapping[str, Streams], steps: int, stages: Sequence[str] = STAGES
    ) -> Iterator[tuple[float, np.ndarray | None]]:
        """How far an hour is, at last with its rain (member, rows, columns), from rain on coarse cells."""
        told = RAIN.forward(torch.from_numpy(filled(coarse)).float())
        for number, name in enumerate(stages):
            stage, step = self.stage(name), None
            told = finer(told, self.factor) if name == "finer" else told
            for step in stage.draws(told, noise[name], steps):
                yield (number + 0.99 * step.progress) / len(stages), None
            assert step is not None
            told = stage.added(told, step.x)
        rain = RAIN.inverse(told)
        yield 1.0, torch.where(rain < DRIZZLE, 0.0, rain).numpy()


def noise_of(seed: int, time: pd.Timestamp, members: Sequence[int]) -> dict[str, Streams]:
    """Of each stage, for an hour: it belongs to its time, whatever period that stands in."""
    seeds = [seed_at(seed, time, number) for number in range(len(STAGES))]
    return {name: Streams(each, members) for name, each in zip(STAGES, seeds, strict=True)}


def chain(name: str) -> Chain:
    return Chain(*loaded(name, NEEDED, _made))


def _made(about: Mapping[str, Any]) -> Residuals:
    return Residuals(about["run"]["network"])


@dataclass(frozen=True)
class Lattice:
    """The coarse cells of a chain that cover a task's grid, with a margin, and the finer ones in them."""

    grid: Grid
    step: float
    factor: int

    @property
    def shape(self) -> tuple[int, int]:
        rows, columns = (int(np.ceil(size * self.grid.step / self.step - 1e-6)) for size in self.grid.shape)
        return rows + 2 * MARGIN, columns + 2 * MARGIN

    @property
    def stages(self) -> Sequence[str]:
        """Both where the task asks for more than the coarse cells tell."""
        return STAGES if self.grid.step < 0.999 * self.step else STAGES[:1]

    def parts(self, members: Sequence[int]) -> list[Sequence[int]]:
        """The members in groups that are denoised together."""
        cells = math.prod(self.shape) * self.factor ** (2 * len(self.stages) - 2)
        return groups(members, cells)

    def axes(self, factor: int) -> tuple[np.ndarray, np.ndarray]:
        """Latitudes and longitudes of the edges of cells ``factor`` times as fine."""
        corner = (self.grid.box.south, self.grid.box.west)
        south, west = (np.arange(size * factor + 1) / factor - MARGIN for size in self.shape)
        return corner[0] + south * self.step, corner[1] + west * self.step

    def told(self, sources: Sequence[xr.DataArray], time: pd.Timestamp) -> np.ndarray:
        """The mean of some sources on the coarse cells; missing where one of them is."""
        return np.stack([self._read(each.sel(time=time)) for each in sources]).mean(0)

    def _read(self, rain: xr.DataArray) -> np.ndarray:
        parts = max(1, round(self.step / float(rain.lat[1] - rain.lat[0])))
        centres = (edges[:-1] + np.diff(edges) / 2 for edges in self.axes(parts))
        rows, columns = (
            positions(axis.values, each) for axis, each in zip((rain.lat, rain.lon), centres, strict=True)
        )
        fine = read(rain.values, *np.meshgrid(rows, columns, indexing="ij"))
        return pooled(fine, parts)

    def to_grid(self, rain: np.ndarray, missing: np.ndarray) -> np.ndarray:
        """Rain (member, rows, columns) of either cells on the task's grid."""
        factor = rain.shape[-1] // self.shape[-1]
        lat, lon = self.axes(factor)
        at = [
            positions(each[:-1] + np.diff(each) / 2, to)
            for each, to in zip((lat, lon), self._places, strict=True)
        ]
        if self.grid.step < 0.999 * self.step / factor:
            found = read(rain, *np.meshgrid(*at, indexing="ij"))
        else:
            south, west = (
                np.append(each - self.grid.step / 2, each[-1] + self.grid.step / 2) for each in self._places
            )
            rows, columns = overlaps(_sine(lat), _sine(south)).numpy(), overlaps(lon, west).numpy()
            found = rows @ rain @ columns.T
        low, left = ((each / factor + 0.5 / factor).astype(int) for each in at)
        return np.where(missing[np.ix_(low, left)], np.nan, found).astype(np.float32)

    @property
    def _places(self) -> tuple[np.ndarray, np.ndarray]:
        return self.grid.lat, self.grid.lon


def _sine(lat: np.ndarray) -> np.ndarray:
    """Between two parallels the area is the difference of their sines."""
    return np.sin(np.radians(np.clip(lat, -90, 90)))


def redrawn(stage: Stage, told: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
    """Maps near the target as the stage draws them: its residual under a little noise, taken off again."""
    residual = stage.residual(told, target)
    noised = residual + REDRAWN * torch.randn(residual.shape, generator=generator).to(residual.device)
    denoiser = Beside(Conditioned(stage.network, stage.unit), (told,))
    # in single precision: what is cast under no gradient would be kept for the loss
    with torch.no_grad(), torch.autocast(told.device.type, enabled=False):
        return stage.added(told, last(multistep(denoiser, noised, karras(REDRAWS, high=REDRAWN))))


def filled(rain: np.ndarray) -> np.ndarray:
    """A map with its missing cells as the nearest known one: a network cannot be told of nothing."""
    missing = np.isnan(rain)
    if not missing.any():
        return rain
    if missing.all():
        return np.zeros_like(rain)
    nearest: Any = ndimage.distance_transform_edt(missing, return_distances=False, return_indices=True)
    return rain[tuple(nearest)]
