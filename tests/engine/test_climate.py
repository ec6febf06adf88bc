"""Climates: a covariance that is put in is found again, from maps and from gauges."""

import numpy as np
import pytest
import torch

from engine.climate import Climate, apart, common, distances
from engine.covariance import Torus
from engine.fields import Box, Grid
from engine.noise import Streams

GRID = Grid(Box(0, 40, 6.4, 44.8), 0.05)  # 4.2 x 5.6 km, 96 x 128 cells
LAW = Climate(0.5, (10.0, 60.0), (0.3, 0.7))


def drawn(members: int) -> torch.Tensor:
    climate = LAW.on(GRID)
    return climate.draw(Streams(0, range(members))("white", climate.basis.noise(climate.mean.shape)))


def test_the_covariance_of_maps_is_found_again():
    fields = drawn(40).numpy()
    fields[:, :20, :30] = np.nan
    found = Climate.of(fields, Torus(GRID, 0.0).cell_km)
    away = np.array([0.0, 6.0, 15.0, 40.0, 100.0])
    np.testing.assert_allclose(found.covariance(away), LAW.covariance(away), atol=0.12)
    assert abs(found.mean - LAW.mean) < 0.2


def test_the_torus_has_the_covariance():
    cell_km = Torus(GRID, 0.0).cell_km
    torus = LAW.torus(GRID.shape, cell_km)
    table = torch.fft.ifft2(LAW.spectrum(torus, cell_km).double()).real.numpy()
    near = distances(torus, cell_km) < 150
    np.testing.assert_allclose(table[near], LAW.covariance(distances(torus, cell_km))[near], atol=2e-3)
    assert float(LAW.spectrum(torus, cell_km).min()) > 0


@pytest.mark.parametrize("nugget", [0.03, 0.25])
def test_gauges_tell_the_likeliest_law(nugget):
    rng = np.random.default_rng(1)
    lat, lon = rng.uniform(40, 44.8, 150), rng.uniform(0, 6.4, 150)
    north, east = (each[:, None] - each for each in (lat * 111.2, lon * 111.2 * np.cos(np.radians(42.4))))
    shape = Climate(0.0, (50.0,), (1.0,))
    root = np.linalg.cholesky(
        2 * ((1 - nugget) * shape.covariance(np.hypot(north, east)) + nugget * np.eye(150))
    )
    values = root @ rng.standard_normal((150, 12))
    values[rng.random(values.shape) < 0.1] = np.nan
    shapes = [Climate(0.0, (length,), (1.0,)) for length in (12.5, 25.0, 50.0, 100.0, 200.0)]
    law = common(values, apart(lat, lon), shapes, (0.003, 0.03, 0.25))
    assert law.lengths[1:] == (50.0,)
    assert law.variances[0] == pytest.approx(nugget)
