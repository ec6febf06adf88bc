"""Stacks of maps in GeoTIFF: a band a time, on a map of latitude and longitude.

Bands that say themselves when they end, as Rainloom's exports do, are believed; else ``start`` and
``interval`` say when the first begins and how long each lasts. The unit is the bands', or is given. Where
neither the file nor the reader says the interval, it is the even distance of the bands.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from engine.fields import rain, wrap
from engine.guard import fits
from engine.intervals import as_rate, length
from engine.values import Invalid, instant, spelled

TITLE = "GeoTIFF with a band a time"
SIGNATURES = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d) UTC, end of interval")


def sniff(path: Path) -> bool:
    if path.is_dir():
        return False
    with path.open("rb") as stream:
        return stream.read(4) in SIGNATURES


def read(path: Path, unit: str | None = None, start: Any = None, interval: Any = None) -> xr.DataArray:
    try:
        import rasterio
    except ImportError:
        raise Invalid(f"{path}: GeoTIFF needs rasterio; install it with: pip install rasterio") from None
    where = str(path)
    with rasterio.open(path, driver="GTiff") as file:
        turned = file.transform.b or file.transform.d or file.transform.e > 0
        if file.crs is None or not file.crs.is_geographic or turned:
            raise Invalid(f"{where}: is not on latitude and longitude, north up; warp it first")
        if unit is None and len(set(file.units)) > 1:
            raise Invalid(
                f"{where}: its bands have units {', '.join(map(str, file.units))}; store them in one"
            )
        fits((file.count, file.height, file.width), where)
        values = file.read(masked=True).astype(np.float32).filled(np.nan)
        scales, offsets = (np.array(each, np.float32)[:, None, None] for each in (file.scales, file.offsets))
        values = values * scales + offsets
        said, unit = file.descriptions, unit or file.units[0]
        interval = file.tags().get("interval") if interval is None else interval
        west, north, wide, tall = file.transform.c, file.transform.f, file.transform.a, file.transform.e
    times, lasts = _times(said, start, interval, where)
    # a ten-millionth of a degree is a centimetre; what is finer is a rounded corner
    lat = np.round(north + (np.arange(values.shape[1])[::-1] + 0.5) * tall, 7)
    lon = np.round(wrap(west) + (np.arange(values.shape[2]) + 0.5) * wide, 7)
    rates = as_rate(values[:, ::-1], unit, lasts, where)
    return rain(rates, times, lat, lon, interval=spelled(lasts), units_found=str(unit))


def _times(said: tuple, start: Any, interval: Any, where: str) -> tuple[pd.DatetimeIndex, pd.Timedelta]:
    found = [STAMP.search(each or "") for each in said]
    if all(found):
        if start is not None:
            raise Invalid(f"{where}: its bands say their times; leave start away")
        times = pd.DatetimeIndex([each[1] for each in found if each])
        return times, length(times.values, where, interval)
    if start is None or interval is None:
        raise Invalid(f"{where}: its bands do not say their times; give start and interval, as 1h")
    lasts = length((), where, interval)
    return pd.DatetimeIndex(instant("start", start) + lasts * np.arange(1, len(said) + 1)), lasts
