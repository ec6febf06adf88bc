"""Readings of a latent field by gauges: wet ones say how much, dry ones only "at most this".

A wet reading is Gaussian about the field at its place. A dry one says that the field, and an error with it,
is below the score of no rain (`engine.signed`): its law is half a line, and the Gaussian that stands for it,
its *site*, is found by expectation propagation. With the field at the reading N(m, v) as far as all others
tell, and dry if it and an error of variance e are below z,

    a = (z - m) / sqrt(v + e),    r = phi(a) / Phi(a),
    mean m - v r / sqrt(v + e),   variance v - v^2 r (a + r) / (v + e),

and the site is what takes the one to the other. A few rounds suffice.

What all others say of a reading also tells which one is wrong, and how likely a law makes them all: the law
is taken under which each one is best foretold by the others.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import log_ndtr

from engine.censored import mills
from engine.climate import Climate
from engine.observe import Gather

ROUNDS, DAMPING = 6, 0.7  # of expectation propagation, and how much of a new site is taken
FAINT = 1e-4  # of the variance: no two readings are one
DOUBT = 4.0  # deviations from all others at which a reading loses weight
MOST_DOUBTED = 20
ROUGH_KM, PARTS = (8.0, 25.0, 75.0), 5  # of a task's hours: lengths, and parts that their variance has
USUAL_ROUGH = (0.0, 0.2, 0.6)
SIZES = (0.7, 1.0, 1.4, 2.0, 2.8, 4.0)  # of the variance: an event is farther from the mean than most hours
USUAL_SIZES = 0.6  # standard deviation of their logarithm
FEWEST, MOST, HOURS = 15, 150, 4  # readings, and hours, that a law is fitted to
SURPRISE = 4.0  # deviations beyond which one reading does not tell more against a law


@dataclass(frozen=True)
class Readings:
    """Values of the latent field at some places, their errors, and which of them are only "at most"."""

    place: Gather
    value: np.ndarray
    error: np.ndarray  # standard deviation
    dry: np.ndarray

    def __len__(self) -> int:
        return len(self.value)

    def part(self, kept: np.ndarray) -> Readings:
        index, weight = (each[kept] for each in (self.place.index, self.place.weight))
        place = replace(self.place, index=index, weight=weight)
        return Readings(place, self.value[kept], self.error[kept], self.dry[kept])


@dataclass(frozen=True)
class Sites:
    """Readings as Gaussians, and what all others say at each of them (mean, variance of the field)."""

    value: np.ndarray
    variance: np.ndarray
    others: tuple[np.ndarray, np.ndarray]


def weighed(inside: np.ndarray, expected: np.ndarray, readings: Readings) -> Sites:
    """Sites of the readings, with a larger error for those that all others contradict.

    The worst is let go first, for it makes its neighbours look wrong: it stays as far off as it was, at one
    deviation.
    """
    sites = _sites(inside, expected, readings)
    for _ in range(MOST_DOUBTED if len(readings) > 3 else 0):
        mean, variance = sites.others
        off = np.where(readings.dry, np.maximum(mean - readings.value, 0), np.abs(mean - readings.value))
        size = off / np.sqrt(variance + readings.error**2)
        worst = int(size.argmax())
        if size[worst] < DOUBT:
            break
        error = readings.error.copy()
        error[worst] = np.sqrt(off[worst] ** 2 + error[worst] ** 2)
        readings = replace(readings, error=error)
        sites = _sites(inside, expected, readings)
    return sites


def _sites(inside: np.ndarray, expected: np.ndarray, readings: Readings) -> Sites:
    """Expectation propagation: each site's precision and precision times value, from what all others say."""
    dry, value, noise = readings.dry, readings.value, readings.error**2
    precision = np.where(dry, 0.0, 1 / np.where(dry, 1.0, noise))
    pull = precision * value
    mean, variance = expected, inside.diagonal()
    for turn in range(ROUNDS if dry.any() else 1):
        if turn or not dry.any():
            mean, variance = _others(inside, expected, precision, pull)
        if not dry.any():
            break
        m, v, e = mean[dry], variance[dry], noise[dry]
        total = np.sqrt(v + e)
        a = (value[dry] - m) / total
        ratio = mills(a)
        narrower = np.clip(v - v**2 * ratio * (a + ratio) / (v + e), 1e-6 * v, (1 - 1e-6) * v)
        fresh = 1 / narrower - 1 / v
        taken = DAMPING if turn else 1.0
        pull[dry] += taken * ((m - v * ratio / total) / narrower - m / v - pull[dry])
        precision[dry] += taken * (fresh - precision[dry])
    return Sites(pull / precision, 1 / precision, (mean, variance))


