"""From rain on latitudes and longitudes to pictures in Web Mercator.

A map in a browser is drawn in Web Mercator metres, where x grows evenly with longitude and y does not
grow evenly with latitude. So only the *rows* of a field have to move: a picture in Mercator is the
field with its rows interpolated, linearly in y, to rows of equal height, and its columns untouched.
That is one weighted sum of two rows per row, far cheaper than projecting a mesh.

A picture travels as one byte a pixel: the number of its colour class. Class 0 lies below the first edge
and is transparent, class ``k`` begins *at* edge ``k - 1``, the top class is open, and one more class says
"missing". The exact values stay on the server, for the readout.

The statistics of an ensemble that a map can show, and the coast around a domain, are computed here too,
with NumPy alone.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from engine.fields import Box

EARTH_RADIUS_M = 6378137.0
FARTHEST_LAT = 85.0511
COASTLINES = Path(__file__).resolve().parents[1] / "assets" / "coastlines.npz"
STATISTICS = ("mean", "p10", "p50", "p90", "spread", "above", "member", "grade")


def to_x(lon):
    return np.radians(lon) * EARTH_RADIUS_M


def to_y(lat):
    lat = np.clip(lat, -FARTHEST_LAT, FARTHEST_LAT)
    return EARTH_RADIUS_M * np.arctanh(np.sin(np.radians(lat)))


def to_lon(x):
    return np.degrees(np.asarray(x) / EARTH_RADIUS_M)


def to_lat(y):
    return np.degrees(np.arcsin(np.tanh(np.asarray(y) / EARTH_RADIUS_M)))


def extent(box: Box) -> tuple[float, float, float, float]:
    """Left, bottom, right, top of a box in metres."""
    left, right = to_x(np.array([box.west, box.east]))
    bottom, top = to_y(np.array([box.south, box.north]))
    return float(left), float(bottom), float(right), float(top)


@dataclass(frozen=True)
class Rows:
    """Which two rows make each row of a picture, with what weight; and where the picture lies."""

    lower: np.ndarray
    weight: np.ndarray
    left: float
    bottom: float
    width: float
    height: float

    @classmethod
    def of(cls, lat: np.ndarray, lon: np.ndarray) -> Rows:
        """For a grid of these centres; as many rows as make pixels about square."""
        half_lat, half_lon = (lat[1] - lat[0]) / 2, (lon[1] - lon[0]) / 2
        left, right = to_x(np.array([lon[0] - half_lon, lon[-1] + half_lon]))
        bottom, top = to_y(np.array([lat[0] - half_lat, lat[-1] + half_lat]))
        rows = max(2, round((top - bottom) / ((right - left) / lon.size)))
        wanted = bottom + (np.arange(rows) + 0.5) * (top - bottom) / rows
        known = to_y(lat)
        lower = np.clip(np.searchsorted(known, wanted) - 1, 0, lat.size - 2)
        weight = np.clip((wanted - known[lower]) / (known[lower + 1] - known[lower]), 0, 1)
        return cls(lower, weight, float(left), float(bottom), float(right - left), float(top - bottom))

    @property
    def nearest(self) -> Rows:
        """Each row of the picture is the nearer row of the field: for what cannot be mixed, as grades."""
        return replace(self, weight=self.weight.round())

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """A field (lat, lon) on the rows of the picture; beside a missing row the nearer one decides."""
        below, above = values[self.lower], values[self.lower + 1]
        weight = self.weight[:, None].astype(values.dtype)
        mixed = below + weight * (above - below)
        if np.isnan(mixed).any():
            nearer = np.where(weight < 0.5, below, above)
            mixed = np.where(np.isnan(mixed), nearer, mixed)
        return mixed


def classes(values: np.ndarray, edges: tuple[float, ...]) -> np.ndarray:
    """The number of each value's colour class as a byte; missing is ``len(edges) + 1``."""
    numbers = np.zeros(values.shape, np.uint8)
    for edge in np.asarray(edges, dtype=values.dtype):  # ten times as fast as a search for every value
        numbers += values >= edge
    numbers[np.isnan(values)] = len(edges) + 1
    return numbers


def statistic(
    members: np.ndarray, name: str, above: float = 1.0, member: int = 0, grades: Sequence[float] = ()
) -> np.ndarray:
    """One picture (lat, lon) from the members (member, lat, lon) of an hour.

    Quantiles interpolate linearly between ordered members; ``spread`` is the standard deviation with
    ``M - 1`` (none for a single member); ``above`` is the share of members that exceed the threshold;
    ``grade`` is where the grade with most members begins (0: none; of two alike the lower).
    """
    if name == "member":
        return members[min(member, len(members) - 1)]
    if name == "mean":
        return members.mean(axis=0)
    if name == "spread":
        return members.std(axis=0, ddof=1) if len(members) > 1 else np.full(members.shape[1:], np.nan)
    if name == "above":
        dry = np.isnan(members).any(axis=0)
        share = (members > above).mean(axis=0, dtype=members.dtype)
        return np.where(dry, np.nan, share)
    if name == "grade":
        return _likeliest(members, grades)
    if name in ("p10", "p50", "p90"):
        return _quantile(members, int(name[1:]) / 100)
    raise ValueError(f"statistic: no {name!r}; there are {', '.join(STATISTICS)}")


