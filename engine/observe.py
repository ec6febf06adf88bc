"""Operators: what an instrument would see of a field.

An `Operator` maps fields (members, *shape) to observations (members, n). Where it is not linear it can be
linearised at a field. A `Linear` one has an adjoint, <A x, w> = <x, A' w>, checked by the dot-product test.

`Gather` reads weighted sums of a few cells: gauges at their exact places (bilinear), microwave links (means
along a line), the swath of a satellite. `Areas` takes area means with overlap matrices and the cosine of
latitude, so that mass is kept. `Hours` sums or picks hours of a film. They are put together with `Then`
and `Stack`; `Through` puts the way back from the latent side inside, for an instrument sees rain, and the
area mean of a transform is not the transform of the area mean.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from engine.fields import Grid
from engine.transforms import Transform
from engine.values import Invalid

Shape = tuple[int, ...]


class Operator(ABC):
    """From fields (members, *shape) to what is seen of them (members, n)."""

    shape: Shape  # of one field

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor: ...

    @abstractmethod
    def linear(self, x: Tensor) -> Linear:
        """The operator's derivative at x."""


class Linear(Operator):
    @abstractmethod
    def adjoint(self, w: Tensor) -> Tensor:
        """From (members, n) back to fields (members, *shape)."""

    def linear(self, x: Tensor) -> Linear:
        return self


@dataclass(frozen=True)
class Gather(Linear):
    """Weighted sums of a few cells each: ``index`` and ``weight`` are (n, k), over the flat field."""

    index: Tensor
    weight: Tensor
    shape: Shape

    def __call__(self, x: Tensor) -> Tensor:
        cells = x.reshape(len(x), -1)[:, self.index]
        return (cells * self.weight.to(cells)).sum(-1)

    def adjoint(self, w: Tensor) -> Tensor:
        parts = (w[..., None] * self.weight.to(w)).reshape(len(w), -1)
        flat = w.new_zeros(len(w), math.prod(self.shape))
        return flat.index_add(1, self.index.flatten(), parts).reshape(len(w), *self.shape)


def points(grid: Grid, lat, lon) -> Gather:
    """Between the four nearest cell centres, at exact coordinates; beyond the outermost, the edge."""
    row, column = ((place - axis[0]) / grid.step for place, axis in ((lat, grid.lat), (lon, grid.lon)))
    return _bilinear(np.asarray(row, float), np.asarray(column, float), grid.shape)


def _bilinear(row: np.ndarray, column: np.ndarray, shape: Shape) -> Gather:
    rows, columns = shape
    row, column = np.clip(row, 0, rows - 1), np.clip(column, 0, columns - 1)
    low_row, low_column = np.minimum(row.astype(int), rows - 2), np.minimum(column.astype(int), columns - 2)
    up, right = row - low_row, column - low_column
    corner = low_row * columns + low_column
    index = np.stack([corner, corner + 1, corner + columns, corner + columns + 1], -1)
    weight = np.stack([(1 - up) * (1 - right), (1 - up) * right, up * (1 - right), up * right], -1)
    return Gather(torch.from_numpy(index), torch.from_numpy(weight), shape)


def lines(grid: Grid, starts, ends, reads: int = 16) -> Gather:
    """Means along straight lines from (lat, lon) to (lat, lon): microwave links."""
    share = (np.arange(reads) + 0.5) / reads
    starts, ends = np.asarray(starts, float), np.asarray(ends, float)
    places = starts[:, None] + share[:, None] * (ends - starts)[:, None]
    every = points(grid, places[..., 0].ravel(), places[..., 1].ravel())
    count = len(starts)
    return Gather(every.index.reshape(count, -1), every.weight.reshape(count, -1) / reads, grid.shape)


def cells(seen: np.ndarray) -> Gather:
    """The cells of a mask, each by itself: a swath, or a picture with gaps."""
    index = torch.from_numpy(np.flatnonzero(seen))[:, None]
    return Gather(index, torch.ones(index.shape, dtype=torch.float64), tuple(seen.shape))


def overlaps(fine: np.ndarray, coarse: np.ndarray, weight: np.ndarray | None = None) -> Tensor:
    """(coarse, fine): the share of each coarse cell that each fine cell fills; both given by their edges."""
    low = np.maximum(fine[:-1], coarse[:-1, None])
    high = np.minimum(fine[1:], coarse[1:, None])
    share = np.clip(high - low, 0, None) * (1.0 if weight is None else weight)
    total = share.sum(1, keepdims=True)
    if not total.all():
        raise Invalid("area means: a coarse cell lies wholly outside the field; cut the coarse grid to it")
    return torch.from_numpy(share / total)


@dataclass(frozen=True)
class Areas(Linear):
    """Means over the cells of a coarser grid: separable overlap matrices for rows and columns."""

    rows: Tensor  # (coarse rows, fine rows)
    columns: Tensor  # (coarse columns, fine columns)

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        return self.rows.shape[1], self.columns.shape[1]

    def __call__(self, x: Tensor) -> Tensor:
        return (self.rows.to(x) @ x @ self.columns.to(x).T).flatten(1)

    def adjoint(self, w: Tensor) -> Tensor:
        coarse = w.reshape(len(w), self.rows.shape[0], self.columns.shape[0])
        return self.rows.to(w).T @ coarse @ self.columns.to(w)


