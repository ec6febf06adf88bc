"""From the circulation of a climate simulation to ensembles of fine rain, in the steps of a recipe.

All of a simulation that its sources hold is looked at, not the task's period alone: its law in a cell, and
the spectrum of its maps, are those of a climate. On the coarse cells of the prior (`engine.downscaler`),

1. every quantity is given the reference's law, cell by cell (`engine.calibrate.DeltaMapping`; humidity by
   ratios, the others by differences);
2. a regression says which rain goes with it, smoother and shyer than rain is;
3. that rain too is given the reference's law;
4. maps of it and of the reference have spectra. Where they part for good the simulation is wrong, and white
   noise of level s* (`engine.calibrate.noise_level`) hides what lies beyond, and nothing else.

*What changes.* Where the simulation's own rain is known, and its history, all of this is done as if nothing
changed: how wet an hour is among its own climate's the circulation tells. Then the simulated rain takes that
order, cell by cell, and is mapped with its change since its history kept. Else, as published, every quantity
keeps its change since its history, and so does what is regressed. That asks the regression what it was never
taught: to air that holds more it answers with rain that falls nowhere.

Then a diffusion is told the noised map, and how noised it is, and says what fine rain there may be under it.
A time's noise belongs to it, so it is the same in whatever period it stands.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from engine.calibrate import DeltaMapping, Kind, noise_level
from engine.denoise import Denoiser
from engine.downscaler import TRACE, Prior, Region
from engine.fields import Box, Grid, Snapshot
from engine.noise import HIGHEST, Streams, karras, seed_at
from engine.overlap import on_cells
from engine.sample import groups, ito
from engine.values import Invalid

HOURS = 24.0  # mm/h to mm/day
AGREE = 1.0  # dB within which two spectra count as equal
FEWEST = 40  # times from which a law is told: ten days of six hours
GUESSES = 3  # each leaves some s^2 / HIGHEST^2 of the error of the one before


Times = tuple[pd.DatetimeIndex, dict[str, np.ndarray]]


def read_in(region: Region, fields: Mapping[str, xr.DataArray], wanted: Sequence[str], about: str) -> Times:
    """Times that all of these fields know, and what they say in these cells; rain in mm/day."""
    name, taught = region.prior.name, region.prior.quantities
    lacking, strange = set(wanted) - set(fields), set(fields) - {*taught, "rain"}
    if lacking or strange:
        wrong = f"no {min(lacking)}" if lacking else f"{min(strange)} is of no use"
        there = ", ".join(fields) or "none"
        raise Invalid(f"{about}: {wrong}; prior {name} needs {', '.join(taught)}, there are {there}")
    known = {each: fields[each] for each in wanted}
    times = functools.reduce(pd.Index.intersection, (each.indexes["time"] for each in known.values()))
    if len(times) < FEWEST:
        raise Invalid(f"{about}: {len(times)} times are no climate; give sources with {FEWEST} at least")
    values = {each: on_cells(field.sel(time=times), region.grid) for each, field in known.items()}
    for each, cells in values.items():
        if not np.isfinite(cells).all():
            raise Invalid(f"{about}: {each} has missing values in the domain; choose a smaller one")
    if "rain" in values:
        values["rain"] *= HOURS
    return pd.DatetimeIndex(times), values


def kind(quantity: str) -> Kind:
    return "ratio" if quantity == "humidity" else "additive"


@dataclass(frozen=True)
class Downscaled:
    """A simulation's rain in coarse cells, with the reference's law, ready to be made finer."""

    region: Region
    times: pd.DatetimeIndex
    rain: np.ndarray  # mm/day, (times, rows, columns)
    noise: float  # s*

    @property
    def grid(self) -> Grid:
        """Of the fine cells."""
        return Grid(self.region.grid.box, self.region.prior.card["step"])

    def at(self, times: pd.DatetimeIndex) -> Downscaled:
        """Some of its times."""
        place = self.times.get_indexer(times)
        if (place < 0).any():
            raise Invalid(
                f"predictors: {(place < 0).sum()} of {len(times)} times are missing, the first "
                f"{times[place < 0][0]}; they have {self.times[0]} to {self.times[-1]}"
            )
        return replace(self, times=times, rain=self.rain[place])

    def parts(self, members: Sequence[int]) -> list[Sequence[int]]:
        """The members in groups that are denoised together."""
        return groups(members, math.prod(self.grid.shape))

    def draws(
        self, seed: int, members: Sequence[int], steps: int, noise: float, mass: bool
    ) -> Iterator[tuple[float, np.ndarray | None]]:
        """How far these members are, at last with their rain (mm/h) in fine cells."""
        shape, prior = self.grid.shape, self.region.prior
        rain = np.empty((len(members), len(self.times), *shape), np.float32)
        for number, time in enumerate(self.times):
            streams = Streams(seed_at(seed, time), members)
            coarse = torch.from_numpy(prior.forward(self.rain[number])).float()
            denoiser = self.region.fine(coarse, streams, noise * self.noise)
            step, x = None, begun(denoiser, streams, shape)
            for step in ito(denoiser, x, karras(steps), streams):
                yield (number + step.progress) / len(self.times), None
            assert step is not None
            found = prior.inverse(step.x).numpy().astype(float)
            rain[:, number] = (conserved(found, self.rain[number]) if mass else found) / HOURS
        yield 1.0, rain


def begun(denoiser: Denoiser, streams: Streams, shape: tuple[int, int]) -> Tensor:
    """Fields noised to the highest level. Under a noised condition a denoiser counts them as evidence too: a
    start about nothing would tell it of less rain, so they start about what it says itself."""
    guess = torch.zeros(len(streams.members), *shape)
    for turn in range(GUESSES):
        guess = denoiser(guess + HIGHEST * streams(f"guess {turn}", shape), HIGHEST)
    return guess + HIGHEST * streams("start", shape)


def conserved(fine: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    """Fine fields (members, rows, columns) with the means of the coarse cells; evenly where they were dry."""
    times = fine.shape[-1] // coarse.shape[-1]
    means = fine.reshape(len(fine), len(coarse), times, -1, times).mean((2, 4))
    spread = np.ones((times, times))
    dry, factor = means <= 0, np.divide(coarse, means, out=np.zeros_like(means), where=means > 0)
    return fine * np.kron(factor, spread) + np.kron(np.where(dry, coarse, 0.0), spread)


def downscaled(
    prior: Prior, domain: Box, own: Mapping[str, xr.DataArray], past: Mapping[str, xr.DataArray]
) -> Generator[Snapshot, None, Downscaled]:
    """A whole simulation and its history, by quantity, on the way to fine rain. Without a history it is its
    own, and gets the reference's law without any change."""
    region, wanted = prior.cells(domain), prior.quantities
    told = "rain" in own and "rain" in past
    times, now = read_in(region, own, (*wanted, "rain") if told else wanted, "predictors")
    _, since = read_in(region, past, ("rain",) if told else wanted, "history") if past else ((), now)
    yield Snapshot(0.01, "reading")
    before = now if told else since
    laws = {name: DeltaMapping.fit(region.law(name), before[name], kind(name)) for name in wanted}
    then = yield from rained(region, laws, before)
    mapping = DeltaMapping.fit(region.law("rain"), then, trace=TRACE)
    unchanged = mapping.apply(then)
    yield Snapshot(0.04, "mapping rain")
    if told:
        rain = reordered(region.law("rain"), then, now["rain"], since["rain"])
    else:
        rain = mapping.apply((yield from rained(region, laws, now))) if past else unchanged
    yield Snapshot(0.05, "noise level")
    reference = prior.network.reference[:, region.rows, region.columns].double().numpy()
    noise = prior.times * noise_level(prior.forward(unchanged), prior.forward(reference), AGREE)
    return Downscaled(region, times, rain, noise)


def rained(
    region: Region, laws: Mapping[str, DeltaMapping], values: Mapping[str, np.ndarray]
) -> Generator[Snapshot, None, np.ndarray]:
    """The rain (mm/day) that goes with mapped quantities."""
    mapped, rain = {}, []
    for name, law in laws.items():
        mapped[name] = law.apply(values[name])
        yield Snapshot(0.02, f"mapping {name}")
    for part in region.regressed(mapped):
        rain.append(part)
        yield Snapshot(0.02, "rain from the circulation")
    return np.concatenate(rain)


def reordered(law: np.ndarray, rain: np.ndarray, told: np.ndarray, since: np.ndarray) -> np.ndarray:
    """Rain with a law, in the order of what was regressed, with the change of the simulation's own rain
    (``told``, ``since``): this takes that order, cell by cell, and is mapped."""
    place = rain.argsort(0).argsort(0)
    return DeltaMapping.fit(law, since, trace=TRACE).apply(np.take_along_axis(np.sort(told, 0), place, 0))
