"""Shapes of fields whose correlation is known, and sums over pairs beside a plain loop."""

import numpy as np
import pytest

from engine.diagnostics.shape import Shifts, autocorrelation, ellipse, variogram, variogram_map
from engine.values import Invalid


def banded(long: float, short: float, angle: float, seed: int, size=256, spacing=(1.0, 1.0)) -> np.ndarray:
    """Gaussian noise whose correlation is exp(-(a/long)^2 - (b/short)^2), a along ``angle``."""
    y, x = np.meshgrid(*(np.fft.fftfreq(size, 1 / size) * step for step in spacing), indexing="ij")
    turn = np.deg2rad(angle)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    correlation = np.exp(-((along / long) ** 2) - (across / short) ** 2)
    gain = np.sqrt(np.abs(np.fft.fft2(correlation)))
    return np.fft.ifft2(np.fft.fft2(np.random.default_rng(seed).standard_normal((size, size))) * gain).real


def holed(*shape: int, seed=1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    field = rng.gamma(0.4, 3.0, shape)
    field[rng.random(shape) < 0.2] = np.nan
    return field


@pytest.mark.parametrize("angle", [0.0, 30.0, -60.0])
def test_an_ellipse_is_recovered(angle):
    fields = np.stack([banded(15.0, 6.0, angle, seed) for seed in range(8)])
    fields[:, 100:120, 100:140] = np.nan
    found = ellipse(fields, (1.0, 1.0))
    assert found.closed.all()
    assert found.major.mean() == pytest.approx(15, rel=0.04)
    assert found.minor.mean() == pytest.approx(6, rel=0.04)
    assert found.focal.mean() == pytest.approx(np.sqrt(15**2 - 6**2), rel=0.04)
    assert found.angle.mean() == pytest.approx(angle, abs=2)
    np.testing.assert_allclose(found.length, np.sqrt(found.major * found.minor))
    np.testing.assert_allclose(found.ratio, found.major / found.minor)


def test_a_round_field_on_oblong_cells_is_round():
    found = ellipse(
        np.stack([banded(24.0, 24.0, 0, seed, spacing=(2.0, 3.0)) for seed in range(4)]), (2.0, 3.0)
    )
    assert found.ratio.mean() == pytest.approx(1.1, abs=0.12)
    assert found.length.mean() == pytest.approx(24.0, rel=0.1)


def test_an_outline_that_leaves_the_shifts_is_called_open():
    y, x = np.mgrid[:60, :60]
    band = np.cos(2 * np.pi * (y + 1e-3 * x) / 60)
    assert ellipse(np.stack([band, banded(4.0, 3.0, 0.0, 1, 60)]), (1.0, 1.0)).closed.tolist() == [0.0, 1.0]


def test_autocorrelation_is_that_of_the_pairs():
    fields = np.random.default_rng(1).standard_normal((2, 9, 12))
    fields[1, 2, 3] = np.nan
    for field, found in zip(fields, autocorrelation(fields), strict=True):
        anomaly = field - np.nanmean(field)
        variance = np.nanmean(anomaly**2)
        assert found.shape == (9, 13)
        for down, right in ((0, 0), (1, 0), (0, 2), (3, 1)):
            pairs = anomaly[down:, right:] * anomaly[: 9 - down, : 12 - right]
            assert found[4 + down, 6 + right] == pytest.approx(np.nanmean(pairs) / variance)
            assert found[4 - down, 6 - right] == pytest.approx(np.nanmean(pairs) / variance)


def test_the_variogram_is_that_of_the_pairs():
    """Matheron's estimator, pair by pair."""
    field, spacing = holed(10, 13), (2.0, 3.0)
    maps, counts = variogram_map(field)
    squares: dict[tuple[int, int], list[float]] = {}
    places = [place for place in np.ndindex(field.shape) if np.isfinite(field[place])]
    for one in places:
        for other in places:
            shift = (other[0] - one[0], other[1] - one[1])
            squares.setdefault(shift, []).append((field[other] - field[one]) ** 2 / 2)
    for shift in np.ndindex(maps.shape):
        known = squares[shift[0] - 5, shift[1] - 6]
        assert counts[shift] == len(known)
        assert maps[shift] == pytest.approx(np.mean(known), abs=1e-12)
    distance, mean, pairs = variogram(field, spacing)
    rings: dict[int, list[float]] = {}
    for (north, east), known in squares.items():
        if (north, east) > (0, 0) and abs(north) <= 5 and abs(east) <= 6:
            rings.setdefault(round(np.hypot(2 * north, 3 * east) / 3), []).extend(known)
    assert len(distance) == 2
    np.testing.assert_allclose(mean, [np.mean(rings[ring]) for ring in (1, 2)])
    np.testing.assert_array_equal(pairs, [len(rings[ring]) for ring in (1, 2)])
    assert ((distance > [1.5, 4.5]) & (distance < [4.5, 7.5])).all()


def test_the_variogram_of_a_known_field_rises_to_its_sill():
    fields = np.stack([2 * banded(6.0, 6.0, 0.0, seed, 120) for seed in range(8)])
    distance, found, _ = variogram(fields, (1.0, 1.0))
    known = 4 * (1 - np.exp(-((distance / 6) ** 2)))
    np.testing.assert_allclose(found.mean(0)[:20], known[:20], rtol=0.08)
    assert (np.diff(distance) > 0).all()


def test_a_large_mean_and_single_precision_do_not_spoil_a_variogram():
    field = holed(40, 40)
    _, found, _ = variogram((field + 1000).astype(np.float32), (1.0, 1.0))
    np.testing.assert_allclose(found, variogram(field, (1.0, 1.0))[1], rtol=1e-4)


def test_frames_with_masks_of_their_own_stand_in_front():
    fields = np.stack([holed(16, 18, seed=seed) for seed in range(6)]).reshape(2, 3, 16, 18)
    _, found, pairs = variogram(fields, (1.0, 1.0))
    outline = ellipse(fields, (1.0, 1.0))
    assert found.shape == pairs.shape == (2, 3, 7)
    np.testing.assert_array_equal(found[1, 2], variogram(fields[1, 2], (1.0, 1.0))[1])
    np.testing.assert_array_equal(outline.length[1, 2], ellipse(fields[1, 2], (1.0, 1.0)).length)


def test_cross_sums_run_from_the_second_to_the_first():
    one, other = np.random.default_rng(2).standard_normal((2, 7, 9))
    shifts = Shifts((7, 9), (2, 3))
    found = shifts.sums(shifts.transform(one) * np.conj(shifts.transform(other)))
    assert found[2 + 2, 3 - 1] == pytest.approx((one[2:, :-1] * other[:-2, 1:]).sum())


def test_a_flat_or_unknown_field_has_no_shape():
    fields = np.stack([np.zeros((20, 24)), np.full((20, 24), 3.3), np.full((20, 24), np.nan)])
    fields = np.concatenate([fields, fields[2:]])
    fields[3, 4, 5] = 1.0
    found = ellipse(fields, (1.0, 1.0))
    for each in (found.length, found.ratio, found.angle, found.focal, autocorrelation(fields)):
        assert np.isnan(each).all()
    _, mean, pairs = variogram(fields, (1.0, 1.0))
    np.testing.assert_array_equal(mean[:2], 0)
    assert np.isnan(mean[2:]).all()
    assert (pairs[2:] == 0).all()


def test_a_field_too_small_for_a_shape_is_refused():
    with pytest.raises(Invalid, match="too small"):
        ellipse(np.zeros((3, 50)), (1.0, 1.0))
    with pytest.raises(Invalid, match="2 x 50 cells hold no ring"):
        variogram(np.zeros((2, 50)), (1.0, 1.0))