def areas(fine: Grid, coarse: Grid) -> Areas:
    """Area means from one grid to another; a row counts as much as its parallel is long."""

    def edges(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
        rows, columns = grid.shape
        return grid.box.south + np.arange(rows + 1) * grid.step, grid.box.west + np.arange(
            columns + 1
        ) * grid.step

    (south, west), (coarse_south, coarse_west) = edges(fine), edges(coarse)
    # Heights in sin(lat) make shares of area exact: the area between two parallels is their difference.
    sine, coarse_sine = np.sin(np.radians(south)), np.sin(np.radians(coarse_south))
    return Areas(overlaps(sine, coarse_sine), overlaps(west, coarse_west))


@dataclass(frozen=True)
class Hours(Linear):
    """Weighted sums over the hours of a film (time, rows, columns), as a film again, flat: ``weight`` is
    (times seen, hours). A sum over six hours, a mean, every third hour."""

    weight: Tensor
    shape: Shape

    def __call__(self, x: Tensor) -> Tensor:
        return (self.weight.to(x) @ x.flatten(2)).flatten(1)

    def adjoint(self, w: Tensor) -> Tensor:
        film = w.reshape(len(w), self.weight.shape[0], -1)
        return (self.weight.to(w).T @ film).reshape(len(w), *self.shape)


@dataclass(frozen=True)
class Each(Linear):
    """The same operator for each hour of a film."""

    inner: Linear
    hours: int

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        return (self.hours, *self.inner.shape)

    def __call__(self, x: Tensor) -> Tensor:
        return self.inner(x.flatten(0, 1)).reshape(len(x), -1)

    def adjoint(self, w: Tensor) -> Tensor:
        return self.inner.adjoint(w.reshape(len(w) * self.hours, -1)).reshape(len(w), *self.shape)


@dataclass(frozen=True)
class Then(Linear):
    """First one operator, then another on its result, shaped as the second one's field."""

    first: Linear
    second: Linear

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        return self.first.shape

    def __call__(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).reshape(len(x), *self.second.shape))

    def adjoint(self, w: Tensor) -> Tensor:
        return self.first.adjoint(self.second.adjoint(w).flatten(1))


@dataclass(frozen=True)
class Highest(Operator):
    """The largest value in each block of ``size`` by ``size`` cells."""

    size: int
    shape: Shape

    def __call__(self, x: Tensor) -> Tensor:
        return functional.max_pool2d(x[:, None], self.size).flatten(1)

    def linear(self, x: Tensor) -> Linear:
        _, place = functional.max_pool2d(x[:, None], self.size, return_indices=True)
        return Picked(place.flatten(1), self.shape)


@dataclass(frozen=True)
class Picked(Linear):
    """One cell an observation, of each member its own: ``index`` is (members, n)."""

    index: Tensor
    shape: Shape

    def __call__(self, x: Tensor) -> Tensor:
        return x.flatten(1).gather(1, self.index)

    def adjoint(self, w: Tensor) -> Tensor:
        flat = w.new_zeros(len(w), math.prod(self.shape))
        return flat.scatter_add(1, self.index, w).reshape(len(w), *self.shape)


@dataclass(frozen=True)
class Scaled(Linear):
    """A linear operator after a cell-by-cell factor."""

    inner: Linear
    factor: Tensor  # (members, *shape)

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        return self.inner.shape

    def __call__(self, x: Tensor) -> Tensor:
        return self.inner(self.factor * x)

    def adjoint(self, w: Tensor) -> Tensor:
        return self.factor * self.inner.adjoint(w)


@dataclass(frozen=True)
class Through(Operator):
    """An instrument that sees rain, over a field of the latent side."""

    inner: Operator
    transform: Transform

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        return self.inner.shape

    def __call__(self, x: Tensor) -> Tensor:
        return self.inner(self.transform.inverse(x))

    def linear(self, x: Tensor) -> Linear:
        return Scaled(self.inner.linear(self.transform.inverse(x)), self.transform.slope(x))


@dataclass(frozen=True)
class Stack(Operator):
    """Several instruments at once, one after another."""

    parts: Sequence[Operator]

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        return self.parts[0].shape

    def __call__(self, x: Tensor) -> Tensor:
        return torch.cat([part(x) for part in self.parts], 1)

    def linear(self, x: Tensor) -> Linear:
        return StackedLinear([part.linear(x) for part in self.parts])


@dataclass(frozen=True)
class StackedLinear(Linear):
    parts: Sequence[Linear]

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        return self.parts[0].shape

    def __call__(self, x: Tensor) -> Tensor:
        return torch.cat([part(x) for part in self.parts], 1)

    def adjoint(self, w: Tensor) -> Tensor:
        zero = w.new_zeros(1, *self.shape)
        sizes = [part(zero).shape[1] for part in self.parts]
        pieces = zip(self.parts, w.split(sizes, 1), strict=True)
        return torch.stack([part.adjoint(piece) for part, piece in pieces]).sum(0)
