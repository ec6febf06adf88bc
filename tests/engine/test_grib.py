"""GRIB: written here with ecCodes message by message, so that every figure is known."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pyproj
import pytest
import xarray as xr

from engine.fields import Box
from engine.quantities import notes
from engine.reading import codes, messages
from engine.sources import grib, open_any
from engine.values import Invalid

ROOT = Path(__file__).resolve().parents[2]
LAT, LON = np.arange(54.0, 49, -1), np.arange(5.0, 11)
ROWS = np.random.default_rng(0).gamma(0.5, 4, (5, 6)).round(2)  # mm, from the north
RAIN = {"paramId": 228228, "stepType": "accum"}
REGULAR = {
    "latitudeOfFirstGridPointInDegrees": 54.0,
    "latitudeOfLastGridPointInDegrees": 50.0,
    "longitudeOfFirstGridPointInDegrees": 5.0,
    "longitudeOfLastGridPointInDegrees": 10.0,
    "iDirectionIncrementInDegrees": 1.0,
    "jDirectionIncrementInDegrees": 1.0,
}


def message(values, sample: str = "regular_ll_sfc_grib2", packing: str = "grid_simple", **keys) -> bytes:
    """A field from the north to the south, as a message; rain of the hour to 2020-07-01 01:00 if not told."""
    eccodes, values = codes.library(), np.asarray(values, float)
    handle = eccodes.codes_grib_new_from_samples(sample)
    said = {"dataDate": 20200701, "dataTime": 0, "bitsPerValue": 24}
    if values.ndim == 2:
        said |= {"Ni": values.shape[1], "Nj": values.shape[0]} | REGULAR
    keys = {"startStep": 0, "endStep": 1} | keys if keys.get("stepType") in ("accum", "avg") else keys
    order = ["paramId", "shortName", "stepType", "startStep", "endStep"]
    ranked = {name: keys[name] for name in order if name in keys} | keys
    for name, value in (said | ranked).items():
        eccodes.codes_set(handle, name, value)
    if np.isnan(values).any():
        eccodes.codes_set(handle, "bitmapPresent", 1)
        eccodes.codes_set(handle, "missingValue", 1e20)
    eccodes.codes_set_values(handle, np.where(np.isnan(values), 1e20, values).ravel())
    eccodes.codes_set(handle, "packingType", packing)
    content = eccodes.codes_get_message(handle)
    eccodes.codes_release(handle)
    return content


def rain(values=ROWS, start: int = 0, end: int = 1, **keys) -> bytes:
    return message(values, **(RAIN | {"startStep": start, "endStep": end} | keys))


def written(folder: Path, *messages: bytes) -> Path:
    (folder / "x").write_bytes(b"".join(messages))
    return folder / "x"


def read(path: Path, **about) -> xr.DataArray:
    found = open_any(path, **about)
    assert isinstance(found, xr.DataArray)
    return found


def near(found, expected) -> None:
    np.testing.assert_allclose(found, expected, atol=2e-5)


# Libraries side by side


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 0, 3, 1, 2)])
def test_grib_and_projections_live_in_one_process(tmp_path, order):
    """Whatever comes first: no abort, right places, and the SQLite that Python was built with."""
    path = written(tmp_path, rain())
    steps = [
        f"from pathlib import Path; from engine.sources import grib; grib.read(Path({str(path)!r}))",
        "import cartopy.crs as c, pyproj; to = pyproj.Transformer.from_crs(4326, 3857, always_xy=True)\n"
        "assert abs(to.transform(10, 50)[1] - 6446275.84) < 1\n"
        "assert abs(c.LambertConformal().transform_point(10, 50, c.PlateCarree())[0] - 6073099.9) < 99",
        "import rasterio.warp as w\n"
        "assert abs(w.transform('EPSG:4326', 'EPSG:3857', [10], [50])[1][0] - 6446275.84) < 1",
        f"import sqlite3; assert sqlite3.sqlite_version == {sqlite3.sqlite_version!r}",
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(steps[each] for each in order)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_without_the_library_one_line_says_what_to_install(tmp_path, monkeypatch):
    path = written(tmp_path, rain())
    codes.library.cache_clear()
    monkeypatch.setitem(sys.modules, "findlibs", None)
    with pytest.raises(Invalid, match="pip install eccodes eccodeslib"):
        open_any(path)


# What is rain


@pytest.mark.parametrize("sample", ["regular_ll_sfc_grib1", "regular_ll_sfc_grib2"])
def test_rain_is_never_dropped_among_other_variables(tmp_path, sample):
    others = [message(ROWS + 280, sample, shortName=name, dataTime=1200) for name in ("2t", "2d", "10u")]
    path = written(
        tmp_path, *others[:2], message(ROWS / 1000, sample, **(RAIN | {"paramId": 228})), others[2]
    )
    found = read(path)
    near(found.values[0], ROWS[::-1])
    assert found.indexes["time"][0] == pd.Timestamp("2020-07-01T01:00")
    assert (found.attrs["interval"], found.attrs["units_found"]) == ("1h", "m")
    near(found.lat, LAT[::-1])
    near(found.lon, LON)
    rows = grib.contents(path)
    assert [row["taken for"] for row in rows] == ["temperature", "dewpoint", "rain", "wind_u"]
    assert rows[2] == {
        "name": "tp",
        "unit": "m",
        "shape": (1, 5, 6),
        "taken for": "rain",
    }


def test_rain_is_never_dropped_from_real_files_of_several_variables(shared):
    path = shared / "era5_grib_hourly" / "testing" / "2020_6_23.grib"
    if not path.exists():
        pytest.skip("no era5_grib_hourly")
    assert {row["taken for"] for row in grib.contents(path)} >= {"rain", "temperature", "wind_u", "pressure"}
    assert float(read(path).max()) == pytest.approx(0.12007355690002441)


def test_parts_of_rain_are_read_by_name_only(tmp_path):
    path = written(tmp_path, message(ROWS, shortName="cp", stepType="accum"), message(ROWS, shortName="sd"))
    with pytest.raises(Invalid, match=r"holds no rain; it holds cp \(Convective precipitation, m\)"):
        open_any(path)
    assert "need not be all the rain" in notes(read(path, variable="cp", unit="mm"))[0]
    with pytest.raises(Invalid, match="what there is at a moment"):
        open_any(path, variable="sd")
    with pytest.raises(Invalid, match="holds no wind_u"):
        open_any(path, variable="wind_u")


def test_mean_rates_and_rates_at_moments(tmp_path):
    mean = message(ROWS / 3600, shortName="avg_tprate", stepType="avg", startStep=0, endStep=6)
    found = read(written(tmp_path, mean))
    near(found.values[0], ROWS[::-1])
    assert found.attrs["interval"] == "6h"
    moments = [message(ROWS / 3600, shortName="prate", endStep=hour) for hour in (3, 6)]
    found = read(written(tmp_path, *moments))
    near(found.values[1], ROWS[::-1])
    assert found.attrs["interval"] == "3h"
    assert "holds at moments" in "\n".join(notes(found))
    with pytest.raises(Invalid, match="as interval=1h"):
        open_any(written(tmp_path, moments[0]))
    assert read(written(tmp_path, moments[0]), interval="10min").attrs["interval"] == "10min"


# Sums since the start, and in buckets


def summed(hours: list[tuple[int, int]], **keys) -> list[bytes]:
    """Rain that falls h times as hard in hour h, over these spans."""
    return [rain(ROWS * sum(range(start + 1, end + 1)), start, end, **keys) for start, end in hours]


@pytest.mark.parametrize(
    ("spans", "length"),
    [
        ([(0, 1), (0, 2), (0, 3), (0, 4)], 1),  # since the start
        ([(0, 1), (1, 2), (2, 3)], 1),  # each on its own
        ([(0, 3), (0, 6), (6, 9), (6, 12)], 3),  # buckets of six hours
        ([(0, 3), (0, 6), (6, 9), (0, 9), (6, 12), (0, 12)], 3),  # and since the start beside them
        ([(0, 12)], 12),
        ([(0, 0), (0, 1), (0, 1), (0, 2)], 1),  # nothing yet, and one twice
    ],
)
def test_sums_become_the_rain_of_each_interval(tmp_path, spans, length):
    found = read(written(tmp_path, *summed(spans)))
    ends = range(length, max(end for _, end in spans) + 1, length)
    assert list(found.indexes["time"]) == [
        pd.Timestamp("2020-07-01") + pd.Timedelta(end, "h") for end in ends
    ]
    for end, hour in zip(ends, found.values, strict=True):
        expected = ROWS[::-1] * sum(range(end - length + 1, end + 1)) / length
        np.testing.assert_allclose(hour, expected, rtol=1e-4, atol=1e-4)
    assert found.attrs["interval"] == f"{length}h"


def test_means_since_the_start_become_means_of_each_interval(tmp_path):
    spans = {(0, 3): 1.0, (0, 6): 2.0, (6, 9): 4.0}  # times ROWS: so 3 from hour 3 to 6
    path = written(
        tmp_path,
        *(
            message(ROWS * rate / 3600, shortName="avg_tprate", stepType="avg", startStep=start, endStep=end)
            for (start, end), rate in spans.items()
        ),
    )
    for hour, times in zip(read(path).values, (1, 3, 4), strict=True):
        np.testing.assert_allclose(hour, times * ROWS[::-1], rtol=1e-4, atol=1e-4)


def test_steps_of_several_lengths_are_asked_for(tmp_path):
    path = written(tmp_path, *summed([(0, 1), (0, 2), (0, 3), (0, 6), (0, 9)]))
    with pytest.raises(Invalid, match="1h, 3h long; choose one length"):
        open_any(path)
    found = read(path, interval="3h")
    assert found.sizes["time"] == 3
    near(found.values[1], ROWS[::-1] * 5)
    with pytest.raises(Invalid, match="choose one length"):
        open_any(path, interval="4h")


def test_a_sum_may_fall_a_little_and_no_more(tmp_path):
    def falling(by: float) -> Path:
        return written(tmp_path, rain(ROWS + 5, 0, 1), rain(ROWS + 5 - by, 0, 2))

    found = read(falling(0.05))
    assert float(found[1].max()) == 0
    assert "by differences" in notes(found)[0]
    with pytest.raises(Invalid, match="which is no rain"):
        open_any(falling(0.5))


def test_sums_that_do_not_say_since_when(tmp_path):
    def of(centre: str) -> Path:
        bare = message(
            ROWS, "regular_ll_sfc_grib1", paramId=228228, stepType="instant", endStep=12, centre=centre
        )
        return written(tmp_path, bare)

    found = read(of("ecmf"))
    assert found.attrs["interval"] == "12h"
    near(found.values[0], ROWS[::-1] / 12)
    assert "since the start of the forecast" in notes(found)[0]
    with pytest.raises(Invalid, match="does not say since when"):
        open_any(of("lfpw"))
    near(read(of("lfpw"), interval="6h").values[0], ROWS[::-1] / 6)


# Forecasts, members, levels, grids


def test_forecasts_that_follow_each_other_are_joined(tmp_path):
    runs = [rain(ROWS, 11, 12, dataTime=600), rain(ROWS * 2, 0, 1, dataTime=1800)]
    found = read(written(tmp_path, *runs))
    assert [time.hour for time in found.indexes["time"]] == [18, 19]
    assert "2 forecasts" in notes(found)[0]


def test_forecasts_of_the_same_hours_are_never_mixed(tmp_path):
    old = [rain(ROWS * hour, 0, hour) for hour in (1, 2, 3)]
    new = [rain(ROWS * 5 * hour, 0, hour, dataTime=200) for hour in (1, 2)]
    path = written(tmp_path, *old, *new)
    with pytest.raises(
        Invalid, match="holds 2 forecasts, which started at 2020-07-01T00:00, 2020-07-01T02:00"
    ):
        open_any(path)
    near(read(path, run="2020-07-01T02:00").values, [ROWS[::-1] * 5] * 2)
    latest = read(path, run="latest")
    near(latest.values, [ROWS[::-1], ROWS[::-1], ROWS[::-1] * 5, ROWS[::-1] * 5])
    assert "started last" in notes(latest)[0]
    longer = written(tmp_path, *old, *(rain(ROWS * hour, 0, hour) for hour in (4, 5)), *new)
    near(read(longer, run="latest").values[[0, 2, 3, 4]], ROWS[::-1] * np.reshape([1, 5, 5, 1], (4, 1, 1)))
    moments = [message(ROWS + 270 + at, shortName="2t", dataTime=100 * at, endStep=3 - at) for at in (0, 1)]
    found = read(written(tmp_path, *moments), variable="temperature", run="latest")
    near(found.values, [ROWS[::-1] + 271])


def test_an_ensemble_has_members(tmp_path):
    def member(number: int, hour: int) -> bytes:
        return rain(
            ROWS * (number + 1) * hour, 0, hour, productDefinitionTemplateNumber=11, perturbationNumber=number
        )

    parts = [member(*each) for each in product((0, 1, 2), (1, 2))]
    found = read(written(tmp_path, *parts))
    assert found.dims == ("member", "time", "lat", "lon")
    near(found.values, np.broadcast_to(np.arange(1, 4)[:, None, None, None] * ROWS[::-1], (3, 2, 5, 6)))
    holed = read(written(tmp_path, *parts[:-1]))
    assert np.isnan(holed.values[2, 1]).all()
    assert "1 fields of single members are missing" in notes(holed)


def test_levels_and_grids_are_named_where_there_are_several(tmp_path):
    at = {"shortName": "q", "typeOfLevel": "isobaricInhPa"}
    levels = [
        message(ROWS / 1000 / level, sample="regular_ll_pl_grib2", **at, level=level) for level in (500, 850)
    ]
    path = written(tmp_path, *levels)
    with pytest.raises(Invalid, match="of several levels: 500 isobaricInhPa, 850 isobaricInhPa"):
        open_any(path, variable="humidity")
    assert grib.contents(path)[1]["name"] == "q (850 isobaricInhPa; regular_ll 6x5)"
    np.testing.assert_allclose(read(path, variable="q", level=850).values[0], ROWS[::-1] / 850e3, atol=1e-8)
    path = written(tmp_path, rain(), rain(ROWS[:4]))
    with pytest.raises(Invalid, match="of several grids: regular_ll 6x5, regular_ll 6x4; name one"):
        open_any(path)
    assert read(path, grid="6x4").shape == (1, 4, 6)


def test_what_is_no_field_of_values_is_refused(tmp_path):
    spread = rain(productDefinitionTemplateNumber=12, derivedForecast=4)
    with pytest.raises(Invalid, match="no values at a time"):
        open_any(written(tmp_path, spread))
    monthly = message(ROWS, "regular_ll_sfc_grib1", paramId=228, stream="moda")
    with pytest.raises(Invalid, match="monthly means"):
        open_any(written(tmp_path, monthly))


def test_humidity_from_dew_point_and_pressure(tmp_path):
    path = written(
        tmp_path, message(ROWS * 0 + 293.15, shortName="2d"), message(ROWS * 0 + 1e5, shortName="sp")
    )
    found = read(path, variable="humidity")
    # Bolton (1980): 611.2 exp(17.67 t / (t + 243.5)) Pa at 20 degrees is 2337 Pa
    assert float(found.mean()) == pytest.approx(0.622 * 2337 / (1e5 - 0.378 * 2337), rel=2e-3)
    assert "was computed from dew point" in "\n".join(notes(found))
    assert found.attrs["units"] == "kg kg-1"


def test_moisture_divergence_of_moments_and_sums(tmp_path):
    flux = message((ROWS - 5) / 3600, shortName="vimdf")
    near(read(written(tmp_path, flux), variable="moisture_divergence").values[0], ROWS[::-1] - 5)


def test_winds_along_the_rows_of_a_map_are_refused(tmp_path):
    keys = {"uvRelativeToGrid": 1, "shortName": "10u"}
    with pytest.raises(Invalid, match="not eastward"):
        open_any(written(tmp_path, message(ROWS, **keys)), variable="wind_u")


# Where the values lie


@pytest.mark.parametrize("flags", list(product((0, 1), repeat=4)))
def test_every_order_of_scanning(tmp_path, flags):
    west, north, by_column, winding = flags
    rows = ROWS[:, ::-1] if west else ROWS
    rows = rows[::-1] if north else rows
    rows = (rows.T if by_column else rows).copy()
    if winding:
        rows[1::2] = rows[1::2, ::-1]
    corners = [54.0, 50.0][:: -1 if north else 1] + [5.0, 10.0][:: -1 if west else 1]
    names = [
        f"{axis}Of{end}GridPointInDegrees" for axis in ("latitude", "longitude") for end in ("First", "Last")
    ]
    scan = dict(
        zip(
            ("iScansNegatively", "jScansPositively", "jPointsAreConsecutive", "alternativeRowScanning"),
            flags,
            strict=True,
        )
    )
    content = rain(rows.reshape(5, 6), **dict(zip(names, corners, strict=True)), **scan)
    found = read(written(tmp_path, content))
    near(found.values[0], ROWS[::-1])
    near(found.lon, LON)


def test_the_globe_is_turned_to_begin_in_the_west(tmp_path):
    keys = dict(zip(REGULAR, (60.0, -60.0, 0.0, 315.0, 45.0, 30.0), strict=True))
    values = np.arange(40.0).reshape(5, 8)
    path = written(tmp_path, message(values, **RAIN, **keys))
    found = read(path)
    near(found.lon, np.arange(-180.0, 180, 45))
    near(found.values[0], np.roll(values, 4, 1)[::-1])
    part = read(path, box=Box(-100, -40, 50, 70))
    near(part.values[0], found.sel(lat=slice(-40, 70), lon=slice(-100, 50)).values[0])


def test_missing_values_are_missing(tmp_path):
    holed = np.where(ROWS > 2, np.nan, ROWS)
    near(read(written(tmp_path, rain(holed))).values[0], holed[::-1])
    with pytest.raises(Invalid, match="does not reach"):
        open_any(written(tmp_path, rain(holed)), box=Box(20, 50, 25, 54))


@pytest.mark.parametrize(
    "packing", ["jpeg", "ccsds", "ieee", "second_order", "complex", "complex_spatial_differencing"]
)
@pytest.mark.parametrize("values", [ROWS, np.where(ROWS > 2, np.nan, ROWS)], ids=["all", "holed"])
def test_every_packing(tmp_path, packing, values):
    if packing.startswith("complex") and np.isnan(values).any():
        return  # ecCodes does not write it
    sample = "regular_ll_sfc_grib1" if packing == "second_order" else "regular_ll_sfc_grib2"
    content = rain(values, sample=sample, packing=f"grid_{packing}")
    near(read(written(tmp_path, content)).values[0], values[::-1])


def test_reduced_rows_take_the_nearest_place(tmp_path):
    lat, lon = places("reduced_gg_pl_48_grib2")
    wave = 5 + np.sin(2 * np.radians(lat)) * np.cos(np.radians(lon))
    found = read(written(tmp_path, message(wave, "reduced_gg_pl_48_grib2", **RAIN)))
    assert found.shape == (1, 96, 192)
    near(found.lat, np.unique(np.round(lat, 6)))
    for row, values in zip(found.lat.values, found.values[0], strict=True):
        own = np.isclose(lat, row, atol=1e-5)
        away = abs((lon[own] - found.lon.values[:, None] + 180) % 360 - 180)
        nearest = away <= away.min(1, keepdims=True) + 1e-6  # two, where both are as near
        near(np.where(nearest, abs(wave[own] - values[:, None]), np.inf).min(1), 0)
    equator = np.flatnonzero(np.isclose(lat, lat[lat > 0].min()))
    west = np.argsort((lon[equator] + 180) % 360)
    near(found.sel(lat=lat[equator[0]], method="nearest").values[0], wave[equator][west])
    assert "brought to 192 columns by the nearest place" in notes(found)[0]


def test_a_regular_gaussian_grid_keeps_its_rows(tmp_path):
    lat, lon = places("regular_gg_sfc_grib2")
    wave = 5 + np.sin(2 * np.radians(lat)) * np.cos(np.radians(lon))
    found = read(written(tmp_path, message(wave, "regular_gg_sfc_grib2", **RAIN)))
    near(found.values[0], np.roll(wave.reshape(64, 128), 64, 1)[::-1])
    near(found.lat, np.unique(np.round(lat, 6)))


def places(sample: str, **keys) -> tuple[np.ndarray, np.ndarray]:
    eccodes = codes.library()
    handle = eccodes.codes_grib_new_from_samples(sample)
    for name, value in keys.items():
        eccodes.codes_set(handle, name, value)
    found = tuple(eccodes.codes_get_array(handle, name) for name in ("latitudes", "longitudes"))
    eccodes.codes_release(handle)
    return found


METRES = {
    "Nx": 30,
    "Ny": 25,
    "DxInMetres": 20e3,
    "DyInMetres": 20e3,
    "jScansPositively": 1,
    "shapeOfTheEarth": 6,
}
FROM = {"latitudeOfFirstGridPointInDegrees": 46.0, "longitudeOfFirstGridPointInDegrees": 5.0}
MAPS = {
    "lambert": (
        METRES
        | FROM
        | {"LaDInDegrees": 50, "LoVInDegrees": 10, "Latin1InDegrees": 45, "Latin2InDegrees": 55},
        "+proj=lcc +lat_0=50 +lon_0=10 +lat_1=45 +lat_2=55 +R=6371229",
    ),
    "polar_stereographic": (
        METRES | FROM | {"LaDInDegrees": 60, "orientationOfTheGridInDegrees": 10},
        "+proj=stere +lat_0=90 +lat_ts=60 +lon_0=10 +R=6371229",
    ),
    "rotated_ll": (
        {"Ni": 30, "Nj": 25, "jScansPositively": 1, "shapeOfTheEarth": 6}
        | {"latitudeOfSouthernPoleInDegrees": -40, "longitudeOfSouthernPoleInDegrees": 10}
        | {"latitudeOfFirstGridPointInDegrees": -2, "latitudeOfLastGridPointInDegrees": 2.8}
        | {"longitudeOfFirstGridPointInDegrees": 357, "longitudeOfLastGridPointInDegrees": 2.8}
        | {"iDirectionIncrementInDegrees": 0.2, "jDirectionIncrementInDegrees": 0.2},
        "",
    ),
}


def turned(lon: np.ndarray, lat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Latitude and longitude, in degrees, where the equator is turned up to 50 degrees north at 10 east."""
    pole = np.radians(40)
    north = np.sin(pole) * np.sin(lat) + np.cos(pole) * np.cos(lat) * np.cos(lon)
    south = np.sin(pole) * np.cos(lat) * np.cos(lon) - np.cos(pole) * np.sin(lat)
    return np.degrees(np.arcsin(north)), 10 + np.degrees(np.arctan2(np.cos(lat) * np.sin(lon), south))


