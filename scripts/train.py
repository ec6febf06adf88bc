"""Train a prior: `python scripts/train.py RUN.yaml`. It resumes where it was stopped.

A run (`assets/training`) says which ``system`` it teaches, from which files or cases and how; files are
looked for beside the YAML, then in RAINLOOM_DATA. What a system is taught with, `training.systems` says.
What is kept is a running mean of the weights.

Every part of a step is keyed by its number: after a stop the same command goes on from its checkpoint in
build/ as if it had not stopped. Where there is none, ``--start`` begins from the weights of an earlier run.
The rate stays level until the last ``cooling`` of the steps, a fifth if not told, so a run can be made
longer (``--steps``) until it cools; a level rate keeps shaking the weights, and a mean of shaken weights says
too little at high noise. The device is a GPU if there is one; several processes, under `torchrun`, have a
batch each. A row of losses every so often is added to the table beside the checkpoint. With ``--minutes 0
--to FILE`` only the weights and their card are written, of the checkpoint as it is, even while the training
goes on elsewhere.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import pkgutil
import sys
import time
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
import training.systems  # noqa: E402
from safetensors import safe_open  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from torch import nn  # noqa: E402
from training.card import hardware, rounded  # noqa: E402
from training.lessons import Lessons, checked  # noqa: E402
from training.loop import RANK, Training, joined  # noqa: E402

from engine.values import Invalid, plain_yaml  # noqa: E402

KEPT, WARM_UP, EVERY = 0.9995, 500, 500
COOLING = 0.2  # share of the steps over which the rate falls to nothing, if a run does not tell
AHEAD = 3  # batches
ENTRIES, OPTIONAL = ("system", "title", "seed", "steps", "rate"), ("cooling",)
JUDGED, JUDGED_LAST = 2, 8  # batches


class Learning(Training[nn.Module]):
    """What a system is taught, from one run after another's checkpoint."""

    def __init__(self, lessons: Lessons, checkpoint: Path, device: str) -> None:
        torch.manual_seed(lessons.run["seed"])
        super().__init__(lessons.denoiser().to(device), lessons.run["rate"], KEPT, checkpoint)
        self.lessons, self.run, self.steps, self.device = lessons, lessons.run, lessons.steps, device
        self.curve: list[float] = []
        self.seconds = 0.0
        self.maker, self.making = ThreadPoolExecutor(1), {}

    def made(self, step: int) -> tuple[Any, torch.Generator]:
        """What a step learns from."""
        rng = np.random.default_rng([self.run["seed"], step, RANK])
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        return self.lessons.batch(rng, generator, step), generator

    def learn(self) -> float:
        if self.lessons.begun(self.denoiser, self.done):
            self.mean.n_averaged.zero_()
        for step in range(self.done, min(self.done + AHEAD, self.steps)):  # in the meantime
            if step not in self.making:
                self.making[step] = self.maker.submit(self.made, step)
        batch, generator = self.making.pop(self.done).result()
        left = (self.steps - self.done) / (self.run.get("cooling", COOLING) * self.steps)
        share = min(1.0, (self.done + 1) / WARM_UP, left)
        # products in half the time, sums in single precision
        with torch.autocast(self.device, torch.bfloat16):
            missed = self.lessons.loss(self.denoiser, batch, generator)
        return self.step(missed, share, steepest=1.0)

    def judged(self, count: int) -> dict[str, float]:
        with torch.no_grad():
            return self.lessons.judged(self.kept, self.done, count)

    def keep(self) -> None:
        self.save(curve=self.curve, seconds=self.seconds, **self.lessons.fitted)

    def go_on(self) -> None:
        found = self.resume()
        self.lessons.refit(found)
        self.curve, self.seconds = found["curve"], found["seconds"]

    def begin(self, weights: Path) -> None:
        """From the weights of an earlier run, and what they were fitted to."""
        with safe_open(weights, "pt") as file:
            about = {name: json.loads(value) for name, value in file.metadata().items()}
            kept = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        for part in (self.denoiser, self.kept):
            self.lessons.filled(part, kept)
        self.lessons.refit(about)


def told(path: Path, build: Path, steps: int | None = None) -> Lessons:
    """What a run teaches."""
    run, known = plain_yaml(path.read_bytes(), str(path)), systems()
    if not isinstance(run, dict) or (system := run.get("system")) not in known:
        raise Invalid(f"{path}: system: give one of {', '.join(known)}")
    module = importlib.import_module(f"training.systems.{system}")
    may, must = (*OPTIONAL, *module.OPTIONAL), (*ENTRIES, *module.ENTRIES)
    try:
        run = checked("run", run, (*must, *may), must)
        return module.taught(run | {"steps": steps or run["steps"]}, path.parent, build)
    except Invalid as refused:
        raise Invalid(f"{path}: {refused}") from None


def systems() -> list[str]:
    return sorted(each.name for each in pkgutil.iter_modules(training.systems.__path__))


def prepared(path: Path, steps: int | None, weights: Path | None) -> Learning:
    """A run as far as it is."""
    lessons = told(path, ROOT / "build", steps)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    joined(device)
    learning = Learning(lessons, ROOT / "build" / f"{path.stem}.pt", device)
    if learning.checkpoint.exists():
        learning.go_on()
    elif weights:
        learning.begin(weights)
    else:
        lessons.fit()
    return learning


def teach(learning: Learning, minutes: float) -> None:
    """Go on to the end, or for so long; tell now and then how well it does."""
    begun, first, running, before = time.monotonic(), learning.done, [], learning.seconds
    while learning.done < learning.steps and time.monotonic() - begun < 60 * minutes:
        running.append(learning.learn())
        learning.seconds = before + time.monotonic() - begun
        if learning.done % EVERY:
            continue
        learning.curve.append(float(np.mean(running)))
        running.clear()
        learning.keep()
        if not RANK:
            tell(learning, first, time.monotonic() - begun)
    if learning.done > first:
        learning.keep()


def tell(learning: Learning, first: int, spent: float) -> None:
    """How well it does, in a line, and in a row of the table beside the checkpoint."""
    missed = learning.judged(JUDGED)
    table = learning.checkpoint.with_suffix(".csv")
    row = pd.DataFrame([{"step": learning.done, "loss": round(learning.curve[-1], 5)} | missed])
    fresh = learning.done == EVERY or not table.exists()
    row.to_csv(table, mode="w" if fresh else "a", header=fresh, index=False)
    left = spent / (learning.done - first) * (learning.steps - learning.done) / 3600
    line = f"{spent:6.0f} s  step {learning.done}  loss {learning.curve[-1]:.4f}"
    print(f"{line}  held out {missed}  {left:.1f} h left", flush=True)


def put(learning: Learning, path: Path) -> None:
    """The weights with their card."""
    weights = {name: value.half().cpu() for name, value in learning.kept.state_dict().items()}
    about = {"run": learning.run} | learning.lessons.card()
    about |= {
        "steps": learning.done,
        "seconds": round(learning.seconds),
        "hardware": hardware(learning.device),
        "curve": rounded(learning.curve),
        "loss held out": learning.judged(JUDGED_LAST),
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
        learning = prepared(chosen.run, chosen.steps, chosen.start)
    except (Invalid, OSError) as refused:
        sys.exit(f"train: {refused}")
    teach(learning, chosen.minutes)
    if chosen.to and not RANK:
        put(learning, chosen.to)


if __name__ == "__main__":
    main()
