"""The runs: who is in the line, how far they are, and what can be done about it. The same for every session.

A card is kept for as long as its run is listed and only what changed in it is sent; the list is read when
the journal's version moved, never on a timer of its own.
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

LISTED = 24
RESUMABLE = ("cancelled", "failed", "interrupted")


class Runs(View):
    """Cards, the newest first."""

    screen = "runs"

    def __init__(self, state: State, say: Words) -> None:
        super().__init__(state, say)
        self.cards: dict[str, Card] = {}
        self._empty = pn.pane.HTML(
            f"<b>{escape(say('no_runs'))}</b><span>{escape(say('no_runs_hint'))}</span>",
            stylesheets=[sheet("empty")],
            margin=(28, 24),
            sizing_mode="stretch_width",
        )
        self._list = pn.Column(
            self._empty,
            sizing_mode="stretch_width",
            margin=0,
            scroll="y",
            styles={"flex": "1 1 0", "min-height": "0"},
        )
        self.panel = pn.Column(self._list, sizing_mode="stretch_both", margin=0)
        self.watch(self._mark, "run", "layer")
        self.follow()

    def follow(self) -> None:
        listed = store.runs()[:LISTED]
        known = {run.id for run in listed}
        for gone in set(self.cards) - known:
            del self.cards[gone]
        for run in listed:
            if run.id in self.cards:
                self.cards[run.id].show(run)
            else:
                self.cards[run.id] = Card(self, run)
        wanted = [self.cards[run.id].panel for run in listed] or [self._empty]
        if list(self._list) != wanted:
            self._list[:] = wanted
        self._mark()

    def _mark(self) -> None:
        on_show = self.state.run if self.state.layer == RUN else ""
        for name, card in self.cards.items():
            card.mark(name == on_show)

    def view(self, run: Run) -> None:
        """Show a run on the map, at the hour on show if the run has it."""
        state = self.state
        state.param.update(
            screen="explore",
            case=store.case_of(run.task) or state.case,
            layer=RUN,
            run=run.id,
            time=self.state.within(run.task.period.times),
        )


class Card:
    """One run."""

    def __init__(self, view: Runs, run: Run) -> None:
        self.view, self.say, self._run = view, view.say, run
        say = self.say
        self._text = pn.pane.HTML(stylesheets=[sheet("card")], margin=0, sizing_mode="stretch_width")
        self._bar = pmui.LinearProgress(
            value=0, variant="determinate", sizing_mode="stretch_width", margin=(6, 0, 4, 0)
        )
        small = {"size": "small", "margin": (0, 6, 0, 0)}
        self._view = pmui.Button(label=say("view"), icon="visibility", variant="text", **small)
        self._cancel = pmui.Button(label=say("cancel"), icon="stop", variant="text", color="error", **small)
        self._resume = pmui.Button(label=say("resume"), icon="replay", variant="text", **small)
        self._details = pmui.Button(label=say("copy_details"), icon="content_copy", variant="text", **small)
        self._view.on_click(lambda _: view.view(self._run))
        self._cancel.on_click(lambda _: self._stop())
        self._resume.on_click(lambda _: self._go_on())
        self._details.on_click(lambda _: view.copy(f"{self._run.error}\n\n{store.details(self._run.id)}"))
        buttons = pn.Row(self._view, self._cancel, self._resume, self._details, margin=(2, 0, 0, -6))
        self.panel = pn.Column(
            self._text,
            self._bar,
            buttons,
            margin=(6, 12, 2, 12),
            sizing_mode="stretch_width",
            css_classes=["run"],
            stylesheets=[sheet("run")],
            name=run.id,
        )
        self.show(run)

    def _stop(self) -> None:
        """The click is acknowledged here and now; the journal follows."""
        self._cancel.param.update(disabled=True, label=self.say("cancelling"))
        store.cancel(self._run.id)

    def _go_on(self) -> None:
        store.resume(self._run.id)

    def show(self, run: Run) -> None:
        self._run = run
        self._text.object = self._html(run)
        self._bar.param.update(
            value=round(100 * run.progress),
            visible=run.under_way,
            variant="determinate" if run.state == "running" and run.progress > 0 else "indeterminate",
        )
        self._view.visible = bool(run.done) or run.under_way
        asked = run.cancel and run.under_way
        self._cancel.param.update(
            visible=run.under_way, disabled=asked, label=self.say("cancelling" if asked else "cancel")
        )
        self._resume.visible = run.state in RESUMABLE
        self._details.visible = run.state == "failed"

    def mark(self, on_show: bool) -> None:
        wanted = ["run", "on"] if on_show else ["run"]
        if self.panel.css_classes != wanted:
            self.panel.css_classes = wanted

    def _html(self, run: Run) -> str:
        say, task = self.say, run.task
        title = say.method(task.method, methods().get(task.method))
        period = f"{say.moment(task.period.start)} – {say.moment(task.period.end)} UTC"
        rows, columns = task.grid.shape
        about = say("run_about", rows=rows, columns=columns, members=task.members)
        chip = f'<i class="{run.state}">{escape(say(f"state_{run.state}"))}</i>'
        lines = [
            f"<header><b>{escape(title)}</b>{chip}</header>",
            f"<p>{escape(period)}</p><p>{escape(about)} · <code>{escape(run.id)}</code></p>",
        ]
        if run.under_way:
            left = "" if run.eta is None else say("left", time=say.duration(run.eta))
            done = say("members_of", n=run.done, of=task.members) if task.members > 1 else ""
            told = " · ".join(each for each in (say.stage(run.stage), done, left) if each)
            lines.append(f"<footer>{escape(told or say('in_line'))}<b>{run.progress:.0%}</b></footer>")
        elif run.state == "failed":
            lines.append(
                f"<aside>{escape(run.error or say('failed'))}<br><em>{escape(say('fix'))}</em></aside>"
            )
        elif run.state != "done" and run.done:
            lines.append(f"<footer>{escape(say('partial', n=run.done, of=task.members))}</footer>")
        return "".join(lines)
