"""Unresolved convection: how the rain of a resolved atmosphere falls in cells.

An atmosphere on a grid of ten kilometres knows where air rises and how much water leaves it, not in which
cloud. Here each resolved parcel of rain P(y) falls within some tens of kilometres of its place, in
proportion to a convective weight G::

    R(x) = G(x) integral K(x - y) P(y) / (K * G)(y) dy

K is a Gaussian kernel. Integrate over x and the weights cancel: not a drop is made or lost, so rain,
moisture flux and column water still agree at the resolved scale, while below it rain is intermittent
with a heavy tail.

G is a *multiplicative cascade*: the exponential of a sum of random fields, one for each octave of scale.
Each octave drifts with the resolved wind and is renewed within its own lifetime, from eight hours for
systems to less than one for cells: large structures persist, small ones come and go within them.
Where the sum is low, G is cut to zero, and it is dry between the cells. Fields are drawn out along one
direction, that of the front, as cells line up in real bands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy import fft
from scipy.ndimage import gaussian_filter1d, map_coordinates, zoom


@dataclass(frozen=True)
class Convection:
    """The constants of the cells."""

    refine: int = 4  # fine cells along one side of a resolved cell
    scales: tuple[float, ...] = (240.0, 120.0, 60.0, 30.0, 15.0, 7.5)  # km, of the octaves
    spread: float = 1.0  # standard deviation of log G
    roughness: float = 0.7  # the amplitude of an octave goes as scale to this power
    dry: float = 0.4  # G is cut where the sum is below this, in standard deviations
    radius: float = 35.0  # km, standard deviation of K
    lifetime: float = 4.5  # h, of an octave of 100 km; it goes as scale to the power 2/3
    stretch: float = 2.0  # length over breadth
    tilt: float = 20.0  # degrees of the long side, from east towards north
    steering: float = 1.0  # speed of the cells over that of the resolved wind


class Octave(NamedTuple):
    scale: float  # km
    thin: int  # fine cells to one of its own: large octaves need no fine grid
    gain: np.ndarray  # the square root of its spectrum
    amplitude: float
    kept: float  # autocorrelation over one span of time


def cells(
    convection: Convection,
    spacing: tuple[float, float],
    hours: float,
    resolved: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]],
    seed: int,
) -> Iterator[np.ndarray]:
    """Fine rain for each (rain, u, v) of the resolved atmosphere.

    ``spacing`` is that of the resolved grid in m (north, east), ``hours`` the length of one span; the
    grid is periodic eastwards. Rain keeps its unit, wind is in m/s.
    """
    rng = np.random.default_rng(seed)
    octaves: list[Octave] = []
    noise: list[np.ndarray] = []
    for rain, u, v in resolved:
        if not octaves:
            octaves = _octaves(convection, rain.shape, spacing, hours)
            noise = [_fresh(octave, rng) for octave in octaves]
        reach = 3600.0 * hours * convection.steering
        drift = [wind * (reach / step) for wind, step in zip((v, u), spacing, strict=True)]
        noise = [
            _renew(octave.kept, _drift(field, drift), _fresh(octave, rng))
            for octave, field in zip(octaves, noise, strict=True)
        ]
        yield fall(convection, spacing, rain, weight(convection, octaves, noise, rain.shape))


def fall(
    convection: Convection, spacing: tuple[float, float], rain: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Let resolved rain fall where the weights are; the total stays, to rounding.

    K acts on the resolved grid, where it is smooth; half-sample reflection at the walls keeps it
    symmetric, which is what the total rests on.
    """
    width = [convection.radius * 1e3 / step for step in spacing]

    def kernel(field: np.ndarray) -> np.ndarray:
        across = gaussian_filter1d(field, width[0], axis=0, mode="reflect", truncate=3.0)
        return gaussian_filter1d(across, width[1], axis=1, mode="wrap", truncate=3.0)

    size = convection.refine
    mean = weights.reshape(rain.shape[0], size, rain.shape[1], size).mean((1, 3), dtype=float)
    share = kernel(rain / kernel(mean))
    return weights * np.repeat(np.repeat(share, size, 0), size, 1)


