"""The report of a run, as it will leave: to look at, to be given a title and notes, and every file to take.

A file is made when it is asked for, by a process of its own; the page stays as it is meanwhile. What is
written into the fields belongs to the run and goes into its reports once Update is pressed.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui

from app import files, store
from app.controls import FIELD
from app.delivery import address
from app.state import RUN, State, stamp
from app.theme import Words, sheet
from app.told import titled
from app.views import View
from engine.journal import Run
from engine.values import Invalid

REPORT = "report.html"


class Report(View):
    """Fields and files at the left, the report at the right."""

    screen = "report"

    def __init__(self, state: State, say: Words) -> None:
        super().__init__(state, say)
        self._run: Run | None = None
        self._waited: set[str] = set()
        self._problems: dict[str, str] = {}
        self.chosen = pmui.Select(label=say("report_of_run"), options={}, **FIELD)
        self.fields: dict[str, Any] = {
            "title": pmui.TextInput(label=say("report_title"), max_length=200, **FIELD),
            "author": pmui.TextInput(label=say("report_author"), max_length=200, **FIELD),
            "notes": pmui.TextAreaInput(label=say("report_notes"), rows=4, max_length=4000, **FIELD),
            "time": pmui.Select(label=say("report_maps_of"), options={}, **FIELD),
        }
        self.update = pmui.Button(
            label=say("report_update"), icon="refresh", variant="outlined", size="small", margin=(8, 16)
        )
        self._files = pn.pane.HTML(stylesheets=[sheet("files")], margin=(8, 16), sizing_mode="stretch_width")
        self._paper = pn.pane.HTML(stylesheets=[sheet("paper")], sizing_mode="stretch_both", margin=0)
        self._empty = pn.pane.HTML(
            f"<b>{escape(say('no_report'))}</b><span>{escape(say('no_report_hint'))}</span>",
            stylesheets=[sheet("empty")],
            margin=(60, 24),
            sizing_mode="stretch_width",
        )
        self._all = pn.Row(self._side(), self._paper, sizing_mode="stretch_both", margin=0)
        self.panel = pn.Column(self._empty, self._all, sizing_mode="stretch_both", margin=0)
        self.chosen.param.watch(lambda event: self._choose(event.new), "value")
        self.update.on_click(lambda _: self.write())
        self.watch(self.follow, "run", "layer")
        self.follow()

    def _side(self) -> Any:
        return pn.Column(
            self.chosen,
            *self.fields.values(),
            self.update,
            self._files,
            width=340,
            sizing_mode="stretch_height",
            scroll="y",
            margin=0,
            css_classes=["side"],
            stylesheets=[sheet("side")],
        )

    def follow(self) -> None:
        """The run on show if it has members, else the newest that has."""
        if not self.shown:
            return
        runs = {run.id: run for run in store.runs() if run.done}
        self._empty.visible, self._all.visible = not runs, bool(runs)
        if not runs:
            self._run = None
            return
        self.chosen.options = {self._name(run): name for name, run in runs.items()}
        mine = self._run.id if self._run else ""
        name = self.state.run if self.state.layer == RUN and self.state.run in runs else mine
        run = runs.get(name) or next(iter(runs.values()))
        if self._run is None or (run.id, run.done) != (self._run.id, self._run.done):
            self._show(run)

    def _name(self, run: Run) -> str:
        title = titled(run.task, self.say)
        return f"{title} · {run.id}"

    def _choose(self, name: str) -> None:
        run = store.run(name)
        if run is not None and self._run is not None and run.id != self._run.id:
            times = run.task.period.times
            case = store.case_of(run.task) or self.state.case
            self.state.param.update(case=case, layer=RUN, run=run.id, time=self.state.within(times))

    def _show(self, run: Run) -> None:
        """Another run, or more of the same."""
        self._run, told = run, files.said(store.journal(), run.id)
        self._waited.clear()
        self._problems.clear()
        self.chosen.value = run.id
        hours = {f"{self.say.moment(time)} UTC": stamp(time) for time in run.task.period.times}
        self.fields["time"].options = {self.say("report_whole_period"): "", **hours}
        for name, field in self.fields.items():
            value = getattr(told, name)
            field.value = value if name != "time" or value in hours.values() else ""
        self._paint()

    def write(self) -> None:
        """Keep what the fields say, and make the report anew."""
        if self._run is not None:
            said = files.Said(**{name: field.value or "" for name, field in self.fields.items()})
            files.say(store.journal(), self._run.id, said)
            self._waited.clear()
            self._paint()

    def _paint(self) -> None:
        """The report if it is made, and until then word that it is being made; and every file's size."""
        run = self._run
        if run is None:
            return
        paper = self._made(run, REPORT, make=True)
        if paper is not None:
            where = address(run.id, REPORT, self.state.language, save=False)
            name = escape(self.say("screen_report"))
            self._paper.object = f'<iframe src="{where}&made={paper.parent.name}" title="{name}"></iframe>'
        else:
            told = self._problems.get(REPORT) or self.say("report_being_made")
            self._paper.object = f"<p>{escape(told)}</p>"
        self._files.object = self._listed(run)

    def _made(self, run: Run, name: str, *, make: bool) -> Path | None:
        """Where a file lies, if it does; if wished it is made, and painted once it is."""
        language = self.state.language
        path = files.place(store.journal(), run.id, name, language)
        if path.exists() or not make or name in self._waited:
            return path if path.exists() else None
        _, wait = files.prepared(store.journal(), run.id, name, language)
        if wait is not None:
            self._waited.add(name)
            wait.add_done_callback(lambda done: self._failed(name, done.exception()))
            self.after([wait], self._paint)
        return None

    def _failed(self, name: str, problem: BaseException | None) -> None:
        if isinstance(problem, Invalid):
            self._problems[name] = str(problem)

    def _listed(self, run: Run) -> str:
        rows = []
        for name in files.FILES:
            path = self._made(run, name, make=False)
            size = _size(path.stat().st_size) if path else self.say("file_not_yet")
            where = address(run.id, name, self.state.language)
            label = escape(self.say(f"file_{name}"))
            rows.append(f'<a href="{where}" download><b>{label}</b><span>{escape(size)}</span></a>')
        return f"<h3>{escape(self.say('files'))}</h3>{''.join(rows)}"


def _size(many: int) -> str:
    return f"{many / 1e6:.1f} MB" if many >= 1e5 else f"{max(many / 1e3, 0.1):.1f} kB"
