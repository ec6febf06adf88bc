"""A sketch against what is known exactly: closed forms, quadrature, and exact sampling."""

import importlib

import numpy as np
import pytest
import torch
from scipy.stats import norm, truncnorm

from engine.climate import Climate, apart
from engine.denoise import Gaussian, Waves
from engine.fields import Box, Grid
from engine.observe import cells, points
from engine.readings import ROUGH_KM, Hour, Readings, likeliest
from engine.sketch import Backdrop, Sketch, Sketched, sketch

GRID = Grid(Box(100, 30, 101, 30.8), 0.05)
LAW = Climate(0.0, (15.0, 60.0), (0.3, 0.7))
CLIMATE = LAW.on(GRID)
RNG = np.random.default_rng(0)
LAT, LON = RNG.uniform(30.05, 30.75, 12), RNG.uniform(100.05, 100.95, 12)
PLACE = points(GRID, LAT, LON)


def covariance(values) -> np.ndarray:
    """Of the flat field."""
    assert isinstance(CLIMATE.basis, Waves)
    eye = torch.eye(CLIMATE.mean.numel()).reshape(-1, *GRID.shape).double()
    return CLIMATE.basis.apply(eye, values).reshape(len(eye), -1).numpy()


def matrix(place) -> np.ndarray:
    found = np.zeros((len(place.index), CLIMATE.mean.numel()))
    for row, (index, weight) in enumerate(zip(place.index, place.weight, strict=True)):
        np.add.at(found[row], index.numpy(), weight.numpy())
    return found


def conditioned(prior: np.ndarray, mean: np.ndarray, value, error) -> tuple[np.ndarray, np.ndarray]:
    rows = matrix(PLACE)
    gain = prior @ rows.T @ np.linalg.inv(rows @ prior @ rows.T + np.diag(error**2))
    return mean + gain @ (value - rows @ mean), np.sqrt(np.diag(prior - gain @ rows @ prior))


def test_no_evidence_is_the_climate():
    found = sketch(CLIMATE)
    assert not found.mean.any()
    torch.testing.assert_close(found.spread, torch.ones(GRID.shape), rtol=1e-3, atol=1e-3)


def test_exact_reports_are_kriging():
    value, error = RNG.standard_normal(12) * 0.5, np.full(12, 0.2)
    found = sketch(CLIMATE, Readings(PLACE, value, error, np.zeros(12, bool)))
    mean, spread = conditioned(covariance(CLIMATE.basis.values), np.zeros(CLIMATE.mean.numel()), value, error)
    np.testing.assert_allclose(found.mean.numpy().ravel(), mean, atol=2e-3)
    np.testing.assert_allclose(found.spread.numpy().ravel(), spread, atol=2e-3)


def test_a_backdrop_and_reports_are_kriging_with_drift():
    """Two laws, each with its part of the map."""
    share = torch.linspace(0, 1, GRID.shape[1]).expand(GRID.shape)
    weights, expected = torch.stack([share, 1 - share]), 0.4 * torch.ones(GRID.shape)
    missed = torch.stack([0.1 * CLIMATE.basis.values, 0.6 * CLIMATE.basis.values])
    value, error = RNG.standard_normal(12) * 0.5, np.full(12, 0.2)
    readings = Readings(PLACE, value, error, np.zeros(12, bool))
    found = sketch(CLIMATE, readings, Backdrop(expected, weights, missed))
    prior = np.zeros((CLIMATE.mean.numel(),) * 2)
    for weight, law in zip(weights, missed, strict=True):
        root = weight.sqrt().numpy().ravel()
        prior += root[:, None] * covariance(law) * root
    mean, spread = conditioned(prior, expected.numpy().ravel().astype(float), value, error)
    np.testing.assert_allclose(found.mean.numpy().ravel(), mean, atol=5e-3)
    np.testing.assert_allclose(found.spread.numpy().ravel(), spread, atol=5e-3)


def test_in_a_gap_a_backdrop_says_nothing():
    weights = torch.zeros(1, *GRID.shape)
    found = sketch(
        CLIMATE, None, Backdrop(torch.zeros(GRID.shape), weights, 0.1 * CLIMATE.basis.values[None])
    )
    torch.testing.assert_close(found.spread, sketch(CLIMATE).spread)


@pytest.mark.parametrize("bound", [-1.0, 0.3, 2.0])
def test_one_dry_report_is_a_truncated_normal(bound):
    seen = np.zeros(GRID.shape, bool)
    seen[8, 10] = True
    found = sketch(CLIMATE, Readings(cells(seen), np.array([bound]), np.array([1e-3]), np.array([True])))
    exact = truncnorm(-np.inf, bound)
    assert float(found.mean[8, 10]) == pytest.approx(exact.mean(), abs=5e-3)
    assert float(found.spread[8, 10]) == pytest.approx(exact.std(), abs=5e-3)
    assert float(found.mean[0, 0]) > float(found.mean[8, 10])


