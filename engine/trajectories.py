"""From a coarse simulation to trajectories of fine rain, any number of hours that belong together.

*Calibrated first.* All that the simulation's sources hold is looked at: their law in a cell is that of a
climate. Cell by cell every quantity is given the reference's law (`engine.calibrate.DeltaMapping`; rain and
humidity by ratios, the others by differences), with the change kept since the simulation's own history.

*One film after another.* A task's hours are parted into the films of `engine.streamed`, which begin where an
interval of the simulation begins. A film's noise belongs to its first hour: of a longer run the first hours
are those of a shorter one, bit for bit, where no gauge speaks after the shorter one's end.

*Told and held.* The network is told the coarse fields; besides, area means of its rain over the simulation's
intervals, and gauges at their exact places, are held to what was seen within their errors.
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
from torch import Tensor

from engine.calibrate import DeltaMapping, Kind
from engine.denoise import Denoiser
from engine.evidence import Seen
from engine.fields import Grid, Observations, Period
from engine.films import HOURS, KEPT, MEMORY, TRACE, Prior, Region
from engine.intervals import steady
from engine.laws import Normal
from engine.noise import Streams, seed_at
from engine.observe import Each, Gather, Hours, Operator, Stack, Then, Through, areas, points
from engine.overlap import on_cells, onto
from engine.sample import groups
from engine.streamed import Held, streamed
from engine.values import Invalid

HOUR: Any = pd.Timedelta("1h")
FEWEST = 40  # intervals from which a law is told: ten days of six hours
TOGETHER = 16.0  # cells: four a side, or fewer over some hours
UNKNOWN = 1e6  # mm/h, the error of an area that nobody saw
DRIZZLE = 0.02  # mm/h, below which a member is dry: what is left of the noise


@dataclass(frozen=True)
class Settings:
    calibrated: bool  # whether the simulation is given the reference's law
    error: float  # of its cells and of a gauge, as shares of what they say
    gauge_error: float


@dataclass(frozen=True)
class Trajectories:
    """A task's evidence on the cells of a prior, ready to be drawn from.

    ``first`` is the hour before the first film's kept ones; coarse fields are hourly from there to the last
    film's end, each hour with the mean of the interval it lies in.
    """

    region: Region
    period: Period
    first: pd.Timestamp
    every: int  # hours of the background's intervals
    coarse: np.ndarray  # (quantities, hours, rows, columns), mapped, missing as NaN
    gauges: Observations | None
    settings: Settings

    @property
    def count(self) -> int:
        """Of films."""
        return (self.coarse.shape[1] - HOURS) // KEPT + 1

    def parts(self, members: Sequence[int]) -> list[Sequence[int]]:
        """The members in groups that are denoised together."""
        return groups(members, HOURS * math.prod(self.region.grid.shape))

    def draws(
        self, grid: Grid, seed: int, members: Sequence[int], steps: int
    ) -> Iterator[tuple[float, np.ndarray | None]]:
        """How far these members are, at last with their rain (member, time, lat, lon) on a grid."""
        begins = [self.first + KEPT * number * HOUR for number in range(self.count)]
        streams = [Streams(seed_at(seed, time), members) for time in begins]
        times, shape, number = self.period.times, (len(members), len(self.period.times), *grid.shape), 0
        rain, score = np.empty(shape, np.float32), self.region.prior.score
        for share, film in streamed(self.following, self.region.shape, streams, steps):
            if film is not None:
                found = score.inverse(film[:, 0])
                fine = torch.where(found < DRIZZLE, 0.0, found).numpy()
                stamps = pd.date_range(begins[number] + MEMORY * HOUR, periods=KEPT, freq=HOUR)
                place = times.get_indexer(stamps)
                rain[:, place[place >= 0]] = onto(grid, self.region.grid, fine[:, place >= 0])
                number += 1
            yield min(share, 0.999), None
        yield 1.0, rain

    def following(self, number: int, before: Tensor | None) -> Denoiser:
        """The denoiser of a film under all that is known of it."""
        coarse, prior = self.coarse[:, KEPT * number :][:, :HOURS].copy(), self.region.prior
        coarse[:, :MEMORY] = np.nan  # before the first film nobody looks, before the others all is known
        told = np.stack(
            [prior.standard(name, each) for name, each in zip(prior.quantities, coarse, strict=True)]
        )
        denoiser = self.region.under(torch.from_numpy(told).float(), self.settings.error, before)
        seen = [self._areas(coarse[0])]
        if self.gauges is not None and (reports := self._reports(self.first + KEPT * number * HOUR)):
            seen.append(reports)
        operators, observed, errors = zip(*seen, strict=True)
        whole = operators[0] if len(seen) == 1 else Stack(operators)
        law = Normal(torch.cat(observed), torch.cat(errors))
        return Held(denoiser, Seen(Through(whole, prior.score), law), TOGETHER)

    def _areas(self, rain: np.ndarray) -> tuple[Operator, Tensor, Tensor]:
        """Means of a film's rain over coarse cells and the intervals after its first hour."""
        cells, fine = self.region.coarse, self.region.grid
        count = (HOURS - MEMORY) // self.every
        weight = torch.zeros(count, HOURS, dtype=torch.float64)
        for each in range(count):
            weight[each, MEMORY + each * self.every :][: self.every] = 1 / self.every
        means = Then(Each(areas(fine, cells), HOURS), Hours(weight, (HOURS, *cells.shape)))
        observed = torch.from_numpy(rain[MEMORY :: self.every][:count].reshape(-1)).float()
        known = observed.isfinite()
        error = torch.where(known, self.settings.error * (observed + TRACE), UNKNOWN)
        return means, observed.nan_to_num(), error

    def _reports(self, start: pd.Timestamp) -> tuple[Operator, Tensor, Tensor] | None:
        """Reports in the hours of a film that begins then, but for the first, which is settled."""
        assert self.gauges is not None
        stamps = pd.date_range(start + MEMORY * HOUR, periods=HOURS - MEMORY, freq=HOUR)
        fine, values = self.region.grid, self.gauges.at(stamps).values
        gauge, hour = np.nonzero(np.isfinite(values))
        if not len(gauge):
            return None
        place = points(fine, self.gauges.lat[gauge], self.gauges.lon[gauge])
        index = place.index + torch.from_numpy(hour + MEMORY)[:, None] * math.prod(fine.shape)
        observed = torch.from_numpy(values[gauge, hour]).float()
        error = self.settings.gauge_error * (observed + TRACE)
        return Gather(index, place.weight, (HOURS, *fine.shape)), observed, error


