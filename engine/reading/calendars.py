"""Calendars: from a file's numbers of days since some day to the ends of intervals in UTC.

Bounds decide the interval, and whatever a user tells goes before them. Without bounds the length is the even
distance of the stamps, or what the file says of its ``frequency``; a stamp is then taken for the end of its
interval, except that hours stamped at 00:30, as MERRA-2's, are stamped at their middle, and whole days and
months are those that a stamp names: 2095-01-01, at 00:00 or 12:00, is the first of January, not the day
before. What was taken so is told in a note.

Climate simulations have calendars of their own. What happened on a date is kept under the name of this date.
Without leap days (noleap) the 29th of February is absent; with too many (all_leap, julian) those that do not
exist are dropped. Only a year of 360 days cannot keep its names: its days, whole, are dealt in order over the
year, so that 5 or 6 dates a year are absent and none is made up (`convert_calendar` of xarray, by year).
Months keep their names in all calendars. Anything else that is longer than a day is refused there.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from engine.intervals import MONTH, ends, firsts, length, named
from engine.values import Invalid, brief

SECONDS = {"second": 1.0, "sec": 1.0, "s": 1.0, "minute": 60.0, "min": 60.0, "hour": 3600.0, "hr": 3600.0}
SECONDS |= {"h": 3600.0, "day": 86400.0, "d": 86400.0, "week": 604800.0}
SECONDS |= {"millisecond": 1e-3, "microsecond": 1e-6, "nanosecond": 1e-9}
DAY: Any = pd.Timedelta("1D")
HALVED = [pd.Timedelta(each) for each in ("1h", "3h", "6h")]  # whose middles no other interval ends at
FREQUENCIES = {"1hr": "1h", "3hr": "3h", "6hr": "6h", "12hr": "12h", "day": "1D", "mon": "1mo"}
ISO = re.compile(r"P(?:(?P<M>\d+)M|(?P<D>\d+)D)?(?:T(?:(?P<h>\d+)H)?(?:(?P<min>\d+)M)?(?:(?P<s>\d+)S)?)?")
WORDS = {"end": r"\bend", "start": r"\b(start|begin)", "middle": r"\b(mid|cent)"}


class Times(NamedTuple):
    """The ends of intervals, their length, and which of a file's times they were, in order."""

    ends: pd.DatetimeIndex
    length: Any  # a Timedelta, or MONTH
    order: np.ndarray
    notes: tuple[str, ...]


class Clock(NamedTuple):
    """A file's times in whole seconds since a day of its calendar."""

    seconds: np.ndarray
    since: str
    calendar: str
    about: dict[str, Any]

    def dates(self, seconds: np.ndarray) -> np.ndarray:
        """As numpy's times, or as cftime's where the calendar is another."""
        told = {"units": f"seconds since {self.since}", "calendar": self.calendar}
        coder = xr.coders.CFDatetimeCoder(time_unit="us")
        return xr.decode_cf(xr.Dataset({"x": ("at", seconds, told)}), decode_times=coder).x.values


def clock(times: xr.DataArray, where: str) -> Clock:
    """The clock of a variable of times."""
    unit, found, since = str(times.attrs.get("units", "")).strip().partition(" since ")
    size = SECONDS.get(unit.lower()) or SECONDS.get(unit.lower().removesuffix("s"))
    if not found or size is None:
        raise Invalid(
            f"{where}: its times are in {brief(times.attrs.get('units', 'no unit'))}; "
            "write them as 'hours since 1900-01-01'"
        )
    numbers = np.atleast_1d(times.values).astype(float)
    if not np.isfinite(numbers).all():
        raise Invalid(f"{where}: some of its times are missing; cut them off")
    calendar = str(times.attrs.get("calendar", "standard")).lower()
    counted = size == 1 and times.dtype.kind in "iu"  # large counts of seconds stay as they are
    seconds = np.atleast_1d(times.values) if counted else np.round(numbers * size)
    since = re.sub(r"^\d{1,3}(?=-)", lambda year: year[0].zfill(4), since.strip())  # hours since 1-1-1
    return Clock(seconds.astype(np.int64), since, calendar, dict(times.attrs))


