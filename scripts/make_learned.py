"""Train the learned prior of the tests: a U-Net that meets nothing but noised draws of a Gaussian field.

``python scripts/make_learned.py`` writes tests/engine/learned.safetensors, in half an hour on one core. The
fields are those of the guidance benchmark, whose exact denoiser is known; the network never sees it. It is
taught by the loss of `engine.denoise.Karras` alone, on endless fresh draws, as any prior is taught on rain;
the exact answer only judges it, by its excess over the Bayes error at each noise level.

Noise levels are log-normal, broad enough for the whole clock of the samplers (.003 to 20), and stratified:
a batch has one level of each of its strata, so that no batch is all noise. What is kept is a running mean
of the weights. Draws are keyed by the step: after a stop, the same command goes on from its checkpoint in
build/ as if it had not stopped; another number of steps is another schedule, and starts anew.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

import environment  # noqa: E402

if __name__ == "__main__":
    environment.enter()

import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from training.loop import Training  # noqa: E402

from engine.denoise import Gaussian, Karras, Waves  # noqa: E402
from engine.networks.unet import UNet  # noqa: E402
from engine.noise import stratified  # noqa: E402
from tests.engine.learned import LEVELS, PATH, PRIOR, SHAPE, excess  # noqa: E402

NETWORK = {"widths": (48, 64, 64), "patch": 4, "padding": "circular"}
BATCH, RATE, KEPT, WARM_UP = 16, 3e-3, 0.999, 500
MEAN, SPREAD = -0.5, 1.7  # of ln sigma
EVERY = 500  # steps between checkpoints


levels = functools.partial(stratified, mean=MEAN, spread=SPREAD)


class Learning(Training[Karras]):
    """Endless fresh draws of the prior."""

    def __init__(self, steps: int, checkpoint: Path) -> None:
        torch.manual_seed(0)
        super().__init__(Karras(UNet(**NETWORK)), RATE, KEPT, checkpoint)
        self.steps = steps
        self.prior = Gaussian(PRIOR.mean.float(), Waves(PRIOR.basis.values.float()))

    def learn(self) -> None:
        generator = torch.Generator().manual_seed(self.done)
        share = (1 + math.cos(math.pi * self.done / self.steps)) / 2 * min(1, (self.done + 1) / WARM_UP)
        fields = self.prior.draw(torch.randn(BATCH, *SHAPE, generator=generator))
        with torch.autocast("cpu", torch.bfloat16):  # products in half the time, sums in single precision
            loss = self.denoiser.loss(fields, generator, levels=levels)
        self.step(loss, share)

    def go_on(self) -> None:
        """From the checkpoint of a run of as many steps, if there is one."""
        if self.checkpoint.exists() and torch.load(self.checkpoint, weights_only=True)["steps"] == self.steps:
            self.resume()

    def write(self, target: Path) -> None:
        """Half precision is enough, and what is judged is what is kept."""
        denoiser = self.kept
        with torch.no_grad():
            for weight in denoiser.parameters():
                weight.copy_(weight.half())
        above = {f"{sigma:g}": round(excess(denoiser, sigma, 128), 5) for sigma in LEVELS}
        met = levels(64, torch.Generator().manual_seed(0)).tolist()
        above["mean over the levels of training"] = round(sum(excess(denoiser, s, 16) for s in met) / 64, 5)
        told = {"network": NETWORK, "steps": self.done, "batch": BATCH, "excess": above}
        weights = {name: value.half() for name, value in denoiser.state_dict().items()}
        save_file(weights, target, {name: json.dumps(value) for name, value in told.items()})
        shown = ", ".join(f"{level} {value:.2%}" for level, value in above.items())
        print(f"excess over the Bayes error, by sigma: {shown}", flush=True)


def main() -> None:
    parse = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parse.add_argument("--steps", type=int, default=16000)
    parse.add_argument("--checkpoint", type=Path, default=ROOT / "build" / "learned.pt")
    parse.add_argument("--to", type=Path, default=PATH, help="where the weights go")
    chosen = parse.parse_args()
    torch.set_num_threads(1)
    training, begun = Learning(chosen.steps, chosen.checkpoint), time.monotonic()
    training.go_on()
    while training.done < chosen.steps:
        training.learn()
        if training.done % EVERY == 0:
            training.save(steps=chosen.steps)
            print(f"{time.monotonic() - begun:6.0f} s  step {training.done}", flush=True)
    training.write(chosen.to)


if __name__ == "__main__":
    main()
