"""Rain from the circulation, and fine rain from coarse (`engine.downscaler`), taught by simulated worlds.

A *world* is a case of hourly layers on one grid, periodic from west to east. What is learned from are means
over the run's ``interval``, ending at any hour. The two networks are taught side by side, by the sum of their
losses: the regression by maps in cells of ``coarse`` degrees, the missed squares of transformed rain; the
fine network by squares of fine cells that are told their own coarse rain, as noised as a random level says.
So it learns how much of a coarse field it may believe.

The last cases are held out whole.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from training.lessons import Lessons, at_levels, checked, files, written
from training.worlds import blocks, hourly, law

from engine.beside import finer
from engine.denoise import Levels
from engine.downscaled import HOURS
from engine.downscaler import Downscaler, condition, northern
from engine.fields import Grid
from engine.noise import stratified
from engine.sources.cases import read_case
from engine.sources.instruments import area_mean

ENTRIES = ("worlds", "predictors", "interval", "coarse", "hold_out", "regression", "fine", "tile", "batch")
OPTIONAL = ()
SHARES, KEPT = 128, 160  # equal parts of a law; coarse maps of rain that are kept with the weights
CLEAR, LEAST, MOST = 0.15, 0.2, 8.0  # share of conditions without noise, and the range of the others' levels
MEAN, SPREAD = -0.3, 1.5  # of ln sigma: wide, for under much noise little of a map is known
JUDGED = (0.1, 0.5, 2.0, 5.0, 10.0)


@dataclass(frozen=True)
class World:
    """Hours of rain (mm/day) in fine cells; of all quantities in coarse ones means that end at each hour."""

    name: str
    rain: np.ndarray  # (hours, rows, columns)
    predictors: np.ndarray  # (means, quantities, rows, columns)
    grid: Grid
    every: int  # hours of a mean

    def fine(self, number: int) -> np.ndarray:
        return self.rain[number : number + self.every].mean(0, dtype=np.float32)

    def __len__(self) -> int:
        return len(self.predictors)

    @property
    def apart(self) -> range:
        """Means that have no hour in common."""
        return range(0, len(self), self.every)


@dataclass(frozen=True)
class Batch:
    predictors: Tensor
    coarse: Tensor
    fine: Tensor
    upsampled: Tensor
    noise: Tensor


@dataclass(frozen=True)
class Climates(Lessons):
    run: dict[str, Any]
    learned: list[World]
    held: list[World]
    about: dict[str, Any]  # mean and deviation of every quantity

    def denoiser(self) -> Downscaler:
        made = Downscaler(self.run, self.shapes)
        for name, values in self.laws.items():
            made.laws.get_buffer(name).copy_(torch.from_numpy(values))
        kept = np.linspace(0, len(self.coarse) - 1, KEPT).round().astype(int)
        made.reference.copy_(torch.from_numpy(self.coarse[kept]))
        return made

    @cached_property
    def laws(self) -> dict[str, np.ndarray]:
        found = {}
        for index, name in enumerate(self.run["predictors"]):
            means = np.concatenate([each.predictors[:: each.every, index] for each in self.learned])
            found[name] = law(means, SHARES)
        return found | {"rain": law(self.coarse, SHARES)}

    @cached_property
    def coarse(self) -> np.ndarray:
        """All rain that was learned, in coarse cells."""
        every = [(world, number) for world in self.learned for number in world.apart]
        return np.stack([blocks(world.fine(number), self.times) for world, number in every])

    @property
    def times(self) -> int:
        return round(self.run["coarse"] / self.learned[0].grid.step)

    @property
    def shapes(self) -> dict[str, Any]:
        cells = tuple(side // self.times for side in self.learned[0].grid.shape)
        return {"law": (SHARES, *cells), "reference": (KEPT, *cells)}

    def batch(self, rng: np.random.Generator, generator: torch.Generator, step: int) -> Batch:
        return self._drawn(rng, self.learned)

    def _drawn(self, rng: np.random.Generator, worlds: list[World]) -> Batch:
        count, tile, times = self.run["batch"], self.run["tile"], self.times
        wide = tile // times * 3 // 2  # the regression sees farther
        parts = []
        for _ in range(count):
            world = worlds[int(rng.integers(len(worlds)))]
            number = int(rng.integers(len(world)))
            rain = world.fine(number)
            coarse = self.scaled(blocks(rain, times))
            parts.append(
                (
                    *cut(rng, (self.standard(world, number), coarse[None]), wide),
                    *cut(rng, (self.scaled(rain)[None], upsampled(coarse, times)[None]), tile, times),
                )
            )
        predictors, coarse, fine, known = (
            torch.from_numpy(np.stack(each)) for each in zip(*parts, strict=True)
        )
        noise = LEAST * (MOST / LEAST) ** rng.random(count) * (rng.random(count) > CLEAR)
        return Batch(predictors, coarse[:, 0], fine[:, 0], known[:, 0], torch.from_numpy(noise).float())

    def scaled(self, rain: np.ndarray) -> np.ndarray:
        mean, deviation = self.about["rain"]
        return ((np.log10(1 + rain) - mean) / deviation).astype(np.float32)

    def standard(self, world: World, number: int) -> np.ndarray:
        """What the regression sees of a time: all quantities, and how far north it is."""
        mean, deviation = (np.array(each)[:, None, None] for each in zip(*self._predictors, strict=True))
        values = (world.predictors[number] - mean) / deviation
        north = np.broadcast_to(northern(values.shape[1])[:, None], values[:1].shape)
        return np.concatenate([values, north]).astype(np.float32)

    @property
    def _predictors(self) -> list[tuple[float, float]]:
        return [self.about[name] for name in self.run["predictors"]]

    def loss(self, denoiser: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        regressed, fine = self._missed(denoiser, batch, generator, learned)
        return regressed + fine

    @staticmethod
    def _missed(
        denoiser: nn.Module, batch: Batch, generator: torch.Generator, levels: Levels
    ) -> tuple[Tensor, Tensor]:
        assert isinstance(denoiser, Downscaler)
        device = denoiser.reference.device
        regressed = (denoiser.coarse(batch.predictors.to(device)) - batch.coarse.to(device)).square().mean()
        white = torch.randn(batch.upsampled.shape, generator=generator)
        told = condition(batch.upsampled + batch.noise[:, None, None] * white, batch.noise)
        told = (each.to(device) for each in told)
        return regressed, denoiser.fine.loss(batch.fine.to(device), generator, *told, levels=levels)

    def judged(self, denoiser: nn.Module, step: int, count: int) -> dict[str, float]:
        def missed(rng: np.random.Generator, generator: torch.Generator, levels: Levels) -> dict[str, Tensor]:
            losses = self._missed(denoiser, self._drawn(rng, self.held), generator, levels)
            return dict(zip(("regression", ""), losses, strict=True))

        found = at_levels(JUDGED, count, missed)
        regression = [found.pop(f"regression {sigma:g}") for sigma in JUDGED]  # no noise is in it
        return {"regression": regression[0], **found}

    def card(self) -> dict[str, Any]:
        grid = self.learned[0].grid
        return {
            "box": list(grid.box),
            "around": grid.box.east - grid.box.west,
            "step": grid.step,
            "shapes": self.shapes,
            "standard": self.about,
            "top": round(
                max(float(world.fine(each).max()) for world in self.learned for each in world.apart), 1
            ),
            "noisiest": MOST,
            "learned": [world.name for world in self.learned],
            "held out": [world.name for world in self.held],
        }


def learned(count: int, generator: torch.Generator) -> Tensor:
    return stratified(count, generator, MEAN, SPREAD)


def upsampled(coarse: np.ndarray, times: int) -> np.ndarray:
    """Coarse fields that are periodic from west to east, in fine cells."""
    around = np.pad(coarse, ((0, 0), (1, 1)), "wrap")
    return finer(torch.from_numpy(around)[None], times)[0, :, times:-times].numpy()


def cut(
    rng: np.random.Generator, fields: tuple[np.ndarray, ...], side: int, unit: int = 1
) -> list[np.ndarray]:
    """A square of all of these fields (channels, rows, columns), which are periodic from west to east."""
    rows, columns = fields[0].shape[-2:]
    top = unit * int(rng.integers((rows - side) // unit + 1))
    east = (unit * int(rng.integers(columns // unit)) + np.arange(side)) % columns
    return [each[:, top : top + side][:, :, east] for each in fields]


def taught(run: dict[str, Any], beside: Path, build: Path) -> Climates:
    run["worlds"] = str(run["worlds"])
    for part in ("regression", "fine"):
        run[part] = checked(part, run[part], ("widths", "blocks", "patch"), ("widths",)) | {
            "padding": "zeros"
        }
    worlds = [read(path, run, build / "corpus") for path in files(run["worlds"], beside)]
    kept = len(worlds) - run["hold_out"]
    return Climates(run, worlds[:kept], worlds[kept:], standards(run, worlds[:kept]))


def standards(run: dict[str, Any], worlds: list[World]) -> dict[str, tuple[float, float]]:
    """Mean and deviation of every quantity, of rain transformed."""
    found = {}
    for index, name in enumerate(run["predictors"]):
        values = np.concatenate([world.predictors[:: world.every, index] for world in worlds])
        found[name] = (float(values.mean()), float(values.std()))
    rain = np.log10(1 + np.stack([world.fine(each) for world in worlds for each in world.apart]))
    return found | {"rain": (float(rain.mean()), float(rain.std()))}


def read(path: Path, run: dict[str, Any], build: Path) -> World:
    """A world, read once and kept in build/."""
    every = int(run["interval"].removesuffix("h"))
    changed = path.stat().st_mtime_ns
    asked = f"{path} {changed} {every} {run['coarse']} {run['predictors']}"
    kept = build / f"climate_{hashlib.sha256(asked.encode()).hexdigest()[:16]}.npz"
    layer = functools.partial(hourly, read_case(path, changed))
    if not kept.exists():
        means = []
        for name in run["predictors"]:
            values, _ = area_mean(layer(name), run["coarse"])
            total = np.concatenate([np.zeros_like(values[:1]), values.cumsum(0)])
            means.append((total[every:] - total[:-every]) / every)
        rain = (HOURS * layer("rain").values).astype(np.float16)
        with written(kept) as file:
            np.savez(file, rain=rain, predictors=np.stack(means, 1).astype(np.float32))
    with np.load(kept) as found:
        return World(path.stem, found["rain"], found["predictors"], Grid.of(layer("rain")), every)
