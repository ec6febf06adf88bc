"""Operators: the dot-product test for every one, and exact answers where they are known."""

import numpy as np
import pytest
import torch

from engine.fields import Box, Grid
from engine.observe import (
    Each,
    Gather,
    Highest,
    Hours,
    Stack,
    Then,
    Through,
    areas,
    cells,
    lines,
    overlaps,
    points,
)
from engine.transforms import Log
from engine.values import Invalid

GRID = Grid(Box(110, 28, 114, 31), 0.25)
SHAPE = GRID.shape  # 12 x 16
RANDOM = np.random.default_rng(0)
LAT, LON = RANDOM.uniform(28, 31, 9), RANDOM.uniform(110, 114, 9)
COARSE = Grid(Box(110, 28, 114, 31), 0.5)
ODD = Grid(Box(110.1, 28.2, 113.1, 30.6), 0.6)
FILM = (6, *SHAPE)
SIX = torch.ones(2, 6, dtype=torch.float64).tril() + torch.eye(2, 6).flip(0)


def white(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


LINEAR = {
    "points": points(GRID, LAT, LON),
    "lines": lines(GRID, np.c_[LAT, LON][:4], np.c_[LAT, LON][4:8]),
    "swath": cells(RANDOM.random(SHAPE) < 0.3),
    "areas": areas(GRID, COARSE),
    "areas across cells": areas(GRID, ODD),
    "hours": Hours(SIX, FILM),
    "points of each hour": Each(points(GRID, LAT, LON), 6),
    "six hours, then points": Then(Hours(SIX, FILM), Each(points(GRID, LAT, LON), 2)),
}
OTHERS = {
    "highest": Highest(4, SHAPE),
    "points through the transform": Through(points(GRID, LAT, LON), Log()),
    "areas through the transform": Through(areas(GRID, ODD), Log()),
    "both": Stack([Through(areas(GRID, COARSE), Log()), points(GRID, LAT, LON)]),
    "highest through the transform": Through(Highest(4, SHAPE), Log()),
}


@pytest.mark.parametrize("name", [*LINEAR, *OTHERS])
def test_the_adjoint_is_the_adjoint(name):
    operator = (LINEAR | OTHERS)[name]
    at, x = white(3, *operator.shape), white(3, *operator.shape, seed=1)
    linear = operator.linear(at)
    seen = linear(x)
    w = white(*seen.shape, seed=2)
    left, right = (seen * w).sum(1), (x * linear.adjoint(w)).flatten(1).sum(1)
    torch.testing.assert_close(left, right)
    assert linear.adjoint(w).shape == x.shape


@pytest.mark.parametrize("name", [*LINEAR, *OTHERS])
def test_the_linearisation_is_the_derivative(name):
    operator = (LINEAR | OTHERS)[name]
    at, x = white(2, *operator.shape).abs() + 0.05, white(2, *operator.shape, seed=1)
    step = 1e-6
    slope = (operator(at + step * x) - operator(at - step * x)) / (2 * step)
    torch.testing.assert_close(operator.linear(at)(x), slope, rtol=1e-5, atol=1e-6)


def test_points_read_a_plane_exactly():
    plane = torch.from_numpy(2 * GRID.lat[:, None] - GRID.lon[None, :] + np.zeros(SHAPE))[None]
    lat, lon = RANDOM.uniform(28.2, 30.8, 7), RANDOM.uniform(110.2, 113.8, 7)
    torch.testing.assert_close(points(GRID, lat, lon)(plane)[0], torch.from_numpy(2 * lat - lon))
    assert float(points(GRID, [28.0], [110.0])(plane)[0, 0]) == float(plane[0, 0, 0])


def test_a_link_is_the_mean_along_its_line():
    plane = torch.from_numpy(3 * GRID.lat[:, None] + GRID.lon[None, :] + np.zeros(SHAPE))[None]
    link = lines(GRID, [(28.5, 110.5)], [(30.5, 113.0)])
    assert float(link(plane)[0, 0]) == pytest.approx(3 * 29.5 + 111.75)


def test_area_means_keep_mass():
    rain = white(1, *SHAPE).abs()
    area = torch.from_numpy(np.diff(np.sin(np.radians(28 + 0.25 * np.arange(13)))))[:, None] * torch.ones(16)
    coarse_area = (
        torch.from_numpy(np.diff(np.sin(np.radians(28 + 0.5 * np.arange(7)))))[:, None] * 2 * torch.ones(8)
    )
    coarse = areas(GRID, COARSE)(rain).reshape(6, 8)
    assert float((coarse * coarse_area).sum()) == pytest.approx(float((rain[0] * area).sum()), rel=1e-12)
    assert torch.allclose(areas(GRID, ODD)(torch.ones(1, *SHAPE).double()), torch.ones(1).double())


def test_overlaps_are_shares():
    share = overlaps(np.arange(5.0), np.array([0.0, 1.5, 4.0]))
    torch.testing.assert_close(
        share, torch.tensor([[2 / 3, 1 / 3, 0, 0], [0, 0.2, 0.4, 0.4]], dtype=torch.float64)
    )


def test_hours_are_summed():
    film = white(2, *FILM)
    torch.testing.assert_close(Hours(torch.ones(1, 6).double(), FILM)(film), film.sum(1).flatten(1))


def test_the_highest_is_the_highest():
    x = white(2, *SHAPE)
    wanted = x.reshape(2, 3, 4, 4, 4).amax((2, 4)).flatten(1)
    torch.testing.assert_close(Highest(4, SHAPE)(x), wanted)


def test_gathers_of_repeated_cells_add_up():
    twice = Gather(torch.tensor([[3, 3]]), torch.tensor([[0.5, 0.25]]), (2, 3))
    assert twice.adjoint(torch.ones(1, 1)).flatten()[3] == 0.75


def test_area_means_refuse_what_they_cannot_see():
    with pytest.raises(Invalid, match="outside the field"):
        overlaps(np.arange(5.0), np.arange(0.0, 9, 2))
