"""Readers of radar composites: on small files in the layouts of the weather services, and their grids."""

import bz2
import gzip
import io
import tarfile
from datetime import datetime, timedelta
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from pyproj import Proj

from engine.fields import check
from engine.quantities import notes
from engine.reading.composites import MARSHALL_PALMER, Echo, projection
from engine.reading.regrid import ROUNDING
from engine.sources import fmi, knmi, meteonet, odim, open_any, radolan, readers
from engine.values import Invalid

LONLAT = "+proj=longlat +ellps=WGS84"
QUARTERS = {"box": [8, 50, 9, 51], "step": 0.5}  # two by two cells


def only(path: Path, reader) -> None:
    """No other reader of one kind of file takes it for its own."""
    able = [each for each in readers() if not getattr(each, "GENERAL", False) and each.sniff(path)]
    assert able == [reader]


# What they have in common


def test_reflectivity_becomes_rain_by_its_law():
    echo = Echo(MARSHALL_PALMER)
    np.testing.assert_allclose(echo([10 * np.log10(200), -np.inf, np.nan]), [1, 0, np.nan])
    assert "200 R^1.6 (assumed" in echo.note
    assert "300 R^1.4 (as told" in Echo(MARSHALL_PALMER, 300, 1.4).note
    with pytest.raises(Invalid, match="zr_b: got 0"):
        Echo(MARSHALL_PALMER, zr_b=0)


@pytest.mark.parametrize(
    "words",
    [
        "+proj=stere +nadgrids=/etc/passwd",
        "+init=/etc/passwd:1",
        "+proj=stere +lat_0=/x",
        "+proj=pipeline +step +proj=stere",
        "+proj=stere " + "+k=1 " * 400,
        "EPSG:4326",
        "+proj=x",
        "",
    ],
)
def test_projections_are_plain_words_only(words):
    with pytest.raises(Invalid, match=r"is no (plain word of a )?map projection"):
        projection(words, "x.h5")


def test_what_unpacks_to_too_much_or_is_broken_is_refused(tmp_path, monkeypatch):
    path = radolan_file(tmp_path / "x.gz", "RW", sums())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(Invalid, match="cannot be unpacked"):
        radolan.read(path)
    radolan_file(path, "RW", sums())
    monkeypatch.setattr(radolan, "MOST_UNPACKED", 1_600_000)
    with pytest.raises(Invalid, match="unpacks to more than 2 MB"):
        radolan.read(path)


# RADOLAN


def sums() -> np.ndarray:
    return np.full((900, 900), 12, "<u2")


def quarters(values: tuple, kind: str = "<u2", shape: tuple[int, int] = (900, 900)) -> np.ndarray:
    """Values south-west, south-east, north-west and north-east of 50.5 N 8.5 E."""
    lat, lon = radolan.places(shape)
    edge = 8.5 - 0.5 * ROUNDING
    return np.choose((lon > edge) + 2 * (lat > 42 + edge), values).astype(kind)


def radolan_file(
    path: Path, product: str, raw: np.ndarray, about: str = "PR E-01INT  60", version: int = 3
) -> Path:
    shape = "x".join(f"{each:>4}" for each in raw.shape)
    tail = f"VS {version}SW   2.13.1{about}GP{shape}MS 10<boo,ros,emd> "
    content = f"{product}102050100000814BY{raw.nbytes + 100:>7}{tail}\x03".encode() + raw.tobytes()
    packing = {".gz": lambda each: gzip.compress(each, 1), ".bz2": lambda each: bz2.compress(each, 1)}
    path.write_bytes(packing.get(path.suffix, bytes)(content))
    return path


@pytest.mark.parametrize("name", ["x", "x.gz", "x.bz2"])
def test_flags_of_radolan(tmp_path, name):
    raw = quarters((12, 0x29C4, 0x1000 | 20, 0x8000 | 30))
    path = radolan_file(tmp_path / name, "RW", raw)
    only(path, radolan)
    found = check(radolan.read(path, **QUARTERS))
    np.testing.assert_allclose(found.values[0], [[1.2, np.nan], [2.0, np.nan]], rtol=1e-6)
    assert list(found.indexes["time"]) == [pd.Timestamp("2014-08-10T20:50")]
    assert found.attrs["interval"] == "1h"
    assert found.attrs["independent"] == "false"
    told = "\n".join(notes(found))
    assert f"{(raw & 0x1000 > 0).sum()} pixels were filled in" in told
    assert f"{(raw & 0x8000 > 0).sum()} pixels are clutter" in told


