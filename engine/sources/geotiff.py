"""Stacks of maps in GeoTIFF: a band a time, on a map of latitude and longitude.

Bands that say themselves when they end, as Rainloom's exports do, are believed; else ``start`` and
``interval`` say when the first begins and how long each lasts. A time that stands in a band's description,
or in the tag DATETIME of a single band, may be the start of its interval, the end, or the day the file was
made: it is taken for what ``stamp`` says. The unit is the bands', or is given; a number before it counts, so
that tenths are "0.1 mm". What is missing is what the file marks so, what is given as ``missing``, and -9999,
-999 and -99, which no rain can be. Where 29999 and its like are the highest numbers, as in the maps of
IMERG, ``missing`` must say whether they are rain.

Only the file itself is read: GDAL would also follow a folder's overviews, masks and georeferences.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from engine.fields import UNIT, Box, check, wrap
from engine.intervals import as_rate, ends, length, named
from engine.quantities import RAIN, noted
from engine.reading import guard
from engine.reading.regrid import window
from engine.values import Invalid, instant, number

TITLE = "GeoTIFF with a band a time"
SIGNATURES = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d) UTC, end of interval")
TIME = re.compile(r"(\d{4})[-:./]?(\d\d)[-:./]?(\d\d)(?:[T ]?(\d\d):?(\d\d)(?::?(\d\d))?)?")
ALONE: dict[str, Any] = {  # GDAL keeps to the one file
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "GTIFF_GEOREF_SOURCES": "INTERNAL",
}
MARKS = (-9999.0, -999.0, -99.0)  # of what is missing, where a file does not say so
CODES = (9999.0, 29999.0, 32767.0, 65535.0)  # the same, if they are the highest number of a map
HIGHEST = 5.0  # m; a depth of rain in a file never reaches it, land does
LAZY = 4_000_000  # cells


class Piece(NamedTuple):
    """What is read of a file, and how its numbers become rain."""

    path: Path
    rows: slice
    columns: slice
    order: np.ndarray  # of the columns, west to east
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    missing: tuple[float, ...]  # rounded as the values are
    told: bool  # whether what is missing was told


def sniff(path: Path) -> bool:
    if path.is_dir():
        return False
    with path.open("rb") as stream:
        return stream.read(4) in SIGNATURES


def read(
    path: Path,
    unit: str | None = None,
    start: Any = None,
    interval: Any = None,
    stamp: str | None = None,
    missing: float | None = None,
    box: Box | None = None,
) -> xr.DataArray:
    """The bands, or their part in a box."""
    where = str(path)
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", "Dataset has no geotransform")  # it is refused by a line of ours
        file = stack.enter_context(_opened(path))
        lat, lon = _axes(file, where)
        rows, columns = window(lat, lon, box, where)
        shape = (file.count, rows.stop - rows.start, columns.stop - columns.start)
        _fits(file, shape, where)
        said, tags, told = file.descriptions, file.tags(), unit or _unit(file, where)
        marks = MARKS if missing is None else (*MARKS, float(np.float32(number("missing", missing))))
        order = np.argsort(lon[columns])
        piece = Piece(path, rows, columns, order, file.scales, file.offsets, marks, missing is not None)
    lat, lon = lat[rows][::-1], lon[columns][order]
    if told is None:
        raise Invalid(f"{where}: its bands have no unit{_perhaps(piece, shape[0])}")
    if unit is None and told in ("m", "metre", "meter"):
        _no_terrain(piece, where)
    times, lasts = _times(said, tags, start, interval, stamp, where)
    axes = {"time": times, "lat": lat, "lon": lon}
    about = {"units": UNIT, "interval": named(lasts), "units_found": str(told)}
    field = xr.DataArray(_read(piece, shape), axes, ("time", "lat", "lon"), RAIN, about)
    return noted(check(as_rate(field, told, lasts, where), where), *_marked(piece, shape[0]))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        import rasterio
    except ImportError:
        raise Invalid(f"{path}: GeoTIFF needs rasterio; install it with: pip install rasterio") from None
    with rasterio.Env(**ALONE), rasterio.open(path, driver="GTiff") as file:
        yield file


def _axes(file: Any, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Centres of the pixels as they lie in the file: rows from the north, columns from its west."""
    turned = file.transform.b or file.transform.d or file.transform.e >= 0 or file.transform.a <= 0
    if file.crs is None:
        raise Invalid(f"{where}: does not say its coordinate system; give it one, as EPSG:4326")
    if not file.crs.is_geographic or turned:
        raise Invalid(f"{where}: is not on latitude and longitude, north up; warp it first")
    west, north, wide, tall = file.transform.c, file.transform.f, file.transform.a, file.transform.e
    guard.fits((file.height + file.width,), where)
    # a ten-millionth of a degree is a centimetre; what is finer is a rounded corner
    lat = np.round(north + (np.arange(file.height) + 0.5) * tall, 7)
    return lat, np.round(wrap(west + (np.arange(file.width) + 0.5) * wide), 7)


