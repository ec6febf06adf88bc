"""Rain of the members as dots: over the domain, and at the gauges beside what these report.

Two rows on one axis. Only the second may be compared with the gauges' mean, the upright bar in it: both are
means over the same places in the same hour. Dots that would lie on each other are stacked.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, FixedTicker, HoverTool, Range1d
from bokeh.plotting import figure

from app.theme import HEAD, INK, LINE, RAIN_BAR, SOFT

DOMAIN, GAUGES = 1.0, 0.0  # the heights of the rows
APART = 0.02  # of the axis: dots nearer than this are stacked
STEP = 0.17


class Dots:
    """The figure and its two rows."""

    def __init__(self, domain: str, gauges: str, tooltip: str) -> None:
        self.dots = ColumnDataSource({name: [] for name in ("x", "y", "told")})
        self.chosen = ColumnDataSource({"x": [], "y": []})
        self.reported = ColumnDataSource({"x": []})
        self.domain, self.gauges = domain, gauges
        self.figure: Any = self._figure()
        self.figure.scatter(
            "x",
            GAUGES,
            source=self.reported,
            marker="dash",
            angle=np.pi / 2,
            size=34,
            line_width=3,
            name="reported",
        )
        dots = self.figure.scatter("x", "y", source=self.dots, size=8, line_color=None, name="members")
        self.figure.scatter(
            "x", "y", source=self.chosen, size=13, fill_color=None, line_width=2, name="chosen"
        )
        self.figure.add_tools(HoverTool(renderers=[dots], tooltips=tooltip))

    def _figure(self) -> Any:
        plot: Any = figure(
            x_range=Range1d(start=0, end=1),
            y_range=Range1d(start=-0.65, end=1.65),
            height=112,
            sizing_mode="stretch_width",
            tools="",
            toolbar_location=None,
            name="dots",
            background_fill_color=None,
            border_fill_color=None,
            outline_line_color=None,
            min_border_right=16,
            margin=0,
        )
        plot.yaxis.ticker = FixedTicker(ticks=[GAUGES, DOMAIN])
        plot.yaxis.major_label_overrides = {DOMAIN: self.domain}
        plot.xaxis.ticker.desired_num_ticks = 6
        plot.ygrid.grid_line_color = None
        for axis in (*plot.xaxis, *plot.yaxis):
            axis.axis_line_color = axis.minor_tick_line_color = axis.major_tick_line_color = None
            axis.major_label_text_font_size = "11px"
        return plot

    def paint(self, mean: np.ndarray, read: np.ndarray, gauges: np.ndarray, told: list[str]) -> None:
        """The means over the domain, what members say at the gauges (member, gauge), and their reports."""
        there = gauges.size > 0
        at_gauges = read.mean(axis=1) if there else np.empty(0)
        reported = [float(gauges.mean())] if there else []
        most = max(
            float(np.nanmax(each)) for each in (mean, at_gauges, [0.02], reported or [0.0]) if len(each)
        )
        self.figure.x_range.update(start=-0.03 * most, end=1.08 * most)
        self.figure.yaxis.major_label_overrides = {
            DOMAIN: self.domain,
            GAUGES: self.gauges.format(n=gauges.size) if there else "",
        }
        y = [DOMAIN + _stacked(mean, most), GAUGES + _stacked(at_gauges, most)]
        self.dots.data = {
            "x": np.concatenate([mean, at_gauges]),
            "y": np.concatenate(y),
            "told": told + (told if there else []),
        }
        self.reported.data = {"x": reported}

    def mark(self, member: int | None, count: int) -> None:
        """Ring the dots of a member, of so many."""
        x, y = (np.asarray(self.dots.data[name]) for name in ("x", "y"))
        at = [] if member is None else list(range(member, len(x), count))
        self.chosen.data = {"x": x[at], "y": y[at]}

    def wear(self, dress: str) -> None:
        for axis in (*self.figure.xaxis, *self.figure.yaxis):
            axis.major_label_text_color = SOFT[dress]
        self.figure.xgrid.grid_line_color = LINE[dress]
        members, chosen, reported = (
            self.figure.select_one({"name": name}).glyph for name in ("members", "chosen", "reported")
        )
        members.fill_color, members.fill_alpha = RAIN_BAR[dress], 0.75
        chosen.line_color, reported.line_color = HEAD[dress], INK[dress]


def _stacked(values: np.ndarray, most: float) -> np.ndarray:
    """How far above or below the middle of its row each dot goes."""
    height, last, level = np.zeros(len(values)), -np.inf, 0
    for place in np.argsort(values):
        level = level + 1 if values[place] - last < APART * most else 0
        last = values[place]
        height[place] = STEP * ((level + 1) // 2) * (1 if level % 2 else -1)
    return np.clip(height, -0.45, 0.45)