@pytest.mark.parametrize("kind", MAPS)
def test_maps_in_a_projection_are_brought_to_equal_cells(tmp_path, kind):
    """Rain that grows to the north-east, at the places that pyproj tells."""
    keys, projection = MAPS[kind]
    if kind == "rotated_ll":
        lat, lon = turned(*np.radians(np.meshgrid(-3 + 0.2 * np.arange(30), -2 + 0.2 * np.arange(25))))
    else:
        plane = pyproj.Proj(projection)
        west, south = plane(5.0, 46.0)
        x, y = np.meshgrid(west + 20e3 * np.arange(30), south + 20e3 * np.arange(25))
        lon, lat = plane(x, y, inverse=True)
    content = message((lat - 40 + lon).ravel(), "regular_ll_sfc_grib2", gridType=kind, **keys, **RAIN)
    found = read(written(tmp_path, content), step=0.25)
    error = found[0] - (found.lat - 40 + found.lon)
    assert int(np.isfinite(error).sum()) > 200
    assert float(abs(error).max()) < 0.35  # a cell takes the mean of pixels in it: half a cell both ways
    assert float(abs(error.mean())) < 0.02
    assert "was brought to cells of 0.25 degrees" in notes(found)[0]


# Files that are large, hostile or broken


def test_large_fields_are_read_when_they_are_asked_for(tmp_path, monkeypatch):
    path = written(tmp_path, *summed([(0, 1), (0, 2), (0, 3)]))
    at_once = read(path)
    monkeypatch.setattr(grib, "AT_ONCE", 10)
    lazy = read(path)
    assert lazy.chunks is not None
    xr.testing.assert_equal(lazy.load(), at_once)


