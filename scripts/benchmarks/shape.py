"""What the curves and shapes of a whole ensemble cost, in processor seconds and memory.

The ensemble is made from a simulated truth: 24 hours, 16 members, each the truth moved by some cells and
stretched by noise of its own. Each diagnostic is one of every member and hour, as a page of
verification would ask for it; *of four* means of the ensemble's mean and of three members, hour by hour,
which is enough for a curve to look at and costs a quarter.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from engine.diagnostics import curves, placement, shape, spectra
from engine.sources import field_of

MEMBERS, HOURS = 16, 24
WITHIN = 100.0  # km, how far a displacement is looked for
MEGABYTE = 2.0**20
POOLED = (-3, -2, -1)


def run(case: str | None, quick: bool) -> list[dict[str, Any]]:
    """Rows of figures; ``quick`` takes four members."""
    truth = field_of(f"{case or 'front'}/truth").isel(time=slice(0, HOURS))
    members = ensemble(truth.values, 4 if quick else MEMBERS)
    size = " x ".join(map(str, members.shape))
    rows = []
    for name, diagnostic in diagnostics(members, truth.values, spectra.spacing_km(truth)):
        began = time.process_time()
        diagnostic()
        seconds = time.process_time() - began
        rows += [
            row(size, name, "cpu seconds", seconds, "s"),
            row(size, name, "memory", peak(diagnostic), "MB"),
        ]
    whole = sum(each["value"] for each in rows if each["unit"] == "s")
    most = max(each["value"] for each in rows if each["unit"] == "MB")
    together = [
        row(size, "all of these", "cpu seconds", whole, "s"),
        row(size, "all of these", "memory", most, "MB"),
    ]
    return [*rows, *together]


def ensemble(truth: np.ndarray, members: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    moved = [np.roll(truth, rng.integers(-9, 10, 2), (1, 2)) for _ in range(members)]
    return np.stack([each * rng.gamma(20.0, 0.05, each.shape) for each in moved]).astype(np.float32)


def diagnostics(
    members: np.ndarray, truth: np.ndarray, spacing: tuple[float, float]
) -> Iterator[tuple[str, Callable[[], Any]]]:
    some = np.concatenate([members.mean(0, keepdims=True), members[:3]])
    amounts = [0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0]
    yield "intensity-frequency", lambda: curves.intensities(members, axis=POOLED)
    yield "exceedance of eight amounts", lambda: curves.exceedance(members, amounts, POOLED)
    yield "quantile-quantile", lambda: curves.quantile_quantile(members, truth)
    yield "spectrum", lambda: spectra.spectrum(members, spacing)
    yield "spectrum in time", lambda: spectra.spectrum_in_time(members, 1.0)
    yield "variogram of four", lambda: shape.variogram(some, spacing)
    yield "ellipse", lambda: shape.ellipse(members, spacing)
    yield "SAL", lambda: placement.sal(members, truth, spacing)
    yield "displacement of four", lambda: placement.displacement(some, truth, spacing, WITHIN)


def peak(diagnostic: Callable[[], Any]) -> float:
    """Megabytes that it needs at once, beside the ensemble."""
    tracemalloc.start()
    diagnostic()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most / MEGABYTE


def row(case: str, method: str, metric: str, value: float, unit: str) -> dict[str, Any]:
    return {"case": case, "method": method, "metric": metric, "value": float(value), "n": 1, "unit": unit}
