"""What every training shares: a network that is taught, the running mean of its weights, a checkpoint.

The mean is over the last tenth of the steps so far, until that is as long as it may be: what is young has
not yet much to remember, and the network that it began as is soon forgotten.

Under `torchrun` each process has its own batches, and all go down the mean of their slopes.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import torch
from torch import Tensor, distributed, nn
from torch.optim import swa_utils

Net = TypeVar("Net", bound=nn.Module)
RANK = int(os.environ.get("RANK", "0"))


def joined(device: str) -> None:
    """Meet the other processes of a run, if there are any."""
    if "WORLD_SIZE" in os.environ:
        if device == "cuda":
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        distributed.init_process_group("nccl" if device == "cuda" else "gloo")


def remembering(kept: float) -> Callable[..., None]:
    """The running mean that keeps so much of itself at a step, at most."""

    @torch.no_grad()
    def update(mean: Sequence[Tensor], now: Sequence[Tensor], count: Tensor) -> None:
        share = max(1 - kept, 10 / (10 + int(count)))
        for one, other in zip(mean, now, strict=True):
            one.lerp_(other, share)

    return update


class Training(Generic[Net]):
    """What goes on from step to step, and survives a stop."""

    def __init__(self, denoiser: Net, rate: float, kept: float, checkpoint: Path) -> None:
        self.denoiser, self.rate, self.checkpoint, self.done = denoiser, rate, checkpoint, 0
        self.mean = swa_utils.AveragedModel(denoiser, multi_avg_fn=remembering(kept))
        self.optimiser = torch.optim.AdamW(denoiser.parameters(), rate, (0.9, 0.99), weight_decay=0.0)
        self.parts = {"denoiser": self.denoiser, "mean": self.mean, "optimiser": self.optimiser}

    @property
    def kept(self) -> Net:
        """The running mean of the weights: what is judged and kept."""
        return cast(Net, self.mean.module)

    def step(self, loss: Tensor, share: float, steepest: float = math.inf) -> float:
        """Down the slope of this loss, at a share of the rate, a slope cut to the steepest."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate * share
        self.optimiser.zero_grad()
        loss.backward()
        if distributed.is_initialized():
            for parameter in self.denoiser.parameters():
                slope = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                distributed.all_reduce(slope)
                parameter.grad = slope / distributed.get_world_size()
        torch.nn.utils.clip_grad_norm_(self.denoiser.parameters(), steepest)
        self.optimiser.step()
        self.mean.update_parameters(self.denoiser)
        self.done += 1
        return float(loss.detach())

    def save(self, **about: Any) -> None:
        if RANK:
            return
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        parts = {name: part.state_dict() for name, part in self.parts.items()}
        fresh = self.checkpoint.with_suffix(".new")
        torch.save(parts | about | {"done": self.done}, fresh)
        fresh.replace(self.checkpoint)

    def resume(self) -> dict[str, Any]:
        """Go on from the checkpoint; what was saved with it."""
        found = torch.load(self.checkpoint, weights_only=True, map_location="cpu")
        for name, part in self.parts.items():
            part.load_state_dict(found.pop(name))
        self.done = found.pop("done")
        return found
