"""ERA5 in NetCDF and ZIP: layouts of the Climate Data Store, made small where no real file is at hand."""

import zipfile

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from engine.fields import Period
from engine.intervals import stepped
from engine.quantities import notes
from engine.reading import netcdf
from engine.reading.gathering import totals
from engine.sources import era5, open_any, reader_of
from engine.values import Invalid

CENTRE = "European Centre for Medium-Range Weather Forecasts"
HOURS = pd.date_range("2023-06-01T01:00", periods=72, freq="1h")
DAILY = "earthkit.transforms.aggregate.temporal.daily_reduce(total_precipitation_stream-oper, how={}, **{})"


def depths(times=HOURS, seed: int = 0) -> np.ndarray:
    """Rain of each hour in m over (time, lat, lon): it comes and goes."""
    random = np.random.default_rng(seed)
    wet = random.random((len(times), 1, 1)) < 0.5
    return np.round(random.gamma(0.5, 2e-3, (len(times), 3, 4)) * wet, 6)


def stored(variables: dict, times=HOURS, stream: str | None = "oper", step: float = 0.25, **more):
    """As the store writes it since 2024: north to south, the version of each hour beside it."""
    dims = ("valid_time", "latitude", "longitude")
    axes = {
        "valid_time": times,
        "latitude": 20 - step * np.arange(3),
        "longitude": (77 + step * np.arange(4)),
        "expver": ("valid_time", ["0001"] * len(times)),
        "number": 0,
    }
    named = {
        name: (dims, values[:, ::-1], {"units": unit, "GRIB_shortName": name})
        for name, (values, unit) in variables.items()
    }
    about = {"institution": CENTRE, "GRIB_centre": "ecmf", "history": more.pop("history", "")}
    if stream:
        about["history"] = f'cfgrib-0.9.15.1 with {{"filter_by_keys": {{"stream": ["{stream}"]}}}}'
    return xr.Dataset(named, axes | more, about)


def written(path, whole: xr.Dataset):
    whole.to_netcdf(path, engine="h5netcdf")
    return path


@pytest.fixture
def file(tmp_path):
    return lambda *args, **more: written(tmp_path / "x.nc", stored(*args, **more))


def test_depths_of_hours_are_turned_round_and_the_stamp_is_the_end(file):
    values = depths()
    path = file({"tp": (values, "m"), "cp": (values / 2, "m"), "z": (values, "m**2 s**-2")})
    assert reader_of(path) is era5
    found = open_any(path)
    np.testing.assert_allclose(found.values, 1000 * values, rtol=1e-6)
    assert list(found.indexes["time"]) == list(HOURS)
    assert (found.attrs["interval"], found.attrs["units_found"], notes(found)) == ("1h", "m", [])
    np.testing.assert_allclose(found.lat, [19.5, 19.75, 20])
    convective = open_any(path, variable="cp")
    np.testing.assert_allclose(convective.values, 500 * values, rtol=1e-6)
    assert notes(convective) == ["the convective part of the rain only"]
    kinds = {row["name"]: (row["unit"], row["shape"], row["taken for"]) for row in era5.contents(path)}
    shape = (72, 3, 4)
    assert kinds == {
        "tp": ("m", shape, "rain"),
        "cp": ("m", shape, "rain"),
        "z": ("m**2 s**-2", shape, "other"),
    }
    with pytest.raises(Invalid, match="'z' is of no quantity known here"):
        open_any(path, variable="z")
    with pytest.raises(Invalid, match=r"has no humidity; it holds tp \(m\), cp \(m\), z"):
        open_any(path, variable="humidity")


def test_an_hour_is_an_hour_however_far_apart_the_stamps_are(file):
    times = pd.date_range("2023-06-01", periods=8, freq="6h")
    values = depths(times)
    found = open_any(file({"tp": (values, "m")}, times))
    np.testing.assert_allclose(found.values, 1000 * values, rtol=1e-6)
    assert found.attrs["interval"] == "1h"
    assert notes(found) == ["each value is of the hour before its stamp"]
    unsaid = file({"tp": (values, "m")}, times, stream=None)
    with pytest.raises(Invalid, match="does not say over how long its values gathered; give interval"):
        open_any(unsaid)
    np.testing.assert_allclose(open_any(unsaid, interval="6h"), 1000 / 6 * values, rtol=1e-6)


