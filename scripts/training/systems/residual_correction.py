"""Residual correction and downscaling (PrecipDiff): a satellite's map to a radar's, then to finer cells.

The radar is real, read as `training.corpus` reads it: its fine maps, and their means (or maxima: ``pooling``)
over squares of ``factor`` cells. The satellite is *simulated* on these means: every hour is seen ``errors``
times by the instrument of `engine.sources.instruments`, each time with errors of its own, whole (no swath is
missing); hours do not share errors. Fine and coarse tiles are squares of whole coarse cells.

The finer network is told the true coarse map for half of its tiles, and one that the correction has drawn
near it for the others (`engine.residuals.redrawn`), by the weights of that very step.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from training.card import period
from training.corpus import HeldOut, Hours, gathered
from training.lessons import Lessons, at_levels, checked, files, written

from engine.beside import finer
from engine.bilinear import pooled
from engine.denoise import Levels
from engine.fields import rain as rain_field
from engine.noise import stratified
from engine.residuals import RAIN, STAGES, Residuals, Stage, filled, redrawn
from engine.sources import instruments
from engine.values import Invalid

LEVELS: Levels = lambda count, generator: stratified(count, generator, -1.2, 1.2)  # noqa: E731
AROUND = 4  # coarse cells around a fine tile, that its coarse map be as drawn in the middle of one
LEAST_KNOWN, WET, KEPT_DRY, TRIES = 0.9, 0.05, 0.05, 10_000
TRACE = 0.1  # mm/h
JUDGED = (0.02, 0.1, 0.5, 2.0)
ENTRIES = ("source", "factor", "pooling", "errors", "hold_out", "turned", "network", *STAGES)
OPTIONAL = ()
SOURCE = ("label", "files", "base", "highest")


@dataclass(frozen=True)
class Tiles:
    """Logarithms of rain (n, rows, columns), and where the radar knows it."""

    told: Tensor
    target: Tensor
    known: Tensor


@dataclass(frozen=True)
class Batch:
    coarse: Tiles
    near: Tiles  # coarse too, around the fine ones
    fine: Tensor
    known: Tensor


@dataclass(frozen=True)
class Seen:
    """Hours of a radar, their coarse maps, and what a satellite made of them (hour, error, ...)."""

    hours: Hours
    coarse: np.ndarray
    satellite: np.ndarray
    factor: int

    def part(self, kept: np.ndarray) -> Seen:
        return Seen(self.hours.part(kept), self.coarse[kept], self.satellite[kept], self.factor)

    def place(self, rng: np.random.Generator, size: int) -> tuple[int, int, int]:
        """An hour and the corner of a coarse tile that is neither mostly missing nor needlessly dry."""
        for _ in range(TRIES):
            hour, (rows, columns) = int(rng.integers(len(self.coarse))), self.coarse.shape[1:]
            top, left = int(rng.integers(rows - size + 1)), int(rng.integers(columns - size + 1))
            found = self.coarse[hour, top : top + size, left : left + size]
            known = np.isfinite(found)
            if known.mean() < LEAST_KNOWN:
                continue
            if (found[known] >= TRACE).mean() >= WET or rng.random() < KEPT_DRY:
                return hour, top, left
        raise Invalid(f"{self.hours.label}: no tile of {size} known coarse cells; give a smaller tile")


@dataclass
class Correction(Lessons):
    run: dict[str, Any]
    learned: Seen
    held: Seen
    scales: dict[str, float]

    def denoiser(self) -> Residuals:
        return Residuals(self.run["network"])

    def batch(self, rng: np.random.Generator, generator: torch.Generator, step: int) -> Batch:
        return self.drawn(self.learned, rng)

    def drawn(self, seen: Seen, rng: np.random.Generator) -> Batch:
        first, second = (self.run[each] for each in STAGES)
        coarse = [self.tile(seen, rng, first["tile"], 0) for _ in range(first["batch"])]
        inner = second["tile"] // self.run["factor"]
        fine = [self.tile(seen, rng, inner, AROUND) for _ in range(second["batch"])]
        near = Tiles(*(_stacked([each[part] for each in fine]) for part in range(3)))
        fines = [_stacked([each[part] for each in fine]) for part in (3, 4)]
        return Batch(Tiles(*(_stacked([each[part] for each in coarse]) for part in range(3))), near, *fines)

    def tile(self, seen: Seen, rng: np.random.Generator, size: int, around: int) -> list[np.ndarray]:
        """Satellite, coarse radar and where it is known; inside of what lies around, the fine radar too."""
        hour, top, left = seen.place(rng, size + 2 * around)
        window = (slice(top, top + size + 2 * around), slice(left, left + size + 2 * around))
        turns, mirrored = (int(rng.integers(4)), rng.random() < 0.5) if self.run["turned"] else (0, False)
        error = int(rng.integers(seen.satellite.shape[1]))
        found = [*_latent(seen.satellite[(hour, error, *window)])[:1], *_latent(seen.coarse[(hour, *window)])]
        if around:
            first = (around + np.array([top, left])) * seen.factor
            row, column = (slice(each, each + size * seen.factor) for each in first)
            found += _latent(np.maximum(seen.hours.maps[hour][row, column], 0))
        return [np.rot90(each[:, ::-1] if mirrored else each, turns).copy() for each in found]

    def loss(self, denoiser: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        assert isinstance(denoiser, Residuals)
        batch = _to(batch, str(next(denoiser.parameters()).device))
        return sum(self.missed(denoiser, batch, generator, LEVELS).values(), torch.zeros(()))

    def missed(
        self, denoiser: Residuals, batch: Batch, generator: torch.Generator, levels: Levels
    ) -> dict[str, Tensor]:
        """The loss of each stage."""
        first, second = (self.stage(denoiser, each) for each in STAGES)
        near = batch.near
        told = near.target.clone()
        half = len(told) // 2
        told[:half] = redrawn(first, near.told[:half], near.target[:half], generator)
        cut = slice(AROUND * self.run["factor"], -AROUND * self.run["factor"])
        told = finer(told, self.run["factor"])[:, cut, cut]
        fine = Tiles(told, batch.fine, batch.known)
        return {
            name: stage.network.loss(
                stage.residual(tiles.told, tiles.target)[:, None], generator, tiles.told[:, None],
                levels=levels, known=tiles.known[:, None],
            )
            for name, stage, tiles in zip(STAGES, (first, second), (batch.coarse, fine), strict=True)
        }  # fmt: skip

    def stage(self, denoiser: Residuals, name: str) -> Stage:
        return Stage(getattr(denoiser, name), self.scales[name], self.run[name]["tile"])

    def judged(self, denoiser: nn.Module, step: int, count: int) -> dict[str, float]:
        assert isinstance(denoiser, Residuals)
        device = str(next(denoiser.parameters()).device)

        def missed(
            rng: np.random.Generator, generator: torch.Generator, levels: Levels
        ) -> Mapping[str, Tensor]:
            return self.missed(denoiser, _to(self.drawn(self.held, rng), device), generator, levels)

        return at_levels(JUDGED, count, missed)

    @property
    def coarse_step(self) -> float:
        return round(self.learned.hours.step * self.run["factor"], 6)

    def card(self) -> dict[str, Any]:
        hours = {"learned": self.learned.hours, "held out": self.held.hours}
        return {
            "scales": self.scales,
            "coarse": self.coarse_step,
            "files": dict(self.learned.hours.files),
            "satellite": {"simulated": True, "per hour": self.run["errors"]}
            | asdict(instrument(self.coarse_step)),
        } | {name: [period(each.label, each.times, each.worlds.tolist())] for name, each in hours.items()}

    @property
    def fitted(self) -> dict[str, Any]:
        return {"scales": self.scales}

    def fit(self) -> None:
        """How far residuals spread about nought, in EDM's halves."""
        squares: dict[str, list[float]] = {}
        rng = np.random.default_rng(0)
        cut = slice(AROUND * self.run["factor"], -AROUND * self.run["factor"])
        for _ in range(40):
            batch = self.drawn(self.learned, rng)
            told = finer(batch.near.target, self.run["factor"])[:, cut, cut]
            pairs = (batch.coarse, Tiles(told, batch.fine, batch.known))
            for name, tiles in zip(STAGES, pairs, strict=True):
                missed = ((tiles.target - tiles.told) ** 2)[tiles.known > 0].mean()
                squares.setdefault(name, []).append(float(missed))
        self.scales |= {name: 2 * float(np.sqrt(np.mean(each))) for name, each in squares.items()}

    def refit(self, fitted: Mapping[str, Any]) -> None:
        self.scales |= fitted["scales"]


