"""Gauges in NetCDF-4 as the OpenSense convention has them: rain over a station and time.

``rainfall_amount`` is a depth in mm over the interval that ends at the stamp, in UTC, if the file does not
say otherwise; what is taken from the convention and not from the file is noted. Whoever knows better says so
with ``stamp``, ``unit`` or ``interval``. The levels of microwave links (``tsl``, ``rsl``), and rain between
their ends, are no gauges: they are refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import xarray as xr

from engine import READING
from engine.fields import Observations
from engine.intervals import as_rate, ends, named
from engine.quantities import noted
from engine.reading.guard import fits, guarded, is_hdf5
from engine.reading.spaced import spaced
from engine.values import Invalid, brief

TITLE = "OpenSense gauges in NetCDF-4"
RAIN = ("rainfall_amount", "rainfall", "rain")
LINKS = ("tsl", "rsl", "site_0_lat", "site_a_latitude")
PLACES = {
    "lat": ("lat", "latitude"),
    "lon": ("lon", "longitude"),
    "elevation": ("elev", "elevation", "altitude"),
}


def sniff(path: Path) -> bool:
    """Whether rain is over two dimensions, or a link has two ends."""
    if not is_hdf5(path):
        return False
    guarded(path)
    with READING, h5py.File(path) as file:
        return any(name in file for name in LINKS) or any(
            getattr(file.get(name), "ndim", 0) == 2 for name in RAIN
        )


def read(path: Path, unit: str | None = None, stamp: str | None = None, interval: Any = None) -> Observations:
    where, notes = str(path), []
    guarded(path)
    with READING, xr.open_dataset(path, engine="h5netcdf", decode_times=False) as whole:
        if links := [name for name in LINKS if name in whole.variables]:
            raise Invalid(
                f"{where}: holds microwave links ({links[0]}), not gauges; their rain is along a path, which "
                "is not read yet"
            )
        found = _rain(whole, where)
        station = str(found.dims[0])
        places = {name: _along(whole, usual, station) for name, usual in PLACES.items()}
        title = " ".join(str(whole.attrs.get(name, "")) for name in ("title", "source")).strip()
    if places["lat"] is None or places["lon"] is None:
        raise Invalid(f"{where}: the stations have no latitude or no longitude")
    if "radar" in title.lower():
        notes.append(f"its title is {brief(title)}: these may be pixels of a radar, and no gauges")
    if unit is None and "units" not in found.attrs:
        notes.append("its rain has no unit and was taken for mm, the convention's")
    if stamp is None:
        notes.append("its stamps were taken for the ends of the intervals, as the convention has them")
    names = [_name(each) for each in found[station].values]
    told = found.attrs.get("interval") if interval is None else interval
    amounts = pd.DataFrame(found.values.T, pd.DatetimeIndex(found.time.values), names).sort_index()
    lasts, gaps = spaced(amounts, where, told)
    said = unit or found.attrs.get("units", "mm")
    rates = as_rate(amounts.to_numpy(float).T, said, lasts, where)
    times = ends(amounts.index, lasts, stamp or "end", where)
    about = {"interval": named(lasts), "units_found": str(said)}
    return Observations(noted(Observations.of(rates, names, times, **places, **about).rain, *notes, *gaps))


def _rain(whole: xr.Dataset, where: str) -> xr.DataArray:
    """Rain by station and time, with its times made sense of."""
    name = next((name for name in RAIN if name in whole), None)
    dims = [str(each) for each in whole[name].dims] if name else []
    stations = [each for each in dims if each != "time"]
    if name is None or "time" not in dims or len(stations) != 1:
        raise Invalid(f"{where}: its rain is over {', '.join(dims) or 'nothing'}; give station and time")
    fits(whole[name].shape, where)
    time = whole["time"]
    said = time.attrs.get("units", time.attrs.get("unit"))
    if not isinstance(said, str) or " since " not in said:
        raise Invalid(f"{where}: its times do not say since when they count; write seconds since 1970-01-01")
    time.attrs = {"units": said, "calendar": time.attrs.get("calendar", "standard")}
    return xr.decode_cf(whole[[name]].assign_coords(time=time))[name].load().transpose(stations[0], "time")


def _name(station: Any) -> str:
    """A station's name, which may be a number."""
    if isinstance(station, bytes):
        return station.decode("utf-8", "replace")
    return f"{station:.0f}" if isinstance(station, float) and station.is_integer() else str(station)


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