def test_the_ensemble_gathers_over_three_hours(tmp_path):
    times = pd.date_range("2023-06-01", periods=4, freq="3h")
    one = stored({"tp": (depths(times), "m")}, times, stream="enda").drop_vars("number")
    many = xr.concat([one, 2 * one], xr.DataArray([0, 1], dims="number", name="number"), data_vars="all")
    found = open_any(written(tmp_path / "x.nc", many.assign_attrs(one.attrs)))
    assert found.dims == ("member", "time", "lat", "lon")
    np.testing.assert_allclose(found[1].values, 2000 / 3 * depths(times), rtol=1e-6)
    assert found.attrs["interval"] == "3h"


@pytest.mark.parametrize("stream", ["moda", None])
def test_a_month_has_metres_per_day_and_is_stamped_at_its_start(file, stream):
    times = pd.DatetimeIndex(["2023-02-01", "2023-03-01"])
    values = depths(times)
    path = file({"tp": (values, "m"), "mtpr": (values, "kg m**-2 s**-1")}, times, stream=stream)
    found = open_any(path)
    np.testing.assert_allclose(found.values, 1000 / 24 * values, rtol=1e-6)
    assert list(found.indexes["time"]) == list(pd.DatetimeIndex(["2023-03-01", "2023-04-01"]))
    assert found.attrs["interval"] == "1mo"
    np.testing.assert_allclose(open_any(path, variable="mtpr"), 3600 * values, rtol=1e-6)
    with pytest.raises(Invalid, match="calendar months"):
        stepped("x", found, Period("2023-02-01", "2023-03-01", "1h"))  # pyright: ignore[reportArgumentType]
    alone = file({"tp": (values[:1], "m")}, times[:1], stream=None)
    with pytest.raises(Invalid, match="give interval, as 1h or 1mo"):
        open_any(alone)
    np.testing.assert_allclose(open_any(alone, interval="1mo"), 1000 / 24 * values[:1], rtol=1e-6)


@pytest.mark.parametrize("stream", ["mnth", None])
def test_means_by_hour_of_day_are_refused(file, stream):
    times = pd.DatetimeIndex([f"2023-{month:02d}-01T{hour:02d}" for month in (1, 2) for hour in range(24)])
    with pytest.raises(Invalid, match="means over a month by hour of day"):
        open_any(file({"tp": (depths(times), "m")}, times, stream=stream))


@pytest.mark.parametrize(
    ("how", "shift", "factor", "last"),
    [
        ("sum", "{'time_shift': {'hours': -1}}", 1000 / 24, "2023-06-03T00:00"),
        ("mean", "{}", 1000, "2023-06-03T00:00"),
        (
            "sum",
            "{'time_shift': {'hours': 7}, 'remove_partial_periods': True}",
            1000 / 24,
            "2023-06-02T16:00",
        ),
    ],
)
def test_daily_statistics_are_stamped_at_the_start_of_their_day(file, how, shift, factor, last):
    times = pd.date_range("2023-06-01", periods=2, freq="1D")
    history = DAILY.format(how, shift)
    found = open_any(file({"tp": (depths(times), "m")}, times, stream=None, history=history))
    np.testing.assert_allclose(found.values, factor * depths(times), rtol=1e-6)
    assert found.attrs["interval"] == "24h"
    assert found.indexes["time"][-1] == pd.Timestamp(last)
    assert ("UTC+8" in notes(found)[0]) == ("7" in shift)


def test_extremes_of_days_are_no_means(file):
    times = pd.date_range("2023-06-01", periods=2, freq="1D")
    with pytest.raises(Invalid, match="holds the max of each day"):
        open_any(file({"tp": (depths(times), "m")}, times, stream=None, history=DAILY.format("max", "{}")))


def since_midnight(values: np.ndarray, times: pd.DatetimeIndex) -> np.ndarray:
    day = (times - pd.Timedelta("1ns")).normalize()
    return pd.DataFrame(values.reshape(len(times), -1)).groupby(day).cumsum().to_numpy().reshape(values.shape)