def test_five_minutes_begin_at_their_stamp_and_days_end_there(tmp_path):
    path = radolan_file(tmp_path / "x", "RY", sums(), "PR E-02INT   5")
    found = radolan.read(path, **QUARTERS)
    np.testing.assert_allclose(found.values, 0.12 * 12, rtol=1e-6)
    assert found.attrs["independent"] == "true"
    assert list(found.indexes["time"]) == [pd.Timestamp("2014-08-10T20:55")]
    assert "beginning of its scan" in found.attrs["notes"]
    found = radolan.read(path, stamp="end", **QUARTERS)
    assert list(found.indexes["time"]) == [pd.Timestamp("2014-08-10T20:50")]
    for about, hours in (("PR E-01INT1440", 24), ("PR E-01INT   7U1", 168), ("PR E-01INT  60U0", 1)):
        found = radolan.read(radolan_file(tmp_path / "y", "SF", sums(), about), **QUARTERS)
        np.testing.assert_allclose(found.values, 1.2 / hours, rtol=1e-6)
        assert list(found.indexes["time"]) == [pd.Timestamp("2014-08-10T20:50")]


def test_the_five_minutes_of_a_real_stamp_are_not_in_the_hour_before_it(shared):
    path = shared / "wradlib_selected" / "radolan" / "showcase" / "raa01-{}_10000-1408102050-dwd---bin.gz"
    if not Path(str(path).format("ry")).exists():
        pytest.skip("the real files are not here")
    whole = [gzip.decompress(Path(str(path).format(each)).read_bytes()) for each in ("ry", "rh")]
    five, hour = (np.frombuffer(each[each.index(b"\x03") + 1 :], "<u2") for each in whole)
    known = (five | hour) < 0x1000
    assert (known & (five > 30) & (hour == 0)).sum() == 2404  # over 0.3 mm, and none


def test_only_radar_that_met_no_gauge_is_independent(tmp_path):
    for product, alone in (("RH", "true"), ("RB", "false")):
        found = radolan.read(radolan_file(tmp_path / product, product, sums()), **QUARTERS)
        assert found.attrs["independent"] == alone


def test_reflectivity_of_radolan(tmp_path):
    path = radolan_file(tmp_path / "x", "RX", quarters((111, 0, 249, 250), "u1"), "PR E+00INT   5")
    found = radolan.read(path, **QUARTERS)
    np.testing.assert_allclose(found.values[0], [[(10**2.3 / 200) ** (1 / 1.6), 0], [np.nan] * 2], rtol=1e-6)
    assert "200 R^1.6" in found.attrs["notes"]


def corners(lat: np.ndarray, lon: np.ndarray) -> list[tuple[float, float]]:
    """The outer corners of a map, SW, SE, NW, NE, half a pixel beyond the centres."""

    def edge(one, row, column):
        down, right = (1, -2)[row < 0], (1, -2)[column < 0]
        return (
            one[row, column]
            - (one[down, column] - one[row, column]) / 2
            - (one[row, right] - one[row, column]) / 2
        )

    return [(edge(lon, row, column), edge(lat, row, column)) for row in (0, -1) for column in (0, -1)]


@pytest.mark.parametrize(
    ("shape", "version", "published"),
    [
        # the composite format's description gives the corners of the sphere
        ((900, 900), 3, [(3.5889, 46.9526), (14.6209, 47.0705), (2.0715, 54.5877), (15.7208, 54.7405)]),
        # those of DE1200 as they are in use
        (
            (1200, 1100),
            5,
            [(3.56699, 45.69643), (16.58087, 45.68461), (1.4633, 55.86209), (18.73162, 55.84544)],
        ),
    ],
)
def test_the_german_grid_lies_where_it_is_published(shape, version, published):
    np.testing.assert_allclose(corners(*radolan.places(shape, version)), published, atol=1e-4)


