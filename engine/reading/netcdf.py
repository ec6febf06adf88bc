"""NetCDF and Zarr: opened safely, and read late.

NetCDF-4 (HDF5), NetCDF-3 (the classic one) and Zarr 2 and 3 hold the same and are opened alike, after
`engine.reading.headers` has looked at what they claim. Times stay numbers, of which
`engine.reading.calendars` makes sense. A large field is lazy: in chunks of some megabytes that follow those
of the store, read when they are asked for, from one store at a time.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from engine import READING
from engine.reading.guard import fits_bytes, is_hdf5
from engine.reading.headers import NETCDF3, is_zarr, looked_at
from engine.values import Invalid

NEWEST = b"CDF\x05"  # NetCDF-3 of 64-bit data, which few write and SciPy does not read
SMALL_BYTES = 2**26  # what is smaller is read at once
CHUNK_BYTES = 2**24
DEFAULT_FILL = 9.96921e36  # what NetCDF puts where nothing was written


def is_store(path: Path) -> bool:
    """Whether this is NetCDF or Zarr, by its first bytes or its folder."""
    if path.is_dir():
        return is_zarr(path)
    return is_hdf5(path) or _begin(path) in (*NETCDF3, NEWEST)


def opened(path: Path) -> xr.Dataset:
    """What a store holds, read as far as its axes. Hold `engine.READING` around this."""
    looked_at(path)
    about: dict[str, Any] = {"decode_times": False, "decode_timedelta": False}
    with warnings.catch_warnings():
        # Where _FillValue and missing_value differ, both mean missing, which is what is wanted.
        warnings.filterwarnings("ignore", ".*has multiple fill values", xr.SerializationWarning)
        if path.is_dir():
            whole = xr.open_dataset(path, engine="zarr", consolidated=False, **about)
        elif is_hdf5(path):
            whole = xr.open_dataset(path, engine="h5netcdf", lock=READING, **about)
        elif _begin(path) == NEWEST:
            raise Invalid(f"{path}: is NetCDF-3 of 64-bit data; convert it with nccopy -k nc4")
        else:
            whole = xr.open_dataset(path, engine="scipy", **about)
    fits_bytes(whole.nbytes, str(path))
    return whole


def late(field: xr.DataArray) -> xr.DataArray:
    """A small field, read; a large one in whole chunks of the store, read when they are asked for."""
    if field.nbytes <= SMALL_BYTES:
        return field.load()
    stored = field.encoding.get("chunksizes") or field.encoding.get("chunks")
    sizes = list(
        stored or (*[1] * (field.ndim - 2), *field.shape[-2:])
    )  # without, maps lie one after another
    for axis in reversed(range(field.ndim)):
        room = CHUNK_BYTES // (field.dtype.itemsize * math.prod(sizes))
        sizes[axis] = min(sizes[axis] * max(1, room), field.shape[axis])
    return field.chunk(dict(zip(field.dims, sizes, strict=True)))


def known(field: xr.DataArray) -> xr.DataArray:
    """A field in which what was never written is missing, though the file does not say how it is marked."""
    if "_FillValue" in field.encoding or "missing_value" in field.encoding or field.dtype.kind != "f":
        return field
    return field.where(abs(field / np.float32(DEFAULT_FILL) - 1) > 1e-5)


def _begin(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(4)
