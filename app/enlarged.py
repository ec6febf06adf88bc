"""One map of a run, large: a member, a statistic of all, the chance of more than a threshold, or a grade.

It stands beside the stamps and shows what `State` says of the run that it is given. The line over the map
tells what is shown; it alone changes in the browser, while a threshold is dragged or members are played, so
it is always right. Plate and legend say what does not change meanwhile: method, hour, unit and period.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import panel as pn
import panel_material_ui as pmui

from app import raster, stack, store
from app.canvas import Canvas
from app.chances import Threshold
from app.pictures import Picture, Shown
from app.state import RUN
from app.theme import CHANCE, INK, Scale, scale_of, sheet
from app.views import View
from engine.diagnostics.tally import GRADE_NAMES
from engine.fields import Box
from engine.journal import Run
from engine.methods import methods
from engine.sources.cases import Case

WHITE, BLACK = "#ffffff", "#101418"
STRETCH = {"sizing_mode": "stretch_width", "margin": 0}


class Enlarged:
    """The map, what is written on it, and the choices over it. ``choose`` takes what was chosen."""

    def __init__(self, view: View, case: Case, choose: Callable[..., None]) -> None:
        self.view, self.state, self.say, self.case, self.choose = view, view.state, view.say, case, choose
        self.run: Run | None = None
        self.canvas = self.threshold = None  # made for the domain of a run
        self._box: Box | None = None
        self._sent: Any = None
        say = self.say
        self.statistic = pmui.Select(
            label=say("statistic"), width=190, size="small", margin=(10, 6, 6, 6), variant="outlined"
        )
        self.statistic.param.watch(self._statistic_chosen, "value")
        self.gauges = pmui.Switch(
            label=say("gauges"), value=self.state.gauges, margin=(14, 6), styles={"margin-left": "auto"}
        )
        self.gauges.param.watch(lambda event: self.state.param.update(gauges=event.new), "value")
        room = {"flex": "1 1 0", "min-width": "0"}
        self._slider = pn.Column(visible=False, sizing_mode="stretch_width", margin=(4, 8), styles=room)
        self._figure = pn.pane.Bokeh(sizing_mode="stretch_both", margin=0)
        # The plate begins under the line that tells what is shown.
        self._plate = pn.pane.HTML(
            stylesheets=[sheet("plate")], css_classes=["plate"], margin=0, styles={"top": "38px"}
        )
        self._legend = pn.pane.HTML(stylesheets=[sheet("legend")], css_classes=["legend"], margin=0)
        self.head = pn.FlexBox(
            self.statistic, self._slider, self.gauges, flex_wrap="nowrap", height=58, **STRETCH
        )
        self.stage = pn.Column(
            self._figure,
            self._plate,
            self._legend,
            sizing_mode="stretch_both",
            margin=0,
            css_classes=["stage"],
            stylesheets=[sheet("stage")],
        )

    @property
    def shown(self) -> Shown:
        """What is asked for; of a single member there is only itself."""
        state, run = self.state, self.run
        statistic = state.statistic if run and run.task.members > 1 else "mean"
        above = state.above if statistic == "above" else 0.0
        member = state.member if statistic == "member" else 0
        return Shown(self.case.name, RUN, run.id if run else "", statistic, above, member)

    @property
    def scale(self) -> Scale:
        step = self.run.task.period.step if self.run else self.case.period.step
        return scale_of(self.shown.statistic, step.total_seconds() / 3600)

    def _statistic_chosen(self, event: Any) -> None:
        if event.new and event.new != self.shown.statistic:  # else it only follows the state
            self.choose(statistic=event.new)

    def _arrange(self, run: Run) -> None:
        """A canvas for the domain of the run; it stays while the domain does."""
        if self._box == run.task.domain:
            return
        self._box, self._sent = run.task.domain, None
        self.canvas = Canvas(run.task.domain, self.say("missing"), self.say("unit_rate"))
        self.canvas.figure.title.update(text_font_size="14px", standoff=6, offset=4, syncable=False)
        unit = self.say("unit_rate")
        words = (self.say("threshold", unit=unit), self.say("chance_above", above="{above}", unit=unit))
        self.threshold = Threshold(self.canvas, *words)
        self.threshold.on_let_go(lambda above: self.choose(above=above))
        self._slider[:] = [pn.pane.Bokeh(self.threshold.slider, sizing_mode="stretch_width", margin=0)]
        self._figure.object = self.canvas.figure
        self.wear()

    def show(self, run: Run, hour: stack.Hour | None) -> None:
        """This run at the hour on show; the stack is sent once its members are there."""
        self.run = run
        self._arrange(run)
        several, say = run.task.members > 1, self.say
        options = {say(f"statistic_{each}"): each for each in raster.STATISTICS if several or each == "mean"}
        self.statistic.param.update(options=options, value=self.shown.statistic, visible=several)
        self._slider.visible = self.shown.statistic == "above"
        self.gauges.value = self.state.gauges
        self._send_stack(hour)
        self._paint()

    def _send_stack(self, hour: stack.Hour | None) -> None:
        if self.shown.statistic != "above" or hour is None or self.threshold is None:
            return
        self.threshold.slider.value = stack.nearest_amount(self.state.above)
        if self._sent is not hour:
            self._sent = hour
            self.threshold.send(hour.levels, hour.grid.rows)

    def _paint(self) -> None:
        time, run, canvas = self.state.end_of_interval, self.run, self.canvas
        if time is None or run is None or canvas is None:
            return
        found, wait = store.picture(self.shown, time)
        if wait is not None:
            canvas.fade()
            # What went wrong the stamps beside it say.
            self.view.after([wait], lambda: None if wait.exception() else self._paint())
            return
        if found is None:
            canvas.wipe()
        else:
            canvas.paint(found.values, found.rows, self.scale)
        shown = self.shown
        canvas.figure.title.text = self.say.statistic(shown.statistic, shown.above, shown.member)
        self._plate.object = self._plate_html(run, time, found)
        self._legend.object = self._legend_html(run)
        self.place_gauges()

    def wear(self) -> None:
        if self.canvas is not None:
            dress = "dark" if self.state.dark else "light"
            self.canvas.wear(dress)
            self.canvas.figure.title.text_color = INK[dress]

    def place_gauges(self) -> None:
        """The gauges of the case, filled with what they report in this hour."""
        if self.canvas is None or self.run is None:
            return
        self.canvas.show_gauges(self.state.gauges)
        known, task, time = store.gauges(self.case), self.run.task, self.state.end_of_interval
        if known is None or not self.state.gauges:
            return
        gauges = known.inside(task.domain)
        used = set(task.gauges.split(gauges)[0]) if task.gauges else set()
        values = gauges.at([time]).values[:, 0]
        scale = self.scale
        over = np.where(np.isnan(values), np.nan, values > self.shown.above)
        levels = {"chance": over, "spread": 0 * values}.get(scale.name, values)
        self.canvas.dots.data = {
            "x": raster.to_x(gauges.lon),
            "y": raster.to_y(gauges.lat),
            "name": gauges.names,
            "ring": [WHITE if name in used else BLACK for name in gauges.names],
            "role": [self.say("gauge_used" if name in used else "gauge_held_out") for name in gauges.names],
            "level": raster.classes(levels, scale.edges),
            "value": values,
        }

    # What is written on the map

    def _plate_html(self, run: Run, time: pd.Timestamp, found: Picture | None) -> str:
        say, task = self.say, run.task
        badges = [say("simulated")] if str(self.case.about.get("simulated")) == "true" else []
        if found is None:
            badges += [say("no_picture")]
        elif task.members > 1:
            badges += [say("members_of", n=found.members, of=task.members)]
        else:
            badges += [say("one_member")]
        chips = "".join(f"<i>{escape(badge)}</i>" for badge in badges)
        title = say.method(task.method, methods().get(task.method))
        interval = say.period(time - task.period.step, time)
        return f"<b>{escape(title)}</b><em>{escape(interval)}</em><div>{chips}</div>"

    def _legend_html(self, run: Run) -> str:
        say, scale = self.say, self.scale
        chance = scale is CHANCE
        names = [say(f"grade_{each}") for each in GRADE_NAMES] if scale.name == "grade" else []
        labels = [f"{scale.label(edge)}" for edge in scale.edges]
        labels[-1] += "" if chance else "+"
        under = [f"<br>{escape(name)}" for name in names] or [""] * len(labels)
        steps = "".join(
            f'<li><s style="background:{colour}"></s>{label}{name}</li>'
            for colour, label, name in zip(scale.colours, labels, under, strict=True)
        )
        hours = say("legend_period", hours=f"{run.task.period.step.total_seconds() / 3600:g} h")
        unit = say("unit_chance_of" if chance else "unit_rate")
        rings = "".join(
            f'<u><s style="border-color:{colour}"></s>{escape(say(key))}</u>'
            for key, colour in (("gauge_used", WHITE), ("gauge_held_out", BLACK))
        )
        missing = f'<u class="grey"><s></s>{escape(say("missing"))}</u>'
        grade = ' class="wide"' if names else ""
        return (
            f"<div><b>{escape(unit)}</b> {escape(hours)}</div><ol{grade}>{steps}</ol><p>{missing}"
            f"{rings if self.state.gauges and run.task.gauges else ''}</p>"
        )
