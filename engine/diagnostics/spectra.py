"""Spectra: how the variance of rain is shared among scales, in space and in time.

The power of rain falls as a power of the wavenumber; its *slope* is about -2 to -3.5 between 10 and
200 km. Interpolation is too steep at the short end, white errors are too flat. Where a product holds less
than a share of the reference's power, and goes on holding less towards shorter waves, lies its *effective
resolution*, which is usually several of its cells. The *log-spectral distance* is one number for the gap
between two spectra, in dB.

Power is |F|^2 / sum(taper^2), so that white noise of variance s^2 has the power s^2 at every wavelength,
with a taper or without. The taper is Hann's: it keeps opposite edges from meeting with a step, which alone
would give the slope -2. Before it the mean is taken away, weighted by the taper; no trend is.

Missing is NaN. A missing place counts as the mean, and the sum above is over the known ones: the level is
right then, but holes blur the scales, so give fields that are compared the same holes. Where not more
than half is known, as the taper weighs it, there is no spectrum: NaN.

Arrays end with (lat, lon), or (time, lat, lon) for a spectrum in time; leading dimensions are frames.
Spacings are in km, as (north-south, west-east).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import xarray as xr

from engine.diagnostics.frames import framewise, large_enough
from engine.fields import KM_PER_DEGREE

LEAST_KNOWN = 0.5  # share of a frame, under the taper
SHARE = 0.5  # of the reference's power, where resolution ends


def spacing_km(rain: xr.DataArray) -> tuple[float, float]:
    """Cells from south to north and from west to east, in km, at the middle latitude.

    Meridians close towards the poles: at the edges of a box of 25 degrees around 32 north the
    west-east spacing is 11% longer and 16% shorter than this.
    """
    lat, lon = rain.lat.values, rain.lon.values
    north, east = ((axis[-1] - axis[0]) / (len(axis) - 1) * KM_PER_DEGREE for axis in (lat, lon))
    return float(north), float(east * math.cos(math.radians((lat[0] + lat[-1]) / 2)))


def spectrum(
    rain: np.ndarray, spacing: tuple[float, float], *, hann: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Radially averaged power: wavelengths in km, from long to short, and the power there (..., ring).

    Rings are one fundamental wavenumber wide, and reach to the shorter of the two Nyquist wavenumbers,
    beyond which a ring would be cut by the corners. A ring's wavelength is that of its mean wavenumber.
    """
    shape = rain.shape[-2:]
    large_enough("spectrum", shape)
    wavelength, ring, weight = _rings(shape, spacing)
    rows, columns = (np.hanning(size) if hann else np.ones(size) for size in shape)
    taper = np.outer(rows, columns)

    def power(frame: np.ndarray) -> np.ndarray:
        tapered, energy = _prepared(frame, taper)
        if not energy > 0:
            return np.full(len(wavelength), np.nan)
        transformed = np.fft.rfft2(tapered)
        squares = transformed.real**2 + transformed.imag**2
        return np.bincount(ring, (squares * weight).ravel())[1 : len(wavelength) + 1] / energy

    return wavelength, framewise(power, rain)


def _prepared(frame: np.ndarray, taper: np.ndarray) -> tuple[np.ndarray, float]:
    """The frame without its mean under the taper, and the taper's energy over known places; 0: too few."""
    known = np.isfinite(frame)
    seen = taper * known
    if not seen.sum() > LEAST_KNOWN * taper.sum():
        return frame, 0.0
    values = np.where(known, frame, 0.0).astype(float)
    values -= values[known][0]  # rounding leaves a constant field without any power
    return (values - (values * seen).sum() / seen.sum()) * seen, float((seen**2).sum())


