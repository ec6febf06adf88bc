"""What a task gives: the part of its sources that a method may see, and what is kept to judge it.

A source's name in a task means a layer of a case, an archive of the catalogue, or a file, a folder or a
pattern of files (see `engine.sources`). Here it is cut to the task's domain and period; held-out gauges and
references are kept apart; and it is told what a source knows of the gauges.
"""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from engine.fields import Box, Evidence, Observations, Period
from engine.intervals import steady, stepped, stepped_gauges
from engine.sources import digest, field_of, gauges_of, rooted
from engine.sources.cases import Case, locate
from engine.tasks import Task, Use
from engine.values import Invalid


def absolute(task: Task) -> Task:
    """The same task with its files named from the root, so that it means the same in any folder."""
    sources = tuple(replace(use, name=rooted(use.name)) for use in task.sources)
    gauges = replace(task.gauges, source=rooted(task.gauges.source)) if task.gauges else None
    return replace(task, sources=sources, gauges=gauges)


def matching(name: str, rain: xr.DataArray, period: Period) -> None:
    """Refuse a source whose intervals do not make the task's: the mean of three hours says nothing of one."""
    if period.step % steady(rain, f"source {name}"):
        told = f"intervals of {rain.attrs['interval']}, the task of {period.interval}"
        raise Invalid(f"source {name}: speaks of {told}; choose a step that they make")


def covered(name: str, rain: xr.DataArray, period: Period) -> pd.DatetimeIndex:
    """The times of a source that make a period; one line if it lacks any."""
    times, known = replace(period, step=steady(rain, f"source {name}")).times, rain.indexes["time"]
    if absent := sorted(set(times) - set(known)):
        raise Invalid(
            f"source {name}: {len(absent)} of {len(times)} times are missing, the first {absent[0]}; "
            f"it holds {known[0]} to {known[-1]}"
        )
    return times


def cut(name: str, rain: xr.DataArray, box: Box, period: Period) -> xr.DataArray:
    """The part of a field in a period, over a box and two cells around it; missing where it says nothing.
    Finer intervals are brought to those of the period by their mean."""
    matching(name, rain, period)
    part = rain.sel(time=covered(name, rain, period))
    for axis, low, high in (("lat", box.south, box.north), ("lon", box.west, box.east)):
        centres = rain[axis].values
        step = (centres[-1] - centres[0]) / (len(centres) - 1)
        first = math.floor((low - centres[0]) / step) - 2
        last = math.ceil((high - centres[0]) / step) + 2
        inside = range(max(first, 0), min(last, len(centres) - 1) + 1)
        if len(inside) < 2:
            raise Invalid(f"source {name}: does not reach the domain {tuple(box)}; choose another one")
        part = part.isel({axis: list(inside)})
        if centres[0] > low + step / 2 or centres[-1] < high - step / 2:
            part = part.pad({axis: (inside[0] - first, last - inside[-1])}, constant_values=np.nan)
            part = part.assign_coords({axis: centres[0] + step * np.arange(first, last + 1)})
    return stepped(name, part, period)


def past(field: xr.DataArray, period: Period) -> Period:
    """All that a source has, in steps of a period, or in its own where they are longer."""
    times, own = field.indexes["time"], steady(field, str(field.name))
    step = max(own, period.step)
    count = (times[-1] - times[0] + own) // step
    return Period(times[-1] - count * step, times[-1], step)


def evidence(task: Task) -> Evidence:
    """What the method may see. Held-out and ignored gauges, and reference sources, are not in it."""
    fields: dict[str, dict[str, xr.DataArray]] = {}
    for use in task.sources:
        if use.role == "reference":
            matching(use.name, field_of(use.name), task.period)  # told now, not after the run
        else:
            if (found := locate(use.name)) and _role(found, use.name) == "reference":
                raise Invalid(
                    f"source {use.name}: judges its case; name it with role: reference, or not at all"
                )
            whole = field_of(use.name)
            period = past(whole, task.period) if use.role == "history" else task.period
            fields.setdefault(use.role, {})[use.name] = cut(use.name, whole, task.domain, period).load()
    named = [use.name for use in task.sources] + ([task.gauges.source] if task.gauges else [])
    statics: dict[str, xr.DataArray] = {}
    for name in named:
        if found := locate(name):
            statics |= found.statics()
    return Evidence(task.grid, task.period, fields, in_use(task), statics)


def _role(case: Case, name: str) -> Any:
    return case.layers.get(name.partition("/")[2], {}).get("role")


def in_use(task: Task) -> Observations | None:
    """The gauges that the method sees."""
    return _side(task, 0)


def held_out(task: Task) -> Observations | None:
    """The gauges kept from the method, for judging."""
    return _side(task, 1)


def independent(use: Use) -> bool | None:
    """Whether a source knows nothing of the gauges: as the task says, else as the source says of itself
    (a case of its layers, a file by its attribute ``independent``: true, yes, 1 or false, no, 0), else
    unknown.

    A source that was adjusted to gauges may have seen the reports that judge it, or what is made of it.
    """
    if use.independent is not None:
        return use.independent
    if found := locate(use.name):
        said = found.layers.get(use.name.partition("/")[2], {}).get("independent")
    else:
        said = _said(use.name, digest(use.name))
    return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}.get(
        str(said).lower()
    )


@functools.lru_cache(maxsize=256)
def _said(name: str, digest: str) -> Any:
    """What a file says of its independence, read once while it stays the same."""
    return field_of(name).attrs.get("independent")


def references(task: Task) -> dict[str, xr.DataArray]:
    """What may judge a result besides gauges: sources given as references, and a simulated case's truth."""
    names = [use.name for use in task.sources if use.role == "reference"]
    for name in [use.name for use in task.sources] + ([task.gauges.source] if task.gauges else []):
        if found := locate(name):
            kept = [each for each, about in found.layers.items() if about["role"] == "reference"]
            every = [f"{found.name}/{each}" for each in kept]
            names += [each for each in every if not task.period.step % steady(field_of(each), each)]
    return {name: cut(name, field_of(name), task.domain, task.period) for name in dict.fromkeys(names)}


def _side(task: Task, side: int) -> Observations | None:
    if task.gauges is None:
        return None
    inside = gauges_of(task.gauges.source).inside(task.domain)
    matching(task.gauges.source, inside.rain, task.period)
    chosen = inside.select(task.gauges.split(inside)[side])
    chosen = stepped_gauges(task.gauges.source, chosen, task.period).at(task.period.times)
    chosen.rain.attrs.pop("faults", None)  # a simulated network knows which of its gauges lie
    if not side and not np.isfinite(chosen.values).any():
        raise Invalid(f"gauges {task.gauges.source}: none in use reports inside the domain and the period")
    return chosen