def _likeliest(members: np.ndarray, grades: Sequence[float]) -> np.ndarray:
    begins = np.array([0, *grades], dtype=members.dtype)
    numbers = np.searchsorted(begins[1:], members, side="right")
    likeliest = np.argmax([(numbers == each).sum(axis=0) for each in range(len(begins))], axis=0)
    return np.where(np.isnan(members).any(axis=0), np.nan, begins[likeliest])


def _quantile(members: np.ndarray, level: float) -> np.ndarray:
    ordered = np.sort(members, axis=0)  # NaN goes last, so a missing member shows in the last row
    place = level * (len(members) - 1)
    low = int(np.floor(place))
    high = min(low + 1, len(members) - 1)
    mixed = ordered[low] + members.dtype.type(place - low) * (ordered[high] - ordered[low])
    return np.where(np.isnan(ordered[-1]), np.nan, mixed)


def area_mean(values: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """The mean over a domain (..., lat, lon); rows weigh as their area, missing cells not at all."""
    weights = np.broadcast_to(np.cos(np.radians(lat))[:, None], values.shape[-2:])
    known = np.isfinite(values)
    total = np.einsum("...ij,ij->...", np.where(known, values, 0), weights)
    weight = np.einsum("...ij,ij->...", known.astype(weights.dtype), weights)
    return np.divide(total, weight, out=np.full(total.shape, np.nan), where=weight > 0)


@dataclass(frozen=True)
class Shores:
    """Lines and areas around a domain, in metres: each a list of (points, 2)."""

    land: list[np.ndarray]
    coasts: list[np.ndarray]
    borders: list[np.ndarray]


@functools.lru_cache(maxsize=8)
def shores(box: Box) -> Shores:
    """Land, coasts and borders within a box, from the file in the assets."""
    with np.load(COASTLINES) as stored:
        land = _lines(stored["land"], stored["land_starts"], box)
        borders = _lines(stored["borders"], stored["borders_starts"], box)
    areas = [_metres(area) for ring in land if len(area := _clipped(ring, box)) > 2]
    coasts = [_metres(part) for ring in land for part in _inside(ring, box)]
    return Shores(areas, coasts, [_metres(part) for line in borders for part in _inside(line, box)])


def _lines(points: np.ndarray, starts: np.ndarray, box: Box) -> list[np.ndarray]:
    lines = np.split(points.astype(float), starts[1:-1])
    low, high = np.array([box.west, box.south]), np.array([box.east, box.north])
    return [line for line in lines if (line.max(0) >= low).all() and (line.min(0) <= high).all()]


def _metres(points: np.ndarray) -> np.ndarray:
    return np.column_stack([to_x(points[:, 0]), to_y(points[:, 1])])


def _clipped(ring: np.ndarray, box: Box) -> np.ndarray:
    """A closed ring cut to a box, one side after another (Sutherland and Hodgman)."""
    for axis, sign, edge in ((0, 1, box.west), (0, -1, box.east), (1, 1, box.south), (1, -1, box.north)):
        if not len(ring):
            break
        depth = sign * (ring[:, axis] - edge)
        following, next_depth = np.roll(ring, -1, axis=0), np.roll(depth, -1)
        crosses = (depth >= 0) != (next_depth >= 0)
        share = np.divide(depth, depth - next_depth, out=np.zeros_like(depth), where=crosses)
        crossings = ring + share[:, None] * (following - ring)
        pairs = np.stack([ring, crossings], axis=1).reshape(-1, 2)
        ring = pairs[np.stack([depth >= 0, crosses], axis=1).ravel()]
    return ring


def _inside(line: np.ndarray, box: Box) -> list[np.ndarray]:
    """The parts of a line that run inside a box, and not along the seam where the world was cut open."""
    within = box.contains(line[:, 1], line[:, 0])
    seam = (np.abs(line[:, 0]) > 179.999) | (line[:, 1] < -89)
    drawn = (within[:-1] | within[1:]) & ~(seam[:-1] & seam[1:])
    turns = np.flatnonzero(np.diff(np.concatenate([[False], drawn, [False]]).astype(int)))
    return [line[first : last + 1] for first, last in zip(turns[::2], turns[1::2], strict=True)]
