"""ERA5 as the Climate Data Store gives it: NetCDF-4, in earlier years NetCDF-3, or a ZIP of them by any name.

Total precipitation, ``tp``, is the depth in metres that fell in the hour before its stamp; ``mtpr``, now
``avg_tprate``, is the same as a rate. That holds however far apart the stamps are. But the ensemble gathers
over three hours; monthly means are metres *per day*, stamped at the start of their month; daily statistics
are stamped at the start of their day; and ERA5-Land gathers from 00 UTC on, so that 01:00 holds one hour and
the next 00:00 the whole day. The unit says none of this; `engine.reading.gathering` finds it in the history
of the file, its stamps and its values. Where they leave it open, ``interval`` must be given: how long each
value gathered, as 1h, or 1mo for monthly means.

The last two or three months are preliminary (ERA5T, ``expver`` 5). Packing leaves a drizzle of 1e-19 m and
values just below zero where it was dry; what is less than half a packing step is zero here.

Other quantities hold at the instant of their stamp, which they keep; they stand for the time since the stamp
before. Where the specific humidity is missing, it is that of the dew point. Divergence of moisture comes in
three ways: at an instant (``viwvd``, once ``p84.162``), as a mean rate (``avg_vimdf``, ``mvimd``), and as the
amount of an hour (``vimd``).
"""

from __future__ import annotations

import contextlib
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import xarray as xr

from engine import READING
from engine.fields import UNIT, check, wrap
from engine.intervals import as_rate
from engine.quantities import QUANTITIES, RAIN, as_quantity, lazily, noted, quantity_of
from engine.reading.gathering import Spans, depth_in_mm, parted, spans_of, totals
from engine.reading.guard import MOST_RATIO, SMALL_BYTES, is_hdf5
from engine.reading.headers import NETCDF3, looked_at
from engine.reading.netcdf import is_store, late, opened
from engine.reading.unpacking import MOST_UNPACKED, unzipped
from engine.values import Invalid, brief

TITLE = "ERA5 in NetCDF or a ZIP of it"
# What ECMWF's files say of themselves, or of a variable that was taken out of one; and what those of CMIP do.
OURS = (b"European Centre for Medium-Range", b"grib_to_netcdf", b"tp long_name=Total precipitation")
THEIRS = b"mip_era"
ARCHIVE = b"PK\x03\x04"
HEADER = 2**20  # bytes in which a file has said what it is
TOTAL = ("tp", "avg_tprate", "mtpr")
PARTS = {"cp": "convective", "avg_cpr": "convective", "mcpr": "convective"}
PARTS |= {"lsp": "large-scale", "avg_lsprate": "large-scale", "mlspr": "large-scale"}
GATHERED = (*TOTAL, *PARTS, "vimd", "mvimd", "avg_vimdf")  # all else is of an instant
AXES = {"valid_time": "time", "latitude": "lat", "longitude": "lon", "number": "member"}
HOUR = pd.Timedelta("1h")
LEAST = 1e-9  # of any unit here nothing that is measured: a millionth of a millimetre
DEWPOINT = (
    "humidity is that of the dew point Td at the surface pressure p, as in ECMWF's documentation: "
    "q = 0.62198 e / (p - 0.37802 e), e = 611.21 Pa exp(17.502 (Td - 273.16 K) / (Td - 32.19 K))"
)


def sniff(path: Path) -> bool:
    try:
        said = b"" if path.is_dir() else _said(path)
    except Exception:  # whatever a library says of a broken file; other readers may know it
        return False
    return any(each in said for each in OURS) and THEIRS not in said


def contents(path: Path) -> list[dict[str, Any]]:
    """A row a variable."""
    with _opened(path) as files:
        return [
            {
                "name": str(name),
                "unit": one.attrs.get("units"),
                "shape": one.shape,
                "taken for": _meaning(one) or "other",
            }
            for whole in files
            for name, one in whole.data_vars.items()
        ]


