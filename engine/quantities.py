"""Quantities: rain, and what is read beside it; their units, and notes of what was done to them.

Rain is what everything here is about, but a climate simulation speaks of rain through the air: humidity,
wind, pressure, the divergence of moisture. Each such *quantity* has one name and one unit inside, whatever
a file calls it. A field of a quantity is named after it; its values are as they were measured, never
packed, and missing is NaN.

Nothing that a reader assumes, drops or alters goes untold: it leaves a *note*, a line that a person can
read, on the field itself (`noted`). The report of a file and the page show these notes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from engine.fields import UNIT
from engine.values import Invalid, brief

RAIN = "rain"
Units = Mapping[str, tuple[float, float]]  # of each: factor and offset into ours


@dataclass(frozen=True)
class Quantity:
    """What one quantity is called in files, and what its units are in ours."""

    title: str
    unit: str
    names: tuple[str, ...]  # in files, lower case: short names, variables, CF standard names
    units: Units
    low: float = -np.inf  # what no such value can be below or above
    high: float = np.inf


SPEED: Units = dict.fromkeys(["m s-1", "m s**-1", "m/s"], (1.0, 0.0))
PRESSURE: Units = {"Pa": (1.0, 0.0), "hPa": (100.0, 0.0), "mbar": (100.0, 0.0), "kPa": (1000.0, 0.0)}
KELVIN: Units = {"K": (1.0, 0.0), "kelvin": (1.0, 0.0), "degC": (1.0, 273.15), "C": (1.0, 273.15)}
SHARE: Units = dict.fromkeys(["kg kg-1", "kg kg**-1", "kg/kg", "1"], (1.0, 0.0)) | {"g kg-1": (1e-3, 0.0)}
FLUX: Units = dict.fromkeys(["kg m-2 s-1", "kg m**-2 s**-1", "mm s-1"], (3600.0, 0.0)) | {UNIT: (1.0, 0.0)}
QUANTITIES: Mapping[str, Quantity] = {
    "humidity": Quantity(
        "specific humidity", "kg kg-1", ("q", "huss", "hus", "specific_humidity", "2sh"), SHARE, -1e-3, 0.1
    ),
    "wind_u": Quantity(
        "eastward wind", "m s-1", ("u10", "10u", "u", "uas", "ua", "eastward_wind"), SPEED, -200, 200
    ),
    "wind_v": Quantity(
        "northward wind", "m s-1", ("v10", "10v", "v", "vas", "va", "northward_wind"), SPEED, -200, 200
    ),
    "pressure": Quantity(
        "surface pressure", "Pa", ("sp", "ps", "surface_air_pressure"), PRESSURE, 3e4, 1.2e5
    ),
    "sea_level_pressure": Quantity(
        "mean sea level pressure",
        "Pa",
        ("msl", "psl", "mslp", "prmsl", "air_pressure_at_mean_sea_level", "air_pressure_at_sea_level"),
        PRESSURE,
        8e4,
        1.2e5,
    ),
    "temperature": Quantity(
        "air temperature", "K", ("t2m", "2t", "tas", "tmp", "air_temperature"), KELVIN, 150, 350
    ),
    "dewpoint": Quantity("dew point", "K", ("d2m", "2d", "dew_point_temperature"), KELVIN, 150, 350),
    "moisture_divergence": Quantity(
        "vertically integrated moisture divergence",
        "mm h-1",
        (
            "vimd",
            "mvimd",
            "avg_vimdf",
            "viwvd",
            "vimdf",
            "p84.162",
            "vertically_integrated_moisture_divergence",
        ),
        FLUX,
        -500,
        500,
    ),
}


def quantity_of(*names: Any) -> str | None:
    """The quantity beside rain that a variable of these names (its own, its standard name) is, if any."""
    said = {str(name).lower() for name in names if name}
    return next((key for key, about in QUANTITIES.items() if said & {key, *about.names}), None)


def as_quantity(values, name: str, unit: Any, where: str):
    """A quantity beside rain in its unit, from an array or a (lazy) field; what it cannot be is refused."""
    if name not in QUANTITIES:
        raise Invalid(f"{where}: got quantity {brief(name)}; known are {RAIN}, {', '.join(QUANTITIES)}")
    about = QUANTITIES[name]
    if unit not in about.units:
        said = "no unit" if unit is None else f"unit {brief(unit)}"
        raise Invalid(f"{where}: its {about.title} has {said}; known are {', '.join(about.units)}")
    factor, offset = (np.float32(each) for each in about.units[unit])

    def converted(part: np.ndarray) -> np.ndarray:
        own = (part * factor + offset).astype(np.float32)
        lowest, highest = (float(of.reduce(own, axis=None, initial=np.nan)) for of in (np.fmin, np.fmax))
        if lowest < about.low or highest > about.high:
            raise Invalid(
                f"{where}: holds {lowest:g} to {highest:g} {about.unit}, which is no {about.title}; "
                "mark what is missing"
            )
        return own

    return lazily(converted, values)


def lazily(change: Callable[[np.ndarray], np.ndarray], values: Any) -> Any:
    """A change of values one by one: at once for an array, when they are read for a lazy field."""
    if isinstance(values, xr.DataArray):
        return xr.apply_ufunc(
            change, values, dask="parallelized", output_dtypes=[np.float32], keep_attrs=True
        )
    return change(np.asarray(values))


def noted(field: xr.DataArray, *lines: str) -> xr.DataArray:
    """The field with these notes after those it has."""
    known = notes(field)
    told = [*known, *(line for line in dict.fromkeys(lines) if line and line not in known)]
    return field.assign_attrs(notes="\n".join(told)) if told else field


def notes(field: xr.DataArray) -> list[str]:
    """What was assumed, dropped or altered on the way to this field."""
    return [line for line in str(field.attrs.get("notes", "")).split("\n") if line]
