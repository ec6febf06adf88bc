"""What gauges teach a prior: rain as gauges measure it, with the coherence of a grid.

Gauges are few, one in a hundred cells, and a handful of points alone teaches nothing of what lies between
them. So the label of the gauges is taught by two things in equal parts. One is the reports themselves, at
their exact places in a window of the map: on a fine lattice they are sparse, on a coarse one nearly dense,
and as the lattice is drawn anew each time, one network knows gauges both ways. The other is a gridded source
whose rain was taken to the law of the gauges, quantile for quantile: its maps show how rain hangs together,
the mapping how much of it gauges find.

The law is that of all reports, against the cells which they lie in, hours and places pooled. Dry cells are
ranked by their distance to rain: what light rain a satellite misses then returns at the edges of what it
sees, and not as salt and pepper. Above the last quantile its ratio goes on: no few reports, of which some are
faults, set the tail. Reports above ``highest`` are faults. A dry report says nothing of its distance to rain;
half of that to the nearest wet report stands for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr
from training.corpus import KEPT_DRY, TRACE, TRIES, WET, HeldOut, Hours, hashed, opened

from engine.climate import apart
from engine.fields import Observations
from engine.signed import FAINT, NEAREST, halfway
from engine.values import Invalid

FEWEST = 5  # gauges in a window
KNOTS = ndtr(np.linspace(-3.1, 3.1, 400))  # up to 99.9%


@dataclass(frozen=True)
class Network:
    """The gauges of one world: reports (gauges, hours), signed rain."""

    world: str
    lat: np.ndarray
    lon: np.ndarray
    values: np.ndarray
    times: pd.DatetimeIndex

    def part(self, kept: np.ndarray) -> Network:
        return replace(self, values=self.values[:, kept], times=self.times[kept])


@dataclass(frozen=True)
class Window:
    """Reports (hours, gauges) on a lattice of ``size`` cells a side, places in cells from its corner."""

    values: np.ndarray
    row: np.ndarray
    column: np.ndarray
    size: int
    step: float  # degrees


@dataclass(frozen=True)
class Reports:
    label: str
    step: float  # of the finest lattice, degrees
    multiples: tuple[int, ...]
    networks: Sequence[Network]
    files: Mapping[str, str]
    weight: float = 1.0

    def parted(self, held: HeldOut) -> tuple[Reports, Reports]:
        """Those to learn from, and those held out."""
        masks = [held(each.times, np.full(len(each.times), each.world)) for each in self.networks]
        pairs = list(zip(self.networks, masks, strict=True))
        sides = ([(each, ~mask) for each, mask in pairs], pairs)
        learned, kept = ([each.part(mask) for each, mask in side if mask.any()] for side in sides)
        return replace(self, networks=learned), replace(self, networks=kept)

    def window(self, rng: np.random.Generator, most: int, hours: int) -> Window:
        """Some hours of the gauges in a square of at most so many cells a side."""
        for _ in range(TRIES):
            network = self.networks[int(rng.integers(len(self.networks)))]
            step = self.step * int(rng.choice(self.multiples))
            size = min(most, int(min(np.ptp(network.lat), np.ptp(network.lon)) / step))
            row, column = (
                (place - rng.uniform(place.min(), place.max() - size * step)) / step
                for place in (network.lat, network.lon)
            )
            inside = (row >= 0) & (row < size) & (column >= 0) & (column < size)
            if size < 2 or inside.sum() < FEWEST:
                continue
            values = network.values[inside]
            known = np.isfinite(values).sum(0)
            wet = (values >= TRACE).sum(0) / np.maximum(known, 1)
            chance = np.where(wet >= WET, 1.0, KEPT_DRY) * (known > 0)
            if rng.random() < chance.mean():
                chosen = rng.choice(len(chance), hours, p=chance / chance.sum())
                return Window(values[:, chosen].T, row[inside], column[inside], size, step)
        raise Invalid(f"{self.label}: no {FEWEST} gauges within {most} cells; give larger multiples")


def collected(entry: Mapping[str, Any], files: Sequence[Path], step: float) -> Reports:
    """The gauges of a run, on lattices of multiples of this step."""
    networks = []
    for path in files:
        world, found = opened(entry, path)
        if not isinstance(found, Observations):
            raise Invalid(f"{path.name}: holds a field; name it under sources, not under gauges")
        values = np.where(found.values <= float(entry.get("highest", np.inf)), found.values, np.nan)
        away = halfway(values > FAINT, apart(found.lat, found.lon))
        told = np.where(values > FAINT, values, away)
        told = np.where(np.isnan(values), np.nan, told)
        networks.append(Network(world, found.lat, found.lon, told, found.rain.indexes["time"]))
    multiples = tuple(int(each) for each in entry.get("multiples", [1]))
    weight = float(entry.get("weight", 1))
    return Reports(str(entry["label"]), step, multiples, networks, hashed(files), weight)


@dataclass(frozen=True)
class Likeness:
    """Rain of a source as gauges would have it: quantiles of the one, and those of the other."""

    own: np.ndarray
    gauged: np.ndarray

    @classmethod
    def of(cls, reports: Reports, source: Hours) -> Likeness:
        """Of all reports and the cells that they lie in."""
        pairs, at = [], {key: each for each, key in enumerate(zip(source.worlds, source.times, strict=True))}
        rows, columns = source.maps[0].shape
        for network in reports.networks:
            row, column = (
                np.round((place - start) / source.step).astype(int)
                for place, start in ((network.lat, source.south), (network.lon, source.west))
            )
            inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
            for hour, when in enumerate(network.times):
                if (number := at.get((network.world, when))) is not None:
                    seen = np.asarray(source.maps[number], float)[row[inside], column[inside]]
                    pairs.append(np.stack([seen, np.maximum(network.values[inside, hour], 0)]))
        both = np.concatenate(pairs, 1) if pairs else np.zeros((2, 0))
        both = both[:, np.isfinite(both).all(0)]
        if not both.size:
            raise Invalid(f"{reports.label}: no report lies in a known cell of {source.label} at its hour")
        own, first = np.unique(np.quantile(both[0], KNOTS), return_index=True)
        return cls(own, np.quantile(both[1], KNOTS)[first])

    def __call__(self, field: np.ndarray) -> np.ndarray:
        """Signed rain; what stays or becomes dry is as far from rain as it was."""
        field = np.asarray(field, np.float32)
        beyond = np.maximum(field / max(float(self.own[-1]), FAINT), 1.0)
        rain = np.interp(field, self.own, self.gauged) * beyond
        return np.where(np.isnan(field) | (rain > FAINT), rain, np.minimum(field, -NEAREST)).astype(
            np.float32
        )
