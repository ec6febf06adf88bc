"""Cross-validated fusion at gauges: every method, the same gauges and hours, one run.

The gauges of a case are parted into folds. Each method makes its ensemble once for every fold, from the
other folds' gauges, and is read at the fold's own: so every gauge is predicted once by a map that never saw
it. Then all are judged by the reports where *all* of them, the raw sources included, are known.

    CRPS, MAE of the mean, bias of the mean, RMSE of the mean, spread/skill       as `rainloom score` has them
    MAE of the median            what a single best map is worth
    CRPS minus that of raw X     below zero is better, of pairs
    MAE of the median minus that of raw X                                        the same for the median
    gauges better than raw X     share of the gauges whose CRPS differs by 0.01 mm/h
    gauges significantly better  share of those that can tell (see `engine.diagnostics.paired`)

X is the method's own first source, or the case's. Intervals are 95%, of blocks drawn anew (spans of time, or
tiles where the hours are few; shares of gauges, tiles: see `engine.diagnostics.blocks`). A case is a
shipped name or the path of a YAML file, which `scripts/fusion_case.py` explains; without one, the simulated
front. ``--quick`` makes the first two folds, over the four wettest times in a row, with eight members.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from fusion_case import FusionCase, listed, opened, shortened

from engine.diagnostics.blocks import districts, share
from engine.diagnostics.paired import paired
from engine.diagnostics.scores import at_gauges, card
from engine.diagnostics.tally import crps, tally
from engine.fields import Observations
from engine.given import cut
from engine.methods import method, methods
from engine.sources import field_of
from engine.tasks import entries
from engine.values import Invalid, brief

CARD = ("CRPS", "MAE of the mean", "bias of the mean", "RMSE of the mean", "spread/skill")
TIE = 0.01  # mm/h of mean CRPS, below which no gauge can tell two maps apart
QUICK_FOLDS = 2


@dataclass(frozen=True)
class Entry:
    """A method as it takes part: what it is called, what it sees and its settings."""

    label: str
    method: str
    sources: tuple[str, ...]
    settings: Mapping[str, Any]


def run(case: str | None, quick: bool) -> list[dict]:
    with tempfile.TemporaryDirectory() as folder:
        try:
            return _run(case or "front", Path(folder), quick)
        except Invalid as refused:  # of files written there the name is enough
            raise Invalid(str(refused).replace(f"{folder}/", "")) from None


def _run(case: str, folder: Path, quick: bool) -> list[dict]:
    whole = opened(case, folder)
    parts = whole.parts()
    if quick:
        whole, parts = shortened(whole), parts[:QUICK_FOLDS]
    wanted = asked(whole)
    read, observed = predicted(whole, wanted, parts)
    first = {entry.label: (*entry.sources, *whole.sources)[:1] for entry in wanted}
    raws = {label: f"raw {name}" for label, names in first.items() for name in names}
    rows = scored(whole.name, read, observed, raws)
    if whole.truth is not None:
        judge = at_gauges(whole.truth, Observations(observed))
        rows += scored(f"{whole.name}, by its truth", read, judge, raws)
    return rows


def shown(rows: list[dict]) -> list[dict]:
    """For reading: a row a method, a column a metric, with its interval."""
    table: dict[tuple[str, str], dict] = {}
    for row in rows:
        about = {"case": row["case"], "method": row["method"]}
        one = table.setdefault((row["case"], row["method"]), about)
        known = row["low"] is not None and row["low"] == row["low"]
        text = "{value:.3f} [{low:.3f}, {high:.3f}]" if known else "{value:.3f}"
        one[row["metric"]] = text.format(**row)
    return list(table.values())


def asked(case: FusionCase) -> list[Entry]:
    """The methods that the case names, or every reference that there is."""
    found = [_entry(case, each) for each in case.methods] or list(_references(case))
    labels = [each.label for each in found]
    if twice := {label for label in labels if labels.count(label) > 1}:
        raise Invalid(f"methods: {sorted(twice)[0]!r} stands twice; give each a label")
    for each in found:
        task = case.task(each.method, 1, list(each.sources), [], {})
        method(each.method, each.settings).accept(task)
    return found


def _references(case: FusionCase) -> Iterator[Entry]:
    def entry(name: str, about: str, sources: tuple[str, ...], **settings: Any) -> Entry:
        told = f"{name}, {about}" if about else name
        return Entry(told, name, sources, {**case.settings.get(name, {}), **settings})

    yield entry("interpolation", "gauges alone", (), gauges="alone")
    yield entry("kriging", "gauges alone", (), drift="none")
    for source in case.sources:
        yield entry("quantile_mapping", source, (source,))
        for form in ("mean field", "additive", "multiplicative", "mixed"):
            yield entry("adjustment", f"{source}, {form}", (source,), form=form)
        for gauges in ("added", "ratio"):
            yield entry("interpolation", f"{source}, {gauges}", (source,), gauges=gauges)
        yield entry("kriging", f"{source} as drift", (source,))
    if len(case.sources) > 1:
        yield entry("kriging", "all sources as drift", tuple(case.sources))


def _entry(case: FusionCase, told: Any) -> Entry:
    whole = {"method": told} if isinstance(told, str) else told
    given = entries("methods", whole, ("method", "label", "sources", "settings"))
    name = str(given.get("method"))
    if name not in methods():
        raise Invalid(f"methods.method: got {brief(name)}; give one of {', '.join(methods())}")
    told_sources = given.get("sources")
    sources = tuple(case.sources if told_sources is None else listed("methods.sources", told_sources))
    if strange := [each for each in sources if each not in case.sources]:
        raise Invalid(f"methods.sources: no {strange[0]!r} in the case; it has {', '.join(case.sources)}")
    label = given.get("label") or ", ".join((name, *sources))
    return Entry(label, name, sources, {**case.settings.get(name, {}), **(given.get("settings") or {})})


def predicted(
    case: FusionCase, wanted: list[Entry], parts: list[list[str]]
) -> tuple[dict[str, xr.DataArray], xr.DataArray]:
    """What each makes of the gauges it did not see (member, gauge, time), and their reports."""
    judges = Observations(case.gauges.rain.sel(gauge=[name for part in parts for name in part]))
    read = {}
    for name, source in case.sources.items():
        field = cut(source, field_of(source), case.domain, case.period)
        read[f"raw {name}"] = at_gauges(field.expand_dims("member"), judges)
    for entry in wanted:
        read[entry.label] = xr.concat([fold(case, entry, part) for part in parts], "gauge")
    return read, judges.rain


def fold(case: FusionCase, entry: Entry, held: list[str]) -> xr.DataArray:
    """One method without some gauges, read at these."""
    made = method(entry.method, entry.settings)
    members = min(case.members, made.most_members)
    task = case.task(entry.method, members, list(entry.sources), held, dict(entry.settings))
    places = case.gauges.select(held)
    found = [
        at_gauges(snapshot.members, places)
        for snapshot in made.run(task, task.seed, range(members))
        if snapshot.members is not None
    ]
    return xr.concat(found, "member").sortby("member")


def scored(
    name: str, read: Mapping[str, xr.DataArray], observed: xr.DataArray, raws: Mapping[str, str]
) -> list[dict]:
    """Rows, metric by metric, so that methods stand below each other."""
    for each in read.values():
        observed = observed.where(each.notnull().all("member"))
    rows = [
        {"case": name, "method": label, **row}
        for label, values in read.items()
        for row in (*_card(values, observed), *_pairs(values, read, raws.get(label), observed))
    ]
    order = list(dict.fromkeys((*CARD, *(row["metric"] for row in rows))))
    return sorted(rows, key=lambda row: order.index(row["metric"]))


def _card(values: xr.DataArray, observed: xr.DataArray) -> Iterator[Mapping[str, Any]]:
    yield from (row for row in card(tally(values, observed, ())).rows if row["metric"] in CARD)
    first = card(tally(_median(values), observed, ())).rows[0]
    yield {**first, "metric": "MAE of the median"}


def _pairs(
    values: xr.DataArray, read: Mapping[str, xr.DataArray], raw: str | None, observed: xr.DataArray
) -> Iterator[Mapping[str, Any]]:
    if raw is None:
        return
    table = {row["metric"]: row for row in paired(values, read[raw], observed).rows}
    yield {**table["CRPS difference"], "metric": f"CRPS minus that of {raw}"}
    medians = paired(_median(values), read[raw], observed).rows
    yield {**medians[0], "metric": f"MAE of the median minus that of {raw}"}
    share = _better(values, read[raw], observed)
    yield {"metric": f"gauges better than {raw}", "unit": "1", **share}
    if table["gauges significantly better"]["n"]:
        yield {**table["gauges significantly better"], "metric": f"gauges significantly better than {raw}"}


def _median(values: xr.DataArray) -> xr.DataArray:
    return values.median("member").expand_dims("member")


def _better(values: xr.DataArray, raw: xr.DataArray, observed: xr.DataArray) -> dict:
    """Among the gauges whose mean CRPS differs, the share where the first is better."""
    told = observed.transpose("gauge", "time").values
    known = np.isfinite(told)
    sums = []
    for each in (values, raw):
        found = np.zeros(told.shape)
        found[known] = crps(each.transpose("member", "gauge", "time").values[:, known], told[known])
        sums.append(found.sum(1) / np.maximum(known.sum(1), 1))
    gap = sums[0] - sums[1]
    differs = np.abs(gap) >= TIE
    value, low, high = share(gap < 0, differs, districts(observed))
    return {"value": value, "low": low, "high": high, "n": int(differs.sum())}
