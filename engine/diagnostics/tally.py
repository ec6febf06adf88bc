"""A tally: an ensemble beside what was observed, counted once, from which every score follows.

The ensemble is read in slabs of time, so that memory stays bounded. Each place and hour where the
observation and *all* members are known adds to the sums of its block:

- the fair CRPS, and the CRPS of the tail above each threshold;
- the error of the ensemble mean, the variance of the members, and the products of a correlation;
- how many members reach a threshold and whether the observation does. There are only 2 (M + 1) such
  cases: how often each occurred holds all that Brier, reliability, ROC and contingency scores need;
- the *PIT*, where the observation stands among the members, between 0 and 1. Ties are broken at random,
  and what is below 0.1 mm/h counts as dry on both sides: no gauge can tell such drizzle from zero. So a
  dry report among dry members stands anywhere with equal chance, and an honest ensemble gives a flat
  histogram in a desert too;
- on a grid, the sums of the fractions skill score in windows of several widths.

Missing is NaN and is left out, never taken for dry; how much was left out is part of the tally. Cells of a
grid weigh alike, whatever their area.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from engine.diagnostics.blocks import Blocks
from engine.diagnostics.spectra import spacing_km
from engine.values import Invalid

DRY = 0.1  # mm/h: below it an instrument says zero
PIT_BINS = 10
SLAB = 2_000_000  # values of all members read at once
SCALES_KM = (10.0, 25.0, 50.0, 100.0, 200.0)
# mm that begin a grade of rain, by the hours it falls in: 12 and 24 h after GB/T 28592-2012, 1 h as the
# National Meteorological Centre of China grades its hourly maps.
GRADES = {
    1: (0.1, 1.6, 7.0, 15.0, 40.0, 50.0),
    12: (0.1, 5.0, 15.0, 30.0, 70.0, 140.0),
    24: (0.1, 10.0, 25.0, 50.0, 100.0, 250.0),
}


GRADE_NAMES = ("light", "moderate", "heavy", "rainstorm", "heavy rainstorm", "extreme rainstorm")


def grades(interval: str) -> tuple[float, ...]:
    """The CMA grades in mm/h, those of the longest duration that the interval reaches (or of one hour)."""
    hours = pd.Timedelta(interval).total_seconds() / 3600
    length = max((each for each in GRADES if each <= hours), default=1)
    return tuple(depth / length for depth in GRADES[length])


@dataclass(frozen=True)
class Tally:
    """Sums by block. ``said`` is (block, threshold, members that reach it, whether the report does)."""

    members: int
    thresholds: tuple[float, ...]
    sums: Mapping[str, np.ndarray]
    said: np.ndarray
    ranks: np.ndarray  # (block, rank)
    pit: np.ndarray  # (block, bin)
    scales: tuple[float, ...]  # km
    fractions: np.ndarray  # (span of time, scale, threshold, 3)
    left_out: Mapping[str, float]  # share of places and hours, by reason

    @property
    def n(self) -> int:
        return int(self.sums["n"].sum())

    @property
    def blocks(self) -> int:
        return len(self.sums["n"])


def tally(
    forecast: xr.DataArray,
    observed: xr.DataArray,
    thresholds: Sequence[float] | None = None,
    blocks: Blocks | None = None,
    scales_km: Sequence[float] = SCALES_KM,
) -> Tally:
    """An ensemble (member, ...) and what was observed (...), at gauges or on a grid.

    ``thresholds`` are in mm/h (by default the CMA grades of the interval); ``scales_km`` are those of the
    fractions skill score, which a grid alone has.
    """
    forecast, observed = _paired(forecast, observed)
    if thresholds is None:
        thresholds = grades(observed.attrs.get("interval", "1h"))
    thresholds = tuple(float(each) for each in thresholds)
    blocks = blocks or Blocks.of(observed)
    windows = _windows(observed, scales_km)
    sums, fractions, left_out = _gathered(forecast, observed, thresholds, blocks, list(windows.values()))
    full = sums["n"] > 0  # a block without a value is none
    if not full.any():
        where = "gauges" if "gauge" in observed.dims else "cells"
        raise Invalid(f"score: none of the {where} to judge at reports where and when all members are known")
    sums = {name: total[full] for name, total in sums.items()}
    said = [sums.pop(f"said {index}") for index in range(len(thresholds))]
    size = forecast.sizes["member"]
    said = np.stack(said, 1) if said else np.zeros((full.sum(), 0, size + 1, 2))
    ranks, bins = sums.pop("rank"), sums.pop("pit bin")
    return Tally(size, thresholds, sums, said, ranks, bins, tuple(windows), fractions, left_out)


def _gathered(
    forecast: xr.DataArray,
    observed: xr.DataArray,
    thresholds: tuple[float, ...],
    blocks: Blocks,
    windows: Sequence[tuple[int, int]],
) -> tuple[dict[str, np.ndarray], np.ndarray, dict[str, float]]:
    """Slab by slab: sums by block, fractions by span of time, and the share that was left out."""
    size = forecast.sizes["member"]
    sums: dict[str, np.ndarray] = {}
    fractions = np.zeros((int(blocks.time.max()) + 1, len(windows), len(thresholds), 3))
    left_out = {"no observation": 0, "no forecast": 0}
    for number, (hours, members, told) in enumerate(_slabs(forecast, observed)):
        reported, forecasted = np.isfinite(told), np.isfinite(members).all(0)
        known = reported & forecasted
        left_out["no observation"] += int((~reported).sum())
        left_out["no forecast"] += int((reported & ~forecasted).sum())
        parts = _parts(members[:, known], told[known], thresholds, np.random.default_rng((0, number)))
        for name, total in _by_block(parts, blocks.labels(hours)[known], blocks.count, size).items():
            sums[name] = sums.get(name, 0) + total
        if windows:
            shape = (len(told), observed.sizes["lat"], observed.sizes["lon"])
            each = _fractions(members, told, known.reshape(shape), thresholds, windows)
            np.add.at(fractions, blocks.time[hours], each)
    return sums, fractions, {reason: count / observed.size for reason, count in left_out.items()}


def _paired(forecast: xr.DataArray, observed: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    if "member" not in forecast.dims:
        forecast = forecast.expand_dims("member")
    space = [axis for axis in ("gauge", "lat", "lon") if axis in observed.dims]
    try:
        forecast = forecast.transpose("member", "time", *space)
        observed = observed.transpose("time", *space)
        xr.align(forecast, observed, join="exact", copy=False)
    except ValueError as error:
        why = str(error).splitlines()[0]
        raise Invalid(
            f"score: ensemble and observation are not at the same places and times ({why})"
        ) from None
    return forecast, observed


def _slabs(forecast: xr.DataArray, observed: xr.DataArray) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Parts of the times, with (member, time, place) and (time, place) in single precision: so a tip of
    0.2 mm is the 0.2 of a threshold, however both were stored."""
    size, times = forecast.sizes["member"], observed.sizes["time"]
    step = max(1, SLAB // (size * max(1, observed.size // times)))
    for start in range(0, times, step):
        hours = slice(start, min(start + step, times))
        count = hours.stop - hours.start
        members = forecast.isel(time=hours).values.astype(np.float32, copy=False)
        told = observed.isel(time=hours).values.astype(np.float32, copy=False)
        yield hours, members.reshape(size, count, -1), told.reshape(count, -1)


def crps(members: np.ndarray, told: np.ndarray) -> np.ndarray:
    """The fair CRPS of each case, of members (member, case); of one member, its absolute error."""
    # imported here: the library takes a second, and nothing else of this file needs it
    from scores.probability import crps_for_ensemble

    array = xr.DataArray(members, dims=("member", "case"))
    kind = "fair" if len(members) > 1 else "ecdf"
    report = xr.DataArray(told, dims="case")
    return np.asarray(crps_for_ensemble(array, report, "member", method=kind, preserve_dims="all"))


def tail_crps(members: np.ndarray, told: np.ndarray, threshold: float) -> np.ndarray:
    """The fair CRPS weighted by 1 above the threshold and 0 below: that of max(rain, threshold).

    Where nothing reaches the threshold it is exactly zero, and most of a map need not be looked at.
    """
    some = np.flatnonzero((members > threshold).any(0) | (told > threshold))
    result = np.zeros(told.shape, np.float32)
    level = np.float32(threshold)
    result[some] = crps(np.maximum(members[:, some], level), np.maximum(told[some], level))
    return result


def pit(members: np.ndarray, told: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Where each report stands among the members, 0 to 1, ties broken at random. Times M + 1 and rounded
    down it is the rank."""
    flat, report = np.where(members < DRY, 0, members), np.where(told < DRY, 0, told)
    below, ties = (flat < report).sum(0, dtype=np.int16), (flat == report).sum(0, dtype=np.int16)
    return (below + (ties + 1) * rng.random(told.shape)) / (len(members) + 1)


def _parts(
    members: np.ndarray, told: np.ndarray, thresholds: Sequence[float], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """What each case adds: values, and whole numbers for what is counted."""
    size = len(members)
    mean, report = members.mean(0, dtype=float), told.astype(float)
    error, stands = mean - report, pit(members, told, rng)
    parts = {
        "n": np.ones(len(told)),
        "crps": crps(members, told),
        "error": error,
        "absolute": np.abs(error),
        "square": error**2,
        # the truth is one more draw, which the members' mean does not contain
        "variance": members.var(0, ddof=1, dtype=float) * (size + 1) / size if size > 1 else 0 * error,
        "mean": mean,
        "report": report,
        "mean squared": mean**2,
        "report squared": report**2,
        "product": mean * report,
        "stands": stands,
        "stands squared": stands**2,
        "rank": np.minimum((stands * (size + 1)).astype(int), size),
        "pit bin": np.minimum((stands * PIT_BINS).astype(int), PIT_BINS - 1),
    }
    for index, threshold in enumerate(thresholds):
        parts[f"tail {index}"] = tail_crps(members, told, threshold)
        parts[f"said {index}"] = 2 * _reach(members, threshold) + (told >= np.float32(threshold))
    return parts


def _by_block(
    parts: Mapping[str, np.ndarray], label: np.ndarray, count: int, size: int
) -> dict[str, np.ndarray]:
    """Sums of values and counts of whole numbers, block by block."""
    totals = {}
    for name, part in parts.items():
        if part.dtype.kind != "i":
            totals[name] = np.bincount(label, part, count)
            continue
        shape = {"rank": (size + 1,), "pit bin": (PIT_BINS,)}.get(name, (size + 1, 2))
        kinds = int(np.prod(shape))
        totals[name] = np.bincount(label * kinds + part, minlength=count * kinds).reshape(count, *shape)
    return totals


def _windows(observed: xr.DataArray, scales_km: Sequence[float]) -> dict[float, tuple[int, int]]:
    """Rows and columns of the window of each scale that a grid can hold."""
    if "gauge" in observed.dims:
        return {}
    rows, columns = observed.sizes["lat"], observed.sizes["lon"]
    tall, wide = spacing_km(observed)
    found: dict[float, tuple[int, int]] = {}
    for scale in scales_km:
        window = max(1, round(scale / tall)), max(1, round(scale / wide))
        if 2 * window[0] <= rows and 2 * window[1] <= columns and window not in found.values():
            found[float(scale)] = window
    return found


def _fractions(
    members: np.ndarray,
    told: np.ndarray,
    known: np.ndarray,
    thresholds: Sequence[float],
    windows: Sequence[tuple[int, int]],
) -> np.ndarray:
    """(time, scale, threshold, 3): mean squares of the forecast's fractions, of the observed ones and of
    their difference. A fraction is of members and of the window; a missing cell is no event in either."""
    from scores.fast.fss.fss_numpy import FssNumpy
    from scores.utils import NumpyThresholdOperator, left_identity_operator

    as_they_are = NumpyThresholdOperator(left_identity_operator)
    found = np.zeros((len(told), len(windows), len(thresholds), 3))
    for index, threshold in enumerate(thresholds):
        chance = _reach(members, threshold).reshape(known.shape) / len(members) * known
        event = (told >= np.float32(threshold)).reshape(known.shape) & known
        for hour in np.flatnonzero(event.any((1, 2)) | chance.any((1, 2))):
            for scale, window in enumerate(windows):
                pair = chance[hour], event[hour].astype(float)
                law = FssNumpy(*pair, np.float64(0), as_they_are, window, False)
                found[hour, scale, index] = law.compute_fss_decomposed().item()
    return found


def _reach(members: np.ndarray, threshold: float) -> np.ndarray:
    """How many members reach a threshold."""
    return (members >= np.float32(threshold)).sum(0, dtype=np.int16)
