"""The training card: what a prior learned from, and what its use needs to know. JSON values by name."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from training.batches import Batches
from training.corpus import Hours

from engine.climate import Climate
from engine.fields import KM_PER_DEGREE

WIDEST, WINDOWS = 96, 60  # cells a side, not far from those of a tile, and how many give a climate


def card(run: dict[str, Any], batches: Batches, held: Batches) -> dict[str, Any]:
    """What does not depend on how the training went."""
    parts = (*batches.sources, *([batches.reports] if batches.reports else []))
    return {
        "run": run,
        "labels": batches.labels,
        "shift": batches.shift,
        "scale": batches.scale,
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
    found = []
    for source in (*batches.sources, *batches.mapped):
        for multiple in sorted(set(source.multiples)):
            climate = climate_of(batches, source, multiple)
            told = {"mean": climate.mean, "lengths": climate.lengths, "variances": climate.variances}
            spacing = source.step * multiple * KM_PER_DEGREE
            found.append({"label": source.label, "spacing": spacing} | told)
    return found


def climate_of(batches: Batches, source: Hours, multiple: int) -> Climate:
    """Of windows as wide as they may be, chosen as tiles are."""
    rng, size = np.random.default_rng(0), min(WIDEST, *(each // multiple for each in source.maps[0].shape))
    windows, middles = zip(*(source.chosen(rng, size, multiple) for _ in range(WINDOWS)), strict=True)
    rain = torch.from_numpy(np.stack(windows))
    latent = torch.where(torch.isfinite(rain), batches.latent(rain), torch.nan)
    north = source.step * multiple * KM_PER_DEGREE
    return Climate.of(latent.numpy(), (north, north * float(np.cos(np.radians(np.mean(middles))))))


def hardware(device: str) -> str:
    if device == "cuda":
        return torch.cuda.get_device_name()
    threads = torch.get_num_threads()
    return f"{threads} thread{'s' if threads > 1 else ''} of an {platform.machine()} processor"


def rounded(curve: Sequence[float]) -> list[float]:
    return [round(each, 4) for each in curve]
