"""IMERG granules: small files in the layouts of version 6 and 7, of their subsets, and of the real ones."""

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from engine.fields import Box, check
from engine.quantities import notes
from engine.sources import imerg, open_any
from engine.values import Invalid

MISSING = np.float32(-9999.9)
START = pd.Timestamp("2020-07-01T12:00")
EPOCHS = {6: pd.Timestamp("1970-01-01"), 7: pd.Timestamp("1980-01-06")}


def granule(path, version=7, run="", kind="HHR", span="HALF_HOUR", group="Grid", start=START, bounds=True):
    """Six columns and four rows, stored column by column; the value of a cell is its number."""
    numbers = np.arange(24, dtype=np.float32).reshape(4, 6)
    stored = np.where(numbers == 5, MISSING, numbers / 8).T[None]
    unit = f"seconds since {EPOCHS[version]:%Y-%m-%d %H:%M:%S} UTC".encode()
    begun = int((start - EPOCHS[version]).total_seconds())
    long = {"HALF_HOUR": 1800, "DAY": 86399, "MONTH": 31 * 86400}[span]
    with h5py.File(path, "w") as file:
        name = f"3B-{kind}{run}.MS.MRG.3IMERG.20200701-S120000-E122959.0720.V0{version}B.HDF5"
        header = f"DOI=10.5067/GPM/IMERG;\nFileName={name};\nTimeInterval={span};\n"
        file.attrs["FileHeader"] = np.bytes_(header)
        grid = file.create_group(group) if group else file
        for axis, values in (
            ("time", np.array([begun], "i4")),
            ("lon", (100.05 + 0.1 * np.arange(6)).astype("f4")),
            ("lat", (-0.15 + 0.1 * np.arange(4)).astype("f4")),
        ):
            grid[axis] = values
            grid[axis].make_scale(axis)
        grid["time"].attrs["units"] = unit
        if bounds:
            grid["time_bnds"] = np.array([[begun, begun + long]], "i4")
            grid["time_bnds"].attrs["units"] = unit
        rain, before = (
            ("precipitationCal", "precipitationUncal")
            if version == 6
            else ("precipitation", "Intermediate/precipitationUncal")
        )
        for called, values in ((rain, stored), (before, np.where(stored == MISSING, stored, stored / 2))):
            grid[called] = values
            grid[called].attrs["units"] = np.bytes_("mm/hr")
            grid[called].attrs["_FillValue"] = MISSING
        grid["precipitationQualityIndex"] = np.ones((1, 6, 4), "f4")
    return path


def values():
    numbers = np.arange(24, dtype=np.float32).reshape(1, 4, 6) / 8
    return np.where(numbers == 5 / 8, np.nan, numbers)


@pytest.mark.parametrize("version", [6, 7])
@pytest.mark.parametrize("group", ["Grid", ""])
def test_a_granule_is_turned_round_and_stamped_at_its_end(tmp_path, version, group):
    path = granule(tmp_path / "x", version, group=group)
    assert imerg.sniff(path)
    found = open_any(path)
    assert isinstance(found, xr.DataArray)
    check(found)
    np.testing.assert_array_equal(found.values, values())
    assert found.values.dtype == np.float32
    np.testing.assert_array_equal(found.lat, [-0.15, -0.05, 0.05, 0.15])
    np.testing.assert_array_equal(found.lon, [100.05, 100.15, 100.25, 100.35, 100.45, 100.55])
    assert list(found.indexes["time"]) == [START + pd.Timedelta("30min")]
    assert found.attrs["interval"] == "30min"
    assert found.attrs["independent"] == "false"
    assert "adjusted to the gauge analysis" in found.attrs["notes"]


@pytest.mark.parametrize(("run", "told"), [("-E", "Early"), ("-L", "Late")])
def test_early_and_late_runs_say_that_they_know_a_climatology_of_gauges(tmp_path, run, told):
    found = open_any(granule(tmp_path / "x", run=run))
    assert isinstance(found, xr.DataArray)
    assert "independent" not in found.attrs
    assert any(told in line and "climatology" in line for line in notes(found))


