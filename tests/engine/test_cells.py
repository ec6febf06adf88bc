"""Unresolved convection: it moves rain about, and neither makes nor loses any."""

from dataclasses import replace

import numpy as np
import pytest

from engine.sources import cells
from engine.sources.cells import Convection

SPACING = (11000.0, 9000.0)  # m
SMALL = Convection(refine=2, scales=(80.0, 40.0, 20.0))
SHAPE = (48, 64)


def resolved(u: float = 0.0, v: float = 0.0):
    rain = np.zeros(SHAPE)
    rain[20:28, 10:50] = 3.0
    while True:
        yield rain, np.full(SHAPE, u), np.full(SHAPE, v)


def test_not_a_drop_is_made_or_lost():
    for _, (fine, (rain, _, _)) in zip(
        range(4),
        zip(cells.cells(SMALL, SPACING, 0.5, resolved(5), 1), resolved(), strict=False),
        strict=False,
    ):
        assert fine.shape == (96, 128)
        assert fine.min() >= 0
        assert fine.mean(dtype=float) == pytest.approx(rain.mean(), rel=1e-6)


def test_rain_falls_near_where_it_was_made():
    rain = np.zeros(SHAPE)
    rain[24, 32] = 100.0
    weights = np.random.default_rng(0).random((96, 128))
    fine = cells.fall(SMALL, SPACING, rain, weights)
    north = (np.arange(96) - 49)[:, None] * SPACING[0] / 2e3
    east = (np.arange(128) - 65)[None, :] * SPACING[1] / 2e3
    assert fine[np.hypot(north, east) > 3.5 * SMALL.radius * np.sqrt(2)].max() == 0
    spread = np.sqrt((fine * (north**2 + east**2)).sum() / fine.sum() / 2)
    assert spread == pytest.approx(SMALL.radius, rel=0.15)


def test_rain_falls_in_proportion_to_the_weights():
    rain, weights = np.ones(SHAPE), np.ones((96, 128))
    weights[::2] = 3.0
    fine = cells.fall(SMALL, SPACING, rain, weights)
    np.testing.assert_allclose(fine[::2], 1.5, rtol=1e-12)
    np.testing.assert_allclose(fine[1::2], 0.5, rtol=1e-12)


def test_octaves_have_unit_variance_and_their_own_scale():
    octaves = cells._octaves(replace(SMALL, stretch=1.0), (96, 128), (10e3, 10e3), 0.5)
    lengths = []
    for octave in octaves:
        noise = cells._fresh(octave, np.random.default_rng(2))
        assert noise.std() == pytest.approx(1, abs=0.25)
        assert abs(noise.mean()) < 0.05
        power = np.abs(np.fft.rfft(noise, axis=1)) ** 2
        wavenumber = np.fft.rfftfreq(noise.shape[1], 10.0 * octave.thin / SMALL.refine)
        lengths.append((power.sum(0) * wavenumber).sum() / power.sum())
    assert 1.6 < lengths[1] / lengths[0] < 2.4
    assert 1.6 < lengths[2] / lengths[1] < 2.4
    assert sum(octave.amplitude**2 for octave in octaves) == pytest.approx(1)


def test_cells_drift_with_the_wind():
    field = cells._fresh(cells._octaves(SMALL, SHAPE, SPACING, 0.5)[0], np.random.default_rng(4))
    ratio = field.shape[0] / SHAPE[0]
    drift = [np.full(SHAPE, -2.0), np.full(SHAPE, 3.0)]
    moved = cells._drift(field, drift)
    expected = np.roll(field, (round(-2 * ratio), round(3 * ratio)), (0, 1))
    np.testing.assert_allclose(moved, expected, atol=1e-4)


def test_cells_line_up_along_the_tilt():
    rising = replace(SMALL, stretch=4.0, tilt=45.0)
    noise = cells._fresh(cells._octaves(rising, SHAPE, (10e3, 10e3), 0.5)[0], np.random.default_rng(4))
    north_east = np.corrcoef(noise[:-2, :-2].ravel(), noise[2:, 2:].ravel())[0, 1]
    north_west = np.corrcoef(noise[:-2, 2:].ravel(), noise[2:, :-2].ravel())[0, 1]
    assert north_east > north_west + 0.2


def test_small_cells_live_shorter_than_large_ones():
    kept = [octave.kept for octave in cells._octaves(SMALL, SHAPE, SPACING, 0.5)]
    assert sorted(kept, reverse=True) == kept
    assert kept[0] == pytest.approx(np.exp(-0.5 / (SMALL.lifetime * 0.8 ** (2 / 3))))


def test_the_same_seed_makes_the_same_cells():
    runs = [
        [
            fine
            for _, fine in zip(range(3), cells.cells(SMALL, SPACING, 0.5, resolved(4, 2), seed), strict=False)
        ]
        for seed in (1, 1, 2)
    ]
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])