def test_the_sphere_is_inverted_by_its_closed_formula():
    lat, lon = radolan.places((900, 900))
    radius, true = 6370.04, 1 + np.sin(np.radians(60))
    stretch = radius * true / (1 + np.sin(np.radians(51))) * np.cos(np.radians(51))
    x = -stretch * np.sin(np.radians(1)) - 450 + np.arange(900) + 0.5
    y = (-stretch * np.cos(np.radians(1)) - 450 + np.arange(900) + 0.5)[:, None]
    np.testing.assert_allclose(lon, np.degrees(np.arctan2(x, -y)) + 10, atol=1e-9)
    whole, far = (radius * true) ** 2, x**2 + y**2
    np.testing.assert_allclose(lat, np.degrees(np.arcsin((whole - far) / (whole + far))), atol=1e-9)


@pytest.mark.parametrize(
    ("product", "raw", "about", "told"),
    [
        ("RV", sums(), "PR E-02INT   5", "product 'RV' is not read here"),
        ("RW", sums()[:10], "PR E-01INT  60", "a grid of 10 x 900 is not read"),
        ("RW", sums(), "INT  60", "says no precision, interval or shape"),
        ("RW", sums(), "PR E-01INT   0", "interval '0min'; give a length"),
        ("RW", sums() | 0x4000, "PR E-01INT  60", "which is no rain"),
    ],
)
def test_radolan_that_cannot_be_read_is_refused(tmp_path, product, raw, about, told):
    with pytest.raises(Invalid, match=told):
        open_any(radolan_file(tmp_path / "x", product, raw, about))


def test_radolan_cut_off_is_refused(tmp_path):
    path = radolan_file(tmp_path / "x", "RW", sums())
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Invalid, match="is cut off"):
        radolan.read(path)


def grid_text(values: np.ndarray, missing: str = "-1") -> bytes:
    rows, columns = values.shape
    west, south = {900: ("-523462", "-4658645"), 1100: ("-443462", "-4758645")}[rows]
    head = f"ncols         {columns}\nnrows         {rows}\nxllcorner     {west}\nyllcorner     {south}\n"
    body = io.BytesIO()
    np.savetxt(body, values[::-1], fmt="%d")
    return (head + f"cellsize      1000\nNODATA_value  {missing}\n").encode() + body.getvalue()


def tar_of(path: Path, **members: bytes | None) -> Path:
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, content in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(content or b"")
            if content is None:
                about.type, about.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(about, io.BytesIO(content or b""))
    return path


def test_a_tar_of_grids_is_a_sequence(tmp_path):
    first, second = (grid_text(quarters(each, "i2")) for each in ((1, 2, -1, 4), (5, 6, 7, 8)))
    members = {"RW_20221018-0150.asc": gzip.compress(second, 1), "RW_20221018-0050.asc": first, "link": None}
    path = tar_of(tmp_path / "x.tar.gz", **members)
    only(path, radolan)
    found = radolan.read(path, **QUARTERS)
    assert list(found.indexes["time"]) == list(pd.to_datetime(["2022-10-18T00:50", "2022-10-18T01:50"]))
    wanted = [[[0.1, 0.2], [np.nan, 0.4]], [[0.5, 0.6], [0.7, 0.8]]]
    np.testing.assert_allclose(found.values, wanted, rtol=1e-6)
    assert "taken from the name" in found.attrs["notes"]


def test_reprocessed_grids_are_in_millimetres(tmp_path):
    path = tmp_path / "RW_2017.002_20160101-0050.asc"
    path.write_bytes(grid_text(quarters((1, -9999, 0, 3), "i2", (1100, 900)), "-9999.0"))
    only(path, radolan)
    np.testing.assert_allclose(radolan.read(path, **QUARTERS).values[0], [[1, np.nan], [0, 3]])