def _others(
    inside: np.ndarray, expected: np.ndarray, precision: np.ndarray, pull: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What all other sites say of the field at each one.

    With K the covariance of the readings and S of the sites, V = (K + S)^-1: the site is V (y - m) / V_ii off
    all others, whose own variance there is 1 / V_ii - S_ii.
    """
    wide = 1 / np.maximum(precision, 1e-9)
    inverse = np.linalg.inv(inside + np.diag(wide))
    alone = inverse.diagonal()
    value = pull * wide
    mean = value - inverse @ (value - expected) / alone
    return mean, np.maximum(1 / alone - wide, FAINT * inside.diagonal())


@dataclass(frozen=True)
class Hour:
    """Readings of an hour, and their distances (km)."""

    readings: Readings
    away: np.ndarray

    def part(self, kept: np.ndarray) -> Hour:
        return Hour(self.readings.part(kept), self.away[np.ix_(kept, kept)])

    @property
    def wet(self) -> int:
        return int((~self.readings.dry).sum())


def likeliest(hours: Sequence[Hour], usual: Climate) -> Climate:
    """A climate as rough as these hours, and as far from its mean.

    Of the wettest hours some readings are asked. Where too few are wet, the hours are as usual. Laws are
    parts of the variance by their length, the usual one last, and a size. Of some far apart the best is
    taken, then its best neighbour for as long as that is better: one part moved, or the next size.
    """
    asked = sorted(hours, key=lambda hour: -hour.wet)[:HOURS]
    if sum(hour.wet for hour in asked) < FEWEST:
        return usual.rougher(dict(zip(ROUGH_KM, USUAL_ROUGH, strict=True)))
    some = [hour.part(np.unique(np.linspace(0, len(hour.readings) - 1, MOST).astype(int))) for hour in asked]

    def law(size: int, *parts: int) -> Climate:
        shares = (each / PARTS for each in parts)
        return usual.rougher(dict(zip(ROUGH_KM, shares, strict=False))).scaled(SIZES[size])

    @functools.cache
    def likely(*told: int) -> float:
        return foretold(law(*told), some) - (np.log(SIZES[told[0]]) / USUAL_SIZES) ** 2 / 2

    ends = [
        (*parts, PARTS - sum(parts)) for parts in itertools.product(*[range(0, PARTS, 2)] * len(ROUGH_KM))
    ]
    best = max(
        ((size, *parts) for parts in ends if parts[-1] > 0 for size in range(0, len(SIZES), 2)),
        key=lambda each: likely(*each),
    )
    while (near := max(_near(best), key=lambda each: likely(*each))) and likely(*near) > likely(*best):
        best = near
    return law(*best)


def _near(law: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    size, *parts = law
    yield from ((each, *parts) for each in (size - 1, size + 1) if 0 <= each < len(SIZES))
    for less, more in itertools.permutations(range(len(parts)), 2):
        moved = parts.copy()
        moved[less] -= 1
        moved[more] += 1
        if min(moved) >= 0 and moved[-1] > 0:
            yield size, *moved


def foretold(law: Climate, hours: Sequence[Hour]) -> float:
    """Log likelihood of each reading by all others of its hour."""
    return sum(_foretold(law, hour) for hour in hours)


def _foretold(law: Climate, hour: Hour) -> float:
    if not len(hour.readings):
        return 0.0
    inside = law.covariance(hour.away) + FAINT * law.variance * np.eye(len(hour.away))
    mean, variance = _sites(inside, np.zeros(len(inside)), hour.readings).others
    total = np.sqrt(variance + hour.readings.error**2)
    off = np.clip((hour.readings.value - mean) / total, -SURPRISE, SURPRISE)
    return float(np.where(hour.readings.dry, log_ndtr(off), -(off**2) / 2 - np.log(total)).sum())
