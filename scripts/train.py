"""Train a prior: `python scripts/train.py RUN.yaml`. It resumes where it was stopped.

A run says which files or cases to learn from and how (`assets/training`); they are looked for beside the
YAML, then in RAINLOOM_DATA. The network is taught by the loss of `engine.sketch.Sketched` alone: what it was
given, noised at a random level, back without the noise, under a sketch of random evidence. Noise levels are
log-normal and stratified: a batch has one of each of its strata. What is kept is a running mean of the
weights. A run with ``gauges`` has two stages: the gridded sources alone, then these and the gauges
(`training.gauges`) by a weighted sum of their losses, of which a step takes one term with the chance of its
weight.

Every part of a step is keyed by its number: after a stop the same command goes on from its checkpoint in
build/ as if it had not stopped. Where there is none, ``--start`` begins from the weights of an earlier run,
of a network with as many floors and blocks or fewer: what is new begins as nothing, and new labels as the
first. The rate stays level until the last ``cooling`` of the steps, a fifth if not told, so a run can be made
longer (``--steps``) until it cools; a level rate keeps shaking the weights, and a mean of shaken weights says
too little at high noise. The device is a GPU if there is one; several processes, under `torchrun`, have a
batch each. A row of losses every so often is added to the table beside the checkpoint. With ``--minutes 0
--to FILE`` only the weights and their card are written, of the checkpoint as it is, even while the training
goes on elsewhere.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
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
from training.batches import Batch, Batches, loss, named  # noqa: E402
from training.card import card, hardware, rounded  # noqa: E402
from training.corpus import HeldOut, gathered, parted  # noqa: E402
from training.gauges import Likeness, collected  # noqa: E402
from training.loop import RANK, Training, joined  # noqa: E402

from engine.denoise import Levels  # noqa: E402
from engine.networks.points import Points  # noqa: E402
from engine.noise import stratified  # noqa: E402
from engine.sketch import Sketched  # noqa: E402
from engine.tasks import entries  # noqa: E402
from engine.transforms import NormalScore  # noqa: E402
from engine.values import Invalid, plain_yaml  # noqa: E402

KEPT, WARM_UP, EVERY = 0.9995, 500, 500
COOLING = 0.2  # share of the steps over which the rate falls to nothing, if a run does not tell
MEAN, SPREAD = -0.7, 1.4  # of ln sigma: under a sketch what is large is known, and details are to be made
AHEAD = 3  # batches
SCATTERED = 0.2  # share of the batches that are a random quarter of a finer tile's cells
ENTRIES = ("title", "seed", "sources", "hold_out", "turned", "network", "tile", "batch", "steps", "rate")
OPTIONAL = ("gauges", "cooling")
SOURCE = ("label", "files", "cases", "layer", "base", "highest", "multiples", "weight")
GAUGES = ("label", "mapped", "steps", "files", "cases", "layer", "highest", "multiples", "weight")
JUDGED = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
LEARNED = functools.partial(stratified, mean=MEAN, spread=SPREAD)


class Learning(Training[Sketched]):
    """The terms of a run, one run after another's checkpoint."""

    def __init__(self, run: dict[str, Any], batches: Batches, checkpoint: Path, device: str) -> None:
        torch.manual_seed(run["seed"])
        denoiser = Sketched(Points(len(batches.labels), **run["network"])).to(device)
        super().__init__(denoiser, run["rate"], KEPT, checkpoint)
        self.run, self.batches, self.device = run, batches, device
        self.steps = run["steps"] + (run["gauges"]["steps"] if "gauges" in run else 0)
        self.curve: list[float] = []
        self.seconds = 0.0
        self.maker, self.making = ThreadPoolExecutor(1), {}

    @property
    def second(self) -> bool:
        """Whether it is the gauges' turn."""
        return self.done >= self.run["steps"]

    def turn(self) -> None:
        """The gauges' turn begins: their label as that of the source likened to them, and a new mean."""
        network, gauges = self.denoiser.network, self.run["gauges"]
        assert isinstance(network, Points)
        of, to = (self.batches.labels.index(gauges[each]) for each in ("mapped", "label"))
        with torch.no_grad():
            network.label.weight[to] = network.label.weight[of]
        self.mean.n_averaged.zero_()

    def made(self, step: int) -> tuple[Batch, torch.Generator]:
        """What a step learns from."""
        rng = np.random.default_rng([self.run["seed"], step, RANK])
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        quarter = rng.random() < SCATTERED
        batch = self.batches.drawn(rng, step >= self.run["steps"])
        return (batch.scattered(generator) if quarter and batch.places is None else batch), generator

    def learn(self) -> float:
        if "gauges" in self.run and self.done == self.run["steps"]:
            self.turn()
        for step in range(self.done, min(self.done + AHEAD, self.steps)):  # in the meantime
            if step not in self.making:
                self.making[step] = self.maker.submit(self.made, step)
        batch, generator = self.making.pop(self.done).result()
        left = (self.steps - self.done) / (self.run.get("cooling", COOLING) * self.steps)
        share = min(1.0, (self.done + 1) / WARM_UP, left)
        # products in half the time, sums in single precision
        with torch.autocast(self.device, torch.bfloat16):
            missed = loss(self.denoiser, batch.to(self.device), generator, LEARNED)
        return self.step(missed, share, steepest=1.0)

    def keep(self) -> None:
        self.save(curve=self.curve, score=self.batches.scoring.told, seconds=self.seconds)

    def go_on(self) -> None:
        found = self.resume()
        self.batches.scored(NormalScore.read(found["score"]))
        self.curve, self.seconds = found["curve"], found["seconds"]

    def begin(self, weights: Path) -> None:
        """From the weights of an earlier run, and its latent."""
        with safe_open(weights, "pt") as file:
            about = file.metadata()
            kept = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        for part in (self.denoiser, self.kept):
            grown(part, kept)
        self.batches.scored(NormalScore.read(json.loads(about["score"])))


