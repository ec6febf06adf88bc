"""Sources: cases, files, and what a method may see of them."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from engine.fields import Observations, check, rain
from engine.formats import export
from engine.given import evidence, held_out
from engine.runs import Store
from engine.sources import cases, digest, layer, open_any, readers
from engine.tasks import Task
from engine.values import Invalid
from tests.conftest import small_world


def test_a_case_gives_back_what_was_put_in(small):
    truth, _, gauges = small_world()
    found = layer("small/truth")
    assert isinstance(found, xr.DataArray)
    np.testing.assert_allclose(found.values, truth.values, atol=0.0051)
    np.testing.assert_array_equal(found.time.values, truth.time.values)
    read = layer("small/gauges")
    assert isinstance(read, Observations)
    assert read.names == gauges.names
    np.testing.assert_array_equal(read.lat, gauges.lat)
    assert cases()["small"].box.west == 110
    with pytest.raises(Invalid, match="no such layer; it has truth, satellite, gauges"):
        layer("small/radar")


def test_packed_steps_are_the_values_that_thresholds_name(small):
    for name in ("front/gauges", "front/truth"):
        found = layer(name)
        values = found.values[np.isfinite(found.values)]
        hundredths = np.round(values * 100).astype(int)
        assert (values == (hundredths / 100).astype(np.float32)).all()
    tips = layer("front/gauges").values
    assert (tips[np.isclose(tips, 0.2)] >= np.float32(0.2)).all()


def test_the_embedded_case_is_whole():
    case = cases()["front"]
    assert case.about["simulated"] == "true"
    assert "imulated" in case.title
    for name, about in case.layers.items():
        found = case.layer(name)
        assert ("imulated" in about["title"]) or name == "sea", f"{name} does not say that it is simulated"
        if about["kind"] == "field":
            assert isinstance(found, xr.DataArray)
            check(found)
            assert found.sizes["time"] == 48
            assert float(found.min()) >= 0
    gauges = case.layer("gauges")
    assert isinstance(gauges, Observations)
    assert 600 <= len(gauges) <= 1000
    assert case.path.stat().st_size < 15e6


def test_held_out_gauges_and_references_are_never_in_the_evidence(task):
    whole = Task.of(
        task.as_entries() | {"sources": ["small/satellite", {"name": "small/truth", "role": "reference"}]}
    )
    seen, kept = evidence(whole), held_out(whole)
    assert seen.gauges is not None
    assert kept is not None
    assert not set(seen.gauges.names) & set(kept.names)
    assert len(seen.gauges) + len(kept) == 40
    assert list(seen.of("background")) == ["small/satellite"]
    assert seen.of("reference") == {}


def test_what_judges_is_never_evidence(task):
    seeing = Task.of(task.as_entries() | {"sources": ["small/truth"]})
    with pytest.raises(Invalid, match="source small/truth: judges its case; name it with role: reference"):
        evidence(seeing)


def test_a_history_is_the_whole_of_a_source(small, task):
    told = task.as_entries()
    told |= {"sources": ["small/satellite", {"name": "small/satellite", "role": "history"}]}
    start, end = task.period.times[0], task.period.times[1]
    told |= {"period": {"start": start, "end": end, "step": "1h"}}
    seen = evidence(Task.of(told))
    times = seen.of("history")["small/satellite"].indexes["time"]
    assert list(times) == list(layer("small/satellite").indexes["time"])
    assert seen.of("background")["small/satellite"].sizes["time"] == 1


def test_a_digest_follows_the_content(small, home):
    before = digest("small/truth")
    assert digest("small/satellite") == before  # one file
    path = home / "cases" / "small.nc"
    path.write_bytes(path.read_bytes() + b"x")
    assert digest("small/truth") != before


@pytest.mark.parametrize("reader", readers(), ids=lambda reader: reader.__name__)
def test_every_reader_keeps_the_contract(reader, tmp_path):
    assert reader.__doc__
    assert reader.TITLE
    for number, junk in enumerate((b"", b"lat,lon\n1,2\n", bytes(range(256)))):
        path = tmp_path / f"junk{number}.nc"
        path.write_bytes(junk)
        assert reader.sniff(path) is False
    assert reader.sniff(tmp_path) is False


@pytest.mark.parametrize("kind", ["netcdf", "zarr"])
def test_what_we_export_we_read(tmp_path, kind):
    truth, _, _ = small_world()
    path = export(truth, tmp_path / "name-says-nothing", kind)
    found = open_any(path)
    assert isinstance(found, xr.DataArray)
    np.testing.assert_array_equal(found.values, truth.values)
    assert found.attrs["interval"] == "1h"


def test_a_foreign_file_is_turned_round(tmp_path):
    truth, _, _ = small_world()
    hours = truth.time.values
    foreign = xr.Dataset(
        {"pr": (("time", "latitude", "longitude"), truth.values[:, ::-1] / 3600, {"units": "kg m-2 s-1"})},
        {"time": hours, "latitude": truth.lat.values[::-1], "longitude": truth.lon.values + 360},
    )
    foreign.to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    found = open_any(tmp_path / "x.nc")
    assert isinstance(found, xr.DataArray)
    np.testing.assert_allclose(found.values, truth.values, rtol=1e-5)
    np.testing.assert_allclose(found.lon.values, truth.lon.values)


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        (
            {"t2m": (("time", "lat", "lon"), np.zeros((2, 3, 3)), {"units": "K"})},
            r"no rain is named; it holds t2m \(K\)",
        ),
        ({"tp": (("time", "lat", "lon"), np.zeros((2, 3, 3)), {"units": "furlongs"})}, "'furlongs'"),
        ({"pr": (("time", "y", "x"), np.zeros((2, 3, 3)), {"units": "mm/h"})}, "regrid it first"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(tmp_path, variables, told):
    coordinates = {
        "time": np.array(["2020-01-01T01", "2020-01-01T02"], "M8[ns]"),
        "lat": [0, 1, 2],
        "lon": [0, 1, 2],
    }
    xr.Dataset(variables, coordinates).to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    with pytest.raises(Invalid, match=told):
        open_any(tmp_path / "x.nc")
    (tmp_path / "y.nc").write_text("not a file of ours")
    with pytest.raises(Invalid, match="of no kind that is read here"):
        open_any(tmp_path / "y.nc")


def test_a_run_is_a_source_too(task, home):
    store = Store()
    name = store.add(task, task.hash, {}, {}).id
    store.prepare(name, task)
    store.commit(name, 0, np.ones((6, 16, 16), np.float32))
    found = open_any(store.folder(name) / "ensemble.zarr")
    store.close()
    assert isinstance(found, xr.DataArray)
    assert found.dims == ("member", "time", "lat", "lon")


def test_a_source_that_covers_a_part_is_missing_elsewhere(task):
    wide = Task.of(task.as_entries() | {"domain": [108, 27, 115, 33]})
    seen = evidence(wide).of("background")["small/satellite"]
    check(seen)
    assert float(seen.lon[0]) < 108
    assert float(seen.lat[-1]) > 33
    inside = seen.sel(lat=slice(28, 32), lon=slice(110, 114))
    assert np.isfinite(inside).all()
    assert int(np.isfinite(seen).sum()) == inside.size


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda one: one.assign_coords(lon=[178.0, 179, 180, 181]), "crosses the 180 degree meridian"),
        (lambda one: one.assign_coords(lon=[100.0, 101, 105, 120]), "not equally wide"),
        (lambda one: one.where(one.rain > 0.5, -9999.0), "which is no rain"),
        (lambda one: one.where(one.rain > 0.5, np.inf), "which is no rain"),
        (lambda one: one.isel(time=[0, 0]), "not evenly spaced"),
    ],
)
def test_impossible_fields_are_refused(tmp_path, change, told):
    rain = np.random.default_rng(0).random((2, 3, 4))
    times = np.array(["2020-01-01T01", "2020-01-01T02"], "M8[ns]")
    axes = {"time": times, "lat": [0.0, 1, 2], "lon": [0.0, 1, 2, 3]}
    whole = xr.Dataset({"rain": (("time", "lat", "lon"), rain, {"units": "mm"})}, axes)
    changed = change(whole)
    changed.rain.attrs["units"] = "mm"
    changed.rain.encoding["_FillValue"] = None
    changed.to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    with pytest.raises(Invalid, match=told):
        open_any(tmp_path / "x.nc")


def test_descending_times_are_turned_round(tmp_path):
    truth, _, _ = small_world()
    hours = truth.isel(time=slice(None, None, -1)).drop_attrs().assign_attrs(units="mm")
    hours.to_dataset(name="rain").to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    found = open_any(tmp_path / "x.nc")
    assert isinstance(found, xr.DataArray)
    np.testing.assert_allclose(found.values, truth.values)


def test_damage_is_told_in_one_line(tmp_path, home):
    truth, _, _ = small_world()
    path = export(truth, tmp_path / "x.nc", "netcdf")
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(Invalid, match="may be damaged") as refused:
        open_any(path)
    assert "\n" not in str(refused.value)
    (home / "cases").mkdir(parents=True, exist_ok=True)
    (home / "cases" / "oops.nc").write_text("junk")
    assert "front" in cases()
    assert "oops" not in cases()


@pytest.mark.parametrize("name", ["~nobody-here/x", "x" * 5000, "a\0b"])
def test_names_no_file_can_have_are_refused(name):
    with pytest.raises(Invalid, match="no file"):
        layer(name)


def test_finer_intervals_make_those_of_the_task(task, tmp_path):
    """Half hours and five minutes, in a task of hours; three hours in it are refused."""
    hours = layer("small/satellite")
    assert isinstance(hours, xr.DataArray)
    halves = np.repeat(hours.values, 2, axis=0)
    halves[::2] *= 0.5
    halves[1::2] *= 1.5
    times = pd.date_range("2020-07-01T00:30", periods=12, freq="30min")
    export(rain(halves, times, hours.lat, hours.lon, interval="30min"), tmp_path / "x.nc", "netcdf")
    plain = evidence(task)
    finer = evidence(Task.of(task.as_entries() | {"sources": [str(tmp_path / "x.nc")]}))
    (wanted,), (found,) = (each.of("background").values() for each in (plain, finer))
    np.testing.assert_allclose(found.values, wanted.values, rtol=1e-5, atol=1e-6)
    assert found.attrs["interval"] == "1h"
    export(rain(halves[:2], times[[5, 11]], hours.lat, hours.lon, interval="3h"), tmp_path / "y.nc", "netcdf")
    with pytest.raises(Invalid, match="speaks of intervals of 3h, the task of 1h; choose a step"):
        evidence(Task.of(task.as_entries() | {"sources": [str(tmp_path / "y.nc")]}))
