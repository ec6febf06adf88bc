"""The errors of a source, judged by gauges: how large they are, and how far they reach.

A likelihood needs a law of errors, and a number that someone guessed would decide the answer. Gauges know:
what they report minus what the source says there is the error of both, and its spread grows with the
amount, sqrt(floor^2 + (share amount)^2). Errors of a gridded source go together besides: where it misses
a shower it misses all of it. Divided by their spread they have a correlation that falls with distance;
what of it is left at distance zero is the source's share, the rest belongs to each gauge alone.

Both fits are robust, for a few faulty gauges must not set them.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

from engine.fields import KM_PER_DEGREE
from engine.values import Invalid


def error_law(source, gauges, bins: int = 12) -> tuple[float, float]:
    """(floor, share): the standard deviation of gauge minus source, sqrt(floor^2 + (share amount)^2).

    Within bins of the amount the spread is 1.48 times the median absolute deviation, so that spikes and
    stuck gauges do not set it; the law is a line through their squares with slopes of at least zero.
    """
    source, gauges = np.ravel(source), np.ravel(gauges)
    known = np.isfinite(source) & np.isfinite(gauges)
    if known.sum() < 50:
        raise Invalid(f"error law: {known.sum()} pairs are too few; give at least 50")
    amount, wrong = source[known], (gauges - source)[known]
    order = np.argsort(amount)
    parts = [part for part in np.array_split(order, bins) if len(part) >= 5]
    middle = np.array([amount[part].mean() for part in parts])
    spread = np.array([1.4826 * np.median(np.abs(wrong[part] - np.median(wrong[part]))) for part in parts])
    weight = 1 / np.maximum(spread, 1e-3 * spread.max() + 1e-12) ** 2  # relative errors of the squares
    design = np.stack([np.ones_like(middle), middle**2], 1) * weight[:, None]
    (floor, share), _ = nnls(design, spread**2 * weight)
    return float(np.sqrt(floor)), float(np.sqrt(share))


def error_reach(source, gauges, lat, lon, bins: int = 15) -> tuple[float, float]:
    """(km, share): the correlation of errors at gauges a distance d apart, share exp(-d / km).

    ``source`` and ``gauges`` are (gauge, time). The correlation is averaged over the pairs of a class of
    distance, up to half of the largest, and the law is fitted with the number of pairs for weights.
    """
    floor, share = error_law(source, gauges)
    spread = np.sqrt(floor**2 + (share * source) ** 2)
    # cut at three deviations: a spike counts as an error, not as a thousand
    scaled = np.clip((gauges - source) / np.maximum(spread, 1e-9), -3, 3)
    known = np.isfinite(scaled)
    scaled = np.where(known, scaled - scaled[known].mean(), 0.0)
    one, other = np.triu_indices(len(scaled), 1)
    north, east = lat[one] - lat[other], (lon[one] - lon[other]) * np.cos(np.radians(np.mean(lat)))
    away = KM_PER_DEGREE * np.hypot(north, east)
    near = away[away <= away.max(initial=0) / 2]
    if not near.size:
        raise Invalid(f"reach of errors: {len(source)} gauges, none near another; give more gauges")
    common = (known.astype(float) @ known.T)[one, other]
    product = (scaled @ scaled.T)[one, other] / (scaled[known] ** 2).mean()
    edges = np.quantile(near, np.linspace(0, 1, bins + 1))
    label = np.clip(np.searchsorted(edges, away, side="right") - 1, 0, bins)
    pairs, total = np.bincount(label, common)[:bins], np.bincount(label, product)[:bins]
    if pairs.min() < 20:
        raise Invalid(f"reach of errors: {pairs.min():.0f} pairs in a class of distance; give more gauges")
    middle, found = np.bincount(label, away * common)[:bins] / pairs, total / pairs
    lengths = np.geomspace(0.3 * middle[0], 2 * middle[-1], 200)
    laws = np.exp(-middle / lengths[:, None])
    shares = np.clip((laws * found * pairs).sum(1) / (laws**2 * pairs).sum(1), 0, 1)
    best = (pairs * (found - shares[:, None] * laws) ** 2).sum(1).argmin()
    return float(lengths[best]), float(shares[best])
