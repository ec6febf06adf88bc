"""Layers are chosen by role; what a method lacks is filled in from the task that is shipped for it."""

from __future__ import annotations

from app import roles, store
from app.page import complete
from app.state import State
from app.theme import Words
from app.views.setup import Setup
from engine.methods import methods


def a_state(**chosen) -> State:
    state = State(**chosen)
    complete(state)
    return state


def test_a_case_without_gauges_opens_with_a_method_that_runs(desk):
    state = a_state(case="climate")
    assert state.method in methods()
    assert roles.example("climate", state.method)
    setup = Setup(state, Words("en"))
    assert not setup.run.disabled
    setup.close()


def test_every_shipped_task_can_be_asked_for_on_the_page(desk):
    for case, name in (
        ("climate", "climate_downscaling"),
        ("climate", "pseudo_precipitation"),
        ("front", "coordinate_prior"),
    ):
        shipped = roles.example(case, name)
        assert shipped
        state = a_state(case=case)
        setup = Setup(state, Words("en"))
        state.method = name
        task = setup._task
        assert task, setup._cost.object
        assert (task.settings, task.sources) == (shipped.settings, shipped.sources)
        if case == "climate":
            assert (task.step, task.period.step) == (shipped.step, shipped.period.step)
        setup.close()


def test_only_roles_that_a_method_takes_are_offered_and_told(desk):
    state = a_state(case="climate", method="climate_downscaling")
    setup = Setup(state, Words("en"))
    shown = {role for role, widget in setup.roles.lists.items() if widget.visible}
    assert shown == {"background", "predictor", "history"}
    state.method = "quantile_mapping"
    assert not setup.roles.lists["predictor"].visible
    assert {use.role for use in state.task(setup.case.box, setup.case.period, None, 9).sources} == {
        "background"
    }
    state.method = "climate_downscaling"
    assert setup._task  # the predictors were kept
    setup.close()


def test_a_choice_on_the_page_is_a_choice_of_the_state(desk):
    state = a_state(case="climate", method="climate_downscaling")
    setup = Setup(state, Words("en"))
    setup.roles.lists["history"].value = []
    assert state.used["history"] == []
    assert setup._task
    setup.roles.lists["predictor"].value = []
    assert setup.run.disabled
    assert "predictor" in setup._cost.object
    assert store.case("climate").name == state.case
    setup.close()


def test_another_case_has_choices_of_its_own(desk):
    state = a_state(case="climate")
    known = state.uses
    state.case = "front"
    complete(state)
    assert (state.method, state.every) == ("climate_downscaling", "1h") or state.used
    setup = Setup(state, Words("en"))
    state.method = "kriging"
    assert setup._task, setup._cost.object
    setup.close()
    state.case = "climate"
    complete(state)
    assert state.method != "kriging"
    assert known.items() <= state.uses.items()
