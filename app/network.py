"""What is known of a case's gauges once their reports have been read: for the register, and for the split.

Reading every report takes a moment (checks of quality, correlations), so this happens on a thread of its own
and is kept; distances between gauges are quick and asked for directly.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from app import store
from app.pictures import Shelf
from engine.diagnostics.independence import correlation_length, distances
from engine.fields import Observations, Period
from engine.sources.cases import Case

_worker = ThreadPoolExecutor(1, "network")
_shelf = Shelf(_worker, 32)


@dataclass(frozen=True)
class Facts:
    """Of one gauge, over a period."""

    name: str
    lat: float
    lon: float
    elevation: float  # m; missing if not known
    missing: float  # share of the period without a report
    total: float  # mm that it reported
    flags: tuple[str, ...]  # checks of quality that some report fails


def facts(case: Case, period: Period) -> tuple[list[Facts] | None, Future[Any] | None]:
    """Of every gauge of a case, if known, else a future to wait for."""
    key = ("facts", case.path, case.path.stat().st_mtime_ns, period)
    return _shelf.ask(key, lambda: _facts(case, period))


def _facts(case: Case, period: Period) -> list[Facts]:
    from engine.quality import CHECKS, flags

    found = store.gauges(case)
    if found is None:
        return []
    failed = flags(found).any("time").values  # (flag, gauge)
    inside = found.rain.indexes["time"]
    inside = inside[(inside > period.start) & (inside <= period.end)]
    part = found.at(inside).values
    hours = case.period.step.total_seconds() / 3600
    missing = np.isnan(part).mean(1) if part.shape[1] else np.ones(len(found))
    total = np.nansum(part, axis=1) * hours
    names, high = list(CHECKS), found.elevation
    return [
        Facts(
            name,
            round(float(found.lat[each]), 4),
            round(float(found.lon[each]), 4),
            float(high[each]),
            float(missing[each]),
            float(total[each]),
            tuple(flag for row, flag in enumerate(names) if failed[row, each]),
        )
        for each, name in enumerate(found.names)
    ]


def correlated(case: Case) -> tuple[float | None, Future[Any] | None]:
    """The distance (km) over which reports stay correlated, if known, else a future; NaN: cannot be told."""
    key = ("correlated", case.path, case.path.stat().st_mtime_ns)
    return _shelf.ask(key, lambda: _correlated(case))


def _correlated(case: Case) -> float:
    found = store.gauges(case)
    return correlation_length(found) if found is not None else float("nan")


def links(gauges: Observations, used: Sequence[str], held: Sequence[str]) -> list[tuple[str, str, float]]:
    """Each gauge held out with the nearest in use and how far that is, in km."""
    if not used or not held:
        return []
    row = {name: each for each, name in enumerate(gauges.names)}
    apart = distances(*(_places(gauges, [row[name] for name in part]) for part in (held, used)))
    near = apart.argmin(1)
    return [(name, str(used[near[each]]), float(apart[each, near[each]])) for each, name in enumerate(held)]


def _places(gauges: Observations, rows: list[int]) -> Observations:
    return Observations(gauges.rain.isel(gauge=rows, time=slice(0, 1)))
