"""Whether an ensemble means what it says: where reports stand among its members, and how often what a
share of the members says comes true.

The *rank histogram* is flat where report and members could be exchanged without anybody noticing. Its
envelope holds 95% of what a flat one would show with these blocks of places and hours.

The *reliability curve* is read with care. Where 3 of 4 members see rain, even a perfect ensemble is right
in less than 75% of cases: few members scatter around the chance they draw from. What *is* to be expected
follows from exchanging alone. If of M members and the report together K reach the threshold, the report is
one of the K with chance K / (M + 1). So of all cases with K in total, K / (M + 1) are cases "K - 1 members
and the report", the others are "K members without it". Counted over all K this gives the *expected* share
for every number of members, exactly, for any climate and any M; the observed share stands beside it.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from engine.diagnostics.blocks import interval, resampled
from engine.diagnostics.tables import Table
from engine.diagnostics.tally import Tally

CLASSES = 10  # of the share of members, at most; none and all are classes of their own


def rank_histogram(judged: Tally) -> Table:
    """The share of reports at every rank among the members, 0 to M."""
    return _histogram("rank", np.arange(judged.members + 1), judged.ranks)


def pit_histogram(judged: Tally) -> Table:
    """The same in equal bins of the PIT, however many members there are; bins are named by their middle."""
    bins = judged.pit.shape[1]
    return _histogram("PIT", (np.arange(bins) + 0.5) / bins, judged.pit)


def _histogram(name: str, marks: np.ndarray, counts: np.ndarray) -> Table:
    drawn = resampled(counts)
    shares, expected, rows = drawn / drawn.sum(1, keepdims=True), 1 / len(marks), []
    for mark, share in zip(marks.tolist(), shares.T, strict=True):
        value, low, high = interval(share, len(counts))
        envelope = {"envelope low": expected + low - value, "envelope high": expected + high - value}
        about = {name: mark, "share": value, "low": low, "high": high, "expected": expected}
        rows.append(about | envelope | {"n": int(counts.sum())})
    return Table.of(rows)


def expected_frequency(cases: np.ndarray) -> np.ndarray:
    """How often the event would be seen for each number of members, were the report one of them.

    ``cases`` are (..., members that say so, seen or not); the result is the counts to be expected, alike.
    """
    size = cases.shape[-2] - 1
    total = np.zeros((*cases.shape[:-2], size + 2))  # of members and the report that reach the threshold
    total[..., :-1] += cases[..., 0]
    total[..., 1:] += cases[..., 1]
    share = np.arange(size + 2) / (size + 1)
    return np.stack([(total * (1 - share))[..., :-1], (total * share)[..., 1:]], -1)


def reliability(judged: Tally, threshold: float) -> Table:
    """How often rain reached the threshold, for each share of the members that said so."""
    cases = resampled(judged.said[:, judged.thresholds.index(threshold)])
    hoped = expected_frequency(cases)
    size, rows = judged.members, []
    group = np.rint(np.arange(size + 1) / size * min(size, CLASSES)).astype(int)
    group[0], group[-1] = -1, size + 1  # none and all
    for each in np.unique(group):
        of = group == each
        (never, seen), (never_hoped, seen_hoped) = cases[:, of].sum(1).T, hoped[:, of].sum(1).T
        with np.errstate(invalid="ignore"):
            observed, expected = seen / (seen + never), seen_hoped / (seen_hoped + never_hoped)
        said, n = np.flatnonzero(of), int(never[0] + seen[0])
        chance = (
            float(np.average(said, weights=cases[0, of].sum(1)) / size) if n else float(said.mean() / size)
        )
        _, low, high = interval(observed - expected, judged.blocks)
        about = {"threshold": threshold, "members": _span(said), "chance": chance}
        values = {"expected": float(expected[0]), "observed": float(observed[0])}
        bounds = {"low": expected[0] + low, "high": expected[0] + high, "n": n}
        rows.append(about | values | bounds)
    return Table.of(rows)


def _span(said: np.ndarray) -> str:
    return f"{said[0]}" if len(said) == 1 else f"{said[0]}-{said[-1]}"


def roc(judged: Tally, threshold: float) -> Table:
    """Hits against false alarms, for an alarm from every number of members on."""
    from scores.plotdata import roc as roc_of

    cases = judged.said[:, judged.thresholds.index(threshold)].sum(0)
    size = judged.members
    chance = xr.DataArray(np.arange(size + 1) / size, dims="said")
    weights = xr.DataArray(cases, dims=("said", "seen"))
    curve = roc_of(chance, xr.DataArray([0.0, 1.0], dims="seen"), chance.values.tolist(), weights=weights)
    marks = [*range(size + 1), None]
    rows = [
        {"threshold": threshold, "members from": mark, "POFD": float(false), "POD": float(hit)}
        for mark, false, hit in zip(marks, curve["POFD"].values, curve["POD"].values, strict=True)
    ]
    return Table.of(rows)
