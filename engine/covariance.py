"""Stationary covariances on a grid, applied and sampled by FFT.

The latent field of rain is a sum of stationary Gaussian fields. On a grid of equal cells the covariance
of such a field depends on the difference of two cells only; laid on a torus (the grid with a margin at
two sides, its edges joined) it becomes a circulant matrix, whose eigenvalues are one FFT of its first
row: the *spectrum*. Then

* a covariance times a field is an FFT, a product and an FFT back;
* a sample is white noise times the square root of the spectrum, and one FFT back;
* no matrix of cells by cells is ever made.

The margin is as wide as the correlation reaches, so that opposite edges do not feel each other. Where
the spectrum of a law that has not quite died out would be negative it is set to zero, and the covariance
between gauges is read from *that* spectrum: simulation and kriging share one law exactly.

A gauge reads the field by bilinear weights at its exact place (`Sites`), never at a cell's centre.

The plane: degrees become kilometres with one factor for latitude and one, shrunk by the cosine of the
domain's central latitude, for longitude. Over 25 degrees of latitude an east-west distance is wrong by
up to some 15% at the edges; what is kept in exchange is stationarity, hence the FFT.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import fft

from engine.fields import KM_PER_DEGREE, Grid


@dataclass(frozen=True)
class Structure:
    """The law of the latent field: what varies how much and how far.

    ``sill`` (variance), ``range_km`` and ``power`` belong to the rain's own field, whose correlation is of
    the stable family exp(-(d / range)^power): 1/e at the range, exponential for a power of 1, the smoother
    the nearer the power is to 2. ``nugget`` belongs to what two gauges side by side do not share, ``level``
    and ``slope`` to the slowly varying coefficients of the drift, with ``length_km`` (infinite: the same
    everywhere). ``stretch`` holds the two numbers of the anisotropy: distances are measured after
    exp [[p, q], [q, -p]].
    """

    sill: float = 0.7
    range_km: float = 150.0
    nugget: float = 0.05
    level: float = 0.2
    slope: float = 0.0
    length_km: float = np.inf
    stretch: tuple[float, float] = (0.0, 0.0)
    power: float = 1.0

    def near(self, east, north):
        """Covariance of the rain's own field at a separation in km."""
        p, q = self.stretch
        size = np.hypot(p, q)
        even, odd = np.cosh(size), np.sinh(size) / size if size > 1e-9 else 1.0
        away = np.hypot((even + odd * p) * east + odd * q * north, odd * q * east + (even - odd * p) * north)
        return self.sill * np.exp(-((away / self.range_km) ** self.power))

    def far(self, east, north):
        """Correlation of the drift's coefficients at a separation in km."""
        return np.exp(-0.5 * (np.hypot(east, north) / self.length_km) ** 2)

    def base(self, east, north):
        """Covariance of all that does not multiply the background."""
        return self.near(east, north) + self.level * self.far(east, north)

    @property
    def reach_km(self) -> float:
        """Where the covariance has fallen to a thousandth; a constant never does and needs no margin."""
        spread = np.exp(np.hypot(*self.stretch))
        length = self.length_km if np.isfinite(self.length_km) else 0.0
        return max(self.range_km * 7 ** (1 / self.power) * spread, 3.7 * length)


