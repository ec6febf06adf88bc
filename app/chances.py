"""The threshold of a probability, dragged: the map follows in the browser and the server is not asked.

The stack of an hour (`app.stack`) is sent once. At every step of the slider the browser counts, cell by cell,
the levels above the threshold, mixes the rows as `raster.Rows` does, and puts the classes into the picture
that the canvas already shows. Only when the hand lets go is the server told; what it then paints is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, CustomJS, CustomJSTickFormatter, Slider

from app.canvas import Canvas
from app.raster import Rows
from app.stack import AMOUNTS, MISSING
from app.theme import CHANCE, sheet

COUNT = """
const {codes, lower, weight, shape} = stack.data
const target = picture.data.image
if (!codes.length || !target.length) return
const [depth, tall, wide] = shape[0], cells = tall * wide, code = codes[0]
const share = new Float32Array(cells), image = target[0]
if (image.length !== lower[0].length * wide) return
for (let level = 0, at = 0; level < depth; level++)
  for (let cell = 0; cell < cells; cell++, at++) share[cell] += code[at] > slider.value
for (let cell = 0; cell < cells; cell++) share[cell] = code[cell] === missing ? NaN : share[cell] / depth
for (let row = 0, at = 0; row < lower[0].length; row++) {
  const low = lower[0][row] * wide, up = Math.fround(weight[0][row])
  for (let column = 0; column < wide; column++, at++) {
    const below = share[low + column], above = share[low + wide + column]
    let mixed = Math.fround(below + up * (above - below))
    if (mixed !== mixed) mixed = up < 0.5 ? below : above
    let grade = 0
    while (grade < edges.length && mixed >= edges[grade]) grade++
    image[at] = mixed !== mixed ? edges.length + 1 : grade
  }
}
picture.change.emit()
title.text = pattern.replace("{above}", amounts[slider.value])
"""


class Threshold:
    """A slider over `AMOUNTS` and the stack it looks into; it paints into a canvas."""

    def __init__(self, canvas: Canvas, label: str, pattern: str) -> None:
        amounts = [float(each) for each in AMOUNTS]
        self.stack = ColumnDataSource(_empty())
        self.told = ColumnDataSource({"index": []})
        # What the slider does while it is dragged stays in the browser.
        self.slider: Any = Slider(
            start=0,
            end=len(amounts) - 1,
            value=0,
            step=1,
            title=label,
            syncable=False,
            format=CustomJSTickFormatter(args={"amounts": amounts}, code="return `${amounts[tick]}`"),
            sizing_mode="stretch_width",
            margin=0,
            name="threshold",
            tooltips=False,
            stylesheets=[sheet("threshold")],
        )
        edges = np.array(CHANCE.edges, dtype="float32").tolist()
        count = CustomJS(
            args={
                "stack": self.stack,
                "picture": canvas.picture,
                "title": canvas.figure.title,
                "slider": self.slider,
                "amounts": amounts,
                "edges": edges,
                "missing": MISSING,
                "pattern": pattern,
            },
            code=COUNT,
        )
        self.slider.js_on_change("value", count)
        tell = CustomJS(args={"told": self.told}, code="told.data = {index: [cb_obj.value_throttled]}")
        self.slider.js_on_change("value_throttled", tell)

    def on_let_go(self, call: Callable[[float], None]) -> None:
        """Call with the threshold when the hand has let go of it."""

        def chosen(_attribute: str, _old: Any, new: Any) -> None:
            if len(new.get("index", ())):
                call(float(AMOUNTS[round(new["index"][0])]))

        self.told.on_change("data", chosen)

    def send(self, stack: np.ndarray, rows: Rows) -> None:
        """Give the browser another hour."""
        self.stack.data = {
            "codes": [stack.ravel()],
            "shape": [list(stack.shape)],
            "lower": [rows.lower.astype("int32")],
            "weight": [rows.weight.astype("float32")],
        }

    def forget(self) -> None:
        self.stack.data = _empty()


def _empty() -> dict[str, Any]:
    return {name: [] for name in ("codes", "shape", "lower", "weight")}
