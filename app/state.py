"""What the user chose, and nothing else: one `State` for each open page.

Views are strangers to each other. A view writes a choice here and watches the choices it depends on; what
follows from a choice (fields, jobs, errors) lives in `app.store`.

Two things leave a state. Its *link*: a few readable keys from which another page opens the same view.
And the *task* that its setup describes, which is what Run submits and what "copy as YAML" copies. A link
may come from anywhere, so reading one never fails: what is not understood is left out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd
import param

from app.cells import are_whole, snapped
from app.events import Event, When
from app.raster import STATISTICS
from app.theme import LANGUAGES, PALETTES
from engine.fields import Box, Period
from engine.methods import methods
from engine.tasks import Gauges, Role, Task, Use
from engine.values import Invalid, instant, number

ROLES: tuple[Role, ...] = ("background", "predictor", "history")  # that layers may have for a method
RUN = "run"  # the layer that is not a layer of the case but the result of a run
SCREENS = ("welcome", "explore", "ensemble", "verify", "runs", "report", "stories")
LINKED = (
    "screen", "case", "time", "event", "place", "layer", "run", "statistic", "member", "above", "panes",
    "others", "compare", "palette", "area", "drawn", "judge", "zone", "language", "story", "scene",
)  # fmt: skip
EXTENT = ("area", "drawn", "cell", "start", "end", "every")  # where and when the next run is
SPLIT = ("hold_by", "hold_out", "hold_seed", "block_km", "held", "ignored")  # which gauges speak in it
ZONES = {"utc": "UTC", "beijing": "Asia/Shanghai", "local": ""}
COMPARISONS = ("none", "swipe", "difference", "flicker")


def stamp(time: Any) -> str:
    """A time as states and links keep it."""
    return time.isoformat(timespec="minutes")


class State(param.Parameterized):
    """Choices. Those in `LINKED` travel in the link of the page."""

    # No bounds here: a choice is valid only within a case or a run, and those are known to the store.
    screen = param.Selector(default="explore", objects=list(SCREENS))
    case = param.String()
    time = param.String(doc="the end of the interval on show, ISO, UTC")
    event = param.String(doc="the window whose totals are on show, its start and end, ISO, UTC; none: empty")
    place = param.String(doc="the place that is inspected, its latitude and longitude; none: empty")
    layer = param.String(doc="a layer of the case, or the word run")
    run = param.String(doc="the id of the run on show")
    statistic = param.Selector(default="mean", objects=list(STATISTICS))
    member = param.Integer(default=0, bounds=(0, 999))
    judge = param.Selector(default="gauges", objects=["gauges", "truth"], doc="what a run is judged by")
    above = param.Number(default=5.0, bounds=(0.1, 500), doc="mm/h, of an event mm; of the probability")
    panes = param.Selector(default=1, objects=[1, 2, 4], doc="how many maps stand side by side")
    others = param.String(doc="what the second map and the next show, as `app.chosen` writes it")
    compare = param.Selector(default="none", objects=list(COMPARISONS), doc="of the first two, in one map")
    palette = param.Selector(default="default", objects=list(PALETTES))
    zone = param.Selector(default="utc", objects=list(ZONES), doc="in which times are told; all else is UTC")
    language = param.Selector(default="en", objects=list(LANGUAGES))
    story = param.String(doc="the story that is told beside the work; none where it is empty")
    scene = param.Integer(default=0, bounds=(0, 99), doc="of the story, counted from 0")

    local = param.String(default="UTC", doc="the time zone of the browser")
    playing = param.Boolean(default=False)
    gauges = param.Boolean(default=True, doc="whether the gauges are drawn")
    terrain = param.Boolean(default=False, doc="whether the hills are")
    distance = param.Boolean(default=False, doc="whether lines tell how far the next used gauge is")
    tiles = param.Boolean(default=False, doc="whether the ground comes from a server of maps")
    window = param.Tuple(default=None, length=4, allow_None=True, doc="the bounds of the map, degrees")
    dark = param.Boolean(default=False)
    help = param.Boolean(default=False, doc="whether the sheet of keys is open")

    drag = param.Selector(
        default="",
        objects=["", "domain", "lasso", "box"],
        doc="what a drag on the map draws; nothing: it pans",
    )
    register = param.Boolean(default=False, doc="whether the register of gauges is open")
    picked = param.List(default=[], doc="gauges picked on the map or in the register, by name")

    area = param.Selector(
        default="case", objects=["case", "window", "drawn"], doc="the domain of the next run"
    )
    drawn = param.Tuple(default=None, length=4, allow_None=True, doc="the domain as drawn, degrees")
    cell = param.Number(default=0.1, bounds=(0.01, 5), doc="degrees")
    start = param.String(doc="the period of the next run, ISO, UTC")
    end = param.String()
    every = param.String(doc="the steps of the period; the case's own where it is empty")
    uses = param.Dict(default={}, doc="by case and method: the layers that it sees, by role")
    hold_by = param.Selector(default="gauge", objects=["gauge", "block", "elevation", "hand"])
    hold_out = param.Number(default=0.2, bounds=(0, 0.95))
    hold_seed = param.Integer(default=0, bounds=(0, 2**31))
    block_km = param.Number(default=100.0, bounds=(1, 5000), doc="side of the blocks that are held out whole")
    held = param.List(default=[], doc="the gauges held out where this is done by hand")
    ignored = param.List(default=[], doc="gauges that are neither used nor judge")
    method = param.String()
    settings = param.Dict(default={}, doc="by method: the settings that differ from their defaults")
    members = param.Integer(default=16, bounds=(1, 1000))
    seed = param.Integer(default=0, bounds=(0, 2**31))

    def query(self) -> str:
        """The link of this view, as the part of an address after the question mark."""
        keys = ["screen", "case", "time", "event", "place", "layer"]
        if self.layer == RUN:
            keys += ["run", "statistic"]
            keys += {"member": ["member"], "above": ["above"]}.get(self.statistic, [])
        keys += ["area", "drawn"] if self.area == "drawn" and self.drawn else []
        keys += ["judge"] if self.screen == "verify" else []
        usual = {key: self.param[key].default for key in ("panes", "compare", "palette", "zone")}
        keys += [key for key, value in usual.items() if getattr(self, key) != value]
        keys += ["others", "language"]
        keys += ["story", "scene"] if self.story else []
        told = {key: getattr(self, key) for key in keys}
        if "drawn" in told:
            told["drawn"] = ",".join(f"{each:.10g}" for each in told["drawn"])
        told = {key: f"{each:g}" if isinstance(each, float) else each for key, each in told.items()}
        return urlencode({key: each for key, each in told.items() if each != ""}, safe=":/,~")

    def follow(self, query: str) -> None:
        """Take over what a link says; whatever it says wrongly is left as it is. Who is still at the door
        and is shown something goes where it can be looked at."""
        said = dict(parse_qsl(query.lstrip("?")))
        if self.screen == "welcome" and {"case", "layer", "run"} & set(said):
            said.setdefault("screen", "explore")
        with param.parameterized.batch_call_watchers(self):
            for key in LINKED:
                if key in said:
                    self._take(key, said[key])
                elif key in ("event", "place"):  # a link without one is a link to a view without one
                    self._take(key, "")

    def _take(self, key: str, text: str) -> None:
        kinds = {"member": int, "scene": int, "panes": int, "above": float}
        kinds |= {"drawn": lambda text: tuple(Box.of(text))}
        try:
            setattr(self, key, kinds.get(key, str)(text))
        except ValueError:
            return

    def domain(self, box: Box) -> Box:
        """The domain of the next run: the case, or what is drawn or in the window of it, in whole cells."""
        bounds = {"window": self.window, "drawn": self.drawn}.get(self.area)
        if bounds is None:
            return box
        if self.area == "drawn" and are_whole(bounds, box, self.cell):
            return Box(*bounds)
        found = snapped(bounds, box, self.cell, inwards=self.area == "window")
        if found is None and self.area == "window":
            raise Invalid("domain: the map shows too little of the case; zoom out, or run the whole case")
        if found is None:
            raise Invalid("domain: less than two cells of it lie in the case; draw it larger")
        return found

    def hours(self, whole: Period) -> Period:
        """The period of the next run, within the period of the case."""
        start = max(instant("period.start", self.start or whole.start), whole.start)
        end = min(instant("period.end", self.end or whole.end), whole.end)
        return Period(start, end, self.every or whole.step)

    @property
    def roles(self) -> list[Role]:
        """That the method takes."""
        cls = methods().get(self.method)
        return [role for role in ROLES if cls and role in (*cls.needs, *cls.uses)]

    def split(self, source: str, there: Collection[str]) -> Gauges:
        """Who speaks and who is held out of the gauges that are there."""
        by_hand = self.hold_by == "hand"
        held = tuple(name for name in self.held if name in there and name not in self.ignored)
        return Gauges(
            source,
            held if by_hand else self.hold_out,
            self.hold_seed,
            tuple(self.ignored),
            "gauge" if by_hand else self.hold_by,
            self.block_km,
        )

    def task(self, box: Box, whole: Period, gauges: Gauges | None, most_members: int) -> Task:
        """The task that the setup describes, in a case with this box and period, of these gauges."""
        return Task(
            domain=self.domain(box),
            step=self.cell,
            period=self.hours(whole),
            method=self.method,
            sources=tuple(
                Use(f"{self.case}/{name}", role) for role in self.roles for name in self.used.get(role, [])
            ),
            gauges=gauges,
            settings=dict(self.settings.get(self.method, {})),
            members=min(self.members, most_members),
            seed=self.seed,
        )

    def take(self, task: Task) -> None:
        """Have the setup describe a task: what `task` then gives is this one again."""
        named = [use.name for use in task.sources] + ([task.gauges.source] if task.gauges else [])
        case = next((name.partition("/")[0] for name in named if "/" in name), self.case)
        uses = {
            role: [use.name.partition("/")[2] for use in task.sources if use.role == role] for role in ROLES
        }
        self.param.update(
            case=case,
            area="drawn",
            drawn=tuple(task.domain),
            cell=task.step,
            start=stamp(task.period.start),
            end=stamp(task.period.end),
            every=task.period.interval,
            method=task.method,
            uses={**self.uses, (case, task.method): uses},
            settings={**self.settings, task.method: dict(task.settings)},
            members=task.members,
            seed=task.seed,
            **(_split(task.gauges) if task.gauges else {}),
        )

    @property
    def used(self) -> Mapping[str, list[str]]:
        """Layers that the method sees, by role."""
        return self.uses.get((self.case, self.method), {})

    def use(self, role: str, names: list[str]) -> None:
        self.uses = {**self.uses, (self.case, self.method): {**self.used, role: list(names)}}

    def set_setting(self, method: str, name: str, value: Any) -> None:
        mine: Mapping[str, Any] = self.settings.get(method, {})
        self.settings = {**self.settings, method: {**mine, name: value}}

    def within(self, times: pd.DatetimeIndex) -> str:
        """The time on show if it is one of these, else the first of them."""
        time = self.end_of_interval
        return stamp(time if time in times else times[0])

    @property
    def end_of_interval(self) -> pd.Timestamp | None:
        """The time on show; nothing if the link named none that is one."""
        try:
            return instant("time", self.time) if self.time else None
        except Invalid:
            return None

    @property
    def when(self) -> When | None:
        """What the map tells of: the event if there is one, else the interval on show."""
        return Event.of(self.event) or self.end_of_interval

    @property
    def spot(self) -> tuple[float, float] | None:
        """Latitude and longitude of the place that is inspected."""
        try:
            lat, lon = (number("place", float(each)) for each in self.place.split(","))
        except ValueError:
            return None
        return lat, lon

    @property
    def clock_zone(self) -> str:
        """The name of the time zone in which times are told."""
        return ZONES[self.zone] or self.local

    def hear_zone(self, name: str) -> None:
        """Take over the time zone of the browser, if it is known here."""
        with contextlib.suppress(ZoneInfoNotFoundError, ValueError, OSError):
            self.local = ZoneInfo(name).key


def _split(gauges: Gauges) -> dict[str, Any]:
    """The choices that make these gauges."""
    told = {"hold_seed": gauges.seed, "ignored": list(gauges.ignore), "block_km": gauges.block_km}
    if isinstance(gauges.hold_out, tuple):
        return {**told, "hold_by": "hand", "held": list(gauges.hold_out)}
    return {**told, "hold_by": gauges.by, "hold_out": gauges.hold_out}
