"""Radar maps of the Dutch weather service (KNMI) in its own HDF5: sums of rain, and reflectivity.

Each ``image`` has pixels and a line ``GEO=a*PV+b`` that turns them into mm or dBZ; ``overview`` has start
and end, UTC; ``geographic`` has the projection, in km, and where the grid begins, in pixels. The places of
its corners are checked against those that the file gives. Missing and outside the map are one.

A sum is the rain between its start and its end, which is its stamp. Reflectivity is a snapshot: it stands
for the ``interval`` that ends with it, for five minutes if nothing else is told, the distance of such files.
Products named RAU or RAP are radar alone; RAC, RFCOR and RTCOR were corrected with gauges.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import xarray as xr

from engine import READING
from engine.fields import Box
from engine.intervals import as_rate, length
from engine.reading.composites import MARSHALL_PALMER, Echo, Pixels, centres, composed, projection, word
from engine.reading.guard import fits, guarded, is_hdf5
from engine.values import Invalid, brief, spelled

TITLE = "KNMI radar in HDF5"
NUMBER = r"([+-]?\d+\.?\d*(?:[eE][+-]?\d+)?)"
LINE = re.compile(rf"GEO={NUMBER}\*PV(?:\+?{NUMBER})?")
SUM, ECHO = "ACCUMULATED_PRECIPITATION_[MM]", "REFLECTIVITY_[DBZ]"
NO_ECHO = 0  # of the pixels of reflectivity
SNAPSHOT = "5min"
FARTHEST = 0.02  # degrees that a corner may lie from where the file says
ALONE, CORRECTED = re.compile(r"_RA[UP]_"), re.compile(r"_RAC_|RFCOR|RTCOR")


def sniff(path: Path) -> bool:
    if not is_hdf5(path):
        return False
    guarded(path)
    with READING, h5py.File(path) as file:
        return "image1/image_data" in file and "geographic/map_projection" in file


def contents(path: Path) -> list[dict[str, Any]]:
    """A row an image: what it holds, and what it would be taken for."""
    guarded(path)
    with READING, _opened(path) as file:
        return [
            {
                "name": name,
                "unit": kind.rpartition("[")[2].rstrip("]").replace("MM", "mm").replace("DBZ", "dBZ"),
                "shape": file[name]["image_data"].shape,
                "taken for": "rain" if kind in (SUM, ECHO) else "other",
            }
            for name, kind in _images(file).items()
        ]


def read(
    path: Path,
    variable: str | None = None,
    interval: Any = None,
    zr_a: float | None = None,
    zr_b: float | None = None,
    step: float | None = None,
    box: Box | None = None,
) -> xr.DataArray:
    """One image, brought to equal cells."""
    where = str(path)
    guarded(path)
    with READING, _opened(path) as file:
        name, kind = _chosen(_images(file), variable, where)
        image, overview = file[name], file["overview"].attrs
        product = word(image.attrs.get("image_product_name", ""))
        values = image["image_data"]
        if values.ndim != 2:
            raise Invalid(f"{where}: {name} is no map")
        fits(values.shape, where)
        raw, about = values[()], dict(image["calibration"].attrs)
        pixels = _places(file["geographic"], raw.shape, where)
        start, end = (_time(overview, edge, where) for edge in ("start", "end"))
    lines, values = [], _line(about, where)(raw)
    usual = end - start if kind == SUM else SNAPSHOT
    lasts = length((), where, usual if interval is None else interval)
    if kind == ECHO:
        echo = Echo(MARSHALL_PALMER, zr_a, zr_b)
        values = echo(np.where(raw == NO_ECHO, -np.inf, values))
        lines = [
            echo.note,
            f"reflectivity is a snapshot, taken for the {spelled(lasts)} before it",
        ]
    for said in ("calibration_missing_data", "calibration_out_of_image"):
        values = np.where(raw == np.ravel(about.get(said, -1))[0], np.nan, values)
    unit, rates_in = ("mm", "mm") if kind == SUM else ("dBZ", "mm/h")
    told = {"units_found": unit, "product": product} | _independence(product, kind)
    rates = as_rate(values, rates_in, lasts, where)
    return composed([rates], [end], lasts, pixels, where, *lines, step=step, box=box, **told)


def _opened(path: Path) -> Any:  # h5py says of no member what it is
    return h5py.File(path)


def _images(file: Any) -> dict[str, str]:
    """Of each image its name and what it holds."""
    found = sorted((name for name in file if re.fullmatch(r"image\d+", name)), key=lambda each: int(each[5:]))
    return {
        name: word(file[name].attrs.get("image_geo_parameter", ""))
        for name in found
        if isinstance(file.get(f"{name}/image_data"), h5py.Dataset)
    }


def _chosen(images: dict[str, str], variable: str | None, where: str) -> tuple[str, str]:
    able = {name: kind for name, kind in images.items() if kind in (SUM, ECHO)}
    if variable is None and len(able) == 1:
        return next(iter(able.items()))
    if variable in able:
        return variable, able[variable]
    held = ", ".join(f"{name} ({brief(kind)[1:-1]})" for name, kind in images.items())
    raise Invalid(f"{where}: which image is rain? It holds {held}; name one of {SUM} or {ECHO} as variable")


def _line(about: dict[str, Any], where: str) -> Any:
    """The line from pixels to values."""
    said = word(about.get("calibration_formulas", "")).replace(" ", "")
    found = LINE.fullmatch(said)
    if found is None:
        raise Invalid(
            f"{where}: its calibration is {brief(said)}; only a line such as GEO=0.01*PV+0.0 is read"
        )
    factor, offset = float(found[1]), float(found[2] or 0)
    return lambda raw: factor * raw.astype(float) + offset


def _time(overview: Any, edge: str, where: str) -> pd.Timestamp:
    said = word(overview.get(f"product_datetime_{edge}", ""))
    time = pd.to_datetime(said, format="%d-%b-%Y;%H:%M:%S.%f", errors="coerce")
    if not isinstance(time, pd.Timestamp):
        raise Invalid(f"{where}: its {edge} is {brief(said)}, no time such as 26-AUG-2010;00:00:00.000")
    return time


def _places(about: Any, shape: tuple[int, int], where: str) -> tuple[np.ndarray, np.ndarray]:
    """Latitude and longitude of the pixels' centres, north to south as the rows are."""
    if word(about.attrs.get("geo_dim_pixel", "")).upper() != "KM,KM":
        raise Invalid(f"{where}: its pixels are not measured in km; convert it first")
    wide, tall = (float(np.ravel(about.attrs[f"geo_pixel_size_{axis}"])[0]) for axis in "xy")
    west = float(np.ravel(about.attrs["geo_column_offset"])[0]) * wide
    north = float(np.ravel(about.attrs["geo_row_offset"])[0]) * tall
    to = projection(word(about["map_projection"].attrs["projection_proj4_params"]), where)
    east, south = west + shape[1] * wide, north + shape[0] * tall
    # lower left, upper left, upper right, lower right: longitude and latitude
    corners = to([west, west, east, east], [south, north, north, south], inverse=True)
    told = np.ravel(about.attrs["geo_product_corners"]).reshape(4, 2)
    if not np.abs(np.transpose(corners) - told).max() < FARTHEST:
        raise Invalid(f"{where}: its corners do not lie where its projection puts them; fetch it again")
    return centres(to, Pixels(west, wide, shape[1]), Pixels(north, tall, shape[0]))


def _independence(product: str, kind: str) -> dict[str, str]:
    """Whether a product knows nothing of gauges, where its name says it."""
    if kind == ECHO or ALONE.search(product):
        return {"independent": "true"}
    return {"independent": "false"} if CORRECTED.search(product) else {}
