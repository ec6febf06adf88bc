"""The Runs screen: what is listed, what can be done with a run, and undone."""

from __future__ import annotations

import pytest

from app import store
from app.glimpse import glimpse
from app.page import complete
from app.roles import _shipped
from app.state import RUN, State
from app.theme import Words
from app.told import differing, facts
from app.views.runs import Runs
from app.views.setup import Setup
from tests.conftest import small_world, wait


def finished(task, members: int | None = None, state: str = "done") -> str:
    """A run that is done without anybody having computed it."""
    journal, truth = store.journal(), small_world()[0].values
    name = journal.add(task, task.hash + str(len(journal.runs())), {"a": "1"}, {"numpy": "2"}).id
    journal.prepare(name, task)
    for member in range(task.members if members is None else members):
        journal.commit(name, member, truth * (0.8 + 0.05 * member))
    journal.update(name, state=state, progress=1.0)
    return name


def screen(**chosen) -> Runs:
    state = State(case="small", screen="runs", **chosen)
    complete(state)
    return Runs(state, Words("en"))


def test_the_newest_run_is_chosen_and_told_in_full(desk, task):
    older, newer = finished(task), finished(task)
    view = screen()
    assert [row["id"] for row in view.list.rows] == [newer, older]
    assert view.list.chosen == newer
    assert "Kriging with external drift" in view.docket._head.object
    assert "25%" in view.docket._facts.object
    wait(lambda: view._draw() or older in view.list.pictures)
    assert view.list.pictures[older].startswith("data:image/png;base64,")
    view.close()


def test_a_run_is_deleted_once_asked_and_comes_back(desk, task):
    name = finished(task)
    view = screen()
    view.docket.buttons["delete"].clicks += 1
    assert [row["id"] for row in view.list.rows] == [name]
    assert view.docket._sure.visible
    view.docket.yes.clicks += 1
    assert view.list.rows == []
    assert view._line.visible
    assert view._all.visible
    view.undo()
    assert view.list.chosen == name
    assert not view._line.visible
    view.close()


def test_a_pinned_run_cannot_be_deleted(desk, task):
    name = finished(task)
    view, said = screen(), []
    view.tell = said.append
    view.docket.buttons["pin"].clicks += 1
    assert store.journal().get(name).pinned
    assert view.docket.buttons["delete"].disabled
    view._act("delete", store.journal().get(name))
    assert "pinned" in said[0]
    view.close()


def test_what_is_part_done_can_go_on_and_who_waits_knows_for_how_many(desk, task):
    part = finished(task, members=3, state="cancelled")
    first = store.journal().add(task, "b", {}, {}).id
    second = store.journal().add(task, "c", {}, {}).id
    view = screen()
    view.list.chosen = part
    assert view.docket.buttons["resume"].visible
    assert view.docket.files.visible
    assert "3 of 8" in view.docket._head.object
    view.list.chosen = second
    assert "1 before it" in view.docket._head.object
    assert view.docket.buttons["cancel"].visible
    assert store.journal().get(first).under_way
    view.close()


def test_of_ticked_runs_only_what_differs_is_told(desk, task):
    from dataclasses import replace

    other = replace(task, members=4, settings={"power": 1.5})
    finished(task)
    finished(other)
    view = screen()
    view.list.ticked = [row["id"] for row in view.list.rows]
    assert not view.docket.panel.visible
    assert "Power" in view._table.object
    assert "Domain" not in view._table.object
    assert differing([task, task], Words("zh")) == {}
    assert set(differing([task, other], Words("en"))) == {"Members", "Power"}
    assert facts(task, Words("zh"))["成员数"] == "8"
    view.close()


def test_a_run_is_viewed_and_reported_where_it_belongs(desk, task):
    name = finished(task)
    view = screen()
    view.docket.buttons["view"].clicks += 1
    assert (view.state.screen, view.state.layer, view.state.run) == ("explore", RUN, name)
    view.close()


def test_nothing_to_see_is_no_picture(desk, task):
    store.journal().add(task, "a", {}, {})
    (run,) = store.runs()
    wait(lambda: glimpse(run, 40)[0] == "")
    store.journal().update(run.id, state="failed")
    assert glimpse(store.runs()[0], 40) == (None, None)


@pytest.mark.parametrize("task", _shipped(), ids=lambda task: f"{task.method}")
def test_a_task_that_was_taken_over_is_the_same_task(desk, task):
    state = State()
    state.take(task)
    complete(state)
    setup = Setup(state, Words("en"))
    assert setup._task is not None, setup._problem
    assert setup._task.hash == task.hash
    setup.close()
