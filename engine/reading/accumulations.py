"""Accumulations: from what a forecast adds up since its start to the rain of each interval.

A forecast tells rain over spans of its time: 0-6, 6-12 (each on its own), 0-1, 0-2, 0-3 (all since the
start), 0-3, 0-6, 6-9, 6-12 (since the start of a bucket), or several of these side by side. The rain of an
interval is a span that is just that, or the difference of two spans that begin together. At each time the
shortest interval that ends there counts; they must be equally long, or a longer length is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from engine.intervals import TIMES, length, rain_unit
from engine.reading.messages import Message, unpacked
from engine.values import Invalid, brief, instant, spelled

FALLS = 0.1  # mm by which a sum may fall, as regridding makes it do; more, and it is no sum
HOUR = pd.Timedelta("1h")


class Part(NamedTuple):
    """What fell in an interval: in one message, less what another says had fallen before."""

    until: Message
    before: Message | None = None

    @property
    def order(self) -> tuple:
        """The latest forecast first, of it the shortest, and of equal ones what a message says itself."""
        return -self.until.reference.value, self.lasts, self.before is not None

    @property
    def lasts(self) -> Any:
        return self.until.ends - (self.until.begins if self.before is None else self.before.ends)


def of_run(several: Sequence[Message], run: Any, where: str) -> tuple[list[Message], list[str]]:
    """The messages of one forecast, or of several that never speak of the same time; all for the latest."""
    if any(pd.isna(each.reference) or pd.isna(each.end) for each in several):
        raise Invalid(f"{where}: its {several[0].name} tells no time that makes sense; set its dates")
    runs = sorted({each.reference for each in several})
    by_end: dict[Any, set] = {}
    for each in several:
        by_end.setdefault(each.ends, set()).add(each.reference)
    if run == "latest":
        return list(several), ["of several forecasts of a time the one that started last was taken"]
    if run is not None:
        kept = [each for each in several if each.reference == instant("run", run)]
        if kept:
            return kept, []
    elif all(len(each) == 1 for each in by_end.values()):
        joined = f"{len(runs)} forecasts, which started from {runs[0]} to {runs[-1]}, were joined"
        return list(several), [joined] if len(runs) > 1 else []
    listed = ", ".join(f"{each:%Y-%m-%dT%H:%M}" for each in (*runs[:3], *runs[3:][-1:]))
    raise Invalid(
        f"{where}: holds {len(runs)} forecasts, which started at {listed}; "
        f"name one, as run={runs[-1]:%Y-%m-%dT%H:%M}, or run=latest for the freshest at each time"
    )


def hours(times: Sequence, where: str, given: Any) -> Any:
    """The length of intervals, as `engine.intervals.length`; months are none."""
    lasts = length(times, where, given)
    if not isinstance(lasts, pd.Timedelta):
        raise Invalid(f"{where}: its times are months apart; give the interval of its fields, as 1h")
    return lasts


def spanned(several: Sequence[Message], given: Any, where: str) -> tuple[list[Message], list[str]]:
    """The messages that span a time, with the span that they leave unsaid."""
    name, unit, kind = several[0].name, several[0].unit, {each.kind for each in several}
    if unknown := kind - {"accum", "avg", "instant"}:
        raise Invalid(f"{where}: its {name} is of kind {min(unknown)}, no sum and no mean over an interval")
    notes = []
    if "instant" in kind and len(kind) > 1:
        several = [each for each in several if each.kind != "instant"]
        notes.append(f"messages of {name} at a moment stood beside those over an interval, and were left out")
    elif "instant" in kind and not (rain_unit(unit) or ("", ""))[1]:
        several, more = _since_start(several, given, where)
        notes.append(more)
    elif "instant" in kind:
        lasts = hours([each.ends for each in several], where, given)
        notes.append(
            f"its {name} holds at moments; each was taken for the mean of the {spelled(lasts)} before"
        )
        several = [replace(each, start=each.end - lasts, kind="avg") for each in several]
    kept = [each for each in several if each.end > each.start]
    if not kept:
        raise Invalid(f"{where}: its {name} spans no time, as at the start of a forecast; give a later step")
    if len(kept) < len(several):
        notes.append(f"{len(several) - len(kept)} messages of {name} that span no time were left out")
    return kept, notes


def _since_start(several: Sequence[Message], given: Any, where: str) -> tuple[list[Message], str]:
    """Sums that say when they end, not since when they add up: ECMWF's do since the start."""
    name = several[0].name
    if given is not None:
        lasts = hours((), where, given)
        told = f"its {name} does not say since when it adds up; {spelled(lasts)} were told"
        return [replace(each, start=each.end - lasts, kind="accum") for each in several], told
    if any(each.centre != "ecmf" for each in several):
        raise Invalid(f"{where}: its {name} does not say since when it adds up; give interval, as 1h")
    told = f"its {name} does not say since when it adds up; as ECMWF does, since the start of the forecast"
    return [replace(each, start=0 * HOUR, kind="accum") for each in several], told


