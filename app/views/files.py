"""Your own files: a dialog in which files become sources, and sources a case.

Files are dropped, or named by their path on this machine. Each is looked at by a process that can do no harm,
and what it holds is shown as a table with a small picture; what it does not say can be told with a click and
is looked at again. The files lie on the desk of the session (`app.uploads`), not in this view, so that
another language or another case does not lose them.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import panel as pn
import panel_material_ui as pmui

from app import uploads
from app.controls import FIELD
from app.gathering import Making, Shelf
from app.inspected import table
from app.state import State
from app.theme import Words, sheet
from app.uploads import Own
from app.views import View
from engine.values import Invalid

QUIET = 700  # ms without another piece, after which the files that came belong together
BEAT = 300  # ms between two looks at a case under way
TOLD = {
    "unit": ("mm", "mm/h", "mm/day", "kg m-2 s-1", "m", "0.1 mm"),
    "interval": ("5min", "10min", "30min", "1h", "3h", "6h", "1d", "1mo"),
    "stamp": ("end", "start", "middle"),
}
FREE = ("start", "variable")
ROLES = ("background", "reference")


class Dropper(pn.widgets.FileDropper):
    """Hands each piece of a file on as it comes, and keeps none."""

    def __init__(self, hear: Callable[[Any], None], **about: Any) -> None:
        super().__init__(**about)
        self._hear = hear

    def _process_event(self, event: Any) -> None:
        if event.event_name == "upload_event":
            self._hear(event.data)


class Files(View):
    """A button, and the dialog that it opens; it is made when it is first opened."""

    def __init__(self, state: State, say: Words) -> None:
        super().__init__(state, say)
        self.cards: dict[int, Any] = {}
        self._shown: dict[int, Own] = {}
        self._pieces = 0
        self.button = pmui.Button(
            label=say("own_add"),
            icon="upload_file",
            variant="text",
            size="small",
            margin=(6, 12, 0, 12),
            sizing_mode="stretch_width",
        )
        self.dialog = pmui.Dialog(
            title=say("own_files"),
            title_variant="h6",
            width_option="lg",
            show_close_button=True,
            close_on_click=True,
        )
        self.button.on_click(lambda _: self.open())
        self.panel = pn.Column(self.button, self.dialog, sizing_mode="stretch_width", margin=0)

    def open(self) -> None:
        if not len(self.dialog):
            self.making = Making(self.say, lambda: uploads.desk(self.state), self._begun)
            self.shelf = Shelf(self.say, self._open_case, self._deleted)
            self.list = pn.Column(sizing_mode="stretch_width")
            self.dialog[:] = [self._entrance(), self.list, self.making.panel, self.shelf.panel]
        self.shelf.draw()
        self.draw()
        self._beat()
        self.dialog.open = True

    def _entrance(self) -> Any:
        say = self.say
        self.dropper = Dropper(self.hear, multiple=True, previews=[], sizing_mode="stretch_width", height=110)
        self.together = pmui.Switch(label=say("own_together"), value=True, margin=(4, 0))
        self.path = pmui.TextInput(label=say("own_path"), placeholder=say("own_path_example"), **FIELD)
        self.path.margin = (8, 8, 4, 0)
        add = pmui.Button(label=say("own_look"), variant="outlined", size="small", align="center")
        add.on_click(lambda _: self._name())
        self.path.param.watch(lambda _: self._name(), "enter_pressed")
        self._told = pn.pane.HTML(stylesheets=[sheet("own")], margin=0, sizing_mode="stretch_width")
        about = pn.pane.HTML(f"<p>{escape(say('own_about'))}</p>", stylesheets=[sheet("own")], margin=0)
        path = pn.Row(self.path, add, sizing_mode="stretch_width")
        return pn.Column(about, self.dropper, self.together, path, self._told, sizing_mode="stretch_width")

    # What comes in

    def hear(self, piece: Any) -> None:
        """A piece of a file. When no more come, the files are sorted and looked at."""
        self._pieces += 1
        count = self._pieces
        try:
            uploads.desk(self.state).take(piece)
        except Invalid as refused:
            self._refuse(str(refused))
        if self._document is not None:
            self._document.add_timeout_callback(lambda: self._sort(count), QUIET)

    def _sort(self, count: int) -> None:
        if count == self._pieces and not self.closed and not uploads.desk(self.state).coming:
            self.sort()

    def sort(self) -> None:
        self.after(uploads.desk(self.state).sort(self.together.value), self.draw)
        self.draw()

    def _name(self) -> None:
        """A path of this machine, or a name of sources.yaml."""
        if not (self.path.value or "").strip():
            return
        try:
            self.after([uploads.desk(self.state).named(self.path.value)], self.draw)
        except Invalid as refused:
            self._refuse(str(refused))
            return
        self._refuse("")
        self.path.value = ""
        self.draw()

    def _refuse(self, why: str) -> None:
        self._told.object = f'<aside class="bad">{escape(why)}</aside>' if why else ""

    # What there is

    def draw(self) -> None:
        """A card a file; only what changed is made anew."""
        owns = uploads.desk(self.state).owns
        for gone in set(self.cards) - set(owns):
            del self.cards[gone], self._shown[gone]
        for number, own in owns.items():
            if self._shown.get(number) is not own:
                self.cards[number], self._shown[number] = self._card(own), own
        self.list[:] = list(self.cards.values())
        self.making.offer()

    def _card(self, own: Own) -> Any:
        say = self.say
        state = "own_reading" if own.reading else "own_ready" if own.ready else "own_bad"
        mark = "running" if own.reading else "done" if own.ready else "failed"
        head = f'<header><b>{escape(own.called)}</b><i class="{mark}">{escape(say(state))}</i></header>'
        drop = pmui.IconButton(icon="close", size="small", margin=0, description=say("own_drop"))
        drop.on_click(lambda _: self._drop(own.number))
        top = pn.pane.HTML(head, stylesheets=[sheet("card")], margin=(4, 0), sizing_mode="stretch_width")
        body = pn.pane.HTML(
            table(own, say), stylesheets=[sheet("own")], margin=0, sizing_mode="stretch_width"
        )
        if own.reading:
            body = pmui.LinearProgress(variant="indeterminate", sizing_mode="stretch_width", margin=(4, 0))
        kept = own.reading or own.ready or own.path.exists()
        rows = [pn.Row(top, drop, sizing_mode="stretch_width"), *([self._fixes(own)] if kept else []), body]
        return pn.Column(
            *rows,
            css_classes=["found"],
            stylesheets=[sheet("found")],
            sizing_mode="stretch_width",
            margin=(6, 0),
        )

    def _fixes(self, own: Own) -> Any:
        """What the file does not say, to choose; and what it is in the case."""
        say = self.say
        shown = []
        for key in (*TOLD, *FREE):
            value = own.told.get(key, "")
            about: Any = {
                **FIELD,
                "margin": (8, 6, 4, 0),
                "label": say(f"told_{key}"),
                "disabled": own.reading,
            }
            about["color"] = "error" if key in own.asks() else "primary"
            if key in TOLD:
                options = {say("own_as_it_says"): ""} | {each: each for each in (*TOLD[key], value) if each}
                widget = pmui.Select(options=options, value=value, **about)
                widget.param.watch(lambda event, key=key: self._tell(own, key, event.new), "value")
            else:
                widget = pmui.TextInput(value=value, **about)
                widget.param.watch(
                    lambda _event, key=key, widget=widget: self._tell(own, key, widget.value or ""),
                    "enter_pressed",
                )
            shown.append(widget)
        if own.look and own.look.reach and own.look.reach.quantity == "rain" and not own.look.reach.gauges:
            roles = {say(f"own_{each}"): each for each in ROLES}
            role = pmui.Select(
                label=say("own_role"),
                options=roles,
                value=own.role or "background",
                **{**FIELD, "margin": (8, 0, 4, 0)},
            )
            role.param.watch(lambda event: uploads.desk(self.state).play(own.number, event.new), "value")
            shown.append(role)
        return pn.Row(*shown, sizing_mode="stretch_width")

    def _tell(self, own: Own, key: str, value: str) -> None:
        if value != own.told.get(key, ""):
            self.after([uploads.desk(self.state).tell(own.number, key, value)], self.draw)
            self.draw()

    def _drop(self, number: int) -> None:
        uploads.desk(self.state).drop(number)
        self.draw()

    # What becomes of it

    def _begun(self, job: Any) -> None:
        self.after([job], self._made)
        self._beat()

    def _beat(self) -> None:
        if self.closed:
            return
        self.making.follow()
        if self.making.running and self._document is not None:
            self._document.add_timeout_callback(self._beat, BEAT)

    def _made(self) -> None:
        self.making.follow()
        self.shelf.draw()
        made = uploads.desk(self.state).making
        if made and made.state == "done":
            self.tell(self.say("own_done", name=made.name))
            self._open_case(made.name)

    def _open_case(self, name: str) -> None:
        self.dialog.open = False
        self.state.param.update(case=name, screen="explore", layer="", run="", start="", end="")

    def _deleted(self, name: str) -> None:
        if self.state.case == name:
            self._open_case("")
