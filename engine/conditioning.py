"""Conditional simulation: samples of a latent field that honour gauges, dry ones included.

A member is drawn by Matheron's rule. With u an unconditional sample of the field (zero mean), H the
reading at the gauges, e a draw of their errors, K = H C H' + R and m the mean,

    z = m + u + C H' K^-1 (y - H m - (H u + e)),

which has exactly the mean and covariance of kriging. Its kriging residual u - C H' K^-1 (H u + e) is
independent of H u + e. So the same H u + e may drive the sampling of the dry gauges' latent values in y
without disturbing anything: given the wet gauges it is the velocity of `engine.censored.bounce`, and a dry
gauge which nothing holds down takes just the value of the unconditional sample. The flow starts from a
chain of draws of their own (`Weave.renewed`), independent of that velocity, which is what keeps the law
under the ceilings exact.

In time the unconditional sample is an AR(1) process, u' = phi u + sqrt(1 - phi^2) new, with phi fitted to
the gauges. What is uncertain stays so for a while, and sums over an event have an honest spread.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from scipy import linalg

from engine.censored import NormalScore, bounce, settle
from engine.covariance import Sites, Structure, Torus
from engine.fields import Grid, Observations

KEPT_BYTES = 500e6  # of matrices, all hours together; those of further hours are made anew for each member
TURN = np.pi / 2  # after a quarter turn the latent value of a free dry gauge is its new draw
FIRST_TURNS = 4  # in the first hour, whose starting values are no draw


@dataclass(frozen=True)
class Network:
    """Gauges in the latent space: (site, time) arrays.

    Their mean is ``mean + coefficient * drift``, and ``deviation`` is what remains around it.
    """

    lat: np.ndarray
    lon: np.ndarray
    score: NormalScore
    latent: np.ndarray  # missing where a gauge said nothing, the dry score where it was dry
    dry: np.ndarray
    drift: np.ndarray
    mean: float = 0.0
    coefficient: float = 0.0
    deviation: float = 1.0
    gap: np.ndarray = field(default_factory=lambda: np.zeros((1, 1)))  # share of the drift that is missing

    @classmethod
    def of(cls, gauges: Observations, threshold: float, most: int, spare=()) -> Network:
        """From gauges, at most so many; ``spare`` rain helps with the scores where hardly any is wet."""
        told = np.flatnonzero(np.isfinite(gauges.values).any(1))
        told = told[even_choice(gauges.lat[told], gauges.lon[told], most)]
        rates, lat, lon = gauges.values[told], gauges.lat[told], gauges.lon[told]
        score, dry = NormalScore.of(rates, threshold, spare), rates < threshold
        return cls(lat, lon, score, score.score(rates), dry, np.zeros(rates.shape))

    def meeting(self, drift: np.ndarray, mean: float, deviation: float, gap: np.ndarray) -> Network:
        """The same network with its drift (site, time), which is brought to unit size."""
        size = float(drift[np.isfinite(self.latent)].std()) or 1.0
        return replace(self, drift=drift / size, mean=mean, coefficient=size, deviation=deviation, gap=gap)

    @property
    def residual(self) -> np.ndarray:
        """Reports less their mean; of a dry one, its ceiling."""
        return self.latent - self.mean - self.coefficient * self.drift

    @property
    def wet_reports(self) -> int:
        return int((np.isfinite(self.latent) & ~self.dry).sum())


def even_choice(lat: np.ndarray, lon: np.ndarray, most: int) -> np.ndarray:
    """Indices of at most so many places, each as far as can be from those chosen before."""
    if len(lat) <= most:
        return np.arange(len(lat))
    east, chosen = lon * np.cos(np.radians(lat.mean())), [0]
    away = np.hypot(lat - lat[0], east - east[0])
    while len(chosen) < most:
        chosen.append(int(np.argmax(away)))
        away = np.minimum(away, np.hypot(lat - lat[chosen[-1]], east - east[chosen[-1]]))
    return np.sort(chosen)


@dataclass(frozen=True)
class Hour:
    """One hour's reports and their algebra: all that a member needs of them."""

    who: np.ndarray  # of all gauges, those that report
    sites: Sites
    latent: np.ndarray  # reports; of a dry gauge, the dry score
    mean: np.ndarray
    dry: np.ndarray  # indices among those that report
    wet: np.ndarray
    error: np.ndarray  # variance of each report
    inverse: np.ndarray  # of the reports' covariance K
    pull: np.ndarray  # regression of the dry on the wet
    rest: np.ndarray  # covariance of the dry given the wet
    root: np.ndarray  # its Cholesky factor

    @cached_property
    def centre(self) -> np.ndarray:
        """Mean of the dry given the wet."""
        return self.mean[self.dry] + self.from_wet(self.latent - self.mean)

    def from_wet(self, values: np.ndarray) -> np.ndarray:
        """What the wet reports say of the dry ones, both about zero."""
        return self.pull @ values[self.wet]


