"""Whether simulated rain has the statistics of real rain: the truth of a case beside hourly radar.

Both are cut into boxes of 12.5 degrees on the same cells, hour by hour, and each box gives one value of
each statistic. Real is MRMS, gauge-corrected hourly rain over the United States on two days of September
2016, freed of pixels above 150 mm/h (bad gauges) and averaged onto the case's cells. The rows of
*radar* hold the median of its boxes with their 5th and 95th percentile, then with their extremes;
*simulated* its median with 5th and 95th percentile; *outside* says by how much the simulated median
misses the radar's 5-95% range, as a share of the width of that range (0: it lies inside).

Two days hold few kinds of weather. Inside means not distinguishable from these; it does not mean right.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from engine.diagnostics.curves import WET, intensities, wet_fraction
from engine.diagnostics.shape import ellipse
from engine.diagnostics.spectra import slope, spectrum
from engine.fields import KM_PER_DEGREE, Grid
from engine.sources import field_of, grib
from engine.sources.cases import cases
from engine.values import Invalid

ROOT = Path(__file__).resolve().parents[2]
SIDE = 12.5  # degrees
SOUTH = 20.0  # degrees, the south edge of the radar's map
CELL = 0.01  # degrees, the radar's own
PERCENTILES = (95.0, 99.0, 99.9, 99.99)
WET_PERCENTILES = (50.0, 90.0, 99.0)
WET_ENOUGH = 0.02  # share of a box that must be wet before it has a spectrum or a shape
HIGHEST = 150.0  # mm/h
UNITS = {"wet fraction": "1", "spectral slope": "1", "correlation length": "km", "axis ratio": "1"}


def run(case: str | None, quick: bool) -> list[dict]:
    """Without a case, every simulated case that has an hourly truth, on its own cells."""
    files = radar_files()
    layers = truths(case)
    if quick:
        files = [file for number, file in enumerate(files) if number % 12 < 2]
    steps = {layer: Grid.of(field_of(layer)).step for layer in layers}
    real = {step: [] for step in steps.values()}
    for file in files:
        fine = grib.read(file).values[0]
        fine[fine > HIGHEST] = np.nan
        for step, frames in real.items():
            frames.append(area_mean(fine, round(step / CELL)))
    radar = {step: gathered(np.stack(frames), step, SOUTH) for step, frames in real.items()}
    rows = []
    for layer, step in steps.items():
        truth = field_of(layer)
        if quick:
            hours = [hour for hour in range(truth.sizes["time"]) if hour % 12 < 2]
            truth = truth.isel(time=hours)
        simulated = gathered(truth.values, step, Grid.of(truth).box.south)
        rows += compared(layer, radar[step], simulated)
    return rows


def radar_files() -> list[Path]:
    folder = Path(os.environ.get("RAINLOOM_DATA", ROOT.parent / "shared" / "data")) / "mrms_gaugecorr_201609"
    files = sorted(folder.glob("*.grib2"))
    if not files:
        raise Invalid("nature: no real radar in RAINLOOM_DATA; put mrms_gaugecorr_201609 there")
    return files


def truths(case: str | None) -> list[str]:
    """The layers to judge, which must be hourly as the radar is: the truth of a case, and the same on finer
    cells where it has them."""
    known = {name: found for name, found in cases().items() if found.about.get("simulated") == "true"}
    if case is not None and case not in known:
        raise Invalid(f"case: no simulated case {case!r}; there are {', '.join(known)}")
    named = (f"{name}/{layer}" for name in ([case] if case else known) for layer in ("truth", "fine"))
    there = [each for each in named if each.partition("/")[2] in known[each.partition("/")[0]].layers]
    found = [each for each in there if field_of(each).attrs["interval"] == "1h"]
    if not found:
        raise Invalid(f"case: {case or 'none'} has no hourly truth; choose one that has, as front")
    return found


def area_mean(fine: np.ndarray, size: int) -> np.ndarray:
    """Means over ``size`` x ``size`` pixels, where at least half of them are known."""
    rows, columns = (extent // size for extent in fine.shape)
    blocks = fine[: rows * size, : columns * size].reshape(rows, size, columns, size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        mean = np.nanmean(blocks, (1, 3))
    mean[np.isfinite(blocks).mean((1, 3)) < 0.5] = np.nan
    return mean


def boxes(frames: np.ndarray, step: float, south: float) -> Iterator[tuple[np.ndarray, float]]:
    """(time, lat, lon) of each box that is known, and its middle latitude."""
    cells = round(SIDE / step)
    for row in range(0, frames.shape[1] - cells + 1, cells):
        for column in range(0, frames.shape[2] - cells + 1, cells):
            part = frames[:, row : row + cells, column : column + cells]
            if np.isfinite(part).mean() > 0.97:
                yield part, south + (row + cells / 2) * step


def gathered(frames: np.ndarray, step: float, south: float) -> dict[str, np.ndarray]:
    """Each statistic, of every box and hour."""
    found: dict[str, list[float]] = {}
    for hours, latitude in boxes(frames, step, south):
        east = KM_PER_DEGREE * step * float(np.cos(np.deg2rad(latitude)))
        for number, rain in enumerate(hours):
            for name, value in statistics(rain, (KM_PER_DEGREE * step, east)).items():
                found.setdefault(name, []).append(value)
            if number and min(wet_fraction(hours[number - 1 : number + 1])) > WET_ENOUGH:
                pair = np.nan_to_num(hours[number - 1 : number + 1]).reshape(2, -1)
                found.setdefault("correlation with the hour before", []).append(
                    float(np.corrcoef(pair)[0, 1])
                )
    return {name: np.array(values)[np.isfinite(values)] for name, values in found.items()}


def statistics(rain: np.ndarray, spacing: tuple[float, float]) -> dict[str, float]:
    wet = float(wet_fraction(rain))
    found = {"wet fraction": wet}
    for percentile, value in zip(PERCENTILES, intensities(rain, PERCENTILES), strict=True):
        found[f"percentile {percentile:g}"] = float(value)
    if wet > WET_ENOUGH:
        for percentile in WET_PERCENTILES:
            found[f"percentile {percentile:g} of wet"] = float(np.percentile(rain[rain >= WET], percentile))
        # From 10 km, or from the shortest wave that the cells hold.
        shortest = max(10.0, 2 * max(spacing))
        found["spectral slope"] = float(slope(*spectrum(rain, spacing), shortest, 200.0))
        outline = ellipse(rain, spacing)
        found["correlation length"], found["axis ratio"] = float(outline.length), float(outline.ratio)
    return found


def compared(layer: str, radar: dict[str, np.ndarray], simulated: dict[str, np.ndarray]) -> list[dict]:
    rows = []
    for metric, real in radar.items():
        values = simulated.get(metric, np.array([]))
        if not real.size or not values.size:
            continue
        unit = UNITS.get(metric, "mm h-1" if metric.startswith("percentile") else "1")
        least, low, middle, high, most = np.percentile(real, [0, 5, 50, 95, 100])
        own_low, own, own_high = np.percentile(values, [5, 50, 95])
        outside = max(low - own, own - high, 0.0) / (high - low) if high > low else float("nan")
        for method, value, below, above, count, of in (
            ("radar, 5-95%", middle, low, high, real.size, unit),
            ("radar, extremes", middle, least, most, real.size, unit),
            ("simulated, 5-95%", own, own_low, own_high, values.size, unit),
            ("outside", outside, 0.0, 0.0, values.size, "1"),
        ):
            numbers = {"value": float(value), "low": float(below), "high": float(above), "n": int(count)}
            rows.append({"case": layer, "method": method, "metric": metric, **numbers, "unit": of})
    return rows
