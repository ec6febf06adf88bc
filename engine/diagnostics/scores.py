"""Scores of an ensemble at gauges that it never saw.

A field is read at the exact place of a gauge, between cell centres. The CRPS is the *fair* one, which an
ensemble of any size estimates without bias; the plain one flatters where dry meets dry. Of a single
field it is the absolute error, so that a raw source stands in the same column. The spread is
that of the members, widened by (M + 1) / M, since the truth is one more draw that their mean does not
contain; spread/skill is 1 for an honest ensemble, below 1 for one too sure of itself. Intervals resample
whole gauges, for the hours of one gauge go together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from engine.fields import Observations
from engine.values import Invalid

DRAWS = 400


def at_gauges(rain: xr.DataArray, gauges: Observations) -> xr.DataArray:
    """The field (..., gauge, time) at the gauges' places: up to half a cell beyond the outermost centres
    the edge's value, farther out missing."""
    places, inside = {}, np.ones(len(gauges), bool)
    for name, here in (("lat", gauges.lat), ("lon", gauges.lon)):
        centres = rain[name].values
        half = (centres[-1] - centres[0]) / (len(centres) - 1) / 2 + 1e-9
        inside &= (here >= centres[0] - half) & (here <= centres[-1] + half)
        places[name] = xr.DataArray(np.clip(here, centres[0], centres[-1]), dims="gauge")
    read = rain.interp(places).where(xr.DataArray(inside, dims="gauge"))
    return read.assign_coords(gauge=gauges.rain.gauge).transpose(..., "gauge", "time")


def at_held_out(forecast: xr.DataArray, observed: xr.DataArray) -> list[dict[str, Any]]:
    """CRPS, errors of the mean, and spread/skill of readings (member, gauge, time), each with its 95%
    interval, n and M."""
    size = forecast.sizes["member"]
    mean = forecast.mean("member")
    error = mean - observed
    if size > 1:
        # imported here: the library takes a second, and nothing else of this file needs it
        from scores.probability import crps_for_ensemble

        crps = crps_for_ensemble(forecast, observed, "member", method="fair", preserve_dims=["gauge", "time"])
    else:
        crps = abs(error)
    variance = forecast.var("member", ddof=1) * (size + 1) / size if size > 1 else error * 0
    known = np.isfinite(error.values)
    parts = {
        "crps": crps.values,
        "mae": np.abs(error.values),
        "bias": error.values,
        "square": error.values**2,
        "variance": variance.values,
    }
    totals = {name: np.where(known, values, 0).sum(1) for name, values in parts.items()}  # one sum a gauge
    return _rows(totals, known.sum(1), size)


def _rows(totals: Mapping[str, np.ndarray], counts: np.ndarray, size: int) -> list[dict[str, Any]]:
    draws = np.random.default_rng(0).integers(len(counts), size=(DRAWS, len(counts)))
    n = int(counts.sum())
    if n == 0:
        raise Invalid("score: none of the gauges held out reports where and when the ensemble has a value")

    def of(statistic) -> tuple[float, float, float]:
        sums = {name: total.sum() / counts.sum() for name, total in totals.items()}
        again = {name: total[draws].sum(1) / counts[draws].sum(1) for name, total in totals.items()}
        low, high = np.nanquantile(statistic(again), [0.025, 0.975])
        return float(statistic(sums)), float(low), float(high)

    wanted = {
        "CRPS": (lambda s: s["crps"], "mm/h"),
        "MAE of the mean": (lambda s: s["mae"], "mm/h"),
        "bias of the mean": (lambda s: s["bias"], "mm/h"),
        "RMSE of the mean": (lambda s: np.sqrt(s["square"]), "mm/h"),
        "spread/skill": (lambda s: np.sqrt(s["variance"] / s["square"]), "1"),
    }
    if size == 1:
        wanted = {name: value for name, value in wanted.items() if name != "spread/skill"}
    rows = []
    for name, (statistic, unit) in wanted.items():
        value, low, high = of(statistic)
        rows.append(
            {"metric": name, "value": value, "low": low, "high": high, "n": n, "members": size, "unit": unit}
        )
    return rows


def of_run(
    ensemble: xr.DataArray, gauges: Observations, others: Mapping[str, xr.DataArray], name: str = "ensemble"
) -> list[dict[str, Any]]:
    """The ensemble's scores, and those of raw fields at exactly the same gauges and hours."""
    readings = {name: at_gauges(ensemble, gauges)}
    readings |= {other: at_gauges(rain.expand_dims("member"), gauges) for other, rain in others.items()}
    observed = gauges.at(ensemble.indexes["time"]).rain
    for read in readings.values():
        observed = observed.where(read.notnull().all("member"))
    return [{"method": each} | row for each, read in readings.items() for row in at_held_out(read, observed)]
