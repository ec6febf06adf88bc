"""Errors of place and of amount, on fields that were moved, scaled and smoothed by known amounts."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from engine.diagnostics.placement import displacement, sal
from engine.values import Invalid

KM = (10.0, 8.0)


def storms(shape=(60, 80), seed=0, margin=20) -> np.ndarray:
    """Rain areas with nothing near the edges, so that a shift loses none."""
    rng = np.random.default_rng(seed)
    inside = np.zeros(shape)
    inside[margin:-margin, margin:-margin] = rng.gamma(0.1, 40.0, [size - 2 * margin for size in shape])
    rain = gaussian_filter(inside, 1.5)
    return np.where(rain > 0.5, rain, 0.0)


def moved(rain: np.ndarray, north: int, east: int) -> np.ndarray:
    return np.roll(rain, (north, east), (-2, -1))


@pytest.mark.parametrize(("north", "east"), [(0, 0), (3, -5), (-7, 2)])
def test_a_moved_field_is_all_displacement(north, east):
    truth = storms()
    found = displacement(moved(truth, north, east), truth, KM, 100.0)
    assert (found.north, found.east) == (10.0 * north, 8.0 * east)
    assert found.correlation == pytest.approx(1)
    error = ((moved(truth, north, east) - truth) ** 2).mean()
    assert found.displacement == pytest.approx(error, abs=1e-9)
    assert found.amplitude == pytest.approx(0, abs=1e-12)
    assert found.pattern == pytest.approx(0, abs=1e-9)


def test_a_scaled_field_is_all_amplitude():
    truth = storms()
    found = displacement(1.5 * truth, truth, KM, 100.0)
    assert (found.north, found.east) == (0, 0)
    assert found.amplitude == pytest.approx((0.25 * truth**2).mean())
    assert found.displacement == pytest.approx(0, abs=1e-12)
    assert found.pattern == pytest.approx(0, abs=1e-12)


def test_a_field_of_other_storms_is_mostly_pattern():
    found = displacement(storms(seed=1), storms(seed=2), KM, 30.0)
    assert found.pattern > 2 * (found.displacement + found.amplitude)


def test_the_parts_add_up_and_are_never_negative_whatever_is_missing():
    rng = np.random.default_rng(3)
    truth = np.stack([storms(seed=seed) for seed in range(3)])
    members = np.stack([1.3 * moved(truth, 2, 1) + rng.gamma(0.2, 1.0, truth.shape), moved(truth, 0, -4)])
    truth[:, 30:40, 5:30] = np.nan
    members[0, 1, rng.random((60, 80)) < 0.2] = np.nan
    found = displacement(members, truth, KM, 60.0)
    np.testing.assert_allclose(found.error, np.nanmean((members - truth) ** 2, (-2, -1)))
    for part in (found.displacement, found.amplitude, found.pattern):
        assert part.shape == (2, 3)
        assert (part >= 0).all()
    np.testing.assert_array_equal(found.north, [[20.0] * 3, [0.0] * 3])
    np.testing.assert_array_equal(found.east, [[8.0] * 3, [-32.0] * 3])


def test_the_best_shift_is_that_of_a_plain_search():
    rng = np.random.default_rng(4)
    rain, truth = gaussian_filter(rng.standard_normal((2, 14, 17)), (0, 2, 2))
    rain[3, 4] = truth[8, 9] = np.nan
    best = (-1.0, 0, 0)
    for north in range(-3, 4):
        for east in range(-3, 4):
            if np.hypot(north, east) <= 3:
                there = np.full(truth.shape, np.nan)  # the field, moved back
                rows, columns = (
                    slice(max(0, -far), size - max(0, far)) for far, size in ((north, 14), (east, 17))
                )
                source = rain[max(0, north) : 14 + min(0, north), max(0, east) : 17 + min(0, east)]
                there[rows, columns] = source
                both = np.isfinite(there) & np.isfinite(truth)
                best = max(best, (float(np.corrcoef(there[both], truth[both])[0, 1]), north, east))
    found = displacement(rain, truth, (1.0, 1.0), 3.0)
    assert (found.correlation, found.north, found.east) == pytest.approx(best)


def test_a_shift_that_leaves_nothing_to_compare_is_not_the_best():
    rain, truth = np.zeros((2, 24, 24))
    rain[:, -3:] = truth[:, :3] = 0.1 + np.arange(24.0)[:, None]
    found = displacement(rain, truth, (1.0, 1.0), 12.0)
    assert np.isfinite([found.correlation, found.north, found.east]).all()
    truth, rain = storms(), moved(storms(), 1, 0)
    rain[5, 5], truth[5, 5] = 1e9, np.nan  # it hides all else in the sums, but is no part of the error
    found = displacement(rain, truth, KM, 30.0)
    assert (found.north, found.east, found.displacement) == (0, 0, 0)
    assert found.error == pytest.approx(np.nanmean((rain - truth) ** 2))


def test_a_bound_beyond_half_a_side_is_refused():
    with pytest.raises(Invalid, match="give 0 to 300"):
        displacement(storms(), storms(), KM, 400.0)


def test_sal_of_the_same_field_is_perfect():
    found = sal(storms(), storms(), KM)
    assert (found.structure, found.amplitude, found.location) == (0, 0, 0)


def test_a_moved_field_errs_in_location_alone():
    found = sal(moved(storms(), 6, -5), storms(), KM)
    assert found.structure == pytest.approx(0, abs=1e-12)
    assert found.amplitude == pytest.approx(0, abs=1e-12)
    # the centre of mass, as a share of the diagonal; the objects scatter around it as before
    assert found.location == pytest.approx(np.hypot(60, 40) / np.hypot(600, 640))


def test_a_scaled_field_errs_in_amplitude_alone():
    found = sal(3.0 * storms(), storms(), KM)
    assert found.amplitude == pytest.approx(2 * (3 - 1) / (3 + 1))
    assert found.structure == pytest.approx(0, abs=1e-3)
    assert found.location == pytest.approx(0, abs=1e-3)


def test_a_flattened_field_errs_in_structure_upwards_and_a_peaked_one_downwards():
    truth = storms()
    smooth = gaussian_filter(truth, 2.0)
    assert sal(smooth, truth, KM).structure > 0.3
    assert sal(smooth, truth, KM).amplitude == pytest.approx(0, abs=1e-6)
    assert sal(truth, smooth, KM).structure == -sal(smooth, truth, KM).structure
    assert sal(truth**2, truth, KM).structure < -0.2


def test_sal_is_what_its_authors_define():
    """Two blocks and one, with numbers that a hand can follow."""
    truth, rain = np.zeros((2, 20, 30))
    truth[4:6, 5:9] = 2.0  # 8 cells, centre (4.5, 6.5)
    truth[14:16, 5:9] = 2.0  # 8 cells, centre (14.5, 6.5); of both (9.5, 6.5), scatter 5
    rain[8:12, 20:22] = 6.0  # 8 cells, centre (9.5, 20.5), scatter 0
    rain[8, 20] = 12.0
    found = sal(rain, truth, (1.0, 1.0))
    volume = 54 / 12  # of the truth's objects 8 each
    assert found.amplitude == pytest.approx(2 * (54 - 32) / (54 + 32))
    assert found.structure == pytest.approx(2 * (volume - 8) / (volume + 8))
    weights = rain / rain.sum()
    centre = np.array([(weights * axis).sum() for axis in np.mgrid[:20, :30]])
    away = np.hypot(*(centre - [9.5, 6.5]))
    assert found.location == pytest.approx((away + 2 * 5) / np.hypot(20, 30))


def test_an_object_is_what_touches_above_a_fifteenth_of_the_95th_percentile():
    truth, rain = np.zeros((2, 20, 20))
    truth[5:9, 5:9] = 15.0
    rain[5:9, 5:9] = rain[9:13, 9:13] = 15.0  # corners touch: one object, twice as large
    assert sal(rain, truth, (1.0, 1.0)).structure == pytest.approx(2 * (32 - 16) / (32 + 16))
    rain[9:13, 9:13] = 0.9  # below the threshold of 1
    assert sal(rain, truth, (1.0, 1.0)).structure == 0
    rain[9:13, 9:13] = 1.1
    assert sal(rain, truth, (1.0, 1.0)).structure > 0


def test_dry_and_unknown_fields_have_the_answers_that_can_be_given():
    truth, dry, unknown = storms(), np.zeros((60, 80)), np.full((60, 80), np.nan)
    found = sal(np.stack([dry, truth, unknown]), truth, KM)
    np.testing.assert_array_equal(found.amplitude, [-2, 0, np.nan])
    np.testing.assert_array_equal(found.structure, [np.nan, 0, np.nan])
    np.testing.assert_array_equal(found.location, [np.nan, 0, np.nan])
    assert sal(truth, dry, KM).amplitude == 2
    assert np.isnan(sal(dry, dry, KM).amplitude)
    moves = displacement(np.stack([dry, unknown]), truth, KM, 50.0)
    assert np.isnan(moves.north).all()
    assert moves.amplitude[0] == moves.error[0] == pytest.approx((truth**2).mean())
    assert np.isnan(moves.error[1])
    assert displacement(dry, dry, KM, 50.0).error == 0
