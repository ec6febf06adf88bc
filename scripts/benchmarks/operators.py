"""Operators: what instruments see, against plain references, scipy and xarray; adjoints; mass; time.

Sixteen fields of 250 x 250 cells of 0.1 degree (films: 24 hours of 64 x 64). Every operator, alone and
composed, is held to the dot-product test: the residual is |<A x, w> - <x, A' w>| / (|A x| |w|), which is zero
but for rounding. Area means are compared with a double loop over overlapping cells, with a sparse matrix
(what general regridders apply) and, where the coarse cells are whole blocks, with xarray; readings at gauges
with scipy's map_coordinates and xarray's interp. Seconds are processor seconds, taking turns with the peer;
``low`` and ``high`` are the extremes of the repetitions. ``case`` picks operators by a part of the name.
"""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Callable

import numpy as np
import scipy.ndimage
import scipy.sparse
import torch
import xarray as xr
from torch import Tensor

from engine.fields import Box, Grid
from engine.observe import (
    Each,
    Gather,
    Highest,
    Hours,
    Operator,
    Stack,
    Then,
    Through,
    areas,
    cells,
    lines,
    points,
)
from engine.transforms import Log

MEMBERS, GAUGES, HOURS = 16, 2000, 24
BOX = Box(100, 20, 125, 45)
GRID, BLOCKS, ACROSS = Grid(BOX, 0.1), Grid(BOX, 0.5), Grid(BOX, 0.625)
SMALL = Grid(Box(100, 20, 106.4, 26.4), 0.1)
FILM = (HOURS, *SMALL.shape)
SCIPY, XARRAY = (f"{name} {importlib.metadata.version(name)}" for name in ("scipy", "xarray"))


def run(case: str | None, quick: bool) -> list[dict]:
    torch.manual_seed(0)
    torch.set_num_threads(1)  # as scipy and xarray have
    repeats = 5 if quick else 25
    known = {name: each for name, each in operators().items() if not case or case in name}
    rows = [row for name, each in known.items() for row in adjointness(name, each, repeats)]
    if not case:
        rows += [*area_means(repeats), *readings(repeats), *films(repeats), *links()]
    return [{"case": f"{MEMBERS} fields"} | row for row in rows]


