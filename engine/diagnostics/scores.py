"""Scores of an ensemble beside what was observed, at gauges that it never saw or on a grid.

A *card* holds every score of a `tally`, a row each, with its 95% interval (of blocks drawn anew), the
number n of places and hours that were judged, the members M and the blocks. Scores with a *threshold*
judge the event that rain reaches it; those with a *scale* judge windows of that width.

The CRPS is the *fair* one, which an ensemble of any size estimates without bias; the plain one flatters
where dry meets dry. Of a single field it is the absolute error, so that a raw source stands in the same
column. The spread is that of the members, widened by (M + 1) / M, since the truth is one more draw that
their mean does not contain; spread/skill is 1 for an honest ensemble, below 1 for one too sure of itself.
The Brier score is the sum of its three parts, reliability - resolution + uncertainty, over the M + 1
chances that M members can state; the fair one is free of what few members add. Contingency scores take
half of the members as the forecast of an event; the *member frequency bias* takes each member by itself.

A score that is not defined is missing, and says why: no correlation of a dry period, no detection of an
event that never came.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr

from engine.bilinear import positions, read
from engine.diagnostics.blocks import interval, resampled
from engine.diagnostics.tables import Table
from engine.diagnostics.tally import Tally
from engine.fields import Observations

Row = dict[str, Any]
CONTINGENCY = {
    "POD": "probability_of_detection",
    "FAR": "false_alarm_ratio",
    "CSI": "critical_success_index",
    "ETS": "equitable_threat_score",
    "frequency bias": "frequency_bias",
}
NO_EVENT, NO_FORECAST = "no observation reaches the threshold", "no member reaches the threshold"


def card(judged: Tally) -> Table:
    """Every score of a tally."""
    return Table.of([*_overall(judged), *_at_thresholds(judged), *_by_scale(judged)])


def row(judged: Tally, metric: str, values: np.ndarray, unit: str, **about: Any) -> Row:
    """One score: its name, where it applies, its value with the interval, and what it rests on."""
    blocks = about.pop("blocks", judged.blocks)
    value, low, high = interval(values, blocks)
    told = {"metric": metric, "threshold": about.get("threshold"), "scale": about.get("scale")}
    told |= {"value": value, "low": low, "high": high, "n": judged.n, "members": judged.members}
    told |= {"blocks": blocks, "left out": sum(judged.left_out.values()), "unit": unit}
    return told | {"why": about.get("why", "it does not vary") if np.isnan(value) else None}


def _overall(judged: Tally) -> Iterator[Row]:
    drawn = {name: resampled(total) for name, total in judged.sums.items()}
    n = drawn.pop("n")
    s = {name: total / n for name, total in drawn.items()}
    with np.errstate(invalid="ignore", divide="ignore"):
        scatter = s["mean squared"] - s["mean"] ** 2, s["report squared"] - s["report"] ** 2
        scatter = [np.where(each > 1e-12 * s["report squared"], each, np.nan) for each in scatter]
        correlation = (s["product"] - s["mean"] * s["report"]) / np.sqrt(scatter[0] * scatter[1])
        honest = np.sqrt(s["variance"] / np.where(s["square"] > 0, s["square"], np.nan))
    yield row(judged, "CRPS", s["crps"], "mm/h")
    yield row(judged, "MAE of the mean", s["absolute"], "mm/h")
    yield row(judged, "bias of the mean", s["error"], "mm/h")
    yield row(judged, "RMSE of the mean", np.sqrt(s["square"]), "mm/h")
    yield row(judged, "correlation of the mean", correlation, "1", why="forecast or observation is constant")
    if judged.members > 1:
        yield row(judged, "spread/skill", honest, "1", why="the mean has no error")
        ranks = resampled(judged.ranks) / n[:, None]
        yield row(judged, "above all members", ranks[:, -1], "1")
        yield row(judged, "below all members", ranks[:, 0], "1")
        yield row(judged, "mean rank", s["stands"], "1")
        yield row(judged, "rank variance", 12 * (s["stands squared"] - s["stands"] ** 2), "1")


def _at_thresholds(judged: Tally) -> Iterator[Row]:
    n = resampled(judged.sums["n"])
    for index, threshold in enumerate(judged.thresholds):
        tail = resampled(judged.sums[f"tail {index}"]) / n
        yield row(judged, "CRPS above", tail, "mm/h", threshold=threshold)
        cases = resampled(judged.said[:, index])
        seen = cases[0, :, 1].sum()
        for metric, values in (_brier(cases) | _contingency(cases)).items():
            why = NO_FORECAST if seen else NO_EVENT
            yield row(judged, metric, values, "1", threshold=threshold, why=why)


def _brier(cases: np.ndarray) -> dict[str, np.ndarray]:
    """The Brier score and its parts from cases (draw, members that say so, seen or not).

    The library scores the 2 (M + 1) cases that can occur, each weighted by how often it did.
    """
    from scores.probability import brier_score, brier_score_for_ensemble

    size = cases.shape[1] - 1
    weights = xr.DataArray(cases, dims=("draw", "said", "seen"))
    chance = xr.DataArray(np.arange(size + 1) / size, dims="said")
    seen = xr.DataArray([0.0, 1.0], dims="seen")
    over: dict[str, Any] = {"reduce_dims": ["said", "seen"], "weights": weights}
    found = {"Brier": np.asarray(brier_score(chance, seen, **over))}
    if size > 1:
        members = np.arange(size) < np.arange(size + 1)[:, None]
        ensemble = xr.DataArray(members.astype(float), dims=("said", "member"))
        over["event_thresholds"] = 0.5
        found["fair Brier"] = np.asarray(brier_score_for_ensemble(ensemble, seen, "member", **over))[0]
    n, times = cases.sum((1, 2)), cases.sum(2)
    frequency = cases[..., 1] / np.maximum(times, 1)
    rate = cases[..., 1].sum(1) / n
    found["reliability part"] = _centred((times * (chance.values - frequency) ** 2).sum(1) / n)
    found["resolution part"] = _centred((times * (frequency - rate[:, None]) ** 2).sum(1) / n)
    found["uncertainty part"] = rate * (1 - rate)
    with np.errstate(invalid="ignore", divide="ignore"):
        found["member frequency bias"] = (times @ chance.values) / cases[..., 1].sum(1)
        # the chance that more members foresaw an event than a non-event, a tie counting half
        fewer = cases[..., 0].cumsum(1) - cases[..., 0] / 2
        pairs = cases[..., 0].sum(1) * cases[..., 1].sum(1)
        found["area under ROC"] = (cases[..., 1] * fewer).sum(1) / pairs
    return found


def _centred(values: np.ndarray) -> np.ndarray:
    """Drawing blocks anew scatters the frequencies once more, which enlarges their squares; taken off."""
    values[1:] = np.maximum(values[1:] - (values[1:].mean() - values[0]), 0)
    return values


def _contingency(cases: np.ndarray) -> dict[str, np.ndarray]:
    """POD, FAR and their kin, where half of the members stand for a forecast of the event."""
    from scores.categorical import BasicContingencyManager

    half = -(-(cases.shape[1] - 1) // 2)
    warned, silent = cases[:, half:].sum(1), cases[:, :half].sum(1)
    counts = {
        "tp_count": warned[:, 1],
        "fp_count": warned[:, 0],
        "fn_count": silent[:, 1],
        "tn_count": silent[:, 0],
        "total_count": cases.sum((1, 2)),
    }
    table = BasicContingencyManager({name: xr.DataArray(each, dims="draw") for name, each in counts.items()})
    found = {name: getattr(table, of)().values for name, of in CONTINGENCY.items()}
    return {"events": warned[:, 1] + silent[:, 1]} | found


def _by_scale(judged: Tally) -> Iterator[Row]:
    drawn = resampled(judged.fractions)
    with np.errstate(invalid="ignore", divide="ignore"):
        skill = 1 - drawn[..., 2] / (drawn[..., 0] + drawn[..., 1])
    for index, threshold in enumerate(judged.thresholds):
        for scale, width in enumerate(judged.scales):
            about = {"threshold": threshold, "scale": width, "blocks": len(judged.fractions)}
            yield row(
                judged, "FSS", skill[:, scale, index], "1", why="nothing reaches the threshold", **about
            )


def at_gauges(rain: xr.DataArray, gauges: Observations) -> xr.DataArray:
    """The field (..., gauge, time) at the gauges' places: up to half a cell beyond the outermost centres
    the edge's value, farther out missing."""
    inside = np.ones(len(gauges), bool)
    for name, here in (("lat", gauges.lat), ("lon", gauges.lon)):
        centres = rain[name].values
        half = (centres[-1] - centres[0]) / (len(centres) - 1) / 2 + 1e-9
        inside &= (here >= centres[0] - half) & (here <= centres[-1] + half)
    rows, columns = positions(rain.lat.values, gauges.lat), positions(rain.lon.values, gauges.lon)
    values = np.where(inside, read(rain.values, rows, columns), np.nan)
    dims = tuple(name for name in rain.dims if name not in ("lat", "lon"))
    coordinates = {name: rain[name] for name in dims if name in rain.coords}
    coordinates |= {name: gauges.rain[name] for name in ("gauge", "lat", "lon", "elevation")}
    found = xr.DataArray(values, coordinates, (*dims, "gauge"), rain.name, rain.attrs)
    return found.transpose(..., "gauge", "time")


def jointly(read_: Mapping[str, xr.DataArray], observed: xr.DataArray) -> xr.DataArray:
    """What was observed where and when all these ensembles are known: so that each is judged by the very
    same reports."""
    for each in read_.values():
        observed = observed.where(each.notnull().all("member"))
    return observed
