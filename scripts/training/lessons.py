"""What a system is taught with: the contract between the trainer and each system of `training.systems`.

The trainer (`scripts/train.py`) knows steps, rates, checkpoints, running means and cards; what a network is,
what it learns from and by which loss a system says here. Its module names the ``ENTRIES`` that a run of it
must have besides the trainer's own, and those that it may have (``OPTIONAL``); its ``taught(run, beside,
build)`` gives its `Lessons`, where ``build`` is a folder for what it has read. All randomness of a step comes
from what the step is given.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engine.denoise import Levels
from engine.tasks import entries
from engine.values import Invalid

ROOT = Path(__file__).resolve().parents[2]


class Lessons(ABC):
    run: dict[str, Any]

    @property
    def steps(self) -> int:
        return int(self.run["steps"])

    @abstractmethod
    def denoiser(self) -> nn.Module:
        """An untaught one."""

    @abstractmethod
    def batch(self, rng: Any, generator: torch.Generator, step: int) -> Any:
        """What a step learns from; made beside the step before."""

    @abstractmethod
    def loss(self, denoiser: nn.Module, batch: Any, generator: torch.Generator) -> Tensor: ...

    @abstractmethod
    def judged(self, denoiser: nn.Module, step: int, count: int) -> dict[str, float]:
        """Losses by name, on so many batches of what is held out, always the same."""

    @abstractmethod
    def card(self) -> dict[str, Any]:
        """What the weights' use needs to know, and where they come from: JSON values."""

    @property
    def fitted(self) -> dict[str, Any]:
        """What was learned before the first step, to be kept with a checkpoint."""
        return {}

    def fit(self) -> None:
        """Learn that."""
        return

    def refit(self, fitted: Mapping[str, Any]) -> None:
        """Take it from a checkpoint, or from the card of an earlier run."""
        return

    def begun(self, denoiser: nn.Module, step: int) -> bool:
        """Whether with this step something else begins, so that older weights are to be forgotten."""
        return False

    def filled(self, denoiser: nn.Module, weights: dict[str, Tensor]) -> None:
        """Begin from the weights of an earlier run."""
        denoiser.load_state_dict(weights)


Missed = Callable[[np.random.Generator, torch.Generator, Levels], Mapping[str, Tensor]]


def at_levels(sigmas: Sequence[float], count: int, missed: Missed) -> dict[str, float]:
    """Mean losses, by name and noise level, of so many batches that are the same at every level."""
    found = {}
    for sigma in sigmas:
        level: Levels = lambda count, _, sigma=sigma: torch.full((count,), sigma)  # noqa: E731
        generator, total = torch.Generator().manual_seed(1), Counter[str]()
        for number in range(count):
            losses = missed(np.random.default_rng([7, number]), generator, level)
            total.update({name: float(each) for name, each in losses.items()})  # type: ignore[arg-type]
        found |= {f"{name} {sigma:g}".strip(): round(each / count, 5) for name, each in total.items()}
    return found


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """A place to write a file that is put in its own place whole: several processes may be reading it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{os.getpid()}.{path.name}")
    yield unfinished
    unfinished.replace(path)


def checked(name: str, value: Any, known: Sequence[str], needed: Sequence[str]) -> dict[str, Any]:
    """The entries of a part of a run: none unknown, none missing."""
    found = entries(name, value, known)
    if lacking := [each for each in needed if each not in found]:
        raise Invalid(f"{name}: {lacking[0]} is missing")
    return found


def files(pattern: str, beside: Path) -> list[Path]:
    """Of a pattern: beside the run's YAML, else among the real files."""
    for base in (beside, Path(os.environ.get("RAINLOOM_DATA", ROOT.parent / "shared" / "data"))):
        if found := sorted((base / pattern).parent.glob(Path(pattern).name)):
            return found
    raise Invalid(f"no {pattern}; set RAINLOOM_DATA to the folder of real files")