def places(grid: Grid, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Between the outermost cell centres."""
    random, half, box = np.random.default_rng(seed), grid.step / 2, grid.box
    lat = random.uniform(box.south + half, box.north - half, count)
    return lat, random.uniform(box.west + half, box.east - half, count)


def gauges() -> Gather:
    return points(GRID, *places(GRID, GAUGES, 1))


def operators() -> dict[str, Operator]:
    swath = np.random.default_rng(3).random(GRID.shape) < 0.3
    six = torch.eye(HOURS // 6, dtype=torch.float64).repeat_interleave(6, 1)
    some = points(SMALL, *places(SMALL, 200, 4))
    ends = (np.c_[places(GRID, 300, 5)], np.c_[places(GRID, 300, 6)])
    return {
        "points": gauges(),
        "lines": lines(GRID, *ends),
        "swath": cells(swath),
        "areas, whole blocks": areas(GRID, BLOCKS),
        "areas, across cells": areas(GRID, ACROSS),
        "highest of blocks": Highest(5, GRID.shape),
        "hours summed": Hours(six, FILM),
        "points of each hour": Each(some, HOURS),
        "hours summed, then points": Then(Hours(six, FILM), Each(some, HOURS // 6)),
        "points through the transform": Through(gauges(), Log()),
        "areas through the transform": Through(areas(GRID, ACROSS), Log()),
        "highest through the transform": Through(Highest(5, GRID.shape), Log()),
        "all of these at once": Stack([Through(areas(GRID, BLOCKS), Log()), gauges(), cells(swath)]),
    }


def fields(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(MEMBERS, *shape, dtype=torch.float64)


def adjointness(name: str, operator: Operator, repeats: int) -> list[dict]:
    linear, x = operator.linear(fields(operator.shape)), fields(operator.shape)
    seen = linear(x)
    w = torch.randn_like(seen)
    apart = (seen * w).sum(1) - (x * linear.adjoint(w)).flatten(1).sum(1)
    residual = float((apart.abs() / (seen.norm(dim=1) * w.norm(dim=1))).max())
    taken = 1000 * timed(repeats, lambda: linear.adjoint(linear(x)))[0]
    return [
        row(name, "dot-product residual, worst member", residual, n=MEMBERS),
        row(name, "there and back", np.median(taken), taken.min(), taken.max(), repeats, "ms"),
    ]


def area_means(repeats: int) -> list[dict]:
    rain, rows = fields(GRID.shape).exp(), []
    for name, coarse in (("areas, whole blocks", BLOCKS), ("areas, across cells", ACROSS)):
        rows += one_area_mean(name, coarse, rain, repeats)
    operator, weight = areas(GRID, BLOCKS), xr.DataArray(area(GRID).numpy(), dims=("lat", "lon"))
    array = xr.DataArray(rain.numpy(), dims=("member", "lat", "lon"))

    def theirs() -> np.ndarray:
        whole = (array * weight).coarsen(lat=5, lon=5).sum() / weight.coarsen(lat=5, lon=5).sum()
        return whole.values.reshape(MEMBERS, -1)

    about = ("areas, whole blocks", f"coarsen, {XARRAY}")
    return rows + against(*about, repeats, lambda: operator(rain), theirs)


def one_area_mean(name: str, coarse: Grid, rain: Tensor, repeats: int) -> list[dict]:
    operator = areas(GRID, coarse)
    found, fine = operator(rain), rain.flatten(1)
    sums = (found * area(coarse).flatten()).sum(1) / (fine * area(GRID).flatten()).sum(1)
    plain = looped(rain[0].numpy(), GRID, coarse)
    matrix = scipy.sparse.csr_array(scipy.sparse.kron(operator.rows.numpy(), operator.columns.numpy()))
    return [
        row(name, "mass lost or made, worst member", (sums - 1).abs().max(), n=MEMBERS),
        row(
            name,
            "worst difference from a double loop",
            np.abs(found[0].numpy() / plain - 1).max(),
            n=plain.size,
        ),
        *against(
            name,
            f"a sparse matrix, {SCIPY}",
            repeats,
            lambda: operator(rain),
            lambda: np.ascontiguousarray((matrix @ fine.numpy().T).T),
        ),
    ]


def area(grid: Grid) -> Tensor:
    """Of each cell on the sphere, but for a factor."""
    edges = np.radians(grid.box.south + np.arange(grid.shape[0] + 1) * grid.step)
    tall = torch.from_numpy(np.diff(np.sin(edges)))
    return tall[:, None] * torch.full((grid.shape[1],), grid.step, dtype=torch.float64)


def looped(rain: np.ndarray, fine: Grid, coarse: Grid) -> np.ndarray:
    """Area means, cell by cell: the integral over what each pair of cells shares."""
    ratio, found = coarse.step / fine.step, []
    for row in range(coarse.shape[0]):
        for column in range(coarse.shape[1]):
            whole = total = 0.0
            for y in range(int(row * ratio + 1e-9), int(np.ceil((row + 1) * ratio - 1e-9))):
                low, high = np.clip([row * ratio, (row + 1) * ratio], y, y + 1) * fine.step + fine.box.south
                tall = np.sin(np.radians(high)) - np.sin(np.radians(low))
                for x in range(int(column * ratio + 1e-9), int(np.ceil((column + 1) * ratio - 1e-9))):
                    share = tall * (min((column + 1) * ratio, x + 1) - max(column * ratio, x))
                    whole, total = whole + share, total + share * rain[y, x]
            found.append(total / whole)
    return np.array(found)


def readings(repeats: int) -> list[dict]:
    rain, (lat, lon) = fields(GRID.shape), places(GRID, GAUGES, 1)
    index = np.stack([(lat - GRID.lat[0]) / GRID.step, (lon - GRID.lon[0]) / GRID.step])
    operator, slices = gauges(), rain.numpy()
    coordinates = {"lat": GRID.lat, "lon": GRID.lon}
    array = xr.DataArray(slices, coordinates, ("member", "lat", "lon"))
    at = {"lat": xr.DataArray(lat, dims="gauge"), "lon": xr.DataArray(lon, dims="gauge")}

    def own() -> Tensor:
        return operator(rain)

    def mapped() -> np.ndarray:
        each = [scipy.ndimage.map_coordinates(field, index, order=1, mode="nearest") for field in slices]
        return np.stack(each)

    return [
        *against("points", f"map_coordinates, {SCIPY}", repeats, own, mapped),
        *against("points", f"interp, {XARRAY}", repeats, own, lambda: array.interp(at).values),
    ]


def films(repeats: int) -> list[dict]:
    film = fields(FILM)
    hours, blocks = operators()["hours summed"], Highest(4, SMALL.shape)
    array, first = xr.DataArray(film.numpy(), dims=("member", "time", "lat", "lon")), film[:, 0]
    return [
        *against(
            "hours summed",
            f"coarsen, {XARRAY}",
            repeats,
            lambda: hours(film),
            lambda: array.coarsen(time=6).sum().values.reshape(MEMBERS, -1),
        ),
        *against(
            "highest of blocks",
            "numpy's maximum",
            repeats,
            lambda: blocks(first),
            lambda: first.numpy().reshape(MEMBERS, 16, 4, 16, 4).max((2, 4)).reshape(MEMBERS, -1),
        ),
    ]


def links() -> list[dict]:
    """Sixteen readings a link against two thousand, over links of up to 40 km, in white noise: the worst."""
    random, rain = np.random.default_rng(7), fields(GRID.shape)
    starts = random.uniform((21, 101), (44, 124), (300, 2))
    ends = starts + random.uniform(-0.25, 0.25, (300, 2))
    coarse, fine = (lines(GRID, starts, ends, reads)(rain) for reads in (16, 2000))
    off = float((coarse - fine).square().mean().sqrt() / fine.std())
    return [row("lines", "error of sixteen readings / spread", off, n=300)]


def against(name: str, peer: str, repeats: int, own: Callable, theirs: Callable) -> list[dict]:
    """The worst difference, over the largest value, and the ratio of the seconds."""
    right = theirs()
    worst = np.abs(own().numpy() - right).max() / np.abs(right).max()
    mine, other = timed(repeats, own, theirs)
    ratio = mine / other
    return [
        row(name, f"worst difference from {peer}", worst, n=right.size),
        row(name, f"seconds / those of {peer}", np.median(ratio), ratio.min(), ratio.max(), repeats),
    ]


def timed(repeats: int, *works: Callable) -> list[np.ndarray]:
    """Processor seconds of each, taking turns, after one round that does not count."""
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(repeats + 1):
        for work, spent in zip(works, taken, strict=True):
            begun = time.process_time()
            work()
            spent.append(time.process_time() - begun)
    return [np.array(spent[1:]) for spent in taken]


def row(method: str, metric: str, value, low=None, high=None, n: int = 1, unit: str = "1") -> dict:
    bounds = {key: None if each is None else float(each) for key, each in (("low", low), ("high", high))}
    return {"method": method, "metric": metric, "value": float(value), **bounds, "n": int(n), "unit": unit}
