"""Stamps: all members of an hour as small maps in one Bokeh figure.

One image glyph holds them all, a row of bytes for each, so that a step in time is one message and one paint;
one figure for each member would take some twenty times as long. The stamps stand on a plane of their own,
in metres of Web Mercator, side by side with a gap; land, coasts and frames are drawn once for each run.

Members played one after the other are played in the browser, from the bytes that are there already: the ring
walks over the stamps and each picture in turn is put into the large map.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from bokeh.events import Tap
from bokeh.models import ColumnDataSource, CustomJS, LinearColorMapper, Range1d
from bokeh.plotting import figure

from app import raster
from app.canvas import STALE, Canvas
from app.theme import COAST, LAND, RAIN, SEA, Scale
from engine.fields import Box

PAGE = 16  # stamps at once
GAP = 0.05  # between two stamps, in widths of one
SHAPE = 0.88  # of the room that stamps usually have: width over height

FIT = """
const {inner_width, inner_height} = plot.properties
if (inner_width.is_unset || inner_height.is_unset || plot.inner_width < 20 || plot.inner_height < 20) return
const [x0, y0, x1, y1] = ["left", "bottom", "right", "top"].map((side) => whole.data[side][0])
const scale = Math.max((x1 - x0) / plot.inner_width, (y1 - y0) / plot.inner_height)
const x = (x0 + x1) / 2, wide = scale * plot.inner_width / 2
plot.x_range.setv({start: x - wide, end: x + wide})
plot.y_range.setv({start: y1 - scale * plot.inner_height, end: y1})
"""
TURN = """
clearInterval(turn.kept_beat)
if (turn.data.beat[0] === 0) {
  if (turn.kept_slot != null) told.data = {slot: [turn.kept_slot]}
  return
}
turn.kept_slot = turn.data.slot[0]
turn.kept_beat = setInterval(() => {
  const images = stamps.data.image, target = picture.data.image[0]
  if (!turn.document) return clearInterval(turn.kept_beat)
  if (!images.length || images[0].length !== target.length) return
  const slot = turn.kept_slot = (turn.kept_slot + 1) % images.length
  target.set(images[slot])
  picture.change.emit()
  for (const side of ["left", "right", "bottom", "top"]) ring.data[side][0] = frames.data[side][slot]
  ring.change.emit()
  title.text = pattern.replace("{n}", stamps.data.number[slot])
}, turn.data.beat[0])
"""


class Stamps:
    """The figure and what is fed to it."""

    def __init__(self, box: Box, count: int) -> None:
        self.box, self.count = box, min(count, PAGE)
        self.left, self.bottom, right, top = raster.extent(box)
        self.wide, self.tall = right - self.left, top - self.bottom
        self.columns = _columns(self.count, self.wide / self.tall)
        corners = [self._corner(slot) for slot in range(self.count)]
        self.corners = np.array(corners)
        self.pictures = ColumnDataSource(
            {name: [] for name in ("image", "x", "y", "dw", "dh", "number")}, name="stamps_source"
        )
        self.labels = ColumnDataSource({name: [] for name in ("x", "right", "y", "number", "value")})
        self.frames = ColumnDataSource(self._frames(self.corners))
        self.ring = ColumnDataSource({name: [] for name in ("left", "right", "bottom", "top")})
        self.whole = ColumnDataSource(self._whole())
        self.turn = ColumnDataSource({"beat": [0], "slot": [0]})
        self.told = ColumnDataSource({"slot": []})
        self.mapper = LinearColorMapper(palette=RAIN.palette, low=-0.5, high=len(RAIN.palette) - 0.5)
        self.figure: Any = self._figure()
        self._draw()

    def _corner(self, slot: int) -> tuple[float, float]:
        """The lower left corner of a place, from the upper left one of all."""
        row, column = divmod(slot, self.columns)
        gap = GAP * self.wide
        return column * (self.wide + gap), -row * (self.tall + gap) - self.tall

    def _frames(self, corners: np.ndarray) -> dict[str, Any]:
        left, bottom = corners[:, 0], corners[:, 1]
        return {"left": left, "right": left + self.wide, "bottom": bottom, "top": bottom + self.tall}

    def _whole(self) -> dict[str, Any]:
        frames, edge = self._frames(self.corners), GAP * self.wide / 2
        return {
            "left": [float(frames["left"].min()) - edge],
            "right": [float(frames["right"].max()) + edge],
            "bottom": [float(frames["bottom"].min()) - edge],
            "top": [edge],
        }

    def _figure(self) -> Any:
        plot: Any = figure(
            x_range=Range1d(start=0, end=1, syncable=False),
            y_range=Range1d(start=0, end=1, syncable=False),
            sizing_mode="stretch_both",
            min_height=200,
            tools="",
            toolbar_location=None,
            name="stamps",
            background_fill_color=None,
            border_fill_color=None,
            outline_line_color=None,
            min_border=0,
            margin=0,
        )
        plot.axis.visible = False
        plot.grid.visible = False
        fit = CustomJS(args={"plot": plot, "whole": self.whole}, code=FIT)
        for name in ("inner_width", "inner_height"):
            plot.js_on_change(name, fit)
        return plot

    def _draw(self) -> None:
        """Sea and land, the pictures over them, coasts and frames over these."""
        plot, sides = self.figure, {name: name for name in ("left", "right", "bottom", "top")}
        shores = raster.shores(self.box)
        plot.quad(**sides, source=self.frames, fill_color=SEA, line_color=None)
        plot.patches(*self._everywhere(shores.land), fill_color=LAND, line_color=None)
        self.image = plot.image(
            "image", "x", "y", "dw", "dh", source=self.pictures, color_mapper=self.mapper, name="members"
        )
        plot.multi_line(*self._everywhere(shores.coasts), line_color=COAST, line_width=0.6, line_alpha=0.8)
        plot.quad(**sides, source=self.frames, fill_color=None, line_color=COAST, line_alpha=0.35)
        plot.quad(**sides, source=self.ring, fill_color=None, line_color="#c2452d", line_width=3, name="ring")
        written = {"source": self.labels, "text_baseline": "top", "text_color": "#1d2733", "padding": 3}
        written |= {"background_fill_color": "#ffffff", "background_fill_alpha": 0.8, "border_radius": 3}
        plot.text("x", "y", "number", text_font_size="11px", text_font_style="bold", **written)
        self.values = plot.text("right", "y", "value", text_font_size="11px", text_align="right", **written)

    def _everywhere(self, lines: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """The same lines in every stamp."""
        moves = self.corners - (self.left, self.bottom)
        moved = [line + move for move in moves for line in lines]
        return [line[:, 0] for line in moved], [line[:, 1] for line in moved]

    def paint(
        self, images: list[np.ndarray], rows: raster.Rows, numbers: list[str], values: list[str], scale: Scale
    ) -> None:
        """Show these members, at most as many as there are places."""
        corners, many = self.corners[: len(images)], len(images)
        if self.mapper.palette != scale.palette:
            self.mapper.update(palette=scale.palette, high=len(scale.palette) - 0.5)
        x, y = corners[:, 0] + rows.left - self.left, corners[:, 1] + rows.bottom - self.bottom
        size = {"dw": np.full(many, rows.width), "dh": np.full(many, rows.height)}
        self.pictures.data = {"image": images, "x": x, "y": y, **size, "number": numbers}
        edge = 0.03 * self.wide
        self.labels.data = {
            "x": corners[:, 0] + edge,
            "right": corners[:, 0] + self.wide - edge,
            "y": corners[:, 1] + self.tall - edge,
            "number": numbers,
            "value": values,
        }
        self.values.visible = any(values)
        self.image.glyph.global_alpha = 1.0

    def fade(self) -> None:
        self.image.glyph.global_alpha = STALE

    def mark(self, slot: int | None) -> None:
        """Draw the ring around a place, or around none."""
        corners = self.corners[:0] if slot is None or slot >= self.count else self.corners[slot : slot + 1]
        self.ring.data = self._frames(corners)

    def on_choice(self, call: Callable[[int], None]) -> None:
        """Call with the place that was clicked, or that was on show when the play of members ended."""

        def tapped(event: Any) -> None:
            frames = self._frames(self.corners)
            inside = (frames["left"] <= event.x) & (event.x <= frames["right"])
            inside &= (frames["bottom"] <= event.y) & (event.y <= frames["top"])
            if inside.any():
                call(int(np.flatnonzero(inside)[0]))

        self.figure.on_event(Tap, tapped)
        self.told.on_change("data", lambda _name, _old, new: call(int(new["slot"][0])))

    def play_into(self, canvas: Canvas, pattern: str) -> None:
        """Where members that are played are shown large."""
        args = {"turn": self.turn, "told": self.told, "stamps": self.pictures, "ring": self.ring}
        args |= {"frames": self.frames, "picture": canvas.picture, "title": canvas.figure.title}
        self.turn.js_on_change("data", CustomJS(args={**args, "pattern": pattern}, code=TURN))
        self.figure.tags = [self.turn]  # nothing that is drawn holds it

    def play(self, beat: int, slot: int) -> None:
        """Show the next member every so many milliseconds, from this place on; 0 ends it."""
        self.turn.data = {"beat": [beat], "slot": [slot]}


def _columns(count: int, shape: float) -> int:
    """How many columns show this many stamps, so much wider than high, largest."""
    sizes = {each: min(SHAPE / (each * shape), 1 / math.ceil(count / each)) for each in range(1, count + 1)}
    return max(sizes, key=lambda each: sizes[each])
