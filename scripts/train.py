"""Train a prior: `python scripts/train.py RUN.yaml`. It resumes where it was stopped.

A run says which files to learn from and how (`assets/training`); files are looked for beside the YAML, then
in RAINLOOM_DATA. The network is taught by the loss of `engine.denoise.Karras` alone: what it was given,
noised at a random level, back without the noise. Noise levels are log-normal and stratified: a batch has
one of each of its strata. What is kept is a running mean of the weights.

Every part of a step is keyed by its number: after a stop the same command goes on from its checkpoint in
build/ as if it had not stopped. Where there is none, ``--start`` begins from the weights of an earlier run.
The rate stays level until the last fifth of the steps, so a run can be made longer (``--steps``) until it
cools. The device is a GPU if there is one.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

import environment  # noqa: E402

if __name__ == "__main__":
    environment.enter()

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import torch  # noqa: E402
from safetensors import safe_open  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from torch import Tensor  # noqa: E402
from training.corpus import Hours, gathered, parted  # noqa: E402
from training.loop import Training  # noqa: E402

from engine.denoise import Karras, Levels  # noqa: E402
from engine.fields import KM_PER_DEGREE, Box, Grid  # noqa: E402
from engine.networks.points import Places, Points  # noqa: E402
from engine.noise import stratified  # noqa: E402
from engine.observe import points  # noqa: E402
from engine.tasks import entries  # noqa: E402
from engine.transforms import Log  # noqa: E402
from engine.values import Invalid, plain_yaml  # noqa: E402

KEPT, WARM_UP, EVERY = 0.9995, 500, 500
COOLING = 0.2  # share of the steps over which the rate falls to nothing; before, a run may be made longer
MEAN, SPREAD = 0.3, 1.6  # of ln sigma: what is large shows at high noise
SCATTERED = 0.2  # share of the batches that are a random quarter of a finer tile's cells
ENTRIES = ("title", "seed", "sources", "hold_out", "turned", "network", "tile", "batch", "steps", "rate")
JUDGED = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
LEARNED = functools.partial(stratified, mean=MEAN, spread=SPREAD)

Batch = tuple[Tensor, Tensor, Tensor, Tensor]  # latent fields, what is known of them, labels, spacings


class Batches:
    """Latent tiles, in order of the step."""

    def __init__(self, run: dict[str, Any], sources: list[Hours], trace: float, top: float) -> None:
        self.run, self.sources, self.log = run, sources, Log(trace, top)
        self.shift, self.scale = 0.0, 1.0

    def fit(self, tiles: int = 400) -> None:
        """Shift and scale that bring the latent tiles to mean zero and variance one."""
        rng, seen = np.random.default_rng(0), []
        for _ in range(tiles // self.run["batch"] + 1):
            latent, known, *_ = self.tiles(rng, self.run["tile"])
            seen.append(latent[known > 0])
        values = torch.cat(seen)
        self.shift, self.scale = float(values.mean()), float(values.std())

    def tiles(self, rng: np.random.Generator, size: int) -> Batch:
        """Latent fields, what is known of them, their labels and spacings."""
        found, labels, spacings = [], [], []
        while len(found) < self.run["batch"]:
            number = int(rng.integers(len(self.sources)))
            source = self.sources[number]
            multiple = int(rng.choice(source.multiples))
            tile = source.tile(rng, size, multiple)
            if tile is None:
                continue
            if self.run.get("turned"):
                tile = np.rot90(tile[:, ::-1] if rng.random() < 0.5 else tile, int(rng.integers(4)))
            found.append(np.ascontiguousarray(tile))
            labels.append(number)
            spacings.append(source.step * multiple * KM_PER_DEGREE)
        rain = torch.from_numpy(np.stack(found))
        known = torch.isfinite(rain).float()
        latent = (self.log.forward(torch.nan_to_num(rain)) - self.shift) / self.scale
        return latent * known, known, torch.tensor(labels), torch.tensor(spacings)


def scattered(batch: Batch, generator: torch.Generator) -> tuple[Batch, Places]:
    """A random quarter of the cells, on a lattice of twice the spacing."""
    latent, known, label, spacing = batch
    size = latent.shape[-1]
    chosen = torch.randperm(size * size, generator=generator)[: size * size // 4]
    # The lattice's cells are centred between four of the fine ones.
    row, column = (each.numpy() / 2 + 0.25 for each in (chosen // size, chosen % size))
    under = Grid(Box(0, 0, size // 2, size // 2), 1.0)
    latent, known = (each.flatten(1)[:, chosen.to(latent.device)] for each in (latent, known))
    return (latent, known, label, spacing * 2), points(under, row, column)


def loss(denoiser: Karras, batch: Batch, generator: torch.Generator, levels: Levels, quarter: bool) -> Tensor:
    batch, places = scattered(batch, generator) if quarter else (batch, None)
    latent, known, label, spacing = batch
    about = (label, spacing, known, None, places)
    return denoiser.loss(latent, generator, *about, levels=levels, known=known)


class Learning(Training):
    """Tiles of the sources, one run after another's checkpoint."""

    def __init__(self, run: dict[str, Any], batches: Batches, checkpoint: Path, device: str) -> None:
        torch.manual_seed(run["seed"])
        denoiser = Karras(Points(len(batches.sources), **run["network"])).to(device)
        super().__init__(denoiser, run["rate"], KEPT, checkpoint)
        self.run, self.batches, self.device = run, batches, device
        self.curve: list[float] = []

    def learn(self) -> float:
        rng = np.random.default_rng([self.run["seed"], self.done])
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        left = (self.run["steps"] - self.done) / (COOLING * self.run["steps"])
        share, quarter = min(1.0, (self.done + 1) / WARM_UP, left), rng.random() < SCATTERED
        tiles = self.batches.tiles(rng, self.run["tile"])
        latent, known, label, spacing = (each.to(self.device) for each in tiles)
        # products in half the time, sums in single precision
        with torch.autocast(self.device, torch.bfloat16):
            missed = loss(self.denoiser, (latent, known, label, spacing), generator, LEARNED, quarter)
        return self.step(missed, share, steepest=1.0)

    def keep(self) -> None:
        self.save(curve=self.curve, shift=self.batches.shift, scale=self.batches.scale)

    def go_on(self) -> None:
        found = self.resume()
        self.curve, self.batches.shift, self.batches.scale = found["curve"], found["shift"], found["scale"]

    def begin(self, weights: Path) -> None:
        """From the weights of an earlier run, and its latent."""
        with safe_open(weights, "pt") as file:
            about = file.metadata()
            kept = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        for part in (self.denoiser, self.kept):
            part.load_state_dict(kept)
        self.batches.shift, self.batches.scale = json.loads(about["shift"]), json.loads(about["scale"])


