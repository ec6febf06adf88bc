"""What every training shares: a network that is taught, the running mean of its weights, a checkpoint."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import swa_utils

from engine.denoise import Karras


class Training:
    """What goes on from step to step, and survives a stop."""

    def __init__(self, denoiser: Karras, rate: float, kept: float, checkpoint: Path) -> None:
        self.denoiser, self.rate, self.checkpoint, self.done = denoiser, rate, checkpoint, 0
        self.mean = swa_utils.AveragedModel(denoiser, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(kept))
        self.optimiser = torch.optim.AdamW(denoiser.parameters(), rate, (0.9, 0.99), weight_decay=0.0)
        self.parts = {"denoiser": self.denoiser, "mean": self.mean, "optimiser": self.optimiser}

    @property
    def kept(self) -> Karras:
        """The running mean of the weights: what is judged and kept."""
        found = self.mean.module
        assert isinstance(found, Karras)
        return found

    def step(self, loss: Tensor, share: float, steepest: float = math.inf) -> float:
        """Down the slope of this loss, at a share of the rate, a slope cut to the steepest."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate * share
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.denoiser.parameters(), steepest)
        self.optimiser.step()
        self.mean.update_parameters(self.denoiser)
        self.done += 1
        return float(loss.detach())

    def save(self, **about: Any) -> None:
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        parts = {name: part.state_dict() for name, part in self.parts.items()}
        fresh = self.checkpoint.with_suffix(".new")
        torch.save(parts | about | {"done": self.done}, fresh)
        fresh.replace(self.checkpoint)

    def resume(self) -> dict[str, Any]:
        """Go on from the checkpoint; what was saved with it."""
        found = torch.load(self.checkpoint, weights_only=True)
        for name, part in self.parts.items():
            part.load_state_dict(found.pop(name))
        self.done = found.pop("done")
        return found
