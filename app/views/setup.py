"""The setup: from choices to a task, what it will cost, and Run.

Run is disabled only with a reason, and the reason is the line that the engine itself would give. What is
submitted is exactly what "copy as YAML" copies.
"""

from __future__ import annotations

from html import escape
from typing import Any

import panel as pn
import panel_material_ui as pmui

from app import store
from app.controls import FIELD, bind, controls, page
from app.extent import Extent
from app.roles import Roles, complete
from app.state import RUN, State
from app.theme import Words, sheet
from app.views import View
from engine.methods import method, methods, settings_of
from engine.tasks import Task
from engine.values import Invalid

# Choices that a task is made of.
PRICED = ("area", "cell", "window", "start", "end", "every", "uses", "hold_out", "hold_seed")
PRICED += ("method", "settings", "members", "seed")


class Setup(View):
    """What the next run is made of."""

    def __init__(self, state: State, say: Words) -> None:
        super().__init__(state, say)
        self.case = store.case(state.case)
        self._job: Any = None
        self._task: Task | None = None
        self._problem = ""
        self.settings = pn.Column(margin=(0, 12), sizing_mode="stretch_width")
        self._about = pn.pane.HTML(stylesheets=[sheet("about")], margin=(4, 16), sizing_mode="stretch_width")
        self._cost = pn.pane.HTML(
            stylesheets=[sheet("cost")], margin=(4, 16, 2, 16), sizing_mode="stretch_width"
        )
        self.extent = Extent(state, say, self.case)
        self.roles = Roles(state, say, self.case)
        body = pn.Column(
            self._head(1, "where_and_when"),
            self.extent.panel,
            *self._evidence(),
            *self._method(),
            sizing_mode="stretch_width",
            scroll="y",
            margin=0,
            styles={"flex": "1 1 0", "min-height": "0"},
        )
        self.panel = pn.Column(body, self._foot(), sizing_mode="stretch_both", margin=0)
        self.watch(self._method_chosen, "method")
        self.watch(self.roles.follow, "method", "uses")
        self.watch(self.extent.follow, "cell", "start", "end", "every")
        self.watch(self._price, *PRICED)
        self._draw_settings()
        self._price()

    def _foot(self) -> Any:
        """What it costs, Run, and the task to take along."""
        say = self.say
        self.run = pmui.Button(
            label=say("run"),
            icon="play_arrow",
            color="primary",
            variant="contained",
            margin=(4, 8, 8, 16),
            sizing_mode="stretch_width",
            disable_elevation=True,
        )
        copy = pmui.IconButton(icon="content_copy", description=say("copy_yaml"), margin=(4, 10, 8, 0))
        self.run.on_click(lambda _: self._submit())
        copy.on_click(lambda _: self.copy(self.yaml()))
        return pn.Column(
            self._cost,
            pn.Row(self.run, copy, sizing_mode="stretch_width", margin=0),
            css_classes=["foot"],
            stylesheets=[sheet("foot")],
            sizing_mode="stretch_width",
            margin=0,
        )

    def _head(self, number: int, key: str) -> Any:
        return pn.pane.HTML(
            f"<i>{number}</i>{escape(self.say(key))}", stylesheets=[sheet("head")], margin=(12, 16, 2, 16)
        )

    def _evidence(self) -> list[Any]:
        say, state = self.say, self.state
        share = pmui.FloatSlider(
            label=say("hold_out"),
            start=0,
            end=0.5,
            step=0.05,
            value=state.hold_out,
            format="0%",
            size="small",
            sizing_mode="stretch_width",
            margin=(6, 24),
            description=say("about_hold_out"),
        )
        seed = pmui.IntInput(label=say("hold_seed"), value=state.hold_seed, start=0, end=2**31, **FIELD)
        self._split = pn.pane.HTML(stylesheets=[sheet("cost")], margin=(0, 16))
        return [
            self._head(2, "sources_used"),
            self.roles.panel,
            self._head(3, "gauges"),
            bind(state, share, "hold_out", "value_throttled"),
            self._split,
            bind(state, seed, "hold_seed"),
        ]

    def _method(self) -> list[Any]:
        say, state = self.say, self.state
        options = {say.method(name, cls): name for name, cls in methods().items()}
        chosen = pmui.Select(label=say("method"), options=options, value=state.method, **FIELD)
        self.members = pmui.IntInput(label=say("members"), value=state.members, start=1, end=1000, **FIELD)
        seed = pmui.IntInput(label=say("seed"), value=state.seed, start=0, end=2**31, **FIELD)
        self.members.margin, seed.margin = (8, 4, 4, 16), (8, 16, 4, 4)
        counts = pn.Row(
            bind(state, self.members, "members"),
            bind(state, seed, "seed"),
            sizing_mode="stretch_width",
            margin=0,
        )
        more = pmui.Accordion(
            (say("settings"), self.settings),
            (say("about_method"), self._about),
            margin=(4, 12, 12, 12),
            sizing_mode="stretch_width",
            disable_gutters=True,
            square=True,
            sx={
                "& .MuiAccordionSummary-root": {"minHeight": "36px"},
                "& .MuiAccordionSummary-content *": {"fontSize": "12.5px", "my": 0.5},
            },
        )
        return [self._head(4, "method"), bind(state, chosen, "method"), counts, more]

    def _method_chosen(self) -> None:
        complete(self.state, self.case)
        self._draw_settings()

    def _draw_settings(self) -> None:
        name = self.state.method
        if name not in methods():
            return
        cls = methods()[name]
        mine = self.state.settings.get(name, {})

        def choose(key: str, value: Any) -> None:
            self.state.set_setting(name, key, value)

        self.settings[:] = controls(settings_of(cls), name, self.say, mine, choose)
        self._about.object = page(cls)
        self.members.disabled = cls.most_members == 1

    # What it costs, and whether it can be run

    def _price(self) -> None:
        """Make the task; if that cannot be done, say why, and let Run say it too."""
        try:
            self._task, self._problem = self._make(), ""
        except Invalid as problem:
            self._task, self._problem = None, str(problem)
        self._split.object = self._split_html()
        self.run.disabled = self._task is None or self._job is not None
        if self._task is None:
            self._cost.object = f"<u>{escape(self._problem)}</u>"
        else:
            self._cost.object = self._cost_html(self._task)

    def _make(self) -> Task:
        cls = methods().get(self.state.method)
        most = cls.most_members if cls else 1
        task = self.state.task(self.case.box, self.case.period, store.gauge_layer(self.case), most)
        method(task.method, task.settings).accept(task)
        return task

    def _cost_html(self, task: Task) -> str:
        say = self.say
        rows, columns = task.grid.shape
        told = say("cost", rows=rows, columns=columns, times=len(task.period.times), members=task.members)
        seconds = store.seconds(task)
        expected = say("cost_unknown") if seconds is None else say("cost_time", time=say.duration(seconds))
        return f"<span>{escape(told)}</span><b>{escape(expected)}</b>"

    def _split_html(self) -> str:
        gauges = store.gauges(self.case)
        if gauges is None:
            return ""
        if self._task is not None:
            gauges = gauges.inside(self._task.domain)
        used = set(store.planned(self.case, self.state)) & set(gauges.names)
        told = self.say("split", used=len(used), held=len(gauges) - len(used))
        return f"<span>{escape(told)}</span>"

    def yaml(self) -> str:
        return self._task.to_yaml() if self._task else ""

    def _submit(self) -> None:
        """Hand the task over; the button rests until it is in the line."""
        self._price()
        if self._task is None or self._job is not None:
            return
        self._job = store.submit(self._task)
        self.run.param.update(disabled=True, label=self.say("submitting"))
        self.after([self._job], self._submitted)

    def _submitted(self) -> None:
        job, self._job = self._job, None
        self.run.label = self.say("run")
        self._price()
        if job is None:
            return
        if problem := job.exception():
            self._cost.object = f"<u>{escape(str(problem))}</u>"
            return
        run = job.result()
        if run.state == "done":
            self.tell(self.say("computed_before"))
        time = self.state.within(run.task.period.times)
        screen = "explore" if self.state.screen in ("welcome", "stories") else self.state.screen
        self.state.param.update(screen=screen, run=run.id, layer=RUN, time=time)

    def follow(self) -> None:
        """A finished run makes the next estimate better."""
        if self._task is not None and self._job is None:
            self._price()
