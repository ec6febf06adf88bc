"""A learned prior whose exact answer is known: a small U-Net that has only seen noised draws of it.

The prior is that of the guidance benchmark, a Gaussian field with a red spectrum on a torus of 48 x 48
cells. ``python scripts/make_learned.py`` trains the network and writes the weights beside this file; they
carry their settings with them.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import safe_open

from engine.denoise import Denoiser, Gaussian, Karras, Waves
from engine.networks.unet import UNet
from tests.engine.test_denoise import red

SHAPE = (48, 48)
PRIOR = Gaussian(torch.zeros(SHAPE, dtype=torch.float64), Waves(red(*SHAPE)))
LEVELS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 20.0)
PATH = Path(__file__).with_suffix(".safetensors")


def learned() -> Karras:
    with safe_open(PATH, "pt") as file:
        denoiser = Karras(UNet(**json.loads(file.metadata()["network"])))
        denoiser.load_state_dict({name: file.get_tensor(name).float() for name in file.keys()})  # noqa: SIM118
    return denoiser.requires_grad_(False)


def excess(denoiser: Denoiser, sigma: float, count: int) -> float:
    """How far a denoiser is above the Bayes error: E |D - E[x | x_t]|^2 / E |E[x | x_t] - x|^2.

    The denominator is the mean over waves of S sigma^2 / (S + sigma^2).
    """
    generator, power = torch.Generator().manual_seed(round(1000 * sigma)), PRIOR.basis.values
    white = torch.randn(2, count, *SHAPE, generator=generator, dtype=torch.float64)
    noised = PRIOR.draw(white[0]) + sigma * white[1]
    with torch.no_grad():
        parts = [denoiser(part.float(), sigma) - PRIOR(part, sigma) for part in noised.split(32)]
    return float(torch.cat(parts).square().mean() / (power * sigma**2 / (power + sigma**2)).mean())
