"""ERA5 as Google keeps it for all: an hour of the whole Earth a chunk, in Zarr, without an account.

However small the domain, whole hours come over the network, at most 4.2 MB for each variable; what is kept
is the domain's part. The time axis reaches into the future, so what is not there yet is found by the dates
that the store names, or as missing values.

https://github.com/google-research/arco-era5
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from engine import READING
from engine.archives import Asked, Part, Remote
from engine.archives.ecmwf import INTERVAL, OFFERS, SHORT, STEP, variables
from engine.archives.transfer import reachable
from engine.fields import wrap
from engine.sources import era5
from engine.values import Invalid

STORE = "gcp-public-data-arco-era5/ar/full_37-1h-0p25deg-chunk-1.zarr-v3"
WEB = "https://storage.googleapis.com"
CHUNK = 721 * 1440 * 4  # bytes of an hour of a variable before it is packed
HOURS = 6  # fetched at once
ORIGIN = "European Centre for Medium-Range Weather Forecasts (ERA5), by way of ARCO-ERA5"


@dataclass(frozen=True)
class Arco(Remote):
    package = "gcsfs"
    credentials = "none needed"
    page = "https://cloud.google.com/storage/docs/public-datasets/era5"
    offers = OFFERS
    reader = era5

    def parts(self, asked: Asked) -> list[Part]:
        """A day each, as far as it lies in the period."""
        names, times = variables(asked.quantities), asked.period.times
        found = []
        for day in times.normalize().unique():
            hours = times[times.normalize() == day]
            name = f"{hours[0]:%Y%m%dT%H}-{hours[-1]:%H}-{asked.digest(self.step, *names)}.nc"
            fields = len(hours) * len(names)
            kept = fields * 4 * asked.cells(self.step)
            found.append(Part(name, fields * CHUNK, kept, {"hours": hours}))
        return found

    def connect(self) -> xr.Dataset:
        self.imported()
        logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # what it traces back is told in a line of ours
        reachable(f"{WEB}/{STORE}/.zmetadata")
        return xr.open_zarr(
            f"gs://{STORE}", chunks=None, consolidated=True, storage_options={"token": "anon"}
        )

    def fetch(self, connection: xr.Dataset, part: Part, asked: Asked, path: Path) -> Iterator[int | str]:
        hours, done = part.about["hours"], 0
        self._there(connection, hours)
        lat, lon = (np.asarray(connection[axis].values, float) for axis in ("latitude", "longitude"))
        inside = asked.around(self.step)
        rows = np.flatnonzero((lat >= inside.south) & (lat <= inside.north))
        columns = np.flatnonzero((wrap(lon) >= inside.west) & (wrap(lon) <= inside.east))
        columns = columns[np.argsort(wrap(lon)[columns])]
        whole = xr.Dataset(attrs={"institution": ORIGIN, "source": f"gs://{STORE}"})
        for name in variables(asked.quantities):
            pieces = []
            for first in range(0, len(hours), HOURS):
                some = hours[first : first + HOURS]
                piece = connection[name].sel(time=some).isel(latitude=rows, longitude=columns).load()
                pieces.append(self._known(piece, some))
                yield (done := done + len(some) * CHUNK)
            short, unit = SHORT[name]
            one = xr.concat(pieces, "time").rename(time="valid_time").astype(np.float32)
            whole[short] = one.drop_attrs().assign_attrs(units=unit, long_name=name.replace("_", " "))
        write(whole.assign_coords(longitude=wrap(whole.longitude)), path)

    def _there(self, store: xr.Dataset, hours: Any) -> None:
        ends = [store.attrs.get(name) for name in ("valid_time_stop_era5t", "valid_time_stop")]
        last = next((each for each in ends if each), None)
        if last is not None and hours[-1] >= pd.Timestamp(last) + pd.Timedelta("1D"):
            raise Invalid(f"fetch: {self.title} ends with {last}; choose an earlier period than {hours[-1]}")

    def _known(self, piece: xr.DataArray, hours: pd.DatetimeIndex) -> xr.DataArray:
        empty = np.isnan(piece.values).all((1, 2))
        if empty.any():
            raise Invalid(f"fetch: {self.title} has nothing at {hours[empty][0]}; choose another period")
        return piece


def write(whole: xr.Dataset, path: Path) -> None:
    times = {"units": "seconds since 1970-01-01", "dtype": "int64"}
    with READING:
        whole.to_netcdf(path, engine="h5netcdf", encoding={"valid_time": times})


REMOTES: dict[str, Any] = {"arco-era5": Arco("ERA5 in Google's public store", STEP, INTERVAL)}