def test_dry_and_wet_reports_together_are_as_by_exact_sampling():
    """Members of the joint law of the reports that are below at the dry ones."""
    value = np.array([0.9, 0.3, 0.3, 0.3])
    place, dry = points(GRID, LAT[:4], LON[:4]), np.array([False, True, True, True])
    found = sketch(CLIMATE, Readings(place, value, np.full(4, 0.05), dry))
    rows = matrix(place)
    inside = rows @ covariance(CLIMATE.basis.values) @ rows.T + 0.05**2 * np.eye(4)
    rest = inside[1:, 1:] - np.outer(inside[1:, 0], inside[0, 1:]) / inside[0, 0]
    drawn = RNG.multivariate_normal(inside[1:, 0] / inside[0, 0] * 0.9, rest, 200_000)
    kept = drawn[(drawn < 0.3).all(1)]
    read = place(found.mean[None])[0].numpy()[1:]
    np.testing.assert_allclose(read, kept.mean(0), atol=0.03)


def test_a_report_that_all_others_contradict_loses_weight():
    value = np.full(12, 0.5)
    sound = sketch(CLIMATE, Readings(PLACE, value, np.full(12, 0.1), np.zeros(12, bool)))
    value[3] = 9.0
    broken = sketch(CLIMATE, Readings(PLACE, value, np.full(12, 0.1), np.zeros(12, bool)))
    assert float((broken.mean - sound.mean).abs().max()) < 0.5
    dry = np.arange(12) == 3
    stuck = Readings(PLACE, np.where(dry, -1.0, 2.5), np.full(12, 0.1), dry)  # a dry one in heavy rain
    assert float(PLACE(sketch(CLIMATE, stuck).mean[None])[0, 3]) > 1.5


def test_a_network_that_says_nothing_believes_each_cell_by_itself():
    made = Sketched(lambda x, *told: torch.zeros_like(x))
    x, known = torch.randn(3, 4, 5), Sketch(torch.full((4, 5), 0.7), torch.full((4, 5), 0.2))
    exact = Gaussian(known.mean, Waves(torch.full((4, 5), 0.04)))
    torch.testing.assert_close(made(x, 0.3, known), exact(x, 0.3))
    levels = torch.tensor([0.1, 0.5, 5.0])
    loss = made.loss(
        known.mean + 0.2 * torch.randn(3, 4, 5), known, torch.Generator().manual_seed(0),
        levels=lambda count, generator: levels, known=torch.ones(3, 4, 5),
    )  # fmt: skip
    assert 0.6 < float(loss) < 1.5


def test_moments_of_the_truncated_normal_hold_far_out():
    """A dry report against heavy rain all around: the formula must not run out of digits."""
    for bound in (-8.0, -20.0):
        seen = np.zeros(GRID.shape, bool)
        seen[8, 10] = True
        readings = Readings(cells(seen), np.array([bound]), np.array([0.01]), np.array([True]))
        found = float(sketch(CLIMATE, readings).mean[8, 10])
        assert found == pytest.approx(-norm.pdf(bound) / norm.cdf(bound), rel=0.02)


def hours(law: Climate, count: int = 4, sites: int = 90) -> list[Hour]:
    """Readings of fields of a law, dry below .3."""
    rng = np.random.default_rng(1)
    lat, lon = rng.uniform(30, 32, sites), rng.uniform(100, 102, sites)
    away, place = apart(lat, lon), points(Grid(Box(100, 30, 102, 32), 0.05), lat, lon)
    drawn = rng.multivariate_normal(np.zeros(sites), law.covariance(away), count)
    error, made = np.full(sites, 0.05), []
    for each in drawn:
        readings = Readings(place, np.maximum(each, 0.3), error, each < 0.3)
        made.append(Hour(readings, away))
    return made


AWAY = np.array([5.0, 15.0, 40.0, 100.0])


def rise(law: Climate) -> np.ndarray:
    """Half the mean square of what two places at these distances differ by."""
    return law.variance - law.covariance(AWAY)


def test_the_likeliest_climate_is_as_rough_as_the_hours():
    smooth = Climate(0.0, (300.0,), (1.0,))
    for shares in ((0.0, 0.0, 0.0), (0.0, 0.6, 0.0), (0.8, 0.0, 0.0)):
        law = smooth.rougher(dict(zip(ROUGH_KM, shares, strict=True)))
        np.testing.assert_allclose(rise(likeliest(hours(law), smooth)), rise(law), rtol=0.3, atol=0.1)


def test_the_likeliest_climate_is_as_far_from_its_mean_as_the_hours():
    smooth = Climate(0.0, (60.0,), (1.0,))
    for size in (1.0, 2.8):
        law = smooth.rougher({25.0: 0.4}).scaled(size)
        found = likeliest(hours(law), smooth)
        assert found.variance == pytest.approx(size, rel=0.45)
        np.testing.assert_allclose(rise(found), rise(law), rtol=0.3, atol=0.1)


def test_a_few_readings_leave_the_hours_as_rough_as_usual():
    smooth = Climate(0.0, (300.0,), (1.0,))
    found = likeliest(hours(smooth, 1, 12), smooth)
    assert found == likeliest([], smooth)
    assert found.variance == pytest.approx(1)
    assert found != smooth


def test_a_large_field_is_sketched_in_parts(monkeypatch):
    value = RNG.standard_normal(12) * 0.5
    readings = Readings(PLACE, value, np.full(12, 0.2), np.zeros(12, bool))
    whole = sketch(CLIMATE, readings)
    monkeypatch.setattr(importlib.import_module("engine.sketch"), "AT_ONCE", 12 * GRID.shape[1] * 3)
    parts = sketch(CLIMATE, readings)
    torch.testing.assert_close(parts.mean, whole.mean)
    torch.testing.assert_close(parts.spread, whole.spread)
