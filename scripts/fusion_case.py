"""Cases of fusion: a small YAML that says which sources and gauges belong together, and how to read them.

```yaml
title: ...
domain: [west, south, east, north]
step: 0.02                      # degrees, of the result
period: {start: ..., end: ..., step: 1h}
truth: front/truth              # optional: a field that judges too, or that is degraded below
sources:
  radar: {file: folder/name.nc, reader: curvilinear, unit: mm, stamp: start}
  satellite: front/satellite    # a layer of an installed case
  worse: {instrument: satellite, seed: 1, settings: {gaps: 0}}       # the truth, seen badly
gauges: {file: ..., reader: ...}   # or a list of them, or {sites: 200, seed: 3}: the truth at random places
folds: {count: 5, by: gauge, seed: 0}                    # or by: block, block_km: 100
members: 16
settings: {kriging: {threshold: 0.05}}                   # of a method, wherever it is used
methods: [kriging, {method: kriging, sources: [radar], settings: {drift: none}, label: ...}]   # optional
```

A reader is a file of `engine/sources`; what else an entry holds is given to its ``read``, but ``highest``
(mm/h), above which values are missing. Files are looked for beside the YAML, then in the folder of real
files, and may be patterns. Rain is averaged over the period's step. Everything is written as plain CF and
OpenSense files, so that methods read a case as they read any task's sources.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
import yaml
from scipy.ndimage import distance_transform_edt

from engine.fields import Box, Grid, Observations, Period
from engine.formats import to_netcdf
from engine.intervals import stepped, stepped_gauges
from engine.sources import field_of, gauges_of, instruments, opensense, read_with, reader_of, readers
from engine.sources.cases import locate
from engine.tasks import Gauges, Task, entries, names_of
from engine.values import Invalid, brief, number, whole

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "assets" / "fusion"
KNOWN = ("title", "domain", "step", "period", "truth", "sources", "gauges", "folds", "members")
KNOWN += ("settings", "methods")
NEEDED = ("domain", "step", "period", "sources", "gauges")
INSTRUMENTS = {
    "satellite": instruments.Satellite,
    "reanalysis": instruments.Reanalysis,
    "forecast": instruments.Forecast,
}
MOST_LOST = 0.005  # share of a map of truth that may be missing and still be degraded


@dataclass(frozen=True)
class FusionCase:
    """A case as it was opened: every source by a name that a task can use."""

    name: str
    domain: Box
    step: float
    period: Period
    sources: Mapping[str, str]
    gauges: Observations
    gauges_at: str
    truth: xr.DataArray | None  # that judges beside the gauges
    folds: Mapping[str, Any]
    members: int
    settings: Mapping[str, Any]
    methods: tuple[Any, ...]

    def task(self, method: str, members: int, sources: list[str], held: list[str], settings: dict) -> Task:
        return Task.of(
            {
                "domain": self.domain,
                "step": self.step,
                "period": self.period,
                "method": method,
                "sources": [self.sources[each] for each in sources],
                "gauges": {"source": self.gauges_at, "hold_out": held},
                "members": members,
                "settings": settings,
            }
        )

    def parts(self) -> list[list[str]]:
        """The folds: names of gauges, each once. By gauge they are dealt out in an order drawn by the seed.
        Else shares of one draw lie within each other, so a fold is what a larger share holds out beyond a
        smaller."""
        count, rest = self.folds["count"], self.gauges.names
        design = {name: value for name, value in self.folds.items() if name != "count"}
        if design.get("by", "gauge") == "gauge":
            drawn = Gauges(self.gauges_at, **design)
            order = np.random.default_rng(drawn.seed).permutation(sorted(rest)).tolist()
            return [part for part in (order[fold::count] for fold in range(count)) if part]
        found = []
        for fold in range(1, count):
            larger = Gauges(self.gauges_at, fold / count, **design)
            kept, _ = larger.split(self.gauges)
            found.append([name for name in rest if name not in set(kept)])
            rest = [name for name in rest if name in set(kept)]
        return [part for part in (*found, rest) if part]


def shipped() -> dict[str, Path]:
    return {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}


def opened(case: str, folder: Path) -> FusionCase:
    """A shipped case by its name or any by its path; what it needs is written to a folder."""
    path = shipped().get(case, Path(case))
    if not path.is_file():
        raise Invalid(f"case: no {case!r}; give the path of a YAML file, or one of {', '.join(shipped())}")
    try:
        told = entries("case", yaml.safe_load(path.read_text()), KNOWN)
    except yaml.YAMLError as error:
        raise Invalid(f"case {path}: not YAML: {str(error).splitlines()[0]}") from None
    if lacking := [name for name in NEEDED if name not in told]:
        raise Invalid(f"case {path}: {lacking[0]} is missing")
    if not isinstance(told["sources"], Mapping) or not told["sources"]:
        raise Invalid(f"case {path}: sources: got {brief(told['sources'])}; give at least one, as name: file")
    domain, period = Box.of(told["domain"]), Period(**entries("period", told["period"], names_of(Period)))
    reading = Reading(path.parent, folder, domain, period)
    truth = reading.truth(told.get("truth"))
    sources = {name: reading.source(name, entry, truth) for name, entry in told["sources"].items()}
    from_truth = isinstance(told["gauges"], Mapping) and "sites" in told["gauges"]
    gauges = reading.gauges(told["gauges"], truth)
    opensense.write(folder / "gauges.nc", gauges)
    folds = {"count": 5} | entries("folds", told.get("folds") or {}, ("count", "by", "block_km", "seed"))
    folds["count"] = whole("folds.count", folds["count"], 2, 20)
    return FusionCase(
        name=path.stem,
        domain=domain,
        step=number("step", told["step"]),
        period=period,
        sources=sources,
        gauges=gauges_of(str(folder / "gauges.nc")).inside(domain).at(period.times),
        gauges_at=str(folder / "gauges.nc"),
        truth=None if truth is None or from_truth else truth,
        folds=folds,
        members=whole("members", told.get("members", 16), 2, 1000),
        settings=told.get("settings") or {},
        methods=tuple(told.get("methods") or ()),
    )


def shortened(case: FusionCase) -> FusionCase:
    """The same with few members, over the wettest times in a row."""
    count, times = min(4, len(case.period.times)), case.period.times
    wet = np.nan_to_num(case.gauges.values).sum(0)
    first = int(np.argmax(np.convolve(wet, np.ones(count), "valid")))
    start = times[first] - case.period.step
    period = Period(start, start + count * case.period.step, case.period.step)
    return replace(case, period=period, gauges=case.gauges.at(period.times), members=min(case.members, 8))


@dataclass(frozen=True)
class Reading:
    """From entries of a case to fields and gauges over its domain and period."""

    beside: Path
    folder: Path
    domain: Box
    period: Period

    def truth(self, entry: Any) -> xr.DataArray | None:
        if entry is None:
            return None
        found = self.field("truth", entry)
        if absent := sorted(set(times := self.period.times) - set(found.indexes["time"])):
            raise Invalid(f"truth: {len(absent)} of {len(times)} times are missing, the first {absent[0]}")
        return found

    def source(self, name: str, entry: Any, truth: xr.DataArray | None) -> str:
        """The name by which a task finds it."""
        layer = isinstance(entry, str) and locate(entry)
        if layer and pd.Timedelta(field_of(entry).attrs["interval"]) == self.period.step:
            return entry
        if isinstance(entry, Mapping) and "instrument" in entry:
            found = degraded(name, entry, truth)
        else:
            found = self.field(name, entry)
        path = self.folder / f"{name}.nc"
        to_netcdf(found, path)
        return str(path)

    def field(self, name: str, entry: Any) -> xr.DataArray:
        layer = isinstance(entry, str) and locate(entry)
        parts = [field_of(entry)] if layer else self.read(name, entry)
        if not all(isinstance(part, xr.DataArray) for part in parts):
            raise Invalid(f"sources.{name}: holds gauges; name it under gauges")
        try:
            found = xr.concat(parts, "time", join="exact", combine_attrs="override").sortby("time")
        except ValueError as error:
            why = str(error).splitlines()[0]
            raise Invalid(f"{name}: its files do not fit together ({why}); give files of one grid") from None
        found = stepped(name, found, self.period)
        return found.sel(time=[time for time in self.period.times if time in found.indexes["time"]])

    def gauges(self, entry: Any, truth: xr.DataArray | None) -> Observations:
        if isinstance(entry, Mapping) and "sites" in entry:
            return sampled(entry, truth, self.domain)
        found = []
        for each in entry if isinstance(entry, list) and entry else [entry]:
            parts = [gauges_of(each)] if isinstance(each, str) and locate(each) else self.read("gauges", each)
            if not all(isinstance(part, Observations) for part in parts):
                raise Invalid("gauges: holds a field; name it under sources")
            found += [stepped_gauges("gauges", part, self.period).at(self.period.times) for part in parts]
        joined: Any = xr.concat([one.rain for one in found], "gauge", combine_attrs="override")
        return Observations(joined)

    def read(self, name: str, entry: Any) -> list:
        """What the reader of an entry makes of its files."""
        if not isinstance(entry, str | Mapping):
            raise Invalid(f"{name}: got {brief(entry)}; give a file, or a mapping with one")
        told: dict[str, Any] = {"file": entry} if isinstance(entry, str) else dict(entry)
        highest = told.pop("highest", None)
        known = {each.__name__.rpartition(".")[2]: each for each in readers()}
        files = self.files(name, told.pop("file", None))
        reader = told.pop("reader", None) or reader_of(files[0]).__name__.rpartition(".")[2]
        if not isinstance(reader, str) or reader not in known:
            raise Invalid(f"{name}.reader: got {brief(reader)}; give one of {', '.join(known)}")
        able = inspect.signature(known[reader].read).parameters
        if strange := set(told) - set(able):
            knows = ", ".join(list(able)[1:]) or "no setting"
            raise Invalid(f"{name}.{sorted(strange)[0]}: {reader} knows {knows}")
        if "places" in told:
            told["places"] = self.files(name, told["places"])[0]
        if "box" in able:
            told["box"] = self.domain
        found = [read_with(known[reader], path, **told) for path in files]
        if highest is not None:
            most = number(f"{name}.highest", highest)
            found = [
                Observations(x.rain.where(x.rain <= most))
                if isinstance(x, Observations)
                else x.where(x <= most)
                for x in found
            ]
        return found

    def files(self, name: str, pattern: Any) -> list[Path]:
        """Files beside the case, else among the real ones."""
        if not isinstance(pattern, str) or not pattern:
            raise Invalid(f"{name}.file: got {brief(pattern)}; give a path or a pattern")
        real = Path(os.environ.get("RAINLOOM_DATA", ROOT.parent / "shared" / "data"))
        for base in (self.beside, real):
            whole_path = base / pattern
            if found := sorted(whole_path.parent.glob(whole_path.name)):
                return found
        raise Invalid(f"{name}: no {pattern} in {real}; get the file, or set RAINLOOM_DATA to its folder")


def degraded(name: str, entry: Mapping[str, Any], truth: xr.DataArray | None) -> xr.DataArray:
    """The truth through an instrument of the simulated world (see `engine.sources.instruments`)."""
    told = entries(name, entry, ("instrument", "seed", "settings"))
    kind, seed = told["instrument"], whole(f"{name}.seed", told.get("seed", 0), 0, 2**63 - 1)
    if kind not in INSTRUMENTS:
        raise Invalid(f"{name}.instrument: got {brief(kind)}; give one of {', '.join(INSTRUMENTS)}")
    if truth is None or float(truth.isnull().mean(("lat", "lon")).max()) > MOST_LOST:
        raise Invalid(f"{name}: an instrument needs a truth that is known over the whole domain")
    about = entries(f"{name}.settings", told.get("settings") or {}, names_of(INSTRUMENTS[kind]))
    settings, fine = INSTRUMENTS[kind](**about), filled(truth)
    if kind == "satellite":
        land = np.zeros(Grid(Grid.of(fine).box, settings.step).shape)
        return instruments.satellite(fine, land, settings, seed)
    return (instruments.reanalysis if kind == "reanalysis" else instruments.forecast)(fine, settings, seed)


def filled(truth: xr.DataArray) -> xr.DataArray:
    """Missing cells with the value of the nearest known one of the same map."""
    truth = truth.transpose("time", "lat", "lon")
    values = truth.values.copy()
    for rates in values:
        nearest: Any = distance_transform_edt(np.isnan(rates), return_distances=False, return_indices=True)
        rates[:] = rates[tuple(nearest)]
    return truth.copy(data=values)


def sampled(entry: Mapping[str, Any], truth: xr.DataArray | None, domain: Box) -> Observations:
    """Pseudo-gauges: the cell of the truth at random places."""
    told = entries("gauges", entry, ("sites", "seed"))
    if truth is None:
        raise Invalid("gauges.sites: pseudo-gauges need a truth to be read from")
    count = whole("gauges.sites", told["sites"], 2, 100_000)
    rng = np.random.default_rng(whole("gauges.seed", told.get("seed", 0), 0, 2**63 - 1))
    lat, lon = rng.uniform(domain.south, domain.north, count), rng.uniform(domain.west, domain.east, count)
    at = {name: xr.DataArray(each, dims="gauge") for name, each in (("lat", lat), ("lon", lon))}
    read = truth.sel(at, method="nearest").transpose("gauge", "time").values
    names = [f"P{each:04d}" for each in range(count)]
    return Observations.of(
        read, names, pd.DatetimeIndex(truth.time.values), lat, lon, interval=truth.attrs["interval"]
    )