@pytest.mark.parametrize("step", [0.1, 0.25])
@pytest.mark.parametrize("large", [False, True])
def test_totals_since_midnight_become_the_rain_of_hours(file, monkeypatch, step, large):
    monkeypatch.setattr(netcdf, "SMALL_BYTES", 0 if large else 10**6)
    values = depths()
    values[:, 0, 0] = np.nan  # sea
    total = since_midnight(values, HOURS)
    late = np.r_[5:40, 44:72]  # begins within a day, and has a gap
    found = open_any(file({"tp": (total[late], "m")}, HOURS[late], step=step))
    assert (found.chunks is not None) == large
    kept = np.r_[6:40, 45:72]
    assert list(found.indexes["time"]) == list(HOURS[kept])
    np.testing.assert_allclose(found.values, 1000 * values[kept], atol=2e-5)
    assert "2 times are left out: the total before them is not in the file" in notes(found)
    assert found.attrs["interval"] == "1h"


def test_totals_every_three_hours_become_the_rain_of_three_hours(file):
    values = depths()
    total = since_midnight(values, HOURS)[2::3]
    found = open_any(file({"tp": (total, "m")}, HOURS[2::3], step=0.1))
    np.testing.assert_allclose(found, 1000 * values.reshape(24, 3, 3, 4).mean(1), atol=2e-5)
    assert found.attrs["interval"] == "3h"


def test_what_may_be_totals_must_be_told(file):
    midnight = file({"tp": (since_midnight(depths(), HOURS)[23::24], "m")}, HOURS[23::24], step=0.1)
    with pytest.raises(Invalid, match="like ERA5-Land, whose depths are totals since 00 UTC"):
        open_any(midnight)
    days = depths().reshape(3, 24, 3, 4).mean(1)
    np.testing.assert_allclose(open_any(midnight, interval="24h"), 1000 * days, rtol=1e-5)
    with pytest.raises(Invalid, match="totals of a forecast"):
        open_any(file({"tp": (depths().cumsum(0), "m")}))


@pytest.mark.parametrize("sums", [True, False])
def test_a_short_forecast_that_adds_up_is_refused_and_hours_of_one_are_not(tmp_path, sums):
    times = pd.date_range("2023-06-01T13:00", periods=4, freq="1h")
    fell = depths(HOURS)[:4] + 1e-3 * np.array([1, 0, 1, 0])[:, None, None]
    whole = stored({"tp": (fell.cumsum(0) if sums else fell, "m")}, times)
    path = written(tmp_path / "x.nc", whole.assign_coords(step=("valid_time", np.arange(1, 5))))
    if sums:
        with pytest.raises(Invalid, match="its depths grow from step to step: totals of a forecast"):
            era5.read(path)
    else:
        np.testing.assert_allclose(era5.read(path).values, 1000 * fell, atol=1e-4)


def test_rain_of_hours_is_never_taken_for_totals():
    for seed in range(20):
        for begin, end in ((0, 24), (3, 9), (12, 60)):
            axes = {"time": HOURS[begin:end], "lat": [0.0, 0.25, 0.5], "lon": [0.0, 0.25, 0.5, 0.75]}
            one = xr.DataArray(depths(seed=seed)[begin:end], axes, ("time", "lat", "lon"))
            assert not totals(one, 1000.0, False, False, "f")


@pytest.mark.parametrize("large", [False, True])
def test_two_versions_become_one_and_the_preliminary_hours_are_told(tmp_path, monkeypatch, large):
    monkeypatch.setattr(netcdf, "SMALL_BYTES", 0 if large else 10**6)
    values, early = depths(), np.arange(72) >= 60
    split = [np.where(early[:, None, None] == late, values, np.nan)[:, None, ::-1] for late in (True, False)]
    axes = {"time": HOURS, "expver": [5, 1], "latitude": [20.0, 19, 18], "longitude": [357.0, 358, 359, 360]}
    tp = (tuple(axes), np.concatenate(split, 1), {"units": "m", "long_name": "Total precipitation"})
    found = open_any(written(tmp_path / "x.nc", xr.Dataset({"tp": tp}, axes)))
    np.testing.assert_allclose(found.values, 1000 * values, rtol=1e-6)
    np.testing.assert_array_equal(found.lon, [-3, -2, -1, 0])
    told = "12 times are preliminary (ERA5T), from 2023-06-03T13:00 to 2023-06-04T00:00"
    assert notes(found)[0] == told
    beside = stored({"tp": (values, "m")}, expver=("valid_time", np.where(early, "0005", "0001")))
    assert notes(open_any(written(tmp_path / "y.nc", beside)))[0] == told


