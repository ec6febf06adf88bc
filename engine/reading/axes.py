"""Axes: where the values of a variable lie, in time, on the Earth and over it, as CF says it.

A coordinate is known by its standard name, else by a usual name, else by its unit. A grid has latitude and
longitude of one dimension each; a map has both over its rows and columns of pixels, or the distances of a
projection and the mapping that they belong to. What else a variable lies over, other than members, are
levels: of one it is told, of several one must be chosen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from engine.reading.regrid import projected
from engine.values import Invalid, brief

NAMES = {
    "lat": ("lat", "latitude", "latitudes", "nav_lat", "xlat", "lats"),
    "lon": ("lon", "longitude", "longitudes", "nav_lon", "xlong", "lons", "long"),
    "time": ("time", "valid_time", "times"),
    "member": ("member", "realization", "number", "ensemble", "ensemble_member", "ens"),
}
STANDARD = {"lat": "latitude", "lon": "longitude", "time": "time", "member": "realization"}
UNITS = {"lat": ("degrees_n", "degree_n", "degreen", "degreesn"), "lon": ("degrees_e", "degree_e", "degreee")}
ACROSS = {"x": "projection_x_coordinate", "y": "projection_y_coordinate"}
ROTATED = {"x": "grid_longitude", "y": "grid_latitude"}


@dataclass(frozen=True)
class Place:
    """Latitudes and longitudes, and the dimensions of the rows and the columns that they belong to."""

    lat: np.ndarray
    lon: np.ndarray
    rows: str
    columns: str

    @property
    def regular(self) -> bool:
        """Whether these are a grid's, one for each row and one for each column."""
        return self.lat.ndim == 1

    def as_grid(self) -> Place:
        """The grid that a map is, if its places are one's, written out for each pixel."""
        if not self.regular and _even(self.lat) and _even(self.lon.T):
            return Place(self.lat[:, 0], self.lon[0], self.rows, self.columns)
        return self


def place_of(whole: xr.Dataset, one: xr.DataArray, where: str) -> Place:
    """Where a variable lies on the Earth."""
    lat, lon = (next(_candidates(whole, one, axis), None) for axis in ("lat", "lon"))
    if lat is not None and lon is not None and lat.ndim == lon.ndim == 1 and lat.dims != lon.dims:
        return Place(lat.values.astype(float), lon.values.astype(float), str(lat.dims[0]), str(lon.dims[0]))
    if lat is not None and lon is not None and lat.ndim == 2 and set(lat.dims) == set(lon.dims):
        rows, columns = (str(each) for each in one.dims if each in lat.dims)
        lat, lon = (each.transpose(rows, columns).values.astype(float) for each in (lat, lon))
        return Place(lat, lon, rows, columns)
    if lat is not None and lon is not None and lat.ndim == lon.ndim == 1:
        raise Invalid(f"{where}: its rain is over places ({lat.dims[0]}), not over a grid or a map")
    x, y = (_across(whole, one, axis) for axis in ("x", "y"))
    about = whole.variables.get(one.attrs.get("grid_mapping") or one.encoding.get("grid_mapping"))
    if x is None or y is None or about is None:
        told = ", ".join(f"{name} {size}" for name, size in one.sizes.items())
        raise Invalid(f"{where}: over {told} it has no latitude and longitude; regrid it first")
    lat, lon = projected(about.attrs, x, y, where)
    return Place(lat, lon, str(y.dims[0]), str(x.dims[0]))


def _even(places: np.ndarray) -> bool:
    """Whether each row is at one place, and the rows are equally far apart."""
    steps = np.diff(places[:, 0])
    return bool(
        steps.size and np.ptp(places, axis=1).max() < 1e-5 and np.ptp(steps) <= 0.01 * abs(steps.mean())
    )


def time_of(whole: xr.Dataset, one: xr.DataArray, where: str) -> xr.DataArray:
    """The times of a variable: over its time, or a single one."""
    for found in _candidates(whole, one, "time"):
        if " since " in str(found.attrs.get("units")) and found.ndim <= 1:
            return found
    if (found := _forecast(whole, one)) is not None:
        return found
    if named := [name for name in one.dims if str(name).lower() in NAMES["time"]]:
        raise Invalid(f"{where}: its {named[0]} says no times; write them as 'hours since 1900-01-01'")
    raise Invalid(f"{where}: its rain has no time; add a coordinate time with units and bounds")


def bounds_of(whole: xr.Dataset, times: xr.DataArray, where: str) -> xr.DataArray | None:
    """The bounds of times, as they say or under a usual name."""
    if "climatology" in times.attrs:
        raise Invalid(f"{where}: is a climatology, the mean of many years, which is no rain of any time")
    said = times.attrs.get("bounds") or times.encoding.get("bounds")
    for name in (said, *(f"{times.name}_{each}" for each in ("bnds", "bounds", "bnd"))):
        if name in whole.variables and whole[name].size == 2 * times.size:
            return whole[name]
    return None


