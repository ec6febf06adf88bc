"""Likelihoods and guidance against posteriors that are not Gaussian, and the exact samplers of these
(`references`) against integrals."""

import math

import pytest
import torch

from engine.denoise import Denoiser, Gaussian, Waves
from engine.evidence import Seen, together
from engine.guide import Posterior
from engine.laws import Censored, Law, Normal, Robust
from engine.noise import HIGHEST, Streams, karras
from engine.observe import Areas, Gather, Linear, Operator, Through, overlaps
from engine.sample import ito, last
from engine.transforms import Affine, Chain, Log
from engine.values import Invalid
from tests.engine.references import (
    Mixture,
    censored,
    covariance,
    crps,
    dense,
    energy_distance,
    gauged,
    student,
    through,
)
from tests.engine.test_denoise import red

SHAPE = (16, 16)
NOISE = 0.1
RAIN = Chain((Log(), Affine(3.0, 1.0)))  # about 2 mm/h, and next to never dry


def gaussian(mean: float = 0.0, length: float = 4.0, spread: float = 1.0, shape=SHAPE) -> Gaussian:
    power = spread**2 * red(*shape, length)
    return Gaussian(torch.full(shape, mean, dtype=torch.float64), Waves(power))


def one(prior: Gaussian, seed: int) -> torch.Tensor:
    return prior.draw(Streams(seed, [0])("truth", tuple(prior.mean.shape)).double())[0]


def sampled(seen: Seen, climate: Gaussian, members: int, prior: Denoiser | None = None, mode: str = "hybrid"):
    streams = Streams(0, range(members))
    guided = Posterior(prior or climate, seen, climate, mode)
    return last(ito(guided, guided.start(streams, HIGHEST), karras(18), streams))


# The exact samplers, at gauges few enough for an integral over their values

SMALL = gaussian(0.3, 2.0, shape=(6, 6))
MANY = 10000


def gauge(*places: int) -> Gather:
    return Gather(torch.tensor(places)[:, None], torch.ones(len(places), 1).double(), (6, 6))


