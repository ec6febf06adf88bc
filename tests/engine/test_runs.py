"""The store: what was committed stays, what was not is not there, and everyone sees the same."""

import json
import multiprocessing
import threading

import numpy as np
import pytest
import xarray as xr

from engine.journal import Owner
from engine.runs import Store
from engine.tasks import Task
from engine.values import Invalid


@pytest.fixture
def store(home):
    store = Store()
    yield store
    store.close()


def begin(store: Store, task: Task, **columns) -> str:
    name = store.add(task, task.hash, {"a": "1"}, {"numpy": "2"}, **columns).id
    store.prepare(name, task)
    return name


def member(task: Task, value: float) -> np.ndarray:
    return np.full((len(task.period.times), *task.grid.shape), value, np.float32)


def test_members_are_read_as_they_were_committed(store, task):
    name = begin(store, task)
    with pytest.raises(Invalid, match="no member is finished yet"):
        store.ensemble(name)
    for number in (5, 2):
        store.commit(name, number, member(task, number))
    found = store.ensemble(name)
    assert list(found.member.values) == [2, 5]
    assert (found.sel(member=5).values == 5).all()
    assert store.verify(name) == []
    assert store.get(name).done == 2


def test_an_all_missing_member_can_be_committed(store, task):
    name = begin(store, task)
    store.commit(name, 0, member(task, np.nan))
    assert store.verify(name) == []
    assert np.isnan(store.ensemble(name).values).all()


def test_damage_is_noticed(store, task):
    name = begin(store, task)
    for number in range(3):
        store.commit(name, number, member(task, number + 1))
    file = store.folder(name) / "ensemble.zarr" / "rain" / "c" / "1" / "0" / "0" / "0"
    content = bytearray(file.read_bytes())
    content[20] ^= 255
    file.write_bytes(content)
    (store.folder(name) / "ensemble.zarr" / "rain" / "c" / "2" / "0" / "0" / "0").unlink()
    assert store.verify(name) == [1, 2]
    store.forget(name, [1, 2])
    assert list(store.finished(name)) == [0]


def test_the_ensemble_is_cf(store, task):
    name = begin(store, task)
    store.commit(name, 0, member(task, 1))
    whole = xr.open_zarr(store.folder(name) / "ensemble.zarr", chunks=None)
    assert whole.attrs["Conventions"].startswith("CF-")
    assert whole.rain.attrs["units"] == "mm h-1"
    assert whole.rain.attrs["standard_name"] == "lwe_precipitation_rate"
    assert whole.lat.attrs["units"] == "degrees_north"
    assert whole.lon.attrs["axis"] == "X"
    assert whole.time.attrs["bounds"] == "time_bnds"
    assert (whole.time_bnds[:, 1] == whole.time).all()
    assert (np.diff(whole.time_bnds.values, axis=1) == np.timedelta64(1, "h")).all()
    assert Task.of_yaml(whole.attrs["task"]) == task
    assert whole.rain.dtype == np.float32


def test_the_manifest_is_enough_to_run_again(store, task):
    import yaml

    name = begin(store, task)
    told = yaml.safe_load((store.folder(name) / "manifest.yaml").read_text())
    assert Task.of(told["task"]) == task
    assert told["inputs"] == {"a": "1"}
    assert told["versions"] == {"numpy": "2"}


def test_equal_keys_get_names_of_their_own_and_the_finished_one_is_found(store, task):
    first, second = begin(store, task), begin(store, task)
    assert second == f"{first}-2"
    store.update(first, state="done")
    assert store.find(task.hash).id == first
    assert store.find("nothing") is None
    assert store.get(second[: len(second)]).id == second
    with pytest.raises(Invalid, match="several begin with"):
        store.get("krig")
    with pytest.raises(Invalid, match="no run 'x'"):
        store.get("x")


def test_the_version_moves_with_every_change_and_only_then(store, task):
    before = store.version()
    store.runs()
    assert store.version() == before
    name = begin(store, task)
    assert store.version() > before
    before = store.version()
    other = Store(store.root)
    other.update(name, progress=0.5)
    other.close()
    assert store.version() > before
    assert store.get(name).progress == 0.5


def hold(root, names):
    store = Store(root)
    owner = Owner(store)
    names.put(owner.name)
    threading.Event().wait(60)