@dataclass(frozen=True)
class Drift:
    """What the mean follows (time, lat, lon): the joined backgrounds, and the share that is missing."""

    field: np.ndarray
    gap: np.ndarray | None = None
    range_km: float = 100.0  # of the backgrounds themselves


@dataclass(frozen=True)
class Part:
    """A stationary field times a known factor, which is one unless given on the grid and at the sites."""

    spectrum: np.ndarray
    root: np.ndarray
    between: np.ndarray
    on_grid: np.ndarray | None
    at_sites: np.ndarray | None

    @classmethod
    def of(cls, sites: Sites, spectrum: np.ndarray, on_grid=None, at_sites=None) -> Part:
        single = spectrum.astype(np.float32)
        return cls(single, np.sqrt(single), sites.between(single), on_grid, at_sites)

    def covariance(self, who: np.ndarray, hour: int) -> np.ndarray:
        plain = self.between[np.ix_(who, who)]
        return plain if self.at_sites is None else self.told(plain, who, hour) * self.at_sites[who, hour]

    def told(self, values: np.ndarray, who: np.ndarray, hour: int) -> np.ndarray:
        """Values at sites (first axis) times the factor there."""
        if self.at_sites is None:
            return values
        return (values.T * self.at_sites[who, hour]).T

    def laid(self, whole: np.ndarray, hour: int) -> np.ndarray:
        """A field on the grid times the factor there."""
        return whole if self.on_grid is None else whole * self.on_grid[hour]


