"""Readers of radar maps, gauge tables and image stacks: on small files in the layout of real ones."""

import io
import struct

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from PIL import Image

from engine.fields import Box, Observations, Period, check
from engine.formats import export
from engine.intervals import stepped
from engine.reading.regrid import Cells
from engine.sources import cf, geotiff, grib, open_any, opensense, reports
from engine.values import Invalid
from tests.conftest import small_world

FIVE = pd.date_range("2021-08-23T08:50", periods=3, freq="5min")


def projected(path, angle: float = 0.0, **attributes):
    """A map of 40 x 30 pixels of 0.01 degrees, turned; each pixel has its own rain."""
    rows, columns = np.mgrid[:40, :30] * 0.01
    turn = np.radians(angle)
    lat = 50.005 + rows * np.cos(turn) + columns * np.sin(turn)
    lon = 8.005 + columns * np.cos(turn) - rows * np.sin(turn)
    values = np.random.default_rng(0).random((3, 40, 30))
    places = {"latitude": (("y", "x"), lat), "longitude": (("y", "x"), lon)}
    whole = xr.Dataset({"RY": (("time", "y", "x"), values, attributes)}, {"time": FIVE, **places})
    whole.to_netcdf(path, engine="h5netcdf")
    return values


def test_a_map_in_a_projection_comes_to_equal_cells(tmp_path):
    values = projected(tmp_path / "x.nc", units="mm/h")
    found = open_any(tmp_path / "x.nc")
    assert isinstance(found, xr.DataArray)
    assert found.attrs["interval"] == "5min"
    assert list(found.indexes["time"]) == list(FIVE)
    np.testing.assert_allclose(found.values, values, rtol=1e-6)
    np.testing.assert_allclose(found.lat, 50.005 + 0.01 * np.arange(40))


def test_coarse_cells_are_means_and_depths_stamped_at_their_start_are_read_as_told(tmp_path):
    values = projected(tmp_path / "x.nc")
    with pytest.raises(Invalid, match="its rain has no unit"):
        cf.read(tmp_path / "x.nc")
    found = cf.read(tmp_path / "x.nc", unit="mm", stamp="start", step=0.05, box=Box(8, 50, 8.2, 50.3))
    blocks = values.reshape(3, 8, 5, 6, 5).mean((2, 4))[:, :6, :4]
    np.testing.assert_allclose(found.values, 12 * blocks, rtol=1e-5)
    assert list(found.indexes["time"]) == list(FIVE + pd.Timedelta("5min"))


def test_a_turned_map_has_no_holes_and_ends_where_it_ends(tmp_path):
    projected(tmp_path / "x.nc", angle=30, units="mm/h")
    found = cf.read(tmp_path / "x.nc")
    known = np.isfinite(check(found).values[0])
    assert 0.95 < known.sum() / 1200 < 1.15
    rows = np.flatnonzero(known.any(1))
    for row in rows:
        inside = np.flatnonzero(known[row])
        assert len(inside) == np.ptp(inside) + 1


def test_half_of_a_cell_must_be_known():
    lat, lon = np.meshgrid(50.025 + 0.05 * np.arange(4), 8.025 + 0.05 * np.arange(4), indexing="ij")
    cells = Cells(lat, lon, 0.1, None)
    found = cells(np.array([[1, 3, 1, np.nan], [np.nan] * 4, [0] * 4, [1] * 4]))
    np.testing.assert_allclose(found, [[2, np.nan], [0.5, 0.5]])


def test_the_variable_must_be_named_where_two_could_be_meant(tmp_path):
    values = projected(tmp_path / "x.nc", units="mm/h")
    with xr.open_dataset(tmp_path / "x.nc", engine="h5netcdf") as whole:
        whole.load().assign(quality=whole.RY * 0 + 1).to_netcdf(tmp_path / "y.nc", engine="h5netcdf")
    with pytest.raises(Invalid, match="no rain is named; it holds RY"):
        cf.read(tmp_path / "y.nc")
    np.testing.assert_allclose(cf.read(tmp_path / "y.nc", variable="RY"), values, rtol=1e-6)


