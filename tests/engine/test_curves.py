"""Curves of samples whose law is known."""

import numpy as np
import pytest

from engine.diagnostics.curves import TAIL, exceedance, intensities, quantile_quantile, wet_fraction
from engine.values import Invalid


def drizzle(*shape: int, seed=0) -> np.ndarray:
    """Rain that is dry most of the time, with gaps."""
    rng = np.random.default_rng(seed)
    amount = np.where(rng.random(shape) < 0.7, 0.0, rng.gamma(0.5, 4.0, shape))
    amount[rng.random(shape) < 0.1] = np.nan
    return amount


def test_the_wet_fraction_counts_known_places_only():
    rain = np.array([[[0.0, 0.1], [5.0, np.nan]], [[0.0, 0.05], [0.0, 0.0]], [[np.nan] * 2] * 2])
    np.testing.assert_allclose(wet_fraction(rain), [2 / 3, 0, np.nan])
    np.testing.assert_allclose(wet_fraction(rain.astype(np.float32)), [2 / 3, 0, np.nan])


def test_exceedance_counts_what_reaches_an_amount():
    rain = drizzle(3, 4, 20, 30)
    amounts = [0.1, 1.0, 5.0, 1000.0]
    found = exceedance(rain, amounts)
    assert found.shape == (4, 3, 4)
    frame = rain[1, 2][np.isfinite(rain[1, 2])]
    np.testing.assert_allclose(found[:, 1, 2], [(frame >= amount).mean() for amount in amounts])
    pooled = exceedance(rain, amounts, axis=(-3, -2, -1))
    assert pooled.shape == (4, 3)
    assert pooled[1, 0] == pytest.approx((rain[0] >= 1).sum() / np.isfinite(rain[0]).sum())


def test_an_amount_is_reached_in_the_precision_of_the_field():
    assert exceedance(np.full((2, 2), 0.7, np.float32), np.array([0.7])) == 1


def test_intensities_count_dry_places():
    rain = np.concatenate([np.zeros(900), np.arange(1.0, 101.0)]).reshape(2, 20, 25).astype(float)
    assert intensities(rain.reshape(40, 25), [90.0]) == pytest.approx([0.1], abs=0.5)
    assert intensities(rain, [50, 100]).shape == (2, 2)
    assert intensities(rain, [100])[0].tolist() == [0.0, 100.0]


@pytest.mark.parametrize("axis", [(-2, -1), (-3, -2, -1), (0, 1)])
def test_intensities_are_the_percentiles_of_the_known(axis):
    rain = drizzle(3, 4, 20, 30)
    found = intensities(rain, axis=axis)
    np.testing.assert_allclose(found, np.nanpercentile(rain, TAIL, axis=axis), rtol=1e-12, atol=1e-12)


def test_the_intensity_of_the_unknown_is_unknown():
    rain = np.stack([np.full((4, 5), np.nan), np.zeros((4, 5))])
    np.testing.assert_array_equal(intensities(rain, [50, 99.99]), [[np.nan, 0.0]] * 2)


def test_quantiles_reach_the_tail_of_a_known_law():
    rng = np.random.default_rng(3)
    percentiles, mine, theirs = quantile_quantile(
        rng.exponential(2.0, (16, 40_000)), rng.exponential(1.0, 40_000)
    )
    assert percentiles[-1] == pytest.approx(100 * (1 - 1 / 40_000))
    known = -np.log(1 - percentiles / 100)
    np.testing.assert_allclose(mine[20:], 2 * known[20:], rtol=0.03)
    np.testing.assert_allclose(theirs[20:-30], known[20:-30], rtol=0.05)
    # twenty points a decade
    assert ((percentiles > 99.8999) & (percentiles < 99.99)).sum() == pytest.approx(20, abs=2)


def test_samples_of_one_law_lie_on_the_diagonal_wherever_their_values_fell():
    rain = drizzle(40, 50)
    shuffled = np.random.default_rng(1).permutation(rain.ravel())
    _, mine, theirs = quantile_quantile(rain, shuffled)
    np.testing.assert_array_equal(mine, theirs)
    assert mine[0] == 0


def test_a_pair_counts_only_where_both_are_known():
    one, other = drizzle(2, 30, 30), drizzle(30, 30, seed=1)
    both = np.isfinite(one) & np.isfinite(other)
    percentiles, mine, theirs = quantile_quantile(one, other, paired=True)
    np.testing.assert_allclose(mine, np.percentile(one[both], percentiles))
    np.testing.assert_allclose(theirs, np.percentile(np.broadcast_to(other, one.shape)[both], percentiles))
    unpaired = intensities(one.ravel(), percentiles, (-1,))
    assert not np.allclose(mine, unpaired)


def test_too_little_for_a_curve_is_refused():
    with pytest.raises(Invalid, match="too few"):
        quantile_quantile(np.array([1.0, np.nan]), np.arange(5.0))
