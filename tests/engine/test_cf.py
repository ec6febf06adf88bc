"""CF NetCDF and Zarr: on small files in the layouts that climate centres and weather services write."""

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from engine.fields import wrap
from engine.quantities import notes
from engine.reading import netcdf
from engine.sources import cf, open_any
from engine.values import Invalid

ROOT = Path(__file__).resolve().parents[2]
STORES = {
    "netcdf4": lambda whole, path: whole.to_netcdf(path, engine="h5netcdf"),
    "classic": lambda whole, path: whole.to_netcdf(path, engine="scipy", format="NETCDF3_CLASSIC"),
    "64bit": lambda whole, path: whole.to_netcdf(path, engine="scipy", format="NETCDF3_64BIT"),
    "zarr2": lambda whole, path: whole.to_zarr(path, zarr_format=2, consolidated=False),
    "zarr3": lambda whole, path: whole.to_zarr(path, zarr_format=3, consolidated=False),
}


def world(
    days=(0.5, 1.5, 2.5), since="1990-12-30", calendar="standard", values=None, unit="kg m-2 s-1", **about
):
    """Daily rain in CMIP's way, north to south and 0..360; without bounds."""
    rng = np.random.default_rng(0)
    lat, lon = np.array([30.0, 20, 10]), np.array([350.0, 355, 0, 5])
    if values is None:
        values = rng.gamma(0.3, 1e-4, (len(days), 3, 4))
    time = {"units": f"days since {since}", "calendar": calendar, "standard_name": "time"}
    return xr.Dataset(
        {"pr": (("time", "lat", "lon"), np.asarray(values, "f4"), {"units": unit} | about)},
        {
            "time": ("time", np.asarray(days, float), time),
            "lat": ("lat", lat, {"units": "degrees_north"}),
            "lon": ("lon", lon, {"units": "degrees_east"}),
        },
    )


def bounded(whole, edges):
    whole.time.attrs["bounds"] = "time_bnds"
    return whole.assign(time_bnds=(("time", "bnds"), np.asarray(edges, float)))


def written(whole, path, store="netcdf4"):
    STORES[store](whole, path)
    return path


def read(whole, path, **about):
    return cf.read(written(whole, path / "x"), **about)


# Stores


@pytest.mark.parametrize("store", STORES)
def test_every_store_gives_the_same_field(tmp_path, store):
    whole = bounded(world(), [[0, 1], [1, 2], [2, 3]])
    found = open_any(written(whole, tmp_path / "x", store))
    assert isinstance(found, xr.DataArray)
    np.testing.assert_allclose(found.values, 3600 * whole.pr.values[:, ::-1], rtol=1e-6)
    np.testing.assert_array_equal(found.lat, [10, 20, 30])
    np.testing.assert_array_equal(found.lon, [-10, -5, 0, 5])
    assert list(found.indexes["time"]) == list(pd.date_range("1990-12-31", periods=3))
    assert (found.attrs["interval"], found.attrs["units_found"]) == ("24h", "kg m-2 s-1")


@pytest.mark.parametrize("store", ["classic", "64bit"])
def test_a_classic_file_that_is_cut_off_is_refused_wherever(tmp_path, store):
    path = written(world(), tmp_path / "x", store)
    content = path.read_bytes()
    for kept in range(8, len(content) - 4, 17):
        path.write_bytes(content[:kept])
        with pytest.raises(Invalid) as refused:
            open_any(path)
        assert "\n" not in str(refused.value)


def test_a_classic_file_with_a_damaged_byte_is_refused_or_keeps_the_conventions(tmp_path):
    path = written(world(), tmp_path / "x", "classic")
    content = path.read_bytes()
    for at in range(4, len(content), 11):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :])
        try:
            found = open_any(path)
        except Invalid:
            continue
        assert float(found.max()) <= 20_000
        assert float(found.min()) >= 0


