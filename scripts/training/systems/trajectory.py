"""Films of weather, told what is known of them (`engine.films`), taught by simulated worlds.

A *world* is a case of hourly layers on one grid, periodic from west to east. A step learns from films of
squares of it, noised at a random level, of each of which something is told: the means over coarse cells and
one of the run's intervals, with errors of a random size, of rain, of all others, of both or of neither, for
all hours or for all but the last six; and the first hour itself, or not. So what it learns is a prior under
any of these, and under none.

The last worlds are held out whole.
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

from engine.denoise import Levels
from engine.fields import KM_PER_DEGREE, Grid
from engine.films import AHEAD, HOURS, MEMORY, Films, Told, northern, told_rain
from engine.noise import stratified
from engine.signed import signed
from engine.sources.cases import read_case
from engine.transforms import NormalScore
from engine.values import Invalid

ENTRIES = ("worlds", "others", "intervals", "coarse", "hold_out", "network", "tile", "batch")
OPTIONAL = ()
SHARES = 48  # values of a law
SOME = 2_000_000  # values that a score is told from
RAIN, OTHERS, LATER, BEFORE = 0.85, 0.5, 0.9, 0.75  # chances that these are told
CLEAR, LEAST, MOST = 0.25, 0.02, 1.0  # share of evidence without errors, and the range of the others'
MEAN, SPREAD = -0.5, 1.4  # of ln sigma: what is large is told, and details are to be made
JUDGED = (0.1, 0.3, 1.0, 3.0, 10.0)


@dataclass(frozen=True)
class World:
    """Hours of fine fields: signed rain, and the others; and of coarse ones, where rain is in mm/h."""

    name: str
    fine: np.ndarray  # (hours, quantities, rows, columns), half precision, left on the disk
    scale: np.ndarray  # (2, quantities, 1, 1): what they are times, and what is to be added
    coarse: np.ndarray  # (hours, quantities, coarse rows, coarse columns)
    grid: Grid

    def means(self, every: int) -> np.ndarray:
        """Of intervals that follow each other."""
        count = len(self.coarse) // every
        return self.coarse[: count * every].reshape(count, every, *self.coarse.shape[1:]).mean(1)


@dataclass(frozen=True)
class Batch:
    films: Tensor  # (n, quantities, hours, rows, columns)
    told: Tensor  # (n, channels, rows, columns)


@dataclass(frozen=True)
class Weather(Lessons):
    run: dict[str, Any]
    learned: list[World]
    held: list[World]

    def denoiser(self) -> Films:
        made = Films(self.run, self.shapes)
        for every in self.run["intervals"]:
            means = np.concatenate([world.means(every) for world in self.learned])
            for index, name in enumerate(self.quantities):
                made.laws.get_buffer(f"{name}_{every}").copy_(torch.from_numpy(law(means[:, index], SHARES)))
        return made

    @property
    def quantities(self) -> tuple[str, ...]:
        return ("rain", *self.run["others"])

    @property
    def times(self) -> int:
        return round(self.run["coarse"] / self.learned[0].grid.step)

    @property
    def shapes(self) -> dict[str, Any]:
        return {"law": (SHARES, *self.learned[0].coarse.shape[2:])}

    @cached_property
    def score(self) -> NormalScore:
        """Of signed rain."""
        every = max(1, sum(world.fine[:, 0].size for world in self.learned) // SOME)
        some = [world.fine[:, 0].ravel()[::every] for world in self.learned]
        return NormalScore.signed(np.concatenate(some))

    @cached_property
    def standard(self) -> dict[str, tuple[float, float]]:
        """Mean and deviation of what is told in coarse cells, and of the others in fine ones too."""
        found = {}
        for index, name in enumerate(self.quantities):
            values = np.concatenate([world.coarse[:, index] for world in self.learned])
            values = told_rain(values) if name == "rain" else values
            found[name] = (float(values.mean()), float(values.std()))
        return found | {"rain": (0.0, found["rain"][1])}

    def batch(self, rng: np.random.Generator, generator: torch.Generator, step: int) -> Batch:
        return self._drawn(rng, self.learned)

    def _drawn(self, rng: np.random.Generator, worlds: list[World]) -> Batch:
        count, tile, times = self.run["batch"], self.run["tile"], self.times
        fine, coarse, north, errors = [], [], [], []
        for _ in range(count):
            world = worlds[int(rng.integers(len(worlds)))]
            first = int(rng.integers(len(world.fine) - HOURS + 1))
            rows, columns = world.fine.shape[-2:]
            top = times * int(rng.integers((rows - tile) // times + 1))
            east = (times * int(rng.integers(columns // times)) + np.arange(tile)) % columns
            film = world.fine[first : first + HOURS, :, top : top + tile][..., east]
            film = film.astype(np.float32) * world.scale[0] + world.scale[1]
            fine.append(film.swapaxes(0, 1))
            seen = world.coarse[first : first + HOURS, :, top // times : (top + tile) // times]
            seen = seen[..., east[::times] // times].swapaxes(0, 1)
            error = LEAST * (MOST / LEAST) ** rng.random() * (rng.random() > CLEAR)
            coarse.append(self._evidence(rng, seen, error))
            errors.append(error)
            north.append(np.repeat(northern(world.grid, world.grid)[top : top + tile, None], tile, 1))
        films = self._standard(torch.from_numpy(np.stack(fine)))
        told = Told.of(torch.from_numpy(np.stack(coarse)).float(), torch.tensor(errors).float(), times)
        known = torch.from_numpy(rng.random(count) < BEFORE)
        told = told.remembering(films[:, :, :MEMORY], known)
        return Batch(films, told.flat(torch.from_numpy(np.stack(north)).float()[:, None]))

    def _evidence(self, rng: np.random.Generator, seen: np.ndarray, error: float) -> np.ndarray:
        """What a simulation says of a film (quantities, hours, rows, columns): means over an interval, and
        what of them is told."""
        every = int(rng.choice(self.run["intervals"]))
        after = seen[:, MEMORY:]
        means = after.reshape(len(seen), -1, every, *seen.shape[2:]).mean(2)
        found = np.empty_like(means)
        for index, (name, (mean, deviation)) in enumerate(self.standard.items()):
            values = told_rain(means[index]) if name == "rain" else means[index]
            # errors are told of rain as a share of the amount, of the others in standard deviations
            white = rng.standard_normal(values.shape) * error
            noised = np.maximum(values + white, 0) if name == "rain" else values + deviation * white
            found[index] = (noised - mean) / deviation
        told = np.concatenate([np.full_like(seen[:, :MEMORY], np.nan), found.repeat(every, 1)], 1)
        for part, chance in ((told[:1], RAIN), (told[1:], OTHERS), (told[:, HOURS - AHEAD :], LATER)):
            if rng.random() > chance:
                part[...] = np.nan
        return told

    def _standard(self, films: Tensor) -> Tensor:
        """As the network knows them."""
        mean, deviation = torch.tensor(list(self.standard.values())[1:]).T[..., None, None, None]
        return torch.cat([self.score.forward(films[:, :1]), (films[:, 1:] - mean) / deviation], 1)

    def loss(self, denoiser: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        return self._missed(denoiser, batch, generator, learned)

    @staticmethod
    def _missed(denoiser: nn.Module, batch: Batch, generator: torch.Generator, levels: Levels) -> Tensor:
        assert isinstance(denoiser, Films)
        device = next(denoiser.parameters()).device
        films, told = batch.films.flatten(1, 2).to(device), batch.told.to(device)
        return denoiser.film.loss(films, generator, told, levels=levels)

    def judged(self, denoiser: nn.Module, step: int, count: int) -> dict[str, float]:
        def missed(rng: np.random.Generator, generator: torch.Generator, levels: Levels) -> dict[str, Tensor]:
            return {"": self._missed(denoiser, self._drawn(rng, self.held), generator, levels)}

        return at_levels(JUDGED, count, missed)

    def card(self) -> dict[str, Any]:
        grid = self.learned[0].grid
        return {
            "box": list(grid.box),
            "step": grid.step,
            "shapes": self.shapes,
            "standard": self.standard,
            "score": self.score.told,
            "learned": [world.name for world in self.learned],
            "held out": [world.name for world in self.held],
        }


def learned(count: int, generator: torch.Generator) -> Tensor:
    return stratified(count, generator, MEAN, SPREAD)


def taught(run: dict[str, Any], beside: Path, build: Path) -> Weather:
    if wrong := [each for each in run["intervals"] if AHEAD % each]:
        raise Invalid(f"intervals: {wrong[0]} hours do not make {AHEAD}; give 1, 2, 3 or 6")
    run["network"] = checked("network", run["network"], ("widths", "blocks", "patch"), ("widths",))
    run["network"] |= {"padding": "zeros"}
    paths = files(str(run["worlds"]), beside)
    worlds = [read(path, run, build / "corpus") for path in paths]
    kept = len(worlds) - run["hold_out"]
    return Weather(run, worlds[:kept], worlds[kept:])


def read(path: Path, run: dict[str, Any], build: Path) -> World:
    """A world, read once and kept in build/."""
    changed = path.stat().st_mtime_ns
    asked = f"{path.resolve()} {changed} {run['coarse']} {run['others']}"
    kept = build / f"films_{hashlib.sha256(asked.encode()).hexdigest()[:16]}.npy"
    layer = functools.partial(hourly, read_case(path, changed))
    grid = Grid.of(rain := layer("rain"))
    if not kept.exists():
        north = KM_PER_DEGREE * grid.step
        cell_km = (north, north * float(np.cos(np.deg2rad(grid.lat.mean()))))
        whole = [rain.values, *(layer(name).values for name in run["others"])]
        coarse = np.stack([blocks(each, round(run["coarse"] / grid.step)) for each in whole], 1)
        scale = np.array([(1, 0), *((each.std(), each.mean()) for each in whole[1:])]).T[..., None, None]
        whole[0] = np.stack([signed(each, cell_km) for each in whole[0]])
        fine = np.empty((len(rain), len(whole), *grid.shape), np.float16)
        for index, values in enumerate(whole):
            fine[:, index] = (values - scale[1, index]) / scale[0, index]
        with written(kept.with_suffix(".npz")) as file:
            np.savez(file, coarse=coarse.astype("f4"), scale=scale.astype("f4"))
        with written(kept) as file:
            np.save(file, fine)
    with np.load(kept.with_suffix(".npz")) as found:
        return World(path.stem, np.load(kept, mmap_mode="r"), found["scale"], found["coarse"], grid)
