"""What readers of radar composites have in common: echoes, map projections, packed bytes.

A composite is one map made of many radars, on the pixels of a projection, at one time or several. Some hold
rain; some hold the echo, the *reflectivity* Z, which is rain only by an empirical law Z = a R^b. The law is
told in a note, and ``zr_a`` and ``zr_b`` change it.

A projection that a file describes is words for PROJ, which can name files of this machine; only words that
carry names and numbers of a projection are passed on. Places are those on the projection's own figure of
the Earth, as the weather services give them.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from pyproj import Proj  # before eccodes: two copies of PROJ in one process must meet in this order
from pyproj.exceptions import ProjError

from engine.fields import Box, rain, wrap
from engine.quantities import noted
from engine.reading.guard import fits
from engine.reading.regrid import Cells, placed
from engine.values import Invalid, brief, number, spelled

MARSHALL_PALMER = (200.0, 1.6)
MOST_UNPACKED = 2**29  # bytes; a month of five-minute maps of Germany has more and comes in days
LONGEST_PROJECTION = 1000
# Of PROJ: projections and figures of the Earth in numbers and names, nothing that could be a file.
WORD = re.compile(
    r"(proj|lat_[012]|lat_ts|lon_0|lonc|alpha|gamma|k|k_0|x_0|y_0|zone|south|units|to_meter|over|type|wktext|no_defs"
    r"|[abRf]|rf|ellps|datum|towgs84)(=[\w.+,-]*)?",
    re.ASCII,
)


class Echo:
    """The law Z = a R^b (Z in mm6 m-3, R in mm/h): as given, else as is usual for a product."""

    def __init__(
        self, usual: tuple[float, float], zr_a: Any = None, zr_b: Any = None, why: str = "assumed"
    ) -> None:
        self.a = number("zr_a", usual[0] if zr_a is None else zr_a, 1, 10_000)
        self.b = number("zr_b", usual[1] if zr_b is None else zr_b, 0.5, 5)
        why = why if zr_a is None and zr_b is None else "as told"
        self.note = (
            f"rain is made from reflectivity by Z = {self.a:g} R^{self.b:g} ({why}; zr_a, zr_b change it)"
        )

    def __call__(self, decibels: np.ndarray) -> np.ndarray:
        """Rain in mm/h of reflectivity in dBZ; what is no echo, minus infinity, is dry."""
        with np.errstate(over="ignore"):  # no rain is infinite: whoever asks for mm/h refuses it
            return (10.0 ** (np.asarray(decibels, float) / 10) / self.a) ** (1 / self.b)


def projection(words: str, where: str) -> Proj:
    """From the words of PROJ in a file, as +proj=stere +lat_0=90."""
    parts = [each.lstrip("+") for each in words.split()]
    strange = [each for each in parts if not WORD.fullmatch(each)]
    if strange or len(words) > LONGEST_PROJECTION:
        raise Invalid(f"{where}: {brief((strange or [words])[0])} is no plain word of a map projection")
    try:
        return Proj(" ".join(f"+{each}" for each in parts))
    except ProjError:
        raise Invalid(f"{where}: {brief(words)} is no map projection that PROJ knows") from None


class Pixels(NamedTuple):
    """Columns or rows of a map: where they begin, how wide one is (below zero downwards), how many."""

    edge: float
    size: float
    total: int


def centres(to: Proj, columns: Pixels, rows: Pixels) -> tuple[np.ndarray, np.ndarray]:
    """Latitude and longitude of the centres of pixels."""
    return _centres(to.srs, columns, rows)


@functools.lru_cache(maxsize=2)  # the files of a folder mostly have the same map
def _centres(words: str, columns: Pixels, rows: Pixels) -> tuple[np.ndarray, np.ndarray]:
    x, y = (one.edge + (np.arange(one.total) + 0.5) * one.size for one in (columns, rows))
    lon, lat = Proj(words)(*np.meshgrid(x, y), inverse=True)
    found = lat, wrap(np.where(np.isfinite(lon), lon, np.nan))
    for each in found:
        each.flags.writeable = False
    return found


def composed(
    rates: Sequence[np.ndarray],
    times: Any,
    lasts: pd.Timedelta,
    places: tuple[np.ndarray, np.ndarray],
    where: str,
    *lines: str,
    step: float | None = None,
    box: Any = None,
    **about: str,
) -> xr.DataArray:
    """A field from maps in mm/h at these ends of intervals, with these notes and attributes."""
    box = None if box is None else Box.of(box)
    step = None if step is None else number("step", step, 1e-4, 30)
    placed(*places, box, where)
    onto = _cells(places[0].shape, places[0].tobytes(), places[1].tobytes(), step, box)
    fits((len(rates), *onto.grid.shape), where)
    order = np.argsort(pd.DatetimeIndex(times))
    fields = np.stack([onto(rates[at]) for at in order])
    told = f"{places[0].shape[0]} x {places[0].shape[1]} pixels of its projection were brought to cells of"
    lines = (f"{told} {onto.grid.step:g} degrees", *lines)
    axes = (pd.DatetimeIndex(times)[order], onto.grid.lat, onto.grid.lon)
    return noted(rain(fields, *axes, interval=spelled(lasts), **about), *lines)


@functools.lru_cache(maxsize=1)
def _cells(shape: tuple[int, int], lat: bytes, lon: bytes, step: float | None, box: Box | None) -> Cells:
    """The cells of a map, kept for the next file of a folder, whose map is mostly the same."""
    return Cells(np.frombuffer(lat).reshape(shape), np.frombuffer(lon).reshape(shape), step, box)


def word(value: Any) -> str:
    """An attribute of HDF5 as text: bytes, or one text in an array."""
    one = value.flat[0] if isinstance(value, np.ndarray) and value.size else value
    return (one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one)).strip("\0 ")