def read(
    path: Path, variable: str | None = None, unit: str | None = None, interval: Any = None
) -> xr.DataArray:
    """The rain, or another quantity, or a variable by its name in the file."""
    where = str(path)
    with _opened(path) as files:
        whole, kind, names = _chosen(files, variable, where)
        take = xr.DataArray.load if _is_archive(path) else late
        fields = [_plain(take(whole[name]), where) for name in names]
    said = unit or ", ".join(str(each.attrs["units"]) for each in fields if "units" in each.attrs)
    if not said:
        raise Invalid(f"{where}: {names[0]} has no unit; give unit, as m for ERA5's tp")
    depth = depth_in_mm(said)
    spans = spans_of(fields[0], whole, names[0] in GATHERED, depth is not None, interval, where)
    if kind == RAIN:
        ahead = "step" in whole[names[0]].coords and whole.step.size > 1
        if depth and spans.stamped and totals(fields[0], depth, interval is not None, ahead, where):
            fields[0], spans = parted(fields[0], where)
        values = _rain(fields[0], said, whole[names[0]].encoding.get("scale_factor", 0), spans, where)
    elif len(fields) == 2:
        values = _humidity(fields, where)
    else:
        values = _quantity(fields[0], kind, said.replace("**", ""), spans, where)
    lines = spans.note, f"the {PARTS[names[0]]} part of the rain only" if names[0] in PARTS else ""
    own = UNIT if kind == RAIN else QUANTITIES[kind].unit
    about = {"units": own, "interval": spans.interval, "units_found": said}
    values = values.assign_coords(time=spans.ends).rename(kind)
    values.attrs = about | {key: each for key, each in values.attrs.items() if key == "notes"}
    return check(noted(values, *lines), where, own)


def _said(path: Path) -> bytes:
    """What a file says of itself before its values."""
    if is_hdf5(path):
        looked_at(path)
        with READING, h5py.File(path) as file:
            about = [("", file.attrs), *((name, one.attrs) for name, one in file.items())]
            said = (f"{name} {key}={value}" for name, each in about for key, value in each.items())
            return "\n".join(said).encode()
    if not _is_archive(path):
        with path.open("rb") as stream:
            begin = stream.read(HEADER)
        return begin if begin[:4] in NETCDF3 else b""
    with zipfile.ZipFile(path) as file:
        first = next((each for each in file.infolist() if each.filename.endswith(".nc")), None)
        return file.open(first).read(HEADER) if first else b""


