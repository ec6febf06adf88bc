"""The network over points: what holds on a grid holds at scattered points."""

import numpy as np
import torch

from engine.fields import Box, Grid
from engine.networks.points import Points
from engine.observe import points

GRID = Grid(Box(100, 30, 103, 32.4), 0.1)
LEVEL = torch.tensor([-0.3, 0.1, 0.4])


def network(**about) -> Points:
    """One whose every weight counts; as it is made it says nothing."""
    torch.manual_seed(0)
    made = Points(labels=2, widths=(8, 12), **about)
    for weight in made.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    return made


@torch.no_grad()
def said(made: Points, x, label=0, spacing=4.0, sketch=None, **about):
    told = sketched(x) if sketch is None else sketch
    return made(x, LEVEL[: len(x)], told, torch.tensor(label), torch.tensor(spacing), **about)


def sketched(x):
    """Some three fields beside this one."""
    return torch.stack([x.cos(), x.sin(), 0.5 * x], 1)


def test_it_begins_as_nothing():
    x = torch.randn(3, 24, 30)
    assert not said(Points(labels=2, widths=(8, 12)), x).any()


def test_on_the_cells_of_a_grid_points_are_the_grid():
    made, x = network(), torch.randn(3, *GRID.shape)
    order = torch.randperm(x[0].numel())
    lat, lon = (each.reshape(-1)[order] for each in np.meshgrid(GRID.lat, GRID.lon, indexing="ij"))
    scattered = said(made, x.flatten(1)[:, order], places=points(GRID, lat, lon))
    torch.testing.assert_close(scattered, said(made, x).flatten(1)[:, order], rtol=1e-4, atol=1e-5)


def test_some_cells_are_the_grid_with_the_others_missing():
    made, x = network(), torch.randn(3, *GRID.shape)
    known = (torch.rand(1, *GRID.shape) < 0.25).float()
    chosen = known.flatten().bool()
    lat, lon = (each.reshape(-1)[chosen] for each in np.meshgrid(GRID.lat, GRID.lon, indexing="ij"))
    scattered = said(made, x.flatten(1)[:, chosen], places=points(GRID, lat, lon))
    whole = said(made, x, sketch=sketched(x) * known, known=known).flatten(1)[:, chosen]
    torch.testing.assert_close(scattered, whole, rtol=1e-4, atol=1e-5)


def test_what_is_missing_says_nothing():
    made, x = network(), torch.randn(3, *GRID.shape)
    known = torch.ones(1, *GRID.shape)
    known[..., 5:12, 7:20] = 0
    other = torch.where(known > 0, x, torch.tensor(7.0))
    first = said(made, x, sketch=sketched(x), known=known)
    torch.testing.assert_close(first, said(made, other, sketch=sketched(x), known=known))
    assert not torch.allclose(first, said(made, x))


def test_the_order_of_points_and_the_number_of_members_do_not_matter():
    made, rng = network(), np.random.default_rng(0)
    lat, lon = rng.uniform(30, 32.4, 80), rng.uniform(100, 103, 80)
    x, order = torch.randn(3, 80), torch.randperm(80)
    one = said(made, x, places=points(GRID, lat, lon))
    other = said(made, x[:, order], places=points(GRID, lat[order], lon[order]))
    torch.testing.assert_close(one[:, order], other, rtol=1e-4, atol=1e-5)
    alone = said(made, x[:1], places=points(GRID, lat, lon))
    torch.testing.assert_close(one[:1], alone, rtol=1e-4, atol=1e-5)


def test_sketch_label_spacing_and_static_fields_are_heard():
    made, x = network(statics=1), torch.randn(3, 24, 30)
    flat, hill = torch.zeros(1, 1, 24, 30), torch.randn(1, 1, 24, 30)
    first = said(made, x, statics=flat)
    for other in ({"label": 1}, {"spacing": 9.0}):
        assert not torch.allclose(first, said(made, x, statics=flat, **other), atol=1e-3)
    assert not torch.allclose(first, said(made, x, statics=hill), atol=1e-3)
    assert not torch.allclose(first, said(made, x, sketch=0 * sketched(x), statics=flat), atol=1e-3)
    each = said(made, x, label=[0, 1, 0], spacing=[4.0, 9.0, 4.0], statics=flat)
    torch.testing.assert_close(each[:1], first[:1])


def test_any_size_will_do():
    made = network()
    for shape in ((2, 3), (17, 31), (24, 24)):
        assert said(made, torch.randn(2, *shape)).shape == (2, *shape)
