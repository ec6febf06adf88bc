"""Transforms invert, know their slope, keep order and stay bounded."""

import numpy as np
import pytest
import torch

from engine.transforms import Affine, Chain, Expected, Log, NormalScore

SEEN = np.where(
    np.random.default_rng(0).random(20000) < 0.8, 0, np.random.default_rng(1).gamma(0.6, 4, 20000)
)
SCORE = NormalScore.of(SEEN)
ALL = [
    Affine(2.0, 3.0),
    Log(),
    Log(0.5, 30.0),
    SCORE,
    Chain((Log(), Affine(1.0, 2.0))),
    Chain((SCORE, Affine(0.2, 0.9))),
]


@pytest.mark.parametrize("transform", ALL, ids=lambda each: type(each).__name__)
def test_wet_rain_comes_back(transform):
    rain = torch.tensor([0.2, 0.5, 1.0, 3.0, 17.0, 60.0, 180.0, 400.0], dtype=torch.float64)
    torch.testing.assert_close(transform.inverse(transform.forward(rain)), rain, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("transform", ALL, ids=lambda each: type(each).__name__)
def test_the_slope_is_the_derivative_and_autograd_agrees(transform):
    latent = torch.linspace(-1.93, 5.07, 301, dtype=torch.float64, requires_grad=True)
    transform.inverse(latent).sum().backward()
    assert latent.grad is not None
    torch.testing.assert_close(transform.slope(latent.detach()), latent.grad)
    assert (transform.slope(latent.detach()) >= 0).all()


def test_dry_is_a_half_line():
    low = torch.linspace(-6, SCORE.dry, 50, dtype=torch.float64)
    assert (SCORE.inverse(low) == 0).all()
    assert SCORE.forward(torch.zeros(1, dtype=torch.float64)).item() == SCORE.dry
    assert SCORE.dry == pytest.approx(0.84 + 0.05, abs=0.15)


def test_scores_of_what_was_fitted_are_normal_where_it_rains():
    wet = SEEN[SEEN > 0.1]
    score = SCORE.forward(torch.from_numpy(wet)).numpy()
    rank = np.argsort(np.argsort(wet))
    from scipy.special import ndtri

    share = 1 - len(wet) / len(SEEN) + len(wet) / len(SEEN) * (rank + 0.5) / len(wet)
    assert np.abs(score - ndtri(share)).max() < 0.05


def test_the_tail_is_bounded():
    for transform in (SCORE, Log()):
        far = transform.inverse(torch.tensor([10.0, 11.0, 12.0], dtype=torch.float64))
        assert torch.isclose(far[2] - far[1], far[1] - far[0])
        assert far[-1] < 5000
    with pytest.raises(ValueError, match="too few"):
        NormalScore.of(np.zeros(100))


def test_what_is_expected_of_a_logarithm_is_known():
    """E exp(x + s e) = exp(x + s^2 / 2): the mean of rain is more than the rain of the mean."""
    latent = torch.linspace(2, 4, 5, dtype=torch.float64)
    expected = Expected(Log(), 0.3**2)
    torch.testing.assert_close(expected.inverse(latent), 0.1 * (torch.exp(latent + 0.045) - 1))
    torch.testing.assert_close(expected.slope(latent), 0.1 * torch.exp(latent + 0.045))
    assert float(Expected(Log(), 1.0).slope(torch.tensor(-1.0))) > 0  # dry, but not for certain
    torch.testing.assert_close(Expected(Log(), 0.0).inverse(latent), Log().inverse(latent))