@pytest.mark.parametrize("version", [6, 7])
def test_the_estimate_before_gauges_is_named(tmp_path, version):
    found = imerg.read(granule(tmp_path / "x", version), variable="precipitationUncal")
    np.testing.assert_array_equal(found.values, values() / 2)
    assert found.attrs["independent"] == "true"
    with pytest.raises(Invalid, match=r"has no 'precipitationQualityIndex' in mm/hr; name one of .*precip"):
        imerg.read(tmp_path / "x", variable="precipitationQualityIndex")


def test_a_part_in_a_box(tmp_path):
    found = imerg.read(granule(tmp_path / "x"), box=Box(100.1, -0.1, 100.4, 0.1))
    np.testing.assert_array_equal(found.values, values()[:, 1:3, 1:4])
    with pytest.raises(Invalid, match="does not reach"):
        imerg.read(tmp_path / "x", box=Box(10, 40, 20, 50))


def test_a_large_granule_is_read_when_it_is_looked_at(tmp_path, monkeypatch):
    path = granule(tmp_path / "x")
    monkeypatch.setattr(imerg, "LAZY", 10)
    found = imerg.read(path)
    assert found.chunks is not None
    np.testing.assert_array_equal(found.isel(lat=2).values, values()[:, 2])


def test_days_and_months_last_as_long_as_they_do(tmp_path):
    day = imerg.read(granule(tmp_path / "x", kind="DAY", span="DAY", start=pd.Timestamp("2020-07-01")))
    assert day.attrs["interval"] == "24h"
    assert day.indexes["time"][0] == pd.Timestamp("2020-07-02")
    for bounds in (True, False):
        first = pd.Timestamp("2020-07-01")
        month = imerg.read(
            granule(tmp_path / "y", kind="MO", span="MONTH", start=first, bounds=bounds), box=None
        )
        assert month.indexes["time"][0] == pd.Timestamp("2020-08-01")
        np.testing.assert_array_equal(month.values, values())


def test_without_bounds_the_header_or_the_reader_says_how_long(tmp_path):
    assert imerg.read(granule(tmp_path / "x", bounds=False)).attrs["interval"] == "30min"
    with h5py.File(tmp_path / "x", "a") as file:
        file.attrs["FileHeader"] = "3IMERG"
    with pytest.raises(Invalid, match="does not say how long its rain lasted; give interval"):
        open_any(tmp_path / "x")
    found = open_any(tmp_path / "x", interval="30min")
    assert isinstance(found, xr.DataArray)
    assert "does not say which IMERG run" in found.attrs["notes"]


def test_a_row_a_variable(tmp_path):
    rows = {row["name"]: row for row in imerg.contents(granule(tmp_path / "x"))}
    assert rows["precipitation"]["taken for"] == "rain"
    assert rows["Intermediate/precipitationUncal"]["taken for"] == "rain, another estimate"
    assert rows["precipitationQualityIndex"]["taken for"] == "other"
    assert rows["precipitation"]["shape"] == (1, 6, 4)


def test_what_is_no_granule_is_left_to_others(tmp_path):
    with h5py.File(tmp_path / "x", "w") as file:
        for axis in ("time", "lat", "lon"):
            file[axis] = np.arange(2.0)
        file["precipitation"] = np.zeros((2, 2, 2))
    assert not imerg.sniff(tmp_path / "x")
    path = granule(tmp_path / "y")
    with h5py.File(path, "a") as file:
        file["Grid/time"].attrs["units"] = "fortnights"
    with pytest.raises(Invalid, match="unit 'fortnights', which names no epoch"):
        open_any(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(Invalid, match="may be damaged"):
        open_any(path)


def test_a_real_granule_of_nothing_is_missing_and_says_so(shared):
    name = "3B-HHR.MS.MRG.3IMERG.20000601-S000000-E002959.0000.V06B.HDF5"
    found = sorted((shared / "imerg_granules_cut").rglob(name))
    if not found:
        pytest.skip("no imerg_granules_cut")
    field = open_any(found[0])
    assert isinstance(field, xr.DataArray)
    assert field.shape == (1, 10, 10)
    assert np.isnan(field.values).all()
    assert field.indexes["time"][0] == pd.Timestamp("2000-06-01T00:30")
    assert "all 100 values are missing" in notes(field)
