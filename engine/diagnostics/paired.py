"""Paired comparison: is one ensemble really better than another at the same gauges and hours?

The CRPS of both is taken wherever both and the report are known, and only the *difference* is judged: what
makes an hour hard for one makes it hard for the other. Its mean has an interval over blocks, shares of
gauges one over tiles of the network (see `engine.diagnostics.blocks`). Gauge by gauge the question is asked
again, with the test of signs turned at random: hours are gathered into spans of four, for the next hour
resembles this one, and if neither ensemble were better, the difference of every span could as well have had
the other sign. The share of all turnings (or of 4096 drawn ones) that give at least the difference found is
its chance under equal skill; below 5% the gauge counts. This needs no variance to be estimated from a few
skewed values, which a drawing of spans anew would, and holds exactly for few spans.

With fewer than six spans that differ no turning is rarer than 5%: such a gauge cannot tell, and is counted
apart. Of equal ensembles some 2.5% of those that can tell would be found better, and as many worse, by
chance.
"""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import xarray as xr

from engine.diagnostics.blocks import Blocks, districts, interval, resampled, share, spans
from engine.diagnostics.tables import Table
from engine.diagnostics.tally import crps
from engine.values import Invalid

LEVEL = 0.05
SPAN = pd.Timedelta("4h")
EXACT = 12  # spans up to which every turning is tried
TURNINGS = 4096
CHUNK = 256  # of them drawn at once
FEWEST_SPANS = 6  # 2 / 2^6 is below 5%


def paired(first: xr.DataArray, second: xr.DataArray, observed: xr.DataArray) -> Table:
    """How much better (below zero) the first is than the second, ensembles (member, gauge, time)."""
    try:
        first, second, observed = xr.align(first, second, observed, join="exact", exclude=["member"])
    except ValueError as error:
        why = str(error).splitlines()[0]
        raise Invalid(f"score: the ensembles and the reports differ in gauges or times ({why})") from None
    scored = [_crps(each, observed) for each in (first, second)]
    known = np.isfinite(scored[0] - scored[1])
    judges = known.any(1)
    if not judges.any():
        raise Invalid("score: no gauge reports where and when both ensembles are known")
    known, observed = known[judges], observed.isel(gauge=judges)
    scored = [np.where(known, each[judges], 0) for each in scored]
    gap, blocks = scored[0] - scored[1], Blocks.of(observed)
    sums = np.stack([blocks.sums(each) for each in (known, *scored)], 1)
    sums = sums[sums[:, 0] > 0]
    n, ours, theirs = resampled(sums).T
    ours, theirs = ours / n, theirs / n
    with np.errstate(invalid="ignore", divide="ignore"):
        skill = 1 - ours / np.where(theirs > 0, theirs, np.nan)
    chance, able = _chance(gap, observed)
    better, worse = (able & (chance < LEVEL) & (side * gap.sum(1) > 0) for side in (-1, 1))
    tile, every, pairs, can = districts(observed), np.ones(len(gap), bool), int(known.sum()), int(able.sum())
    found = [
        ("CRPS difference", interval(ours - theirs, len(sums)), pairs, "mm/h"),
        ("CRPS skill", interval(skill, len(sums)), pairs, "1"),
        ("gauges significantly better", share(better, able, tile), can, "1"),
        ("gauges significantly worse", share(worse, able, tile), can, "1"),
        ("gauges undecided", share(~better & ~worse, able, tile), can, "1"),
        ("gauges that cannot tell", share(~able, every, tile), len(gap), "1"),
    ]
    return Table.of(
        [
            {"metric": metric, "value": value, "low": low, "high": high, "n": n, "unit": unit}
            for metric, (value, low, high), n, unit in found
        ]
    )


def told(table: Table) -> str:
    """The comparison in a sentence."""
    row = {each["metric"]: each for each in table.rows}
    skill, better = row["CRPS skill"], row["gauges significantly better"]
    worse, gauges = row["gauges significantly worse"]["value"], row["gauges that cannot tell"]["n"]
    gain = f"CRPS skill {skill['value']:.2f}"
    if np.isfinite(skill["low"]):
        gain += f" ({skill['low']:.2f} to {skill['high']:.2f})"
    if not better["n"]:
        return f"{gain}; too dry or too short to tell at any of {gauges} gauges"
    equal = " (equal ones: 2.5% each)"
    where = f"of the {better['n']} gauges that can tell (of {gauges})"
    return f"{gain}; significantly better at {better['value']:.0%} {where}, worse at {worse:.0%}{equal}"


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
    _, span = np.unique(spans(observed.indexes["time"], SPAN), return_inverse=True)
    sums = np.stack([np.bincount(span, each) for each in gap], 1)
    count = len(sums)
    if count <= EXACT:
        turned = np.array(list(itertools.product((1.0, -1.0), repeat=count))) @ sums
    else:
        random, chunks = np.random.default_rng(0), range(TURNINGS // CHUNK)
        drawn = (random.integers(0, 2, (CHUNK, count), np.int8) for _ in chunks)
        turned = np.concatenate([(1.0 - 2 * signs) @ sums for signs in drawn])
        turned[0] = sums.sum(0)  # what was found is one of the turnings
    as_found = np.abs(turned) >= np.abs(sums.sum(0)) * (1 - 1e-9)
    return as_found.mean(0), (sums != 0).sum(0) >= FEWEST_SPANS
