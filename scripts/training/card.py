"""The training card: what a prior learned from, and what its use needs to know. JSON values by name."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from training.batches import Batches

from engine.fields import KM_PER_DEGREE


def card(batches: Batches, held: Batches) -> dict[str, Any]:
    """What does not depend on how the training went."""
    parts = (*batches.sources, *([batches.reports] if batches.reports else []))
    return {
        "labels": batches.labels,
        "score": batches.scoring.told,
        "files": {name: key for each in parts for name, key in each.files.items()},
        "learned": periods(batches),
        "held out": periods(held),
        "climate": climates(batches),
    }


def periods(batches: Batches) -> list[dict[str, Any]]:
    """The hours of every source, and of the gauges."""
    found = [period(each.label, each.times, each.worlds.tolist()) for each in batches.sources]
    if batches.reports and (networks := batches.reports.networks):
        times = pd.DatetimeIndex(np.concatenate([each.times.values for each in networks]))
        found.append(period(batches.reports.label, times, [each.world for each in networks]))
    return found


def period(label: str, times: pd.DatetimeIndex, worlds: list[str]) -> dict[str, Any]:
    told = {"label": label, "first": str(times.min()), "last": str(times.max()), "count": len(times)}
    cases = sorted(filter(None, set(worlds)))
    return told | ({"cases": cases} if cases else {})


def climates(batches: Batches) -> list[dict[str, Any]]:
    """Of every label at every spacing that it was taught."""
    steps = {each.label: each.step for each in (*batches.sources, *batches.mapped)}
    return [
        {
            "label": label,
            "spacing": steps[label] * multiple * KM_PER_DEGREE,
            "lengths": climate.lengths,
            "variances": climate.variances,
        }
        for (label, multiple), climate in batches.climates.items()
    ]


def hardware(device: str) -> str:
    if device == "cuda":
        return torch.cuda.get_device_name()
    threads = torch.get_num_threads()
    return f"{threads} thread{'s' if threads > 1 else ''} of an {platform.machine()} processor"


def rounded(curve: Sequence[float]) -> list[float]:
    return [round(each, 4) for each in curve]