def _fits(file: Any, shape: tuple[int, ...], where: str) -> None:
    """Refuse what claims more than can be worked with, in all or in one block, or than the file can hold."""
    guard.fits(shape, where)
    guard.fits(max(file.block_shapes), where)
    kinds = [np.dtype(kind) for kind in file.dtypes]
    if any(kind.kind not in "iuf" for kind in kinds):
        raise Invalid(f"{where}: its values are {file.dtypes[0]}; store them as plain numbers")
    claimed = file.height * file.width * sum(kind.itemsize for kind in kinds)
    if claimed > max(guard.SMALL_BYTES, guard.MOST_RATIO * Path(where).stat().st_size):
        raise Invalid(f"{where}: claims {claimed / 1e6:.0f} MB in a small file; store what is known only")


def _unit(file: Any, where: str) -> str | None:
    if len(set(file.units)) > 1:
        raise Invalid(f"{where}: its bands have units {', '.join(map(str, file.units))}; store them in one")
    return file.units[0] or None


def _perhaps(piece: Piece, bands: int) -> str:
    """What to do about a missing unit, by what the first band holds."""
    values = _values(piece._replace(told=True), 1)
    known = values[np.isfinite(values)]
    advice = "; give unit, as mm, mm/h, or 0.1 mm where whole numbers count tenths"
    if bands == 1 and known.size:
        advice += f"; if its {known.min():g} to {known.max():g} are heights of terrain, it is no rain"
    return advice


def _no_terrain(piece: Piece, where: str) -> None:
    highest = np.nanmax(_values(piece, 1), initial=-np.inf)
    if highest > HIGHEST:
        raise Invalid(f"{where}: reaches {highest:g} m, which is terrain and no rain; else give unit='m'")


def _times(
    said: tuple, tags: dict, start: Any, interval: Any, stamp: str | None, where: str
) -> tuple[pd.DatetimeIndex, Any]:
    interval = tags.get("interval") if interval is None else interval
    found = [STAMP.search(each or "") for each in said]
    if all(found):
        if start is not None:
            raise Invalid(f"{where}: its bands say their times; leave start away")
        times = pd.DatetimeIndex([each[1] for each in found if each])
        return times, length(times.values, where, interval)
    if start is not None and interval is not None:
        lasts = length((), where, interval)
        begin = instant("start", start)
        return pd.date_range(begin, periods=len(said) + 1, freq=lasts)[1:], lasts
    stamps = [TIME.search(each or "") for each in said]
    if len(said) == 1 and not all(stamps):
        stamps = [TIME.search(tags.get("TIFFTAG_DATETIME", ""))]
    if start is not None or not all(stamps):
        raise Invalid(f"{where}: its bands do not say their times; give start and interval, as 1h")
    times = pd.DatetimeIndex([instant("time", _iso(each)) for each in stamps if each])
    if stamp is None or (interval is None and len(times) == 1):
        lacking = "stamp, start or end, and interval" if interval is None else "stamp, start or end"
        raise Invalid(f"{where}: says {times[0]}, but not of what; give {lacking}, or start and interval")
    lasts = length(times.values, where, interval)
    return ends(times, lasts, stamp, where), lasts


def _iso(found: re.Match) -> str:
    year, month, day, *clock = found.groups()
    return f"{year}-{month}-{day}T" + ":".join(part or "00" for part in clock)


def _read(piece: Piece, shape: tuple[int, ...]) -> Any:
    """The bands: at once, or one by one when they are asked for."""
    bands = range(1, shape[0] + 1)
    if np.prod(shape) <= LAZY:
        return np.stack([_values(piece, band) for band in bands])
    import dask.array
    from dask.delayed import delayed

    return dask.array.stack(
        [dask.array.from_delayed(delayed(_values)(piece, band), shape[1:], np.float32) for band in bands]
    )


def _values(piece: Piece, band: int) -> np.ndarray:
    """A band's numbers, scaled, south to north and west to east; NaN where nothing is known."""
    stored = _stored(piece, band)
    known = np.ma.filled(stored.astype(np.float32), np.nan)
    known[np.isin(known, piece.missing)] = np.nan
    if not piece.told and (highest := np.fmax.reduce(known, axis=None)) in CODES:
        raise Invalid(
            f"{piece.path}: its highest number is {highest:g}, which mostly stands for missing; "
            f"give missing={highest:g}, or missing=-9999 if it is rain"
        )
    values = known * np.float32(piece.scales[band - 1]) + np.float32(piece.offsets[band - 1])
    return values[::-1, piece.order]


def _stored(piece: Piece, band: int) -> np.ma.MaskedArray:
    with _opened(piece.path) as file:
        window = ((piece.rows.start, piece.rows.stop), (piece.columns.start, piece.columns.stop))
        return file.read(band, window=window, masked=True)


def _marked(piece: Piece, bands: int) -> list[str]:
    """What the first band holds of marks that the file does not explain."""
    stored = np.ma.compressed(_stored(piece, 1)).astype(np.float32)
    found = {mark: int((stored == mark).sum()) for mark in piece.missing}
    of = "its band" if bands == 1 else "its first band"
    return [f"{mark:g} was taken for missing, {count} in {of}" for mark, count in found.items() if count]
