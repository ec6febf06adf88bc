"""Units and intervals: what a file says, in mm/h over the intervals of a task."""

import numpy as np
import pandas as pd
import pytest

from engine.fields import Observations, Period, rain
from engine.intervals import as_rate, ends, length, stepped, stepped_gauges
from engine.values import Invalid

FIVE = pd.Timedelta("5min")
HOURS = Period("2020-07-01T00:50", "2020-07-01T02:50")  # pyright: ignore[reportArgumentType]


def five_minutes(first: str = "2020-07-01T00:55", count: int = 24):
    """A field over a quarter-past kind of hours: cell k has the number of the step, plus k."""
    times = pd.date_range(first, periods=count, freq="5min")
    values = np.arange(count)[:, None, None] + np.arange(6.0).reshape(2, 3)
    return rain(values, times, [10.0, 11], [20.0, 21, 22], interval="5min")


@pytest.mark.parametrize(
    ("unit", "wanted"), [("mm", 12.0), ("mm/h", 1.0), ("kg m-2 s-1", 3600.0), ("m", 12000.0)]
)
def test_rates_and_depths_become_mm_per_hour(unit, wanted):
    found = as_rate(np.array([1.0, np.nan, 0.0]), unit, FIVE, "x")
    np.testing.assert_allclose(found, [wanted, np.nan, 0])


@pytest.mark.parametrize(
    ("values", "unit", "told"),
    [
        ([1.0], None, "no unit"),
        ([1.0], "furlongs", "unit 'furlongs'"),
        ([1.0], "mm/5min", "unit 'mm/5min'"),
        ([1.0], "mm/m", "unit 'mm/m'"),
        ([1.0], "mm/month", "its intervals are 5min"),
        ([-9999.0, 1], "mm/h", "which is no rain"),
        ([np.inf], "mm/h", "which is no rain"),
    ],
)
def test_what_is_no_rain_is_refused(values, unit, told):
    with pytest.raises(Invalid, match=told):
        as_rate(np.array(values), unit, FIVE, "x")


def test_all_missing_is_no_error():
    assert np.isnan(as_rate(np.full(3, np.nan), "mm", FIVE, "x")).all()


def test_finer_intervals_are_averaged_to_odd_hours():
    found = stepped("x", five_minutes(), HOURS)
    assert found.attrs["interval"] == "1h"
    assert list(found.indexes["time"]) == list(HOURS.times)
    np.testing.assert_allclose(found.values[:, 0, 0], [5.5, 17.5])
    np.testing.assert_allclose(found.values[1] - found.values[1, 0, 0], np.arange(6).reshape(2, 3))


def test_an_hour_with_a_part_missing_is_not_known():
    field = five_minutes()
    field[3, 0, 0] = np.nan
    found = stepped("x", field.isel(time=slice(None, -1)), HOURS)
    assert list(found.indexes["time"]) == [HOURS.times[0]]
    assert np.isnan(found.values[0]).sum() == 1


def test_gauges_are_averaged_alike():
    times = pd.date_range("2020-07-01T00:51", periods=120, freq="1min")
    gauges = Observations.of(
        np.ones((2, 120)) * [[6], [np.nan]], ["a", "b"], times, [1, 2], [3, 4], interval="1min"
    )
    found = stepped_gauges("x", gauges, HOURS)
    np.testing.assert_allclose(found.values, [[6, 6], [np.nan, np.nan]])
    assert found.rain.attrs["interval"] == "1h"


def test_the_same_interval_stays_and_a_longer_one_is_refused():
    hourly = stepped("x", five_minutes(), HOURS)
    assert stepped("x", hourly, HOURS) is hourly
    half = Period("2020-07-01T00:50", "2020-07-01T02:50", "30min")  # pyright: ignore[reportArgumentType]
    with pytest.raises(Invalid, match="intervals of 1h do not make those of 30min"):
        stepped("x", hourly, half)


def test_stamps_and_lengths():
    times = pd.DatetimeIndex(["2020-01-01T00:00", "2020-01-01T00:05"])
    assert length(times, "x") == FIVE
    assert length(times[:1], "x", "1h") == pd.Timedelta("1h")
    assert list(ends(times, FIVE, "start", "x")) == list(times + FIVE)
    with pytest.raises(Invalid, match="of a single time"):
        length(times[:1], "x")
    with pytest.raises(Invalid, match="give a length"):
        length(times, "x", "soon")
    with pytest.raises(Invalid, match="give end, start or middle"):
        ends(times, FIVE, "centre", "x")


@pytest.mark.parametrize("given", [5, 3600, "60", np.int64(60)])
def test_a_bare_number_is_no_interval(given):
    with pytest.raises(Invalid, match="give a length such as 1h or 5min"):
        length((), "x", given)


def test_stamps_that_were_bare_numbers_tell_no_interval():
    with pytest.raises(Invalid, match="not evenly spaced"):
        length(np.array([1629712200, 1629715800], "datetime64[ns]"), "x")
