"""Cases of fusion: a small YAML that says which sources and gauges belong together, and how to read them.

```yaml
title: ...
domain: [west, south, east, north]
step: 0.02                      # degrees, of the result
period: {start: ..., end: ..., step: 1h}
truth: front/truth              # optional: a field that judges too, or that is degraded below; of a file
                                # ``cells: 0.05`` takes means over cells of so many degrees
sources:
  radar: {file: folder/name.nc, reader: cf, unit: mm, stamp: start}
  satellite: front/satellite    # a layer of an installed case
  worse: {instrument: satellite, seed: 1, settings: {gaps: 0}}       # the truth, seen badly
gauges: {file: ..., reader: ...}   # or a list of them, or {sites: 200, seed: 3}: the truth at random places
folds: {count: 5, by: gauge, seed: 0}                    # or by: block, block_km: 100; {use: 0.2}: one
                                # run from so many of the gauges, judged at the others
members: 16
settings: {kriging: {threshold: 0.05}}                   # of a method, wherever it is used
methods: [kriging, {method: kriging, sources: [radar], settings: {drift: none}, label: ...}]   # optional
```

A reader is a file of `engine/sources`; what else an entry holds is given to its ``read``, but ``highest``
(mm/h), above which values are missing. Files are looked for beside the YAML, then in the folder of real
files, and may be patterns. Rain is averaged over the period's step. Everything is written as plain CF and
OpenSense files, so that methods read a case as they read any task's sources.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from fusion_sources import Reading

from engine.fields import Box, Observations, Period
from engine.methods import methods, settings_of
from engine.sources import gauges_of, opensense
from engine.tasks import Gauges, Task, entries, names_of
from engine.values import Invalid, brief, number, plain_yaml, whole

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "assets" / "fusion"
KNOWN = ("title", "domain", "step", "period", "truth", "sources", "gauges", "folds", "members")
KNOWN += ("settings", "methods")
NEEDED = ("domain", "step", "period", "sources", "gauges")


@dataclass(frozen=True)
class FusionCase:
    """A case as it was opened: every source by a name that a task can use."""

    name: str
    domain: Box
    step: float
    period: Period
    sources: Mapping[str, str]
    gauges: Observations
    gauges_at: str
    truth: xr.DataArray | None  # that judges beside the gauges
    folds: Mapping[str, Any]
    members: int
    settings: Mapping[str, Any]
    methods: tuple[Any, ...]

    def task(self, method: str, members: int, sources: list[str], held: list[str], settings: dict) -> Task:
        return Task.of(
            {
                "domain": self.domain,
                "step": self.step,
                "period": self.period,
                "method": method,
                "sources": [self.sources[each] for each in sources],
                "gauges": {"source": self.gauges_at, "hold_out": held},
                "members": members,
                "settings": settings,
            }
        )

    def parts(self) -> list[list[str]]:
        """The folds: names of gauges, each once. By gauge they are dealt out in an order drawn by the seed.
        Else shares of one draw lie within each other, so a fold is what a larger share holds out beyond a
        smaller. With ``use`` there is one fold, all but that share."""
        if "use" in self.folds:
            rest = 1 - number("folds.use", self.folds["use"], 0.001, 0.999)
            drawn = Gauges(self.gauges_at, rest, **{k: v for k, v in self.folds.items() if k == "seed"})
            return [drawn.split(self.gauges)[1]]
        count, rest = self.folds["count"], self.gauges.names
        design = {name: value for name, value in self.folds.items() if name != "count"}
        if design.get("by", "gauge") == "gauge":
            drawn = Gauges(self.gauges_at, **design)
            order = np.random.default_rng(drawn.seed).permutation(sorted(rest)).tolist()
            return [part for part in (order[fold::count] for fold in range(count)) if part]
        found = []
        for fold in range(1, count):
            larger = Gauges(self.gauges_at, fold / count, **design)
            kept, _ = larger.split(self.gauges)
            found.append([name for name in rest if name not in set(kept)])
            rest = [name for name in rest if name in set(kept)]
        return [part for part in (*found, rest) if part]


def shipped() -> dict[str, Path]:
    return {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}


def opened(case: str, folder: Path) -> FusionCase:
    """A shipped case by its name or any by its path; what it needs is written to a folder."""
    path = shipped().get(case, Path(case))
    if not path.is_file():
        raise Invalid(f"case: no {case!r}; give the path of a YAML file, or one of {', '.join(shipped())}")
    told = entries("case", plain_yaml(path.read_bytes(), f"case {path}"), KNOWN)
    if lacking := [name for name in NEEDED if name not in told]:
        raise Invalid(f"case {path}: {lacking[0]} is missing")
    if not isinstance(told["sources"], Mapping) or not (told["sources"] or told.get("methods")):
        raise Invalid(f"case {path}: sources: got {brief(told['sources'])}; give at least one, as name: file")
    domain, period = Box.of(told["domain"]), Period(**entries("period", told["period"], names_of(Period)))
    reading = Reading(path.parent, folder, domain, period)
    truth = reading.truth(told.get("truth"))
    sources = {name: reading.source(name, entry, truth) for name, entry in told["sources"].items()}
    from_truth = isinstance(told["gauges"], Mapping) and "sites" in told["gauges"]
    gauges = reading.gauges(told["gauges"], truth)
    opensense.write(folder / "gauges.nc", gauges)
    folds = entries("folds", told.get("folds") or {}, ("count", "by", "block_km", "seed", "use"))
    folds = {"count": 5} | folds
    folds["count"] = whole("folds.count", folds["count"], 2, 20)
    inside = gauges_of(str(folder / "gauges.nc")).inside(domain).at(period.times)
    if folds["count"] > len(inside):
        raise Invalid(f"folds.count: {folds['count']} folds of {len(inside)} gauges; give at most as many")
    return FusionCase(
        name=path.stem,
        domain=domain,
        step=number("step", told["step"]),
        period=period,
        sources=sources,
        gauges=inside,
        gauges_at=str(folder / "gauges.nc"),
        truth=None if truth is None or from_truth else truth,
        folds=folds,
        members=whole("members", told.get("members", 16), 2, 1000),
        settings=settings_of_methods(told.get("settings") or {}),
        methods=tuple(listed("methods", told.get("methods") or [])),
    )


def listed(name: str, given: Any) -> list:
    if not isinstance(given, list):
        raise Invalid(f"{name}: got {brief(given)}; give a list, as [kriging]")
    return given


def settings_of_methods(told: Any) -> dict[str, dict]:
    found = entries("settings", told, tuple(methods()))
    known = {name: tuple(each["name"] for each in settings_of(cls)) for name, cls in methods().items()}
    return {name: entries(f"settings.{name}", each or {}, known[name]) for name, each in found.items()}


def shortened(case: FusionCase) -> FusionCase:
    """The same with few members, over the wettest times in a row."""
    count, times = min(4, len(case.period.times)), case.period.times
    wet = np.nan_to_num(case.gauges.values).sum(0)
    first = int(np.argmax(np.convolve(wet, np.ones(count), "valid")))
    start = times[first] - case.period.step
    period = Period(start, start + count * case.period.step, case.period.step)
    return replace(case, period=period, gauges=case.gauges.at(period.times), members=min(case.members, 8))
