"""The contract of a method, kept by every file in `engine/methods`."""

import dataclasses
import inspect
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine import fields
from engine.fields import Box, ensemble
from engine.methods import method, methods, setting, settings_of
from engine.tasks import Task
from engine.values import Invalid

ALONE = {"coordinate_prior"}  # draw from what they have learned where nothing was seen
HAS = {"gauges": "small/gauges", "background": "small/satellite"}
TASKS = Path(__file__).resolve().parents[2] / "assets" / "tasks"
SHIPPED = {task.method: task for task in (Task.of_yaml(each.read_text()) for each in TASKS.glob("*.yaml"))}
CORNER = Box(104, 24, 120, 40)


@pytest.fixture(autouse=True)
def world(small):
    """Six hours, sixteen by sixteen cells, forty gauges and a background."""
    return small


def task_for(name: str, members: int = 1, **changes) -> Task:
    """In the small world; what needs more, in a corner of the task that is shipped for it."""
    cls = methods()[name]
    if set(cls.needs) - set(HAS):
        task = SHIPPED[name]
        period = replace(task.period, end=task.period.start + 2 * task.period.step)
        return replace(task, domain=CORNER, period=period, members=members, **changes)
    entries = {
        "domain": (110, 28, 114, 32),
        "step": 0.25,
        "period": {"start": "2020-07-01T00:00", "end": "2020-07-01T06:00"},
        "sources": [HAS["background"]] if "background" in (*cls.needs, *cls.uses) else [],
        "gauges": {"source": HAS["gauges"], "hold_out": 0.2},
        "members": members,
    }
    return Task(method=name, **(entries | changes))


def run(name: str, members, seed: int = 3):
    """The ensemble of these members, with the snapshots that brought it."""
    snapshots = list(method(name).run(task_for(name, len(members)), seed, members))
    return ensemble(snapshots), snapshots


@pytest.fixture(params=sorted(methods()))
def name(request) -> str:
    return request.param


def several(name: str) -> list[int]:
    return [0, 1, 2][: methods()[name].most_members]


def test_says_what_it_is(name):
    cls = methods()[name]
    assert cls.title
    assert cls.reference
    assert len(inspect.getdoc(cls) or "") > 200
    assert dataclasses.is_dataclass(cls)
    assert isinstance(cls.needs, tuple)
    assert isinstance(cls.uses, tuple)


def test_every_setting_has_a_text_and_bounds(name):
    for each in settings_of(methods()[name]):
        assert each["doc"], each["name"]
        if isinstance(each["default"], bool):
            continue
        if each["choices"]:
            assert each["default"] in each["choices"]
            continue
        assert np.isfinite([each["low"], each["high"]]).all(), each["name"]
        assert each["low"] <= each["default"] <= each["high"]
        with pytest.raises(Invalid, match=each["name"]):
            method(name, {each["name"]: each["high"] + 1})


def test_progress_grows_to_one_and_every_member_comes_once(name):
    wanted = several(name)
    _, snapshots = run(name, wanted)
    progress = [each.progress for each in snapshots]
    assert all(np.diff(progress) >= 0)
    assert progress[0] >= 0
    assert progress[-1] == pytest.approx(1)
    assert all(one < 1 for one in progress[:-1])
    brought = [
        int(member) for each in snapshots if each.members is not None for member in each.members.member
    ]
    assert sorted(brought) == wanted


def test_rain_keeps_the_conventions(name):
    rain, snapshots = run(name, several(name))
    task = task_for(name)
    fields.check(rain)
    assert np.isfinite(rain.values).all()
    assert (rain.values >= 0).all()
    np.testing.assert_allclose(rain.lat, task.grid.lat)
    np.testing.assert_allclose(rain.lon, task.grid.lon)
    assert (rain.indexes["time"] == task.period.times).all()
    for each in snapshots:
        if each.preview is not None:
            assert fields.check(each.preview).dims == ("time", "lat", "lon")


def test_a_subset_equals_the_whole_bit_for_bit(name):
    if methods()[name].most_members == 1:
        pytest.skip("one member only")
    whole, _ = run(name, [0, 1, 2])
    late, _ = run(name, [2])
    first, _ = run(name, [0, 1])
    np.testing.assert_array_equal(whole.sel(member=[2]), late)
    np.testing.assert_array_equal(whole.sel(member=[0, 1]), first)
    assert not np.array_equal(whole[0], whole[1])


def test_the_seed_decides(name):
    one, _ = run(name, [0], seed=1)
    again, _ = run(name, [0], seed=1)
    np.testing.assert_array_equal(one, again)
    if methods()[name].most_members > 1:
        other, _ = run(name, [0], seed=2)
        assert not np.array_equal(one, other)


def test_can_be_stopped_between_any_two_steps(name):
    _, snapshots = run(name, [0])
    for stop in {1, len(snapshots) // 2, len(snapshots) - 1}:
        running = method(name).run(task_for(name), 3, [0])
        assert isinstance(running, Generator)
        for _ in range(stop):
            next(running)
        running.close()
        assert next(running, None) is None


def test_refuses_in_one_line_what_it_needs_and_does_not_get(name):
    bare = task_for(name, sources=(), gauges=None)
    if name in ALONE:
        method(name).accept(bare)
        return
    with pytest.raises(Invalid) as refused:
        method(name).accept(bare)
    assert "needs" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_refuses_more_members_than_it_has(name):
    most = methods()[name].most_members
    if most >= 1000:
        pytest.skip("no limit of its own")
    with pytest.raises(Invalid, match="members"):
        method(name).accept(task_for(name, members=most + 1))


def test_unknown_names_are_told_what_is_near():
    with pytest.raises(Invalid, match="did you mean 'kriging'"):
        method("krigging")
    with pytest.raises(Invalid, match="range_km"):
        method("kriging", {"range": 3})


def test_settings_keep_their_kind():
    assert setting(1, "a number").metadata["doc"] == "a number"
    with pytest.raises(Invalid, match="true or false"):
        method("kriging", {"anisotropic": 1})
    with pytest.raises(Invalid, match="inverse distance"):
        method("interpolation", {"kind": "spline"})
