"""The strip below the setup: how far the run is that is on show, or else the one under way.

It is where a run is watched from any screen, and stopped; everything else that can be done with runs stands
on their own screen.
"""

from __future__ import annotations

from html import escape

import panel as pn
import panel_material_ui as pmui

from app import store
from app.state import RUN, State
from app.theme import Words, sheet
from app.views import View
from engine.journal import Run
from engine.methods import methods


class Strip(View):
    """A line, a bar and Cancel, while there is something to wait for."""

    def __init__(self, state: State, say: Words) -> None:
        super().__init__(state, say)
        self._run = ""
        self._text = pn.pane.HTML(stylesheets=[sheet("card")], margin=0, sizing_mode="stretch_width")
        self._bar = pmui.LinearProgress(
            value=0, variant="determinate", sizing_mode="stretch_width", margin=(8, 0, 2, 0)
        )
        self._cancel = pmui.Button(
            label=say("cancel"),
            icon="stop",
            variant="text",
            color="error",
            size="small",
            margin=(0, 0, 0, -6),
        )
        self._cancel.on_click(lambda _: self._stop())
        self.panel = pn.Column(
            self._text,
            self._bar,
            self._cancel,
            visible=False,
            margin=(0, 16, 8, 16),
            sizing_mode="stretch_width",
        )
        self.watch(self.follow, "run", "layer")
        self.follow()

    def _stop(self) -> None:
        self._cancel.param.update(disabled=True, label=self.say("cancelling"))
        store.cancel(self._run)

    def follow(self) -> None:
        run = self._waited_for()
        self.panel.visible = run is not None
        if run is None:
            return
        self._run = run.id
        self._text.object = self._html(run)
        known = run.state == "running" and run.progress > 0
        self._bar.param.update(
            value=round(100 * run.progress), variant="determinate" if known else "indeterminate"
        )
        label = self.say("cancelling" if run.cancel else "cancel")
        self._cancel.param.update(disabled=bool(run.cancel), label=label)

    def _waited_for(self) -> Run | None:
        on_show = store.run(self.state.run) if self.state.layer == RUN else None
        if on_show and on_show.under_way:
            return on_show
        return next((run for run in reversed(store.runs()) if run.under_way), None)

    def _html(self, run: Run) -> str:
        say, task = self.say, run.task
        title = say.method(task.method, methods().get(task.method))
        left = "" if run.eta is None else say("left", time=say.duration(run.eta))
        done = say("members_of", n=run.done, of=task.members) if task.members > 1 else ""
        told = " · ".join(each for each in (say.stage(run.stage), done, left) if each)
        head = f"<header><b>{escape(title)}</b><span>{run.progress:.0%}</span></header>"
        return f"{head}<p>{escape(told or say('in_line'))}</p>"