def test_gauges_in_netcdf_are_read_and_written(tmp_path):
    _, _, gauges = small_world()
    opensense.write(tmp_path / "x.nc", gauges)
    found = open_any(tmp_path / "x.nc")
    assert isinstance(found, Observations)
    assert found.names == gauges.names
    np.testing.assert_allclose(found.values, gauges.values, rtol=1e-6)
    np.testing.assert_array_equal(found.elevation, gauges.elevation)


def test_gauges_by_the_minute_with_heights_as_text(tmp_path):
    about = {
        "latitude": ("id", [52.3, 52.4]),
        "longitude": ("id", [4.7, 365.0]),
        "elevation": ("id", ["2", "?"]),
    }
    amount = xr.DataArray([[0.1, 0.0, 0.3], [np.nan, 0, 0]], dims=("id", "time"))
    times = pd.date_range("2017-07-15", periods=3, freq="1min")
    xr.Dataset({"rainfall_amount": amount}, {"id": ["a", "b"], "time": times, **about}).to_netcdf(
        tmp_path / "x.nc", engine="h5netcdf"
    )
    found = open_any(tmp_path / "x.nc")
    assert isinstance(found, Observations)
    np.testing.assert_allclose(found.values, [[6, 0, 18], [np.nan, 0, 0]], rtol=1e-6)
    np.testing.assert_allclose(found.lon, [4.7, 5.0])
    np.testing.assert_array_equal(found.elevation, [2, np.nan])


def test_a_long_table_in_an_old_encoding(tmp_path):
    path = tmp_path / "x.csv"
    lines = ["time,station_id,rainfall_amount,station_name,longitude,latitude"]
    lines += ["2021-08-23 09:50:00,A1,0.5,Föhr,8.5,54.7", "2021-08-23 09:50:00,A2,,Sylt,8.3,54.9"]
    path.write_bytes("\n".join([*lines, ""]).encode("latin1"))
    with pytest.raises(Invalid, match="interval of the rain is not known"):
        open_any(path)
    found = reports.read(path, interval="30min")
    assert found.names == ["A1", "A2"]
    np.testing.assert_allclose(found.values, [[1.0], [np.nan]])
    (tmp_path / "y.csv").write_text("time,id,lat,lon,wet\n2021-08-23,a,1,2,3\n")
    with pytest.raises(Invalid, match="which column is rain"):
        reports.read(tmp_path / "y.csv")
    assert (
        reports.read(tmp_path / "y.csv", columns={"rain": "wet"}, unit="mm", interval="1D").values == 3 / 24
    )
    with pytest.raises(Invalid, match=r"columns\.colour"):
        reports.read(path, columns={"colour": "x"})


def test_a_wide_table_with_a_table_of_places(tmp_path):
    (tmp_path / "rain.csv").write_text("date,b,a\n1983-01-02,0,24\n1983-01-01,48,\n")
    (tmp_path / "places.csv").write_text("Code,lon,lat,height\na,-70.5,-33,500\nb,-71,-32.5,20\n")
    found = reports.read(tmp_path / "rain.csv", places=tmp_path / "places.csv", unit="mm", stamp="start")
    assert found.names == ["b", "a"]
    assert list(found.rain.indexes["time"]) == [pd.Timestamp("1983-01-02"), pd.Timestamp("1983-01-03")]
    np.testing.assert_allclose(found.values, [[2, 0], [np.nan, 1]])
    np.testing.assert_allclose(found.lat, [-32.5, -33])
    np.testing.assert_allclose(found.elevation, [20, 500])


