"""How the sources and gauges of a case of fusion are read (see `fusion_case`).

An entry names a layer of an installed case, a file or a pattern of files with what its reader is told, or an
instrument that sees the truth badly. What comes of it is written as plain CF.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.ndimage import distance_transform_edt

from engine.fields import Box, Grid, Observations, Period
from engine.fields import rain as rain_field
from engine.formats import to_netcdf
from engine.intervals import stepped, stepped_gauges
from engine.sources import field_of, gauges_of, instruments, read_with, reader_of, readers
from engine.sources.cases import locate
from engine.tasks import entries, names_of
from engine.values import Invalid, brief, number, whole

ROOT = Path(__file__).resolve().parents[1]
INSTRUMENTS = {
    "satellite": instruments.Satellite,
    "reanalysis": instruments.Reanalysis,
    "forecast": instruments.Forecast,
}
MOST_LOST = 0.005  # share of a map of truth that may be missing and still be degraded


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
        whole_steps = stepped(name, found, self.period)
        told = [time for time in self.period.times if time in whole_steps.indexes["time"]]
        if not told:
            held = f"{found.indexes['time'][0]} to {found.indexes['time'][-1]}"
            raise Invalid(f"{name}: says nothing within the period; it holds {held}")
        return whole_steps.sel(time=told)

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
        highest, cells = told.pop("highest", None), told.pop("cells", None)
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
        found = [self.one(name, known[reader], path, told) for path in files]
        if highest is not None:
            most = number(f"{name}.highest", highest)
            found = [
                Observations(x.rain.where(x.rain <= most))
                if isinstance(x, Observations)
                else x.where(x <= most)
                for x in found
            ]
        if cells is not None:
            found = [self.coarser(name, each, number(f"{name}.cells", cells)) for each in found]
        return found

    def coarser(self, name: str, field: Any, step: float) -> xr.DataArray:
        """Means over cells that lie on the domain; a cell of which a part is missing is missing."""
        if isinstance(field, Observations):
            raise Invalid(f"{name}.cells: gauges have none")
        west, south, east, north = self.domain
        inside = field.sel(lat=slice(south, north), lon=slice(west, east))
        mean, grid = instruments.area_mean(inside, step)
        return rain_field(
            mean.astype(np.float32),
            field.indexes["time"],
            *(grid.lat, grid.lon),
            interval=field.attrs["interval"],
        )

    def one(self, name: str, reader: Any, path: Path, told: Mapping[str, Any]) -> Any:
        try:
            return read_with(reader, path, **told)
        except Invalid as refused:
            if reader.sniff(path):
                raise
            raise Invalid(f"{refused}; {name}.reader says it is {reader.TITLE}: leave it out?") from None

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
    """Pseudo-gauges: the truth in the middle of random cells, none of them twice."""
    told = entries("gauges", entry, ("sites", "seed"))
    if truth is None:
        raise Invalid("gauges.sites: pseudo-gauges need a truth to be read from")
    inside = truth.sel(lat=slice(domain.south, domain.north), lon=slice(domain.west, domain.east))
    rows, columns = inside.sizes["lat"], inside.sizes["lon"]
    count = whole("gauges.sites", told["sites"], 2, rows * columns)
    rng = np.random.default_rng(whole("gauges.seed", told.get("seed", 0), 0, 2**63 - 1))
    row, column = np.divmod(rng.choice(rows * columns, count, replace=False), columns)
    lat, lon = inside.lat.values[row], inside.lon.values[column]
    read = inside.transpose("lat", "lon", "time").values[row, column]
    names = [f"P{each:04d}" for each in range(count)]
    return Observations.of(
        read, names, pd.DatetimeIndex(truth.time.values), lat, lon, interval=truth.attrs["interval"]
    )
