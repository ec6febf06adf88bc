"""Calibration: what one source says, in the terms of another.

*Quantile delta mapping* takes a simulation's values to the law of what was observed and keeps the change
that it simulates, quantile by quantile. With tau the place of a value among the simulation's own values of
the same period,

    ratio      x' = F_obs^-1(tau) * x / F_past^-1(tau)         rain, humidity
    additive   x' = F_obs^-1(tau) + x - F_past^-1(tau)         wind, pressure

It is exact: sorted values, Hazen's positions (rank - 1/2) / n with the mean rank where values tie, lines
between. Beyond the largest observed value the ratio (or difference) of the largest goes on, so a future
extreme is never clipped at the past's. Zeros of rain all tie; they are spread evenly below half a trace
before they are ranked, so the dry share is mapped too, and what ends below a trace is zero. Below ten
traces a ratio is capped at two: a ratio of small numbers must not turn dry into wet.

*Quantile mapping* is x' = F_obs^-1(F_past(x)), for a source without a change to keep.

*The noise level s\\** of the noised condition: the last wavenumber at which the two spectra cross is the
smallest scale that a simulation gets right; white noise of variance s^2 has the spectrum s^2, so
s*^2 = PSD_ref(k*) hides what lies beyond it and nothing else.

*The law of errors* of a source against gauges: its spread grows with the amount, fitted so that a few
faulty gauges do not set it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.stats import rankdata

from engine.values import Invalid

Kind = Literal["ratio", "additive"]
CAP, SMALL = 2.0, 10.0  # a ratio's cap, and up to how many traces it holds


@dataclass(frozen=True)
class DeltaMapping:
    """Sorted values of what was observed and of the simulated past, (n, cells), missing ones last."""

    observed: np.ndarray
    past: np.ndarray
    kind: Kind = "ratio"
    trace: float = 0.0  # what is less is dry; 0 for quantities that are never dry

    @classmethod
    def fit(cls, observed, past, kind: Kind = "ratio", trace: float = 0.0, seed: int = 0) -> DeltaMapping:
        if kind not in ("ratio", "additive"):
            raise Invalid(f"delta mapping: got {kind!r}; give ratio or additive")
        flat = [np.asarray(each, float).reshape(len(each), -1) for each in (observed, past)]
        if flat[0].shape[1] != flat[1].shape[1]:
            raise Invalid(
                f"delta mapping: {flat[0].shape[1]} observed cells and {flat[1].shape[1]} simulated"
            )
        for name, each in zip(("observed", "simulated"), flat, strict=True):
            if (np.isfinite(each).sum(0) == 0).any():
                raise Invalid(f"delta mapping: a cell has no {name} value at all; leave it out")
        spread = [_spread(each, trace, seed + number) for number, each in enumerate(flat)]
        return cls(np.sort(spread[0], 0), np.sort(spread[1], 0), kind, trace)

    def apply(self, values, seed: int = 2) -> np.ndarray:
        """Map a period of the simulation (time, ...), with the change it simulates."""
        x = _spread(np.asarray(values, float).reshape(len(values), -1), self.trace, seed)
        share = _shares(x)
        then, now = _quantile(self.past, share), _quantile(self.observed, share)
        if self.kind == "additive":
            mapped = now + x - then
        else:
            ratio = np.divide(x, then, out=np.ones_like(x), where=then > 0)
            low = then < SMALL * self.trace
            mapped = now * np.where(low, np.minimum(ratio, CAP), ratio)
        return self._dried(mapped).reshape(np.shape(values))

    def map(self, values, seed: int = 2) -> np.ndarray:
        """Plain quantile mapping: by the value's place in the simulated past, no change kept."""
        x = _spread(np.asarray(values, float).reshape(len(values), -1), self.trace, seed)
        columns = zip(self.past.T, self.observed.T, x.T, strict=True)
        mapped = [
            _mapped(one, past[np.isfinite(past)], seen[np.isfinite(seen)]) for past, seen, one in columns
        ]
        return self._dried(np.stack(mapped, 1)).reshape(np.shape(values))

    def _dried(self, mapped: np.ndarray) -> np.ndarray:
        return np.where(mapped < self.trace, 0.0, mapped) if self.trace else mapped

    def save(self, path: Path) -> None:
        np.savez_compressed(path, observed=self.observed, past=self.past, kind=self.kind, trace=self.trace)

    @classmethod
    def load(cls, path: Path) -> DeltaMapping:
        with np.load(path, allow_pickle=False) as saved:
            return cls(saved["observed"], saved["past"], str(saved["kind"]), float(saved["trace"]))  # pyright: ignore[reportArgumentType]


