"""A link brings back the view; a wrong link brings back something; the setup becomes a task."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.raster import STATISTICS
from app.state import LINKED, RUN, State
from engine.fields import Box, Period
from engine.tasks import Task
from engine.values import Invalid

BOX, WHOLE = Box(100, 20, 125, 45), Period("2020-07-01", "2020-07-03")
text = st.text(st.characters(codec="utf-8"), max_size=20)


@given(
    case=text,
    run=text,
    time=st.sampled_from(["", "2020-07-01T15:00"]),
    statistic=st.sampled_from(STATISTICS),
    member=st.integers(0, 999),
    above=st.sampled_from([0.1, 1.0, 5.0, 25.6, 500.0]),
    language=st.sampled_from(["en", "zh"]),
)
def test_a_link_opens_the_same_view(member, above, statistic, **chosen):
    told = State(layer=RUN, statistic=statistic, **chosen)
    if statistic == "member":
        told.member = member
    if statistic == "above":
        told.above = above
    heard = State()
    heard.follow("?" + told.query())
    assert {key: getattr(heard, key) for key in LINKED} == {key: getattr(told, key) for key in LINKED}


@given(st.text(max_size=80))
def test_no_link_breaks_the_page(query):
    State().follow(query)


def test_what_a_link_says_wrongly_is_left_out():
    state = State()
    state.follow("?case=front&statistic=best&member=-3&above=much&language=tlh&time=noon&nonsense=1")
    assert (state.case, state.statistic, state.member, state.above, state.language) == (
        "front", "mean", 0, 5.0, "en",
    )  # fmt: skip
    assert state.end_of_interval is None


def test_a_link_is_short_and_readable():
    state = State(case="front", time="2020-07-01T15:00", layer="satellite", statistic="p90")
    assert state.query() == "screen=explore&case=front&time=2020-07-01T15:00&layer=satellite&language=en"


def a_setup(**chosen) -> State:
    return State(
        **{
            "case": "front",
            "method": "kriging",
            "uses": {("front", "kriging"): {"background": ["satellite"]}},
            "members": 4,
        }
        | chosen
    )


def test_the_setup_is_a_task_that_yaml_keeps():
    state = a_setup(hold_out=0.25, seed=7, start="2020-07-01T06:00")
    task = state.task(BOX, WHOLE, state.split("front/gauges", []), 1000)
    assert task == Task.of_yaml(task.to_yaml())
    assert (task.members, task.seed, task.domain, len(task.period.times)) == (4, 7, BOX, 42)
    assert [use.name for use in task.sources] == ["front/satellite"]
    assert task.gauges
    assert task.gauges.hold_out == 0.25


def test_a_method_without_randomness_gets_one_member():
    assert a_setup(members=16).task(BOX, WHOLE, None, 1).members == 1


def test_settings_belong_to_their_method():
    state = a_setup()
    state.set_setting("kriging", "speckle", 0.2)
    state.set_setting("interpolation", "power", 3.0)
    assert state.task(BOX, WHOLE, None, 9).settings == {"speckle": 0.2}


def test_the_window_becomes_whole_cells_within_the_case():
    state = a_setup(area="window", window=(110.03, 10.0, 118.9, 31.02), cell=0.25)
    assert tuple(state.domain(BOX)) == (110.25, 20.0, 118.75, 31.0)


def test_a_window_beside_the_case_is_refused_in_one_line():
    with pytest.raises(Invalid, match=r"^domain: .*zoom out"):
        a_setup(area="window", window=(0, 0, 10, 10)).domain(BOX)


def test_the_period_stays_within_the_case():
    assert a_setup(start="2019-01-01", end="2030-01-01").hours(WHOLE) == WHOLE
    with pytest.raises(Invalid, match=r"^period"):
        a_setup(start="2020-07-02T00:00", end="2020-07-01T12:00").hours(WHOLE)
