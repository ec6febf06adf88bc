"""A simulated satellite: how much of its error a correction could take off, and what pooling changes.

In the windows of real radar (MRMS) that `residual` takes.

*Errors.* The RMSE of the satellite when the same instrument errs less, with the same noise, over that with
all errors. Without displacement and random amounts there is left what is systematic: how amounts are read,
and what is too light to be seen; who knows the instrument could take it off. Without what is systematic
there is left what was drawn by chance: a map of one hour does not tell it, and it can only be hedged against.

*Pooling and residuals*, as far as they are told without teaching other networks: how much wetter the largest
cells of squares are than their means, and how much of the radar's rain falls where the satellite is dry,
which a residual relative to the satellite could never add.

Intervals are 95%, of hours drawn anew. ``case`` is the prior's name; ``--quick`` takes every fourth hour.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from benchmarks.residual import COARSE, EACH, ROOT, Window, lines, windows
from training.systems.residual_correction import Seen, instrument, looked, taught

from engine.bilinear import pooled
from engine.diagnostics.blocks import resampled
from engine.residuals import DRIZZLE, chain
from engine.sources.instruments import Satellite


def run(case: str | None, quick: bool) -> list[dict]:
    known = chain(case or "satellite")
    held = taught(dict(known.card["run"]), ROOT / "assets" / "training", ROOT / "build").held
    hours = range(0, len(held.coarse), 4 if quick else 1)
    found = [window for hour in hours for window in windows(held, hour, EACH)]
    return limits(held, found) + choices(found, held.factor)


def limits(held: Seen, found: Sequence[Window]) -> list[dict]:
    """The instrument without some of its errors, over that with all of them."""
    whole, rows = instrument(round(held.hours.step * held.factor, 6)), []
    hours, errors = sorted({window.hour for window in found}), held.satellite.shape[1]

    def missed(by: Satellite) -> np.ndarray:
        total = np.zeros(len(hours))
        for each, (number, hour) in itertools.product(found, enumerate(hours)):
            if each.hour == hour:
                mean = np.asarray(held.coarse[hour], np.float32)
                view = looked(held.hours, hour, mean, by, 0, errors)[each.place]
                total[number] += np.square(each.inner(view - each.radar)).sum()
        return resampled(total)

    kinds = {"random amounts": {"error": 0.0}, "displacement": {"displacement": 0.0}}
    kinds["either"] = kinds["random amounts"] | kinds["displacement"]
    kinds["what is systematic"] = {"convective": 1.0, "land": 1.0, "sea": 1.0, "missed": 0.0}
    raw = missed(whole)
    for name, left in kinds.items():
        told = {("RMSE / raw", "1"): np.sqrt(missed(replace(whole, **left)) / raw)}
        rows += lines(COARSE, f"satellite without {name}", told, len(hours), len(found))
    return rows


def choices(found: Sequence[Window], factor: int) -> list[dict]:
    """Of pooling, and of what a residual is relative to."""
    hours = sorted({window.hour for window in found})
    total = np.zeros((len(hours), 5))
    for each in found:
        satellite, mean, largest = map(
            each.inner, (each.satellite, each.radar, pooled(each.fine, factor, "max"))
        )
        unseen = mean[satellite < DRIZZLE].sum()
        off, off_largest = (np.square(satellite - one).sum() for one in (mean, largest))
        total[hours.index(each.hour)] += [mean.sum(), largest.sum(), unseen, off, off_largest]
    mean, largest, unseen, off, off_largest = resampled(total).T
    told = {
        ("rain / that of means", "1"): largest / mean,
        ("RMSE of the satellite / that to means", "1"): np.sqrt(off_largest / off),
    }
    beyond = {("share of the rain out of reach", "1"): unseen / mean}
    kinds = {"max-pooling": told, "relative residuals": beyond}
    return [row for kind, of in kinds.items() for row in lines(COARSE, kind, of, len(hours), len(found))]
