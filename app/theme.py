"""How Rainloom looks and what it says: colour scales, the dress of the page, and the table of words.

A *scale* is what one legend shows: classes of one quantity with geometric or even edges, by default from the
palette that is monotone in lightness (so it reads in print and in four kinds of colour vision). Rain is
green to blue to dark purple, spread has one warm hue, probability one blue, a difference is brown where it
is drier and teal where it is wetter. What falls in a day is less in the mean of an hour than what falls in
its wettest hour, so the edges follow the averaging period. Two palettes that forecasters know, the grades of
the China Meteorological Administration and the colours of the United States' weather service, are there for
them; neither is safe for the colour-blind.

Every visible word stands in `words.yaml`, English and Chinese side by side; `Words` is one of the two.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from app.events import Event, When, graded
from engine.diagnostics.tally import GRADES

LANGUAGES = {"en": "EN", "zh": "中"}
CLEAR, MISSING = "#ffffff00", "#9aa0a6b8"


@dataclass(frozen=True)
class Scale:
    """Class ``k`` begins at ``edges[k - 1]``; the last class is open, and so is class 0 below the first."""

    name: str
    edges: tuple[float, ...]
    colours: tuple[str, ...]
    factor: float = 1.0  # what a label shows is the edge times this: a share of 0.2 is told as 20 %
    lowest: str = CLEAR
    hours: int = 0  # of the totals that the labels show; 0: they show what the map does
    school: str = ""  # of forecasters whose palette it is

    @property
    def palette(self) -> list[str]:
        """What a colour mapper wants: below the first edge, the classes, missing."""
        return [self.lowest, *self.colours, MISSING]

    def label(self, edge: float) -> str:
        return f"{edge * self.factor:.3g}"


RAIN = Scale(
    "rain",
    (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6),
    ("#e3f5ce", "#a5dcc8", "#7ebec5", "#6d9ebd", "#6a7cab", "#665d8e", "#5a4268", "#452b41", "#28181f"),
)
SPREAD = Scale(
    "spread",
    (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6),
    ("#fbeed7", "#f7dcb2", "#f0c68d", "#e5ac6b", "#d68f50", "#c0723f", "#a15733", "#7d3f2a", "#562a20"),
)
CHANCE = Scale(
    "chance",
    (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
    ("#e4eef8", "#cbdff0", "#aecde7", "#8db8dc", "#6aa1d0", "#4c88c0", "#356eab", "#24548f", "#173a6c"),
    100.0,
)
GRADED = ("#d6f8dd", "#8ec8d6", "#7295c1", "#666398", "#4e3b5f", "#261925")
SCALES = {"spread": SPREAD, "above": CHANCE}
DIFFERENCE = Scale(
    "difference",
    (-12.8, -3.2, -0.8, -0.2, 0.2, 0.8, 3.2, 12.8),
    ("#8c510a", "#bf812d", "#e3c88f", CLEAR, "#a8ddd5", "#5ab4a9", "#1c7f76", "#003c30"),
    lowest="#543005",
)
# Where classes of rain begin: in mm/h, for means over at least so many hours.
EDGES = {
    1: RAIN.edges,
    6: (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8),
    24: (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
}
# The edges of totals in mm, by the longest event in hours that they suit.
TOTALS = {
    6: (0.2, 0.5, 1, 2, 5, 10, 20, 50, 100),
    24: (0.5, 1, 2, 5, 10, 20, 50, 100, 200),
    96: (1, 2, 5, 10, 20, 50, 100, 200, 400),
    float("inf"): (5, 10, 20, 50, 100, 200, 400, 800, 1600),
}
CMA_COLOURS = ("#a6f28f", "#3dba3d", "#61b8ff", "#0000e1", "#fa00fa", "#800040")
# 0.01, 0.1, 0.25, 0.5, 1, 1.5, 2, 3 and 4 inches, for totals of any duration.
NWS = (0.254, 2.54, 6.35, 12.7, 25.4, 38.1, 50.8, 76.2, 101.6)
NWS_COLOURS = (
    "#50d0d0", "#00ffff", "#00e080", "#00c000", "#80e000", "#ffff00", "#ffa000", "#ff0000", "#ff2080",
)  # fmt: skip
PALETTES = ("default", "cma", "nws")

# The map keeps light ground in both dresses: the rain classes were chosen against it.
LAND, SEA, COAST, BORDER = "#f7f5f0", "#e2ebf1", "#55606b", "#8d96a0"
# Roboto comes with the component library, from this server; Chinese is the reader's own.
FONT = '"Roboto", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "Noto Sans SC", system-ui, sans-serif'
INK = {"light": "#1d2733", "dark": "#e6ebf1"}
SOFT = {"light": "#5d6a78", "dark": "#9fabb9"}
LINE = {"light": "#e1e6ec", "dark": "#2b3541"}
RAIN_BAR = {"light": "#6d9ebd", "dark": "#7fb0cf"}
# Lines of sources, told apart in four kinds of vision (Okabe and Ito).
LINES = ("#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#0072b2", "#8c8c8c")
OWN = {"light": "#2f5d86", "dark": "#8dbbe0"}  # the run that is judged; what it is compared with follows
OTHERS = ("#c0723f", "#2e8b63", "#8f6bb0", "#b08d1e", "#c2556d", "#3f9aa3")
HEAD = {"light": "#c2452d", "dark": "#ff8a66"}


@functools.cache
def scale_of(statistic: str, hours: float = 1.0, palette: str = "default", *, total: bool = False) -> Scale:
    """What the legend of a statistic shows, for means over so many hours or for their total in mm."""
    edges = EDGES[max((each for each in EDGES if each <= hours), default=1)]
    if total:
        edges = next(edges for longest, edges in TOTALS.items() if hours <= longest)
    if statistic == "above":
        return CHANCE
    if statistic == "grade":
        return Scale("grade", graded(f"{hours:g}h", total=total), GRADED)
    if statistic == "difference":
        stretch = edges[0] / RAIN.edges[0]
        return replace(DIFFERENCE, edges=tuple(edge * stretch for edge in DIFFERENCE.edges))
    if statistic == "spread" or palette == "default":
        return replace(SCALES.get(statistic, RAIN), edges=edges)
    return _cma(hours, total) if palette == "cma" else _nws(hours, total)


def _cma(hours: float, total: bool) -> Scale:
    """Grades. Where rates are shown the labels tell what these add up to in the hours of the grades."""
    length = 0 if total else max((each for each in GRADES if each <= hours), default=1)
    return Scale(
        "rain", graded(f"{hours:g}h", total=total), CMA_COLOURS, length or 1, hours=length, school="cma"
    )


def _nws(hours: float, total: bool) -> Scale:
    length = 0 if total else max(1, round(hours))
    edges = tuple(mm / (length or 1) for mm in NWS)
    return Scale("rain", edges, NWS_COLOURS, length or 1, hours=length, school="nws")


def dress() -> dict[str, Any]:
    """The settings of the component library: calm surfaces, one accent, small type, round corners."""
    shared = {
        "typography": {"fontFamily": FONT, "fontSize": 13, "button": {"textTransform": "none"}},
        "shape": {"borderRadius": 8},
    }
    light = {
        "primary": {"main": "#2f5d86"},
        "secondary": {"main": "#665d8e"},
        "background": {"default": "#f4f6f8", "paper": "#ffffff"},
        "text": {"primary": INK["light"], "secondary": SOFT["light"]},
        "divider": LINE["light"],
    }
    dark = {
        "primary": {"main": "#8dbbe0"},
        "secondary": {"main": "#b3a9de"},
        "background": {"default": "#12171e", "paper": "#1a2129"},
        "text": {"primary": INK["dark"], "secondary": SOFT["dark"]},
        "divider": LINE["dark"],
    }
    return {"light": shared | {"palette": light}, "dark": shared | {"palette": dark}}


@functools.cache
def sheet(name: str) -> str:
    """A section of `theme.css`: each stands in the shadow of one component, with the shared one before it."""
    sections = (Path(__file__).parent / "theme.css").read_text(encoding="utf-8").split("/* == ")[1:]
    rules = dict(section.split(" == */", 1) for section in sections)
    return rules["shared"] + rules[name]


@functools.cache
def table() -> Mapping[str, Mapping[str, str]]:
    """Every entry of the words, by key and language."""
    return yaml.safe_load((Path(__file__).parent / "words.yaml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Words:
    """The words of one language. ``say("cells", n=3)`` fills the entry ``cells``.

    Times come in UTC and are told on the clock of a zone, which is always named beside them.
    """

    language: str
    zone: str = "UTC"

    def __call__(self, key: str, **values: Any) -> str:
        entry = table()[key][self.language]
        return entry.format(**values) if values else entry

    def maybe(self, key: str, otherwise: str) -> str:
        """An entry if there is one: for names that come from elsewhere, as a method's settings."""
        return table()[key][self.language] if key in table() else otherwise

    def clock(self, time: Any) -> Any:
        """A time, or times, as the clocks of the zone show them."""
        return time.tz_localize("UTC").tz_convert(self.zone).tz_localize(None)

    def zone_name(self, time: pd.Timestamp) -> str:
        """What the zone is called; one that has no name here is told by how far it is from UTC then."""
        minutes = round((self.clock(time) - time).total_seconds() / 60)
        hours = f"UTC{minutes // 60:+d}" if minutes % 60 == 0 else f"UTC{minutes / 60:+g}"
        return self.maybe(f"zone_{self.zone}", hours if minutes else "UTC")

    def period(self, start: pd.Timestamp, end: pd.Timestamp) -> str:
        """An interval as people write it: ``1 Jul 14:00–15:00 UTC``. Whole days are those of the zone."""
        first, last, zone = self.clock(start), self.clock(end), self.zone_name(end)
        if first == first.normalize() and last == last.normalize():
            final = last - pd.Timedelta("1D")
            key = "whole_day" if final == first else "whole_days"
            return self(key, first=self.date(first), last=self.date(final), zone=zone)
        if end - start < pd.Timedelta("1D") and (last - pd.Timedelta("1ns")).date() == first.date():
            close = "24:00" if last == last.normalize() else f"{last:%H:%M}"
            return self("interval", day=self.date(first), start=f"{first:%H:%M}", end=close, zone=zone)
        return f"{self.moment(start)} – {self.moment(end)} {zone}"

    def when(self, when: When, step: pd.Timedelta) -> str:
        """The interval of this length that ends at a time, or the event, of which there is a total."""
        if isinstance(when, Event):
            return self("interval_total", period=self.period(when.start, when.end))
        return self.period(when - step, when)

    def span(self, when: When | None, step: pd.Timedelta) -> str:
        """What a value is: the mean over an interval, or the total of an event."""
        if isinstance(when, Event):
            return self("legend_total", hours=self("hours", n=when.hours))
        return self("legend_period", hours=self("hours", n=step.total_seconds() / 3600))

    def day(self, time: pd.Timestamp) -> str:
        return self.date(self.clock(time))

    def date(self, time: pd.Timestamp) -> str:
        """The day of a time that is already on the clock of the zone."""
        return self("day", day=time.day, month=self("months").split()[time.month - 1])

    def moment(self, time: pd.Timestamp) -> str:
        """A time without its zone; whoever shows it names the zone."""
        return f"{self.day(time)} {self.clock(time):%H:%M}"

    def duration(self, seconds: float) -> str:
        if seconds < 90:
            return self("seconds", n=max(1, round(seconds)))
        return (
            self("minutes", n=round(seconds / 60))
            if seconds < 5400
            else self("hours", n=round(seconds / 3600, 1))
        )

    def bytes(self, count: float) -> str:
        """An amount of memory, in two digits."""
        unit, size = ("gigabytes", 1e9) if count >= 1e9 else ("megabytes", 1e6)
        return self(unit, n=float(f"{count / size:.2g}"))

    def place(self, lat: float, lon: float) -> str:
        return f"{abs(lat):.2f}°{'S' if lat < 0 else 'N'} {abs(lon):.2f}°{'W' if lon < 0 else 'E'}"

    def layer(self, name: str, about: Mapping[str, Any]) -> str:
        """A layer's own title; it is written in English, so other languages look for a word first."""
        own = str(about.get("title") or name)
        return own if self.language == "en" else self.maybe(f"layer_{name}", own)

    def method(self, name: str, cls: Any) -> str:
        own = cls.title if cls else name
        return own if self.language == "en" else self.maybe(f"method_{name}", own)

    def stage(self, stage: str) -> str:
        """What a run is doing, in the words of its method."""
        return stage if self.language == "en" else self.maybe(f"stage_{stage}", stage)

    def unit(self, when: When | None) -> str:
        """Of rain at a time, or of a total."""
        return self("unit_total" if isinstance(when, Event) else "unit_rate")

    def statistic(self, name: str, above: float, member: int, when: When | None = None) -> str:
        if name == "above":
            return self("chance_above", above=f"{above:g}", unit=self.unit(when))
        return self("member_number", n=member + 1) if name == "member" else self(f"statistic_{name}")
