"""Pictures are exact where they can be: rows in Mercator, classes at their edges, statistics of members."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from app import raster
from app.theme import RAIN
from engine.fields import Box, Grid

GRID = Grid(Box(100, 20, 125, 45), 0.5)


def rows_and_heights():
    rows = raster.Rows.of(GRID.lat, GRID.lon)
    count = rows.lower.size
    return rows, rows.bottom + (np.arange(count) + 0.5) * rows.height / count


def test_mercator_goes_there_and_back():
    lat, lon = np.linspace(-80, 80, 33), np.linspace(-180, 180, 33)
    np.testing.assert_allclose(raster.to_lat(raster.to_y(lat)), lat, atol=1e-9)
    np.testing.assert_allclose(raster.to_lon(raster.to_x(lon)), lon, atol=1e-9)


def test_web_mercator_ends_where_the_world_is_square():
    assert raster.to_y(85.05112878) == pytest.approx(raster.to_x(180.0), rel=1e-5)


def test_a_field_linear_in_y_is_resampled_exactly():
    rows, heights = rows_and_heights()
    field = np.repeat(raster.to_y(GRID.lat)[:, None], GRID.shape[1], axis=1)
    inner = (heights >= field[0, 0]) & (heights <= field[-1, 0])
    np.testing.assert_allclose(rows(field)[inner], np.repeat(heights[inner][:, None], GRID.shape[1], axis=1))
    assert inner.sum() >= inner.size - 2


def test_rows_never_exceed_the_field():
    rows, _ = rows_and_heights()
    field = np.random.default_rng(1).gamma(0.3, 2, GRID.shape)
    assert rows(field).max() <= field.max()
    assert rows(field).min() >= field.min()


def test_pixels_are_about_square():
    rows, _ = rows_and_heights()
    assert rows.height / rows.lower.size == pytest.approx(rows.width / GRID.shape[1], rel=0.02)


def test_missing_stays_where_it_is():
    rows, _ = rows_and_heights()
    field = np.ones(GRID.shape)
    field[:25] = np.nan
    picture = rows(field)
    missing = np.isnan(picture).mean()
    south, middle, north = raster.to_y(np.array([20, 32.5, 45]))
    assert missing == pytest.approx((middle - south) / (north - south), abs=0.01)


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_a_class_begins_at_its_edge(kind):
    edges = np.array(RAIN.edges, dtype=kind)
    at = raster.classes(edges, RAIN.edges)
    below = raster.classes(np.nextafter(edges, np.zeros(1, kind)), RAIN.edges)
    np.testing.assert_array_equal(at, np.arange(1, len(edges) + 1))
    np.testing.assert_array_equal(below, np.arange(len(edges)))


def test_dry_is_clear_missing_is_no_class_of_rain_and_the_top_is_open():
    numbers = raster.classes(np.array([0.0, 0.05, np.nan, 1e6]), RAIN.edges)
    assert numbers.tolist() == [0, 0, len(RAIN.edges) + 1, len(RAIN.edges)]
    assert numbers.dtype == np.uint8
    assert len(RAIN.palette) == len(RAIN.edges) + 2


MEMBERS = np.random.default_rng(2).gamma(0.4, 3, (16, 12, 9)).astype("float32")


@pytest.mark.parametrize("level", [10, 50, 90])
@pytest.mark.parametrize("count", [1, 2, 5, 16])
def test_quantiles_are_numpys(level, count):
    ours = raster.statistic(MEMBERS[:count], f"p{level}")
    np.testing.assert_allclose(ours, np.quantile(MEMBERS[:count], level / 100, axis=0), rtol=1e-5)


def test_the_other_statistics_are_numpys():
    np.testing.assert_allclose(raster.statistic(MEMBERS, "mean"), MEMBERS.mean(0))
    np.testing.assert_allclose(raster.statistic(MEMBERS, "spread"), MEMBERS.std(0, ddof=1))
    np.testing.assert_allclose(raster.statistic(MEMBERS, "above", above=2), (MEMBERS > 2).mean(0))
    np.testing.assert_array_equal(raster.statistic(MEMBERS, "member", member=3), MEMBERS[3])


@pytest.mark.parametrize("name", raster.STATISTICS)
def test_where_a_member_is_missing_so_is_the_statistic(name):
    members = MEMBERS.copy()
    members[:, 4, 5] = np.nan
    missing = np.isnan(raster.statistic(members, name))
    assert missing[4, 5]
    assert missing.sum() == 1


def test_one_member_has_no_spread():
    assert np.isnan(raster.statistic(MEMBERS[:1], "spread")).all()


def test_the_mean_of_a_domain_weighs_area_and_skips_what_is_missing():
    field = np.repeat(GRID.lat[:, None], GRID.shape[1], axis=1)
    weights = np.cos(np.radians(field))
    assert raster.area_mean(field, GRID.lat) == pytest.approx((field * weights).sum() / weights.sum())
    field[:, :20] = np.nan
    assert raster.area_mean(field, GRID.lat) == pytest.approx(np.average(GRID.lat, weights=weights[:, 0]))


# The coast


def inside(lon: float, lat: float) -> bool:
    """Whether a place is land: it lies in an odd number of rings."""
    with np.load(raster.COASTLINES) as stored:
        points, starts = stored["land"], stored["land_starts"]
    crossings = 0
    for first, last in pairwise(starts):
        (x0, y0), (x1, y1) = points[first : last - 1].T, points[first + 1 : last].T
        cut = (y0 > lat) != (y1 > lat)
        crossings += int((x0[cut] + (lat - y0[cut]) * (x1[cut] - x0[cut]) / (y1[cut] - y0[cut]) > lon).sum())
    return crossings % 2 == 1


@pytest.mark.parametrize(
    ("lon", "lat", "land"), [(116.4, 39.9, True), (114.3, 30.6, True), (123, 33, False), (50.5, 42, False)]
)
def test_the_land_is_where_it_should_be(lon, lat, land):
    assert inside(lon, lat) is land


def test_rings_are_closed_and_the_file_is_plain():
    with np.load(raster.COASTLINES, allow_pickle=False) as stored:
        points, starts = stored["land"], stored["land_starts"]
        assert starts[-1] == len(points)
        np.testing.assert_array_equal(points[starts[:-1]], points[starts[1:] - 1])
        assert stored["borders_starts"][-1] == len(stored["borders"])


def test_shores_are_cut_to_the_box():
    box = Box(100, 20, 125, 45)
    left, bottom, right, top = raster.extent(box)
    shores = raster.shores(box)
    assert shores.land
    assert shores.coasts
    assert shores.borders
    for area in shores.land:
        assert (area >= (left - 1, bottom - 1)).all()
        assert (area <= (right + 1, top + 1)).all()


def test_no_coast_runs_along_the_seam_of_the_world():
    for line in raster.shores(Box(-180, -85, 180, 85)).coasts:
        lon = np.abs(raster.to_lon(line[:, 0]))
        assert not ((lon[1:] > 179.999) & (lon[:-1] > 179.999)).any()
