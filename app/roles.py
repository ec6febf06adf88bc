"""What the next run sees: layers of the case, chosen by the role that they have for its method.

A method says which roles it needs and which it can use; only these are offered, each with the layers that may
have it. A simulation and its history are both fields of rain, so they are chosen from the same ones. What a
method sees is its own choice, and begins as the task that is shipped for it has it, if that is of this case.

Estimates of the rain are cards: their own resolution, how much of the period they cover, and whether they
know nothing of the gauges, without which a judgement at gauges is worth little.
"""

from __future__ import annotations

from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui
import param

from app import store
from app.pictures import Series, Shown
from app.state import ROLES, State, stamp
from app.theme import sheet
from app.views import View
from engine.methods import methods
from engine.sources.cases import Case
from engine.tasks import Task
from engine.values import Invalid

OFFERED = {"background": "background", "predictor": "predictor", "history": "background"}
TASKS = Path(__file__).resolve().parents[1] / "assets" / "tasks"
WHOLE_CHIPS = {
    "& .MuiChip-root": {"height": "auto", "maxWidth": "100%"},
    "& .MuiChip-label": {"whiteSpace": "normal", "paddingTop": "3px", "paddingBottom": "3px"},
    "& .MuiSelect-select, & .MuiSelect-select > div": {
        "flexWrap": "wrap",
        "whiteSpace": "normal",
        "height": "auto",
    },
}
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
    """When a method is first chosen: what it sees, its settings, and where and when, as in the task that is
    shipped for it. A domain of one's own is kept; the period too, if the method takes its steps."""
    mine = (case.name, state.method)
    if mine in state.uses:
        return
    before = [uses for (name, _), uses in state.uses.items() if name == case.name]
    task = example(case.name, state.method)
    if task is None:
        wanted = [role for role in state.roles if role in ("background", *methods()[state.method].needs)]
        last = before[-1] if before else {}
        uses = {role: last.get(role) or offered(case, role)[:1] for role in wanted}
        state.uses = {**state.uses, mine: uses}
        return
    uses = {role: [_layer(use.name) for use in task.sources if use.role == role] for role in ROLES}
    own = {**task.settings, **state.settings.get(state.method, {})}
    state.param.update(
        settings={**state.settings, state.method: own},
        **_extent(state, case, task, first=not before),
        uses={**state.uses, mine: uses},
    )


def _extent(state: State, case: Case, task: Task, *, first: bool) -> dict[str, Any]:
    """Where and when a shipped task is, as far as this is taken over."""
    shipped = {tuple(each.domain) for each in _shipped()}
    drawn = state.area == "window" or (state.area == "drawn" and (first or state.drawn not in shipped))
    if not first and drawn and task.period.interval == (state.every or case.period.interval):
        return {}
    told: dict[str, Any] = {"cell": task.step, "every": task.period.interval}
    told |= {"start": stamp(task.period.start), "end": stamp(task.period.end)}
    if not drawn:
        whole = task.domain == case.box
        told |= {"area": "case"} if whole else {"area": "drawn", "drawn": tuple(task.domain)}
    return told


def _layer(name: str) -> str:
    return name.partition("/")[2]


class Cards(pn.viewable.Viewer):
    """Layers to tick, each with what one has to know of it."""

    value = param.List(default=[])
    visible = param.Boolean(default=True)

    def __init__(self, view: View, case: Case, names: list[str]) -> None:
        super().__init__()
        self.view, self.case, self._showing = view, case, False
        self.ticks, self.told = {}, {}
        for name in names:
            title = view.say.layer(name, case.layers[name])
            self.ticks[name] = pmui.Checkbox(label=title, size="small", margin=(2, 0, 0, 0))
            self.told[name] = pn.pane.HTML(stylesheets=[sheet("source")], margin=(0, 0, 4, 30))
            self.ticks[name].param.watch(lambda _: self._ticked(), "value")
        rows = [each for name in names for each in (self.ticks[name], self.told[name])]
        self._panel = pn.Column(*rows, margin=(0, 16), sizing_mode="stretch_width")
        self.param.watch(lambda _: self._show(), ["value", "visible"])
        self.tell()

    def __panel__(self) -> Any:
        return self._panel

    def _ticked(self) -> None:
        if not self._showing:
            ticked = [name for name, tick in self.ticks.items() if tick.value]
            kept = [name for name in self.value if name in ticked]
            self.value = kept + [name for name in ticked if name not in kept]

    def _show(self) -> None:
        self._panel.visible, self._showing = self.visible, True
        for name, tick in self.ticks.items():
            tick.value = name in self.value
        self._showing = False

    def tell(self) -> None:
        """What is known of each now."""
        for name, pane in self.told.items():
            pane.object = self._told(name)

    def _told(self, name: str) -> str:
        say, about = self.view.say, self.case.layers[name]
        chips = [f"<span>{escape(str(about.get('native') or ''))}</span>"]
        series, wait = store.series(Shown(self.case.name, name))
        if wait is not None:
            self.view.after([wait], self.tell)
        if series is not None and (share := _covered(series, self.view.state, self.case)) is not None:
            chips.append(f"<span>{escape(say('covers', share=f'{100 * share:.0f}'))}</span>")
        independent = {"true": "independent", "false": "dependent"}.get(str(about.get("independent")).lower())
        if independent and store.gauge_layer(self.case):
            why = escape(say(f"about_{independent}"))
            chips.append(f'<i class="{independent}" title="{why}">{escape(say(independent))}</i>')
        licence = about.get("licence") or self.case.about.get("licence") or ""
        hint = escape(say("licence", licence=licence)) if licence else ""
        return f'<p title="{hint}">{"".join(chips)}</p>'


def _covered(series: Series, state: State, case: Case) -> float | None:
    """The share of the hours of the period, in the case's own steps, that a source has."""
    try:
        period = state.hours(case.period)
    except Invalid:
        return None
    wanted = case.period.times
    wanted = wanted[(wanted > period.start) & (wanted <= period.end)]
    there = series.times[np.isfinite(series.mean)]
    return float(wanted.isin(there).mean()) if len(wanted) else None


class Roles:
    """A list for each role; what the method does not take is hidden, and kept."""

    def __init__(self, view: View, case: Case) -> None:
        self.state = view.state
        self.lists = {role: self._list(role, view, case) for role in ROLES if offered(case, role)}
        self.panel = pn.Column(*self.lists.values(), sizing_mode="stretch_width", margin=0)
        self.follow()

    def _list(self, role: str, view: View, case: Case) -> Any:
        names, say = offered(case, role), view.say
        if role == "background" and len(names) <= FEW:
            widget: Any = Cards(view, case, names)
        else:
            widget = pmui.MultiChoice(
                label=say(f"role_{role}"),
                options={say.layer(name, case.layers[name]): name for name in names},
                variant="outlined",
                sizing_mode="stretch_width",
                margin=(8, 16, 4, 16),
                sx=WHOLE_CHIPS,
            )
        widget.param.watch(lambda event: self._chosen(role, event.new), "value")
        return widget

    def _chosen(self, role: str, names: list[str]) -> None:
        if list(names) != list(self.state.used.get(role, [])):
            self.state.use(role, names)

    def follow(self) -> None:
        """What was chosen elsewhere."""
        taken = self.state.roles
        for role, widget in self.lists.items():
            widget.visible = role in taken
            if list(widget.value) != (names := self.state.used.get(role, [])):
                widget.value = list(names)
            if isinstance(widget, Cards):
                widget.tell()