def test_the_newest_classic_kind_is_refused_with_the_way_out(tmp_path):
    (tmp_path / "x").write_bytes(b"CDF\x05" + bytes(60))
    with pytest.raises(Invalid, match="nccopy -k nc4"):
        open_any(tmp_path / "x")


# Values


def test_what_is_missing_and_what_is_below_zero(tmp_path):
    whole = world()
    whole.pr[0, 0, 0], whole.pr[0, 0, 1] = 9.969209968386869e36, -3e-24
    whole.pr.encoding["_FillValue"] = None
    found = read(whole, tmp_path)
    assert np.isnan(found.values[0, -1, 0])
    assert found.values[0, -1, 1] == 0
    assert "values below zero, down to -3e-24 kg m-2 s-1, are taken for zero" in notes(found)


def test_two_marks_of_what_is_missing_are_both_missing(tmp_path):
    path = written(world(values=np.arange(36).reshape(3, 3, 4) / 1000), tmp_path / "x")
    with h5py.File(path, "r+") as file:
        file["pr"].attrs["_FillValue"] = np.float32(0.001)
        file["pr"].attrs["missing_value"] = np.float32(0.002)
    found = cf.read(path)
    assert np.isnan(found.values[0, -1, 1:3]).all()
    assert np.isfinite(found).sum() == 34


def test_packed_tenths_of_a_millimetre(tmp_path):
    whole = world(values=np.arange(36).reshape(3, 3, 4), unit="0.1 mm")
    whole["pr"] = whole.pr.astype("i2")
    found = read(whole, tmp_path)
    np.testing.assert_allclose(found.values[:, ::-1].ravel(), np.arange(36) / 10 / 24, rtol=1e-6)


# Which variable


def beside(**others):
    whole = world()
    for name, (unit, standard) in others.items():
        whole[name] = whole.pr.copy(deep=True).assign_attrs(units=unit, standard_name=standard) * 1
        whole[name].attrs = {"units": unit, "standard_name": standard}
    return whole


def test_the_total_is_chosen_and_others_are_named(tmp_path):
    whole = beside(prc=("kg m-2 s-1", "convective_precipitation_flux"), prsn=("kg m-2 s-1", "snowfall_flux"))
    found = read(whole, tmp_path)
    np.testing.assert_allclose(found.values[:, ::-1], 3600 * whole.pr.values, rtol=1e-6)
    assert "pr is taken for the total of rain, beside prc" in notes(found)
    rows = {row["name"]: row for row in cf.contents(tmp_path / "x")}
    assert rows["pr"] == {"name": "pr", "unit": "kg m-2 s-1", "shape": (3, 3, 4), "taken for": "rain"}
    assert {rows[name]["taken for"] for name in ("prc", "prsn")} == {"other"}


def test_where_no_total_is_clear_it_must_be_told(tmp_path):
    whole = beside(precip_radar=("mm/h", ""), precip_gauges=("mm/h", ""))
    with pytest.raises(Invalid, match="several could be rain: pr, precip_radar, precip_gauges; tell which"):
        read(whole, tmp_path)
    assert cf.read(tmp_path / "x", variable="precip_radar").name == "rain"


def test_a_part_of_the_rain_is_never_taken_for_all_of_it(tmp_path):
    whole = world().rename(pr="prc")
    whole.prc.attrs["standard_name"] = "convective_precipitation_flux"
    with pytest.raises(Invalid, match=r"only a part of the rain.*\(prc\); name it, as variable"):
        read(whole, tmp_path)
    found = cf.read(tmp_path / "x", variable="prc")
    assert "prc was read by name; it need not be all the rain" in notes(found)


