"""Gauges in GHCN-hourly files (NOAA, .psv): a row a report, of one station or several, bars between columns.

``precipitation`` is mm in the hour before the report, UTC. Reports do not come on the hour: routine ones of
airports come some minutes before it (:51, :53), special ones (FM-16) between them tell what fell since the
last routine one. So an hour's rain is its last routine report, or its last one where none is routine, and
never their sum; the hour that ends at 10:00 takes reports after 09:00. Totals of 3 to 24 hours are other
columns, never mixed with hourly ones: ``interval`` asks for them.

A measurement code says what an amount is: of a trace (2, T) half of the least amount counts, any other
(accumulated, deleted, incomplete, suspect) makes it missing. So do quality codes 2, 3, 6 and 7 (suspect,
erroneous), any quality code of source 382 (A is a sum of several hours), and reports of DSI-3240, whose
amounts are of several hours too. The codes are listed in NOAA's ghcnh_DOCUMENTATION.pdf.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from engine.fields import Observations
from engine.intervals import as_rate, length
from engine.quantities import noted
from engine.reading.clocks import instants
from engine.reading.guard import fits
from engine.reading.guessing import MOST_TEXT, first_lines
from engine.reading.unpacking import unpacked
from engine.values import Invalid, brief

TITLE = "GHCN-hourly reports (.psv)"
STATION, PARTS = ("station_id", "station"), ("year", "month", "day", "hour", "minute")
COLUMNS = {1: "precipitation"} | {hours: f"precipitation_{hours}_hour" for hours in range(3, 25, 3)}
CODES = ("measurement_code", "quality_code", "report_type", "source_code")
TRACES = ("2", "t", "trace")
SUSPECT = ("2", "3", "6", "7")
ACCEPTED = ("0", "1", "4", "5", "9", *"acimpru")  # letters: edited, replaced or confirmed by hand
HPD = "382"  # of the hourly precipitation network, where only a blank is good


def sniff(path: Path) -> bool:
    if path.is_dir():
        return False
    names = first_lines(path).split(b"\n", 1)[0].decode("latin1").lower().strip().split("|")
    return bool(set(STATION) & set(names)) and any(each in names for each in COLUMNS.values())


def contents(path: Path) -> list[dict[str, Any]]:
    """The columns of rain, and how many amounts each holds."""
    table = _table(path)
    return [
        {
            "name": name,
            "unit": "mm",
            "shape": (int((table[name] != "").sum()),),
            "taken for": "rain" if hours == 1 else f"rain, if interval is {hours}h",
        }
        for hours, name in COLUMNS.items()
        if name in table
    ]


def read(path: Path, interval: Any = None) -> Observations:
    """``interval``: 1h, or the 3h to 24h of a column of totals."""
    where = str(path)
    table: Any = _table(path)
    hours = _hours(table, interval, where)
    amount, notes = _amounts(table, COLUMNS[hours], where)
    kept = table[np.isfinite(amount)]
    stations = kept[next(each for each in STATION if each in table)].to_numpy(str)
    special = kept[f"{COLUMNS[hours]}_report_type"].str.contains("16").to_numpy()
    reports = pd.DataFrame(
        {"gauge": stations, "told": _times(kept, where), "rain": amount[np.isfinite(amount)]}
    )
    reports["time"] = reports["told"].dt.ceil("h")
    reports["routine"] = ~special
    order = reports.sort_values(["routine", "told"], kind="stable")
    last: Any = order.drop_duplicates(["gauge", "time"], keep="last")
    if more := len(reports) - len(last):
        notes.append(f"{more} reports within an hour were left for the last routine one; none were added up")
    if (last["time"] != last["told"]).any():
        notes.append("reports before the full hour count for the hour that they close")
    fits([last["gauge"].nunique(), last["time"].nunique()], where)
    wide = last.pivot(index="time", columns="gauge", values="rain").sort_index()
    rates = as_rate(wide.to_numpy(float).T, "mm", pd.Timedelta(hours=hours), where)
    at, moved = _places(table, list(wide.columns), where)
    found = Observations.of(
        rates, list(wide.columns), wide.index, **at, interval=f"{hours}h", units_found="mm"
    )
    return Observations(noted(found.rain, *notes, *moved))


def _table(path: Path) -> Any:
    """The columns of station, time, place and rain, as they are written."""
    wanted = {*STATION, *PARTS, "date", "latitude", "longitude", "elevation", *COLUMNS.values()}
    wanted |= {f"{name}_{code}" for name in COLUMNS.values() for code in CODES}
    content = unpacked(path, MOST_TEXT)
    lines = content.split(b"\n")
    bars = lines[0].rstrip(b"\r|").count(b"|")
    for number, line in enumerate(lines[1:], 2):
        if line.strip() and line.count(b"|") not in (bars, bars + 1):
            raise Invalid(
                f"{path}: line {number} has not the {bars + 1} columns of the first; fetch it again"
            )
    found = pd.read_csv(
        io.BytesIO(content), sep="|", dtype=str, keep_default_na=False, quoting=csv.QUOTE_NONE,
        encoding="latin1", index_col=False, usecols=lambda name: str(name).strip().lower() in wanted,
    )  # fmt: skip
    table: Any = pd.DataFrame(
        {str(name).strip().lower(): found[name].fillna("").str.strip() for name in found}
    )
    blank: Any = pd.Series("", table.index)
    for name in (each for each in COLUMNS.values() if each in table):
        for code in CODES:
            table[f"{name}_{code}"] = table.get(f"{name}_{code}", blank).str.lower()
    return table


def _hours(table: Any, interval: Any, where: str) -> int:
    """Which column is asked for; one without amounts is refused with those that have some."""
    able = {hours: int((table[name] != "").sum()) for hours, name in COLUMNS.items() if name in table}
    asked = length([], where, "1h" if interval is None else interval) / pd.Timedelta("1h")
    if asked not in able or not able[asked]:
        told = ", ".join(f"{hours}h ({count} amounts)" for hours, count in able.items() if count)
        raise Invalid(f"{where}: holds no rain over {interval or '1h'}; give interval, of {told or 'none'}")
    return int(asked)


def _amounts(table: Any, name: str, where: str) -> tuple[np.ndarray, list[str]]:
    """mm of each report, missing where a code says so."""
    found = np.array(pd.to_numeric(table[name], errors="coerce"), float)
    if (wrong := np.isnan(found) & (table[name] != "").to_numpy()).any():
        raise Invalid(f"{where}: got {name} {brief(table[name][wrong].iloc[0])}; give a number")
    said = {code: table[f"{name}_{code}"].str.split("-").str[0].to_numpy(str) for code in CODES}
    measured, quality = said["measurement_code"], said["quality_code"]
    hpd = said["source_code"] == HPD
    trace = np.isin(measured, TRACES)
    bad = {
        "are codes of missing": np.isin(found, (-9999, -999, 999.9, 9999)),
        "are of several hours (DSI-3240)": table[f"{name}_report_type"]
        .str.contains("dsi-3240")
        .to_numpy(bool),
        "are accumulated, incomplete or suspect by their measurement code": ~trace & (measured != ""),
        "failed a check, by their quality code": np.where(hpd, quality != "", np.isin(quality, SUSPECT))
        | ~np.isin(quality, ("", *ACCEPTED, *SUSPECT)),
    }
    notes = []
    for why, these in bad.items():
        if count := int((these & np.isfinite(found)).sum()):
            notes.append(f"{count} amounts {why} and were taken for missing")
        found[these] = np.nan
    if not np.isfinite(found).any():
        raise Invalid(f"{where}: none of its amounts is good ({'; '.join(notes)})")
    traces = trace & np.isfinite(found)
    if traces.any():
        positive = found[(found > 0) & ~traces]
        found[traces] = positive.min() / 2 if positive.size else 0.0
        notes.append(f"{int(traces.sum())} values are traces, which count as half of the least amount")
    return found, notes


def _times(table: Any, where: str) -> pd.DatetimeIndex:
    if "date" in table:
        written = table["date"]
    elif set(PARTS) <= set(table):
        year, month, day, hour, minute = (table[each].str.zfill(2) for each in PARTS)
        written = year + "-" + month + "-" + day + " " + hour + ":" + minute
    else:
        raise Invalid(f"{where}: has neither DATE nor Year to Minute, so its times are not known")
    return instants(written.to_numpy(), where, said="utc")[0]


def _places(table: Any, names: list[str], where: str) -> tuple[dict[str, np.ndarray], list[str]]:
    """Where the stations stand: at their last place, if they were moved."""
    station = next(each for each in STATION if each in table)
    kept = ["lat", "lon", "elevation"]
    stands: Any = pd.DataFrame({station: table[station]})
    for role, name in zip(kept, ("latitude", "longitude", "elevation"), strict=True):
        stands[role] = pd.to_numeric(table.get(name), errors="coerce") if name in table else np.nan
    every = stands.dropna(subset=["lat", "lon"]).drop_duplicates([station, "lat", "lon"], keep="last")
    last = every.drop_duplicates(station, keep="last").set_index(station).reindex(names)
    if (lost := last["lat"].isna().to_numpy()).any():
        raise Invalid(f"{where}: station {np.array(names)[lost][0]} has no latitude and longitude")
    last.loc[last["elevation"] <= -999, "elevation"] = np.nan
    moved = len(every) - len(set(every[station]))
    notes = [f"stations changed their place {moved} times; each is at its last place"] if moved else []
    return {role: last[role].to_numpy(float) for role in kept}, notes
