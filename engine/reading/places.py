"""Where the values of a GRIB message lie: from any order of scanning to rows from south to north.

Grids of latitude and longitude, regular Gaussian ones among them, keep their own rows and columns. Of a
reduced Gaussian grid, whose rows have fewer places near the poles, each row is brought to the length of the
longest by the nearest place. Maps in a projection are brought to equal cells (see `engine.reading.regrid`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from engine.fields import Box, wrap
from engine.reading.codes import library
from engine.reading.guard import fits
from engine.reading.messages import Message, asked
from engine.reading.regrid import Cells, placed
from engine.values import Invalid

PROJECTED = (
    "rotated_ll",
    "lambert",
    "polar_stereographic",
    "mercator",
    "lambert_azimuthal_equal_area",
    "albers",
)
CODED = 1.1e-3  # degrees: edition 1 rounds places to thousandths


class Places(NamedTuple):
    lat: np.ndarray
    lon: np.ndarray
    laid: Callable[[np.ndarray], np.ndarray]  # from values as they were scanned to (lat, lon)
    note: str = ""


def places_of(message: Message, box: Box | None, step: float | None) -> Places:
    """Where the values of a message lie, as far as they lie in the box."""
    where, kind = f"{message.path}: grid {message.grid}", message.grid.split()[0]
    if kind in ("regular_ll", "regular_gg") and message.shape:
        return _regular(message, message.shape, kind, box, where)
    if kind == "reduced_gg":
        return _reduced(message, box, where)
    if kind not in PROJECTED or message.shape is None:
        raise Invalid(
            f"{where} is not read here; bring it to latitude and longitude first, as with cdo remap"
        )
    return _projected(message, message.shape, box, step, where)


def _regular(message: Message, shape: tuple[int, int], kind: str, box: Box | None, where: str) -> Places:
    rows, columns = shape
    by_column, back = (asked(message, key, 0) for key in ("jPointsAreConsecutive", "iScansNegatively"))
    boustrophedon = asked(message, "alternativeRowScanning", 0)
    if kind == "regular_gg":
        lat = _gaussian(message, rows, where)
    else:
        north = asked(message, "jScansPositively", 0)
        lat = _axis(message, "latitude", "j", rows, 1 if north else -1)
    lon = _axis(message, "longitude", "i", columns, -1 if back else 1)
    inner, outer = (rows, columns) if by_column else (columns, rows)
    along, across = _within(lat, np.round(wrap(np.round(lon, 9)), 9), box, where)

    def laid(values: np.ndarray) -> np.ndarray:
        grid = values.reshape(outer, inner)
        if boustrophedon:
            grid = grid.copy()
            grid[1::2] = grid[1::2, ::-1]
        return (grid.T if by_column else grid)[along][:, across]

    return Places(np.round(lat, 9)[along], np.round(wrap(np.round(lon, 9)), 9)[across], laid)


def _axis(message: Message, name: str, along: str, count: int, sign: int) -> np.ndarray:
    """The places along one side: by their distance where it leads to the last, else evenly between both."""
    first, last = (asked(message, f"{name}Of{end}GridPointInDegrees", np.nan) for end in ("First", "Last"))
    if name == "longitude":
        last = first + sign * ((sign * (last - first)) % 360 or (360 if count > 1 else 0))
    step = sign * abs(asked(message, f"{along}DirectionIncrementInDegrees", np.nan))
    if abs(first + step * (count - 1) - last) <= min(CODED, abs(step) / 10):
        return first + step * np.arange(count)
    return np.linspace(first, last, count)


def _within(lat: np.ndarray, lon: np.ndarray, box: Box | None, where: str) -> tuple:
    """The rows, south to north, and the columns, west to east, that lie in the box; none of them twice."""
    along, across = (np.unique(axis, return_index=True)[1] for axis in (np.round(lat, 6), np.round(lon, 6)))
    if box is not None:
        along = along[(lat[along] >= box.south) & (lat[along] <= box.north)]
        across = across[(lon[across] >= box.west) & (lon[across] <= box.east)]
    if not along.size or not across.size:
        raise Invalid(f"{where}: does not reach {tuple(box or ())}; choose a box that it covers")
    return _even(along), _even(across)


def _even(order: np.ndarray) -> np.ndarray | slice:
    """A slice where that will do: it copies nothing."""
    step = int(order[1] - order[0]) if len(order) > 1 else 1
    if abs(step) != 1 or (np.diff(order) != step).any():
        return order
    stop = int(order[-1]) + step
    return slice(int(order[0]), None if stop < 0 else stop, step)


def _gaussian(message: Message, rows: int, where: str) -> np.ndarray:
    """The Gaussian latitudes from the first to the last row, in order of scanning."""
    first, last = (asked(message, f"latitudeOf{end}GridPointInDegrees", np.nan) for end in ("First", "Last"))
    low, high = sorted((first, last))
    number = asked(message, "N", 0)
    lat = np.array(list(library().codes_get_gaussian_latitudes(number)) if number > 0 else [])
    lat = np.sort(lat[(lat > low - CODED) & (lat < high + CODED)])
    if len(lat) != rows:
        raise Invalid(f"{where}: has {rows} rows where {len(lat)} Gaussian latitudes lie; fetch it again")
    return lat if first < last else lat[::-1]


def _reduced(message: Message, box: Box | None, where: str) -> Places:
    lengths = asked(message, "pl", np.empty(0)).astype(int)  # of each row
    whole = lengths.size and lengths.min() > 0 and lengths.sum() == message.count
    if not whole or asked(message, "longitudeOfFirstGridPointInDegrees", 0.0):
        raise Invalid(
            f"{where}: its rows do not go around the globe; bring it to latitude and longitude first"
        )
    lat = _gaussian(message, len(lengths), where)
    longest = int(lengths.max())
    fits((len(lat), longest), where)
    lon = np.arange(longest) * (360 / longest)
    begins = np.cumsum(lengths) - lengths
    nearest = np.rint(lon / 360 * lengths[:, None]).astype(int) % lengths[:, None]
    axis = np.round(wrap(lon), 9)
    along, across = _within(lat, axis, box, where)
    picked = (begins[:, None] + nearest)[along][:, across]
    note = f"each row of its {message.grid} grid was brought to {longest} columns by the nearest place"
    return Places(np.round(lat, 9)[along], axis[across], lambda values: values[picked], note)


def _projected(
    message: Message, shape: tuple[int, int], box: Box | None, step: float | None, where: str
) -> Places:
    order = shape[::-1] if asked(message, "jPointsAreConsecutive", 0) else shape
    lat, lon = (asked(message, key, np.empty(0)) for key in ("latitudes", "longitudes"))
    pixels = lat.reshape(order), wrap(lon).reshape(order)
    placed(*pixels, box, where)
    onto = Cells(*pixels, step, box)
    note = f"its map ({message.grid}) was brought to cells of {onto.grid.step:g} degrees"
    return Places(onto.grid.lat, onto.grid.lon, onto, note)