@dataclass(frozen=True)
class Torus:
    """A grid's cells in km, with a margin, joined at the edges."""

    grid: Grid
    margin_km: float

    @cached_property
    def cell_km(self) -> tuple[float, float]:
        """Size of a cell: northward, eastward."""
        return self.grid.step * KM_PER_DEGREE, self.grid.step * KM_PER_DEGREE * self.shrink

    @cached_property
    def shrink(self) -> float:
        return float(np.cos(np.radians((self.grid.box.south + self.grid.box.north) / 2)))

    @cached_property
    def shape(self) -> tuple[int, int]:
        """Cells north and east, margin included: at most twice the grid, which is exact."""
        sizes = []
        for cells, size in zip(self.grid.shape, self.cell_km, strict=True):
            wanted = cells + min(max(4, int(np.ceil(self.margin_km / size))), cells)
            sizes.append(fft.next_fast_len(wanted + wanted % 2, real=True))
        return sizes[0], sizes[1] + sizes[1] % 2

    def spectrum(self, covariance) -> np.ndarray:
        """Eigenvalues (half plane) of a covariance given as a function of separations in km."""
        north, east = (
            np.minimum(np.arange(count), count - np.arange(count))
            * size
            * np.where(np.arange(count) * 2 > count, -1, 1)
            for count, size in zip(self.shape, self.cell_km, strict=True)
        )
        values = covariance(east[None, :], north[:, None])
        return np.maximum(np.real(np.asarray(fft.rfft2(np.broadcast_to(values, self.shape)))), 0.0)

    def table(self, spectrum: np.ndarray) -> np.ndarray:
        """The covariance by difference of cells that a spectrum stands for."""
        return np.asarray(fft.irfft2(spectrum, self.shape))

    def draw(self, root: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A sample of the field whose spectrum has this square root.

        The half plane holds each wave once, but the columns of wave number zero and Nyquist hold it twice
        (with its conjugate); the real transform keeps the real part of both, half their variance.
        """
        noise = rng.standard_normal((*root.shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
        noise[:, 1:-1] *= np.float32(np.sqrt(0.5))
        noise *= root
        return np.asarray(fft.irfft2(noise, self.shape, norm="ortho", overwrite_x=True))

    def crop(self, field: np.ndarray) -> np.ndarray:
        return field[: self.grid.shape[0], : self.grid.shape[1]]


@dataclass(frozen=True)
class Sites:
    """Places on a torus, each read by the bilinear weights of the four cells around it."""

    torus: Torus
    lat: np.ndarray
    lon: np.ndarray

    @cached_property
    def _places(self) -> tuple[np.ndarray, np.ndarray]:
        grid = self.torus.grid
        return (self.lat - grid.lat[0]) / grid.step, (self.lon - grid.lon[0]) / grid.step

    @cached_property
    def _fractions(self) -> tuple[np.ndarray, np.ndarray]:
        north, east = self._places
        return north - np.floor(north), east - np.floor(east)

    @cached_property
    def corners(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows, columns and weights, each (site, 4); beyond an edge they wrap into the margin."""
        low, left = (np.floor(each).astype(int) for each in self._places)
        up, right = self._fractions
        rows = np.stack([low, low, low + 1, low + 1], 1) % self.torus.shape[0]
        cols = np.stack([left, left + 1, left, left + 1], 1) % self.torus.shape[1]
        weights = [(1 - up) * (1 - right), (1 - up) * right, up * (1 - right), up * right]
        return rows, cols, np.stack(weights, 1)

    @cached_property
    def _flat(self) -> np.ndarray:
        rows, cols, _ = self.corners
        return rows * self.torus.shape[1] + cols

    def read(self, field: np.ndarray) -> np.ndarray:
        """H field: its values at the sites."""
        return (field.reshape(-1)[self._flat] * self.corners[2]).sum(1)

    def spread(self, weights: np.ndarray) -> np.ndarray:
        """H' weights: the sites' values laid on the torus."""
        rows, cols = self.torus.shape
        laid = np.bincount(
            self._flat.reshape(-1), (self.corners[2] * weights[:, None]).reshape(-1), rows * cols
        )
        return laid.reshape(rows, cols).astype(np.float32)

    def between(self, spectrum: np.ndarray) -> np.ndarray:
        """H C H': the covariance of the sites with one another."""
        table, (up, right) = self.torus.table(spectrum), self._fractions
        north, east = (np.floor(each).astype(int) for each in self._places)
        apart = (north[:, None] - north) % table.shape[0] * table.shape[1]
        apart += (east[:, None] - east) % table.shape[1]
        total = _overlap(up, 0) * _overlap(right, 0) * table.reshape(-1)[apart]
        for shift in ((0, 1), (1, -1), (1, 0), (1, 1)):
            moved = np.roll(table, (-shift[0], -shift[1]), (0, 1)).reshape(-1)[apart]
            part = _overlap(up, shift[0]) * _overlap(right, shift[1]) * moved
            total += part + part.T  # the opposite shift is the transpose
        return total

    def onto(self, spectrum: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """C H' weights on the whole torus."""
        waves = np.asarray(fft.rfft2(self.spread(weights)))
        return np.asarray(fft.irfft2(waves * spectrum, self.torus.shape, overwrite_x=True))


def _overlap(fraction: np.ndarray, shift: int) -> np.ndarray:
    """Product of the weights of two sites' cells that lie ``shift`` farther apart than their lower ones."""
    one, other = fraction[:, None], fraction[None, :]
    return {-1: (1 - one) * other, 0: (1 - one) * (1 - other) + one * other, 1: one * (1 - other)}[shift]
