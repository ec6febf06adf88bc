"""One hour of all members: what the ensemble screen draws, worked out once and away from the loop.

An `Hour` holds the members of a run at one time with what is asked of them: the picture of each, its mean
over the domain and its maximum, what it says at the gauges in use and how far that is from their reports, and
how far the members agree where it rains.

The *stack* lets a browser map the chance of more than any amount without asking again. Each cell has at most
21 levels: the members in order or, of more members, quantiles at the middles of 21 equal shares. A level is
one byte, the number of `AMOUNTS` that it exceeds. The threshold is always one of these amounts, so the byte
decides ``> threshold`` exactly. Up to 21 members the share that is counted is therefore the share of members,
without an error; of more members it is within about half a level, 2.4 %.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from app import raster, store
from app.pictures import Picture, Shelf
from engine.bilinear import at_places
from engine.diagnostics.tally import DRY
from engine.fields import Grid, Observations
from engine.given import in_use

LEVELS = 21
MISSING = 255  # the byte of a level that is not known
# Numbers of two digits, from 0.1 to 300 mm/h: steps of 1 to 20 %, so a slider over them is about geometric.
AMOUNTS = np.concatenate(
    [np.arange(10, 100, 2) / 100, np.arange(10, 100) / 10, np.arange(10.0, 100), np.arange(100.0, 301, 10)]
)


@dataclass(frozen=True)
class Hour:
    """All members of a run at one time; the first axis is the member, everywhere."""

    values: np.ndarray  # (member, lat, lon)
    grid: Picture  # any of them, for its places
    images: list[np.ndarray]  # colour classes on the rows of the picture
    mean: np.ndarray  # over the domain, mm/h
    most: np.ndarray  # mm/h in a cell
    read: np.ndarray  # (member, gauge) at the gauges that report
    gauges: np.ndarray  # what these report, mm/h
    wet: float  # share of the area where all members have rain
    dry: float  # share where none has
    levels: np.ndarray  # the stack (level, lat, lon)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def off(self) -> np.ndarray:
        """The root mean square difference from the gauges, mm/h; missing without gauges."""
        if not self.gauges.size:
            return np.full(len(self), np.nan)
        return np.sqrt(np.mean((self.read - self.gauges) ** 2, axis=1))


_made = Shelf(store._pictures, 24)
_given = Shelf(store._pictures, 16)


def hour(run: str, time: pd.Timestamp, edges: tuple[float, ...]) -> tuple[Hour | None, Future[Any] | None]:
    """An hour drawn in classes with these edges if it is known, else a future to wait for.
    Both None: the run has no such hour."""
    key = (run, store.journal().get(run).done, time, edges)
    found = _made.known(key)
    if found is not None:
        return (found or None), None
    return None, _made.fetch(key, lambda: _read(run, time, edges) or False)


def _read(run: str, time: pd.Timestamp, edges: tuple[float, ...]) -> Hour | None:
    found = store.members(run, time)
    if found is None:
        return None
    gauges = _given.known(run)
    if gauges is None:
        gauges = _given.made(run, lambda: in_use(store.journal().get(run).task) or False)
    return of(found, time, gauges or None, edges)


def of(
    members: xr.DataArray, time: pd.Timestamp, gauges: Observations | None, edges: tuple[float, ...]
) -> Hour:
    """What there is to say of the members (member, lat, lon) of an hour."""
    values = members.values
    grid = Picture.of(values[0], members)
    read, reported = _at_gauges(values, Grid.of(members), gauges, time)
    area = np.broadcast_to(np.cos(np.radians(grid.lat))[:, None], values.shape[1:])
    area = np.where(np.isfinite(values).all(axis=0), area, 0)
    total = max(area.sum(), 1e-12)
    rain = values >= DRY
    return Hour(
        values=values,
        grid=grid,
        images=[raster.classes(grid.rows(each), edges) for each in values],
        mean=raster.area_mean(values, grid.lat),
        most=np.nanmax(np.nan_to_num(values, nan=0.0), axis=(1, 2)),
        read=read,
        gauges=reported,
        wet=float((area * rain.all(axis=0)).sum() / total),
        dry=float((area * ~rain.any(axis=0)).sum() / total),
        levels=levels(values),
    )


def _at_gauges(
    values: np.ndarray, grid: Grid, gauges: Observations | None, time: pd.Timestamp
) -> tuple[np.ndarray, np.ndarray]:
    """What each member says at the gauges that report in this hour, and what they report."""
    if gauges is None:
        return np.empty((len(values), 0)), np.empty(0)
    reported = gauges.at([time]).values[:, 0]
    read = np.array([at_places(each, grid, gauges.lat, gauges.lon) for each in values])
    both = np.isfinite(reported) & np.isfinite(read).all(axis=0)
    return read[:, both], reported[both]


def levels(values: np.ndarray) -> np.ndarray:
    """The stack (level, lat, lon) of the members (member, lat, lon) of an hour, as bytes."""
    many = len(values)
    depth = min(many, LEVELS)
    ordered = np.sort(values, axis=0)
    places = (np.arange(depth) + 0.5) * many / depth - 0.5
    below = np.floor(places).astype(int)
    upper = np.minimum(below + 1, many - 1)
    share = (places - below).astype(values.dtype)[:, None, None]
    mixed = ordered[below] + share * (ordered[upper] - ordered[below])
    amounts, stack = AMOUNTS.astype(values.dtype), np.zeros(mixed.shape, "uint8")
    wet = mixed > amounts[0]  # most of a stack is dry, and a search takes long
    stack[wet] = np.searchsorted(amounts, mixed[wet])
    stack[:, np.isnan(ordered[-1])] = MISSING
    return stack


def nearest_amount(above: float) -> int:
    """The number of the amount nearest to a threshold, in ratio."""
    return int(np.abs(np.log(AMOUNTS / above)).argmin())
