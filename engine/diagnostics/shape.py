"""The shape of rain: how far a field is like itself, and whether it lies in bands.

The autocorrelation of a field falls with distance. How far it falls to 1/e is a *length*, the size of a
rain area; the outline at which it does is a closed curve, and the axes of its ellipse say whether rain
lies in bands (a ratio well above 1) and in which direction. Interpolated rain is too round and too
large, noise too round and too small. The *variogram*, half the mean square difference of two places a
shift apart, tells the same without a mean, in the unit of the field: its rise near zero is roughness.

Both are sums over all pairs of places a shift apart. `Shifts` makes them with Fourier transforms, padded
so that nothing meets its other end, and divides each by the pairs that it really has: gaps are left
out, and a small or holed field is not called shorter than it is.

Arrays end with (lat, lon); leading dimensions are frames. Spacings are in km as (north-south,
west-east), missing is NaN. A field that is nowhere known or the same everywhere has no shape: NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import ndimage
from scipy.fft import next_fast_len

from engine.diagnostics.frames import framewise, large_enough
from engine.values import Invalid

E_FOLD = math.exp(-1.0)
DIRECTIONS = 36  # of half a turn; the other half mirrors them
FINE = 0.5  # steps along a ray, in cells


@dataclass(frozen=True)
class Shifts:
    """Pairs of places of a frame, for every shift of up to ``reach`` cells northward and eastward."""

    shape: tuple[int, int]
    reach: tuple[int, int]

    @classmethod
    def half(cls, rain: np.ndarray) -> Shifts:
        """Up to half of the sides: farther apart there are too few pairs."""
        rows, columns = rain.shape[-2:]
        return cls((rows, columns), (rows // 2, columns // 2))

    def transform(self, field: np.ndarray) -> np.ndarray:
        return np.fft.rfft2(field, self._padded)

    def sums(self, product: np.ndarray) -> np.ndarray:
        """Sum over places x of a(x + shift) b(x), from A conj(B); shift zero is in the middle."""
        near = [np.arange(-far, far + 1) for far in self.reach]
        rows = np.fft.ifft(product, axis=0)[near[0]]  # the other rows need no second transform
        return np.fft.irfft(rows, self._padded[1], axis=1)[:, near[1]]

    def pairs(self, one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of two masks the transform A and conj(B), and how many pairs are known at every shift: a place of
        ``other`` and that of ``one`` a shift away. Frames mostly share their mask, so the last is kept."""
        return _pairs(self, one.tobytes(), other.tobytes())

    def distance(self, spacing: tuple[float, float]) -> np.ndarray:
        """The length of every shift, in km."""
        north, east = (np.arange(-n, n + 1) * step for n, step in zip(self.reach, spacing, strict=True))
        return np.hypot(north[:, None], east)

    @property
    def _padded(self) -> tuple[int, int]:
        rows, columns = (next_fast_len(n + far, True) for n, far in zip(self.shape, self.reach, strict=True))
        return rows, columns  # pyright: ignore[reportReturnType]  # scipy does not say what it returns


