"""Events: a window of time that is looked at as one, and the rain that fell in it.

A rate belongs to an interval, a total to an event: rain at a time is in mm/h, rain over an event in mm. Both
are asked for in the same way, by `When`. An event that a field does not cover whole has no total there, and
neither has a cell or a gauge that was silent for one of its hours: what was not seen is never taken for dry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from engine.diagnostics.tally import grades
from engine.fields import Period
from engine.values import Invalid, instant

HOUR: Any = pd.Timedelta("1h")
MM = "mm"  # the unit of a total


@dataclass(frozen=True)
class Event:
    """From ``start`` to ``end``, UTC. Its text is an interval of ISO 8601: two times parted by a slash."""

    start: pd.Timestamp
    end: pd.Timestamp

    @classmethod
    def of(cls, text: str) -> Event | None:
        """An event from its text; nothing from a text that is none."""
        first, _, last = text.partition("/")
        try:
            start, end = instant("event.start", first), instant("event.end", last)
        except Invalid:
            return None
        return cls(start, end) if start < end else None

    def __str__(self) -> str:
        return "/".join(each.isoformat(timespec="minutes") for each in (self.start, self.end))

    @property
    def hours(self) -> float:
        return (self.end - self.start) / HOUR

    def within(self, whole: Period) -> bool:
        """Whether it is made of whole steps of a period."""
        inside = whole.start <= self.start and self.end <= whole.end
        return inside and not any((each - whole.start) % whole.step for each in (self.start, self.end))


When = pd.Timestamp | Event


def graded(interval: str, *, total: bool) -> tuple[float, ...]:
    """Where the grades of rain begin: in mm/h, or in mm of what falls in this time."""
    hours = pd.Timedelta(interval) / HOUR if total else 1.0
    return tuple(each * hours for each in grades(interval))


def rain_over(rain: xr.DataArray, when: When) -> xr.DataArray | None:
    """Rain at a time (mm/h), or the total of an event (mm); nothing where the times are not all there."""
    times = rain.indexes["time"]
    if not isinstance(when, Event):
        return rain.sel(time=when) if when in times else None
    step: Any = pd.Timedelta(rain.attrs["interval"])
    ends = pd.date_range(when.start + step, when.end, freq=step)
    if not len(ends) or bool(ends[-1] != when.end) or not ends.isin(times).all():
        return None
    parts = [rain] if "member" not in rain.dims else [rain.isel(member=[at]) for at in range(len(rain))]
    sums = [part.sel(time=ends).sum("time", skipna=False) * np.float32(step / HOUR) for part in parts]
    total = sums[0] if len(sums) == 1 else xr.concat(sums, "member")  # one after the other: less memory
    return total.assign_attrs(units=MM, interval=f"{when.hours:g}h")
