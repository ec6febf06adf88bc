"""Exhibits: each figure of the Verify screen with what it takes to read it.

An exhibit is a title, a line that says how to read the figure, the figure, and its table, folded away below
with a link to the file. What is drawn follows from the table alone, so what a reader sees and what a reader
takes along are the same numbers. A figure whose table is empty says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import panel as pn
from bokeh.models import BoxSelectTool, LassoSelectTool, TapTool
from bokeh.plotting import figure

from app import raster
from app.curves import DRY, MEAN, Density
from app.plots import DIAGONAL, JUDGE, Plot, around
from app.sheets import twin
from app.theme import BORDER, COAST, Words, sheet
from engine.diagnostics.tables import Table
from engine.fields import Box

TOTALS = '<div style="font: 12px sans-serif"><b>@gauge</b><br>@x{0.0} → @y{0.0} mm</div>'
LEAST = 0.001  # mm/h, where a logarithmic axis of spread begins at the latest
KNOWN = ("time", "gauge", "lat", "lon", "hours", "judge", "mean", "p10", "p90")


def others(table: Table) -> list[str]:
    """Columns that hold what is compared with the run."""
    return [name for name in table.columns if name not in KNOWN]


def column(table: Table, name: str) -> np.ndarray:
    return np.array([row[name] for row in table.rows])


def named(table: Table) -> list[str]:
    return list(dict.fromkeys(row["of"] for row in table.rows))


def totals(plot: Plot, table: Table, own: str) -> Any:
    x, y = column(table, "judge"), column(table, "mean")
    of = [own] * len(x)
    most = float(np.nanmax([*x, *column(table, "p90"), 1.0]))
    plot.lines([DIAGONAL], [[0, most]], [[0, most]])
    plot.feed("whiskers", of, x=x, low=column(table, "p10"), high=column(table, "p90"))
    place = {"east": raster.to_x(column(table, "lon")), "north": raster.to_y(column(table, "lat"))}
    return plot.feed("dots", of, x=x, y=y, gauge=column(table, "gauge"), **place)


def hours(plot: Plot, table: Table, own: str) -> Any:
    time = np.array([row["time"].timestamp() * 1e3 for row in table.rows])
    xs, ys = around(time, column(table, "p10"), column(table, "p90"))
    plot.feed("band", [own], xs=xs, ys=ys)
    names = [*others(table), own, JUDGE]
    values = [column(table, {own: "mean"}.get(name, name)) for name in names]
    plot.lines(names, [time] * len(names), values)
    return plot.feed("dots", [JUDGE] * len(time), x=time, y=column(table, "judge"))


def scatter(plot: Plot, found: Density) -> None:
    low, high = DRY, found.most
    plot.image(found.counts, low, high)
    plot.lines([DIAGONAL], [[low, high]], [[low, high]])


def quantiles(plot: Plot, table: Table, own: str) -> None:
    names, xs, ys = named(table), [], []
    for name in names:
        part = table.where(of=name)
        xs.append(column(part, "judge"))
        ys.append(np.maximum(column(part, "amount"), DRY / 2))
        if name == own:
            low, high = (np.maximum(column(part, each), DRY / 2) for each in ("p10", "p90"))
            outline = around(xs[-1], low, high)
            plot.feed("band", [own], xs=outline[0], ys=outline[1])
    ends = [DRY, float(max(x.max(initial=1.0) for x in xs))]
    plot.lines([DIAGONAL, *names], [ends, *xs], [ends, *ys])


def ranks(plot: Plot, table: Table, own: str) -> None:
    mark = column(table, table.columns[0])
    width = float(mark[1] - mark[0]) if len(mark) > 1 else 1.0
    left, right = mark - width / 2, mark + width / 2
    plot.feed("bars", [own] * len(mark), left=left, right=right, top=column(table, "share"))
    edges = np.ravel(np.column_stack([left, right]))
    low, high = (np.repeat(column(table, f"envelope {each}"), 2) for each in ("low", "high"))
    xs, ys = around(edges, np.nan_to_num(np.maximum(low, 0)), np.nan_to_num(high))
    plot.feed("band", [JUDGE], xs=xs, ys=ys)
    expected = float(table.rows[0]["expected"])
    plot.lines([DIAGONAL], [[left[0], right[-1]]], [[expected, expected]], dashed=[DIAGONAL])


def reliability(plot: Plot, table: Table, own: str) -> None:
    table = Table(table.columns, [row for row in table.rows if row["n"]])
    x = column(table, "chance")
    plot.lines([DIAGONAL, JUDGE], [[0, 1], x], [[0, 1], column(table, "expected")], dashed=[DIAGONAL])
    low, high = (np.clip(column(table, each), 0, 1) for each in ("low", "high"))
    plot.feed("whiskers", [JUDGE] * len(x), x=x, low=low, high=high)
    plot.feed("dots", [own] * len(x), x=x, y=column(table, "observed"))


def spread(plot: Plot, table: Table, own: str) -> None:
    x, y, low, high = (np.maximum(column(table, name), LEAST) for name in ("spread", "error", "low", "high"))
    ends = [float(min(x.min(), y.min())), float(max(x.max(), y.max()))]
    plot.lines([DIAGONAL, own], [ends, x], [ends, y])
    plot.feed("whiskers", [own] * len(x), x=x, low=low, high=high)
    plot.feed("dots", [own] * len(x), x=x, y=y)


def falling(plot: Plot, table: Table, own: str) -> None:
    """Spectra and variograms: a line for each field, a band for the members."""
    names = named(table)
    parts = [table.where(of=name) for name in names]
    xs, ys = ([column(part, name) for part in parts] for name in ("km", "value"))
    outline = around(*(column(table.where(of=own), name) for name in ("km", "low", "high")))
    plot.feed("band", [own], xs=outline[0], ys=outline[1])
    plot.lines(names, xs, ys, dashed=[MEAN])


def ellipses(plot: Plot, table: Table, own: str) -> None:
    """Where the autocorrelation has fallen to 1/e around a place."""
    turn, names, xs, ys = np.linspace(0, 2 * np.pi, 73), named(table), [], []
    for row in table.rows:
        along, across = row["major"] * np.cos(turn), row["minor"] * np.sin(turn)
        angle = np.deg2rad(row["angle"])
        xs.append(along * np.cos(angle) - across * np.sin(angle))
        ys.append(along * np.sin(angle) + across * np.cos(angle))
    plot.lines(names, xs, ys, dashed=[MEAN])


DRAW: Mapping[str, Callable[..., Any]] = {
    "totals": totals,
    "hours": hours,
    "scatter": scatter,
    "quantiles": quantiles,
    "ranks": ranks,
    "reliability": reliability,
    "spread": spread,
    "spectrum": falling,
    "variogram": falling,
    "ellipse": ellipses,
}
LOG = ("scatter", "quantiles", "spread", "spectrum", "variogram")


def _plot(name: str, say: Words) -> Plot:
    about: dict[str, Any] = {}
    if name == "totals":
        about["tools"] = [BoxSelectTool(), LassoSelectTool(), TapTool()]
        about["tooltips"] = TOTALS
    elif name == "hours":
        about = {"tools": [BoxSelectTool(dimensions="width")], "x_axis_type": "datetime"}
    elif name == "ellipse":
        about["match_aspect"] = True
    plot = Plot(name, say(f"axis_{name}_x"), say(f"axis_{name}_y"), log=name in LOG, **about)
    if name == "spectrum":
        plot.figure.x_range.flipped = True
    return plot


def framed(name: str, say: Words, *parts: Any) -> Any:
    """A figure under its title and the line that says how to read it."""
    head = f"<b>{escape(say(f'exhibit_{name}'))}</b><p>{escape(say(f'read_{name}'))}</p>"
    return pn.Column(
        pn.pane.HTML(head, stylesheets=[sheet("exhibit")], margin=0, sizing_mode="stretch_width"),
        *parts,
        sizing_mode="stretch_width",
        margin=6,
        css_classes=["exhibit"],
        stylesheets=[sheet("exhibits")],
        styles={"min-width": "0", "flex": "1 1 0"},
    )


class Exhibit:
    """One figure with its words and its table."""

    def __init__(self, name: str, say: Words, extra: Sequence[Any] = ()) -> None:
        self.name, self.say, self.plot = name, say, _plot(name, say)
        self._twin = pn.pane.HTML(stylesheets=[sheet("twin")], margin=0, sizing_mode="stretch_width")
        self._figure = pn.pane.Bokeh(self.plot.figure, sizing_mode="stretch_width", margin=0)
        self.panel = framed(name, say, *extra, self._figure, self._twin)

    def show(self, table: Table | None, label: Callable[[str], str], *drawn: Any) -> Any:
        """Draw a table; the source of what can be chosen in it, if anything can."""
        self._figure.visible = bool(table and table.rows)
        if table is None or not table.rows:
            self._twin.object = f"<p>{escape(self.say('exhibit_empty'))}</p>"
            return None
        self._twin.object = twin(table, self.say, label, self.name)
        return DRAW[self.name](self.plot, *drawn)


def little_map(around_: Box, source: Any) -> Any:
    """Where the gauges lie that judge; it shares what is chosen with the figure of totals."""
    plot: Any = figure(
        x_axis_type="mercator",
        y_axis_type="mercator",
        match_aspect=True,
        height=290,
        sizing_mode="stretch_width",
        tools=[box_select := BoxSelectTool(), LassoSelectTool(), TapTool()],
        active_drag=box_select,
        name="verify_map",
        border_fill_color=None,
        background_fill_color=None,
        outline_line_color=None,
    )
    plot.toolbar.logo, plot.toolbar.autohide = None, True
    shores = raster.shores(around_)
    for lines, colour in ((shores.coasts, COAST), (shores.borders, BORDER)):
        plot.multi_line([line[:, 0] for line in lines], [line[:, 1] for line in lines], line_color=colour)
    plot.scatter(
        "east",
        "north",
        source=source,
        size=6.5,
        color="colour",
        line_color=None,
        nonselection_fill_alpha=0.15,
    )
    return plot
