"""Quality: what in the reports of gauges cannot be true, flagged and never silently deleted.

`flags` looks at every report with checks that each say one thing; `cleaned` makes what is flagged missing,
with a note of how much; `table` lists them. Checks that need neighbours take up to ten within a reach that
grows with the interval (11 km for five minutes, 30 km for an hour, 107 km for a day), and say nothing of a
gauge that has fewer than three: an isolated storm and an isolated fault look alike.

The zeros and the sudden amounts follow de Vos et al. (2019, doi:10.1029/2019GL083731), whose limits for five
minutes are carried to other intervals along the growth of the world's records, hours to the power 0.47.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.spatial import KDTree

from engine.fields import EARTH_RADIUS_KM, Box, Observations
from engine.intervals import steady
from engine.quantities import noted
from engine.values import Invalid

CHECKS = {
    "place": "the gauge cannot stand where it is listed: at 0, 0, outside, swapped, or at an absurd height",
    "twin": "the gauge repeats the series of another one, under a second name or at a second place",
    "range": "more rain than has ever been measured anywhere in such an interval",
    "stuck": "the same amount again and again",
    "spike": "a great amount while neighbours, and the gauge itself before and after, have next to nothing",
    "influx": "a great amount, 25 times the median of its neighbours",
    "zeros": "no rain for three reports and half an hour on end while half of its neighbours have ten tips",
    "stranger": "over the whole period the gauge does not go with its neighbours, though they go together",
}
GROWTH = 0.47
RECORD = 425.0  # mm in an hour: records lie below 425 mm times hours to the power of GROWTH
GREAT = 32.0  # mm in an hour, 10 mm in five minutes
EXCESS = 25.0  # times the median of the neighbours (10 mm over 0.4 mm)
NEXT_TO_NOTHING, AFAR = 0.1, 4.0  # of a spike; and so many times the reach, for what is alone there is sudden
REACH, REACH_GROWTH = 30.0, 0.4  # km, for an hour
NEIGHBOURS, LEAST_NEIGHBOURS = 10, 3
STUCK_REPORTS, STUCK_STEPS = 6, 5  # so many equal reports of so many times the least amount
ZERO_REPORTS, ZERO_HOURS, ZERO_STEPS = 3, 0.5, 10  # and so many times the least amount around it
TWIN_WET, MOST_COMPARED, ONE_PLACE = 10, 2000, 1e-3  # of twins at one place (degrees) two wet reports do
STRANGE, TOGETHER, STRANGE_WET = 0.15, 0.4, 20
LOWEST, HIGHEST = -450.0, 9000.0  # m
FINEST = 0.1  # mm


def flags(gauges: Observations, domain: Box | None = None) -> xr.DataArray:
    """Which reports fail which check: (flag, gauge, time), true where it fails. Missing reports fail none."""
    rain = gauges.values.astype(np.float32)
    hours = float(steady(gauges.rain, "gauges") / pd.Timedelta("1h"))
    depth = rain * hours
    least = _least(depth)
    place, twin = misplaced(gauges, domain), twins(rain, gauges.lat, gauges.lon)
    reach, great, sound = REACH * hours**REACH_GROWTH, GREAT * hours**GROWTH, ~(place | twin)
    half, _ = around(depth, neighbours(gauges, reach, sound))
    _, most = around(depth, neighbours(gauges, AFAR * reach, sound))
    whole = np.ones(rain.shape[1], bool)
    found = {
        "place": place[:, None] & whole,
        "twin": twin[:, None] & whole,
        "range": depth > RECORD * hours**GROWTH,
        "stuck": stuck(depth, least),
        "spike": spikes(depth, most, great),
        "influx": depth > np.maximum(great, EXCESS * half),
        "zeros": zeros(depth, half, least, max(ZERO_REPORTS, round(ZERO_HOURS / hours))),
        "stranger": strangers(depth, half)[:, None] & whole,
    }
    known = np.isfinite(rain)
    axes = {"flag": list(CHECKS), "gauge": gauges.rain.gauge, "time": gauges.rain.time}
    return xr.DataArray(np.stack([found[name] & known for name in CHECKS]), axes, ("flag", "gauge", "time"))


def cleaned(
    gauges: Observations, flagged: xr.DataArray, only: Collection[str] = tuple(CHECKS)
) -> Observations:
    """The gauges with flagged reports missing; notes tell how many and why."""
    if strange := set(only) - set(CHECKS):
        raise Invalid(f"flags: got {sorted(strange)[0]!r}; known are {', '.join(CHECKS)}")
    chosen = [name for name in CHECKS if name in only]
    rows = [row for row in table(flagged) if row["flag"] in chosen and row["reports"]]
    told = [
        f"{row['reports']} reports of {row['gauges']} gauges were made missing: {row['meaning']}"
        for row in rows
    ]
    return Observations(noted(gauges.rain.where(~flagged.sel(flag=chosen).any("flag").values), *told))


def table(flagged: xr.DataArray) -> list[dict[str, Any]]:
    """A row a check: how many reports of how many gauges failed it, and what it means."""
    return [
        {
            "flag": name,
            "reports": int(failed.sum()),
            "gauges": int(failed.any("time").sum()),
            "meaning": CHECKS[name],
        }
        for name in CHECKS
        for failed in [flagged.sel(flag=name)]
    ]


def _least(depth: np.ndarray) -> float:
    """The least amount that the network knows, a tip; finer ones (traces, packing) are no evidence."""
    wet = depth[depth > 0]
    return max(float(wet.min()), FINEST) if wet.size else FINEST


def misplaced(gauges: Observations, domain: Box | None) -> np.ndarray:
    """Gauges at 0, 0, outside the domain (swapped or not), or at a height that is none on land."""
    lat, lon, height = gauges.lat, gauges.lon, gauges.elevation
    wrong = (lat == 0) & (lon == 0) | ~np.isfinite(lat + lon) | (height < LOWEST) | (height > HIGHEST)
    if domain is not None:
        return wrong | ~domain.contains(lat, lon)
    if len(gauges) < 4:
        return wrong
    # Without a domain only what lies far out, and would lie inside if latitude and longitude were swapped.
    low, high = np.percentile(lat[~wrong], [10, 90]), np.percentile(lon[~wrong], [10, 90])
    margin = 2 * max(np.ptp(low), np.ptp(high), 0.5)

    def inside(north: np.ndarray, east: np.ndarray) -> np.ndarray:
        within = (north > low[0] - margin) & (north < low[1] + margin)
        return within & (east > high[0] - margin) & (east < high[1] + margin)

    return wrong | ~inside(lat, lon) & inside(lon, lat)


def twins(rain: np.ndarray, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Gauges whose reports equal an earlier one's wherever both are known, in enough wet reports."""
    wet = rain > 0
    order = np.argsort(-wet.sum(0), kind="stable")[:MOST_COMPARED]
    part, wet = rain[:, order], wet[:, order]
    found = np.zeros(len(rain), bool)
    for each in range(1, len(rain)):
        here = (np.abs(lat[:each] - lat[each]) < ONE_PLACE) & (np.abs(lon[:each] - lon[each]) < ONE_PLACE)
        enough = (wet[each] & wet[:each]).sum(1) >= np.where(here, 2, TWIN_WET)
        able = np.flatnonzero(enough & ~found[:each])
        same = (part[able] == part[each]) | np.isnan(part[able]) | np.isnan(part[each])
        found[each] = same.all(1).any()
    return found


