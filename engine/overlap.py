"""Fields on other grids by overlapping areas: means where cells grow, straight between centres where they
shrink.

`engine.bilinear` reads a field at places; here what a cell holds is what it covers, so that coarse cells keep
the rain of the fine ones in them.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import xarray as xr

from engine.bilinear import on_grid, positions, read
from engine.fields import Box, Grid
from engine.observe import areas
from engine.values import Invalid

Part = tuple[slice, slice]  # rows and columns of a grid
LIKE = 0.01  # share by which two cells of one size may differ


def touched(whole: Grid, domain: Box, prior: str) -> Part:
    """The cells of a prior's grid that a domain touches, two a side at least, as a grid has."""
    box = whole.box
    if not all(box.contains([domain.south, domain.north], [domain.west, domain.east])):
        raise Invalid(f"domain: {tuple(domain)}; prior {prior} knows {tuple(box)}: stay inside")

    def side(low: float, high: float, edge: float, size: int) -> slice:
        first = math.floor((low - edge) / whole.step + 1e-6)
        last = math.ceil((high - edge) / whole.step - 1e-6)
        if last - first < 2:
            first = min(first, size - 2)
            last = first + 2
        return slice(first, last)

    rows = side(domain.south, domain.north, box.south, whole.shape[0])
    return rows, side(domain.west, domain.east, box.west, whole.shape[1])


def part(whole: Grid, rows: slice, columns: slice) -> Grid:
    """Some cells of a grid."""
    west, east = (whole.box.west + whole.step * each for each in (columns.start, columns.stop))
    south, north = (whole.box.south + whole.step * each for each in (rows.start, rows.stop))
    return Grid(Box(west, south, east, north), whole.step)


def on_cells(field: xr.DataArray, cells: Grid) -> np.ndarray:
    """A field in these cells, missing where half of a cell or more is."""
    own = Grid.of(field)
    if own.step > (1 + LIKE) * cells.step:
        return np.stack([on_grid(each, cells) for each in field])
    box, half = cells.box, own.step / 2
    inside = field.sel(
        lat=slice(box.south - half, box.north + half), lon=slice(box.west - half, box.east + half)
    )
    means, values = areas(Grid.of(inside), cells), torch.from_numpy(inside.values.astype(float))
    known = means(values.isfinite().double())
    found = torch.where(known > 0.5, means(values.nan_to_num()) / known.clamp(min=1e-9), torch.nan)
    return found.reshape(-1, *cells.shape).numpy()


def onto(grid: Grid, own: Grid, rain: np.ndarray) -> np.ndarray:
    """Whole fields (members, times, rows, columns) of a grid of one's own on another that it covers."""
    if own == grid:
        return rain
    flat = rain.reshape(-1, *own.shape)
    if grid.step < (1 - LIKE) * own.step:
        rows, columns = positions(own.lat, grid.lat), positions(own.lon, grid.lon)
        found = read(flat, *np.meshgrid(rows, columns, indexing="ij"))
    else:
        found = areas(own, grid)(torch.from_numpy(flat)).numpy()
    return found.reshape(*rain.shape[:2], *grid.shape).astype(np.float32)
