"""An ensemble as a file: CF NetCDF and Zarr, GeoTIFF, CSV.

The file says what it holds: unit and interval, bounds of every hour, which axis is which, where it came
from. NetCDF and Zarr carry everything; GeoTIFF carries one map of the ensemble mean a band (an hour);
CSV carries the mean and a few quantiles, cell by cell, for a spreadsheet.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
import zarr.errors

from engine.fields import UNIT, Grid
from engine.tasks import Task
from engine.values import Invalid

AXES: Mapping[str, Mapping[str, str]] = {
    "lat": {"standard_name": "latitude", "units": "degrees_north", "axis": "Y"},
    "lon": {"standard_name": "longitude", "units": "degrees_east", "axis": "X"},
    "time": {
        "standard_name": "time",
        "axis": "T",
        "bounds": "time_bnds",
        "comment": "end of the interval, UTC",
    },
    "member": {"standard_name": "realization", "units": "1"},
}
RAIN = {
    "standard_name": "lwe_precipitation_rate",
    "long_name": "rain rate, mean over the interval that ends at the time stamp",
    "units": UNIT,
    "cell_methods": "time: mean",
}


def coordinates(task: Task, members: int | None) -> dict[str, Any]:
    """The axes of a task's result; without members those of a single field."""
    axes: dict[str, Any] = {"member": np.arange(members)} if members else {}
    axes |= {"time": task.period.times, "lat": task.grid.lat, "lon": task.grid.lon}
    return {name: (name, values, dict(AXES[name])) for name, values in axes.items()}


def template(task: Task) -> xr.Dataset:
    """The ensemble that a task will have, with nothing in it yet."""
    import dask.array

    axes = coordinates(task, task.members)
    shape = (task.members, len(task.period.times), *task.grid.shape)
    empty = dask.array.full(shape, np.nan, dtype=np.float32, chunks=(1, *shape[1:]))
    interval = task.period.interval
    rain = xr.DataArray(empty, axes, ("member", "time", "lat", "lon"), "rain", RAIN | {"interval": interval})
    return described(rain, title=task.title or f"{task.method} ensemble", task=task.to_yaml())


def described(rain: xr.DataArray, **about: str) -> xr.Dataset:
    """A field as a CF dataset, with the bounds of its intervals."""
    for name in rain.dims:
        rain[name].attrs.update(AXES[str(name)])
    times = rain.indexes["time"]
    bounds = np.stack([times - pd.Timedelta(rain.attrs["interval"]), times], axis=1)
    whole = rain.assign_attrs(RAIN).to_dataset(name="rain")
    whole["time_bnds"] = (("time", "nv"), bounds)
    for name in ("lat", "lon", "time_bnds"):  # CF knows no missing coordinates
        whole[name].encoding = {"_FillValue": None}
    # The same unit for both, or CF readers take the bounds for something else.
    whole.time.encoding = {
        "units": f"seconds since {pd.Timestamp(bounds[0, 0]):%Y-%m-%d %H:%M:%S}",
        "dtype": "int64",
    }
    whole.attrs = {"Conventions": "CF-1.11", "source": "Rainloom"} | about
    return whole


def to_netcdf(rain: xr.DataArray, path: Path, **about: str) -> None:
    packing = {"rain": {"zlib": True, "complevel": 4, "shuffle": True, "_FillValue": np.float32(np.nan)}}
    described(rain, **about).to_netcdf(path, engine="h5netcdf", encoding=packing)


def to_zarr(rain: xr.DataArray, path: Path, **about: str) -> None:
    rain = rain.copy()
    rain.encoding.clear()
    write_zarr(described(rain, **about), path)


