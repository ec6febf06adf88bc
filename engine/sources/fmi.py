"""Radar composites of the Finnish weather service (FMI): reflectivity as a gray picture (PGM), often in gzip.

The comments before the picture say the time, the projection, two corners and the size of a pixel; a pixel v
is v/2 - 32 dBZ, 255 was not seen and 0 is no echo. The projection lies on the sphere of radius 6371.288 km
on which those corners and pixels agree, and they are checked. Rain is made by Z = 223 R^1.53, FMI's own law
for rain (in snow it is too low), or as told.

A picture is a snapshot, one of every five minutes: it stands for the ``interval`` of 5 min that ends at its
time (UTC), or begins there, as ``stamp`` tells. No gauge has changed it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from engine.fields import Box
from engine.intervals import ends, length
from engine.reading.composites import MOST_UNPACKED, Echo, Pixels, centres, composed, projection
from engine.reading.guard import fits
from engine.reading.unpacking import beginning, unpacked
from engine.values import Invalid, brief, instant, number

TITLE = "FMI radar in PGM"
LAW = (223.0, 1.53)
SNAPSHOT = "5min"
SPHERE = 6371288
MISSING, NO_ECHO = 255, 0
HEAD = re.compile(rb"P5\s+((?:#[^\n]{0,200}\n){1,200})\s*(\d{1,6})\s+(\d{1,6})\s+(\d{1,5})\s")
AXES = {"lon_0": "centrallongitude", "lat_0": "centrallatitude", "lat_ts": "truelatitude"}


def sniff(path: Path) -> bool:
    first = beginning(path, 4096)
    return first.startswith(b"P5") and b"# obstime" in first and b"# projection" in first


def read(
    path: Path,
    interval: Any = SNAPSHOT,
    stamp: str = "end",
    zr_a: float | None = None,
    zr_b: float | None = None,
    step: float | None = None,
    box: Box | None = None,
) -> xr.DataArray:
    """The picture as rain, brought to equal cells."""
    where = str(path)
    content = unpacked(path, MOST_UNPACKED)
    head = HEAD.match(content)
    if head is None:
        raise Invalid(f"{where}: its header is not one of FMI's; fetch it again")
    columns, rows, most = (int(each) for each in head.groups()[1:])
    fits((rows, columns), where)
    if most != MISSING or len(content) < head.end() + rows * columns:
        raise Invalid(f"{where}: is cut off, or has not one byte a pixel; fetch it again")
    about = _about(head[1].decode("latin-1"))
    if about.get("param") not in ("CorrectedReflectivity", "Reflectivity"):
        raise Invalid(f"{where}: shows {brief(about.get('param', ''))}; only reflectivity is read")
    raw = np.frombuffer(content, "u1", rows * columns, head.end()).reshape(rows, columns)
    echo, lasts = Echo(LAW, zr_a, zr_b), length((), where, interval)
    decibels = np.where(raw == NO_ECHO, -np.inf, raw / 2 - 32)
    rates = np.where(raw == MISSING, np.nan, echo(decibels)).astype(np.float32)
    found = ends([_time(about, where)], lasts, stamp, where)
    lines = (echo.note, f"a picture is a snapshot, taken for the interval that its time is the {stamp} of")
    told = {"units_found": "dBZ", "independent": "true"}
    pixels = _places(about, (rows, columns), where)
    return composed([rates], found, lasts, pixels, where, *lines, step=step, box=box, **told)


def _about(comments: str) -> dict[str, str]:
    """What the comments say, each by its first word."""
    pairs = (line.lstrip("# ").partition(" ") for line in comments.splitlines())
    return {key: value.strip() for key, _, value in pairs}


def _time(about: dict[str, str], where: str) -> Any:
    said = about.get("obstime", "")
    if not re.fullmatch(r"\d{12}", said):
        raise Invalid(f"{where}: its obstime is {brief(said)}, no time such as 201609281445")
    return instant(f"{where}: obstime", f"{said[:8]}T{said[8:]}")


def _places(about: dict[str, str], shape: tuple[int, int], where: str) -> tuple[np.ndarray, np.ndarray]:
    """Latitude and longitude of the pixels' centres, north to south as the rows are."""
    if about.get("type") != "stereographic":
        raise Invalid(
            f"{where}: its projection is {brief(about.get('type', ''))}; only stereographic is read"
        )
    axes = {key: number(f"{where}: {name}", about.get(name)) for key, name in AXES.items()}
    words = " ".join(f"+{key}={value:.9g}" for key, value in axes.items())
    to = projection(f"+proj=stere {words} +a={SPHERE} +b={SPHERE}", where)
    west, south = to(*_corner(about, "bottomleft", where))
    east, north = to(*_corner(about, "topright", where))
    wide, tall = (east - west) / shape[1], (north - south) / shape[0]
    for name, found in (("metersperpixel_x", wide), ("metersperpixel_y", tall)):
        told = number(f"{where}: {name}", about.get(name), 1, 1e6)
        if not abs(told - found) <= 1e-3 * told:
            raise Invalid(
                f"{where}: its corners make pixels of {found:g} m, its {name} says {told:g}; mend one"
            )
    return centres(to, Pixels(west, wide, shape[1]), Pixels(north, -tall, shape[0]))


def _corner(about: dict[str, str], name: str, where: str) -> tuple[float, float]:
    parts = about.get(name, "").split()
    if len(parts) != 2:
        raise Invalid(f"{where}: its {name} is {brief(' '.join(parts))}; give longitude and latitude")
    lon, lat = (number(f"{where}: {name}", each) for each in parts)
    return lon, lat
