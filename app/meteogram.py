"""The meteogram: how rain went at one place, of every source, of a run's members and of the nearest gauge.

Means over intervals stand at the middles of their intervals. The members are a fan, from p10 to p90 around
p50, the gauge is dots, sources are lines; the play head and the window of an event are those of the time bar.
The figure is built once and then only fed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from bokeh.models import ColumnDataSource, FixedTicker, Range1d
from bokeh.plotting import figure

from app.events import Event
from app.hyetograph import MS, in_ms, ticks
from app.points import quantiles
from app.theme import HEAD, INK, LINE, LINES, RAIN_BAR, SOFT, Words
from engine.fields import Period

HEIGHT = 190


class Meteogram:
    """The figure and the few things in it that change."""

    def __init__(self, whole: Period, say: Words) -> None:
        self.lines = ColumnDataSource({"xs": [], "ys": [], "colour": [], "width": []})
        self.fan = ColumnDataSource({"x": [], "low": [], "middle": [], "high": []})
        self.gauge = ColumnDataSource({"x": [], "y": []})
        self.head = ColumnDataSource({"left": [], "right": []})
        self.event = ColumnDataSource({"left": [], "right": []})
        self.figure = self._figure(whole, say)
        self._marks()

    def _figure(self, whole: Period, say: Words) -> Any:
        plot: Any = figure(
            x_axis_type="datetime",
            x_range=Range1d(start=in_ms(whole.start), end=in_ms(whole.end)),
            y_range=Range1d(start=0, end=1),
            height=HEIGHT,
            tools="",
            name="meteogram",
            toolbar_location=None,
            sizing_mode="stretch_width",
            min_border=2,
            min_border_right=16,
            background_fill_color=None,
            border_fill_color=None,
            outline_line_color=None,
        )
        told = ticks(whole, say, 4)
        plot.xaxis.ticker = FixedTicker(ticks=list(told), minor_ticks=[])
        plot.xaxis.major_label_overrides = told
        plot.yaxis.ticker.desired_num_ticks = 4
        plot.xgrid.grid_line_color = None
        for axis in (*plot.xaxis, *plot.yaxis):
            axis.axis_line_color = axis.minor_tick_line_color = axis.major_tick_line_color = None
            axis.major_label_text_font_size = "10.5px"
        return plot

    def _marks(self) -> None:
        plot = self.figure
        tall: dict[str, Any] = {"left": "left", "right": "right", "bottom": 0, "top": 1e6}
        plot.quad(**tall, source=self.event, fill_alpha=0.1, line_alpha=0.5, name="event")
        plot.quad(**tall, source=self.head, fill_alpha=0.16, line_alpha=0.8, name="head")
        plot.varea("x", "low", "high", source=self.fan, fill_alpha=0.4, name="fan")
        plot.multi_line("xs", "ys", source=self.lines, line_color="colour", line_width="width")
        plot.line("x", "middle", source=self.fan, line_width=2, name="middle")
        plot.scatter("x", "y", source=self.gauge, size=5, line_width=1.2, fill_color="#ffffff", name="dots")

    def wear(self, dress: str) -> None:
        for axis in (*self.figure.xaxis, *self.figure.yaxis):
            axis.major_label_text_color = SOFT[dress]
        self.figure.ygrid.grid_line_color = LINE[dress]
        colours = {"event": INK, "head": HEAD, "fan": RAIN_BAR, "middle": RAIN_BAR, "dots": INK}
        for name, colour in colours.items():
            glyph = self.figure.select_one({"name": name}).glyph
            for part in ("fill_color", "line_color"):
                if hasattr(glyph, part) and (name, part) != ("dots", "fill_color"):
                    setattr(glyph, part, colour[dress])

    def paint(
        self, sources: Mapping[str, xr.DataArray], members: xr.DataArray | None, gauge: xr.DataArray | None,
        active: str,
    ) -> None:  # fmt: skip
        """Show what is known of a place; the line of the source that the map shows is thicker."""
        told = [(middles(rain), rain.values) for rain in sources.values()]
        self.lines.data = {
            "xs": [at for at, _ in told],
            "ys": [values for _, values in told],
            "colour": [colour(place) for place in range(len(told))],
            "width": [2.2 if name == active else 1.2 for name in sources],
        }
        fan: Any = {"x": [], "low": [], "middle": [], "high": []}
        if members is not None:
            low, middle, high = quantiles(members.values)
            fan = {"x": middles(members), "low": low, "middle": middle, "high": high}
        self.fan.data = fan
        seen = None if gauge is None else (middles(gauge), gauge.values)
        self.gauge.data = {"x": seen[0], "y": seen[1]} if seen else {"x": [], "y": []}
        shown = [np.array([0.5]), *(values for _, values in told), *([seen[1]] if seen else []), fan["high"]]
        self.figure.y_range.end = 1.08 * float(np.nanmax(np.concatenate([np.asarray(v) for v in shown])))

    def place(self, time: pd.Timestamp | None, step: pd.Timedelta, event: Event | None) -> None:
        """Put the play head and the window of the event."""
        ends = ([in_ms(time) - step / MS], [in_ms(time)]) if time is not None else ([], [])
        self.head.data = {"left": ends[0], "right": ends[1]}
        ends = ([in_ms(event.start)], [in_ms(event.end)]) if event else ([], [])
        self.event.data = {"left": ends[0], "right": ends[1]}


def colour(place: int) -> str:
    """Of the line of a source, by its place among the sources of a case."""
    return LINES[place % len(LINES)]


def middles(rain: xr.DataArray) -> np.ndarray:
    """The middles of the intervals of a field, as a browser counts time."""
    return np.asarray(in_ms(rain.indexes["time"])) - pd.Timedelta(rain.attrs["interval"]) / MS / 2
