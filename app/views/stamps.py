"""The ensemble: every member as a stamp, what is chosen of them large beside it, and how far they spread.

The run on show is shown, or else the newest of the case that has a member, at the hour on show. What is
chosen here is a choice like any other: it goes into the link, and the map of Explore follows. Members that
are finished are usable while others are under way. A run with one member is no ensemble: its field is shown.

The parts are `app.stamps` and `app.dots` (figures), `app.enlarged` (the large map) and `app.stack` (numbers);
this view decides what is on show and sends only what changed.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from html import escape
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui

from app import stack, store
from app.dots import Dots
from app.enlarged import STRETCH, Enlarged
from app.stamps import PAGE, Stamps
from app.state import RUN, State, stamp
from app.theme import Words, scale_of, sheet
from app.views import View
from engine.journal import Run

SORTS = ("number", "mean", "most", "off")
BEAT = 450  # ms that a member is on show while members are played
BOTH = {"sizing_mode": "stretch_both", "margin": 0}
TOOLTIP = '<div style="font: 12px sans-serif">@told: <b>@x{0.00}</b> mm/h</div>'


class Ensemble(View):
    """Stamps at the left, a large map over the dots at the right."""

    screen = "ensemble"

    def __init__(self, state: State, say: Words) -> None:
        super().__init__(state, say)
        self.case = store.case(state.case)
        self.large = Enlarged(self, self.case, self.choose)
        self.dots = Dots(say("row_domain"), say("row_gauges"), TOOLTIP)
        self.stamps: Stamps | None = None  # made for the domain and the members of a run
        self._run: Run | None = None
        self._hour: stack.Hour | None = None
        self._order, self._page = np.arange(0), 0
        self._drawn: dict[str, Any] = {}  # what each part shows now
        self._controls()
        self._layout()
        self.watch(self.follow, "time", "run", "layer", "statistic", "member", "above")
        self.watch(self.large.place_gauges, "gauges")
        self.watch(self._wear, "dark")
        self._wear()
        self.follow()

    def _controls(self) -> None:
        say = self.say
        sorts = {say(f"sort_{name}"): name for name in SORTS}
        self.sort = pmui.Select(
            label=say("stamps_sort"),
            options=sorts,
            value="number",
            width=190,
            size="small",
            margin=(10, 6, 6, 12),
            variant="outlined",
        )
        self.play = pmui.ToggleIcon(
            icon="play_arrow", active_icon="pause", description=say("play_members"), margin=(11, 2)
        )
        self.back, self.on = (
            pmui.IconButton(icon=f"chevron_{side}", description=say(key), margin=(10, 0), size="small")
            for side, key in (("left", "page_back"), ("right", "page_on"))
        )
        self.sort.param.watch(lambda _: self._turn_page(-self._page), "value")
        self.play.param.watch(lambda event: self._play(event.new), "value")
        self.back.on_click(lambda _: self._turn_page(-1))
        self.on.on_click(lambda _: self._turn_page(1))

    def _layout(self) -> None:
        self._figure = pn.pane.Bokeh(**BOTH)
        self._pages, self._note = (
            pn.pane.HTML(stylesheets=[sheet("note")], margin=margin) for margin in ((19, 4), (4, 12, 8, 12))
        )
        self._note.sizing_mode = "stretch_width"
        self._agree = pn.pane.HTML(
            stylesheets=[sheet("agree")], margin=(0, 16, 8, 16), sizing_mode="stretch_width"
        )
        row = (self.sort, self.play, pn.Spacer(**STRETCH), self.back, self._pages, self.on)
        self._left = pn.Column(
            pn.FlexBox(*row, flex_wrap="nowrap", height=58, **STRETCH),
            self._figure,
            self._note,
            styles={"flex": "1 1 46%", "min-width": "0"},
            **BOTH,
        )
        self._spread = pn.Column(
            pn.pane.Bokeh(self.dots.figure, height=112, **STRETCH), self._agree, **STRETCH
        )
        right = pn.Column(
            self.large.head,
            self.large.stage,
            self._spread,
            styles={"flex": "1 1 54%", "min-width": "0"},
            **BOTH,
        )
        self._empty = pn.Column(margin=(60, 24), visible=False, sizing_mode="stretch_width")
        self._whole = pn.Row(self._left, right, **BOTH)
        self.panel = pn.Column(self._empty, self._whole, **BOTH)

    def _arrange(self, run: Run) -> None:
        """The stamps of a run; they stay until the domain or the number of members is another one."""
        wanted = (run.task.domain, run.task.members)
        if self._drawn.get("figure") == wanted:
            return
        self._drawn = {"figure": wanted}
        self._page = 0
        self.stamps = Stamps(*wanted)
        self.stamps.on_choice(self._chosen)
        if self.large.canvas is not None:
            self.stamps.play_into(self.large.canvas, self.say("member_number"))
        self._figure.object = self.stamps.figure

    def _wear(self) -> None:
        self.large.wear()
        self.dots.wear("dark" if self.state.dark else "light")

    def choose(self, **choices: Any) -> None:
        """A choice of this screen speaks of the run that it shows."""
        if self._run is not None:
            choices = {"layer": RUN, "run": self._run.id} | choices
        self.state.param.update(**choices)

    # What is on show

    def follow(self) -> None:
        if not self.shown:
            return
        state, say = self.state, self.say
        self._run, time = self._found(), state.end_of_interval
        if self._run is None:
            hint = say("no_ensemble_hint")
            self._say_empty("to_runs", lambda: state.param.update(screen="runs"), "no_ensemble", hint)
            return
        period = self._run.task.period
        if time not in period.times:
            hint = say("no_hour_hint", start=say.moment(period.start), end=say.moment(period.end))
            self._say_empty("to_hour", lambda: self.choose(time=stamp(period.times[0])), "no_hour", hint)
            return
        self._empty.visible, self._whole.visible = False, True
        several = self._run.task.members > 1
        self._left.visible = self._spread.visible = several
        self._ask()

    def _found(self) -> Run | None:
        """The run on show; else the newest of the case of which there is something."""
        on_show = store.run(self.state.run)
        listed = [on_show, *store.runs()] if on_show else store.runs()
        return next((run for run in listed if run.done and store.case_of(run.task) == self.case.name), None)

    def _say_empty(self, action: str, call: Callable[[], Any], key: str, hint: str) -> None:
        """One sentence, what it means, and one thing to do."""
        told = f"<b>{escape(self.say(key))}</b><span>{escape(hint)}</span>"
        button = pmui.Button(label=self.say(action), variant="outlined", align="center", margin=(12, 0))
        button.on_click(lambda _: call())
        self._empty[:] = [pn.pane.HTML(told, stylesheets=[sheet("empty")], **STRETCH), button]
        self._empty.visible, self._whole.visible = True, False

    def _ask(self) -> None:
        """The members of the hour, and the large map of it; the old ones stay paler until they are there."""
        run, time = self._run, self.state.end_of_interval
        if run is None or time is None:
            return
        found, wait = stack.hour(run.id, time, scale_of("").edges)
        self.large.show(run, found)
        self._arrange(run)
        if wait is not None and self.stamps is not None:
            self.stamps.fade()
            self.after([wait], lambda: self._came(wait))
        elif found is not None:
            self._hour = found
            self._paint()
            following = time + run.task.period.step
            if following in run.task.period.times:  # most probably the next to be asked for
                stack.hour(run.id, following, scale_of("").edges)

    def _came(self, work: Future[Any]) -> None:
        if (problem := work.exception()) is None:
            self.follow()
        else:
            hint = self.say("hour_failed_hint", problem=str(problem).rstrip("."))
            self._say_empty("again", self.follow, "hour_failed", hint)

    def _paint(self) -> None:
        hour, sort = self._hour, self.sort.value
        if hour is None or self.stamps is None:
            return
        keys = {"mean": hour.mean, "most": hour.most, "off": hour.off}
        down = {"mean": -1, "most": -1}.get(sort, 1)
        by = down * keys[sort] if sort in keys else np.arange(len(hour))
        self._order = np.argsort(by, kind="stable")
        on_page = self._order[self._page * PAGE :][:PAGE]
        if self._drawn.get("stamps") != (wanted := (id(hour), sort, self._page)):
            self._drawn["stamps"] = wanted
            corner = [f"{keys[sort][each]:.1f}" if sort in keys else "" for each in on_page]
            images, numbers = [hour.images[each] for each in on_page], [str(each + 1) for each in on_page]
            self.stamps.paint(images, hour.grid.rows, numbers, corner, scale_of(""))
            self._note.object = f"<div>{escape(self._note_text(hour))}</div>"
            self._show_pages(len(hour))
            told = [self.say("member_number", n=number + 1) for number in range(len(hour))]
            self.dots.paint(hour.mean, hour.read, hour.gauges, told)
            self._agree.object = self._agree_html(hour)
        self._mark()

    def _mark(self) -> None:
        """The ring around the member that is shown large, if one is."""
        if self._hour is None or self.stamps is None:
            return
        one = self.state.statistic == "member"
        member = min(self.state.member, len(self._hour) - 1) if one else None
        place = np.flatnonzero(self._order == member) if one else []
        slot = int(place[0]) - self._page * PAGE if len(place) else -1
        self.stamps.mark(slot if slot >= 0 else None)
        self.dots.mark(member, len(self._hour))

    def _chosen(self, slot: int) -> None:
        place = self._page * PAGE + slot
        if place < len(self._order):
            self.choose(statistic="member", member=int(self._order[place]))

    def _turn_page(self, by: int) -> None:
        self._page = max(0, self._page + by)
        self._paint()

    def _show_pages(self, many: int) -> None:
        first = self._page * PAGE + 1
        last = min(first + PAGE - 1, many)
        self._pages.object = f"<div>{escape(self.say('members_page', first=first, last=last, n=many))}</div>"
        for each in (self.back, self.on, self._pages):
            each.visible = many > PAGE
        self.back.disabled, self.on.disabled = first == 1, last == many

    def _play(self, on: bool) -> None:
        """Play the members that stand here, from the one that is shown; the last one stays on show."""
        if self.stamps is None or self._hour is None:
            return
        if on:
            if self.state.statistic != "member":
                self._chosen(0)
            place = np.flatnonzero(self._order == self.state.member)
            slot = (int(place[0]) - self._page * PAGE) if len(place) else 0
            self.stamps.play(BEAT, max(0, min(slot, PAGE - 1)))
        else:
            self.stamps.play(0, 0)

    # What is written

    @property
    def _span(self) -> str:
        return f"{self._run.task.period.step.total_seconds() / 3600:g} h" if self._run else ""

    def _note_text(self, hour: stack.Hour) -> str:
        sort, say = self.sort.value, self.say
        if sort == "off":
            count = hour.gauges.size
            return say("sorted_off", n=count) if count else say("sorted_off_none")
        return say("sorted_number", hours=self._span) if sort == "number" else say(f"sorted_{sort}")

    def _agree_html(self, hour: stack.Hour) -> str:
        say, wet, dry = self.say, round(100 * hour.wet), round(100 * hour.dry)
        told = [say("agree", wet=wet, dry=dry, differ=100 - wet - dry)]
        bar = f'<p><i style="width:{100 * hour.wet:.1f}%"></i><i style="width:{100 * hour.dry:.1f}%"></i></p>'
        reported = (
            "<s></s>" + escape(say("dots_reported", n=hour.gauges.size, value=f"{hour.gauges.mean():.2f}"))
            if hour.gauges.size
            else ""
        )
        title = f"<b>{escape(say('dots_title'))}</b> {escape(say('legend_period', hours=self._span))}"
        return f"<div>{title} · {reported}{bar}{escape(told[0])}</div>"
