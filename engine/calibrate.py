"""Calibration: what one source says, in the terms of another.

*Quantile delta mapping* takes a simulation's values to the law of what was observed and keeps the change
that it simulates, quantile by quantile. With tau the place of a value among the simulation's own values of
the same period,

    ratio      x' = F_obs^-1(tau) * x / F_past^-1(tau)         rain, humidity
    additive   x' = F_obs^-1(tau) + x - F_past^-1(tau)         wind, pressure

It is exact: sorted values, Hazen's positions (rank - 1/2) / n with the mean rank where values tie, lines
between. Beyond the largest value the ratio (or difference) of the largest goes on, so a future extreme is
never clipped at the past's. Zeros of rain all tie; they are spread evenly below half a trace before they are
ranked, so the dry share is mapped too, and what ends below a trace is zero. Below ten traces a ratio is
capped at two, and of dry to dry it is one: a ratio of small numbers must not turn dry into wet or wet into
dry. What is missing stays missing, and a cell in which nothing was observed or simulated has no law: its
result is missing.

*Quantile mapping*, for a source without a change to keep, is the same with tau = F_past(x): then
F_past^-1(tau) is x itself, and F_obs^-1(tau) is left, but for the tails.

*Windows.* Summer's showers do not have the law of winter's rain, nor the afternoon's of the night's. Each
part of the year and of the day is mapped by what lies in it and around it.

*The noise level s\\** of the noised condition: the last wavenumber at which the two spectra cross is the
smallest scale that a simulation gets right; white noise of variance s^2 has the spectrum s^2, so
s*^2 = PSD_ref(k*) hides what lies beyond it and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.stats import rankdata

from engine.diagnostics.spectra import spectrum
from engine.values import Invalid, number, whole

Kind = Literal["ratio", "additive"]
CAP, SMALL = 2.0, 10.0  # a ratio's cap, and up to how many traces it holds
YEAR, DAY = 31_557_600, 86_400  # seconds
BLOCK = 256  # cells mapped at a time, so that memory is little more than what is given and returned


@dataclass(frozen=True)
class Windows:
    """Parts of the year and of the day; each learns from itself and some days and hours on both sides."""

    seasons: int = 12
    days: float = 30.0
    daytimes: int = 1
    hours: float = 0.0

    def __post_init__(self) -> None:
        for name, check, low, high in (
            ("seasons", whole, 1, 366),
            ("days", number, 0, 366),
            ("daytimes", whole, 1, 24),
            ("hours", number, 0, 24),
        ):
            object.__setattr__(self, name, check(f"windows.{name}", getattr(self, name), low, high))

    def parts(self, times) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each part, which of the times are its own and which it learns from."""
        times = np.asarray(times, "datetime64[s]")
        year, day = ((times - times.astype(f"datetime64[{unit}]")).astype(int) for unit in "YD")
        seasons = _arcs(year, YEAR, self.seasons, self.days * 86400)
        daytimes = _arcs(day, DAY, self.daytimes, self.hours * 3600)
        return [(own & mine, near & close) for own, near in seasons for mine, close in daytimes]


@dataclass(frozen=True)
class DeltaMapping:
    """Sorted values of what was observed and of the simulated past, (windows, n, cells), missing last."""

    observed: np.ndarray
    past: np.ndarray
    kind: Kind = "ratio"
    trace: float = 0.0  # what is less is dry; 0 for quantities that are never dry
    windows: Windows | None = None

    @classmethod
    def fit(
        cls,
        observed,
        past,
        kind: Kind = "ratio",
        trace: float = 0.0,
        windows: Windows | None = None,
        times: tuple = (None, None),
        seed: int = 0,
    ) -> DeltaMapping:
        """From (time, ...) each; windows need the times of both (numpy's datetime64)."""
        if kind not in ("ratio", "additive"):
            raise Invalid(f"delta mapping: got {kind!r}; give ratio or additive")
        flat = [np.asarray(each, float).reshape(len(each), -1) for each in (observed, past)]
        if flat[0].shape[1] != flat[1].shape[1]:
            raise Invalid(
                f"delta mapping: {flat[0].shape[1]} observed cells and {flat[1].shape[1]} simulated"
            )
        for name, each in zip(("observed", "simulated"), flat, strict=True):
            if not np.isfinite(each).any():
                raise Invalid(f"delta mapping: no {name} value at all; give at least one")
        spread = [_spread(each, trace, seed + turn) for turn, each in enumerate(flat)]
        tables = [
            _sorted(each, _parts(windows, when, len(each))) for each, when in zip(spread, times, strict=True)
        ]
        return cls(tables[0], tables[1], kind, trace, windows)

    def apply(self, values, times=None, seed: int = 2) -> np.ndarray:
        """Map a period of the simulation (time, ...), with the change it simulates."""
        return self._mapped(values, times, seed, lambda x, past: _shares(x))

    def map(self, values, times=None, seed: int = 2) -> np.ndarray:
        """Plain quantile mapping: by the value's place in the simulated past, no change kept."""
        return self._mapped(values, times, seed, _shares_among)

    def _mapped(self, values, times, seed: int, shares: Callable) -> np.ndarray:
        x = _spread(np.asarray(values, float).reshape(len(values), -1), self.trace, seed)
        if x.shape[1] != self.past.shape[2]:
            raise Invalid(f"delta mapping: {x.shape[1]} cells to map; it was fitted to {self.past.shape[2]}")
        mapped = np.full_like(x, np.nan)
        parts = _parts(self.windows, times, len(x))
        for low in range(0, x.shape[1], BLOCK):
            block = slice(low, low + BLOCK)
            for (own, near), observed, past in zip(parts, self.observed, self.past, strict=True):
                if own.any():
                    mine, then = x[near, block], past[:, block]
                    found = self._changed(mine, shares(mine, then), observed[:, block], then)
                    mapped[own, block] = found[own[near]]
        if self.trace:
            mapped[mapped < self.trace] = 0.0
        return mapped.reshape(np.shape(values))

    def _changed(self, x: np.ndarray, share: np.ndarray, observed: np.ndarray, past: np.ndarray):
        then, now = _quantile(past, share), _quantile(observed, share)
        if self.trace:  # from dry to dry nothing changed: where zeros were spread to is no signal
            then = np.where((then < self.trace) & (x < self.trace), x, then)
        if self.kind == "additive":
            return now + x - then
        ratio = np.divide(x, then, out=np.ones_like(x), where=~(then <= 0))
        return now * np.where(then < SMALL * self.trace, np.minimum(ratio, CAP), ratio)

    def save(self, path: Path) -> None:
        windows = [] if self.windows is None else astuple(self.windows)
        about = {"kind": self.kind, "trace": self.trace, "windows": windows}
        np.savez_compressed(path, observed=self.observed, past=self.past, **about)

    @classmethod
    def load(cls, path: Path) -> DeltaMapping:
        with np.load(path, allow_pickle=False) as saved:
            kind: Kind = "ratio" if saved["kind"] == "ratio" else "additive"
            windows = Windows(*saved["windows"].tolist()) if saved["windows"].size else None
            return cls(saved["observed"], saved["past"], kind, float(saved["trace"]), windows)


