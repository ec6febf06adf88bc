"""Residual correction: a simulated satellite towards real radar it never saw, at 11 and at 2.2 km.

*Rain.* Hourly radar over the United States (MRMS), the 12 hours that the prior held out, in windows of 28
cells of .1 degrees, two an hour, drawn from the wettest quarter of all. The satellite is *simulated*: the
radar's means with made-up errors. Each window has 6 members. What is drawn is laid beside what was given:
the satellite as it is, and with quantiles mapped to the radar's by the hours learned from; at 2.2 km both
straight between the centres. *Perfect at 11 km* is the radar's own mean, made smooth, or made finer by the
second network: the best that any correction at 11 km could lead to.

The paper's ratios are of Seattle, 2022-23, and another satellite: another data set. What could be had with
this one `satellite` says, and what is seen of tiles `seams`.

Spectra are of log(1 + rain / 0.1), a band is the half octave around its wavelength, cells count as squares.
Intervals are 95%, of hours drawn anew; hours that follow each other are alike, so they are too narrow rather
than too wide. ``case`` is the prior's name; ``--quick`` takes few windows.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from training.systems.residual_correction import Seen, taught

from engine.beside import finer
from engine.calibrate import DeltaMapping
from engine.diagnostics.blocks import interval, resampled
from engine.diagnostics.curves import WET
from engine.diagnostics.spectra import spectrum
from engine.diagnostics.tally import crps
from engine.fields import KM_PER_DEGREE
from engine.residuals import RAIN, STAGES, Chain, chain, filled, noise_of

ROOT = Path(__file__).resolve().parents[2]
SIDE, AROUND = 28, 2  # coarse cells: a window, and what lies around it
MEMBERS, STEPS, EACH = 6, 16, 2  # members of a window, steps of a stage, windows an hour
BANDS = (6.0, 10.0, 20.0, 40.0)  # km
AMOUNTS = np.geomspace(WET, 300.0, 801)  # mm/h: classes of 1%
HIGH = 0.999  # quantile
PUBLISHED = {"RMSE": 1.08 / 3.71, "CRPS": 0.74 / 1.99, "correlation": 0.64 - 0.46}
LEAST_KNOWN = 0.99
RAW, COARSE = "satellite as it is", "11.1 km, simulated satellite"


@dataclass(frozen=True)
class Window:
    """A part of an hour, on coarse cells; ``around`` cells of it are given, not judged."""

    hour: int
    time: pd.Timestamp
    place: tuple[slice, ...]
    satellite: np.ndarray
    radar: np.ndarray
    fine: np.ndarray
    around: int

    def inner(self, maps: np.ndarray) -> np.ndarray:
        cut = self.around * maps.shape[-1] // self.satellite.shape[-1]
        return maps[..., cut : maps.shape[-2] - cut, cut : maps.shape[-1] - cut]


def run(case: str | None, quick: bool) -> list[dict]:
    known = chain(case or "satellite")
    lessons = taught(dict(known.card["run"]), ROOT / "assets" / "training", ROOT / "build")
    held, mapped = lessons.held, quantiles(lessons.learned)
    hours = range(0, len(held.coarse), 4 if quick else 1)
    members, found, rows = (4 if quick else MEMBERS), [], []
    for hour in hours:
        for window in windows(held, hour, 1 if quick else EACH):
            found.append((window, fields(known, window, mapped, range(members))))
        print(f"residual: hour {hour + 1} of {len(held.coarse)}", file=sys.stderr, flush=True)
    spacing = held.hours.step * held.factor * KM_PER_DEGREE
    for number, cells in enumerate((spacing, spacing / held.factor)):
        taken = [(window, kinds[number]) for window, kinds in found]
        rows += scored(f"{cells:.1f} km, simulated satellite", taken, cells)
    return rows + published()


def windows(seen: Seen, hour: int, count: int, size: int = SIDE, around: int = AROUND) -> list[Window]:
    """Of an hour at random, of the wettest quarter of those that the radar knows nearly wholly."""
    whole, maps = size + 2 * around, np.asarray(seen.coarse[hour], np.float32)
    corners = itertools.product(*(range(0, length - whole + 1, 8) for length in maps.shape))
    places = [tuple(slice(each, each + whole) for each in corner) for corner in corners]
    places = [place for place in places if np.isfinite(maps[place]).mean() > LEAST_KNOWN]
    found: list[tuple[slice, ...]] = []
    places = sorted(places, key=lambda each: -(maps[each] >= WET).mean())[: math.ceil(len(places) / 4)]
    for place in (places[each] for each in np.random.default_rng(hour).permutation(len(places))):
        apart = (max(abs(a.start - b.start) for a, b in zip(place, each, strict=True)) for each in found)
        if len(found) < count and all(each >= size for each in apart):
            found.append(place)
    return [cut(seen, hour, place, around) for place in found]


def cut(seen: Seen, hour: int, place: tuple[slice, ...], around: int) -> Window:
    fine = tuple(slice(each.start * seen.factor, each.stop * seen.factor) for each in place)
    maps = (seen.satellite[hour, 0][place], seen.coarse[hour][place], seen.hours.maps[hour][fine])
    satellite, radar, small = (filled(np.maximum(np.asarray(each, np.float32), 0)) for each in maps)
    time = seen.hours.times.to_list()[hour]
    return Window(hour, time, place, satellite, radar, small, around)


def quantiles(learned: Seen) -> Callable[[np.ndarray], np.ndarray]:
    """The satellite's quantiles to the radar's, by cells of the hours learned from."""
    radar, satellite = (np.asarray(each, np.float32) for each in (learned.coarse, learned.satellite[:, 0]))
    known = np.flatnonzero(np.isfinite(radar) & np.isfinite(satellite))
    chosen = np.random.default_rng(0).choice(known, 400_000, replace=False)
    law = DeltaMapping.fit(radar.ravel()[chosen, None], satellite.ravel()[chosen, None], trace=0.02)
    return lambda maps: law.map(maps.reshape(-1, 1)).reshape(maps.shape).astype(np.float32)


def last(draws: Iterator[tuple[float, np.ndarray | None]]) -> np.ndarray:
    found = None
    for _, found in draws:  # noqa: B007
        pass
    assert found is not None
    return found


def fields(
    known: Chain, window: Window, mapped: Callable[[np.ndarray], np.ndarray], members: Sequence[int]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Rain (member, rows, columns) of each kind, on coarse cells and on fine ones."""
    noise = noise_of(0, window.time, members)
    by_quantiles, factor = mapped(window.satellite), known.factor

    def drawn(coarse: np.ndarray, stages: Sequence[str]) -> np.ndarray:
        return last(known.draws(coarse, noise, STEPS, stages))

    def straight(coarse: np.ndarray) -> np.ndarray:
        return RAIN.inverse(finer(RAIN.forward(torch.from_numpy(coarse)), factor)).numpy()[None]

    coarse = {
        "radar": window.radar[None],
        RAW: window.satellite[None],
        "quantile mapping": by_quantiles[None],
        "correction": drawn(window.satellite, STAGES[:1]),
    }
    fine = {
        "radar": window.fine[None],
        RAW: straight(window.satellite),
        "quantile mapping": straight(by_quantiles),
        "chain": drawn(window.satellite, STAGES),
        "perfect at 11 km, made smooth": straight(window.radar),
        "perfect at 11 km, made finer": drawn(window.radar, STAGES[1:]),
    }
    kept = [{name: window.inner(each) for name, each in kinds.items()} for kinds in (coarse, fine)]
    return kept[0], kept[1]