def taught(run: dict[str, Any], beside: Path, build: Path) -> Correction:
    run["source"] = checked("source", run["source"], SOURCE, SOURCE[:2])
    for each in STAGES:
        run[each] = checked(each, run[each], ("tile", "batch"), ("tile", "batch"))
    if run["finer"]["tile"] % run["factor"]:
        raise Invalid(f"finer.tile: got {run['finer']['tile']}; give a multiple of {run['factor']} cells")
    if run["pooling"] not in ("mean", "max"):
        raise Invalid(f"pooling: got {run['pooling']!r}; give mean or max")
    hours = gathered(run["source"], files(str(run["source"]["files"]), beside), build / "corpus")
    whole = seen(hours, run["factor"], run["pooling"], run["errors"], build / "corpus")
    held = HeldOut.of(run["hold_out"], [hours])(hours.times, hours.worlds)
    return Correction(run, whole.part(~held), whole.part(held), {})


def instrument(step: float) -> instruments.Satellite:
    """Every hour whole."""
    return instruments.Satellite(step=step, gaps=0.0)


def seen(hours: Hours, factor: int, pooling: str, errors: int, folder: Path) -> Seen:
    """Made once, and kept."""
    step = round(hours.step * factor, 6)
    told = [dict(hours.files), hours.step, factor, pooling, errors, asdict(instrument(step))]
    key = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]
    kept = [folder / f"{key}.{name}.npy" for name in ("satellite", "coarse")]
    if not kept[-1].exists():
        for path, found in zip(kept, made(hours, factor, pooling, errors), strict=True):
            with written(path) as file:
                np.save(file, found)
    maps = [np.load(path, mmap_mode="r") for path in kept]
    return Seen(hours, maps[1], maps[0], factor)


