"""Denoisers, against closed forms."""

import math

import pytest
import torch

from engine.denoise import (
    Denoiser,
    Dense,
    Folded,
    Gaussian,
    Karras,
    Residual,
    VariancePreserving,
    Waves,
    tiled,
    windowed,
)
from engine.noise import Streams, karras
from engine.sample import ito, last

torch.set_default_dtype(torch.float32)


def red(rows: int, columns: int, length: float = 4.0) -> torch.Tensor:
    """A spectrum of correlation length about ``length`` cells, of variance one."""
    ky, kx = torch.fft.fftfreq(rows).double()[:, None], torch.fft.fftfreq(columns).double()
    power = (1 + (2 * torch.pi * length) ** 2 * (ky**2 + kx**2)) ** -2.0
    return power / power.mean()


def gaussian(rows=12, columns=10, length=2.0, mean=0.3) -> Gaussian:
    return Gaussian(torch.full((rows, columns), mean, dtype=torch.float64), Waves(red(rows, columns, length)))


def matrix(basis, shape) -> torch.Tensor:
    eye = torch.eye(shape[0] * shape[1], dtype=torch.float64).reshape(-1, *shape)
    return basis.apply(
        eye, basis.values.expand_as(eye[0]) if basis.values.ndim > 1 else basis.values
    ).reshape(len(eye), -1)


@pytest.mark.parametrize("sigma", [0.01, 0.7, 20.0])
def test_the_gaussian_is_the_textbook_formula(sigma):
    prior = gaussian()
    covariance = matrix(prior.basis, (12, 10))
    x = Streams(0, range(3))("x", (12, 10)).double() * 2
    gain = covariance @ torch.linalg.inv(covariance + sigma**2 * torch.eye(120, dtype=torch.float64))
    wanted = 0.3 + ((x - 0.3).reshape(3, -1) @ gain.T).reshape(x.shape)
    torch.testing.assert_close(prior(x, sigma), wanted)
    dense = Gaussian(prior.mean, Dense.of(covariance))
    torch.testing.assert_close(dense(x, sigma), wanted)
    each = prior(x, torch.full((3,), sigma))
    torch.testing.assert_close(each, wanted)


def test_samples_have_the_covariance():
    prior = gaussian(8, 8)
    draws = prior.draw(Streams(1, range(20000))("x", (8, 8)).double()).reshape(20000, -1)
    wanted = matrix(prior.basis, (8, 8))
    assert (draws.mean(0) - 0.3).abs().max() < 5 / 20000**0.5
    assert (torch.cov(draws.T) - wanted).abs().max() < 6 * 2**0.5 / 20000**0.5


def test_the_posterior_is_that_of_conditioning():
    """By the joint law of (x, y), in its information form, which shares no line with the code."""
    prior = gaussian(6, 5)
    covariance = matrix(prior.basis, (6, 5))
    seen = torch.randn(4, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    error = torch.diag(torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64))
    observed = torch.tensor([1.0, -1.0, 0.5, 2.0], dtype=torch.float64)
    found = prior.posterior(seen, error, observed)
    precision = torch.linalg.inv(covariance) + seen.T @ torch.linalg.inv(error) @ seen
    shift = torch.linalg.inv(covariance) @ torch.full((30,), 0.3, dtype=torch.float64)
    mean = torch.linalg.solve(precision, shift + seen.T @ torch.linalg.inv(error) @ observed)
    torch.testing.assert_close(found.mean.flatten(), mean)
    torch.testing.assert_close(matrix(found.basis, (6, 5)), torch.linalg.inv(precision))


class Exact(torch.nn.Module):
    """What a perfect network behind a scaling would say of a Gaussian prior."""

    def __init__(self, prior, spread):
        super().__init__()
        self.prior, self.spread = prior, spread

    def forward(self, scaled, told):
        sigma = torch.exp(4 * told).reshape(-1, 1, 1)
        total = (sigma**2 + self.spread**2).sqrt()
        x = scaled * total
        skip, out = (self.spread / total) ** 2, sigma * self.spread / total
        return (self.prior(x, sigma.flatten()) - skip * x) / out


def test_karras_scaling_hands_a_perfect_network_through():
    prior = gaussian(mean=0.0)
    network = Karras(Exact(prior, 1.5), spread=1.5)
    x = Streams(0, range(4))("x", (12, 10)).double()
    for sigma in (0.05, 1.0, 12.0):
        torch.testing.assert_close(network(x, sigma), prior(x, sigma))


def test_karras_loss_weighs_every_level_alike():
    """For a prior of independent cells of variance s^2 the best network's loss is 1 at every level."""
    spread = 1.5
    prior = Gaussian(torch.zeros(6, 6, dtype=torch.float64), Waves(torch.full((6, 6), spread**2).double()))
    network = Karras(Exact(prior, spread), spread)
    x = prior.draw(Streams(0, range(4000))("x", (6, 6)).double())
    assert float(network.loss(x, torch.Generator().manual_seed(0))) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("says", ["velocity", "noise"])
def test_networks_of_another_parameterisation_are_the_same_denoiser(says):
    prior = gaussian(mean=0.2)

    def network(z, sigma):
        alpha = (1 + sigma**2) ** -0.5
        noise = sigma * alpha
        clean = prior(z / alpha, sigma)
        eps = (z - alpha * clean) / noise
        return eps if says == "noise" else alpha * eps - noise * clean

    x = Streams(0, range(2))("x", (12, 10)).double()
    for sigma in (0.1, 3.0):
        torch.testing.assert_close(VariancePreserving(network, says)(x, sigma), prior(x, sigma))


