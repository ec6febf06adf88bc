"""Readings: what judges a run, and what is judged, at the places of the gauges held out.

The ensemble, the raw backgrounds of its task and, where asked for, other runs are read at these gauges, each
member by itself, so that memory holds one of them at a time. Judges are the reports of the gauges and, in a
simulated case, its truth at the same places. From readings every score and every figure at gauges follows,
for all gauges and hours or for some of them: in the command line and on the page alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import xarray as xr

from engine.diagnostics.scores import at_gauges, jointly
from engine.fields import Observations
from engine.given import cut, held_out, in_use, independent, references
from engine.sources import field_of
from engine.values import Invalid

if TYPE_CHECKING:
    from engine.runs import Run, Store
    from engine.tasks import Task

GAUGES = "gauges"  # the judge that is no source


@dataclass(frozen=True)
class Readings:
    """Ensembles (member, gauge, time), the run's own first, and judges (gauge, time), the gauges first."""

    used: Observations
    held: Observations
    read: Mapping[str, xr.DataArray]
    judges: Mapping[str, xr.DataArray]

    def observed(self, judge: str = GAUGES) -> xr.DataArray:
        """What a judge says where and when all that is judged is known: the very same reports for each."""
        return jointly(self.read, self.judges[judge])

    def part(self, gauges: Sequence[int], hours: Sequence[int]) -> Readings:
        """At some of the gauges and hours, by their place in line; none means all."""
        at = {name: list(places) for name, places in (("gauge", gauges), ("time", hours)) if len(places)}
        if not at:
            return self
        return replace(
            self,
            held=Observations(self.held.rain.isel(at)),
            read={name: each.isel(at) for name, each in self.read.items()},
            judges={name: each.isel(at) for name, each in self.judges.items()},
        )


def gathered(store: Store, run: Run, others: Sequence[Run] = ()) -> Readings:
    """Everything that a judgement of a run needs. Other runs go by their id."""
    task = run.task
    held, used = held_out(task), in_use(task)
    if held is None or used is None or not len(held):
        advice = "set gauges.hold_out: 0.2, or if it was set, another seed or names"
        raise Invalid(f"score: run {run.id} held no gauges out; {advice}")
    read = {task.method: _members(store.ensemble(run.id), held)}
    for name in backgrounds(task):
        raw = cut(name, field_of(name), task.domain, task.period)
        read[name] = at_gauges(raw.expand_dims("member"), held)
    read |= {other.id: _members(store.ensemble(other.id), held) for other in others}
    judges = {name: at_gauges(rain, held) for name, rain in references(task).items()}
    return Readings(used, held, read, {GAUGES: held.rain} | judges)


def _members(ensemble: xr.DataArray, held: Observations) -> xr.DataArray:
    places = range(ensemble.sizes["member"])
    parts = [at_gauges(ensemble.isel(member=[place]), held) for place in places]
    return xr.concat(parts, "member", coords="minimal", compat="override", join="override")


def backgrounds(task: Task) -> list[str]:
    """The raw sources that a run is compared with."""
    return [use.name for use in task.sources if use.role == "background"]


def independence(task: Task, source: str | None = None) -> str:
    """Whether a source, or what was made of all of them, knows nothing of the gauges that judge it."""
    seen = [use for use in task.sources if use.role != "reference" and source in (None, use.name)]
    said = [independent(use) for use in seen]
    return "no" if False in said else "not stated" if None in said else "yes"
