"""Worlds to learn from, and the case of climate simulations: what is in them, and that water is kept."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from engine.fields import Grid, check
from engine.sources.cases import Case, cases, read_case, write_case

ROOT = Path(__file__).resolve().parents[1]
UNITS = {"humidity": "mm", "u": "m s-1", "v": "m s-1", "height": "m", "vimd": "mm h-1", "rain": "mm h-1"}
QUARTER, BEGUN = 0.25, 2.0  # days of a world, hours before them


@pytest.fixture(scope="module")
def worlds():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        yield importlib.import_module("make_worlds")


@pytest.fixture(scope="module")
def truth(worlds):
    return worlds.world("truth_1", QUARTER, BEGUN)


def field(layers, name: str) -> xr.DataArray:
    return layers[name][1]


def test_a_truth_is_hourly_on_the_whole_channel(truth, tmp_path):
    write_case(tmp_path / "truth_1.nc", *truth)
    found = read_case(tmp_path / "truth_1.nc", 1)
    assert set(found.layers) == set(UNITS)
    assert "imulated" in found.title
    assert tuple(found.box) == (94, 16, 130, 48)
    for name, unit in UNITS.items():
        layer = found.layer(name)
        assert isinstance(layer, xr.DataArray)
        assert layer.shape == (6, 128, 144)
        assert layer.attrs["interval"] == "1h"
        check(layer, name, unit)
        packing = np.abs(layer.values - field(truth[1], name).values).max()
        assert packing <= (0.051 if name == "height" else 0.0051)


def test_rain_is_moved_about_and_kept(worlds):
    for hour in worlds.hourly(worlds.TRUTHS["truth_2"], 3, 4.0, worlds.CELLS):
        assert hour["rain"].mean(dtype=float) == pytest.approx(hour["resolved"].mean(dtype=float), rel=1e-5)
        assert np.abs(hour["vimd"].mean(dtype=float)) < 1e-6  # nothing passes the walls
        assert hour["rain"].std() > hour["resolved"].std() > 0


def test_the_water_of_a_simulation_changes_by_what_rises_and_falls(worlds):
    hours = list(worlds.hourly(worlds.SIMULATIONS["climate"], 24, 0.0))
    gained = (hours[-1]["humidity"] - hours[0]["humidity"]).mean(dtype=float)
    fallen = sum(hour["rain"].mean(dtype=float) for hour in hours[1:])
    spans = list(worlds.nature.integrate(worlds.SIMULATIONS["climate"], 0.0, 24))
    risen = sum(span.evaporation.mean() for span in spans[1:])
    assert fallen > 0
    assert gained == pytest.approx(risen - fallen, rel=1e-4)


def test_the_same_seed_makes_the_same_world(worlds, truth):
    again, other = (worlds.world(name, QUARTER, BEGUN)[1] for name in ("truth_1", "truth_2"))
    np.testing.assert_array_equal(field(again, "rain"), field(truth[1], "rain"))
    assert np.abs(field(other, "rain").values - field(again, "rain").values).max() > 0.1


def test_a_simulation_is_kept_as_an_archive_would(worlds):
    told, layers = worlds.world("second", 0.5, BEGUN)
    assert set(layers) == set(UNITS) - {"vimd"}
    assert told["step"] == "6h"
    hours = list(worlds.hourly(worlds.SIMULATIONS["second"], 12, BEGUN))
    for name in layers:
        kept = field(layers, name)
        assert kept.shape == (2, 32, 36)
        check(kept, name, UNITS[name])
        first = np.mean([hour[name] for hour in hours[:6]], 0)
        assert kept.values[0, 3, 5] == pytest.approx(first[6:8, 10:12].mean(), rel=1e-5)


def test_no_world_is_in_the_case_and_no_seed_is_twice(worlds):
    seeds = [each.seed for each in (*worlds.TRUTHS.values(), worlds.TRUTH)]
    assert len(set(seeds)) == 6
    simulated = {each.seed for each in worlds.SIMULATIONS.values()}
    assert not {seed + worlds.OTHER for seed in seeds[-1:]} & set(seeds)
    assert not {seed + worlds.OTHER for seed in simulated} & simulated


def test_the_case_pairs_the_truth_with_its_own_large_scales(worlds):
    _, layers = worlds.case(QUARTER, BEGUN)
    fine, mean = field(layers, "truth"), field(layers, "coarse")
    assert (fine.shape, mean.shape) == ((1, 100, 100), (1, 25, 25))
    expected = fine.values.reshape(1, 25, 4, 25, 4).mean((2, 4))
    np.testing.assert_allclose(mean.values, expected, rtol=1e-5, atol=1e-6)


def shipped() -> Case:
    return cases()["climate"]


def test_the_shipped_case_says_what_it_is():
    case = shipped()
    assert case.about["simulated"] == "true"
    assert case.path.stat().st_size < 5e6
    for said in ("nothing was measured", "not paired in time"):
        assert said in case.about["description"]
    simulations = ("climate", "warmed", "second")
    state = {"humidity", "u", "v", "height"}
    predictors = state | {"vimd"} | {f"{name}_{each}" for name in simulations for each in state}
    roles = {"truth": "reference", **dict.fromkeys(("coarse", *simulations), "background")}
    assert {name: about["role"] for name, about in case.layers.items()} == roles | dict.fromkeys(
        predictors, "predictor"
    )
    assert all(about["title"].startswith("Simulated") for about in case.layers.values())


def test_the_shipped_case_is_whole():
    case = shipped()
    times = pd.date_range("2020-06-03T06:00", "2020-07-03", freq="6h")
    for name, about in case.layers.items():
        layer = case.layer(name)
        assert isinstance(layer, xr.DataArray)
        check(layer, name, UNITS.get(name.rpartition("_")[2], "mm h-1"))
        assert layer.indexes["time"].equals(times)
        assert layer.attrs["interval"] == "6h"
        assert np.isfinite(layer.values).all()
        assert Grid.of(layer).box == case.box
        assert about["native"] == ("0.25°" if name == "truth" else "1°")
        assert about["role"] == "predictor" or layer.values.min() >= 0


def test_the_coarse_rain_of_the_shipped_case_is_that_of_its_truth():
    fine, mean = (shipped().layer(name).values for name in ("truth", "coarse"))
    expected = fine.reshape(120, 25, 4, 25, 4).mean((2, 4))
    np.testing.assert_allclose(mean, expected, atol=0.0101)
    assert expected.mean() > 0.05
