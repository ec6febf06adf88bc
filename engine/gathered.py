"""Gathered: a case of one's own, from sources that the readers read.

A case is cut to one domain and one period and keeps every layer on its own grid, so that sources of any
resolution stand side by side, can be looked at and be fused. Finer intervals are brought to the step of the
case by their mean; longer ones would say nothing of it and are refused. A layer of rain is a background or a
reference, which judges and is never seen by a method; any other quantity is a predictor. Each layer says
where it came from and what its reader was told.

Fields are read a block of times after the other, so that only the part that is kept is ever in memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from engine import catalogue, home
from engine.fields import Box, Observations, Period
from engine.given import covered, cut, matching
from engine.intervals import steady, stepped_gauges
from engine.quantities import RAIN
from engine.reading.guard import fits
from engine.sources import layer, one_line
from engine.sources.cases import SHIPPED, locate, write_case
from engine.usage import cells_of
from engine.values import Invalid, brief

ROLES = ("background", "predictor", "reference")
BLOCK = 10**7  # cells that are read at once
ROOM = 0.5  # degrees around gauges, in a domain that is not given
PLACE = 0.1  # degrees: a domain that is not given has whole cells of this
TAKEN = "run"  # what the page calls the result of a run
KEPT = ("units", "interval", "units_found", "notes")
Found = xr.DataArray | Observations
Heard = Callable[[float, str], None]
Span = tuple[Any, Any, Any]  # start, end and step as a person writes them; None where it is not said


@dataclass(frozen=True)
class Part:
    """A source of a case: what it is called and how it is read; what it is in the case is taken from the
    source where it is not said."""

    source: str
    reader: str | None = None
    told: Mapping[str, Any] = field(default_factory=dict)
    role: str = ""
    layer: str = ""
    title: str = ""
    independent: bool | None = None
    licence: str = ""
    called: str = ""  # by its owner, where the source is a file on its way

    @property
    def name(self) -> str:
        return self.called or self.source


@dataclass(frozen=True)
class Reach:
    """Where and when a source speaks, in numbers."""

    quantity: str
    gauges: bool
    box: tuple[float, float, float, float]
    start: Any  # of pandas, as the times of a field are
    end: Any
    step: Any

    def plain(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self) | {key: str(getattr(self, key)) for key in ("start", "end", "step")}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Reach:
        times = {key: pd.Timestamp(told[key]) for key in ("start", "end")}
        return cls(**{**told, "box": tuple(told["box"]), "step": pd.Timedelta(told["step"]), **times})


def place_of(name: str) -> Path:
    """The file of a case of one's own."""
    if not catalogue.NAME.fullmatch(name):
        raise Invalid(f"case: {brief(name)} is no name; give letters, digits, dot, dash and underscore")
    if (SHIPPED / f"{name}.nc").exists():
        raise Invalid(f"case: {name} is the name of a case that came with Rainloom; give another one")
    return home() / "cases" / f"{name}.nc"


def gather(
    path: Path,
    parts: Sequence[Part],
    box: Box | None = None,
    span: Span = (None, None, None),
    title: str = "",
    heard: Heard = lambda _share, _what: None,
) -> None:
    """Write a case. What is not said of its domain, start, end and step is what all sources cover. ``heard``
    is told how far it is, and may raise to stop it."""
    whole = []
    for number, part in enumerate(parts):
        heard(0.2 * number / len(parts), part.name)
        whole.append((part, layer(part.source, part.reader, **part.told)))
    reaches = [reach(part.name, found) for part, found in whole]
    if not any(each.quantity == RAIN and not each.gauges for each in reaches):
        raise Invalid("case: none of its sources is a field of rain; add one, for gauges alone make no map")
    box, period = box or shared(reaches)[0], period_of(reaches, *span)
    layers = {}
    for number, (part, found) in enumerate(whole):

        def content(part=part, found=found, number=number) -> Found:
            begin, wide = 0.2 + 0.8 * number / len(whole), 0.8 / len(whole)
            return kept(part.name, found, box, period, lambda share: heard(begin + wide * share, part.name))

        usual = "gauges" if reaches[number].gauges else slug(part.source)
        layers[_free(part.layer or usual, layers)] = known_of(part, found), content
    simulated = any(_simulated(part.source, found) for part, found in whole)
    write_case(path, _about(title or path.stem, box, period, simulated, layers), layers)


def _about(
    title: str, box: Box, period: Period, simulated: bool, layers: Mapping[str, Any]
) -> dict[str, Any]:
    licences = dict.fromkeys(known["licence"] for known, _ in layers.values() if known["licence"])
    return {
        "title": title,
        "box": list(box),
        "start": period.start.isoformat(),
        "end": period.end.isoformat(),
        "step": period.interval,
        "simulated": "true" if simulated else "false",
        "licence": "; ".join(licences),
    }


def known_of(part: Part, found: Found) -> dict[str, Any]:
    """What a layer is, as a case tells it before it is read."""
    gauges = isinstance(found, Observations)
    about = found.rain.attrs if gauges else found.attrs
    entry = catalogue.entry(part.source)
    usual = "background" if gauges or found.name == RAIN else "predictor"
    role = "" if gauges else part.role or usual
    if not gauges and (role not in ROLES or (role == "predictor") != (usual == "predictor")):
        fits_it = "predictor" if usual == "predictor" else "background or reference"
        raise Invalid(f"source {part.name}: got role {brief(role)}; of {found.name} it is {fits_it}")
    independent = about.get("independent") if part.independent is None else part.independent
    return {
        "kind": "gauges" if gauges else "field",
        "title": part.title or one_line(str(about.get("title") or slug(part.name).replace("_", " ")))[:80],
        "role": role,
        "native": None if gauges else _native(found),
        "independent": {"true": True, "false": False}.get(str(independent).lower()),
        "licence": part.licence or (entry.licence if entry else "") or str(about.get("licence", "")),
        "source": part.name,
        "told": {key: str(value) for key, value in part.told.items()},
    }


