"""The ensemble: its hours, the chance of more than any amount, and the screen that shows them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from app import raster, stack, store
from app.page import complete
from app.stamps import PAGE, Stamps
from app.state import RUN, State
from app.theme import RAIN, Words, scale_of
from app.views.stamps import Ensemble
from engine.fields import Box, rain
from tests.conftest import BOX, wait

HOUR = pd.Timestamp("2020-07-01T03:00")


def drawn(members: int, seed: int = 0) -> np.ndarray:
    """Members of rain, dry in more than half of the cells."""
    random = np.random.default_rng(seed)
    return np.maximum(random.lognormal(0, 2, (members, 6, 5)) - 1, 0).astype("f4")


def test_the_stack_of_few_members_counts_every_chance_exactly():
    members = drawn(16)
    members[3, 2, 2] = np.nan
    codes = stack.levels(members)
    for number, amount in enumerate(stack.AMOUNTS):
        exact = raster.statistic(members, "above", float(amount))
        counted = np.where(codes[0] == stack.MISSING, np.nan, (codes > number).mean(axis=0))
        np.testing.assert_allclose(counted, exact, rtol=1e-6)


def test_the_stack_of_many_members_is_within_half_a_level():
    members = drawn(300)
    codes = stack.levels(members)
    assert codes.shape[0] == stack.LEVELS
    for number in range(0, len(stack.AMOUNTS), 10):
        exact = (members > np.float32(stack.AMOUNTS[number])).mean(axis=0)
        assert np.abs((codes > number).mean(axis=0) - exact).max() < 0.5 / stack.LEVELS + 2 / 300


def test_amounts_grow_and_fit_into_a_byte():
    assert (np.diff(stack.AMOUNTS) > 0).all()
    assert len(stack.AMOUNTS) < stack.MISSING
    assert stack.AMOUNTS[stack.nearest_amount(5.0)] == 5.0


def test_the_likeliest_grade_is_that_of_most_members():
    members = np.array([[[0, 2.0, 8]], [[0, 3.0, 0]], [[9, 60, 8]], [[1, 2.0, np.nan]]], dtype="f4")
    begins = raster.statistic(members, "grade", grades=(0.1, 1.6, 7, 15, 40, 50))
    np.testing.assert_array_equal(begins, np.array([[0, 1.6, np.nan]], dtype="f4"))
    grades = scale_of("grade")
    assert raster.classes(begins, grades.edges).tolist() == [[0, 2, 7]]


def test_an_hour_tells_how_far_members_agree():
    values = np.zeros((2, 4, 4), "f4")
    values[:, 0], values[0, 1] = 2.0, 3.0
    lat, lon = np.arange(28.5, 32.5), np.arange(110.5, 114.5)
    field = rain(values, pd.DatetimeIndex([HOUR, HOUR + pd.Timedelta("1h")]), lat, lon)
    members = field.rename(time="member").drop_vars("member")
    hour = stack.of(members, HOUR, None, RAIN.edges)
    area = np.cos(np.radians(lat)) / np.cos(np.radians(lat)).sum()
    assert hour.wet == pytest.approx(area[0])
    assert hour.dry == pytest.approx(area[2:].sum())
    np.testing.assert_allclose(hour.mean, [2 * area[0] + 3 * area[1], 2 * area[0]], rtol=1e-6)
    assert np.isnan(hour.off).all()
    assert [image.dtype for image in hour.images] == ["uint8"] * 2


@pytest.fixture
def run(desk, task):
    """A finished run of the small world."""
    name = store.submit(task).result(60).id
    wait(lambda: not store.run(name).under_way, 120)
    return store.run(name)


def opened(**chosen) -> Ensemble:
    state = State(case="small", screen="ensemble", **chosen)
    complete(state)
    view = Ensemble(state, Words(state.language))
    wait(lambda: view.follow() or view._hour is not None or view._empty.visible)
    return view


def test_without_a_run_one_sentence_and_one_action(desk, small):
    view = opened()
    assert view.say("no_ensemble") in view._empty[0].object
    view._empty[1].param.trigger("clicks")
    assert view.state.screen == "runs"
    view.close()


def test_a_layer_on_the_map_leaves_the_newest_run_on_show(run):
    view = opened()
    assert view.state.layer == "satellite"
    assert len(view.stamps.pictures.data["image"]) == run.task.members
    assert view.stamps.pictures.data["number"] == [str(number + 1) for number in range(8)]
    assert view.stamps.turn in view.stamps.figure.references()
    assert view.dots.reported.data["x"] == [view._hour.gauges.mean()]
    view.close()


def test_a_click_on_a_stamp_shows_that_member_large(run):
    view = opened()
    view.sort.value = "off"
    assert list(view._order) == list(np.argsort(view._hour.off))
    assert str(view._hour.gauges.size) in view._note.object
    left, bottom = view.stamps.corners[2]
    tap = SimpleNamespace(x=left + 1, y=bottom + 1)
    view.stamps.figure._event_callbacks["tap"][0](tap)
    state = view.state
    assert (state.layer, state.run, state.statistic) == (RUN, run.id, "member")
    assert state.member == view._order[2]
    assert view.stamps.ring.data["left"].tolist() == [left]
    title, told = view.large.canvas.figure.title, view.say("member_number", n=state.member + 1)
    wait(lambda: view.large._paint() or title.text == told)
    view.close()


def test_the_threshold_is_heard_when_the_hand_lets_go(run):
    view = opened(layer=RUN, run=run.id, statistic="above")
    threshold = view.large.threshold
    assert threshold.stack.data["shape"] == [[8, 16, 16]]
    assert not threshold.slider.syncable
    threshold.told.data = {"index": [stack.nearest_amount(2.0)]}
    assert view.state.above == 2.0
    view.close()


def test_an_hour_outside_the_run_leads_to_its_first(run):
    view = opened()
    view.state.time = "2020-07-02T00:00"
    assert view._empty.visible
    view._empty[1].param.trigger("clicks")
    assert view.state.time == "2020-07-01T01:00"
    assert view._whole.visible
    view.close()


def test_one_member_is_no_ensemble_and_is_shown(desk, task):
    name = store.submit(replace(task, members=1)).result(60).id
    wait(lambda: not store.run(name).under_way, 120)
    view = opened(layer=RUN, run=name, statistic="p90")
    wait(lambda: view.large._paint() or view.say("one_member") in (view.large._plate.object or ""))
    assert not view._left.visible
    assert view.large.shown.statistic == "mean"
    view.close()


def test_more_members_than_places_are_turned_in_pages():
    stamps = Stamps(Box(*BOX), 40)
    assert stamps.count == PAGE
    assert len({tuple(corner) for corner in stamps.corners}) == PAGE
