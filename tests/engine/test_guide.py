"""Guidance, against the closed form: with a Gaussian prior and linear evidence every step is known."""

import math

import pytest
import torch

from engine.denoise import Denoiser, Gaussian, Waves
from engine.evidence import Seen, together
from engine.guide import Diverged, Posterior
from engine.laws import Censored, Normal, Robust, fading
from engine.noise import HIGHEST, Streams, karras
from engine.observe import Areas, Gather, Highest, Linear, cells, overlaps
from engine.sample import ito, last, multistep
from tests.engine.test_denoise import red

SIDE = 16
SHAPE = (SIDE, SIDE)
PRIOR = Gaussian(torch.full(SHAPE, 0.3, dtype=torch.float64), Waves(red(*SHAPE, 2.0)))
NOISE = 0.1


def matrix(operator: Linear) -> torch.Tensor:
    eye = torch.eye(SIDE * SIDE, dtype=torch.float64).reshape(-1, *SHAPE)
    return operator(eye).T


def world(seed: int = 0, share: float = 0.1) -> tuple[torch.Tensor, Gather, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    truth = PRIOR.draw(torch.randn(1, *SHAPE, generator=generator, dtype=torch.float64))
    gauges = cells((torch.rand(SHAPE, generator=generator) < share).numpy())
    seen = gauges(truth)[0]
    return truth, gauges, seen + NOISE * torch.randn(seen.shape, generator=generator, dtype=torch.float64)


def means() -> Areas:
    edges, coarse = torch.arange(SIDE + 1.0).numpy(), torch.arange(0.0, SIDE + 1, 4).numpy()
    return Areas(overlaps(edges, coarse), overlaps(edges, coarse))


def evidence() -> tuple[Seen, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gauges and area means at once: what is seen, and H, R, y as matrices."""
    truth, gauges, seen = world()
    coarse = means()(truth)[0] + 0.05
    joined = together(Seen(gauges, Normal(seen, NOISE)), Seen(means(), Normal(coarse, 0.2)))
    error = torch.cat([torch.full_like(seen, NOISE**2), torch.full_like(coarse, 0.04)])
    return joined, torch.cat([matrix(gauges), matrix(means())]), torch.diag(error), torch.cat([seen, coarse])


@pytest.mark.parametrize("sigma", [0.02, 0.3, 2.0, 10.0])
@pytest.mark.parametrize(("mode", "rounds"), [("climate", 1), ("hybrid", 1), ("hybrid", 2), ("mmps", 300)])
def test_the_posterior_denoiser_is_the_closed_form(mode, rounds, sigma):
    seen, matrix_, error, observed = evidence()
    exact = PRIOR.posterior(matrix_, error, observed)
    x = (
        PRIOR.draw(Streams(0, range(3))("x", SHAPE).double())
        + sigma * Streams(0, range(3))("n", SHAPE).double()
    )
    found = Posterior(PRIOR, seen, PRIOR, mode, rounds)(x, sigma)
    torch.testing.assert_close(found, exact(x, sigma), rtol=1e-4, atol=1e-5)


def test_a_field_in_the_corner_of_a_torus():
    """Readings are looked up in the torus' covariance; opposite edges do not feel each other."""
    torus = Waves(red(2 * SIDE, 2 * SIDE, 2.0))
    inside = torch.eye(SIDE**2, dtype=torch.float64).reshape(-1, *SHAPE)
    whole = torus.apply(inside, torus.values).reshape(SIDE**2, -1)
    _, gauges, _ = world()
    rows = matrix(gauges)
    torch.testing.assert_close(torus.between(gauges, torus.values), rows @ whole @ rows.T)
    assert whole[0, SIDE - 1] < 0.1 * whole[0, 1]
    draws = Gaussian(torch.zeros(SHAPE).double(), torus).draw(
        Streams(0, range(400))("white", torus.noise(torch.Size(SHAPE))).double()
    )
    assert draws.shape[1:] == SHAPE
    assert abs(float(draws.var(0)[0, 0] / draws.var(0).mean()) - 1) < 0.25


@pytest.mark.parametrize(("mode", "rounds"), [("climate", 1), ("hybrid", 2), ("mmps", 300), ("detached", 1)])
def test_errors_of_a_source_may_go_together(mode, rounds):
    """A gridded source whose errors fade with distance, beside gauges: the closed form has a full R."""
    _, gauges, seen = world()
    lat, lon = torch.meshgrid(torch.arange(4.0), torch.arange(4.0), indexing="ij")
    alike = fading(30 + 0.3 * lat.flatten(), 110 + 0.3 * lon.flatten(), length=60, share=0.8)
    coarse = torch.linspace(-1, 1, 16).double()
    joined = together(Seen(gauges, Normal(seen, NOISE)), Seen(means(), Normal(coarse, 0.5, alike=alike)))
    error = torch.block_diag(NOISE**2 * torch.eye(len(seen)).double(), 0.25 * alike)
    rows = torch.cat([matrix(gauges), matrix(means())])
    exact = PRIOR.posterior(rows, error, torch.cat([seen, coarse]))
    x = PRIOR.draw(Streams(0, range(3))("x", SHAPE).double())
    found = Posterior(PRIOR, joined, PRIOR, mode, rounds)(x, 0.5)
    if mode == "detached":  # its own formula, with Sigma = sigma^2
        clean = PRIOR(x, 0.5)
        inner = torch.linalg.inv(error + 0.25 * rows @ rows.T)
        wrong = torch.cat([seen, coarse]) - clean.flatten(1) @ rows.T
        torch.testing.assert_close(
            found, clean + 0.25 * (wrong @ inner @ rows).reshape(x.shape), rtol=1e-5, atol=1e-6
        )
    else:
        torch.testing.assert_close(found, exact(x, 0.5), rtol=1e-4, atol=1e-5)
    if mode == "climate":
        begun = Posterior(PRIOR, joined, PRIOR, mode).start(Streams(1, range(3000)), 0.0).flatten(1)
        mean, covariance = PRIOR.conditioned(rows, error, torch.cat([seen, coarse]))
        assert ((begun.mean(0) - mean.flatten()) / begun.std(0)).abs().max() < 4.5 / 3000**0.5
        assert (torch.cov(begun.T) - covariance).abs().max() < 6 * (
            2 / 3000
        ) ** 0.5 * covariance.diagonal().max()


@pytest.mark.parametrize(("sampler", "steps"), [("ito", 18), ("ito", 32), ("multistep", 48)])
def test_samples_have_the_posteriors_mean_and_variance(sampler, steps):
    """At single cells within Monte-Carlo error, and on average over the map and over what is observed."""
    seen, matrix_, error, observed = evidence()
    exact = PRIOR.posterior(matrix_, error, observed)
    count = 240
    streams = Streams(1, range(count))
    post = Posterior(PRIOR, seen, PRIOR)
    begin = post.start(streams, HIGHEST)
    steps_ = (
        ito(post, begin, karras(steps), streams)
        if sampler == "ito"
        else multistep(post, begin, karras(steps))
    )
    draws = last(steps_)
    variance = (exact.basis.vectors**2 @ exact.basis.values).reshape(SHAPE)
    of_mean = (draws.mean(0) - exact.mean) / (variance / count).sqrt()
    of_variance = (draws.var(0) / variance - 1) / (2 / count) ** 0.5
    for z in (of_mean, of_variance):
        assert z.abs().max() < 4.5  # 256 cells: 1 chance in 500 beyond it, were they independent
        assert abs(float(z.square().mean()) - 1) < 0.85  # some 25 independent ones: 3 of their sd
    assert float((draws.var(0).mean() / variance.mean() - 1).abs()) < 0.05
    in_sight = draws.flatten(1) @ matrix_.T
    wanted = ((matrix_ @ exact.basis.vectors) ** 2 @ exact.basis.values).mean()
    assert abs(float(in_sight.var(0).mean() / wanted) - 1) < 0.06


def test_a_start_is_the_posterior_noised():
    """Of a Gaussian prior exactly: its mean, and its covariance with that of the noise."""
    seen, matrix_, error, observed = evidence()
    mean, covariance = PRIOR.conditioned(matrix_, error, observed)
    x = Posterior(PRIOR, seen, PRIOR).start(Streams(2, range(4000)), 0.2).flatten(1)
    assert ((x.mean(0) - mean.flatten()) / x.std(0)).abs().max() < 4.5 / 4000**0.5
    wanted = covariance + 0.04 * torch.eye(len(covariance), dtype=torch.float64)
    assert (torch.cov(x.T) - wanted).abs().max() < 6 * (2 / 4000) ** 0.5 * wanted.diagonal().max()


class Wrong(Denoiser):
    """A learned prior at its worst: right in value, with a Jacobian of the wrong sign."""

    def __call__(self, x, sigma):
        answer = PRIOR(x, sigma)
        return answer.detach() - (x - x.detach())


def test_a_wrong_jacobian_does_not_take_the_hybrid_away():
    seen, *_ = evidence()
    x = Streams(0, range(2))("x", SHAPE).double()
    safe = Posterior(Wrong(), seen, PRIOR)(x, 0.5)
    torch.testing.assert_close(safe, Posterior(PRIOR, seen, PRIOR, "climate")(x, 0.5))


def test_divergence_is_told():
    _, gauges, seen = world()
    post = Posterior(PRIOR, Seen(gauges, Normal(seen, 1e-160)), PRIOR, "dps")
    with pytest.raises(Diverged, match="guidance dps diverged at noise level"):
        post(torch.zeros(1, *SHAPE, dtype=torch.float64), 0.5)


def test_replacement_puts_the_observed_in_place():
    truth, gauges, seen = world()
    found = Posterior(PRIOR, Seen(gauges, Normal(seen, NOISE)), PRIOR, "replacement")(truth, 0.5)
    torch.testing.assert_close(gauges(found)[0], seen)


def test_a_dry_gauge_is_the_truncated_normal():
    """One censored gauge: the exact mean is one integral away."""
    gauge = Gather(torch.tensor([[37]]), torch.ones(1, 1).double(), SHAPE)
    for threshold, sigma in ((-0.5, 1.0), (0.4, 0.3), (0.4, 5.0)):
        law = Censored(torch.tensor([threshold], dtype=torch.float64), 0.2, threshold)
        x = PRIOR.draw(Streams(0, range(4))("x", SHAPE).double())
        found = gauge(Posterior(PRIOR, Seen(gauge, law), PRIOR, "climate")(x, sigma))
        clean = gauge(PRIOR(x, sigma))
        gain = PRIOR.basis.values * sigma**2 / (PRIOR.basis.values + sigma**2)
        variance, error = float(gain.mean()), 0.04
        grid = torch.linspace(-12, 12, 40001, dtype=torch.float64)
        density = torch.exp(-0.5 * (grid - clean) ** 2 / variance)
        weight = density * torch.special.ndtr((threshold - grid) / math.sqrt(error))
        exact = (grid * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True)
        torch.testing.assert_close(found, exact, rtol=1e-5, atol=1e-5)


def test_a_stuck_gauge_pulls_less():
    truth, gauges, seen = world()
    broken = seen.clone()
    broken[0] = 40.0

    def error(law):
        post = Posterior(PRIOR, Seen(gauges, law), PRIOR, "climate")
        streams = Streams(0, range(16))
        draws = last(ito(post, post.start(streams, HIGHEST), karras(18), streams))
        return float((draws.mean(0) - truth[0]).square().mean().sqrt())

    clean = error(Normal(seen, NOISE))
    assert error(Normal(broken, NOISE)) > 3 * clean
    assert error(Robust(broken, NOISE)) < 1.3 * clean


def test_the_largest_value_of_a_block_is_evidence():
    truth, _, _ = world()
    highest = Highest(4, SHAPE)
    heard = highest(truth)[0]
    post, streams = Posterior(PRIOR, Seen(highest, Normal(heard, NOISE)), PRIOR), Streams(0, range(40))
    draws = last(ito(post, post.start(streams, HIGHEST), karras(18), streams))
    off = highest(draws) - heard
    assert off.mean().abs() < 2 * NOISE  # a mean's maximum is less than the mean of maxima, so a little high
    assert off.std() < 2.5 * NOISE  # of a prior whose maxima scatter by ten times as much
    assert (highest(PRIOR.draw(streams("prior", SHAPE).double())) - heard).std() > 8 * NOISE


def test_errors_may_grow_with_the_amount():
    law = Normal(torch.tensor([1.0, 10.0]), 0.1, share=0.2)
    _, variance = law.site(torch.tensor([[0.0, 10.0]]), torch.zeros(1, 2))
    torch.testing.assert_close(variance, torch.tensor([[0.01, 4.01]]))


@pytest.mark.parametrize("law", [Normal, Censored])
def test_members_do_not_know_of_each_other(law):
    """Bit by bit: in one batch or many, in any order, alone after a stop."""
    _, gauges, seen = world()
    evidence = together(Seen(gauges, law(seen, NOISE)), Seen(means(), Normal(torch.zeros(16), 0.3)))
    post = Posterior(PRIOR, evidence, PRIOR)

    def run(members) -> torch.Tensor:
        streams = Streams(3, members)
        return last(ito(post, post.start(streams, HIGHEST), karras(4), streams))

    whole = run(range(32))
    assert torch.equal(torch.cat([run(range(first, first + 4)) for first in range(0, 32, 4)]), whole)
    assert torch.equal(torch.cat([run([member]) for member in range(3)]), whole[:3])
    assert torch.equal(run([9, 30, 0]), whole[[9, 30, 0]])