@pytest.mark.parametrize("late", [False, True])
def test_sums_since_the_start_of_a_forecast_are_no_depths_of_hours(tmp_path, late, monkeypatch):
    if late:
        monkeypatch.setattr(netcdf, "SMALL_BYTES", 0)
    hours = np.arange(1, 13) / 24
    fell = np.random.default_rng(0).gamma(0.3, 2, (12, 3, 4))
    with pytest.raises(Invalid, match="its depths only grow, as sums since the start of a forecast do"):
        read(world(hours, values=fell.cumsum(0), unit="mm"), tmp_path)
    assert cf.read(tmp_path / "x", interval="1h").sizes["time"] == 12
    single = read(world(hours, values=fell, unit="mm"), tmp_path)
    np.testing.assert_allclose(single.values[:, ::-1], fell, rtol=1e-6)


def test_granules_of_imerg_whose_axes_were_turned_still_begin_at_their_stamps(tmp_path):
    whole = world(np.arange(3) / 48, unit="mm/hr").rename(pr="precipitation")
    found = open_any(written(whole.assign_attrs(FileHeader="3B-HHR.MS.MRG.3IMERG"), tmp_path / "x"))
    assert isinstance(found, xr.DataArray)
    assert found.indexes["time"][0] == pd.Timestamp("1990-12-30T00:30")
    assert "IMERG stamps its spans at their start" in "\n".join(notes(found))


def test_other_quantities_are_read_by_name_at_a_level(tmp_path):
    whole = beside(huss=("1", "specific_humidity"), uas=("m s-1", "grid_eastward_wind"), zg=("m", "height"))
    whole = whole.assign(huss=whole.huss.expand_dims(height=[2.0]))
    whole.height.attrs["units"] = "m"
    for name in ("humidity", "huss"):
        path = written(whole, tmp_path / name)
        found = cf.read(path, variable=name)
        assert (found.name, found.attrs["units"]) == ("humidity", "kg kg-1")
        assert "is at height 2.0 m" in notes(found)
    with pytest.raises(Invalid, match="along the rows of its grid"):
        cf.read(path, variable="uas")
    with pytest.raises(Invalid, match=r"zg \(m\) is neither called rain nor"):
        cf.read(path, variable="zg")


def test_of_several_levels_one_must_be_chosen(tmp_path):
    whole = world()
    both = xr.concat([whole.pr, 2 * whole.pr], pd.Index([850.0, 500], name="plev"))
    path = written(both.to_dataset(name="pr").assign_coords(time=whole.time), tmp_path / "x")
    with pytest.raises(Invalid, match=r"has plev 850.0, 500.0 ; choose one, as level=850.0"):
        cf.read(path)
    np.testing.assert_allclose(cf.read(path, level=500).values[:, ::-1], 7200 * whole.pr.values, rtol=1e-6)


def test_the_only_variable_is_rain_if_its_unit_is_of_water(tmp_path):
    found = read(world(unit="mm/h").rename(pr="R"), tmp_path)
    assert "R, its only variable over a map, is taken for rain" in notes(found)
    with pytest.raises(Invalid, match=r"no rain is named; it holds depth \(m\)"):
        read(world(unit="m").rename(pr="depth"), tmp_path)


# Places


def test_a_column_that_stands_twice_counts_once_and_a_box_is_a_part(tmp_path):
    whole = world().isel(lon=[0, 1, 2, 3, 0]).assign_coords(lon=("lon", [0.0, 90, 180, 270, 360]))
    found = read(whole, tmp_path)
    np.testing.assert_array_equal(found.lon, [-180, -90, 0, 90])
    assert "1 of its lon stand twice, and count once" in notes(found)
    part = cf.read(tmp_path / "x", box=[-100, 5, 10, 25])
    np.testing.assert_array_equal(part.values, found.sel(lat=[10, 20], lon=[-90, 0]).values)


def test_a_grid_that_is_written_out_for_each_pixel_keeps_its_cells(tmp_path):
    whole = world([1 / 24, 2 / 24], unit="mm/h")
    lat, lon = np.meshgrid([12.0, 11.75, 11.5], 359 + 0.25 * np.arange(4), indexing="ij")
    places = {"lat": (("y", "x"), lat), "lon": (("y", "x"), lon)}
    map_of = xr.Dataset({"pr": (("time", "y", "x"), whole.pr.values, whole.pr.attrs)}, places)
    found = read(map_of.assign_coords(time=whole.time), tmp_path)
    np.testing.assert_allclose(found.values[:, ::-1], whole.pr.values)
    np.testing.assert_allclose(found.lon, [-1, -0.75, -0.5, -0.25])
    np.testing.assert_allclose(found.lat, [11.5, 11.75, 12])


