"""Climate simulations downscaled: paired with a truth that was held out, and free-running beside its climate.

The worlds are those of `scripts/make_worlds.py`, in build/worlds, cut to the box of the shipped cases; all is
simulated. The prior learned truths 1 to 4 and never saw truth 5. Rain is in mm/day, means of six hours.

*Paired.* Times of truth 5, from its own coarse rain ("rain known") or from its humidity, wind and height
("from the circulation"), against its fine rain; CRPS is fair, and that of a single field its absolute error.
"zero noise" leaves out what hides the small scales of the coarse map. Spectra are of log10(1 + P), Hann's
taper, averaged over times and members, in half octaves of wavelength.

*Unpaired.* The second half of each simulation, its first half (of the present climate for the warmed one) as
its history; of members every fourth time. Bias is that of the time mean in cells of one degree, or of whole
parallels, against truths 1 to 4; its absolute value, averaged. Beside it stands truth 5's, which is chance
alone. What two halves of a simulation differ by is chance as well; with "its own history" there is none of
it. "Mapping alone" is the simulation's own rain with the reference's law; "as published" takes no change from
the simulated rain.

Intervals are 95%, of blocks of time drawn anew: the times of the paired part, spells of five days of the
other. The published figures belong to ERA5 and another network.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from make_case import quantity

from engine.beside import finer
from engine.calibrate import DeltaMapping
from engine.diagnostics.blocks import interval, resampled
from engine.diagnostics.spectra import spectrum
from engine.diagnostics.tally import crps
from engine.downscaled import HOURS, Downscaled, conserved, downscaled
from engine.downscaler import TRACE, Prior, prior
from engine.fields import KM_PER_DEGREE, Box, Grid
from engine.sources.cases import read_case
from engine.sources.instruments import area_mean
from engine.values import Invalid

WORLDS = Path(__file__).resolve().parents[2] / "build" / "worlds"
BOX = Box(100, 20, 125, 45)
QUANTITIES = ("humidity", "u", "v", "height", "rain")
BANDS = np.array([55.0, 80.0, 110.0, 160.0, 220.0, 320.0, 450.0, 640.0, 900.0])  # km
SPELLS, DRAWS = 20, 400  # spells of days that stay together, and how often they are drawn anew
KEPT = "downscaled, mass kept"
PUBLISHED = "published, ERA5 and another network"

Layers = dict[str, xr.DataArray]
Row = dict[str, Any]


def run(case: str | None, quick: bool) -> list[dict]:
    torch.set_num_threads(1)
    known, truth = prior(case or "climate"), layers("truth_5")
    rows = paired(known, truth, *((3, 3, 6) if quick else (20, 5, 18)))
    rows = [{"case": "paired with truth 5"} | row for row in rows]
    return [*rows, *unpaired(known, truth, *((80, 6) if quick else (4, 12)))]


def layers(name: str) -> Layers:
    """A world in the box on coarse cells, six-hourly; "fine" is its rain as it is."""
    path = WORLDS / f"{name}.nc"
    if not path.exists():
        raise Invalid(f"benchmark climate: no {path}; make it with scripts/make_worlds.py {name}")
    world, found = read_case(path, path.stat().st_mtime_ns), {}
    for each in QUANTITIES:
        field = world.layer(each)
        assert isinstance(field, xr.DataArray)
        field = field.sel(lat=slice(BOX.south, BOX.north), lon=slice(BOX.west, BOX.east))
        if field.attrs["interval"] == "1h":
            means = field.values.reshape(-1, 6, *field.shape[1:]).mean(1)
            field = quantity(each, means, field.indexes["time"][5::6], Grid.of(field), "6h")
            if each == "rain":
                found["fine"] = field
            means, grid = area_mean(field, 1.0)
            field = quantity(each, means.astype(np.float32), field.indexes["time"], grid, "6h")
        found[each] = field
    return found


def finished(known: Prior, own: Mapping[str, xr.DataArray], past: Mapping[str, xr.DataArray]) -> Downscaled:
    steps = downscaled(known, BOX, own, past)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def drawn(ready: Downscaled, members: int, steps: int, noise: float = 1.0, mass: bool = False) -> np.ndarray:
    """(members, times, rows, columns), mm/day."""
    parts = []
    for part in ready.parts(range(members)):
        *_, (_, rain) = ready.draws(1, part, steps, noise, mass)
        parts.append(HOURS * np.asarray(rain))
    return np.concatenate(parts)


def paired(known: Prior, truth: Layers, times: int, members: int, steps: int) -> list[Row]:
    seen = {name: truth[name] for name in known.quantities}
    ready = finished(known, seen, {})
    chosen = ready.times[np.linspace(0, len(ready.times) - 1, times).round().astype(int)]
    observed = day(truth["fine"].sel(time=chosen))
    ready = ready.at(chosen)
    rows = [about("from the circulation", "noise level s* that the spectra tell", ready.noise)]
    rows.append(about(PUBLISHED, "CRPS / that of the upsampled field", 0.56 / 0.73))
    for name, each in (
        ("rain known", replace(ready, rain=day(truth["rain"].sel(time=chosen)))),
        ("from the circulation", ready),
    ):
        plain = upsampled(known, each.rain)
        made = {f"{name}, upsampled": plain[None], f"{name}, zero noise": drawn(each, members, steps, 0.0)}
        if each is ready:
            made[name] = drawn(each, members, steps)
            kept = [conserved(made[name][:, time], each.rain[time]) for time in range(times)]
            made[f"{name}, mass kept"] = np.stack(kept, 1)
        for method, fields in made.items():
            rows += judged(method, fields, observed, plain)
    return [*rows, *shares("truth 5", observed[None])]


def day(rain: xr.DataArray) -> np.ndarray:
    return HOURS * np.asarray(rain.values, float)


def upsampled(known: Prior, rain: np.ndarray) -> np.ndarray:
    latent = torch.from_numpy(known.forward(rain)).float()
    return known.inverse(finer(latent, known.times)).numpy()


def judged(method: str, made: np.ndarray, observed: np.ndarray, plain: np.ndarray) -> list[Row]:
    """Against the truth of the same times; a block is a time."""
    count = len(made)
    score = crps(made.reshape(count, -1), observed.ravel()).reshape(len(observed), -1).mean(1)
    error = np.abs(plain - observed).mean((1, 2))
    rows = [ratio(method, "CRPS", score, np.ones_like(score), "mm/day")]
    if count > 1:
        rows.append(ratio(method, "CRPS / that of the upsampled field", score, error))
        spread = (count + 1) / count * made.var(0, ddof=1).mean((1, 2))
        skill = ((made.mean(0) - observed) ** 2).mean((1, 2))
        rows.append(ratio(method, "spread/skill", spread, skill, root=True))
    rows += [*shares(method, made), *bands(method, made, observed)]
    return rows


def shares(method: str, made: np.ndarray) -> list[Row]:
    """How often it rains, and how much."""
    found = []
    for least in (TRACE, 1.0):
        wet = (made >= least).mean((0, 2, 3))
        found.append(ratio(method, f"share of cells with {least:g} mm/day", wet, np.ones_like(wet)))
    total = made.mean((0, 2, 3), dtype=float)
    found.append(ratio(method, "mean", total, np.ones_like(total), "mm/day"))
    return [*found, about(method, "99.9% quantile", np.quantile(made, 0.999), unit="mm/day")]


def power(rain: np.ndarray) -> np.ndarray:
    """In each band, of fields (..., rows, columns)."""
    step = KM_PER_DEGREE / 4
    length, found = spectrum(np.log10(1 + rain), (step, step * math.cos(math.radians(32.5))))
    inside = (length[:, None] >= BANDS[:-1]) & (length[:, None] < BANDS[1:])
    return np.asarray(found) @ inside / inside.sum(0)


def bands(method: str, made: np.ndarray, observed: np.ndarray) -> Iterator[Row]:
    together = resampled(np.stack([power(made).mean(0), power(observed)], -1))
    gap = 10 * np.log10(together[..., 0] / together[..., 1])
    for low, high, one in zip(BANDS[:-1], BANDS[1:], gap.T, strict=True):
        yield told(method, f"PSD, {low:g} to {high:g} km, difference", one, len(observed), "dB")
    worst = np.abs(gap).max(1)[0]
    yield about(method, "PSD, largest difference of a band", worst, len(observed), "dB")


def unpaired(known: Prior, truth: Layers, every: int, steps: int) -> list[Row]:
    law = known.cells(BOX).law("rain")
    halves = {name: half(layers(name)) for name in ("climate", "warmed", "second")}
    rows: list[Row] = [{"case": "climate"} | about(PUBLISHED, "bias of cells / raw", 0.091 / 0.424)]
    rows += biased("truth 5", {"chance": day(truth["rain"])}, law.mean(0))
    made: dict[str, dict[str, np.ndarray]] = {}
    for name, (first, second) in halves.items():
        past, raw = halves["climate"][0] if name == "warmed" else first, day(second["rain"])
        made[name] = {"raw": raw}
        made[name]["mapping alone"] = DeltaMapping.fit(law, day(past["rain"]), trace=TRACE).apply(raw)
        found = {"downscaled": finished(known, second, past)}
        if name == "climate":
            found["downscaled, its own history"] = finished(known, second, {})
        for method, ready in found.items():
            some = ready.at(ready.times[::every])
            members = drawn(some, 1, steps)
            kept = np.concatenate([conserved(members[:, at], rain) for at, rain in enumerate(some.rain)])
            for about_mass, rain in ((method, members[0]), (f"{method}, mass kept", kept)):
                made[name][f"{about_mass}, some"] = area(rain)
                made[name][about_mass] = ready.rain + spread(area(rain) - some.rain, every, len(raw))
                rows += ({"case": name} | row for row in mass(about_mass, area(rain), some.rain))
            rows.append({"case": name} | about(method, "noise level s* that the spectra tell", ready.noise))
        if name == "warmed":
            circulation = {each: second[each] for each in known.quantities}
            made[name]["as published, coarse"] = finished(known, circulation, past).rain
        else:
            rows += biased(
                name, {each: rain for each, rain in made[name].items() if "some" not in each}, law.mean(0)
            )
    return [*rows, *warmer(made["warmed"], made["climate"], every)]


def spread(changes: np.ndarray, every: int, times: int) -> np.ndarray:
    """What members have more than they were told, which few times tell well, for all times."""
    return np.repeat(changes, every, 0)[:times]


def mass(method: str, made: np.ndarray, told_of: np.ndarray) -> Iterator[Row]:
    """What members have more than they were told, in all and in a cell."""
    off = resampled(np.stack([made.mean((1, 2)), told_of.mean((1, 2))], 1))
    yield told(method, "mass, member / coarse rain - 1", 100 * (off[:, 0] / off[:, 1] - 1), len(made), "%")
    worst = np.abs(made - told_of).max()
    yield about(method, "largest difference of a coarse cell", worst, made.size, "mm/day")


def half(whole: Layers) -> tuple[Layers, Layers]:
    middle = len(whole["rain"]) // 2
    return (
        {name: each[:middle] for name, each in whole.items()},
        {name: each[middle:] for name, each in whole.items()},
    )


def area(fine: np.ndarray) -> np.ndarray:
    times, rows, columns = fine.shape
    return fine.reshape(times, rows // 4, 4, columns // 4, 4).mean((2, 4), dtype=float)


def biased(name: str, made: Mapping[str, np.ndarray], law: np.ndarray) -> Iterator[Row]:
    """Of the time mean; blocks are spells of days, the same ones of raw and corrected rain."""
    raw: dict[str, np.ndarray] = {}
    for method, rain in made.items():
        spells = np.array_split(rain, SPELLS)
        sums, sizes = np.stack([each.sum(0) for each in spells]), np.array([len(each) for each in spells])
        off = resampled(sums) / resampled(sizes)[:, None, None] - law
        found = {"bias of cells": off, "bias of parallels": off.mean(2)}
        for metric, each in found.items():
            size = np.abs(each).reshape(len(each), -1).mean(1)
            yield {"case": name} | told(method, metric, size, SPELLS, "mm/day")
            if method != "raw" and "raw" in made:
                yield {"case": name} | told(method, f"{metric} / raw", size / raw[metric], SPELLS)
            else:
                raw[metric] = size


def warmer(warmed: Mapping[str, np.ndarray], climate: Mapping[str, np.ndarray], every: int) -> Iterator[Row]:
    """What changes with the climate, before and after, at the same times."""
    for name, now, then in (
        ("raw", warmed["raw"][::every], climate["raw"][::every]),
        ("mapping alone", warmed["mapping alone"][::every], climate["mapping alone"][::every]),
        ("downscaled", warmed["downscaled, some"], climate["downscaled, some"]),
        (KEPT, warmed[f"{KEPT}, some"], climate[f"{KEPT}, some"]),
        ("as published, coarse", warmed["as published, coarse"][::every], climate["downscaled, some"]),
    ):
        rng, spells = np.random.default_rng(0), [np.array_split(each, SPELLS) for each in (now, then)]
        drawn: list[list[np.ndarray]] = [[now, then]]
        for _ in range(DRAWS):
            picks = zip(spells, rng.integers(SPELLS, size=(2, SPELLS)), strict=True)
            drawn.append([np.concatenate([parts[each] for each in pick]) for parts, pick in picks])
        for metric, of in (("mean", np.mean), ("99% quantile", lambda rain: np.quantile(rain, 0.99))):
            ratios = np.array([float(of(one) / of(other)) for one, other in drawn])
            yield {"case": "warmed / climate"} | told(name, metric, ratios, SPELLS)


def ratio(
    method: str, metric: str, over: np.ndarray, under: np.ndarray, unit: str = "1", root: bool = False
) -> Row:
    """Of two sums over times."""
    together = resampled(np.stack([over, under], 1))
    value = together[:, 0] / together[:, 1]
    return told(method, metric, np.sqrt(value) if root else value, len(over), unit)


def told(method: str, metric: str, values: np.ndarray, blocks: int, unit: str = "1") -> Row:
    value, low, high = interval(values, blocks)
    return about(method, metric, value, blocks, unit) | {"low": low, "high": high}


def about(method: str, metric: str, value: float, n: int = 1, unit: str = "1") -> Row:
    return {"method": method, "metric": metric, "value": float(value), "n": n, "unit": unit}
