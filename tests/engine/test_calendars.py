"""Calendars and stamps of CF files: which intervals they are in UTC."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from engine.fields import Period
from engine.intervals import stepped
from engine.quantities import notes
from engine.values import Invalid
from tests.engine.test_cf import bounded, read, world

# Calendars


def test_without_leap_days_dates_keep_their_names(tmp_path):
    days = np.arange(57, 61) + 0.5  # 27 February to 2 March of a leap year
    found = read(world(days, "2020-01-01", "noleap"), tmp_path)
    begun = [each - pd.Timedelta("1D") for each in found.indexes["time"]]
    assert begun == [pd.Timestamp(each) for each in ("2020-02-27", "2020-02-28", "2020-03-01", "2020-03-02")]
    assert any("kept by their names" in line for line in notes(found))


def test_dates_that_do_not_exist_are_dropped(tmp_path):
    found = read(world([58.5, 59.5, 60.5], "2019-01-01", "all_leap"), tmp_path)
    assert list(found.indexes["time"]) == [pd.Timestamp("2019-03-01"), pd.Timestamp("2019-03-02")]
    assert any("1 of 3 times have a date that does not exist" in line for line in notes(found))


@pytest.mark.parametrize(("year", "absent"), [(2019, 5), (2020, 6)])
@pytest.mark.parametrize("parts", [1, 4])
def test_a_year_of_360_days_loses_no_rain_and_makes_none_up(tmp_path, year, absent, parts):
    days = (np.arange(360 * parts) + 0.5) / parts
    values = np.arange(len(days))[:, None, None] * np.ones((3, 4))
    edges = np.stack([np.arange(360 * parts), np.arange(1, 360 * parts + 1)], 1) / parts
    whole = bounded(world(days, f"{year}-01-01", "360_day", values, "mm/day"), edges)
    found = read(whole, tmp_path)
    np.testing.assert_allclose(found.values[:, 0, 0] * 24, np.arange(360 * parts), rtol=1e-6)
    begun = found.indexes["time"] - pd.Timedelta(found.attrs["interval"])
    every = pd.date_range(f"{year}-01-01", f"{year}-12-31")
    assert len(every.difference(begun.normalize())) == absent
    assert (begun.normalize().value_counts() == parts).all()
    shift = begun.day_of_year.to_numpy() - np.repeat(np.arange(1, 361), parts)
    assert 0 <= shift.min() <= shift.max() <= absent


def test_long_intervals_of_another_calendar_have_no_place(tmp_path):
    whole = bounded(world([2.5, 7.5, 12.5], "2020-01-01", "360_day"), [[0, 5], [5, 10], [10, 15]])
    with pytest.raises(Invalid, match="intervals of 120h in calendar 360_day have no place"):
        read(whole, tmp_path)


# Months


@pytest.mark.parametrize(
    ("calendar", "edges"),
    [("standard", [0, 31, 60, 91]), ("noleap", [0, 31, 59, 90]), ("360_day", [0, 30, 60, 90])],
)
@pytest.mark.parametrize("has_bounds", [True, False])
def test_months_are_months_in_every_calendar(tmp_path, calendar, edges, has_bounds):
    days = (np.array(edges[1:]) + edges[:-1]) / 2
    whole = world(days, "2020-01-01", calendar, np.full((3, 3, 4), 10.0), "mm")
    if has_bounds:
        whole = bounded(whole, np.stack([edges[:-1], edges[1:]], 1))
    found = read(whole, tmp_path)
    assert list(found.indexes["time"]) == [pd.Timestamp(2020, month, 1) for month in (2, 3, 4)]
    assert found.attrs["interval"] == "1mo"
    np.testing.assert_allclose(found.values[:, 0, 0], 10 / np.array([744, 696, 744]), rtol=1e-6)


def test_months_are_no_steps_of_a_task(tmp_path):
    whole = bounded(world([15.5, 45], "2020-01-01", unit="mm/month"), [[0, 31], [31, 60]])
    with pytest.raises(Invalid, match="calendar months, which are not equally long"):
        stepped("x", read(whole, tmp_path), Period("2020-01-01", "2020-01-02"))  # pyright: ignore


# Stamps and intervals


@pytest.mark.parametrize(
    ("days", "about", "first", "note"),
    [
        ([0, 1, 2], {}, "1990-12-31", "the day that it names"),
        ([0.5, 1.5, 2.5], {}, "1990-12-31", "at 12:00"),
        ([0, 1, 2], {"stamp": "end"}, "1990-12-30", ""),
        ([0.25, 0.5, 0.75], {}, "1990-12-30T06:00", "the end of its interval"),
        ([0.25, 0.5, 0.75], {"stamp": "start"}, "1990-12-30T12:00", ""),
        ([0.25, 0.5, 0.75], {"stamp": "middle"}, "1990-12-30T09:00", ""),
        ([0.25], {"interval": "6h"}, "1990-12-30T06:00", "the end of its interval"),
        (np.arange(0.5, 4) / 24, {}, "1990-12-30T01:00", "as 00:30, is taken for the middle"),
        (np.arange(0.5, 4) / 8, {}, "1990-12-30T03:00", "as 01:30, is taken for the middle"),
        (np.arange(0.5, 4) / 8, {"stamp": "end"}, "1990-12-30T01:30", ""),
        (np.arange(0.5, 4) / 48, {}, "1990-12-30T00:15", "the end of its interval"),
    ],
)
def test_stamps_without_bounds(tmp_path, days, about, first, note):
    found = read(world(days), tmp_path, **about)
    assert found.indexes["time"][0] == pd.Timestamp(first)
    assert note in "\n".join(notes(found))


@pytest.mark.parametrize(
    ("days", "edges", "attributes", "told"),
    [
        ([0.25, 1.25], None, {}, "its days end at no usual hour; tell stamp"),
        ([0.25], None, {}, "of a single time the interval of the rain is not known"),
        ([0.0, 1, 2], None, {"frequency": "3hr"}, "says that its intervals are 3h, its times are 24h apart"),
        ([0.0, 1], [[0, 0], [1, 1]], {}, "enclose nothing; give interval and stamp"),
        ([1.0, 2], [[0, 1], [0, 2]], {}, r"not equally long \(24h to 48h\).* take the differences"),
    ],
)
def test_intervals_that_are_not_known_are_asked_for(tmp_path, days, edges, attributes, told):
    whole = world(days).assign_attrs(attributes)
    with pytest.raises(Invalid, match=told):
        read(whole if edges is None else bounded(whole, edges), tmp_path)


@pytest.mark.parametrize("said", [{"frequency": "6hr"}, {"time_coverage_resolution": "PT6H"}])
@pytest.mark.parametrize("days", [[0.25], [0.25, 0.5, 1.5]])
def test_a_file_may_say_its_interval_in_words(tmp_path, said, days):
    found = read(world(days).assign_attrs(said), tmp_path)
    assert found.attrs["interval"] == "6h"
    assert found.indexes["time"][0] == pd.Timestamp("1990-12-30T06:00")


def test_bounds_that_end_a_second_early_are_hours(tmp_path):
    whole = world([0.0, 1])
    whole.time.attrs["units"] = "hours since 1990-12-30"
    found = read(bounded(whole, [[0, 1 - 1 / 3600], [1, 2 - 1 / 3600]]), tmp_path)
    assert found.attrs["interval"] == "1h"
    assert found.indexes["time"][0] == pd.Timestamp("1990-12-30T01:00")


def test_hours_since_the_year_1_are_read_without_a_warning(tmp_path):
    begun = np.array([737790.0, 737791])  # by the standard calendar, that is Julian before 1582
    whole = bounded(world(begun, "1-1-1"), np.stack([begun, begun + 1], 1))
    assert list(read(whole, tmp_path).indexes["time"]) == list(pd.to_datetime(["2020-12-31", "2021-01-01"]))


def test_a_climatology_is_no_rain_of_any_time(tmp_path):
    whole = world()
    whole.time.attrs["climatology"] = "climatology_bounds"
    with pytest.raises(Invalid, match="is a climatology"):
        read(whole, tmp_path)


def test_a_forecast_says_when_it_began_and_how_far_it_looks(tmp_path):
    whole = world().drop_vars("time").rename(time="forecast_period")
    period = ("forecast_period", [6, 12, 18], {"units": "hours", "standard_name": "forecast_period"})
    about = {"units": "hours since 2020-01-01", "standard_name": "forecast_reference_time"}
    begun = xr.DataArray(12, attrs=about)
    found = read(whole.assign_coords(forecast_period=period, forecast_reference_time=begun), tmp_path)
    assert list(found.indexes["time"]) == list(pd.date_range("2020-01-01T18:00", periods=3, freq="6h"))
