"""Verify: a run is judged by gauges it never saw, and the screen says by which and how well."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app import curves, judging, store
from app.judging import Asked
from app.plots import JUDGE, Plot, strokes
from app.readings import GAUGES
from app.sentences import SENTENCES, told
from app.sheets import overall, twin
from app.state import RUN, State
from app.theme import Words, table
from app.views.verify import HOLD_OUT, ROWS, Verify
from engine.diagnostics import verdicts
from engine.diagnostics.tables import Table
from engine.tasks import Gauges
from tests.conftest import wait

HELD = 0.6


@pytest.fixture
def run(desk, task):
    """A finished run that held 26 of 40 gauges out; the shelves are empty."""
    for shelf in (judging._readings, judging._judgements, judging._densities, judging._shapes):
        shelf.clear()
    asked = replace(task, gauges=Gauges("small/gauges", HELD))
    found = store.submit(asked).result(60)
    wait(lambda: store.run(found.id).state == "done")
    return store.run(found.id)


def now(ask):
    found, work = ask()
    if work is not None:
        work.result(60)
        found, work = ask()
    assert work is None
    return found


def a_state(**chosen) -> State:
    return State(screen="verify", case="small", time="2020-07-01T04:00", **chosen)


def shown(view: Verify) -> Verify:
    """The screen once it has nothing to wait for."""
    wait(lambda: view.paint() or view.judgement is not None)
    return view


def test_a_judgement_says_what_the_command_line_says(run):
    from app.reports import scores

    found = now(lambda: judging.judgement(Asked(run.id)))
    rows = scores(store.journal(), run)
    for name in ("kriging", "small/satellite"):
        mine = [row for row in rows if (row["judged by"], row["method"]) == (GAUGES, name)]
        crps = next(row["value"] for row in mine if row["metric"] == "CRPS")
        assert found.scores.where(of=name, metric="CRPS").rows[0]["value"] == crps
        assert found.independent == {"small/satellite": "yes"}
    says = {row["says"] for row in rows if "says" in row}
    assert set(found.verdicts) | set(found.gains.values()) <= says
    assert (found.gauges, found.of_gauges, found.hours, found.judge) == (26, 26, 6, GAUGES)


def test_a_simulated_truth_judges_at_the_same_places(run):
    found = now(lambda: judging.judgement(Asked(run.id, judging.TRUTH)))
    assert (found.judge, found.has_truth, found.reports) == ("small/truth", True, 26 * 6)


def test_chosen_gauges_and_hours_filter_what_is_at_gauges(run):
    whole = now(lambda: judging.judgement(Asked(run.id)))
    some = now(lambda: judging.judgement(Asked(run.id, gauges=tuple(range(21)), hours=(1, 2))))
    assert (some.gauges, some.of_gauges, some.hours, some.reports) == (21, 26, 2, 42)
    assert len(some.tables["totals"].rows) == 26
    assert len(some.tables["hours"].rows) == 6
    assert whole.scores.rows[0]["n"] == 26 * 6
    assert some.scores.rows[0]["n"] == 42


def test_few_gauges_have_dots_and_no_scores(run):
    few = now(lambda: judging.judgement(Asked(run.id, gauges=(0, 1, 2))))
    assert not few.enough
    assert not few.verdicts
    assert {"totals", "hours", "quantiles", "scatter"} == set(few.tables)


def test_fields_have_spectra_variograms_and_ellipses(run):
    found = now(lambda: judging.shapes(Asked(run.id)))
    names = ["kriging", curves.MEAN, "small/satellite", "small/truth"]
    for each in found.tables.values():
        assert list(dict.fromkeys(row["of"] for row in each.rows)) == names
    rows = found.tables["spectrum"].where(of="kriging").rows
    assert all(row["low"] <= row["value"] <= row["high"] for row in rows)


def test_runs_with_the_same_judges_stand_beside_each_other(run):
    other = store.submit(replace(run.task, seed=8)).result(60)
    wait(lambda: store.run(other.id).state == "done")
    assert [each.id for each in judging.rivals(run)] == [other.id]
    found = now(lambda: judging.judgement(Asked(run.id, others=(other.id,))))
    assert {row["of"] for row in found.scores.rows} == {"kriging", "small/satellite", other.id}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_screen_says_who_judges_and_how_well(run, language):
    say = Words(language)
    view = shown(Verify(a_state(run=run.id, layer=RUN, language=language), say))
    assert "26" in view.head.verdict.object
    assert say("simulated") in view.head.verdict.object
    assert say("independent_yes") in view.board.scores.object
    assert say("score_crps") in view.board.scores.object
    wait(lambda: view._fields() or "ellipse" in view.exhibits)
    assert set(view.exhibits) == {name for row in ROWS for name in row}
    assert "data:text/csv" in view.exhibits["totals"]._twin.object
    view.close()


def test_choosing_on_the_map_is_said_and_can_be_taken_back(run):
    view = shown(Verify(a_state(run=run.id, layer=RUN), Words("en")))
    source = view.exhibits["totals"].plot.source("dots")
    source.selected.indices = [0, 1, 2]
    wait(lambda: view.paint() or view.judgement.gauges == 3)
    assert "3 of 26 gauges" in view._told.object
    assert not view.board.grades.visible
    assert not view.exhibits["ranks"].panel.visible
    view._choose_all()
    wait(lambda: view.paint() or view.judgement.gauges == 26)
    assert not view._chosen.visible
    assert source.selected.indices == []
    view.close()


def test_without_gauges_held_out_some_are_offered(desk, task):
    found = store.submit(replace(task, gauges=Gauges("small/gauges", 0.0))).result(60)
    wait(lambda: store.run(found.id).state == "done")
    state = a_state(run=found.id, layer=RUN, hold_out=0.0)
    view = Verify(state, Words("en"))
    assert Words("en")("judge_no_hold_out") in view._blank.object
    assert view._offer.visible
    view._hold_out()
    assert state.hold_out == HOLD_OUT
    view.close()


def test_without_a_run_the_screen_says_what_to_do(desk, small):
    view = Verify(a_state(), Words("en"))
    assert Words("en")("judge_no_run_hint") in view._blank.object
    assert not view._body.visible
    view.close()


def test_what_cannot_be_judged_is_one_line(run, monkeypatch):
    monkeypatch.setattr(judging, "gathered", lambda *_: 1 / 0)
    view = Verify(a_state(run=run.id, layer=RUN), Words("en"))
    wait(lambda: view.paint() or "division" in str(view._blank.object))
    view.close()


def test_every_verdict_of_the_engine_is_known_in_both_languages():
    for word in SENTENCES:
        assert word in table()
    said = [
        "no fault found: ranks, bias and spread are, within their intervals, those of honest members",
        "dry-biased: 12% of the observations lie above all members, 6% expected; "
        "the mean is off by -0.2 mm/h (-0.3 to -0.1)",
        "under-dispersed, too sure of itself: 30% of the observations lie above all members and 20% below, "
        "6% each expected; spread/skill is 0.40 (0.35 to 0.45)",
        "rain from 1.6 mm/h: over-confident; where half of the members or more say so, "
        "it comes in 40.0% of cases, 60.0% expected",
        "CRPS skill 0.21 (0.09 to 0.39); significantly better at 21% of the 68 gauges "
        "that can tell (of 167), worse at 0% (equal ones: 2.5% each)",
    ]
    kinds = [told(Words("zh"), each) for each in said]
    assert [kind for kind, _ in kinds] == ["good", "bad", "bad", "bad", "good"]
    assert all(sentence != each for each, (_, sentence) in zip(said, kinds, strict=True))
    assert told(Words("zh"), "something new") == ("open", "something new")
    source = Path(verdicts.__file__).read_text()
    assert all(
        each in source for each in ("reliable within its own interval", "no fault found", "too few to tell")
    )


def test_the_best_of_a_column_is_marked_and_a_file_is_whole():
    row = {"metric": "CRPS", "threshold": None, "low": 0.1, "high": 0.3}
    scores = Table.of([{"of": "a", **row, "value": 0.2}, {"of": "b", **row, "value": 0.3}])
    told_ = overall(scores, Words("en"), str, {})
    assert told_.count('class="best"') == 1
    many = Table.of([{"n": number} for number in range(300)])
    page = twin(many, Words("en"), str, "x")
    assert page.count("<tr>") == 201
    assert page.count("%0A") == 301


def test_a_plot_follows_the_dress_without_new_columns():
    plot = Plot("x", "x", "y")
    plot.lines([JUDGE, "own"], [[0, 1], [0, 1]], [[0, 1], [1, 0]])
    source = plot.source("lines")
    plot.wear(strokes(["own"], "dark"), "dark")
    assert source is plot.source("lines")
    assert source.data["colour"] == [strokes(["own"], "dark")[name] for name in (JUDGE, "own")]


def test_pairs_with_a_dry_side_are_counted_apart():
    import xarray as xr

    members = xr.DataArray(np.array([[[0.0, 2.0, 2.0]]]), dims=("member", "gauge", "time"))
    observed = xr.DataArray(np.array([[0.0, 2.0, 0.0]]), dims=("gauge", "time"))
    found = curves.density(members, observed)
    assert found.counts.sum() == 1
    assert (found.one_dry, found.both_dry) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
