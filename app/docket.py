"""One run in full: its picture, how far it is, what was asked for, and everything that can be done with it.

Cancelling is acknowledged at once and keeps the finished members. Deleting asks once, in its own place, and
can be undone; a pinned run cannot be deleted.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import panel as pn
import panel_material_ui as pmui

from app.delivery import address
from app.files import FILES
from app.theme import Words, sheet
from app.told import facts, titled
from engine.journal import Run

RESUMABLE = ("cancelled", "failed", "interrupted")
ACTIONS = ("view", "cancel", "resume", "clone", "report", "copy_details", "pin", "delete")
ICONS = ("visibility", "stop", "replay", "content_copy", "description", "bug_report", "push_pin", "delete")


class Docket:
    """The run that is chosen. ``act(what, run)`` is called for what is more than a look."""

    def __init__(self, say: Words, act: Callable[[str, Run], None]) -> None:
        self.say, self._act = say, act
        self._run: Run | None = None
        self._picture = pn.pane.HTML(stylesheets=[sheet("glimpse")], margin=(0, 20, 0, 0), width=300)
        self._head = pn.pane.HTML(stylesheets=[sheet("card")], margin=0, sizing_mode="stretch_width")
        self._bar = pmui.LinearProgress(value=0, sizing_mode="stretch_width", margin=(8, 0, 4, 0))
        self._facts = pn.pane.HTML(stylesheets=[sheet("facts")], margin=(14, 0), sizing_mode="stretch_width")
        self.buttons = {name: self._button(name, icon) for name, icon in zip(ACTIONS, ICONS, strict=True)}
        self.files = pmui.MenuButton(
            label=say("files"), icon="download", variant="text", size="small", margin=(0, 4, 0, 0)
        )
        self.files.on_click(lambda _: self._act("file", self._run) if self._run else None)
        self._sure = self._asked()
        text = pn.Column(
            self._head,
            self._bar,
            self._line(),
            self._sure,
            self._facts,
            sizing_mode="stretch_width",
            margin=0,
        )
        self.panel = pn.Row(self._picture, text, sizing_mode="stretch_width", margin=(18, 22))

    def _button(self, name: str, icon: str) -> Any:
        main = name == "view"
        button = pmui.Button(
            label=self.say(name),
            icon=icon,
            variant="contained" if main else "text",
            color="error" if name in ("cancel", "delete") else "primary",
            size="small",
            margin=(0, 4, 4, 0),
            disable_elevation=True,
        )
        button.on_click(lambda _: self._click(name))
        return button

    def _line(self) -> Any:
        first = [self.buttons[name] for name in ACTIONS[:5]]
        rest = [self.buttons[name] for name in ACTIONS[5:]]
        return pn.FlexBox(*first, self.files, *rest, margin=(10, 0, 0, 0), sizing_mode="stretch_width")

    def _asked(self) -> Any:
        """The one question before a run is deleted."""
        small: dict[str, Any] = {"size": "small", "margin": (0, 6, 0, 0), "disable_elevation": True}
        self.yes = pmui.Button(label=self.say("delete"), color="error", variant="contained", **small)
        self.no = pmui.Button(label=self.say("keep"), variant="text", **small)
        self.yes.on_click(lambda _: self._act("delete", self._run) if self._run else None)
        self.no.on_click(lambda _: self._sure.param.update(visible=False))
        text = pn.pane.HTML(
            f"<p>{escape(self.say('delete_sure'))}</p>", stylesheets=[sheet("card")], margin=(6, 12, 0, 0)
        )
        return pn.Row(text, self.yes, self.no, visible=False, margin=(8, 0, 0, 0))

    def _click(self, name: str) -> None:
        if self._run is None:
            return
        if name == "delete":
            self._sure.visible = True
            return
        if name == "cancel":  # acknowledged here and now; the journal follows
            self.buttons["cancel"].param.update(disabled=True, label=self.say("cancelling"))
        self._act(name, self._run)

    def picture(self, address: str | None) -> None:
        """A new picture; while there is none the last one of the same run stays."""
        if address:
            caption = escape(self.say("glimpse"))
            alt = escape(f"{caption}, {self._run.id if self._run else ''}")
            html = f'<figure><img src="{address}" alt="{alt}"><figcaption>{caption}</figcaption></figure>'
            self._picture.object = html

    def show(self, run: Run, before: int, language: str) -> None:
        """A run as it is now; ``before`` is how many stand before it in the line."""
        if self._run is None or self._run.id != run.id:
            self._sure.visible = False
            self._picture.object = f"<figure><div>{escape(self.say('no_glimpse'))}</div></figure>"
            self._facts.object = self._table(run)
            self.files.items = [
                {
                    "label": self.say(f"file_{name}"),
                    "href": address(run.id, name, language),
                    "target": "_self",
                }
                for name in FILES
            ]
        self._run = run
        self._head.object = self._text(run, before)
        known = run.state == "running" and run.progress > 0
        self._bar.param.update(
            value=round(100 * run.progress),
            visible=run.under_way,
            variant="determinate" if known else "indeterminate",
        )
        self._offer(run)

    def _offer(self, run: Run) -> None:
        asked = run.cancel and run.under_way
        self.buttons["cancel"].param.update(
            visible=run.under_way, disabled=asked, label=self.say("cancelling" if asked else "cancel")
        )
        self.buttons["view"].visible = bool(run.done) or run.under_way
        self.buttons["resume"].visible = run.state in RESUMABLE
        self.buttons["copy_details"].visible = run.state == "failed"
        self.buttons["report"].visible = self.files.visible = bool(run.done)
        self.buttons["pin"].label = self.say("unpin" if run.pinned else "pin")
        self.buttons["delete"].disabled = run.pinned or run.under_way

    def _text(self, run: Run, before: int) -> str:
        say, task = self.say, run.task
        title = escape(titled(task, say))
        chip = f'<i class="{run.state}">{escape(say(f"state_{run.state}"))}</i>'
        lines = [
            f"<header><b>{title}</b>{chip}</header><p><code>{escape(run.id)}</code> · {self._when(run)}</p>"
        ]
        if run.under_way:
            lines.append(f"<footer>{escape(progress(run, before, say))}<b>{run.progress:.0%}</b></footer>")
        elif run.state == "failed":
            told = f"{escape(run.error or say('failed'))}<br><em>{escape(say('fix'))}</em>"
            lines.append(f"<aside>{told}</aside>")
        elif run.state != "done" and run.done:
            lines.append(f"<footer>{escape(say('partial', n=run.done, of=task.members))}</footer>")
        return "".join(lines)

    def _when(self, run: Run) -> str:
        say = self.say
        told = say("asked_at", time=f"{run.created:%Y-%m-%d %H:%M} UTC")
        if run.state == "done" and run.started and run.finished:
            seconds = (run.finished - run.started).total_seconds()
            told += " · " + say("took", time=say.duration(seconds))
        return escape(told + (" · " + say("pinned") if run.pinned else ""))

    def _table(self, run: Run) -> str:
        rows = "".join(
            f"<tr><th>{escape(label)}</th><td>{escape(value)}</td></tr>"
            for label, value in facts(run.task, self.say).items()
        )
        return f"<table>{rows}</table>"


def progress(run: Run, before: int, say: Words) -> str:
    """Where a run is: in the line, or at which stage, how many members it has and how long it will take."""
    if run.state == "queued":
        return say("place_in_line", n=before) if before else say("in_line")
    left = "" if run.eta is None else say("left", time=say.duration(run.eta))
    done = say("members_of", n=run.done, of=run.task.members) if run.task.members > 1 else ""
    return " · ".join(each for each in (say.stage(run.stage), done, left) if each) or say("starting")