Sums = Mapping[str, np.ndarray]
Figures = dict[tuple[str, str], np.ndarray]  # by metric and unit, of all draws


def sums(members: np.ndarray, truth: np.ndarray, cells: float) -> Sums:
    """What one window adds, of an ensemble and of the radar."""
    flat, told = members.reshape(len(members), -1).astype(float), truth.ravel().astype(float)
    mean, size = flat.mean(0), len(flat)
    wavelength, power = spectrum(np.log1p(members / WET), (cells, cells))
    near = [np.abs(np.log2(wavelength / band)) < 0.25 for band in BANDS]
    counts = [np.histogram(each, np.r_[AMOUNTS, np.inf])[0] for each in flat]
    return {
        "n": np.array(len(told)),
        "square": np.square(mean - told).sum(),
        "member square": np.square(flat - told).mean(0).sum(),
        "crps": crps(flat.astype(np.float32), told.astype(np.float32)).sum(),
        "moments": moments(mean[None], told),
        "member moments": moments(flat, told),
        "variance": np.square(flat - mean).sum() / max(size - 1, 1) * (1 + 1 / size),  # of fair members
        "counts": np.mean(counts, 0),
        "power": np.array([power.mean(0)[each].mean() if each.any() else np.nan for each in near]),
    }


def moments(members: np.ndarray, told: np.ndarray) -> np.ndarray:
    """Means over members of what a correlation needs."""
    products = (members, told[None], members**2, told[None] ** 2, members * told)
    return np.array([each.sum(1).mean() for each in products])


