"""Simulated worlds that systems learn from: cases of hourly layers on one grid, periodic west to east."""

from __future__ import annotations

import numpy as np
import xarray as xr

from engine.sources.cases import Case
from engine.values import Invalid


def hourly(case: Case, name: str) -> xr.DataArray:
    """A layer of a world."""
    field = case.layer(name)
    if not isinstance(field, xr.DataArray) or field.attrs.get("interval") != "1h":
        raise Invalid(f"worlds: {case.name}/{name} is no hourly field")
    return field


def law(values: np.ndarray, shares: int) -> np.ndarray:
    """Means of equal parts of the sorted values (times, ...), so that their mean is the values' own."""
    ordered = np.sort(values, 0)
    edges = np.linspace(0, len(ordered), shares + 1)
    total = np.concatenate([np.zeros_like(ordered[:1], dtype=float), ordered.cumsum(0, dtype=float)])
    low = np.minimum(edges.astype(int), len(ordered) - 1)
    whole = total[low] + (edges - low).reshape(-1, *(1,) * (values.ndim - 1)) * ordered[low]
    return np.diff(whole, axis=0) * shares / len(ordered)


def blocks(fine: np.ndarray, times: int) -> np.ndarray:
    """Means of squares of cells, of fields (..., rows, columns)."""
    rows, columns = fine.shape[-2:]
    squares = fine.reshape(*fine.shape[:-2], rows // times, times, columns // times, times)
    return squares.mean((-3, -1), dtype=float).astype(fine.dtype)