def parts_of(several: Sequence[Message], given: Any, where: str) -> tuple[list[Part], Any, list[str]]:
    """The intervals, their length, and what was done to get them."""
    groups: dict[tuple, dict[tuple, Message]] = {}
    for each in several:
        groups.setdefault((each.member, each.reference), {}).setdefault((each.begins, each.ends), each)
    wanted = None if given is None else hours((), where, given)
    parts: dict[tuple, Part] = {}
    for (member, _), group in groups.items():
        for part in _ways(group) if wanted is None else _ways_of(group, wanted):
            known = parts.get((member, part.until.ends))
            if known is None or part.order < known.order:
                parts[member, part.until.ends] = part
    lengths = sorted({part.lasts for part in parts.values()})
    if len(lengths) != 1:
        all_of = sorted({each.end - each.start for each in several})
        told = ", ".join(spelled(each) for each in (lengths or all_of)[:6])
        raise Invalid(
            f"{where}: its intervals are {told} long; choose one length that they make by interval=6h"
        )
    return list(parts.values()), lengths[0], _told(several, groups, parts)


def _ways(group: Mapping[tuple, Message]) -> Iterator[Part]:
    """Each span as it is, and the differences of those that begin together, one after the other."""
    before = None
    for (begins, _), each in sorted(group.items(), key=lambda item: item[0]):
        yield Part(each)
        if before is not None and before.begins == begins:
            yield Part(each, before)
        before = each


def _ways_of(group: Mapping[tuple, Message], wanted: Any) -> Iterator[Part]:
    first = min(begins for begins, _ in group)
    for (begins, end), each in group.items():
        if (end - first) % wanted == 0 * HOUR:
            if end - begins == wanted:
                yield Part(each)
            elif (begins, end - wanted) in group:
                yield Part(each, group[begins, end - wanted])


def _told(several: Sequence[Message], groups: Mapping, parts: Mapping[tuple, Part]) -> list[str]:
    notes, used = [], {id(each) for part in parts.values() for each in part[:2] if each is not None}
    kept = sum(map(len, groups.values()))
    if kept < len(several):
        notes.append(f"{len(several) - kept} messages stand twice; the first of each was taken")
    if kept > len(used):
        notes.append(f"{kept - len(used)} messages overlap those that were taken, and were left out")
    if any(part.before for part in parts.values()):
        notes.append(
            "what the forecast adds up was told apart into intervals by differences; "
            f"where a sum falls by up to {FALLS:g} mm, as packing and regridding make it do, none fell"
        )
    return notes


def amount(part: Part) -> np.ndarray:
    """The mm of an interval, as its values were scanned; of either sign."""
    total = unpacked(part.until) * _mm(part.until)
    return total if part.before is None else total - unpacked(part.before) * _mm(part.before)


def fallen(part: Part) -> np.ndarray:
    """The same of rain, where none fell if the sum falls a little."""
    total = amount(part)
    if part.before is None:
        return total
    rounding = sum(each.quantum * _mm(each) for each in (part.until, part.before))
    return np.where((total < 0) & (total >= -FALLS - rounding), 0.0, total)


def _mm(message: Message) -> float:
    """The mm that a value of 1 means over the span of its message."""
    found = rain_unit(message.unit)
    if found is None or found[1] not in ("", *TIMES):
        said = f"its {message.name} has unit {brief(message.unit)}"
        raise Invalid(f"{message.path}: {said}; give unit, as mm or kg m-2 s-1")
    each, per = found
    return each * ((message.end - message.start) / HOUR / TIMES[per] if per else 1.0)
