"""Radar mosaics in GRIB2, as MRMS writes them: a picture (PNG) on a map of latitude and longitude.

One message a file holds one field. The grid stands in section 3, the product and its time in section 4 and
1, R, E and D of (R + X 2^E) / 10^D in section 5, X in section 7. What is below zero was not covered and is
missing. Only products whose unit and interval are known are read. Pixels above 150 mm/h, which are mostly
bad gauges or hail, are given as they stand.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from engine.fields import Box, rain, wrap
from engine.guard import fits
from engine.intervals import as_rate
from engine.values import Invalid, spelled

TITLE = "MRMS in GRIB2"
LENGTHS = {1: 19, 3: 72, 4: 11, 5: 19, 6: 6, 7: 6}  # what is read of each section
LATLON, PNG = 0, 41  # templates of sections 3 and 5
# Discipline, category and number: unit, interval, and whether it knows nothing of gauges.
PRODUCTS = {
    (209, 6, 1): ("mm/h", "2min", True),  # PrecipRate
    (209, 6, 9): ("mm", "1h", False),  # GaugeCorr_QPE_01H
}


def sniff(path: Path) -> bool:
    if path.is_dir():
        return False
    with path.open("rb") as stream:
        begin = stream.read(8)
    return begin[:4] == b"GRIB" and begin[7:] == b"\x02"


def read(path: Path, box: Box | None = None) -> xr.DataArray:
    """The field, or its part in a box."""
    content = path.read_bytes()
    parts = sections(content, str(path))
    product = (content[6], parts[4][9], parts[4][10])
    if product not in PRODUCTS:
        raise Invalid(
            f"{path}: product {product} is not known here; known are {', '.join(map(str, PRODUCTS))}"
        )
    unit, interval, independent = PRODUCTS[product]
    lat, lon = axes(parts[3], str(path))
    rows, columns = slice(0, len(lat)), slice(0, len(lon))
    if box is not None:
        inside = [(lat >= box.south) & (lat <= box.north), (lon >= box.west) & (lon <= box.east)]
        if not all(each.any() for each in inside):
            raise Invalid(f"{path}: does not reach {tuple(box)}")
        rows, columns = (slice(each.argmax(), len(each) - each[::-1].argmax()) for each in inside)
    values = unpacked(parts, (len(lat), len(lon)), str(path))[rows, columns]
    lasts: Any = pd.Timedelta(interval)
    rates = as_rate(np.where(values < 0, np.float32(np.nan), values), unit, lasts, str(path))
    time = pd.Timestamp(*struct.unpack(">HBBBBB", parts[1][12:19]))
    about = {"interval": spelled(lasts), "units_found": unit, "independent": str(independent).lower()}
    return rain(rates[None], [time], lat[rows], lon[columns], **about)


def sections(content: bytes, where: str) -> dict[int, bytes]:
    """The sections of the one message, by number."""
    at, found = 16, {}
    while content[at : at + 4] != b"7777":
        length = int.from_bytes(content[at : at + 4])
        if length < 5 or at + length > len(content):
            raise Invalid(f"{where}: the message is cut off; fetch it again")
        found[content[at + 4]] = content[at : at + length]
        at += length
    if any(len(found.get(number, b"")) < needed for number, needed in LENGTHS.items()):
        raise Invalid(f"{where}: a section is missing or cut off; fetch it again")
    if at + 4 < len(content):
        raise Invalid(f"{where}: holds several messages; split it into one a file")
    return found


def axes(section: bytes, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Latitudes, south to north, and longitudes of the cell centres."""
    template, columns, rows = struct.unpack(">H16xII", section[12:38])
    north, west, *steps, scan = struct.unpack(">iI9xIIB", section[46:72])
    if template != LATLON or scan != 0:
        raise Invalid(
            f"{where}: grid template {template}, scanning {scan}; only plain latitude and longitude"
        )
    fits((rows, columns), where)
    lon = wrap(west / 1e6) + np.arange(columns) * (steps[0] / 1e6)
    return np.round((north - np.arange(rows)[::-1] * steps[1]) / 1e6, 9), np.round(lon, 9)


def unpacked(parts: dict[int, bytes], shape: tuple[int, int], where: str) -> np.ndarray:
    """The values, south to north."""
    from PIL import Image

    template, reference, *signed = struct.unpack(">HfHH", parts[5][9:19])
    if template != PNG or parts[6][5] != 255:
        raise Invalid(f"{where}: packing {template} is not read here; only PNG without a bitmap")
    # GRIB keeps a sign in the first bit, not in two's complement
    binary, decimal = ((-1) ** (raw >> 15) * (raw & 0x7FFF) for raw in signed)
    try:
        image = Image.open(io.BytesIO(parts[7][5:]), formats=["PNG"])
        if image.size != shape[::-1] or len(image.getbands()) != 1:  # before it is unpacked
            raise Invalid(
                f"{where}: its picture is not one of {shape[0]} x {shape[1]} values; fetch it again"
            )
        picture = np.asarray(image, np.float32)
    except (OSError, Image.DecompressionBombError):
        raise Invalid(f"{where}: its picture cannot be unpacked; fetch it again") from None
    return ((reference + picture * 2.0**binary) / 10.0**decimal)[::-1].astype(np.float32)