def integrated(operator: Linear, log_likelihood) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance of the values at one or two gauges, on a lattice."""
    matrix = dense(operator)
    axis = torch.linspace(-7, 7, 701, dtype=torch.float64)
    lattice = torch.cartesian_prod(*[axis] * len(matrix)).reshape(-1, len(matrix))
    law = torch.distributions.MultivariateNormal(
        matrix @ SMALL.mean.flatten(), matrix @ covariance(SMALL) @ matrix.T
    )
    weight = torch.softmax(law.log_prob(lattice) + log_likelihood(lattice).sum(1), 0)
    mean = weight @ lattice
    return mean, weight @ (lattice - mean) ** 2


def agrees(draws: torch.Tensor, operator: Operator, mean: torch.Tensor, variance: torch.Tensor) -> None:
    values = operator(draws)
    assert ((values.mean(0) - mean).abs() < 4.5 * (variance / len(draws)).sqrt()).all()
    assert (values.var(0) / variance - 1).abs().max() < 4.5 * (2 / len(draws)) ** 0.5


def test_the_censored_sampler_is_the_integral():
    gauges, observed = gauge(14, 15), torch.tensor([-0.2, -0.2]).double()
    draws = censored(SMALL, dense(gauges), 0.4, observed, -0.2, MANY, 0)
    agrees(draws, gauges, *integrated(gauges, lambda g: torch.special.log_ndtr((-0.2 - g) / 0.4)))


def test_the_student_sampler_is_the_integral():
    gauges, observed = gauge(14, 15), torch.tensor([2.5, 0.1]).double()
    draws = student(SMALL, dense(gauges), 0.3, 4.0, observed, MANY, 0)
    law = torch.distributions.StudentT(4.0, 0.0, 0.3)
    agrees(draws, gauges, *integrated(gauges, lambda g: law.log_prob(observed - g)))


def test_the_tempered_sampler_is_the_integral():
    gauges = gauge(14)
    rain, observed = Through(gauges, RAIN), torch.tensor([4.0]).double()
    draws = through(SMALL, rain, 1.5, observed, 2000, 0)
    agrees(draws, gauges, *integrated(gauges, lambda g: -((observed - RAIN.inverse(g)) ** 2) / (2 * 1.5**2)))


def mixture(shape=SHAPE) -> Mixture:
    """Flat and dry, or wet and rough."""
    parts = gaussian(-1.0, 6.0, 0.3, shape), gaussian(1.0, 2.0, 1.0, shape)
    return Mixture(parts, torch.tensor([0.6, 0.4]).double())


@pytest.mark.parametrize("sigma", [0.3, 3.0])
def test_the_mixture_is_tweedies_formula(sigma):
    """D = x + sigma^2 d log p / dx, with the density as a sum over dense Gaussians; its climate is theirs."""
    prior, eye = mixture((6, 6)), torch.eye(36, dtype=torch.float64)
    laws = [
        torch.distributions.MultivariateNormal(part.mean.flatten(), covariance(part) + sigma**2 * eye)
        for part in prior.parts
    ]
    x = (prior.draw(3, 0) + sigma * Streams(1, range(3))("noise", (6, 6)).double()).requires_grad_()
    each = torch.stack([law.log_prob(x.flatten(1)) for law in laws])
    density = torch.logsumexp(each + prior.shares.log()[:, None], 0).sum()
    torch.testing.assert_close(prior(x, sigma), x + sigma**2 * torch.autograd.grad(density, x)[0])
    means = torch.stack([part.mean.flatten() for part in prior.parts])
    mean = prior.shares @ means
    whole = torch.stack([covariance(part) for part in prior.parts])
    whole = torch.einsum(
        "k,kij->ij", prior.shares, whole + (means - mean)[:, :, None] * (means - mean)[:, None]
    )
    torch.testing.assert_close(covariance(prior.climate), whole)


def test_the_mixtures_posterior_is_bayes_rule():
    """At one gauge: the posterior mean there is one integral."""
    prior, here = mixture((6, 6)), dense(gauge(14))
    found = prior.posterior(here, 0.5, torch.tensor([-0.3]).double())
    g = torch.linspace(-9, 9, 9001, dtype=torch.float64)
    laws = [torch.distributions.Normal(-1.0, 0.3), torch.distributions.Normal(1.0, 1.0)]
    before = sum(share * law.log_prob(g).exp() for share, law in zip(prior.shares, laws, strict=True))
    weight = before * torch.exp(-0.5 * ((-0.3 - g) / 0.5) ** 2)
    means = torch.stack([part.mean.flatten()[14] for part in found.parts])
    assert float(found.shares @ means) == pytest.approx(float((weight * g).sum() / weight.sum()), abs=1e-5)


# Guided diffusion


def ratio_at_neighbours(law, worlds: int, members: int) -> float:
    """CRPS in the eight cells about each dry gauge over the exact sampler's. The truths are draws of the
    exact posterior, 200 for each set of reports, which leaves a Monte-Carlo error of about 0.01."""
    prior, found, best = gaussian(), 0.0, 0.0
    for number in range(worlds):
        gauges, reports, free = gauged(one(prior, number), 0.12, NOISE, number)
        reports = reports.clamp(min=0)
        dry = torch.zeros(SHAPE).flatten().index_fill(0, gauges.index.flatten()[reports <= 0], 1.0)
        near = free & (torch.nn.functional.max_pool2d(dry.reshape(1, 1, *SHAPE), 3, 1, 1)[0, 0] > 0)
        exact = censored(prior, dense(gauges), NOISE, reports, 0.0, 400, number)[:, near]
        found += crps(sampled(Seen(gauges, law(reports)), prior, members)[:, near], exact[200:])
        best += crps(exact[:200], exact[200:])
    return found / best


def test_dry_gauges_tell_their_neighbours_what_they_know():
    assert ratio_at_neighbours(lambda reports: Censored(reports, NOISE), 3, 80) < 1.03
    assert ratio_at_neighbours(lambda reports: Normal(reports, NOISE), 2, 32) > 1.3


def test_faulty_gauges_are_found_out():
    """5% of the gauges stuck at zero or tenfold: the CRPS elsewhere rises by less than 10%."""
    prior, scores = gaussian(2.0), torch.zeros(4)
    for number in range(4):
        truth = one(prior, number)
        gauges, reports, free = gauged(truth, 0.2, NOISE, number)
        faulty, wrong = reports.clone(), torch.arange(5, len(reports), 20)
        faulty[wrong[::2]] = 0
        faulty[wrong[1::2]] *= 10

        def score(law: Law) -> float:
            return crps(sampled(Seen(gauges, law), prior, 28)[:, free], truth[free][None])  # noqa: B023

        laws = Robust(reports, NOISE), Robust(faulty, NOISE), Normal(reports, NOISE), Normal(faulty, NOISE)
        scores += torch.tensor([score(law) for law in laws])
    robust, robust_faulty, normal, normal_faulty = scores.tolist()
    assert robust < 1.02 * normal
    assert robust_faulty < 1.10 * robust
    assert normal_faulty > 2 * normal


def test_a_dry_or_wet_prior_under_precise_observations():
    """The Jacobian knows which of the two it is, the climate does not; 200 exact draws are 0.0005 apart."""
    prior, apart = mixture(), {"hybrid": [], "climate": []}
    for number in (0, 1, 2, 3):
        gauges, reports, _ = gauged(prior.draw(1, number)[0], 0.1, NOISE, number)
        exact = prior.posterior(dense(gauges), NOISE, reports).draw(200, 1)
        for mode, found in apart.items():
            draws = sampled(Seen(gauges, Normal(reports, NOISE)), prior.climate, 200, prior, mode)
            found.append(energy_distance(draws, exact))
    assert max(apart["hybrid"]) < 0.005
    assert sum(apart["climate"]) > 2 * sum(apart["hybrid"])


@pytest.mark.parametrize("blocks", [False, True])
def test_rain_is_seen_through_the_transform(blocks):
    prior = gaussian(length=3.0)
    truth = one(prior, 0)
    gauges = gauged(truth, 0.1, NOISE, 0)[0]
    edges = overlaps(torch.arange(17.0).numpy(), torch.arange(0.0, 17, 4).numpy())
    places = [gauges, Areas(edges, edges)] if blocks else [gauges]
    parts = [Through(place, RAIN) for place in places]
    heard = [part(truth[None])[0] for part in parts]
    noise = Streams(0, [0])
    heard = [clean + 0.3 * noise(f"{at}", clean.shape)[0] for at, clean in enumerate(heard)]
    seen = together(*[Seen(part, Normal(report, 0.3)) for part, report in zip(parts, heard, strict=True)])
    exact = through(prior, seen.operator, 0.3, torch.cat(heard), 300, 0)
    draws = sampled(seen, prior, 200)
    assert float((draws.var(0) / exact.var(0)).mean()) == pytest.approx(1, abs=0.15)
    away = ((draws.mean(0) - exact.mean(0)) / exact.std(0)).square().mean() - 1 / 200 - 1 / 300
    assert math.sqrt(away) < 0.25


# The laws by themselves


@pytest.mark.parametrize("misfit", [0.0, 0.5, 3.0, 40.0])
def test_a_robust_site_gives_the_mean_of_students_t(misfit):
    """One gauge: what the site makes of the prediction is the exact posterior mean."""
    predicted, variance, error = torch.tensor([[0.2]]).double(), torch.tensor([[0.5]]).double(), 0.3
    target, width = Robust(torch.tensor([0.2 + misfit]).double(), error).site(predicted, variance)
    found = predicted + variance / (variance + width) * (target - predicted)
    x = torch.linspace(-10, 60, 70001, dtype=torch.float64)
    weight = torch.distributions.StudentT(4.0, x, error).log_prob(target[0]) - (x - 0.2) ** 2 / 1.0
    assert float(found) == pytest.approx(float((torch.softmax(weight, 0) * x).sum()), abs=2e-3)


DRY, STUCK = torch.tensor([-0.2, -0.2]).double(), torch.tensor([4.5, 0.1]).double()
PAIRS = {
    "dry": (Censored(DRY, 0.1, -0.2), lambda g: torch.special.log_ndtr((-0.2 - g) / 0.1)),
    "stuck": (Robust(STUCK, 0.1), lambda g: torch.distributions.StudentT(4.0, g, 0.1).log_prob(STUCK)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_neighbours_are_judged_together(name):
    """Two gauges side by side, under noise that hides all else: their means are an integral over both.

    Each for itself, two dry gauges would be dried twice, and nobody would find out the stuck one.
    """
    law, log_likelihood = PAIRS[name]
    gauges = gauge(14, 15)
    exact, _ = integrated(gauges, log_likelihood)
    found = gauges(Posterior(SMALL, Seen(gauges, law), SMALL, "climate")(SMALL.mean[None], 1e4))[0]
    torch.testing.assert_close(found, exact, rtol=0, atol=0.01)


def test_missing_reports_are_refused():
    with pytest.raises(Invalid, match="evidence: 1 of 2 values are missing; leave them out"):
        Normal(torch.tensor([1.0, float("nan")]), 0.1)


def test_replacement_speaks_the_latent_side():
    gauges = gauge(3, 20)
    rain = Through(gauges, Affine(1.0, 3.0))
    law = Normal(torch.tensor([4.0, 7.0]), 0.1)
    found = Seen(rain, law).replace(torch.zeros(1, 6, 6).double())
    torch.testing.assert_close(rain(found)[0].float(), law.observed)
