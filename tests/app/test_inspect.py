"""One place: what every source, the run and the nearest gauge say there, and where it comes from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from app import points, provenance, store
from app.events import Event
from app.keys import press
from app.page import complete
from app.state import RUN, State
from app.theme import Words
from app.views.inspect import Inspect
from app.views.maps import Map
from tests.app.test_store import now
from tests.conftest import wait

SPOT = (30.1, 112.4)
EVENT = "2020-07-01T01:00/2020-07-01T05:00"


def a_state(**chosen) -> State:
    state = State(case="small", **chosen)
    complete(state)
    return state


def test_a_place_is_read_from_every_source(desk, small):
    found = now(lambda: points.sources(store.case(small), SPOT))
    assert list(found) == ["truth", "satellite"]
    exact = store.case(small).layer("satellite").sel(lat=SPOT[0], lon=SPOT[1], method="nearest")
    np.testing.assert_array_equal(found["satellite"].values, exact.values)
    assert now(lambda: points.sources(store.case(small), (50.0, 0.0))) == {}


def test_a_place_of_a_run_is_all_its_members_there(desk, task):
    run = store.submit(task).result(60)
    wait(lambda: not store.run(run.id).under_way, 120)
    found = now(lambda: points.members(run.id, SPOT))
    exact = store.journal().ensemble(run.id).sel(lat=SPOT[0], lon=SPOT[1], method="nearest")
    np.testing.assert_array_equal(found.values, exact.values)
    total = points.value(found, Event.of(EVENT))
    np.testing.assert_allclose(total, exact.values[:, 1:5].sum(axis=1), rtol=1e-5)
    assert now(lambda: points.members(run.id, (50.0, 0.0))) is None
    assert points.members("gone-1", SPOT) == (None, None)
    view = Inspect(a_state(layer=RUN, run=run.id, place="30.1,112.4"), Words("en"))
    wait(lambda: view.read() or not view._waits)
    assert "mean [p10–p90]" in view._values.object
    assert len(view.chart.fan.data["low"]) == 6
    assert run.id in view._about.object
    assert "25% held out, drawn gauge by gauge, seed 0" in view._about.object
    view.close()


def test_the_nearest_gauge_is_the_nearest(desk, small):
    gauges = store.gauges(store.case(small))
    found = points.gauge(gauges, (float(gauges.lat[7]) + 0.01, float(gauges.lon[7])))
    assert found
    assert found.name == "S07"
    assert found.distance == pytest.approx(1.11, abs=0.01)
    far = points.distance((0.0, 0.0), np.array([0.0, 90.0]), np.array([90.0, 0.0]))
    np.testing.assert_allclose(far, np.pi / 2 * 6371.0)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_click_opens_the_panel_and_esc_closes_it(desk, small, language):
    state, say = a_state(), Words(language)
    view, chart = Inspect(state, say), Map(state, say)
    assert not view.panel.visible
    state.place = "30.1,112.4"
    wait(lambda: view.read() or not view._waits)
    assert view.panel.visible
    assert len(chart.canvas.spot.data["x"]) == 1
    assert "30.10°N 112.40°E" in view._head.object
    assert say("unit_rate") in view._head.object
    assert say("layer_truth") in view._values.object
    assert "S" in view._values.object
    assert "Apache-2.0" in view._about.object
    assert say("independent_yes") in view._about.object
    press(state, "escape#0#1")
    assert not view.panel.visible
    assert len(chart.canvas.spot.data["x"]) == 0
    view.close()
    chart.close()


def test_the_panel_follows_time_and_event_and_has_a_table(desk, small):
    state = a_state(place="30.1,112.4")
    view = Inspect(state, Words("en"))
    wait(lambda: view.read() or not view._waits)
    state.time = "2020-07-01T05:00"
    assert "04:00–05:00 UTC" in view._head.object
    state.event = EVENT
    assert "mm, total of 4 h" in view._head.object
    total = float(points.value(view._sources["truth"], Event.of(EVENT)))
    assert f"{total:.1f}" in view._values.object
    assert view._table.object == ""
    view._rows.value = True
    assert view._table.object.count("<tr>") == 7
    view.close()


def test_a_gauge_that_was_silent_for_an_hour_has_no_total(desk, small):
    gauges = store.gauges(store.case(small))
    rain = gauges.rain.isel(gauge=0).copy(deep=True)
    rain[2] = np.nan
    assert np.isnan(points.value(rain, Event.of(EVENT)))
    assert not np.isnan(points.value(rain, pd.Timestamp("2020-07-01T05:00")))


def test_a_place_outside_of_the_case_is_left_out_of_the_link(desk, small):
    assert a_state(place="0,0").place == ""
    assert a_state(place="nowhere").place == ""
    assert a_state(place="30.1,112.4").spot == SPOT


def test_a_layer_is_told_by_its_case(desk, small):
    told = dict(provenance.of_layer(store.case(small), "satellite", Words("en")))
    assert told["Resolution"] == "0.25°"
    assert told["Gauges"] == "independent of the gauges"
    assert told["Period"] == "1 Jul 00:00–06:00 UTC · 1h"
    assert told["Case"] == "Simulated, for tests."
