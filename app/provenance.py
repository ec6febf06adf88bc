"""Provenance: what is on show, where it comes from, and what it may be judged by, in a few lines.

A layer is told by what its case says of it, a run by the task that made it (`app.told`). These are pairs of a
name and a text, in the words of the page; whoever shows them sets them.
"""

from __future__ import annotations

from app import store
from app.theme import Words
from app.told import facts
from engine.journal import Run
from engine.sources.cases import Case

INDEPENDENT = {"True": "independent_yes", "False": "independent_no"}
Told = list[tuple[str, str]]


def of_layer(case: Case, name: str, say: Words) -> Told:
    """What a case says of one of its layers."""
    about = case.layers.get(name, {})
    role, judged = about.get("role"), INDEPENDENT.get(str(about.get("independent")), "independent_unknown")
    return [
        (say("told_what"), say.layer(name, about)),
        (say("told_role"), say(f"role_{role}") if role else ""),
        (say("told_native"), str(about.get("native") or "")),
        (say("period"), f"{say.period(case.period.start, case.period.end)} · {case.period.interval}"),
        (say("told_independence"), say(judged)),
        *_case(case, say),
    ]


def of_run(run: Run, case: Case, say: Words) -> Told:
    """What made a run."""
    task, parted = run.task, ""
    if task.gauges and (known := store.gauges(case)):
        used, held = task.gauges.split(known.inside(task.domain))
        parted = say("split", used=len(used), held=len(held))
    return [*facts(task, say).items(), ("", parted), (say("told_run"), run.id), *_case(case, say)]


def _case(case: Case, say: Words) -> Told:
    own = str(case.about.get("description", ""))
    text = own if say.language == "en" else say.maybe(f"case_{case.name}_about", own)
    simulated = say("simulated_all") if str(case.about.get("simulated")) == "true" else ""
    licence = str(case.about.get("licence", ""))
    return [(say("simulated"), simulated), (say("told_licence"), licence), (say("case"), text)]
