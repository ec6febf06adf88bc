"""The setup: from choices to a task, what it will cost, and Run.

Run is disabled only with a reason, and the reason is the line that the engine itself would give. What is
submitted is exactly what "copy as" copies. When the run on show was made from another setup this is said, and
either may be had: run again, or take back the setup of that run. The last changes can be undone.
"""

from __future__ import annotations

from html import escape
from typing import Any

import panel as pn
import panel_material_ui as pmui

from app import cost, recipe, store
from app.extent import Extent
from app.holdout import HoldOut
from app.method_choice import MethodChoice
from app.roles import Roles, complete
from app.state import EXTENT, RUN, SPLIT, State
from app.theme import Words, sheet
from app.views import View
from engine.methods import method, methods
from engine.tasks import Task
from engine.values import Invalid

# Choices that a task is made of; of the window only while it is the domain.
MADE_OF = (*EXTENT, *SPLIT, "uses", "method", "settings", "members", "seed")
MOST_UNDONE = 50
COPIES = {"yaml": "description", "command": "terminal", "script": "code"}  # and their icons


class Setup(View):
    """What the next run is made of."""

    def __init__(self, state: State, say: Words) -> None:
        super().__init__(state, say)
        self.case = store.case(state.case)
        self._job: Any = None
        self._task: Task | None = None
        self._problem = ""
        self._before: list[dict[str, Any]] = []
        self._now = self._choices()
        self._cost = pn.pane.HTML(
            stylesheets=[sheet("cost")], margin=(4, 16, 2, 16), sizing_mode="stretch_width"
        )
        self.extent = Extent(state, say, self.case)
        self.roles = Roles(self, self.case)
        self.gauges = HoldOut(self, self.case)
        self.method = MethodChoice(state, say)
        body = pn.Column(
            self._head(1, "where_and_when"),
            self.extent.panel,
            self._head(2, "sources_used"),
            self.roles.panel,
            self._head(3, "gauges"),
            self.gauges.panel,
            self._head(4, "method"),
            self.method.panel,
            sizing_mode="stretch_width",
            scroll="y",
            margin=0,
            styles={"flex": "1 1 0", "min-height": "0"},
        )
        self.panel = pn.Column(body, self._foot(), sizing_mode="stretch_both", margin=0)
        self.watch(self._changed, *MADE_OF)
        self.watch(lambda: state.area == "window" and self._changed(), "window")
        self.watch(self.extent.follow, "drag")
        self.watch(self._compare, "layer", "run")
        self._price()

    def _head(self, number: int, key: str) -> Any:
        return pn.pane.HTML(
            f"<i>{number}</i>{escape(self.say(key))}", stylesheets=[sheet("head")], margin=(12, 16, 2, 16)
        )

    def _foot(self) -> Any:
        """What it costs, Run, the way back, and the task to take along."""
        say = self.say
        self.run = pmui.Button(
            label=say("run"),
            icon="play_arrow",
            color="primary",
            variant="contained",
            margin=(4, 4, 8, 16),
            sizing_mode="stretch_width",
            disable_elevation=True,
        )
        self.undo = pmui.IconButton(
            icon="undo", description=say("undo_choice"), disabled=True, margin=(4, 0, 8, 0)
        )
        copy = self._menu()
        self._apart = pn.pane.HTML(stylesheets=[sheet("cost")], margin=(8, 0, 0, 16))
        revert = pmui.Button(label=say("revert"), variant="text", size="small", margin=(2, 12, 0, 4))
        self._stale = pn.Row(self._apart, revert, visible=False, sizing_mode="stretch_width", margin=0)
        self.run.on_click(lambda _: self._submit())
        self.undo.on_click(lambda _: self._take_back())
        revert.on_click(lambda _: self._revert())
        return pn.Column(
            self._stale,
            self._cost,
            pn.Row(self.run, self.undo, copy, sizing_mode="stretch_width", margin=0),
            css_classes=["foot"],
            stylesheets=[sheet("foot")],
            sizing_mode="stretch_width",
            margin=0,
        )

    def _menu(self) -> Any:
        """The task as each of the texts that give the same numbers."""
        say = self.say
        copy = pmui.MenuButton(
            label="",
            icon="content_copy",
            items=[
                {"label": say(f"copy_{name}"), "icon": icon, "name": name} for name, icon in COPIES.items()
            ],
            description=say("copy_as"),
            variant="text",
            margin=(4, 8, 8, 0),
            width=64,
            sizing_mode="fixed",
        )
        copy.on_click(self._copied)
        return copy

    def _copied(self, item: Any) -> None:
        self.copy(self.written(item["name"]))

    # What was changed, and the way back

    def _choices(self) -> dict[str, Any]:
        return {name: getattr(self.state, name) for name in MADE_OF}

    def _changed(self) -> None:
        complete(self.state, self.case)  # of a method that is chosen for the first time
        now = self._choices()
        if now != self._now:
            self._before = [*self._before[1 - MOST_UNDONE :], self._now]
            self._now = now
        self.extent.changed()
        self.roles.follow()
        self.gauges.follow()
        self.method.follow()
        self._price()

    def _take_back(self) -> None:
        if self._before:
            self._now = self._before.pop()
            self.state.param.update(**self._now)
            self._changed()

    def _revert(self) -> None:
        if run := store.run(self.state.run):
            self.state.take(run.task)

    # What it costs, and whether it can be run

    def _price(self) -> None:
        """Make the task; if that cannot be done, say why, and let Run say it too."""
        try:
            self._task, self._problem = self._make(), ""
        except Invalid as problem:
            self._task, self._problem = None, str(problem)
        self.run.disabled = self._task is None or self._job is not None
        self.undo.disabled = not self._before
        self._cost.object = self._cost_html(self._task) if self._task else f"<u>{escape(self._problem)}</u>"
        self._compare()

    def _make(self) -> Task:
        cls = methods().get(self.state.method)
        most = cls.most_members if cls else 1
        gauges = store.split(self.case, self.state)
        task = self.state.task(self.case.box, self.case.period, gauges, most)
        known = store.gauges(self.case)
        if gauges and known:
            gauges.split(known.inside(task.domain))
        method(task.method, task.settings).accept(task)
        return task

    def _cost_html(self, task: Task) -> str:
        say = self.say
        rows, columns = task.grid.shape
        told = say("cost", rows=rows, columns=columns, times=len(task.period.times), members=task.members)
        seconds = cost.seconds(task)
        expected = say("cost_unknown") if seconds is None else say("cost_time", time=say.duration(seconds))
        needed, room = cost.memory(task), cost.room()
        memory = f"<b>{escape(say('cost_memory', size=say.bytes(needed)))}</b>"
        line = f"<span>{escape(told)}</span><b>{escape(expected)}</b>{memory}"
        if needed <= room:
            return line
        members, times = cost.fitting(task, room)
        return line + f"<u>{escape(say('too_large', room=say.bytes(room), members=members, times=times))}</u>"

    def _compare(self) -> None:
        """Say whether the run on show was made from another setup."""
        run = store.run(self.state.run) if self.state.layer == RUN else None
        self._stale.visible = bool(run and self._task and run.task.hash != self._task.hash)
        self._apart.object = f"<span>{escape(self.say('setup_changed'))}</span>"

    def written(self, kind: str) -> str:
        """The task as a text that gives the same numbers elsewhere."""
        if self._task is None:
            return ""
        write = {"yaml": Task.to_yaml, "command": recipe.command, "script": recipe.script}
        return write[kind](self._task)

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
