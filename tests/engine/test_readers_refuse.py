"""Readers on what they cannot read with certainty, and on files that reach beyond themselves."""

import struct
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from engine.fields import Box, Observations
from engine.formats import export
from engine.reading import guard
from engine.reading.regrid import Cells
from engine.sources import cf, geotiff, open_any, opensense, reports
from engine.values import Invalid
from tests.conftest import small_world
from tests.engine.test_readers import message, stack

HOURS = pd.date_range("2021-08-01", periods=2, freq="1h")
HEAD = "time,gauge,lat,lon,rainfall_amount\n"


def gauges(path: Path, **about) -> Path:
    amount = (("id", "time"), np.ones((2, 2)), {"units": "mm"} | about)
    axes = {"id": ["a", "b"], "time": HOURS, "lat": ("id", [50.0, 51]), "lon": ("id", [10.0, 11])}
    xr.Dataset({"rainfall_amount": amount}, axes).to_netcdf(path, engine="h5netcdf")
    return path


def radar(path: Path, lat: np.ndarray, lon: np.ndarray) -> Path:
    values = np.arange(2.0 * lat.size).reshape(2, *lat.shape)
    places = {"lat": (("y", "x"), lat), "lon": (("y", "x"), lon)}
    rain = {"rain": (("time", "y", "x"), values, {"units": "mm/h"})}
    xr.Dataset(rain, {"time": HOURS} | places).to_netcdf(path, engine="h5netcdf")
    return path


# Intervals


def test_intervals_given_as_bare_numbers_are_refused_by_every_reader(tmp_path):
    with pytest.raises(Invalid, match="interval 60; give a length"):
        opensense.read(gauges(tmp_path / "x.nc"), interval=60)
    with pytest.raises(Invalid, match="give a length"):
        open_any(gauges(tmp_path / "y.nc", interval=60))
    truth = small_world()[0].assign_attrs(units="mm", interval=60).to_dataset(name="rain")
    truth.to_netcdf(tmp_path / "z.nc", engine="h5netcdf")
    with pytest.raises(Invalid, match="give a length"):
        open_any(tmp_path / "z.nc")


def test_bounds_of_several_lengths_are_refused(tmp_path):
    truth = small_world()[0].isel(time=slice(2)).drop_attrs().assign_attrs(units="mm").to_dataset(name="rain")
    truth.time.attrs["bounds"] = "time_bnds"
    hour = np.timedelta64(1, "h")
    starts = truth.time.values - [hour, 2 * hour]
    truth["time_bnds"] = (("time", "nv"), np.stack([starts, truth.time.values], 1))
    truth.time.encoding = {"units": "seconds since 2020-01-01", "dtype": "int64"}
    truth.to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    with pytest.raises(Invalid, match="not equally long"):
        open_any(tmp_path / "x.nc")


# Tables


@pytest.mark.parametrize("written", ["1629712200", "03.08.2021", "08/03/2021 10:00", ""])
def test_times_that_could_mean_several_are_refused(tmp_path, written):
    (tmp_path / "x.csv").write_text(f"{HEAD}{written},a,50,10,1\n{written},b,51,10,1\n")
    with pytest.raises(Invalid, match="write times as 2021-08-23T09:50"):
        reports.read(tmp_path / "x.csv", interval="1h")


def test_days_without_dashes_are_days(tmp_path):
    """A date alone names its day, which ends at the next midnight."""
    (tmp_path / "x.csv").write_text(f"{HEAD}20210803,a,50,10,24\n20210804,a,50,10,48\n")
    found = open_any(tmp_path / "x.csv")
    assert isinstance(found, Observations)
    np.testing.assert_allclose(found.values, [[1, 2]])
    assert found.rain.indexes["time"][0] == pd.Timestamp("2021-08-04")


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (
            "2021-08-01,A,50,10,1\n2021-08-01,A,50,10,2\n",
            "gauge A time 2021-08-01 00:00:00 stands twice, with 1 and with 2",
        ),
        ("2021-08-01,A,50,10,1\n2021-08-02,A,51,10,2\n", "gauge A stands twice; keep one place"),
        (
            "2021-08-01T00:00Z,A,50,10,1\n2021-08-01T02:00+02:00,A,50,10,2\n",
            "gauge A time 2021-08-01 00:00:00 stands twice",
        ),
    ],
)
def test_what_stands_twice_in_a_long_table_is_told(tmp_path, lines, told):
    (tmp_path / "x.csv").write_text(HEAD + lines)
    with pytest.raises(Invalid, match=told):
        reports.read(tmp_path / "x.csv", interval="1D")


