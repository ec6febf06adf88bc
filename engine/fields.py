"""The words of Rainloom: what a field of rain is, where it lies, and who saw it.

Conventions, written once, here, and kept everywhere
----------------------------------------------------
*Dimensions* are ``member, time, lat, lon``, in this order. Latitude runs south to north, longitude
west to east within -180..180 (any longitude is accepted on input). Bounds are (west, south, east,
north); a cell's coordinate is its centre.

*Rain* is in mm/h, always, as the mean over an interval whose **end** is the time stamp: 03:00 with an
interval of 1 h is the rain that fell between 02:00 and 03:00. Unit and interval travel as attributes.

*Missing* is NaN and never zero. *Times* are UTC and carry no zone; whoever shows them converts.

A field is an `xarray.DataArray` named ``rain`` that passes `check`; there is no labelled array of our
own beside it. Gauges are `Observations`, an ensemble is a field with a ``member`` dimension, and
`Evidence` is what a method is allowed to see. Bad values are refused with `Invalid`: one line that
names the field, the value and what would do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from engine.values import Invalid, brief, instant, number, spelled

DIMENSIONS = ("member", "time", "lat", "lon")
UNIT = "mm h-1"
MOST_TIMES = 100_000
EARTH_RADIUS_KM = 6371.0
KM_PER_DEGREE = math.pi * EARTH_RADIUS_KM / 180.0


def wrap(lon):
    """Longitudes within -180..180 (180 itself becomes -180)."""
    return (np.asarray(lon, dtype=float) + 180.0) % 360.0 - 180.0


@dataclass(frozen=True)
class Box:
    """A piece of the Earth between two meridians and two parallels, in degrees."""

    west: float
    south: float
    east: float
    north: float

    def __post_init__(self) -> None:
        west, east = number("box.west", self.west), number("box.east", self.east)
        south = number("box.south", self.south, -90, 90)
        north = number("box.north", self.north, -90, 90)
        if south >= north:
            raise Invalid(f"box: south {south:g} is not below north {north:g}; give west, south, east, north")
        if not 0 < east - west <= 360:
            raise Invalid(f"box: west {west:g} is not left of east {east:g}; give west, south, east, north")
        left = -180.0 if east - west == 360 else float(wrap(west))
        right = left + (east - west)
        if right > 180.0:
            raise Invalid(f"box: {west:g} to {east:g} crosses the 180 degree meridian; ask for its two sides")
        for name, value in zip(("west", "south", "east", "north"), (left, south, right, north), strict=True):
            object.__setattr__(self, name, round(value, 9))

    @classmethod
    def of(cls, value: Any) -> Box:
        """From a box, four numbers or text such as ``100, 20, 125, 45``."""
        if isinstance(value, Box):
            return value
        parts: Any = value.replace(",", " ").split() if isinstance(value, str) else value
        if not isinstance(parts, Iterable) or len(parts := list(parts)) != 4:
            raise Invalid(
                f"box: got {brief(value)}; give west, south, east, north in degrees, as 100, 20, 125, 45"
            )
        return cls(*parts)

    def __iter__(self) -> Iterator[float]:
        return iter((self.west, self.south, self.east, self.north))

    @property
    def area_km2(self) -> float:
        band = math.sin(math.radians(self.north)) - math.sin(math.radians(self.south))
        return EARTH_RADIUS_KM**2 * math.radians(self.east - self.west) * band

    def contains(self, lat, lon):
        """Which of these places lie inside (edges included)."""
        lat, lon = np.asarray(lat, dtype=float), np.asarray(lon, dtype=float)
        return (lat >= self.south) & (lat <= self.north) & (lon >= self.west) & (lon <= self.east)


@dataclass(frozen=True)
class Grid:
    """A box in equal cells of ``step`` degrees; coordinates are cell centres."""

    box: Box
    step: float

    def __post_init__(self) -> None:
        step = number("grid.step", self.step, 1e-4, 30)
        object.__setattr__(self, "step", step)
        for side in (self.box.east - self.box.west, self.box.north - self.box.south):
            cells = round(side / step)
            if cells < 2 or abs(cells * step - side) > 1e-6 * side:
                near = side / max(2, cells)
                raise Invalid(f"grid.step: {step:g} does not divide {side:g} degrees; {near:.6g} would")

    @classmethod
    def of(cls, rain: xr.DataArray) -> Grid:
        """The grid that a field lies on."""
        lat, lon = rain.lat.values, rain.lon.values
        step = float(lon[-1] - lon[0]) / (len(lon) - 1)
        half = step / 2
        edges = (lon[0] - half, lat[0] - half, lon[-1] + half, lat[-1] + half)
        return cls(Box(*(round(float(edge), 9) for edge in edges)), round(step, 9))

    @property
    def shape(self) -> tuple[int, int]:
        rows = round((self.box.north - self.box.south) / self.step)
        return rows, round((self.box.east - self.box.west) / self.step)

    @property
    def lat(self) -> np.ndarray:
        return np.round(self.box.south + (np.arange(self.shape[0]) + 0.5) * self.step, 9)

    @property
    def lon(self) -> np.ndarray:
        return np.round(self.box.west + (np.arange(self.shape[1]) + 0.5) * self.step, 9)


@dataclass(frozen=True)
class Period:
    """From ``start`` to ``end`` (UTC) in steps; its times are the *ends* of the intervals."""

    start: pd.Timestamp
    end: pd.Timestamp
    step: Any = "1h"  # a pandas Timedelta once it is made

    def __post_init__(self) -> None:
        start, end = instant("period.start", self.start), instant("period.end", self.end)
        try:
            step: Any = pd.NaT if isinstance(self.step, int | float) else pd.Timedelta(self.step)
        except (TypeError, ValueError):
            step = pd.NaT
        if not step >= pd.Timedelta("1min") or step % pd.Timedelta("1s"):
            raise Invalid(f"period.step: got {brief(self.step)}; give a length such as 1h or 30min")
        if not start < end or (end - start) % step:
            raise Invalid(f"period: {start} to {end} is not one or more whole steps of {spelled(step)}")
        if (end - start) / step > MOST_TIMES:
            raise Invalid(f"period: {(end - start) / step:.0f} times are too many; give at most {MOST_TIMES}")
        for name, value in (("start", start), ("end", end), ("step", step)):
            object.__setattr__(self, name, value)

    @property
    def interval(self) -> str:
        return spelled(self.step)

    @property
    def times(self) -> pd.DatetimeIndex:
        return pd.date_range(self.start + self.step, self.end, freq=self.step)


def rain(values, times, lat, lon, *, interval: str = "1h", **attributes) -> xr.DataArray:
    """A field (time, lat, lon) or an ensemble (member, time, lat, lon) that keeps the conventions."""
    values = np.asarray(values)
    names = DIMENSIONS[-values.ndim :]
    coordinates: dict[str, Any] = {
        "time": pd.DatetimeIndex(times),
        "lat": np.asarray(lat),
        "lon": np.asarray(lon),
    }
    if values.ndim == 4:
        coordinates["member"] = np.arange(values.shape[0])
    about = {"units": UNIT, "interval": interval} | attributes
    return check(xr.DataArray(values, coordinates, names, "rain", about))


def check(field_: xr.DataArray, name: str = "field", unit: str = UNIT) -> xr.DataArray:
    """The field itself if it keeps the conventions, else one line that says which it breaks. Rain has the
    unit of rain; other quantities have theirs (see `engine.quantities`)."""
    wanted = DIMENSIONS[-field_.ndim :] if field_.ndim in (3, 4) else DIMENSIONS
    if tuple(field_.dims) != wanted:
        raise Invalid(f"{name}: dimensions are {field_.dims}; give {' '.join(wanted)}, in this order")
    for axis, low, high in (("lat", -90, 90), ("lon", -180, 180)):
        centres = field_[axis].values
        steps = np.diff(centres)
        if centres.size < 2 or not (steps > 0).all() or centres[0] < low or centres[-1] > high:
            raise Invalid(f"{name}.{axis}: give at least two ascending degrees within {low}..{high}")
        if np.ptp(steps) > 0.01 * steps.mean():
            raise Invalid(f"{name}.{axis}: the cells are not equally wide; regrid it, or cut it at the gap")
    times = field_.indexes["time"]
    if not isinstance(times, pd.DatetimeIndex) or not len(times):
        raise Invalid(f"{name}.time: holds no times of the standard calendar; convert them")
    if not (times.is_monotonic_increasing and times.is_unique):
        raise Invalid(f"{name}.time: the times are not in order, or one stands twice; sort them")
    if field_.attrs.get("units") != unit:
        raise Invalid(f"{name}.units: got {field_.attrs.get('units')!r}; convert to {unit!r}")
    if "interval" not in field_.attrs:
        raise Invalid(f"{name}.interval: the averaging interval is not given; set it, as '1h'")
    return field_


@dataclass(frozen=True)
class Observations:
    """Gauges: rain (gauge, time) in mm/h, each at its exact place.

    ``rain`` carries the coordinates ``gauge`` (the name), ``lat``, ``lon`` and ``elevation`` (m).
    """

    rain: xr.DataArray

    def __post_init__(self) -> None:
        if self.rain.dims != ("gauge", "time"):
            raise Invalid(f"observations: dimensions are {self.rain.dims}; give gauge, time")
        if missing := {"gauge", "time", "lat", "lon", "elevation"} - set(self.rain.coords):
            raise Invalid(f"observations: no coordinate {' or '.join(sorted(missing))}; add it")
        for axis in ("gauge", "time"):
            if (twice := self.rain.indexes[axis].duplicated()).any():
                first = str(self.rain.indexes[axis][twice][0])
                raise Invalid(f"observations: {axis} {first!r} stands twice; keep one")
        if (np.abs(self.lat) > 90).any() or (np.abs(self.lon) > 180).any():
            raise Invalid("observations: a gauge lies outside -90..90 or -180..180 degrees")

    @classmethod
    def of(
        cls, values, names, times, lat, lon, elevation=None, *, interval: str = "1h", **about
    ) -> Observations:
        high = np.full(len(names), np.nan) if elevation is None else np.asarray(elevation, dtype=float)
        places = {
            "lat": ("gauge", np.asarray(lat, float)),
            "lon": ("gauge", wrap(lon)),
            "elevation": ("gauge", high),
        }
        coordinates = {"gauge": np.asarray(names, dtype=str), "time": pd.DatetimeIndex(times), **places}
        attributes = {"units": UNIT, "interval": interval} | about
        return cls(
            xr.DataArray(np.asarray(values, float), coordinates, ("gauge", "time"), "rain", attributes)
        )

    def __len__(self) -> int:
        return self.rain.sizes["gauge"]

    @property
    def names(self) -> list[str]:
        return [str(name) for name in self.rain.gauge.values]

    @property
    def lat(self) -> np.ndarray:
        return self.rain.lat.values

    @property
    def lon(self) -> np.ndarray:
        return self.rain.lon.values

    @property
    def elevation(self) -> np.ndarray:
        return self.rain.elevation.values

    @property
    def values(self) -> np.ndarray:
        return self.rain.values

    def select(self, names: Sequence[str]) -> Observations:
        return Observations(self.rain.sel(gauge=list(names)))

    def inside(self, box: Box) -> Observations:
        return Observations(self.rain.isel(gauge=np.flatnonzero(box.contains(self.lat, self.lon))))

    def at(self, times) -> Observations:
        """At these times; where a gauge said nothing it is missing."""
        return Observations(self.rain.reindex(time=pd.DatetimeIndex(times)))


@dataclass(frozen=True)
class Evidence:
    """What a method may see: sources by role and name, and the gauges in use (never those held out)."""

    grid: Grid
    period: Period
    fields: Mapping[str, Mapping[str, xr.DataArray]] = field(default_factory=dict)
    gauges: Observations | None = None
    statics: Mapping[str, xr.DataArray] = field(default_factory=dict)

    def of(self, role: str) -> Mapping[str, xr.DataArray]:
        """The fields that were given in this role, by name; none is an empty mapping."""
        return self.fields.get(role, {})


@dataclass(frozen=True)
class Snapshot:
    """What a method says on its way: how far it is, and what is ready.

    ``members`` holds the members that became final with *this* snapshot (member, time, lat, lon), so
    that whoever listens can write them down and let them go; memory stays bounded however many there
    are. ``preview`` is an early picture (time, lat, lon) of what is coming. The last snapshot has
    progress 1, and together they have then brought every member once.
    """

    progress: float
    stage: str = ""
    members: xr.DataArray | None = None
    preview: xr.DataArray | None = None


def ensemble(snapshots: Iterable[Snapshot]) -> xr.DataArray:
    """All members that these snapshots bring, in order of their number."""
    parts = [snapshot.members for snapshot in snapshots if snapshot.members is not None]
    if not parts:
        raise Invalid("ensemble: no member was finished")
    return xr.concat(parts, "member", join="exact").sortby("member").rename("rain")
