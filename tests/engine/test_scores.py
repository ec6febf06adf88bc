"""Scores against formulas written out as plain loops: ties, zeros, holes, few members, grids."""

import itertools

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from engine.diagnostics import tally as counting
from engine.diagnostics.blocks import Blocks
from engine.diagnostics.reliability import expected_frequency, pit_histogram, rank_histogram, roc
from engine.diagnostics.scores import at_gauges, card, jointly
from engine.diagnostics.tables import Table
from engine.diagnostics.tally import grades, tally
from engine.fields import Box, Grid, Observations, rain
from engine.values import Invalid

GRID = Grid(Box(110, 28, 114, 32), 0.5)
TIMES = pd.date_range("2020-07-01T01:00", periods=5, freq="1h")
THRESHOLDS = (0.2, 1.6, 7.0)


def gauges(values, lat, lon):
    return Observations.of(values, [f"g{i}" for i in range(len(lat))], TIMES, lat, lon)


def reports(size, places=12, hours=25, seed=1):
    """Members and reports in tips of 0.2 mm, half of them dry, many tied, some missing."""
    random = np.random.default_rng((size, seed))
    values = np.maximum(random.gamma(0.6, 5, (size + 1, places, hours)) - 1, 0)
    values = (np.round(values * 5) / 5).astype(np.float32)
    values[0][random.random((places, hours)) < 0.1] = np.nan
    values[-1][random.random((places, hours)) < 0.05] = np.nan
    times = {"time": pd.date_range("2020-07-01T01:00", periods=hours, freq="1h")}
    ensemble = xr.DataArray(values[1:], times, ("member", "gauge", "time"))
    return ensemble, xr.DataArray(values[0], times, ("gauge", "time"))


def told(judged):
    return {(row["metric"], row["threshold"], row["scale"]): row for row in card(judged).rows}


def value(rows, metric, threshold=None, scale=None):
    return rows[metric, threshold, scale]["value"]


def cases(ensemble, observed):
    """Every case that is known, as members and a report."""
    members, report = ensemble.values.astype(float), observed.values.astype(float)
    known = np.isfinite(members).all(0) & np.isfinite(report)
    return members[:, known].T, report[known]


def crps(members, report):
    size = len(members)
    first = sum(abs(each - report) for each in members) / size
    pairs = sum(abs(one - other) for one, other in itertools.permutations(members, 2))
    return first - (pairs / (2 * size * (size - 1)) if size > 1 else 0)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_scores_equal_their_formulas(size):
    ensemble, observed = reports(size)
    rows = told(tally(ensemble, observed, THRESHOLDS))
    members, report = cases(ensemble, observed)
    mean = members.mean(1)
    wanted = {
        "CRPS": np.mean([crps(*each) for each in zip(members, report, strict=True)]),
        "MAE of the mean": np.abs(mean - report).mean(),
        "bias of the mean": (mean - report).mean(),
        "RMSE of the mean": np.sqrt(((mean - report) ** 2).mean()),
        "correlation of the mean": np.corrcoef(mean, report)[0, 1],
    }
    if size > 1:
        spread = members.var(1, ddof=1).mean() * (size + 1) / size
        wanted["spread/skill"] = np.sqrt(spread / ((mean - report) ** 2).mean())
    else:
        assert not {"spread/skill", "above all members", "fair Brier"} & {metric for metric, *_ in rows}
    assert {name: value(rows, name) for name in wanted} == pytest.approx(wanted, abs=1e-6)
    assert rows["CRPS", None, None]["n"] == len(report)
    assert rows["CRPS", None, None]["left out"] == pytest.approx(1 - len(report) / observed.size)
    for row in rows.values():
        assert (row["value"] != row["value"]) == bool(row["why"])
        assert not row["low"] > row["value"]
        assert not row["high"] < row["value"]


