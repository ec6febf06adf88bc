"""Quantile delta mapping of zero-heavy rain against xsdba and ibicus: dry share, signal, exactness, time.

A thousand steps of 64 x 64 cells: the observed rain is wet 38.6% of the time; one simulation 65%, another
25%, both with smaller amounts. Each method learns from both and maps the simulated past itself, then the
same past a fifth wetter: no dry value of either should turn wet, so the wet share should be the observed one
every time. The signal is a future in which each quantile tau grows by the factor 1 + 0.4 tau; reported is
the worst error of that factor in the result, over quantiles at which the observed rain is wet.

xsdba is used with its defaults (20 quantiles); with 50, lines between and its frequency adaptation; and with
a thousand and dry values spread over (0, trace), which it offers as a separate step. Seconds are processor
seconds of fit and apply, all taking turns; ``low`` and ``high`` are the extremes of the repetitions, or the
5-95% range of the cells.
"""

from __future__ import annotations

import importlib.metadata
import logging
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

import numpy as np
import xarray as xr

from engine.calibrate import DeltaMapping

TRACE = 0.1  # mm/h
WET, SIMULATED = 0.386, {"too wet": 0.65, "too dry": 0.25}
SHARES = (0.65, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999)

Map = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def run(case: str | None, quick: bool) -> list[dict]:
    shape = (1000, 16, 16) if quick else (1000, 64, 64)
    observed = rain(shape, WET, 3.0, 1)
    absent = [peer for peer in ("xsdba", "ibicus") if find_spec(peer) is None]
    rows: list[dict] = [{"method": peer, "metric": "not installed"} for peer in absent]
    pasts = {about: rain(shape, wet, 1.5, 2) for about, wet in SIMULATED.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the peers
        known = methods()
        for name, mapping in known.items():
            for about, past in pasts.items():
                rows += wet_shares(name, mapping, observed, past, about)
            rows += signal(name, mapping, observed, pasts["too wet"])
        rows += [exactness(), *seconds(known, observed, pasts["too wet"], 3 if quick else 7)]
    return [{"case": f"{shape[0]} x {shape[1]} x {shape[2]}"} | row for row in rows]


def rain(shape: tuple[int, ...], wet: float, scale: float, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.where(random.random(shape) < wet, TRACE + random.gamma(0.7, scale, shape), 0.0)


def methods() -> dict[str, Map]:
    """Ours and the peers that are installed."""
    found: dict[str, Map] = {"delta mapping": ours}
    for package, makers in (("xsdba", xsdba_ways), ("ibicus", ibicus_ways)):
        if find_spec(package) is None:
            continue
        version = importlib.metadata.version(package)
        found |= {f"{package} {version}{way}": mapping for way, mapping in makers().items()}
    return found


def ours(observed: np.ndarray, past: np.ndarray, future: np.ndarray) -> np.ndarray:
    return DeltaMapping.fit(observed, past, trace=TRACE).apply(future)


def xsdba_ways() -> dict[str, Map]:
    return {
        "": partial(by_xsdba, quantiles=20, between="nearest"),
        ", 50 quantiles, adapted": partial(by_xsdba, quantiles=50, between="linear", adapted=True),
        ", spread by hand": partial(by_xsdba, quantiles=1000, between="linear", spread=True),
    }


def by_xsdba(
    observed, past, future, quantiles: int, between: str, spread: bool = False, adapted: bool = False
) -> np.ndarray:
    import xsdba

    def given(values: np.ndarray, begin: str) -> xr.DataArray:
        time = xr.date_range(begin, periods=len(values))
        array = xr.DataArray(values, {"time": time}, ("time", "lat", "lon"), attrs={"units": "mm/h"})
        return xsdba.processing.jitter_under_thresh(array, f"{TRACE} mm/h") if spread else array

    seen, then, now = given(observed, "2001-01-01"), given(past, "2001-01-01"), given(future, "2051-01-01")
    about = {"adapt_freq_thresh": f"{TRACE} mm/h"} if adapted else {}
    law = xsdba.QuantileDeltaMapping.train(seen, then, nquantiles=quantiles, kind="*", group="time", **about)
    return np.asarray(law.adjust(now, interp=between).transpose("time", "lat", "lon"))


def ibicus_ways() -> dict[str, Map]:
    from ibicus.debias import QuantileDeltaMapping

    logging.getLogger("ibicus").setLevel(logging.ERROR)
    law = QuantileDeltaMapping.for_precipitation(
        censoring_threshold=TRACE,
        running_window_mode=False,
        running_window_mode_over_years_of_cm_future=False,
    )
    return {"": lambda *given: law.apply(*(each.copy() for each in given), progressbar=False)}


def wet_shares(name: str, mapping: Map, observed: np.ndarray, past: np.ndarray, kind: str) -> list[dict]:
    rows = []
    for about, future in (("the past", past), ("the past, a fifth wetter", 1.2 * past)):
        off = 100 * ((mapping(observed, past, future) >= TRACE).mean(0) - (observed >= TRACE).mean(0))
        low, high = np.quantile(off, (0.05, 0.95))
        metric = f"{kind}: wet share of {about}, minus the target's"
        rows.append(row(name, metric, off.mean(), low, high, off.size, "points"))
    return rows


def signal(name: str, mapping: Map, observed: np.ndarray, past: np.ndarray) -> list[dict]:
    places = (np.arange(len(past)) + 0.5) / len(past)
    order = past.argsort(0).argsort(0)
    grown = np.sort(mapping(observed, past, past * (1 + 0.4 * places)[order]), 0).mean((1, 2))
    factor, rows = grown / np.maximum(np.sort(observed, 0).mean((1, 2)), TRACE), []
    for about, shares in (("a wet quantile", SHARES), ("a quantile from 0.9 up", SHARES[3:])):
        wrong = [abs(factor[int(share * len(past))] / (1 + 0.4 * share) - 1) for share in shares]
        metric = f"signal, worst error of {about}"
        rows.append(row(name, metric, 100 * max(wrong), n=len(shares), unit="%"))
    return rows


def exactness() -> dict:
    """Against the formula, written one value at a time."""
    random = np.random.default_rng(3)
    observed, past, x = (random.gamma(2, 3, size) for size in (501, 733, 397))
    x[5] = x[9]  # a tie

    def quantile(values: np.ndarray, share: float) -> float:
        ordered = sorted(values)
        place = min(max(share * len(ordered) - 0.5, 0), len(ordered) - 1)
        low = min(int(place), len(ordered) - 2)
        return ordered[low] + (ordered[low + 1] - ordered[low]) * (place - low)

    wanted = []
    for value in x:
        share = (sum(other < value for other in x) + sum(other == value for other in x) / 2) / len(x)
        wanted.append(quantile(observed, share) * value / quantile(past, share))
    found = DeltaMapping.fit(observed[:, None], past[:, None]).apply(x[:, None])[:, 0]
    worst = float(np.abs(found / np.array(wanted) - 1).max())
    return row("delta mapping", "worst difference from a plain loop", worst, n=len(x))


def seconds(known: dict[str, Map], observed: np.ndarray, past: np.ndarray, repeats: int) -> list[dict]:
    """Fit and apply. Each has run before, so that what a peer compiles is compiled."""
    future, taken = 1.1 * past, {name: [] for name in known}
    for _ in range(repeats):
        for name, mapping in known.items():
            taken[name].append(timed(mapping, observed, past, future))
    rows, own = [], np.array(taken["delta mapping"])
    for name, spent in taken.items():
        middle, ratios = np.median(spent), own / np.array(spent)
        rows.append(row(name, "processor seconds", middle, min(spent), max(spent), repeats, "s"))
        if name != "delta mapping":
            about = f"processor seconds / those of {name}"
            low, high = ratios.min(), ratios.max()
            rows.append(row("delta mapping", about, np.median(ratios), low, high, repeats))
    return rows


def timed(mapping: Map, *given: np.ndarray) -> float:
    begun = time.process_time()
    mapping(*given)
    return time.process_time() - begun


def row(method: str, metric: str, value, low=None, high=None, n: int = 1, unit: str = "1") -> dict:
    bounds = {key: None if each is None else float(each) for key, each in (("low", low), ("high", high))}
    return {"method": method, "metric": metric, "value": float(value), **bounds, "n": int(n), "unit": unit}
