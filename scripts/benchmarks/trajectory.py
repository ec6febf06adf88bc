"""Trajectories of hourly rain: their cost, what they keep of the evidence, how their hours follow.

Of truth 5 of `scripts/make_worlds.py`, which the prior never saw, six-hourly means on cells of one degree are
the evidence, in twelve by twelve degrees; its hourly rain judges. All is simulated; rain is in mm/h.

*On-model* the evidence is the truth's own, with an error of 5%. Memory in time is the correlation of log(1 +
rain / 0.1) with itself some hours before, of cells of .25 degrees and of means of one degree; "hours of other
members" are the same members with every hour taken from another, which is what drawing hours one by one would
leave; "coarse rain, spread evenly" is the evidence itself. A *step* is the mean absolute change of that
logarithm from hour to hour; a seam is where one film follows another. As evidence changes there too, the
truth's ratio of steps stands beside the members'. Storms are followed by the centre of the domain's rain.
*Off-model* the simulation's rain is 1.5 times the truth's to the power of 1.2, with and without its
calibration. Intervals are 95%, of spells of twelve hours drawn anew.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr

from engine import fields
from engine.diagnostics.blocks import interval, resampled
from engine.diagnostics.reliability import rank_histogram
from engine.diagnostics.tally import crps, tally
from engine.fields import KM_PER_DEGREE, Box, Grid, Period
from engine.films import KEPT, TRACE, Prior, prior
from engine.noise import Streams
from engine.sources.cases import read_case
from engine.sources.instruments import area_mean
from engine.streamed import streamed
from engine.trajectories import Settings, Trajectories, trajectories
from engine.values import Invalid

WORLDS = Path(__file__).resolve().parents[2] / "build" / "worlds"
BOX, START = Box(104, 24, 116, 36), pd.Timedelta("5D")
EVEN = "coarse rain, spread evenly"
EVERY, SPELL, LAGS = 6, 12, (1, 3, 6, 12)
PLAIN = Settings(False, 0.05, 0.1)
Row = dict[str, Any]


@dataclass(frozen=True)
class World:
    layers: dict[str, xr.DataArray]  # hourly, in the box

    def means(self, name: str) -> xr.DataArray:
        """Six-hourly means on cells of one degree."""
        field = self.layers[name]
        values, grid = area_mean(field, 1.0)
        values = values.reshape(-1, EVERY, *grid.shape).mean(1)
        times = field.indexes["time"][EVERY - 1 :: EVERY]
        return fields.rain(values, times, grid.lat, grid.lon, interval=f"{EVERY}h").rename(name)

    def hours(self, period: Period, name: str = "rain") -> np.ndarray:
        return self.layers[name].sel(time=period.times).values.astype(float)

    def period(self, hours: int) -> Period:
        first = self.layers["rain"].indexes["time"][0] - pd.Timedelta("1h") + START
        return Period(first, first + pd.Timedelta(hours, "h"))


def run(case: str | None, quick: bool) -> list[Row]:
    torch.set_num_threads(1)
    known, truth = prior(case or "trajectory"), world("truth_5")
    members, steps = (2, 6) if quick else (4, 24)
    rows = [memory("before")]
    for hours in (12, 24) if quick else (48, 240):
        ready = made(known, truth, hours)
        begun = time.monotonic()
        rain = drawn(ready, members, steps)
        spent = time.monotonic() - begun
        rows += cost(f"{hours} h", spent, members * hours)
        rows += judged(f"{hours} h", truth, ready.period, rain)
    rows += together(known, truth, *((12, members, steps) if quick else (48, members, steps)))
    return [*rows, *biased(known, truth, *((12, members, steps) if quick else (48, members, steps)))]


def world(name: str) -> World:
    path = WORLDS / f"{name}.nc"
    if not path.exists():
        raise Invalid(f"benchmark trajectory: no {path}; make it with scripts/make_worlds.py {name}")
    found, layers = read_case(path, path.stat().st_mtime_ns), {}
    for each in ("rain", "humidity", "u", "v", "height"):
        field = found.layer(each)
        assert isinstance(field, xr.DataArray)
        layers[each] = field.sel(lat=slice(BOX.south, BOX.north), lon=slice(BOX.west, BOX.east))
    return World(layers)


def made(
    known: Prior, truth: World, hours: int, settings: Settings = PLAIN, rain: xr.DataArray | None = None
) -> Trajectories:
    evidence = {"rain": truth.means("rain") if rain is None else rain}
    return trajectories(known, truth.period(hours), known.cells(BOX), evidence, {}, None, settings)


def drawn(ready: Trajectories, members: int, steps: int) -> np.ndarray:
    """(members, hours, rows, columns), mm/h."""
    parts = []
    for part in ready.parts(range(members)):
        *_, (_, rain) = ready.draws(Grid(BOX, 0.25), 1, part, steps)
        parts.append(np.asarray(rain, float))
    return np.concatenate(parts)


def cost(case: str, spent: float, hours: int) -> list[Row]:
    return [about(case, "members", "time for an hour of a member", spent / hours, "s"), memory(case)]


def memory(case: str) -> Row:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return about(case, "members", "largest memory so far", peak, "GiB")


def judged(case: str, truth: World, period: Period, rain: np.ndarray) -> list[Row]:
    observed = truth.hours(period)[None]
    within = slice(period.start + pd.Timedelta("1h"), period.end)
    coarse = truth.means("rain").sel(time=within).values.astype(float)
    even = np.kron(coarse, np.ones((EVERY, 4, 4)))[None]
    shuffled = np.stack([np.roll(hour, number, 0) for number, hour in enumerate(rain.swapaxes(0, 1))], 1)
    films = {
        "members": rain,
        "truth": observed,
        "hours of other members": shuffled,
        EVEN: even,
    }
    rows = [*kept(case, rain, coarse)]
    for method, film in films.items():
        rows += lasting(case, method, film)
        rows += seams(case, method, film) if method != EVEN else ()
    rows += [scored(case, each, films[each], observed[0]) for each in ("members", EVEN)]
    return [*rows, *ranks(case, rain, observed[0], period)]


def kept(case: str, rain: np.ndarray, coarse: np.ndarray) -> Iterator[Row]:
    """What six-hourly means of one degree are of the evidence."""
    means = blocks(rain).reshape(len(rain), -1, EVERY, *coarse.shape[1:]).mean(2)
    missed = (means - coarse).mean(0)
    parts = (missed, np.abs(means - coarse).mean(0), coarse)
    bias, size, amount = (np.repeat(each.sum((1, 2)), EVERY) for each in parts)
    for what, each in (("bias", bias), ("missed", size)):
        yield ratio(
            case, "members", f"{what}, six-hourly means of one degree", each, amount, "of their amount"
        )


def lasting(case: str, method: str, film: np.ndarray) -> Iterator[Row]:
    for what, values in (("cells", film), ("means of one degree", blocks(film))):
        scores = np.log1p(values / TRACE)
        scores = scores - scores.mean()
        for lag in LAGS:
            if lag < scores.shape[1]:
                product = (scores[:, lag:] * scores[:, :-lag]).sum((0, 2, 3))
                size = (scores[:, lag:] ** 2 + scores[:, :-lag] ** 2).sum((0, 2, 3)) / 2
                yield ratio(case, method, f"correlation with {lag} h before, {what}", product, size)


def seams(case: str, method: str, film: np.ndarray) -> Iterator[Row]:
    """Steps at seams, of those elsewhere: of a cell's rain, and of the centre of all."""
    steps = np.abs(np.diff(np.log1p(film / TRACE), axis=1)).mean((0, 2, 3))
    lat, lon = (np.arange(size) * 0.25 * KM_PER_DEGREE for size in film.shape[2:])
    total = film.sum((2, 3)).clip(1e-9)
    centre = [(film.sum(3) @ lat) / total, (film.sum(2) @ lon) * np.cos(np.deg2rad(30)) / total]
    moved = np.hypot(*(np.diff(each, axis=1) for each in centre)).mean(0)
    seam = (np.arange(1, film.shape[1]) % KEPT == 0).astype(float)
    for name, each in (("step of a cell", steps), ("step of the centre of rain", moved)):
        value = each[seam == 1].mean() / max(each[seam == 0].mean(), 1e-9)
        yield about(case, method, f"{name} at seams, of those elsewhere", float(value)) | {
            "n": int(seam.sum())
        }