@pytest.mark.parametrize("size", [1, 2, 7])
def test_scores_of_events_equal_their_formulas(size):
    ensemble, observed = reports(size)
    rows = told(tally(ensemble, observed, THRESHOLDS))
    members, report = cases(ensemble, observed)
    for level in THRESHOLDS:
        said, seen = (members >= np.float32(level)).mean(1), report >= np.float32(level)
        tails = zip(np.maximum(members, level), np.maximum(report, level), strict=True)
        chances = {chance: seen[said == chance] for chance in np.unique(said)}
        hits, alarms = (seen & (said >= 0.5)).sum(), (said >= 0.5).sum()
        lucky = alarms * seen.sum() / len(seen)
        pairs = said[seen][:, None] - said[~seen]
        wanted = {
            "CRPS above": np.mean([crps(*each) for each in tails]),
            "Brier": ((said - seen) ** 2).mean(),
            "reliability part": sum(len(y) * (p - y.mean()) ** 2 for p, y in chances.items()) / len(seen),
            "resolution part": sum(len(y) * (y.mean() - seen.mean()) ** 2 for y in chances.values())
            / len(seen),
            "uncertainty part": seen.mean() * (1 - seen.mean()),
            "area under ROC": ((pairs > 0) + 0.5 * (pairs == 0)).mean(),
            "member frequency bias": said.sum() / seen.sum(),
            "frequency bias": alarms / seen.sum(),
            "POD": hits / seen.sum(),
            "CSI": hits / (alarms + seen.sum() - hits),
            "ETS": (hits - lucky) / (alarms + seen.sum() - hits - lucky),
        }
        if alarms:
            wanted["FAR"] = 1 - hits / alarms
        if size > 1:
            wanted["fair Brier"] = wanted["Brier"] - (said * (1 - said)).mean() / (size - 1)
        assert {name: value(rows, name, level) for name in wanted} == pytest.approx(wanted, abs=1e-6)
        parts = (value(rows, f"{name} part", level) for name in ("reliability", "resolution", "uncertainty"))
        assert np.dot(list(parts), [1, -1, 1]) == pytest.approx(wanted["Brier"])


def test_dry_meets_dry_is_scored_right():
    """Of a dry report and of dry members the CRPS is that of any other number; ranks are drawn alike."""
    ensemble, observed = reports(7)
    dry = xr.zeros_like(observed)
    rows = told(tally(ensemble * 0, dry, THRESHOLDS))
    members, _ = cases(ensemble, dry)
    assert value(rows, "CRPS") == 0
    mixed = told(tally(ensemble, dry, THRESHOLDS))
    assert value(mixed, "CRPS") == pytest.approx(np.mean([crps(each, 0.0) for each in members]), abs=1e-6)
    for histogram in (rank_histogram, pit_histogram):
        table = histogram(tally(ensemble.fillna(0) * 0, dry, ())).frame()
        assert (table["share"].between(table["envelope low"], table["envelope high"])).mean() > 0.8
        assert table["share"].max() < 0.2
    drizzle = told(tally(xr.full_like(ensemble, 0.05), dry, ()))  # no gauge can tell it from zero
    assert value(drizzle, "below all members") == pytest.approx(1 / 8, abs=0.06)


def test_what_is_not_defined_is_missing_and_says_why():
    ensemble, observed = reports(3)
    rows = told(tally(ensemble * 0, xr.zeros_like(observed), THRESHOLDS))
    for metric in ("correlation of the mean", "spread/skill"):
        assert np.isnan(value(rows, metric))
        assert rows[metric, None, None]["why"]
    assert rows["POD", 1.6, None]["why"] == "no observation reaches the threshold"
    assert rows["FAR", 1.6, None]["why"] == "no observation reaches the threshold"
    silent = told(tally(ensemble * 0, observed, THRESHOLDS))
    assert silent["FAR", 1.6, None]["why"] == "no member reaches the threshold"
    assert value(silent, "POD", 1.6) == 0
    with pytest.raises(Invalid, match="none of the gauges"):
        tally(ensemble, observed * np.nan)
    with pytest.raises(Invalid, match="none of the gauges"):
        tally(ensemble.where(ensemble.member > 0), observed)
    with pytest.raises(Invalid, match="not at the same places and times"):
        tally(ensemble.isel(time=slice(4)), observed)


def test_missing_is_left_out_and_never_dry():
    ensemble, observed = reports(5)
    holes = observed.copy()
    holes[:, :9] = np.nan
    cut = told(tally(ensemble.isel(time=slice(9, None)), observed.isel(time=slice(9, None)), THRESHOLDS))
    for key, row in told(tally(ensemble, holes, THRESHOLDS)).items():
        if row["metric"] not in ("above all members", "below all members", "mean rank", "rank variance"):
            assert row["value"] == pytest.approx(cut[key]["value"], nan_ok=True), key


def field(values):
    grid = Grid(Box(110, 28, 114, 31), 0.1)
    return rain(values, pd.date_range("2020-07-01", periods=values.shape[-3], freq="1h"), grid.lat, grid.lon)


def frames(size=4, hours=6, seed=3):
    random = np.random.default_rng(seed)
    values = np.maximum(random.gamma(0.6, 5, (size + 1, hours, 30, 40)) - 1, 0).astype(np.float32)
    return field(values[1:]), field(values[0])


