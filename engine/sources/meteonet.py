"""Rain of the MeteoNet sample: five-minute sums of the French radars in NumPy's ``.npz``.

``data`` holds maps of 0.01 degrees, north to south, in hundredths of a millimetre; -1 is missing. The
places stand in another file (``radar_coords_NW.npz``); those of the zone NW (565 x 784) are known here, for
another zone ``north`` and ``west`` give the centre of the first pixel, ``lats[0, 0]`` and ``lons[0, 0]``.

``dates`` holds Python's datetimes, pickled. Nothing is ever unpickled here, for that runs what a file says.
But a pickled datetime is ten bytes behind a mark, year to microsecond, and these are read as numbers; there
must be one for each map, in order and on full five minutes, or ``start`` and ``interval`` are asked for.
(They could not say it alone: most days of a sample have gaps.) Times are UTC. Whether they end or begin the
five minutes is not documented; they are taken for ends, and ``stamp`` says otherwise.

Reflectivity and quality codes have the same layout and no -1; they are refused.
"""

from __future__ import annotations

import re
import zipfile
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.lib import format as npy

from engine.fields import MOST_TIMES, Box, rain, wrap
from engine.intervals import as_rate, ends, length
from engine.quantities import noted
from engine.reading.guard import fits, fits_bytes
from engine.reading.regrid import window
from engine.values import Invalid, instant, number, spelled

TITLE = "MeteoNet rain in npz"
STEP = 0.01  # degrees
FIVE: Any = pd.Timedelta("5min")
NORTH_WEST: dict[tuple[int, ...], tuple[float, float]] = {
    (565, 784): (51.891, -5.837)
}  # of each zone's shape: the centre of its first pixel
HUNDREDTHS, MISSING = 0.01, -1
MEMBERS = ("data.npy", "dates.npy")
MOST_DATES = 10**6  # bytes; eleven days of five minutes have 0.1
# A short run of ten bytes, perhaps remembered, in a tuple of one: what a datetime is made from.
DATE = re.compile(rb"C\n(.{10})(?:q.|r.{4}|\x94)?\x85", re.DOTALL)


def sniff(path: Path) -> bool:
    if path.is_dir() or not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as file:
            return set(MEMBERS) <= set(file.namelist())
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError):
        return False


def read(
    path: Path,
    start: Any = None,
    interval: Any = None,
    stamp: str = "end",
    north: float | None = None,
    west: float | None = None,
    box: Box | None = None,
) -> xr.DataArray:
    """The maps, or their part in a box."""
    where = str(path)
    with zipfile.ZipFile(path) as file:
        values, lat, lon = _maps(file, north, west, box, where)
        dates = _dates(file) if start is None else None
    lasts = FIVE if interval is None else length((), where, interval)
    times = ends(_times(dates, start, interval, len(values), where), lasts, stamp, where)
    depth = np.where(values == MISSING, np.float32(np.nan), values * np.float32(HUNDREDTHS))
    rates = as_rate(depth, "mm", lasts, where)
    field = rain(rates, times, lat, lon, interval=spelled(lasts), units_found="0.01 mm")
    said = "assumed" if stamp == "end" else "as told"
    return noted(field, f"the times are taken for the {stamp}s of their intervals ({said})")


def _maps(
    file: zipfile.ZipFile, north: Any, west: Any, box: Any, where: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The maps, south to north, and their axes: cut as they come, for ten days of France fill the memory."""
    listed = file.getinfo("data.npy")
    fits_bytes(listed.file_size, where)
    with file.open(listed) as stream:
        shape, turned, kind = _header(stream, where)
        if kind != np.int16 or len(shape) != 3 or turned:
            raise Invalid(
                f"{where}: its data are no maps of whole numbers of two bytes; it is no MeteoNet rain"
            )
        if not 0 < shape[0] <= MOST_TIMES or min(shape[1:]) < 2:
            raise Invalid(
                f"{where}: holds {shape[0]} maps of {shape[1]} x {shape[2]}; it is no MeteoNet rain"
            )
        fits(shape[1:], where)
        lat, lon = _axes(shape[1:], north, west, where)
        rows, columns = window(lat, lon, box, where)
        lat, lon = lat[rows], lon[columns]
        fits((shape[0], len(lat), len(lon)), where)
        values, lowest = np.empty((shape[0], len(lat), len(lon)), np.int16), 0
        for at in range(shape[0]):
            one = _map(stream, shape[1:], kind, where)
            values[at], lowest = one[::-1][rows, columns], min(lowest, int(one.min(initial=0)))
    if lowest != MISSING:
        raise Invalid(
            f"{where}: has no -1 for what is missing, or other negatives; only MeteoNet rain is read"
        )
    return values, lat, lon


def _map(stream: IO[bytes], shape: tuple[int, ...], kind: np.dtype, where: str) -> np.ndarray:
    content = stream.read(kind.itemsize * shape[0] * shape[1])
    if len(content) < kind.itemsize * shape[0] * shape[1]:
        raise Invalid(f"{where}: is cut off; fetch it again")
    return np.frombuffer(content, kind).reshape(shape)


def _header(stream: IO[bytes], where: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    if npy.read_magic(stream) != (1, 0):
        raise Invalid(f"{where}: is of another version of NumPy's format; store it again")
    return npy.read_array_header_1_0(stream)


def _dates(file: zipfile.ZipFile) -> list[datetime]:
    with file.open("dates.npy") as stream:
        content = stream.read(MOST_DATES)
    try:
        found = [each[1] for each in DATE.finditer(content)]
        return [
            datetime(each[0] * 256 + each[1], each[2], each[3], each[4], each[5], each[6]) for each in found
        ]
    except ValueError:
        return []


def _times(
    dates: list[datetime] | None, start: Any, interval: Any, count: int, where: str
) -> pd.DatetimeIndex:
    if dates is None:
        if interval is None:
            raise Invalid(f"{where}: start needs interval, as 5min")
        return pd.DatetimeIndex(instant("start", start) + length((), where, interval) * np.arange(count))
    found = pd.DatetimeIndex(dates)
    even = len(found) == count and found.is_monotonic_increasing and found.is_unique
    if not even or (found.to_series() - found.normalize()).mod(FIVE).any():
        raise Invalid(
            f"{where}: its dates cannot be read; give start, the time of the first map, and interval"
        )
    return found


def _axes(shape: tuple[int, ...], north: Any, west: Any, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Latitudes, south to north, and longitudes of the pixels' centres."""
    if north is None and west is None and shape in NORTH_WEST:
        north, west = NORTH_WEST[shape]
    if north is None or west is None:
        known = " and ".join(f"{rows} x {columns}" for rows, columns in NORTH_WEST)
        raise Invalid(
            f"{where}: says no place, and {shape[0]} x {shape[1]} is no zone known here ({known}); "
            "give north and west, the centre of its first pixel"
        )
    top, left = number("north", north, -90, 90), number("west", west, -360, 360)
    lat = np.round(top - STEP * np.arange(shape[0])[::-1], 7)
    return lat, np.round(wrap(left) + STEP * np.arange(shape[1]), 7)