@pytest.mark.parametrize(
    ("places", "told"),
    [
        ("A,50,10\nB,51,10\n", "no place for C; add it"),
        ("X,50,10\n", "no place for A, B, C; add it"),
        ("A,50,10\nB,51,10\nC,52,10\nB,53,10\n", "places.csv: gauge B stands twice"),
    ],
)
def test_a_wide_table_needs_one_place_for_each_gauge(tmp_path, places, told):
    (tmp_path / "x.csv").write_text("time,A,B,C\n2021-08-01T00:00,1,2,3\n2021-08-01T01:00,1,2,3\n")
    (tmp_path / "places.csv").write_text("gauge,lat,lon\n" + places)
    with pytest.raises(Invalid, match=told):
        reports.read(tmp_path / "x.csv", places=tmp_path / "places.csv", unit="mm")


def test_observations_have_each_time_once():
    with pytest.raises(Invalid, match="time '2021-08-01 00:00:00' stands twice"):
        Observations.of(np.ones((1, 2)), ["a"], HOURS[[0, 0]], [50], [10])


# Maps


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("step", [0.01, 0.02, 0.05, 0.1, 0.25])
def test_centres_on_the_edges_of_cells_fill_each_cell_once(step, kind):
    lat, lon = np.meshgrid(50 + step * np.arange(100), 10 + step * np.arange(60), indexing="ij")
    lat, lon = (each.astype(kind).astype(float) for each in (lat, lon))
    cells = Cells(lat, lon, step, None)
    assert cells.grid.shape == (100, 60)
    values = np.random.default_rng(0).random((100, 60))
    np.testing.assert_allclose(cells(values), values, rtol=1e-6)


def test_a_map_without_a_place_or_round_the_back_of_the_earth_is_refused(tmp_path):
    lat, lon = np.meshgrid(50 + 0.1 * np.arange(20), 179 + 0.1 * np.arange(20.0), indexing="ij")
    path = radar(tmp_path / "x.nc", lat, lon)
    with pytest.raises(Invalid, match="crosses the 180 degree meridian"):
        open_any(path)
    west = cf.read(path, step=0.1, box=Box(179, 50, 180, 51))
    assert west.shape == (2, 10, 10)
    with pytest.raises(Invalid, match="does not reach the box"):
        cf.read(path, box=Box(30, 50, 31, 51))
    lat[0, 0] = np.nan
    with pytest.raises(Invalid, match="have no place"):
        open_any(radar(tmp_path / "y.nc", lat, lon - 20))


def test_few_bytes_do_not_make_a_large_grid(tmp_path, monkeypatch):
    lat = np.array([[0, 0, 0, 80], [1e-3] * 3 + [80], [2e-3] * 3 + [80]])
    lon = np.array([[0, 1e-3, 2e-3, 170]] * 3)
    with pytest.raises(Invalid, match="cells are too many"):
        open_any(radar(tmp_path / "x.nc", lat, lon))
    pytest.importorskip("rasterio")
    stack(tmp_path / "x.tif", 1)
    monkeypatch.setattr(guard, "MOST_CELLS", 59)
    with pytest.raises(Invalid, match="2 x 5 x 6 cells are too many"):
        geotiff.read(tmp_path / "x.tif", unit="mm", start="2020-01-01", interval="1h")