def test_a_residual_is_a_shifted_prior():
    prior = gaussian(mean=0.0)
    guess = torch.linspace(0, 1, 120, dtype=torch.float64).reshape(12, 10)
    x = Streams(0, range(2))("x", (12, 10)).double()
    shifted = Gaussian(guess, prior.basis)
    torch.testing.assert_close(Residual(guess, prior)(x, 0.8), shifted(x, 0.8))


class Line(Denoiser):
    """An exact Gaussian prior along one axis, of any number of cells."""

    def __init__(self, axis: int, length: float):
        self.axis, self.length, self.bases = axis, length, {}

    def __call__(self, x, sigma):
        size = x.shape[self.axis]
        if size not in self.bases:
            place = torch.arange(size, dtype=torch.float64)
            covariance = torch.exp(-(place[:, None] - place).abs() / self.length)
            self.bases[size] = Dense.of(covariance)
        turned = x.movedim(self.axis, -1)
        line = Gaussian(torch.zeros(size, dtype=torch.float64), self.bases[size])
        return line(turned, sigma).movedim(-1, self.axis)


@pytest.mark.parametrize(
    ("fold", "axis", "size"),
    [
        (lambda prior: windowed(prior, 13), -3, (2, 40, 3, 4)),
        (lambda prior: Folded(prior, -1, 24, 8, fade=8), -1, (2, 4, 80)),
        (lambda prior: Folded(prior, -2, 24, 9, fade=6, batch=2), -2, (2, 83, 4)),
    ],
)
@pytest.mark.parametrize("sigma", [0.05, 0.4, 1.0])
def test_folds_equal_the_unfolded_answer(fold, axis, size, sigma):
    prior = Line(axis, length=3.0)
    film = size[axis]
    place = torch.arange(film, dtype=torch.float64)
    root = torch.linalg.cholesky(torch.exp(-(place[:, None] - place).abs() / 3.0))
    white = Streams(0, range(2))("x", size[1:]).double()
    truth = (white.movedim(axis, -1) @ root.T).movedim(-1, axis)
    x = truth + sigma * Streams(1, range(2))("noise", size[1:]).double()
    whole, folded = prior(x, sigma), fold(prior)(x, sigma)
    assert (folded - whole).norm() / whole.norm() < 0.02


class Patch(Denoiser):
    """An exact Gaussian prior of maps of any small size: exponential correlation over 1.5 cells."""

    def __init__(self):
        self.bases = {}

    def __call__(self, x, sigma):
        size = tuple(x.shape[-2:])
        if size not in self.bases:
            place = torch.cartesian_prod(*(torch.arange(each, dtype=torch.float64) for each in size))
            self.bases[size] = Dense.of(torch.exp(-torch.cdist(place, place) / 1.5))
        return Gaussian(torch.zeros(size, dtype=torch.float64), self.bases[size])(x, sigma)


def test_tiles_equal_the_whole_map_and_their_samples_have_no_seam():
    prior = Patch()
    tiles = tiled(prior, (36, 36), 20, overlap=12)
    streams = Streams(0, range(48))
    for sigma in (0.1, 0.5):
        x = streams("x", (36, 36)).double()[:4]
        whole = prior(x, sigma)
        assert (tiles(x, sigma) - whole).norm() / whole.norm() < 0.02
    draws = last(ito(tiles, 20.0 * streams("start", (36, 36)).double(), karras(18), streams))
    # at a seam neighbours would differ more, or less, than elsewhere: tiles hand over at 14 and 22
    for axis, other in ((-1, -2), (-2, -1)):
        step = draws.diff(dim=axis).square().mean(0).mean(other)
        seams = torch.tensor([13, 21])
        elsewhere = torch.ones(35, dtype=torch.bool).index_fill(0, seams, False)
        assert (step[seams] - step[elsewhere].mean()).abs().max() < 3.5 * step[elsewhere].std()
        assert float(step[elsewhere].std() / step.mean()) < 0.1
        assert abs(float(step.mean()) / (2 - 2 * math.exp(-1 / 1.5)) - 1) < 0.05
    assert abs(float(draws.var()) - 1) < 0.05


def test_folds_leave_constants_alone_and_no_seam():
    class Same(Denoiser):
        def __call__(self, x, sigma):
            return 2 * x

    x = Streams(0, range(2))("x", (37, 53))
    torch.testing.assert_close(tiled(Same(), (37, 53), 16, 6)(x, 1.0), 2 * x)
    torch.testing.assert_close(windowed(Same(), 13, axis=-2)(x, torch.ones(2)), 2 * x)
    assert torch.equal(tiled(Same(), (37, 53), 64, 8)(x, 1.0), 2 * x)


def test_folds_have_gradients():
    prior = tiled(gaussian(16, 16), (30, 30), 16, 8)
    x = Streams(0, range(1))("x", (30, 30)).double().requires_grad_()
    prior(x, 0.5).sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


def test_a_level_of_each_member_is_that_members():
    prior = tiled(gaussian(16, 16), (30, 30), 16, 8)
    x = Streams(0, range(2))("x", (30, 30)).double()
    both = prior(x, torch.tensor([0.1, 2.0]))
    torch.testing.assert_close(both[:1], prior(x[:1], 0.1))
    torch.testing.assert_close(both[1:], prior(x[1:], 2.0))
    assert len(karras(3)) == 4