def test_tars_of_other_things_are_refused(tmp_path):
    grid = grid_text(np.zeros((900, 900), int))
    for other, told in (
        ({"readme.txt": b"hello"}, "'readme.txt', which is no"),
        ({"RY_20221018-0050.asc": grid}, "RW, RY"),
    ):
        with pytest.raises(Invalid, match=told):
            radolan.read(tar_of(tmp_path / "x.tar.gz", **{"RW_20221018-0050.asc": grid}, **other))
    path = tmp_path / "renamed.asc"
    path.write_bytes(grid)
    with pytest.raises(Invalid, match="says no product and time; name it as"):
        radolan.read(path)
    path = tmp_path / "RW_20221018-0050.asc"
    path.write_bytes(grid[:-4000])
    with pytest.raises(Invalid, match="not \\(900, 900\\)"):
        radolan.read(path)


# ODIM


def odim_file(
    path: Path, *images: dict, where: dict | None = None, kind: str = "COMP", how: dict | None = None
) -> Path:
    """Maps of 4 x 6 pixels of 0.1 degrees; what an image says stands with its data, or with its set."""
    place = {"projdef": LONLAT, "xscale": 0.1, "yscale": 0.1, "xsize": 6, "ysize": 4}
    place |= {"LL_lon": 5.0, "LL_lat": 50.0, "UR_lon": 5.6, "UR_lat": 50.4}
    with h5py.File(path, "w") as file:
        file.create_group("what").attrs.update(
            {"object": np.bytes_(kind), "date": "20200701", "time": "120000"}
        )
        file.create_group("where").attrs.update(place | (where or {}))
        file.create_group("how").attrs.update(how or {})
        for number, image in enumerate(images, 1):
            said = dict(image)
            data, level = said.pop("data"), said.pop("level", "data1")
            group = file.create_group(f"dataset{number}/data1")
            group["data"] = data
            (file[f"dataset{number}"] if level == "dataset" else group).create_group("what").attrs.update(
                said
            )
    return path


def span(start: str, end: str) -> dict:
    keys = ("startdate", "starttime", "enddate", "endtime")
    return dict(zip(keys, (np.bytes_(each) for one in (start, end) for each in one.split()), strict=True))


HOUR = span("20200701 110000", "20200701 120000")
RAW = np.arange(24, dtype="u1").reshape(4, 6)


@pytest.mark.parametrize("level", ["data1", "dataset"])
def test_nodata_is_missing_and_undetect_is_dry(tmp_path, level):
    codes = {"gain": 0.5, "offset": 1.0, "nodata": 23.0, "undetect": 0.0}
    path = odim_file(tmp_path / "x.h5", {"data": RAW, "level": level, "quantity": b"ACRR"} | codes | HOUR)
    only(path, odim)
    found = open_any(path)
    wanted = 1 + 0.5 * RAW[::-1]
    wanted[-1, 0], wanted[0, -1] = 0, np.nan
    np.testing.assert_allclose(found.values[0], wanted)
    np.testing.assert_allclose(found.lat, [50.05, 50.15, 50.25, 50.35])
    assert found.attrs["interval"] == "1h"
    assert list(found.indexes["time"]) == [pd.Timestamp("2020-07-01T12:00")]
    assert "independent" not in found.attrs  # the format does not say it of rain


def test_datasets_are_a_sequence_and_depths_are_divided(tmp_path):
    spans = [
        span(f"20200701 {start}00", f"20200701 {end}00")
        for start, end in (("1115", "1130"), ("1100", "1115"))
    ]
    images = [
        {"data": RAW * 0.0 + size, "quantity": "ACRR"} | each
        for size, each in zip((1, 2), spans, strict=True)
    ]
    found = odim.read(odim_file(tmp_path / "x.h5", *images))
    assert list(found.indexes["time"]) == list(pd.to_datetime(["2020-07-01T11:15", "2020-07-01T11:30"]))
    np.testing.assert_allclose(found.values[:, 0, 0], [8, 4])
    assert len(odim.contents(tmp_path / "x.h5")) == 2


def test_an_end_of_59_seconds_is_the_last_second_of_an_interval(tmp_path):
    path = odim_file(
        tmp_path / "x.h5", {"data": RAW, "quantity": "ACRR"} | span("20200701 110000", "20200701 112959")
    )
    found = odim.read(path)
    assert (found.attrs["interval"], found.indexes["time"][0]) == ("30min", pd.Timestamp("2020-07-01T11:30"))
    np.testing.assert_allclose(found.values[0], 2 * RAW[::-1])