def scored(case: str, method: str, rain: np.ndarray, observed: np.ndarray) -> Row:
    missed = (
        crps(rain.reshape(len(rain), -1), observed.ravel()) if len(rain) > 1 else np.abs(rain[0] - observed)
    )
    hourly = missed.reshape(observed.shape).sum((1, 2))
    cells = np.full(len(hourly), observed[0].size)
    return ratio(case, method, "fair CRPS of an hour in a cell", hourly, cells, "mm/h")


def ranks(case: str, rain: np.ndarray, observed: np.ndarray, period: Period) -> Iterator[Row]:
    """Where the truth stands among the members, in every fourth cell."""
    grid = Grid(BOX, 0.25)
    few = slice(1, None, 4)
    members, truth = (
        fields.rain(each, period.times, grid.lat, grid.lon)[..., few, few] for each in (rain, observed)
    )
    for row in rank_histogram(tally(members, truth)).rows:
        out = not row["envelope low"] <= row["share"] <= row["envelope high"]
        name = f"share at rank {row['rank']}" + (", outside of the envelope" if out else "")
        found = {key: row[key] for key in ("low", "high", "n")}
        yield about(case, "members", name, row["share"], f"{row['expected']:.3f} expected") | found


def together(known: Prior, truth: World, hours: int, members: int, steps: int) -> Iterator[Row]:
    """How rain goes with humidity and wind: correlations in cells, of members and of the truth."""
    ready, period = made(known, truth, hours), truth.period(hours)
    streams = [Streams(number, range(members)) for number in range(ready.count)]
    found = streamed(ready.following, ready.region.shape, streams, steps)
    film = torch.cat([each for _, each in found if each is not None], 2).numpy()
    rain = known.score.inverse(torch.from_numpy(film[:, 0])).numpy()
    told = [known.standard(name, truth.hours(period, name)) for name in known.quantities[1:]]
    for method, values in (
        ("members", [np.log1p(rain / TRACE), *film[:, 1:].swapaxes(0, 1)]),
        ("truth", [np.log1p(truth.hours(period) / TRACE)[None], *(each[None] for each in told)]),
    ):
        yield from _pairs(f"{hours} h", method, known.quantities, values)


