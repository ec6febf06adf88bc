"""A task round-trips, equal tasks hash alike, and whatever is wrong is told in one line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.tasks import Gauges, Task
from engine.values import Invalid

WHOLE = {
    "domain": [100, 20, 125, 45],
    "step": 0.1,
    "period": {"start": "2020-07-01T00:00", "end": "2020-07-03T00:00", "step": "1h"},
    "sources": ["front/satellite", {"name": "front/truth", "role": "reference"}],
    "gauges": {"source": "front/gauges", "hold_out": 0.2, "seed": 4, "ignore": ["G1"]},
    "method": "kriging",
    "settings": {"range_km": 80.0},
    "members": 16,
    "seed": 7,
    "title": "测试",
}


def test_a_task_round_trips_through_yaml():
    task = Task.of(WHOLE)
    again = Task.of_yaml(task.to_yaml())
    assert again == task
    assert again.hash == task.hash
    assert "测试" in task.to_yaml()


def test_spelling_does_not_change_the_hash_but_content_does():
    task = Task.of(WHOLE)
    same = Task.of(WHOLE | {"domain": "460, 20, 485, 45", "title": "other", "step": 0.1000})
    assert same.hash == task.hash
    for change in ({"seed": 8}, {"members": 17}, {"settings": {}}, {"gauges": None}, {"sources": []}):
        assert Task.of(WHOLE | change).hash != task.hash


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"members": 0}, "members: got 0; give a whole number from 1"),
        ({"members": 1.5}, "members: got 1.5; give a whole number"),
        ({"members": True}, "members: got True; give a number"),
        ({"memebrs": 3}, "task.memebrs: unknown entry; did you mean 'members'"),
        ({"seed": -1}, "seed: got -1"),
        ({"step": "fine"}, "grid.step: got 'fine'"),
        ({"sources": "front/satellite"}, "sources: got 'front/satellite'; give a list"),
        ({"sources": [{"name": "x", "role": "truth"}]}, "source.role: got 'truth' for x; give background"),
        ({"gauges": {"source": "g", "hold_out": 2}}, "gauges.hold_out: got 2"),
        ({"gauges": {"hold_out": 0.1}}, "gauges.source"),
        ({"period": {"start": "2020-07-01"}}, "period.end: missing"),
        ({"period": "July"}, "period: got 'July'"),
        ({"settings": [1]}, "settings: got"),
        ({"settings": {"a": float("nan")}}, "settings.a: got nan"),
        ({"settings": {"a": b"x"}}, "settings.a: got b'x'"),
        ({"members": 10**400}, "members: got a number of many digits"),
        ({"step": 10**400}, "grid.step: got a number of many digits"),
        ({"sources": [{"role": "background"}]}, "source.name: got ''"),
        ({"sources": ["x" * 500, 3]}, "source: got 3"),
        ({"gauges": {"source": "g", "ignore": 5}}, "gauges.ignore: got 5"),
        ({"period": {"start": 20200701, "end": 20200702}}, "period.start: got 20200701; give a time"),
        ({"period": {"start": "2020-07-01", "end": "2020-07-02", "step": 3600}}, "period.step: got 3600"),
        ({"period": {"start": "2020-07-01", "end": "2020-07-02", "step": "90ms"}}, "period.step"),
        ({"a\nb": 1}, "unknown entry"),
        ({"step": 0.001, "members": 1000}, "values are too many"),
    ],
)
def test_bad_entries_are_named(change, told):
    with pytest.raises(Invalid) as refused:
        Task.of(WHOLE | change)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_numbers_are_kept_whole_and_written_alike():
    big = 2**63 - 1
    assert Task.of(WHOLE | {"seed": big}).seed == big
    one, other = ({"power": 2}, {"power": 2.0})
    assert Task.of(WHOLE | {"settings": one}).hash == Task.of(WHOLE | {"settings": other}).hash
    assert Task.of(WHOLE | {"step": "0.1"}).hash == Task.of(WHOLE).hash
    assert Task.of(WHOLE | {"title": None}).title == ""


@pytest.mark.parametrize(
    "text",
    ["start: 2020-02-30", "a: !!timestamp abc", "a: !!bool abc", "[" * 20000, "a: \0", "- 1", "9" * 5000],
)
def test_hostile_yaml_is_one_line(text):
    with pytest.raises(Invalid) as refused:
        Task.of_yaml(text)
    assert "\n" not in str(refused.value)


def test_broken_yaml_says_where():
    with pytest.raises(Invalid, match="line 2"):
        Task.of_yaml("domain: [1, 2\nstep: 3: 4")
    with pytest.raises(Invalid, match=r"task\.domain: missing"):
        Task.of_yaml("method: kriging")
    with pytest.raises(Invalid, match="task: got None"):
        Task.of_yaml("")


@given(
    st.lists(st.text("abcdef0123456789", min_size=1, max_size=6), unique=True, max_size=60), st.floats(0, 0.9)
)
def test_holding_out_is_a_partition_that_more_gauges_do_not_disturb(names, share):
    gauges = Gauges("g", hold_out=share, seed=1)
    used, held = gauges.split(names)
    assert sorted(used + held) == sorted(names)
    assert set(gauges.split([*names, "one more"])[1]) - {"one more"} == set(held)


def test_a_share_is_about_that_share_and_follows_the_seed():
    names = [f"G{number}" for number in range(4000)]
    used, held = Gauges("g", 0.2, seed=0).split(names)
    assert 0.18 < len(held) / 4000 < 0.22
    assert held != Gauges("g", 0.2, seed=1).split(names)[1]
    assert len(used) + len(held) == 4000


def test_gauges_can_be_held_out_by_hand():
    gauges = Gauges("g", hold_out=("b",), ignore=("c",))
    assert gauges.split(["a", "b", "c"]) == (["a"], ["b"])
    with pytest.raises(Invalid, match="no gauge 'z'"):
        Gauges("g", hold_out=("z",)).split(["a"])