def _arcs(clock: np.ndarray, period: int, count: int, beyond: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """A circle in ``count`` arcs: what lies on each, and what lies there or less than ``beyond`` away."""
    reach, around = round(beyond) * count, period * count  # in whole numbers, so that no edge is blurred
    since = [(clock * count - arc * period) % around for arc in range(count)]
    return [(each < period, (each + reach) % around < period + 2 * reach) for each in since]


def _parts(windows: Windows | None, times, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    if windows is None:
        return [(np.ones(count, bool), np.ones(count, bool))]
    if times is None or len(times) != count:
        given = 0 if times is None else len(times)
        raise Invalid(f"delta mapping: {given} times for {count} values; windows need one each")
    return windows.parts(times)


def _sorted(x: np.ndarray, parts: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """What each part learns from, sorted, as one table: short parts are filled up with missing values."""
    table = np.full((len(parts), max(near.sum() for _, near in parts), x.shape[1]), np.nan)
    for row, (_, near) in zip(table, parts, strict=True):
        row[: near.sum()] = x[near]
    table.sort(1)
    return table


def _spread(x: np.ndarray, trace: float, seed: int) -> np.ndarray:
    """Dry values, which all tie, spread evenly over half a trace."""
    if not trace:
        return x
    return np.where(x < trace, np.random.default_rng(seed).uniform(0, trace / 2, x.shape), x)


def _shares(x: np.ndarray) -> np.ndarray:
    """The place of every value among those of its column, by Hazen: (rank - 1/2) / n."""
    ranks = rankdata(x, axis=0, nan_policy="omit") if np.isnan(x).any() else rankdata(x, axis=0)
    return (ranks - 0.5) / np.isfinite(x).sum(0)


def _shares_among(x: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """The place of every value among the sorted ones of its column: their mean place where they tie."""
    share = np.full(x.shape, np.nan)
    for column, each in enumerate(ordered.T):
        law, first, ties = np.unique(each[np.isfinite(each)], return_index=True, return_counts=True)
        if len(law):
            share[:, column] = (np.interp(x[:, column], law, first + (ties - 1) / 2) + 0.5) / ties.sum()
    return share


def _quantile(ordered: np.ndarray, share: np.ndarray) -> np.ndarray:
    """The value at a share of each column; straight between sorted values, level beyond the ends."""
    count = np.maximum(np.isfinite(ordered).sum(0), 1)  # a column without a value answers with its first, NaN
    place = np.clip(share * count - 0.5, 0, count - 1)
    missing = np.isnan(place)
    low = np.where(missing, 0, np.floor(place)).astype(int)
    high = np.minimum(low + 1, count - 1)
    below, above = np.take_along_axis(ordered, low, 0), np.take_along_axis(ordered, high, 0)
    return np.where(missing, np.nan, below + (above - below) * (place - low))


def noise_level(simulated: np.ndarray, reference: np.ndarray, within: float = 0.0) -> float:
    """s*: the noise that hides what lies beyond the last crossing of two spectra; 0 where nothing does.

    Spectra of few maps cross by chance wherever they agree: ``within`` so many dB they count as equal, and
    the crossing is where they part for good.
    """
    if simulated.shape[-2:] != reference.shape[-2:]:
        sides = [f"{rows}x{columns}" for rows, columns in (simulated.shape[-2:], reference.shape[-2:])]
        raise Invalid(f"noise level: fields of {sides[0]} and of {sides[1]} cells; give both on one grid")
    if not (np.isfinite(simulated).all() and np.isfinite(reference).all()):
        raise Invalid("noise level: the fields have missing values; cut them to where they are whole")
    mine, theirs = (
        np.log(spectrum(fields, (1.0, 1.0), hann=False)[1].reshape(-1, min(fields.shape[-2:]) // 2).mean(0))
        for fields in (simulated, reference)
    )
    gap, equal = mine - theirs, within * np.log(10) / 10
    if abs(gap[-1]) <= equal:
        return 0.0
    gap = gap - np.copysign(equal, gap[-1])
    crossings = np.flatnonzero((gap[1:] > 0) != (gap[:-1] > 0))
    if not len(crossings):
        return 0.0
    last = crossings[-1]
    share = gap[last] / (gap[last] - gap[last + 1])
    return float(np.exp(0.5 * (theirs[last] * (1 - share) + theirs[last + 1] * share)))
