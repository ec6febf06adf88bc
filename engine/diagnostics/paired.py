"""Paired comparison: is one ensemble really better than another at the same gauges and hours?

The CRPS of both is taken wherever both and the report are known, and only the *difference* is judged: what
makes an hour hard for one makes it hard for the other. Its mean has an interval over gauges. Gauge by gauge
the question is asked again, with the test of signs turned at random: hours are gathered into spans of four,
for the next hour resembles this one, and if neither ensemble were better, the difference of every span
could as well have had the other sign. The share of all turnings (or of 4096 drawn ones) that give at least
the difference found is its chance under equal skill; below 5% the gauge counts. This needs no variance to
be estimated from a few skewed values, which a drawing of spans anew would, and holds exactly for few spans.

With fewer than six spans that differ no turning is rarer than 5%: such a gauge cannot tell, and is counted
apart. Of equal ensembles some 2.5% of gauges would be found better, and as many worse, by chance.
"""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import xarray as xr

from engine.diagnostics.blocks import interval, resampled, spans
from engine.diagnostics.tables import Table
from engine.diagnostics.tally import crps
from engine.values import Invalid

LEVEL = 0.05
SPAN = pd.Timedelta("4h")
EXACT = 12  # spans up to which every turning is tried
TURNINGS = 4096
FEWEST_SPANS = 6  # 2 / 2^6 is below 5%


def paired(first: xr.DataArray, second: xr.DataArray, observed: xr.DataArray) -> Table:
    """How much better (below zero) the first is than the second, ensembles (member, gauge, time)."""
    scored = [_crps(each, observed) for each in (first, second)]
    gap, known = scored[0] - scored[1], np.isfinite(scored[0] - scored[1])
    told = known.any(1)
    if not told.any():
        raise Invalid("score: no gauge reports where and when both ensembles are known")
    gap, known = np.where(known, gap, 0)[told], known[told]
    n = resampled(known.sum(1).astype(float))
    ours, theirs = (resampled(np.where(known, each[told], 0).sum(1)) / n for each in scored)
    with np.errstate(invalid="ignore", divide="ignore"):
        skill = 1 - ours / np.where(theirs > 0, theirs, np.nan)
    chance, able = _chance(gap, observed)
    better, worse = (able & (chance < LEVEL) & (side * gap.sum(1) > 0) for side in (-1, 1))
    found = {
        "CRPS difference": (ours - theirs, "mm/h"),
        "CRPS skill": (skill, "1"),
        "gauges significantly better": (_share(better), "1"),
        "gauges significantly worse": (_share(worse), "1"),
        "gauges undecided": (_share(able & ~better & ~worse), "1"),
        "gauges that cannot tell": (_share(~able), "1"),
    }
    rows = []
    for metric, (values, unit) in found.items():
        value, low, high = interval(values, len(gap))
        n_here = int(known.sum()) if metric.startswith("CRPS") else len(gap)
        rows.append({"metric": metric, "value": value, "low": low, "high": high, "n": n_here, "unit": unit})
    return Table.of(rows)


def told(table: Table) -> str:
    """The comparison in a sentence."""
    row = {each["metric"]: each for each in table.rows}
    skill, better = row["CRPS skill"], row["gauges significantly better"]
    worse, mute = (row[f"gauges {each}"]["value"] for each in ("significantly worse", "that cannot tell"))
    gain = f"CRPS skill {skill['value']:.2f} ({skill['low']:.2f} to {skill['high']:.2f})"
    share = f"significantly better at {better['value']:.0%} of {better['n']} gauges, worse at {worse:.0%}"
    return f"{gain}; {share} (equal ones: 2.5% each), too dry or too short to tell at {mute:.0%}"


def _crps(forecast: xr.DataArray, observed: xr.DataArray) -> np.ndarray:
    """Of every gauge and time, missing where the report or a member is."""
    forecast = forecast.transpose("member", "gauge", "time")
    members, report = (
        np.asarray(each, np.float32) for each in (forecast, observed.transpose("gauge", "time"))
    )
    known = np.isfinite(members).all(0) & np.isfinite(report)
    found = np.full(report.shape, np.nan)
    found[known] = crps(members[:, known], report[known])
    return found


def _chance(gap: np.ndarray, observed: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """For every gauge the chance of such a difference under equal skill, and whether it can tell at all."""
    span = spans(observed.indexes["time"], SPAN)
    sums = np.stack([gap[:, span == each].sum(1) for each in np.unique(span)])
    count = len(sums)
    if count <= EXACT:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=count)))
    else:
        signs = np.random.default_rng(0).choice((1.0, -1.0), (TURNINGS, count))
        signs[0] = 1  # what was found is one of the turnings
    turned = np.abs(signs @ sums)
    return (turned >= turned[0] * (1 - 1e-9)).mean(0), (sums != 0).sum(0) >= FEWEST_SPANS


def _share(of: np.ndarray) -> np.ndarray:
    return resampled(of.astype(float)) / len(of)