def grown(denoiser: Sketched, weights: dict[str, Any]) -> None:
    """A network with the weights of one that may have fewer floors, blocks and labels, saying the same."""
    network = denoiser.network
    assert isinstance(network, Points)
    first = weights["network.label.weight"][:1].expand_as(network.label.weight)
    weights = weights | {"network.label.weight": first}
    lacking, strange = denoiser.load_state_dict(weights, strict=False)
    if strange:
        raise Invalid(f"--start: the weights have {strange[0]}, which the run's network lacks")
    with torch.no_grad():
        for name, weight in denoiser.named_parameters():
            if name in lacking and ".rise." in name:  # a new floor's way up; a new block is nothing by itself
                weight.zero_()


def judged(denoiser: Sketched, batches: Batches, second: bool, count: int = 8) -> dict[str, float]:
    """The loss at each noise level, on tiles held out, always the same."""
    found, device = {}, str(next(denoiser.parameters()).device)
    for sigma in JUDGED:
        level: Levels = lambda count, _, sigma=sigma: torch.full((count,), sigma)  # noqa: E731
        generator, total = torch.Generator().manual_seed(1), 0.0
        for number in range(count):
            batch = batches.tiles(np.random.default_rng([7, number]), second)
            with torch.no_grad():
                total += float(loss(denoiser, batch.to(device), generator, level))
        found[f"{sigma:g}"] = round(total / count, 5)
    return found


def files(pattern: str, beside: Path) -> list[Path]:
    for base in (beside, Path(os.environ.get("RAINLOOM_DATA", ROOT.parent / "shared" / "data"))):
        if found := sorted((base / pattern).parent.glob(Path(pattern).name)):
            return found
    raise Invalid(f"no {pattern}; set RAINLOOM_DATA to the folder of real files")


def told(path: Path) -> dict[str, Any]:
    """The entries of a run: none unknown, none missing."""

    def checked(name: str, value: Any, known: Sequence[str], needed: Sequence[str]) -> dict[str, Any]:
        found = entries(name, value, known)
        if lacking := [each for each in needed if each not in found]:
            raise Invalid(f"{path}: {name}: {lacking[0]} is missing")
        return found

    run = checked("run", plain_yaml(path.read_bytes(), str(path)), (*ENTRIES, *OPTIONAL), ENTRIES)
    run["sources"] = [checked("sources", each, SOURCE, SOURCE[:1]) for each in run["sources"]]
    if "gauges" in run:
        run["gauges"] = checked("gauges", run["gauges"], GAUGES, GAUGES[:3])
    return run


def given(entry: dict[str, Any], beside: Path) -> list[Path]:
    """The files, or cases, that an entry of a run names."""
    if ("files" in entry) == ("cases" in entry) or ("cases" in entry) != ("layer" in entry):
        raise Invalid(f"{entry['label']}: give either files, or cases and a layer")
    return files(str(entry["cases" if "cases" in entry else "files"]), beside)