def thinned(whole: xr.Dataset, one: xr.DataArray) -> str:
    """A line, if the cells of a grid stand far apart: samples of it, as files for tests have them."""
    for axis in ("lat", "lon"):
        found = next(_candidates(whole, one, axis), None)
        edges = None if found is None else whole.variables.get(found.attrs.get("bounds"))
        if found is None or edges is None or found.ndim != 1 or found.size < 2 or edges.shape[-1:] != (2,):
            continue
        wide, apart = float(np.ptp(edges.values, axis=-1).max()), float(abs(np.diff(found.values)).min())
        if wide < apart / 2:
            return f"its cells are {wide:.2g} degrees wide and {apart:.3g} apart: a sample of a finer grid"
    return ""


def member_of(whole: xr.Dataset, one: xr.DataArray) -> str | None:
    """The dimension of members."""
    found = (str(each.dims[0]) for each in _candidates(whole, one, "member") if each.ndim == 1)
    return next(found, next((str(each) for each in one.dims if str(each).lower() in NAMES["member"]), None))


def levelled(
    one: xr.DataArray, kept: set[str], level: float | None, where: str
) -> tuple[xr.DataArray, list[str]]:
    """At a level: the only one, or the one that is told."""
    lines = []
    for name in [str(each) for each in one.dims if each not in kept]:
        known: list[Any] = one[name].values.tolist() if name in one.coords else list(range(one.sizes[name]))
        unit = str(one[name].attrs.get("units", "")) if name in one.coords else ""
        if len(known) == 1:
            lines.append(f"is at {name} {known[0]} {unit}".rstrip())
            one = one.isel({name: 0}, drop=True)
        elif level in known:
            one = one.isel({name: known.index(level)}, drop=True)
            lines.append(f"of {len(known)} {name}, {level:g} {unit} was chosen".rstrip())
        else:
            told = ", ".join(map(str, known[:20]))
            raise Invalid(f"{where}: has {name} {told} {unit}; choose one, as level={known[0]}")
    return one, lines


def _candidates(whole: xr.Dataset, one: xr.DataArray, axis: str) -> Iterator[xr.DataArray]:
    """The variables that could be an axis of a variable: by standard name, by name, by unit."""
    able = {}
    for name, variable in whole.variables.items():
        if variable.ndim <= 2 and (set(variable.dims) <= set(one.dims) or variable.size == 1):
            able[str(name)] = variable
    named = [name for name, each in able.items() if each.attrs.get("standard_name") == STANDARD[axis]]
    named += [name for name in able if name.lower() in NAMES[axis]]
    named += [
        name
        for name, each in able.items()
        if str(each.attrs.get("units")).lower().startswith(UNITS.get(axis, ("?",))) and "bnds" not in name
    ]
    for name in dict.fromkeys(named):
        yield whole[name]


def _across(whole: xr.Dataset, one: xr.DataArray, axis: str) -> xr.DataArray | None:
    """The distances of a projection, or the degrees of a rotated pole, along one dimension."""
    for name in one.dims:
        if name in whole.variables and whole[name].ndim == 1:
            said = whole[name].attrs
            if said.get("standard_name") in (ACROSS[axis], ROTATED[axis]) or said.get("axis") == axis.upper():
                return whole[name]
    return None


def _forecast(whole: xr.Dataset, one: xr.DataArray) -> xr.DataArray | None:
    """The times of a single forecast that says when it began, and how far ahead it looks."""
    by = {each.attrs.get("standard_name"): str(name) for name, each in whole.variables.items()}
    begun, ahead = by.get("forecast_reference_time"), by.get("forecast_period")
    if (
        begun is None
        or ahead is None
        or whole[begun].size != 1
        or not set(whole[ahead].dims) <= set(one.dims)
    ):
        return None
    unit, _, since = str(whole[begun].attrs.get("units")).partition(" since ")
    other = str(whole[ahead].attrs.get("units"))
    sizes = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    if not since or unit[:1] not in sizes or other[:1] not in sizes:
        raise Invalid(
            f"forecast: its reference time or period is in {brief(unit)}, {brief(other)}; use hours"
        )
    first = whole[begun].values.ravel()[0] * sizes[unit[:1]]
    told = {"units": f"seconds since {since}", "calendar": whole[begun].attrs.get("calendar", "standard")}
    seconds = first + whole[ahead].values * sizes[other[:1]]
    return xr.DataArray(seconds, dims=whole[ahead].dims, name="time", attrs=told)
