"""The maps: one, two or four side by side, or two in one; their legends, and a readout of everything below.

All maps share the window, the time and, for each quantity, the scale and the legend. Two are compared in one
place by a curtain between them or by turns, both in the browser, or as the difference of the first and the
second, which has a scale of its own. What each shows is in `app.chosen`; how it is shown in `app.pane`.
"""

from __future__ import annotations

from concurrent.futures import Future
from html import escape
from typing import Any

import numpy as np
import panel as pn

from app import chosen, store
from app.canvas import Canvas
from app.curtain import Curtain
from app.drawing import Drawing
from app.events import When
from app.films import Pair
from app.legend import legend, rings
from app.pane import Pane
from app.pictures import Picture, Shown, nearest
from app.state import EXTENT, RUN, SPLIT, State
from app.theme import Words, sheet
from app.views import View

LAID = {1: "one", 2: "two", 4: "four"}


class Map(View):
    """The maps with everything that lies on them."""

    screen = "explore"

    def __init__(self, state: State, say: Words) -> None:
        super().__init__(state, say)
        self.case = store.case(state.case)
        self.panes: list[Pane] = []
        self._head: Any = None
        self._cursor: tuple[float, float] | None = None
        self._asked: dict[str, Future[Any]] = {}  # totals of sources that the readout waits for
        self._legend = pn.pane.HTML(stylesheets=[sheet("legend")], css_classes=["legend"], margin=0)
        self._readout = pn.pane.HTML(
            stylesheets=[sheet("readout")], css_classes=["readout"], margin=0, sizing_mode="stretch_width"
        )
        self._curtain = Curtain(
            told=say("curtain"), css_classes=["curtain"], stylesheets=[sheet("curtain")], margin=0
        )
        self._stage = pn.Column(sizing_mode="stretch_both", margin=0, stylesheets=[sheet("stage")])
        self.panel = pn.Column(self._stage, self._legend, self._readout, sizing_mode="stretch_both", margin=0)
        self._watch_state()
        self.arrange()
        self.drawing = Drawing(self, self.canvas)

    def _watch_state(self) -> None:
        what = ("layer", "run", "statistic", "member", "above", "others")
        for call, *names in (
            (self.arrange, "panes", "compare"),
            (self.paint, *what, "event", "palette"),
            (self._step, "time"),
            (self._show_hours, "screen"),
            (self._show_legend, *SPLIT, *EXTENT, "gauges"),
        ):
            self.watch(lambda call=call: self.soon(call), *names)

    @property
    def canvas(self) -> Canvas:
        return self.panes[0].canvas

    def lead(self, head: Any) -> None:
        """Follow a play head in the browser; its tags are the frames that it can show by itself."""
        self._head = head
        self._join()

    def _join(self) -> None:
        """Tie new maps to what they share with others, once the browser has them."""
        for pane in self.panes:
            pane.canvas.join(self._head)
        self._show_hours()

    def _show_hours(self) -> None:
        if self._head is not None:
            joined = [pane.canvas for pane in self.on_show if pane.canvas.joined]
            self._head.tags = [canvas.frames for canvas in joined] if self.shown else []

    @property
    def on_show(self) -> list[Pane]:
        return [pane for pane in self.panes if pane.panel.visible]

    def arrange(self) -> None:
        """As many maps as are asked for, where they belong."""
        state = self.state
        count = {"none": state.panes, "difference": 1}.get(state.compare, 2)
        if len(self.panes) < count:
            self._add()
        over = state.compare if state.compare in ("swipe", "flicker") else ""
        for place, pane in enumerate(self.panes):
            pane.panel.visible = place < count
            pane.picker.panel.visible = count > 1 and not over
            upper = bool(over) and place == 1
            pane.panel.css_classes = ["pane", over] if upper else ["pane"]
            pane.plate.css_classes = ["plate", *["right"] * upper, *["small"] * (count == 4)]
        self._curtain.drawn = over == "swipe"
        self._stage.css_classes = ["stage", "over" if over else LAID[count]]
        self._legend.css_classes = ["legend"] if count == 1 or over else ["legend", "below"]
        self.paint()
        self._show_hours()
        if len(self.panes) < count:  # a map takes a while to make: one at a time, others have their turn
            self.next_tick(self.arrange)

    def _add(self) -> None:
        pane = Pane(self.state, self.say, len(self.panes), self.canvas if self.panes else None)
        pane.canvas.on_cursor(self._point)
        pane.told = self._tell_all
        if not self.panes:
            pane.canvas.on_window(lambda bounds: self.state.param.update(window=bounds))
        pane.canvas.on_drawn(self._join)
        self.panes.append(pane)
        self._stage.objects = [*(each.panel for each in self.panes), self._curtain]

    def paint(self) -> None:
        """Show what was chosen, as far as it is known now."""
        self._asked.clear()
        shown = chosen.all_of(self.state, self.case)
        if self.state.compare == "difference":
            self.panes[0].show(Pair(shown[0], shown[1]))
        else:
            for pane, each in zip(self.on_show, shown, strict=False):
                pane.show(each)
        self._show_legend()

    def _step(self) -> None:
        if not self.state.event:  # else the map does not tell of the time
            for pane in self.on_show:
                pane.paint()

    def _show_legend(self) -> None:
        self._legend.object = self._legend_html()

    def _tell_all(self) -> None:
        self._read()

    def warm(self) -> None:
        """Read the other layers too, for the readout."""
        self.after(store.warm(self.case), self._read)

    def follow(self) -> None:
        for pane in self.on_show:
            if isinstance(pane.asked, Pair) or (pane.asked and pane.asked.layer == RUN):
                pane.paint()
            if pane.picker.panel.visible and isinstance(pane.asked, Shown):
                pane.picker.follow(pane.asked, self.state.when)

    def close(self) -> None:
        super().close()
        if self._head is not None:
            self._head.tags = []
        for pane in self.panes:
            pane.close()

    def _legend_html(self) -> str:
        """One for each quantity on show."""
        told: dict[Any, list[str]] = {}
        for pane in self.on_show:
            if isinstance(pane.asked, Shown):
                what = "" if pane.asked.layer != RUN else pane.name(pane.asked)[1]
            else:
                what = self.say("difference_of")
            above = pane.asked.above if isinstance(pane.asked, Shown) else 0.0
            of = told.setdefault((pane.scale, above), [])
            if what not in of:
                of.append(what)
        when, step = self.state.when, self.case.period.step
        parts = [
            legend(self.say, scale, ", ".join(filter(None, of)), above, when, step)
            for (scale, above), of in told.items()
        ]
        return "".join(parts) + rings(self.say, self.case, self.state)

    # The readout

    def _point(self, lon: float, lat: float) -> None:
        self._cursor = (lon, lat)
        self._read()

    def _read(self) -> None:
        self._readout.object = self._readout_html()

    def _readout_html(self) -> str:
        say, when, step = self.say, self.state.when, self.case.period.step
        if self._cursor is None or when is None:
            return f"<span>{escape(say('readout_empty'))}</span>"
        told = (say.when(when, step), f"{say.unit(when)}, {say.span(when, step)}")
        place = say.place(self._cursor[1], self._cursor[0])
        parts = [f"<b>{escape(place)}</b>", *(f"<em>{escape(each)}</em>" for each in told)]
        active = set()
        for pane in self.on_show:
            asked, scale = pane.asked, pane.scale.name
            if isinstance(asked, Shown) and asked.layer != RUN:
                active.add(asked.layer)
            elif isinstance(asked, Shown):
                title = ", ".join(filter(None, pane.name(asked)))
                parts.append(self._value(title, pane.picture, scale, active=True))
            elif asked is not None:
                parts.append(self._value(say("compare_difference"), pane.picture, scale, active=True))
        for name in store.fields(self.case):
            title = say.layer(name, self.case.layers[name])
            parts.append(self._value(title, self._source(name, when), "rain", active=name in active))
        return "".join(parts)

    def _source(self, name: str, when: When) -> Picture | None:
        """A source that has been read. Its total over an event takes a while, and is asked for once."""
        if name in self._asked and (not self._asked[name].done() or self._asked[name].exception()):
            return None
        if not store.loaded(self.case, name):
            return None
        found, wait = store.picture(Shown(self.case.name, name), when)
        if wait is not None:
            self._asked[name] = wait
            self.after([wait], self._read)
        return found

    def _value(self, title: str, picture: Picture | None, scale: str, *, active: bool) -> str:
        lon, lat = self._cursor or (0.0, 0.0)
        value = nearest(picture, lat, lon) if picture else None
        if value is None:
            told = "–"
        elif np.isnan(value):
            told = self.say("missing")
        elif scale == "chance":
            told = f"{100 * value:.0f} %"
        else:
            told = f"{value:+.1f}" if scale == "difference" else f"{value:.1f}"
        return f'<span class="{"on" if active else ""}">{escape(title)} <b>{escape(told)}</b></span>'
