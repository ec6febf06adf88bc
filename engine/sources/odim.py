"""Radar composites in ODIM HDF5, the common format of Europe's weather services.

``/what`` says that the file is a composite; each ``dataset`` has an image, its quantity and its times, and
any group may take from the one around it what it does not say itself. RATE is mm/h, ACRR the depth (mm)
between start and end. A file with reflectivity only becomes rain by a law that a note tells. A value is
``offset + gain x raw``; ``nodata`` was not seen and is missing, ``undetect`` was seen and is dry.

Times are UTC. Where an image has a start and a later end, it is the mean between them, if no ``interval`` is
told; an end of :59 is the last second of its interval. A snapshot, whose start is its end, does not say for
how long it stands: ``interval`` must, and ``stamp`` whether its time is the end of that (assumed) or the
start. Corners are the outer edges of the corner pixels.

Volumes and sweeps of a single radar (PVOL, SCAN) are no maps; they are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import xarray as xr

from engine import READING
from engine.fields import Box
from engine.intervals import as_rate, ends, length
from engine.reading.composites import MARSHALL_PALMER, Echo, Pixels, centres, composed, projection, word
from engine.reading.guard import fits, guarded, is_hdf5
from engine.values import Invalid, brief, instant, number, spelled

TITLE = "ODIM HDF5 composite"
MAPS = ("COMP", "IMAGE")
RAIN = {"RATE": "mm/h", "ACRR": "mm"}
GRID = ("projdef", "LL_lon", "LL_lat", "UR_lon", "UR_lat")
LINE = (("gain", 1.0), ("offset", 0.0))  # from raw to values
ECHOES = ("DBZH", "DBZV", "TH", "TV", "DBZ")


@dataclass(frozen=True)
class Image:
    """One image of a file: its place in it, and what it says of itself or takes from around it."""

    name: str
    quantity: str
    said: Mapping[str, Any]  # what, where and how
    values: Any  # h5py's dataset, open


def sniff(path: Path) -> bool:
    if not is_hdf5(path):
        return False
    guarded(path)
    with READING, h5py.File(path) as file:
        what = file.get("what")
        return isinstance(what, h5py.Group) and "object" in what.attrs and "dataset1" in file


def contents(path: Path) -> list[dict[str, Any]]:
    """A row an image: its quantity, and what it would be taken for."""
    guarded(path)
    with READING, h5py.File(path) as file:
        return [
            {
                "name": each.quantity,
                "unit": RAIN.get(each.quantity, "dBZ" if each.quantity in ECHOES else ""),
                "shape": each.values.shape,
                "taken for": "rain" if each.quantity in (*RAIN, *ECHOES) else "other",
            }
            for each in _images(file, str(path))
        ]


def read(
    path: Path,
    variable: str | None = None,
    interval: Any = None,
    stamp: str = "end",
    zr_a: float | None = None,
    zr_b: float | None = None,
    step: float | None = None,
    box: Box | None = None,
) -> xr.DataArray:
    """The images of one quantity, brought to equal cells."""
    where = str(path)
    guarded(path)
    with READING, h5py.File(path) as file:
        images = _chosen(list(_images(file, where)), variable, where)
        spans = [_span(each, interval, stamp, where) for each in images]
        pixels = _places(images[0], where)
        if len({(each.values.shape, *(str(_one(each, name)) for name in GRID)) for each in images}) > 1:
            raise Invalid(f"{where}: its images lie on several grids; split it into one grid a file")
        fits((len(images), *images[0].values.shape), where)
        raw = [each.values[()] for each in images]
    lasts = spans[0][1]
    if any(each != lasts for _, each in spans):
        raise Invalid(f"{where}: its intervals are not equally long; split it")
    quantity, lines, said = images[0].quantity, [], {}
    echo = _law(images[0], zr_a, zr_b)
    if quantity in ECHOES:
        lines, said = [echo.note], {"independent": "true"}  # no gauge has changed an echo
    rates = [_rain(each, values, echo, lasts, where) for each, values in zip(images, raw, strict=True)]
    if interval is not None:
        lines.append(f"a map stands for the {spelled(lasts)} that its time is the {stamp} of, as told")
    said |= {"units_found": RAIN.get(quantity, "dBZ"), "product": quantity}
    return composed(
        rates, [end for end, _ in spans], lasts, pixels, where, *lines, step=step, box=box, **said
    )


def _images(file: Any, where: str) -> Iterator[Image]:
    kind = word(file["what"].attrs.get("object", "")) if "what" in file else "nothing"
    if kind not in MAPS:
        raise Invalid(f"{where}: is an ODIM {brief(kind)[1:-1]}, no composite map; make one of it first")
    for name, dataset in _numbered(file, "dataset"):
        for part, group in _numbered(dataset, "data"):
            values = group.get("data")
            if not isinstance(values, h5py.Dataset) or values.ndim != 2:
                continue
            said: dict[str, Any] = {}
            for level in (file, dataset, group):
                for topic in ("what", "where", "how"):
                    said |= dict(level[topic].attrs) if isinstance(level.get(topic), h5py.Group) else {}
            yield Image(f"{name}/{part}", word(said.get("quantity", "")), said, values)


def _numbered(group: Any, stem: str) -> Iterator[tuple[str, Any]]:
    found = [name for name in group if name.startswith(stem) and name[len(stem) :].isdecimal()]
    for name in sorted(found, key=lambda each: int(each[len(stem) :])):
        if isinstance(member := group[name], h5py.Group):
            yield name, member


def _chosen(images: list[Image], variable: str | None, where: str) -> list[Image]:
    """The images of the quantity that is asked for; else of the only rain, or of the only reflectivity."""
    held = list(dict.fromkeys(each.quantity for each in images))
    able = [each for each in held if each in RAIN] or [each for each in held if each in ECHOES]
    wanted = variable or (able[0] if len(able) == 1 else "")
    if wanted not in held or wanted not in (*RAIN, *ECHOES):
        names = ", ".join(each or "an image without a quantity" for each in held) or "no image"
        known = ", ".join((*RAIN, *ECHOES))
        raise Invalid(f"{where}: which quantity is rain? It holds {names}; name one of {known} as variable")
    return [each for each in images if each.quantity == wanted]


def _span(image: Image, interval: Any, stamp: str, where: str) -> tuple[Any, Any]:
    """The end of an image's interval, and its length."""
    start, end = (_time(image, edge, where) for edge in ("start", "end"))
    if start < end and end.second == 59:  # the last second that belongs to it
        end += pd.Timedelta("1s")
    if interval is None and start < end:
        return end, end - start
    if interval is None:
        raise Invalid(
            f"{where}: {image.name} is a snapshot at {end}; give the interval it stands for, as 5min"
        )
    lasts = length((), where, interval)
    return ends([start if stamp == "start" else end], lasts, stamp, where)[0], lasts


