"""Gauges in tables: CSV and other text, packed or not, and R's data files.

A *long* table has a row a report, with the time, the gauge, its place and the rain. A *wide* one has a row a
time and a column a gauge. A second table (``places``) may say where the gauges stand. Columns are known by
their names in five languages (`engine.reading.spellings`), or are named. What a table does not say is asked
for:

* ``unit``, if no column's name says it: mm, mm/h, 0.1 mm, inch, mm/10min;
* ``interval``, if the times are not evenly spaced; gaps in an even series are gaps, not longer intervals;
* ``stamp``, end or start; if nothing is told, a stamp is the end, but a date names its day or its month;
* ``date_order`` (dmy, mdy, epoch), ``zone``, ``decimal``, ``missing``: where two readings are possible;
* ``cumulative``: whether the rain is a counter that only grows; found out where ten rises have no fall;
* ``tip``: mm of one tip, where each row is the time of a tip, summed over the ``interval``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from engine.fields import Observations
from engine.intervals import MONTH, as_rate, ends, rain_unit
from engine.intervals import named as interval_named
from engine.quantities import noted
from engine.reading.clocks import DAYS_ONLY, instants
from engine.reading.guard import fits
from engine.reading.guessing import MOST_TEXT, first_lines, layout, letters, moment, roles, table, unit_said
from engine.reading.numerals import Reading, decimal_mark
from engine.reading.rtables import is_r, r_tables
from engine.reading.spaced import differences, grows, spaced, tips
from engine.reading.spellings import is_counter, measure, split_name
from engine.reading.unpacking import unpacked
from engine.values import Invalid, number

TITLE = "gauges in a table (CSV, text, R)"
GENERAL = True
PLACES = ("lat", "lon", "elevation")
DAY: Any = pd.Timedelta("1D")


def sniff(path: Path) -> bool:
    if path.is_dir():
        return False
    content = first_lines(path)
    if is_r(content):
        return True
    try:
        plan = layout(letters(content, "")[0])
    except Invalid:
        return False
    return bool(plan and moment(roles(plan.names, {"rain": plan.names[0]}, ""), {}))


def contents(path: Path) -> list[dict[str, Any]]:
    """The columns of a table and what each was taken for."""
    content = unpacked(path, MOST_TEXT)
    found = r_tables(content, str(path)) if is_r(content) else {}
    if found and sum(each is not None for each in found.values()) != 1:
        return [{"name": name, "unit": "", "shape": (), "taken for": "no table"} for name in found]
    sheet, _ = Sheet.of(path, {})
    used = {
        sheet.named[role]: role for role in ("gauge", "rain", *PLACES, *sheet.moment) if role in sheet.named
    }
    other = "not used" if sheet.long else "a gauge, if the table is wide"
    shape = (len(sheet.written),)
    return [
        {"name": name, "unit": unit_said(name) or "", "shape": shape, "taken for": used.get(name, other)}
        for name in map(str, sheet.written)
    ]


@dataclass(frozen=True)
class Sheet:
    """A table as it is written, and what each of its columns is."""

    path: Path
    written: pd.DataFrame
    named: Mapping[str, str]  # role: column
    moment: tuple[str, ...]  # the roles that tell the time together
    decimal: str | None = None

    @classmethod
    def of(cls, path: Path, given: Mapping[str, str], decimal: str | None = None) -> tuple[Sheet, list[str]]:
        written, notes = table(path)
        named = roles(list(written), given, str(path))
        return cls(path, written, named, moment(named, given), decimal), notes

    @property
    def where(self) -> str:
        return str(self.path)

    @property
    def long(self) -> bool:
        return "rain" in self.named

    def column(self, role: str) -> pd.Series:
        return pd.Series(self.written[self.named[role]])

    def gauges(self) -> np.ndarray:
        """The gauge of each row; a table of one gauge is named after its file."""
        if "gauge" in self.named:
            return self.column("gauge").to_numpy(str)
        return np.full(len(self.written), self.path.name.split(".")[0])

    def others(self) -> list[str]:
        """The columns that are nothing else, and so the gauges of a wide table."""
        taken = {self.named[each] for each in (*self.moment, *PLACES) if each in self.named}
        return [str(name) for name in self.written if name not in taken]

    def reading(self, columns: Sequence[str], missing: Sequence[float] | None = None) -> Reading:
        """How its numbers are written, decided by all of these columns."""
        texts = pd.unique(self.written[list(columns)].to_numpy().ravel()) if columns else []
        mark = decimal_mark([each for each in texts if each], self.where, self.decimal)
        return Reading(self.where, mark, missing)

    def lacks(self, role: str, more: str = "") -> Invalid:
        has = ", ".join(map(str, self.written))
        has = has if len(has) < 100 else has[:97] + "..."
        return Invalid(f"{self.where}: which column is {role}? Name it under columns{more}; it has {has}")


def read(
    path: Path,
    places: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    unit: str | None = None,
    stamp: str | None = None,
    interval: Any = None,
    date_order: str | None = None,
    zone: str | None = None,
    decimal: str | None = None,
    missing: Sequence[float] | None = None,
    cumulative: bool | None = None,
    tip: float | None = None,
) -> Observations:
    """``columns`` names what the guess would miss: time, gauge, lat, lon, rain, elevation and the like."""
    sheet, notes = Sheet.of(path, columns or {}, decimal)
    times, told = _times(sheet, date_order, zone)
    if tip is not None:
        amounts, more = tips(sheet.gauges(), times, number("tip", tip, 1e-3, 100), interval, sheet.where)
        unit, cumulative, stamp = "mm", False, "end"
    else:
        amounts, more = (_long if sheet.long else _wide)(sheet, times, missing)
    stands = _stands(sheet, columns or {}, places, list(amounts.columns))
    lasts, gaps = spaced(amounts, sheet.where, interval)
    notes += [*told, *more, *gaps]
    unit = unit or unit_said(sheet.named.get("rain", ""))
    if _counts(sheet, amounts, unit, cumulative):
        amounts, more = differences(amounts, lasts)
        notes += more
    if stamp is None:
        stamp, line = _stamp(amounts.index, lasts, DAYS_ONLY in notes)
        notes.append(line)
    return Observations(noted(_rain(amounts, stands, unit, lasts, stamp, sheet.where), *notes))


def _stamp(times: Any, lasts: Any, dates: bool) -> tuple[str, str]:
    """Which part of its interval a stamp is, by what is usual: a date names its day or its month."""
    if lasts == MONTH:
        return "start", "each stamp was taken for the month in which it lies; if it ends one, give stamp, end"
    if lasts % DAY == 0 * DAY and (dates or (times == times.normalize()).all()):
        return "start", "each stamp was taken for the day that it names; if it ends one, give stamp, end"
    return "end", "its stamps were taken for the ends of the intervals; if not, give stamp, start"


def _counts(sheet: Sheet, amounts: pd.DataFrame, unit: Any, told: bool | None) -> bool:
    """Whether the rain is a counter: as told, as its column is named, or as it only grows."""
    known = rain_unit(measure(unit)[0])
    depth = known is None or not known[1]
    if told and not depth:
        raise Invalid(f"{sheet.where}: a counter counts depths, its unit is {unit}; give unit, as mm")
    return (
        depth
        if told
        else told is None and depth and (is_counter(sheet.named.get("rain", "")) or grows(amounts))
    )


def _rain(
    amounts: pd.DataFrame, stands: pd.DataFrame, unit: Any, lasts: Any, stamp: str, where: str
) -> xr.DataArray:
    """Amounts in their unit to mm/h at the ends of their intervals."""
    if unit is None:
        raise Invalid(
            f"{where}: its rain has no unit, and no column's name says it; give unit, as mm or mm/h"
        )
    known, factor = measure(unit)
    stamps = ends(amounts.index, lasts, stamp, where)
    depths = xr.DataArray(amounts.to_numpy(float).T * factor, {"time": stamps}, ["gauge", "time"])
    rates = as_rate(depths, known, lasts, where).values
    at = {name: stands[name].to_numpy(float) for name in PLACES}
    about = {"interval": interval_named(lasts), "units_found": str(unit)}
    return Observations.of(rates, [str(name) for name in amounts], stamps, **at, **about).rain


def _times(sheet: Sheet, order: str | None, zone: str | None) -> tuple[pd.DatetimeIndex, list[str]]:
    """The time of each row, from one column or several."""
    parts = sheet.moment
    if not parts:
        raise sheet.lacks("time")
    known = [split for part in parts if (split := split_name(sheet.named[part], part))]
    said = next((zone_said for _, zone_said in known if zone_said), "")
    if known and known[0][0].startswith(("unix", "epoch")):
        said = "epoch"
    texts = sheet.column(parts[0])
    if parts[0] == "year":
        texts = texts + "-" + sheet.column("month") + "-" + sheet.column("day")
    if clock := next((part for part in ("clock", "hour") if part in parts), None):
        texts = texts + " " + sheet.column(clock).map(_clock)
    if "minute" in parts:
        texts = texts.str[:-3] + ":" + sheet.column("minute").str.zfill(2)
    gauges = sheet.gauges() if "gauge" in sheet.named else None
    return instants(texts.to_numpy(), sheet.where, order=order, zone=zone, said=said, gauges=gauges)


def _clock(text: str) -> str:
    """The time of a day, which may be an hour (9, 09) or packed (0950)."""
    if text.isdigit():
        return f"{text:0>2}:00" if len(text) <= 2 else f"{text.zfill(4)[:2]}:{text.zfill(4)[2:]}"
    return text


def _long(
    sheet: Sheet, times: pd.DatetimeIndex, missing: Sequence[float] | None
) -> tuple[pd.DataFrame, list[str]]:
    """Amounts by time and gauge from a row a report; what stands twice must say the same."""
    reading = sheet.reading([sheet.named[each] for each in ("rain", *PLACES) if each in sheet.named], missing)
    amounts = reading.amounts(sheet.column("rain").to_numpy())
    every = pd.DataFrame({"gauge": sheet.gauges(), "time": times, "rain": amounts})
    rows = every.drop_duplicates()
    twice: Any = rows[rows.duplicated(["gauge", "time"], keep=False)]
    if len(twice):
        name, time = twice["gauge"].iloc[0], twice["time"].iloc[0]
        both = twice[(twice["gauge"] == name) & (twice["time"] == time)]["rain"].to_list()
        raise Invalid(
            f"{sheet.where}: gauge {name} time {time} stands twice, with {both[0]:g} and with {both[1]:g}; "
            "keep one report"
        )
    fits([len(rows[each].unique()) for each in ("gauge", "time")], sheet.where)
    dropped = len(every) - len(rows)
    notes = [f"{dropped} reports stand twice, word for word, and were kept once"] if dropped else []
    return rows.pivot(index="time", columns="gauge", values="rain").sort_index(), [*notes, *reading.notes]


def _wide(
    sheet: Sheet, times: pd.DatetimeIndex, missing: Sequence[float] | None
) -> tuple[pd.DataFrame, list[str]]:
    """Amounts by time and gauge from a row a time."""
    gauges = sheet.others()
    if not gauges or "lat" in sheet.named or "lon" in sheet.named:
        raise sheet.lacks("rain")
    reading = sheet.reading(gauges, missing)
    amounts = pd.DataFrame(reading.amounts(sheet.written[gauges].to_numpy()), times, gauges)
    whole = amounts.rename_axis("time").reset_index().drop_duplicates().set_index("time")
    if (twice := whole.index.duplicated()).any():
        raise Invalid(
            f"{sheet.where}: time {whole.index[twice][0]} stands twice, with different rain; keep one row"
        )
    dropped = len(amounts) - len(whole)
    notes = [f"{dropped} rows stand twice and were kept once"] if dropped else []
    return whole.sort_index(), [*notes, *reading.notes]


def _stands(
    sheet: Sheet, given: Mapping[str, str], places: str | Path | None, gauges: list[str]
) -> pd.DataFrame:
    """Where each gauge stands: from the table itself, or from that of places."""
    columns, alone = set(sheet.written), "gauge" not in sheet.named and len(gauges) == 1
    if places is not None:
        beside = Path(places) if Path(places).exists() else sheet.path.parent / places
        if not beside.exists():
            raise Invalid(f"{beside}: no such file; give places, the table that says where the gauges stand")
        sheet, _ = Sheet.of(beside, given)
    if strange := set(given.values()) - columns - set(sheet.written):
        raise Invalid(f"{sheet.where}: has no column {min(strange)}, which stands under columns")
    if lacking := [each for each in ("lat", "lon") if each not in sheet.named]:
        raise sheet.lacks(lacking[0], ", or give places, a table that says where the gauges stand")
    known = [each for each in PLACES if each in sheet.named]
    reading = sheet.reading([sheet.named[each] for each in known])
    at = {each: reading.values(sheet.column(each).to_numpy(), each) for each in known}
    names = np.array(gauges) if places is not None and alone and len(sheet.written) == 1 else sheet.gauges()
    stands = pd.DataFrame({"gauge": names, "elevation": np.nan} | at)
    stands = stands.drop_duplicates(["gauge", "lat", "lon"]).set_index("gauge")
    if (twice := stands.index.duplicated()).any():
        raise Invalid(f"{sheet.where}: gauge {stands.index[twice][0]} stands twice; keep one place")
    stands = stands.dropna(subset=["lat", "lon"])
    if lost := [name for name in gauges if name not in stands.index]:
        told = ", ".join(lost[:5]) + (" ..." if len(lost) > 5 else "")
        raise Invalid(f"{sheet.where}: has no place for {told}; add it, or drop these columns of the reports")
    return stands.loc[gauges]
