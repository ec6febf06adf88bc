"""From the pixels of a map in any projection, or from uneven rows, to equal cells of latitude and longitude.

A cell takes the mean of the pixels whose centres lie in it, at least half of which must be known. A cell
between pixel centres takes the nearest pixel, if it lies no farther than three quarters of a pixel; beyond,
the map has ended. Without a ``step`` cells are those of 0.01, 0.02, 0.05, 0.1 ... degrees that are most
like a pixel.

Rows that are not equally wide become as many equal ones (`evened`): each takes
the mean of what it overlaps, by area, so that no rain is lost; again half of it must be known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from pyproj import (  # before eccodes: two copies of PROJ in one process meet in this order only
    CRS,
    Transformer,
)
from scipy.spatial import KDTree

from engine.fields import Box, Grid
from engine.reading.guard import fits
from engine.values import Invalid

# Of a cell: a centre on an edge, as far as single precision tells, belongs to the north and the east.
ROUNDING = 1e-3


class Cells:
    """From pixels at (row, column) places to equal cells of latitude and longitude."""

    def __init__(self, lat: np.ndarray, lon: np.ndarray, step: float | None, box: Box | None) -> None:
        pixel = spacing(lat, lon)
        step = step or round_step(pixel)
        self.grid = around(lat, lon, step, box)
        west, south, east, north = self.grid.box
        near = (lat > south - 2 * pixel) & (lat < north + 2 * pixel) & (lon > west - 4 * pixel)
        among = np.flatnonzero(near & (lon < east + 4 * pixel))
        if not len(among):
            raise Invalid("map: does not reach the box; choose one that it covers")
        lat, lon = lat.ravel()[among], lon.ravel()[among]
        rows = np.floor((lat - south) / step + ROUNDING).astype(int)
        columns = np.floor((lon - west) / step + ROUNDING).astype(int)
        inside = (rows >= 0) & (rows < self.grid.shape[0]) & (columns >= 0) & (columns < self.grid.shape[1])
        self.pixels = among[inside]
        self.cells = rows[inside] * self.grid.shape[1] + columns[inside]
        shrink = math.cos(math.radians(float(lat.mean())))
        tall, wide = np.meshgrid(self.grid.lat, self.grid.lon * shrink, indexing="ij")
        empty = np.flatnonzero(np.bincount(self.cells, minlength=tall.size) == 0)
        tree = KDTree(np.stack([lat, lon * shrink], 1))
        found = tree.query(np.stack([tall.ravel()[empty], wide.ravel()[empty]], 1))
        away, nearest = (np.asarray(each) for each in found)
        near = away <= 0.75 * pixel
        self.pixels = np.r_[self.pixels, among[nearest[near]]]
        self.cells = np.r_[self.cells, empty[near]]

    def __call__(self, field: np.ndarray) -> np.ndarray:
        values = field.ravel()[self.pixels]
        known, size = np.isfinite(values), math.prod(self.grid.shape)
        total = np.bincount(self.cells, np.where(known, values, 0), size)
        count, of = np.bincount(self.cells, known, size), np.bincount(self.cells, minlength=size)
        mean = np.where((of > 0) & (2 * count >= of), total / np.maximum(count, 1), np.nan)
        return mean.reshape(self.grid.shape).astype(np.float32)

    def over(self, field: xr.DataArray, rows: str, columns: str) -> xr.DataArray:
        """A (lazy) field over rows and columns of pixels, on the cells."""

        def each(part: np.ndarray) -> np.ndarray:
            maps = [self(one) for one in part.reshape(-1, *part.shape[-2:])]
            return np.stack(maps).reshape(*part.shape[:-2], *self.grid.shape)

        sizes = dict(zip(("lat", "lon"), self.grid.shape, strict=True))
        found = _mapped(each, field, (rows, columns), ("lat", "lon"), sizes)
        return found.assign_coords(lat=self.grid.lat, lon=self.grid.lon)


def evened(field: xr.DataArray, axis: str) -> xr.DataArray:
    """A (lazy) field with as many equally wide cells along lat or lon; coordinates ascend."""
    centres = field[axis].values.astype(float)
    middles = (centres[1:] + centres[:-1]) / 2
    edges = np.r_[2 * centres[0] - middles[0], middles, 2 * centres[-1] - middles[-1]]
    edges = edges.clip(-90, 90) if axis == "lat" else edges
    equal = np.linspace(edges[0], edges[-1], len(edges))
    by_area = (lambda x: np.sin(np.radians(x))) if axis == "lat" else (lambda x: x)
    low, high = (np.maximum, np.minimum)
    own, new = by_area(edges), by_area(equal)
    shares = high(new[1:, None], own[None, 1:]) - low(new[:-1, None], own[None, :-1])
    shares = (shares.clip(0) / np.diff(new)[:, None]).astype(np.float32)

    def each(part: np.ndarray) -> np.ndarray:
        there = np.isfinite(part)
        share = there.astype(np.float32) @ shares.T
        total = np.where(there, part, 0).astype(np.float32) @ shares.T
        return np.where(share >= 0.5, total / np.maximum(share, 0.5), np.nan).astype(np.float32)

    found = _mapped(each, field, (axis,), (axis,), {axis: len(centres)})
    return found.assign_coords({axis: (equal[1:] + equal[:-1]) / 2})


def _mapped(
    change: Any, field: xr.DataArray, old: tuple, new: tuple, sizes: Mapping[Any, int]
) -> xr.DataArray:
    """A change of whole maps or rows, at once or, of a lazy field, when they are read."""
    return xr.apply_ufunc(
        change,
        field,
        input_core_dims=[old],
        output_core_dims=[new],
        exclude_dims=set(old),
        dask="parallelized",
        output_dtypes=[np.float32],
        dask_gufunc_kwargs={"output_sizes": sizes, "allow_rechunk": True},
        keep_attrs=True,
    )


def projected(about: Mapping[str, Any], x: xr.DataArray, y: xr.DataArray, where: str) -> tuple[Any, Any]:
    """The latitudes and longitudes of the pixels (y, x) of a CF grid mapping."""
    told = {name: value for name, value in about.items() if "wkt" not in name and name != "spatial_ref"}
    try:  # by its numbers: words for PROJ could name files of this machine
        crs = CRS.from_cf(told)
    except Exception as error:
        raise Invalid(f"{where}: its grid mapping is not understood ({str(error).splitlines()[0]})") from None
    size = [1000.0 if str(each.attrs.get("units")).startswith("k") else 1.0 for each in (x, y)]
    wide, tall = np.meshgrid(x.values * size[0], y.values * size[1])
    lon, lat = Transformer.from_crs(crs, crs.source_crs or crs, always_xy=True).transform(wide, tall)
    return lat, lon


def window(lat: np.ndarray, lon: np.ndarray, box: Box | None, where: str) -> tuple[slice, slice]:
    """Rows and columns that hold a box; where the columns begin elsewhere than in the west, all of them."""
    if box is None:
        return slice(0, len(lat)), slice(0, len(lon))
    box = Box.of(box)
    inside = [(lat >= box.south) & (lat <= box.north), (lon >= box.west) & (lon <= box.east)]
    if not all(each.any() for each in inside):
        raise Invalid(f"{where}: does not reach {tuple(box)}; choose another box")
    rows, columns = (slice(int(one.argmax()), len(one) - int(one[::-1].argmax())) for one in inside)
    if not inside[1][columns].all():
        raise Invalid(f"{where}: its columns begin within {tuple(box)}; ask for a box on one side of that")
    return rows, columns


def placed(lat: np.ndarray, lon: np.ndarray, box: Box | None, where: str) -> None:
    """Refuse a map whose places do not say where it lies."""
    if not (np.isfinite(lat).all() and np.isfinite(lon).all()):
        raise Invalid(f"{where}: some of its pixels have no place; cut the map to those that have one")
    jumps = max(float(np.abs(np.diff(lon, axis=axis)).max(initial=0)) for axis in (0, 1))
    if box is None and jumps > 180:
        raise Invalid(f"{where}: crosses the 180 degree meridian; ask for a box on one side of it")


def spacing(lat: np.ndarray, lon: np.ndarray) -> float:
    """The typical distance of neighbouring pixels, in degrees of a great circle."""
    shrink = np.cos(np.radians(lat))
    steps = [np.hypot(np.diff(lat, axis=axis), np.diff(lon * shrink, axis=axis)) for axis in (0, 1)]
    return float(np.mean([np.median(each) for each in steps]))


def round_step(pixel: float) -> float:
    """Of 1, 2, 5, 10 ... the one nearest in ratio to a pixel."""
    power = 10.0 ** math.floor(math.log10(pixel))
    return round(
        min((power * each for each in (1, 2, 5, 10)), key=lambda each: abs(math.log(each / pixel))), 9
    )


def around(lat: np.ndarray, lon: np.ndarray, step: float, box: Box | None) -> Grid:
    """Whole cells that hold every pixel centre, or as many of them as reach into a box.

    What lies on the northern or eastern edge is beyond it, so the edges are moved by what is rounding.
    """
    beyond = ROUNDING * step
    edges = (lon.min(), lat.min(), lon.max() + beyond, min(lat.max() + beyond, 90.0))
    if box is not None:
        edges = (
            max(box.west, edges[0]),
            max(box.south, edges[1]),
            min(box.east, edges[2]),
            min(box.north, edges[3]),
        )
    low = [math.floor(each / step + ROUNDING) * step for each in edges[:2]]
    high = [math.ceil(each / step - 1e-9) * step for each in edges[2:]]
    if not (low[0] < high[0] and low[1] < high[1]):
        raise Invalid("map: does not reach the box; choose one that it covers")
    grid = Grid(Box(*low, *high), step)
    fits(grid.shape, "map")
    return grid
