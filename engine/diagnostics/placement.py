"""Right rain in the wrong place: errors of place told from errors of amount.

Point by point, a storm forecast 30 km beside itself is wrong twice, where it was said to be and where it
was. Two readings undo this.

*Displacement* looks for the shift of the field that goes best with the reference, the one of the greatest
correlation r* over the places both have, and splits the mean square error of the field x against the
reference y, with means m, standard deviations s and the correlation r where they stand, into

    (mx - my)^2 + (sx - sy)^2      amplitude: too much or too little, too rough or too smooth
    2 sx sy (r* - r)               displacement: what the best shift mends
    2 sx sy (1 - r*)               pattern: what no shift mends

which add up exactly and are never negative (Murphy 1988; with a shift, Grams et al. 2006).

*SAL* (Wernli et al. 2008) needs no match. *Structure* compares the volumes of the rain objects, each
scaled by its peak: positive where objects are too large or too flat. *Amplitude* compares the mean rain,
and both lie in -2..2. *Location*, in 0..2, adds the distance of the centres of mass and the difference in how
far the objects scatter around it, both as shares of the largest distance in the domain. Zero is perfect.
Objects are what touches, corners included, above a fifteenth of the 95th percentile of the wet places
(Wernli et al. 2009).

Arrays end with (lat, lon); leading dimensions are frames, and a reference without members is broadcast.
A place missing in one is left out of both. Spacings are in km as (north-south, west-east).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from engine.diagnostics.curves import WET
from engine.diagnostics.frames import framewise, large_enough
from engine.diagnostics.shape import Shifts
from engine.values import Invalid

OBJECT_SHARE, OBJECT_PERCENTILE = 1.0 / 15.0, 95.0
NEIGHBOURS = np.ones((3, 3))
LEAST_LEFT = 0.25  # of the places both have unshifted, at a shift that is looked at
TINY = 1e-9  # of a variance: what rounding leaves of none


@dataclass(frozen=True)
class Displacement:
    """Where a field lies beside its reference, and the parts of its mean square error; arrays over frames.

    The shift is NaN where one of the two is constant (dry) or unknown; the parts hold even so.
    """

    east: np.ndarray  # km: how far the field lies east of where it should
    north: np.ndarray  # km
    correlation: np.ndarray  # at the best shift
    amplitude: np.ndarray  # (mm/h)^2
    displacement: np.ndarray
    pattern: np.ndarray

    @property
    def error(self) -> np.ndarray:
        """The mean square error, which is the sum of its parts."""
        return self.amplitude + self.displacement + self.pattern


def displacement(
    rain: np.ndarray, reference: np.ndarray, spacing: tuple[float, float], within: float
) -> Displacement:
    """The best shift by whole cells of at most ``within`` km, and the parts of the error.

    Bound it by less than the distance between rain areas, or one is taken for another.
    """
    shape = rain.shape[-2:]
    large_enough("displacement", shape)
    reach = [int(within / step + 1e-9) for step in spacing]
    if any(2 * far > size for far, size in zip(reach, shape, strict=True)) or not within >= 0:
        most = min(size * step / 2 for size, step in zip(shape, spacing, strict=True))
        raise Invalid(
            f"displacement.within: got {within:g} km; give 0 to {most:.0f}, half a side of the field"
        )
    shifts = Shifts((shape[0], shape[1]), (reach[0], reach[1]))
    allowed = shifts.distance(spacing) <= within + 1e-9

    def parts(mine: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        known = np.isfinite(mine) & np.isfinite(wanted)
        if not known.any():
            return np.full(6, np.nan)
        x, y = mine[known].astype(float), wanted[known].astype(float)
        mean, spread = (x.mean(), y.mean()), (x.std(), y.std())
        amplitude = (mean[0] - mean[1]) ** 2 + (spread[0] - spread[1]) ** 2
        if np.ptp(x) == 0 or np.ptp(y) == 0:
            return np.array([np.nan, np.nan, np.nan, amplitude, 0.0, 0.0])
        here = min(((x - mean[0]) * (y - mean[1])).mean() / (spread[0] * spread[1]), 1.0)
        there = np.where(allowed, _correlations(shifts, mine - mean[0], wanted - mean[1]), -np.inf)
        best = np.unravel_index(there.argmax(), there.shape) if there.max() > here else shifts.reach
        north, east = ((at - far) * step for at, far, step in zip(best, reach, spacing, strict=True))
        most, scale = max(min(there[best], 1.0), here), 2 * spread[0] * spread[1]
        return np.array([east, north, most, amplitude, scale * (most - here), scale * (1 - most)])

    found = framewise(parts, rain, reference)
    return Displacement(*np.moveaxis(found, -1, 0))


def _correlations(shifts: Shifts, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Correlation of x, read a shift away, with y, over the places that both have there."""
    known = np.isfinite(x), np.isfinite(y)
    mask_x, mask_y, n = shifts.pairs(*known)
    x, y = (np.where(mask, each, 0.0) for mask, each in zip(known, (x, y), strict=True))
    n = np.where(n >= LEAST_LEFT * n[shifts.reach], n, np.nan)
    here = [mask_y, *(np.conj(shifts.transform(each)) for each in (y, y**2))]
    there = [mask_x, shifts.transform(x), shifts.transform(x**2)]
    mean_x, square_x = (shifts.sums(each * here[0]) / n for each in there[1:])
    mean_y, square_y = (shifts.sums(there[0] * each) / n for each in here[1:])
    shared = shifts.sums(there[1] * here[1]) / n - mean_x * mean_y
    varies = square_x - mean_x**2, square_y - mean_y**2
    enough = (varies[0] > TINY * (x**2).mean()) & (varies[1] > TINY * (y**2).mean())
    scale = np.sqrt(np.where(enough, varies[0] * varies[1], np.inf))
    return np.where(enough, shared / scale, -np.inf)


