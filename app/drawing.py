"""What a hand draws on a map: the domain of the next run, and a choice of gauges.

The domain is a box that Bokeh itself lets one move and resize; it comes to rest in whole cells. While a new
one is drawn, or gauges are picked with a lasso or a box, a drag means that instead of moving the map: one
choice of the state, ``drag``, says which. A box larger than the map is not moved by a drag inside it, or the
map could not be moved any more.

Above the gauges lie crosses on those that are ignored, rings around those picked, and, while the register is
open, a line from each gauge held out to the nearest in use: short lines are what makes a judgement easy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.events import SelectionGeometry
from bokeh.models import (
    BoxAnnotation,
    BoxSelectTool,
    ColumnDataSource,
    CustomJS,
    LassoSelectTool,
    PanTool,
    Scatter,
)

from app import network, raster, store
from app.canvas import Canvas
from app.cells import snapped
from app.state import EXTENT, SPLIT
from app.views import View
from engine.fields import Box

PEN, PICKED, REJECTED = "#c2452d", "#f08c00", "#c2452d"
AT_REST = """
clearTimeout(told.kept_timer)
told.kept_timer = setTimeout(() => {
  told.data = {bounds: [box.left, box.bottom, box.right, box.top]}
}, 250)
"""
SIDES = ("left", "bottom", "right", "top")


class Drawing:
    """The hand's tools on the map of a view; they end with the view."""

    def __init__(self, view: View, canvas: Canvas) -> None:
        self.view, self.state, self.figure = view, view.state, canvas.figure
        self.case = store.case(view.state.case)
        self._pan = next(tool for tool in self.figure.tools if isinstance(tool, PanTool))
        self._box()
        self._gauges()
        pen = BoxSelectTool(renderers=[], name="domain")
        lasso = LassoSelectTool(renderers=[self.points], name="lasso")
        box = BoxSelectTool(renderers=[self.points], name="box")
        self.tools = {"domain": pen, "lasso": lasso, "box": box}
        for tool in self.tools.values():
            tool.overlay.update(line_color=PEN, fill_color=PEN, fill_alpha=0.08, line_width=1.2)
        self.figure.add_tools(*self.tools.values())
        self.figure.toolbar.active_drag = self._pan
        self.figure.on_event(SelectionGeometry, self._drawn)
        view.watch(lambda: view.soon(self.take_up), "drag")
        view.watch(lambda: view.soon(self.show_box), *EXTENT, "window", "drag")
        view.watch(lambda: view.soon(self.show_gauges), *SPLIT, *EXTENT, "register", "picked")
        self.show_box()
        self.show_gauges()

    def _box(self) -> None:
        self.box = BoxAnnotation(
            editable=True,
            visible=False,
            line_color=PEN,
            line_width=1.8,
            line_alpha=1.0,
            fill_alpha=0.0,
            hover_fill_color=PEN,
            hover_fill_alpha=0.05,
            level="overlay",
            name="domain",
        )
        told = ColumnDataSource({"bounds": []})
        rest = CustomJS(args={"box": self.box, "told": told}, code=AT_REST)
        for side in SIDES:
            self.box.js_on_change(side, rest)
        told.on_change("data", lambda _attribute, _old, new: self._moved(new["bounds"]))
        self.figure.add_layout(self.box)

    def _gauges(self) -> None:
        found = store.gauges(self.case)
        lon, lat = (found.lon, found.lat) if found else (np.empty(0), np.empty(0))
        self.names = found.names if found else []
        self.leaks = self._lines()
        self.source = ColumnDataSource({"x": raster.to_x(lon), "y": raster.to_y(lat)})
        self.points = self.figure.scatter("x", "y", source=self.source, size=11, alpha=0.0, name="hand")
        self.points.selection_glyph = Scatter(
            size=12, line_color=PICKED, line_width=2.4, fill_color=None, line_alpha=1.0
        )
        self.points.nonselection_glyph = Scatter(size=11, line_alpha=0.0, fill_alpha=0.0)
        self.source.selected.on_change("indices", lambda _attribute, _old, new: self._picked(new))
        self.crosses = ColumnDataSource({"x": [], "y": []})
        self.figure.scatter(
            "x", "y", source=self.crosses, marker="x", size=9, line_color=REJECTED, line_width=2.2
        )

    def _lines(self) -> ColumnDataSource:
        lines = ColumnDataSource({name: [] for name in ("x0", "y0", "x1", "y1")})
        self.figure.segment(
            "x0", "y0", "x1", "y1", source=lines, line_color="#101418", line_width=1.1, line_alpha=0.75
        )
        return lines

    # What the hand did

    def _drawn(self, event: Any) -> None:
        """A new box, or gauges picked, which the gauges themselves tell."""
        if event.final and self.state.drag == "domain" and event.geometry.get("type") == "rect":
            bounds = [event.geometry[key] for key in ("x0", "y0", "x1", "y1")]
            self.state.drag = ""
            self._moved(bounds)

    def _moved(self, bounds: list[float]) -> None:
        """The box came to rest: it is the domain, in whole cells."""
        if len(bounds) != 4 or any(each is None for each in bounds):
            return
        lon, lat = np.sort(raster.to_lon(bounds[::2])), np.sort(raster.to_lat(bounds[1::2]))
        found = snapped((lon[0], lat[0], lon[1], lat[1]), self.case.box, self.state.cell)
        if found is not None:
            self.state.param.update(area="drawn", drawn=tuple(found))
        self.show_box()

    def _picked(self, indices: list[int]) -> None:
        self.state.picked = [self.names[each] for each in indices]

    # What the state says

    def take_up(self) -> None:
        """Give the drag to what was chosen."""
        self.figure.toolbar.active_drag = self.tools.get(self.state.drag, self._pan)

    def show_box(self) -> None:
        state = self.state
        self.box.visible = state.area == "drawn" and state.drawn not in (None, tuple(self.case.box))
        if state.drawn is None:
            return
        sides = dict(zip(SIDES, raster.extent(Box(*state.drawn)), strict=True))
        self.box.update(**{side: at for side, at in sides.items() if getattr(self.box, side) != at})
        self.box.movable = "none" if state.drag or not _within(state.drawn, state.window) else "both"
        self.box.resizable = "none" if state.drag else "all"

    def show_gauges(self) -> None:
        found, state = store.gauges(self.case), self.state
        if found is None:
            return
        at = self.source.data
        place = dict(zip(self.names, zip(at["x"], at["y"], strict=True), strict=True))
        rejected = [place[name] for name in state.ignored if name in place]
        self.crosses.data = {"x": [x for x, _ in rejected], "y": [y for _, y in rejected]}
        order = {name: each for each, name in enumerate(self.names)}
        self.source.selected.indices = [order[name] for name in state.picked if name in order]
        links = network.links(found, *store.planned(self.case, state)) if state.register else []
        ends = [(*place[one], *place[other]) for one, other, _ in links]
        columns = zip(*ends, strict=True) if ends else ([], [], [], [])
        self.leaks.data = dict(zip(("x0", "y0", "x1", "y1"), map(list, columns), strict=True))


def _within(box: Any, window: Any) -> bool:
    """Whether a box is wholly in sight."""
    if window is None:
        return True
    west, south, east, north = box
    return window[0] <= west and window[1] <= south and east <= window[2] and north <= window[3]
