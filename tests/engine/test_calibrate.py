"""Calibration: exact against a plain loop, the dry share and the signal kept, laws recovered."""

import numpy as np
import pytest

from engine.calibrate import DeltaMapping, by_season, error_law, noise_level, spectrum
from engine.values import Invalid

RANDOM = np.random.default_rng(0)


def rain(shape, dry=0.6, scale=3.0, seed=0):
    random = np.random.default_rng(seed)
    return np.where(random.random(shape) < dry, 0.0, random.gamma(0.7, scale, shape) + 0.1)


def plain(observed, past, x, kind):
    """Quantile delta mapping as the text says it, one value at a time."""

    def quantile(values, share):
        ordered = sorted(values)
        place = min(max(share * len(ordered) - 0.5, 0), len(ordered) - 1)
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (ordered[high] - ordered[low]) * (place - low)

    result = []
    for value in x:
        less, same = sum(other < value for other in x), sum(other == value for other in x)
        share = (less + (same + 1) / 2 - 0.5) / len(x)
        now, then = quantile(observed, share), quantile(past, share)
        result.append(now * value / then if kind == "ratio" else now + value - then)
    return result


@pytest.mark.parametrize("kind", ["ratio", "additive"])
def test_it_is_exact(kind):
    observed, past, x = (RANDOM.gamma(2, 3, (size, 4)) for size in (61, 83, 47))
    x[5] = x[9]  # ties
    found = DeltaMapping.fit(observed, past, kind).apply(x)
    for column in range(4):
        wanted = plain(observed[:, column], past[:, column], x[:, column], kind)
        np.testing.assert_allclose(found[:, column], wanted, rtol=1e-6, atol=1e-9)


def test_the_wet_share_is_the_observed_one():
    observed, past = rain((2000, 30), dry=0.614, seed=1), rain((2000, 30), dry=0.35, scale=1.5, seed=2)
    mapped = DeltaMapping.fit(observed, past, trace=0.1).apply(past)
    assert abs((mapped >= 0.1).mean() - (observed >= 0.1).mean()) < 0.005
    assert abs(mapped.mean() / observed.mean() - 1) < 0.01
    assert ((mapped == 0) | (mapped >= 0.1)).all()


def test_more_rain_than_observed_stays_dry_where_it_was_dry():
    observed, past = rain((1500, 8), dry=0.8, seed=1), rain((1500, 8), dry=0.5, seed=2)
    future = np.where(past > 0, past * 1.2, 0)
    mapped = DeltaMapping.fit(observed, past, trace=0.1).apply(future)
    assert (mapped >= 0.1).mean() == pytest.approx((observed >= 0.1).mean(), abs=0.01)


def test_a_known_signal_is_kept_quantile_by_quantile():
    observed, past = RANDOM.gamma(2, 3, (4000, 3)), RANDOM.gamma(1.3, 2, (4000, 3))
    signal = 1 + 0.4 * (np.argsort(np.argsort(past, 0), 0) + 0.5) / 4000
    mapped = DeltaMapping.fit(observed, past).apply(past * signal)
    for share in (0.1, 0.5, 0.9, 0.99, 0.999):
        ratio = np.quantile(mapped, share, 0) / np.quantile(observed, share, 0)
        np.testing.assert_allclose(ratio, 1 + 0.4 * share, rtol=0.01)


def test_a_future_extreme_is_not_clipped():
    observed, past = RANDOM.gamma(2, 3, (500, 1)), RANDOM.gamma(2, 3, (500, 1))
    future = past.copy()
    future[past.argmax()] *= 5
    mapped = DeltaMapping.fit(observed, past).apply(future)
    assert mapped.max() == pytest.approx(5 * observed.max())