def made(hours: Hours, factor: int, pooling: str, errors: int) -> tuple[np.ndarray, np.ndarray]:
    """The satellite's maps, which are always of means, and the radar's coarse ones."""
    satellites, coarse, by = [], [], instrument(round(hours.step * factor, 6))
    for hour, rain in enumerate(hours.maps):
        fine = np.maximum(np.asarray(rain, np.float32), 0)
        mean = pooled(fine, factor)
        coarse.append((mean if pooling == "mean" else pooled(fine, factor, pooling)).astype(np.float16))
        views = [looked(hours, hour, mean, by, number, errors) for number in range(errors)]
        satellites.append(np.stack(views).astype(np.float16))
    return np.stack(satellites), np.stack(coarse)


def looked(
    hours: Hours, hour: int, mean: np.ndarray, by: instruments.Satellite, number: int, errors: int
) -> np.ndarray:
    """What an instrument makes of the means of an hour; the noise is of its time, one of so many."""
    inner, time = (by.step - hours.step) / 2, hours.times[[hour]]
    corner = (hours.south + inner, hours.west + inner)
    lat, lon = (
        np.round(each + by.step * np.arange(size), 6) for each, size in zip(corner, mean.shape, strict=True)
    )
    truth, land = rain_field(filled(mean)[None], time, lat, lon), np.zeros(mean.shape)
    seconds = int(time.values.astype("datetime64[s]").astype(int)[0])
    return instruments.satellite(truth, land, by, seconds * errors + number).values[0]


def _latent(rain: np.ndarray) -> list[np.ndarray]:
    """Logarithms, and where they are known."""
    rain = np.asarray(rain, np.float32)
    return [RAIN.forward(torch.from_numpy(filled(rain))).numpy(), np.isfinite(rain).astype(np.float32)]


def _stacked(tiles: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(tiles))


def _to(batch: Batch, device: str) -> Batch:
    coarse, near = (
        Tiles(each.told.to(device), each.target.to(device), each.known.to(device))
        for each in (batch.coarse, batch.near)
    )
    return Batch(coarse, near, batch.fine.to(device), batch.known.to(device))
