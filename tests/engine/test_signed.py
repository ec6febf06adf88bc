"""Signed rain: distance where it is dry, and a score that takes it both ways."""

import numpy as np
import pytest
import torch

from engine.signed import FARTHEST, halfway, signed
from engine.transforms import NormalScore


def test_dry_cells_tell_their_distance_and_wet_ones_their_rain():
    rain = np.zeros((30, 40))
    rain[:, :10] = 2.0
    rain[3, 5] = np.nan
    found = signed(rain, (4.0, 3.0))
    assert np.isnan(found[3, 5])
    known = np.isfinite(found[:, :10])
    assert (found[:, :10][known] == 2).all()
    # rain is supported up to its last column, whose surroundings are partly wet; so is the first dry one
    np.testing.assert_allclose(np.diff(found[15, 12:]), -3)
    assert -6 <= found[15, 11] < 0


def test_a_lone_cell_is_no_rain_to_be_near_to():
    rain = np.zeros((40, 40))
    rain[5, 5] = 1.0
    found = signed(rain, (2.0, 2.0))
    assert found[5, 5] == 1
    assert (found[rain == 0] == -FARTHEST).all()
    assert signed(np.zeros((4, 4)), (2.0, 2.0)).max() == -FARTHEST


def test_the_edge_of_rain_is_halfway_to_the_nearest_wet_gauge():
    away = np.abs(np.subtract.outer([0.0, 10.0, 30.0], [0.0, 10.0, 30.0]))
    wet = np.array([[True, False], [False, False], [False, False]])
    np.testing.assert_array_equal(halfway(wet, away)[1:, 0], [-5, -15])
    assert (halfway(wet, away)[:, 1] == -FARTHEST).all()


def test_the_score_of_signed_rain_is_normal_and_dry_below():
    rng = np.random.default_rng(0)
    values = np.where(rng.random(40_000) < 0.7, -rng.exponential(60, 40_000), rng.gamma(0.6, 4, 40_000))
    score = NormalScore.signed(values)
    latent = score.forward(torch.from_numpy(values))
    quantiles = np.quantile(latent.numpy(), [0.01, 0.16, 0.5, 0.84, 0.99])
    np.testing.assert_allclose(quantiles, [-2.326, -0.994, 0, 0.994, 2.326], atol=0.02)
    back = score.inverse(latent).numpy()
    assert not back[values < 0].any()
    inside = (values > 0) & (values < 30)
    np.testing.assert_allclose(back[inside], values[inside], rtol=1e-6, atol=1e-9)
    assert score.dry == pytest.approx(0.524, abs=0.03)
    assert not score.slope(latent)[torch.from_numpy(values < 0)].any()
    again = NormalScore.read(score.told)
    torch.testing.assert_close(again.forward(torch.from_numpy(values)), latent)
    assert float(score.inverse(torch.tensor(50.0))) < 1000  # beyond what was seen no faster than a line
