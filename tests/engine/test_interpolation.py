"""Interpolation against what it must reproduce: planes, constants, the gauges themselves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import engine.methods.interpolation as interpolation
from engine import fields
from engine.bilinear import at_places
from engine.fields import EARTH_RADIUS_KM, Box, Evidence, Grid, Observations, Period, ensemble
from engine.methods import method
from engine.tasks import Task
from engine.values import Invalid, instant

GRID = Grid(Box(110, 30, 112, 31.6), 0.1)
PERIOD = Period(instant("start", "2020-07-01"), instant("end", "2020-07-01T02:00"))
LAT, LON = np.meshgrid(GRID.lat, GRID.lon, indexing="ij")


def gauges_of(values: np.ndarray, lat, lon) -> Observations:
    both = np.stack([values, values], 1) if values.ndim == 1 else values
    return Observations.of(both, [f"G{index}" for index in range(len(lat))], PERIOD.times, lat, lon)


def field_of(values: np.ndarray, grid: Grid = GRID):
    return fields.rain(np.stack([values, values]), PERIOD.times, grid.lat, grid.lon)


@pytest.fixture
def run(monkeypatch):
    """From gauges, backgrounds and settings to the field of the first hour."""

    def result(told=None, background=(), hour: int = 0, **chosen) -> np.ndarray:
        given_ = {"background": {str(index): each for index, each in enumerate(background)}}
        seen = Evidence(GRID, PERIOD, given_, told)
        monkeypatch.setattr(interpolation, "evidence", lambda task: seen)
        task = Task(
            GRID.box,
            GRID.step,
            PERIOD,
            "interpolation",
            tuple(f"small/{index}" for index in given_["background"]),  # pyright: ignore[reportArgumentType]
            None if told is None else "small/gauges",  # pyright: ignore[reportArgumentType]
            members=1,
        )
        return ensemble(method("interpolation", chosen).run(task, 0, [0])).values[0, hour]

    return result


def scattered(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(30.05, 31.55, count), rng.uniform(110.05, 111.95, count)


def cells(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Places at distinct cell centres."""
    chosen = np.random.default_rng(seed).permutation(LAT.size)[:count]
    return LAT.reshape(-1)[chosen], LON.reshape(-1)[chosen]


@pytest.mark.parametrize("kind", ["inverse distance", "nearest", "linear"])
def test_gauges_are_honoured_and_constants_kept(run, kind):
    lat, lon = cells(25, 1)
    values = np.random.default_rng(2).exponential(3, 25)
    rain = run(gauges_of(values, lat, lon), kind=kind)
    np.testing.assert_allclose(at_places(rain, GRID, lat, lon), values, rtol=1e-4)
    assert values.min() - 1e-6 <= rain.min()
    assert rain.max() <= values.max() + 1e-6
    np.testing.assert_allclose(run(gauges_of(np.full(25, 2.5), lat, lon), kind=kind), 2.5, rtol=1e-6)


def test_linear_is_exact_on_planes(run):
    lat, lon = scattered(60, 3)
    corners = np.array([30, 30, 31.6, 31.6]), np.array([110, 112, 110, 112])
    lat, lon = np.r_[lat, corners[0]], np.r_[lon, corners[1]]
    rain = run(gauges_of(1 + 2 * (lat - 30) + 0.5 * (lon - 110), lat, lon), kind="linear")
    np.testing.assert_allclose(rain, 1 + 2 * (LAT - 30) + 0.5 * (LON - 110), rtol=1e-5)


