"""Curves that describe a field of rain without a reference: how much, how strong, at which scales.

A rain field can be right at no single place and still be rain, or be smooth and safe and not be rain at
all. Three curves tell the two apart. The *wet fraction* says how much of the map rains. The
*intensity-frequency curve* says how strong the strongest part is: rain is intermittent, and its tail
falls far more slowly than that of a normal law. The *power spectrum* says how the variance is shared
among scales: for rain it falls as a power of the wavenumber, and its *slope* is about -2 to -3.5
between 10 and 200 km. Interpolation is too steep at the short end, white errors are too flat.

Arrays end with (lat, lon); leading dimensions are frames. Missing is NaN. Spacings are in km, as
(north-south, west-east).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

WET = 0.1  # mm/h: what counts as rain


def wet_fraction(rain: np.ndarray, threshold: float = WET) -> np.ndarray:
    """The share of known places with at least ``threshold`` mm/h, frame by frame."""
    known = np.isfinite(rain)
    wet = np.where(known, rain, 0.0) >= threshold
    return wet.sum((-2, -1)) / np.maximum(known.sum((-2, -1)), 1)


def intensities(rain: np.ndarray, percentiles: Sequence[float]) -> np.ndarray:
    """The intensity-frequency curve: mm/h at these percentiles of all places, dry ones included.

    The result is (percentile, frame...).
    """
    places = np.reshape(rain, (*rain.shape[:-2], -1))
    return np.nanpercentile(places, percentiles, axis=-1)


def spectrum(rain: np.ndarray, spacing: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Radially averaged power of one field: wavelengths in km, from long to short, and the power there.

    The field is freed of its mean and tapered by a Hann window, so that its edges do not meet with a
    step; a step alone would give the slope -2. Rings are one fundamental wavenumber wide, and reach to
    the shorter of the two Nyquist wavenumbers, beyond which a ring would be cut by the corners.
    """
    field = np.where(np.isfinite(rain), rain, 0.0)
    taper = np.outer(np.hanning(field.shape[0]), np.hanning(field.shape[1]))
    field = (field - (field * taper).sum() / taper.sum()) * taper
    power = np.abs(np.fft.fft2(field)) ** 2 / (taper**2).sum()
    along = [np.fft.fftfreq(size, step) for size, step in zip(field.shape, spacing, strict=True)]
    wavenumber = np.hypot(along[0][:, None], along[1][None, :])
    ring_width = 1.0 / min(size * step for size, step in zip(field.shape, spacing, strict=True))
    rings = int(0.5 / max(spacing) / ring_width)
    ring = np.rint(wavenumber / ring_width).astype(int)
    count = np.bincount(ring.ravel())[1 : rings + 1]
    total = np.bincount(ring.ravel(), power.ravel())[1 : rings + 1]
    middle = np.bincount(ring.ravel(), wavenumber.ravel())[1 : rings + 1] / count
    return 1.0 / middle, total / count


def slope(wavelength: np.ndarray, power: np.ndarray, low: float, high: float) -> float:
    """Exponent b of power ~ wavenumber^b, between the wavelengths ``low`` and ``high`` (km).

    A straight line through logarithms. Rings crowd towards short waves, so each is weighted by the
    share of the logarithmic axis that it covers, that is by its wavelength: else the last octave
    alone would decide.
    """
    used = (wavelength >= low) & (wavelength <= high) & (power > 0)
    if used.sum() < 3:
        return float("nan")
    x, y, weight = -np.log(wavelength[used]), np.log(power[used]), wavelength[used]
    x, y = x - np.average(x, weights=weight), y - np.average(y, weights=weight)
    return float((weight * x * y).sum() / (weight * x * x).sum())