def test_echoes_become_rain_by_the_law_of_the_file_or_as_told(tmp_path):
    codes = {"quantity": "DBZH", "gain": 1.0, "offset": 10.0, "nodata": 255.0, "undetect": 0.0}
    path = odim_file(tmp_path / "x.h5", {"data": RAW} | codes | HOUR, how={"zr_a": 300.0, "zr_b": 1.5})
    for about, law in (({}, (300, 1.5)), ({"zr_a": 250, "zr_b": 1.2}, (250, 1.2))):
        found = odim.read(path, **about)
        assert found.values[0, -1, 0] == 0
        np.testing.assert_allclose(found.values[0, -1, 1], (10**1.1 / law[0]) ** (1 / law[1]), rtol=1e-6)
        assert f"{law[0]} R^{law[1]}" in found.attrs["notes"]
    assert found.attrs["independent"] == "true"


def test_a_snapshot_needs_its_interval_and_several_rains_a_choice(tmp_path):
    now = span("20200701 120000", "20200701 120000")
    path = odim_file(tmp_path / "x.h5", {"data": RAW, "quantity": "RATE"} | now)
    with pytest.raises(Invalid, match=r"a snapshot at .*; give the interval it stands for"):
        odim.read(path)
    found = odim.read(path, interval="15min", stamp="start")
    assert list(found.indexes["time"]) == [pd.Timestamp("2020-07-01T12:15")]
    assert "that its time is the start of" in found.attrs["notes"]
    found = odim.read(
        odim_file(path, {"data": RAW, "quantity": "ACRR"} | HOUR), interval="30min", stamp="start"
    )
    assert list(found.indexes["time"]) == [pd.Timestamp("2020-07-01T11:30")]
    assert float(found.max()) == 46
    with pytest.raises(Invalid, match="step: got 'wide'; give a number"):
        odim.read(path, step="wide")
    both = [{"data": RAW, "quantity": each} | HOUR for each in ("RATE", "ACRR", "QIND")]
    path = odim_file(tmp_path / "y.h5", *both)
    with pytest.raises(Invalid, match="It holds RATE, ACRR, QIND; name one"):
        odim.read(path)
    assert float(odim.read(path, variable="RATE").max()) == 23
    assert [each["taken for"] for each in odim.contents(path)] == ["rain", "rain", "other"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"kind": "PVOL"}, "is an ODIM PVOL, no composite map"),
        ({"where": {"xscale": 0.2}}, "its corners make pixels of 0.1, its xscale says 0.2"),
        ({"where": {"projdef": "+proj=stere +nadgrids=/etc/passwd"}}, "no plain word of a map projection"),
        ({"where": {"UR_lat": "north"}}, "UR_lat: got 'north'; give a number"),
    ],
)
def test_odim_that_is_no_map_is_refused(tmp_path, change, told):
    path = odim_file(tmp_path / "x.h5", {"data": RAW, "quantity": "RATE"} | HOUR, **change)
    with pytest.raises(Invalid, match=told):
        open_any(path)


def test_odim_without_times_or_with_several_shapes_is_refused(tmp_path):
    image = {"data": RAW, "quantity": "RATE"}
    with pytest.raises(Invalid, match="says no start of its interval"):
        odim.read(odim_file(tmp_path / "x.h5", image | span("never 1", "never 2")))
    with pytest.raises(Invalid, match="on several grids"):
        odim.read(odim_file(tmp_path / "y.h5", image | HOUR, image | HOUR | {"data": RAW[:2]}))
    with pytest.raises(Invalid, match="not equally long"):
        odim.read(
            odim_file(tmp_path / "z.h5", image | HOUR, image | span("20200701 100000", "20200701 103000"))
        )


# KNMI

STEREO = "+proj=stere +lat_0=90 +lon_0=0.0 +lat_ts=60.0 +a=6378.137 +b=6356.752 +x_0=0 +y_0=0"