def test_fields_that_share_a_message(tmp_path):
    """As NCEP writes winds: what stands before section 4 is shared, and the second bitmap is the first."""
    holed = np.where(ROWS > 2, np.nan, ROWS)
    one, two = (sections(rain(values, *span)) for values, span in ((holed, (0, 1)), (holed * 3, (0, 2))))
    two[6] = b"\0\0\0\x06\x06\xfe"
    body = b"".join([one[each] for each in (1, 3, 4, 5, 6, 7)] + [two[each] for each in (4, 5, 6, 7)])
    whole = one[0][:8] + (len(body) + 20).to_bytes(8) + body + b"7777"
    found = read(written(tmp_path, whole))
    near(found.values, [holed[::-1], holed[::-1] * 2])


def sections(content: bytes) -> dict[int, bytes]:
    at, found = 16, {0: content[:16]}
    while content[at : at + 4] != b"7777":
        size = int.from_bytes(content[at : at + 4])
        found[content[at + 4]] = content[at : at + size]
        at += size
    return found


def test_what_stands_between_messages_is_passed_over(tmp_path):
    path = written(tmp_path, rain(), b"\r\r\nHTXX99 KWBC 010000\r\r\n", rain(ROWS * 3, 0, 2), bytes(40))
    near(read(path).values, [ROWS[::-1], ROWS[::-1] * 2])