def test_a_run_whose_owner_died_is_interrupted(store, task):
    context = multiprocessing.get_context("spawn")
    names = context.Queue()
    holder = context.Process(target=hold, args=(store.root, names))
    holder.start()
    owner = names.get(timeout=60)
    name = begin(store, task, owner=owner, state="running")
    assert store.sweep() == []
    leftover = store.folder(name) / "half.partial"
    leftover.write_text("half")
    holder.kill()
    holder.join()
    assert [run.id for run in store.sweep()] == [name]
    assert store.get(name).state == "interrupted"
    assert not leftover.exists()
    names.close()
    holder.close()


def test_a_waiting_run_is_cancelled_at_once_a_running_one_is_asked(store, task):
    waiting, running = begin(store, task), begin(store, task)
    store.update(running, state="running")
    for name in (waiting, running):
        store.ask_cancel(name)
    assert store.get(waiting).state == "cancelled"
    assert store.get(running).state == "running"
    assert store.get(running).cancel


def test_many_threads_write_without_losing_anything(store, task):
    name = begin(store, task)

    def write(number):
        store.commit(name, number, member(task, number))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(store.finished(name)) == list(range(8))
    assert store.verify(name) == []


def test_a_preview_is_a_field_of_the_task(store, task):
    name = begin(store, task)
    assert store.preview(name) is None
    whole = xr.open_zarr(store.folder(name) / "ensemble.zarr", chunks=None)["rain"].isel(member=0).fillna(2.0)
    store.write_preview(name, whole)
    found = store.preview(name)
    assert found is not None
    assert found.dims == ("time", "lat", "lon")
    assert (found.values == 2).all()


def test_a_task_is_kept_as_it_was(store, task):
    name = begin(store, task)
    assert store.get(name).task == task
    assert json.dumps(task.as_entries())


def test_a_store_that_was_killed_while_it_was_made_is_whole_again(home):
    import sqlite3

    home.mkdir()
    half = sqlite3.connect(home / "journal.sqlite")
    half.execute("CREATE TABLE clock (tick INTEGER NOT NULL)")
    half.commit()
    half.close()
    store = Store()
    assert store.version() == 0
    assert store.runs() == []
    store.close()


def test_one_row_that_no_longer_reads_hides_nothing(store, task):
    good, bad = begin(store, task), begin(store, task)
    store.update(bad, task='{"domain": 1}', state="running", owner="nobody")
    assert {run.id for run in store.runs()} == {good, bad}
    assert {run.id for run in store.sweep()} == {good, bad}
    with pytest.raises(Invalid, match="missing"):
        _ = store.get(bad).task


def test_connections_end_with_their_threads(store):
    def look():
        store.version()

    for _ in range(20):
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    assert len(store._opened) <= 2


def test_broken_metadata_is_made_anew(store, task):
    name = begin(store, task)
    store.commit(name, 0, member(task, 1))
    (store.folder(name) / "ensemble.zarr" / "rain" / "zarr.json").write_text("[]")
    assert not store.intact(name)
    assert store.verify(name) == [0]
    store.prepare(name, task)
    store.commit(name, 0, member(task, 1))
    assert store.verify(name) == []


def test_a_deleted_run_comes_back_until_it_is_discarded(store, task):
    name = begin(store, task)
    store.commit(name, 0, member(task, 1))
    store.update(name, state="done")
    store.delete(name)
    assert store.runs() == []
    assert store.find(task.hash) is None
    with pytest.raises(Invalid, match="no run"):
        store.get(name)
    store.discard()
    store.restore(name)
    assert [run.id for run in store.runs()] == [name]
    assert store.ensemble(name).shape[0] == 1
    store.delete(name)
    store.discard(kept=-1)
    store.restore(name)
    assert store.runs() == []
    assert store.finished(name) == {}
    assert not store.folder(name).exists()


def test_a_pinned_run_and_one_under_way_cannot_be_deleted(store, task):
    name = begin(store, task)
    with pytest.raises(Invalid, match="under way"):
        store.delete(name)
    store.update(name, state="done", pinned=1)
    assert store.get(name).pinned
    with pytest.raises(Invalid, match="pinned"):
        store.delete(name)


def test_an_older_journal_is_completed_where_it_stands(store, task):
    name = begin(store, task)
    for column in ("pinned", "deleted"):
        store._journal().execute(f"ALTER TABLE runs DROP COLUMN {column}")
    newer = Store()
    assert [(run.id, run.pinned) for run in newer.runs()] == [(name, False)]
    newer.close()