def test_what_packing_leaves_where_it_is_dry_is_zero(tmp_path):
    scale, offset = 9.275087750622181e-08, 0.003039075252368865
    raw = np.full((72, 3, 4), -32766, "i2")  # 9e-19 m
    raw[5], raw[6, 0, 0], raw[7] = 100, -32767, -32768
    axes = {"time": HOURS, "latitude": [20.0, 19, 18], "longitude": [77.0, 78, 79, 80]}
    about = {"scale_factor": scale, "add_offset": offset, "_FillValue": np.int16(-32767), "units": "m"}
    whole = xr.Dataset({"tp": (tuple(axes), raw, about)}, axes, {"history": "by grib_to_netcdf-2.23.0"})
    path = tmp_path / "x.nc"
    whole.to_netcdf(path, engine="scipy", format="NETCDF3_64BIT")
    assert path.read_bytes()[:4] == b"CDF\x02"
    found = open_any(path)
    assert (found.values[:5] == 0).all()
    assert np.isnan(found.values[6, 2, 0])
    np.testing.assert_allclose(found.values[5], 1000 * (100 * scale + offset), rtol=1e-6)
    tiny, below = notes(found)
    assert tiny == "839 values are zero here: packing leaves as much where it is dry"
    assert below == "12 values below zero are zero here: packing leaves as much"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(Invalid, match="cut off or damaged"):
        open_any(path)


def test_a_large_file_is_read_late(file, monkeypatch):
    monkeypatch.setattr(netcdf, "SMALL_BYTES", 0)
    found = open_any(file({"tp": (depths() + 1e-19, "m")}))
    assert found.chunks is not None
    assert "packing leaves where it is dry" in notes(found)[0]
    np.testing.assert_allclose(found.values, 1000 * depths(), rtol=1e-6)
    assert (found.values[depths() == 0] == 0).all()


def test_a_zip_gives_what_is_in_any_of_its_files(tmp_path):
    winds = np.random.default_rng(1).normal(0, 5, (72, 3, 4))
    members = [written(tmp_path / "a.nc", stored({"u10": (winds, "m s**-1")}))]
    members.append(written(tmp_path / "b.nc", stored({"tp": (depths(), "m")})))
    path = tmp_path / "x.nc"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for kind, member in zip(("instant", "accum"), members, strict=True):
            file.write(member, f"data_stream-oper_stepType-{kind}.nc")
    assert reader_of(path) is era5
    np.testing.assert_allclose(open_any(path), 1000 * depths(), rtol=1e-6)
    wind = open_any(path, variable="wind_u")
    np.testing.assert_allclose(wind, winds, rtol=1e-6)
    assert notes(wind) == ["its values hold at their stamps; they stand for the 1h before"]
    assert list(wind.indexes["time"]) == list(HOURS)
    assert [row["taken for"] for row in era5.contents(path)] == ["rain", "wind_u"]
    with pytest.raises(Invalid, match=r"has no pressure; it holds tp \(m\), u10 \(m s\*\*-1\)"):
        open_any(path, variable="pressure")
    with zipfile.ZipFile(path, "a") as file:
        file.write(members[1], "data_stream-enda_stepType-accum.nc")
    told = "several of its files hold rain: data_stream-enda_stepType-accum.nc, data_stream-oper"
    with pytest.raises(Invalid, match=told):
        open_any(path)