def test_inverse_distance_against_its_formula(run):
    lat, lon = scattered(6, 4)
    values = np.arange(6.0)
    rain = run(gauges_of(values, lat, lon), power=3.0, neighbours=4)
    a, b = np.radians(LAT[5, 7]), np.radians(lat)
    half = np.sin((a - b) / 2) ** 2 + np.cos(a) * np.cos(b) * np.sin(np.radians(LON[5, 7] - lon) / 2) ** 2
    away = 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(half))
    near = np.argsort(away)[:4]
    assert rain[5, 7] == pytest.approx(np.average(values[near], weights=away[near] ** -3.0), rel=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_nearest_takes_one_report(seed):
    with pytest.MonkeyPatch.context() as patch:
        lat, lon = scattered(9, seed)
        seen = Evidence(GRID, PERIOD, {}, gauges_of(np.arange(9.0), lat, lon))
        patch.setattr(interpolation, "evidence", lambda task: seen)
        task = Task(GRID.box, GRID.step, PERIOD, "interpolation", gauges="small/gauges", members=1)  # pyright: ignore[reportArgumentType]
        rain = ensemble(method("interpolation", {"kind": "nearest"}).run(task, 0, [0])).values[0, 0]
    here, there = np.radians(LAT[..., None]), np.radians(lat)
    turn = np.radians(LON[..., None] - lon)
    near = np.sin(here) * np.sin(there) + np.cos(here) * np.cos(there) * np.cos(turn)  # cos of the distance
    taken = np.take_along_axis(near, rain[..., None].astype(int), -1)[..., 0]
    np.testing.assert_allclose(taken, near.max(-1), rtol=0, atol=1e-12)


def test_a_background_alone_is_regridded(run):
    coarse = Grid(GRID.box, 0.2)
    plane = 2 * (coarse.lat[:, None] - 30) + (coarse.lon - 110)
    rain = run(background=[field_of(plane, coarse)])
    wanted = 2 * (LAT - 30) + (LON - 110)
    np.testing.assert_allclose(rain[1:-1, 1:-1], wanted[1:-1, 1:-1], rtol=1e-5)
    lat, lon = scattered(5, 5)
    unused = run(gauges_of(np.full(5, 9.0), lat, lon), [field_of(plane, coarse)], gauges="unused")
    np.testing.assert_array_equal(unused, rain)
    both = run(background=[field_of(plane, coarse), field_of(plane + 2, coarse)])
    np.testing.assert_allclose(both, rain + 1, rtol=1e-5)


def test_residuals_are_added_and_ratios_bounded(run):
    lat, lon = cells(30, 6)
    under = 2 + np.sin(3 * LAT) + np.cos(2 * LON)
    told = at_places(under, GRID, lat, lon)
    added = run(gauges_of(told + 1.5, lat, lon), [field_of(under)], gauges="added")
    np.testing.assert_allclose(added, under + 1.5, rtol=1e-5)
    scaled = run(gauges_of((told + 0.5) * 2 - 0.5, lat, lon), [field_of(under)], gauges="ratio")
    np.testing.assert_allclose(scaled, under * 2, rtol=1e-5)
    wild = run(gauges_of(told * 1000, lat, lon), [field_of(under)], gauges="ratio")
    assert (wild <= under * 5 + 1e-4).all()
    dried = run(gauges_of(np.zeros(30), lat, lon), [field_of(under)], gauges="added")
    assert (dried >= 0).all()
    alone = run(gauges_of(told, lat, lon), [field_of(under)], gauges="alone")
    np.testing.assert_array_equal(alone, run(gauges_of(told, lat, lon)))


def test_what_a_background_does_not_know_comes_from_gauges_or_stays_missing(run):
    under = np.where(LON < 111, np.nan, 1.0)
    assert np.isnan(run(background=[field_of(under)])[:, :9]).all()
    lat, lon = cells(20, 7)
    rain = run(gauges_of(np.full(20, 3.0), lat, lon), [field_of(under)], gauges="added")
    np.testing.assert_allclose(rain, 3.0, rtol=1e-5)


def test_a_gauge_that_says_nothing_has_no_weight(run):
    lat, lon = cells(8, 8)
    values = np.tile(np.arange(8.0)[:, None], (1, 2))
    values[3, 1] = np.nan
    there = lat != lat[3]
    for kind in ("inverse distance", "nearest", "linear"):
        second = run(gauges_of(values, lat, lon), hour=1, kind=kind, neighbours=3)
        without = run(gauges_of(values[there][:, 0], lat[there], lon[there]), kind=kind, neighbours=3)
        if there.sum() == 7:
            np.testing.assert_allclose(second, without, rtol=1e-5)


def test_gauges_on_one_line_have_no_triangles(run):
    lat, lon = np.array([30.5, 30.7, 30.9]), np.array([111.0, 111.0, 111.0])
    rain = run(gauges_of(np.array([1.0, 2.0, 3.0]), lat, lon), kind="linear")
    np.testing.assert_array_equal(np.unique(rain), [1, 2, 3])


def test_needs_gauges_or_a_background():
    task = Task(GRID.box, GRID.step, PERIOD, "interpolation", members=1)
    with pytest.raises(Invalid, match="needs gauges or background"):
        method("interpolation").accept(task)