def test_edition_1_beyond_8_megabytes(tmp_path):
    values = np.random.default_rng(0).random((1500, 2000)).round(4)
    keys = dict(zip(REGULAR, (60.0, 45.01, 0.0, 19.99, 0.01, 0.01), strict=True))
    content = message(values, "regular_ll_sfc_grib1", **RAIN, **keys)
    assert len(content) > 2**23
    found = read(written(tmp_path, content), box=Box(0, 50, 1, 51))
    np.testing.assert_allclose(found.values[0], values[900:1001, :101][::-1], atol=1e-4)


@pytest.mark.parametrize("sample", ["regular_ll_sfc_grib1", "regular_ll_sfc_grib2"])
def test_a_cut_message_is_refused_in_one_line(tmp_path, sample):
    whole = rain(sample=sample)
    for kept in range(8, len(whole), 3):
        (tmp_path / "x").write_bytes(whole + whole[:kept])
        with pytest.raises(Invalid, match="message 2 is cut off or damaged; fetch it again"):
            grib.read(tmp_path / "x")


def test_claims_are_looked_at_before_they_are_unpacked(tmp_path, monkeypatch):
    whole = bytearray(message(np.full((5, 6), 3.0), **RAIN))  # a constant has no bits, however many cells
    whole = whole.replace(struct.pack(">II", 6, 5), struct.pack(">II", 60_000, 60_000))
    whole = whole.replace(struct.pack(">I", 30), struct.pack(">I", 60_000**2))
    with pytest.raises(Invalid, match="60000 x 60000 cells are too many"):
        open_any(written(tmp_path, bytes(whole)))
    for count in (31, 10**9):
        whole = bytearray(message(np.full((5, 6), 3.0), **RAIN))
        whole = whole.replace(struct.pack(">I", 30), struct.pack(">I", count))
        with pytest.raises(Invalid):
            open_any(written(tmp_path, bytes(whole)))
    monkeypatch.setattr(messages, "MOST_MESSAGES", 2)
    with pytest.raises(Invalid, match="holds more than 2 messages"):
        open_any(written(tmp_path, *[rain()] * 4))


def test_changed_bytes_end_in_one_line_or_a_field(tmp_path):
    """ecCodes reads beyond its memory in a message whose sections it does not understand."""
    draw, whole = np.random.default_rng(0), rain(sample="regular_ll_sfc_grib1")
    for _ in range(50):
        content = bytearray(whole)
        content[draw.integers(8, len(content))] = draw.integers(256)
        with contextlib.suppress(Invalid):
            open_any(written(tmp_path, bytes(content)))


@pytest.mark.parametrize("text", ["no GRIB", "GRIB", "GRIB\0\0\0\3"])
def test_what_is_no_grib_is_not_claimed(tmp_path, text):
    (tmp_path / "x").write_text(text)
    assert grib.sniff(tmp_path / "x") is False
