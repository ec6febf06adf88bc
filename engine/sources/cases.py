"""Cases: worlds in one file, opened at once, without a download.

A case is a NetCDF file in `assets/cases` (shipped) or in ``$RAINLOOM_HOME/cases`` (the user's own). Each
layer is a group: a field of rain or of another quantity, gauges, or a static map. Rain is packed as
16-bit steps of 0.01 mm/h, or of 0.01 mm where an interval is longer than an hour, which is finer than any
instrument in it. The file says of itself what it is made of; what is simulated is called simulated.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from engine import READING, home
from engine.fields import Box, Observations, Period, check
from engine.reading.guard import guarded
from engine.values import Invalid

SHIPPED = Path(__file__).resolve().parents[2] / "assets" / "cases"
PACKING = {"dtype": "int16", "_FillValue": -32768, "zlib": True, "complevel": 6, "shuffle": True}
HOUR = pd.Timedelta("1h")
Content = xr.DataArray | Observations


@dataclass(frozen=True)
class Case:
    """A case and what it holds. ``layers`` maps a layer's name to what is known of it without reading it:
    ``kind`` (field, gauges, static), ``title``, ``role``, ``native`` (resolution), ``independent``."""

    name: str
    path: Path
    about: Mapping[str, Any]
    layers: Mapping[str, Mapping[str, Any]]

    @property
    def title(self) -> str:
        return str(self.about["title"])

    @property
    def box(self) -> Box:
        return Box.of(self.about["box"])

    @property
    def period(self) -> Period:
        return Period(self.about["start"], self.about["end"], self.about.get("step", "1h"))

    def layer(self, name: str) -> xr.DataArray | Observations:
        if name not in self.layers:
            raise Invalid(f"source {self.name}/{name}: no such layer; it has {', '.join(self.layers)}")
        about = self.path.stat()
        return _layer(self.path, name, self.layers[name]["kind"], about.st_mtime_ns)

    def statics(self) -> dict[str, xr.DataArray]:
        names = [name for name, about in self.layers.items() if about["kind"] == "static"]
        return {name: self.layer(name) for name in names}  # pyright: ignore[reportReturnType]


def cases() -> dict[str, Case]:
    """Every installed case by name; the user's own come after the shipped ones."""
    found = {}
    for path in _files():
        try:
            found[path.stem] = read_case(path, path.stat().st_mtime_ns)
        except (OSError, KeyError, ValueError) as error:  # one bad file must not hide the others
            logging.getLogger("rainloom").warning("case %s cannot be read: %s", path, error)
    return found


def changed() -> int:
    """A number that moves whenever a case of one's own was made or taken away."""
    folder = home() / "cases"
    return folder.stat().st_mtime_ns if folder.exists() else 0


def _files() -> list[Path]:
    return [path for folder in (SHIPPED, home() / "cases") for path in sorted(folder.glob("*.nc"))]


def locate(name: str) -> Case | None:
    """The case that a source's name speaks of, if there is one."""
    stem, _, layer = name.partition("/")
    named = [path for path in _files() if path.stem == stem] if layer else []
    return read_case(named[-1], named[-1].stat().st_mtime_ns) if named else None


@functools.lru_cache(maxsize=64)
def read_case(path: Path, changed: int) -> Case:
    guarded(path)
    with READING, xr.open_dataset(path, engine="h5netcdf") as root:
        about = dict(root.attrs)
    return Case(path.stem, path, about, json.loads(about.pop("layers")))


@functools.lru_cache(maxsize=32)
def _layer(path: Path, name: str, kind: str, changed: int) -> xr.DataArray | Observations:
    with READING, xr.open_dataset(path, engine="h5netcdf", group=name, mask_and_scale=False) as group:
        content = unpacked(next(iter(group.load().data_vars.values())))
    if kind == "gauges":
        return Observations(content)
    return check(content, name) if content.name == "rain" else content


def unpacked(packed: xr.DataArray) -> xr.DataArray:
    """Steps as values, in single precision. Divided by 100 and not multiplied by 0.01: so a step of 20 is
    the very 0.2 that a threshold is compared with."""
    about = dict(packed.attrs)
    scale, fill = float(np.squeeze(about.pop("scale_factor"))), int(np.squeeze(about.pop("_FillValue")))
    values = packed.values.astype(np.float32)
    values = values / np.float32(round(1 / scale)) if scale < 1 else values * np.float32(scale)
    values[packed.values == fill] = np.nan
    return packed.copy(data=values).drop_attrs(deep=False).assign_attrs(about)


def write_case(
    path: Path,
    about: Mapping[str, Any],
    layers: Mapping[str, tuple[Mapping[str, Any], Content | Callable[[], Content]]],
) -> None:
    """Write a case: for each layer what is known of it, and its content or a function that brings it, so that
    one layer is in memory at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".partial")
    told = json.dumps({name: dict(known) for name, (known, _) in layers.items()})
    try:
        with READING:
            xr.Dataset(attrs=dict(about) | {"layers": told, "Conventions": "CF-1.11"}).to_netcdf(
                unfinished, engine="h5netcdf"
            )
        for name, (_, content) in layers.items():
            _append(unfinished, name, content() if callable(content) else content)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _append(path: Path, name: str, content: Content) -> None:
    array = content.rain if isinstance(content, Observations) else content
    encoding = PACKING | {"scale_factor": np.float32(_scale(array))}
    with READING:
        array.to_dataset(name=str(array.name)).to_netcdf(
            path, mode="a", group=name, engine="h5netcdf", encoding={str(array.name): encoding}
        )


def _scale(array: xr.DataArray) -> float:
    """For rain 0.01 mm an hour, or an interval where that is longer: so a day's 0.1 mm is not lost. Else, and
    for heavier rain, a round step that holds the range in 16 bits."""
    largest = max(abs(float(np.nanmin(array.values))), abs(float(np.nanmax(array.values))))
    lasts: Any = pd.Timedelta(array.attrs["interval"]) if array.name == "rain" else None
    finest = 0.01 / max(1.0, lasts / HOUR) if lasts else 0.0
    if largest < 32000 * finest:
        return finest
    return 10.0 ** np.ceil(np.log10(max(largest, 1e-9) / 32000))
