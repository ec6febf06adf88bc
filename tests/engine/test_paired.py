"""Is one ensemble better than another? Against every turning of signs, and against equal ones."""

import itertools
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from engine.diagnostics.paired import paired, told
from engine.values import Invalid


def ensembles(errors, hours=32, places=60, seed=0):
    """Ensembles of three members that err so much about a truth that is never dry, and the reports."""
    random = np.random.default_rng(seed)
    truth = random.gamma(2, 2, (places, hours))
    times = {"time": pd.date_range("2020-07-01T01:00", periods=hours, freq="1h")}
    made = [
        xr.DataArray(truth + random.normal(0, error, (3, places, hours)), times, ("member", "gauge", "time"))
        for error in errors
    ]
    return *made, xr.DataArray(truth, times, ("gauge", "time"))


def values(table):
    return {row["metric"]: row["value"] for row in table.rows}


def test_equal_ensembles_differ_by_chance_alone():
    found = values(paired(*ensembles((1.0, 1.0), places=400)))
    assert found["gauges significantly better"] == pytest.approx(0.025, abs=0.02)
    assert found["gauges significantly worse"] == pytest.approx(0.025, abs=0.02)
    assert found["gauges that cannot tell"] == 0


def test_a_better_ensemble_is_better_at_most_gauges():
    good, bad, observed = ensembles((1.0, 2.0))
    table = paired(good, bad, observed)
    found, turned = values(table), values(paired(bad, good, observed))
    (gap,) = table.where(metric="CRPS difference").rows
    assert gap["high"] < 0
    assert gap["n"] == 60 * 32
    assert found["gauges significantly better"] > 0.6
    assert found["gauges significantly worse"] == 0
    assert turned["gauges significantly worse"] == found["gauges significantly better"]
    assert turned["CRPS difference"] == pytest.approx(-found["CRPS difference"])
    assert "significantly better at" in told(table)


def test_the_chance_is_that_of_every_turning_of_signs():
    good, bad, observed = ensembles((1.0, 1.5), places=5, hours=24)
    frame = values(paired(good, bad, observed))
    better = 0
    for gauge in range(5):
        gap = abs(good - observed).mean("member") - abs(bad - observed).mean("member")
        for one, other in ((0, 1), (0, 2), (1, 2)):
            gap = gap - abs(good[one] - good[other]) / 6 + abs(bad[one] - bad[other]) / 6
            gap = gap - abs(good[one] - good[other]) / 6 + abs(bad[one] - bad[other]) / 6
        spans = gap.values[gauge].reshape(6, 4).sum(1)
        turnings = [abs(np.dot(signs, spans)) for signs in itertools.product((1, -1), repeat=6)]
        rare = np.mean([turning >= abs(spans.sum()) - 1e-9 for turning in turnings]) < 0.05
        better += rare and spans.sum() < 0
    assert frame["gauges significantly better"] == pytest.approx(better / 5)


def test_where_both_are_dry_no_gauge_can_tell():
    good, bad, observed = ensembles((1.0, 2.0))
    table = paired(*(each.where(each.time < each.time[16], 0) for each in (good, bad, observed)))
    assert values(table)["gauges that cannot tell"] == 1
    dry = values(paired(good * 0, bad * 0, observed * 0))
    assert dry["CRPS difference"] == 0
    assert np.isnan(dry["CRPS skill"])


def test_only_what_all_know_is_compared():
    good, bad, observed = ensembles((1.0, 2.0))
    holes = good.where(good.gauge > 9)
    table = paired(holes, bad, observed.where(observed.time > observed.time[7]))
    (gap,) = table.where(metric="CRPS difference").rows
    assert gap["n"] == 50 * 24
    assert table.where(metric="gauges significantly better").rows[0]["n"] == 50
    with pytest.raises(Invalid, match="no gauge reports"):
        paired(good, bad, observed * np.nan)


def test_other_gauges_in_the_same_order_are_refused():
    good, bad, observed = (
        each.assign_coords(gauge=[f"g{k}" for k in range(60)]) for each in ensembles((1.0, 2.0))
    )
    paired(good, bad, observed)
    with pytest.raises(Invalid, match="differ in gauges or times"):
        paired(good, bad.assign_coords(gauge=[f"h{k}" for k in range(60)]), observed)
    with pytest.raises(Invalid, match="differ in gauges or times"):
        paired(good, bad.isel(time=slice(1, None)), observed)


def test_shares_are_of_the_gauges_that_can_tell():
    good, bad, observed = ensembles((1.0, 2.0))
    half = good.gauge < 30
    table = paired(*(each.where(half, 0) for each in (good, bad, observed)))
    alone = paired(*(each.isel(gauge=slice(30)) for each in (good, bad, observed)))
    found = {row["metric"]: row for row in table.rows}
    better = found["gauges significantly better"]
    assert (better["n"], found["gauges that cannot tell"]["n"]) == (30, 60)
    assert better["value"] == values(alone)["gauges significantly better"]
    assert found["gauges that cannot tell"]["value"] == 0.5
    assert "of the 30 gauges that can tell (of 60)" in told(table)
    assert "too dry or too short to tell at any of 60" in told(paired(good * 0, bad * 0, observed * 0))


def test_years_of_hours_take_little_memory():
    good, bad, observed = ensembles((1.0, 1.2), hours=20_000, places=2)
    tracemalloc.start()
    found = values(paired(good, bad, observed))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100e6, peak
    assert found["gauges significantly better"] == 1