def test_a_zip_that_climbs_or_swells_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(era5, "SMALL_BYTES", 10**6)
    member = written(tmp_path / "a.nc", stored({"tp": (depths(), "m")})).read_bytes()
    path = tmp_path / "inner" / "x.nc"
    path.parent.mkdir()
    for name, more, told in (
        ("../climbed.nc", b"", "would be written elsewhere"),
        ("x.nc", bytes(2 * 10**7), "unpacks to more than"),
    ):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr(name, member)
            file.writestr("y.nc", more)
        with pytest.raises(Invalid, match=told):
            era5.read(path)
    assert not list(tmp_path.rglob("climbed.nc"))
    path.write_bytes(path.read_bytes()[: len(member) // 2])
    assert era5.sniff(path) is False


def test_moisture_divergence_comes_in_three_ways(file):
    flow = np.random.default_rng(2).normal(0, 1e-4, (72, 3, 4))
    several = {"viwvd": (flow, "kg m**-2 s**-1"), "vimd": (3600 * flow, "kg m**-2")}
    path = file(several | {"avg_vimdf": (flow, "kg m**-2 s**-1")})
    for name in several | {"avg_vimdf": None}:
        found = open_any(path, variable=name)
        np.testing.assert_allclose(found.values, 3600 * flow, rtol=1e-5)
        assert (found.name, found.attrs["units"]) == ("moisture_divergence", "mm h-1")
        assert bool(notes(found)) == (name == "viwvd")
    with pytest.raises(Invalid, match="several could be moisture_divergence: viwvd, vimd, avg_vimdf"):
        open_any(path, variable="moisture_divergence")


def test_humidity_is_that_of_the_dew_point(file):
    warm = np.full((72, 3, 4), 293.15)
    found = open_any(file({"d2m": (warm, "K"), "sp": (0 * warm + 1e5, "Pa")}), variable="humidity")
    # Over water at 20 degrees the tables of the WMO have 2339 Pa; the formula is good to 0.2%.
    np.testing.assert_allclose(found.values, 0.62198 * 2339 / (1e5 - 0.37802 * 2339), rtol=2e-3)
    assert "humidity is that of the dew point" in notes(found)[0]


def test_one_level_is_read_and_several_are_not(tmp_path):
    q = stored({"q": (np.full((72, 3, 4), 0.01), "kg kg**-1")})
    for levels in ([850.0], [850.0, 500.0]):
        whole = q.assign(q=q.q.expand_dims(pressure_level=levels, axis=1))
        whole.pressure_level.attrs["units"] = "hPa"
        path = written(tmp_path / "x.nc", whole)
        if len(levels) == 1:
            assert "at pressure_level 850 hPa" in notes(open_any(path, variable="humidity"))
        else:
            with pytest.raises(Invalid, match=r"lies over .*pressure_level \(2\)"):
                open_any(path, variable="humidity")


def test_files_of_cfgrib_are_stamped_by_their_valid_time(tmp_path):
    whole = stored({"tp": (depths(), "m")}).drop_indexes("valid_time").rename_dims(valid_time="time")
    whole = whole.drop_vars(["expver", "number"]).assign_coords(time=HOURS - pd.Timedelta("1h"), step=1)
    path = written(tmp_path / "x.nc", whole)
    assert list(open_any(path).indexes["time"]) == list(HOURS)
    found = open_any(written(path, whole.isel(time=0)), interval="1h")
    np.testing.assert_allclose(found.values, 1000 * depths()[:1], rtol=1e-6)
    assert list(found.indexes["time"]) == [HOURS[0]]
    steps = whole.drop_vars("valid_time").drop_vars("step").expand_dims(step=[1, 2])
    with pytest.raises(Invalid, match=r"lies over step \(2\), time \(72\)"):
        open_any(written(path, steps))


def test_what_others_wrote_is_left_to_others(tmp_path):
    plain = xr.Dataset({"tp": (("time", "lat", "lon"), depths(), {"units": "m"})}, {"time": HOURS})
    theirs = plain.assign_attrs(institution=CENTRE, mip_era="CMIP6")
    taken_out = stored({"tp": (depths(), "m")}).tp.assign_attrs(long_name="Total precipitation")
    for whole, ours in ((plain, False), (theirs, False), (taken_out.to_dataset().drop_attrs(), False)):
        assert era5.sniff(written(tmp_path / "x.nc", whole)) is ours
    taken_out.to_netcdf(tmp_path / "y.nc", engine="h5netcdf")
    assert era5.sniff(tmp_path / "y.nc")
    np.testing.assert_allclose(open_any(tmp_path / "y.nc"), 1000 * depths(), rtol=1e-6)
    with zipfile.ZipFile(tmp_path / "z.nc", "w") as file:
        file.writestr("notes.txt", "European Centre for Medium-Range Weather Forecasts")
    assert era5.sniff(tmp_path / "z.nc") is False