def test_a_grid_and_gauges_are_scored_alike(monkeypatch):
    """The same numbers as places of a grid and as gauges; and read in one slab or hour by hour."""
    ensemble, observed = frames()
    flat = (
        each.stack(gauge=("lat", "lon")).drop_vars(["gauge", "lat", "lon"]) for each in (ensemble, observed)
    )
    at_places, on_cells = told(tally(*flat, THRESHOLDS)), told(tally(ensemble, observed, THRESHOLDS))
    monkeypatch.setattr(counting, "SLAB", 1)
    slabs = told(tally(ensemble, observed, THRESHOLDS))
    drawn = ("above all members", "below all members", "mean rank", "rank variance")  # ties at random
    for key, row in on_cells.items():
        assert slabs[key]["value"] == pytest.approx(row["value"], abs=0.02 if key[0] in drawn else 1e-9)
        if key[0] != "FSS":
            assert at_places[key]["value"] == pytest.approx(
                row["value"], abs=0.02 if key[0] in drawn else 1e-6
            )


def test_fractions_skill_equals_the_library_and_its_formula():
    from scores.spatial import fss_2d

    ensemble, observed = frames(1)
    judged = tally(ensemble, observed, (1.6,), scales_km=(10.0, 50.0))
    rows = told(judged)
    assert judged.scales == (10.0, 50.0)
    for scale, window in ((10.0, (1, 1)), (50.0, (4, 5))):
        theirs = fss_2d(
            ensemble[0], observed, event_threshold=1.6, window_size=window, spatial_dims=("lat", "lon"),
            threshold_operator=np.greater_equal, reduce_dims="all",
        )  # fmt: skip
        assert value(rows, "FSS", 1.6, scale) == pytest.approx(float(theirs), abs=1e-9)
    one, other = ((each.values >= np.float32(1.6)).astype(float) for each in (ensemble[0], observed))
    plain = 1 - ((one - other) ** 2).sum() / (one.sum() + other.sum())
    assert value(rows, "FSS", 1.6, 10.0) == pytest.approx(plain)


def test_blocks_hold_whole_gauges_or_tiles():
    grid = Grid(Box(100, 20, 130, 35), 0.5)  # some 3000 x 1700 km
    times = pd.date_range("2020-07-01", periods=12, freq="1h")
    observed = rain(np.ones((12, 30, 60), np.float32), times, grid.lat, grid.lon)
    blocks = Blocks.of(observed)
    assert np.bincount(blocks.place).tolist() == [15 * 15] * 8
    assert blocks.time.tolist() == [0] * 6 + [1] * 6
    assert tally(observed, observed).blocks == 8 * 2
    few = tally(*(each.isel(gauge=slice(3)) for each in reports(3)))
    assert np.isnan([row["low"] for row in card(few).rows]).all()


def test_an_interval_holds_the_truth_as_often_as_it_says():
    """Whole gauges go together: reports of one gauge share an error, and the interval knows it."""
    random, hits = np.random.default_rng(5), 0
    times = {"time": pd.date_range("2020-07-01", periods=20, freq="1h")}
    for _ in range(60):
        error = random.normal(0, 1, (40, 1)) + random.normal(0, 0.3, (40, 20))
        forecast = xr.DataArray(10 + error[None], times, ("member", "gauge", "time"))
        judged = tally(forecast, xr.full_like(forecast[0], 10.0), ())
        row = told(judged)["bias of the mean", None, None]
        hits += row["low"] <= 0 <= row["high"]
    assert 0.85 <= hits / 60 <= 1


def test_the_frequency_to_be_expected_is_that_of_exchanging():
    """Counted over every way to call one of M + 1 values the report."""
    random = np.random.default_rng(2)
    pools = random.random((50, 5)) < random.random((50, 1))
    counted = np.zeros((5, 2))
    for pool in pools:
        for report in range(5):
            counted[pool.sum() - pool[report], int(pool[report])] += 1 / 5
    found = np.zeros((5, 2))
    for pool in pools:
        found[pool[1:].sum(), int(pool[0])] += 1
    np.testing.assert_allclose(expected_frequency(found), counted)


def test_the_roc_begins_with_every_alarm_and_ends_with_none():
    ensemble, observed = reports(7)
    judged = tally(ensemble, observed, THRESHOLDS)
    curve = roc(judged, 1.6).frame()
    assert curve[["POFD", "POD"]].iloc[0].tolist() == [1, 1]
    assert curve[["POFD", "POD"]].iloc[-1].tolist() == [0, 0]
    area = -np.trapezoid(curve["POD"], curve["POFD"])
    assert area == pytest.approx(value(told(judged), "area under ROC", 1.6))


