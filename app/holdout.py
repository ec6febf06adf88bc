"""Which gauges speak: drawn one by one, in blocks, from strata of elevation, or chosen by hand.

Beside the choice stands what it is worth. A gauge held out next to one in use is predicted by its neighbour,
whatever the method; so the distances from those held out to the nearest in use are shown as a small
histogram, against the distance over which reports stay correlated.
"""

from __future__ import annotations

from html import escape

import numpy as np
import panel as pn
import panel_material_ui as pmui

from app import network, store
from app.controls import FIELD, bind
from app.theme import sheet
from app.views import View
from engine.sources.cases import Case

BY = ("gauge", "block", "elevation", "hand")
BARS, WIDE, HIGH = 16, 288, 34  # of the histogram: classes, pixels


class HoldOut:
    """The choice and its worth. A case without gauges has one line instead."""

    def __init__(self, view: View, case: Case) -> None:
        self.view, self.state, self.say, self.case = view, view.state, view.say, case
        self.told = pn.pane.HTML(stylesheets=[sheet("split")], margin=(2, 16), sizing_mode="stretch_width")
        self.there = store.gauge_layer(case) is not None
        if not self.there:
            self.told.object = f"<span>{escape(self.say('gauges_absent'))}</span>"
            self.panel = pn.Column(self.told, sizing_mode="stretch_width", margin=0)
            return
        self._controls()
        self.panel = pn.Column(
            pn.Row(self.by, self.seed, sizing_mode="stretch_width", margin=0),
            self.share,
            self.block,
            self.told,
            self.open,
            sizing_mode="stretch_width",
            margin=0,
        )
        self.follow()

    def _controls(self) -> None:
        say, state = self.say, self.state
        options = {say(f"hold_by_{name}"): name for name in BY}
        self.by = bind(
            state, pmui.Select(label=say("hold_by"), options=options, value=state.hold_by, **FIELD), "hold_by"
        )
        self.seed = pmui.IntInput(label=say("hold_seed"), value=state.hold_seed, start=0, end=2**31, **FIELD)
        self.seed.margin = (8, 16, 4, 4)
        self.share = pmui.FloatSlider(
            label=say("hold_out"),
            start=0,
            end=0.95,
            step=0.05,
            value=state.hold_out,
            format="0%",
            size="small",
            sizing_mode="stretch_width",
            margin=(6, 24),
            description=say("about_hold_out"),
        )
        self.block = pmui.FloatInput(
            label=say("block_km"), value=state.block_km, start=1, end=5000, step=10, **FIELD
        )
        bind(state, self.seed, "hold_seed")
        bind(state, self.share, "hold_out", "value_throttled")
        bind(state, self.block, "block_km")
        self.open = pmui.Button(
            label=say("open_register"),
            icon="table_rows",
            variant="text",
            size="small",
            margin=(0, 12, 4, 12),
        )
        self.open.on_click(lambda _: self._open())

    def _open(self) -> None:
        self.state.param.update(screen="explore", register=not self.state.register)

    def follow(self) -> None:
        if not self.there:
            return
        state = self.state
        for choice, widget in (
            ("hold_by", self.by), ("hold_seed", self.seed), ("hold_out", self.share), ("block_km", self.block)
        ):  # fmt: skip
            if widget.value != (value := getattr(state, choice)):
                widget.value = value
        self.share.visible = self.seed.visible = state.hold_by != "hand"
        self.by.margin = (8, 4 if self.seed.visible else 16, 4, 16)
        self.block.visible = state.hold_by == "block"
        self.told.object = self._told()

    def _told(self) -> str:
        found, (used, held) = store.gauges(self.case), store.planned(self.case, self.state)
        if found is None:
            return ""
        line = self.say("split", used=len(used), held=len(held))
        if away := len(set(self.state.ignored) & set(found.names)):
            line += self.say("split_ignored", n=away)
        apart = [far for *_, far in network.links(found, used, held)]
        return f"<span>{escape(line)}</span>" + (self._worth(np.array(apart)) if apart else "")

    def _worth(self, apart: np.ndarray) -> str:
        say = self.say
        length, wait = network.correlated(self.case)
        if wait is not None:
            self.view.after([wait], self.follow)
        told = say("apart", middle=f"{np.median(apart):.0f}", least=f"{apart.min():.0f}")
        if length is not None and np.isfinite(length):
            near = f"{100 * (apart < length).mean():.0f}"
            told += " " + say("leaks", length=f"{length:.0f}", near=near)
        return f"<span>{escape(told)}</span>{histogram(apart, length, say('axis_apart'))}"


def histogram(apart: np.ndarray, length: float | None, axis: str) -> str:
    """Distances as bars; those nearer than reports stay correlated are in the colour of a warning."""
    reach = length if length is not None and np.isfinite(length) else 0.0
    top = max(float(apart.max()), 1.2 * min(reach, 2 * float(apart.max())), 1.0)
    counts, edges = np.histogram(apart, BARS, (0, top))
    step = WIDE / BARS
    bars = "".join(
        f'<rect class="{"near" if edges[each + 1] <= reach else ""}" x="{each * step:.1f}" '
        f'y="{HIGH - HIGH * count / counts.max():.1f}" width="{step - 1.5:.1f}" '
        f'height="{HIGH * count / counts.max():.1f}"/>'
        for each, count in enumerate(counts)
    )
    mark = f'<line x1="{WIDE * reach / top:.1f}" x2="{WIDE * reach / top:.1f}" y1="0" y2="{HIGH}"/>'
    return (
        f'<svg viewBox="0 0 {WIDE} {HIGH + 14}" role="img" aria-label="{escape(axis)}">{bars}'
        f'{mark if 0 < reach <= top else ""}<text x="0" y="{HIGH + 11}">0</text>'
        f'<text x="{WIDE / 2}" y="{HIGH + 11}" text-anchor="middle">{escape(axis)}</text>'
        f'<text x="{WIDE}" y="{HIGH + 11}" text-anchor="end">{top:.0f}</text></svg>'
    )
