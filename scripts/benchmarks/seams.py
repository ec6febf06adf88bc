"""Seams: what a chain of residual networks draws across the borders of its tiles and of coarse cells.

Squares of 140 coarse cells of the 12 held-out hours of real radar (MRMS) under a simulated satellite, as
`residual` takes them, are corrected and made finer in tiles. Reported is the mean jump of log(1 + rain / 0.1)
between neighbours across borders over that of others up to 12 cells away: where two tiles hand over, and for
the chain also across the borders of coarse cells. The radar has its own ratio at the same places. An hour has
one square; intervals are 95%, of hours drawn anew. ``case`` is the prior's name; ``--quick`` takes four.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from benchmarks.residual import ROOT, STEPS, last, windows
from training.systems.residual_correction import taught

from engine.beside import finer
from engine.denoise import Denoiser, Folded
from engine.diagnostics.blocks import interval, resampled
from engine.diagnostics.curves import WET
from engine.residuals import RAIN, STAGES, chain, noise_of

WIDE, NEAR = 140, 12  # coarse cells a side; cells from a border that are compared with it


def run(case: str | None, quick: bool) -> list[dict]:
    """Jumps across borders over jumps elsewhere, on a square of several tiles."""
    known, kinds = chain(case or "satellite"), {}
    held = taught(dict(known.card["run"]), ROOT / "assets" / "training", ROOT / "build").held
    hours, factor = range(0, len(held.coarse), 3 if quick else 1), held.factor
    for number, hour in enumerate(hours):
        window = windows(held, hour, 1, WIDE, 0)[0]
        noise = noise_of(0, window.time, [0])
        coarse = RAIN.forward(torch.from_numpy(window.satellite))
        for name, stages in (("correction", STAGES[:1]), ("chain", STAGES)):
            told = coarse if name == "correction" else finer(coarse, factor)
            whole = known.stage(stages[-1]).under(told).prior
            rain = last(known.draws(window.satellite, noise, STEPS, stages))[0]
            truth = window.radar if name == "correction" else window.fine
            for kind, field in ((name, rain), (f"radar, at the {name}'s", truth)):
                at = {"tiles": tiles(whole, field.shape)}
                if name == "chain":
                    at["coarse cells"] = [list(range(factor, size, factor)) for size in field.shape]
                for border, places in at.items():
                    blocks = kinds.setdefault((kind, border), np.zeros((len(hours), 4)))
                    blocks[number] += jumps(np.log1p(field / WET), places)
    rows = []
    for (kind, border), blocks in kinds.items():
        across, n, rest, others = resampled(blocks).T
        value, low, high = interval(across / n / (rest / others), len(hours))
        metric = f"jump across {border}, over that nearby"
        about = {"case": f"{WIDE} coarse cells a side", "method": kind, "metric": metric, "unit": "1"}
        rows.append(about | {"value": value, "low": low, "high": high, "n": int(n[0])})
    return rows


def tiles(whole: Denoiser, shape: tuple[int, ...]) -> list[list[int]]:
    """The rows and columns at which two tiles hand over to each other."""
    found: list[list[int]] = []
    for length in shape:
        assert isinstance(whole, Folded)
        starts = [*range(0, length - whole.size, whole.stride), length - whole.size]
        found.append([(left + whole.size + right) // 2 for left, right in itertools.pairwise(starts)])
        whole = whole.prior
    return found


def jumps(field: np.ndarray, places: Sequence[Sequence[int]]) -> np.ndarray:
    """Of neighbours across these borders the sum and number of differences, and of others not far away."""
    total = np.zeros(4)
    for axis, borders in enumerate(places):
        steps = np.abs(np.diff(field, axis=axis)).sum(1 - axis)
        away = np.abs(np.arange(1, len(steps) + 1)[:, None] - np.array(borders)).min(1)
        for part, which in enumerate((away == 0, (away > 0) & (away <= NEAR))):
            total[2 * part : 2 * part + 2] += steps[which].sum(), which.sum() * field.shape[1 - axis]
    return total
