"""The row above the map: which source or run it shows, and which statistic of it."""

from __future__ import annotations

from typing import Any

import panel as pn
import panel_material_ui as pmui

from app import raster, store
from app.state import RUN, State
from app.theme import Words
from app.views import View


class Choice(View):
    """A row of lists and fields; each shows itself only where it means something."""

    screen = "explore"

    def __init__(self, state: State, say: Words) -> None:
        super().__init__(state, say)
        self.case = store.case(state.case)
        self._quiet = False
        small = {"size": "small", "margin": (10, 6, 6, 6), "variant": "outlined"}
        self.source = pmui.Select(label=say("source"), width=250, **small)
        self.statistic = pmui.Select(label=say("statistic"), width=165, **small)
        self.member = pmui.IntInput(label=say("member"), start=1, width=110, **small)
        self.above = pmui.FloatInput(start=0.1, end=500, step=1, width=130, **small)
        self.gauges = pmui.Switch(
            label=say("gauges"), value=state.gauges, margin=(8, 6), styles={"margin-left": "auto"}
        )
        # A flex box, not a row: a row is never narrower than all its parts together, the hidden ones too.
        self.panel = pn.FlexBox(
            self.source,
            self.statistic,
            self.member,
            self.above,
            self.gauges,
            flex_wrap="nowrap",
            align_items="center",
            sizing_mode="stretch_width",
            margin=(0, 6),
            height=54,
        )
        self.watch(self.follow, "layer", "run", "statistic", "member", "above", "event")
        self.follow()
        self.source.param.watch(self._source_chosen, "value")
        self.statistic.param.watch(lambda event: self._choose(statistic=event.new), "value")
        self.member.param.watch(lambda event: self._choose(member=(event.new or 1) - 1), "value")
        self.above.param.watch(lambda event: self._choose(above=event.new or 1.0), "value")
        self.gauges.param.watch(lambda event: self._choose(gauges=event.new), "value")

    def _choose(self, **choices: Any) -> None:
        if not self._quiet:
            self.state.param.update(**choices)

    def _source_chosen(self, event: Any) -> None:
        layer, _, run = str(event.new).partition(":")
        self._choose(layer=layer, **({"run": run} if layer == RUN else {}))

    def follow(self) -> None:
        """Options and values from the state and the runs; nothing here is taken for a choice."""
        state, say = self.state, self.say
        layers = {say.layer(name, self.case.layers[name]): name for name in store.fields(self.case)}
        runs = {
            run.id: f"{RUN}:{run.id}"
            for run in store.runs()
            if store.case_of(run.task) == self.case.name and (run.done or run.id == state.run)
        }
        run = store.run(state.run) if state.layer == RUN else None
        names = list(raster.STATISTICS) if run and run.task.members > 1 else ["mean"]
        self._quiet = True
        groups = {say("sources"): layers} | ({say("runs"): runs} if runs else {})
        if self.source.groups != groups:
            self.source.param.update(groups=groups)
        self.source.value = f"{RUN}:{state.run}" if state.layer == RUN else state.layer
        options = {say(f"statistic_{name}"): name for name in names}
        if self.statistic.options != options:
            self.statistic.options = options
        self.statistic.value = state.statistic if state.statistic in names else names[0]
        self.statistic.visible = len(names) > 1
        self.member.param.update(
            value=state.member + 1,
            end=run.task.members if run else 1,
            visible=len(names) > 1 and state.statistic == "member",
        )
        self.above.param.update(
            label=say("threshold", unit=say.unit(state.when)),
            value=state.above,
            visible=len(names) > 1 and state.statistic == "above",
        )
        self._quiet = False