def test_a_stack_of_maps_says_its_times_or_is_told(tmp_path):
    pytest.importorskip("rasterio")
    truth, _, _ = small_world()
    found = open_any(export(truth, tmp_path / "x.tif", "geotiff"))
    assert isinstance(found, xr.DataArray)
    np.testing.assert_allclose(found.values, truth.values, rtol=1e-6)
    np.testing.assert_array_equal(found.time.values, truth.time.values)
    np.testing.assert_allclose(found.lat, truth.lat)
    with pytest.raises(Invalid, match="its bands say their times; leave start away"):
        geotiff.read(tmp_path / "x.tif", start="1983-01-01", interval="1D")
    stored = stack(tmp_path / "y.tif", 24.0)
    with pytest.raises(Invalid, match="give start and interval"):
        geotiff.read(tmp_path / "y.tif", unit="mm", start="1983-01-01")
    daily = geotiff.read(tmp_path / "y.tif", unit="mm", start="1983-01-01", interval="1D")
    np.testing.assert_allclose(daily.values, stored / 24, rtol=1e-6)
    assert daily.indexes["time"][0] == pd.Timestamp("1983-01-02")


def stack(path, value: float, kind: str = "float32", **about):
    """Two maps of 5 x 6 cells that do not say their times."""
    rasterio = pytest.importorskip("rasterio")
    profile = {"driver": "GTiff", "width": 6, "height": 5, "count": 2, "dtype": kind, "crs": "EPSG:4326"}
    profile["transform"] = rasterio.transform.from_origin(10, 50, 0.1, 0.1)
    values = np.full((2, 5, 6), value, kind)
    with rasterio.open(path, "w", **profile) as file:
        file.write(values)
        for name, given in about.items():
            setattr(file, name, given)
    return values


def test_packed_bands_are_unpacked_and_must_have_one_unit(tmp_path):
    stack(tmp_path / "x.tif", 25, "int16", scales=(0.1, 0.2), offsets=(1, 0), units=("mm/h", "mm/h"))
    found = geotiff.read(tmp_path / "x.tif", start="2020-01-01", interval="1h")
    np.testing.assert_allclose(found.values[:, 0, 0], [3.5, 5], rtol=1e-6)
    stack(tmp_path / "y.tif", 2, units=("mm/h", "mm/day"))
    with pytest.raises(Invalid, match="units mm/h, mm/day"):
        geotiff.read(tmp_path / "y.tif", start="2020-01-01", interval="1h")


@pytest.mark.parametrize("kept", [[2], [0, 1, 5]])
def test_an_export_of_one_time_or_with_a_gap_is_read_as_it_was(tmp_path, kept):
    pytest.importorskip("rasterio")
    truth = small_world()[0].isel(time=kept)
    found = open_any(export(truth, tmp_path / "x.tif", "geotiff"))
    assert isinstance(found, xr.DataArray)
    np.testing.assert_array_equal(found.time.values, truth.time.values)
    np.testing.assert_allclose(found.values, truth.values, rtol=1e-6)
    assert found.attrs["interval"] == "1h"


def message(values: np.ndarray, number: int = 9) -> bytes:
    """A radar mosaic as MRMS writes it, of tenths of mm from -3; rows run from the north."""
    picture = io.BytesIO()
    Image.fromarray(np.round((values + 3) * 10).astype(np.uint16)).save(picture, "png")
    rows, columns = values.shape

    def section(kind: int, content: bytes) -> bytes:
        return struct.pack(">IB", len(content) + 5, kind) + content

    corner = (
        45_995_000,
        266_005_000,
        48,
        45_995_000 - 10_000 * (rows - 1),
        266_005_000 + 10_000 * (columns - 1),
    )
    grid = struct.pack(">BIBBH", 0, rows * columns, 0, 0, 0) + bytes(16) + struct.pack(">II", columns, rows)
    grid += bytes(8) + struct.pack(">iIBiIIIB", *corner, 10_000, 10_000, 0)
    parts = [
        section(1, struct.pack(">HHBBBHBBBBBBB", 161, 0, 255, 0, 1, 2016, 9, 21, 12, 0, 0, 0, 2)),
        section(3, grid),
        section(4, struct.pack(">HHBB", 0, 0, 6, number) + bytes(23)),
        section(5, struct.pack(">IHfHHBB", rows * columns, 41, -30.0, 0, 1, 16, 0)),
        section(6, b"\xff"),
        section(7, picture.getvalue()),
    ]
    body = b"".join(parts) + b"7777"
    return b"GRIB\0\0\xd1\x02" + struct.pack(">Q", len(body) + 16) + body


