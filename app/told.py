"""A task in words: what was asked for, entry by entry, for a person who reads or compares."""

from __future__ import annotations

from collections.abc import Sequence

from app.controls import plain
from app.theme import Words
from engine.methods import methods, settings_of
from engine.sources.cases import locate
from engine.tasks import Gauges, Task

DRAWN = {"gauge": "drawn_by_gauge", "block": "drawn_by_block", "elevation": "drawn_by_elevation"}


def titled(task: Task, say: Words) -> str:
    """What a task is called: by its own title, else by its method."""
    return task.title or say.method(task.method, methods().get(task.method))


def facts(task: Task, say: Words) -> dict[str, str]:
    """Every entry of a task by its label, the settings that were left as they are included."""
    rows, columns = task.grid.shape
    place = (
        f"{say.place(task.domain.south, task.domain.west)} – {say.place(task.domain.north, task.domain.east)}"
    )
    told = {
        say("method"): say.method(task.method, methods().get(task.method)),
        say("domain"): place,
        say("cell"): f"{task.step:g}° ({rows} × {columns})",
        say("period"): say.period(task.period.start, task.period.end),
        say("every"): task.period.interval,
    }
    for role in dict.fromkeys(use.role for use in task.sources):
        told[say(f"role_{role}")] = ", ".join(
            source(use.name, say) for use in task.sources if use.role == role
        )
    told[say("gauges")] = gauges(task.gauges, say) if task.gauges else say("no_gauges")
    told |= {say("members"): f"{task.members}", say("seed"): f"{task.seed}"}
    return told | settings(task, say)


def settings(task: Task, say: Words) -> dict[str, str]:
    cls = methods().get(task.method)
    known = {each["name"]: each["default"] for each in settings_of(cls)} if cls else {}
    shown = {}
    for name, value in {**known, **task.settings}.items():
        told = say("yes" if value else "no") if isinstance(value, bool) else f"{value}"
        if isinstance(value, float):
            told = f"{value:g}"
        shown[say.maybe(f"setting_{name}", plain(name))] = say.maybe(f"choice_{value}", told)
    return shown


def source(name: str, say: Words) -> str:
    """A source's title with its name."""
    found, layer = locate(name), name.partition("/")[2]
    if found is None or layer not in found.layers:
        return name
    return f"{say.layer(layer, found.layers[layer])} ({name})"


def gauges(about: Gauges, say: Words) -> str:
    if isinstance(about.hold_out, tuple):
        how = say("held_by_hand", n=len(about.hold_out))
    else:
        how = say(DRAWN[about.by], share=f"{about.hold_out:.0%}", km=f"{about.block_km:g}", seed=about.seed)
    ignored = say("gauges_ignored", n=len(about.ignore)) if about.ignore else ""
    return ", ".join(each for each in (source(about.source, say), how, ignored) if each)


def differing(tasks: Sequence[Task], say: Words) -> dict[str, list[str]]:
    """By label, the entries in which tasks differ; a dash where one has no such entry."""
    told = [facts(task, say) for task in tasks]
    labels = list(dict.fromkeys(label for each in told for label in each))
    table = {label: [each.get(label, "–") for each in told] for label in labels}
    return {label: values for label, values in table.items() if len(set(values)) > 1}
