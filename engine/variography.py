"""Variography: the covariance of the latent field, fitted to what gauges report.

The fit maximises a pairwise composite likelihood. Each sampled pair of reports of one hour contributes
its bivariate density; a dry report contributes the probability of lying under the threshold, so that the
law found is that of the uncensored field, and the many dry pairs neither shorten nor lengthen the range.
Every pair's density has a floor: a broken gauge costs a bounded amount and cannot bend the fit. The pairs
are spread evenly over the logarithm of distance. A weak prior, worth one report on each scale, decides
where a handful of gauges cannot.

The same likelihood over pairs of successive hours of one gauge gives the memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from engine.censored import pair_log_likelihood
from engine.covariance import Structure

ROUGHEST, SMOOTHEST = 0.5, 1.9  # power of the correlation
MOST_STRETCH = 0.8  # axes of at most about 5 to 1
CLASSES = 14  # of distance, equally wide in the logarithm
DRAWN = 9000  # pairs of reports looked at in each class
KEPT_DRY = 600  # of those with both sides dry
MOST_STEPS = 40


@dataclass(frozen=True)
class Pairs:
    """Sampled pairs of reports: what each side said, where its mean lies, how far apart they are."""

    first: np.ndarray  # latent value of each side; for a dry report the threshold
    second: np.ndarray
    dry_first: np.ndarray
    dry_second: np.ndarray
    drift_first: np.ndarray
    drift_second: np.ndarray
    east: np.ndarray
    north: np.ndarray
    weight: np.ndarray

    def log_likelihood(self, law: Structure, share: float = 1.0) -> float:
        """Weighted mean over the pairs; ``share`` scales the covariance (memory between two hours)."""
        far = law.far(self.east, self.north)
        shared = law.near(self.east, self.north) + far * (
            law.level + law.slope * self.drift_first * self.drift_second
        )
        own = law.sill + law.level + law.nugget
        told = pair_log_likelihood(
            (self.first, self.second),
            (self.dry_first, self.dry_second),
            (own + law.slope * self.drift_first**2, own + law.slope * self.drift_second**2),
            share * shared,
        )
        return float(np.average(told, weights=self.weight))


def draw_pairs(residual, dry, drift, east, north, rng: np.random.Generator) -> Pairs:
    """Pairs of reports of one hour, spread over the distances, (site, time) arrays.

    Most pairs are dry on both sides and say little: a part of them is kept, with more weight.
    """
    one, other = np.triu_indices(len(east), 1)
    away = np.hypot(east[one] - east[other], north[one] - north[other])
    edges = np.geomspace(max(away.min(), 2.0), away.max() + 1e-6, CLASSES + 1)
    label = np.clip(np.searchsorted(edges, away, side="right"), 1, CLASSES)
    parts = []
    for each in range(1, CLASSES + 1):
        among = np.flatnonzero(label == each)
        if not among.size:
            continue
        pick = (
            rng.choice(among, DRAWN) if among.size * dry.shape[1] > DRAWN else np.repeat(among, dry.shape[1])
        )
        hour = (
            rng.integers(dry.shape[1], size=pick.size)
            if pick.size == DRAWN
            else np.tile(np.arange(dry.shape[1]), among.size)
        )
        parts.append(_kept(one[pick], other[pick], hour, hour, residual, dry))
    return _pairs(parts, residual, dry, drift, east, north)


def draw_hours(residual, dry, drift, east, north, rng: np.random.Generator) -> Pairs:
    """Pairs of successive reports of the same site."""
    site, hour = np.nonzero(np.isfinite(residual[:, :-1]) & np.isfinite(residual[:, 1:]))
    pick = rng.permutation(site.size)[: 2 * DRAWN]
    part = _kept(site[pick], site[pick], hour[pick], hour[pick] + 1, residual, dry)
    return _pairs([part], residual, dry, drift, east, north)


def _kept(one, other, hour, later, residual, dry):
    good = np.isfinite(residual[one, hour]) & np.isfinite(residual[other, later])
    one, other, hour, later = one[good], other[good], hour[good], later[good]
    both = dry[one, hour] & dry[other, later]
    keep = np.flatnonzero(~both)
    spare = np.flatnonzero(both)
    chosen = spare[:: max(1, spare.size // KEPT_DRY)]
    weight = np.r_[np.ones(keep.size), np.full(chosen.size, spare.size / max(1, chosen.size))]
    index = np.r_[keep, chosen]
    return one[index], other[index], hour[index], later[index], weight / max(1.0, weight.sum())


def _pairs(parts, residual, dry, drift, east, north) -> Pairs:
    one, other, hour, later, weight = (np.concatenate(each) for each in zip(*parts, strict=True))
    return Pairs(
        residual[one, hour], residual[other, later], dry[one, hour], dry[other, later],
        drift[one, hour], drift[other, later], east[one] - east[other], north[one] - north[other], weight,
    )  # fmt: skip


def fit(pairs: Pairs, start: Structure, reports: int, free: tuple[str, ...]) -> Iterator[Structure]:
    """The structure under which the pairs are likeliest, better with every one that is yielded.

    ``reports`` is the number of informative reports: it weighs the pairs against a weak prior around
    ``start`` (a factor of e on each scale), which decides where a handful of gauges cannot.
    """
    origin = _numbers(start, free)

    def cost(numbers: np.ndarray) -> float:
        held = np.clip(numbers, origin - 6, origin + 6)
        prior = 0.5 * float(((numbers - origin) ** 2).sum())
        return -reports * pairs.log_likelihood(_structure(start, free, held)) + prior

    def slopes(numbers: np.ndarray, here: float) -> np.ndarray:
        return np.array([cost(numbers + 1e-3 * one) - here for one in np.eye(len(numbers))]) / 1e-3

    numbers, here = origin, cost(origin)
    slope, inverse = slopes(numbers, here), np.eye(len(free)) / max(1.0, 0.1 * reports)
    for _ in range(MOST_STEPS):
        # BFGS by hand, because whoever iterates may want to stop between two steps.
        stride = -inverse @ slope
        stride *= min(1.0, 1.0 / np.abs(stride).max())
        while (there := cost(numbers + stride)) > here and np.abs(stride).max() > 1e-4:
            stride = stride / 3
        yield _structure(start, free, numbers)
        if here - there < 0.01:
            return
        numbers, here, before = numbers + stride, there, slope
        slope = slopes(numbers, here)
        inverse = _curved(inverse, stride, slope - before)


def _curved(inverse: np.ndarray, stride: np.ndarray, bend: np.ndarray) -> np.ndarray:
    """The inverse curvature after a stride that bent the slope by so much."""
    if (along := float(stride @ bend)) <= 0:
        return inverse
    part = np.eye(len(stride)) - np.outer(stride, bend) / along
    return part @ inverse @ part.T + np.outer(stride, stride) / along


def _numbers(law: Structure, free: tuple[str, ...]) -> np.ndarray:
    """The free entries on scales without bounds, each of the order of one."""
    share = (law.power - ROUGHEST) / (SMOOTHEST - ROUGHEST)
    special = {"p": 4 * law.stretch[0], "q": 4 * law.stretch[1], "power": np.log(share / (1 - share))}
    return np.array([special[name] if name in special else np.log(getattr(law, name)) for name in free])


def _structure(start: Structure, free: tuple[str, ...], numbers: np.ndarray) -> Structure:
    values = {name: float(value) for name, value in zip(free, numbers, strict=True)}
    p, q = values.pop("p", 4 * start.stretch[0]) / 4, values.pop("q", 4 * start.stretch[1]) / 4
    shrink = min(1.0, MOST_STRETCH / max(float(np.hypot(p, q)), 1e-9))
    power = start.power
    if "power" in values:
        power = ROUGHEST + (SMOOTHEST - ROUGHEST) / (1 + float(np.exp(-values.pop("power"))))
    scales = {name: float(np.exp(value)) for name, value in values.items()}
    return replace(start, stretch=(p * shrink, q * shrink), power=power, **scales)


def memory_of(pairs: Pairs, law: Structure) -> float:
    """The share of the covariance that is left after one step, where the pairs are likeliest."""
    if not pairs.weight.size:
        return 0.0
    tried = np.r_[np.linspace(0, 0.9, 10), 0.93, 0.95, 0.97, 0.98, 0.99]
    return float(tried[np.argmax([pairs.log_likelihood(law, share) for share in tried])])
