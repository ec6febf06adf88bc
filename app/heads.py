"""The head of the Verify screen: which run, judged by what and where, and the verdict in sentences.

A judge is worth what it does not know: how many gauges were held out and how they were chosen, how far they
lie from those in use, whether a source had been adjusted to gauges. It is said before any number is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from math import isnan
from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui

from app import judging, store
from app.curves import MEAN
from app.judging import TRUTH, Judgement
from app.plots import JUDGE
from app.readings import GAUGES
from app.sentences import told
from app.state import RUN, State
from app.theme import Words, sheet
from engine.journal import Run
from engine.methods import methods
from engine.sources.cases import Case
from engine.tasks import Task

MEDIAN, LEAST = "distance to the nearest gauge in use, median", "distance to the nearest gauge in use, least"
LENGTH = "correlation length of the reports"
NEARER = "share of gauges held out that lie nearer than that"
MOST_OTHERS = 3


def label(say: Words, case: Case, found: Judgement | None, name: str) -> str:
    """What stands in a table or beside a colour, in the reader's words."""
    if name == JUDGE:
        return label(say, case, found, found.judge) if found and found.judge != GAUGES else say("gauges")
    if name == MEAN:
        return say("mean_of_members")
    if name in methods():
        return say.method(name, methods()[name])
    owner, _, layer = name.partition("/")
    if owner == case.name and layer in case.layers:
        return say.layer(layer, case.layers[layer])
    run = store.run(name) if "-" in name and "/" not in name else None
    return title(say, run) if run else Path(name).name or name


def title(say: Words, run: Run) -> str:
    task = run.task
    return f"{say.method(task.method, methods().get(task.method))} · {run.id.rpartition('-')[2]}"