def _native(found: xr.DataArray) -> str:
    high, wide = (f"{each:.3g}°" for each in cells_of(found)[0])
    return high if high == wide else f"{high} × {wide}"


def slug(source: str) -> str:
    """A layer's name from that of its source: of a pattern, that of the folder around it."""
    plain = [each for each in Path(source).parts if not re.search(r"[*?\[]", each)] or [source]
    return re.sub("[^a-z0-9]+", "_", Path(plain[-1]).stem.lower()).strip("_")[:40] or "source"


def _free(name: str, taken: Mapping[str, Any]) -> str:
    tries = (f"{name}_{number}" if number > 1 else name for number in range(1, len(taken) + 3))
    return next(each for each in tries if each not in taken and each != TAKEN)


def _simulated(source: str, found: Found) -> bool:
    case, values = locate(source), found.rain if isinstance(found, Observations) else found
    return (case is not None and case.about.get("simulated") == "true") or values.attrs.get(
        "source"
    ) == "simulated"


def reach(name: str, found: Found) -> Reach:
    """Where and when a source speaks."""
    values = found.rain if isinstance(found, Observations) else found
    if "time" not in values.dims or not values.size:
        raise Invalid(f"source {name}: holds no times or no places; a case needs both")
    step, times = steady(values, f"source {name}"), values.indexes["time"]
    if isinstance(found, Observations):
        low, high = (np.min, -ROOM), (np.max, ROOM)
        edges = [side(axis) + room for side, room in (low, high) for axis in (found.lon, found.lat)]
    else:
        edges = cells_of(found)[1]
    west, south, east, north = (float(each) for each in edges)
    inside = max(west, -180.0), max(south, -90.0), min(east, 180.0), min(north, 90.0)
    return Reach(str(values.name), values is not found, inside, times[0] - step, times[-1], step)


def period_of(reaches: Sequence[Reach], start: Any, end: Any, step: Any) -> Period:
    """The period that is asked for; what is not said is what all sources cover, in their longest step."""
    if start and end:
        return Period(start, end, step or max(each.step for each in reaches))
    long = shared(reaches)[1]
    return Period(start or long.start, end or long.end, step or long.step)


def shared(reaches: Sequence[Reach]) -> tuple[Box, Period]:
    """What all of them cover, in whole steps of the longest interval and whole tenths of a degree."""
    sides = zip(*((each.box[0], each.box[1], -each.box[2], -each.box[3]) for each in reaches), strict=True)
    west, south, east, north = (float(np.ceil(max(side) / PLACE - 1e-6) * PLACE) for side in sides)
    if west >= -east or south >= -north:
        raise Invalid("case: its sources have no place in common; leave one out")
    longest = max(reaches, key=lambda each: each.step)
    step, stamp = longest.step, longest.end
    start = stamp - (stamp - max(each.start for each in reaches)) // step * step
    end = stamp + (min(each.end for each in reaches) - stamp) // step * step
    if start >= end:
        spans = "; ".join(f"{each.start} to {each.end}" for each in reaches)
        raise Invalid(f"case: its sources have no time in common ({spans}); leave one out")
    return Box(*(round(each, 6) for each in (west, south, -east, -north))), Period(start, end, step)


def kept(name: str, found: Found, box: Box, period: Period, heard: Callable[[float], None]) -> Found:
    """The part of a source in a domain and a period, on its own grid."""
    if isinstance(found, Observations):
        return _gauges(name, found, box, period)
    matching(name, found, period)
    covered(name, found, period)
    times: Any = period.times
    first = cut(name, found, box, Period(period.start, times[0], period.step))
    fits((len(times), *first.shape[1:]), f"source {name}")
    whole = np.empty((len(times), *first.shape[1:]), np.float32)
    step = max(1, BLOCK // (first.size * (period.step // steady(found, name))))
    for begin in range(0, len(times), step):
        part = times[begin : begin + step]
        span = Period(part[0] - period.step, part[-1], period.step)
        whole[begin : begin + step] = cut(name, found, box, span).values
        heard((begin + len(part)) / len(times))
    if not np.isfinite(whole).any():
        raise Invalid(f"source {name}: every value is missing in the domain and the period; choose others")
    where = {"time": times, "lat": first.lat.values, "lon": first.lon.values}
    about = {key: str(found.attrs[key]) for key in KEPT if key in found.attrs}
    return xr.DataArray(whole, where, first.dims, str(found.name), about | {"interval": period.interval})


def _gauges(name: str, found: Observations, box: Box, period: Period) -> Observations:
    inside = found.inside(box)
    if not len(inside):
        raise Invalid(
            f"gauges {name}: none of {len(found)} lies inside the domain {tuple(box)}; choose another"
        )
    matching(name, inside.rain, period)
    whole = stepped_gauges(name, inside, period).at(period.times)
    speaking = np.isfinite(whole.values).any(1)
    if not speaking.any():
        times = found.rain.indexes["time"]
        raise Invalid(f"gauges {name}: none reports in the period; they hold {times[0]} to {times[-1]}")
    rain = whole.rain.isel(gauge=np.flatnonzero(speaking))
    about = {key: str(found.rain.attrs[key]) for key in KEPT if key in found.rain.attrs}
    return Observations(rain.drop_attrs().assign_attrs(about | {"interval": period.interval}))