def weight(
    convection: Convection, octaves: list[Octave], noise: list[np.ndarray], shape: tuple[int, ...]
) -> np.ndarray:
    """G on the fine grid. A trace is left everywhere, so that no parcel of rain is without a place."""
    fine = (shape[0] * convection.refine, shape[1] * convection.refine)
    total = np.zeros(fine, np.float32)
    for octave, field in zip(octaves, noise, strict=True):
        total += octave.amplitude * _finer(field, fine)
    return np.maximum(np.exp(convection.spread * total) - np.exp(convection.spread * convection.dry), 1e-5)


def _octaves(
    convection: Convection, shape: tuple[int, ...], spacing: tuple[float, float], hours: float
) -> list[Octave]:
    steps = [step / 1e3 / convection.refine for step in spacing]
    fine = [size * convection.refine for size in shape]
    power = np.array(convection.scales) ** convection.roughness
    octaves = []
    for scale, amplitude in zip(convection.scales, power / np.sqrt((power**2).sum()), strict=True):
        thin = 1
        while scale / (2 * thin * max(steps)) >= 5 and not any(size % (2 * thin) for size in fine):
            thin *= 2
        size = [each // thin for each in fine]
        gain = _gain(convection, scale, size, [step * thin for step in steps])
        lifetime = convection.lifetime * (scale / 100.0) ** (2 / 3)
        octaves.append(Octave(scale, thin, gain, float(amplitude), float(np.exp(-hours / lifetime))))
    return octaves


def _gain(convection: Convection, scale: float, size: list[int], steps: list[float]) -> np.ndarray:
    """A band around the wavelength 2 ``scale``, an octave wide, shorter across the tilt than along it."""
    north = fft.fftfreq(size[0], steps[0])[:, None]
    east = fft.rfftfreq(size[1], steps[1])[None, :]
    turn = np.deg2rad(convection.tilt)
    along = (east * np.cos(turn) + north * np.sin(turn)) * np.sqrt(convection.stretch)
    across = (north * np.cos(turn) - east * np.sin(turn)) / np.sqrt(convection.stretch)
    wavenumber = np.hypot(along, across) * 2 * scale
    # k exp(-k^2/2) peaks at 1; it has no mean, and neighbours overlap into a smooth power law.
    gain = wavenumber * np.exp(-(wavenumber**2) / 2)
    twice = np.full(gain.shape, 2.0)
    twice[:, 0] = 1.0
    if size[1] % 2 == 0:
        twice[:, -1] = 1.0
    return (gain / np.sqrt((twice * gain**2).sum() / (size[0] * size[1]))).astype(np.float32)


def _fresh(octave: Octave, rng: np.random.Generator) -> np.ndarray:
    """Noise with the octave's spectrum and unit variance."""
    columns = octave.gain.shape[1]
    size = (octave.gain.shape[0], 2 * (columns - 1))
    white = fft.rfft2(rng.standard_normal(size, dtype=np.float32))
    return fft.irfft2(white * octave.gain, size)


def _renew(kept: float, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Autoregression; interpolation has damped the old field a little, which is made good first."""
    return kept * old / old.std() + np.sqrt(1 - kept**2) * new


def _drift(field: np.ndarray, drift: list[np.ndarray]) -> np.ndarray:
    """Carry a field with the wind for one span. ``drift`` is in resolved cells (north, east).

    Semi-Lagrangian: each place takes the value from where its air was. Cubic, for linear
    interpolation would wear out the cells. The noise is periodic in both directions.
    """
    ratio = field.shape[0] / drift[0].shape[0]
    rows, columns = (np.arange(size, dtype=np.float32) for size in field.shape)
    from_row = rows[:, None] - ratio * _finer(drift[0], field.shape)
    from_column = columns[None, :] - ratio * _finer(drift[1], field.shape)
    return np.asarray(map_coordinates(field, [from_row, from_column], np.float32, order=3, mode="grid-wrap"))


def _finer(field: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Cell means to the cells of another, finer or coarser, grid over the same area; linear."""
    if field.shape == shape:
        return field
    ratio = [new / old for new, old in zip(shape, field.shape, strict=True)]
    if min(ratio) < 1:
        ratio = [old // new for new, old in zip(shape, field.shape, strict=True)]
        return field.reshape(shape[0], ratio[0], shape[1], ratio[1]).mean((1, 3))
    return np.asarray(zoom(field.astype(np.float32), ratio, order=1, mode="grid-wrap", grid_mode=True))
