"""Shapes of fields whose correlation is known."""

import numpy as np
import pytest

from engine.diagnostics.shape import autocorrelation, ellipse


def banded(long: float, short: float, angle: float, seed: int, size=256, spacing=(1.0, 1.0)) -> np.ndarray:
    """Gaussian noise whose correlation is exp(-(a/long)^2 - (b/short)^2), a along ``angle``."""
    y, x = np.meshgrid(*(np.fft.fftfreq(size, 1 / size) * step for step in spacing), indexing="ij")
    turn = np.deg2rad(angle)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    correlation = np.exp(-((along / long) ** 2) - (across / short) ** 2)
    gain = np.sqrt(np.abs(np.fft.fft2(correlation)))
    return np.fft.ifft2(np.fft.fft2(np.random.default_rng(seed).standard_normal((size, size))) * gain).real


@pytest.mark.parametrize("angle", [0.0, 30.0, -60.0])
def test_an_ellipse_is_recovered(angle):
    found = [ellipse(banded(15.0, 6.0, angle, seed), (1.0, 1.0)) for seed in range(4)]
    assert np.mean([each.length for each in found]) == pytest.approx(np.sqrt(15 * 6), rel=0.1)
    assert np.mean([each.ratio for each in found]) == pytest.approx(2.5, rel=0.12)
    assert np.mean([each.angle for each in found]) == pytest.approx(angle, abs=6)


def test_a_round_field_on_oblong_cells_is_round():
    found = [ellipse(banded(24.0, 24.0, 0, seed, spacing=(2.0, 3.0)), (2.0, 3.0)) for seed in range(4)]
    assert np.mean([each.ratio for each in found]) == pytest.approx(1.1, abs=0.12)
    assert np.mean([each.length for each in found]) == pytest.approx(24.0, rel=0.1)


def test_autocorrelation_is_that_of_the_pairs():
    field = np.random.default_rng(1).standard_normal((9, 12))
    field[2, 3] = np.nan
    found = autocorrelation(field)
    anomaly = field - np.nanmean(field)
    variance = np.nanmean(anomaly**2)
    assert found.shape == (9, 13)
    for down, right in ((0, 0), (1, 0), (0, 2), (3, 1)):
        pairs = anomaly[down:, right:] * anomaly[: 9 - down, : 12 - right]
        assert found[4 + down, 6 + right] == pytest.approx(np.nanmean(pairs) / variance)
        assert found[4 - down, 6 - right] == pytest.approx(np.nanmean(pairs) / variance)


def test_a_flat_field_has_no_shape():
    assert np.isnan(ellipse(np.ones((20, 20)), (1.0, 1.0)).length)
