"""Rain seen as a Gaussian field cut off at zero.

Rain is dry over most of the map and skewed where it falls. Both are one thing in the *truncated Gaussian*
view: a latent field z, standard normal over all hours and gauges, that is rain where it exceeds the
quantile c of the dry share, and dry below. `NormalScore` is the monotone map between the two, fitted to
the reports themselves, with an exponential tail beyond the largest of them that ends at a cap.

A dry gauge is then *censored*: it does not say z = c, it says z <= c. Three things are needed for that:

* a regression that knows it (`tobit`), for the drift;
* the likelihood of a pair of reports of which one or both are dry, for the covariance
  (`pair_log_likelihood`);
* samples of the latent values at the dry gauges given everything else, a Gaussian vector under a ceiling
  in every coordinate (`bounce`). They follow the exact Hamiltonian flow of the Gaussian, x cos t + v sin t,
  reflected at the ceilings (Pakman and Paninski 2014). After a quarter turn a free coordinate has become
  its velocity, an independent draw; coordinate-wise Gibbs sampling of some five hundred correlated gauges
  costs as much for one sweep and needs dozens of sweeps for that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize
from scipy.special import log_ndtr, ndtr, ndtri

TOP = 5.0  # standard deviations; no latent value counts beyond
KNOTS = 200
BODY = 0.95  # share of the wet reports that speaks for itself; above, the exponential tail


@dataclass(frozen=True)
class NormalScore:
    """Rain (mm/h) to standard normal and back; ``dry`` is the score at and below which nothing falls."""

    dry: float
    scores: np.ndarray
    rates: np.ndarray

    @classmethod
    def of(cls, rates, threshold: float, spare=()) -> NormalScore:
        """From reports; where fewer than 20 are wet, ``spare`` fills up the shape of the wet part."""
        rates = np.asarray(rates, float)
        rates = rates[np.isfinite(rates)]
        wet = np.sort(rates[rates >= threshold])
        share = (wet.size + 0.5) / (rates.size + 1.0)
        spare = np.asarray(spare, float).reshape(-1)
        spare = spare[np.isfinite(spare) & (spare >= threshold)]
        if wet.size < 20:
            # Without any other word, wet rain is exponential with a mean of 1 mm/h above the threshold.
            law = threshold - np.log1p(-(np.arange(20) + 0.5) / 20)
            wet = np.sort(np.r_[wet, np.quantile(spare, (np.arange(20) + 0.5) / 20) if spare.size else law])
        start = wet[int(BODY * (wet.size - 1))]
        excess = float(np.median(wet[wet > start] - start)) if (wet > start).any() else 0.1 * start
        rate, below = ranks(np.r_[wet[wet <= start]])
        below *= (wet <= start).mean()
        above = 1 - (wet <= start).mean()
        dry = float(ndtri(1 - share))
        scores = ndtri(1 - share + share * below)
        # P(rate > r) = share * above * exp(-(r - start) / scale), with the scale from the median excess,
        # which a single broken gauge cannot move.
        tail = np.linspace(max(scores[-1], float(ndtri(1 - share * max(above, 1e-3)))) + 0.05, TOP, 40)
        beyond = np.log(share * max(above, 1e-3)) - log_ndtr(-tail)
        tail_rates = start + np.maximum(beyond, 0) * max(excess, 0.01) / np.log(2) + 1e-3 * np.arange(1, 41)
        first = rate > threshold + 1e-9
        return cls(
            dry,
            np.r_[dry, np.maximum(scores[first], dry + 1e-6), tail],
            np.r_[threshold, rate[first], tail_rates],
        )

    def score(self, rates) -> np.ndarray:
        """Latent value of a wet report; what is dry, or missing, gets ``dry`` or stays missing."""
        return np.interp(rates, self.rates, self.scores)

    def rain(self, scores) -> np.ndarray:
        """Rain of a latent value: bounded, and exactly zero in the dry part."""
        rates = np.interp(scores, self.scores, self.rates)
        return np.where(scores > self.dry, rates, 0.0)


def ranks(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct values and the middle of each one's share below, thinned to a few knots."""
    distinct, counts = np.unique(values, return_counts=True)
    middle = (np.cumsum(counts) - counts / 2) / counts.sum()
    if distinct.size > KNOTS:
        keep = np.unique(np.searchsorted(middle, np.linspace(middle[0], middle[-1], KNOTS)))
        distinct, middle = distinct[keep], middle[keep]
    return distinct, middle


def tobit(response, dry, predictors) -> tuple[np.ndarray, float]:
    """Coefficients (constant first) and residual deviation of a linear regression with dry responses.

    Where ``dry``, the response is only known to be at most the value given. In Olsen's coordinates
    (coefficients over deviation, one over deviation) the likelihood is concave.
    """
    design = np.column_stack([np.ones(len(response)), predictors])
    count = len(response)

    def cost(numbers: np.ndarray) -> tuple[float, np.ndarray]:
        sharpness = np.exp(numbers[-1])
        away = sharpness * response - design @ numbers[:-1]
        told = np.where(dry, log_ndtr(away), -0.5 * away**2 + numbers[-1])
        pull = np.where(dry, mills(away), -away)
        slope = np.r_[-(pull @ design), (pull * sharpness * response).sum() + (~dry).sum()]
        # A weak prior (coefficients of 0.7 over deviation 0.7, worth a few reports) for tiny tasks.
        guess = np.r_[0.0, np.full(design.shape[1] - 1, 1.0 / max(1, design.shape[1] - 1)), 0.4]
        return (
            (2.0 * ((numbers - guess) ** 2).sum() - told.sum()) / count,
            (4.0 * (numbers - guess) - slope) / count,
        )

    start = np.r_[np.zeros(design.shape[1]), 0.0]
    found = optimize.minimize(cost, start, jac=True, method="L-BFGS-B").x
    deviation = float(np.exp(-found[-1]))
    return found[:-1] * deviation, deviation


NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(10)


def both_below(first, second, correlation) -> np.ndarray:
    """P(x <= first, y <= second) of a standard bivariate normal (Drezner and Wesolowsky, in Genz's angle)."""
    total = ndtr(first) * ndtr(second)
    end = np.arcsin(np.clip(correlation, -0.999, 0.999))
    for node, weight in zip(NODES, NODE_WEIGHTS, strict=True):
        angle = end * (node + 1) / 2
        sine = np.sin(angle)
        power = (first**2 + second**2 - 2 * first * second * sine) / (2 * (1 - sine**2))
        total = total + end * weight / (4 * np.pi) * np.exp(-power)
    return np.clip(total, 0.0, 1.0)


FLOOR = 1e-4  # density below which a pair is taken for a fault


def pair_log_likelihood(values, dry, variances, covariance) -> np.ndarray:
    """Log-likelihood of pairs of zero-mean reports; where a side is dry it is at most its value."""
    scales = np.sqrt(variances[0]), np.sqrt(variances[1])
    first, second = values[0] / scales[0], values[1] / scales[1]
    rho = np.clip(covariance / (scales[0] * scales[1]), -0.999, 0.999)
    spread = np.sqrt(1 - rho**2)
    density = np.empty(len(first))
    wet = ~dry[0] & ~dry[1]
    x, y, r, s = first[wet], second[wet], rho[wet], spread[wet]
    power = (x**2 - 2 * r * x * y + y**2) / (2 * s**2)
    density[wet] = np.exp(-power) / (2 * np.pi * s * scales[0][wet] * scales[1][wet])
    for side, (known, other) in enumerate(((first, second), (second, first))):
        half = ~dry[side] & dry[1 - side]
        x, y, r, s = known[half], other[half], rho[half], spread[half]
        marginal = np.exp(-0.5 * x**2) / (np.sqrt(2 * np.pi) * scales[side][half])
        density[half] = marginal * ndtr((y - r * x) / s)
    none = dry[0] & dry[1]
    density[none] = both_below(first[none], second[none], rho[none])
    return np.log(density + FLOOR)


def mills(ceiling) -> np.ndarray:
    """r = phi / Phi: a standard normal variable known to be at most the ceiling a has the mean -r and the
    variance 1 - r (a + r)."""
    return np.exp(-0.5 * ceiling**2 - log_ndtr(ceiling)) / np.sqrt(2 * np.pi)


def below_mean(mean, deviation, ceiling) -> np.ndarray:
    """Mean of a normal variable that is known to be at most ``ceiling``."""
    return mean - deviation * mills((ceiling - mean) / deviation)


def settle(inverse, values, mean, dry: np.ndarray, ceiling: float, sweeps: int = 8) -> np.ndarray:
    """Values at dry sites near their censored means: each in turn its mean given all the others."""
    values = values.copy()
    force = inverse @ (values - mean)
    stiffness = np.diag(inverse)
    deviation = 1 / np.sqrt(stiffness)
    for _ in range(sweeps):
        for site in dry:
            centre = values[site] - force[site] / stiffness[site]
            step = float(below_mean(centre, deviation[site], ceiling)) - values[site]
            values[site] += step
            force += inverse[site] * step
    return values


MOST_BOUNCES = 4000


def bounce(place, speed, covariance, ceiling, travel: float) -> np.ndarray:
    """Follow ``place cos t + speed sin t`` for ``travel`` (radians) under ceilings, reflecting at them.

    The Gaussian has mean zero and this covariance; ``speed`` is a draw from it. A reflection at ceiling j
    turns the velocity about the j-th column of the covariance, which is the wall's normal in the metric
    of the Gaussian; the law under the ceilings is kept exactly.
    """
    place, speed = np.minimum(place, ceiling - 1e-9), speed.copy()
    left = travel
    for _ in range(MOST_BOUNCES):
        reach = np.flatnonzero(place**2 + speed**2 > np.maximum(ceiling, 0) ** 2)
        if not reach.size:
            break
        x, v, top = place[reach], speed[reach], ceiling[reach]
        when = np.arctan2(v, x) - np.arccos(np.clip(top / np.hypot(x, v), -1, 1))
        # A wall just left behind is met again after a turn, not now.
        when[(when < -1e-9) | ((when < 1e-9) & (v <= 0))] += 2 * np.pi
        first = int(np.argmin(when))
        time = max(float(when[first]), 0.0)
        if time >= left:
            break
        place, speed = (
            place * np.cos(time) + speed * np.sin(time),
            speed * np.cos(time) - place * np.sin(time),
        )
        wall = reach[first]
        place[wall] = ceiling[wall]
        speed = speed - 2 * speed[wall] / covariance[wall, wall] * covariance[wall]
        left -= time
    return np.minimum(place * np.cos(left) + speed * np.sin(left), ceiling)