def _time(image: Image, edge: str, where: str) -> pd.Timestamp:
    day, clock = (word(image.said.get(edge + part, image.said.get(part, ""))) for part in ("date", "time"))
    if not (day.isdecimal() and clock.isdecimal() and len(day) == 8 and len(clock) in (4, 6)):
        raise Invalid(f"{where}: {image.name} says no {edge} of its interval; write it into its group what")
    return instant(f"{where}: {image.name}", f"{day}T{clock}")


def _places(image: Image, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Latitude and longitude of the pixels' centres, north to south as the rows are."""
    rows, columns = image.values.shape
    to = projection(word(image.said.get("projdef", "")), where)
    corner = {name: to(*_corner(image, name, where)) for name in ("LL", "UR")}
    wide, tall = (
        (corner["UR"][axis] - corner["LL"][axis]) / size for axis, size in ((0, columns), (1, rows))
    )
    for name, found in (("xscale", wide), ("yscale", tall)):
        told = number(f"{where}: {name}", _one(image, name, found), 0, 1e7)
        if not abs(told - found) <= 0.02 * abs(told):
            raise Invalid(
                f"{where}: its corners make pixels of {found:g}, its {name} says {told:g}; mend one"
            )
    return centres(to, Pixels(corner["LL"][0], wide, columns), Pixels(corner["UR"][1], -tall, rows))


def _corner(image: Image, name: str, where: str) -> tuple[float, float]:
    lon, lat = (number(f"{where}: {name}_{axis}", _one(image, f"{name}_{axis}")) for axis in ("lon", "lat"))
    return lon, lat


def _one(image: Image, name: str, default: Any = None) -> Any:
    value = image.said.get(name, default)
    return value.flat[0] if isinstance(value, np.ndarray) and value.size else value


def _law(image: Image, zr_a: Any, zr_b: Any) -> Echo:
    """As given, else as the file says how it was or would be made, else Marshall and Palmer's."""
    if "zr_a" in image.said and "zr_b" in image.said:
        return Echo((_one(image, "zr_a"), _one(image, "zr_b")), zr_a, zr_b, "as the file says")
    return Echo(MARSHALL_PALMER, zr_a, zr_b)


def _rain(image: Image, raw: np.ndarray, echo: Echo, lasts: pd.Timedelta, where: str) -> np.ndarray:
    gain, offset = (number(f"{where}: {name}", _one(image, name, usual)) for name, usual in LINE)
    values, is_echo = offset + gain * raw.astype(float), image.quantity in ECHOES
    for name, meant in (("undetect", -np.inf if is_echo else 0.0), ("nodata", np.nan)):
        code = float(_one(image, name, np.nan))
        values = np.where(raw == (raw.dtype.type(code) if raw.dtype.kind == "f" else code), meant, values)
    values = echo(values) if is_echo else values
    return as_rate(values, RAIN.get(image.quantity, "mm/h"), lasts, where)