@lru_cache(maxsize=8)
def _rings(shape: tuple[int, int], spacing: tuple[float, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Wavelength of each ring; the ring of each coefficient of the half plane, and what it adds to the
    ring's mean: a coefficient that stands for its mirror too counts twice."""
    wavenumber = np.hypot(
        np.fft.fftfreq(shape[0], spacing[0])[:, None], np.fft.rfftfreq(shape[1], spacing[1])
    )
    twice = np.full(wavenumber.shape, 2.0)
    twice[:, 0] = 1.0
    if shape[1] % 2 == 0:
        twice[:, -1] = 1.0
    ring_width = 1.0 / min(size * step for size, step in zip(shape, spacing, strict=True))
    rings = int(0.5 / max(spacing) / ring_width + 1e-9)
    ring = np.rint(wavenumber / ring_width).astype(int).ravel()
    count = np.bincount(ring, twice.ravel())
    middle = np.bincount(ring, (twice * wavenumber).ravel())[1 : rings + 1] / count[1 : rings + 1]
    return 1.0 / middle, ring, twice / count[ring].reshape(wavenumber.shape)


def spectrum_in_time(rain: np.ndarray, hours: float, *, hann: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Power of the series of every place, averaged over places: periods in hours, from long to short, and
    the power there (..., period). ``hours`` is the step. A place with a gap is left out."""
    length = rain.shape[-3]
    large_enough("spectrum in time", (length,))
    taper = (np.hanning(length) if hann else np.ones(length))[:, None]

    def power(block: np.ndarray) -> np.ndarray:
        series = block.reshape(length, -1)
        series = series[:, np.isfinite(series).all(0)].astype(float)
        if not series.shape[1]:
            return np.full(length // 2, np.nan)
        series = series - series[0]  # rounding leaves a constant series without any power
        series = (series - (series * taper).sum(0) / taper.sum()) * taper
        return (np.abs(np.fft.rfft(series, axis=0)[1:]) ** 2).mean(1) / (taper**2).sum()

    return hours / np.fft.rfftfreq(length)[1:], framewise(power, rain, dims=3)


def slope(wavelength: np.ndarray, power: np.ndarray, low: float, high: float) -> np.ndarray:
    """Exponent b of power ~ wavenumber^b, between the wavelengths ``low`` and ``high`` (km).

    A straight line through logarithms. Rings crowd towards short waves, so each is weighted by the
    share of the logarithmic axis that it covers, that is by its wavelength: else the last octave
    alone would decide.
    """
    used = (wavelength >= low) & (wavelength <= high)
    positive = power[..., used] > 0
    enough = positive.sum(-1, keepdims=True) >= 3
    weight = np.where(enough, np.where(positive, wavelength[used], 0.0), np.nan)
    total = np.where(enough, weight.sum(-1, keepdims=True), np.nan)
    x, y = -np.log(wavelength[used]), np.log(np.where(positive, power[..., used], 1.0))
    x = x - (weight * x).sum(-1, keepdims=True) / total
    y = y - (weight * y).sum(-1, keepdims=True) / total
    return (weight * x * y).sum(-1) / np.where(enough[..., 0], (weight * x * x).sum(-1), np.nan)


def effective_resolution(
    wavelength: np.ndarray, power: np.ndarray, reference: np.ndarray, share: float = SHARE
) -> np.ndarray:
    """The wavelength (km) below which a product has less than ``share`` of the reference's power.

    From long waves to short, the first at which the ratio falls under the share and stays there for half
    an octave, three rings at least; between two rings on a straight line. It is the shortest wave where
    the ratio never falls, and infinite where it is low from the longest on. Give spectra averaged over
    many frames: the long rings of one frame hold few waves.
    """
    known = (reference > 0) & np.isfinite(power)
    ratio = np.divide(power, reference, out=np.full(known.shape, np.nan), where=known)
    ahead = np.arange(len(wavelength)) - np.arange(len(wavelength))[:, None]
    judged = (ahead >= 0) & ((ahead < 3) | (wavelength * math.sqrt(2) > wavelength[:, None]))
    stays = (~(ratio < share)).astype(float) @ judged.T == 0
    first = stays.argmax(-1)[..., None]
    before = np.maximum(first - 1, 0)
    high, low = (np.take_along_axis(ratio, index, -1) for index in (before, first))
    part = np.divide(high - share, high - low, out=np.ones_like(high), where=high > low)
    crossing = np.exp((1 - part) * np.log(wavelength[before]) + part * np.log(wavelength[first]))[..., 0]
    found = np.where(first[..., 0] > 0, crossing, np.inf)
    found = np.where(stays.any(-1), found, wavelength[-1])
    return np.where(known.any(-1), found, np.nan)


def log_spectral_distance(power: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Root mean square over rings of 10 log10(power / reference), in dB; every ring counts alike.

    The *mean* log-spectral distance is the mean of this over frames (`numpy.nanmean`). Two fields of the
    same law are not at zero, for chance alone sets a ring of n independent waves, that is of 2 n
    coefficients, 6.1 / sqrt(n) dB apart: read it beside the distance of two true fields, or take it of
    spectra averaged first. A frame without power at some ring, such as a dry one, is NaN.
    """
    decibels = 10.0 * (_logarithm(power) - _logarithm(reference))
    return np.sqrt((decibels**2).mean(-1))


def _logarithm(power: np.ndarray) -> np.ndarray:
    """To the base of ten; NaN where there is no power."""
    return np.log10(np.where(power > 0, power, np.nan))
