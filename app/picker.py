"""Which source or run a map shows, which statistic of it, and a number where the statistic asks for one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import panel as pn
import panel_material_ui as pmui

from app import raster, store
from app.events import When
from app.pictures import Shown
from app.state import RUN
from app.theme import Words
from app.told import titled
from engine.sources.cases import Case


class Picker:
    """Shows a choice and tells of another; a part shows itself only where it means something."""

    def __init__(self, case: Case, say: Words, choose: Callable[[Shown], None], *, wide: bool) -> None:
        self.case, self.say, self._choose = case, say, choose
        self._quiet = False
        self._shown: Shown | None = None
        margin = (10, 4, 6, 6) if wide else (8, 4, 4, 6)
        small = {"size": "small", "margin": margin, "variant": "outlined"}
        self.source = pmui.Select(label=say("source"), width=240 if wide else 200, **small)
        self.statistic = pmui.Select(label=say("statistic"), width=170 if wide else 160, **small)
        self.member = pmui.IntInput(label=say("member"), start=1, width=100, **small)
        self.above = pmui.FloatInput(value=5.0, start=0.1, end=500, step=1, width=120, **small)
        self.parts = [self.source, self.statistic, self.member, self.above]
        self.panel = pn.Row(*self.parts, margin=0, **({} if wide else {"height": 54}))
        self.source.param.watch(self._source_chosen, "value")
        self.statistic.param.watch(lambda event: self._tell(statistic=event.new), "value")
        self.member.param.watch(lambda event: self._tell(member=(event.new or 1) - 1), "value")
        self.above.param.watch(lambda event: self._tell(above=event.new or 1.0), "value")

    def _tell(self, **changes: Any) -> None:
        if self._quiet or self._shown is None:
            return
        if changes.get("statistic") == "above":
            changes["above"] = self.above.value
        self._choose(replace(self._shown, **changes))

    def _source_chosen(self, event: Any) -> None:
        layer, _, run = str(event.new).partition(":")
        if layer == RUN and self._shown and self._shown.layer == RUN:
            self._tell(run=run)
        else:
            self._tell(layer=layer, run=run, statistic="mean")

    def follow(self, shown: Shown, when: When | None) -> None:
        """Options and values from the runs and what is shown then; nothing here is taken for a choice."""
        self._shown, say = shown, self.say
        layers = {say.layer(name, self.case.layers[name]): name for name in store.fields(self.case)}
        runs = {
            f"{titled(run.task, say)} · {run.id}": f"{RUN}:{run.id}"
            for run in store.runs()
            if store.case_of(run.task) == self.case.name and (run.done or run.id == shown.run)
        }
        run = store.run(shown.run) if shown.layer == RUN else None
        names = list(raster.STATISTICS) if run and run.task.members > 1 else ["mean"]
        groups = {say("sources"): layers} | ({say("runs"): runs} if runs else {})
        options = {say(f"statistic_{name}"): name for name in names}
        several = len(names) > 1
        self._quiet = True
        if self.source.groups != groups:
            self.source.param.update(groups=groups)
        self.source.value = f"{RUN}:{shown.run}" if shown.layer == RUN else shown.layer
        if self.statistic.options != options:
            self.statistic.options = options
        self.statistic.value = shown.statistic if shown.statistic in names else names[0]
        self.statistic.visible = several
        self.member.param.update(
            value=shown.member + 1,
            end=run.task.members if run else 1,
            visible=several and shown.statistic == "member",
        )
        self.above.param.update(
            label=say("threshold", unit=say.unit(when)),
            value=shown.above or self.above.value,
            visible=several and shown.statistic == "above",
        )
        self._quiet = False
