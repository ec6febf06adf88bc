"""Fields beside fields: what is told stays with its part of the map."""

import torch

from engine.beside import Beside, Conditioned
from engine.denoise import Denoiser, Karras, tiled
from engine.networks.unet import UNet


class Sum(Denoiser):
    """Says the noised field and twice the second one beside it."""

    def __call__(self, x, sigma):
        return (x[:, :1] + 2 * x[:, 2:]).expand_as(x)


def test_tiles_are_told_their_own_part():
    x, others = torch.randn(3, 40, 30), (torch.zeros(()), torch.randn(40, 30))
    for prior in (Sum(), tiled(Sum(), (40, 30), 16, 4)):
        torch.testing.assert_close(Beside(prior, others)(x, 1.0), x + 2 * others[1])


def test_a_network_is_told_fields_of_any_extent():
    torch.manual_seed(0)
    network = Karras(UNet(1, 2, (8, 8), patch=2, padding="zeros"))
    torch.nn.init.normal_(network.network.leave.weight, std=0.1)
    x, others = torch.randn(2, 20, 24), torch.randn(2, 20, 24)
    prior = Conditioned(network.requires_grad_(False), network.network.unit)
    whole = Beside(prior, others)(x, 0.7)
    told = others.expand(2, -1, -1, -1)
    torch.testing.assert_close(whole, network(x[:, None], 0.7, told)[:, 0])
    part = Beside(prior, others[:, :18, :21])(x[:, :18, :21], 0.7)
    assert part.shape == (2, 18, 21)
    torch.testing.assert_close(part[:, :8, :8], whole[:, :8, :8], atol=0.05, rtol=0)