def test_uneven_rows_keep_the_rain_that_fell(tmp_path):
    lat = np.degrees(np.arcsin(np.linspace(-0.7, 0.7, 8)))
    lon = np.arange(0, 360, 11.25)
    rain = np.random.default_rng(1).gamma(0.3, 2, (2, 8, 32))
    rain[1] = 3
    whole = xr.Dataset(
        {"pr": (("time", "lat", "lon"), rain.astype("f4"), {"units": "mm/h"})},
        {"time": pd.date_range("2020-01-01", periods=2, freq="1h"), "lat": lat, "lon": lon},
    )
    found = read(whole, tmp_path)
    assert any("not equally wide" in line for line in notes(found))
    edges = np.r_[1.5 * lat[0] - lat[1] / 2, (lat[1:] + lat[:-1]) / 2, 1.5 * lat[-1] - lat[-2] / 2]
    area = np.diff(np.sin(np.radians(edges)))
    step = float(found.lat[1] - found.lat[0])
    new = np.diff(np.sin(np.radians(np.r_[found.lat.values - step / 2, found.lat.values[-1] + step / 2])))
    np.testing.assert_allclose(
        (found.values * new[:, None]).sum((1, 2)), (rain * area[:, None]).sum((1, 2)), rtol=1e-5
    )
    np.testing.assert_allclose(found.values[1], 3, rtol=1e-5)


def rotated(lat, lon, pole_lat, pole_lon):
    """Places on the Earth of places on a rotated one, by the formula of the sphere."""
    lat, lon, tilt = np.radians(lat), np.radians(lon), np.radians(pole_lat)
    sine = np.sin(lat) * np.sin(tilt) + np.cos(lat) * np.cos(lon) * np.cos(tilt)
    east = np.arctan2(
        np.cos(lat) * np.sin(lon), np.sin(tilt) * np.cos(lat) * np.cos(lon) - np.cos(tilt) * np.sin(lat)
    )
    return np.degrees(np.arcsin(sine)), wrap(np.degrees(east) + pole_lon - 180)


@pytest.mark.parametrize("has_places", [True, False])
def test_a_rotated_pole_lies_where_the_formula_says(tmp_path, has_places):
    """CORDEX of Europe: rain is the latitude itself, so each cell must hold its own."""
    rlat, rlon = np.arange(-5, 5, 0.11), np.arange(-6, 6, 0.11)
    lat, lon = rotated(*np.meshgrid(rlat, rlon, indexing="ij"), 39.25, -162)
    about = {"grid_mapping_name": "rotated_latitude_longitude", "earth_radius": 6371229.0}
    about |= {"grid_north_pole_latitude": 39.25, "grid_north_pole_longitude": -162.0}
    axes = {
        "rlat": ("rlat", rlat, {"standard_name": "grid_latitude", "units": "degrees"}),
        "rlon": ("rlon", rlon, {"standard_name": "grid_longitude", "units": "degrees"}),
        "time": pd.date_range("2020-01-01", periods=2),
    }
    said = {"units": "mm/h", "grid_mapping": "rotated_pole"}
    whole = xr.Dataset({"pr": (("time", "rlat", "rlon"), np.stack([lat, lon + 90]), said)}, axes)
    whole["rotated_pole"] = xr.DataArray(0, attrs=about)
    if has_places:
        whole = whole.assign_coords(lat=(("rlat", "rlon"), lat), lon=(("rlat", "rlon"), lon))
    found = read(whole, tmp_path)
    inside = np.isfinite(found.values[0])
    assert inside.sum() > 5000
    tall, wide = np.meshgrid(found.lat, found.lon + 90, indexing="ij")
    assert np.abs(found.values[0] - tall)[inside].max() < 0.11
    assert np.abs(found.values[1] - wide)[inside].max() < 0.2


