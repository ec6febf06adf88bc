"""What `rainloom score` tells: the same numbers as rows, as tables and in sentences."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from app.readings import independence
from app.reports import at_thresholds, scores, sentences, side_by_side
from engine.formats import to_netcdf
from engine.given import independent
from engine.sources import layer
from engine.tasks import Task, Use
from engine.values import Invalid


@pytest.fixture
def judged(small, task):
    """A store and a run of a task: a truth that is multiplied at random stands for the ensemble."""
    truth = layer(f"{small}/truth")
    assert isinstance(truth, xr.DataArray)
    noise = np.random.default_rng(0).lognormal(0, 0.5, (8, *truth.shape))
    ensemble = truth.expand_dims(member=8) * noise.astype("f4")

    def of(**changes):
        run = SimpleNamespace(id="a-run", task=Task.of(task.as_entries() | changes))
        return SimpleNamespace(ensemble=lambda _: ensemble), run

    return of


def test_scores_are_flat_rows_by_every_judge(judged, small):
    store, run = judged()
    rows = scores(store, run)
    assert json.loads(json.dumps(rows))
    assert {row["judged by"] for row in rows} == {"gauges", f"{small}/truth"}
    table = side_by_side(rows)
    assert [(row["judged by"], row["method"]) for row in table] == [
        (judge, method)
        for judge in ("gauges", f"{small}/truth")
        for method in ("kriging", f"{small}/satellite")
    ]
    assert {row["independent"] for row in table} == {"yes"}
    assert all("(" in row["CRPS"] for row in table)
    grades = at_thresholds(rows, "kriging")
    assert [row["from mm/h"] for row in grades][:2] == [0.1, 1.6]
    assert [row["grade"] for row in grades][:2] == ["light", "moderate"]
    assert grades[0]["events"] > grades[1]["events"] > 0
    told = sentences(rows)
    assert any("gauges, 25% drawn gauge by gauge, seed 0" in each for each in told)
    assert any(f"kriging against {small}/satellite" in each for each in told)
    assert not any("not independent" in each for each in told)


def test_what_knew_gauges_is_marked_wherever_it_was_used(judged, small):
    source = {"name": f"{small}/satellite", "role": "background", "independent": False}
    store, run = judged(sources=[source])
    rows = scores(store, run)
    assert {row["independent"] for row in side_by_side(rows)} == {"no"}
    assert any(
        each.startswith(f"{small}/satellite") and "not independent" in each for each in sentences(rows)
    )
    assert independence(run.task) == "no"
    assert independence(Task.of(run.task.as_entries() | {"sources": []})) == "yes"


def test_without_gauges_held_out_there_is_no_score(judged):
    store, run = judged(gauges=None)
    with pytest.raises(Invalid, match="held no gauges out; set"):
        scores(store, run)


def test_few_blocks_give_no_brackets():
    row = {"judged by": "gauges", "method": "m", "independent": "yes", "members": 2, "n": 3}
    row |= {"metric": "CRPS", "value": 0.3111, "low": float("nan"), "high": float("nan")}
    assert side_by_side([row])[0]["CRPS"] == "0.311"


@pytest.mark.parametrize(
    ("says", "known"),
    [("yes", True), ("True", True), (1, True), ("no", False), (0, False), ("unknown", None), (None, None)],
)
def test_a_file_may_say_that_it_is_independent(small, tmp_path, monkeypatch, says, known):
    truth = layer(f"{small}/truth")
    assert isinstance(truth, xr.DataArray)
    path = tmp_path / "x.nc"
    to_netcdf(truth.assign_attrs({} if says is None else {"independent": says}), path)
    assert independent(Use(str(path))) is known
    monkeypatch.setattr("engine.sources.read_with", None)  # what was read once is not read again
    assert independent(Use(str(path))) is known
