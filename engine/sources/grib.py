"""GRIB 1 and 2: forecasts, reanalyses, and the radar mosaics of MRMS.

Rain is total precipitation wherever a file holds it, whatever else it holds; parts of it (convective,
large-scale) are read only by name. A message says from which to which step of its forecast it rained, and
sums since the start of a forecast become the rain of each interval (see `engine.reading.accumulations`).

Several forecasts of the same hours, several levels or grids are never mixed: ``run``, ``level`` or ``grid``
names one, and ``run=latest`` gives each hour the freshest forecast. ``interval`` chooses longer intervals of
the same sums, or says how long one is that does not say. Ensembles have a dimension ``member``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr
from dask.delayed import delayed

from engine.fields import DIMENSIONS, UNIT, Box, check
from engine.intervals import as_rate, rain_unit
from engine.quantities import QUANTITIES, RAIN, as_quantity, noted, quantity_of
from engine.reading.accumulations import HOUR, Part, amount, fallen, hours, of_run, parts_of, spanned
from engine.reading.messages import Message, messages, unpacked
from engine.reading.places import Places, places_of
from engine.values import Invalid, brief, spelled

TITLE = "GRIB 1 or 2"
TOTALS = ("tp", "tirf", "avg_tprate", "mtpr", "tprate", "prate")  # the first that a file holds is its rain
FALLING = ("rain", "precip", "snow")  # in the titles of what may be read by name
# MRMS, by discipline, category and number: name, unit, interval, and whether it knows nothing of gauges.
MRMS = {
    (209, 6, 1): ("PrecipRate", "mm/h", "2min", True),
    (209, 6, 2): ("RadarOnly_QPE_01H", "mm", "1h", True),
    (209, 6, 9): ("GaugeCorr_QPE_01H", "mm", "1h", False),
    (209, 6, 30): ("MultiSensor_QPE_01H_Pass1", "mm", "1h", False),
    (209, 6, 37): ("MultiSensor_QPE_01H_Pass2", "mm", "1h", False),
}
DRY = 0.621981  # gas constant of dry air over that of water vapour
AT_ONCE = 2**26  # cells; what is larger is read when it is asked for


def sniff(path: Path) -> bool:
    if path.is_dir():
        return False
    with path.open("rb") as stream:
        begin = stream.read(8)
    return begin[:4] == b"GRIB" and begin[7:] in (b"\x01", b"\x02")


def contents(path: Path) -> list[dict[str, Any]]:
    """A row a variable, and one for each of its levels and grids if there are several."""
    rows: dict[tuple, list[Message]] = {}
    for each in _known(path):
        rows.setdefault((each.name, each.level, each.grid), []).append(each)
    often = Counter(name for name, _, _ in rows)
    return [
        {
            "name": name if often[name] == 1 else f"{name} ({level}; {grid})",
            "unit": several[0].unit,
            "shape": (len(several), *(several[0].shape or (several[0].count,))),
            "taken for": _quantity(name) or "",
        }
        for (name, level, grid), several in rows.items()
    ]


def read(
    path: Path,
    variable: str | None = None,
    unit: str | None = None,
    interval: Any = None,
    step: float | None = None,
    box: Box | None = None,
    run: Any = None,
    level: Any = None,
    grid: str | None = None,
) -> xr.DataArray:
    """The rain, or another variable; ``step`` is that of the cells for a map in a projection."""
    where, found = str(path), _known(path)
    names = {each.name for each in found}
    if variable == "humidity" and {"2d", "sp"} <= names and not names & set(QUANTITIES[variable].names):
        told = {"interval": interval, "step": step, "box": box, "run": run, "grid": grid}
        return _humidity(read(path, "2d", **told), read(path, "sp", **told), where)
    about, several, notes = _chosen(found, variable, where)
    several = _one(_one(several, "level", level, where), "grid", grid, where)
    several = [replace(each, unit=unit or each.unit) for each in several]
    _refused(several, about, where)
    several, more = of_run(several, run, where)
    notes += more
    if about == RAIN or several[0].kind in ("accum", "avg"):
        several, more = spanned(several, interval, where)
        parts, lasts, told = parts_of(several, interval, where)
        notes += more + told
    else:
        parts, lasts, more = _moments(several, interval, where)
        notes += more
    return _field(parts, about, lasts, notes, places_of(several[0], box, step), where)


def _known(path: Path) -> list[Message]:
    """The messages of a file; what MRMS leaves to its tables is filled in."""
    found = []
    for each in messages(path):
        if each.product in MRMS:
            name, unit, interval, _ = MRMS[each.product]
            starts: Any = each.end - pd.Timedelta(interval)
            each = replace(each, name=name, unit=unit, start=starts, kind="avg" if "/" in unit else "accum")
        found.append(each)
    return found


def _quantity(name: str) -> str | None:
    if name in TOTALS or name in {known[0] for known in MRMS.values()}:
        return RAIN
    return quantity_of(name)


def _chosen(
    found: Sequence[Message], variable: str | None, where: str
) -> tuple[str, list[Message], list[str]]:
    """What is meant, its messages, and what is to be said of them."""
    names = {each.name: each for each in found}
    wanted = variable or RAIN
    known = {RAIN: TOTALS} | {key: about.names for key, about in QUANTITIES.items()}
    ranked = sorted(
        (name for name in names if _quantity(name) == wanted),
        key=lambda name: [*known.get(wanted, ()), name].index(name),
    )
    name = wanted if wanted in names else next(iter(ranked), None)
    if name is None:
        listed = ", ".join(f"{each.name} ({each.title}, {each.unit})" for each in list(names.values())[:8])
        more = f" and {len(names) - 8} more" if len(names) > 8 else ""
        raise Invalid(f"{where}: holds no {wanted}; it holds {listed}{more}; name another variable")
    about, notes = _quantity(name), []
    if about is None:
        title, unit = names[name].title, rain_unit(names[name].unit)
        if unit is None or not any(word in title.lower() for word in FALLING):
            raise Invalid(f"{where}: {name} ({title}) is neither rain nor of {', '.join(QUANTITIES)}")
        if names[name].kind == "instant" and not unit[1]:
            raise Invalid(f"{where}: {name} ({title}) is not what falls, but what there is at a moment")
        about, notes = RAIN, [f"was read by name: {title}, which need not be all the rain"]
    elif about == RAIN and name != "tp" and names[name].title not in ("", "unknown"):
        notes = [f"rain is its {name}: {names[name].title}"]
    if about == RAIN and name in ranked and len(ranked) > 1:
        notes.append(f"it also holds {', '.join(each for each in ranked if each != name)}; {name} was taken")
    return about, [each for each in found if each.name == name], notes


def _one(several: list[Message], what: str, wanted: Any, where: str) -> list[Message]:
    """Those of one level or grid, which has to be named where there are several."""
    known: dict[str, list[Message]] = {}
    for each in several:
        known.setdefault(getattr(each, what) + f"\0{each.key}" * (what == "grid"), []).append(each)
    if len(known) == 1 and wanted is None:
        return several
    short = {label: label.partition("\0")[0] for label in known}
    meant = [label for label in known if str(wanted) in (short[label], *short[label].split())]
    if len(meant) == 1:
        return known[meant[0]]
    listed, last = ", ".join(dict.fromkeys(short.values())), short[next(iter(known))]
    told = "is of several" if wanted is None else f"is not of one {what} {brief(wanted)}; it is of"
    raise Invalid(f"{where}: its {several[0].name} {told} {what}s: {listed}; name one, as {what}={last!r}")


def _refused(several: Sequence[Message], about: str, where: str) -> None:
    name = several[0].name
    if strange := next((each.strange for each in several if each.strange), ""):
        raise Invalid(f"{where}: its {name} holds {strange}; give a file of values of hours or days")
    if about in ("wind_u", "wind_v") and several[0].along_grid:
        raise Invalid(f"{where}: its winds are along the rows of its map, not eastward; turn them first")
    if about != RAIN and several[0].kind != "instant" and rain_unit(several[0].unit) is None:
        raise Invalid(f"{where}: its {name} is of kind {several[0].kind}; give values at a moment")


def _moments(several: Sequence[Message], given: Any, where: str) -> tuple[list[Part], Any, list[str]]:
    """Values at a moment, and the length of the intervals that they stand for."""
    times = sorted({each.ends for each in several})
    lasts: Any = HOUR if given is None and len(times) == 1 else hours(times, where, given)
    told = f"its {several[0].name} holds at moments, which stand for the {spelled(lasts)} before them"
    ordered = sorted(several, key=lambda each: each.reference)
    latest = {(each.member, each.ends): each for each in ordered}
    twice = len(several) - len({(each.member, each.ends, each.reference) for each in several})
    more = f"{twice} messages stand twice; the last of each was taken" if twice else ""
    return [Part(each) for each in latest.values()], lasts, [told, more]


def _field(
    parts: list[Part], about: str, lasts: Any, notes: list[str], places: Places, where: str
) -> xr.DataArray:
    """What all parts hold, on the map."""
    first, unit = parts[0].until, UNIT if about == RAIN else QUANTITIES[about].unit
    told = {"units": unit, "interval": spelled(lasts), "units_found": first.unit}
    if first.product in MRMS:
        told["independent"] = str(MRMS[first.product][3]).lower()
    if about == RAIN:
        values = _stacked(parts, _covered if first.product in MRMS else fallen, places)
        field = as_rate(values, "mm", lasts, where)
    elif first.kind == "instant":
        field = as_quantity(_stacked(parts, _there, places), about, first.unit, where)
    else:
        field = as_quantity(_stacked(parts, amount, places) / np.float32(lasts / HOUR), about, UNIT, where)
    lacking = field.sizes.get("member", 1) * field.sizes["time"] - len(
        {(each.until.member, each.until.ends) for each in parts}
    )
    more = f"{lacking} fields of single members are missing" if lacking else ""
    field = noted(field.rename(about).assign_attrs(told), *notes, places.note, more)
    checked = check(field, where, unit)
    return checked.load(scheduler="synchronous") if checked.size <= AT_ONCE else checked


def _there(part: Part) -> np.ndarray:
    return unpacked(part.until)


def _covered(part: Part) -> np.ndarray:
    found = fallen(part)
    return np.where(found < 0, np.nan, found)


def _stacked(parts: list[Part], of: Callable[[Part], np.ndarray], places: Places) -> xr.DataArray:
    """A lazy field (member, time, lat, lon), or without member where there is one."""
    by_place = {(part.until.member, part.until.ends): part for part in parts}
    members, times = (sorted(set(axis)) for axis in zip(*by_place, strict=True))
    shape = (len(places.lat), len(places.lon))

    def laid(part: Part) -> np.ndarray:
        return places.laid(of(part)).astype(np.float32)

    def lazy(member: int, time: Any) -> da.Array:
        if (member, time) not in by_place:
            return da.full(shape, np.nan, np.float32)
        return da.from_delayed(delayed(partial(laid, by_place[member, time]))(), shape, np.float32)

    values = da.stack([da.stack([lazy(member, time) for time in times]) for member in members])
    axes = dict(zip(DIMENSIONS, (members, pd.DatetimeIndex(times), places.lat, places.lon), strict=True))
    field = xr.DataArray(values, axes, DIMENSIONS)
    return field if len(members) > 1 else field.isel(member=0, drop=True)


def _humidity(dew: xr.DataArray, pressure: xr.DataArray, where: str) -> xr.DataArray:
    """Specific humidity at 2 m by the formula of the IFS: saturation over water at the dew point."""
    dew, pressure = xr.align(dew, pressure, join="inner")
    if not dew.size:
        raise Invalid(f"{where}: its 2d and sp are not of the same times and places; name one variable")
    vapour = 611.21 * np.exp(17.502 * (dew - 273.16) / (dew - 32.19))  # Pa
    found = as_quantity(DRY * vapour / (pressure - (1 - DRY) * vapour), "humidity", "kg kg-1", where)
    found = found.rename("humidity").assign_attrs(dew.attrs | {"units": "kg kg-1", "units_found": "K and Pa"})
    return noted(found, "specific humidity was computed from dew point (2d) and surface pressure (sp)")