# Late reading


@pytest.fixture
def large(monkeypatch):
    """Small files read as late as large ones, a time a chunk."""
    monkeypatch.setattr(netcdf, "SMALL_BYTES", 0)
    monkeypatch.setattr(netcdf, "CHUNK_BYTES", 100)


@pytest.mark.parametrize("store", STORES)
def test_late_values_are_the_same(tmp_path, store, monkeypatch, large):
    path = written(world(), tmp_path / "x", store)
    found = cf.read(path)
    assert found.chunks is not None
    monkeypatch.undo()
    np.testing.assert_array_equal(found.values, cf.read(path).values)
    assert "what packing leaves below zero becomes zero as it is read" in notes(found)


def test_late_maps_and_late_rows_are_the_same(tmp_path, monkeypatch, large):
    uneven = world().assign_coords(lat=("lat", [30.0, 19, 10]))
    lat, lon = np.meshgrid(50 + 0.1 * np.arange(3), 10 + 0.13 * np.arange(4), indexing="ij")
    places = {"lat": (("y", "x"), lat), "lon": (("y", "x"), lon)}
    turned = uneven.drop_vars(["lat", "lon"]).rename(lat="y", lon="x").assign_coords(places)
    paths = [written(each, tmp_path / name) for name, each in (("rows", uneven), ("map", turned))]
    late = [cf.read(each) for each in paths]
    assert all(each.chunks is not None for each in late)
    monkeypatch.undo()
    for path, each in zip(paths, late, strict=True):
        np.testing.assert_allclose(each.values, cf.read(path).values, rtol=1e-6)


def test_what_is_no_rain_is_told_when_it_is_read(tmp_path, large):
    whole = world()
    whole.pr[2, 0, 0] = -9999
    found = read(whole, tmp_path)
    assert np.isfinite(found[0].values).all()
    with pytest.raises(Invalid, match="which is no rain"):
        found[2].load()


READ_A_DAY = """
import sys
from pathlib import Path
from engine.fields import Box, Period
from engine.given import cut
from engine.sources import open_any
found = cut("x", open_any(sys.argv[1]), Box(105, 25, 120, 40), Period("2020-07-10", "2020-07-11"))
assert found.chunks is not None
day = found.load()
# Of this process alone: what getrusage says begins with what the parent had when it forked.
most = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
print(day.shape[0], float(day.mean()), most[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_month_of_hours_is_opened_and_a_day_read_in_little_memory(tmp_path):
    """30 days of hourly rain over 25 x 25 degrees by 0.1: 180 MB, of which a day is read."""
    path, hours = tmp_path / "x.nc", 720
    with h5py.File(path, "w") as file:
        axes = {"time": np.arange(1, hours + 1), "lat": 44.95 - 0.1 * np.arange(250)}
        axes["lon"] = 100.05 + 0.1 * np.arange(250)
        rain = file.create_dataset("pr", (hours, 250, 250), "f4", chunks=(24, 125, 125), compression="lzf")
        rain.attrs["units"] = "mm/h"
        for at, (name, values) in enumerate(axes.items()):
            file[name] = values
            file[name].make_scale(name)
            rain.dims[at].attach_scale(file[name])
        file["time"].attrs["units"] = "hours since 2020-07-01"
        for day in range(30):
            rain[24 * day : 24 * day + 24] = np.full((24, 250, 250), day, "f4")
    about = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", READ_A_DAY, str(path)], capture_output=True, text=True, env=os.environ | about
    )
    assert done.returncode == 0, done.stderr
    count, mean, most = done.stdout.split()
    assert (int(count), float(mean)) == (24, 9.0)
    assert int(most) < 300e3  # kB