def write_zarr(whole: xr.Dataset, path: Path, **encoding: Mapping[str, Any]) -> None:
    """Zarr 3, only the axes where the field itself is not there yet.

    With consolidated metadata `xarray.open_zarr` opens it at once and in silence; the warning that other
    libraries may overlook it is not the user's concern, for they read the store without.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)
        whole.to_zarr(path, zarr_format=3, consolidated=True, compute=not encoding, encoding=dict(encoding))


def to_geotiff(rain: xr.DataArray, path: Path, **about: str) -> None:
    try:
        import rasterio
        from rasterio.transform import from_origin
    except ImportError:
        raise Invalid(
            "export: GeoTIFF needs rasterio; install it with: pip install 'rainloom[geotiff]'"
        ) from None
    mean = rain.mean("member") if "member" in rain.dims else rain
    grid = Grid.of(mean)
    rows, columns = grid.shape
    profile: dict[str, Any] = {"driver": "GTiff", "dtype": "float32", "nodata": np.nan, "compress": "deflate"}
    profile |= {"count": mean.sizes["time"], "height": rows, "width": columns}
    profile |= {
        "crs": "EPSG:4326",
        "transform": from_origin(grid.box.west, grid.box.north, grid.step, grid.step),
    }
    with rasterio.open(path, "w", **profile) as file:
        file.units = [UNIT] * mean.sizes["time"]
        file.update_tags(units=UNIT, interval=rain.attrs["interval"], statistic="ensemble mean", **about)
        for band, hour in enumerate(mean.transpose("time", "lat", "lon"), start=1):
            file.write(hour.values[::-1].astype(np.float32), band)  # GeoTIFF runs north to south
            file.set_band_description(
                band, f"{hour.time.values.astype('datetime64[s]')} UTC, end of interval"
            )


def to_csv(rain: xr.DataArray, path: Path, **about: str) -> None:
    """A line a cell and hour; the unit stands in the column's name, so that any reader takes it as it is."""
    summary = {"rain": rain}
    if "member" in rain.dims:
        quantiles = np.quantile(rain.values, [0.1, 0.5, 0.9], axis=0)
        parts = dict(zip(("p10", "p50", "p90"), quantiles, strict=True)) | {"mean": rain.values.mean(0)}
        summary = {
            name: rain.isel(member=0, drop=True).copy(data=parts[name])
            for name in ("mean", "p10", "p50", "p90")
        }
    with path.open("w", newline="") as stream:
        for hour in range(rain.sizes["time"]):
            table = xr.Dataset({f"{name}_mm_per_h": one.isel(time=[hour]) for name, one in summary.items()})
            lines = table.to_dataframe().astype(float).round(3).reset_index()
            lines["time"] = lines["time"].dt.strftime("%Y-%m-%dT%H:%MZ")
            for axis in ("lat", "lon"):
                lines[axis] = lines[axis].round(6)
            lines.to_csv(stream, index=False, header=hour == 0)


FORMATS: Mapping[str, tuple[str, Callable[..., None]]] = {
    "netcdf": (".nc", to_netcdf),
    "zarr": (".zarr", to_zarr),
    "geotiff": (".tif", to_geotiff),
    "csv": (".csv", to_csv),
}


def export(rain: xr.DataArray, path: Path, kind: str, *, replace: bool = False, **about: str) -> Path:
    """Write the ensemble as a whole or not at all; an existing file is kept unless it is to be replaced."""
    if kind not in FORMATS:
        raise Invalid(f"export: no format {kind!r}; give one of {', '.join(FORMATS)}")
    if path.exists() and not replace:
        raise Invalid(f"export: {path} exists; choose another name or say --force")
    if path.is_dir() and not (kind == "zarr" and (path / "zarr.json").exists()):
        raise Invalid(f"export: {path} is a folder and no Zarr store; choose another name")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        FORMATS[kind][1](rain, unfinished, **about)
        if path.is_dir():
            shutil.rmtree(path)
        unfinished.replace(path)
    finally:
        if unfinished.is_dir():
            shutil.rmtree(unfinished)
        unfinished.unlink(missing_ok=True)
    return path
