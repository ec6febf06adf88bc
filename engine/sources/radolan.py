"""RADOLAN, the radar composites of the German weather service: binary files and ASCII grids.

A binary file is a line of letters and numbers that ends with ETX, then two bytes a pixel (one for
reflectivity), south to north: twelve bits of value, a bit for what was filled in from elsewhere, one for
what is missing, one for clutter, which is missing too. ASCII grids have their product and time in their
names only. Several of either may come in one tar; they are read in memory and become a sequence.

Times are UTC. Sums of an hour and more are stamped at their end: RW of 20:50 fell from 19:50 to 20:50.
Five-minute products are stamped when their scan begins: RY of 20:50 shows rain in thousands of pixels where
RH, the whole hour until 20:50, has none; and hourly gauges that end at 09:50 agree better with RY of 08:50
to 09:45 than without its first map. ``stamp`` says otherwise.

The grid is polar stereographic, true at 60 N, around 9 E 51 N: on a sphere until format version 4, on the
ellipsoid WGS84 since version 5. RH, RY and reflectivity are radar alone. RB is adjusted to gauges in a
first step ("Voraneichung"), RW, SF and what is made from them fully.
"""

from __future__ import annotations

import io
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from engine.fields import Box
from engine.intervals import as_rate, ends, length
from engine.reading.composites import (
    MARSHALL_PALMER,
    MOST_UNPACKED,
    Echo,
    Pixels,
    centres,
    composed,
    projection,
)
from engine.reading.unpacking import beginning, counted, unpacked
from engine.values import Invalid, brief, instant

TITLE = "RADOLAN, binary or ASCII"
SPHERE = "+proj=stere +lat_0=90 +lat_ts=60 +lon_0=10 +a=6370040 +b=6370040"
WGS84 = "+proj=stere +lat_0=90 +lat_ts=60 +lon_0=10 +ellps=WGS84"
CENTRE = (9.0, 51.0)  # longitude and latitude of the reference point
# Of each shape: how many pixels (of 1 km) the grid begins west and south of the reference point.
GRIDS = {(900, 900): (450, 450), (1100, 900): (370, 550), (1200, 1100): (470, 600), (1500, 1400): (600, 800)}
REFLECTIVITY = ("RX", "WX", "EX")
RADAR_ALONE = (*REFLECTIVITY, "RY", "RZ", "RH", "EY", "EZ", "EH")
WITH_GAUGES = ("RB", "RW", "RL", "RU", "SQ", "SH", "SF", "W1", "W2", "W3", "W4", "YW", "EB", "EW")
PRODUCTS = RADAR_ALONE + WITH_GAUGES
ASCII_MINUTES = {"YW": 5, "RY": 5, "RH": 60, "RW": 60, "SF": 1440}  # the grids do not say
SCAN = pd.Timedelta("5min")
VALUE, FILLED, MISSING, NEGATIVE, CLUTTER = 0x0FFF, 0x1000, 0x2000, 0x4000, 0x8000
NO_ECHO, ECHO_CLUTTER, ECHO_MISSING = 0, 249, 250
HEADER = re.compile(rb"([A-Z]\w)(\d\d)(\d{4})\d{5}(\d\d)(\d\d)BY\s*\d+VS\s*(\d+)([^\x03]{0,1000})\x03")
ABOUT = re.compile(r"PR\s*E([-+]\d\d).*?INT\s*(\d+)(U1)?.*?GP\s*(\d+)x\s*(\d+)")
GRID = re.compile(
    rb"(?i)\s*ncols\s+(\d+)\s+nrows\s+(\d+)\s+xllcorner\s+(-523462|-443462)\S*\s+yllcorner\s+(?:-4658645|-4758645)\S*"
    rb"\s+cellsize\s+1000\S*\s+nodata_value\s+(-1|-9999)\b\S*\s"
)
IN_TAR = re.compile(rb"(?i)[a-z]\w_(?:[\d.]+_)?\d{8}-?\d{4}\.asc|raa01-\w\w[^\0]*-dwd---bin")
NAME = re.compile(r"(?i)([a-z]\w)_(?:[\d.]+_)?(\d{8})-?(\d{4})\.asc(?:\.gz)?$")
MOST_MAPS = 10_000