def by_season(observed, past, values, days: tuple, width: int = 45, **about) -> np.ndarray:
    """Delta mapping with windows of the year: ``days`` holds the day of year of each of the three, and each
    twelfth of the year is mapped by what lies within ``width`` days of its middle."""
    seen, then, now = (np.asarray(each) for each in days)
    result = np.full(np.shape(values), np.nan)
    month = 15.25  # half of one
    for middle in (np.arange(12) + 0.5) * 2 * month + 0.5:
        near = [np.abs((each - middle + 183) % 366 - 183) for each in (seen, then, now)]
        inside, mine = [each <= max(width, month) for each in near], near[2] <= month
        if mine.any():
            law = DeltaMapping.fit(np.asarray(observed)[inside[0]], np.asarray(past)[inside[1]], **about)
            result[mine] = law.apply(np.asarray(values)[inside[2]])[mine[inside[2]]]
    return result


def _spread(x: np.ndarray, trace: float, seed: int) -> np.ndarray:
    """Dry values, which all tie, spread evenly over half a trace."""
    dry = x < trace
    if not dry.any():
        return x
    return np.where(dry, np.random.default_rng(seed).uniform(0, trace / 2, x.shape), x)


def _shares(x: np.ndarray) -> np.ndarray:
    """The place of every value among those of its column, by Hazen: (rank - 1/2) / n."""
    ranks = rankdata(x, axis=0, nan_policy="omit") if np.isnan(x).any() else rankdata(x, axis=0)
    return (ranks - 0.5) / np.isfinite(x).sum(0)


def _quantile(ordered: np.ndarray, share: np.ndarray) -> np.ndarray:
    """The value at a share of each column; straight between sorted values, level beyond the ends."""
    count = np.isfinite(ordered).sum(0)
    place = np.clip(share * count - 0.5, 0, count - 1)
    missing = np.isnan(place)
    low = np.where(missing, 0, np.floor(place)).astype(int)
    high = np.minimum(low + 1, count - 1)
    below, above = np.take_along_axis(ordered, low, 0), np.take_along_axis(ordered, high, 0)
    return np.where(missing, np.nan, below + (above - below) * (place - low))


def _mapped(x: np.ndarray, past: np.ndarray, seen: np.ndarray) -> np.ndarray:
    share = np.interp(x, past, (np.arange(len(past)) + 0.5) / len(past))
    inside = np.interp(share * len(seen) - 0.5, np.arange(len(seen)), seen)
    return np.where(np.isnan(x), np.nan, inside)


def spectrum(fields: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wavenumber (cycles a cell) and PSD = mean |F|^2 / (rows columns) of (..., y, x), ring by ring."""
    rows, columns = fields.shape[-2:]
    power = np.abs(np.fft.fft2(fields)) ** 2 / (rows * columns)
    k = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.fftfreq(columns))
    bins = np.round(k * min(rows, columns)).astype(int)
    kept = bins <= min(rows, columns) // 2
    mean = power.reshape(-1, rows, columns).mean(0)
    sums, counts = np.bincount(bins[kept], mean[kept]), np.bincount(bins[kept])
    return np.arange(1, len(sums)) / min(rows, columns), (sums / counts)[1:]


def noise_level(simulated: np.ndarray, reference: np.ndarray) -> float:
    """s*: the noise that hides what lies beyond the last crossing of two spectra; 0 where nothing does."""
    _, mine = spectrum(simulated)
    _, theirs = spectrum(reference)
    above = mine > theirs
    crossings = np.flatnonzero(above[1:] != above[:-1])
    if not len(crossings):
        return 0.0
    last = crossings[-1]
    gap = np.log(mine) - np.log(theirs)
    share = gap[last] / (gap[last] - gap[last + 1])
    return float(np.exp(0.5 * (np.log(theirs[last]) * (1 - share) + np.log(theirs[last + 1]) * share)))


def error_law(source, gauges, bins: int = 12) -> tuple[float, float]:
    """(floor, share): the standard deviation of gauge minus source, sqrt(floor^2 + (share amount)^2).

    Within bins of the amount the spread is 1.48 times the median absolute deviation, so that spikes and
    stuck gauges do not set it; the law is a line through their squares with slopes of at least zero.
    """
    from scipy.optimize import nnls

    source, gauges = np.ravel(source), np.ravel(gauges)
    known = np.isfinite(source) & np.isfinite(gauges)
    if known.sum() < 50:
        raise Invalid(f"error law: {known.sum()} pairs are too few; give at least 50")
    amount, wrong = source[known], (gauges - source)[known]
    order = np.argsort(amount)
    parts = [part for part in np.array_split(order, bins) if len(part) >= 5]
    middle = np.array([amount[part].mean() for part in parts])
    spread = np.array([1.4826 * np.median(np.abs(wrong[part] - np.median(wrong[part]))) for part in parts])
    weight = 1 / np.maximum(spread, 1e-3 * spread.max() + 1e-12) ** 2  # relative errors of the squares
    design = np.stack([np.ones_like(middle), middle**2], 1) * weight[:, None]
    (floor, share), _ = nnls(design, spread**2 * weight)
    return float(np.sqrt(floor)), float(np.sqrt(share))