def knmi_file(path: Path, raw: np.ndarray, formula: str = "GEO=0.01*PV+0.0", **about) -> Path:
    """A piece of the Dutch grid, 300 km east of its corner."""
    rows, columns = raw.shape
    edges = [(300, -4000 - rows), (300, -4000), (300 + columns, -4000), (300 + columns, -4000 - rows)]
    places = np.ravel([Proj(STEREO)(*each, inverse=True) for each in edges]) + about.get("off", 0)
    with h5py.File(path, "w") as file:
        times = {"start": "26-AUG-2010;04:55:00.000", "end": "26-AUG-2010;05:00:00.000"} | about.get(
            "times", {}
        )
        overview = {f"product_datetime_{key}": np.array([value], "S25") for key, value in times.items()}
        file.create_group("overview").attrs.update(overview)
        place = {"geo_column_offset": [300.0], "geo_row_offset": [4000.0], "geo_dim_pixel": b"KM,KM"}
        place |= {"geo_pixel_size_x": [1.0], "geo_pixel_size_y": [-1.0], "geo_product_corners": places}
        file.create_group("geographic").attrs.update(place)
        file.create_group("geographic/map_projection").attrs["projection_proj4_params"] = np.bytes_(STEREO)
        for number, kind in enumerate(about.get("kinds", [knmi.SUM]), 1):
            image = file.create_group(f"image{number}")
            image["image_data"] = raw
            image.attrs.update(
                {"image_geo_parameter": np.bytes_(kind), "image_product_name": about.get("product", b"")}
            )
            top = np.iinfo(raw.dtype).max
            codes = {"calibration_missing_data": [top], "calibration_out_of_image": [top]}
            image.create_group("calibration").attrs.update(
                {"calibration_formulas": np.bytes_(formula)} | codes
            )
    return path


@pytest.mark.parametrize(
    ("product", "independent"),
    [(b"RAD_NL25_RAU_H1.5_5mi", "true"), (b"RAD_NL25_RAC_MFBS_5min", "false"), (b"other", None)],
)
def test_dutch_sums(tmp_path, product, independent):
    raw = np.full((20, 20), 50, "u2")
    raw[:10] = 65535
    path = knmi_file(tmp_path / "x.h5", raw, product=product)
    only(path, knmi)
    found = open_any(path)
    known = np.isfinite(found.values[0])
    np.testing.assert_allclose(found.values[0][known], 6.0)
    assert known[found.lat < found.lat.mean() - 0.02].any()
    assert not known[found.lat > found.lat.mean() + 0.02].any()
    assert found.attrs["interval"] == "5min"
    assert list(found.indexes["time"]) == [pd.Timestamp("2010-08-26T05:00")]
    assert found.attrs.get("independent") == independent


def test_dutch_reflectivity_is_a_snapshot(tmp_path):
    raw = np.full((20, 20), 109, "u1")
    raw[:10] = 0
    path = knmi_file(tmp_path / "x.h5", raw, "GEO=0.500000*PV+-31.500000", kinds=[knmi.ECHO])
    found = knmi.read(path)
    values = found.values[np.isfinite(found.values)]
    assert values.min() == 0
    assert values.max() == pytest.approx(1, abs=0.01)  # KNMI: R = 10^((PV - 109) / 32)
    assert "snapshot, taken for the 5min" in found.attrs["notes"]


@pytest.mark.parametrize(
    ("about", "told"),
    [
        ({"formula": "GEO=__import__('os').system('true')*PV"}, "only a line such as GEO="),
        ({"formula": "GEO=10^(PV)"}, "only a line such as GEO="),
        ({"off": 0.1}, "its corners do not lie where its projection puts them"),
        ({"times": {"end": "yesterday"}}, "its end is 'yesterday', no time such as"),
        ({"times": {"end": "26-AUG-2010;04:55:00.000"}}, "give a length such as"),
        ({"kinds": [knmi.SUM, knmi.SUM]}, "which image is rain"),
        ({"kinds": ["HEIGHT_[KM]"]}, "which image is rain"),
    ],
)
def test_dutch_files_that_do_not_say_enough_are_refused(tmp_path, about, told):
    with pytest.raises(Invalid, match=told):
        open_any(knmi_file(tmp_path / "x.h5", np.ones((20, 20), "u2"), **about))