def times_of(
    times: xr.DataArray,
    bounds: xr.DataArray | None,
    said: dict[str, Any],
    where: str,
    stamp: str | None = None,
    interval: Any = None,
) -> Times:
    """The intervals of a file's times, by what is told (``stamp``, ``interval``), by its bounds, or by what
    its variable and the file ``said``: interval, frequency, time_coverage_resolution, cell_methods."""
    own = clock(times, where)
    told = said.get("interval") if interval is None else interval
    if bounds is not None and stamp is None and interval is None:
        starts, lasts, lines = _bounded(own, bounds.transpose(*times.dims, ...), where)
        lasts = lasts if told is None else length((), where, told)
    else:
        lasts, lines = _length(own, said, told, where)
        starts, more = _starts(own, lasts, stamp, str(said.get("cell_methods")), where)
        lines += more
    found, kept, more = _standard(own, starts, lasts, where)
    order = np.argsort(found, kind="stable")
    return Times(found[order], lasts, kept[order], (*lines, *more))


def _bounded(own: Clock, bounds: xr.DataArray, where: str) -> tuple[np.ndarray, Any, list[str]]:
    """The beginnings, in seconds, and the length that bounds give."""
    table = np.atleast_2d(bounds.values)
    if table.shape != (len(own.seconds), 2):
        raise Invalid(f"{where}: its bounds of time are {bounds.shape}; give two for each time")
    told = own.about | {name: one for name, one in bounds.attrs.items() if name in ("units", "calendar")}
    edges, zero = clock(xr.DataArray(table, attrs=told), where), np.zeros(1, np.int64)
    same = (edges.since, edges.calendar) == (own.since, own.calendar)
    shift: Any = pd.Timedelta(0 if same else (edges.dates(zero) - own.dates(zero))[0])
    starts = edges.seconds.min(1) + round(shift / pd.Timedelta("1s"))
    lasts = np.ptp(edges.seconds, axis=1)
    lines = []
    if (lasts % 60 == 59).all():
        lasts, lines = lasts + 1, ["its bounds end one second before the next begin; that second is added"]
    if (lasts <= 0).any():
        raise Invalid(f"{where}: its bounds of time enclose nothing; give interval and stamp")
    if _whole_months(own, starts, starts + lasts):
        return starts, MONTH, lines
    if len(set(lasts)) > 1:
        few, many = (named(pd.Timedelta(int(of), "s")) for of in (lasts.min(), lasts.max()))
        raise Invalid(
            f"{where}: its intervals are not equally long ({few} to {many}); "
            "cut it where their length changes, or take the differences of what accumulates"
        )
    return starts, length((), where, pd.Timedelta(int(lasts[0]), "s")), lines


def _whole_months(own: Clock, starts: np.ndarray, finish: np.ndarray) -> bool:
    """Whether all begin with a month and end with the same."""
    month = [_parts(own.dates(each))[1] for each in (starts - 1, starts, finish - 1, finish)]
    same = (month[1] == month[2]) & (finish - starts < 32 * 86400)
    return bool((same & (month[0] != month[1]) & (month[2] != month[3])).all())


def _parts(dates: np.ndarray) -> np.ndarray:
    """Year, month and day, of numpy's times or of cftime's."""
    if dates.dtype != object:
        found = pd.DatetimeIndex(dates)
        return np.stack([found.year, found.month, found.day])
    return np.array([(each.year, each.month, each.day) for each in dates]).T


def _length(own: Clock, said: dict[str, Any], told: Any, where: str) -> tuple[Any, list[str]]:
    """As told, as the file says, or the distance of the stamps."""
    if told is not None:
        return length((), where, told), []
    frequency = _frequency(said)
    lasts = None if frequency is None else length((), where, frequency)
    try:
        spaced = _spacing(own, where)
    except Invalid:
        if lasts is None:
            raise
        return lasts, [f"intervals of {named(lasts)}, as the file says of its frequency"]
    if lasts not in (None, spaced):
        raise Invalid(
            f"{where}: says that its intervals are {named(lasts)}, its times are {named(spaced)} apart; "
            "tell which, as interval=1h"
        )
    return spaced, []


def _spacing(own: Clock, where: str) -> Any:
    """The even distance of the stamps, in their calendar."""
    dates = own.dates(np.sort(own.seconds))
    if dates.dtype != object:
        return length(dates, where)
    year, month, day = _parts(dates)
    if len(dates) > 1 and (np.diff(year * 12 + month) == 1).all() and np.ptp(day) <= 2:
        return MONTH
    return length(own.seconds.astype("datetime64[s]"), where)


