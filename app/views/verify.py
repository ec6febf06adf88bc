"""Verify: is the ensemble honest? What judges it and how independent that is, the verdict, scores, figures.

The verdict comes first, for it is what a reader wants to know and what numbers alone hide. Gauges chosen on
the little map or among their totals, and hours chosen in the row of hours, filter everything at gauges. What
is asked for is computed elsewhere (`app.judging`); until it is there the old one stays, paler.

Figures are made one row at a time, with a turn of the server's loop between two, when there is first
something to draw: nobody who waits for another page waits for this one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from html import escape
from typing import Any

import panel as pn
import panel_material_ui as pmui

from app import judging, store
from app.exhibits import Exhibit, framed, little_map
from app.heads import Head, label, unjudged
from app.judging import Asked, Judgement, Shapes
from app.plots import JUDGE, strokes
from app.scoreboard import Scoreboard, key
from app.state import State
from app.theme import Words, sheet
from app.views import View
from engine.journal import Run

ROWS = (
    ("totals",),
    ("hours", "scatter"),
    ("quantiles", "ranks"),
    ("reliability", "spread"),
    ("spectrum", "variogram"),
    ("ellipse",),
)
OF_FIELDS = ("spectrum", "variogram", "ellipse")
SCORED = ("ranks", "reliability", "spread")
HOLD_OUT = 0.2
FRESH, STALE = {"opacity": "1"}, {"opacity": "0.6"}


class Verify(View):
    """The whole screen."""

    screen = "verify"

    def __init__(self, state: State, say: Words) -> None:
        super().__init__(state, say)
        self.case = store.case(state.case)
        self.exhibits: dict[str, Exhibit] = {}
        self.judgement: Judgement | None = None
        self.gauges: tuple[int, ...] = ()
        self.hours: tuple[int, ...] = ()
        self._asked: Asked | None = None
        self._shapes: Shapes | None = None
        self._turn, self._map = 0, None
        self.head = Head(state, say, self.case)
        self._make()
        self.watch(self._run_changed, "run")
        self.watch(self.paint, "judge")
        self.watch(self.wear, "dark")
        self.head.others.param.watch(lambda _: self.paint(), "value")
        self.paint()

    def _make(self) -> None:
        say = self.say
        self._blank = pn.pane.HTML(stylesheets=[sheet("empty")], margin=(60, 24, 12, 24), width=560)
        self._offer = pmui.Button(
            label=say("judge_offer"), variant="contained", margin=(0, 24), disable_elevation=True
        )
        self._offer.on_click(lambda _: self._hold_out())
        self._wait = pmui.LinearProgress(sizing_mode="stretch_width", margin=(2, 0), variant="indeterminate")
        self._told = pn.pane.HTML(stylesheets=[sheet("chosen")], margin=(8, 0))
        self._clear = pmui.Button(label=say("choose_all"), icon="close", variant="text", size="small")
        self._clear.on_click(lambda _: self._choose_all())
        self._chosen = pn.Row(self._told, self._clear, margin=(0, 6), visible=False)
        wide: Any = {"margin": (4, 6), "sizing_mode": "stretch_width"}
        self.board = Scoreboard(say)
        self._key = pn.pane.HTML(stylesheets=[sheet("key")], **wide)
        self._grid = pn.Column(margin=0, sizing_mode="stretch_width")
        threshold = say("threshold", unit=say("unit_rate"))
        self.grade = pmui.Select(label=threshold, size="small", width=150, variant="outlined")
        self.grade.param.watch(lambda _: self._draw_again("reliability"), "value")
        parts = (self.head.verdict, self._chosen, *self.board.panels, self._key, self._grid)
        self._body = pn.Column(*parts, margin=0, sizing_mode="stretch_width")
        self._empty = pn.Column(self._blank, self._offer, align="center", margin=0)
        self.panel = pn.Column(
            self.head.panel,
            self._wait,
            self._empty,
            self._body,
            sizing_mode="stretch_both",
            margin=0,
            scroll="y",
            styles={"padding": "10px 18px 24px"},
        )

    # What is asked for, and whether it can be

    def follow(self) -> None:
        """Runs changed. One that is under way is judged anew when it has ended, not with every member."""
        self.head.follow()
        run = self.head.run
        if self.judgement is None or run is None or not run.under_way:
            self.paint()

    def _run_changed(self) -> None:
        self.gauges = self.hours = ()
        self._shapes = None
        self.paint()

    def paint(self) -> None:
        self.head.follow()
        run = self.head.run
        reason = unjudged(run)
        if reason or run is None:
            self._show_blank(*reason)
            return
        others = tuple(self.head.others.value)
        asked = Asked(run.id, self.state.judge, others, self.gauges, self.hours)
        found, wait = judging.judgement(asked)
        self._wait.visible = wait is not None
        if wait is not None:
            self._empty.visible = False
            self._body.styles = STALE
            self.after([wait], self.paint)
        elif isinstance(found, str):
            self._show_blank("judge_refused", found)
        elif asked != self._asked or found is not self.judgement:
            self._asked, self.judgement = asked, found
            self._show(run)
        else:
            self._body.styles = FRESH

    def _show_blank(self, word: str = "judge_no_run", line: str = "") -> None:
        say = self.say
        told = escape(line) if line else escape(say(f"{word}_hint"))
        self._blank.object = f"<b>{escape(say(word))}</b><span>{told}</span>"
        self._offer.visible = word == "judge_no_hold_out"
        self._empty.visible, self._body.visible, self._wait.visible = True, False, False
        self.judgement = self._asked = None

    def _hold_out(self) -> None:
        self.state.hold_out = HOLD_OUT
        self.tell(self.say("judge_offered"))

    # What is shown

    def _show(self, run: Run) -> None:
        found = self.judgement
        if found is None:
            return
        self._empty.visible, self._body.visible, self._body.styles = False, True, FRESH
        self.head.show(run, found)
        self._in_turn([self._show_scores, *self._steps(ROWS[:4]), self._fields])

    def _in_turn(self, steps: Sequence[Callable[[], Any]]) -> None:
        """One after the other, with a turn of the loop between two; newer ones take the place of older."""
        self._turn += 1
        left, turn = list(steps), self._turn

        def go() -> None:
            if left and turn == self._turn:
                left.pop(0)()
                self.next_tick(go)

        go()

    @property
    def _dress(self) -> str:
        return "dark" if self.state.dark else "light"

    @property
    def _label(self) -> Callable[[str], str]:
        return partial(label, self.say, self.case, self.judgement)

    def _show_scores(self) -> None:
        found, say = self.judgement, self.say
        if found is None:
            return
        self._chosen.visible = found.gauges < found.of_gauges or bool(self.hours)
        self._told.object = escape(
            say("chosen", n=found.gauges, of=found.of_gauges, hours=found.hours, reports=found.reports)
        )
        self.board.show(found, self._label, self.head.chips(found))
        grades = {f"{each:g}": each for each in found.thresholds}
        if grades and self.grade.options != grades:
            self.grade.param.update(options=grades, value=found.thresholds[min(1, len(grades) - 1)])
        self._show_key()

    def _show_key(self) -> None:
        colours = strokes(self._names(), self._dress)
        self._key.object = key(self.say, self._label, [JUDGE, *self._names()], colours)

    def _names(self) -> list[str]:
        """What has a colour of its own: the run, what stands beside it, and what fields add."""
        if self.judgement is None:
            return []
        names = [row["of"] for row in self.judgement.tables["quantiles"].rows]
        names += [row["of"] for row in self._shapes.tables["ellipse"].rows] if self._shapes else []
        return list(dict.fromkeys(names))

    def _draw(self, name: str) -> None:
        """Draw a figure; the first time it is made."""
        if self.judgement is None or not self._names():
            return
        new = name not in self.exhibits
        if new:
            self.exhibits[name] = Exhibit(name, self.say, [self.grade] if name == "reliability" else [])
        self._draw_again(name)
        if new:  # dressed before the browser knows it: what is changed later is one more message
            self.exhibits[name].plot.wear(strokes(self._names(), self._dress), self._dress)

    def _attach(self, row: Sequence[str]) -> None:
        """Put a new row on the page; what this costs grows with the page and not with the row."""
        if ROWS.index(row) < len(self._grid) or row[0] not in self.exhibits:
            return
        panels = [self.exhibits[name].panel for name in row]
        if self._map is not None and row == ROWS[0]:
            small_map = pn.pane.Bokeh(self._map, sizing_mode="stretch_width", margin=0)
            panels.insert(0, framed("map", self.say, small_map))
        self._grid.append(pn.Row(*panels, sizing_mode="stretch_width", margin=0))

    def _steps(self, rows: Sequence[Any]) -> list[Callable[[], None]]:
        return [
            step
            for row in rows
            for step in (*(partial(self._draw, name) for name in row), partial(self._attach, row))
        ]

    def _draw_again(self, name: str) -> None:
        if name in self.exhibits and self.judgement is not None:
            self._fill(name, self.judgement)
            self.exhibits[name].panel.visible = self.judgement.enough or name not in SCORED

    def _fill(self, name: str, found: Judgement) -> None:
        exhibit, own = self.exhibits[name], self._names()[0]
        key = f"reliability {self.grade.value:g}" if name == "reliability" and self.grade.value else name
        if name == "scatter":
            self._fill_scatter(exhibit, found)
            return
        tables = self._shapes.tables if name in OF_FIELDS and self._shapes else found.tables
        table = tables.get(key)
        source = exhibit.show(table, self._label, table, own)
        if source is not None:  # of a figure in which something can be chosen
            self._hear(source, "hours" if name == "hours" else "gauges")
            if name == "totals" and self._map is None:
                self._map = little_map(self.case.box, source)

    def _fill_scatter(self, exhibit: Exhibit, found: Judgement) -> None:
        """Its pairs come a little later than the numbers."""
        if self._asked is None:
            return
        pairs, wait = judging.density(self._asked)
        if wait is not None:
            self.after([wait], partial(self._draw_again, "scatter"))
        elif not isinstance(pairs, str):
            exhibit.show(found.tables["scatter"], self._label, pairs)

    def _hear(self, source: Any, what: str) -> None:
        """Choices in a figure; its source stays the same one, so it is asked once."""
        if "chosen" in source.tags:
            return
        source.tags = ["chosen"]

        def chosen(_attribute: str, _old: Any, new: Any) -> None:
            if tuple(sorted(new)) != getattr(self, what):
                setattr(self, what, tuple(sorted(new)))
                self.paint()

        source.selected.on_change("indices", chosen)

    def _choose_all(self) -> None:
        for name in ("totals", "hours"):
            if name in self.exhibits and (source := self.exhibits[name].plot.source("dots")):
                source.selected.indices = []
        self.gauges = self.hours = ()
        self.paint()

    def _fields(self) -> None:
        """Spectra and shapes of whole fields come when they are ready; no choice at gauges changes them."""
        if self._asked is None:
            return
        found, wait = judging.shapes(self._asked)
        if wait is not None:
            self.after([wait], self._fields)
        elif isinstance(found, Shapes) and found is not self._shapes:
            self._shapes = found
            self._show_key()
            self._in_turn([*self._steps(ROWS[4:]), self.wear])

    def wear(self) -> None:
        colours = strokes(self._names(), self._dress)
        for exhibit in self.exhibits.values():
            exhibit.plot.wear(colours, self._dress)
        self._show_key()
