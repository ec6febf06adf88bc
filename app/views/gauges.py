"""The register of gauges: every gauge of the case in a table that shares its choice with the map.

Gauges are picked in the table, with a lasso or a box on the map, by a text that filters, or by pasted names;
what is picked is then used, held out, or ignored. As long as gauges are held out by a draw, ignoring one
leaves the draw alone; to hold out or use one against the draw makes it a choice by hand, which begins as the
draw was.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from html import escape
from typing import Any

import panel as pn
import panel_material_ui as pmui

from app import network, store
from app.register import Register
from app.state import EXTENT, SPLIT, State
from app.theme import Words, sheet
from app.views import View
from engine.sources.cases import Case
from engine.values import Invalid

HEADS = ("name", "lat", "lon", "elevation", "missing", "total", "flags", "role", "nearest")
MARKS = {"used": "○", "held": "●", "ignored": "✕"}
HEIGHT = 270


class GaugeRegister(View):
    """The table with what one does to what is picked. Closed until it is asked for."""

    screen = "explore"

    def __init__(self, state: State, say: Words) -> None:
        super().__init__(state, say)
        self.case = store.case(state.case)
        self.table = Register(
            heads=[say(f"head_{name}") for name in HEADS],
            roles=[[name, mark, say(f"side_{name}")] for name, mark in MARKS.items()],
            stylesheets=[sheet("register")],
            sizing_mode="stretch_both",
            margin=0,
        )
        self._told = pn.pane.HTML(stylesheets=[sheet("cost")], margin=(0, 8), align="center")
        self.panel = pn.Column(
            self._bar(),
            self.table,
            css_classes=["ledger"],
            stylesheets=[sheet("ledger")],
            sizing_mode="stretch_width",
            height=HEIGHT,
            margin=0,
            visible=False,
        )
        self.table.param.watch(lambda event: state.param.update(picked=event.new), "picked")
        self.table.param.watch(lambda event: self._asked(event.new), "asked")
        self.watch(self.follow, "register", *SPLIT, *EXTENT)
        self.watch(self._show_picked, "picked")
        self.watch(self._show_drag, "drag")
        self.follow()

    def _bar(self) -> Any:
        say, state = self.say, self.state
        self.filter = pmui.TextInput(
            label="", placeholder=say("filter_gauges"), size="small", width=250, margin=(6, 4, 6, 16)
        )
        self.filter.param.watch(lambda event: self._filtered(event.new), "value_input")
        self.lasso, self.box = (
            pmui.ToggleIcon(
                icon=icon, active_icon=icon, description=say(word), value=False, margin=0, align="center"
            )
            for icon, word in (("gesture", "pick_lasso"), ("highlight_alt", "pick_box"))
        )
        for widget, drag in ((self.lasso, "lasso"), (self.box, "box")):
            widget.param.watch(lambda event, drag=drag: self._drag(drag, event.new), "value")
        shown = pmui.Button(label=say("pick_shown"), variant="text", size="small", margin=2, align="center")
        shown.on_click(lambda _: self._pick([row[0] for row in self.table.rows]))
        self.acts = []
        for role in MARKS:
            act = pmui.Button(
                label=say(f"make_{role}"), variant="outlined", size="small", margin=2, align="center"
            )
            act.on_click(lambda _, role=role: assign(self.case, state, state.picked, role))
            self.acts.append(act)
        close = pmui.IconButton(icon="close", description=say("close"), margin=(0, 8), align="center")
        close.on_click(lambda _: self._close())
        space = pn.Spacer(sizing_mode="stretch_width")
        return pn.Row(
            self.filter, self.lasso, self.box, shown, self._told, space, *self.acts, close,
            sizing_mode="stretch_width", margin=0,
        )  # fmt: skip

    # What is done here

    def _pick(self, names: list[str]) -> None:
        self.state.picked = names

    def _close(self) -> None:
        self.state.param.update(register=False, drag="", picked=[])

    def _asked(self, asked: list[Any]) -> None:
        if len(asked) == 3 and asked[0] in MARKS:
            assign(self.case, self.state, [asked[1]], asked[0])

    def _drag(self, drag: str, taken: bool) -> None:
        if taken != (self.state.drag == drag):
            self.state.drag = drag if taken else ""

    def _filtered(self, text: str) -> None:
        """A text that filters; or names, which are picked."""
        found = store.gauges(self.case)
        named = [each for each in re.split(r"[\s,;]+", text.strip()) if each]
        there = set(found.names) if found else set()
        if len(named) > 1 and there & set(named):
            self.state.picked = [name for name in named if name in there]
            if lacking := [name for name in named if name not in there]:
                self.tell(self.say("names_unknown", n=len(lacking), first=lacking[0]))
        self.follow()

    # What is shown

    def follow(self) -> None:
        self.panel.visible = self.state.register and store.gauge_layer(self.case) is not None
        if not self.panel.visible:
            return
        known, wait = network.facts(self.case, self.case.period)
        if wait is not None:
            self._told.object = f"<span>{escape(self.say('reading_gauges'))}</span>"
            self.after([wait], self.follow)
            return
        from engine.quality import CHECKS  # the worker has loaded it

        if not self.table.meanings:
            self.table.meanings = {name: self.say(f"flag_{name}") for name in CHECKS}
        self.table.rows = self._rows(known or [])
        self._show_picked()

    def _rows(self, known: list[network.Facts]) -> list[list[Any]]:
        found, (used, held) = store.gauges(self.case), store.planned(self.case, self.state)
        near = {name: far for name, _, far in network.links(found, used, held)} if found else {}
        role = dict.fromkeys(used, "used") | dict.fromkeys(held, "held")
        role |= dict.fromkeys(self.state.ignored, "ignored")
        needle = (self.filter.value_input or "").strip().lower()
        rows = []
        for each in known:
            flags = ", ".join(each.flags)
            if re.search(r"[\s,;]", needle) or needle in f"{each.name} {flags}".lower():
                high = None if each.elevation != each.elevation else each.elevation
                row = [each.name, each.lat, each.lon, high, 100 * each.missing, each.total]
                rows.append([*row, flags, role.get(each.name, ""), near.get(each.name)])
        return rows

    def _show_picked(self) -> None:
        picked = self.state.picked
        if list(self.table.picked) != list(picked):
            self.table.picked = list(picked)
        for act in self.acts:
            act.disabled = not picked
        listed = len(self.table.rows)
        told = self.say("picked", n=len(picked), of=listed) if listed else self.say("none_listed")
        self._told.object = f"<span>{escape(told)}</span>"

    def _show_drag(self) -> None:
        self.lasso.value, self.box.value = self.state.drag == "lasso", self.state.drag == "box"


def assign(case: Case, state: State, names: Collection[str], role: str) -> None:
    """Have these gauges used, held out or ignored from now on."""
    known, source = store.gauges(case), f"{case.name}/{store.gauge_layer(case)}"
    if known is None:
        return
    try:
        _, held = state.split(source, known.names).split(known)
    except Invalid:  # strata of an elevation that is not known
        held = []
    wanted = set(names)
    ignored = set(state.ignored) | wanted if role == "ignored" else set(state.ignored) - wanted
    apart = set(held) | wanted if role == "held" else set(held) - wanted
    drawn = state.hold_by != "hand" and role == "ignored"
    by_hand = {} if drawn else {"hold_by": "hand", "held": sorted(apart)}
    state.param.update(ignored=sorted(ignored), **by_hand)