@lru_cache(maxsize=2)
def _pairs(shifts: Shifts, one: bytes, other: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    first, second = (
        shifts.transform(np.frombuffer(mask, bool).reshape(shifts.shape).astype(float))
        for mask in (one, other)
    )
    second = np.conj(second)
    return first, second, np.rint(shifts.sums(first * second))


def _anomaly(frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What differs from the mean, zero where missing, and what is known; all zero where there is no shape."""
    known = np.isfinite(frame)
    if not known.any() or np.ptp(values := frame[known].astype(float)) == 0:
        return np.zeros(frame.shape), known
    return np.where(known, frame - values.mean(), 0.0), known


def autocorrelation(rain: np.ndarray) -> np.ndarray:
    """Correlation of a field with its own shifts, at every shift up to a half of its sides.

    Shift zero is in the middle. A shift at which no two known places lie is NaN.
    """
    shifts = Shifts.half(rain)

    def correlation(frame: np.ndarray) -> np.ndarray:
        anomaly, known = _anomaly(frame)
        sums = shifts.sums(_power(shifts.transform(anomaly)).astype(complex))
        pairs = shifts.pairs(known, known)[2]
        covariance = sums / np.where(pairs > 0, pairs, np.nan)
        middle = covariance[shifts.reach]
        return covariance / (middle if anomaly.any() else np.nan)

    return framewise(correlation, rain)


def _half_squares(shifts: Shifts, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sum of (a - b)^2 / 2 over the pairs at every shift, as that of (a^2 + b^2) / 2 - a b; the pairs."""
    anomaly, known = _anomaly(frame)
    _, mask, pairs = shifts.pairs(known, known)
    product = shifts.transform(anomaly**2)
    product *= mask  # of a^2
    product -= _power(shifts.transform(anomaly))  # of a b
    sums = shifts.sums(product)
    sums = (sums + sums[::-1, ::-1]) / 2  # the opposite shift has a and b exchanged
    return np.where(pairs > 0, np.maximum(sums, 0.0), 0.0), pairs


def _power(transform: np.ndarray) -> np.ndarray:
    return np.real(transform) ** 2 + np.imag(transform) ** 2


def variogram_map(rain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Half the mean square difference at every shift up to a half of the sides, and its pairs.

    Shift zero is in the middle. This is Matheron's estimator, over all pairs of known places.
    """
    shifts = Shifts.half(rain)
    found = framewise(lambda frame: np.stack(_half_squares(shifts, frame)), rain)
    sums, pairs = found[..., 0, :, :], found[..., 1, :, :]
    return sums / np.where(pairs > 0, pairs, np.nan), pairs


def variogram(rain: np.ndarray, spacing: tuple[float, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The variogram by distance: km, half the mean square difference (..., ring), pairs (..., ring).

    Rings are one cell wide (its longer side) and end within half the shorter side of the field, so that
    every direction counts; in a ring every pair counts once and alike.
    """
    shifts = Shifts.half(rain)
    distance, width = shifts.distance(spacing), max(spacing)
    rings = int(min(far * step for far, step in zip(shifts.reach, spacing, strict=True)) / width - 0.5)
    if rings < 1:
        raise Invalid(
            f"variogram: {shifts.shape[0]} x {shifts.shape[1]} cells hold no ring; give a larger field"
        )
    ring = np.minimum(np.rint(distance / width).astype(int).ravel(), rings + 1)

    def total(values: np.ndarray | None = None) -> np.ndarray:
        return np.bincount(ring, values, rings + 2)[1 : rings + 1]

    def by_ring(frame: np.ndarray) -> np.ndarray:
        return np.stack([total(each.ravel()) / 2 for each in _half_squares(shifts, frame)])

    found = framewise(by_ring, rain)
    sums, pairs = found[..., 0, :], found[..., 1, :]
    return total(distance.ravel()) / total(), sums / np.where(pairs > 0, pairs, np.nan), pairs


@dataclass(frozen=True)
class Ellipse:
    """The outline of the autocorrelation at 1/e; each an array over the frames."""

    length: np.ndarray  # km: the radius of the circle of equal area
    ratio: np.ndarray  # long over short axis; 1 is a circle
    angle: np.ndarray  # degrees of the long axis, from east towards north, within -90..90
    closed: np.ndarray  # 1, or 0 where the outline leaves the shifts looked at: the axes are longer then

    @property
    def major(self) -> np.ndarray:
        """km: from the middle to the end of the long axis."""
        return self.length * np.sqrt(self.ratio)

    @property
    def minor(self) -> np.ndarray:
        """km: from the middle to the end of the short axis."""
        return self.length / np.sqrt(self.ratio)

    @property
    def focal(self) -> np.ndarray:
        """km: the focal length, from the middle to a focus; 0 for a circle."""
        return self.length * np.sqrt(self.ratio - 1.0 / self.ratio)


def ellipse(rain: np.ndarray, spacing: tuple[float, float], level: float = E_FOLD) -> Ellipse:
    """Length, axis ratio and direction of the outline where the autocorrelation falls to ``level``.

    In each direction the nearest place where the correlation passes the level; the second moments of the
    area inside give the axes. A filled ellipse with half axes a, b has the moments a^2/4, b^2/4, and
    the outline's polar form gives them as integrals of r^4.
    """
    middle = [size // 2 for size in rain.shape[-2:]]
    angles = np.arange(DIRECTIONS) * (math.pi / DIRECTIONS)
    far = min(half * step for half, step in zip(middle, spacing, strict=True))
    distance = np.arange(0.0, far, FINE * min(spacing))
    rows = middle[0] + np.outer(np.sin(angles), distance) / spacing[0]
    columns = middle[1] + np.outer(np.cos(angles), distance) / spacing[1]

    def outline(frame: np.ndarray) -> np.ndarray:
        correlation = autocorrelation(frame)
        along = ndimage.map_coordinates(correlation, [rows, columns], order=1, mode="nearest")
        return _moments(*_reach(along, distance, level), angles)

    large_enough("ellipse", rain.shape[-2:])
    return Ellipse(*np.moveaxis(framewise(outline, rain), -1, 0))


def _reach(along: np.ndarray, distance: np.ndarray, level: float) -> tuple[np.ndarray, bool]:
    """How far each ray stays above the level, and whether all of them come to pass it."""
    passed = ~(along >= level)  # an unknown correlation ends a ray too
    after = np.where(passed.any(1), passed.argmax(1), along.shape[1] - 1)
    ray = np.arange(len(along))
    inside, outside = along[ray, np.maximum(after - 1, 0)], along[ray, after]
    crosses = (outside < level) & (inside > outside)
    part = np.divide(inside - level, inside - outside, out=np.zeros(len(along)), where=crosses)
    return distance[np.maximum(after - 1, 0)] + part * distance[1], bool(crosses.all())


def _moments(radius: np.ndarray, closed: bool, angles: np.ndarray) -> np.ndarray:
    """Length, ratio, angle and whether it is closed, from an outline over half a turn."""
    if not (radius > 0).all():
        return np.full(4, np.nan)
    area = (radius**2).mean() * math.pi
    east, north = np.cos(angles), np.sin(angles)
    weight = radius**4
    xx, yy, xy = (weight * east * east).sum(), (weight * north * north).sum(), (weight * east * north).sum()
    moments, axes = np.linalg.eigh(np.array([[xx, xy], [xy, yy]]))
    angle = math.degrees(math.atan2(axes[1, 1], axes[0, 1]))
    angle = (angle + 90.0) % 180.0 - 90.0
    return np.array([math.sqrt(area / math.pi), math.sqrt(moments[1] / moments[0]), angle, closed])
