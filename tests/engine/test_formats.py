"""Files: what is written is what is read, whole or not at all."""

import csv

import numpy as np
import pytest
import xarray as xr

from engine.fields import Box, Grid, Period, rain
from engine.formats import FORMATS, export
from engine.values import Invalid

GRID = Grid(Box(110, 28, 112, 30), 0.5)


@pytest.fixture
def ensemble():
    values = np.random.default_rng(0).gamma(0.5, 2, (3, 2, *GRID.shape)).astype("f4")
    values[0, 0, 0, 0] = np.nan
    return rain(values, Period("2020-07-01", "2020-07-01T02:00").times, GRID.lat, GRID.lon)


@pytest.mark.parametrize("kind", ["netcdf", "zarr"])
def test_netcdf_and_zarr_round_trip_as_cf(ensemble, tmp_path, kind):
    path = export(ensemble, tmp_path / f"x{FORMATS[kind][0]}", kind, title="here")
    engine = {"netcdf": "h5netcdf", "zarr": "zarr"}[kind]
    with xr.open_dataset(path, engine=engine) as whole:
        np.testing.assert_array_equal(whole.rain.values, ensemble.values)
        assert whole.rain.attrs["units"] == "mm h-1"
        assert whole.time.attrs["bounds"] == "time_bnds"
        assert "time_bnds" in whole
        assert whole.attrs["title"] == "here"


def test_geotiff_has_the_mean_north_up(ensemble, tmp_path):
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(export(ensemble, tmp_path / "x.tif", "geotiff")) as file:
        assert tuple(file.bounds) == (110, 28, 112, 30)
        mean = ensemble.mean("member").isel(time=1).values
        np.testing.assert_allclose(file.read(2)[::-1], mean, rtol=1e-6)
        assert file.sample([(111.75, 29.75)]).__next__()[1] == pytest.approx(mean[-1, -1], rel=1e-6)


def test_csv_has_a_line_a_cell(ensemble, tmp_path):
    path = export(ensemble, tmp_path / "x.csv", "csv")
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert len(rows) == 2 * 4 * 4
    assert rows[0]["time"] == "2020-07-01T01:00Z"
    assert rows[0]["mean_mm_per_h"] == ""  # one member is missing there
    assert float(rows[5]["p50_mm_per_h"]) == pytest.approx(float(ensemble[:, 0, 1, 1].median()), abs=6e-4)


def test_an_existing_file_is_kept_unless_told(ensemble, tmp_path):
    path = tmp_path / "x.nc"
    path.write_text("mine")
    with pytest.raises(Invalid, match="exists"):
        export(ensemble, path, "netcdf")
    assert path.read_text() == "mine"
    export(ensemble, path, "netcdf", replace=True)
    assert path.stat().st_size > 100
    assert [each.name for each in tmp_path.iterdir()] == ["x.nc"]
    with pytest.raises(Invalid, match="no format"):
        export(ensemble, tmp_path / "x", "gif")


def test_a_folder_is_never_replaced_by_a_file(ensemble, tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "a").write_text("mine")
    for kind in ("netcdf", "zarr"):
        with pytest.raises(Invalid, match="is a folder and no Zarr store"):
            export(ensemble, tmp_path / "precious", kind, replace=True)
    assert (tmp_path / "precious" / "a").read_text() == "mine"
    store = export(ensemble, tmp_path / "x.zarr", "zarr")
    assert export(ensemble, store, "zarr", replace=True) == store


def test_coordinates_have_no_fill_value(ensemble, tmp_path):
    path = export(ensemble, tmp_path / "x.nc", "netcdf")
    with xr.open_dataset(path, engine="h5netcdf", mask_and_scale=False) as whole:
        for name in ("lat", "lon", "time", "time_bnds"):
            assert "_FillValue" not in whole[name].attrs, name


def test_a_grid_of_a_twelfth_of_a_degree_is_known_again():
    grid = Grid(Box(100, 20, 125, 45), 1 / 12)
    field = rain(np.zeros((1, *grid.shape)), ["2020"], grid.lat, grid.lon)
    assert Grid.of(field).shape == grid.shape
