"""Batches: latent fields with what a network is told of them, from the tiles and gauges of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from training.corpus import Hours
from training.gauges import Likeness, Reports

from engine.denoise import Karras, Levels
from engine.fields import KM_PER_DEGREE, Box, Grid
from engine.observe import Gather, points
from engine.priors import TOP, TRACE
from engine.transforms import Log
from engine.values import Invalid


def lattice(size: int, row: np.ndarray, column: np.ndarray) -> Gather:
    """Places, in cells from its corner, on a lattice of ``size`` cells a side."""
    return points(Grid(Box(0, 0, 1, 1), 1 / size), row / size, column / size)


@dataclass(frozen=True)
class Batch:
    """Latent fields, or values at places of a lattice, and what is known of them."""

    latent: Tensor
    known: Tensor
    label: Tensor
    spacing: Tensor  # km
    places: Gather | None = None

    def to(self, device: str) -> Batch:
        latent, known, label, spacing = (
            each.to(device) for each in (self.latent, self.known, self.label, self.spacing)
        )
        places = self.places
        if places:
            places = replace(places, index=places.index.to(device), weight=places.weight.to(device))
        return Batch(latent, known, label, spacing, places)

    def scattered(self, generator: torch.Generator) -> Batch:
        """A random quarter of the cells, on a lattice of twice the spacing."""
        size = self.latent.shape[-1]
        chosen = torch.randperm(size * size, generator=generator)[: size * size // 4]
        # The lattice's cells are centred between four of the fine ones.
        row, column = (each.numpy() / 2 + 0.25 for each in (chosen // size, chosen % size))
        latent, known = (each.flatten(1)[:, chosen] for each in (self.latent, self.known))
        return Batch(latent, known, self.label, self.spacing * 2, lattice(size // 2, row, column))


def loss(denoiser: Karras, batch: Batch, generator: torch.Generator, levels: Levels) -> Tensor:
    about = (batch.label, batch.spacing, batch.known, None, batch.places)
    return denoiser.loss(batch.latent, generator, *about, levels=levels, known=batch.known)


class Batches:
    """The terms of a run's loss, drawn with the chances of their weights.

    In the first stage these are tiles of the sources. In the second the gauges join them: their reports,
    and tiles of the source that was likened to them, ``mapped``, half of their weight each.
    """

    def __init__(self, run: dict[str, Any], sources: Sequence[Hours], reports: Reports | None = None) -> None:
        self.run, self.sources, self.reports, self.log = run, sources, reports, Log(TRACE, TOP)
        self.shift, self.scale = 0.0, 1.0
        self.mapped: list[Hours] = []
        for each in sources:
            if run["tile"] * max(each.multiples) > min(each.maps[0].shape):
                extent = " x ".join(map(str, each.maps[0].shape))
                raise Invalid(f"{each.label}: {extent} cells; give a smaller tile or smaller multiples")

    def like(self, likeness: Likeness) -> None:
        """Map a source to the gauges, for their label."""
        reports = self.reports
        assert reports is not None
        source = named(self.sources, self.run["gauges"]["mapped"])
        change = {"label": reports.label, "change": likeness, "weight": reports.weight / 2}
        self.mapped = [replace(source, **change)]

    @property
    def labels(self) -> list[str]:
        """In the order of their numbers."""
        every = [each.label for each in self.sources] + ([self.reports.label] if self.reports else [])
        return list(dict.fromkeys(every))

    def fit(self, tiles: int = 400) -> None:
        """Shift and scale that bring the latent tiles to mean zero and variance one."""
        rng, seen = np.random.default_rng(0), []
        for _ in range(tiles // self.run["batch"] + 1):
            batch = self.tiles(rng, self.run["tile"])
            seen.append(batch.latent[batch.known > 0])
        values = torch.cat(seen)
        self.shift, self.scale = float(values.mean()), float(values.std())

    def drawn(self, rng: np.random.Generator, second: bool) -> Batch:
        """Tiles, or in the second stage now and then gauges."""
        if second and self.reports:
            part = self.reports.weight / 2
            whole = sum(each.weight for each in (*self.sources, *self.mapped)) + part
            if rng.random() < part / whole:
                return self.gauged(rng)
        return self.tiles(rng, self.run["tile"], second)

    def tiles(self, rng: np.random.Generator, size: int, second: bool = False) -> Batch:
        """Tiles of the sources, in the second stage also of the one that was likened to gauges."""
        found, labels, spacings = [], [], []
        terms = [*self.sources, *(self.mapped if second else [])]
        chance = np.array([each.weight for each in terms])
        for number in rng.choice(len(terms), self.run["batch"], p=chance / chance.sum()):
            source = terms[number]
            multiple = int(rng.choice(source.multiples))
            tile, _ = source.chosen(rng, size, multiple)
            if self.run["turned"]:
                tile = np.rot90(tile[:, ::-1] if rng.random() < 0.5 else tile, int(rng.integers(4)))
            found.append(np.ascontiguousarray(tile))
            labels.append(self.labels.index(source.label))
            spacings.append(source.step * multiple * KM_PER_DEGREE)
        return self._batch(np.stack(found), labels, spacings)

    def gauged(self, rng: np.random.Generator) -> Batch:
        """The reports of some hours in one window."""
        assert self.reports is not None
        window = self.reports.window(rng, self.run["tile"], self.run["batch"])
        row, column = window.row, window.column
        if self.run["turned"]:
            column = window.size - column if rng.random() < 0.5 else column
            for _ in range(int(rng.integers(4))):
                row, column = window.size - column, row
        label, spacing = self.labels.index(self.reports.label), window.step * KM_PER_DEGREE
        batch = self._batch(window.values, [label] * len(window.values), [spacing] * len(window.values))
        return replace(batch, places=lattice(window.size, row, column))

    def _batch(self, rain: np.ndarray, labels: list[int], spacings: list[float]) -> Batch:
        values = torch.from_numpy(rain).float()
        known = torch.isfinite(values).float()
        return Batch(self.latent(values) * known, known, torch.tensor(labels), torch.tensor(spacings))

    def latent(self, rain: Tensor) -> Tensor:
        """What is missing comes out as no rain."""
        return (self.log.forward(torch.nan_to_num(rain)) - self.shift) / self.scale


def named(sources: Sequence[Hours], label: str) -> Hours:
    for each in sources:
        if each.label == label:
            return each
    raise Invalid(f"gauges.mapped: no source {label!r}; it has {', '.join(each.label for each in sources)}")
