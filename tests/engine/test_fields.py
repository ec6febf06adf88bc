"""The words: conventions are kept, and bad values get one line that helps."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.fields import Box, Grid, Observations, Period, Snapshot, check, ensemble, rain, wrap
from engine.values import Invalid


@given(st.floats(-720, 720), st.floats(0.5, 100))
def test_longitudes_come_inside_whatever_convention_they_had(west, width):
    if (west + 180) % 360 + width > 360:
        with pytest.raises(Invalid, match="meridian"):
            Box(west, 0, west + width, 10)
        return
    box = Box(west, 0, west + width, 10)
    assert -180 <= box.west < box.east <= 180
    assert box.east - box.west == pytest.approx(width, abs=1e-6)
    assert wrap(west) == pytest.approx(box.west, abs=1e-6)


def test_a_whole_turn_is_the_globe():
    assert tuple(Box(0, -90, 360, 90)) == (-180, -90, 180, 90)
    assert Box(0, -90, 360, 90).area_km2 == pytest.approx(5.1e8, rel=1e-2)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ((100, 45, 125, 20), "south 45 is not below north 20"),
        ((125, 20, 100, 45), "west 125 is not left of east 100"),
        ((100, 20, 125), "give west, south, east, north"),
        ((100, 20, 125, 95), "box.north: got 95"),
        ((100, 20, "x", 45), "box.east: got 'x'"),
        ((float("nan"), 20, 125, 45), "box.west"),
    ],
)
def test_a_bad_box_is_one_line(value, told):
    with pytest.raises(Invalid, match=told) as refused:
        Box.of(value)
    assert "\n" not in str(refused.value)


def test_a_grid_has_cell_centres_south_to_north():
    grid = Grid(Box(100, 20, 125, 45), 0.1)
    assert grid.shape == (250, 250)
    assert grid.lat[0] == 20.05
    assert grid.lon[-1] == 124.95
    field = rain(np.zeros((1, 250, 250)), ["2020-01-01"], grid.lat, grid.lon)
    assert Grid.of(field) == grid


def test_a_step_that_does_not_fit_names_one_that_does():
    with pytest.raises(Invalid, match=r"0.3 does not divide 25 degrees; 0.30\d+ would"):
        Grid(Box(100, 20, 125, 45), 0.3)


def test_a_period_speaks_of_the_ends_of_intervals():
    period = Period("2020-07-01", "2020-07-01T03:00")
    assert list(period.times) == list(pd.date_range("2020-07-01T01:00", periods=3, freq="1h"))
    beijing = Period("2020-07-01T08:00+08:00", "2020-07-01T11:00+08:00")
    assert beijing == period


@pytest.mark.parametrize("end", ["2020-07-01", "2020-07-01T00:30", "yesterday or so", None])
def test_a_bad_period_is_refused(end):
    with pytest.raises(Invalid, match="period"):
        Period("2020-07-01", end)


def test_check_names_what_is_broken():
    grid = Grid(Box(0, 0, 2, 2), 0.5)
    good = rain(np.zeros((2, 4, 4)), pd.date_range("2020", periods=2, freq="1h"), grid.lat, grid.lon)
    for broken, told in [
        (good.transpose("lat", "lon", "time"), "dimensions"),
        (good.isel(lat=slice(None, None, -1)), "lat"),
        (good.assign_coords(lon=good.lon + 300), "lon"),
        (good.isel(time=[1, 0]), "time"),
        (good.assign_attrs(units="mm"), "units"),
        (good.drop_attrs(), "units"),
    ]:
        with pytest.raises(Invalid, match=f"x.*{told}"):
            check(broken, "x")


def test_gauges_are_selected_by_name_and_place():
    gauges = Observations.of(
        [[1.0, 2.0], [3.0, np.nan]], ["a", "b"], pd.date_range("2020", periods=2, freq="1h"), [1, 5], [359, 3]
    )
    assert gauges.lon[0] == -1
    assert gauges.inside(Box(0, 0, 10, 10)).names == ["b"]
    assert gauges.select(["b"]).values[0, 0] == 3
    later = gauges.at(pd.date_range("2020-01-01T01:00", periods=2, freq="1h"))
    assert later.values[0, 0] == 2
    assert np.isnan(later.values[:, 1]).all()
    with pytest.raises(Invalid, match="'a' stands twice"):
        Observations.of(np.zeros((2, 1)), ["a", "a"], ["2020"], [1, 2], [1, 2])


def test_an_ensemble_is_put_together_in_order():
    grid = Grid(Box(0, 0, 2, 2), 0.5)
    parts = []
    for member in (2, 0, 1):
        one = rain(np.full((1, 1, 4, 4), float(member)), ["2020"], grid.lat, grid.lon).assign_coords(
            member=[member]
        )
        parts.append(Snapshot((len(parts) + 1) / 3, members=one))
    whole = ensemble(parts)
    assert whole.dims == ("member", "time", "lat", "lon")
    assert list(whole[:, 0, 0, 0].values) == [0, 1, 2]
    with pytest.raises(Invalid):
        ensemble([Snapshot(1.0)])
