"""Verdicts: what the numbers of a card say, in a sentence each.

The ranks of the reports among the members decide, at 99%: rain is so skewed that a single broken gauge can
bend the mean error or the spread, but not the ranks.

- *dry-biased*, *wet-biased*: the reports stand on average too high, too low among the members, and the mean
  error agrees, at 95%. Where it does not, the members lean but no bias of their amount can be told, as when
  they are drawn together to their mean;
- *under-dispersed*, *over-dispersed*: they scatter more, less than a flat histogram, and the spread is
  smaller, larger than the error that is left without the bias. A bias bends the scatter of ranks too, so
  beside one the spread must itself be beyond doubt.

At a threshold the reliability curve speaks, where few and where many members say so: *over-confident* if
the event comes too often after few or too seldom after many, *under-confident* the other way round,
*forecast too often* or *too seldom* if both err to one side. "No fault found" means that none could be
told with this sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.diagnostics.blocks import interval, resampled
from engine.diagnostics.reliability import expected_frequency
from engine.diagnostics.tables import Table
from engine.diagnostics.tally import Tally

FEWEST_EVENTS = 20  # seen, before a threshold is spoken of
SURE = 2.58 / 1.96  # an interval of 95%, stretched to one of 99%


def verdicts(judged: Tally, card: Table) -> list[str]:
    """Sentences on an ensemble: its bias, its spread, and its chances at each threshold."""
    if judged.members < 2:
        return []
    rows = {row["metric"]: row for row in card.rows if row["threshold"] is None}
    if np.isnan(rows["mean rank"]["low"]):
        return [f"too few to tell: {judged.blocks} independent blocks; judge at more gauges or hours"]
    lean, biased = _bias(rows)
    found = lean + _spread(judged, rows, biased)
    if not found:
        found = [_no_fault(rows)]
    events = judged.said[..., 1].sum((0, 2))
    return found + [
        _chances(judged, index, threshold)
        for index, threshold in enumerate(judged.thresholds)
        if events[index] >= FEWEST_EVENTS
    ]


def _no_fault(rows: Mapping[str, Any]) -> str:
    """The ranks found none; what a few reports can bend, mean error and spread, may still be off."""
    off = [
        f"{name} is {row['value']:.3g} ({row['low']:.3g} to {row['high']:.3g})"
        for name, honest in (("bias of the mean", 0), ("spread/skill", 1))
        if _side(_of(row := rows[name]), honest)
    ]
    if off:
        return f"ranks show no fault, yet {' and '.join(off)}: look for a few broken reports"
    return "no fault found: ranks, bias and spread are, within their intervals, those of honest members"


def _bias(rows: Mapping[str, Any]) -> tuple[list[str], bool]:
    """What is to be said of the mean, and whether it is biased."""
    bias, rank = rows["bias of the mean"], rows["mean rank"]
    side = _side(_of(rank), 0.5)
    if not side:
        return [], False
    name, where = ("dry-biased", "above") if side > 0 else ("wet-biased", "below")
    share = f"{rows[f'{where} all members']['value']:.0%} of the observations lie {where} all members"
    share = f"{share}, {1 / (bias['members'] + 1):.0%} expected"
    amount = f"the mean is off by {bias['value']:+.3g} mm/h ({bias['low']:+.3g} to {bias['high']:+.3g})"
    if max(side * bias["low"], side * bias["high"]) < 0:
        return [f"{name}: {share}; {amount}"], True
    stand = f"the observations stand too {'high' if side > 0 else 'low'} among the members, on average at "
    return [
        f"leaning: {stand}{rank['value']:.0%} instead of 50%, though no bias can be told; {amount}"
    ], False


def _spread(judged: Tally, rows: Mapping[str, Any], biased: bool) -> list[str]:
    s = {name: resampled(judged.sums[name]) for name in ("n", "error", "square", "variance")}
    left = s["square"] / s["n"] - (s["error"] / s["n"]) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = np.sqrt(s["variance"] / s["n"] / np.where(left > 0, left, np.nan))
    spread = interval(drawn, judged.blocks)
    wide = _side(spread, 1) if biased else np.sign(spread[0] - 1)
    side = _side(_of(rows["rank variance"]), 1)
    if not side or wide != -side:
        return []
    name = "under-dispersed, too sure of itself" if side > 0 else "over-dispersed, less sure than it could be"
    above, below, skill = (rows[name] for name in ("above all members", "below all members", "spread/skill"))
    outside = f"{above['value']:.0%} of the observations lie above all members and {below['value']:.0%} below"
    ratio = f"spread/skill is {skill['value']:.2f} ({skill['low']:.2f} to {skill['high']:.2f})"
    return [f"{name}: {outside}, {1 / (judged.members + 1):.0%} each expected; {ratio}"]


def _chances(judged: Tally, index: int, threshold: float) -> str:
    """Whether few and many members mean what they say, against what exchangeable members would."""
    cases = resampled(judged.said[:, index])
    hoped = expected_frequency(cases)
    often = np.arange(judged.members + 1) >= judged.members / 2
    sides = []
    for of in (~often, often):
        with np.errstate(invalid="ignore", divide="ignore"):
            seen = cases[:, of, 1].sum(1) / cases[:, of].sum((1, 2))
            expected = hoped[:, of, 1].sum(1) / hoped[:, of].sum((1, 2))
        off = interval(seen - expected, judged.blocks)
        lean = float(np.sign(np.nan_to_num(off[0])))
        sides.append({"seen": seen[0], "expected": expected[0], "side": _side(off, 0), "lean": lean})
    few, many = sides
    about = f"rain from {threshold:g} mm/h"
    if not few["side"] and not many["side"]:
        return f"{about}: reliable within its own interval"
    low, high = (each["side"] or each["lean"] for each in sides)  # beside a sure side its best guess will do
    if low == high:
        name = "forecast too seldom" if low > 0 else "forecast too often"
    else:
        name = "over-confident" if low > high else "under-confident"
    told, who = (
        (many, "half of the members or more")
        if many["side"]
        else (few, "fewer than half of the members, or none,")
    )
    seen = f"it comes in {told['seen']:.1%} of cases, {told['expected']:.1%} expected"
    return f"{about}: {name}; where {who} say so, {seen}"


def _of(row: Mapping[str, Any]) -> tuple[float, float, float]:
    return row["value"], row["low"], row["high"]


def _side(told: tuple[float, float, float], honest: float) -> int:
    """On which side of what is honest a value with its interval lies beyond doubt, 0 if on none."""
    value, *ends = told
    low, high = (value + SURE * (end - value) for end in ends)
    return 1 if low > honest else -1 if high < honest else 0
