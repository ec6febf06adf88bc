"""The benchmark of a prior: what it counts, and that it would notice."""

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.networks.points import Points
from engine.noise import Streams
from engine.priors import Prior
from engine.sketch import Sketched

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    found = importlib.import_module("benchmarks.prior")
    monkeypatch.setattr(found, "SIDE", 32)
    return found


def some_rain(seed: int, count: int = 12) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rough = rng.standard_normal((count, 40, 40)).cumsum(1).cumsum(2)
    return np.maximum(rough[:, 8:, 8:], 0.0)


def test_counts_are_those_of_the_known_cells(bench):
    fields = some_rain(0)
    fields[:, :3] = np.nan
    rain, seen = bench.Rain.of(fields, 4.0), fields[np.isfinite(fields)]
    assert rain.wet() == pytest.approx((seen >= 0.1).mean())
    for share in (0.5, 0.99):
        assert rain.quantile(share) == pytest.approx(np.quantile(seen[seen >= 0.1], share), rel=0.011)


def test_a_law_is_at_no_distance_from_itself_and_more_rain_is_noticed(bench):
    truth, more = (bench.Rain.of(some_rain(0) * factor, 4.0) for factor in (1.0, 2.0))
    wavelength = bench.spectrum(truth.fields[0], (4.0, 4.0))[0]
    same, other = (bench.against(rain, truth, wavelength) for rain in (truth, more))
    assert all(value == {"1": 1.0, "dB": 0.0}[unit] for (_, unit), value in same.items())
    assert other["90.0% quantile of wet rain, ratio", "1"] == pytest.approx(2.0, rel=0.05)
    assert other["PSD at 25 km, difference", "dB"] > 0.5


def test_an_interval_holds_its_value(bench):
    rows = bench.intervals(bench.own, bench.Rain.of(some_rain(1), 4.0))
    assert rows[0]["metric"] == "wet fraction"
    assert all(row["low"] <= row["value"] <= row["high"] for row in rows)


def test_noise_at_some_cells_is_that_of_the_grid(bench):
    cells = torch.tensor([5, 0, 11])
    whole = Streams(3, range(2))("a", (3, 4))
    assert torch.equal(bench.Picked(3, range(2), (3, 4), cells)("a", (3,)), whole.flatten(1)[:, cells])


def test_scattered_points_are_laid_against_the_grid(bench):
    network = Points(1, widths=(8, 8))
    for number, weight in enumerate(network.parameters()):
        weight.data = 0.2 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(number))
    climate = {"label": "radar", "spacing": 4.0, "lengths": [20.0], "variances": [1.0]}
    card = {"run": {"tile": 32}, "labels": ["radar"], "score": {}}
    known = Prior("tiny", card | {"climate": [climate]}, Sketched(network).requires_grad_(False).eval())
    rows = bench.scattered(known, 4.0)
    assert max(row["value"] for row in rows) < 1e-3
    assert 0 < bench.quarter(known, 4.0, 1)[0]["value"] < np.inf
