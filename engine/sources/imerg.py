"""IMERG, the rain that many satellites see together: granules in HDF5, and what GES DISC cuts out of them.

A granule holds one span (half an hour, a day, a month) over (time, lon, lat), in a group ``Grid``; a subset
holds the same without the group. Version 6 calls the rain ``precipitationCal``, version 7
``precipitation``; the multi-satellite estimate before gauges is ``precipitationUncal`` in both. The stamp is
the start of the span, and its bounds, the header of the granule or the reader says how long it lasts.

The Final run is adjusted to the gauges of its month, so it is not independent of them. The Early and Late
runs know gauges by a climatology only; whether that is independent enough is not decided here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pandas as pd
import xarray as xr

from engine import READING
from engine.fields import UNIT, Box, check, wrap
from engine.intervals import MONTH, as_rate, ends, length, named, rain_unit
from engine.quantities import RAIN, noted
from engine.reading.guard import fits, guarded, is_hdf5
from engine.reading.regrid import window
from engine.values import Invalid, brief, instant

TITLE = "IMERG in HDF5"
CALIBRATED = ("precipitationCal", "precipitation")
UNCALIBRATED = "precipitationUncal"
RUN = re.compile(r"3B-(?:HHR|DAY|MO)(-[EL])?\.MS\.MRG\.3IMERG")
SPANS = {"HALF_HOUR": "30min", "DAY": "1D", "MONTH": "1mo"}
LAZY = 4_000_000  # cells; a granule of the whole Earth has 6.5 million
CLIMATOLOGY = "the {} run knows gauges by a climatology of each month and place, not by this month's reports"


class Layout(NamedTuple):
    """Where things stand in a file."""

    grid: str
    found: dict[str, Any]  # by name: what lies over time, lon and lat
    header: str  # all that the file and its grid say of themselves


def sniff(path: Path) -> bool:
    if not is_hdf5(path):
        return False
    guarded(path)
    with READING, h5py.File(path) as file:
        return (layout := _layout(file)) is not None and "3IMERG" in layout.header


def contents(path: Path) -> list[dict[str, Any]]:
    """A row a variable."""
    guarded(path)
    with READING, h5py.File(path) as file:
        layout = _known(file, str(path))
        return [
            {"name": name, "unit": _text(one, "units"), "shape": one.shape, "taken for": _meaning(name, one)}
            for name, one in layout.found.items()
        ]


def read(
    path: Path, variable: str | None = None, interval: Any = None, box: Box | None = None
) -> xr.DataArray:
    """The rain, or another estimate in mm/hr by its name; all of it, or the part in a box."""
    where = str(path)
    guarded(path)
    with READING, h5py.File(path) as file:
        layout = _known(file, where)
        name = _chosen(layout, variable, where)
        unit = _text(layout.found[name], "units")
        grid = file[layout.grid]
        starts, lasts = _times(grid, layout.header, interval, where)
        lat, lon = (_degrees(grid, axis, where) for axis in ("lat", "lon"))
    rows, columns = window(lat, lon, box, where)
    lat, lon = lat[rows], lon[columns]
    shape = (len(starts), len(lat), len(lon))
    fits(shape, where)
    found = f"{layout.grid.rstrip('/')}/{name}"
    bring = _lazily if np.prod(shape) > LAZY else _values
    values = bring(path, found, slice(0, len(starts)), (rows, columns))
    axes = {"time": ends(starts, lasts, "start", where), "lat": lat, "lon": lon}
    about = {"units": UNIT, "interval": named(lasts), "units_found": unit}
    field = xr.DataArray(values, axes, ("time", "lat", "lon"), RAIN, about)
    field = check(as_rate(field, unit, lasts, where), where)
    return _told(field, layout.header, name)


def _layout(file: h5py.File) -> Layout | None:
    grid: Any = file["Grid"] if isinstance(file.get("Grid"), h5py.Group) else file
    if not all(isinstance(grid.get(axis), h5py.Dataset) for axis in ("time", "lat", "lon")):
        return None
    shape = tuple(grid[axis].size for axis in ("time", "lon", "lat"))
    found: dict[str, Any] = {}

    def keep(name: str, one: Any) -> None:
        if isinstance(one, h5py.Dataset) and one.shape == shape:
            found[name] = one

    grid.visititems(keep)
    said = [*file.attrs.items(), *grid.attrs.items()]
    header = "\n".join(f"{name}={_decoded(value)}" for name, value in said)
    has_rain = any(name.split("/")[-1] in (*CALIBRATED, UNCALIBRATED) for name in found)
    return Layout(str(grid.name), found, header) if has_rain else None


def _known(file: h5py.File, where: str) -> Layout:
    layout = _layout(file)
    if layout is None:
        raise Invalid(f"{where}: has no IMERG rain over time, lon and lat; fetch it again")
    return layout


def _chosen(layout: Layout, variable: str | None, where: str) -> str:
    """The name of the rain, or of what was asked for: a path within the grid, or the last part of one."""
    able = {name: one for name, one in layout.found.items() if _meaning(name, one) != "other"}
    asked = CALIBRATED if variable in (None, RAIN) else (variable,)
    for each in asked:
        for name in able:
            if each in (name, name.split("/")[-1]):
                return name
    told = brief(variable) if variable else "calibrated rain"
    raise Invalid(f"{where}: has no {told} in mm/hr; name one of {', '.join(able) or 'none'} as variable")


def _meaning(name: str, one: Any) -> str:
    if name.endswith("Error") or rain_unit(_text(one, "units")) is None:
        return "other"
    return RAIN if name in CALIBRATED else "rain, another estimate"


def _times(grid: Any, header: str, interval: Any, where: str) -> tuple[pd.DatetimeIndex, Any]:
    """When the spans begin, and how long they last: as told, by their bounds, by the header."""
    starts = _instants(grid["time"], grid["time"][()], where)
    if interval is None and "time_bnds" in grid:
        unit = grid["time_bnds"] if "units" in grid["time_bnds"].attrs else grid["time"]
        bounds = [_instants(unit, grid["time_bnds"][:, side], where) for side in (0, 1)]
        begun, done = bounds[0], bounds[1].ceil("min")  # some end a second early
        if list(done) == list(begun + MONTH):
            return begun, MONTH
        if len(lengths := set(done - begun)) == 1:
            return begun, length((), where, lengths.pop())
        raise Invalid(f"{where}: its spans are not equally long; cut it where their length changes")
    span = re.search(r"TimeInterval=(\w+)", header)
    if interval is None and span is not None:
        interval = SPANS.get(span[1])
    if interval is None and len(starts) == 1:
        raise Invalid(f"{where}: does not say how long its rain lasted; give interval, as 30min")
    return starts, length(starts.values, where, interval)


def _instants(about: Any, values: np.ndarray, where: str) -> pd.DatetimeIndex:
    """Times by their unit, which names the epoch: 1970 in version 6, 1980-01-06 in version 7."""
    unit = _text(about, "units")
    said = re.fullmatch(r"(second|minute|hour|day)s since (.+?)(?: ?UTC| ?Z)?", unit or "")
    if said is None:
        raise Invalid(f"{where}: its times have unit {brief(unit)}, which names no epoch; fetch it again")
    since = pd.Timedelta(1, said[1]) * np.asarray(values, float)  # pyright: ignore[reportArgumentType]
    return pd.DatetimeIndex(instant("epoch", said[2]) + since).round("s")


def _degrees(grid: Any, axis: str, where: str) -> np.ndarray:
    """Centres of cells in degrees: single precision, rounded to where it is sure."""
    degrees = np.round(np.asarray(grid[axis][()], float), 4)
    if not (np.isfinite(degrees).all() and (np.diff(degrees) > 0).all()):
        raise Invalid(f"{where}: its {axis} does not ascend; fetch it again")
    return np.round(wrap(degrees), 4) if axis == "lon" else degrees


def _values(path: Path, name: str, times: slice, part: tuple[slice, slice]) -> np.ndarray:
    """A piece of the file over (time, lat, lon); what is not known is far below zero in it."""
    with READING, h5py.File(path) as file:
        stored: Any = file[name]
        found = stored[times, part[1], part[0]].astype(np.float32)
    return np.where(found <= -9999, np.float32(np.nan), found).transpose(0, 2, 1)


def _lazily(path: Path, name: str, times: slice, part: tuple[slice, slice]) -> Any:
    """The same, a time at once when it is asked for."""
    import dask.array
    from dask.delayed import delayed

    sizes = [each.stop - each.start for each in part]
    pieces = [delayed(_values)(path, name, slice(time, time + 1), part) for time in range(times.stop)]
    return dask.array.concatenate([dask.array.from_delayed(each, (1, *sizes), np.float32) for each in pieces])


def _told(field: xr.DataArray, header: str, name: str) -> xr.DataArray:
    """With what the documentation says of the run: what it knows of gauges."""
    run, calibrated = RUN.search(header), name in CALIBRATED
    lines = ["IMERG stamps its spans at their start; they are stamped at their end here"]
    if not calibrated:
        lines.append(f"{name}: the satellites' estimate before it was adjusted to gauges")
        field = field.assign_attrs(independent="true")
    elif run is None:
        lines.append("the file does not say which IMERG run it is of; the Final run is adjusted to gauges")
    elif run[1] is None:
        lines.append("the Final run, adjusted to the gauge analysis of its month (GPCC)")
        field = field.assign_attrs(independent="false")
    else:
        lines.append(CLIMATOLOGY.format({"-E": "Early", "-L": "Late"}[run[1]]))
    if field.chunks is None and not np.isfinite(field.values).any():
        lines.append(f"all {field.size} values are missing")
    return noted(field, *lines)


def _text(one: Any, name: str) -> str | None:
    return _decoded(one.attrs[name]) if name in one.attrs else None


def _decoded(value: Any) -> str:
    value = value.item() if isinstance(value, np.ndarray) and value.size == 1 else value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
