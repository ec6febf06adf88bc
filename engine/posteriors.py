"""From what was seen in each hour to samples of what fell: a task's posteriors, and their draws.

Everything lives on the prior's latent side, an affine logarithm of rain, where dry is one value and not a
half line: the network says itself how sure dry is. Hours are independent; an hour's noise belongs to its
time, so that it is the same in whatever period it stands.

*Gauges* are read at their exact places. A report's error on the latent side follows from its share of the
amount, from the smallest amount it can tell, and from what a gauge has for itself (a point is no cell),
which the gauges tell among themselves (`engine.foretold.climate_at`). A report that all others contradict
loses weight beforehand.

*Backgrounds* become a backdrop (`engine.foretold`, `engine.evidence.Backdrop`): gauges tell what the maps are
worth, and the climate's share is divided out, so that prior and backdrop do not say the same thing twice.
Were the prior Gaussian, the result would be kriging with external drift; what the prior knows besides comes
on top.

*As published* the backgrounds' mean is noised to the level tau and denoised again, with the gauges' cells
overwritten at every step: no error law, no uncertainty of a gauge, and the background is where one starts.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from engine.covariance import Torus
from engine.denoise import Denoiser, Gaussian
from engine.evidence import Backdrop, Seen
from engine.fields import KM_PER_DEGREE, Evidence, Grid, Observations, Snapshot
from engine.foretold import Foretold, climate_at, foretold
from engine.guide import Posterior
from engine.laws import Normal
from engine.noise import HIGHEST, Streams, karras
from engine.observe import points
from engine.priors import Prior
from engine.sample import Step, ito, restart, start

AT_ONCE = 4 * 128**2  # cells denoised in one step: the longest that a cancel waits
SMALLEST = 0.02  # mm/h, what of a report cannot be told from nothing
DRIZZLE = 0.02  # mm/h, below which a member is dry: what is left of the noise
DOUBT = 4.0  # deviations from all others at which a report loses weight
MOST_DOUBTED = 20  # reports of an hour
READING = "weighing what was seen"


@dataclass(frozen=True)
class Hour:
    """What is known of one hour, on the latent side."""

    time: pd.Timestamp
    seen: Seen
    backdrop: Backdrop | None
    guess: Tensor | None  # the backgrounds' mean as it is


@dataclass(frozen=True)
class Posteriors:
    """The hours of a task, ready to be drawn from."""

    prior: Prior
    denoiser: Denoiser
    climate: Gaussian
    hours: Sequence[Hour]

    def draws(
        self, seed: int, members: Sequence[int], steps: int, tau: float | None = None
    ) -> Iterator[tuple[float, np.ndarray | None]]:
        """How far the hours of these members are, at last with their rain (member, time, lat, lon).

        With a ``tau`` they are drawn as published.
        """
        shape = tuple(self.climate.mean.shape)
        rain = np.empty((len(members), len(self.hours), *shape), np.float32)
        for number, hour in enumerate(self.hours):
            streams = Streams(_seed(seed, hour.time), members)
            step = None
            for step in self._sampled(hour, streams, steps, tau):
                yield (number + step.progress) / len(self.hours), None
            assert step is not None
            found = self.prior.transform.inverse(step.x)
            rain[:, number] = torch.where(found < DRIZZLE, 0.0, found).numpy()
        yield 1.0, rain

    def _sampled(self, hour: Hour, streams: Streams, steps: int, tau: float | None) -> Iterator[Step]:
        if tau is None:
            post = Posterior(self.denoiser, hour.seen, self.climate, "climate", backdrop=hour.backdrop)
            return ito(post, post.start(streams, HIGHEST), karras(steps), streams)
        post = Posterior(self.denoiser, hour.seen, self.climate, "replacement")
        if hour.guess is None:
            x, high = start(streams, tuple(self.climate.mean.shape), HIGHEST, self.climate), HIGHEST
        else:
            high = math.tan(tau * math.pi / 2)  # sigma / alpha of the cosine schedule at the time tau
            x = restart(streams, hour.guess, high)
        return ito(post, x, karras(steps, high=high), streams)

    def parts(self, members: Sequence[int]) -> list[Sequence[int]]:
        """The members in groups that are denoised together."""
        size = max(1, AT_ONCE // math.prod(self.climate.mean.shape))
        return [members[first : first + size] for first in range(0, len(members), size)]


def posteriors(prior: Prior, given: Evidence, gauge_error: float) -> Generator[Snapshot, None, Posteriors]:
    """What was seen, weighed hour by hour."""
    grid, times, gauges = given.grid, given.period.times, given.gauges
    label = "gauge" if "gauge" in prior.labels else prior.labels[0]
    usual = prior.climate(label, grid.step * KM_PER_DEGREE)
    law, own = climate_at(gauges, prior.transform, usual)
    climate = law.on(grid)
    maps = None
    if backgrounds := list(given.of("background").values()):
        for turn, found in enumerate(foretold(backgrounds, grid, gauges, prior.transform, own)):
            maps = found
            yield Snapshot(0.05 * turn / (len(times) + 1), "judging the backgrounds")
    hours = []
    for number, time in enumerate(times):
        backdrop = None if maps is None else backdrop_of(maps, number, grid, climate)
        guess = None if maps is None else torch.from_numpy(maps.plain[number])
        seen = reported(gauges, number, grid, prior, gauge_error, own)
        hours.append(Hour(time, weighed(seen, climate, backdrop), backdrop, guess))
        yield Snapshot(0.05 + 0.03 * (number + 1) / len(times), READING)
    return Posteriors(prior, prior.on(grid, label)[0], climate, hours)


def backdrop_of(maps: Foretold, hour: int, grid: Grid, climate: Gaussian) -> Backdrop:
    rows, columns = climate.basis.values.shape
    cell_km = Torus(grid, 0.0).cell_km
    return Backdrop(
        torch.from_numpy(maps.expected[hour]) - climate.mean,
        torch.from_numpy(maps.weights[hour]),
        torch.stack([law.spectrum((rows, columns), cell_km) for law in maps.missed]),
        maps.spread.spectrum((rows, columns), cell_km),
    )


def reported(
    gauges: Observations | None, hour: int, grid: Grid, prior: Prior, share: float, own: float
) -> Seen:
    """The hour's reports; the slope of the transform brings their errors to the latent side."""
    nowhere = np.zeros(0)
    lat, lon, rates = (
        (nowhere, nowhere, nowhere) if gauges is None else (gauges.lat, gauges.lon, gauges.values[:, hour])
    )
    there = np.isfinite(rates)
    reports = torch.from_numpy(rates[there].astype(np.float32))
    wide = torch.hypot(share * reports, torch.tensor(SMALLEST))
    low, high = (prior.transform.forward(each) for each in ((reports - wide).clamp(min=0), reports + wide))
    error = torch.hypot((high - low) / 2, torch.tensor(own**0.5))
    return Seen(points(grid, lat[there], lon[there]), Normal(prior.transform.forward(reports), error))


def weighed(seen: Seen, climate: Gaussian, backdrop: Backdrop | None) -> Seen:
    """The same reports, with a larger error for those that all others contradict.

    With K the covariance of the reports, (K^-1 r)_i / (K^-1)_ii is what report i is off all others, and
    1 / (K^-1)_ii its variance. The worst is let go first, for it makes its neighbours look wrong: it stays
    as far off as it was, at one deviation.
    """
    for _ in range(MOST_DOUBTED):
        law = seen.law
        assert isinstance(law, Normal)
        if len(law.observed) < 4:
            break
        off, variance = Posterior(climate, seen, climate, "climate", backdrop=backdrop).left_out()
        size = off.abs() / variance.sqrt()
        worst = int(size.argmax())
        if size[worst] < DOUBT:
            break
        error = torch.as_tensor(law.error).clone()
        error[worst] = (error[worst] ** 2 + off[worst] ** 2 - variance[worst]).sqrt()
        seen = replace(seen, law=replace(law, error=error))
    return seen


def _seed(seed: int, time: pd.Timestamp) -> int:
    stamp = time.value // 10**9
    return int(np.random.SeedSequence([seed, stamp]).generate_state(1, np.uint64)[0])
