"""Over what time the values of a reanalysis gathered: by its history, its stamps and its values.

NetCDF from the Climate Data Store gives the depth of rain in metres and does not say over how long. Its
history names the *stream* it came from: ``oper`` gathers over the hour before a stamp, however far apart the
stamps are, ``enda`` (the ensemble) over three; ``moda`` (monthly means) is per day and stamped at the start
of its month; daily statistics are stamped at the start of their day, which may be of another time zone.
Older files name no stream. Then stamps an hour apart tell of hours, stamps at the beginnings of months of
months, and others must be told.

*Totals* gather from 00 UTC on, as in ERA5-Land: 01:00 holds one hour, the next 00:00 the whole day. They look
like depths of hours; only the values tell. Rain of single hours comes and goes; a total only grows, until
the first stamp of the next day. What fell in a span is then the difference of two totals. A total that never
begins again is that of a forecast, and is refused: which forecast comes next is not known here.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from engine.intervals import MONTH, firsts, length, named, rain_unit
from engine.quantities import noted
from engine.values import Invalid, spelled

STREAM = re.compile(r'"stream": \["(\w+)"\]')
DAILY = re.compile(r"daily_reduce\([^\n]*how=(\w+)(?:[^\n]*'hours': (-?\d+))?")
HOUR, DAY = pd.Timedelta("1h"), pd.Timedelta("1D")
CHANGE = 0.01  # mm: more than packing shakes a total by
SHAKEN = 0.01  # of all changes in totals may be falls
ENOUGH = 6  # hours through which rain did nothing but grow, in all cells: rain of single hours does not
WINDOW, CELLS = 97, 64  # stamps that are looked at together (four days), and cells along a side
FINE = 0.1  # degrees: the grid of ERA5-Land, whose depths are totals


class Spans(NamedTuple):
    """The ends of the spans that values are of, and how long they are."""

    ends: pd.DatetimeIndex
    interval: str
    gathered: Any = HOUR  # how long a depth has gathered
    note: str = ""
    stamped: bool = True  # with the times of the file


def depth_in_mm(unit: Any) -> float | None:
    """What a unit of depth is in mm; nothing of a unit that is no depth."""
    known = rain_unit(unit)
    return known[0] if known and not known[1] else None


def spans_of(
    field: xr.DataArray, whole: xr.Dataset, gathers: bool, depth: bool, told: Any, where: str
) -> Spans:
    """The spans of a field that ``gathers``, perhaps as a depth, or of the instants of one that does not:
    these stand for the time since the stamp before."""
    times, history = field.indexes["time"], str(whole.attrs.get("history", ""))
    stream = next(iter(STREAM.findall(history)), None)
    monthly = stream is None and len(times) > 1 and bool((times == firsts(times)).all())
    lasts = length(times, where, told) if told is not None else None
    if lasts == MONTH or (lasts is None and (monthly or stream in ("moda", "edmo"))):
        note = "monthly means, stamped at the start of their month in the file and at its end here"
        return Spans(firsts(times) + MONTH, named(MONTH), DAY, note, stamped=False)
    if lasts is not None:
        return Spans(times, named(lasts), lasts)
    if daily := DAILY.findall(history):
        how, shift = daily[-1]
        if how != "mean" and not (how == "sum" and gathers and depth):
            raise Invalid(f"{where}: holds the {how} of each day, of which no mean over it is known")
        return _daily(times, how, shift, gathers)
    by_hour = stream is None and len(set(firsts(times))) > 1 and bool((times.day == 1).all())
    if stream in ("mnth", "edmm") or by_hour:
        raise Invalid(f"{where}: holds means over a month by hour of day, which are of no one interval")
    if not gathers:
        lasts = spelled(_step(times))
        return Spans(times, lasts, note=f"its values hold at their stamps; they stand for the {lasts} before")
    return _hours(times, stream, "expver" in whole.variables, where)


def _daily(times: pd.DatetimeIndex, how: str, shift: str, gathers: bool) -> Spans:
    """Days of a time zone. What gathers was shifted by an hour less than the zone, for 00:00 ends a day."""
    zone = int(shift or 0) + (1 if gathers and shift else 0)
    note = f"daily {how}, stamped at the start of its day in the file and at its end here"
    ends = times.normalize() + DAY - zone * HOUR
    away = f"; days are those of UTC{zone:+d}" if zone else ""
    return Spans(ends, "24h", DAY if how == "sum" else HOUR, note + away, stamped=False)


def _hours(times: pd.DatetimeIndex, stream: str | None, versioned: bool, where: str) -> Spans:
    step = _step(times)
    if stream == "enda":
        return Spans(times, "3h", 3 * HOUR, "each value is of the 3 hours before its stamp (ensemble)")
    if step == HOUR and len(times) > 1:
        return Spans(times, "1h")
    if stream == "oper" and versioned:  # only the store's own files carry their version
        return Spans(times, "1h", note="each value is of the hour before its stamp")
    raise Invalid(f"{where}: does not say over how long its values gathered; give interval, as 1h or 1mo")


def totals(depths: xr.DataArray, unit: float, told: bool, ahead: bool, where: str) -> bool:
    """Whether depths, in units of so many mm, are totals since 00 UTC. Where the values leave it open, a
    grid of 0.1 degrees makes them suspect, unless it was ``told`` how long they gathered; so do steps
    ``ahead`` of one start, which are a forecast's."""
    fine = bool(np.isclose(np.diff(depths.lon.values[:2]), FINE, atol=1e-3).all())
    changes, suspect = _changes(depths, CHANGE / unit), fine and not told
    if changes.falls > SHAKEN * (changes.rises + changes.falls):
        return False
    if ahead and not told and changes.grown:
        raise Invalid(f"{where}: its depths grow from step to step: totals of a forecast; take differences")
    if suspect and changes.wet and not changes.grown:
        raise Invalid(
            f"{where}: lies on 0.1 degrees like ERA5-Land, whose depths are totals since 00 UTC, and its "
            "times do not show it; give interval, as 1h, or 24h for the totals of 00 UTC"
        )
    if changes.grown < (1 if suspect else ENOUGH):
        return False
    if changes.kept and not changes.begun:
        raise Invalid(f"{where}: its depths grow from day to day: totals of a forecast; take differences")
    return True