def test_of_several_dutch_images_one_is_named(tmp_path):
    path = knmi_file(tmp_path / "x.h5", np.ones((20, 20), "u2"), kinds=[knmi.SUM, knmi.ECHO, "HEIGHT_[KM]"])
    assert [(each["name"], each["unit"], each["taken for"]) for each in knmi.contents(path)] == [
        ("image1", "mm", "rain"),
        ("image2", "dBZ", "rain"),
        ("image3", "KM", "other"),
    ]
    assert knmi.read(path, variable="image1").attrs["units_found"] == "mm"


def test_the_dutch_grid_lies_where_it_is_published(shared):
    path = shared / "knmi_20100826" / "RAD_NL25_RAP_5min_201008260000.h5"
    if not path.exists():
        pytest.skip("the real files are not here")
    with h5py.File(path) as file:
        found = corners(*knmi._places(file["geographic"], (765, 700), "x"))
    # north-west, north-east, south-west, south-east
    published = [(0, 55.97360), (10.85643, 55.38897), (0, 49.36206), (9.00928, 48.89530)]
    np.testing.assert_allclose(found, published, atol=1e-3)  # they are of a slightly other ellipsoid


# FMI


def fmi_file(path: Path, raw: np.ndarray, **change) -> Path:
    rows, columns = raw.shape
    to = Proj("+proj=stere +lat_0=90 +lon_0=25 +lat_ts=60 +a=6371288 +b=6371288")
    west, south = to(24.0, 61.0)
    told = {"left": (24.0, 61.0), "right": to(west + 1e3 * columns, south + 1e3 * rows, inverse=True)}
    said = {"obstime": "201609281600", "param": "CorrectedReflectivity", "size": "1000.0"} | change
    head = f"P5\n# obstime {said['obstime']}\n# param {said['param']}\n# metersperpixel_x {said['size']}\n"
    head += "# metersperpixel_y 1000.0\n# projection radar {\n# type stereographic\n# centrallongitude 25\n"
    head += "# centrallatitude 90\n# truelatitude 60\n# bottomleft {:.9f} {:.9f}\n".format(*told["left"])
    head += "# topright {:.9f} {:.9f}\n# }}\n".format(*told["right"]) + f"{columns} {rows}\n255\n"
    path.write_bytes(gzip.compress(head.encode() + raw.tobytes()))
    return path


def test_finnish_pictures(tmp_path):
    raw = np.full((30, 30), 2 * (32 + 40), "u1")
    raw[:10], raw[10:20] = 255, 0
    path = fmi_file(tmp_path / "x.gz", raw)
    only(path, fmi)
    found = open_any(path)
    values = found.values[np.isfinite(found.values)]
    assert set(np.round(values, 4)) >= {0.0, np.float32(round((1e4 / 223) ** (1 / 1.53), 4))}
    top = found.lat.values[np.isfinite(found.values[0]).any(1)].max()
    assert top < found.lat.values.max() - 0.08  # the missing third lies in the north
    assert list(found.indexes["time"]) == [pd.Timestamp("2016-09-28T16:00")]
    assert found.attrs["independent"] == "true"
    assert "223 R^1.53" in found.attrs["notes"]
    assert fmi.read(path, stamp="start").indexes["time"][0] == pd.Timestamp("2016-09-28T16:05")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"size": "900.0"}, "its corners make pixels of"),
        ({"param": "Height"}, "shows 'Height'; only reflectivity"),
        ({"obstime": "today"}, "no time such as"),
    ],
)
def test_finnish_pictures_of_other_things_are_refused(tmp_path, change, told):
    with pytest.raises(Invalid, match=told):
        open_any(fmi_file(tmp_path / "x.gz", np.ones((20, 20), "u1"), **change))


def test_a_finnish_picture_cut_off_is_refused(tmp_path):
    path = fmi_file(tmp_path / "x.gz", np.ones((20, 20), "u1"))
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-1]))
    with pytest.raises(Invalid, match="is cut off"):
        fmi.read(path)


# MeteoNet

NOON = datetime(2016, 8, 21, 12)
GAPPY = [NOON + timedelta(minutes=each) for each in (0, 5, 20)]