class Head:
    """What can be chosen, and what is said of it."""

    def __init__(self, state: State, say: Words, case: Case) -> None:
        self.state, self.say, self.case, self._quiet = state, say, case, False
        small: Any = {"size": "small", "variant": "outlined", "margin": (4, 10, 4, 6)}
        self.chosen = pmui.Select(label=say("judged_run"), width=330, **small)
        judges = {say("judge_gauges"): GAUGES, say("judge_truth"): TRUTH}
        self.judge = pmui.RadioButtonGroup(
            options=judges, value=state.judge, size="small", margin=(8, 10), align="center"
        )
        self.others = pmui.MultiChoice(
            label=say("judged_beside"), max_items=MOST_OTHERS, width=330, value=[], margin=(4, 6)
        )
        self.chosen.param.watch(self._choose_run, "value")
        self.judge.param.watch(lambda event: state.param.update(judge=event.new), "value")
        self.panel = pn.FlexBox(self.chosen, self.judge, self.others, margin=0, align_items="center")
        wide: Any = {"sizing_mode": "stretch_width", "margin": (4, 6)}
        self.verdict = pn.pane.HTML(stylesheets=[sheet("verdict")], **wide)

    @property
    def run(self) -> Run | None:
        """The run on show, else the newest of this case that has held gauges out."""
        mine = store.run(self.state.run)
        if mine is not None:
            return mine
        runs = self._runs()
        held = [run for run in runs if run.done and run.task.gauges and run.task.gauges.hold_out]
        return next(iter(held or runs), None)

    def _runs(self) -> list[Run]:
        return [run for run in store.runs() if store.case_of(run.task) == self.case.name]

    def _choose_run(self, event: Any) -> None:
        if not self._quiet and event.new:
            run = store.run(event.new)
            time = self.state.within(run.task.period.times) if run else self.state.time
            self.state.param.update(run=event.new, layer=RUN, time=time)

    def follow(self) -> None:
        """Options from the runs; nothing here is taken for a choice."""
        run, runs = self.run, self._runs()
        self._quiet = True
        options = {self._option(each): each.id for each in runs}
        if self.chosen.options != options:
            self.chosen.options = options
        self.chosen.param.update(value=run.id if run else None, visible=bool(runs))
        beside = {title(self.say, each): each.id for each in judging.rivals(run)} if run else {}
        kept = [name for name in self.others.value if name in beside.values()]
        if self.others.options != beside or kept != self.others.value:
            self.others.param.update(options=beside, value=kept)
        self.others.visible, self.judge.value = bool(beside), self.state.judge
        self._quiet = False

    def _option(self, run: Run) -> str:
        return f"{title(self.say, run)} · {self.say('members_of', n=run.done, of=run.task.members)}"

    def show(self, run: Run, found: Judgement) -> None:
        self.judge.visible = found.has_truth
        self.verdict.object = self._verdict_html(found) + self._judge_html(run, found)

    def chips(self, found: Judgement) -> Mapping[str, str]:
        """Beside each raw source, whether it knew the gauges."""
        words = {"yes": "independent_yes", "no": "independent_no", "not stated": "independent_unknown"}
        return {
            name: f'<i class="{each.split()[0]}">{escape(self.say(words[each]))}</i>'
            for name, each in found.independent.items()
        }

    def _verdict_html(self, found: Judgement) -> str:
        lines = [told(self.say, each) for each in found.verdicts]
        for name, each in found.gains.items():
            kind, sentence = told(self.say, each)
            beside = label(self.say, self.case, found, name)
            lines.append((kind, self.say("verdict_beside", name=beside, told=sentence)))
        told_ = "".join(f'<li class="{kind}">{escape(sentence)}</li>' for kind, sentence in lines)
        few = self.say("too_few", n=found.gauges, least=judging.FEWEST_GAUGES)
        told_ = told_ or f'<li class="open">{escape(few)}</li>'
        return f"<h2>{escape(self.say('is_it_honest'))}</h2><ul>{told_}</ul>"

    def _judge_html(self, run: Run, found: Judgement) -> str:
        say, task = self.say, run.task
        period = f"{say.moment(task.period.start)} – {say.moment(task.period.end)} UTC"
        by = "judged_at" if found.judge == GAUGES else "judged_by_truth"
        parts = [
            say(by, n=found.of_gauges, design=design(say, task), period=period),
            self._apart(found.leakage),
        ]
        chips = [say("simulated")] if str(self.case.about.get("simulated")) == "true" else []
        if run.done < task.members:
            chips.append(say("partial", n=run.done, of=task.members))
        badges = "".join(f"<i>{escape(each)}</i>" for each in chips)
        return f"<p>{' '.join(escape(each) for each in parts)} {badges}</p>"

    def _apart(self, told_: Mapping[str, float]) -> str:
        say, length = self.say, told_[LENGTH]
        apart = say("leak_apart", middle=f"{told_[MEDIAN]:.0f}", least=f"{told_[LEAST]:.0f}")
        if isnan(length):
            return apart
        return f"{apart} {say('leak_length', length=f'{length:.0f}', share=f'{told_[NEARER]:.0%}')}"


def design(say: Words, task: Task) -> str:
    """How the gauges were chosen that are held out."""
    gauges = task.gauges
    if gauges is None or isinstance(gauges.hold_out, tuple):
        return say("design_hand")
    words = {"gauge": "design_gauge", "block": "design_block", "elevation": "design_elevation"}
    told_ = say(words[gauges.by], share=f"{gauges.hold_out:.0%}", seed=gauges.seed)
    return f"{told_}, {gauges.block_km:g} km" if gauges.by == "block" else told_


def unjudged(run: Run | None) -> tuple[str, ...]:
    """Why a run cannot be judged, as a key of the words; nothing if it can."""
    if run is None:
        return ("judge_no_run",)
    if run.task.gauges is None or not run.task.gauges.hold_out:
        return ("judge_no_hold_out",)
    if not run.done:
        return ("judge_waiting" if run.under_way else "judge_no_member",)
    return ()
