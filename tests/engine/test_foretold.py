"""What maps foretell: bias is taken off, and what is missed is told as large as it is."""

import numpy as np
import pytest
import torch
import xarray as xr

from engine.climate import Climate
from engine.fields import Box, Grid, Observations, Period, rain
from engine.foretold import USUAL, climate_at, foretold
from engine.noise import Streams
from engine.transforms import Affine, Chain, Log

GRID = Grid(Box(0, 40, 4, 43.2), 0.05)
TIMES = Period("2020-07-01T00:00", "2020-07-01T06:00").times  # pyright: ignore[reportArgumentType]
LATENT = Chain((Log(0.1, 150.0), Affine(0.4, 1.0)))


def world(gauges: int = 150) -> tuple[xr.DataArray, xr.DataArray, Observations]:
    """Rain, a map of it that is too wet and errs over 40 km, and gauges."""
    truth, wrong = (
        law.on(GRID).draw(
            Streams(number, range(6))("white", law.on(GRID).basis.noise(torch.Size(GRID.shape)))
        )
        for number, law in enumerate((Climate(-0.5, (60.0,), (2.0,)), Climate(0.0, (40.0,), (0.3,))))
    )
    fell = LATENT.inverse(truth).numpy()
    seen = np.where(fell > 0.02, LATENT.inverse(truth + wrong + 0.7).numpy(), 0.0)
    rng = np.random.default_rng(0)
    row, column = rng.integers(GRID.shape[0], size=gauges), rng.integers(GRID.shape[1], size=gauges)
    names = [f"G{each:03d}" for each in range(gauges)]
    at = (GRID.lat[row], GRID.lon[column])
    return (
        rain(fell, TIMES, GRID.lat, GRID.lon),
        rain(seen.astype("f4"), TIMES, GRID.lat, GRID.lon),
        Observations.of(fell[:, row, column].T, names, TIMES, *at),
    )


def told(*backgrounds, gauges=None):
    *_, answer = foretold(backgrounds, GRID, gauges, LATENT)
    assert answer is not None
    return answer


def test_gauges_take_off_bias_and_tell_how_much_is_missed():
    fell, seen, gauges = world()
    found, truth = told(seen, gauges=gauges), LATENT.forward(torch.from_numpy(fell.values)).numpy()
    assert len(found.missed) == 2
    off = truth - found.expected
    assert np.square(off).mean() < 0.5 * np.square(truth - found.plain).mean()
    for number, law in enumerate(found.missed):
        there = found.weights[:, number] > 0.5
        assert abs(off[there].mean()) < 0.1
        assert law.variance == pytest.approx(np.square(off[there]).mean(), rel=0.35, abs=0.01)
    np.testing.assert_allclose(found.weights.sum(1), 1, atol=1e-6)


def test_the_better_of_two_maps_counts_more():
    fell, seen, gauges = world()
    noise = np.random.default_rng(2).lognormal(0, 1.5, seen.shape)
    both, alone = told(seen, seen * noise, gauges=gauges), told(seen, gauges=gauges)
    truth = LATENT.forward(torch.from_numpy(fell.values)).numpy()
    assert np.square(truth - both.expected).mean() < 1.05 * np.square(truth - alone.expected).mean()


def test_a_gap_is_no_map():
    _, seen, gauges = world()
    gappy = seen.where((seen.lon > 2) | (seen.time > TIMES[2]))
    found = told(gappy, gauges=gauges)
    assert not found.weights[0, :, :, :30].any()
    np.testing.assert_allclose(found.weights[4].sum(0), 1, atol=1e-6)
    assert np.isfinite(found.expected).all()


def test_without_gauges_the_maps_are_taken_as_they_are():
    _, seen, gauges = world()
    few = gauges.select(gauges.names[:5])
    for some in (None, few):
        found = told(seen, gauges=some)
        assert found.missed == (USUAL,)
        np.testing.assert_array_equal(found.expected, found.plain)
    usual = Climate(0.0, (60.0,), (1.0,))
    assert climate_at(few, LATENT, usual) == (usual, 0.0)


def test_the_climate_is_that_of_the_hours():
    _, _, gauges = world()
    law, own = climate_at(gauges, LATENT, Climate(0.0, (60.0,), (1.0,)))
    assert law.mean == pytest.approx(float(LATENT.forward(torch.from_numpy(gauges.values)).mean()), abs=1e-6)
    assert own < 0.05 * law.variance
