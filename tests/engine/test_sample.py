"""Samplers, with a prior whose answer is known: moments, order of convergence, and streams."""

import math

import pytest
import torch

from engine.denoise import Gaussian, Waves
from engine.noise import HIGHEST, Streams, karras
from engine.sample import corrected, heun, ito, last, multistep, restart, start
from tests.engine.test_denoise import red

SHAPE = (16, 16)
PRIOR = Gaussian(torch.full(SHAPE, 0.5, dtype=torch.float64), Waves(red(*SHAPE, 2.0)))


def begin(streams: Streams) -> torch.Tensor:
    return start(streams, SHAPE, HIGHEST).double()


def run(name: str, steps: int, streams: Streams, x: torch.Tensor) -> torch.Tensor:
    clock = karras(steps)
    if name in ("heun", "multistep"):
        return last({"heun": heun, "multistep": multistep}[name](PRIOR, x, clock))
    return last({"ito": ito, "corrected": corrected}[name](PRIOR, x, clock, streams))


@pytest.mark.parametrize(
    ("name", "steps", "slack"),
    [
        ("ito", 18, 0.03),
        ("ito", 32, 0.03),
        ("heun", 64, 0.03),
        ("multistep", 64, 0.03),
        ("corrected", 64, 0.03),
    ],
)
def test_samples_have_the_priors_moments(name, steps, slack):
    streams = Streams(5, range(600))
    draws = run(name, steps, streams, start(streams, SHAPE, HIGHEST, PRIOR))
    power = (torch.fft.fft2(draws - 0.5).abs() ** 2 / 256).mean(0)
    longest = float(PRIOR.basis.values[0, 0])
    assert abs(float(draws.mean()) - 0.5) < 4 * (longest / 256 / 600) ** 0.5
    assert abs(float(power[0, 0]) / longest - 1) < slack + 4 * (2 / 600) ** 0.5
    # the variance of a cell: its scatter is that of a sum over waves, each with one real draw a member
    scatter = float((2 * PRIOR.basis.values**2).sum() / PRIOR.basis.values.sum() ** 2 / 600) ** 0.5
    assert abs(float(power.mean()) - 1) < slack + 4 * scatter


def test_a_start_without_the_climate_starves_the_longest_waves():
    streams = Streams(5, range(600))
    longest = float(PRIOR.basis.values[0, 0])
    with_climate, without = start(streams, SHAPE, 20.0, PRIOR), start(streams, SHAPE, 20.0)
    wave = [float(x.double().mean((1, 2)).var()) * 256 for x in (with_climate, without)]
    assert abs(wave[0] / (longest + 400) - 1) < 0.25
    assert wave[1] < 0.93 * wave[0]


@pytest.mark.parametrize("name", ["heun", "multistep"])
def test_the_error_falls_with_the_square_of_the_steps(name):
    """Against the exact solution of the flow: every wave shrinks by sqrt((S + low^2) / (S + high^2))."""
    streams = Streams(0, range(4))
    x, power = begin(streams), PRIOR.basis.values
    shrink = ((power + 0.003**2) / (power + HIGHEST**2)).sqrt()
    exact = 0.5 + PRIOR.basis.apply(x - 0.5, shrink)
    exact = PRIOR(exact, 0.003)
    errors = [float((run(name, steps, streams, x) - exact).norm()) for steps in (16, 32, 64, 128)]
    order = math.log(errors[0] / errors[-1]) / math.log(128 / 16)
    assert order > 1.7, errors


def test_each_member_walks_alone():
    streams = Streams(5, range(8))
    whole = run("ito", 12, streams, begin(streams))
    for members in ([3], [7, 0], [6, 5, 4, 3]):
        own = Streams(5, members)
        torch.testing.assert_close(run("ito", 12, own, begin(own)), whole[members], rtol=0, atol=1e-12)


def test_a_sampler_stops_where_it_is_left_and_tells_how_far_it_is():
    streams = Streams(0, range(2))
    seen = []
    for step in ito(PRIOR, begin(streams), karras(10), streams):
        seen.append(step.progress)
        assert step.clean.shape == step.x.shape
        if len(seen) == 4:
            break
    assert seen == [0.1, 0.2, 0.3, 0.4]


def test_a_start_around_a_guess_is_noise_of_that_level():
    guess = torch.ones(SHAPE)
    x = restart(Streams(0, range(500)), guess, 0.6)
    assert abs(float((x - 1).std()) - 0.6) < 0.01
    with pytest.raises(ValueError, match="no step"):
        last(iter(()))
