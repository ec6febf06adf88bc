"""The time bar: rain over the whole domain, hour by hour, and it is also where the time is chosen.

A click or a drag moves the play head in the browser at once; the server hears of it afterwards. While
playing, the browser asks for the next hour only when the one before has arrived, so a slow line slows
the play and never floods.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import panel as pn
import panel_material_ui as pmui
from bokeh.events import Pan, PanStart, Tap
from bokeh.models import ColumnDataSource, CustomJS, CustomJSTickFormatter, Range1d
from bokeh.plotting import figure

from app import store
from app.clock import Clock
from app.pictures import Series, Shown
from app.state import RUN, State, stamp
from app.theme import HEAD, INK, LINE, RAIN_BAR, SOFT, Words, sheet
from app.views import View

CHOOSE = """
const ends = bars.data.right, starts = bars.data.left
let k = 0
while (k < ends.length - 1 && cb_obj.x > ends[k]) k++
if (!ends.length || head.data.index[0] === k) return
head.data = {left: [starts[k]], right: [ends[k]], index: [k], top: head.data.top}
"""
TICK = """
const time = new Date(tick)
const hour = String(time.getUTCHours()).padStart(2, "0") + ":" + String(time.getUTCMinutes()).padStart(2, "0")
const day = pattern.replace("{day}", time.getUTCDate()).replace("{month}", months[time.getUTCMonth()])
return hour === "00:00" ? day : hour
"""


class TimeBar(View):
    """The hyetograph with its play head, and the buttons beside it."""

    def __init__(self, state: State, say: Words) -> None:
        super().__init__(state, say)
        self.case = store.case(state.case)
        self.bars = ColumnDataSource({name: [] for name in ("left", "right", "top", "low", "high", "middle")})
        self.head = ColumnDataSource({"left": [0.0], "right": [0.0], "index": [-1], "top": [0.0]})
        self.head.on_change("data", self._dragged)
        self.figure = self._figure()
        self.clock = Clock(beat=0, shown=0)
        self.clock.param.watch(lambda event: self.step(1) if event.new else None, "beat")
        self._walked = 0
        self.clock.param.watch(self._pressed, "pressed")
        self._label = pn.pane.HTML(stylesheets=[sheet("time")], css_classes=["time"], margin=0, width=170)
        self.panel = self._layout()
        self.watch(self._move_head, "time")
        self.watch(self.draw, "layer", "run")
        self.watch(self._show_playing, "playing")
        self.watch(self.wear, "dark")
        self.wear()
        self.draw()

    def _layout(self) -> Any:
        say = self.say
        back, on = (
            pmui.IconButton(
                icon=f"skip_{name}", size="medium", margin=0, align="center", description=say(key)
            )
            for name, key in (("previous", "step_back"), ("next", "step_on"))
        )
        self.play = pmui.ToggleIcon(
            icon="play_arrow",
            active_icon="pause",
            value=self.state.playing,
            description=say("play"),
            margin=0,
            align="center",
            size="medium",
        )
        back.on_click(lambda _: self.step(-1))
        on.on_click(lambda _: self.step(1))
        self.play.param.watch(lambda event: self.state.param.update(playing=event.new), "value")
        left = pn.Column(
            pn.Row(back, self.play, on, margin=(0, 0, 0, 8)), self._label, width=176, margin=0, align="center"
        )
        bar = pn.pane.Bokeh(self.figure, sizing_mode="stretch_width", height=104, margin=0)
        return pn.Row(
            left,
            bar,
            self.clock,
            sizing_mode="stretch_width",
            height=108,
            margin=0,
            css_classes=["timebar"],
            stylesheets=[sheet("timebar")],
        )

    def _figure(self) -> Any:
        start, end = self.case.period.start, self.case.period.end
        plot: Any = figure(
            x_axis_type="datetime",
            x_range=Range1d(start=_ms(start), end=_ms(end)),
            height=104,
            tools="",
            name="timebar",
            toolbar_location=None,
            sizing_mode="stretch_width",
            y_range=Range1d(start=0, end=1),
            min_border=4,
            background_fill_color=None,
            border_fill_color=None,
            outline_line_color=None,
            min_border_right=18,
        )
        self._marks(plot)
        self._axes(plot)
        choose = CustomJS(args={"bars": self.bars, "head": self.head}, code=CHOOSE)
        for event in (Tap, PanStart, Pan):
            plot.js_on_event(event, choose)
        return plot

    def _marks(self, plot: Any) -> None:
        """Bars of the mean, the band of the members across them, and the play head."""
        sides = {"left": "left", "right": "right"}
        plot.quad(**sides, bottom=0, top="top", source=self.bars, line_color=None, name="rain")
        plot.quad(
            **sides, bottom="low", top="high", source=self.bars, line_color=None, fill_alpha=0.3, name="band"
        )
        plot.quad(
            **sides, bottom=0, top="top", source=self.head, fill_alpha=0.16, line_width=1.2, name="head"
        )

    def _axes(self, plot: Any) -> None:
        plot.ygrid.grid_line_alpha = 0.8
        plot.xgrid.grid_line_color = None
        plot.yaxis.ticker.desired_num_ticks = 3
        plot.xaxis.ticker.desired_num_ticks = 8
        plot.xaxis.formatter = CustomJSTickFormatter(
            args={"months": self.say("months").split(), "pattern": self.say("day")}, code=TICK
        )
        plot.title.text = self.say("axis_rain")
        plot.title.text_font_size, plot.title.text_font_style, plot.title.standoff = "11px", "normal", 2
        for axis in (*plot.xaxis, *plot.yaxis):
            axis.axis_line_color = axis.minor_tick_line_color = axis.major_tick_line_color = None
            axis.major_label_text_font_size = "11px"

    def wear(self) -> None:
        dress = "dark" if self.state.dark else "light"
        for axis in (*self.figure.xaxis, *self.figure.yaxis):
            axis.major_label_text_color = SOFT[dress]
        self.figure.title.text_color = SOFT[dress]
        self.figure.ygrid.grid_line_color = LINE[dress]
        rain, band, head = (self.figure.select_one({"name": name}).glyph for name in ("rain", "band", "head"))
        rain.fill_color, band.fill_color = RAIN_BAR[dress], INK[dress]
        head.fill_color = head.line_color = HEAD[dress]

    def draw(self) -> None:
        """The bars of what the map shows; a run's come when its sum is known, and until then the old stay."""
        shown = Shown(self.case.name, self.state.layer, self.state.run if self.state.layer == RUN else "")
        found, wait = store.series(shown)
        if wait is not None:
            self.after([wait], self.draw)
        if found is None:
            found = (
                None if self.bars.data["left"] is not None and len(self.bars.data["left"]) else self._empty()
            )
        if found is not None:
            self._set(found)

    def _empty(self) -> Series:
        times = self.case.period.times
        return Series(times, np.zeros(len(times)))

    def _set(self, found: Series) -> None:
        right = np.array([_ms(time) for time in found.times])
        low = found.mean if found.low is None else found.low
        high = found.mean if found.high is None else found.high
        bars = {
            "left": right - self._span,
            "right": right,
            "top": found.mean,
            "low": low,
            "high": high,
            "middle": found.mean,
        }
        self.bars.data = {name: np.nan_to_num(np.asarray(each, float)) for name, each in bars.items()}
        most = float(np.nanmax(np.concatenate([bars["top"], bars["high"], [0.05]])))
        self.figure.y_range.update(end=1.12 * most)
        self._move_head()

    def _move_head(self) -> None:
        time = self.state.end_of_interval
        if time is None:
            return
        self._label.object = self._label_html(time)
        self.clock.shown = self.clock.beat
        right = np.asarray(self.bars.data["right"])
        at = int(np.searchsorted(right, _ms(time))) if right.size else 0
        # The dragging browser is ahead of the server: what it has already shown is not sent back.
        place = {
            "left": [_ms(time) - self._span],
            "right": [_ms(time)],
            "index": [at],
            "top": [self.figure.y_range.end],
        }
        if dict(self.head.data) != place:
            self._quiet = True
            self.head.data = place
            self._quiet = False

    @property
    def _span(self) -> float:
        return self.case.period.step.total_seconds() * 1e3

    _quiet = False

    def _dragged(self, _attribute: str, _old: Any, new: Any) -> None:
        if not self._quiet and len(new["right"]):
            self.state.time = stamp(pd.Timestamp(new["right"][0], unit="ms"))

    def step(self, hours: int) -> None:
        """Go on by some hours; the end is followed by the beginning."""
        run = store.run(self.state.run) if self.state.layer == RUN else None
        times, time = (run.task if run else self.case).period.times, self.state.end_of_interval
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
        start = time - self.case.period.step
        return f"<b>{start:%H:%M}–{time:%H:%M}</b><span>{self.say.day(start)} {start.year} · UTC</span>"

    def follow(self) -> None:
        if self.state.layer == RUN:
            self.draw()


def _ms(time: pd.Timestamp) -> float:
    return time.timestamp() * 1e3