def sums(depths: xr.DataArray, unit: float) -> bool:
    """Whether depths, in units of so many mm, do nothing but grow: what a forecast adds up. Of a lazy field
    only the first day is looked at."""
    if depths.sizes["time"] <= ENOUGH or depths.indexes["time"].isna().any():
        return False
    first = depths if depths.chunks is None else depths.isel(time=slice(0, 4 * ENOUGH + 1))
    changes = _changes(first, CHANGE / unit)
    return changes.grown >= ENOUGH and changes.falls <= SHAKEN * (changes.rises + changes.falls)


class Changes(NamedTuple):
    """How depths change from one stamp to the next: counts, which add up."""

    rises: int = 0  # of cells, within a day
    falls: int = 0
    grown: int = 0  # stamps with a rise within a day
    begun: int = 0  # first stamps of a day with a fall
    kept: int = 0  # ... without one, though it was wet before
    wet: int = 0


def _changes(depths: xr.DataArray, least: float) -> Changes:
    """Through all times, or until it is plain that depths come and go."""
    times, step = depths.indexes["time"], _step(depths.indexes["time"])
    thin = {axis: slice(None, None, -(-depths.sizes[axis] // CELLS)) for axis in ("lat", "lon")}
    looked, found = depths.isel(thin).transpose("time", ...), Changes()
    for start in range(0, len(times), WINDOW - 1):
        stamps = times[start : start + WINDOW]
        part = looked[start : start + WINDOW].values.reshape(len(stamps), -1)
        near: Any = np.diff(stamps.values) == step.to_timedelta64()
        same: Any = np.diff((stamps - pd.Timedelta("1ns")).normalize().values) == np.timedelta64(0)
        within, between = near & same, near & ~same
        change = np.diff(part, axis=0)
        rise, fall = change > least, change < -least
        falls: Any = fall.any(1)
        wet: Any = (part[:-1] > least).any(1)
        more = (
            rise[within].sum(),
            fall[within].sum(),
            rise[within].any(1).sum(),
            falls[between].sum(),
            (wet & ~falls)[between].sum(),
            (part > least).sum(),
        )
        found = Changes(*(int(one + other) for one, other in zip(found, more, strict=True)))
        if found.falls > 100 and found.falls > SHAKEN * found.rises:
            break
    return found


def parted(depths: xr.DataArray, where: str) -> tuple[xr.DataArray, Spans]:
    """What fell in each span between totals since 00 UTC."""
    times = depths.indexes["time"]
    step = _step(times)
    if DAY % step or ((times - times.normalize()) % step).any():
        raise Invalid(f"{where}: holds totals since 00 UTC at uneven hours; fetch every hour")
    first = times - step == (times - step).normalize()
    before = depths.shift(time=1).where(xr.DataArray(~first, {"time": times}, "time"), 0)
    known = np.flatnonzero(first | np.r_[False, np.diff(times.values) == step.to_timedelta64()])
    spans = (depths - before).assign_attrs(depths.attrs).isel(time=known)
    lost, lasts = len(times) - len(known), spelled(step)
    lines = [f"the file holds totals since 00 UTC, as ERA5-Land; here is what fell in each {lasts}"]
    if lost:
        lines.append(f"{lost} times are left out: the total before them is not in the file")
    return noted(spans, *lines), Spans(times[known], lasts, step)


def _step(times: pd.DatetimeIndex) -> Any:
    return pd.Timedelta(np.diff(times.values).min()) if len(times) > 1 else HOUR