def test_what_is_missing_stays_missing_and_disturbs_nothing():
    observed, past, x = (RANDOM.gamma(2, 3, (size, 2)) for size in (60, 80, 50))
    holes = [each.copy() for each in (observed, past, x)]
    for number, each in enumerate(holes):
        each[3 + number :: 7, 0] = np.nan
    found = DeltaMapping.fit(holes[0], holes[1]).apply(holes[2])
    np.testing.assert_array_equal(np.isnan(found), np.isnan(holes[2]))
    known = [each[np.isfinite(each[:, 0]), 0] for each in holes]
    np.testing.assert_allclose(found[np.isfinite(found[:, 0]), 0], plain(*known, "ratio"), rtol=1e-6)
    np.testing.assert_allclose(found[:, 1], plain(observed[:, 1], past[:, 1], x[:, 1], "ratio"), rtol=1e-6)


def test_quantile_mapping_gives_the_observed_law():
    observed, past = rain((3000, 2), seed=3), rain((3000, 2), dry=0.4, scale=1, seed=4)
    mapped = DeltaMapping.fit(observed, past, trace=0.1).map(past)
    np.testing.assert_allclose(
        np.quantile(mapped, [0.7, 0.9, 0.99], 0), np.quantile(observed, [0.7, 0.9, 0.99], 0), rtol=0.02
    )


def test_seasons_are_mapped_by_their_own_law():
    days = np.tile(np.arange(1, 366), 20)
    cycle = 2 + np.cos(2 * np.pi * days / 365)[:, None]
    observed = RANDOM.gamma(2, 1, (len(days), 1)) * cycle
    past = RANDOM.gamma(2, 1, (len(days), 1)) * (4 - cycle)
    mapped = by_season(observed, past, past, (days, days, days), width=15)
    assert np.isfinite(mapped).all()
    for part in (days < 20, np.abs(days - 182) < 10):
        assert mapped[part].mean() == pytest.approx(observed[part].mean(), rel=0.08)


def test_tables_are_saved_and_bad_ones_refused(tmp_path):
    law = DeltaMapping.fit(rain((50, 2)), rain((60, 2), seed=1), trace=0.1)
    law.save(tmp_path / "law.npz")
    x = rain((40, 2), seed=2)
    np.testing.assert_array_equal(DeltaMapping.load(tmp_path / "law.npz").apply(x), law.apply(x))
    with pytest.raises(Invalid, match="no observed value"):
        DeltaMapping.fit(np.full((5, 1), np.nan), np.ones((5, 1)))
    with pytest.raises(Invalid, match="3 observed cells and 2 simulated"):
        DeltaMapping.fit(np.ones((5, 3)), np.ones((5, 2)))


def test_white_noise_has_the_spectrum_of_its_variance():
    _, power = spectrum(1.7 * RANDOM.standard_normal((200, 48, 48)))
    np.testing.assert_allclose(power, 1.7**2, rtol=0.1)


def test_the_noise_level_hides_what_lies_beyond_the_crossing():
    k = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(64)) * 64
    k[0, 0] = 1
    white = RANDOM.standard_normal((300, 64, 64))

    def of(power):
        return np.fft.ifft2(np.fft.fft2(white) * np.sqrt(power)).real

    reference, smooth = of(k**-3.0), of(k**-3.0 * 2 * np.exp(-k / 10 * np.log(2)))  # they cross at k = 10
    assert noise_level(smooth, reference) == pytest.approx(10**-1.5, rel=0.1)
    assert noise_level(2 * reference, reference) == 0


def test_the_law_of_errors_is_found_in_spite_of_faults():
    truth = RANDOM.gamma(0.7, 4, 20000)
    gauges = truth + np.sqrt(0.2**2 + (0.3 * truth) ** 2) * RANDOM.standard_normal(20000)
    gauges[::50] = 150
    floor, share = error_law(truth, gauges)
    assert floor == pytest.approx(0.2, rel=0.15)
    assert share == pytest.approx(0.3, rel=0.1)
    with pytest.raises(Invalid, match="too few"):
        error_law(truth[:10], gauges[:10])