class Weave:
    """A network, a drift and a law, woven into fields hour by hour."""

    def __init__(
        self, grid: Grid, network: Network, drift: Drift | None, law: Structure, memory: float, speckle: float
    ) -> None:
        self.network, self.memory = network, memory
        self.drift = None if drift is None else drift.field
        self.torus = Torus(grid, law.reach_km)
        sites, fine = Sites(self.torus, network.lat, network.lon), speckle * law.nugget
        self.parts = [Part.of(sites, self.torus.spectrum(law.base) + fine)]
        if drift is not None:
            slope = law.slope * self.torus.spectrum(law.far)
            self.parts.append(Part.of(sites, slope, drift.field, network.drift))
        if drift is not None and drift.gap is not None:
            lost = Structure(network.coefficient**2, drift.range_km, level=0.0, power=1.3)
            gap = np.broadcast_to(network.gap, network.dry.shape)
            self.parts.append(Part.of(sites, self.torus.spectrum(lost.near), drift.gap, gap))
        # What of the nugget is not in the field: the error, and speckle smoothed by reading four cells.
        # A ten-thousandth at least keeps two gauges at one place from making K singular.
        read = fine * (sites.corners[2] ** 2).sum(1)
        self.error = np.maximum(law.nugget - read, 1e-4)[:, None] * np.ones(network.dry.shape[1])
        self.hours: dict[int, Hour] = {}

    def hour(self, hour: int) -> Hour:
        """The algebra of one hour, kept as long as there is room."""
        if hour in self.hours:
            return self.hours[hour]
        net = self.network
        who = np.flatnonzero(np.isfinite(net.latent[:, hour]))
        told, error, dry = (each[who, hour] for each in (net.latent, self.error, net.dry))
        full = np.diag(error)
        for part in self.parts:
            full += part.covariance(who, hour)
        below, above = np.flatnonzero(dry), np.flatnonzero(~dry)
        cross = full[np.ix_(above, below)]
        pull = linalg.solve(full[np.ix_(above, above)], cross, assume_a="pos").T
        rest = full[np.ix_(below, below)] - pull @ cross
        sites = Sites(self.torus, net.lat[who], net.lon[who])
        mean = net.mean + net.coefficient * net.drift[who, hour]
        root = linalg.cholesky(rest, lower=True).astype(np.float32) if below.size else rest
        made = Hour(who, sites, told, mean, below, above, error, inverted(full), pull, rest, root)
        if (len(self.hours) + 1) * (full.nbytes + rest.nbytes + root.nbytes + pull.nbytes) < KEPT_BYTES:
            self.hours[hour] = made
        return made

    def weigh(self, hour: int, doubt: float) -> None:
        """Raise the error of the reports that their neighbours contradict by so many deviations."""
        now = self.hour(hour)
        if not doubt or len(now.who) < 4:
            return
        more = doubted(now, self.likely(now), self.network.score.dry, doubt)
        if more.any():
            self.error[now.who, hour] += more
            self.hours.pop(hour, None)

    def likely(self, now: Hour) -> np.ndarray:
        """The reports, with the dry ones at their censored means."""
        values = now.latent.copy()
        values[now.dry] = np.minimum(values[now.dry], now.centre)
        return settle(now.inverse, values, now.mean, now.dry, self.network.score.dry)

    def median(self, hour: int) -> np.ndarray:
        """Rain of the kriged latent field."""
        now = self.hour(hour)
        return self.network.score.rain(self.kriged(hour, now, self.likely(now) - now.mean))

    def kriged(self, hour: int, now: Hour, away: np.ndarray) -> np.ndarray:
        """Mean plus C H' K^-1 times what the reports are away from it."""
        weights = now.inverse @ away
        total = np.full(self.torus.grid.shape, self.network.mean, np.float32)
        if self.drift is not None:
            total += np.float32(self.network.coefficient) * self.drift[hour]
        for part in self.parts:
            spread = now.sites.onto(part.spectrum, part.told(weights, now.who, hour))
            total += part.laid(self.torus.crop(spread), hour)
        return total

    def member(self, seed: int, member: int) -> Iterator[np.ndarray]:
        """Rain (lat, lon) of one member, hour by hour; its noise depends on seed, member and hour alone."""
        ceiling, fresh = self.network.score.dry, np.float32(np.sqrt(1 - self.memory**2))
        noise: list[np.ndarray] = []
        off = np.full(len(self.network.lat), np.nan)  # what the dry gauges were off their mean
        for hour in range(self.network.dry.shape[1]):
            rng = np.random.default_rng([seed, member, hour])
            new = [self.torus.draw(part.root, rng) for part in self.parts]
            if noise:
                share = np.float32(self.memory)
                new = [share * old + fresh * one for old, one in zip(noise, new, strict=True)]
            noise, now = new, self.hour(hour)
            missed = np.sqrt(now.error) * rng.standard_normal(len(now.who))
            for part, wave in zip(self.parts, noise, strict=True):
                missed += part.told(now.sites.read(wave), now.who, hour)
            kept = off[now.who[now.dry]]
            off[:] = np.nan
            off[now.who[now.dry]] = rested = self.renewed(now, kept, rng, 1 if hour else FIRST_TURNS)
            values = now.latent.copy()
            speed = missed[now.dry] - now.from_wet(missed)
            values[now.dry] = now.centre + bounce(rested, speed, now.rest, ceiling - now.centre, TURN)
            latent = self.kriged(hour, now, values - now.mean - missed)
            for part, wave in zip(self.parts, noise, strict=True):
                latent += part.laid(self.torus.crop(wave), hour)
            yield self.network.score.rain(latent)

    def renewed(self, now: Hour, kept: np.ndarray, rng: np.random.Generator, turns: int) -> np.ndarray:
        """A draw, under the ceiling, of what the dry gauges are off their mean given the wet ones.

        It moves on from the hour before. A gauge that has just become dry starts from a draw folded at
        its ceiling, which one turn then makes a proper one.
        """
        top = self.network.score.dry - now.centre
        for _ in range(turns):
            fresh, speed = (now.root @ noise for noise in rng.standard_normal((2, len(top)), np.float32))
            start = np.where(np.isfinite(kept), np.minimum(kept, top), top - np.abs(top - fresh))
            kept = bounce(start, speed.astype(float), now.rest, top, TURN)
        return kept


def inverted(matrix: np.ndarray) -> np.ndarray:
    """The inverse of a covariance, exactly symmetric."""
    if not matrix.size:
        return matrix
    whole = linalg.cho_solve(linalg.cho_factor(matrix, lower=True), np.eye(len(matrix)))
    return (whole + whole.T) / 2


def doubted(now: Hour, values: np.ndarray, ceiling: float, doubt: float) -> np.ndarray:
    """Extra error variance of the reports that their neighbours contradict.

    With K the covariance, the leave-one-out error of report i is (K^-1 y)_i / (K^-1)_ii and its variance
    1 / (K^-1)_ii. A dry report contradicts only where rain was expected. Of a group that doubt one
    another only the worst is touched; it then stays as far off as it was, at one deviation.
    """
    stiffness = np.diag(now.inverse)
    off = now.inverse @ (values - now.mean) / stiffness
    expected = (values - off)[now.dry]
    off[now.dry] = np.minimum(ceiling - expected, 0)
    size = np.abs(off) * np.sqrt(stiffness)
    if not (size > doubt).any():
        return np.zeros(len(size))
    tied = np.abs(now.inverse) > 0.1 * np.sqrt(np.outer(stiffness, stiffness))
    worst = (size > doubt) & (np.where(tied, size, 0).max(1) <= size)
    return np.where(worst, np.maximum(off**2 - 1 / stiffness, 0), 0)
