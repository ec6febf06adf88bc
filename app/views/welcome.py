"""The first thing a person sees: cases with a result that opens at once, stories, and what this machine is.

Nothing is computed here but small pictures of the cases, by a thread of their own; a card stands without its
picture until that is there. The results are finished runs, those that come with the project before others.
"""

from __future__ import annotations

from html import escape
from typing import Any

import panel as pn
import panel_material_ui as pmui

from app import store
from app.machine import Taught, machine, priors
from app.state import RUN, State, stamp
from app.stories import show, stories
from app.theme import Words, sheet
from app.thumbnails import thumbnail
from app.told import titled
from app.views import View
from engine.journal import Run
from engine.methods import methods
from engine.shipped import ORIGIN
from engine.sources.cases import Case

NEWEST = 4  # results that are listed
WHOLE: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": 0}
SMALL: dict[str, Any] = {"size": "small", "margin": (4, 8, 4, 0)}


class Welcome(View):
    """Cards of cases at the left, the newest results and the machine at the right, stories below."""

    screen = "welcome"

    def __init__(self, state: State, say: Words) -> None:
        super().__init__(state, say)
        first = store.case("").name
        ordered = sorted(store.cases().values(), key=lambda case: case.name != first)
        self.cards = [CaseCard(self, case) for case in ordered]
        self._results = pn.Column(sizing_mode="stretch_width", margin=(2, 0, 0, 0))
        self._listed: list[str] | None = None
        own = pmui.Button(label=say("to_setup"), icon="upload_file", variant="outlined", **SMALL)
        own.on_click(lambda _: self._set_up())
        cards = pn.FlexBox(*(card.panel for card in self.cards), gap="20px", align_items="stretch", **WHOLE)
        main = pn.Column(cards, self._stories(), **WHOLE)
        own_files = f"<b>{escape(say('start_own'))}</b><p>{escape(say('own_files_about'))}</p>"
        side = pn.Column(
            _tile(self._text(f"<b>{escape(say('newest_results'))}</b>"), self._results),
            _tile(self._text(own_files), own),
            _tile(self._text(self._machine())),
            width=320,
            margin=(0, 0, 0, 20),
        )
        title = f"<h1>{escape(say('welcome'))}</h1><p>{escape(say('welcome_about'))}</p>"
        inner = pn.Column(
            pn.pane.HTML(title, stylesheets=[sheet("welcome")], **WHOLE),
            pn.Row(main, side, **WHOLE),
            styles={"max-width": "1180px", "margin": "0 auto", "padding": "32px 32px 40px"},
            sizing_mode="stretch_width",
        )
        self.panel = pn.Column(inner, sizing_mode="stretch_both", margin=0, scroll="y")
        self.follow()

    def _text(self, html: str) -> pn.pane.HTML:
        return pn.pane.HTML(html, stylesheets=[sheet("tale")], **WHOLE)

    def follow(self) -> None:
        done = [run for run in store.runs() if run.state == "done"]
        for card in self.cards:
            card.show([run for run in done if store.case_of(run.task) == card.case.name])
        if self._listed != (listed := [run.id for run in done[:NEWEST]]):
            self._listed = listed
            self._results[:] = [self._result(run) for run in done[:NEWEST]] or [
                self._text(f"<p>{escape(self.say('no_runs'))}</p>")
            ]

    def _result(self, run: Run) -> pmui.Button:
        button = pmui.Button(
            label=named(self.say, run), icon="layers", variant="text", size="small", margin=(0, 0, 0, -6)
        )
        button.on_click(lambda _: self.open(run))
        return button

    def open(self, run: Run) -> None:
        """Show a run on the map, at the hour on show if it has it, else in its middle."""
        times = run.task.period.times
        now = self.state.end_of_interval
        self.state.param.update(
            screen="explore",
            case=store.case_of(run.task) or self.state.case,
            layer=RUN,
            run=run.id,
            statistic="mean",
            time=stamp(now if now in times else times[len(times) // 2]),
        )

    def _set_up(self) -> None:
        self.state.screen = "explore"

    def explore(self, case: Case) -> None:
        """Show a case's first background."""
        shown = store.fields(case)
        layer = next((each for each in shown if case.layers[each]["role"] == "background"), shown[0])
        self.state.param.update(screen="explore", case=case.name, layer=layer)

    def _stories(self) -> pn.Column:
        say = self.say
        tiles = []
        for story in stories().values():
            text = f"<b>{escape(story.title[say.language])}</b><p>{escape(story.about[say.language])}</p>"
            begin = pmui.Button(label=say("begin_story"), icon="play_arrow", variant="text", **SMALL)
            begin.on_click(lambda _, story=story: show(self.state, story, 0))
            tiles.append(_tile(self._text(text), begin, **_wide(200)))
        head = f"<h2>{escape(say('screen_stories'))}</h2>"
        return pn.Column(
            pn.pane.HTML(head, stylesheets=[sheet("welcome")], margin=(26, 0, 12, 0)),
            pn.FlexBox(*tiles, gap="20px", align_items="stretch", **WHOLE),
            **WHOLE,
        )

    def _machine(self) -> str:
        say, here = self.say, machine()
        memory = "" if here.memory is None else say("memory", n=round(here.memory))
        lines = [
            (say("processor"), f"{here.processor}, {say('cores', n=here.cores)}"),
            (say("graphics"), ", ".join(here.graphics) or say("no_graphics")),
            (say("memory_title"), memory),
            (say("versions"), " · ".join(f"{name} {version}" for name, version in here.versions)),
        ]
        told = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in lines if text)
        taught = "".join(f"<li>{self._taught(each)}</li>" for each in priors())
        return (
            f"<b>{escape(say('this_machine'))}</b><dl>{told}</dl>"
            f"<b>{escape(say('priors'))}</b><ul>{taught or escape(say('no_priors'))}</ul>"
        )

    def _taught(self, prior: Taught) -> str:
        say = self.say
        title = prior.title if say.language == "en" else say.maybe(f"prior_{prior.name}", prior.title)
        if prior.first is None or prior.last is None:
            count = say("taught_worlds", n=prior.count)
        else:
            first, last = (f"{each:%Y-%m-%d}" for each in (prior.first, prior.last))
            count = say("taught_hours", n=prior.count, first=first, last=last)
        method = say.method(prior.method, methods().get(prior.method))
        return f'<em title="{escape(method)}">{escape(title)}</em> {escape(count)}'


class CaseCard:
    """A case: its rain, what it is, its results, its sources."""

    def __init__(self, view: Welcome, case: Case) -> None:
        self.view, self.case, self.say = view, case, view.say
        self._picture = pn.pane.HTML(stylesheets=[sheet("picture")], **WHOLE)
        self._buttons = pn.FlexBox(gap="0 4px", sizing_mode="stretch_width", margin=(6, 0, 0, 0))
        self._listed: list[str] | None = None
        self.panel = _tile(self._picture, view._text(self._about()), self._buttons, **_wide(290))
        self.paint()

    def paint(self) -> None:
        found, wait = thumbnail(self.case)
        if wait is not None:
            self.view.after([wait], self.paint)
        if found is None:
            self._picture.object = "<figure></figure>"
            return
        say = self.say
        name = say.layer(found.layer, self.case.layers[found.layer])
        told = f"{name} · {say.period(found.start, found.end)}"
        image = f'<img src="{found.address}" alt="{escape(told)}">'
        self._picture.object = f"<figure>{image}<figcaption>{escape(told)}</figcaption></figure>"

    def _about(self) -> str:
        say, case = self.say, self.case
        title, about = case.title, str(case.about.get("description", "")).partition(". ")[0].rstrip(".") + "."
        if say.language != "en":
            title, about = say.maybe(f"case_{case.name}", title), say.maybe(f"case_about_{case.name}", about)
        simulated = str(case.about.get("simulated", "")).lower() == "true"
        chip = f"<i>{escape(say('simulated'))}</i>" if simulated else ""
        period = f"{say.period(case.period.start, case.period.end)} · {case.period.interval}"
        return f"<b>{escape(title)}{chip}</b><p>{escape(about)}</p><p><small>{escape(period)}</small></p>"

    def show(self, runs: list[Run]) -> None:
        """A button for each shipped result, those of trained priors first; else for the newest."""
        shipped = [run for run in runs if run.origin == ORIGIN] or runs[:1]
        shipped.sort(key=lambda run: "prior" not in run.task.settings)
        if self._listed == (listed := [run.id for run in shipped]):
            return
        self._listed = listed
        say = self.say
        buttons = []
        for run in shipped:
            first = not buttons
            label = say("open_result") if first else named(say, run)
            icon = "layers" if first else "compare"
            kind = "contained" if first else "outlined"
            button = pmui.Button(label=label, icon=icon, variant=kind, **SMALL)
            button.on_click(lambda _, run=run: self.view.open(run))
            buttons.append(button)
        sources = pmui.Button(label=say("explore_sources"), icon="public", variant="text", **SMALL)
        sources.on_click(lambda _: self.view.explore(self.case))
        self._buttons[:] = [*buttons, sources]


def named(say: Words, run: Run) -> str:
    """A run as a list tells it: what it was called, else its method."""
    told = titled(run.task, say)
    return told if say.language == "en" else say.maybe(f"result_{run.id}", told)


def _tile(*parts: Any, **about: Any) -> pn.Column:
    """A panel with a border."""
    about = {"sizing_mode": "stretch_width", "margin": (0, 0, 20, 0)} | about
    return pn.Column(*parts, css_classes=["tile"], stylesheets=[sheet("tile")], **about)


def _wide(least: int) -> dict[str, Any]:
    """One of several in a row, as high as its neighbours and at least so many pixels wide."""
    return {"styles": {"flex": f"1 1 {least}px", "align-self": "stretch"}, "margin": 0}
