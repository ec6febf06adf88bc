"""Pseudo-precipitation: u of a pixel and back, then fine fields of u under coarse ones (`engine.pseudo`).

A *world* is a case of hourly rain and divergence of moisture on one grid, periodic from west to east. What is
learned from are means over the run's ``interval``, one beginning every few hours. The pixel's network is
taught first, by itself, to the end (`training.pixels`), for what u is must stand before anything is learned
of its fields. The steps of a run teach the denoiser of fine u. Half of what it is told are fine fields
without their short waves; the other half are coarse rain and moisture, encoded, as they are when it is used.
Maps are turned around the world at random, and mirrored at their edges as a domain is
(`engine.pseudo.Truncation`).

The last cases are held out whole.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from training.lessons import Lessons, at_levels, checked, files, written
from training.pixels import NORMAL, teach
from training.worlds import hourly

from engine.denoise import Levels
from engine.fields import Grid
from engine.networks.pixel import scores
from engine.noise import stratified
from engine.pseudo import TRACE, Pseudo, Truncation, moisture
from engine.sources.cases import read_case
from engine.values import Invalid

ENTRIES = ("worlds", "interval", "coarse", "hold_out", "pixel", "network", "tile", "batch")
OPTIONAL = ()
APART = 3  # hours from one mean to the next
TRUNCATED = 0.5  # share of conditions that are fine fields without their short waves
MEAN, SPREAD = -0.3, 1.5  # of ln sigma
JUDGED, PIXELS = (0.1, 0.5, 2.0, 5.0, 10.0), 200_000


@dataclass(frozen=True)
class World:
    """Means of rain and of the divergence of moisture, mm/h, (times, rows, columns)."""

    name: str
    rain: np.ndarray
    divergence: np.ndarray
    grid: Grid


@dataclass(frozen=True)
class Batch:
    fine: Tensor
    told: Tensor


@dataclass(frozen=True)
class Pixels(Lessons):
    run: dict[str, Any]
    learned: list[World]
    held: list[World]
    network: Pseudo  # the one that is taught: its pixel's part before the first step
    encoded: dict[tuple[str, int], tuple[Tensor, Tensor]] = field(default_factory=dict)

    def denoiser(self) -> Pseudo:
        return self.network

    def fit(self) -> None:
        def draw(rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
            rain, divergence = drawn(self.learned, rng, count)
            return self.network.log.forward(rain), moisture(divergence)

        teach(self.network.pixel, draw, self.run["pixel"]["steps"], self.run["seed"], TRACE)

    def batch(self, rng: np.random.Generator, generator: torch.Generator, step: int) -> Batch:
        return self._drawn(rng, self.learned)

    def _drawn(self, rng: np.random.Generator, worlds: Sequence[World]) -> Batch:
        tile, times, parts = self.run["tile"], self.times, []
        for _ in range(self.run["batch"]):
            world = worlds[int(rng.integers(len(worlds)))]
            fine, coarse = self._encoded(world, int(rng.integers(len(world.rain))))
            east = int(rng.integers(coarse.shape[1]))
            fine, coarse = fine.roll(times * east, 1).float(), coarse.roll(east, 1).float()
            truncation = Truncation.of(coarse.shape, times)
            told = truncation.cut(fine) if rng.random() < TRUNCATED else truncation.up(coarse)
            top, left = (times * int(rng.integers((side - tile) // times + 1)) for side in fine.shape)
            parts.append([each[top : top + tile, left : left + tile] for each in (fine, told)])
        return Batch(*(torch.stack(each) for each in zip(*parts, strict=True)))

    def _encoded(self, world: World, number: int) -> tuple[Tensor, Tensor]:
        """u in fine cells, and of means in coarse ones."""
        if (world.name, number) not in self.encoded:
            fine = torch.from_numpy(np.stack([world.rain[number], world.divergence[number]])).float()
            coarse = nn.functional.avg_pool2d(fine, self.times)
            device = self.network.pixel.threshold.device
            made = (self.network.encode(*each.to(device)).half().cpu() for each in (fine, coarse))
            self.encoded[world.name, number] = (next(made), next(made))
        return self.encoded[world.name, number]

    @property
    def times(self) -> int:
        return round(self.run["coarse"] / self.learned[0].grid.step)

    def loss(self, denoiser: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        return self._missed(denoiser, batch, generator, learned)

    @staticmethod
    def _missed(denoiser: nn.Module, batch: Batch, generator: torch.Generator, levels: Levels) -> Tensor:
        assert isinstance(denoiser, Pseudo)
        device = denoiser.pixel.threshold.device
        return denoiser.fine.loss(batch.fine.to(device), generator, batch.told.to(device), levels=levels)

    def judged(self, denoiser: nn.Module, step: int, count: int) -> dict[str, float]:
        assert isinstance(denoiser, Pseudo)
        rain, divergence = (
            each.to(denoiser.pixel.threshold.device)
            for each in drawn(self.held, np.random.default_rng(7), PIXELS)
        )
        u, normal = denoiser.encode(rain, divergence), NORMAL.to(rain.device)
        found = {
            "quantiles of u": round(float((scores(u, normal) - normal).abs().max()), 4),
            "rain": round(float((denoiser.decode(u) - rain).abs().mean()), 5),
        }

        def missed(rng: np.random.Generator, generator: torch.Generator, levels: Levels) -> dict[str, Tensor]:
            return {"": self._missed(denoiser, self._drawn(rng, self.held), generator, levels)}

        return found | at_levels(JUDGED, count, missed)

    def card(self) -> dict[str, Any]:
        return {
            "step": self.learned[0].grid.step,
            "top": self.network.log.top,
            "learned": [world.name for world in self.learned],
            "held out": [world.name for world in self.held],
        }


def learned(count: int, generator: torch.Generator) -> Tensor:
    return stratified(count, generator, MEAN, SPREAD)


def drawn(worlds: Sequence[World], rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
    """Rain and divergence of random pixels, as many of each world."""
    found = []
    for world in worlds:
        chosen = rng.integers(world.rain.size, size=count // len(worlds))
        found.append(np.stack([each.ravel()[chosen] for each in (world.rain, world.divergence)]))
    rain, divergence = torch.from_numpy(np.concatenate(found, 1).astype(np.float32))
    return rain, divergence


def taught(run: dict[str, Any], beside: Path, build: Path) -> Pixels:
    run["worlds"], run["pixel"] = str(run["worlds"]), checked("pixel", run["pixel"], ("steps",), ("steps",))
    run["network"] = checked("network", run["network"], ("widths", "blocks", "patch"), ("widths",)) | {
        "padding": "zeros"
    }
    worlds = [read(path, run["interval"], build / "corpus") for path in files(run["worlds"], beside)]
    if not 0 < run["hold_out"] < len(worlds):
        raise Invalid(f"hold_out: got {run['hold_out']} of {len(worlds)} worlds; give fewer")
    kept = worlds[: len(worlds) - run["hold_out"]]
    if run["tile"] > min(kept[0].grid.shape):
        raise Invalid(f"tile: {run['tile']} cells are more than a world has: {kept[0].grid.shape}")
    torch.manual_seed(run["seed"])
    top = round(max(float(world.rain.max()) for world in kept), 1)
    network = Pseudo(run["network"], top)
    network.pixel.requires_grad_(False)
    return Pixels(run, kept, worlds[len(kept) :], network)


def read(path: Path, interval: str, build: Path) -> World:
    """A world, read once and kept in build/."""
    every, changed = int(interval.removesuffix("h")), path.stat().st_mtime_ns
    key = hashlib.sha256(f"{path.resolve()} {changed} {interval} {APART}".encode()).hexdigest()[:16]
    kept, layer = build / f"pseudo_{key}.npz", functools.partial(hourly, read_case(path, changed))
    if not kept.exists():
        rain, divergence = (meaned(layer(name).values, every) for name in ("rain", "vimd"))
        with written(kept) as file:
            np.savez(file, rain=rain.astype(np.float16), divergence=divergence.astype(np.float16))
    with np.load(kept) as found:
        return World(path.stem, found["rain"], found["divergence"], Grid.of(layer("rain")))


def meaned(hours: np.ndarray, every: int) -> np.ndarray:
    """Means of so many hours, one every `APART`, the last at the end; what was never wet stays dry."""
    first = np.arange((len(hours) - every) % APART, len(hours) - every + 1, APART)
    return np.stack([hours[each : each + every].mean(0, dtype=np.float64) for each in first])
