"""Curves of how much and how strong: intensity against frequency, and quantiles against quantiles.

A rain field can be right at no single place and still be rain, or be smooth and safe and not be rain at
all. The *intensity-frequency curve* tells the two apart: rain is intermittent, and its tail falls far more
slowly than that of a normal law. It reads both ways, as the share of places that an amount reaches
(`exceedance`, and `wet_fraction` at the threshold of rain) and as the amount that a share of places
reaches (`intensities`). The *quantile-quantile curve* lays two samples against each other, rank by rank:
on the diagonal they have the same law, wherever each of their values fell.

Missing is NaN and counted nowhere. A share or a percentile of nothing is NaN. ``axis`` names what is
pooled; other dimensions, such as members, are kept, after that of the result.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.values import Invalid

WET = 0.1  # mm/h: what counts as rain
PLACES = (-2, -1)  # lat, lon
TAIL = (50.0, 90.0, 95.0, 99.0, 99.9, 99.99)  # percentiles
A_DECADE = 20  # points of a quantile-quantile curve for each factor of ten in rarity


def exceedance(rain: np.ndarray, amounts: Sequence[float], axis: tuple[int, ...] = PLACES) -> np.ndarray:
    """The share of known places with at least each of these amounts (mm/h): (amount, ...)."""
    known = np.isfinite(rain).sum(axis)
    # a plain float is compared in the field's own precision, so 0.7 is at least 0.7 there too
    reached = np.stack([(rain >= float(amount)).sum(axis) for amount in amounts])
    return reached / np.where(known > 0, known, np.nan)


def wet_fraction(rain: np.ndarray, threshold: float = WET, axis: tuple[int, ...] = PLACES) -> np.ndarray:
    """The share of known places where it rains."""
    return exceedance(rain, [threshold], axis)[0]


def intensities(
    rain: np.ndarray, percentiles: Sequence[float] | np.ndarray = TAIL, axis: tuple[int, ...] = PLACES
) -> np.ndarray:
    """The amounts (mm/h) at these percentiles of all known places, dry ones included: (percentile, ...).

    Straight between sorted values, the least at 0 and the largest at 100. Of n places the percentiles
    beyond 100 (1 - 1/n) say no more than the largest value does.
    """
    kept = np.moveaxis(rain, axis, range(-len(axis), 0))
    ordered = np.sort(kept.reshape(*kept.shape[: -len(axis)], -1), -1)  # missing ones last
    last = np.maximum(np.isfinite(ordered).sum(-1) - 1, 0)
    found = []
    for percentile in percentiles:
        place = last * (percentile / 100.0)
        low = np.floor(place).astype(int)
        ends = np.stack([low, np.minimum(low + 1, last)], -1)
        below, above = np.moveaxis(np.take_along_axis(ordered, ends, -1), -1, 0)
        found.append(below + (above - below) * (place - low))
    return np.stack(found)


def quantile_quantile(
    one: np.ndarray, other: np.ndarray, *, paired: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Percentiles, and the amounts there of two samples, each pooled over all that it holds.

    The percentiles are even in the logarithm of rarity, so that the tail gets as many points as the
    bulk; they end at the largest value of the smaller sample. ``paired`` counts a place only where both
    are known, for two fields that broadcast against each other; unpaired, each counts its own, and
    the samples may be of any sizes. For a band of members give `intensities` these percentiles.
    """
    if paired:
        one, other = np.broadcast_arrays(one, other)
        both = np.isfinite(one) & np.isfinite(other)
        one, other = one[both], other[both]
    samples = [np.ravel(sample)[np.isfinite(np.ravel(sample))] for sample in (one, other)]
    count = min(map(len, samples))
    if count < 2:
        raise Invalid(f"quantile-quantile: {count} known values are too few; give at least 2")
    rarity = np.linspace(0.0, np.log10(count), 1 + int(np.ceil(A_DECADE * np.log10(count))))
    percentiles = 100.0 * (1.0 - 10.0**-rarity)
    mine, theirs = (intensities(sample, percentiles, (-1,)) for sample in samples)
    return percentiles, mine, theirs