def test_a_radar_mosaic_in_grib(tmp_path):
    values = np.round(np.random.default_rng(0).gamma(0.5, 4, (5, 7)), 1)
    values[0, 0] = -3
    path = tmp_path / "x"
    path.write_bytes(message(values))
    found = open_any(path)
    assert isinstance(found, xr.DataArray)
    np.testing.assert_allclose(found.values[0], np.where(values < 0, np.nan, values)[::-1], atol=1e-5)
    np.testing.assert_allclose(found.lat, 45.955 + 0.01 * np.arange(5))
    np.testing.assert_allclose(found.lon, -93.995 + 0.01 * np.arange(7))
    assert found.indexes["time"][0] == pd.Timestamp("2016-09-21T12:00")
    assert found.attrs["interval"] == "1h"
    part = grib.read(path, box=Box(-93.98, 45.96, -93.95, 45.98))
    np.testing.assert_array_equal(part, found.sel(lat=slice(45.96, 45.98), lon=slice(-93.98, -93.95)))


@pytest.mark.parametrize(("number", "independent"), [(2, "true"), (9, "false"), (30, "false"), (37, "false")])
def test_hourly_mosaics_say_whether_they_know_gauges(tmp_path, number, independent):
    values = np.array([[-3.0, 0.0], [2.5, 1.0]])
    (tmp_path / "x").write_bytes(message(values, number))
    found = grib.read(tmp_path / "x")
    np.testing.assert_allclose(found.values[0], [[2.5, 1.0], [np.nan, 0.0]], atol=1e-5)
    assert (found.attrs["interval"], found.attrs["independent"]) == ("1h", independent)


def test_grib_that_is_not_known_is_refused(tmp_path):
    (tmp_path / "x").write_bytes(message(np.zeros((4, 5)), number=77))
    with pytest.raises(Invalid, match=r"holds no rain; it holds product \(209, 6, 77\)"):
        open_any(tmp_path / "x")
    (tmp_path / "y").write_bytes(message(np.zeros((4, 5)))[:-20])
    with pytest.raises(Invalid, match="cut off"):
        open_any(tmp_path / "y")


def test_real_radar_and_gauges_agree_over_germany(shared):
    folder = shared / "radolan_ry_dwd_gauges"
    if not folder.is_dir():
        pytest.skip("no radolan_ry_dwd_gauges")
    path, box = folder / "radolan_ry_data_compressed.nc", Box(9, 47.5, 12, 50)
    radar = cf.read(path, unit="mm", stamp="start", box=box)
    period = Period("2021-08-23T08:50", "2021-08-23T09:50")  # pyright: ignore[reportArgumentType]
    gauges = reports.read(folder / "radolan_rain_gauge_data.csv", interval="1h")
    assert len(gauges) == 1142
    inside = gauges.inside(box)
    at = {"lat": xr.DataArray(inside.lat, dims="gauge"), "lon": xr.DataArray(inside.lon, dims="gauge")}
    read = stepped("radar", radar, period).interp(at).values[0]
    told = inside.values[np.isfinite(read), 0]
    read = read[np.isfinite(read)]
    assert len(read) > 30
    assert np.corrcoef(read, told)[0, 1] > 0.6
    assert 0.5 < read.mean() / told.mean() < 2  # a wrong unit would be off by twelve


def test_real_tables_of_r(shared):
    pytest.importorskip("rdata")
    folder = shared / "rfmerge_valparaiso" / "data"
    if not folder.is_dir():
        pytest.skip("no rfmerge_valparaiso")
    found = reports.read(
        folder / "ValparaisoPPts.RData", folder / "ValparaisoPPgis.RData", unit="mm", stamp="start"
    )
    assert found.values.shape == (34, 243)
    assert found.rain.indexes["time"][0] == pd.Timestamp("1983-01-02")
    assert np.nanmax(found.values) == pytest.approx(89 / 24)