def neighbours(gauges: Observations, reach: float, sound: np.ndarray) -> list[np.ndarray]:
    """For each gauge the nearest sound ones within reach (km)."""
    lat, lon = np.deg2rad(np.nan_to_num(gauges.lat)), np.deg2rad(np.nan_to_num(gauges.lon))
    places = EARTH_RADIUS_KM * np.stack(
        [np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], 1
    )
    able = np.flatnonzero(sound)
    if not able.size:
        return [able] * len(places)
    count = min(NEIGHBOURS + 1, able.size)
    far, near = KDTree(places[able]).query(places, count, distance_upper_bound=reach)
    far, near = far.reshape(len(places), -1), near.reshape(len(places), -1)
    found = [able[these[np.isfinite(steps)]] for steps, these in zip(far, near, strict=True)]
    return [these[these != each][:NEIGHBOURS] for each, these in enumerate(found)]


def around(depth: np.ndarray, near: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The lower median and the most of the neighbours' amounts; missing where fewer than three are known."""
    half, most = np.full_like(depth, np.nan), np.full_like(depth, np.nan)
    for each, these in enumerate(near):
        if len(these) < LEAST_NEIGHBOURS:
            continue
        ranked = np.sort(depth[these], axis=0)  # what is missing comes last
        known = np.isfinite(ranked).sum(0)
        able = np.flatnonzero(known >= LEAST_NEIGHBOURS)
        half[each, able] = ranked[(known[able] - 1) // 2, able]
        most[each, able] = ranked[known[able] - 1, able]
    return half, most


def stuck(depth: np.ndarray, least: float) -> np.ndarray:
    """Runs of equal amounts, too great to be equal by the coarseness of the gauge."""
    same = (depth[:, 1:] == depth[:, :-1]) & (depth[:, 1:] > 0)
    found = np.zeros(depth.shape, bool)
    for row, first, last in runs(same & (depth[:, 1:] >= STUCK_STEPS * least * (1 - 1e-6))):
        found[row, first : last + 1] = last - first >= STUCK_REPORTS - 1
    return found


def runs(true: np.ndarray) -> list[tuple[int, int, int]]:
    """Where a condition holds on end: row, first, and the one after the last."""
    change = np.diff(np.pad(true, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    begins, finishes = np.argwhere(change == 1), np.argwhere(change == -1)
    return [
        (int(row), int(first), int(last)) for (row, first), (_, last) in zip(begins, finishes, strict=True)
    ]


def spikes(depth: np.ndarray, most: np.ndarray, great: float) -> np.ndarray:
    """Great amounts that stand alone in time and, three reports long, in space."""
    little = NEXT_TO_NOTHING * depth
    calm = np.ones(depth.shape, bool)
    for shift in (-1, 1):
        own, theirs = (np.full_like(depth, np.nan) for _ in range(2))
        to, of = (slice(1, None), slice(None, -1)) if shift == 1 else (slice(None, -1), slice(1, None))
        own[:, to], theirs[:, to] = depth[:, of], most[:, of]
        calm &= (own <= little) & ~(theirs > little)
    return (depth > great / 2) & (most <= little) & calm


def zeros(depth: np.ndarray, half: np.ndarray, least: float, reports: int) -> np.ndarray:
    """Zeros on end against neighbours that are wet, and not by a tip or two."""
    found = np.zeros(depth.shape, bool)
    for row, first, last in runs((depth == 0) & (half >= least * (1 - 1e-6))):
        around_it = half[row, first:last].sum()
        found[row, first:last] = last - first >= reports and around_it >= ZERO_STEPS * least * (1 - 1e-6)
    return found


def strangers(depth: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Gauges that do not correlate with the median of their neighbours, where most of the network does."""
    found = np.full(len(depth), np.nan)
    for each, (own, theirs) in enumerate(zip(np.sqrt(depth), np.sqrt(half), strict=True)):
        both = np.isfinite(own) & np.isfinite(theirs)
        if (theirs[both] > 0).sum() >= STRANGE_WET and np.ptp(own[both]) > 0:
            found[each] = np.corrcoef(own[both], theirs[both])[0, 1]
        elif (theirs[both] > 0).sum() >= STRANGE_WET:
            found[each] = 0.0
    known = found[np.isfinite(found)]
    return (found < STRANGE) & (known.size > 4 and float(np.median(known)) > TOGETHER)
