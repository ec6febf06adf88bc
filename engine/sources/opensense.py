"""Gauges in NetCDF-4 as the OpenSense convention has them: rain over a station and time.

``rainfall_amount`` is a depth in mm over the interval that ends at the stamp, in UTC, if the file does not
say otherwise. Whoever knows better says so with ``stamp``, ``unit`` or ``interval``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from engine import READING
from engine.fields import Observations
from engine.guard import guarded, has_table
from engine.intervals import as_rate, ends, length
from engine.values import Invalid, spelled

TITLE = "OpenSense gauges in NetCDF-4"
RAIN = ("rainfall_amount", "rainfall", "rain")
PLACES = {
    "lat": ("lat", "latitude"),
    "lon": ("lon", "longitude"),
    "elevation": ("elev", "elevation", "altitude"),
}


def sniff(path: Path) -> bool:
    return has_table(path, RAIN)


def read(path: Path, unit: str | None = None, stamp: str = "end", interval: Any = None) -> Observations:
    where = str(path)
    guarded(path)
    with READING, xr.open_dataset(path, engine="h5netcdf") as whole:
        found = next(whole[name].load() for name in RAIN if name in whole)
        stations = [str(each) for each in found.dims if each != "time"]
        if "time" not in found.dims or len(stations) != 1:
            raise Invalid(
                f"{where}: its rain is over {', '.join(map(str, found.dims))}; give station and time"
            )
        places = {name: _along(whole, usual, stations[0]) for name, usual in PLACES.items()}
    if places["lat"] is None or places["lon"] is None:
        raise Invalid(f"{where}: the stations have no latitude or no longitude")
    found = found.transpose(stations[0], "time")
    names = [str(each) for each in found[stations[0]].values]
    told = found.attrs.get("interval") if interval is None else interval
    lasts = length(found.time.values, where, told)
    rates = as_rate(found.values, unit or found.attrs.get("units", "mm"), lasts, where)
    times = ends(found.time.values, lasts, stamp, where)
    return Observations.of(rates, names, times, **places, interval=spelled(lasts))


def write(path: Path, gauges: Observations) -> None:
    """The same convention, to be read back."""
    rain, where = gauges.rain, ("lat", "lon", "elevation")
    lasts: Any = pd.Timedelta(rain.attrs["interval"])
    depth = rain.values * (lasts / pd.Timedelta("1h"))
    places = {name: ("id", rain[name].values) for name in where}
    axes = {"id": gauges.names, "time": rain.time.values, **places}
    amount = (("id", "time"), depth, {"units": "mm", "interval": rain.attrs["interval"]})
    encoding = {"time": {"units": "seconds since 1970-01-01", "dtype": "int64"}}
    about = {"naming_convention": "OpenSense-1.0"}
    with READING:
        xr.Dataset({"rainfall_amount": amount}, axes, about).to_netcdf(
            path, engine="h5netcdf", encoding=encoding
        )


def _along(whole: xr.Dataset, names: tuple[str, ...], station: str) -> np.ndarray | None:
    for name in names:
        if name in whole.variables and whole[name].dims == (station,):
            return np.asarray(pd.to_numeric(pd.Series(whole[name].values), errors="coerce"), float)
    return None
