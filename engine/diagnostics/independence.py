"""How independent a judgement is: are the gauges held out far enough from those in use?

A gauge next to one that was used is predicted by its neighbour, whatever the method: scores at such gauges
tell how well a network fills its own gaps, not how good a map is elsewhere. So the distance from each gauge
held out to the nearest one in use is measured against the length over which rain stays correlated, itself
taken from pairs of reports.
"""

from __future__ import annotations

import numpy as np

from engine.diagnostics.tables import Table
from engine.fields import EARTH_RADIUS_KM, Observations

FEWEST_PAIRS = 10
FEWEST_HOURS = 12  # that both gauges of a pair report
MOST_GAUGES = 1000  # whose pairs are looked at
LENGTHS_KM = np.geomspace(1, 3000, 80)


def leakage(used: Observations, held: Observations, length_km: float | None = None) -> Table:
    """How near the gauges held out lie to those in use.

    ``length_km`` is the correlation length; by default that of the gauges in use.
    """
    length = correlation_length(used) if length_km is None else length_km
    apart = distances(held, used).min(1, initial=np.inf)
    apart = np.where(np.isfinite(apart), apart, np.nan)
    near = float((apart < length).mean()) if len(apart) and np.isfinite(length) else float("nan")
    middle, least = (float(of(apart)) if len(apart) else float("nan") for of in (np.median, np.min))
    found = {
        "distance to the nearest gauge in use, median": (middle, "km"),
        "distance to the nearest gauge in use, least": (least, "km"),
        "correlation length of the reports": (length, "km"),
        "share of gauges held out that lie nearer than that": (near, "1"),
    }
    return Table.of(
        [
            {"metric": name, "value": value, "n": len(held), "unit": unit}
            for name, (value, unit) in found.items()
        ]
    )


def told(table: Table) -> str:
    """The leakage in a sentence."""
    middle, least, length, near = (row["value"] for row in table.rows)
    apart = f"{middle:.0f} km (median) from the nearest gauge in use, the nearest {least:.0f} km"
    if np.isnan(length):
        return f"{apart}; how far rain is correlated cannot be told from so few reports"
    return f"{apart}; reports are correlated over {length:.0f} km, {near:.0%} lie nearer than that"


def distances(one: Observations, other: Observations) -> np.ndarray:
    """Great-circle distances in km (of one, of the other)."""
    lat, lon = np.deg2rad(one.lat)[:, None], np.deg2rad(one.lon)[:, None]
    there, east = np.deg2rad(other.lat), np.deg2rad(other.lon)
    half = np.sin((there - lat) / 2) ** 2 + np.cos(lat) * np.cos(there) * np.sin((east - lon) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(half, 0, 1)))


def correlation_length(gauges: Observations) -> float:
    """The L of c exp(-distance / L), fitted to the correlations of log(0.1 + rain) between gauges; missing
    where the gauges are too few or too dry to tell. Every factor of distance weighs alike."""
    gauges = Observations(gauges.rain.isel(gauge=slice(None, None, -(-len(gauges) // MOST_GAUGES) or 1)))
    rain = np.log(0.1 + np.maximum(gauges.values, 0))
    known = np.isfinite(rain)
    centred = np.where(known, rain, 0) - np.where(known, rain[known].mean() if known.any() else 0, 0)
    rows, columns = np.triu_indices(len(gauges), 1)
    hours = (known.astype(float) @ known.T)[rows, columns]
    apart = distances(gauges, gauges)[rows, columns]
    good = (hours >= FEWEST_HOURS) & (apart > 0.1)
    if good.sum() < FEWEST_PAIRS or not centred.any():
        return float("nan")
    shared = (centred @ centred.T)[rows, columns][good] / hours[good]
    weight = 1 / apart[good]  # there are more pairs the farther they are apart
    fits = []
    for length in LENGTHS_KM:
        falls = np.exp(-apart[good] / length)
        share = max(float((weight * falls * shared).sum() / (weight * falls**2).sum()), 0)
        fits.append(float((weight * (shared - share * falls) ** 2).sum()))
    return float(LENGTHS_KM[int(np.argmin(fits))])
