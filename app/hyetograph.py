"""The hyetograph: bars of rain over a period, a play head, and the window of an event, in one Bokeh figure.

It is built once and then only fed. What must feel instant happens in the browser: a click or a drag moves
the head there at once, and a drag with Shift (or while `brush` is on) draws the window of an event, which
the server hears of when the drag has ended. Hours of which nothing is known are hatched grey: an hour
without a bar is a dry one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from bokeh.events import Pan, PanEnd, PanStart, Tap
from bokeh.models import ColumnDataSource, CustomJS, FixedTicker, Range1d
from bokeh.plotting import figure

from app.events import HOUR, Event
from app.pictures import Series
from app.theme import HEAD, INK, LINE, MISSING, RAIN_BAR, SOFT, Words
from engine.fields import Period

CHOOSE = """
const ends = bars.data.right, starts = bars.data.left
if (!ends.length) return
let k = 0
while (k < ends.length - 1 && cb_obj.x > ends[k]) k++
const kind = cb_obj.event_name
if (kind === "panstart") event.kept_from = cb_obj.modifiers?.shift || brush.data.on[0] ? k : null
if (kind !== "tap" && event.kept_from != null) {
  const [first, last] = [Math.min(k, event.kept_from), Math.max(k, event.kept_from)]
  event.data = {left: [starts[first]], right: [ends[last]], done: [kind === "panend"]}
  if (kind === "panend") event.kept_from = null
} else if (kind !== "panend" && head.data.index[0] !== k) {
  head.data = {left: [starts[k]], right: [ends[k]], index: [k], top: head.data.top}
}
"""
EPOCH: Any = pd.Timestamp("1970-01-01")
MS: Any = pd.Timedelta("1ms")
STALE = 0.35
STEPS = (1, 3, 6, 12, *(24 * days for days in (1, 2, 5, 10, 30, 90, 365, 1825)))  # h between two ticks


class Hyetograph:
    """The figure and the few things in it that change."""

    def __init__(self, whole: Period, say: Words) -> None:
        self.whole, self.say = whole, say
        self.bars = ColumnDataSource({name: [] for name in ("left", "right", "top", "low", "high")})
        self.gaps = ColumnDataSource({"left": [], "right": []})
        self.head = ColumnDataSource({"left": [0.0], "right": [0.0], "index": [-1], "top": [0.0]})
        self.event = ColumnDataSource({"left": [], "right": [], "done": []})
        self.brush = ColumnDataSource({"on": [False]})
        self.bars.name, self.head.name = "hours", "play_head"  # the clock walks there too
        self._quiet = False
        self.figure = self._figure()

    def _figure(self) -> Any:
        plot: Any = figure(
            x_axis_type="datetime",
            x_range=Range1d(start=in_ms(self.whole.start), end=in_ms(self.whole.end)),
            height=104,
            tools="",
            name="timebar",
            toolbar_location=None,
            sizing_mode="stretch_width",
            y_range=Range1d(start=0, end=1),
            min_border=4,
            min_border_top=22,  # where its title stands
            background_fill_color=None,
            border_fill_color=None,
            outline_line_color=None,
            min_border_right=18,
        )
        self._marks(plot)
        self._axes(plot)
        parts = {"bars": self.bars, "head": self.head, "event": self.event, "brush": self.brush}
        choose = CustomJS(args=parts, code=CHOOSE)
        for kind in (Tap, PanStart, Pan, PanEnd):
            plot.js_on_event(kind, choose)
        return plot

    def _marks(self, plot: Any) -> None:
        """The window and the hours without a value, the bars, the band of the members, the play head."""
        sides: dict[str, Any] = {"left": "left", "right": "right"}
        tall: dict[str, Any] = sides | {"bottom": 0, "top": 1e6}
        plot.quad(**tall, source=self.event, fill_alpha=0.13, line_alpha=0.7, line_width=1.2, name="event")
        look = {"fill_color": MISSING[:7], "fill_alpha": 0.25, "line_color": None, "hatch_pattern": "/"}
        look |= {"hatch_color": MISSING[:7], "hatch_alpha": 0.6, "hatch_scale": 8}
        plot.quad(**tall, source=self.gaps, name="gaps", **look)
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
        told = ticks(self.whole, self.say)
        plot.xaxis.ticker = FixedTicker(ticks=list(told), minor_ticks=[])
        plot.xaxis.major_label_overrides = told
        for axis in (*plot.xaxis, *plot.yaxis):
            axis.axis_line_color = axis.minor_tick_line_color = axis.major_tick_line_color = None
            axis.major_label_text_font_size = "11px"

    def _glyph(self, name: str) -> Any:
        return self.figure.select_one({"name": name}).glyph

    def wear(self, dress: str) -> None:
        for axis in (*self.figure.xaxis, *self.figure.yaxis):
            axis.major_label_text_color = SOFT[dress]
        self.figure.ygrid.grid_line_color = LINE[dress]
        self._glyph("rain").fill_color, self._glyph("band").fill_color = RAIN_BAR[dress], INK[dress]
        for name, colour in (("head", HEAD[dress]), ("event", INK[dress])):
            self._glyph(name).fill_color = self._glyph(name).line_color = colour

    def fade(self) -> None:
        """What is on show is not what was asked for any more."""
        self._glyph("rain").fill_alpha, self._glyph("band").fill_alpha = STALE, 0.3 * STALE

    def paint(self, found: Series, step: pd.Timedelta) -> None:
        """The bars of a series with this step."""
        right = np.asarray(in_ms(found.times))
        left = right - step / MS
        low = found.mean if found.low is None else found.low
        high = found.mean if found.high is None else found.high
        self.bars.data = {"left": left, "right": right, "top": found.mean, "low": low, "high": high}
        silent = np.isnan(found.mean)
        start, end = in_ms(self.whole.start), in_ms(self.whole.end)
        self.gaps.data = {  # before it, within it and after it
            "left": np.concatenate([[start], left[silent], right[-1:]]),
            "right": np.concatenate([left[:1], right[silent], [end]]),
        }
        most = float(np.nanmax(np.concatenate([found.mean, high, [0.05]])))
        self.figure.y_range.update(end=1.12 * most)
        self._glyph("rain").fill_alpha, self._glyph("band").fill_alpha = 1.0, 0.3

    def place_head(self, time: pd.Timestamp, step: pd.Timedelta) -> None:
        """Put the play head on the interval that ends at a time."""
        right = np.asarray(self.bars.data["right"])
        end = in_ms(time)
        place = {
            "left": [end - step / MS],
            "right": [end],
            "index": [int(np.searchsorted(right, end))],
            "top": [self.figure.y_range.end],
        }
        self._tell(self.head, place)

    def draw_events(self, on: bool) -> None:
        """Whether a drag draws an event without Shift too."""
        self.brush.data = {"on": [on]}

    def place_event(self, event: Event | None) -> None:
        ends = ([in_ms(event.start)], [in_ms(event.end)], [True]) if event else ([], [], [])
        self._tell(self.event, dict(zip(("left", "right", "done"), ends, strict=True)))

    def _tell(self, source: ColumnDataSource, wanted: dict[str, Any]) -> None:
        # The dragging browser is ahead of the server: what it has already shown is not sent back.
        if dict(source.data) != wanted:
            self._quiet = True
            source.data = wanted
            self._quiet = False

    def on_time(self, call: Callable[[pd.Timestamp], Any]) -> None:
        """Call with the end of the interval to which the head was moved."""
        self._on(self.head, lambda told: call(time_of(told["right"][0])))

    def on_event(self, call: Callable[[Event], Any]) -> None:
        """Call with the event that was drawn, once the drag has ended."""

        def drawn(told: dict[str, Any]) -> None:
            if told["done"][0]:
                call(Event(time_of(told["left"][0]), time_of(told["right"][0])))

        self._on(self.event, drawn)

    def _on(self, source: ColumnDataSource, call: Callable[[dict[str, Any]], Any]) -> None:
        def heard(_attribute: str, _old: Any, new: Any) -> None:
            if not self._quiet and len(new["right"]):
                call(new)

        source.on_change("data", heard)


def ticks(whole: Period, say: Words, most: int = 9) -> dict[float, str]:
    """Where ticks stand and what they say: full hours or days on the clock of the zone."""
    hours = (whole.end - whole.start) / HOUR
    step = next((step for step in STEPS if hours / step <= most), STEPS[-1])
    times = pd.date_range(whole.start, whole.end, freq="15min" if step < 24 * 30 else "1h")
    local: Any = say.clock(times)
    since_midnight, days = local - local.normalize(), (local.normalize() - EPOCH) // pd.Timedelta("1D")
    within = pd.Timedelta(hours=min(step, 24))
    full = (since_midnight % within == pd.Timedelta(0)) & (days % max(1, step // 24) == 0)
    told = dict(zip(in_ms(times[full]), local[full], strict=True))
    first = next(iter(told), None)
    return {at: _tick(time, say, dated=at == first) for at, time in told.items()}


def _tick(time: pd.Timestamp, say: Words, *, dated: bool) -> str:
    if time == time.normalize():
        return say.date(time)
    return f"{say.date(time)} {time:%H:%M}" if dated else f"{time:%H:%M}"


def in_ms(time: Any) -> Any:
    """A time, or times, as a browser counts them."""
    return (time - EPOCH) / MS


def time_of(ms: float) -> pd.Timestamp:
    return EPOCH + round(ms) * MS
