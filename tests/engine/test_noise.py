"""Noise: schedules by their formulas, streams that nothing disturbs, smooth noise of variance one."""

import pytest
import torch

from engine.noise import Streams, karras, read, smooth, variance_preserving


def test_the_clock_falls_from_high_to_low_and_ends_at_zero():
    clock = karras(18)
    assert float(clock[0]) == pytest.approx(20)
    assert float(clock[17]) == pytest.approx(0.003)
    assert float(clock[18]) == 0
    assert (clock.diff() < 0).all()
    roots = clock[:-1] ** (1 / 30)
    torch.testing.assert_close(roots.diff(), roots.diff()[:1].expand(17))


def test_variance_preserving_keeps_variance_and_sigma():
    alpha, s = variance_preserving(torch.tensor([0.0, 0.5, 20.0]))
    torch.testing.assert_close(alpha**2 + s**2, torch.ones(3))
    torch.testing.assert_close(s / alpha, torch.tensor([0.0, 0.5, 20.0]))


def test_a_members_noise_is_its_own():
    whole = Streams(7, range(32))("step 3", (5, 6))
    for members in ([4], [31, 4], list(reversed(range(32)))):
        part = Streams(7, members)("step 3", (5, 6))
        assert torch.equal(part, whole[members])
    assert not torch.equal(Streams(7, [0])("step 4", (5, 6)), whole[:1])
    assert not torch.equal(Streams(8, [0])("step 3", (5, 6)), whole[:1])


def test_no_global_generator_is_used_or_touched():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = Streams(1, [0])("x", (9,))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(1)
    assert torch.equal(Streams(1, [0])("x", (9,)), first)


def test_streams_are_normal_and_independent():
    draws = Streams(3, range(2000))("x", (8,)).double()
    assert draws.mean().abs() < 4 / 16000**0.5
    assert abs(draws.var() - 1) < 4 * (2 / 16000) ** 0.5
    assert torch.corrcoef(draws.T).triu(1).abs().max() < 5 / 2000**0.5


@pytest.mark.parametrize("width", [0.0, 0.5, 3.0])
def test_smooth_noise_has_variance_one_and_the_gaussians_correlation(width):
    field = smooth(Streams(2, range(200))("x", (48, 48)).double(), width)
    assert abs(field.var() - 1) < 0.03
    if width:
        for lag in (1, 3):
            wanted = torch.exp(torch.tensor(-(lag**2) / (4 * width**2)))
            found = (field * field.roll(lag, -1)).mean() / field.var()
            assert abs(found - wanted) < 0.02 + 0.05 * (width == 0.5)


@pytest.mark.parametrize("width", [0.0, 0.5, 2.0])
def test_noise_can_be_read_anywhere_and_is_the_same_field_there(width):
    white = Streams(2, range(3000))("x", (12, 9)).double()
    row, column = torch.arange(12.0).repeat_interleave(9), torch.arange(9.0).repeat(12)
    on_cells = smooth(white, width)
    torch.testing.assert_close(read(white, width, row, column), on_cells.flatten(1))
    shuffled = torch.tensor([5, 100, 5])
    torch.testing.assert_close(
        read(white, width, row[shuffled], column[shuffled]), on_cells.flatten(1)[:, shuffled]
    )
    between = read(white, width, torch.tensor([3.5, 3.5, 11.9]), torch.tensor([2.0, 4.3, 8.8]))
    assert (between.var(0) - 1).abs().max() < 4 * (2 / 3000) ** 0.5
    if width:
        apart = 2.3 / width  # on the same row, in units of the blur
        wanted = torch.exp(torch.tensor(-(apart**2) / 4))
        assert abs(float((between[:, 0] * between[:, 1]).mean() - wanted)) < 0.06 + 0.05 * (width == 0.5)
