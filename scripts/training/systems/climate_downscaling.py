"""Rain from the circulation, and fine rain from coarse (`engine.downscaler`), taught by simulated worlds.

A *world* is a case of hourly layers on one grid, periodic from west to east. What is learned from are means
over the run's ``interval``, ending at any hour. The two networks are taught side by side, by the sum of their
losses: the regression by maps in cells of ``coarse`` degrees, the missed squares of transformed rain; the
fine network by squares of fine cells that are told their own coarse rain, as noised as a random level says.
So it learns how much of a coarse field it may believe.

The last cases are held out whole.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn
from training.lessons import Lessons, checked, files

from engine.beside import finer
from engine.denoise import Levels
from engine.downscaled import HOURS
from engine.downscaler import Downscaler, condition, northern
from engine.fields import Grid
from engine.noise import stratified
from engine.sources.cases import read_case
from engine.sources.instruments import area_mean
from engine.values import Invalid

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
        for name, law in self.laws.items():
            made.laws.get_buffer(name).copy_(torch.from_numpy(law))
        kept = np.linspace(0, len(self.coarse) - 1, KEPT).round().astype(int)
        made.reference.copy_(torch.from_numpy(self.coarse[kept]))
        return made

    @cached_property
    def laws(self) -> dict[str, np.ndarray]:
        found = {}
        for index, name in enumerate(self.run["predictors"]):
            found[name] = law(
                np.concatenate([each.predictors[:: each.every, index] for each in self.learned])
            )
        return found | {"rain": law(self.coarse)}

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
        found: dict[str, float] = {}
        for sigma in JUDGED:
            level: Levels = lambda count, _, sigma=sigma: torch.full((count,), sigma)  # noqa: E731
            generator, total = torch.Generator().manual_seed(1), np.zeros(2)
            for number in range(count):
                batch = self._drawn(np.random.default_rng([7, number]), self.held)
                missed = self._missed(denoiser, batch, generator, level)
                total += [float(each) for each in missed]
            found |= {
                "regression": round(float(total[0]) / count, 5),
                f"{sigma:g}": round(float(total[1]) / count, 5),
            }
        return found

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

    def fit(self) -> None:
        """All was learned when the worlds were read."""

    def refit(self, fitted: Mapping[str, Any]) -> None:
        pass


def learned(count: int, generator: torch.Generator) -> Tensor:
    return stratified(count, generator, MEAN, SPREAD)


def law(values: np.ndarray) -> np.ndarray:
    """Means of equal parts of the sorted values, so that their mean is the values' own."""
    ordered = np.sort(values, 0)
    edges = np.linspace(0, len(ordered), SHARES + 1)
    total = np.concatenate([np.zeros_like(ordered[:1], dtype=float), ordered.cumsum(0, dtype=float)])
    low = np.minimum(edges.astype(int), len(ordered) - 1)
    whole = total[low] + (edges - low).reshape(-1, *(1,) * (values.ndim - 1)) * ordered[low]
    return np.diff(whole, axis=0) * SHARES / len(ordered)


def blocks(fine: np.ndarray, times: int) -> np.ndarray:
    rows, columns = fine.shape
    return fine.reshape(rows // times, times, columns // times, times).mean((1, 3))


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
    case = read_case(path, changed)

    def layer(name: str) -> xr.DataArray:
        field = case.layer(name)
        if not isinstance(field, xr.DataArray) or field.attrs.get("interval") != "1h":
            raise Invalid(f"worlds: {path.name}/{name} is no hourly field")
        return field

    if not kept.exists():
        build.mkdir(parents=True, exist_ok=True)
        means = []
        for name in run["predictors"]:
            values, _ = area_mean(layer(name), run["coarse"])
            total = np.concatenate([np.zeros_like(values[:1]), values.cumsum(0)])
            means.append((total[every:] - total[:-every]) / every)
        rain = (HOURS * layer("rain").values).astype(np.float16)
        unfinished = kept.with_name(f"{os.getpid()}.{kept.name}")  # several processes may be reading
        np.savez(unfinished, rain=rain, predictors=np.stack(means, 1).astype(np.float32))
        unfinished.replace(kept)
    with np.load(kept) as found:
        return World(path.stem, found["rain"], found["predictors"], Grid.of(layer("rain")), every)
