"""What follows from choices: pictures, series and runs, each made once, whoever asks."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from app import cost, raster, store
from app.pictures import Shelf, Shown, nearest
from app.state import RUN, State
from engine.diagnostics.tally import grades
from engine.given import held_out
from tests.conftest import wait

HOUR = pd.Timestamp("2020-07-01T03:00")


def now(ask):
    """Ask, wait for the work, and ask again, as a view does."""
    found, work = ask()
    if work is not None:
        work.result(60)
        found, work = ask()
    assert work is None
    return found


def test_slow_work_is_done_once_for_all_who_ask():
    with ThreadPoolExecutor(1) as worker:
        shelf, gate, made = Shelf(worker, 2), threading.Event(), []

        def make():
            gate.wait(10)
            made.append(1)
            return "picture"

        asked = [shelf.fetch("hour", make) for _ in range(20)]
        assert shelf.known("hour") is None
        gate.set()
        assert {each.result(10) for each in asked} == {"picture"}
        assert (len(made), shelf.known("hour")) == (1, "picture")


def test_a_shelf_keeps_the_newest_and_no_failure():
    with ThreadPoolExecutor(1) as worker:
        shelf = Shelf(worker, 2)
        for key in "abc":
            shelf.fetch(key, lambda key=key: key).result(10)
        assert [shelf.known(key) for key in "abc"] == [None, "b", "c"]
        with pytest.raises(ZeroDivisionError):
            shelf.fetch("d", lambda: 1 // 0).result(10)
        assert shelf.fetch("d", lambda: "d").result(10) == "d"


def test_a_layer_is_shown_as_it_is(desk, small):
    case = store.case(small)
    shown = Shown(small, "satellite")
    picture = now(lambda: store.picture(shown, HOUR))
    exact = case.layer("satellite")
    np.testing.assert_array_equal(picture.values, exact.sel(time=HOUR).values)
    assert nearest(picture, 30.1, 112.4) == float(
        exact.sel(time=HOUR).sel(lat=30.1, lon=112.4, method="nearest")
    )
    assert nearest(picture, 50, 112.4) is None
    assert store.picture(shown, pd.Timestamp("2021-01-01")) == (None, None)


def test_the_series_of_a_layer_is_its_mean_over_the_domain(desk, small):
    found = now(lambda: store.series(Shown(small, "truth")))
    layer = store.case(small).layer("truth")
    np.testing.assert_allclose(found.mean, raster.area_mean(layer.values, layer.lat.values))
    assert found.low is None


def test_an_unknown_run_is_none_and_an_unknown_case_the_first(desk, small):
    assert store.run("nothing-00") is None
    assert store.case("nowhere").name in (small, "front")


def test_a_run_is_shown_by_the_statistics_of_its_members(desk, task):
    run = store.submit(task).result(60)
    assert store.submit(task).result(60).id == run.id
    wait(lambda: not store.run(run.id).under_way, 120)
    assert store.run(run.id).state == "done"
    members = store.journal().ensemble(run.id).sel(time=HOUR).values
    for name in raster.STATISTICS:
        shown = Shown("small", RUN, run.id, name, 1.0, 2)
        picture = now(lambda shown=shown: store.picture(shown, HOUR))
        np.testing.assert_array_equal(picture.values, raster.statistic(members, name, 1.0, 2, grades("1h")))
        assert picture.members == task.members
    series = now(lambda: store.series(Shown("small", RUN, run.id)))
    assert (series.low <= series.high).all()
    assert cost.seconds(task) > 0
    assert store.case_of(task) == "small"


def test_gauges_held_out_on_the_map_are_those_of_the_task(desk, task):
    case, state = store.case("small"), State(case="small", hold_out=0.25, hold_seed=0)
    used, held = store.planned(case, state)
    assert held == held_out(task).names
    assert not set(used) & set(held)
    assert store.sides(case, state) == (used, held)


def test_a_cancelled_run_stops(desk, task):
    from dataclasses import replace

    run = store.submit(replace(task, members=1000, seed=9)).result(60)
    wait(lambda: store.run(run.id).state == "running")
    store.cancel(run.id)
    wait(lambda: not store.run(run.id).under_way, 10)
    assert store.run(run.id).state == "cancelled"
