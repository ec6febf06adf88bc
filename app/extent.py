"""Where and when the next run is: its domain, cells and period, as controls.

The domain is the whole case, or what the map shows of it. Steps are those of the case; where these are longer
than an hour a method may draw the hours between. What was chosen elsewhere, by the task that is shipped for a
method, is shown here.
"""

from __future__ import annotations

from typing import Any

import panel as pn
import panel_material_ui as pmui

from app.controls import FIELD, bind
from app.state import State, stamp
from app.theme import Words
from engine.sources.cases import Case

CELLS = (0.1, 0.25, 0.5)  # degrees
SELECT = {"dropdown_height": 320}


class Extent:
    def __init__(self, state: State, say: Words, case: Case) -> None:
        self.state = state
        whole, own = case.period, case.period.interval
        hours = {f"{say.moment(time)}": stamp(time) for time in (whole.start, *whole.times)}
        first, last = dict(list(hours.items())[:-1]), dict(list(hours.items())[1:])
        area = pmui.RadioButtonGroup(
            options={say("area_case"): "case", say("area_window"): "window"},
            value=state.area,
            size="small",
            sizing_mode="stretch_width",
            margin=(6, 16),
        )
        steps = dict.fromkeys((own, "1h"))
        self.lists = {
            "cell": pmui.Select(label=say("cell"), options={f"{each:g}°": each for each in CELLS}, **FIELD),
            "start": pmui.Select(label=say("start"), options=first, **SELECT, **FIELD),
            "end": pmui.Select(label=say("end"), options=last, **SELECT, **FIELD),
            "every": pmui.Select(label=say("every"), options=list(steps), visible=len(steps) > 1, **FIELD),
        }
        self.follow()
        for choice, widget in self.lists.items():
            bind(state, widget, choice)
        self.lists["start"].margin, self.lists["end"].margin = (8, 4, 4, 16), (8, 16, 4, 4)
        self.lists["cell"].margin = (8, 4, 4, 16) if len(steps) > 1 else FIELD["margin"]
        self.lists["every"].margin = (8, 16, 4, 4)
        self.panel = pn.Column(
            bind(state, area, "area"),
            self._row("cell", "every"),
            self._row("start", "end"),
            sizing_mode="stretch_width",
            margin=0,
        )

    def _row(self, *names: str) -> Any:
        return pn.Row(*(self.lists[name] for name in names), sizing_mode="stretch_width", margin=0)

    def follow(self) -> None:
        cell = self.lists["cell"]
        if self.state.cell not in cell.options.values():
            cell.options = {**cell.options, f"{self.state.cell:g}°": self.state.cell}
        for choice, widget in self.lists.items():
            if (value := getattr(self.state, choice)) and widget.value != value:
                widget.value = value
