"""Units and intervals: from what a file says to mm/h over the intervals of a task.

A file speaks of rates or of depths, and stamps an interval at its end or at its start. What a reader
returns keeps the conventions of `engine.fields`: mm/h, and the stamp is the end. A depth is divided by the
interval's length. Finer intervals become a task's by their mean, which is known only where all of them are:
eleven known parts of twelve do not make an hour.

Calendar months are not equally long. A field of months has ``interval`` "1mo": each value is the mean over
the month that ends at its stamp (the first of the next month, 00:00), and a depth is divided by that
month's own hours. `length` returns `MONTH` for stamps that are months apart, or when told "1mo"; `ends`,
`as_rate` and `named` take it like any other length. Such a field can be read, looked at and calibrated
with; a task refuses it, for the steps of a task are equally long (`steady`).
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from engine.fields import Observations, Period
from engine.quantities import lazily
from engine.values import Invalid, brief, spelled

# What falls, in mm of water; and the time it may be told per, in hours.
AMOUNTS = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "in": 25.4, "kg m-2": 1.0}
TIMES = {"s": 1 / 3600, "min": 1 / 60, "h": 1.0, "day": 24.0}
SPELLINGS = {
    "mm": ("millimeter", "millimeters", "millimetre", "millimetres"),
    "cm": ("centimeter", "centimeters", "centimetre", "centimetres"),
    "m": ("meter", "meters", "metre", "metres"),
    "in": ("inch", "inches"),
    "s": ("sec", "second", "seconds"),
    "min": ("minute", "minutes"),
    "h": ("hr", "hrs", "hour", "hours"),
    "day": ("d", "days"),
    "month": ("mon", "months"),
}
OURS = {each: name for name, others in SPELLINGS.items() for each in (name, *others)}
TOKEN = r"[a-z]+(?:-?\d)?"  # m-2, h-1, m2
KNOWN = f"{', '.join(AMOUNTS)}, alone or per {', '.join(TIMES)} or month, as 'mm/day' or 'kg m-2 s-1'"
MONTH = pd.DateOffset(months=1)  # the one length that is not the same everywhere
SHORTEST = pd.Timedelta("1s")  # a bare number is taken for nanoseconds, and no rain is told by them
PACKING = 0.01  # mm/h below zero that packing may leave, and no more
FASTEST = 20_000  # mm/h: nine times the wettest minute ever measured (38 mm)


def rain_unit(unit: Any) -> tuple[float, str] | None:
    """The mm of water that a unit of rain stands for, and the time it is told per ("" of a depth)."""
    text = str(unit).strip().lower().replace("**", "").replace("^", "").replace(" per ", "/")
    text = re.sub(r" (of )?(liquid )?water( equivalent)?$| w\.?e\.?$", "", text)
    parts = re.fullmatch(r"(\d*\.?\d+(?:e-?\d+)?)?\s*([a-z].*)", text)
    if parts is None or re.sub(TOKEN, "", parts[2]).strip(" .*()/"):  # of "mm/5min" a 5 is left
        return None
    over, *under = ([_power(each) for each in re.findall(TOKEN, part)] for part in parts[2].split("/"))
    units = over + [(name, -power) for part in under for name, power in part]
    per = [name for name, power in units if power == -1 and name in (*TIMES, "month")]
    rest = sorted(each for each in units if each not in [(name, -1) for name in per])
    amount = "kg m-2" if rest == [("kg", 1), ("m", -2)] else rest[0][0] if len(rest) == 1 else ""
    if amount not in AMOUNTS or len(per) > 1 or (amount != "kg m-2" and rest[0][1] != 1):
        return None
    return float(parts[1] or 1) * AMOUNTS[amount], per[0] if per else ""


def _power(token: str) -> tuple[str, int]:
    """The name and the power in m-2."""
    name = token.rstrip("-0123456789")
    return OURS.get(name, name), int(token[len(name) :].replace("--", "-") or 1)


def as_rate(values, unit: Any, interval: Any, where: str):
    """Rain in mm/h, from an array or a (lazy) field; what cannot be rain is refused. A depth over months
    needs a field whose times are the ends of its months."""
    if (found := rain_unit(unit)) is None:
        said = "no unit" if unit is None else f"unit {brief(unit)}"
        raise Invalid(f"{where}: its rain has {said}; known are {KNOWN}")
    factor, per = found
    if per == "month" and interval != MONTH:
        raise Invalid(f"{where}: its rain is in {unit}, its intervals are {named(interval)}; give the unit")
    if per in TIMES:
        factor /= TIMES[per]
    elif interval != MONTH:
        factor /= interval / pd.Timedelta("1h")
    else:
        months = values.indexes["time"]
        hours = (months - (months - MONTH)) / pd.Timedelta("1h")
        values = values / xr.DataArray(hours.to_numpy(np.float32), {"time": values.time}, ["time"])

    def converted(part: np.ndarray) -> np.ndarray:
        rain = (part * np.float32(factor)).astype(np.float32)
        lowest, highest = (float(of.reduce(rain, axis=None, initial=np.nan)) for of in (np.fmin, np.fmax))
        if lowest < -PACKING or highest > FASTEST:
            raise Invalid(
                f"{where}: holds {lowest:g} to {highest:g} mm/h, which is no rain; mark what is missing"
            )
        return rain.clip(0)

    return lazily(converted, values)


def length(times, where: str, given: Any = None) -> Any:
    """The length of the intervals: as given, else the even distance of the stamps. `MONTH` for months."""
    if isinstance(given, pd.DateOffset) or str(given).strip() in ("1mo", "month"):
        return MONTH
    if given is not None:
        try:
            found: Any = pd.Timedelta(given)
        except (TypeError, ValueError):
            found = pd.NaT
        if not found >= SHORTEST:
            raise Invalid(f"{where}: got interval {brief(given)}; give a length such as 1h or 5min, or 1mo")
        return found
    stamps = pd.DatetimeIndex(np.sort(np.asarray(times, "datetime64[ns]")))
    if months_apart(stamps):
        return MONTH
    if len(stamps) == 1:
        raise Invalid(
            f"{where}: of a single time the interval of the rain is not known; tell it, as interval=1h"
        )
    steps = np.diff(stamps)
    if not len(steps) or len(set(steps)) > 1 or not pd.Timedelta(steps[0]) >= SHORTEST:
        raise Invalid(
            f"{where}: the times are not evenly spaced (by a second or more), "
            "so the interval of the rain is not known; tell it, as interval=1h"
        )
    return pd.Timedelta(steps[0])


def months_apart(stamps: pd.DatetimeIndex) -> bool:
    """Whether each stamp is in the month after the one before, at the same place of its month."""
    if len(stamps) < 2 or (np.diff(stamps.year * 12 + stamps.month) != 1).any():
        return False
    within = stamps - firsts(stamps)
    share = within / pd.to_timedelta(stamps.days_in_month, unit="D")
    return len(set(within)) == 1 or bool(np.ptp(share) < 0.035)  # a day of a month, or as its middle, its end


def firsts(stamps: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """The beginnings of the months in which these stamps lie."""
    return pd.DatetimeIndex(stamps.values.astype("datetime64[M]").astype("datetime64[s]"))


def ends(times, interval: Any, stamp: str, where: str) -> pd.DatetimeIndex:
    """The ends of intervals that are stamped at their ``end``, ``start`` or ``middle``. A month is the one
    that holds its stamp, unless that is the end of the one before."""
    if stamp not in ("end", "start", "middle"):
        raise Invalid(f"{where}: got stamp {brief(stamp)}; give end, start or middle")
    found = pd.DatetimeIndex(times)
    if interval == MONTH:
        begun = firsts(found)
        return pd.DatetimeIndex(np.where((found == begun) & (stamp == "end"), begun, begun + MONTH))
    return found + {"end": 0 * interval, "start": interval, "middle": interval / 2}[stamp]


def named(interval: Any) -> str:
    """A length as the attribute ``interval`` holds it: 5min, 1h, 1mo."""
    return "1mo" if interval == MONTH else spelled(interval)


def steady(rain: xr.DataArray, where: str) -> Any:
    """The length of a field's intervals, if they are equally long."""
    if rain.attrs.get("interval") == named(MONTH):
        raise Invalid(
            f"{where}: holds calendar months, which are not equally long as the steps of a task; "
            "give days or hours"
        )
    return pd.Timedelta(rain.attrs["interval"])


def stepped(name: str, rain: xr.DataArray, period: Period) -> xr.DataArray:
    """A field or reports over the intervals of a period, as far as they are whole."""
    own = steady(rain, f"source {name}")
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