def test_grades_follow_the_interval():
    assert grades("1h") == (0.1, 1.6, 7.0, 15.0, 40.0, 50.0)
    assert grades("24h")[2] == pytest.approx(25 / 24)
    assert grades("5min") == grades("1h") == grades("3h")


def test_a_plane_is_read_exactly_between_centres():
    plane = GRID.lat[:, None] * 2 + GRID.lon[None, :] * 3
    field = rain(np.broadcast_to(plane, (5, *plane.shape)), TIMES, GRID.lat, GRID.lon)
    lat, lon = np.array([28.9, 30.13]), np.array([111.1, 112.77])
    read = at_gauges(field, gauges(np.zeros((2, 5)), lat, lon))
    np.testing.assert_allclose(read.values, np.broadcast_to((2 * lat + 3 * lon)[:, None], (2, 5)))
    edge = at_gauges(field, gauges(np.zeros((1, 5)), [28.0], [110.0]))
    assert float(edge[0, 0]) == plane[0, 0]
    assert Observations(read).lat.tolist() == lat.tolist()


def test_raw_fields_are_scored_at_the_same_gauges_and_hours():
    field = rain(np.ones((2, 5, *GRID.shape)), TIMES, GRID.lat, GRID.lon)
    radar = field.isel(member=0, drop=True).copy()
    radar[:2] = np.nan
    there = gauges(np.zeros((3, 5)), [29, 30, 31], [111] * 3)
    read = {"own": at_gauges(field, there), "radar": at_gauges(radar.expand_dims("member"), there)}
    observed = jointly(read, there.rain)
    assert {tally(each, observed).n for each in read.values()} == {9}
    assert value(told(tally(read["radar"], observed)), "CRPS") == 1


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


def test_a_table_is_a_frame_a_file_and_rows_of_a_page():
    table = Table.of([{"name": "a", "value": 1 / 3, "n": 2}, {"name": "b", "value": None, "why": "dry, dry"}])
    assert table.shown() == [["a", "0.3333", "2", "-"], ["b", "-", "-", "dry, dry"]]
    assert table.numeric() == [False, True, True, False]
    frame = table.frame()
    assert frame["value"].tolist() == pytest.approx([1 / 3, np.nan], nan_ok=True)
    assert frame["value"].dtype == float
    lines = table.csv().splitlines()
    assert lines == ["name,value,n,why", "a,0.3333333333333333,2.0,", 'b,,,"dry, dry"']
    assert [row["name"] for row in table.where(name="b").rows] == ["b"]
    assert table.only("n").text().splitlines()[0] == "n"


def network(hours, places=150, length_km=50.0, seed=0):
    """A score at gauges in 800 x 600 km that is alike over some distance, zero on average."""
    random = np.random.default_rng(seed)
    east, north = random.uniform(0, 800, places), random.uniform(0, 600, places)
    law = np.exp(-np.hypot(east[:, None] - east, north[:, None] - north) / length_km)
    values = np.linalg.cholesky(law + 1e-9 * np.eye(places)) @ random.standard_normal((places, hours))
    lat, lon = 50 + north / 111.2, 10 + east / 71.5
    times = pd.date_range("2020-07-01T01:00", periods=hours, freq="1h")
    return Observations.of(values, [f"g{each}" for each in range(places)], times, lat, lon).rain


@pytest.mark.parametrize("hours", [1, 12, 72])
def test_gauges_of_one_storm_are_not_taken_for_independent(hours):
    """Of gauges drawn one by one not half of the intervals hold the truth."""
    hits = 0
    for seed in range(60):
        error = network(hours, seed=seed)
        rows = told(tally(10 + error, xr.full_like(error, 10), ()))
        bias = rows["bias of the mean", None, None]
        hits += bias["low"] <= 0 <= bias["high"]
    assert hits >= 0.75 * 60, hits


def test_blocks_of_gauges_are_tiles_or_where_there_is_time_spans():
    short, long, year = (Blocks.of(network(hours, 300)) for hours in (24, 72, 2400))
    assert len(np.unique(short.place)) == 12
    assert short.time.max() == 0
    assert (long.place.max(), long.time.max()) == (0, 11)
    assert year.time.max() <= 100
    town = network(1, 300)
    town = town.assign_coords(lat=50 + (town.lat - 50) / 20, lon=10 + (town.lon - 10) / 20)
    assert tally(town, town, ()).blocks == 1  # and no interval