def trajectories(
    prior: Prior,
    period: Period,
    region: Region,
    now: Mapping[str, xr.DataArray],
    past: Mapping[str, xr.DataArray],
    gauges: Observations | None,
    settings: Settings,
) -> Trajectories:
    """A simulation's fields, whole, and its history's, by quantity, as evidence for the hours of a period."""
    if strange := sorted(set(now) - set(prior.quantities)):
        known = ", ".join(prior.quantities)
        raise Invalid(f"source {strange[0]}: of no use; prior {prior.name} knows {known}")
    every = {name: prior.every(name, steady(field, f"source {name}") / HOUR) for name, field in now.items()}
    longest = max(now, key=lambda name: every[name])
    stamp, step = now[longest].indexes["time"][0], every[longest] * HOUR
    first = stamp + (period.start - stamp) // step * step  # where an interval begins and the period's lies in
    count = math.ceil((period.end - first) / (KEPT * HOUR))
    hours = pd.date_range(first, periods=KEPT * (count - 1) + HOURS, freq=HOUR)
    coarse = np.full((len(prior.quantities), len(hours), *region.coarse.shape), np.nan)
    for index, name in enumerate(prior.quantities):
        if name in now:
            law = region.law(name, every[name]) if settings.calibrated else None
            found = mapped(region.coarse, name, law, now[name], past.get(name))
            coarse[index] = hourly(now[name], found, every[name], hours, period)
    return Trajectories(region, period, first, every["rain"], coarse, gauges, settings)


def mapped(
    cells: Grid, name: str, law: np.ndarray | None, now: xr.DataArray, past: xr.DataArray | None
) -> np.ndarray:
    """All of a quantity in these cells, with a law and its change since its history. What is too short to
    tell its own law is taken at its word."""
    values = on_cells(now, cells)
    since = values if past is None else on_cells(past, cells)
    if law is None or min(len(values), len(since)) < FEWEST:
        return values
    kind: Kind = "ratio" if name in ("rain", "humidity") else "additive"
    return DeltaMapping.fit(law, since, kind, TRACE / 2 if name == "rain" else 0.0).apply(values)


def hourly(
    field: xr.DataArray, values: np.ndarray, every: int, hours: pd.DatetimeIndex, period: Period
) -> np.ndarray:
    """Each hour with the mean of the interval that it lies in; past the end of what is known nothing."""
    stamps = field.indexes["time"]
    place = stamps.get_indexer(hours, "backfill", tolerance=(every - 1) * HOUR)
    asked = np.asarray((hours > period.start) & (hours <= period.end))
    if (absent := asked & (place < 0)).any():
        raise Invalid(
            f"source {field.name}: {absent.sum()} of {asked.sum()} hours are missing, the first "
            f"{hours[absent][0]}; it holds {stamps[0]} to {stamps[-1]}"
        )
    return np.where((place >= 0)[:, None, None], values[place], np.nan)
