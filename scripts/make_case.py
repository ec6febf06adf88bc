"""Build the embedded case: two days of a simulated front, and how seven instruments saw it.

``python scripts/make_case.py`` writes assets/cases/front.nc within ten minutes on one core. The same seed
gives the same arrays, with the same numpy and scipy on the same kind of machine: elsewhere the last digit
differs, and in an atmosphere the last digit grows. ``--seed`` and ``--start`` make another two days of the
same climate, under the same terrain and network, for learning from; ``--fine`` adds the same rain at 0.05
degrees, for measuring. Longer worlds, and climate simulations, are made by ``make_worlds.py``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

import environment  # noqa: E402

if __name__ == "__main__":
    environment.enter()

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import xarray as xr  # noqa: E402
from scipy.ndimage import gaussian_filter  # noqa: E402

from engine.fields import Box, Grid, Observations, Period  # noqa: E402
from engine.fields import rain as rain_field  # noqa: E402
from engine.sources import instruments, nature, stations  # noqa: E402
from engine.sources.cases import SHIPPED, write_case  # noqa: E402
from engine.sources.cells import Convection, cells  # noqa: E402
from engine.values import Invalid, instant  # noqa: E402

SEED = 2020
BOX = Box(100, 20, 125, 45)
PERIOD = Period(instant("start", "2020-07-01"), instant("end", "2020-07-03"))
GRID = Grid(BOX, 0.1)
SPIN_UP = 90  # h: after four days the front has formed
SPANS = 6  # in an hour: how often cells are carried on
LICENCE = "Apache-2.0"

Layers = dict[str, tuple[dict, xr.DataArray | Observations]]


def say(text: str, begun: float = time.monotonic()) -> None:
    print(f"{time.monotonic() - begun:6.0f} s  {text}", flush=True)


def window(atmosphere: nature.Atmosphere, box: Box) -> tuple[slice, slice]:
    """Where the box lies in the channel, in resolved cells."""
    west, south, _, _ = atmosphere.box
    row, column = round((box.south - south) / atmosphere.step), round((box.west - west) / atmosphere.step)
    rows, columns = Grid(box, atmosphere.step).shape
    return slice(row, row + rows), slice(column, column + columns)


def hourly(
    atmosphere: nature.Atmosphere, hours: int, spin_up: float, convection: Convection | None = None
) -> Iterator[dict[str, np.ndarray]]:
    """Each hour of the whole channel: means of rain, as resolved and in cells, and of VIMD; the state at its
    end. Without convection rain is what is resolved."""
    spans: list[nature.Span] = []

    def resolved() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        for span in nature.integrate(atmosphere, spin_up, hours, 1 / SPANS if convection else 1.0):
            spans.append(span)
            yield span.rain, span.state.u, span.state.v

    falling = (rain for rain, _, _ in resolved())
    if convection:
        falling = cells(convection, atmosphere.spacing, 1 / SPANS, resolved(), atmosphere.seed)
    total: np.ndarray | float = 0.0
    for rain in falling:
        total = total + rain.astype(float)
        if not convection or len(spans) == SPANS:
            means = [np.mean([getattr(each, name) for each in spans], 0) for name in ("rain", "divergence")]
            hour = dict(zip(("resolved", "vimd"), means, strict=True))
            u, v, height, humidity = spans[-1].state
            hour |= {"u": u, "v": v, "height": height, "humidity": humidity, "rain": total / len(spans)}
            yield {name: values.astype(np.float32) for name, values in hour.items()}
            spans.clear()
            total = 0.0


def truth(
    atmosphere: nature.Atmosphere, convection: Convection, box: Box, period: Period, spin_up: float
) -> tuple[xr.DataArray, dict[str, xr.DataArray]]:
    """Fine rain in the box, and what is resolved: hourly means of rain and VIMD, the state at the stamp."""
    rows, columns = window(atmosphere, box)
    times, size = period.times, convection.refine
    fine, kept = [], []
    for time_, hour in zip(times, hourly(atmosphere, len(times), spin_up, convection), strict=True):
        rain = hour.pop("rain")
        part = rain[rows.start * size : rows.stop * size, columns.start * size : columns.stop * size]
        fine.append(part.copy())  # a view would keep the whole channel
        kept.append({name: values[rows, columns].copy() for name, values in hour.items()})
        say(f"{time_}  most {fine[-1].max():5.1f} mm/h, wet {(fine[-1] >= 0.1).mean():.1%}")
    finest, grid = Grid(box, atmosphere.step / size), Grid(box, atmosphere.step)
    quantities = {
        name: quantity(name, np.stack([hour[name] for hour in kept]), times, grid) for name in kept[0]
    }
    return rain_field(np.stack(fine), times, finest.lat, finest.lon, source="simulated"), quantities


UNITS = {"vimd": "mm h-1", "u": "m s-1", "v": "m s-1", "height": "m", "humidity": "mm"}


def quantity(
    name: str, values: np.ndarray, times: pd.DatetimeIndex, grid: Grid, interval: str = "1h"
) -> xr.DataArray:
    """A simulated field of this name; what is no other quantity is rain."""
    if name not in UNITS:
        return rain_field(values, times, grid.lat, grid.lon, interval=interval, source="simulated")
    where = {"time": times, "lat": grid.lat, "lon": grid.lon}
    known = {"units": UNITS[name], "interval": interval, "source": "simulated"}
    return xr.DataArray(values, where, ("time", "lat", "lon"), name, known)


def sea_share(grid: Grid, oversample: int = 4) -> np.ndarray:
    """The share of sea in each cell, from the land polygons of Natural Earth.

    On each of several parallels through a row, land lies between every odd and even crossing of a coast.
    """
    with np.load(ROOT / "assets" / "coastlines.npz") as coast:
        points, starts = coast["land"].astype(float), coast["land_starts"]
    lead = np.ones(len(points), bool)
    lead[starts[1:] - 1] = False  # the last point of a ring leads nowhere: it is the first one again
    begin = np.flatnonzero(lead)
    (x0, y0), (x1, y1) = points[begin].T, points[begin + 1].T
    fine = Grid(grid.box, grid.step / oversample)
    land = np.zeros(fine.shape)
    for row, parallel in enumerate(fine.lat):
        crossing = (y0 <= parallel) != (y1 <= parallel)
        a, b = x0[crossing], x1[crossing]
        at = a + (parallel - y0[crossing]) / (y1[crossing] - y0[crossing]) * (b - a)
        land[row] = np.searchsorted(np.sort(at), fine.lon) % 2
    rows, columns = grid.shape
    return 1 - land.reshape(rows, oversample, columns, oversample).mean((1, 3))


# Mountains of an idealised terrain: lon, lat, length and breadth in degrees, direction, height in m.
RANGES = (
    (99.0, 33.0, 7.0, 5.5, 80, 4300), (102.0, 25.5, 4.0, 3.0, 90, 1900), (108.0, 33.7, 4.0, 0.7, 0, 1900),
    (113.4, 37.5, 3.0, 0.8, 70, 1300), (108.0, 38.0, 5.0, 3.0, 60, 1000), (111.0, 25.2, 5.0, 0.8, 0, 800),
    (117.5, 27.0, 3.0, 0.8, 50, 900), (121.0, 23.6, 1.4, 0.35, 70, 2600), (114.0, 43.5, 8.0, 3.0, 20, 1100),
    (109.7, 30.5, 3.0, 1.0, 60, 1100), (116.0, 31.1, 1.2, 0.5, -20, 800), (106.5, 27.5, 3.0, 2.0, 30, 1000),
)  # fmt: skip


def terrain(grid: Grid, sea: np.ndarray, seed: int) -> np.ndarray:
    """Height in m: a plateau in the west, ranges, plains, and zero at sea. Idealised, not surveyed."""
    lat, lon = grid.lat[:, None], grid.lon[None, :]
    height = np.full(grid.shape, 40.0)
    for east, north, length, breadth, direction, top in RANGES:
        turn = np.deg2rad(direction)
        x, y = lon - east, lat - north
        along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        height = np.maximum(height, top * np.exp(-((along / length) ** 2) - (across / breadth) ** 2))
    rng = np.random.default_rng(seed)
    rough = sum(
        width * gaussian_filter(rng.standard_normal(grid.shape), width, mode="wrap") for width in (2.0, 5.0)
    )
    height = np.maximum(height * (1 + 0.25 * rough), 5.0)
    inland = gaussian_filter(1 - sea, 2.0)  # rises gently from the coast
    return height * np.clip(2 * inland - 0.5, 0.02, 1.0) * (sea < 0.5)


def about(
    kind: str, title: str, role: str | None = None, native: str | None = None, independent: bool = True
) -> dict:
    """What is known of a layer. ``independent``: its errors have nothing to do with those of the others."""
    return {"kind": kind, "title": title, "role": role, "native": native, "independent": independent}


def _static(name: str, values: np.ndarray, unit: str) -> xr.DataArray:
    where = {"lat": GRID.lat, "lon": GRID.lon}
    return xr.DataArray(values.astype(np.float32), where, ("lat", "lon"), name, {"units": unit})


def averaged(fine: xr.DataArray, step: float, title: str) -> tuple[dict, xr.DataArray]:
    """The truth on cells of ``step`` degrees, and what is known of it."""
    mean, grid = instruments.area_mean(fine, step)
    known = about("field", title, "reference", f"{step:g}°")
    return known, quantity("rain", mean.astype(np.float32), fine.indexes["time"], grid)


def observed(fine: xr.DataArray, quantities: dict[str, xr.DataArray], seed: int = SEED) -> Layers:
    """Every instrument's view, and the statics. Places are those of the shipped case, errors the seed's."""
    sea_values = sea_share(GRID)
    sea = _static("sea", sea_values, "1")
    elevation = _static("elevation", terrain(GRID, sea_values, SEED), "m")
    u, v = quantities["u"], quantities["v"]
    wind = u.copy(data=np.hypot(u.values, v.values))
    network, radars = stations.Network(), stations.Radars()
    places = stations.gauge_sites(network, elevation, sea, SEED + 1)
    sites = stations.radar_sites(radars, elevation, sea, SEED + 2)
    layers: Layers = {"truth": averaged(fine, GRID.step, "Simulated truth")}
    for name, native, seen in (
        ("reanalysis", "0.25°", instruments.reanalysis(fine, instruments.Reanalysis(), seed + 3)),
        ("satellite", "0.1°", instruments.satellite(fine, sea_values, instruments.Satellite(), seed + 4)),
        ("radar", "0.05°", stations.radar(fine, sites, 0.05, radars, seed + 5)),
        ("forecast", "0.1°", instruments.forecast(fine, instruments.Forecast(), seed + 6)),
    ):
        layers[name] = (about("field", f"Simulated {name}", "background", native), seen)
    say("instruments")
    gauges = stations.gauges(fine, wind, places, network, seed + 7)
    layers["gauges"] = (about("gauges", "Simulated gauges"), gauges)
    layers["elevation"] = (about("static", "Simulated terrain"), elevation)
    layers["sea"] = (about("static", "Sea"), sea)
    return layers


def told(title: str, description: str, period: Period = PERIOD, seed: int = SEED, box: Box = BOX) -> dict:
    return {
        "title": title,
        "description": description,
        "box": list(box),
        "start": period.start.isoformat(),
        "end": period.end.isoformat(),
        "simulated": "true",
        "licence": LICENCE,
        "seed": seed,
    }


FRONT = (
    "Two days of rain along a Meiyu-like front, made by a small atmosphere and seen by simulated "
    "instruments, each with its own errors. Nothing here was measured: storms, instruments, terrain and "
    "dates are simulated; only the coast is real. The truth is known, and kept for judging."
)


def main() -> None:
    parse = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parse.add_argument("--fine", action="store_true", help="also the truth at 0.05 degrees")
    parse.add_argument("--seed", type=int, default=SEED)
    parse.add_argument("--start", type=lambda text: instant("start", text), default=PERIOD.start)
    parse.add_argument("--to", type=Path, default=SHIPPED / "front.nc", help="where the case goes")
    chosen = parse.parse_args()
    if not (ROOT / "assets" / "coastlines.npz").exists():
        raise Invalid("assets/coastlines.npz: absent; run scripts/make_coastlines.py first")
    say(f"spinning up {SPIN_UP} hours")
    period = Period(chosen.start, chosen.start + (PERIOD.end - PERIOD.start))
    world = replace(nature.TRUTH, seed=chosen.seed)
    fine, quantities = truth(world, Convection(), BOX, period, SPIN_UP)
    about_it = told("A simulated front", FRONT, period, chosen.seed)
    layers = observed(fine, quantities, chosen.seed)
    if chosen.fine:
        layers["fine"] = averaged(fine, 0.05, "Simulated truth, fine")
    write_case(chosen.to, about_it, layers)
    say(f"{chosen.to.name}: {chosen.to.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
