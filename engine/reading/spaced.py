"""Reports in time: how far apart they stand, counters that only grow, and tips.

Reports of a gauge stand evenly: what is most common between them is the interval, if it is also the least and
divides all others. Then longer distances are gaps. Several intervals in one table are refused, for an hour's
rain over five minutes would be twelve times itself.

A *counter* grows with the rain and at times falls: back to nothing (a reset: what it shows since then is at
least what fell) or over its last digit (a rollover: known exactly). Over a gap its rise is missing, because
it is not known when it fell, unless it did not rise.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from engine.intervals import MONTH, SHORTEST, length, months_apart, named
from engine.reading.guard import fits
from engine.values import Invalid, spelled

LEAST_RISES, MOST_FALLS = 10, 0.05  # of a counter: its rises, and falls for each of them
LEAST_TIMES = 6  # at which it rises
FULL, EMPTY = 0.98, 0.05  # of a counter's size: before and after a rollover


def spaced(amounts: pd.DataFrame, where: str, given: Any = None) -> tuple[Any, list[str]]:
    """The interval of reports (time, gauge), as given or as their stamps stand, and notes of gaps."""
    apart = {name: steps for name in amounts if len(steps := _steps(pd.Series(amounts[name])))}
    stamps = pd.DatetimeIndex(amounts.index)
    if (given is None and months_apart(stamps)) or length(stamps[:2], where, given or "1h") == MONTH:
        return MONTH, []
    if given is not None:
        lasts = length(stamps, where, given)
        least = min((int(steps.min()) for steps in apart.values()), default=None)
        if least is not None and least < _nanoseconds(lasts):
            apart_by: Any = pd.Timedelta(least)
            raise Invalid(
                f"{where}: its reports stand {spelled(apart_by)} apart, so they are not over "
                f"{named(lasts)}; give an interval that is not longer"
            )
    elif all(len(steps) < 2 for steps in apart.values()):
        lasts = length(stamps, where)
    else:
        lasts = _even({name: steps for name, steps in apart.items() if len(steps) > 1}, where)
    whole = _nanoseconds(stamps[-1] - stamps[0]) // _nanoseconds(lasts) + 1
    absent = whole - len(stamps)
    notes = [f"{absent} of {whole} times have no reports at all"] if absent > 0 else []
    rare = sum(int(np.median(steps)) > _nanoseconds(lasts) for steps in apart.values())
    if given is not None and rare:
        notes.append(
            f"{rare} gauges report more rarely than every {named(lasts)}; between reports they are missing"
        )
    return lasts, notes


def _nanoseconds(length: Any) -> int:
    return round(length / pd.Timedelta(1, "ns"))


def _steps(series: pd.Series) -> np.ndarray:
    """Nanoseconds between the known reports of a gauge."""
    return np.diff(series.index[series.notna().to_numpy()].to_numpy("datetime64[ns]").astype(np.int64))


def _even(apart: dict[Any, np.ndarray], where: str) -> Any:
    usual = {name: Counter(steps.tolist()).most_common(1)[0] for name, steps in apart.items()}
    first = min(usual, key=lambda name: usual[name][0])
    step = usual[first][0]
    lasts: Any = pd.Timedelta(step)
    for name, (own, _) in usual.items():
        if own != step and own % step == 0 and usual[name][1] > len(apart[name]) / 2:
            other: Any = pd.Timedelta(own)
            raise Invalid(
                f"{where}: gauge {first} reports every {spelled(lasts)}, gauge {name} every "
                f"{spelled(other)}; read them apart"
            )
    every = np.concatenate(list(apart.values()))
    even = (every % step == 0).all() and (every == step).mean() > 0.5
    if not even or step < _nanoseconds(SHORTEST):
        raise Invalid(
            f"{where}: the times are not evenly spaced (by a second or more), so the interval of the rain is "
            "not known; give interval, or tip if each row is a tip"
        )
    return lasts


def grows(amounts: pd.DataFrame) -> bool:
    """Whether these are counters: in all gauges together they rise at many times and hardly ever fall, or
    fall at one time of day only, to begin again. A storm that begins rises everywhere, but not for long."""
    rises, falls = [], []
    for name in amounts:
        known = amounts[name].dropna()
        change, at = np.diff(known.to_numpy()), pd.DatetimeIndex(known.index[1:])
        rises.extend(at[change > 0])
        falls.extend(at[change < 0])
    if len(rises) < LEAST_RISES or len(set(rises)) < LEAST_TIMES:
        return False
    clocks = {each.time() for each in amounts.index}
    daily = len(set(falls)) >= 3 and len({each.time() for each in falls}) == 1 and len(clocks) >= 8
    return len(falls) <= MOST_FALLS * len(rises) or daily


def differences(amounts: pd.DataFrame, lasts: Any) -> tuple[pd.DataFrame, list[str]]:
    """What fell between the readings of counters, and notes of what was made of their falls."""
    found, counts = pd.DataFrame(np.nan, amounts.index, amounts.columns), Counter()
    for name in amounts:
        known = amounts[name].dropna()
        if len(known) < 2:
            continue
        before, after = known.to_numpy()[:-1], known.to_numpy()[1:]
        rise = np.round(after - before, 9)
        size = 10.0 ** np.ceil(np.log10(max(known.max(), 1e-6) * (1 + 1e-9)))
        over = (rise < 0) & (before >= FULL * size) & (after <= EMPTY * size)
        shaken = (rise < 0) & (after > before / 2)
        reset = (rise < 0) & ~over & ~shaken
        rise = np.select([over, shaken, reset], [size - before + after, 0.0, after], rise)
        far = (np.diff(known.index.to_numpy()) > lasts.to_timedelta64()) & (rise > 0)
        counts.update(
            over=int(over.sum()), reset=int(reset.sum()), shaken=int(shaken.sum()), far=int(far.sum())
        )
        found.loc[known.index[1:], name] = np.where(far, np.nan, np.round(rise, 9))
    said = {
        "over": "rollovers of the counters were counted through",
        "reset": "resets of the counters; what they show after one counts as the rain",
        "shaken": "small falls of the counters count as no rain",
        "far": "rises over gaps are missing, because it is not known when it rained",
    }
    notes = [f"{counts[each]} {line}" for each, line in said.items() if counts[each]]
    return found, ["its rain is a counter that only grows, and was read as its rises", *notes]


def tips(
    gauges: np.ndarray, times: pd.DatetimeIndex, tip: float, interval: Any, where: str
) -> tuple[pd.DataFrame, list[str]]:
    """Sums of tips (mm) over intervals that end at whole multiples, from the first tip to the last."""
    if interval is None:
        raise Invalid(f"{where}: tips are summed over an interval; give interval, as 5min or 1h")
    lasts = length(times, where, interval)
    late = times.ceil(lasts)
    stamps = pd.date_range(late.min(), late.max(), freq=lasts)
    fits((len(stamps), len(np.unique(gauges))), where)
    counts = pd.crosstab(pd.Series(late, name="time"), pd.Series(gauges, name="gauge"))
    found = counts.reindex(stamps, fill_value=0) * tip
    return found, [
        f"{len(times)} tips of {tip:g} mm were summed over {spelled(lasts)}; between the first and the last "
        "tip of all gauges, no tip is no rain"
    ]
