"""Findings: what a source holds, how it was read, and what is strange about it.

A report is made of plain texts and lists, so that the command line and the page show the same one, and a
process that reads a file for another can send it. A large field that is read as it is asked for is judged by
a sample of its times, and the report says so. What looks wrong is told as a warning, with the reason; nothing
is altered here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from engine import catalogue
from engine.fields import Box, Observations
from engine.intervals import MONTH
from engine.quantities import RAIN, notes
from engine.reading.collected import files, gaps
from engine.sources import alone, existing, layer, reader_named, reader_of
from engine.sources.cases import locate
from engine.usage import cells_of, entry_of, lasts_of, task_of
from engine.values import Invalid, spelled

SAMPLE = 10**7  # cells that are looked at of a field that is read as it is asked for
ABSURD = 300.0  # mm/h
WET = 0.1  # mm/h
PART = 10**6  # cells at once
LEAST = 6  # pieces of a sample, most often files
# The most rain ever measured in D hours is close to 422 D^0.475 mm, from minutes to years (the envelope of
# the world's records).
RECORD, GROWTH = 422.0, 0.475
Found = xr.DataArray | Observations


@dataclass(frozen=True)
class Report:
    """Rows by section, in order; each row's values are text. ``task`` is YAML for a task, ``entry`` for the
    catalogue where a task alone cannot say how the source is read. A source that was refused has the reason
    in ``refused``, and what could still be found."""

    source: str
    sections: dict[str, list[dict[str, str]]]
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    task: str = ""
    entry: str = ""
    refused: str = ""


@dataclass(frozen=True)
class Figures:
    """What the values come to."""

    count: int
    missing: float
    low: float
    high: float
    mean: float
    wet: float
    at: str  # when the highest was
    times: int  # how many were looked at


def report(name: str, reader: str | None = None, **about: Any) -> Report:
    """The report on a source: a layer, an archive of the catalogue, or a path."""
    kind, variables = _kind(name, reader)
    sections = {"what it is": [_row("kind", kind)]} | ({"variables": variables} if variables else {})
    try:
        found = layer(name, reader, **about)
        figures = looked_over(found)
    except Invalid as refused:
        if not variables:
            raise
        return Report(name, sections, refused=str(refused))
    values = found.rain if isinstance(found, Observations) else found
    sections["what it is"] += _identity(found, about)
    sections["grid" if isinstance(found, xr.DataArray) else "gauges"] = list(_place(found))
    if "time" in values.dims:
        sections["period"] = list(_period(values))
    sections["values"] = list(_values(values, figures))
    entry, used = entry_of(name, reader, about)
    task = "" if "time" not in values.dims or lasts_of(values) == MONTH else task_of(used, found)
    return Report(name, sections, notes(values), list(doubts(found, figures)), task, entry)


def looked_over(found: Found) -> Figures:
    """The figures of all values, or of a sample of a large field that is read as it is asked for."""
    values = found.rain if isinstance(found, Observations) else found
    total, known, wet, low, high, when, seen, size = 0.0, 0, 0, math.inf, -math.inf, 0, 0, 0
    for begin, part in _parts(values):
        there = np.isfinite(part)
        highest = part.max(axis=1, initial=-np.inf, where=there)
        if highest.max(initial=-np.inf) > high:
            high, when = float(highest.max()), begin + int(highest.argmax())
        low = min(low, float(part.min(initial=np.inf, where=there)))
        total += part.sum(dtype=float, where=there)
        known, wet = known + int(there.sum()), wet + int((part >= WET).sum())
        seen, size = seen + len(part), size + part.size
    timed = "time" in values.dims
    share, mean = 1 - known / max(size, 1), total / known if known else math.nan
    at = f"{values.indexes['time'][when]}" if timed and known else ""
    return Figures(known, share, low, high, mean, wet / max(known, 1), at, seen if timed else 0)


def _parts(values: xr.DataArray) -> Iterator[tuple[int, np.ndarray]]:
    """Its values a line a time, in parts, each with the number of its first time."""
    axis = values.dims.index("time") if "time" in values.dims else 0
    count, cells = values.shape[axis], max(1, values.size // max(1, values.shape[axis]))
    ends = np.cumsum(values.chunks[axis]) if values.chunks is not None else np.array([count])
    pieces = list(zip(np.r_[0, ends[:-1]].tolist(), ends.tolist(), strict=True))
    if values.chunks is not None and values.size > SAMPLE:
        most = max(LEAST, SAMPLE * len(pieces) // values.size)
        chosen = np.linspace(0, len(pieces) - 1, min(len(pieces), most)).round().astype(int)
        pieces = [pieces[each] for each in np.unique(chosen)]
    step = max(1, PART // cells)
    for first, last in pieces:
        lines = np.moveaxis(values[(slice(None),) * axis + (slice(first, last),)].values, axis, 0)
        lines = lines.reshape(last - first, -1)
        yield from ((first + begin, lines[begin : begin + step]) for begin in range(0, len(lines), step))


def doubts(found: Found, figures: Figures) -> Iterator[str]:
    """What looks wrong, and why."""
    values = found.rain if isinstance(found, Observations) else found
    if not figures.count:
        yield "every value is missing"
        return
    if figures.low == figures.high:
        yield "every value is zero" if not figures.high else f"every value is {figures.high:g}"
    if "time" in values.dims:
        if values.sizes["time"] < 2:
            yield "it holds a single time"
        yield from _uneven(values)
    if values.name == RAIN and "time" in values.dims:
        yield from _doubts_of_rain(values, figures)
    if isinstance(found, Observations) and np.ptp(found.lon) > 180:
        yield "its gauges lie on both sides of the 180 degree meridian, or some have a wrong longitude"
    if isinstance(found, Observations) and bool(((found.lat == 0) & (found.lon == 0)).any()):
        yield "a gauge lies at 0, 0: its place is not known"


def _uneven(values: xr.DataArray) -> Iterator[str]:
    """What its times lack, or keep from a task."""
    if lasts_of(values) != MONTH:
        yield from gaps(values.time.values, values.attrs["interval"])
        return
    yield "its months are not equally long, and the steps of a task are: it can be looked at, not used in one"
    if lacking := int((np.diff(values.time.values.astype("M8[M]").astype(int)) - 1).sum()):
        yield f"{lacking} of its months are absent"


def _doubts_of_rain(values: xr.DataArray, figures: Figures) -> Iterator[str]:
    month = lasts_of(values) == MONTH
    lasts: Any = pd.Timedelta("730h") if month else lasts_of(values)
    hours, spelt = lasts / pd.Timedelta("1h"), "a month" if month else spelled(lasts)
    found = values.attrs.get("units_found", "the unit")
    most = RECORD * hours ** (GROWTH - 1)
    if figures.low < 0:
        yield f"its lowest value is {figures.low:g} mm/h; rain is not negative"
    if figures.high > most:
        yield (
            f"its highest value, {figures.high:.4g} mm/h at {figures.at}, is more than was ever measured in "
            f"{spelt} ({most:.3g}): was {found} the unit, and {spelt} the interval?"
        )
    elif figures.high > ABSURD:
        why = "hail, a bad gauge, or a mark of what is missing"
        yield f"its highest value is {figures.high:.4g} mm/h at {figures.at}: {why}"
    days = values.sizes["time"] * hours / 24
    if days >= 5 and figures.mean > 1.5:
        depth = f"{24 * figures.mean:.0f} mm a day over {days:.0f} days"
        why = f"mm per day may have been taken for mm per hour (found: {found})"
        yield f"its mean, {figures.mean:.3g} mm/h, is {depth}: {why}"
    if values.sizes["time"] >= 100 and 0 < figures.high < WET:
        yield f"it never rains more than {figures.high:.2g} mm/h: was {found} the unit?"


def _kind(name: str, reader: str | None) -> tuple[str, list[dict[str, str]]]:
    """Who reads a source, and what stands in its file beside rain, if that reader can tell."""
    if found := locate(name):
        return f"a layer of {found.title}", []
    entry = catalogue.entry(name)
    told = reader or (entry.reader if entry else None)
    try:
        place = existing(entry.path if entry else name)
        able = reader_named(told) if told else reader_of(place) if alone(place) else None
    except Invalid as refused:
        raise Invalid(f"{refused} (see {entry.name} in {entry.listed})" if entry else str(refused)) from None
    if able is None:
        return f"{len(files(place))} files", []
    try:
        rows = able.contents(place) if hasattr(able, "contents") else []
    except Exception:  # what is wrong with the file is told when it is read
        rows = []
    return able.TITLE, [{str(key): _text(value) for key, value in dict(row).items()} for row in rows]


def _identity(found: Found, about: dict[str, Any]) -> Iterator[dict[str, str]]:
    values = found.rain if isinstance(found, Observations) else found
    yield _row("quantity", f"{values.name} in {values.attrs.get('units', 'no unit given')}")
    if "units_found" in values.attrs:
        yield _row("unit in the file", values.attrs["units_found"])
    if about:
        yield _row("as told", ", ".join(f"{key} {_text(value)}" for key, value in about.items()))
    for key, said in (("title", "title"), ("independent", "independent of gauges"), ("source", "source")):
        if key in values.attrs:
            text = str(values.attrs[key])
            yield _row(said, {"true": "yes", "false": "no"}.get(text.lower(), text))


def _place(found: Found) -> Iterator[dict[str, str]]:
    if isinstance(found, Observations):
        known = int(np.isfinite(found.elevation).sum())
        gauges = "1 gauge" if len(found) == 1 else f"{len(found)} gauges"
        yield _row("count", f"{gauges}, the elevation of {known} known")
        if len(found):
            box = [found.lon.min(), found.lat.min(), found.lon.max(), found.lat.max()]
            yield _row("between (west, south, east, north)", ", ".join(f"{each:.5g}" for each in box))
        return
    yield _row("cells", " x ".join(f"{size} {axis}" for axis, size in found.sizes.items() if axis != "time"))
    steps, edges = cells_of(found)
    same = math.isclose(*steps, rel_tol=1e-3)
    yield _row("step", f"{steps[0]:.5g} degrees" if same else f"{steps[0]:.5g} by {steps[1]:.5g} degrees")
    yield _row("box (west, south, east, north)", ", ".join(f"{each:.7g}" for each in edges))


def _period(values: xr.DataArray) -> Iterator[dict[str, str]]:
    times: Any = values.indexes["time"]
    interval = "a month" if lasts_of(values) == MONTH else values.attrs["interval"]
    yield _row("from", f"{times[0] - lasts_of(values)} UTC")
    yield _row("to", f"{times[-1]} UTC")
    yield _row("intervals", f"{len(times)} of {interval}, each stamped with its end")


def _values(values: xr.DataArray, figures: Figures) -> Iterator[dict[str, str]]:
    if figures.times < values.sizes.get("time", 0):
        yield _row("seen", f"a sample of {figures.times} of {values.sizes['time']} times")
    yield _row("missing", f"{figures.missing:.2%}")
    if figures.count:
        yield _row("range", f"{figures.low:.4g} to {figures.high:.4g}, mean {figures.mean:.4g}")
        if values.name == RAIN:
            yield _row(f"wet (from {WET:g} mm/h)", f"{figures.wet:.1%}")


def _row(what: str, found: str) -> dict[str, str]:
    return {"what": what, "found": found}


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple | Box) else str(value)
