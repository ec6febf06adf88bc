"""The runs: who is in the line, how far they are, and what can be done about it. The same for every session.

The list stands at the left, the run that is chosen at the right; of two to four runs that are ticked, what
differs in their tasks. The list is read when the journal's version moved, never on a timer of its own, and
only what changed in it is sent.
"""

from __future__ import annotations

from html import escape
from typing import Any

import panel as pn
import panel_material_ui as pmui

from app import store
from app.docket import Docket, progress
from app.glimpse import glimpse
from app.listing import Listing
from app.state import RUN, State
from app.theme import Words, sheet
from app.told import differing, titled
from app.views import View
from engine.journal import Run
from engine.values import Invalid

PICTURED = 60  # of the newest runs have a picture in the list
SMALL, LARGE = 56, 300  # pixels
MOST = 4  # runs that are compared


class Runs(View):
    """The list, the newest first, and what is chosen in it."""

    screen = "runs"

    def __init__(self, state: State, say: Words) -> None:
        super().__init__(state, say)
        self._runs: dict[str, Run] = {}
        self._gone = ""
        self.list = Listing(stylesheets=[sheet("runlist")], margin=0, sizing_mode="stretch_width")
        self.docket = Docket(say, self._act)
        self._table = pn.pane.HTML(stylesheets=[sheet("facts")], margin=(18, 22), sizing_mode="stretch_width")
        self._empty = pn.pane.HTML(
            f"<b>{escape(say('no_runs'))}</b><span>{escape(say('no_runs_hint'))}</span>",
            stylesheets=[sheet("empty")],
            margin=(60, 24),
            sizing_mode="stretch_width",
        )
        scrolls: dict[str, Any] = {"sizing_mode": "stretch_height", "scroll": "y", "margin": 0}
        self._left = pn.Column(
            self._undo_line(),
            self.list,
            width=384,
            css_classes=["side"],
            stylesheets=[sheet("side")],
            **scrolls,
        )
        right = pn.Column(
            self.docket.panel, self._table, **scrolls | {"sizing_mode": "stretch_both"}, min_width=0
        )
        self._all = pn.Row(self._left, right, sizing_mode="stretch_both", margin=0)
        self.panel = pn.Column(self._empty, self._all, sizing_mode="stretch_both", margin=0)
        self.list.param.watch(lambda _: self._choose(), ["chosen", "ticked"])
        self.follow()

    def _undo_line(self) -> Any:
        self._undone = pn.pane.HTML(stylesheets=[sheet("card")], margin=(4, 8, 0, 14))
        back = pmui.Button(label=self.say("undo"), icon="undo", variant="text", size="small", margin=0)
        back.on_click(lambda _: self.undo())
        self._line = pn.Row(self._undone, back, visible=False, margin=(8, 0, 4, 0))
        return self._line

    def follow(self) -> None:
        self._runs = {run.id: run for run in store.runs()}
        self.list.rows = [self._row(run) for run in self._runs.values()]
        here = self._runs.keys()
        if self.list.chosen not in here:
            shown = self.state.run if self.state.layer == RUN and self.state.run in here else ""
            self.list.chosen = shown or next(iter(here), "")
        if len(ticked := [each for each in self.list.ticked if each in here]) != len(self.list.ticked):
            self.list.ticked = ticked
        self._empty.visible, self._all.visible = not here, bool(here) or bool(self._gone)
        self._choose()
        self._draw()

    def _row(self, run: Run) -> dict[str, Any]:
        say, task = self.say, run.task
        lines = [say.period(task.period.start, task.period.end)]
        if run.under_way:
            lines.append(progress(run, self._before(run), say))
        else:
            rows, columns = task.grid.shape
            lines.append(say("run_about", rows=rows, columns=columns, members=task.members))
        return {
            "id": run.id,
            "title": titled(task, say),
            "state": run.state,
            "chip": say("pinned") if run.pinned and run.state == "done" else say(f"state_{run.state}"),
            "lines": lines,
            "progress": round(run.progress, 2) if run.under_way else -1,
            "tick": say("compare_this", run=run.id),
        }

    def _before(self, run: Run) -> int:
        return sum(each.under_way and each.created < run.created for each in self._runs.values())

    def _choose(self) -> None:
        """The run that is chosen, or what differs between those that are ticked."""
        ticked = [self._runs[each] for each in self.list.ticked if each in self._runs][:MOST]
        run = self._runs.get(self.list.chosen)
        self.docket.panel.visible = run is not None and len(ticked) < 2
        self._table.visible = bool(ticked)
        if run is not None:
            self.docket.show(run, self._before(run), self.state.language)
            picture, wait = glimpse(run, LARGE)
            self.docket.picture(picture)
            if wait is not None:
                self.after([wait], self._choose)
        if ticked:
            self._table.object = self._compared(ticked)

    def _draw(self) -> None:
        """Pictures for the newest rows; those that are not known yet come later."""
        known, waits = dict(self.list.pictures), []
        for run in list(self._runs.values())[:PICTURED]:
            picture, wait = glimpse(run, SMALL)
            if picture:
                known[run.id] = picture
            if wait is not None:
                waits.append(wait)
        if known != self.list.pictures:
            self.list.pictures = known
        self.after(waits, self._draw)

    def _compared(self, runs: list[Run]) -> str:
        say = self.say
        if len(runs) == 1:
            return f"<p>{escape(say('compare_hint', most=MOST))}</p>"
        table = differing([run.task for run in runs], say)
        heads = "".join(f"<th>{escape(run.id)}</th>" for run in runs)
        rows = "".join(
            f"<tr><th>{escape(label)}</th>{''.join(f'<td>{escape(each)}</td>' for each in values)}</tr>"
            for label, values in table.items()
        )
        told = say("differ", n=len(runs)) if table else say("same_task")
        return f"<h3>{escape(told)}</h3><table><thead><tr><th></th>{heads}</tr></thead>{rows}</table>"

    # What can be done

    def _act(self, what: str, run: Run) -> None:
        acts = {
            "view": lambda: self._go(run, "explore"),
            "report": lambda: self._go(run, "report"),
            "cancel": lambda: store.cancel(run.id),
            "resume": lambda: store.resume(run.id),
            "clone": lambda: self._clone(run),
            "copy_details": lambda: self.copy(f"{run.error}\n\n{store.details(run.id)}"),
            "pin": lambda: store.journal().update(run.id, pinned=not run.pinned),
            "delete": lambda: self._delete(run),
            "file": lambda: self.tell(self.say("file_on_its_way")),
        }
        try:
            acts[what]()
        except Invalid as refused:
            self.tell(str(refused))
        if not self.closed and what in ("pin", "delete"):
            self.follow()

    def _go(self, run: Run, screen: str) -> None:
        """Show a run, at the hour on show if the run has it."""
        state = self.state
        state.param.update(
            screen=screen,
            case=store.case_of(run.task) or state.case,
            layer=RUN,
            run=run.id,
            time=state.within(run.task.period.times),
        )

    def _clone(self, run: Run) -> None:
        tell, told = self.tell, self.say("cloned", run=run.id)  # another case makes the page anew
        self.state.take(run.task)
        tell(told)

    def _delete(self, run: Run) -> None:
        store.journal().delete(run.id)
        self._gone = run.id
        self._undone.object = f"<p>{escape(self.say('deleted', run=run.id))}</p>"
        self._line.visible = True
        if self.state.run == run.id:
            self.state.param.update(run="", layer=store.fields(store.case(self.state.case))[0])

    def undo(self) -> None:
        store.journal().restore(self._gone)
        self.list.chosen, self._gone, self._line.visible = self._gone, "", False
        self.follow()