def test_a_cut_message_is_refused_wherever_it_is_cut(tmp_path):
    whole, path = message(np.zeros((4, 5))), tmp_path / "x"
    for kept in range(8, len(whole)):
        path.write_bytes(whole[:kept])
        with pytest.raises(Invalid, match="fetch it again"):
            open_any(path)


def test_a_message_whose_picture_is_another_is_refused(tmp_path):
    whole = message(np.zeros((4, 5)))
    (tmp_path / "x").write_bytes(whole.replace(struct.pack(">II", 5, 4), struct.pack(">II", 4, 5), 1))
    with pytest.raises(Invalid, match="picture is of 5 x 4 pixels, not 4 x 5"):
        open_any(tmp_path / "x")
    (tmp_path / "x").write_bytes(
        whole.replace(struct.pack(">II", 5, 4), struct.pack(">II", 5, 40_000_000), 1)
    )
    with pytest.raises(Invalid, match="cells are too many"):
        open_any(tmp_path / "x")
    damaged = whole[: whole.index(b"IDAT") + 6] + bytes(12) + whole[whole.index(b"IDAT") + 18 :]
    (tmp_path / "x").write_bytes(damaged)
    with pytest.raises(Invalid, match="cannot be unpacked"):
        open_any(tmp_path / "x")


def test_a_zarr_store_that_claims_too_much_is_refused(tmp_path, monkeypatch):
    path = export(small_world()[0], tmp_path / "x.zarr", "zarr")
    monkeypatch.setattr(guard, "MOST_BYTES", 1000)
    with pytest.raises(Invalid, match="cut it to"):
        open_any(path)


# HDF5


def external_link(file: h5py.File, folder: Path) -> None:
    file["lat"] = h5py.ExternalLink(str(folder / "secret.h5"), "/x")


def link_in_a_group(file: h5py.File, folder: Path) -> None:
    file.create_group("a")["b"] = h5py.ExternalLink(str(folder / "secret.h5"), "/x")


def external_storage(file: h5py.File, folder: Path) -> None:
    file.create_dataset("rain", (2, 2), "f8", external=[(str(folder / "secret.h5"), 0, 32)])


def virtual(file: h5py.File, folder: Path) -> None:
    layout = h5py.VirtualLayout((2, 3), "f8")
    layout[:] = h5py.VirtualSource(str(folder / "secret.h5"), "x", (2, 3))
    file.create_virtual_dataset("rain", layout)


def too_much(file: h5py.File, folder: Path) -> None:
    file.create_dataset("rain", (10**6, 10**6), "f4", chunks=(100, 100))


def too_dense(file: h5py.File, folder: Path) -> None:
    file.create_dataset("rain", (10**4, 10**5), "f4", chunks=(100, 100))


def strange_filter(file: h5py.File, folder: Path) -> None:
    file.create_dataset("rain", (2, 2), "f4", compression=32015, allow_unknown_filter=True)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (external_link, "lat is a link to another file"),
        (link_in_a_group, "b is a link to another file"),
        (external_storage, "/rain keeps its values in another file"),
        (virtual, "/rain keeps its values in another file"),
        (too_much, "claims 4000 GB"),
        (too_dense, "claims 4000 MB in a small file"),
        (strange_filter, "/rain is packed by filter 32015"),
    ],
)
def test_a_file_that_reaches_beyond_itself_is_refused_before_it_is_read(tmp_path, made, told):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = np.full((2, 3), 42.0)
    with h5py.File(tmp_path / "x.nc", "w") as file:
        made(file, tmp_path)
    for read in (open_any, opensense.sniff, opensense.read, cf.read):
        with pytest.raises(Invalid, match=told):
            read(tmp_path / "x.nc")


def test_links_within_a_file_are_no_harm_and_no_maze(tmp_path):
    with h5py.File(tmp_path / "x.nc", "w") as file:
        file.create_group("a")["round"] = file["/"]
        file["soft"] = h5py.SoftLink("/nowhere")
        file["rain"] = np.ones((2, 2))
    guard.guarded(tmp_path / "x.nc")
    assert opensense.sniff(tmp_path / "x.nc")