@dataclass(frozen=True)
class Map:
    """One composite: rain (mm, or mm/h of reflectivity) south to north, and what is said of it."""

    product: str
    time: pd.Timestamp
    interval: pd.Timedelta
    version: int
    values: np.ndarray
    filled: int = 0  # pixels
    clutter: int = 0
    named: bool = False  # product and time come from the name


def sniff(path: Path) -> bool:
    first = beginning(path, 2048)
    return bool(IN_TAR.search(first)) if _is_tar(first) else bool(HEADER.match(first) or GRID.match(first))


def read(
    path: Path,
    stamp: str | None = None,
    zr_a: float | None = None,
    zr_b: float | None = None,
    step: float | None = None,
    box: Box | None = None,
) -> xr.DataArray:
    """The maps of one product, brought to equal cells."""
    where, echo = str(path), Echo(MARSHALL_PALMER, zr_a, zr_b)
    maps = [_map(name, content, echo, where) for name, content in _members(path, where)]
    kinds = {(one.product, one.interval, one.version, one.values.shape) for one in maps}
    if len(kinds) != 1:
        names = ", ".join(sorted({one.product for one in maps})) or "nothing"
        raise Invalid(f"{where}: holds {names} in {len(kinds)} kinds; give maps of one product and grid")
    product, lasts, version, shape = kinds.pop()
    short, unit = lasts <= SCAN, "dBZ" if product in REFLECTIVITY else "mm"
    rates = [as_rate(one.values, "mm/h" if unit == "dBZ" else unit, lasts, where) for one in maps]
    found = ends([one.time for one in maps], lasts, stamp or ("start" if short else "end"), where)
    said = {"units_found": unit, "product": product, "independent": str(product in RADAR_ALONE).lower()}
    lines = _notes(maps, echo, stamp)
    return composed(rates, found, lasts, places(shape, version), where, *lines, step=step, box=box, **said)


