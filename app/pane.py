"""One map: a canvas with its gauges, a plate that says what it shows, and a list to choose it.

Whenever the time or the choice changes a pane asks for the picture. What is known is painted at once; what is
not leaves the old picture paler until it is there. Requests that became old meanwhile are forgotten, never
queued; one that failed is told on the plate, and made again when something else was on show between.

After the first picture of an hour the hours around it follow in the background (`app.films`); from then on a
step in time is made by the browser, and the pane only tells what its plate and the readout say. An event is
one picture, and has no film.
"""

from __future__ import annotations

from concurrent.futures import Future
from html import escape
from typing import Any

import pandas as pd
import panel as pn

from app import chosen, films, ground, store
from app.canvas import Canvas
from app.events import Event, When
from app.films import Pair
from app.picker import Picker
from app.pictures import Picture, Shown
from app.rimmed import Rimmed
from app.state import EXTENT, RUN, SPLIT, State
from app.theme import Scale, Words, scale_of, sheet
from app.views import View
from engine.methods import methods
from engine.values import Invalid


class Pane(View):
    """The map at one place among the maps; what it shows is given to `show`."""

    def __init__(self, state: State, say: Words, place: int, beside: Canvas | None = None) -> None:
        super().__init__(state, say)
        self.case, self.place = store.case(state.case), place
        self.hours = self.case.period.step.total_seconds() / 3600
        self.canvas = Canvas(self.case.box, say("missing"), say("unit_rate"), beside)
        self.gauges = Rimmed(self.canvas, self.case, state, say)
        self.picture: Picture | None = None
        self.asked: Shown | Pair | None = None
        self.scale: Scale = scale_of("")
        self._members = 0
        self._wanted: Any = None
        self._waits: Future[Any] | None = None
        self._failure = ""
        self._film: Any = None  # what the frames in the browser are of
        self._planned: set[pd.Timestamp] = set()
        self._todo: list[tuple[pd.Timestamp, ...]] = []
        self._chunk: Future[Any] | None = None
        self._torn = False  # some of the film could not be made
        self.plate = pn.pane.HTML(stylesheets=[sheet("plate")], css_classes=["plate"], margin=0)
        self.picker = Picker(
            self.case, say, lambda shown: chosen.choose(state, self.case, place, shown), wide=False
        )
        self.panel = self._layout()
        self._watch_state()

    def _watch_state(self) -> None:
        state, canvas = self.state, self.canvas
        for call, *names in (
            (self._show_gauges, "gauges"),
            (self._wear, "dark"),
            (self._mark, "place"),
            (self.gauges.place, *SPLIT, *EXTENT, "layer", "run"),
            (self.place_ground, *SPLIT, *EXTENT, "layer", "run", "terrain", "distance", "tiles"),
            (self._mend, "playing"),
        ):
            self.watch(lambda call=call: self.soon(call), *names)
        canvas.on_tap(lambda lat, lon: state.param.update(place=f"{lat:.4f},{lon:.4f}"))
        for call in (self._show_gauges, self._wear, self._mark, self.place_ground):
            call()

    def _show_gauges(self) -> None:
        self.canvas.show_gauges(self.state.gauges)
        self.gauges.colour()

    def _wear(self) -> None:
        self.canvas.wear("dark" if self.state.dark else "light")

    def _mark(self) -> None:
        self.canvas.mark(self.state.spot)

    def _layout(self) -> Any:
        figure = pn.pane.Bokeh(self.canvas.figure, sizing_mode="stretch_both", margin=0)
        stage = pn.Column(
            figure,
            self.plate,
            sizing_mode="stretch_both",
            margin=0,
            css_classes=["map"],
            stylesheets=[sheet("map")],
        )
        return pn.Column(
            self.picker.panel,
            stage,
            sizing_mode="stretch_both",
            margin=0,
            css_classes=["pane"],
            stylesheets=[sheet("pane")],
        )

    def show(self, asked: Shown | Pair) -> None:
        """Show this from now on; where its scale is another one, gauges get new colours too."""
        when = self.state.when
        event = when if isinstance(when, Event) else None
        name = "difference" if isinstance(asked, Pair) else asked.statistic if asked.layer == RUN else ""
        hours = event.hours if event else self.hours
        self.scale = scale_of(name, hours, self.state.palette, total=event is not None)
        self.asked = asked
        self.gauges.wear(self.scale, asked.above if isinstance(asked, Shown) else 0.0, event)
        if isinstance(asked, Shown) and self.picker.panel.visible:
            self.picker.follow(asked, when)
        self.paint()

    def paint(self) -> None:
        """Show what was chosen, as far as it is known now."""
        when, asked = self.state.when, self.asked
        if when is None or asked is None or not self.panel.visible:
            return
        still = films.still(asked)
        film = (asked, self.scale, isinstance(when, Event), films.version(asked) if still else None)
        if film != self._film:
            self._film, self._planned, self._todo = film, set(), []
            self.canvas.forget()
        self.picture, waiting = self._look(asked, when)
        if self.picture is not None:
            self._members = self.picture.members or 0
        self._draw(when, waiting=waiting)
        if still and self.picture is not None and not isinstance(when, Event):
            self._film_around(when, self.picture)
        self.plate.object = self._plate_html(asked, when, waiting=waiting)
        self.told()

    def told(self) -> None:
        """What this pane shows has changed; whoever made it may listen."""

    def _look(self, asked: Shown | Pair, when: When) -> tuple[Picture | None, bool]:
        """The picture if it is known, and whether it is still to come."""
        wanted = (asked, when, films.version(asked))
        if wanted != self._wanted:
            self._wanted, self._waits, self._failure = wanted, None, ""
        elif self._waits is not None and self._waits.done() and not self._waits.cancelled():
            failed = self._waits.exception()
            self._failure = self._failure or (_line(failed) if failed else "")
        if self._failure:
            return None, False
        try:
            found, self._waits = films.picture(asked, when)
        except Invalid as problem:  # the run was deleted
            self._failure = _line(problem)
            return None, False
        if self._waits is not None:
            self.after([self._waits], self.paint)
        return found, self._waits is not None

    def _draw(self, when: When, *, waiting: bool) -> None:
        ahead = self.canvas.has(when)
        if not waiting or ahead:
            self.canvas.wear_scale(self.scale)
        if ahead:
            self.canvas.sharpen()
        elif waiting:
            self.canvas.fade()
        elif self.picture is None:  # another field under this name would be a lie
            self.canvas.wipe()
        else:
            self.canvas.paint(self.picture.values, self.picture.rows, self.scale)
        self.gauges.colour()

    # Hours ahead

    def _film_around(self, time: pd.Timestamp, found: Picture) -> None:
        if time in self._planned or self.asked is None:
            return
        self.canvas.forget()
        plan = films.plan(films.times(self.asked), time, found.rows.lower.size * found.lon.size)
        self._todo, self._planned = plan, {each for hours in plan for each in hours} | {time}
        self._chunk, self._torn = None, False
        self._send()

    def _send(self) -> None:
        """Send what is ready; come back for the rest."""
        if self._chunk and self._chunk.done() and not self._chunk.cancelled() and self._chunk.exception():
            self._todo, self._torn = [], True  # hours without a frame are asked for one by one
        while self._todo and self.asked is not None and self._film[0] == self.asked:
            frames, self._chunk = films.chunk(self.asked, self._todo[0], self.scale.edges)
            if frames is None and self._chunk is not None:
                self.after([self._chunk], self._send)
                return
            self._todo.pop(0)
            self.canvas.keep(frames or ())

    def _mend(self) -> None:
        """Ask again for a film that could not be made, when it is played again."""
        if self.state.playing and self._torn:
            self._planned = set()
            self.paint()

    # The ground

    def place_ground(self) -> None:
        state, drawn = self.state, self.canvas.ground
        shade, wait = (
            ground.hills(self.case) if state.terrain and ground.has_hills(self.case) else (None, None)
        )
        drawn.show_hills(shade)
        lines, wait_too = ground.distances(self.case, state) if state.distance else ([], None)
        drawn.show_distances(lines)
        drawn.show_tiles(state.tiles)
        self.after([each for each in (wait, wait_too) if each], self.place_ground)

    # What is written on the map

    def name(self, asked: Shown) -> tuple[str, str]:
        """What is shown, and which statistic of it."""
        say = self.say
        if asked.layer != RUN:
            about = self.case.layers.get(asked.layer, {})
            return say.layer(asked.layer, about), say("native", native=about.get("native", ""))
        run = store.run(asked.run)
        if run is None:
            return say("no_run", run=asked.run), ""
        title = say.method(run.task.method, methods().get(run.task.method))
        return title, say.statistic(asked.statistic, asked.above, asked.member, self.state.when)

    def _plate_html(self, asked: Shown | Pair, when: When, *, waiting: bool) -> str:
        say = self.say
        if isinstance(asked, Pair):
            (one, of), (other, of_other) = self.name(asked.one), self.name(asked.other)
            alike = asked.one.layer == RUN == asked.other.layer
            title, statistic = say("less", a=one, b=other), (" − " if alike else ", ").join((of, of_other))
        else:
            title, statistic = self.name(asked)
        unit = say("unit_share") if self.scale.name == "chance" else say.unit(when)
        chips = "".join(f"<i>{escape(badge)}</i>" for badge in self._badges(asked, when, waiting=waiting))
        head = f"<b>{escape(title)}</b><span>{escape(statistic)} · {escape(unit)}</span>"
        failed = f"<u>{escape(say('picture_failed', problem=self._failure))}</u>" if self._failure else ""
        return f"{head}<em>{escape(say.when(when, self.case.period.step))}</em><div>{chips}</div>{failed}"

    def _badges(self, asked: Shown | Pair, when: When, *, waiting: bool) -> list[str]:
        say = self.say
        badges = [say("simulated")] if str(self.case.about.get("simulated")) == "true" else []
        run = store.run(asked.run) if isinstance(asked, Shown) and asked.layer == RUN else None
        if run and run.task.members > 1 and (self.picture or self.canvas.has(when)):
            told = say("members_of", n=self._members, of=run.task.members)
            badges += [told if self._members else say("early_picture")]
        if self.picture is None and not waiting and not self._failure:
            nothing = say("not_whole" if isinstance(when, Event) else "no_picture")
            badges += [say("waiting") if run and run.under_way else nothing]
        return badges


def _line(problem: BaseException) -> str:
    """What went wrong, in one line."""
    told = (str(problem) or type(problem).__name__).splitlines()[0]
    return told.rstrip(".")
