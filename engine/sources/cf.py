"""CF files: NetCDF-4 and Zarr that say themselves what they hold, Rainloom's own exports among them.

The rain is the one variable with a unit of rain; coordinates are known by their CF attributes or their
usual names. Rates and depths are turned into mm/h, times into the ends of their intervals (by their
bounds; without bounds a time stamp is taken for the end), rows into south to north, longitudes into
-180..180. What cannot be read with certainty is refused with the reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from engine import READING
from engine.fields import UNIT, check, wrap
from engine.guard import fits_bytes, guarded, is_hdf5
from engine.intervals import DEPTHS, RATES, as_rate, length
from engine.values import Invalid, spelled

TITLE = "CF NetCDF-4 or Zarr"
GENERAL = True  # asked last: other readers know their files better
RAIN_NAMES = ("rain", "precip", "pr", "tp", "mtpr")
AXES = {
    "time": ("time", "valid_time"),
    "lat": ("lat", "latitude"),
    "lon": ("lon", "longitude"),
    "member": ("member", "realization", "number"),
}
STANDARD = {"time": "time", "lat": "latitude", "lon": "longitude", "member": "realization"}


def sniff(path: Path) -> bool:
    if path.is_dir():
        return (path / "zarr.json").exists() or (path / ".zgroup").exists()
    return is_hdf5(path)


def read(path: Path) -> xr.DataArray:
    if not path.is_dir():
        guarded(path)
    with READING:
        whole = xr.open_dataset(path, engine="zarr" if path.is_dir() else "h5netcdf")
        with whole:
            fits_bytes(whole.nbytes, str(path))
            return _rain(whole, str(path)).load()


def _rain(whole: xr.Dataset, where: str) -> xr.DataArray:
    if "layers" in whole.attrs:
        raise Invalid(
            f"{where}: is a case; put it into the folder of cases and name a layer, as front/satellite"
        )
    found = [name for name, one in whole.data_vars.items() if _is_rain(str(name), one)]
    if len(found) != 1:
        listed = ", ".join(
            f"{name} ({one.attrs.get('units', 'no unit')})" for name, one in whole.data_vars.items()
        )
        many = f"several could be rain: {', '.join(map(str, found))}" if found else "no rain"
        raise Invalid(f"{where}: {many}; it holds {listed or 'nothing'}")
    rain, bounds = _named(whole[found[0]], where), _bounds(whole)
    times = rain.indexes["time"] if bounds is None else bounds.max(1)
    if not isinstance(pd.Index(times), pd.DatetimeIndex):
        raise Invalid(f"{where}: its times are of no standard calendar; convert them first")
    interval = _interval(rain, times, bounds, where)
    unit, said = str(rain.attrs.get("units")), {}
    if "independent" in rain.attrs:  # of gauges
        said["independent"] = rain.attrs["independent"]
    rain = rain.assign_coords(time=pd.DatetimeIndex(times), lon=wrap(rain.lon)).sortby(["time", "lat", "lon"])
    rain = as_rate(rain, unit, interval, where).rename("rain")
    rain.attrs = {"units": UNIT, "interval": spelled(interval), "units_found": unit} | said
    order = [name for name in ("member", "time", "lat", "lon") if name in rain.dims]
    return check(rain.reset_coords(drop=True).transpose(*order), where)


def _is_rain(name: str, one: xr.DataArray) -> bool:
    known = one.attrs.get("units") in {**RATES, **DEPTHS}
    said = str(one.attrs.get("standard_name", "")) + name.lower()
    return known and one.ndim >= 3 and any(word in said for word in (*RAIN_NAMES, "precipitation"))


def _named(rain: xr.DataArray, where: str) -> xr.DataArray:
    """With the dimensions' names of `engine.fields`."""
    found: dict[Any, str] = {}
    for dimension in rain.dims:
        axis = rain[dimension]
        for name, usual in AXES.items():
            if dimension in usual or axis.attrs.get("standard_name") == STANDARD[name]:
                found[dimension] = name
    lacking = {"time", "lat", "lon"} - set(found.values())
    if lacking or len(found) < rain.ndim:
        raise Invalid(f"{where}: dimensions {rain.dims} are not member, time, lat, lon; regrid it first")
    return rain.rename({old: new for old, new in found.items() if old != new})


def _bounds(whole: xr.Dataset) -> np.ndarray | None:
    for name in AXES["time"]:
        bounds = (
            whole[name].attrs.get("bounds") or whole[name].encoding.get("bounds") if name in whole else None
        )
        if bounds in whole:
            return whole[bounds].values
    return None


def _interval(rain: xr.DataArray, times: Any, bounds: np.ndarray | None, where: str) -> Any:
    if "interval" in rain.attrs or bounds is None:
        return length(times, where, rain.attrs.get("interval"))
    lengths = np.ptp(bounds, axis=1)
    if len(set(lengths)) != 1:
        raise Invalid(f"{where}: its intervals are not equally long; cut it where their length changes")
    return length(times, where, lengths[0])