def _pairs(case: str, method: str, names: tuple[str, ...], values: list[np.ndarray]) -> Iterator[Row]:
    centred = [each - each.mean() for each in values]
    for name, each in zip(names[1:], centred[1:], strict=True):
        product = (centred[0] * each).sum((0, 2, 3))
        size = (centred[0].std() * each.std()) * np.full(len(product), centred[0][:, 0].size)
        yield ratio(case, method, f"correlation of rain and {name}", product, size)
        change = np.abs(np.diff(each, axis=1)).sum((0, 2, 3))
        count = np.full(len(change), each[:, 0].size)
        yield ratio(case, method, f"hourly change of {name}", change, count, "standard deviations")


def biased(known: Prior, truth: World, hours: int, members: int, steps: int) -> Iterator[Row]:
    wrong = truth.means("rain")
    wrong = wrong.copy(data=1.5 * wrong.values**1.2)
    observed = truth.hours(truth.period(hours)).sum((1, 2))
    for method, calibrated in (("as it is", False), ("calibrated", True)):
        rain = drawn(made(known, truth, hours, Settings(calibrated, 0.05, 0.1), rain=wrong), members, steps)
        total = rain.mean(0).sum((1, 2))
        case = f"{hours} h off-model"
        yield ratio(case, f"members, {method}", "bias", total - observed, observed, "of the truth's")


def blocks(film: np.ndarray) -> np.ndarray:
    members, hours, rows, columns = film.shape
    return film.reshape(members, hours, rows // 4, 4, columns // 4, 4).mean((3, 5))


def ratio(case: str, method: str, metric: str, over: np.ndarray, under: np.ndarray, unit: str = "") -> Row:
    """Of two sums over hours; its interval is that of spells drawn anew."""
    summed: Callable[[np.ndarray], np.ndarray] = lambda each: np.add.reduceat(  # noqa: E731
        each.astype(float), np.arange(0, len(each), SPELL)
    )
    sums = np.stack([summed(over), summed(under)], 1)
    again = resampled(sums)
    value, low, high = interval(again[:, 0] / again[:, 1], len(sums))
    return about(case, method, metric, value, unit) | {"low": low, "high": high, "n": len(sums)}


def about(case: str, method: str, metric: str, value: float, unit: str = "") -> Row:
    return {"case": case, "method": method, "metric": metric, "value": value, "unit": unit}
