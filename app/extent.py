"""Where and when the next run is: its domain, cells and period, as controls.

The domain is the whole case, what the map shows of it, or a box that was drawn on the map or typed; the task
that is shipped for a method may have one of its own. Steps are those of the case; where these are longer than
an hour a method may draw the hours between. What was chosen elsewhere is shown here.
"""

from __future__ import annotations

from html import escape
from typing import Any

import panel as pn
import panel_material_ui as pmui

from app import roles
from app.controls import FIELD, bind
from app.state import State, stamp
from app.theme import Words, sheet
from engine.fields import Box, Grid
from engine.sources.cases import Case
from engine.values import Invalid

CELLS = (0.1, 0.25, 0.5)  # degrees
SELECT = {"dropdown_height": 320}
OWN = "own"  # the domain of the task that is shipped for the method
DAYS = {0: "days_utc", 12: "days_evening", 16: "days_beijing"}  # by the hour of UTC at which they begin


class Extent:
    def __init__(self, state: State, say: Words, case: Case) -> None:
        self.state, self.say, self.case = state, say, case
        self._refused = ""
        self.panel = pn.Column(
            *self._domain(),
            *self._period(),
            sizing_mode="stretch_width",
            margin=0,
        )
        self.follow()

    def _domain(self) -> list[Any]:
        say = self.say
        self.area = pmui.RadioButtonGroup(
            options={say("area_case"): "case"},
            value="case",
            size="small",
            sizing_mode="stretch_width",
            margin=(6, 16, 2, 16),
        )
        self.area.param.watch(lambda event: self._preset(event.new), "value")
        self.bounds = pmui.TextInput(label=say("bounds"), description=say("about_bounds"), **FIELD)
        self.bounds.margin = (12, 2, 4, 16)
        self.bounds.param.watch(lambda event: self._typed(event.new), "value")
        self.pen = pmui.ToggleIcon(
            icon="highlight_alt",
            active_icon="highlight_alt",
            value=False,
            description=say("draw"),
            margin=(8, 10, 0, 0),
            align="center",
        )
        self.pen.param.watch(lambda event: self._pen(event.new), "value")
        self.told = pn.pane.HTML(
            stylesheets=[sheet("cost")], margin=(0, 16, 4, 16), sizing_mode="stretch_width"
        )
        return [self.area, pn.Row(self.bounds, self.pen, sizing_mode="stretch_width", margin=0), self.told]

    def _period(self) -> list[Any]:
        say, case = self.say, self.case
        whole, own = case.period, case.period.interval
        hours = {f"{say.moment(time)}": stamp(time) for time in (whole.start, *whole.times)}
        zone = say.zone_name(whole.start)
        first, last = dict(list(hours.items())[:-1]), dict(list(hours.items())[1:])
        steps = dict.fromkeys((own, "1h"))
        self.lists = {
            "cell": pmui.Select(label=say("cell"), options={f"{each:g}°": each for each in CELLS}, **FIELD),
            "start": pmui.Select(label=say("start", zone=zone), options=first, **SELECT, **FIELD),
            "end": pmui.Select(label=say("end", zone=zone), options=last, **SELECT, **FIELD),
            "every": pmui.Select(label=say("every"), options=list(steps), visible=len(steps) > 1, **FIELD),
        }
        self._follow_lists()
        for choice, widget in self.lists.items():
            bind(self.state, widget, choice)
        self.lists["start"].margin, self.lists["end"].margin = (8, 4, 4, 16), (8, 16, 4, 4)
        self.lists["cell"].margin = (8, 4, 4, 16) if len(steps) > 1 else FIELD["margin"]
        self.lists["every"].margin = (8, 16, 4, 4)
        self.days = pn.pane.HTML(stylesheets=[sheet("cost")], margin=(0, 16), sizing_mode="stretch_width")
        return [self._row("cell", "every"), self._row("start", "end"), self.days]

    def _row(self, *names: str) -> Any:
        return pn.Row(*(self.lists[name] for name in names), sizing_mode="stretch_width", margin=0)

    # What was chosen here

    @property
    def own(self) -> Box | None:
        """The domain of the task that is shipped for the method, if it is not the whole case."""
        task = roles.example(self.case.name, self.state.method)
        return task.domain if task and task.domain != self.case.box else None

    def _preset(self, chosen: str | None) -> None:
        state = self.state
        if chosen is None or chosen == self._shown:
            return
        if chosen == OWN and self.own:
            state.param.update(area="drawn", drawn=tuple(self.own))
        elif chosen == "drawn" and (state.drawn is None or state.drawn == tuple(self.own or ())):
            state.drag = "domain"
        else:
            state.area = chosen
        self.follow()

    def _typed(self, text: str) -> None:
        if text == self._spelled:
            return
        try:
            box = Box.of(text)
            kept = State(area="drawn", drawn=tuple(box), cell=self.state.cell).domain(self.case.box)
        except Invalid as problem:
            self._refused = str(problem)
        else:
            self._refused = ""
            self.state.param.update(area="drawn", drawn=tuple(kept))
        self.follow()

    def _pen(self, taken: bool) -> None:
        if taken != (self.state.drag == "domain"):
            self.state.drag = "domain" if taken else ""

    # What is chosen

    @property
    def _shown(self) -> str:
        """The preset that the domain is."""
        state = self.state
        if state.area != "drawn":
            return state.area
        return {tuple(self.case.box): "case", tuple(self.own or ()): OWN}.get(state.drawn or (), "drawn")

    @property
    def _spelled(self) -> str:
        try:
            return " ".join(f"{each:.6g}" for each in self.state.domain(self.case.box))
        except Invalid:
            return ""

    def changed(self) -> None:
        """The extent was changed elsewhere: what was typed wrongly before is no matter any more."""
        self._refused = ""
        self.follow()

    def follow(self) -> None:
        say = self.say
        names = ["case", "window", "drawn", *([OWN] if self.own else [])]
        options = {say(f"area_{name}"): name for name in names}
        if self.area.options != options:
            self.area.options = options
        if self.area.value != self._shown:
            self.area.value = self._shown
        self.pen.value = self.state.drag == "domain"
        if not self._refused and self.bounds.value != self._spelled:
            self.bounds.value = self._spelled
        self.told.object = self._told()
        self.days.object = self._days()
        self._follow_lists()

    def _follow_lists(self) -> None:
        cell = self.lists["cell"]
        if self.state.cell not in cell.options.values():
            cell.options = {**cell.options, f"{self.state.cell:g}°": self.state.cell}
        for choice, widget in self.lists.items():
            if (value := getattr(self.state, choice)) and widget.value != value:
                widget.value = value

    def _told(self) -> str:
        if self._refused:
            return f"<u>{escape(self._refused)}</u>"
        if self.state.drag == "domain":
            return f"<b>{escape(self.say('drawing'))}</b>"
        try:
            grid = Grid(self.state.domain(self.case.box), self.state.cell)
        except Invalid as problem:
            return f"<u>{escape(str(problem))}</u>"
        rows, columns = grid.shape
        area = f"{float(f'{grid.box.area_km2:.3g}'):,.0f}"
        return f"<span>{escape(self.say('extent_told', area=area, rows=rows, columns=columns))}</span>"

    def _days(self) -> str:
        """Whole days are whole days somewhere: say where."""
        try:
            period = self.state.hours(self.case.period)
        except Invalid:
            return ""
        days = (period.end - period.start).total_seconds() / 86400
        if days != int(days) or period.start.minute:
            return ""
        told = DAYS.get(period.start.hour)
        return f"<span>{escape(self.say(told))}</span>" if told else ""