def judged(denoiser: Karras, batches: Batches, count: int = 8) -> dict[str, float]:
    """The loss at each noise level, on tiles held out, always the same."""
    found = {}
    for sigma in JUDGED:
        level: Levels = lambda count, _, sigma=sigma: torch.full((count,), sigma)  # noqa: E731
        generator, total = torch.Generator().manual_seed(1), 0.0
        for number in range(count):
            batch = batches.tiles(np.random.default_rng([7, number]), batches.run["tile"])
            with torch.no_grad():
                total += float(loss(denoiser, batch, generator, level, False))
        found[f"{sigma:g}"] = round(total / count, 5)
    return found


def files(pattern: str, beside: Path) -> list[Path]:
    for base in (beside, Path(os.environ.get("RAINLOOM_DATA", ROOT.parent / "shared" / "data"))):
        if found := sorted((base / pattern).parent.glob(Path(pattern).name)):
            return found
    raise Invalid(f"no {pattern}; set RAINLOOM_DATA to the folder of real files")


def prepared(path: Path, steps: int | None, weights: Path | None) -> tuple[Learning, Batches]:
    """A run as far as it is, and the batches that judge it."""
    run = entries("run", plain_yaml(path.read_bytes(), str(path)), ENTRIES)
    if lacking := [name for name in ENTRIES if name not in run]:
        raise Invalid(f"{path}: {lacking[0]} is missing")
    run["steps"] = steps or run["steps"]
    corpus, held_out = ROOT / "build" / "corpus", pd.Timedelta(run["hold_out"])
    whole = [gathered(each, files(each["files"], path.parent), corpus) for each in run["sources"]]
    parts = [parted(each, held_out) for each in whole]  # pyright: ignore[reportArgumentType]
    batches, held = (Batches(run, [each[side] for each in parts], 0.1, 150.0) for side in (0, 1))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    training = Learning(run, batches, ROOT / "build" / f"{path.stem}.pt", device)
    if training.checkpoint.exists():
        training.go_on()
    else:
        batches.fit()
        if weights:
            training.begin(weights)
    held.shift, held.scale = batches.shift, batches.scale
    return training, held


def teach(training: Learning, held: Batches, minutes: float) -> None:
    """Go on to the end, or for so long; tell now and then how well it does."""
    begun, first, running, steps = time.monotonic(), training.done, [], training.run["steps"]
    while training.done < steps and time.monotonic() - begun < 60 * minutes:
        running.append(training.learn())
        if training.done % EVERY:
            continue
        training.curve.append(float(np.mean(running)))
        running.clear()
        training.keep()
        spent = time.monotonic() - begun
        left = spent / (training.done - first) * (steps - training.done) / 3600
        told = f"{spent:6.0f} s  step {training.done}  loss {training.curve[-1]:.4f}"
        print(f"{told}  held out {judged(training.kept, held, 2)}  {left:.1f} h left", flush=True)
    training.keep()


def main() -> None:
    parse = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parse.add_argument("run", type=Path)
    parse.add_argument("--steps", type=int)
    parse.add_argument("--minutes", type=float, default=math.inf, help="stop after so long, to go on later")
    parse.add_argument("--start", type=Path, help="weights of an earlier run to begin from")
    parse.add_argument("--to", type=Path, help="where the weights go, at the end")
    chosen = parse.parse_args()
    try:
        training, held = prepared(chosen.run, chosen.steps, chosen.start)
    except (Invalid, OSError) as refused:
        sys.exit(f"train: {refused}")
    teach(training, held, chosen.minutes)
    if chosen.to:
        weights = {name: value.half().cpu() for name, value in training.kept.state_dict().items()}
        card = {"run": training.run, "steps": training.done, "shift": held.shift, "scale": held.scale}
        card |= {"files": {name: key for each in held.sources for name, key in each.files.items()}}
        card |= {
            "held out": [str(each.times[0]) for each in held.sources],
            "loss held out": judged(training.kept, held),
        }
        save_file(weights, chosen.to, {name: json.dumps(value) for name, value in card.items()})


if __name__ == "__main__":
    main()
