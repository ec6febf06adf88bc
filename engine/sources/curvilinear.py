"""Maps in a projection: NetCDF-4 whose latitude and longitude are two-dimensional, as of national radars.

The rain is brought to equal cells of latitude and longitude (see `engine.regrid`).

Such files often do not say their unit, nor whether a stamp is the start or the end of its interval; then
whoever reads them must, or they are refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from engine import READING
from engine.fields import Box, rain, wrap
from engine.guard import fits, guarded, has_table
from engine.intervals import as_rate, ends, length
from engine.regrid import Cells, placed
from engine.values import Invalid, spelled

TITLE = "NetCDF-4 with two-dimensional latitude and longitude"
LAT, LON = ("lat", "latitude", "latitudes"), ("lon", "longitude", "longitudes")


def sniff(path: Path) -> bool:
    return has_table(path, LAT)


def read(
    path: Path,
    variable: str | None = None,
    unit: str | None = None,
    stamp: str = "end",
    interval: Any = None,
    step: float | None = None,
    box: Box | None = None,
) -> xr.DataArray:
    """The rain of one variable; what is given here goes before what the file says."""
    where = str(path)
    guarded(path)
    with READING, xr.open_dataset(path, engine="h5netcdf") as whole:
        lat, lon = (_place(whole, names, where) for names in (LAT, LON))
        found = _rain(whole, variable, lat.dims, where).load()
        pixels = (lat.values.astype(float), wrap(lon.values))
        lasts = length(found.time.values, where, interval)
    about = {"interval": spelled(lasts), "units_found": unit or str(found.attrs.get("units"))}
    rates = as_rate(found.values, unit or found.attrs.get("units"), lasts, where)
    placed(*pixels, box, where)
    onto = Cells(*pixels, step, box)
    fits((len(rates), *onto.grid.shape), where)
    fields = np.stack([onto(each) for each in rates])
    return rain(fields, ends(found.time.values, lasts, stamp, where), onto.grid.lat, onto.grid.lon, **about)


def _place(whole: xr.Dataset, names: tuple[str, ...], where: str) -> xr.DataArray:
    for name in names:
        if name in whole.variables and whole[name].ndim == 2:
            return whole[name].load()
    raise Invalid(f"{where}: has no two-dimensional {names[1]}")


def _rain(whole: xr.Dataset, variable: str | None, places: tuple, where: str) -> xr.DataArray:
    able = {str(name): one for name, one in whole.items() if set(one.dims) == {"time", *places}}
    if variable is not None and variable not in able:
        raise Invalid(f"{where}: no rain named {variable!r} over time and its map; it has {', '.join(able)}")
    if variable is None and len(able) != 1:
        raise Invalid(f"{where}: which of {', '.join(able) or 'no variable'} is rain? Name the variable")
    return able[variable or next(iter(able))].transpose("time", *places)
