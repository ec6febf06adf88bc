"""What the whole card of scores costs, and that it calls a perfect ensemble perfect.

An ensemble of 16 members, 24 hours and 250 x 250 cells and a truth that could be exchanged with any of its
members: correlated in space, alike in what they share, four fifths dry. Each way is measured in a process
of its own, from its imports on.

* *card*: every score, the rank and PIT histograms, reliability and ROC at six grades, the verdicts;
* *card, any member as truth*: what it says of six truths, without the fractions skill score;
* *library, CRPS alone* and *rank histogram alone*: the scores package, given the whole ensemble at once.

    cpu, seconds      of one process, the imports of the library included, the making of the ensemble not
    memory            the most it held, and the part of that beyond the making of the ensemble
    ranks inside      share of ranks in their 95% envelope
    chances inside    share of chances whose expected frequency is in the 95% interval
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.ndimage import gaussian_filter

from engine.fields import Box, Grid, rain

MEMBERS, HOURS, QUICK_HOURS = 16, 24, 6
GRID = Grid(Box(100, 20, 125, 45), 0.1)
SMOOTH = 6.0  # cells
EXCHANGED = (0, 3, 6, 9, 12, 15)
LIKENESS = 0.6  # share of the variance that members and truth share

Row = dict[str, Any]


def run(case: str | None, quick: bool) -> list[Row]:
    hours = QUICK_HOURS if quick else HOURS
    name = f"{MEMBERS} x {hours} x {GRID.shape[0]} x {GRID.shape[1]}"
    rows: list[Row] = []
    for method, work in (
        ("card", whole_card),
        ("card, any member as truth", exchanged),
        ("library, CRPS alone", crps),
        ("library, rank histogram alone", ranks),
    ):
        # a fresh process: its memory and its imports are its own
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            found = pool.submit(measured, work, hours).result()
        rows += [{"case": name, "method": method, "n": 1} | row for row in found]
    return rows


def measured(work: Callable[[xr.DataArray, xr.DataArray], list[Row]], hours: int) -> list[Row]:
    import resource

    ensemble, truth = exchangeable(hours)
    before = resource.getrusage(resource.RUSAGE_SELF)
    began, spent = time.perf_counter(), time.process_time()
    rows = work(ensemble, truth)
    cpu, seconds = time.process_time() - spent, time.perf_counter() - began
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    cost = {"cpu": (cpu, "s"), "seconds": (seconds, "s"), "memory": (most, "MB")}
    cost["memory beyond"] = most - before.ru_maxrss / 1024, "MB"
    return [{"metric": metric, "value": value, "unit": unit} for metric, (value, unit) in cost.items()] + rows


def exchangeable(hours: int) -> tuple[xr.DataArray, xr.DataArray]:
    """An ensemble and a truth of the same law, given what they share."""
    times = pd.date_range("2020-07-01T01:00", periods=hours, freq="1h")

    def drawn(seed: int) -> np.ndarray:
        noise = np.random.default_rng(seed).standard_normal((hours, *GRID.shape), dtype=np.float32)
        smooth = np.stack([gaussian_filter(each, SMOOTH, mode="wrap") for each in noise])
        return smooth / smooth.std()

    shared, own = np.sqrt(LIKENESS) * drawn(0), np.sqrt(1 - LIKENESS)
    values = np.empty((MEMBERS + 1, hours, *GRID.shape), np.float32)
    for number in range(MEMBERS + 1):
        values[number] = 3 * np.maximum(shared + own * drawn(number + 1) - 0.84, 0) ** 1.5
    return rain(values[1:], times, GRID.lat, GRID.lon), rain(values[0], times, GRID.lat, GRID.lon)


def whole_card(ensemble: xr.DataArray, truth: xr.DataArray) -> list[Row]:
    """All that the page can show of an ensemble."""
    from engine.diagnostics import reliability
    from engine.diagnostics.scores import card
    from engine.diagnostics.tally import tally
    from engine.diagnostics.verdicts import verdicts

    judged = tally(ensemble, truth)
    table = card(judged)
    tables = [table, reliability.rank_histogram(judged), reliability.pit_histogram(judged)]
    for of in (reliability.reliability, reliability.roc):
        tables += [of(judged, each) for each in judged.thresholds]
    verdicts(judged, table)
    count = sum(len(each.rows) for each in tables)
    shown = [dict(each) for each in table.rows if each["metric"] in ("CRPS", "spread/skill")]
    return [{"metric": "figures", "value": count, "unit": "1"}, *shown]


def exchanged(ensemble: xr.DataArray, truth: xr.DataArray) -> list[Row]:
    """Whether a perfect ensemble is called perfect, when one or another of its members is the truth."""
    from engine.diagnostics import reliability
    from engine.diagnostics.scores import card
    from engine.diagnostics.tally import tally
    from engine.diagnostics.verdicts import verdicts

    inside: dict[str, list[bool]] = {}
    values = np.concatenate([truth.values[None], ensemble.values])
    for each in EXCHANGED:
        values[[0, each]] = values[[each, 0]]
        judged = tally(ensemble.copy(data=values[1:]), truth.copy(data=values[0]), scales_km=())
        table = card(judged)
        flat = reliability.rank_histogram(judged).frame()
        inside.setdefault("ranks inside", []).extend(
            flat["share"].between(flat["envelope low"], flat["envelope high"])
        )
        for threshold in judged.thresholds:
            curve = reliability.reliability(judged, threshold).frame().dropna()
            inside.setdefault("chances inside", []).extend(
                curve["expected"].between(curve["low"], curve["high"])
            )
        (spread,) = table.where(metric="spread/skill").rows
        inside.setdefault("spread/skill inside", []).append(spread["low"] <= 1 <= spread["high"])
        right = ["no fault" in one or "reliable within" in one for one in verdicts(judged, table)]
        inside.setdefault("sentences without a fault", []).extend(right)
    return [
        {"metric": name, "value": float(np.mean(found)), "n": len(found), "unit": "1"}
        for name, found in inside.items()
    ]


def crps(ensemble: xr.DataArray, truth: xr.DataArray) -> list[Row]:
    from scores.probability import crps_for_ensemble

    value = np.asarray(crps_for_ensemble(ensemble, truth, "member", method="fair"))
    return [{"metric": "CRPS", "value": float(value), "n": truth.size, "unit": "mm/h"}]


def ranks(ensemble: xr.DataArray, truth: xr.DataArray) -> list[Row]:
    from scores.probability import rank_histogram

    share = np.asarray(rank_histogram(ensemble, truth, "member"))
    off = float(abs(share - 1 / (MEMBERS + 1)).max())
    return [{"metric": "greatest departure from flat", "value": off, "n": truth.size, "unit": "1"}]
