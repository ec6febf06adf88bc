"""Rain maps in GeoTIFF as archives give them, and what lies beside and behind such a file."""

import numpy as np
import pandas as pd
import pytest

from engine.fields import Box, check
from engine.quantities import notes
from engine.reading import guard
from engine.sources import geotiff, open_any
from engine.values import Invalid

rasterio = pytest.importorskip("rasterio")
NUMBERS = np.arange(30, dtype=np.float32).reshape(5, 6)
TOLD = {"unit": "mm", "start": "2020-01-01", "interval": "1D"}


def image(path, bands=(NUMBERS,), west=10.0, tags=None, said=None, **about):
    """Maps of 5 x 6 cells of half a degree, from 50 degrees north downwards."""
    rows, columns = bands[0].shape
    profile = {"driver": "GTiff", "width": columns, "height": rows, "count": len(bands), "crs": "EPSG:4326"}
    profile |= {"dtype": bands[0].dtype, "transform": rasterio.transform.from_origin(west, 50, 0.5, 0.5)}
    units = about.pop("units", None)
    with rasterio.open(path, "w", **profile | about) as file:
        file.write(np.stack(bands))
        file.update_tags(**tags or {})
        for number, text in enumerate(said or [], 1):
            file.set_band_description(number, text)
        if units:
            file.units = units
    return path


def test_marks_that_no_rain_can_be_are_missing_and_told(tmp_path):
    marked = np.where(NUMBERS < 2, np.float32(-9999), NUMBERS)
    found = geotiff.read(image(tmp_path / "x", [marked]), **TOLD)
    np.testing.assert_allclose(found.values[0], np.where(NUMBERS < 2, np.nan, NUMBERS)[::-1] / 24, rtol=1e-6)
    assert "-9999 was taken for missing, 2 in its band" in notes(found)
    assert not notes(geotiff.read(image(tmp_path / "y", [marked], nodata=-9999), **TOLD))
    imerg = image(tmp_path / "w", [np.where(NUMBERS < 2, np.float32(-9999.9), NUMBERS)])
    np.testing.assert_array_equal(
        np.isnan(geotiff.read(imerg, **TOLD, missing=-9999.9)[0]), NUMBERS[::-1] < 2
    )
    with pytest.raises(Invalid, match=r"holds -0\.20"):
        geotiff.read(image(tmp_path / "z", [np.where(NUMBERS < 2, np.float32(-5), NUMBERS)]), **TOLD)


def test_tenths_in_whole_numbers_with_a_mark_of_their_own(tmp_path):
    tenths = np.where(NUMBERS == 7, 29999, 10 * NUMBERS).astype(np.uint16)
    path = image(tmp_path / "x", [tenths])
    with pytest.raises(Invalid, match=r"no unit; give unit, as mm, mm/h, or 0\.1 mm where whole numbers"):
        geotiff.read(path, start="2020-01-01", interval="30min")
    found = geotiff.read(path, unit="0.1 mm", missing=29999, start="2020-01-01", interval="30min")
    np.testing.assert_allclose(found.values[0], 2 * np.where(NUMBERS == 7, np.nan, NUMBERS)[::-1], rtol=1e-6)
    assert found.attrs["units_found"] == "0.1 mm"


@pytest.mark.parametrize("lazy", [False, True])
def test_a_high_number_that_mostly_stands_for_missing_is_never_taken_for_rain(tmp_path, lazy, monkeypatch):
    if lazy:
        monkeypatch.setattr(geotiff, "LAZY", 0)
    numbers = np.array([[0, 29999, 5], [12, 0, 0]], "u2")
    path = image(tmp_path / "x.tif", (numbers,))
    about = {"unit": "0.1 mm", "start": "2020-01-01", "interval": "1D"}
    with pytest.raises(Invalid, match=r"highest number is 29999.*give missing=29999, or missing=-9999"):
        geotiff.read(path, **about).load()
    assert int(np.isnan(geotiff.read(path, **about, missing=29999)).sum()) == 1
    assert float(geotiff.read(path, **about, missing=-9999).max()) == pytest.approx(2999.9 / 24)


def test_a_time_in_a_tag_or_a_description_is_taken_for_what_is_told(tmp_path):
    path = image(tmp_path / "x", tags={"TIFFTAG_DATETIME": "2020:01:02 06:00:00"})
    with pytest.raises(Invalid, match=r"says 2020-01-02 06:00:00, but not of what; give stamp"):
        geotiff.read(path, unit="mm")
    for stamp, end in (("start", "2020-01-02T09:00"), ("end", "2020-01-02T06:00")):
        found = geotiff.read(path, unit="mm", stamp=stamp, interval="3h")
        assert list(found.indexes["time"]) == [pd.Timestamp(end)]
    days = image(tmp_path / "y", [NUMBERS, NUMBERS], said=["rain 2020-01-01", "rain 2020-01-02"])
    with pytest.raises(Invalid, match="but not of what; give stamp, start or end"):
        geotiff.read(days, unit="mm")
    found = geotiff.read(days, unit="mm", stamp="start")
    assert list(found.indexes["time"]) == [pd.Timestamp("2020-01-02"), pd.Timestamp("2020-01-03")]
    assert found.attrs["interval"] == "24h"


def test_months_last_as_long_as_they_do(tmp_path):
    path = image(tmp_path / "x", [NUMBERS * 31, NUMBERS * 29])
    found = geotiff.read(path, unit="mm", start="2020-01-01", interval="1mo")
    np.testing.assert_allclose(found.values, np.stack([NUMBERS[::-1] / 24] * 2), rtol=1e-6)
    assert list(found.indexes["time"]) == [pd.Timestamp("2020-02-01"), pd.Timestamp("2020-03-01")]
    assert found.attrs["interval"] == "1mo"


