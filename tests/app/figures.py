"""What the story of the simulated front says in numbers, computed from the case and the shipped results."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr

from app.raster import area_mean
from app.reports import scores
from engine import cards
from engine.given import held_out, in_use
from engine.runs import Store
from engine.sources.cases import Case, cases


def of_the_front(store: Store) -> dict[str, float]:
    case = cases()["front"]
    return _happened(case) | _gauges(case) | _sources(case) | _prior(store) | _judged(store) | _unsure(store)


def _field(case: Case, name: str) -> xr.DataArray:
    layer = case.layer(name)
    assert isinstance(layer, xr.DataArray)
    return layer


def _window(field: xr.DataArray) -> xr.DataArray:
    """Where and when the front is woven: 106-118E, 25-35N, 2 July 00-08 UTC."""
    times = slice("2020-07-02T01:00", "2020-07-02T08:00")
    return field.sel(lat=slice(25, 35), lon=slice(106, 118), time=times)


def _happened(case: Case) -> dict[str, float]:
    truth = _field(case, "truth")
    totals = truth.values.sum(axis=0)
    return {
        "fallen": float(area_mean(totals, truth.lat.values)),  # mm in 48 h, over the domain
        "peak": float(truth.max()),
        "most": float(totals.max()),
        "wet": 100 * float((truth >= 0.1).mean()),
    }


def _gauges(case: Case) -> dict[str, float]:
    gauges = case.layer("gauges")
    assert not isinstance(gauges, xr.DataArray)
    faults = json.loads(gauges.rain.attrs["faults"])
    return {
        "gauges": len(gauges.names),
        "silent": 100 * float(np.isnan(gauges.values).mean()),
        "highest": float(np.nanmax(gauges.values)),
        "faulty": len({name for names in faults.values() for name in names}),
        "late": len(faults["late"]),
        "stuck": len(faults["stuck"]),
        "spiky": len(faults["spiky"]),
        "twice": len(faults["twice"]),
    }


def _sources(case: Case) -> dict[str, float]:
    """Each source on the truth's cells, the nearest of its own; where it says something."""
    truth, found = _window(_field(case, "truth")), {}
    heavy = truth.values >= 10
    for name in ("satellite", "reanalysis", "radar", "forecast"):
        seen = _field(case, name).sel(lat=truth.lat, lon=truth.lon, method="nearest")
        values = seen.sel(time=truth.time).values
        known = np.isfinite(values)
        found[f"{name}_amount"] = 100 * values[known].sum() / truth.values[known].sum()
        found[f"{name}_heavy"] = 100 * (values[known & heavy] >= 10).mean()
        found[f"{name}_wet"] = 100 * (values[known] >= 0.1).mean()
        found[f"{name}_there"] = 100 * known.mean()
        found[f"{name}_peak"] = np.nanmax(values)
    return found | {"truth_wet": 100 * (truth.values >= 0.1).mean(), "truth_peak": float(truth.max())}


def _prior(store: Store) -> dict[str, float]:
    card = cards.card("front")
    ensemble = store.ensemble("front-prior").sel(time="2020-07-02T03:00").load()
    peaks = ensemble.max(("lat", "lon")).values
    truth = _window(_field(cases()["front"], "truth")).sel(time="2020-07-02T03:00")
    return {
        "hours_learned": card["learned"][0]["count"],
        "worlds_learned": len(card["learned"][0]["cases"]),
        "mean_peak": float(ensemble.mean("member").max()),
        "lowest_peak": float(peaks.min()),
        "highest_peak": float(peaks.max()),
        "hour_peak": float(truth.max()),
    }


def _judged(store: Store) -> dict[str, float]:
    task = store.get("front-prior").task
    used, held = in_use(task), held_out(task)
    assert used is not None
    assert held is not None
    found: dict[str, float] = {"used": len(used.names), "held": len(held.names)}
    wanted = {
        "CRPS": "crps",
        "spread/skill": "ratio",
    }
    judges, methods = {"gauges": "gauges", "front/truth": "truth"}, {"front/satellite": "satellite"}
    methods |= {"coordinate_prior": "prior", "kriging": "kriging", "front/reanalysis": "reanalysis"}
    for run in ("front-prior", "front-kriging"):
        for row in scores(store, store.get(run)):
            if row["metric"] in wanted and row["method"] in methods and row["judged by"] in judges:
                name = f"{methods[row['method']]}_{wanted[row['metric']]}_{judges[row['judged by']]}"
                found |= {name: row["value"], f"{name}_low": row["low"], f"{name}_high": row["high"]}
    return found | {"reports": int(np.isfinite(held.values).sum())}


def _unsure(store: Store) -> dict[str, float]:
    """How far members part: in the mean over the window, at its wettest hour, and cell by cell."""
    ensemble = store.ensemble("front-prior").load()
    truth = _window(_field(cases()["front"], "truth"))
    amounts = area_mean(ensemble.values, ensemble.lat.values).sum(axis=1)
    low, high = np.quantile(ensemble.values, [0.05, 0.95], axis=0)
    wet = (truth.values >= 0.1) | (high >= 0.1)
    inside = (truth.values >= low) & (truth.values <= high)
    kriged = area_mean(store.ensemble("front-kriging").load().values, ensemble.lat.values).sum(axis=1)
    return {
        "amount_low": float(amounts.min()),
        "amount_high": float(amounts.max()),
        "kriged_low": float(kriged.min()),
        "kriged_high": float(kriged.max()),
        "amount_truth": float(area_mean(truth.values, truth.lat.values).sum()),
        "inside": 100 * float(inside[wet].mean()),
    }
