"""Evidence of all kinds, made up for a tile whose truth is known: what a network learns to paint over.

A network is told what was seen as a sketch (`engine.sketch`), and learns what fields there may be under one
from tiles of which evidence was drawn at random: none at all, a few gauges or many, exact or not, a map that
is wrong in its own way, or both. A map foretells the tile with errors of a random law: short ones, for
misplaced showers, and wide ones, for wrong amounts. It may also be shifted, or coarse. No sensor and no model
is imitated: what a task's maps are worth its gauges tell, and the network has seen better and worse ones.

A sketch has to mean in training what it means in use. There the gauges tell how rough the hours are, and what
a map is worth; here the tile itself does, with an error: the roughness of the field, what a regression on the
map expects, by how much that is off where it is dry and where it is wet, and how rough the rest is. How
far the field is from its mean other readings of the tile tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import fft, ndimage
from scipy.optimize import nnls

from engine.climate import Climate, distances
from engine.denoise import Gaussian, Waves
from engine.foretold import wetness
from engine.observe import cells
from engine.readings import FEWEST, PARTS, ROUGH_KM, SIZES, USUAL_ROUGH, Hour, Readings, foretold
from engine.sketch import Backdrop, Sketch, sketch
from engine.transforms import NormalScore

# Chances of no evidence, a map alone, a map and gauges; the rest: gauges.
NOTHING, MAP, BOTH = 0.15, 0.10, 0.30
TELLING = 80  # readings of a tile that tell the size of its variance
UNSURE = 0.3  # error of a roughness or a size (of their logarithm)
FEW, NEARBY_KM = 0.3, 120.0  # pairs that tell a roughness
GAUGES = (3, 260)  # how many in a tile
ERRORS = (0.02, 0.4)  # of a gauge, in standard deviations of the latent field
OFF = (0.06, 0.9)  # variance of what a map misses
NEAR_KM, FAR_KM, FAR_SHARE = (5.0, 60.0), (60.0, 250.0), 0.6  # of the errors of a map, at most
SHIFTED, SHIFT_KM, COARSE, FACTORS = 0.4, 20.0, 0.5, (2, 4, 8)
CERTAIN = 200  # cells that what a map misses is as well known as
WIDE = Climate(0.0, (240.0,), (1.0,))  # what a map misses over a whole area
FULL = 1.4  # the largest variance of what a map misses


@dataclass(frozen=True)
class Sketcher:
    """Sketches of tiles of one climate."""

    climate: Climate
    score: NormalScore

    def __call__(self, rng: np.random.Generator, latent: np.ndarray, cell_km: tuple[float, float]) -> Sketch:
        """Of a tile on the latent side, missing as NaN."""
        kind = rng.random()
        if kind < NOTHING:
            return Sketch.nothing(latent.shape)
        wet = latent > self.score.dry
        readings = self.readings(rng, latent) if kind >= NOTHING + MAP else None
        law = self.climate.rougher(dict(zip(ROUGH_KM, USUAL_ROUGH, strict=True)))
        if readings and wet.mean() >= FEWEST / TELLING:
            rough = roughness(rng, np.where(wet, latent, np.nan), self.climate, cell_km)
            law = self.climate.rougher(dict(zip(ROUGH_KM, rough, strict=True)))
            law = sized(rng, law, self.readings(rng, latent, TELLING), cell_km)
        torus = law.torus(latent.shape, cell_km)
        climate = Gaussian(torch.zeros(latent.shape), Waves(law.spectrum(torus, cell_km)))
        backdrop = None
        if kind < NOTHING + MAP + BOTH:
            backdrop = self.backdrop(rng, np.nan_to_num(latent), cell_km, torus)
        return sketch(climate, readings, backdrop)

    def readings(self, rng: np.random.Generator, latent: np.ndarray, count: int = 0) -> Readings:
        known = np.flatnonzero(np.isfinite(latent))
        count = min(len(known), count or int(even(rng, *GAUGES)))
        seen = np.zeros(latent.shape, bool)
        seen.flat[rng.choice(known, count, replace=False)] = True
        error = np.full(count, even(rng, *ERRORS))
        value = latent[seen] + error * rng.standard_normal(count)
        dry = value < self.score.dry
        return Readings(cells(seen), np.where(dry, self.score.dry, value), error, dry)

    def backdrop(
        self,
        rng: np.random.Generator,
        latent: np.ndarray,
        cell_km: tuple[float, float],
        torus: tuple[int, int],
    ) -> Backdrop:
        """A map with errors of a law: E[x | map], and what it misses of x."""
        share = rng.uniform(0, FAR_SHARE)
        shape = Climate(0.0, (even(rng, *NEAR_KM), even(rng, *FAR_KM)), (1 - share, share))
        law, wide = shape.scaled(even(rng, *OFF)), (2 * latent.shape[0], 2 * latent.shape[1])
        whole, missed = (each.spectrum(wide, cell_km).numpy() for each in (self.climate, law))
        # what is left after an observation misses M of C, if the share 1 - M / C of it is expected
        told = np.clip(1 - missed / whole, 0, 1)
        noise = np.sqrt(told * np.minimum(missed, whole)) * np.fft.fft2(rng.standard_normal(wide))
        seen = np.fft.fft2(
            self.blurred(rng, np.pad(latent, [(0, n) for n in latent.shape], "symmetric"), cell_km)
        )
        expected = np.fft.ifft2(told * seen + noise).real[: latent.shape[0], : latent.shape[1]]
        expected = self.regressed(latent, expected)
        wet = wetness(expected, self.score)
        off, weights = (latent - expected) ** 2, np.stack([1 - wet, wet])
        usual = (off.sum() + CERTAIN * law.variance) / (off.size + CERTAIN)
        variances = ((weights * off).sum((1, 2)) + CERTAIN * usual) / (weights.sum((1, 2)) + CERTAIN)
        variances = np.minimum(variances, FULL)
        unit = (latent - expected) / np.sqrt((weights * variances[:, None, None]).sum(0))
        told = np.where(latent > self.score.dry, unit, np.nan)
        shape = WIDE.rougher(dict(zip(ROUGH_KM, roughness(rng, told, WIDE, cell_km), strict=True)))
        return Backdrop(
            torch.from_numpy(expected).float(),
            torch.from_numpy(weights).float(),
            torch.stack([shape.scaled(each).spectrum(torus, cell_km) for each in variances]),
        )

    def regressed(self, latent: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """What is expected where a map says this: distances and amounts each in their own measure."""
        features = np.stack([np.ones_like(seen), seen, np.maximum(seen - self.score.dry, 0)], -1).reshape(
            -1, 3
        )
        usual, sure = np.array([0.0, 1.0, 0.0]), CERTAIN * np.eye(3)
        found = np.linalg.solve(features.T @ features + sure, features.T @ latent.ravel() + sure @ usual)
        return (features @ found).reshape(seen.shape)

    @staticmethod
    def blurred(rng: np.random.Generator, field: np.ndarray, cell_km: tuple[float, float]) -> np.ndarray:
        """Perhaps shifted, perhaps coarse."""
        if rng.random() < SHIFTED:
            shift = rng.normal(0, rng.uniform(0, SHIFT_KM), 2) / np.array(cell_km)
            field = np.roll(field, np.rint(shift).astype(int), (0, 1))
        if rng.random() < COARSE:
            field = ndimage.uniform_filter(field, int(rng.choice(FACTORS)), mode="wrap")
        return field


def sized(
    rng: np.random.Generator, law: Climate, readings: Readings, cell_km: tuple[float, float]
) -> Climate:
    """With the variance under which the readings foretell each other best, and an error in it."""
    place = np.divmod(readings.place.index[:, 0].numpy(), readings.place.shape[1])
    apart = (np.subtract.outer(each, each) * km for each, km in zip(place, cell_km, strict=True))
    hour = Hour(readings, np.hypot(*apart))
    size = max(SIZES, key=lambda each: foretold(law.scaled(each), [hour]))
    return law.scaled(size * np.exp(UNSURE * rng.standard_normal()))


def roughness(
    rng: np.random.Generator, field: np.ndarray, smooth: Climate, cell_km: tuple[float, float]
) -> Sequence[float]:
    """Shares of variance that go together over short lengths, as wet reports would tell: from the mean
    squares of differences at a distance, with an error in each."""
    known, torus = np.isfinite(field), (2 * field.shape[0], 2 * field.shape[1])
    if known.sum() < CERTAIN:
        return USUAL_ROUGH
    filled = np.where(known, field, 0.0)
    there, value, square = (np.asarray(fft.rfft2(each, torus)) for each in (known * 1.0, filled, filled**2))
    pairs = np.asarray(fft.irfft2(np.abs(there) ** 2, torus))
    half = np.asarray(fft.irfft2(np.real(square * there.conj()) - np.abs(value) ** 2, torus))
    away = distances(torus, cell_km)
    near = (pairs > FEW * known.sum()) & (away > 0) & (away < NEARBY_KM)
    away, rise = away[near], half[near] / pairs[near]
    columns = [*(1 - np.exp(-away / length) for length in ROUGH_KM), 1 - smooth.covariance(away)]
    found = nnls(np.stack(columns, 1) / away[:, None], rise / away)[0][:-1]
    found *= np.exp(UNSURE * rng.standard_normal(len(found)))
    return found * min(1.0, (1 - 1 / PARTS) / max(found.sum(), 1e-6))


def even(rng: np.random.Generator, low: float, high: float) -> float:
    """Between two numbers, evenly in the logarithm."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
