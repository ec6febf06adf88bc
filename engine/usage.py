"""Usage: what a person writes to use a source that was looked at.

A *task* that uses all of it, as YAML, runs as it stands. A task does not say how a file is read, so where
that had to be told there is an *entry* for ``sources.yaml`` too (see `engine.catalogue`).
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
import yaml

from engine import catalogue
from engine.fields import Box, Grid, Observations
from engine.intervals import MONTH, named
from engine.quantities import RAIN
from engine.sources import existing
from engine.sources.cases import locate
from engine.values import Invalid

LEAST = 5  # gauges, of which some are held out to judge
Found = xr.DataArray | Observations


def entry_of(name: str, reader: str | None, about: dict[str, Any]) -> tuple[str, str]:
    """The entry of the catalogue that a source needs to be read so again, and the name to use for it."""
    if locate(name) or catalogue.entry(name):
        return "", name
    path = str(existing(name).resolve())
    if not about and not reader:
        return "", path
    short = re.sub("[^A-Za-z0-9_.]+", "-", Path(path).stem).strip(".-_")[:64] or "archive"
    told: dict[str, Any] = {
        key: list(value) if isinstance(value, Box) else value for key, value in about.items()
    }
    if "places" in told:
        told["places"] = str(Path(told["places"]).expanduser().resolve())
    return _yaml({short: {"path": path} | ({"reader": reader} if reader else {}) | told}), short


def task_of(name: str, found: Found) -> str:
    """A task that uses all of it; of another quantity than rain, what a task would say of it."""
    values = found.rain if isinstance(found, Observations) else found
    times: Any = values.indexes["time"]
    interval = values.attrs["interval"]
    start = times[0] - pd.Timedelta(interval)
    period = {"start": start.isoformat(), "end": times[-1].isoformat(), "step": interval}
    if isinstance(found, Observations) and not len(found):
        return ""
    told = _domain(found) | {"period": period}
    if isinstance(found, Observations):
        gauges = {"source": name, "hold_out": 0.2 if len(found) >= LEAST else 0, "seed": 0}
        return _yaml(told | {"gauges": gauges, "method": "kriging", "members": 16})
    if values.name != RAIN:
        return _yaml(told | {"sources": [{"name": name, "role": "predictor"}]})  # beside rain
    sources = [{"name": name, "role": "background"}]
    return _yaml(told | {"sources": sources, "method": "interpolation", "members": 1})


def _domain(found: Found) -> dict[str, Any]:
    """Its own grid, or square cells like its own within it; around gauges some tens of round ones."""
    if isinstance(found, Observations):
        spans = max(float(np.ptp(found.lat)), float(np.ptp(found.lon)), 0.2)
        step = 10.0 ** math.floor(math.log10(spans / 20))
        low = [max(math.floor(axis.min() / step) - 1, -end / step) for axis, end in _ends(found)]
        high = [min(math.ceil(axis.max() / step) + 1, end / step) for axis, end in _ends(found)]
        return {"domain": [round(each * step, 9) for each in (*low, *high)], "step": round(step, 9)}
    try:
        grid = Grid.of(found)
        return {"domain": [float(each) for each in grid.box], "step": float(grid.step)}
    except Invalid:  # cells that are not square, or reach beyond a pole
        steps, (west, south, east, north) = cells_of(found)
        step, south, north = float(f"{max(steps):.2g}"), max(south, -90.0), min(north, 90.0)
        wide, high = (max(2, math.floor(side / step + 1e-6)) for side in (east - west, north - south))
        domain = west, south, west + wide * step, south + high * step
        return {"domain": [round(each, 9) for each in domain], "step": step}


def _ends(found: Observations) -> list[tuple[np.ndarray, float]]:
    """Its longitudes and latitudes, and how far such go."""
    return [(found.lon, 180.0), (found.lat, 90.0)]


def _yaml(told: Any) -> str:
    return yaml.safe_dump(told, sort_keys=False, allow_unicode=True, default_flow_style=None, width=1000)


def lasts_of(values: xr.DataArray) -> Any:
    """The length of its intervals: of time, or a month."""
    interval = values.attrs["interval"]
    return MONTH if interval == named(MONTH) else pd.Timedelta(interval)


def cells_of(found: xr.DataArray) -> tuple[list[float], list[float]]:
    """How high and wide its cells are, and its edges: west, south, east, north."""
    lat, lon = found.lat.values.astype(float), found.lon.values.astype(float)
    high, wide = (float(np.ptp(axis)) / (len(axis) - 1) for axis in (lat, lon))
    edges = lon[0] - wide / 2, lat[0] - high / 2, lon[-1] + wide / 2, lat[-1] + high / 2
    return [high, wide], [float(each) for each in edges]
