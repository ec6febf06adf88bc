"""From what was seen in each hour to samples of what fell: a task's posteriors, and their draws.

Everything lives on the prior's latent side, signed rain (`engine.signed`) brought to a normal, where dry is a
half line. What was seen in an hour becomes a sketch (`engine.sketch`), what the climate's Gaussian makes of
it, and the network paints the fields there may be under it. Hours are independent; an hour's noise belongs to
its time, so that it is the same in whatever period it stands.

*Gauges* are read at their exact places. A report's error on the latent side follows from its share of the
amount and from the smallest amount it can tell. How rough the hours are the gauges tell among themselves. A
report that all others contradict loses weight.

*Backgrounds* become a backdrop (`engine.foretold`): gauges tell what the maps are worth. The sketch is then
kriging with external drift, and members begin as fields of that law at a low noise level: how far a map is
off over a whole area its gauges know better than a network that has only seen made-up maps. What the prior
knows of rain comes on top.

*As published* the backgrounds' mean is noised to the level tau and denoised again, with the gauges' cells
overwritten at every step: no error law, no uncertainty of a gauge, and the background is where one starts.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from engine.covariance import Torus
from engine.denoise import Gaussian
from engine.evidence import Seen
from engine.fields import KM_PER_DEGREE, Evidence, Grid, Snapshot
from engine.foretold import Foretold, foretold
from engine.guide import Posterior
from engine.noise import HIGHEST, Streams, karras, seed_at
from engine.priors import Prior
from engine.readings import likeliest
from engine.reports import Reports
from engine.sample import Step, groups, ito, restart
from engine.sketch import Backdrop, Sketch, sketch

BEGUN = 1.0  # noise level to begin at where there are maps: what is large the sketch then knows
DRIZZLE = 0.02  # mm/h, below which a member is dry: what is left of the noise


@dataclass(frozen=True)
class Hour:
    """What is known of one hour, on the latent side."""

    time: pd.Timestamp
    sketch: Sketch
    waves: Tensor  # the spectrum of what is not known, in the climate's basis
    guess: Tensor | None  # the backgrounds' mean as it is
    overwriting: Seen | None  # the reports, as the published method takes them


@dataclass(frozen=True)
class Posteriors:
    """The hours of a task, ready to be drawn from."""

    prior: Prior
    grid: Grid
    label: str
    climate: Gaussian
    hours: Sequence[Hour]

    def draws(
        self, seed: int, members: Sequence[int], steps: int, tau: float | None = None
    ) -> Iterator[tuple[float, np.ndarray | None]]:
        """How far the hours of these members are, at last with their rain (member, time, lat, lon).

        With a ``tau`` they are drawn as published.
        """
        rain = np.empty((len(members), len(self.hours), *self.grid.shape), np.float32)
        for number, hour in enumerate(self.hours):
            streams = Streams(seed_at(seed, hour.time), members)
            step = None
            for step in self._sampled(hour, streams, steps, tau):
                yield (number + step.progress) / len(self.hours), None
            assert step is not None
            found = self.prior.score.inverse(step.x)
            rain[:, number] = torch.where(found < DRIZZLE, 0.0, found).numpy()
        yield 1.0, rain

    def _sampled(self, hour: Hour, streams: Streams, steps: int, tau: float | None) -> Iterator[Step]:
        known = hour.sketch if tau is None else Sketch.nothing(self.grid.shape)
        denoiser = self.prior.on(self.grid, self.label, known)
        if tau is not None and hour.overwriting is not None:
            denoiser = Posterior(denoiser, hour.overwriting, self.climate, "replacement")
        high = HIGHEST if hour.guess is None else BEGUN
        if tau is None or hour.guess is None:
            return ito(denoiser, self._start(hour, known, streams, high), karras(steps, high=high), streams)
        high = math.tan(tau * math.pi / 2)  # sigma / alpha of the cosine schedule at the time tau
        return ito(denoiser, restart(streams, hour.guess, high), karras(steps, high=high), streams)

    def _start(self, hour: Hour, known: Sketch, streams: Streams, sigma: float) -> Tensor:
        """Noise of a level hides what varies less than that. Under it lie fields as wide as the sketch, whose
        waves are those of what is not known: of the climate, or of what the maps miss."""
        white = streams("start", self.climate.basis.noise(self.climate.mean.shape))
        drawn = self.climate.shaped(white, hour.waves / hour.waves.mean())
        return known.mean + known.spread * drawn + sigma * streams("noise", self.grid.shape)

    def parts(self, members: Sequence[int]) -> list[Sequence[int]]:
        """The members in groups that are denoised together."""
        return groups(members, math.prod(self.grid.shape))


def posteriors(prior: Prior, given: Evidence, gauge_error: float) -> Generator[Snapshot, None, Posteriors]:
    """What was seen, sketched hour by hour."""
    grid, times = given.grid, given.period.times
    label = "gauge" if "gauge" in prior.labels else prior.labels[0]
    law = prior.climate(label, grid.step * KM_PER_DEGREE)
    climate = law.on(grid)
    reports = None
    if given.gauges is not None:
        reports = Reports.of(given.gauges, grid, prior.score, gauge_error)
        climate = likeliest(reports.hours, law).on(grid)
    maps = None
    if backgrounds := list(given.of("background").values()):
        for turn, found in enumerate(foretold(backgrounds, grid, reports, prior.score)):
            maps = found
            yield Snapshot(0.05 * turn / (len(times) + 1), "judging the backgrounds")
    behind = [] if maps is None else backdrops(maps, grid, climate)
    hours = []
    for number, time in enumerate(times):
        backdrop = behind[number] if behind else None
        guess = None if maps is None else torch.from_numpy(maps.plain[number]).float()
        readings = None if reports is None else reports.hour(number).readings
        overwriting = None if reports is None else reports.overwriting(number)
        waves = climate.basis.values if backdrop is None else backdrop.missed[-1]
        hours.append(Hour(time, sketch(climate, readings, backdrop), waves, guess, overwriting))
        yield Snapshot(0.05 + 0.03 * (number + 1) / len(times), "weighing what was seen")
    return Posteriors(prior, grid, label, climate, hours)


def backdrops(maps: Foretold, grid: Grid, climate: Gaussian) -> list[Backdrop]:
    """Of each hour; what they miss is of the same laws."""
    rows, columns = climate.basis.values.shape
    cell_km = Torus(grid, 0.0).cell_km
    missed = torch.stack([law.spectrum((rows, columns), cell_km) for law in maps.missed])
    pairs = zip(torch.from_numpy(maps.expected), torch.from_numpy(maps.weights), strict=True)
    return [Backdrop(expected, weights, missed) for expected, weights in pairs]
