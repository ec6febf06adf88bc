"""Ensembles whose honesty is known: a perfect one is called so, and a broken one by its fault."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from engine.diagnostics.reliability import pit_histogram, rank_histogram, reliability
from engine.diagnostics.scores import card
from engine.diagnostics.tally import tally
from engine.diagnostics.verdicts import verdicts

SIZE, PLACES, HOURS = 12, 100, 24
THRESHOLDS = (0.1, 1.6)


def world(seed):
    """Members and a truth that could be exchanged: skewed, two thirds dry, alike in an hour and a place."""
    random = np.random.default_rng(seed)
    shared = random.normal(-0.7, 1, (PLACES, HOURS)) + random.normal(0, 0.7, (PLACES, 1))
    latent = shared + random.normal(0, 1, (SIZE + 1, PLACES, HOURS))
    return 1.5 * np.maximum(latent, 0) ** 1.5


def judged(members, report):
    times = {"time": pd.date_range("2020-07-01T01:00", periods=HOURS, freq="1h")}
    ensemble = xr.DataArray(members, times, ("member", "gauge", "time"))
    return tally(ensemble, xr.DataArray(report, times, ("gauge", "time")), THRESHOLDS)


def said(of):
    return verdicts(of, card(of))


def test_a_perfect_ensemble_is_flat_reliable_and_spread_as_it_errs():
    names, inside = [], {"rank": [], "PIT": [], "chance": [], "spread": []}
    for seed in range(8):
        values = world(seed)
        of = judged(values[1:], values[0])
        table, told = card(of), said(of)
        for name, histogram in (("rank", rank_histogram(of)), ("PIT", pit_histogram(of))):
            frame = histogram.frame()
            inside[name] += frame["share"].between(frame["envelope low"], frame["envelope high"]).tolist()
        for threshold in THRESHOLDS:
            frame = reliability(of, threshold).frame().dropna()
            inside["chance"] += frame["expected"].between(frame["low"], frame["high"]).tolist()
        (spread,) = table.where(metric="spread/skill").rows
        inside["spread"].append(spread["low"] <= 1 <= spread["high"])
        names += [each.split(": ")[each.startswith("rain")] for each in told]
    shares = {name: np.mean(each) for name, each in inside.items()}
    assert min(shares.values()) >= 0.87, shares
    right = ("no fault found", "reliable within its own interval")
    assert sum(name in right for name in names) >= len(names) - 2, names


def drawn_together(members):
    return members.mean(0) + 0.4 * (members - members.mean(0))


def drawn_apart(members):
    return members.mean(0) + 2.0 * (members - members.mean(0))


@pytest.mark.parametrize(
    ("broken", "name", "chances"),
    [
        (lambda members: members + 0.5, "wet-biased", "forecast too often"),
        (lambda members: 1.6 * members, "wet-biased", "forecast too often"),
        (lambda members: 0.5 * members, "dry-biased", "forecast too seldom"),
        (lambda members: np.maximum(members - 1, 0), "dry-biased", "forecast too seldom"),
        (drawn_together, "under-dispersed", "over-confident"),
        (drawn_apart, "over-dispersed", "under-confident"),
    ],
)
def test_a_broken_ensemble_is_called_by_its_name(broken, name, chances):
    for seed in range(2):
        values = world(seed)
        told = said(judged(broken(values[1:]), values[0]))
        faults = [each for each in told if not each.startswith("rain")]
        assert any(each.startswith(name) for each in faults), told
        assert not any(each.startswith("no fault") for each in faults), told
        other = {"wet-biased": "dry-biased", "dry-biased": "wet-biased"}
        other |= {"under-dispersed": "over-dispersed", "over-dispersed": "under-dispersed"}
        assert not any(each.startswith(other[name]) for each in faults), told
        assert any(chances in each for each in told if each.startswith("rain from 1.6")), told


def test_a_sentence_holds_its_numbers():
    values = world(1)
    of = judged(values[1:] * 0.3, values[0])
    (above,), told = card(of).where(metric="above all members").rows, said(of)[0]
    assert told.startswith(
        f"dry-biased: {above['value']:.0%} of the observations lie above all members, 8% exp"
    )


def test_one_broken_gauge_does_not_decide():
    values = world(0)
    values[0, 0, :6] = 200.0
    assert not any("biased" in each or "dispersed" in each for each in said(judged(values[1:], values[0])))


def test_few_gauges_cannot_tell_and_one_member_has_no_spread():
    values = world(0)
    assert said(judged(values[1:, :3], values[0, :3]))[0].startswith("too few to tell: 3 independent blocks")
    assert said(judged(values[1:2], values[0])) == []
    assert said(judged(values[1:3], values[0]))[0].startswith("no fault found")


def test_the_shares_of_a_large_ensemble_are_read_in_classes():
    values = world(0)
    frame = reliability(judged(values[1:], values[0]), 1.6).frame()
    assert frame["members"].iloc[0] == "0"
    assert frame["members"].iloc[-1] == str(SIZE)
    assert frame["n"].sum() == PLACES * HOURS
    assert (np.diff(frame["chance"]) > 0).all()
