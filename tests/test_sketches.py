"""Made-up evidence: in a world that is Gaussian indeed, a sketch is off by as much as it says."""

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.climate import Climate
from engine.denoise import Gaussian, Waves
from engine.transforms import NormalScore

ROOT = Path(__file__).resolve().parents[1]
CELL_KM = (4.0, 3.0)
SHAPE = (32, 32)
LAW = Climate(0.0, (30.0, 120.0), (0.3, 0.7))
KNOTS = np.linspace(-3, 4, 141)
SCORE = NormalScore.read({"latent": KNOTS.tolist(), "rain": (20 * (KNOTS - 0.8)).tolist()})


@pytest.fixture
def sketches(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return importlib.import_module("training.sketches")


def drawn(count: int) -> np.ndarray:
    torus = LAW.torus(SHAPE, CELL_KM)
    world = Gaussian(torch.zeros(SHAPE), Waves(LAW.spectrum(torus, CELL_KM)))
    return world.draw(torch.randn(count, *torus, generator=torch.Generator().manual_seed(0))).numpy()


def test_a_sketch_is_off_by_as_much_as_it_says(sketches):
    """Of every kind of evidence, more or less: roughness and the worth of a map are not known exactly."""
    make, rng = sketches.Sketcher(LAW, SCORE), np.random.default_rng(1)
    off, sure = [], []
    for field in drawn(60):
        found = make(rng, field, CELL_KM)
        off.append(float((((field - found.mean.numpy()) / found.spread.numpy()) ** 2).mean()))
        sure.append(float(found.spread.mean()))
    assert np.median(off) == pytest.approx(1, abs=0.2)
    assert sum(each == 1 for each in sure) >= 3  # no evidence
    assert min(sure) < 0.5


def test_what_is_missing_is_not_read(sketches):
    field = drawn(1)[0]
    field[:, 5:] = np.nan
    readings = sketches.Sketcher(LAW, SCORE).readings(np.random.default_rng(0), field)
    assert (readings.place.index.numpy() % SHAPE[1] < 5).all()
    assert np.isfinite(readings.value).all()


def test_a_map_may_be_shifted_or_coarse_and_keeps_its_mean(sketches):
    field, different = drawn(1)[0], 0
    for seed in range(20):
        made = sketches.Sketcher.blurred(np.random.default_rng(seed), field, CELL_KM)
        assert made.mean() == pytest.approx(field.mean(), abs=1e-4)
        different += not np.array_equal(made, field)
    assert 8 < different < 20
