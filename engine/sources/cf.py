"""CF NetCDF and Zarr: what says itself what it holds; climate simulations and maps in a projection included.

The rain is the one variable that says so by its standard name, its name or its long name; of several the
total, if one clearly is. Its unit is turned into mm/h, its times into the ends of their intervals in the
standard calendar (`engine.reading.calendars`), rows into south to north, longitudes into -180..180. A map of
pixels, or rows that are not equally wide, are brought to equal cells (`engine.reading.regrid`). Of other
quantities, one is read by its name.

Whatever a file does not say can be told: ``variable``, ``unit``, ``stamp``, ``interval``, ``level``; what is
told goes before what the file says. ``box`` reads a part, and ``step`` sets the cells of a map.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from engine import READING
from engine.fields import UNIT, Box, check, wrap
from engine.intervals import as_rate, named, rain_unit
from engine.quantities import QUANTITIES, RAIN, as_quantity, noted, quantity_of
from engine.reading.axes import NAMES, Place, bounds_of, levelled, member_of, place_of, thinned, time_of
from engine.reading.calendars import Times, times_of
from engine.reading.gathering import depth_in_mm, sums
from engine.reading.guard import fits
from engine.reading.netcdf import is_store, known, late, opened
from engine.reading.regrid import Cells, evened, placed
from engine.values import Invalid, brief

TITLE = "CF NetCDF or Zarr"
GENERAL = True  # asked last: other readers know their files better
SHORT = {"pr", "tp", "mtpr", "apcp", "prcp", "ppt", "precip", "rr", "cmorph"}
WORDS = re.compile(r"precip|rain|apcp")
PARTS = re.compile(
    r"convective|stratiform|large.?scale|snow|error|std|spread|deviation|uncertain|quality|flag|prob|count"
    r"|number|type|duration|fraction|percent|anomal|index|type|evaporat"
)
TOTALS = ("precipitation_flux", "lwe_precipitation_rate", "precipitation_amount")
TOTALS += ("lwe_thickness_of_precipitation_amount",)
PLACES = (*NAMES["lat"], *NAMES["lon"])
TOLD = ("interval", "cell_methods")
TOLD_BY_FILE = ("frequency", "time_coverage_resolution")


def sniff(path: Path) -> bool:
    return is_store(path)


def contents(path: Path) -> list[dict[str, Any]]:
    """A row a variable."""
    with READING, opened(path) as whole:
        rows = []
        for name, one in _fields(whole).items():
            meaning = RAIN if _says_rain(one) and not _is_part(one) else _quantity(one)
            told = {"name": name, "unit": one.attrs.get("units"), "shape": one.shape}
            rows.append(told | {"taken for": meaning or "other"})
        return rows


def read(
    path: Path,
    variable: str | None = None,
    unit: str | None = None,
    stamp: str | None = None,
    interval: Any = None,
    level: float | None = None,
    step: float | None = None,
    box: Box | None = None,
) -> xr.DataArray:
    """The rain, or another quantity by its name; what is told here goes before what the file says."""
    where = str(path)
    with READING, opened(path) as whole:
        if "layers" in whole.attrs:
            raise Invalid(
                f"{where}: is a case; put it into the folder of cases and name a layer, as front/satellite"
            )
        one, quantity, lines = _chosen(whole, variable, unit, where)
        lines = [*lines, thinned(whole, one)]
        place, member, clock = place_of(whole, one, where), member_of(whole, one), time_of(whole, one, where)
        time = next((str(each) for each in clock.dims if each in one.dims), "")
        if not time:  # it stands beside the variable, not along it
            time, one = "time", one.drop_vars("time", errors="ignore").expand_dims("time")
        one, more = levelled(one, {time, str(member), place.rows, place.columns}, level, where)
        said = {name: whole.attrs.get(name) for name in TOLD_BY_FILE}
        said |= {name: one.attrs.get(name) for name in TOLD}
        bounds = bounds_of(whole, clock, where)
        if stamp is None and bounds is None and any("3IMERG" in str(each) for each in whole.attrs.values()):
            stamp, more = "start", [*more, "IMERG stamps its spans at their start; here they end at theirs"]
        times = times_of(clock, bounds, said, where, stamp, interval)
        box = None if box is None else Box.of(box)
        place = place.as_grid() if step is None else place
        one, place = _cut(one, place, box, where)
        field = known(late(one))
    field = _ordered(field, time, times.order).drop_vars([name for name in field.coords if name != member])
    field = field.rename({time: "time"} | ({member: "member"} if member else {}))
    field, moved = _placed(field.assign_coords(time=times.ends), place, step, box, where)
    if quantity == RAIN and bounds is None and interval is None:
        _no_sums(field, unit, where)
    return noted(_measured(field, quantity, unit, times, where), *lines, *more, *times.notes, *moved)


def _no_sums(field: xr.DataArray, unit: str | None, where: str) -> None:
    """Refuse depths that grow from the start of a forecast."""
    depth = depth_in_mm(unit or field.attrs.get("units"))
    if depth and sums(field, depth):
        raise Invalid(
            f"{where}: its depths only grow, as sums since the start of a forecast do; take differences, "
            "or give interval if each stands for itself"
        )


def _fields(whole: xr.Dataset) -> dict[str, xr.DataArray]:
    """The variables that are over a grid or a map, or could be."""
    found = {}
    for name, one in whole.data_vars.items():
        unit = str(one.attrs.get("units")).lower()
        axis = (
            str(name).lower() in PLACES or "degree" in unit or re.search("bnds$|bounds$|vertices$", str(name))
        )
        if one.ndim >= 2 and one.dtype.kind in "fiu" and not axis:
            found[str(name)] = one
    return found


def _words(one: xr.DataArray) -> str:
    return " ".join(
        str(each).lower() for each in (one.name, *map(one.attrs.get, ("standard_name", "long_name")))
    )


def _says_rain(one: xr.DataArray) -> bool:
    return str(one.name).lower() in SHORT or bool(WORDS.search(_words(one)))


def _of_water(unit: Any) -> bool:
    """Whether a unit is of water, or not there; metres may be of anything."""
    return unit is None or (rain_unit(unit) is not None and not re.match(r"m\b|met", str(unit)))


def _is_part(one: xr.DataArray) -> bool:
    """Whether it is only a part of the rain, or something about it."""
    return bool(PARTS.search(_words(one)))


def _quantity(one: xr.DataArray) -> str | None:
    return quantity_of(one.name, one.attrs.get("standard_name"))


def _chosen(
    whole: xr.Dataset, variable: str | None, unit: str | None, where: str
) -> tuple[xr.DataArray, str, list[str]]:
    """The variable, what it is, and why it was chosen."""
    fields = _fields(whole)
    listed = ", ".join(f"{name} ({one.attrs.get('units', 'no unit')})" for name, one in fields.items())
    if variable is None or variable == RAIN:
        one, lines = _rain(fields, unit, listed, where)
        return one, RAIN, lines
    found = fields.get(variable)
    if found is None:
        found = next((one for one in fields.values() if _quantity(one) == variable), None)
    if found is None:
        raise Invalid(f"{where}: has no {brief(variable)}; it holds {listed or 'nothing'}")
    meaning = None if _says_rain(found) else _quantity(found)
    own = found.attrs.get("units")
    if meaning is None and not _says_rain(found) and unit is None and not _of_water(own):
        raise Invalid(
            f"{where}: {variable} ({own}) is neither called rain nor one of {', '.join(QUANTITIES)}; "
            "if it is rain, tell its unit"
        )
    if str(found.attrs.get("standard_name")).startswith(("grid_", "x_wind", "y_wind")):
        raise Invalid(
            f"{where}: {variable} is along the rows of its grid, not eastward or northward; turn it"
        )
    part = meaning is None and _is_part(found)
    return found, meaning or RAIN, [f"{variable} was read by name; it need not be all the rain"] * part


def _rain(
    fields: dict[str, xr.DataArray], unit: str | None, listed: str, where: str
) -> tuple[xr.DataArray, list[str]]:
    """The total rain, if it is clear which variable that is."""
    able = {name: one for name, one in fields.items() if _says_rain(one)}
    if not able and len(fields) == 1:
        ((name, one),) = fields.items()
        if _quantity(one) is None and (unit or _of_water(one.attrs.get("units"))):
            return one, [f"{name}, its only variable over a map, is taken for rain"]
    if not able:
        raise Invalid(f"{where}: no rain is named; it holds {listed or 'nothing'}; tell it, as variable=...")
    whole = {name: one for name, one in able.items() if not _is_part(one)}
    if not whole:
        told = ", ".join(able)
        raise Invalid(
            f"{where}: holds only a part of the rain, or what is said of it ({told}); name it, as variable"
        )
    sound = {name: one for name, one in whole.items() if rain_unit(one.attrs.get("units"))} or whole
    total = {name: one for name, one in sound.items() if one.attrs.get("standard_name") in TOTALS} or sound
    if len(total) > 1:
        raise Invalid(f"{where}: several could be rain: {', '.join(total)}; tell which, as variable=...")
    ((name, one),) = total.items()
    others = ", ".join(each for each in able if each != name)
    return one, [f"{name} is taken for the total of rain, beside {others}"] if others else []


def _cut(one: xr.DataArray, place: Place, box: Box | None, where: str) -> tuple[xr.DataArray, Place]:
    """The rows and columns that reach into a box."""
    if box is None:
        return one, place
    lat, lon = (
        (place.lat, wrap(place.lon))
        if not place.regular
        else np.meshgrid(place.lat, wrap(place.lon), indexing="ij")
    )
    inside = box.contains(lat, lon)
    if not inside.any():
        raise Invalid(f"{where}: does not reach the box {tuple(box)}; choose one that it covers")
    rows, columns = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
    if not place.regular:  # and some pixels around, which are the nearest of cells at its edge
        rows, columns = (
            np.arange(max(each[0] - 4, 0), min(each[-1] + 5, size))
            for each, size in zip((rows, columns), inside.shape, strict=True)
        )
    part = one.isel({place.rows: rows, place.columns: columns})
    if place.regular:
        return part, Place(place.lat[rows], place.lon[columns], place.rows, place.columns)
    both = np.ix_(rows, columns)
    return part, Place(place.lat[both], place.lon[both], place.rows, place.columns)


def _placed(
    field: xr.DataArray, place: Place, step: float | None, box: Box | None, where: str
) -> tuple[xr.DataArray, list[str]]:
    """On equal cells of latitude and longitude."""
    if not place.regular:
        lat, lon = place.lat, wrap(place.lon)
        placed(lat, lon, box, where)
        cells = Cells(lat, lon, step, box)
        if field.chunks is None:
            fits((field.size // lat.size, *cells.grid.shape), where)
        told = " x ".join(map(str, lat.shape))
        line = f"a map of {told} pixels, brought to cells of {cells.grid.step:g} degrees"
        return cells.over(field, place.rows, place.columns), [line]
    if step is not None:
        raise Invalid(f"{where}: is on a grid of its own; step is for maps of pixels")
    field = field.rename({place.rows: "lat", place.columns: "lon"})
    field, lines = field.assign_coords(lat=place.lat, lon=wrap(place.lon)), []
    for axis in ("lat", "lon"):
        _, order = np.unique(np.round(field[axis].values, 6), return_index=True)
        if len(order) < field.sizes[axis]:
            lines.append(f"{field.sizes[axis] - len(order)} of its {axis} stand twice, and count once")
        field = _ordered(field, axis, order)
    steps = {axis: np.diff(field[axis].values) for axis in ("lat", "lon")}
    if len(steps["lon"]) and steps["lon"].max() > 180:
        raise Invalid(f"{where}: crosses the 180 degree meridian; ask for a box on one side of it")
    if len(steps["lat"]) and 0.01 < np.ptp(steps["lat"]) / steps["lat"].mean() < 0.5:
        lines.append("its rows are not equally wide; they are brought to equal ones by area")
        field = evened(field, "lat")
    return field, lines


def _ordered(field: xr.DataArray, axis: str, order: np.ndarray) -> xr.DataArray:
    """In this order, without touching what has it; the reverse costs a lazy field nothing."""
    steps = np.diff(order)
    if len(order) == field.sizes[axis] and (steps == 1).all():
        return field
    if len(order) == field.sizes[axis] and (steps == -1).all():
        return field.isel({axis: slice(None, None, -1)})
    return field.isel({axis: order})


def _measured(field: xr.DataArray, quantity: str, unit: str | None, times: Times, where: str) -> xr.DataArray:
    """In the unit of its quantity, with what is known of it."""
    found = unit or field.attrs.get("units")
    said, line = {"interval": named(times.length), "units_found": str(found)}, ""
    if "independent" in field.attrs:  # of gauges
        said["independent"] = field.attrs["independent"]
    field = field.transpose(*(name for name in ("member", "time", "lat", "lon") if name in field.dims))
    if quantity != RAIN:
        own = QUANTITIES[quantity].unit
        field = as_quantity(field, quantity, found, where)
    else:
        own = UNIT
        if field.chunks is not None:
            line = "what packing leaves below zero becomes zero as it is read"
        elif (lowest := float(field.min())) < 0:
            line = f"values below zero, down to {lowest:.2g} {found}, are taken for zero"
        field = as_rate(field, found, times.length, where)
    field = field.rename(quantity).reset_coords(drop=True)
    field.attrs = {"units": own} | said
    return noted(check(field, where, own), line)
