"""Units and intervals: from what a file says to mm/h over the intervals of a task.

A file speaks of rates or of depths, and stamps an interval at its end or at its start. What a reader
returns keeps the conventions of `engine.fields`: mm/h, and the stamp is the end. A depth is divided by the
interval's length. Finer intervals become a task's by their mean, which is known only where all of them are:
eleven known parts of twelve do not make an hour.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from engine.fields import Observations, Period
from engine.quantities import lazily
from engine.values import Invalid, brief, spelled

# What one unit is in mm/h; a depth (mm) is divided by its interval in hours.
RATES = {
    "mm h-1": 1.0,
    "mm/h": 1.0,
    "mm hr-1": 1.0,
    "mm/hr": 1.0,
    "mm/hour": 1.0,
    "kg m-2 h-1": 1.0,
    "mm s-1": 3600.0,
    "mm/s": 3600.0,
    "kg m-2 s-1": 3600.0,
    "m s-1": 3.6e6,
    "mm day-1": 1 / 24,
    "mm d-1": 1 / 24,
    "mm/day": 1 / 24,
    "kg m-2 day-1": 1 / 24,
}
DEPTHS = {"mm": 1.0, "kg m-2": 1.0, "cm": 10.0, "m": 1000.0}
SHORTEST = pd.Timedelta("1s")  # a bare number is taken for nanoseconds, and no rain is told by them
PACKING = 0.01  # mm/h below zero that packing may leave, and no more


def as_rate(values, unit: Any, interval: Any, where: str):
    """Rain in mm/h, from an array or a (lazy) field; what cannot be rain is refused."""
    if unit not in RATES and unit not in DEPTHS:
        said = "no unit" if unit is None else f"unit {brief(unit)}"
        raise Invalid(f"{where}: its rain has {said}; known are {', '.join((*RATES, *DEPTHS))}")
    factor = RATES[unit] if unit in RATES else DEPTHS[unit] / (interval / pd.Timedelta("1h"))

    def converted(part: np.ndarray) -> np.ndarray:
        rain = (part * np.float32(factor)).astype(np.float32)
        lowest, highest = (float(of.reduce(rain, axis=None, initial=np.nan)) for of in (np.fmin, np.fmax))
        if lowest < -PACKING or highest == np.inf:
            raise Invalid(
                f"{where}: holds {lowest:g} to {highest:g} mm/h, which is no rain; mark what is missing"
            )
        return rain.clip(0)

    return lazily(converted, values)


def length(times, where: str, given: Any = None) -> Any:
    """The length of the intervals: as given, else the even distance of the stamps."""
    if given is not None:
        try:
            found: Any = pd.Timedelta(given)
        except (TypeError, ValueError):
            found = pd.NaT
        if not found >= SHORTEST:
            raise Invalid(f"{where}: got interval {brief(given)}; give a length such as 1h or 5min")
        return found
    steps = np.diff(np.sort(np.asarray(times, "datetime64[ns]")))
    if not len(steps) or len(set(steps)) > 1 or not pd.Timedelta(steps[0]) >= SHORTEST:
        raise Invalid(
            f"{where}: the times are not evenly spaced (by a second or more), "
            "so the interval of the rain is not known"
        )
    return pd.Timedelta(steps[0])


def ends(times, interval: pd.Timedelta, stamp: str, where: str) -> pd.DatetimeIndex:
    """The ends of intervals that are stamped at their ``end`` or ``start``."""
    if stamp not in ("end", "start"):
        raise Invalid(f"{where}: got stamp {brief(stamp)}; give end or start")
    found = pd.DatetimeIndex(times)
    return found + interval if stamp == "start" else found


def stepped(name: str, rain: xr.DataArray, period: Period) -> xr.DataArray:
    """A field or reports over the intervals of a period, as far as they are whole."""
    own: Any = pd.Timedelta(rain.attrs["interval"])
    if own == period.step:
        return rain
    if period.step % own:
        raise Invalid(
            f"source {name}: intervals of {spelled(own)} do not make those of {period.interval}; "
            "choose a multiple"
        )
    count, times = period.step // own, period.times
    parts = times.values[:, None] - own.to_timedelta64() * np.arange(count - 1, -1, -1)
    whole = np.isin(parts, rain.time.values).all(1)
    axis = rain.dims.index("time")
    found = rain.sel(time=parts[whole].reshape(-1)).values
    shape = (*found.shape[:axis], int(whole.sum()), count, *found.shape[axis + 1 :])
    stand_in = rain.isel(time=np.zeros(int(whole.sum()), int)).assign_coords(time=times[whole])
    return stand_in.copy(data=found.reshape(shape).mean(axis + 1)).assign_attrs(interval=period.interval)


def stepped_gauges(name: str, gauges: Observations, period: Period) -> Observations:
    """Gauges over the intervals of a period."""
    return Observations(stepped(name, gauges.rain, period))