@dataclass(frozen=True)
class Sal:
    """Structure and amplitude in -2..2, location in 0..2; zero is perfect; arrays over frames.

    Structure and location are NaN where one of the two is dry, amplitude where both are.
    """

    structure: np.ndarray
    amplitude: np.ndarray
    location: np.ndarray


def sal(rain: np.ndarray, reference: np.ndarray, spacing: tuple[float, float]) -> Sal:
    """Structure, amplitude and location of a field beside its reference."""
    large_enough("sal", rain.shape[-2:])
    longest = float(np.hypot(*(size * step for size, step in zip(rain.shape[-2:], spacing, strict=True))))

    def parts(mine: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        known = np.isfinite(mine) & np.isfinite(wanted)
        if not known.any():
            return np.full(3, np.nan)
        one, other = (_objects(np.where(known, each, 0.0).astype(float), spacing) for each in (mine, wanted))
        apart = np.hypot(one.north - other.north, one.east - other.east)
        location = (apart + 2 * abs(one.scatter - other.scatter)) / longest
        return np.array([_contrast(one.volume, other.volume), _contrast(one.total, other.total), location])

    return Sal(*np.moveaxis(framewise(parts, rain, reference), -1, 0))


def _contrast(one: float, other: float) -> float:
    """The difference over the mean."""
    return 2 * (one - other) / (one + other) if one + other > 0 else np.nan


class _Objects(NamedTuple):
    """A field by its objects."""

    total: float  # of the whole field
    north: float = np.nan  # km, the centre of mass of the whole field
    east: float = np.nan
    scatter: float = np.nan  # km: mean distance of the objects from there, weighted by their rain
    volume: float = np.nan  # cells: mean of an object's rain over its peak, weighted by its rain


def _objects(rain: np.ndarray, spacing: tuple[float, float]) -> _Objects:
    wet = rain[rain >= WET]
    if not wet.size:
        return _Objects(rain.sum())
    labels = np.zeros(rain.shape, int)
    ndimage.label(rain > OBJECT_SHARE * np.percentile(wet, OBJECT_PERCENTILE), NEIGHBOURS, labels)
    rows, columns = np.nonzero(labels)
    label, amount = labels[rows, columns] - 1, rain[rows, columns]
    each = np.bincount(label, amount)
    peak = np.zeros(len(each))
    np.maximum.at(peak, label, amount)
    north = np.bincount(label, amount * rows) / each * spacing[0]
    east = np.bincount(label, amount * columns) / each * spacing[1]
    total = rain.sum()
    middle = [rain.sum(1 - axis) @ np.arange(rain.shape[axis]) / total * spacing[axis] for axis in (0, 1)]
    away = np.hypot(north - middle[0], east - middle[1])
    return _Objects(
        total, *middle, scatter=(each * away).sum() / each.sum(), volume=(each**2 / peak).sum() / each.sum()
    )
