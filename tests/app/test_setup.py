"""The setup: a domain drawn or typed, gauges parted in every way, the way back, and the task taken along."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from app import cost, network, recipe, roles, store
from app.keys import press
from app.method_choice import CARE, careful
from app.page import complete
from app.state import State, snapped
from app.theme import Words
from app.views.gauges import GaugeRegister, assign
from app.views.maps import Map
from app.views.setup import Setup
from engine.fields import Box
from engine.methods import methods, settings_of
from engine.tasks import Gauges, Task
from tests.conftest import wait

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = sorted((ROOT / "assets" / "tasks").glob("*.yaml"))
CASE = Box(110, 28, 114, 32)


def a_setup(**chosen) -> Setup:
    state = State(case="small", cell=0.25, **chosen)
    complete(state)
    return Setup(state, Words("en"))


def test_a_drawn_domain_comes_to_rest_in_whole_cells_of_the_case():
    assert tuple(snapped((110.6, 28.4, 112.4, 40), CASE, 0.25)) == (110.5, 28.5, 112.5, 32)
    assert snapped((0, 0, 1, 1), CASE, 0.25) is None


def test_a_box_drawn_on_the_map_is_the_domain_and_is_in_the_link(desk, small):
    state = State(case="small", cell=0.25)
    complete(state)
    view = Map(state, Words("en"))
    press(state, "d#0#1")
    assert state.drag == "domain"
    assert view.canvas.figure.toolbar.active_drag is view.drawing.tools["domain"]
    left, bottom, right, top = view.canvas.home
    view.drawing._moved([left, bottom, (left + right) / 2, top])
    press(state, "escape#0#2")
    assert (state.area, state.drawn) == ("drawn", (110, 28, 112, 32))
    assert view.drawing.box.visible
    other = State()
    other.follow("?" + state.query())
    complete(other)
    assert (other.area, other.drawn) == (state.area, state.drawn)
    view.close()


def test_typed_bounds_are_the_domain_or_one_line_that_says_why_not(desk, small):
    setup = a_setup()
    setup.extent.bounds.value = "111, 29, 113, 31"
    assert tuple(setup._task.domain) == (111, 29, 113, 31)
    setup.extent.bounds.value = "111 29 113"
    assert "west, south, east, north" in setup.extent.told.object
    assert setup.state.drawn == (111, 29, 113, 31)
    setup.extent.area.value = "case"
    assert tuple(setup._task.domain) == tuple(CASE)
    setup._take_back()
    assert setup.state.area == "drawn"
    setup._take_back()
    assert setup.state.area == "case"
    assert setup.undo.disabled
    setup.close()


@pytest.mark.parametrize("by", ["gauge", "block", "elevation"])
def test_gauges_are_parted_as_the_task_parts_them(desk, small, by):
    setup = a_setup(hold_by=by, block_km=60.0, area="drawn", drawn=(110.0, 28.0, 113.0, 32.0))
    inside = store.gauges(setup.case).inside(setup._task.domain)
    assert store.planned(setup.case, setup.state) == setup._task.gauges.split(inside)
    assert setup._task.gauges.by == by
    setup.close()


def test_gauges_are_used_held_out_and_ignored_by_hand(desk, small):
    setup = a_setup()
    state, case = setup.state, setup.case
    used, held = store.planned(case, state)
    assign(case, state, [used[0]], "ignored")
    assert state.hold_by == "gauge"
    assert used[0] in setup._task.gauges.ignore
    assign(case, state, [used[1]], "held")
    assert state.hold_by == "hand"
    assert set(store.planned(case, state)[1]) == {*held, used[1]}
    assign(case, state, [used[0], held[0]], "used")
    assert not state.ignored
    assert held[0] in store.planned(case, state)[0]
    state.param.update(area="drawn", drawn=(110.0, 28.0, 112.0, 32.0))
    assert setup._task, setup._problem  # those outside the domain are no matter
    setup.close()


def test_how_near_those_held_out_lie_is_told(desk, small):
    setup = a_setup()
    wait(lambda: setup.gauges.follow() or network.correlated(setup.case)[0] is not None)
    setup.gauges.follow()
    assert "km (median)" in setup.gauges.told.object
    assert "<svg" in setup.gauges.told.object
    setup.close()


def test_a_case_without_gauges_says_so_in_a_line(desk):
    state = State(case="climate")
    complete(state)
    setup = Setup(state, Words("en"))
    assert setup.say("gauges_absent") in setup.gauges.told.object
    setup.close()


def test_the_register_picks_what_the_map_picks(desk, small):
    setup = a_setup()
    state = setup.state
    register, view = GaugeRegister(state, Words("en")), Map(state, Words("en"))
    assert not register.panel.visible
    state.register = True
    wait(lambda: register.follow() or len(register.table.rows) == 40)
    assert view.drawing.leaks.data["x0"]
    view.drawing._picked([3, 5])
    assert register.table.picked == state.picked == ["S03", "S05"]
    register.filter.value_input = "S07, S09, nowhere"
    assert state.picked == ["S07", "S09"]
    assert list(view.drawing.source.selected.indices) == [7, 9]
    register.filter.value_input = "s1"
    assert len(register.table.rows) == 10
    register.table.asked = ["ignored", "S01", 1]
    assert state.ignored == ["S01"]
    assert len(view.drawing.crosses.data["x"]) == 1
    for each in (setup, register, view):
        each.close()


@pytest.mark.parametrize("name", methods())
def test_care_stays_within_what_a_method_takes(name):
    known = {each["name"]: each for each in settings_of(methods()[name])}
    for care in CARE:
        members, steps = careful(name, care)
        assert 1 <= members <= methods()[name].most_members
        if steps is not None:
            assert known["steps"]["low"] <= steps <= known["steps"]["high"]


@pytest.mark.parametrize(
    "path", sorted((ROOT / "assets" / "tasks").glob("*.yaml")), ids=lambda path: path.stem
)
def test_the_setup_takes_a_shipped_task_and_gives_it_again(desk, path):
    task = Task.of_yaml(path.read_text())
    state = State()
    state.take(task)
    complete(state)
    setup = Setup(state, Words("en"))
    assert setup._task, setup._problem
    assert setup._task.hash == task.hash
    setup.close()


def test_gauges_by_hand_and_by_block_are_taken_over_too(desk, task):
    for gauges in (
        Gauges("small/gauges", ("S01", "S02"), ignore=("S03",)),
        Gauges("small/gauges", 0.3, 5, by="block", block_km=50),
    ):
        wanted, state = replace(task, gauges=gauges), State()
        state.take(wanted)
        complete(state)
        setup = Setup(state, Words("en"))
        assert setup._task.hash == wanted.hash
        setup.close()


def test_a_methods_own_domain_is_taken_over_but_one_of_ones_own_is_kept(desk):
    state = State(case="front")
    complete(state)
    setup = Setup(state, Words("en"))
    state.method = "coordinate_prior"
    assert setup._task.domain == roles.example("front", "coordinate_prior").domain
    setup._take_back()
    assert (state.method, state.area) == ("kriging", "case")
    state.param.update(area="drawn", drawn=(105.0, 30.0, 115.0, 35.0))
    state.method = "residual_correction"
    assert state.drawn == (105.0, 30.0, 115.0, 35.0)
    setup.close()


def test_what_is_too_large_says_what_would_fit(task):
    members, times = cost.fitting(task, cost.memory(task) / 2)
    assert (members, times) == (4, 3)


def test_a_script_gives_the_very_same_numbers(task, tmp_path):
    from engine.fields import ensemble
    from engine.methods import method

    tiny = replace(task, members=2, title='A """title""" with a \\')
    (tmp_path / "script.py").write_text(recipe.script(tiny), encoding="utf-8")
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=surroundings, check=True, timeout=300,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    with xr.open_dataset(tmp_path / "kriging.nc") as written:
        found = written["rain"].load()
    wanted = ensemble(method(tiny.method, tiny.settings).run(tiny, tiny.seed, range(2)))
    np.testing.assert_array_equal(found.values, wanted.values)


def test_a_command_carries_the_task(task):
    first, *lines, last = recipe.command(task).splitlines()
    assert (first, last) == ("rainloom run - <<'TASK'", "TASK")
    assert Task.of_yaml("\n".join(lines)) == task
