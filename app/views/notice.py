"""Short notices that come and go: a run is done (with View), a text was copied.

A notice is told once, to whoever had the page open when it happened; what was done before the page was
opened stands in the list of runs and is no news.
"""

from __future__ import annotations

from html import escape
from typing import Any

import panel as pn
import panel_material_ui as pmui

from app import store
from app.state import RUN, State
from app.theme import Words, sheet
from app.views import View
from engine.journal import Run
from engine.methods import methods

STAYS = {"done": 12_000, "failed": 20_000, "": 2_500}  # ms


class Notice(View):
    """One line at the bottom of the map; a newer one takes its place."""

    def __init__(self, state: State, say: Words) -> None:
        super().__init__(state, say)
        self.tell = self._say
        self._known = {run.id: run.state for run in store.runs()}
        self._run: Run | None = None
        self._count = 0
        self._text = pn.pane.HTML(stylesheets=[sheet("told")], margin=0, align="center")
        self._view = pmui.Button(
            label=say("view"), variant="text", size="small", margin=(0, 4), align="center"
        )
        self._close = pmui.IconButton(
            icon="close", size="small", margin=0, align="center", description=say("close")
        )
        self._view.on_click(lambda _: self._show())
        self._close.on_click(lambda _: self._hide(self._count))
        self.panel = pn.Row(
            self._text,
            self._view,
            self._close,
            visible=False,
            margin=0,
            css_classes=["notice"],
            stylesheets=[sheet("notice")],
        )

    def follow(self) -> None:
        states = {run.id: run for run in store.runs()}
        for name, run in states.items():
            if run.state in ("done", "failed") and self._known.get(name) in ("queued", "running"):
                self._run = run
                title = self.say.method(run.task.method, methods().get(run.task.method))
                self._tell(self.say(f"told_{run.state}", title=title), run.state)
        self._known = {name: run.state for name, run in states.items()}

    def _say(self, text: str) -> None:
        self._run = None
        self._tell(text, "")

    def _tell(self, text: str, kind: str) -> None:
        self._count += 1
        self._text.object = f'<span class="{kind}">{escape(text)}</span>'
        self._view.visible = kind == "done"
        self.panel.visible = True
        count = self._count
        if pn.state.curdoc is not None:
            pn.state.curdoc.add_timeout_callback(lambda: self._hide(count), STAYS[kind])

    def _hide(self, count: int) -> None:
        if count == self._count and not self.closed:
            self.panel.visible = False

    def _show(self) -> None:
        run: Any = self._run
        if run is not None:
            self.state.param.update(
                screen="explore",
                case=store.case_of(run.task) or self.state.case,
                layer=RUN,
                run=run.id,
                time=self.state.within(run.task.period.times),
            )
        self._hide(self._count)
