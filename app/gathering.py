"""From files to a case: its name, domain and period, how far it is; and the cases of one's own there are.

Domain and period begin as what all files cover. A case is made beside the page, which stays usable; closing
the dialog stops nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import panel as pn
import panel_material_ui as pmui

from app import store
from app.controls import FIELD
from app.theme import Words, sheet
from app.uploads import Desk, reaches
from engine import home
from engine.gathered import place_of, shared
from engine.sources.cases import Case
from engine.values import Invalid

WIDE = {**FIELD, "margin": (8, 8, 4, 0)}


class Making:
    """The form, the bar, and what came of it."""

    def __init__(self, say: Words, desk: Callable[[], Desk], begun: Callable[[Any], None]) -> None:
        self.say, self.desk, self.begun = say, desk, begun
        names = ("name", "title", "domain", "start", "end", "step")
        self.fields = {
            name: pmui.TextInput(label=say(f"own_{name}"), **{**WIDE, "sizing_mode": "stretch_width"})
            for name in names
        }
        self._offered: dict[str, str] = {}
        self.button = pmui.Button(
            label=say("own_make"),
            icon="layers",
            variant="contained",
            disable_elevation=True,
            margin=(8, 8, 8, 0),
        )
        self.stop = pmui.Button(
            label=say("cancel"), icon="stop", variant="text", color="error", visible=False
        )
        self.button.on_click(lambda _: self._make())
        self.stop.on_click(lambda _: self._stop())
        self.bar = pmui.LinearProgress(
            value=0, variant="determinate", sizing_mode="stretch_width", margin=(10, 0), visible=False
        )
        self.told = pn.pane.HTML(stylesheets=[sheet("own")], margin=0, sizing_mode="stretch_width")
        rows = (names[:3], names[3:])
        self.panel = pn.Column(
            pn.pane.HTML(
                f"<h3>{escape(say('own_case'))}</h3>", stylesheets=[sheet("own")], margin=(8, 0, 0, 0)
            ),
            *(pn.Row(*(self.fields[name] for name in row), sizing_mode="stretch_width") for row in rows),
            pn.Row(self.button, self.stop, self.bar, sizing_mode="stretch_width"),
            self.told,
            sizing_mode="stretch_width",
        )

    def offer(self) -> None:
        """What all files cover, in the fields that nobody wrote into."""
        ready = [own for own in self.desk().owns.values() if own.ready]
        self.panel.visible = bool(ready) or self.desk().making is not None
        told: dict[str, str] = dict.fromkeys(("domain", "start", "end", "step"), "")
        problem = ""
        try:
            if ready:
                box, period = shared(reaches(ready))
                told |= {"domain": ", ".join(f"{each:g}" for each in box), "step": period.interval}
                told |= {"start": f"{period.start:%Y-%m-%dT%H:%M}", "end": f"{period.end:%Y-%m-%dT%H:%M}"}
        except Invalid as refused:
            problem = str(refused)
        for name, text in told.items():
            if self.fields[name].value in ("", self._offered.get(name, "")):
                self.fields[name].value = text
        self._offered = told
        self.button.disabled = not ready or self.running
        if not self.running:
            self._say(problem)

    @property
    def running(self) -> bool:
        making = self.desk().making
        return making is not None and making.state == "running"

    def _make(self) -> None:
        values = {name: field.value or "" for name, field in self.fields.items()}
        span = values["start"], values["end"], values["step"]
        try:
            job = self.desk().make(values["name"], values["title"], values["domain"], span)
        except Invalid as refused:
            self._say(str(refused))
            return
        self.begun(job)

    def _stop(self) -> None:
        if making := self.desk().making:
            making.stop.set()
            self.stop.param.update(disabled=True, label=self.say("cancelling"))

    def follow(self) -> None:
        """Show how far it is."""
        making, running = self.desk().making, self.running
        self.bar.visible = self.stop.visible = running
        self.button.disabled = running
        if making is None:
            return
        if running:
            self.bar.param.update(
                value=round(100 * making.share), variant="determinate" if making.share else "indeterminate"
            )
            self._say("", self.say("own_making", name=making.name, what=making.what))
            return
        self.stop.param.update(disabled=False, label=self.say("cancel"))
        good = self.say(f"own_{making.state}", name=making.name) if making.state != "failed" else ""
        self._say(making.problem, good)

    def _say(self, problem: str, good: str = "") -> None:
        bad = f'<aside class="bad">{escape(problem)}</aside>' if problem else ""
        self.told.object = bad + (f"<p>{escape(good)}</p>" if good else "")


def mine() -> list[Case]:
    """The cases of one's own."""
    return [case for case in store.cases().values() if case.path.parent == home() / "cases"]


class Shelf:
    """The cases of one's own: to open, and to delete with a second word."""

    def __init__(self, say: Words, open_case: Callable[[str], None], told: Callable[[str], None]) -> None:
        self.say, self.open, self.tell = say, open_case, told
        self.panel = pn.Column(sizing_mode="stretch_width")
        self._asked = ""

    def draw(self) -> None:
        cases = mine()
        head = f"<h3>{escape(self.say('own_cases'))}</h3>"
        self.panel[:] = [
            pn.pane.HTML(head, stylesheets=[sheet("own")], margin=(12, 0, 0, 0)),
            *(self._row(case) for case in cases),
        ]
        self.panel.visible = bool(cases)

    def _row(self, case: Case) -> Any:
        size = case.path.stat().st_size / 1e6
        period = f"{case.about['start']} – {case.about['end']}".replace("T", " ")
        text = f"<b>{escape(case.title)}</b> <span>{escape(f'{case.name} · {period} · {size:.1f} MB')}</span>"
        asked = self._asked == case.name
        if asked:
            text = f"<b>{escape(self.say('own_sure', name=case.name))}</b>"
        open_ = self._button("own_open", lambda: self.open(case.name), visible=not asked)
        keep = self._button("own_keep", lambda: self._ask(""), visible=asked)
        doom = self._button(
            "own_delete", lambda: self._delete(case.name) if asked else self._ask(case.name), color="error"
        )
        line = pn.pane.HTML(text, stylesheets=[sheet("own")], margin=(6, 0), sizing_mode="stretch_width")
        return pn.Row(line, open_, keep, doom, sizing_mode="stretch_width")

    def _button(self, key: str, call: Callable[[], None], **about: Any) -> Any:
        button = pmui.Button(label=self.say(key), variant="text", size="small", margin=0, **about)
        button.on_click(lambda _: call())
        return button

    def _ask(self, name: str) -> None:
        self._asked = name
        self.draw()

    def _delete(self, name: str) -> None:
        self._asked = ""
        place_of(name).unlink(missing_ok=True)
        self.tell(name)
        self.draw()
