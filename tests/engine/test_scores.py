"""Scores at gauges, against formulas written out."""

import numpy as np
import pandas as pd
import pytest

from engine.diagnostics.scores import at_gauges, of_run
from engine.diagnostics.tables import Table
from engine.fields import Box, Grid, Observations, rain
from engine.values import Invalid

GRID = Grid(Box(110, 28, 114, 32), 0.5)
TIMES = pd.date_range("2020-07-01T01:00", periods=5, freq="1h")


def gauges(values, lat, lon):
    return Observations.of(values, [f"g{i}" for i in range(len(lat))], TIMES, lat, lon)


def test_a_plane_is_read_exactly_between_centres():
    plane = GRID.lat[:, None] * 2 + GRID.lon[None, :] * 3
    field = rain(np.broadcast_to(plane, (5, *plane.shape)), TIMES, GRID.lat, GRID.lon)
    lat, lon = np.array([28.9, 30.13]), np.array([111.1, 112.77])
    read = at_gauges(field, gauges(np.zeros((2, 5)), lat, lon))
    np.testing.assert_allclose(read.values, np.broadcast_to((2 * lat + 3 * lon)[:, None], (2, 5)))
    edge = at_gauges(field, gauges(np.zeros((1, 5)), [28.0], [110.0]))
    assert float(edge[0, 0]) == plane[0, 0]


def test_scores_equal_their_formulas():
    random = np.random.default_rng(1)
    size, places = 7, 12
    values = random.gamma(0.7, 2, (size, 5, 1, 1)) * np.ones((1, 1, *GRID.shape))
    observed = random.gamma(0.7, 2, (places, 5))
    observed[0, 0] = np.nan
    lat, lon = random.uniform(28.5, 31.5, places), random.uniform(110.5, 113.5, places)
    rows = {
        row["metric"]: row
        for row in of_run(rain(values, TIMES, GRID.lat, GRID.lon), gauges(observed, lat, lon), {})
    }
    members = values[:, :, 0, 0].T  # time, member
    known = np.isfinite(observed)
    first = np.abs(members[None] - observed[..., None]).mean(-1)
    pairs = np.abs(members[:, :, None] - members[:, None]).sum((1, 2)) / (2 * size * (size - 1))
    assert rows["CRPS"]["value"] == pytest.approx((first - pairs[None])[known].mean())
    error = members.mean(1)[None] - observed
    assert rows["MAE of the mean"]["value"] == pytest.approx(np.abs(error[known]).mean())
    variance = np.broadcast_to(members.var(1, ddof=1)[None] * (size + 1) / size, observed.shape)
    honest = np.sqrt(variance[known].mean() / (error[known] ** 2).mean())
    assert rows["spread/skill"]["value"] == pytest.approx(honest)
    assert all(row["low"] <= row["value"] <= row["high"] for row in rows.values())
    assert rows["CRPS"]["n"] == places * 5 - 1


def test_an_honest_ensemble_has_spread_over_skill_one():
    random = np.random.default_rng(2)
    truth = random.normal(10, 2, (400, 5))
    lat, lon = random.uniform(28.5, 31.5, 400), random.uniform(110.5, 113.5, 400)
    values = random.normal(10, 2, (8, 5, 1, 1)) * np.ones((1, 1, *GRID.shape))
    rows = {
        row["metric"]: row["value"]
        for row in of_run(rain(values, TIMES, GRID.lat, GRID.lon), gauges(truth, lat, lon), {})
    }
    assert rows["spread/skill"] == pytest.approx(1, abs=0.25)


def test_one_member_is_scored_by_its_error():
    field = rain(np.ones((1, 5, *GRID.shape)), TIMES, GRID.lat, GRID.lon)
    rows = {
        row["metric"]: row["value"]
        for row in of_run(field, gauges(np.zeros((3, 5)), [29, 30, 31], [111] * 3), {})
    }
    assert "spread/skill" not in rows
    assert rows["CRPS"] == 1


def test_raw_fields_are_scored_at_the_same_gauges_and_hours():
    field = rain(np.ones((2, 5, *GRID.shape)), TIMES, GRID.lat, GRID.lon)
    radar = field.isel(member=0, drop=True).copy()
    radar[:2] = np.nan
    observed = gauges(np.zeros((3, 5)), [29, 30, 31], [111] * 3)
    rows = of_run(field, observed, {"radar": radar})
    assert {row["n"] for row in rows} == {9}
    with pytest.raises(Invalid, match="none of the gauges"):
        of_run(field, gauges(np.full((1, 5), np.nan), [29], [111]), {})


def test_a_gauge_outside_the_field_is_not_read():
    field = rain(np.ones((5, *GRID.shape)), TIMES, GRID.lat, GRID.lon)
    read = at_gauges(field, gauges(np.zeros((3, 5)), [28.1, 27.9, 60], [110.1, 111, 111]))
    assert np.isfinite(read).all("time").values.tolist() == [True, False, False]


def test_a_table_lines_up_chinese_and_numbers():
    text = Table.of(
        [{"name": "雨", "value": 1.23456}, {"name": "rain", "value": float("nan")}, {"other": 3}]
    ).text()
    lines = text.splitlines()
    assert lines[0].split() == ["name", "value", "other"]
    assert lines[2].startswith("雨    1.235")
    assert lines[3].split() == ["rain", "-", "-"]
