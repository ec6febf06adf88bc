"""Totals of an event: exact sums in mm, nothing where an hour is missing, and said on the map."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from app import raster, store
from app.events import Event, graded, rain_over
from app.hyetograph import Hyetograph, in_ms, ticks
from app.keys import press
from app.page import complete
from app.pictures import Series, Shown
from app.state import RUN, State
from app.theme import TOTALS, Words, scale_of
from app.views.choice import Choice
from app.views.maps import Map
from app.views.series import TimeBar
from engine.fields import Period
from tests.app.test_store import now
from tests.conftest import wait

EVENT = Event(pd.Timestamp("2020-07-01T01:00"), pd.Timestamp("2020-07-01T05:00"))
WHOLE = Period("2020-07-01", "2020-07-03")  # pyright: ignore[reportArgumentType]


def a_state(**chosen) -> State:
    state = State(case="small", **chosen)
    complete(state)
    return state


def test_an_event_is_its_text():
    assert Event.of(str(EVENT)) == EVENT
    assert EVENT.hours == 4
    for wrong in ("", "noon", "2020-07-01/", "2020-07-02/2020-07-01", "2020-07-01"):
        assert Event.of(wrong) is None


@pytest.mark.parametrize("wrong", ["2020-07-01T01:30/2020-07-01T05:00", "2020-07-01/2020-07-09", "x"])
def test_a_link_to_no_event_of_the_case_shows_hours(desk, small, wrong):
    assert a_state(event=wrong).event == ""
    assert a_state(event=str(EVENT)).when == EVENT


def test_a_total_is_the_sum_of_its_hours_in_mm(desk, small):
    layer = store.case(small).layer("satellite")
    total = rain_over(layer, EVENT)
    assert total is not None
    np.testing.assert_allclose(total.values, layer.values[1:5].sum(axis=0), rtol=1e-6)
    of_days = layer.assign_coords(time=pd.date_range("2020-07-01T06:00", periods=6, freq="6h"))
    of_days.attrs["interval"] = "6h"
    total = rain_over(of_days, Event(pd.Timestamp("2020-07-01"), pd.Timestamp("2020-07-02")))
    assert total is not None
    np.testing.assert_allclose(total.values, 6 * layer.values[:4].sum(axis=0), rtol=1e-6)


def test_a_missing_hour_is_never_dry(desk, small):
    layer = store.case(small).layer("satellite").copy(deep=True)
    layer[2, 3, 4] = np.nan
    total = rain_over(layer, EVENT)
    assert total is not None
    assert np.isnan(total.values[3, 4])
    assert np.isnan(total.values).sum() == 1
    assert rain_over(layer.isel(time=[0, 1, 3, 4, 5]), EVENT) is None
    gauges = store.gauges(store.case(small)).rain.copy(deep=True)
    gauges[0, 1] = np.nan
    told = rain_over(gauges, EVENT)
    assert told is not None
    assert np.isnan(told.values[0])
    np.testing.assert_allclose(told.values[1:], gauges.values[1:, 1:5].sum(axis=1))


def test_a_run_shows_statistics_of_its_members_totals(desk, task):
    run = store.submit(task).result(60)
    wait(lambda: not store.run(run.id).under_way, 120)
    hours = store.journal().ensemble(run.id).sel(time=pd.date_range("2020-07-01T02:00", periods=4, freq="1h"))
    totals = hours.values.sum(axis=1)
    for name in raster.STATISTICS:
        shown = Shown("small", RUN, run.id, name, 10.0, 2)
        picture = now(lambda shown=shown: store.picture(shown, EVENT))
        wanted = raster.statistic(totals, name, 10.0, 2, graded("4h", total=True))
        np.testing.assert_allclose(picture.values, wanted, rtol=1e-5)
    outside = Event(pd.Timestamp("2020-07-01T05:00"), pd.Timestamp("2020-07-01T09:00"))
    assert now(lambda: store.picture(Shown("small", RUN, run.id), outside)) is None


def test_the_map_says_that_it_shows_a_total(desk, small):
    view = Map(a_state(event=str(EVENT)), Words("en"))
    wait(lambda: view.paint() or view.panes[0].picture is not None)
    assert "1 Jul 01:00–05:00 UTC, total" in view.panes[0].plate.object
    assert "<b>mm</b> total of 4 h" in view._legend.object
    assert view.canvas.value.args["unit"] == "mm"
    view._point(112.4, 30.1)
    assert "mm, total of 4 h" in view._readout.object
    view.state.event = ""
    assert "mean over 1 h" in view._legend.object
    view.close()


def test_the_threshold_has_the_unit_of_what_is_shown(desk, small):
    state = a_state()
    choice = Choice(state, Words("en"))
    assert choice.pickers[0].above.label == "Threshold mm/h"
    state.event = str(EVENT)
    assert choice.pickers[0].above.label == "Threshold mm"


def test_classes_of_totals_follow_the_length_of_the_event():
    for hours, edges in ((1, 6), (24, 24), (30, 96), (1000, float("inf"))):
        assert scale_of("mean", hours, total=True).edges == TOTALS[edges]
    assert scale_of("above", 24, total=True) == scale_of("above")


def test_the_palettes_of_forecasters_tell_totals_as_they_are():
    grades = scale_of("", 24, "cma", total=True)
    assert grades.edges == scale_of("grade", 24, total=True).edges
    assert [grades.label(edge) for edge in grades.edges] == ["0.1", "10", "25", "50", "100", "250"]
    assert scale_of("", 30, "nws", total=True).edges == scale_of("", 1, "nws").edges


def test_of_an_event_no_hours_are_sent_ahead(desk, small):
    view = Map(a_state(), Words("en"))
    pane = view.panes[0]
    wait(lambda: pane._send() or view.paint() or len(view.canvas.frames.data["time"]) == 6)
    view.state.event = str(EVENT)
    wait(lambda: view.paint() or pane.picture is not None)
    assert not view.canvas.frames.data["time"]
    assert not view.canvas.readings.data["time"]
    image = view.canvas.picture.data["image"][0]
    view.state.time = "2020-07-01T02:00"
    assert view.canvas.picture.data["image"][0] is image
    view.state.event = ""
    assert len(view.canvas.readings.data["time"]) == 6
    view.close()


def test_a_window_is_drawn_shown_and_removed(desk, small):
    state = a_state()
    bar = TimeBar(state, Words("en"))
    assert not bar.event.visible
    drag = {"left": [in_ms(EVENT.start)], "right": [in_ms(EVENT.end)]}
    bar.bars.event.data = drag | {"done": [False]}
    assert state.event == ""
    bar.bars.event.data = drag | {"done": [True]}
    assert state.event == str(EVENT)
    assert bar.event.label == "Total of 4 h: 1 Jul 01:00–05:00 UTC"
    press(state, "escape#0#1")
    assert state.event == ""
    assert not bar.event.visible
    assert list(bar.bars.event.data["left"]) == []
    bar.close()


def test_hours_without_a_value_are_marked_and_have_no_bar():
    bars = Hyetograph(WHOLE, Words("en"))
    times = WHOLE.times[3:20]
    mean = np.ones(len(times))
    mean[4] = np.nan
    bars.paint(Series(times, mean), pd.Timedelta("1h"))
    assert np.isnan(bars.bars.data["top"][4])
    hours = (np.asarray(bars.gaps.data["right"]) - np.asarray(bars.gaps.data["left"])) / 3.6e6
    assert hours.tolist() == [3, 1, 28]


def test_the_bars_say_what_they_are(desk, task):
    run = store.submit(task).result(60)
    wait(lambda: not store.run(run.id).under_way, 120)
    state = a_state()
    bar = TimeBar(state, Words("en"))
    wait(lambda: bar.draw() or "mean over the domain" in bar._what.object)
    state.param.update(layer=RUN, run=run.id)
    wait(lambda: bar.draw() or "mean of 8 members, dark band: their p10–p90" in bar._what.object)
    bar.close()


@pytest.mark.parametrize(
    ("zone", "told"),
    [
        ("UTC", "1 Jul 16:00 – 2 Jul 16:00 UTC"),
        ("Asia/Shanghai", "2 Jul, the whole day, Beijing time"),
        ("Europe/Berlin", "1 Jul 18:00 – 2 Jul 18:00 UTC+2"),
        ("Asia/Kolkata", "1 Jul 21:30 – 2 Jul 21:30 UTC+5.5"),
    ],
)
def test_a_day_is_the_day_of_the_zone(zone, told):
    say = Words("en", zone)
    assert say.period(pd.Timestamp("2020-07-01T16:00"), pd.Timestamp("2020-07-02T16:00")) == told


def test_ticks_stand_at_full_hours_of_the_zone():
    told = ticks(WHOLE, Words("en", "Asia/Shanghai"))
    assert list(told.values())[:3] == ["1 Jul 12:00", "18:00", "2 Jul"]
    assert min(told) == in_ms(pd.Timestamp("2020-07-01T04:00"))


def test_the_zone_travels_in_the_link_and_the_browser_tells_its_own():
    heard = State()
    heard.follow(State(zone="beijing").query())
    assert heard.clock_zone == "Asia/Shanghai"
    local = State(zone="local")
    local.hear_zone("Middle-earth/Shire")
    assert local.clock_zone == "UTC"
    local.hear_zone("Europe/Berlin")
    assert local.clock_zone == "Europe/Berlin"


def test_going_back_to_a_link_without_an_event_removes_it():
    state = State(event=str(EVENT), place="30,114")
    state.follow("?case=front")
    assert (state.event, state.place) == ("", "")


def test_members_are_added_up_one_after_the_other():
    times = pd.date_range("2020-07-01T01:00", periods=6, freq="1h")
    values = np.random.default_rng(0).random((3, 6, 2, 2), dtype="f4")
    axes = {"member": [0, 2, 5], "time": times, "lat": [1.0, 2.0], "lon": [1.0, 2.0]}
    rain = xr.DataArray(values, axes, ("member", "time", "lat", "lon"), attrs={"interval": "1h"})
    total = rain_over(rain, EVENT)
    assert total is not None
    assert total.member.values.tolist() == [0, 2, 5]
    np.testing.assert_allclose(total.values, values[:, 1:5].sum(axis=1), rtol=1e-6)
