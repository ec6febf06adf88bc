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
from training.sketches import Sketcher

from engine.climate import Climate
from engine.denoise import Levels
from engine.fields import KM_PER_DEGREE, Box, Grid
from engine.observe import Gather, points
from engine.sketch import Sketch, Sketched
from engine.transforms import NormalScore
from engine.values import Invalid

WIDEST, WINDOWS = 192, 60  # cells a side, and how many give a climate


def lattice(size: int, row: np.ndarray, column: np.ndarray) -> Gather:
    """Places, in cells from its corner, on a lattice of ``size`` cells a side."""
    return points(Grid(Box(0, 0, 1, 1), 1 / size), row / size, column / size)


@dataclass(frozen=True)
class Batch:
    """Latent fields, or values at places of a lattice, and what is known of them."""

    latent: Tensor
    known: Tensor
    sketch: Sketch
    label: Tensor
    spacing: Tensor  # km
    places: Gather | None = None

    def to(self, device: str) -> Batch:
        latent, known, mean, spread, label, spacing = (
            each.to(device)
            for each in (
                self.latent, self.known, self.sketch.mean, self.sketch.spread, self.label, self.spacing
            )
        )  # fmt: skip
        places = self.places
        if places:
            places = replace(places, index=places.index.to(device), weight=places.weight.to(device))
        return Batch(latent, known, Sketch(mean, spread), label, spacing, places)

    def scattered(self, generator: torch.Generator) -> Batch:
        """A random quarter of the cells, on a lattice of twice the spacing."""
        size = self.latent.shape[-1]
        chosen = torch.randperm(size * size, generator=generator)[: size * size // 4]
        # The lattice's cells are centred between four of the fine ones.
        row, column = (each.numpy() / 2 + 0.25 for each in (chosen // size, chosen % size))
        fields = (self.latent, self.known, self.sketch.mean, self.sketch.spread)
        latent, known, mean, spread = (each.flatten(1)[:, chosen] for each in fields)
        places = lattice(size // 2, row, column)
        return Batch(latent, known, Sketch(mean, spread), self.label, self.spacing * 2, places)


def loss(denoiser: Sketched, batch: Batch, generator: torch.Generator, levels: Levels) -> Tensor:
    about = (batch.label, batch.spacing, batch.known, None, batch.places)
    return denoiser.loss(batch.latent, batch.sketch, generator, *about, levels=levels, known=batch.known)


class Batches:
    """The terms of a run's loss, drawn with the chances of their weights.

    In the first stage these are tiles of the sources. In the second the gauges join them: their reports,
    and tiles of the source that was likened to them, ``mapped``, half of their weight each.
    """

    def __init__(self, run: dict[str, Any], sources: Sequence[Hours], reports: Reports | None = None) -> None:
        self.run, self.sources, self.reports = run, sources, reports
        self.score: NormalScore | None = None
        self.climates: dict[tuple[str, int], Climate] = {}
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
        """The score that makes tiles normal, and the climates of its latent fields."""
        rng, seen = np.random.default_rng(0), []
        for _ in range(tiles):
            tile = self.drawn_tile(rng, self.sources)[0]
            seen.append(tile[np.isfinite(tile)])
        self.scored(NormalScore.signed(np.concatenate(seen)))

    def scored(self, score: NormalScore) -> None:
        self.score = score
        for source in (*self.sources, *self.mapped):
            for multiple in sorted(set(source.multiples)):
                self.climates[source.label, multiple] = self.climate_of(source, multiple)

    def climate_of(self, source: Hours, multiple: int) -> Climate:
        """Of windows as wide as they may be, chosen as tiles are; of mean nought and variance one."""
        rng, size = np.random.default_rng(0), min(WIDEST, *(n // multiple for n in source.maps[0].shape))
        windows, middles = zip(*(source.chosen(rng, size, multiple) for _ in range(WINDOWS)), strict=True)
        north = source.step * multiple * KM_PER_DEGREE
        cell_km = (north, north * float(np.cos(np.radians(np.mean(middles)))))
        return Climate.of(self.latent(np.stack(windows)), cell_km).scaled(1.0, mean=0.0)

    def drawn(self, rng: np.random.Generator, second: bool) -> Batch:
        """Tiles, or in the second stage now and then gauges."""
        if second and self.reports:
            part = self.reports.weight / 2
            whole = sum(each.weight for each in (*self.sources, *self.mapped)) + part
            if rng.random() < part / whole:
                return self.gauged(rng)
        return self.tiles(rng, second)

    def tiles(self, rng: np.random.Generator, second: bool = False) -> Batch:
        """Tiles of the sources, in the second stage also of the one that was likened to gauges."""
        terms = [*self.sources, *(self.mapped if second else [])]
        found, sketches, labels, spacings = [], [], [], []
        for _ in range(self.run["batch"]):
            tile, source, multiple, cell_km = self.drawn_tile(rng, terms)
            found.append(self.latent(tile))
            draw = Sketcher(self.climates[source.label, multiple], self.scoring)
            sketches.append(draw(rng, found[-1], cell_km))
            labels.append(self.labels.index(source.label))
            spacings.append(source.step * multiple * KM_PER_DEGREE)
        sketch = Sketch(
            *(torch.stack([getattr(each, part) for each in sketches]) for part in ("mean", "spread"))
        )
        return self._batch(np.stack(found), sketch, labels, spacings)

    def drawn_tile(
        self, rng: np.random.Generator, terms: Sequence[Hours]
    ) -> tuple[np.ndarray, Hours, int, tuple[float, float]]:
        """A tile of signed rain, whose it is, at which multiple, and its cells in km."""
        chance = np.array([each.weight for each in terms])
        source = terms[int(rng.choice(len(terms), p=chance / chance.sum()))]
        multiple = int(rng.choice(source.multiples))
        tile, middle = source.chosen(rng, self.run["tile"], multiple)
        north = source.step * multiple * KM_PER_DEGREE
        cell_km = (north, north * float(np.cos(np.radians(middle))))
        if self.run["turned"]:
            turns = int(rng.integers(4))
            tile = np.rot90(tile[:, ::-1] if rng.random() < 0.5 else tile, turns)
            cell_km = (cell_km[1], cell_km[0]) if turns % 2 else cell_km
        return np.ascontiguousarray(tile), source, multiple, cell_km

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
        latent, count = self.latent(window.values), len(window.values)
        nothing = Sketch.nothing(latent.shape)
        batch = self._batch(latent, nothing, [label] * count, [spacing] * count)
        return replace(batch, places=lattice(window.size, row, column))

    def _batch(self, latent: np.ndarray, sketch: Sketch, labels: list[int], spacings: list[float]) -> Batch:
        known = torch.from_numpy(np.isfinite(latent)).float()
        values = torch.from_numpy(np.nan_to_num(latent)).float()
        return Batch(values, known, sketch, torch.tensor(labels), torch.tensor(spacings))

    @property
    def scoring(self) -> NormalScore:
        assert self.score is not None, "fit comes first"
        return self.score

    def latent(self, signed: np.ndarray) -> np.ndarray:
        """Missing stays missing."""
        known = np.isfinite(signed)
        values = self.scoring.forward(torch.from_numpy(np.where(known, signed, 0.0)).float()).numpy()
        return np.where(known, values, np.nan).astype(np.float32)


def named(sources: Sequence[Hours], label: str) -> Hours:
    for each in sources:
        if each.label == label:
            return each
    raise Invalid(f"gauges.mapped: no source {label!r}; it has {', '.join(each.label for each in sources)}")
