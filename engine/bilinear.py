"""Bilinear reading: of a field at exact places, and of one grid on another.

Half a cell beyond its outermost centres a field keeps the value of its edge; farther out nobody asks.
What touches a missing cell is missing, unless the place is the very centre of a known one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import xarray as xr

from engine.fields import Grid


def positions(centres: np.ndarray, wanted) -> np.ndarray:
    """Fractional indices of coordinates among ascending cell centres, held at the edges."""
    index = np.interp(wanted, centres, np.arange(len(centres)))
    return np.where(np.abs(index - np.round(index)) < 1e-6, np.round(index), index)


def at_places(field: np.ndarray, grid: Grid, lat, lon) -> np.ndarray:
    """Values of a field (lat, lon) of this grid at places."""
    return read(field, positions(grid.lat, lat), positions(grid.lon, lon))


def on_grid(rain: xr.DataArray, grid: Grid) -> np.ndarray:
    """A field (lat, lon) of any grid at the cell centres of another."""
    rows, cols = positions(rain.lat.values, grid.lat), positions(rain.lon.values, grid.lon)
    return read(rain.values, *np.meshgrid(rows, cols, indexing="ij"))


def read(values: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Values of fields (..., lat, lon) at fractional indices."""
    # Weights of zero must not let a missing neighbour in, and zeros must give exactly zero.
    low, left = (
        np.minimum(each.astype(int), size - 2)
        for each, size in zip((rows, cols), values.shape[-2:], strict=True)
    )
    up, right = rows - low, cols - left
    total = np.zeros(values.shape[:-2] + rows.shape)
    for row, tall in ((low, 1 - up), (low + 1, up)):
        for col, wide in ((left, 1 - right), (left + 1, right)):
            weight = tall * wide
            total += np.where(weight > 0, weight * values[..., row, col], 0.0)
    return total


def means_on_grid(rains: Iterable[xr.DataArray], grid: Grid) -> Iterator[np.ndarray]:
    """The mean of several fields of the same times, read onto one grid, time by time."""
    for hours in zip(*rains, strict=True):
        yield np.mean([on_grid(each, grid) for each in hours], 0)


def pooled(rain: np.ndarray, factor: int, pooling: str = "mean") -> np.ndarray:
    """The mean of every square of cells, or the largest in it, as far as at least half of it is known."""
    rows, columns = (size // factor for size in rain.shape[-2:])
    cut = rain[..., : rows * factor, : columns * factor].astype(np.float32)
    squares = cut.reshape(*rain.shape[:-2], rows, factor, columns, factor)
    known = np.isfinite(squares)
    enough = 2 * known.sum((-3, -1)) >= factor**2
    if pooling == "max":
        found = np.where(known, squares, -np.inf).max((-3, -1))
    else:
        found = np.where(known, squares, 0.0).sum((-3, -1)) / np.maximum(known.sum((-3, -1)), 1)
    return np.where(enough, found, np.nan).astype(np.float32)