def corpora(run: dict[str, Any], beside: Path) -> tuple[Batches, Batches]:
    """What a run learns from, and what it holds out."""
    whole = [gathered(each, given(each, beside), ROOT / "build" / "corpus") for each in run["sources"]]
    held_out = HeldOut.of(run["hold_out"], whole)
    parts = [parted(each, held_out) for each in whole]
    reports = (None, None)
    if "gauges" in run:
        entry = run["gauges"]
        step = named([each[0] for each in parts], entry["mapped"]).step
        reports = collected(entry, given(entry, beside), step).parted(held_out)
    batches, held = (Batches(run, [each[side] for each in parts], reports[side]) for side in (0, 1))
    if reports[0]:
        likeness = Likeness.of(reports[0], named(batches.sources, run["gauges"]["mapped"]))
        for each in (batches, held):
            each.like(likeness)
    return batches, held


def prepared(path: Path, steps: int | None, weights: Path | None) -> tuple[Learning, Batches]:
    """A run as far as it is, and the batches that judge it."""
    run = told(path)
    run["steps"] = steps or run["steps"]
    batches, held = corpora(run, path.parent)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    joined(device)
    training = Learning(run, batches, ROOT / "build" / f"{path.stem}.pt", device)
    if training.checkpoint.exists():
        training.go_on()
    else:
        batches.fit()
        if weights:
            training.begin(weights)
    held.score, held.climates = batches.score, batches.climates
    return training, held


def teach(training: Learning, held: Batches, minutes: float) -> None:
    """Go on to the end, or for so long; tell now and then how well it does."""
    begun, first, running, before = time.monotonic(), training.done, [], training.seconds
    while training.done < training.steps and time.monotonic() - begun < 60 * minutes:
        running.append(training.learn())
        training.seconds = before + time.monotonic() - begun
        if training.done % EVERY:
            continue
        training.curve.append(float(np.mean(running)))
        running.clear()
        training.keep()
        if not RANK:
            tell(training, held, first, time.monotonic() - begun)
    if training.done > first:
        training.keep()


def tell(training: Learning, held: Batches, first: int, spent: float) -> None:
    """How well it does, in a line, and in a row of the table beside the checkpoint."""
    missed = judged(training.kept, held, training.second, 2)
    table = training.checkpoint.with_suffix(".csv")
    row = pd.DataFrame([{"step": training.done, "loss": round(training.curve[-1], 5)} | missed])
    fresh = training.done == EVERY or not table.exists()
    row.to_csv(table, mode="w" if fresh else "a", header=fresh, index=False)
    left = spent / (training.done - first) * (training.steps - training.done) / 3600
    line = f"{spent:6.0f} s  step {training.done}  loss {training.curve[-1]:.4f}"
    print(f"{line}  held out {missed}  {left:.1f} h left", flush=True)


def put(training: Learning, held: Batches, path: Path) -> None:
    """The weights with their card."""
    weights = {name: value.half().cpu() for name, value in training.kept.state_dict().items()}
    about = card(training.run, training.batches, held) | {
        "steps": training.done,
        "seconds": round(training.seconds),
        "hardware": hardware(training.device),
        "curve": rounded(training.curve),
        "loss held out": judged(training.kept, held, training.second),
    }
    save_file(weights, path, {name: json.dumps(value) for name, value in about.items()})


def main() -> None:
    parse = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parse.add_argument("run", type=Path)
    parse.add_argument("--steps", type=int, help="of the first stage")
    parse.add_argument("--minutes", type=float, default=math.inf, help="stop after so long, to go on later")
    parse.add_argument("--start", type=Path, help="weights of an earlier run to begin from")
    parse.add_argument("--to", type=Path, help="where the weights go, at the end")
    chosen = parse.parse_args()
    if "WORLD_SIZE" in os.environ and chosen.minutes < math.inf:
        parse.error("--minutes is for one process alone: the clocks of several differ")
    try:
        training, held = prepared(chosen.run, chosen.steps, chosen.start)
    except (Invalid, OSError) as refused:
        sys.exit(f"train: {refused}")
    teach(training, held, chosen.minutes)
    if chosen.to and not RANK:
        put(training, held, chosen.to)


if __name__ == "__main__":
    main()
