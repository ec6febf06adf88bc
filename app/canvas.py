"""The map's canvas: a Bokeh figure in Web Mercator that is built once and then only fed.

The ground is drawn once (`app.ground`). A new picture replaces one array of bytes; new gauges replace
columns. What must feel instant happens in the browser: hours that were sent ahead are swapped there when the
play head moves (the rain in ``frames``, the gauges in ``readings``), the aspect is locked there (metres on
both axes are the same length whatever the window does), a double tap goes home and is no tap, dots grow with
the zoom, and the cursor is reported to the server at most every 60 ms. Several maps share their ranges and
move as one.

Plain Bokeh rather than GeoViews: there is nothing to project, the figure takes 35 ms instead of 3 s and 2 MB
instead of 170, and no plot object has to be cleaned up when a session ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from bokeh.events import DoubleTap, MouseLeave, MouseMove, Tap
from bokeh.models import (
    ColumnDataSource,
    CustomJS,
    CustomJSHover,
    CustomJSTickFormatter,
    HoverTool,
    LinearColorMapper,
    PanTool,
    Range1d,
    WheelZoomTool,
)
from bokeh.plotting import figure

from app import raster
from app.films import Frame
from app.gestures import CURSOR, FIT, LAT, LON, MOVED, SWAP, TAPPED, VALUE
from app.ground import ROOM_X, ROOM_Y, Ground
from app.theme import HEAD, RAIN, SOFT, Scale
from engine.fields import Box

FRAME = ("time", "image", "x", "y", "dw", "dh")  # the columns of the hours sent ahead
TOOLTIP = (
    '<div style="font: 12px sans-serif; line-height: 1.5"><b>@name</b><br>'
    '<span style="font-variant-numeric: tabular-nums">@value{custom}</span><br>@role</div>'
)
STALE = 0.6  # the old picture stays, paler, while the new one is on its way


class Canvas:
    """The figure and the few things in it that change."""

    def __init__(self, box: Box, missing: str, unit: str, beside: Canvas | None = None) -> None:
        """``missing`` and ``unit`` are for the tooltip of a gauge."""
        self.home = raster.extent(box)
        blank = {"image": [np.zeros((2, 2), "uint8")], **_place(*self.home)}
        self.picture = ColumnDataSource(blank, name="rain_source")
        self.frames = ColumnDataSource(_none(*FRAME), name="frames")
        self._kept: set[Any] = set()
        self.drawn = self.joined = False
        self.readings = ColumnDataSource(_none("time", "level", "value"))
        self.dots = ColumnDataSource(_none("x", "y", "level", "ring", "name", "value", "role"))
        self.cursor = ColumnDataSource(_none("x", "y"))
        self.tapped = ColumnDataSource(_none("x", "y", "count"))
        self.spot = ColumnDataSource(_none("x", "y"))
        self.window = ColumnDataSource(_none("bounds"))
        self.mapper = LinearColorMapper(palette=RAIN.palette, low=-0.5, high=len(RAIN.palette) - 0.5)
        self.figure: Any = self._figure(beside)
        self.ground = Ground(self.figure, box)
        self.image = self.figure.image(
            "image", "x", "y", "dw", "dh", source=self.picture, color_mapper=self.mapper, name="rain"
        )
        self.ground.lines(self.home)
        self.value = CustomJSHover(args={"missing": missing, "unit": unit}, code=VALUE)
        self._gauges()
        for width, colour in ((5, "#ffffff"), (2, HEAD["light"])):  # a cross in a ring, white around it
            mark = {"size": 17, "fill_color": None, "line_color": colour, "line_width": width}
            self.figure.scatter("x", "y", source=self.spot, marker="circle_cross", **mark)
        self._behaviour()

    def _figure(self, beside: Canvas | None) -> Any:
        left, bottom, right, top = self.home
        wide, high = ROOM_X * (right - left), ROOM_Y * (top - bottom)
        across, up = (left - wide, right + wide), (bottom - high, top + high)
        plot: Any = figure(
            x_axis_type="mercator",
            y_axis_type="mercator",
            sizing_mode="stretch_both",
            min_height=80,
            x_range=beside.figure.x_range if beside else Range1d(start=left, end=right, bounds=across),
            y_range=beside.figure.y_range if beside else Range1d(start=bottom, end=top, bounds=up),
            tools=[PanTool(), wheel := WheelZoomTool()],
            toolbar_location=None,
            name="map_beside" if beside else "map",
            border_fill_color=None,
            outline_line_color=None,
            margin=0,
        )
        plot.toolbar.active_scroll = wheel
        for axis, code in ((plot.xaxis, LON), (plot.yaxis, LAT)):
            axis.formatter = CustomJSTickFormatter(code=code)
            axis.axis_line_color = axis.major_tick_line_color = axis.minor_tick_line_color = None
            axis.major_label_text_font_size = "11px"
            axis.major_label_standoff = 4
        plot.grid.grid_line_color = "#ffffff"
        plot.grid.grid_line_alpha = 0.55
        return plot

    def _gauges(self) -> None:
        self.rim = self.figure.scatter(
            "x",
            "y",
            source=self.dots,
            size=5,
            fill_color="#ffffff",
            fill_alpha=0.85,
            line_color="#3c4854",
            line_alpha=0.55,
            line_width=2.4,
        )
        self.dot = self.figure.scatter(
            "x",
            "y",
            source=self.dots,
            size=5,
            fill_color={"field": "level", "transform": self.mapper},
            line_color="ring",
            line_width=1.2,
            name="gauges",
        )
        look: dict[str, Any] = {"formatters": {"@value": self.value}, "point_policy": "snap_to_data"}
        self.figure.add_tools(HoverTool(renderers=[self.dot], tooltips=TOOLTIP, **look))

    def _behaviour(self) -> None:
        plot = self.figure
        fit, go_home = (
            CustomJS(args={"map": plot, "home": self.home, "goes_home": goes_home}, code=FIT)
            for goes_home in (False, True)
        )
        for size in ("inner_width", "inner_height"):
            plot.js_on_change(size, fit)
        plot.js_on_event(DoubleTap, go_home)
        for kind in (Tap, DoubleTap):
            plot.js_on_event(kind, CustomJS(args={"told": self.tapped}, code=TAPPED))
        plot.js_on_event(MouseMove, CustomJS(args={"told": self.cursor}, code=CURSOR))
        plot.js_on_event(
            MouseLeave, CustomJS(args={"told": self.cursor}, code="clearTimeout(told.kept_timer)")
        )

    def on_cursor(self, call: Callable[[float, float], None]) -> None:
        """Call with longitude and latitude whenever the cursor has moved."""

        def moved(_attribute: str, _old: Any, new: Any) -> None:
            if len(new.get("x", ())):
                call(float(raster.to_lon(new["x"][0])), float(raster.to_lat(new["y"][0])))

        self.cursor.on_change("data", moved)

    def on_tap(self, call: Callable[[float, float], Any]) -> None:
        """Call with latitude and longitude where the map was clicked once."""

        def tapped(_attribute: str, _old: Any, new: Any) -> None:
            call(float(raster.to_lat(new["y"][0])), float(raster.to_lon(new["x"][0])))

        self.tapped.on_change("data", tapped)

    def on_window(self, call: Callable[[tuple[float, float, float, float]], Any]) -> None:
        """Call with west, south, east, north when the map has come to rest."""

        def moved(_attribute: str, _old: Any, new: Any) -> None:
            if len(bounds := new.get("bounds", ())) == 4:
                lon, lat = raster.to_lon(bounds[::2]), raster.to_lat(bounds[1::2])
                call((float(lon[0]), float(lat[0]), float(lon[1]), float(lat[1])))

        self.window.on_change("data", moved)

    def on_drawn(self, call: Callable[[], Any]) -> None:
        """Call once the browser has drawn the map: it then has told how wide it is."""

        def drawn(_attribute: str, _old: Any, _new: Any) -> None:
            self.figure.remove_on_change("inner_width", drawn)
            self.drawn = True
            call()

        self.figure.on_change("inner_width", drawn)

    def join(self, head: ColumnDataSource | None) -> None:
        """Tie the map to what it shares: its ranges, and a play head whose hour the browser shows if it can.

        Only once the browser has the map: a message about what it has may overtake the one with a figure."""
        if self.joined or head is None or not self.drawn:
            return
        self.joined = True
        moved = CustomJS(
            args={"map": self.figure, "told": self.window, "rim": self.rim, "dot": self.dot}, code=MOVED
        )
        for each in (self.figure.x_range, self.figure.y_range):
            each.js_on_change("start", moved)
            each.js_on_change("end", moved)
        parts = {"frames": self.frames, "readings": self.readings, "picture": self.picture, "dots": self.dots}
        swap, again = (
            CustomJS(args={"head": head, "fresh": fresh, **parts}, code=SWAP) for fresh in (False, True)
        )
        # A picture that was asked for before the head moved on may come after it.
        for source in (head, self.picture, self.frames, self.readings):
            source.js_on_change("data", swap)
        self.dots.js_on_change("data", again)
        self.frames.js_on_change("streaming", swap)
        self.figure.js_on_change("inner_width", swap)

    def wear_scale(self, scale: Scale) -> None:
        """The colours of a scale; frames and pictures hold the numbers of its classes."""
        if self.mapper.palette != scale.palette:
            self.mapper.update(palette=scale.palette, high=len(scale.palette) - 0.5)

    def paint(self, values: np.ndarray, rows: raster.Rows, scale: Scale) -> None:
        """Show a field on its grid; the scale decides the classes and the colours."""
        self.wear_scale(scale)
        image = raster.classes(rows(values), scale.edges)
        self.picture.data = {"image": [image], **_under(rows)}
        self.sharpen()

    def forget(self) -> None:
        """The frames are of something else than what is on show now."""
        if self._kept:
            self._kept.clear()
            self.frames.data = _none(*FRAME)

    def keep(self, frames: Sequence[Frame]) -> None:
        """Send hours ahead. The arrays are those of the shelf, shared by all sessions."""
        columns = _none(*FRAME)
        for frame in frames:
            each = {"time": [frame.time.timestamp() * 1e3], "image": [frame.image], **_under(frame.rows)}
            for name, value in each.items():
                columns[name] += value
        self.frames.stream(columns)
        self._kept |= {frame.time for frame in frames}

    def has(self, time: Any) -> bool:
        """Whether the browser shows this hour by itself."""
        return time in self._kept

    def fade(self) -> None:
        """What is on show is not what was asked for any more."""
        self.image.glyph.global_alpha = STALE

    def sharpen(self) -> None:
        self.image.glyph.global_alpha = 1.0

    def wipe(self) -> None:
        self.picture.data = {"image": [np.zeros((2, 2), "uint8")], **_place(*self.home)}
        self.sharpen()

    def mark(self, spot: tuple[float, float] | None) -> None:
        """Mark a place, given by latitude and longitude, or none."""
        lat, lon = (np.array([each]) for each in spot) if spot else (np.array([]), np.array([]))
        self.spot.data = {"x": raster.to_x(lon), "y": raster.to_y(lat)}

    def show_unit(self, unit: str) -> None:
        """Of what the tooltip of a gauge tells."""
        if self.value.args["unit"] != unit:
            self.value.args = {**self.value.args, "unit": unit}

    def show_gauges(self, shown: bool) -> None:
        self.dot.visible = self.rim.visible = shown

    def wear(self, dress: str) -> None:
        """Labels follow the dress of the page; the ground stays light."""
        for axis in (*self.figure.xaxis, *self.figure.yaxis):
            axis.major_label_text_color = SOFT[dress]


def _none(*names: str) -> Any:
    return {name: [] for name in names}


def _under(rows: raster.Rows) -> dict[str, list[float]]:
    return {"x": [rows.left], "y": [rows.bottom], "dw": [rows.width], "dh": [rows.height]}


def _place(left: float, bottom: float, right: float, top: float) -> dict[str, list[float]]:
    return {"x": [left], "y": [bottom], "dw": [right - left], "dh": [top - bottom]}