def meteonet_file(path: Path, data: np.ndarray, dates: list) -> Path:
    np.savez_compressed(path, data=data, dates=np.array(dates, dtype=object), miss_dates=np.array([NOON]))
    return path


def maps(count: int = 3) -> np.ndarray:
    data = np.zeros((count, 4, 5), "i2")
    data[:, 0], data[:, 1, 0] = -1, 100
    return data


class Runs:
    """What runs something if it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_french_maps_keep_their_gaps(tmp_path):
    path = meteonet_file(tmp_path / "x.npz", maps(), GAPPY)
    only(path, meteonet)
    found = open_any(path, north=50.0, west=2.0)
    assert list(found.indexes["time"]) == GAPPY
    np.testing.assert_allclose(found.lat, [49.97, 49.98, 49.99, 50.0])
    np.testing.assert_allclose(found.lon, [2.0, 2.01, 2.02, 2.03, 2.04])
    assert np.isnan(found.values[:, -1]).all()
    np.testing.assert_allclose(found.values[:, 2], [[12, 0, 0, 0, 0]] * 3)
    cut = meteonet.read(path, north=50.0, west=2.0, stamp="start", box=[2.005, 49.965, 2.025, 49.985])
    assert cut.shape == (3, 2, 2)
    assert list(cut.indexes["time"]) == [each + timedelta(minutes=5) for each in GAPPY]


def test_dates_are_never_unpickled(tmp_path):
    trap = tmp_path / "trap"
    path = meteonet_file(tmp_path / "x.npz", maps(), [*GAPPY[:2], Runs(trap)])
    with pytest.raises(Invalid, match="its dates cannot be read; give start"):
        meteonet.read(path, north=50.0, west=2.0)
    found = meteonet.read(path, north=50.0, west=2.0, start="2016-08-21T12:00", interval="5min")
    assert list(found.indexes["time"]) == list(pd.date_range(NOON, periods=3, freq="5min"))
    assert not trap.exists()


@pytest.mark.parametrize(
    ("data", "dates", "told"),
    [
        (maps(), GAPPY[::-1], "its dates cannot be read"),
        (maps(), GAPPY[:2], "its dates cannot be read"),
        (maps(), [each + timedelta(minutes=1) for each in GAPPY], "its dates cannot be read"),
        (np.abs(maps()), GAPPY, "has no -1 for what is missing"),
        (maps() * 2, GAPPY, "or other negatives"),
        (maps().astype("f4"), GAPPY, "it is no MeteoNet rain"),
        (np.zeros((200_000, 2, 2), "i2"), GAPPY, "holds 200000 maps of 2 x 2"),
        (maps()[:, :1], GAPPY, "holds 3 maps of 1 x 5"),
    ],
)
def test_french_files_that_are_no_rain_are_refused(tmp_path, data, dates, told):
    with pytest.raises(Invalid, match=told):
        open_any(meteonet_file(tmp_path / "x.npz", data, dates), north=50.0, west=2.0)


def test_french_maps_of_an_unknown_zone_need_their_place(tmp_path):
    path = meteonet_file(tmp_path / "x.npz", maps(), GAPPY)
    with pytest.raises(Invalid, match="4 x 5 is no zone known here"):
        meteonet.read(path)
    with pytest.raises(Invalid, match="does not reach"):
        meteonet.read(path, north=50.0, west=2.0, box=[10, 10, 20, 20])
    with pytest.raises(Invalid, match="start needs interval"):
        meteonet.read(path, north=50.0, west=2.0, start="2016-08-21T12:00")


def test_the_zone_that_is_known_lies_where_its_coordinates_say(shared):
    path = shared / "meteonet" / "data_samples" / "radar" / "radar_coords_NW.npz"
    if not path.exists():
        pytest.skip("the real files are not here")
    with np.load(path, allow_pickle=False) as told:
        lat, lon = meteonet._axes((565, 784), None, None, "x")
        np.testing.assert_allclose(lat[::-1], told["lats"][:, 0], atol=1e-6)
        np.testing.assert_allclose(lon, told["lons"][0], atol=1e-6)
