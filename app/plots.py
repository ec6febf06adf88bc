"""Plots: the figures of the Verify screen, built once and then only fed.

A `Plot` is a plain Bokeh figure that takes layers: a band, lines, bars, whiskers, dots, an image of counts.
A layer names whose values it holds and not a colour: the colours follow the dress of the page, and one name
has one colour in every figure. A layer that is fed again replaces its columns, so a new selection of gauges
costs a message and no new figure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from bokeh.models import (
    BoxZoomTool,
    ColumnDataSource,
    CustomJSTickFormatter,
    DatetimeAxis,
    DatetimeTickFormatter,
    LinearColorMapper,
    LogAxis,
    ResetTool,
    SaveTool,
)
from bokeh.plotting import figure

from app.theme import CLEAR, INK, LINE, OTHERS, OWN, RAIN, SOFT

HEIGHT = 290
PLAIN = "return String(Number(tick.toPrecision(2)))"  # 0.1 rather than a power of ten
JUDGE, DIAGONAL = "judge", "diagonal"  # whose line is in the ink of the page, and whose is a thin one
PALETTES = {"light": [CLEAR, *RAIN.colours], "dark": [CLEAR, *reversed(RAIN.colours)]}


def strokes(names: Sequence[str], dress: str) -> dict[str, str]:
    """A colour for each name: the run's own first, what stands beside it after it."""
    known = {JUDGE: INK[dress], DIAGONAL: SOFT[dress]}
    return known | dict(zip(names, (OWN[dress], *OTHERS), strict=False))


class Plot:
    """One figure. ``log`` makes both of its axes logarithmic; a square one shows both axes alike."""

    def __init__(
        self, name: str, x: str, y: str, *, log: bool = False, tools: Sequence[Any] = (), **about: Any
    ):
        kind = {"x_axis_type": "log", "y_axis_type": "log"} if log else {}
        self.figure: Any = figure(
            **(kind | about),  # pyright: ignore[reportArgumentType]
            name=f"verify_{name}",
            height=HEIGHT,
            sizing_mode="stretch_width",
            tools=[*tools, BoxZoomTool(), ResetTool(), SaveTool(filename=f"rainloom_{name}")],
            active_drag=tools[0] if tools else None,
            min_border_right=16,
            border_fill_color=None,
            background_fill_color=None,
            outline_line_color=None,
        )
        self.mapper = LinearColorMapper(palette=PALETTES["light"], low=-0.5, high=len(RAIN.colours) + 0.5)
        self._sources: dict[str, ColumnDataSource] = {}
        self._of: dict[str, Sequence[str]] = {}
        self._strokes: Mapping[str, str] = strokes((), "light")
        self._dress_axes(x, y)

    def _dress_axes(self, x: str, y: str) -> None:
        plot = self.figure
        plot.toolbar.logo, plot.toolbar.autohide = None, True
        axes: list[tuple[Any, str]] = [(plot.xaxis[0], x), (plot.yaxis[0], y)]
        for axis, label in axes:
            axis.axis_label = label
            if isinstance(axis, LogAxis):
                axis.formatter = CustomJSTickFormatter(code=PLAIN)  # pyright: ignore[reportAttributeAccessIssue]
            elif isinstance(axis, DatetimeAxis):
                axis.formatter = DatetimeTickFormatter(hours="%H:%M", days="%m-%d", context=None)
            axis.axis_label_text_font_style = "normal"
            axis.axis_label_text_font_size = axis.major_label_text_font_size = "11px"
            axis.axis_label_standoff = 6
            axis.axis_line_color = axis.minor_tick_line_color = axis.major_tick_line_color = None

    def wear(self, strokes_: Mapping[str, str], dress: str) -> None:
        self._strokes, plot = strokes_, self.figure
        for axis in (*plot.xaxis, *plot.yaxis):
            axis.major_label_text_color = axis.axis_label_text_color = SOFT[dress]
        plot.grid.grid_line_color = LINE[dress]
        self.mapper.palette = PALETTES[dress]
        for layer, of in self._of.items():
            self._sources[layer].patch({"colour": [(slice(None), self._colours(of))]})

    def _colours(self, of: Sequence[str]) -> list[str]:
        return [self._strokes.get(name, self._strokes[DIAGONAL]) for name in of]

    def feed(self, layer: str, of: Sequence[str], **columns: Any) -> ColumnDataSource:
        """New columns of a layer; ``of`` says whose each of them is."""
        told: Any = columns | {"of": list(of), "colour": self._colours(of)}
        self._of[layer] = list(of)
        if layer in self._sources:
            self._sources[layer].data = told
        else:
            source = self._sources[layer] = ColumnDataSource(told)
            LAYERS[layer.split()[0]](self.figure, source)
        return self._sources[layer]

    def source(self, layer: str) -> ColumnDataSource | None:
        return self._sources.get(layer)

    def lines(
        self, of: Sequence[str], xs: Sequence[Any], ys: Sequence[Any], dashed: Sequence[str] = ()
    ) -> None:
        dash = ["dashed" if name in dashed else "solid" for name in of]
        wide = [{JUDGE: 2.0, DIAGONAL: 1.0}.get(name, 1.8) for name in of]
        self.feed("lines", of, xs=list(xs), ys=list(ys), dash=dash, wide=wide)

    def image(self, counts: np.ndarray, low: float, high: float) -> None:
        """Counts in classes that double, over a square."""
        classes = np.where(counts > 0, np.minimum(np.log2(np.maximum(counts, 1)) + 1, len(RAIN.colours)), 0)
        place = {"x": [low], "y": [low], "dw": [high - low], "dh": [high - low]}
        if "image" in self._sources:
            self._sources["image"].data = {"image": [classes.astype("uint8")], **place}
        else:
            source = self._sources["image"] = ColumnDataSource({"image": [classes.astype("uint8")], **place})
            self.figure.image("image", "x", "y", "dw", "dh", source=source, color_mapper=self.mapper)


def _band(plot: Any, source: ColumnDataSource) -> None:
    plot.patches("xs", "ys", source=source, fill_color="colour", fill_alpha=0.18, line_color=None)


def _lines(plot: Any, source: ColumnDataSource) -> None:
    plot.multi_line(
        "xs", "ys", source=source, line_color="colour", line_width="wide", line_dash="dash", line_alpha=0.95
    )


def _bars(plot: Any, source: ColumnDataSource) -> None:
    about = {"fill_color": "colour", "fill_alpha": 0.75, "line_color": None}
    plot.quad(left="left", right="right", bottom=0, top="top", source=source, **about)


def _whiskers(plot: Any, source: ColumnDataSource) -> None:
    plot.segment("x", "low", "x", "high", source=source, line_color="colour", line_alpha=0.45, line_width=1.5)


def _dots(plot: Any, source: ColumnDataSource) -> None:
    plot.scatter(
        "x",
        "y",
        source=source,
        size=6.5,
        fill_color="colour",
        line_color=None,
        fill_alpha=0.85,
        nonselection_fill_alpha=0.15,
    )


LAYERS: Mapping[str, Callable[[Any, ColumnDataSource], None]] = {
    "band": _band,
    "lines": _lines,
    "bars": _bars,
    "whiskers": _whiskers,
    "dots": _dots,
}


def around(x: Any, low: Any, high: Any) -> tuple[list[Any], list[Any]]:
    """The outline of a band, as `patches` want it."""
    x, low, high = (np.asarray(each) for each in (x, low, high))
    return [np.concatenate([x, x[::-1]])], [np.concatenate([low, high[::-1]])]
