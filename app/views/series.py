"""The time bar: rain over the whole domain, hour by hour, and it is also where time is chosen.

One time for the whole application, moved by a click or a drag; one window of time, an event, whose totals the
map then shows; and one clock, on which every time on the page is told. While playing, the browser asks for
the next hour only when the one before has arrived, so a slow line slows the play and never floods.
"""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
import pandas as pd
import panel as pn
import panel_material_ui as pmui

from app import store
from app.clock import Clock
from app.events import Event
from app.hyetograph import Hyetograph
from app.pictures import Series, Shown
from app.state import RUN, ZONES, State, stamp
from app.theme import Words, sheet
from app.views import View
from engine.fields import Period
from engine.methods import methods

SMALL = {"margin": 0, "align": "center", "size": "medium"}
ZONE = {
    "& .MuiToggleButton-root": {"fontSize": "10.5px", "padding": "0 7px", "lineHeight": 1.6, "minHeight": 0},
    "& .MuiToggleButton-root, &": {"whiteSpace": "nowrap"},
}


class TimeBar(View):
    """The hyetograph with its play head, and the buttons beside it."""

    def __init__(self, state: State, say: Words) -> None:
        super().__init__(state, say)
        self.case = store.case(state.case)
        self.bars = Hyetograph(self.case.period, say)
        self.bars.on_time(lambda time: state.param.update(time=stamp(time)))
        self.bars.on_event(self._drawn)
        self.clock = Clock(beat=0, shown=0)
        self.clock.param.watch(lambda event: self.step(1) if event.new else None, "beat")
        self._walked = 0
        self.clock.param.watch(self._pressed, "pressed")
        self._label = pn.pane.HTML(stylesheets=[sheet("time")], css_classes=["time"], margin=0, width=200)
        self._what = pn.pane.HTML(stylesheets=[sheet("axis")], css_classes=["axis"], margin=0)
        self._buttons()
        self.panel = self._layout()
        self.watch(self._move_head, "time")
        self.watch(self._show_event, "event")
        self.watch(self.draw, "layer", "run")
        self.watch(self._show_playing, "playing")
        self.watch(self.wear, "dark")
        self.wear()
        self._show_event()
        self.draw()

    def _buttons(self) -> None:
        say, state = self.say, self.state
        self.back, self.on = (
            pmui.IconButton(icon=f"skip_{name}", description=say(key), **SMALL)
            for name, key in (("previous", "step_back"), ("next", "step_on"))
        )
        self.play, self.brush = (
            pmui.ToggleIcon(icon=icon, active_icon=active, value=value, description=say(key), **SMALL)
            for icon, active, value, key in (
                ("play_arrow", "pause", state.playing, "play"),
                ("date_range", "edit_calendar", False, "brush"),
            )
        )
        self.zone = pmui.RadioButtonGroup(
            options={say(f"clock_{name}"): name for name in ZONES},
            value=state.zone,
            size="small",
            margin=(2, 0, 0, 16),
            sx=ZONE,
        )
        self.back.on_click(lambda _: self.step(-1))
        self.on.on_click(lambda _: self.step(1))
        self.play.param.watch(lambda event: state.param.update(playing=event.new), "value")
        self.brush.param.watch(lambda event: self.bars.draw_events(event.new), "value")
        self.zone.param.watch(lambda event: state.param.update(zone=event.new), "value")
        self.event = pmui.Button(
            end_icon="close",
            variant="outlined",
            size="small",
            margin=0,
            height=21,
            description=say("event_end"),
            sx={"padding": "0 8px", "fontSize": "11px", "lineHeight": 1.6, "minHeight": 0},
            css_classes=["event"],
            stylesheets=[sheet("event")],
        )
        self.event.on_click(lambda _: self._forget())

    def _layout(self) -> Any:
        buttons = pn.Row(self.back, self.play, self.on, self.brush, margin=(0, 0, 0, 8))
        left = pn.Column(buttons, self._label, self.zone, width=206, margin=0, align="center")
        bar = pn.pane.Bokeh(self.bars.figure, sizing_mode="stretch_width", height=104, margin=0)
        return pn.Row(
            left,
            bar,
            self._what,
            self.event,
            self.clock,
            sizing_mode="stretch_width",
            height=108,
            margin=0,
            css_classes=["timebar"],
            stylesheets=[sheet("timebar")],
        )

    def wear(self) -> None:
        self.bars.wear("dark" if self.state.dark else "light")

    @property
    def period(self) -> Period:
        """Of what is on show."""
        run = store.run(self.state.run) if self.state.layer == RUN else None
        return (run.task if run else self.case).period

    def draw(self) -> None:
        """The bars of what the map shows; until its sum is known the old ones stay, paler."""
        shown = Shown(self.case.name, self.state.layer, self.state.run if self.state.layer == RUN else "")
        found, wait = store.series(shown)
        if wait is not None:
            self.after([wait], self.draw)
            self._name(self.say("axis_waiting", title=self._title))
            self.bars.fade()
        if found is None and (wait is None or not len(self.bars.bars.data["right"])):
            times = self.period.times
            found = Series(times, np.full(len(times), np.nan))
        if found is not None:
            self.bars.paint(found, self.period.step)
        if wait is None and found is not None:
            self._name(self._axis(found))
        self._move_head()

    def _name(self, title: str) -> None:
        self._what.object = f"<div>{escape(title)}</div>"

    @property
    def _title(self) -> str:
        run = store.run(self.state.run) if self.state.layer == RUN else None
        if run:
            return self.say.method(run.task.method, methods().get(run.task.method))
        return self.say.layer(self.state.layer, self.case.layers.get(self.state.layer, {}))

    def _axis(self, found: Series) -> str:
        """What the bars are: of what, averaged over what, in which unit; and what the band is."""
        run = store.run(self.state.run) if self.state.layer == RUN and found.low is not None else None
        if run:
            return self.say("axis_members", title=self._title, n=run.done)
        return self.say("axis_layer", title=self._title)

    def _move_head(self) -> None:
        time = self.state.end_of_interval
        if time is None:
            return
        self._label.object = self._label_html(time)
        self.clock.shown = self.clock.beat
        self.bars.place_head(time, self.period.step)

    def _drawn(self, event: Event) -> None:
        self.brush.value = False
        self.state.event = str(event)

    def _forget(self) -> None:
        self.state.event = ""

    def _show_event(self) -> None:
        event, say = Event.of(self.state.event), self.say
        self.bars.place_event(event)
        self.event.visible = event is not None
        if event is not None:
            hours, period = say("hours", n=event.hours), say.period(event.start, event.end)
            self.event.label = say("event_of", hours=hours, period=period)

    def step(self, hours: int) -> None:
        """Go on by some hours; the end is followed by the beginning."""
        times, time = self.period.times, self.state.end_of_interval
        at = times.get_indexer([time])[0] if time is not None else -1
        self.state.time = stamp(times[(max(at, 0) + hours) % len(times)])

    def _pressed(self, event: Any) -> None:
        what, hours = event.new.split("#")[0], int(event.new.split("#")[1])
        if what == "play":
            self.state.playing = not self.state.playing
        elif what == "walk":  # the sum of all arrows: of many quick ones only the last message may come
            self.step(hours - self._walked)
            self._walked = hours

    def _show_playing(self) -> None:
        self.clock.param.update(playing=self.state.playing, shown=self.clock.beat)
        self.play.value = self.state.playing

    def _label_html(self, time: pd.Timestamp) -> str:
        say, start = self.say, time - self.period.step
        first, last, zone = say.clock(start), say.clock(time), say.zone_name(time)
        day = say("day_of_year", day=say.date(first), year=first.year)
        return f"<b>{first:%H:%M}–{last:%H:%M}</b><span>{day} · {zone}</span>"

    def follow(self) -> None:
        if self.state.layer == RUN:
            self.draw()
