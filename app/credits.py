"""Whose rain it is: what every source of a task is, under which licence, and what it knows of gauges."""

from __future__ import annotations

from dataclasses import dataclass

from engine.catalogue import known
from engine.given import independent
from engine.sources.cases import locate
from engine.tasks import Task, Use


@dataclass(frozen=True)
class Credit:
    """One source. ``seen`` is whether the method saw it, ``role`` is empty for gauges."""

    name: str
    title: str
    role: str
    native: str
    licence: str
    description: str
    simulated: bool
    independent: bool | None
    seen: bool


def credits(task: Task) -> list[Credit]:
    """Every source of a task, the gauges last."""
    listed = [_credit(use, use.role) for use in task.sources]
    return listed + ([_credit(Use(task.gauges.source), "")] if task.gauges else [])


def _credit(use: Use, role: str) -> Credit:
    found, layer = locate(use.name), use.name.partition("/")[2]
    seen = role not in ("", "reference")
    if found is None:
        entry = known().get(use.name)
        title, licence = (entry.title, entry.licence) if entry else ("", "")
        return Credit(use.name, title, role, "", licence, "", False, _independent(use, role), seen)
    about = found.layers.get(layer, {})
    return Credit(
        use.name,
        str(about.get("title") or layer),
        role,
        str(about.get("native") or ""),
        str(about.get("licence") or found.about.get("licence", "")),
        str(found.about.get("description", "")),
        str(found.about.get("simulated", "")).lower() == "true",
        _independent(use, role),
        seen,
    )


def _independent(use: Use, role: str) -> bool | None:
    return independent(use) if role else True
