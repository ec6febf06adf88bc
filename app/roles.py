"""What the next run sees: layers of the case, chosen by the role that they have for its method.

A method says which roles it needs and which it can use; only these are offered, each with the layers that may
have it. A simulation and its history are both fields of rain, so they are chosen from the same ones. What a
method sees is its own choice, and begins as the task that is shipped for it has it, if that is of this case.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui

from app.state import ROLES, State, stamp
from app.theme import Words
from engine.methods import methods
from engine.sources.cases import Case
from engine.tasks import Task

OFFERED = {"background": "background", "predictor": "predictor", "history": "background"}
TASKS = Path(__file__).resolve().parents[1] / "assets" / "tasks"
FEW = 6  # layers that are shown as a list to tick, not as one to search


def offered(case: Case, role: str) -> list[str]:
    """The layers of a case that may have a role."""
    fields = {name: about for name, about in case.layers.items() if about["kind"] == "field"}
    return [name for name, about in fields.items() if about["role"] == OFFERED[role]]


@cache
def _shipped() -> list[Task]:
    return [Task.of_yaml(path.read_text()) for path in sorted(TASKS.glob("*.yaml"))]


def example(case: str, method: str) -> Task | None:
    """The task that is shipped for a method, of this case alone."""
    for task in _shipped():
        if task.method == method and all(use.name.startswith(f"{case}/") for use in task.sources):
            return task
    return None


def complete(state: State, case: Case) -> None:
    """When a method is first chosen: what it sees and its settings, as in the task that is shipped for it.

    Cells and period are left as they are, unless this is the first method or it wants other steps.
    """
    mine = (case.name, state.method)
    if mine in state.uses:
        return
    before = [uses for (name, _), uses in state.uses.items() if name == case.name]
    task, every = example(case.name, state.method), state.every or case.period.interval
    if task is None:
        wanted = [role for role in state.roles if role in ("background", *methods()[state.method].needs)]
        last = before[-1] if before else {}
        uses = {role: last.get(role) or offered(case, role)[:1] for role in wanted}
        state.uses = {**state.uses, mine: uses}
        return
    uses = {role: [_layer(use.name) for use in task.sources if use.role == role] for role in ROLES}
    own = {**task.settings, **state.settings.get(state.method, {})}
    extent = {"cell": task.step, "every": task.period.interval}
    extent |= {"start": stamp(task.period.start), "end": stamp(task.period.end)}
    state.param.update(
        settings={**state.settings, state.method: own},
        **(extent if not before or task.period.interval != every else {}),
        uses={**state.uses, mine: uses},
    )


def _layer(name: str) -> str:
    return name.partition("/")[2]


class Roles:
    """A list for each role; what the method does not take is hidden, and kept."""

    def __init__(self, state: State, say: Words, case: Case) -> None:
        self.state = state
        self.lists = {role: self._list(role, say, case) for role in ROLES if offered(case, role)}
        self.panel = pn.Column(*self.lists.values(), sizing_mode="stretch_width", margin=0)
        self.follow()

    def _list(self, role: str, say: Words, case: Case) -> Any:
        options = {say.layer(name, case.layers[name]): name for name in offered(case, role)}
        about: Mapping[str, Any] = {"options": options, "sizing_mode": "stretch_width"}
        if role == "background" and len(options) <= FEW:
            widget = pmui.CheckBoxGroup(margin=(2, 16), size="small", **about)
        else:
            widget = pmui.MultiChoice(
                label=say(f"role_{role}"), variant="outlined", margin=(8, 16, 4, 16), **about
            )
        widget.param.watch(lambda event: self._chosen(role, event.new), "value")
        return widget

    def _chosen(self, role: str, names: list[str]) -> None:
        self.state.use(role, names)

    def follow(self) -> None:
        """What was chosen elsewhere."""
        taken = self.state.roles
        for role, widget in self.lists.items():
            widget.visible = role in taken
            if list(widget.value) != (names := self.state.used.get(role, [])):
                widget.value = list(names)