def _frequency(said: dict[str, Any]) -> str | None:
    """What the attributes of a file say in the words of CMIP, or of ISO 8601."""
    if (found := FREQUENCIES.get(str(said.get("frequency")))) is not None:
        return found
    parts = ISO.fullmatch(str(said.get("time_coverage_resolution", "")))
    given = {unit: count for unit, count in parts.groupdict().items() if count} if parts else {}
    if given.pop("M", None) == "1" and not given:
        return "1mo"
    return " ".join(f"{count}{unit}" for unit, count in given.items()) or None


def _starts(
    own: Clock, lasts: Any, stamp: str | None, methods: str, where: str
) -> tuple[np.ndarray, list[str]]:
    """The beginnings, in seconds, of intervals whose stamps are at some end of them."""
    line = ""
    if stamp is None:
        stamp, line = _stamp(own, lasts, methods, where)
    ends((), lasts, stamp, where)
    if lasts == MONTH:  # some time in it will do
        return own.seconds - (stamp == "end"), [line]
    share = {"start": 0, "middle": 0.5, "end": 1}[stamp]
    return own.seconds - round(share * (lasts / pd.Timedelta("1s"))), [line]


def _stamp(own: Clock, lasts: Any, methods: str, where: str) -> tuple[str, str]:
    """Which part of its interval a stamp is: as the file says in words, else by what is usual."""
    words = " ".join(str(own.about.get(name, "")) for name in ("long_name", "comment")).lower()
    said = [stamp for stamp, form in WORDS.items() if re.search(form, words)]
    if len(said) == 1 and ("interval" in words or "period" in words):
        return said[0], ""
    if "time: point" in methods:
        return "end", "its values are of the instants of the stamps"
    if lasts == MONTH:
        return "middle", "no bounds of time: each stamp is taken for the month in which it lies"
    dates = own.dates(own.seconds[:1])
    first: Any = dates[0] if dates.dtype == object else pd.Timestamp(dates[0])
    hour = first.hour
    if lasts in HALVED and pd.Timedelta(hours=hour, minutes=first.minute) % lasts == lasts / 2:
        return (
            "middle",
            f"no bounds of time: each stamp, as {first:%H:%M}, is taken for the middle of its interval",
        )
    if lasts % DAY:
        return "end", "no bounds of time: each stamp is taken for the end of its interval"
    if ((own.seconds - own.seconds[0]) % 86400).any() or hour not in (0, 12):
        raise Invalid(f"{where}: its days end at no usual hour; tell stamp, the start or end of each")
    if hour == 12 and lasts == DAY:
        return "middle", "no bounds of time: each stamp, at 12:00, is taken for the day that it names"
    return "start", "no bounds of time: each stamp is taken for the day that it names, not the day before"


def _standard(
    own: Clock, starts: np.ndarray, lasts: Any, where: str
) -> tuple[pd.DatetimeIndex, np.ndarray, list[str]]:
    """The ends in the standard calendar, of which of the times, and what became of the others."""
    dates, every = own.dates(starts), np.arange(len(starts))
    if dates.dtype != object:
        found = pd.DatetimeIndex(dates)
        return (firsts(found) + MONTH if lasts == MONTH else found + lasts), every, []
    lines = [f"calendar {own.calendar}: the dates are kept by their names, as far as they exist"]
    if lasts == MONTH:
        found = pd.DatetimeIndex([f"{year:04d}-{month:02d}" for year, month, _ in _parts(dates).T])
        return found + MONTH, every, lines
    if lasts > DAY:
        raise Invalid(
            f"{where}: intervals of {named(lasts)} in calendar {own.calendar} have no place in the standard "
            "one; give days, or calendar months"
        )
    if own.calendar == "360_day":
        lines = [
            "calendar 360_day: whole days are dealt in order over the year; 5 or 6 dates a year are absent, "
            "others stand up to 5 days from their name"
        ]
    numbers = xr.DataArray(every, {"time": dates}, ["time"])
    kept = numbers.convert_calendar("standard", align_on="year", use_cftime=False)
    if lost := len(every) - kept.size:
        lines.append(f"{lost} of {len(every)} times have a date that does not exist, and are dropped")
    return pd.DatetimeIndex(kept.time.values) + lasts, kept.values, lines
