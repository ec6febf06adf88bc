"""Calibration: exact against a plain loop, the dry share and the signal kept, laws recovered."""

import numpy as np
import pytest

from engine.calibrate import DeltaMapping, Windows, noise_level
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
    if kind == "additive":  # wind blows both ways
        observed, past, x = observed - 6, past - 5, x - 7
    found = DeltaMapping.fit(observed, past, kind).apply(x)
    for column in range(4):
        wanted = plain(observed[:, column], past[:, column], x[:, column], kind)
        np.testing.assert_allclose(found[:, column], wanted, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("dry", [0.35, 0.8])
def test_the_wet_share_is_the_observed_one(dry):
    observed, past = rain((2000, 30), dry=0.614, seed=1), rain((2000, 30), dry=dry, scale=1.5, seed=2)
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


def test_quantile_mapping_inside_the_past_is_exact_and_its_tails_go_on():
    observed, past = RANDOM.gamma(2, 3, (61, 3)), RANDOM.gamma(2, 2, (83, 3))
    past[4] = past[9]  # ties
    law = DeltaMapping.fit(observed, past)
    ordered, places = np.sort(past[:, 0]), (np.arange(83) + 0.5) / 83
    wanted = np.interp(places, (np.arange(61) + 0.5) / 61, np.sort(observed[:, 0]))
    ties = np.flatnonzero(ordered[1:] == ordered[:-1])[0]
    wanted[ties : ties + 2] = np.interp(
        places[ties] + 0.5 / 83, (np.arange(61) + 0.5) / 61, np.sort(observed[:, 0])
    )
    np.testing.assert_allclose(law.map(past)[past[:, 0].argsort(), 0], wanted, rtol=1e-6)
    beyond = law.map(3 * past.max(0, keepdims=True))
    np.testing.assert_allclose(beyond, 3 * observed.max(0, keepdims=True), rtol=1e-6)
    shifted = DeltaMapping.fit(observed, past, "additive").map(past.min(0, keepdims=True) - 5)
    np.testing.assert_allclose(shifted, observed.min(0, keepdims=True) - 5, rtol=1e-6)


def test_a_cell_without_values_has_no_law_and_its_neighbours_do():
    observed, past = rain((300, 3), seed=1), rain((300, 3), seed=2)
    observed[:, 0], past[:, 1] = np.nan, np.nan
    law = DeltaMapping.fit(observed, past, trace=0.1)
    for mapped in (law.apply(rain((200, 3), seed=3)), law.map(rain((200, 3), seed=3))):
        assert np.isnan(mapped[:, :2]).all()
        assert np.isfinite(mapped[:, 2]).all()


def test_each_season_and_hour_is_mapped_by_its_own_law(tmp_path):
    times = np.datetime64("2001-01-01T00") + 3 * np.arange(8 * 365 * 5) * np.timedelta64(1, "h")
    season = np.where(times.astype("datetime64[M]").astype(int) % 12 < 6, 1, -1)
    evening = np.cos(2 * np.pi * (np.arange(len(times)) % 8) / 8)
    observed = RANDOM.gamma(2, 1, (len(times), 1)) * (4 + season + 2 * evening)[:, None]
    past = RANDOM.gamma(2, 1, (len(times), 1)) * (4 - season - 2 * evening)[:, None]
    law = DeltaMapping.fit(observed, past, windows=Windows(4, 0, 8, 0), times=(times, times))
    mapped = law.apply(past, times)
    assert np.isfinite(mapped).all()
    for part in ((season == 1) & (evening == 1), (season == -1) & (evening == -1), evening == -1):
        assert mapped[part].mean() == pytest.approx(observed[part].mean(), rel=0.08)
    law.save(tmp_path / "law.npz")
    np.testing.assert_array_equal(DeltaMapping.load(tmp_path / "law.npz").apply(past, times), mapped)
    with pytest.raises(Invalid, match="0 times for 14600 values"):
        law.apply(past)


def test_every_time_belongs_to_one_part_which_learns_from_its_neighbours():
    times = np.arange("2003-12-25", "2005-01-05", 3600, "datetime64[s]")
    parts = Windows(5, 10, 3, 1).parts(times)
    np.testing.assert_array_equal(sum(own.astype(int) for own, _ in parts), 1)
    assert all((near >= own).all() for own, near in parts)
    own, near = Windows(12, 20, 24, 1).parts(times)[0]
    assert {str(each)[11:13] for each in times[own]} == {"00"}
    assert {str(each)[11:13] for each in times[near]} == {"23", "00", "01"}
    assert {str(each)[5:7] for each in times[near]} == {"12", "01", "02"}


def test_the_answer_does_not_depend_on_how_many_cells_are_mapped_together(monkeypatch):
    observed, past, x = (RANDOM.gamma(2, 3, (size, 7)) for size in (20, 30, 25))
    whole = DeltaMapping.fit(observed, past).apply(x)
    monkeypatch.setattr("engine.calibrate.BLOCK", 3)
    np.testing.assert_array_equal(DeltaMapping.fit(observed, past).apply(x), whole)


def test_tables_are_saved_and_bad_ones_refused(tmp_path):
    law = DeltaMapping.fit(rain((50, 2)), rain((60, 2), seed=1), trace=0.1)
    law.save(tmp_path / "law.npz")
    x = rain((40, 2), seed=2)
    np.testing.assert_array_equal(DeltaMapping.load(tmp_path / "law.npz").apply(x), law.apply(x))
    with pytest.raises(Invalid, match="no observed value"):
        DeltaMapping.fit(np.full((5, 1), np.nan), np.ones((5, 1)))
    with pytest.raises(Invalid, match="3 observed cells and 2 simulated"):
        DeltaMapping.fit(np.ones((5, 3)), np.ones((5, 2)))
    with pytest.raises(Invalid, match="4 cells to map; it was fitted to 2"):
        law.apply(np.ones((5, 4)))
    with pytest.raises(Invalid, match=r"windows.seasons: got 0; give a whole number from 1 to 366"):
        Windows(seasons=0)


def test_the_noise_level_hides_what_lies_beyond_the_crossing():
    k = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(64)) * 64
    k[0, 0] = 1
    white = RANDOM.standard_normal((300, 64, 64))

    def of(power):
        return np.fft.ifft2(np.fft.fft2(white) * np.sqrt(power)).real

    reference, smooth = of(k**-3.0), of(k**-3.0 * 2 * np.exp(-k / 10 * np.log(2)))  # they cross at k = 10
    assert noise_level(smooth, reference) == pytest.approx(10**-1.5, rel=0.1)
    assert noise_level(2 * reference, reference) == 0
    # a spectrum that has come down by 3 dB from the crossing on has done so at k = 20
    assert noise_level(smooth, reference, within=10 * np.log10(2)) == pytest.approx(20**-1.5, rel=0.1)
    assert noise_level(reference[::2], reference[1::2], within=1.5) == 0  # they cross by chance
    with pytest.raises(Invalid, match="64x64 and of 48x64"):
        noise_level(reference, reference[:, :48])
    with pytest.raises(Invalid, match="missing"):
        noise_level(np.where(reference == reference.max(), np.nan, reference), reference)