def scored(case: str, taken: Sequence[tuple[Window, Mapping[str, np.ndarray]]], cells: float) -> list[dict]:
    """Each kind against the radar, and the raw satellite's errors."""
    hours = sorted({window.hour for window, _ in taken})
    drawn: dict[str, Sums] = {}
    for kind in taken[0][1]:
        each = [sums(kinds[kind], kinds["radar"][0], cells) for _, kinds in taken]
        blocks = {name: np.zeros((len(hours), *np.shape(each[0][name]))) for name in each[0]}
        for (window, _), one in zip(taken, each, strict=True):
            for name, value in one.items():
                blocks[name][hours.index(window.hour)] += value
        drawn[kind] = {name: resampled(value) for name, value in blocks.items()}
    rows = []
    for kind, mine in drawn.items():
        told = against(mine, drawn["radar"])
        if kind not in ("radar", RAW):
            told |= ratios(errors(mine), errors(drawn[RAW]))
        told = (errors(mine) if kind != "radar" else {}) | told
        rows += lines(case, kind, told, len(hours), int(mine["n"][0]))
    return rows


def lines(case: str, method: str, told: Figures, blocks: int, n: int) -> list[dict]:
    rows = []
    for (metric, unit), values in told.items():
        about = {"case": case, "method": method, "metric": metric, "unit": unit, "n": n}
        rows.append(about | dict(zip(("value", "low", "high"), interval(values, blocks), strict=True)))
    return rows


def errors(s: Sums) -> Figures:
    n = s["n"]

    def correlation(moments: np.ndarray) -> np.ndarray:
        mean, told, mean2, told2, product = (moments / n[:, None]).T
        return (product - mean * told) / np.sqrt((mean2 - mean**2) * (told2 - told**2))

    found = {
        ("RMSE of the mean", "mm/h"): np.sqrt(s["square"] / n),
        ("RMSE of a member", "mm/h"): np.sqrt(s["member square"] / n),
        ("CRPS", "mm/h"): s["crps"] / n,
        ("correlation of the mean", "1"): correlation(s["moments"]),
        ("correlation of a member", "1"): correlation(s["member moments"]),
        ("rain, ratio", "1"): s["moments"][:, 0] / s["moments"][:, 1],
    }
    spread = np.sqrt(s["variance"] / np.maximum(s["square"], 1e-12))
    return found | ({("spread/skill", "1"): spread} if s["variance"][0] > 0 else {})


def ratios(mine: Figures, raw: Figures) -> Figures:
    """Beside the raw satellite's."""
    found = {}
    for metric, unit in mine:
        if metric.startswith("correlation"):
            found[f"{metric} - raw", "1"] = mine[metric, unit] - raw[metric, unit]
        elif unit == "mm/h":
            found[f"{metric} / raw", "1"] = mine[metric, unit] / raw[metric, unit]
    return found


def against(mine: Sums, radar: Sums) -> Figures:
    """What a field is like, and the radar's is."""

    def quantile(s: Sums) -> np.ndarray:
        above = s["counts"][:, ::-1].cumsum(1)[:, ::-1] / s["n"][:, None]
        return np.array([np.interp(HIGH - 1, -each, AMOUNTS) for each in above])

    wet = [s["counts"].sum(1) / s["n"] for s in (mine, radar)]
    found = {(f"wet share, from {WET} mm/h", "1"): wet[0], (f"{HIGH:.1%} quantile", "mm/h"): quantile(mine)}
    for number, band in enumerate(BANDS):
        gap = 10 * np.log10(mine["power"][:, number] / radar["power"][:, number])
        if np.isfinite(gap[0]) and mine is not radar:
            found[f"PSD at {band:g} km, minus the radar's", "dB"] = gap
    return found


def published() -> list[dict]:
    case, method = "about 10 km, Seattle 2022-23: another data set", "PrecipDiff, as published"
    names = {"RMSE": "RMSE / raw", "CRPS": "CRPS / raw", "correlation": "correlation - raw"}
    return [
        {"case": case, "method": method, "metric": names[each], "value": value, "unit": "1"}
        for each, value in PUBLISHED.items()
    ]
