"""The page: it needs no torch, follows its state, and leaves nothing behind."""

from __future__ import annotations

import gc
import subprocess
import sys
import urllib.request

import panel as pn
import pytest

from app import store
from app.page import Session, complete, make
from app.state import RUN, State
from app.theme import Words
from app.views.choice import Choice
from app.views.maps import Map
from app.views.series import TimeBar
from app.views.setup import Setup
from tests.conftest import wait


def a_state(**chosen) -> State:
    state = State(case="small", **chosen)
    complete(state)
    return state


def test_the_page_and_what_it_opens_never_load_torch():
    code = "import sys, app.page; app.page.make(); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_an_empty_link_opens_a_background_in_the_middle_of_the_case(desk, small):
    state = a_state()
    assert (state.layer, state.time, state.method) == ("satellite", "2020-07-01T04:00", "kriging")
    assert state.used["background"] == ["satellite"]


@pytest.mark.parametrize(
    "wrong", [{"layer": "nothing"}, {"layer": RUN, "run": "gone-1"}, {"time": "1999-01-01"}, {"time": "noon"}]
)
def test_a_link_to_what_is_not_here_opens_what_is(desk, small, wrong):
    state = a_state(**wrong)
    assert (state.layer, state.time) == ("satellite", "2020-07-01T04:00")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_map_says_what_it_shows(desk, small, language):
    state, say = a_state(language=language), Words(language)
    view = Map(state, say)
    pane = view.panes[0]
    wait(lambda: view.paint() or pane.picture is not None)
    assert say("simulated") in pane.plate.object
    assert "03:00–04:00 UTC" in pane.plate.object
    assert say("unit_rate") in view._legend.object
    view._point(112.4, 30.1)
    assert "30.10°N 112.40°E" in view._readout.object
    view.close()


def test_steps_go_round_and_keys_are_steps(desk, small):
    state = a_state()
    bar = TimeBar(state, Words("en"))
    bar.clock.pressed = "walk#1#1"
    assert state.time == "2020-07-01T05:00"
    bar.step(-5)
    assert state.time == "2020-07-01T06:00"
    bar.clock.pressed = "play#1#2"
    assert state.playing
    assert bar.clock.playing
    bar.clock.beat += 1
    assert state.time == "2020-07-01T01:00"
    assert bar.clock.shown == bar.clock.beat
    bar.close()


def test_run_is_disabled_only_with_a_reason(desk, small):
    state = a_state()
    setup = Setup(state, Words("en"))
    assert not setup.run.disabled
    state.param.update(start="2020-07-01T05:00", end="2020-07-01T02:00")
    assert setup.run.disabled
    assert "period" in setup._cost.object
    state.param.update(start="2020-07-01T02:00", end="2020-07-01T05:00")
    assert not setup.run.disabled
    assert "kriging" in setup.written("yaml")
    setup.close()


def test_interpolation_has_one_member_and_no_choice_of_statistic(desk, small):
    state = a_state(method="interpolation")
    setup = Setup(state, Words("en"))
    assert setup.method.members.disabled
    assert setup._task
    assert setup._task.members == 1
    choice = Choice(state, Words("en"))
    assert not choice.pickers[0].statistic.visible
    setup.close()


def test_a_closed_view_hears_nothing(desk, small):
    state = a_state()
    bar = TimeBar(state, Words("en"))
    bar.close()
    state.time = "2020-07-01T05:00"
    assert "03:00" in bar._label.object


def test_another_language_makes_the_same_page_again(desk, small):
    session = Session(a_state(members=5))
    first = session.views[Setup]
    session.state.language = "zh"
    assert first.closed
    assert session.views[Setup].method.members.value == 5
    assert session.views[Setup].run.label == "运行"
    session.close()


def test_sessions_leave_no_page_behind(desk, small):
    """Open, lose and forget sessions; then none of their pages and views is alive."""
    gc.collect()
    before = [each for each in gc.get_objects() if type(each) in (Session, Map)]
    known = {id(each) for each in before}
    server = pn.serve(
        {"app": make}, port=0, address="127.0.0.1", threaded=True, show=False, verbose=False,
        unused_session_lifetime=100, check_unused_sessions=50,
    )  # fmt: skip
    try:
        wait(lambda: bool(pn.state._servers) or bool(server.is_alive()))
        wait(lambda: any(each for each, *_ in pn.state._servers.values()))
        running = next(each for each, *_ in pn.state._servers.values())
        for _ in range(2):
            with urllib.request.urlopen(
                f"http://127.0.0.1:{running.port}/app?case=small", timeout=30
            ) as answer:
                assert b"Rainloom" in answer.read()

        def alive() -> int:
            gc.collect()
            return sum(type(each) in (Session, Map) and id(each) not in known for each in gc.get_objects())

        wait(lambda: not running.get_sessions("/app"))
        wait(lambda: not alive(), 60)
    finally:
        pn.state.kill_all_servers()
    assert store.runs() == []
