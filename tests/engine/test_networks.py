"""Networks: what any of them must keep, and a learned prior against the exact one."""

from __future__ import annotations

import math

import pytest
import torch

from engine.denoise import Denoiser, Karras
from engine.evidence import Seen
from engine.guide import Diverged, Posterior
from engine.laws import Normal
from engine.networks.unet import UNet
from engine.noise import HIGHEST, Streams, karras
from engine.observe import cells
from engine.sample import ito, last
from engine.values import Invalid
from tests.engine.learned import LEVELS, PRIOR, SHAPE, excess, learned

NOISE = 0.1


def network(**settings) -> UNet:
    """One that says something: every weight drawn, none left at its beginning of zero."""
    torch.manual_seed(0)
    made = UNet(**{"widths": (16, 24), "patch": 2} | settings)
    for weight in made.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    return made


def fields(*shape: int) -> torch.Tensor:
    return Streams(0, range(shape[0]))("x", shape[1:])


@pytest.mark.parametrize("shape", [(3, 16, 24), (3, 2, 16, 24)])
@pytest.mark.parametrize("padding", ["circular", "reflect", "zeros"])
def test_what_comes_out_is_like_what_goes_in(shape, padding):
    channels = shape[1] if len(shape) == 4 else 1
    unet = network(channels=channels, conditions=3, padding=padding)
    x, level = fields(*shape).double(), torch.tensor([-1.0, 0.0, 0.5])
    flat, deep = fields(3, 16, 24), fields(3, 2, 16, 24)
    found = unet(x, level, flat, deep)
    assert found.shape == x.shape
    assert found.dtype == x.dtype
    assert (unet(x, level, flat, deep + 1) - found).abs().max() > 1e-3
    assert (unet(x, level + 0.2, flat, deep) - found).abs().max() > 1e-3


def test_on_a_torus_it_has_no_edge():
    unet, x, level = network(blocks=2), fields(1, 24, 16), torch.zeros(1)
    shift = (unet.unit, -2 * unet.unit)
    moved = unet(x.roll(shift, (1, 2)), level)
    torch.testing.assert_close(moved, unet(x, level).roll(shift, (1, 2)), rtol=1e-4, atol=1e-4)


def test_a_level_of_each_member_is_that_members():
    unet, x = network(), fields(3, 16, 16)
    levels = torch.tensor([-1.0, 0.0, 0.5])
    for member, answer in enumerate(unet(x, levels)):
        one = slice(member, member + 1)
        torch.testing.assert_close(answer, unet(x[one], levels[one])[0], rtol=1e-4, atol=1e-5)


def test_it_begins_as_the_best_guess_that_knows_no_field():
    x = fields(2, 16, 16)
    torch.testing.assert_close(Karras(UNet())(x, 0.5), x / 1.25)


def test_every_weight_and_the_field_have_gradients():
    unet, x = network(), fields(2, 16, 16).requires_grad_()
    Karras(unet).loss(x, torch.Generator().manual_seed(0)).backward()
    for weight in (x, *unet.parameters()):
        assert weight.grad is not None
        assert torch.isfinite(weight.grad).all()
        assert weight.grad.abs().max() > 0


def test_fields_that_cannot_be_halved_are_refused():
    with pytest.raises(Invalid, match="network: a field of 16 x 18 cells; give multiples of 4"):
        network()(fields(1, 16, 18), torch.zeros(1))


@pytest.fixture(scope="module")
def prior() -> Karras:
    return learned()


def test_the_learned_prior_is_within_three_percent_of_the_bayes_error(prior):
    found = {sigma: excess(prior, sigma, 32) for sigma in LEVELS}
    assert max(found.values()) < 0.03, found


class World:
    """Gauges in a tenth of the cells, and the exact posterior."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        truth = PRIOR.draw(torch.randn(1, *SHAPE, generator=generator, dtype=torch.float64))
        gauges = cells((torch.rand(SHAPE, generator=generator) < 0.1).numpy())
        clean = gauges(truth)[0]
        heard = clean + NOISE * torch.randn(clean.shape, generator=generator, dtype=torch.float64)
        self.seen = Seen(gauges, Normal(heard, NOISE))
        matrix = torch.zeros(len(heard), math.prod(SHAPE), dtype=torch.float64)
        matrix[torch.arange(len(heard)), gauges.index.flatten()] = 1
        error = NOISE**2 * torch.eye(len(heard), dtype=torch.float64)
        self.mean, covariance = PRIOR.conditioned(matrix, error, heard)
        self.variance = covariance.diagonal().reshape(SHAPE)

    def sampled(self, prior: Denoiser, members: int, mode: str, rounds: int = 2) -> tuple[float, float]:
        """Mean error in posterior standard deviations, freed of the 1/M of M members; variance / exact."""
        streams = Streams(0, range(members))
        guided = Posterior(prior, self.seen, PRIOR, mode, rounds)
        draws = last(ito(guided, guided.start(streams, HIGHEST), karras(18), streams))
        square = float(((draws.mean(0) - self.mean) ** 2 / self.variance).mean()) - 1 / members
        return math.sqrt(max(square, 0)), float(draws.var(0).mean() / self.variance.mean())


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def test_the_default_guidance_of_the_learned_prior_is_calibrated(prior, world):
    error, variance = world.sampled(prior, 32, "hybrid")
    assert error < 0.1
    assert 0.93 < variance < 1.08


def test_plain_conjugate_gradients_diverge_on_a_learned_prior(prior, world):
    """Twenty rounds do for the exact prior; the learned one's Jacobian takes them away, and it says so."""
    assert 0.9 < world.sampled(PRIOR, 4, "mmps", rounds=20)[1] < 1.1
    with pytest.raises(Diverged):
        world.sampled(prior, 4, "mmps", rounds=20)


def test_members_of_a_network_do_not_know_of_each_other(prior, world):
    guided = Posterior(prior, world.seen, PRIOR)

    def run(members) -> torch.Tensor:
        streams = Streams(0, members)
        return last(ito(guided, guided.start(streams, HIGHEST), karras(4), streams))

    whole = run(range(32))
    assert torch.equal(torch.cat([run(range(first, first + 4)) for first in range(0, 32, 4)]), whole)
    assert torch.equal(torch.cat([run([31]), run([2])]), whole[[31, 2]])
