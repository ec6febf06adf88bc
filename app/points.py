"""Points: the whole course of rain at one place, of every source and of every member of a run.

Beside the store and in its manner: what is known comes at once, what is not is read by a thread of its own,
so that a click on the map never delays the next hour of it. A run lies on the disk hour by hour, and a place
is spread over all of its chunks; they are read member by member, and only the place is kept.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr

from app import store
from app.events import When, rain_over
from app.pictures import Shelf, cell
from engine.fields import EARTH_RADIUS_KM, Observations
from engine.sources.cases import Case

Spot = tuple[float, float]  # latitude and longitude

_points = ThreadPoolExecutor(1, "points")
_known = Shelf(_points, 128)


@atexit.register
def close() -> None:
    _points.shutdown(wait=False, cancel_futures=True)


def clear() -> None:
    _known.clear()


@dataclass(frozen=True)
class Gauge:
    """The gauge nearest to a place."""

    name: str
    distance: float  # km
    rain: xr.DataArray


def sources(case: Case, spot: Spot) -> tuple[dict[str, xr.DataArray] | None, Future[Any] | None]:
    """The rain (time) of every source of a case whose grid holds the place."""
    return _ask(
        (case.path, case.path.stat().st_mtime_ns, spot),
        lambda: {
            name: found
            for name in store.fields(case)
            if (found := _at(case.layer(name), spot)) is not None  # type: ignore[arg-type]
        },
    )


def members(run: str, spot: Spot) -> tuple[xr.DataArray | None, Future[Any] | None]:
    """The rain (member, time) of a run at a place; nothing outside of it, or before its first member."""
    found = store.run(run)
    if found is None or not found.done:
        return None, None
    return _ask((run, found.done, spot), lambda: _of_run(run, spot))


def _ask(key: Hashable, make: Callable[[], Any]) -> tuple[Any, Future[Any] | None]:
    known = _known.known(key)
    if known is not None:
        return (None if known is False else known), None
    return None, _known.fetch(key, make)


def _at(rain: xr.DataArray, spot: Spot) -> xr.DataArray | None:
    at = cell(rain.lat.values, rain.lon.values, spot)
    return None if at is None else rain.isel(lat=at[0], lon=at[1]).drop_vars(["lat", "lon"])


def _of_run(run: str, spot: Spot) -> xr.DataArray | Literal[False]:
    found = _at(store.journal().ensemble(run), spot)
    if found is None:
        return False
    parts = [found.isel(member=[each]).load() for each in range(found.sizes["member"])]
    return xr.concat(parts, "member")


def gauge(gauges: Observations | None, spot: Spot) -> Gauge | None:
    """The gauge nearest to a place, however far."""
    if gauges is None or not len(gauges):
        return None
    far = distance(spot, gauges.lat, gauges.lon)
    at = int(np.argmin(far))
    return Gauge(gauges.names[at], float(far[at]), gauges.rain.isel(gauge=at))


def distance(spot: Spot, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Kilometres along the Earth."""
    here, there = np.radians(spot), (np.radians(lat), np.radians(lon))
    half = np.sin((there[0] - here[0]) / 2) ** 2
    half = half + np.cos(here[0]) * np.cos(there[0]) * np.sin((there[1] - here[1]) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(half))


def value(rain: xr.DataArray, when: When) -> np.ndarray:
    """Rain at a time or over an event, of each member if there are several; missing where it is not whole."""
    found = rain_over(rain, when)
    return np.full(rain.shape[:-1], np.nan) if found is None else found.values


def quantiles(members: np.ndarray) -> np.ndarray:
    """p10, p50 and p90 of the members, the first axis; missing where one of them is."""
    return np.quantile(members, [0.1, 0.5, 0.9], axis=0)
