"""Gauges in tables: CSV, and R's data files for those that come with R packages.

A *long* table has a row a report, with the time, the gauge, its place and the rain; columns are known by
their usual names, or are named. A *wide* table has a row a time and a column a gauge, and a second table
says where the gauges stand. A table does not say its unit, nor how long it rained into the gauge: the
first is taken from the column's name where it is OpenSense's ``rainfall_amount`` (mm), the second from the
times, or they must be given. Times are written as 2021-08-23T09:50, for 03.08. is March to one and August to
another.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from engine.fields import Observations
from engine.intervals import as_rate, ends, length
from engine.values import Invalid, brief, spelled

TITLE = "gauges in a CSV table"
COLUMNS = {
    "time": ("time", "datetime", "date", "timestamp", "valid_time"),
    "gauge": ("gauge", "id", "station_id", "station", "code", "gauge_id"),
    "lat": ("lat", "latitude"),
    "lon": ("lon", "longitude"),
    "rain": ("rainfall_amount", "rain", "rainfall", "precipitation", "precip", "pr"),
    "elevation": ("elevation", "elev", "altitude", "height"),
}
PLACES = ("gauge", "lat", "lon")
PACKERS = {b"\x1f\x8b": gzip, b"BZ": bz2, b"\xfd7": lzma}


def sniff(path: Path) -> bool:
    if path.is_dir():
        return False
    with path.open("rb") as stream:
        head = stream.readline(4096)
    if not head.endswith(b"\n") or b"\0" in head:
        return False
    named = guessed([each.strip().strip('"') for each in head.decode("latin1").split(",")], {})
    return {"time", "rain", *PLACES} <= set(named)


def read(
    path: Path,
    places: Path | None = None,
    columns: Mapping[str, str] | None = None,
    unit: str | None = None,
    stamp: str = "end",
    interval: Any = None,
) -> Observations:
    """``columns`` names what the guess would miss: time, gauge, lat, lon, rain, elevation."""
    reports, where = table(path), str(path)
    named = guessed(reports.columns, columns or {})
    if places is None:
        needed(named, {"time", "rain", *PLACES}, where)
        if unit is None and named["rain"] == "rainfall_amount":
            unit = "mm"
        long = reports.rename(columns={old: new for new, old in named.items()}).astype({"gauge": str})
        once(long, ["gauge", "time"], "report", where)
        wide = long.pivot(index="time", columns="gauge", values="rain")
        stands = long.drop_duplicates(["gauge", "lat", "lon"])
    else:
        wide = (reports.set_index(named["time"]) if "time" in named else reports).rename(columns=str)
        stands = placed(list(wide.columns), places, columns or {})
    once(stands, ["gauge"], "place", str(places or where))
    times = instants(wide.index, where)
    lasts = length(times.values, where, interval)
    amounts = wide.to_numpy(float, copy=True).T
    amounts[np.isnan(amounts)] = np.nan  # R's NA is a NaN of its own kind, which arithmetic warns of
    rates = as_rate(amounts, unit, lasts, where)
    stands = stands.set_index("gauge").loc[wide.columns]
    at = {name: stands[name].to_numpy(float) for name in ("lat", "lon", "elevation") if name in stands}
    found = Observations.of(
        rates, list(wide.columns), ends(times, lasts, stamp, where), **at, interval=spelled(lasts)
    )
    return Observations(found.rain.sortby("time"))


def guessed(columns, given: Mapping[str, str]) -> dict[str, str]:
    """What each column is, as far as its name tells: given names first."""
    if strange := set(given) - set(COLUMNS):
        raise Invalid(f"columns.{sorted(strange)[0]}: unknown; known are {', '.join(COLUMNS)}")
    known = {str(each).lower(): str(each) for each in columns}
    found = {name: known[each] for name, usual in COLUMNS.items() for each in usual[::-1] if each in known}
    return found | {name: each for name, each in given.items() if each in set(map(str, columns))}


def needed(named: Mapping[str, str], wanted: set[str], where: str) -> None:
    if lacking := sorted(wanted - set(named)):
        raise Invalid(f"{where}: which column is {lacking[0]}? Name it under columns")


def placed(gauges: list[str], places: Path, columns: Mapping[str, str]) -> pd.DataFrame:
    """The table that says where the gauges of a wide table stand."""
    stands = table(places)
    known = guessed(stands.columns, columns)
    needed(known, set(PLACES), str(places))
    stands = stands.rename(columns={old: new for new, old in known.items()}).astype({"gauge": str})
    if lacking := [name for name in gauges if name not in set(stands["gauge"])]:
        told = ", ".join(lacking[:5]) + (" ..." if len(lacking) > 5 else "")
        raise Invalid(f"{places}: has no place for {told}; add it, or drop these columns of the reports")
    return stands


def once(table: pd.DataFrame, names: list[str], what: str, where: str) -> None:
    """Refuse a report that stands twice, or a gauge that has two places."""
    twice = table[table.duplicated(names)]
    if len(twice):
        told = " ".join(f"{name} {twice.iloc[0][name]}" for name in names)
        raise Invalid(f"{where}: {told} stands twice; keep one {what}")


def instants(written: pd.Index, where: str) -> pd.DatetimeIndex:
    """Times in UTC, without guessing which number is the month."""
    found = pd.to_datetime(written.astype(str), utc=True, format="ISO8601", errors="coerce")
    if found.hasnans:
        wrong = written[found.isna()][0]
        raise Invalid(f"{where}: got time {brief(wrong)}; write times as 2021-08-23T09:50 (UTC)")
    return found.tz_localize(None).rename(None)


def table(path: Path) -> pd.DataFrame:
    """A table of any kind that is read here; old tables are not in UTF-8."""
    content = path.read_bytes()
    packer = next((each for begin, each in PACKERS.items() if content.startswith(begin)), None)
    if packer or content.startswith(b"RDX"):
        return from_r(path)
    try:
        return pd.read_csv(path, encoding="utf-8")
    except UnicodeDecodeError:
        return pd.read_csv(path, encoding="latin1")


def from_r(path: Path) -> pd.DataFrame:
    """The one object of an R data file: a data frame, or a series of class zoo with its dates."""
    try:
        import rdata  # pyright: ignore[reportMissingImports]
        from rdata.conversion import DEFAULT_CLASS_MAP  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise Invalid(f"{path}: R's data files need rdata; install it with: pip install rdata") from None

    def series(values: Any, about: Mapping[str, Any]) -> pd.DataFrame:
        return pd.DataFrame(
            np.asarray(values), about["index"], [str(each) for each in values[values.dims[1]].values]
        )

    known = {**DEFAULT_CLASS_MAP, "zoo": series, "Date": lambda days, about: days.astype("datetime64[D]")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of texts without an encoding
        found = list(rdata.read_rda(path, constructor_dict=known).values())
    if len(found) != 1 or not isinstance(found[0], pd.DataFrame):
        raise Invalid(f"{path}: holds {len(found)} objects, or no table; save one table a file")
    return found[0]
