"""Gauge adjustment and quantile mapping against exact answers."""

import numpy as np
import pytest
import xarray as xr

from engine.fields import Grid, Observations, ensemble, rain
from engine.methods import adjustment, method
from engine.methods.adjustment import corrected, correlation, differences, distances, factors, fitted, weighed
from engine.sources.cases import write_case
from engine.tasks import Task
from engine.values import Invalid
from tests.conftest import BOX, PERIOD


def exhausted(steps):
    """What a generator returns."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value


def places(count: int, seed: int = 0):
    random = np.random.default_rng(seed)
    return random.uniform(28, 32, count), random.uniform(110, 114, count)


def test_each_form_turns_the_source_into_the_reports_where_they_are():
    random = np.random.default_rng(0)
    told, there = random.gamma(0.5, 4, (2, 30, 5))
    told[:10] = 0
    there[5:15] = 0
    for kind in ("additive", "mixed"):
        np.testing.assert_allclose(corrected(kind, there, differences(kind, told, there)), told, atol=1e-12)
    ratio = corrected("multiplicative", there, differences("multiplicative", told, there))
    assert (ratio[5:15] == 0).all()
    bounded = np.clip((told + 0.5) / (there + 0.5), 0.2, 5)
    np.testing.assert_allclose(ratio, there * bounded)


def test_mixed_adds_where_dry_and_scales_where_it_rains():
    added, scaled = differences("mixed", np.array([[2.0], [20.0]]), np.array([[0.0], [10.0]]))
    assert added[0] == 2
    assert scaled[0] == 0
    assert added[1] < 0.1
    assert scaled[1] == pytest.approx(1, abs=0.02)


def test_one_factor_makes_the_sums_equal():
    told, there = np.array([[10.0, 0], [30, 0], [np.nan, 0]]), np.array([[20.0, 0], [60, 0], [500, 0]])
    np.testing.assert_allclose(factors(told, there), [40.5 / 80.5, 1])


def test_the_weights_are_those_of_simple_kriging():
    lat, lon = places(20)
    apart = distances(lat, lon, lat, lon)
    values = np.random.default_rng(1).standard_normal((1, 20))
    values[0, 3] = np.nan
    weights = weighed(values, apart, 100.0, 0.0)
    assert weights[0, 3] == 0
    told = np.arange(20) != 3
    near = np.exp(-apart / 100)
    np.testing.assert_allclose((near @ weights[0])[told], values[0, told], atol=1e-4)  # exact at gauges
    by_hand = near[3, told] @ np.linalg.solve(near[np.ix_(told, told)], values[0, told])
    assert (near @ weights[0])[3] == pytest.approx(by_hand, abs=1e-4)


def test_distances_are_great_circles():
    assert distances([0.0], [179.5], [0.0], [-179.5])[0, 0] == pytest.approx(111.19, abs=0.01)
    assert distances([60.0], [10.0], [61.0], [10.0])[0, 0] == pytest.approx(111.19, abs=0.01)


def test_leaving_one_out_finds_the_law_and_no_law():
    lat, lon = places(120)
    apart = distances(lat, lon, lat, lon)
    random = np.random.default_rng(2)
    root = np.linalg.cholesky(correlation(apart, 160.0, 0.05))
    reach, nugget = exhausted(fitted(root @ random.standard_normal((120, 8)), apart, 0.0))
    assert 80 <= reach <= 320
    assert nugget <= 0.2
    _, alone = exhausted(fitted(random.standard_normal((120, 30)), apart, 0.0))
    assert alone >= 0.8
    values = root @ random.standard_normal((120, 1))
    inverse = np.linalg.inv(correlation(apart, 160.0, 0.05))
    at_once = (inverse @ values)[7] / inverse[7, 7]
    others = np.arange(120) != 7
    law = correlation(apart, 160.0, 0.05)
    by_hand = values[7] - law[7, others] @ np.linalg.solve(law[np.ix_(others, others)], values[others])
    np.testing.assert_allclose(at_once, by_hand)


@pytest.fixture
def biased(home):
    """Rain of long waves, a source that has a third less of it, and gauges at cell centres."""
    grid = Grid(BOX, 0.25)
    waves = 4 + 3 * np.sin(grid.lat[:, None]) * np.cos(grid.lon[None, :] + np.arange(6)[:, None, None])
    waves[2] = 0
    truth = rain(waves.astype("f4"), PERIOD.times, grid.lat, grid.lon)
    random = np.random.default_rng(0)
    rows, columns = np.divmod(random.choice(256, 60, replace=False), 16)
    names = [f"S{each:02d}" for each in range(60)]
    gauges = Observations.of(
        waves[:, rows, columns].T, names, PERIOD.times, grid.lat[rows], grid.lon[columns]
    )
    about = {"title": "Waves", "simulated": "true", "box": list(BOX)}
    about |= {"start": str(PERIOD.start), "end": str(PERIOD.end)}
    known = {"kind": "field", "title": "Simulated", "role": "background"}
    layers = {"low": (known, truth * np.float32(2 / 3)), "gauges": ({**known, "kind": "gauges"}, gauges)}
    layers["low"][1].attrs = truth.attrs
    write_case(home / "cases" / "waves.nc", about, layers)
    return truth


def made(name: str, **settings) -> xr.DataArray:
    entries = {"domain": list(BOX), "step": 0.25, "period": {"start": PERIOD.start, "end": PERIOD.end}}
    entries |= {"sources": ["waves/low"], "gauges": {"source": "waves/gauges", "hold_out": 0.2}, "members": 1}
    task = Task.of(entries | {"method": name, "settings": settings})
    return ensemble(method(name, settings).run(task, 0, [0]))[0]


@pytest.mark.parametrize(
    ("name", "settings", "most"),
    [
        ("adjustment", {"form": "additive"}, 0.4),
        ("adjustment", {"form": "multiplicative"}, 0.3),
        ("adjustment", {"form": "mixed"}, 0.4),
        ("adjustment", {"form": "mean field"}, 0.1),
        ("quantile_mapping", {}, 0.1),
    ],
)
def test_a_bias_is_undone_and_dry_stays_dry(biased, name, settings, most):
    error = float(np.abs(made(name, **settings) - biased).mean()) / float(biased.mean())
    assert error < most / 3, f"{error:.3f}, raw 0.333"
    assert float(made(name, **settings)[2].max()) == 0


def test_without_a_report_the_source_stays(biased, monkeypatch):
    monkeypatch.setattr(
        adjustment, "differences", lambda form, told, there: np.full((1, *told.shape), np.nan)
    )
    np.testing.assert_allclose(made("adjustment", form="additive"), biased * 2 / 3, atol=0.006)


def test_a_spike_does_not_make_the_tail(home, biased):
    from engine.sources import layer

    gauges = layer("waves/gauges")
    assert isinstance(gauges, Observations)
    spiky = gauges.rain.copy()
    spiky[5, 1] = 200.0
    raw = layer("waves/low")
    known = {"kind": "field", "title": "Simulated", "role": "background"}
    about = {"title": "Waves", "box": list(BOX), "start": str(PERIOD.start), "end": str(PERIOD.end)}
    layers = {"low": (known, raw), "gauges": ({**known, "kind": "gauges"}, Observations(spiky))}
    write_case(home / "cases" / "waves.nc", about, layers)
    assert float(made("quantile_mapping").max()) <= 5 * float(raw.max()) + 1e-3


def test_too_few_pairs_are_refused(biased, monkeypatch):
    from engine.methods import quantile_mapping

    monkeypatch.setattr(quantile_mapping, "FEWEST_PAIRS", 10_000)
    with pytest.raises(Invalid, match="it needs 10000"):
        made("quantile_mapping")


def test_missing_reports_do_not_stretch_the_law():
    lat, lon = places(120)
    apart = distances(lat, lon, lat, lon)
    random = np.random.default_rng(3)
    root = np.linalg.cholesky(correlation(apart, 40.0, 0.05))
    values = root @ random.standard_normal((120, 12))
    whole = exhausted(fitted(values, apart, 0.0))
    values[random.random(values.shape) < 0.3] = np.nan
    assert exhausted(fitted(values, apart, 0.0))[0] == whole[0] == 40.0


def test_another_hour_wets_other_dry_cells(home, biased):
    """A map that is dry where gauges report rain gets it at random places, each hour others."""
    from engine.sources import layer

    raw, gauges = layer("waves/low"), layer("waves/gauges")
    known = {"kind": "field", "title": "Simulated", "role": "background"}
    about = {"title": "Waves", "box": list(BOX), "start": str(PERIOD.start), "end": str(PERIOD.end)}
    layers = {"low": (known, raw * 0), "gauges": ({**known, "kind": "gauges"}, gauges)}
    layers["low"][1].attrs = raw.attrs
    write_case(home / "cases" / "waves.nc", about, layers)
    wet = made("quantile_mapping").values > 0
    assert 0.5 < wet.mean() < 1
    assert len({each.tobytes() for each in wet}) == len(wet)
