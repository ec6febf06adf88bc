"""Jobs: a run finishes, is found again, is cancelled, and survives whoever dies."""

import os
import shutil
import signal
from dataclasses import replace

import pytest

from engine.fields import Box, Period
from engine.runner import Runner
from engine.runs import Store
from engine.values import Invalid
from tests.conftest import wait


@pytest.fixture
def store(home):
    store = Store()
    yield store
    store.close()


@pytest.fixture
def runner(store):
    runner = Runner(store)
    yield runner
    runner.close()


def ended(store, name):
    wait(lambda: not store.get(name).under_way)
    return store.get(name)


def test_a_run_ends_and_is_found_again(store, runner, task):
    run = ended(store, runner.submit(task).id)
    assert (run.state, run.error, run.done, run.progress) == ("done", "", 8, 1.0)
    found = store.ensemble(run.id)
    assert found.shape == (8, 6, 16, 16)
    assert float(found.min()) >= 0
    assert runner.submit(replace(task, title="the same under another name")).id == run.id
    assert runner.submit(task, fresh=True).id != run.id


def test_members_are_the_same_whatever_is_asked_beside_them(store, runner, task):
    few = ended(store, runner.submit(replace(task, members=3)).id)
    many = ended(store, runner.submit(task).id)
    assert store.finished(few.id).items() <= store.finished(many.id).items()


def test_a_killed_engine_process_is_replaced_and_nothing_changes(store, runner, task):
    undisturbed = ended(store, runner.submit(task).id)
    run = runner.submit(task, fresh=True)
    wait(lambda: store.get(run.id).state == "running")
    os.kill(runner._lanes[0]._process.pid, signal.SIGKILL)
    again = ended(store, run.id)
    assert again.state == "done"
    assert store.finished(run.id) == store.finished(undisturbed.id)


def test_closing_interrupts_and_another_runner_goes_on(store, task):
    first = Runner(store)
    run = first.submit(replace(task, members=200))
    wait(lambda: store.get(run.id).done > 2)
    first.close()
    left = store.get(run.id)
    assert left.state == "interrupted"
    second = Runner(store)
    assert [each.id for each in second.resume_interrupted()] == [run.id]
    wait(lambda: store.get(run.id).done > left.done)
    assert store.verify(run.id) == []
    second.cancel(run.id)
    assert ended(store, run.id).state == "cancelled"
    second.close()


def test_cancel_keeps_what_is_finished_and_resume_completes_it(store, runner, task):
    many = replace(task, members=60)
    run = runner.submit(many)
    wait(lambda: store.get(run.id).done > 1)
    runner.cancel(run.id)
    stopped = ended(store, run.id)
    assert stopped.state == "cancelled"
    assert 1 < stopped.done < 60
    kept = store.finished(run.id)
    runner.submit(many)  # the same task goes on where it was stopped
    done = ended(store, run.id)
    assert (done.state, done.done) == ("done", 60)
    assert kept.items() <= store.finished(run.id).items()


def test_a_waiting_run_can_be_cancelled(store, runner, task):
    first = runner.submit(replace(task, members=100))
    second = runner.submit(replace(task, members=100, seed=9))
    runner.cancel(second.id)
    assert store.get(second.id).state == "cancelled"
    runner.cancel(first.id)
    assert ended(store, first.id).state == "cancelled"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"method": "krigging"}, "did you mean 'kriging'"),
        ({"settings": {"nonsense": 1}}, "settings.nonsense"),
        ({"gauges": None}, "needs gauges"),
        ({"sources": ("small/nothing",)}, "no such layer"),
        ({"sources": ("nowhere.nc",)}, "no file nowhere.nc"),
        ({"method": "interpolation"}, "set members: 1"),
        (
            {"period": Period("2020-07-01T00:00", "2020-07-01T06:00", "30min")},
            "intervals of 1h, the task of 30min",
        ),
        (
            {"domain": Box(100, 10, 104, 14), "gauges": None, "method": "interpolation", "members": 1},
            "not reach",
        ),
    ],
)
def test_a_bad_task_is_refused_before_it_runs(store, runner, task, change, told):
    with pytest.raises(Invalid, match=told):
        runner.submit(replace(task, **change))
    assert store.runs() == []


def test_hours_that_are_missing_are_told_at_once(store, runner, task):
    with pytest.raises(Invalid, match="of 12 times are missing"):
        runner.submit(replace(task, period=Period("2020-07-01T00:00", "2020-07-01T12:00")))


def test_a_failure_is_one_line_with_the_details_kept(store, runner, task):
    run = store.add(replace(task, settings={"nonsense": 1}), "k", {}, {}, state="interrupted")
    failed = ended(store, runner.resume(run.id).id)
    assert failed.state == "failed"
    assert "settings.nonsense" in failed.error
    assert "\n" not in failed.error


def test_a_lane_survives_what_no_one_foresaw(store, runner, task, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(runner._lanes[0], "_follow", lambda name: 1 / 0)
        run = ended(store, runner.submit(task).id)
    assert (run.state, run.error) == ("failed", "ZeroDivisionError: division by zero")
    assert ended(store, runner.resume(run.id).id).state == "done"


def test_many_clicks_are_one_run(store, runner, task):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as clicks:
        names = {run.id for run in clicks.map(lambda _: runner.submit(task), range(4))}
    assert len(names) == 1
    runner.cancel(names.pop())


def test_a_run_whose_folder_was_lost_is_computed_again(store, runner, task):
    run = ended(store, runner.submit(task).id)
    before = store.finished(run.id)
    shutil.rmtree(store.folder(run.id) / "ensemble.zarr")
    again = ended(store, runner.submit(task).id)
    assert again.id == run.id
    assert store.finished(run.id) == before
    assert store.verify(run.id) == []


def test_a_cancel_holds_even_if_nobody_could_obey(store, task):
    run = store.add(task, "k", {}, {}, state="running", owner="nobody")
    store.ask_cancel(run.id)
    store.sweep()
    assert store.get(run.id).state == "cancelled"
    left = store.add(task, "k", {}, {}, state="interrupted")
    store.ask_cancel(left.id)
    assert store.get(left.id).state == "cancelled"


def test_files_are_named_from_the_root(store, runner, task, tmp_path, monkeypatch):
    from engine.formats import export
    from tests.conftest import small_world

    export(small_world()[1], tmp_path / "seen.nc", "netcdf")
    monkeypatch.chdir(tmp_path)
    run = ended(store, runner.submit(replace(task, sources=("seen.nc",))).id)
    assert run.state == "done", run.error
    assert run.task.sources[0].name == str(tmp_path / "seen.nc")
