"""The shape of rain: how far a field is like itself, and whether it lies in bands.

The autocorrelation of a field falls with distance. How far it falls to 1/e is a *length*, the size of a
rain area; the outline at which it does is a closed curve, and the axes of its ellipse say whether rain
lies in bands (a ratio well above 1) and in which direction. Interpolated rain is too round and too
large, noise too round and too small.

Arrays are (lat, lon), spacings in km as (north-south, west-east), missing is NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

E_FOLD = math.exp(-1.0)


@dataclass(frozen=True)
class Ellipse:
    """The outline of the autocorrelation at 1/e."""

    length: float  # km: the radius of the circle of equal area
    ratio: float  # long over short axis; 1 is a circle
    angle: float  # degrees of the long axis, from east towards north, within -90..90


def autocorrelation(rain: np.ndarray) -> np.ndarray:
    """Correlation of a field with its own shifts, at every shift up to a half of its sides.

    Shift zero is in the middle. Each shift is normalised by the pairs that it has (zero padding on the
    outside, gaps left out), so a small or holed field is not called shorter than it is.
    """
    known = np.isfinite(rain)
    anomaly = np.where(known, rain - rain[known].mean(), 0.0)
    padded = [2 * size for size in rain.shape]

    def pairs(field: np.ndarray) -> np.ndarray:
        return np.fft.irfft2(np.abs(np.fft.rfft2(field, padded)) ** 2, padded)

    covariance = pairs(anomaly) / np.maximum(pairs(known.astype(float)), 0.5)
    half = [size // 2 for size in rain.shape]
    covariance = np.roll(covariance, half, (0, 1))[: 2 * half[0] + 1, : 2 * half[1] + 1]
    middle = covariance[half[0], half[1]]
    return covariance / middle if middle > 0 else np.zeros_like(covariance)


def ellipse(rain: np.ndarray, spacing: tuple[float, float], level: float = E_FOLD) -> Ellipse:
    """Length, axis ratio and direction of the outline where the autocorrelation falls to ``level``.

    From each of 72 directions the nearest place where the correlation passes the level; the second
    moments of the area inside give the axes. A filled ellipse with half axes a, b has the moments
    a^2/4, b^2/4, and the outline's polar form gives them as integrals of r^4.
    """
    correlation = autocorrelation(rain)
    angles = np.arange(72) * (2 * math.pi / 72)
    radius = np.array([_reach(correlation, spacing, angle, level) for angle in angles])
    if not (radius > 0).all():
        return Ellipse(float("nan"), float("nan"), float("nan"))
    area = (radius**2).mean() * math.pi
    east, north = np.cos(angles), np.sin(angles)
    weight = radius**4 * (2 * math.pi / 4 / 72) / area
    xx, yy, xy = (weight * east * east).sum(), (weight * north * north).sum(), (weight * east * north).sum()
    moments, axes = np.linalg.eigh(np.array([[xx, xy], [xy, yy]]))
    long_axis = axes[:, 1]
    angle = math.degrees(math.atan2(long_axis[1], long_axis[0]))
    angle = (angle + 90.0) % 180.0 - 90.0
    return Ellipse(math.sqrt(area / math.pi), math.sqrt(moments[1] / moments[0]), angle)


def _reach(correlation: np.ndarray, spacing: tuple[float, float], angle: float, level: float) -> float:
    """Distance in km from the middle to where the correlation first passes the level, in one direction."""
    middle = [size // 2 for size in correlation.shape]
    ray = 0.25 * min(spacing)
    far = min(half * step for half, step in zip(middle, spacing, strict=True))
    distance = np.arange(0.0, far, ray)
    row = middle[0] + distance * math.sin(angle) / spacing[0]
    column = middle[1] + distance * math.cos(angle) / spacing[1]
    along = _bilinear(correlation, row, column)
    below = np.flatnonzero(along < level)
    if not below.size:
        return far
    after = int(below[0])
    if after == 0:
        return 0.0
    fall = along[after - 1] - along[after]
    return float(distance[after - 1] + ray * (along[after - 1] - level) / fall)


def _bilinear(field: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    top = np.clip(np.floor(row).astype(int), 0, field.shape[0] - 2)
    left = np.clip(np.floor(column).astype(int), 0, field.shape[1] - 2)
    down, right = row - top, column - left
    upper = field[top, left] * (1 - right) + field[top, left + 1] * right
    lower = field[top + 1, left] * (1 - right) + field[top + 1, left + 1] * right
    return upper * (1 - down) + lower * down