def test_a_part_in_a_box_is_all_that_is_read(tmp_path):
    path = image(tmp_path / "x")
    whole = geotiff.read(path, **TOLD)
    found = geotiff.read(path, **TOLD, box=Box(10.5, 48.1, 12, 49.5))
    np.testing.assert_array_equal(found, whole.sel(lat=slice(48.1, 49.5), lon=slice(10.5, 12)))
    assert found.shape == (1, 3, 3)
    with pytest.raises(Invalid, match="does not reach"):
        geotiff.read(path, **TOLD, box=Box(0, 0, 1, 1))


def test_columns_that_begin_at_greenwich_are_put_in_order(tmp_path):
    globe = np.arange(2 * 720, dtype=np.float32).reshape(2, 720) / 100
    path = image(tmp_path / "x", [globe], west=0.0)
    found = check(geotiff.read(path, **TOLD))
    assert found.lon.values[0] == -179.75
    np.testing.assert_allclose(found.values[0] * 24, np.roll(globe, 360, 1)[::-1], rtol=1e-6)
    part = geotiff.read(path, **TOLD, box=Box(-20, 49, -10, 50))
    np.testing.assert_array_equal(part, found.sel(lon=slice(-20, -10)))
    with pytest.raises(Invalid, match="its columns begin within"):
        geotiff.read(path, **TOLD, box=Box(-10, 49, 10, 50))


def test_a_large_stack_is_read_when_it_is_looked_at(tmp_path, monkeypatch):
    path = image(tmp_path / "x", [NUMBERS, NUMBERS + 1])
    whole = geotiff.read(path, **TOLD)
    monkeypatch.setattr(geotiff, "LAZY", 10)
    found = geotiff.read(path, **TOLD)
    assert found.chunks is not None
    np.testing.assert_array_equal(found.values, whole.values)


def test_terrain_is_no_rain(tmp_path):
    heights = image(tmp_path / "x", [NUMBERS * 100])
    with pytest.raises(Invalid, match="if its 0 to 2900 are heights of terrain, it is no rain"):
        geotiff.read(heights, start="2020-01-01", interval="1D")
    metres = image(tmp_path / "y", [NUMBERS * 100], units=["m"])
    with pytest.raises(Invalid, match="reaches 2900 m, which is terrain and no rain"):
        geotiff.read(metres, start="2020-01-01", interval="1D")


@pytest.mark.parametrize(
    ("about", "told"),
    [
        ({"crs": None}, "does not say its coordinate system"),
        ({"crs": "EPSG:3857"}, "not on latitude and longitude"),
        ({"dtype": "complex64"}, "store them as plain numbers"),
    ],
)
def test_what_is_no_map_of_rain_is_refused(tmp_path, about, told):
    image(tmp_path / "x", **about)
    with pytest.raises(Invalid, match=told):
        geotiff.read(tmp_path / "x", **TOLD)


def test_a_picture_without_a_place_is_refused_in_one_line(tmp_path):
    from PIL import Image

    Image.fromarray(NUMBERS.astype(np.uint8)).save(tmp_path / "x", "tiff")
    with pytest.raises(Invalid, match="does not say its coordinate system"):
        open_any(tmp_path / "x", **TOLD)


def test_nothing_beside_the_file_is_read(tmp_path):
    """A folder may hold overviews, masks, georeferences and metadata of another's making."""
    path = image(tmp_path / "x.tif", said=None)
    whole = geotiff.read(path, **TOLD)
    image(tmp_path / "x.tif.msk", [np.zeros((5, 6), np.uint8)])
    image(tmp_path / "x.tif.ovr", [np.full((3, 3), 99, np.float32)])
    (tmp_path / "x.tfw").write_text("1\n0\n0\n-1\n100\n10\n")
    (tmp_path / "x.tif.aux.xml").write_text(
        "<PAMDataset><Metadata><MDI key='interval'>1h</MDI></Metadata><PAMRasterBand band='1'>"
        "<NoDataValue>3</NoDataValue><UnitType>mm</UnitType><Scale>10</Scale></PAMRasterBand></PAMDataset>"
    )
    found = geotiff.read(path, **TOLD)
    np.testing.assert_array_equal(found, whole)
    np.testing.assert_array_equal(found.lat, whole.lat)
    with pytest.raises(Invalid, match="no unit"):
        geotiff.read(path, start="2020-01-01", interval="1D")


def test_a_small_file_that_claims_much_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = image(
        tmp_path / "x", [np.zeros((512, 512), np.float32)], compress="deflate", sparse_ok=True, tiled=True
    )
    monkeypatch.setattr(guard, "SMALL_BYTES", 1000)
    with pytest.raises(Invalid, match="claims 1 MB in a small file"):
        geotiff.read(path, **TOLD)
    monkeypatch.setattr(guard, "MOST_CELLS", 30_000)
    with pytest.raises(Invalid, match="256 x 256 cells are too many"):
        geotiff.read(path, **TOLD, box=Box(10, 45, 12, 50))


def test_a_cut_file_is_told_in_one_line(tmp_path):
    path = image(tmp_path / "x", [np.ones((50, 60), np.float32)])
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(Invalid, match="may be damaged") as refused:
        open_any(path, **TOLD)
    assert "\n" not in str(refused.value)
