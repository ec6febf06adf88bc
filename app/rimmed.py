"""The gauges on a map: filled with what they report, on the map's scale, in a ring that tells their part.

While hours are on show the reports of all hours are sent ahead, where that is little: the browser then makes
a step in time by itself. Of an event the totals are sent when it is chosen.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from app import films, raster, store
from app.canvas import Canvas
from app.events import Event, When, rain_over
from app.state import State
from app.theme import Words, scale_of
from engine.fields import Observations
from engine.sources.cases import Case

RINGS = {"gauge_used": "#ffffff", "gauge_held_out": "#101418", "gauge_apart": "#9aa0a670"}


def parts(case: Case, state: State) -> list[str]:
    """Of every gauge, in the run on show or else in the one that the setup describes: a key of `RINGS`."""
    gauges = store.gauges(case)
    used, held = map(set, store.sides(case, state))
    return [
        "gauge_used" if name in used else "gauge_held_out" if name in held else "gauge_apart"
        for name in (gauges.names if gauges else [])
    ]


class Rimmed:
    """The gauges of a case on a canvas."""

    def __init__(self, canvas: Canvas, case: Case, state: State, say: Words) -> None:
        self.canvas, self.case, self.state, self.say = canvas, case, state, say
        self._worn: Any = None  # what gave them their colours
        self.scale, self.above = scale_of(""), 0.0
        self._ahead: Any = None  # what gave those in the browser theirs

    def wear(self, *worn: Any) -> None:
        """The scale of the map, the threshold of its chance, and the event if it shows one."""
        if worn != self._worn:
            self._worn = worn
            self.scale, self.above, _ = worn
            self.place()

    def place(self) -> None:
        gauges = store.gauges(self.case)
        if gauges is None:
            return
        part = parts(self.case, self.state)
        self._send_ahead(gauges)
        level, value = self._levels(gauges, self.state.when)
        self.canvas.show_unit(self.say.unit(self.state.when))
        self.canvas.dots.data = {
            "x": raster.to_x(gauges.lon),
            "y": raster.to_y(gauges.lat),
            "name": gauges.names,
            "ring": [RINGS[each] for each in part],
            "role": [self.say(each) for each in part],
            "level": level,
            "value": value,
        }

    def colour(self) -> None:
        """What they report at the time on show, unless the browser knows it."""
        gauges = store.gauges(self.case)
        there = len(self.canvas.dots.data["x"]) > 0
        if gauges is not None and there and self.state.gauges and self._ahead is None:
            level, value = self._levels(gauges, self.state.when)
            self.canvas.dots.patch({"level": [(slice(None), level)], "value": [(slice(None), value)]})

    def _send_ahead(self, gauges: Observations) -> None:
        of_hours = not isinstance(self.state.when, Event) and 5 * gauges.values.size < films.MOST // 2
        wanted = (self.scale, self.above) if of_hours else None
        if wanted == self._ahead:
            return
        self._ahead = wanted
        times = gauges.rain.indexes["time"] if wanted else []
        told = [self._levels(gauges, time) for time in times]
        self.canvas.readings.data = {
            "time": [time.timestamp() * 1e3 for time in times],
            "level": [level for level, _ in told],
            "value": [value for _, value in told],
        }

    def _levels(self, gauges: Observations, when: When | None) -> tuple[np.ndarray, np.ndarray]:
        values = _reported(gauges, when).astype(np.float32)
        # The colours of a gauge mean what the map's mean: it exceeded the threshold or not; it has no spread.
        over = np.where(np.isnan(values), np.float32(np.nan), values > self.above)
        shown = {"rain": values, "grade": values, "chance": over}.get(self.scale.name, 0 * values)
        return raster.classes(shown, self.scale.edges), values


def _reported(gauges: Observations, when: When | None) -> np.ndarray:
    """Rain at a time or over an event; no value where there is none."""
    nothing = np.full(len(gauges), np.nan)
    if isinstance(when, Event):
        found = rain_over(gauges.rain, when)
        return nothing if found is None else found.values
    at = gauges.rain.indexes["time"].get_indexer([when])[0] if when is not None else -1
    return gauges.values[:, at] if at >= 0 else nothing