def places(shape: tuple[int, int], version: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Latitude and longitude of the pixels' centres, south to north."""
    to = projection(WGS84 if version >= 5 else SPHERE, "RADOLAN")
    x, y = to(*CENTRE)
    west, south = GRIDS[shape]
    return centres(to, Pixels(x - 1e3 * west, 1e3, shape[1]), Pixels(y - 1e3 * south, 1e3, shape[0]))


def _is_tar(content: bytes) -> bool:
    return content[257:262] == b"ustar"


def _members(path: Path, where: str) -> list[tuple[str, bytes]]:
    """The files in a file: itself, or those of a tar, with their names."""
    content = unpacked(path, MOST_UNPACKED)
    if not _is_tar(content):
        return [(path.name, content)]
    found, total = [], 0
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
        for member in archive:
            stream = archive.extractfile(member) if member.isreg() and not member.issparse() else None
            if stream is None:
                continue
            found.append((member.name, counted(stream, f"{where}: {brief(member.name)}", MOST_UNPACKED)))
            total += len(found[-1][1])
            if total > MOST_UNPACKED or len(found) > MOST_MAPS:
                raise Invalid(f"{where}: holds too much for one sequence; split it into days")
    return found


def _map(name: str, content: bytes, echo: Echo, where: str) -> Map:
    if head := HEADER.match(content):
        return _binary(head, content[head.end() :], echo, where)
    if head := GRID.match(content):
        return _ascii(name, head, content, where)
    raise Invalid(f"{where}: holds {brief(name)}, which is no RADOLAN composite; leave it out")


def _binary(head: re.Match[bytes], content: bytes, echo: Echo, where: str) -> Map:
    product, day, clock, month, year, version, rest = (each.decode("latin-1") for each in head.groups())
    about = ABOUT.search(rest)
    if product not in PRODUCTS:
        raise Invalid(f"{where}: product {brief(product)} is not read here; known are {', '.join(PRODUCTS)}")
    if about is None:
        raise Invalid(f"{where}: its header says no precision, interval or shape; fetch it again")
    shape = _known((int(about[4]), int(about[5])), where)
    kind, size = np.dtype("u1" if product in REFLECTIVITY else "<u2"), shape[0] * shape[1]
    if len(content) < size * kind.itemsize:
        raise Invalid(f"{where}: is cut off; fetch it again")
    raw = np.frombuffer(content, kind, size).reshape(shape)
    values = _echoes(raw, echo) if product in REFLECTIVITY else _sums(raw, float(f"1e{about[1]}"))
    time = instant(f"{where}: time", f"20{year}-{month}-{day}T{clock[:2]}:{clock[2:]}")
    lasts = length((), where, f"{about[2]}{'days' if about[3] else 'min'}")
    return Map(product, time, lasts, int(version), *values)


def _sums(raw: np.ndarray, precision: float) -> tuple[np.ndarray, int, int]:
    sign = np.where(raw & NEGATIVE, np.float32(-precision), np.float32(precision))
    values = np.where(raw & (MISSING | CLUTTER), np.float32(np.nan), (raw & VALUE) * sign)
    return values, int((raw & FILLED > 0).sum()), int((raw & CLUTTER > 0).sum())


def _echoes(raw: np.ndarray, echo: Echo) -> tuple[np.ndarray, int, int]:
    decibels = np.where(raw == NO_ECHO, -np.inf, raw / 2 - 32.5)
    values = np.where(raw >= ECHO_CLUTTER, np.nan, echo(decibels)).astype(np.float32)
    return values, 0, int((raw == ECHO_CLUTTER).sum())


def _ascii(name: str, head: re.Match[bytes], content: bytes, where: str) -> Map:
    told = NAME.search(name)
    if told is None or told[1].upper() not in ASCII_MINUTES:
        known = ", ".join(ASCII_MINUTES)
        raise Invalid(
            f"{where}: {brief(name)} says no product and time; name it as RW_20221018-0050.asc (of {known})"
        )
    product = told[1].upper()
    shape = _known((int(head[2]), int(head[1])), where)
    body = io.BytesIO(content[head.end() :])
    table = pd.read_csv(body, sep=r"\s+", header=None, dtype=np.float32).to_numpy()
    if table.shape != shape:
        raise Invalid(f"{where}: {brief(name)} holds {table.shape} values, not {shape}; fetch it again")
    missing = float(head[4])
    precision = np.float32(0.1 if missing == -1 else 1.0)  # the recent grids, the reprocessed ones
    values = np.where(table == missing, np.float32(np.nan), table * precision)[::-1]
    time = instant(f"{where}: time", f"{told[2]}T{told[3]}")
    lasts = length((), where, f"{ASCII_MINUTES[product]}min")
    return Map(product, time, lasts, 3, values, named=True)


def _known(shape: tuple[int, int], where: str) -> tuple[int, int]:
    if shape in GRIDS:
        return shape
    known = ", ".join(f"{rows} x {columns}" for rows, columns in GRIDS)
    raise Invalid(f"{where}: a grid of {shape[0]} x {shape[1]} is not read here; known are {known}")


def _notes(maps: list[Map], echo: Echo, stamp: str | None) -> list[str]:
    first, lines = maps[0], []
    filled, clutter = sum(one.filled for one in maps), sum(one.clutter for one in maps)
    if stamp is None and first.interval <= SCAN:
        lines.append("a five-minute stamp is taken for the beginning of its scan (stamp=end says otherwise)")
    if first.product in REFLECTIVITY:
        lines.append(echo.note)
    if filled:
        lines.append(f"{filled} pixels were filled in from other radars or gauges, as the file marks them")
    if clutter:
        lines.append(f"{clutter} pixels are clutter, and missing")
    if first.named:
        lines.append("product and time are taken from the name of each ASCII grid, which does not say them")
    return lines