def _is_archive(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(4) == ARCHIVE


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[list[xr.Dataset]]:
    """The file, or those of its ZIP, which are unpacked for the while."""
    with contextlib.ExitStack() as stack:
        files = [path]
        if _is_archive(path):
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            most = min(MOST_UNPACKED, max(SMALL_BYTES, MOST_RATIO * path.stat().st_size))
            files = [each for each in unzipped(path, Path(folder), most) if is_store(each)]
        with READING:
            found = [xr.decode_cf(opened(each), decode_timedelta=False) for each in files]
        yield found  # not held any longer: whoever computes with them may use other threads


def _meaning(one: xr.DataArray) -> str | None:
    return RAIN if one.name in (*TOTAL, *PARTS) else quantity_of(one.name, one.attrs.get("GRIB_shortName"))


def _chosen(files: list[xr.Dataset], variable: str | None, where: str) -> tuple[xr.Dataset, str, list[str]]:
    """The file that holds what was asked for, what that is, and the names of its variables."""
    asked = variable or RAIN
    able = [(whole, found) for whole in files if (found := _names(whole, asked, where))]
    if len(able) > 1:
        told = ", ".join(Path(whole.encoding["source"]).name for whole, _ in able)
        raise Invalid(f"{where}: several of its files hold {asked}: {told}; unpack it, and choose one")
    if able:
        whole, found = able[0]
        kind = _meaning(whole[found[0]]) if len(found) == 1 else asked
        if kind is None:
            told = f"{RAIN}, {', '.join(QUANTITIES)}"
            raise Invalid(f"{where}: {brief(asked)} is of no quantity known here; known are {told}")
        return whole, kind, found
    listed = (f"{name} ({one.attrs.get('units')})" for each in files for name, one in each.data_vars.items())
    raise Invalid(f"{where}: has no {brief(asked)[1:-1]}; it holds {', '.join(listed) or 'nothing'}")


def _names(whole: xr.Dataset, asked: str, where: str) -> list[str]:
    """The variable that was asked for; or the two, dew point and pressure, that give humidity."""
    known = {str(name): _meaning(one) for name, one in whole.data_vars.items()}
    if asked == RAIN:
        return [name for name in TOTAL if name in known][:1]
    if asked in known:
        return [asked]
    found = [name for name, kind in known.items() if kind == asked]
    if len(found) > 1:
        raise Invalid(f"{where}: several could be {asked}: {', '.join(found)}; name one as variable")
    if asked == "humidity" and not found:
        pair = [name for want in ("dewpoint", "pressure") for name in known if known[name] == want]
        return pair if len(pair) == 2 else []
    return found


def _plain(one: xr.DataArray, where: str) -> xr.DataArray:
    """With the dimensions and directions of `engine.fields`, one version of each time."""
    one, lines = _one_version(one)
    for dim in [each for each in one.dims if one.sizes[each] == 1 and "level" in str(each)]:
        lines.append(f"at {dim} {one[dim].values[0]:g} {one[dim].attrs.get('units', '')}".strip())
        one = one.isel({dim: 0})
    stamps = _stamps(one)
    if stamps in one.coords and stamps not in one.dims and one[stamps].ndim < 2:
        along = "".join(map(str, one[stamps].dims))
        one = one.swap_dims({along: stamps}) if along else one.expand_dims(stamps)
    one = one.reset_coords(drop=True)
    one = one.rename({old: new for old, new in AXES.items() if old in one.dims})
    if {"time", "lat", "lon"} - set(one.dims) or set(one.dims) - {"member", "time", "lat", "lon"}:
        told = ", ".join(f"{dim} ({size})" for dim, size in one.sizes.items())
        raise Invalid(f"{where}: lies over {told}; cut it to time, latitude and longitude")
    if not isinstance(one.indexes["time"], pd.DatetimeIndex):
        raise Invalid(f"{where}: its times are of no standard calendar; fetch it again")
    # Many files have places in single precision: a hundred thousandth of a degree is a metre.
    lat, lon = (np.round(one[axis].values.astype(float), 5) for axis in ("lat", "lon"))
    one = one.assign_coords(lat=lat, lon=np.round(wrap(lon), 5)).sortby(["time", "lat", "lon"])
    return noted(one.transpose("member", "time", "lat", "lon", missing_dims="ignore"), *lines)


def _one_version(one: xr.DataArray) -> tuple[xr.DataArray, list[str]]:
    """Final values, and preliminary ones where there are no others; which those are."""
    if "expver" in one.dims:
        final, *others = (one.isel(expver=place) for place in np.argsort(one.expver.values))
        one, stamps = final, final[_stamps(final)]
        for other in others:
            one = one.fillna(other)
        beyond = [dim for dim in final.dims if dim not in stamps.dims]
        some = final.isel({dim: slice(None, None, max(1, final.sizes[dim] // 16)) for dim in beyond})
        early = stamps.values[some.isnull().all(beyond).values]
    elif "expver" in one.coords:
        version = np.char.lstrip(one.expver.values.astype(str), "0")
        early = one[_stamps(one)].values[np.broadcast_to(version == "5", one[_stamps(one)].shape)]
    else:
        return one, []
    if not early.size:
        return one, []
    span = f"from {early.min():.16} to {early.max():.16}"
    return one, [f"{early.size} times are preliminary (ERA5T), {span}"]


def _stamps(one: xr.DataArray) -> str:
    """The coordinate that says when: cfgrib's own files have the start of the forecast as ``time``."""
    return "valid_time" if "valid_time" in one.coords else "time"


def _rain(field: xr.DataArray, unit: str, scale: float, spans: Spans, where: str) -> xr.DataArray:
    """In mm/h, without what packing leaves where it was dry."""
    least = max(scale / 2, LEAST)
    if field.chunks is None:
        tiny = int(((np.abs(field) < least) & (field != 0)).sum())
        below = int((field <= -least).sum())
        lines = [
            f"{tiny} values are zero here: packing leaves as much where it is dry" if tiny else "",
            f"{below} values below zero are zero here: packing leaves as much" if below else "",
        ]
    else:
        lines = [f"values within {least:.1g} of zero, which packing leaves where it is dry, are zero here"]

    def dried(part: np.ndarray) -> np.ndarray:
        return np.where(np.abs(part) < least, 0, part).astype(np.float32)

    return as_rate(lazily(dried, noted(field, *lines)), unit, spans.gathered, where)


def _quantity(field: xr.DataArray, kind: str, unit: str, spans: Spans, where: str) -> xr.DataArray:
    if unit == "kg m-2":  # of moisture, gathered over a span
        field, unit = (field / (spans.gathered / HOUR)).assign_attrs(field.attrs), UNIT
    return as_quantity(field, kind, unit, where)


def _humidity(fields: list[xr.DataArray], where: str) -> xr.DataArray:
    """From the dew point and the pressure at the surface."""
    dewpoint, pressure = (
        as_quantity(field, kind, str(field.attrs.get("units")).replace("**", ""), where)
        for field, kind in zip(fields, ("dewpoint", "pressure"), strict=True)
    )

    def saturated(dewpoint: np.ndarray, pressure: np.ndarray) -> np.ndarray:
        vapour = 611.21 * np.exp(17.502 * (dewpoint - 273.16) / (dewpoint - 32.19))
        return 0.621981 * vapour / (pressure - 0.378019 * vapour)

    how: Any = {"dask": "parallelized", "output_dtypes": [np.float32], "keep_attrs": True}
    found = xr.apply_ufunc(saturated, dewpoint, pressure, join="exact", **how)
    return as_quantity(noted(found, DEWPOINT), "humidity", "kg kg-1", where)
