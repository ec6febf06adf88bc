"""A look at a source that somebody brought: the report on it, its reach in numbers, and a small picture.

This is what the page shows of a file before it is used. It is made by the process that may do no harm (see
`engine.confined`), so everything in it is plain: texts, numbers and lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from engine.fields import Observations
from engine.findings import Report, report
from engine.gathered import Reach, reach
from engine.sources import layer
from engine.values import Invalid

SIDE = 120  # cells of the picture, at most, along each side
TRIED = 12  # times, of which the picture shows the wettest
MOST_PLACES = 2000  # gauges in the picture


@dataclass(frozen=True)
class Look:
    """``reach`` is None where the source cannot be part of a case, and then ``unfit`` says why. The picture
    has ``lat``, ``lon`` and ``values``, of a field a line a latitude, of gauges one a gauge; and its time."""

    report: Report
    reach: Reach | None = None
    unfit: str = ""
    picture: Mapping[str, Any] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self) | {"reach": self.reach and self.reach.plain()}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Look:
        reached = Reach.of(told["reach"]) if told["reach"] else None
        return cls(Report(**told["report"]), reached, told["unfit"], told["picture"])


def look(name: str, reader: str | None = None, **about: Any) -> Look:
    """A look at a file."""
    said = report(name, reader, **about)
    if said.refused:
        return Look(said, unfit=said.refused)
    found = layer(name, reader, **about)
    try:
        return Look(said, reach(name, found), picture=picture(found))
    except Invalid as unfit:
        return Look(said, unfit=str(unfit))


def picture(found: xr.DataArray | Observations) -> dict[str, Any]:
    """The wettest of a few times, coarse enough to be small."""
    values = found.rain if isinstance(found, Observations) else found
    times: Any = values.indexes["time"]
    tried = np.unique(np.linspace(0, len(times) - 1, TRIED).round().astype(int))
    if isinstance(found, Observations):
        few = values.isel(gauge=slice(MOST_PLACES))
    else:
        rows, columns = (max(1, -(-values.sizes[axis] // SIDE)) for axis in ("lat", "lon"))
        few = values.isel(lat=slice(None, None, rows), lon=slice(None, None, columns))
    shown, best, at = None, -np.inf, times[0]
    for place in tried:
        one = few.isel(time=int(place)).values
        total = float(np.nansum(one))
        if shown is None or total > best:
            shown, best, at = one, total, times[place]
    lat, lon = (np.round(few[axis].values.astype(float), 4).tolist() for axis in ("lat", "lon"))
    return {"time": str(pd.Timestamp(at)), "lat": lat, "lon": lon, "values": _plain(np.asarray(shown))}


def _plain(values: np.ndarray) -> Any:
    """Three decimals, and None for what is missing: JSON knows no NaN."""
    rounded = np.where(np.isfinite(values), np.round(values.astype(float), 3), np.nan).tolist()
    lines = rounded if values.ndim == 2 else [rounded]
    plain = [[None if each != each else each for each in line] for line in lines]
    return plain if values.ndim == 2 else plain[0]
