"""The map: one source or one statistic of a run, the gauges, a legend, and a readout of everything below.

What is on show is one value, `Shown`, and a time. Whenever either changes the view asks the store; what is
known is painted at once, and what is not leaves the old picture paler until it is there. Requests that
became old meanwhile are forgotten, never queued.
"""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
import panel as pn

from app import raster, store
from app.canvas import Canvas
from app.drawing import Drawing
from app.events import Event, When, rain_over
from app.pictures import Picture, Shown, nearest
from app.state import EXTENT, RUN, SPLIT, State
from app.theme import CHANCE, Scale, Words, scale_of, sheet
from app.views import View
from engine.fields import Observations
from engine.methods import methods

TOOLTIP = (
    '<div style="font: 12px sans-serif; line-height: 1.5"><b>@name</b><br>'
    '<span style="font-variant-numeric: tabular-nums">@value</span><br>@role</div>'
)
WHITE, BLACK, APART = "#ffffff", "#101418", "#9aa0a6"


class Map(View):
    """The map with everything that lies on it."""

    screen = "explore"

    def __init__(self, state: State, say: Words) -> None:
        super().__init__(state, say)
        self.case = store.case(state.case)
        self.canvas = Canvas(self.case.box, TOOLTIP)
        self.canvas.on_cursor(self._point)
        self.canvas.on_tap(lambda lat, lon: state.param.update(place=f"{lat:.4f},{lon:.4f}"))
        self.canvas.on_window(lambda bounds: state.param.update(window=bounds))
        self.drawing = Drawing(self, self.canvas)
        self._cursor: tuple[float, float] | None = None
        self._picture: Picture | None = None
        self._plate = pn.pane.HTML(stylesheets=[sheet("plate")], css_classes=["plate"], margin=0)
        self._legend = pn.pane.HTML(stylesheets=[sheet("legend")], css_classes=["legend"], margin=0)
        self._readout = pn.pane.HTML(
            stylesheets=[sheet("readout")], css_classes=["readout"], margin=0, sizing_mode="stretch_width"
        )
        figure = pn.pane.Bokeh(self.canvas.figure, sizing_mode="stretch_both", margin=0)
        stage = pn.Column(
            figure,
            self._plate,
            self._legend,
            sizing_mode="stretch_both",
            margin=0,
            css_classes=["stage"],
            stylesheets=[sheet("stage")],
        )
        self.panel = pn.Column(stage, self._readout, sizing_mode="stretch_both", margin=0)
        self.watch(lambda: None if state.event else self.paint(), "time")
        self.watch(self.paint, "event", "layer", "run", "statistic", "member", "above")
        self.watch(lambda: self.canvas.mark(state.spot), "place")
        self.watch(lambda: self.soon(self._place_gauges), *SPLIT, *EXTENT, "layer", "run")
        self.watch(lambda: self.canvas.show_gauges(state.gauges), "gauges")
        self.watch(lambda: self.canvas.wear("dark" if state.dark else "light"), "dark")
        self.canvas.wear("dark" if state.dark else "light")
        self.canvas.mark(state.spot)
        self._place_gauges()
        self.paint()

    @property
    def asked(self) -> Shown:
        state = self.state
        if state.layer != RUN:
            return Shown(self.case.name, state.layer)
        above = state.above if state.statistic == "above" else 0.0
        member = state.member if state.statistic == "member" else 0
        return Shown(self.case.name, RUN, state.run, state.statistic, above, member)

    @property
    def scale(self) -> Scale:
        event = self.event
        statistic = self.state.statistic if self.state.layer == RUN else ""
        hours = event.hours if event else self.case.period.step.total_seconds() / 3600
        return scale_of(statistic, hours, total=event is not None)

    @property
    def event(self) -> Event | None:
        return Event.of(self.state.event)

    def paint(self) -> None:
        """Show what was chosen, as far as it is known now."""
        when = self.state.when
        if when is None:
            return
        found, wait = store.picture(self.asked, when)
        if wait is not None:
            self.canvas.fade()
            self.after([wait], self.paint)
            return
        self._picture = found
        if found is None:  # another field under this name would be a lie
            self.canvas.wipe()
        else:
            self.canvas.paint(found.values, found.rows, self.scale)
        self._colour_gauges()
        self._legend.object = self._legend_html()
        self._plate.object = self._plate_html(when)
        self._read()

    def warm(self) -> None:
        """Read the other layers too, for the readout."""
        self.after(store.warm(self.case), self._read)

    def follow(self) -> None:
        if self.state.layer == RUN:
            self.paint()

    # Gauges

    def _place_gauges(self) -> None:
        gauges = store.gauges(self.case)
        if gauges is None:
            return
        rings = {"gauge_used": WHITE, "gauge_held_out": BLACK, "gauge_apart": APART}
        used, held = map(set, store.sides(self.case, self.state))
        part = [
            "gauge_used" if name in used else "gauge_held_out" if name in held else "gauge_apart"
            for name in gauges.names
        ]
        ring, role = [rings[each] for each in part], [self.say(each) for each in part]
        place = {"x": raster.to_x(gauges.lon), "y": raster.to_y(gauges.lat), "name": gauges.names}
        level, value = self._levels(gauges)
        self.canvas.dots.data = {**place, "ring": ring, "role": role, "level": level, "value": value}

    def _colour_gauges(self) -> None:
        gauges = store.gauges(self.case)
        if gauges is not None and self.state.gauges:
            level, value = self._levels(gauges)
            self.canvas.dots.patch({"level": [(slice(None), level)], "value": [(slice(None), value)]})

    def _levels(self, gauges: Observations) -> tuple[np.ndarray, list[str]]:
        when = self.state.when
        found = rain_over(gauges.rain, when) if when is not None else None
        values = np.full(len(gauges), np.nan) if found is None else found.values
        missing, unit = self.say("missing"), self.say.unit(when)
        told = [missing if np.isnan(value) else f"{value:.2f} {unit}" for value in values]
        # The colours of a gauge mean what the map's mean: it exceeded the threshold or not; it has no spread.
        shown = {
            "rain": values,
            "grade": values,
            "chance": np.where(np.isnan(values), np.nan, values > self.state.above),
        }
        return raster.classes(shown.get(self.scale.name, 0 * values), self.scale.edges), told

    # What is written on the map

    def _plate_html(self, when: When) -> str:
        say, state = self.say, self.state
        interval = say.when(when, self.case.period.step)
        nothing = say("not_whole" if self.event else "no_picture")
        badges = [say("simulated")] if str(self.case.about.get("simulated")) == "true" else []
        if state.layer == RUN:
            run = store.run(state.run)
            title = (
                say.method(run.task.method, methods().get(run.task.method))
                if run
                else say("no_run", run=state.run)
            )
            statistic = say.statistic(state.statistic, state.above, state.member, when)
            if run and self._picture is not None and run.task.members > 1:
                badges += [self._how_many(run, self._picture.members or 0)]
            elif self._picture is None:
                badges += [say("waiting") if run and run.under_way else nothing]
        else:
            about = self.case.layers.get(state.layer, {})
            title, statistic = say.layer(state.layer, about), say("native", native=about.get("native", ""))
            badges += [nothing] if self._picture is None else []
        chips = "".join(f"<i>{escape(badge)}</i>" for badge in badges)
        head = f"<b>{escape(title)}</b><span>{escape(statistic)}</span>"
        return f"{head}<em>{escape(interval)}</em><div>{chips}</div>"

    def _how_many(self, run: Any, members: int) -> str:
        if not members:
            return self.say("early_picture")
        return self.say("members_of", n=members, of=run.task.members)

    def _legend_html(self) -> str:
        scale, say, state = self.scale, self.say, self.state
        unit = say.unit(state.when)
        unit = say("unit_chance", above=f"{state.above:g}", unit=unit) if scale is CHANCE else unit
        what = (
            say.statistic(state.statistic, state.above, state.member, state.when)
            if state.layer == RUN
            else say("field")
        )
        what = "" if scale is CHANCE else f" · {what}"
        steps = "".join(
            f'<li><s style="background:{colour}"></s>{scale.label(edge)}{"+" if last else ""}</li>'
            for edge, colour, last in zip(
                scale.edges,
                scale.colours,
                [False] * (len(scale.edges) - 1) + [scale is not CHANCE],
                strict=True,
            )
        )
        rings = "".join(
            f'<u><s style="border-color:{colour}"></s>{escape(say(key))}</u>'
            for key, colour in (("gauge_used", WHITE), ("gauge_held_out", BLACK))
            if store.gauge_layer(self.case)
        )
        head = f"<b>{escape(unit)}</b> {escape(say.span(state.when, self.case.period.step))}{escape(what)}"
        missing = f'<u class="grey"><s></s>{escape(say("missing"))}</u>'
        return f"<div>{head}</div><ol>{steps}</ol><p>{missing}{rings}</p>"

    # The readout

    def _point(self, lon: float, lat: float) -> None:
        self._cursor = (lon, lat)
        self._read()

    def _read(self) -> None:
        self._readout.object = self._readout_html()

    def _readout_html(self) -> str:
        say, when = self.say, self.state.when
        if self._cursor is None or when is None:
            return f"<span>{escape(say('readout_empty'))}</span>"
        lon, lat = self._cursor
        step = self.case.period.step
        told = (say.when(when, step), f"{say.unit(when)}, {say.span(when, step)}")
        parts = [f"<b>{escape(say.place(lat, lon))}</b>", *(f"<em>{escape(each)}</em>" for each in told)]
        if self.state.layer == RUN:
            statistic = say.statistic(self.state.statistic, self.state.above, self.state.member, when)
            run = store.run(self.state.run)
            name = run.task.method if run else ""
            title = f"{say.method(name, methods().get(name))}, {statistic}"
            parts.append(self._value(title, self._picture, lon, lat, active=True))
        waits = []
        for name in store.fields(self.case):
            known = store.loaded(self.case, name)
            found, wait = store.picture(Shown(self.case.name, name), when) if known else (None, None)
            waits += [wait] if wait else []
            title = say.layer(name, self.case.layers[name])
            parts.append(self._value(title, found, lon, lat, active=name == self.state.layer))
        self.after(waits, self._read)
        return "".join(parts)

    def _value(self, title: str, picture: Picture | None, lon: float, lat: float, *, active: bool) -> str:
        value = nearest(picture, lat, lon) if picture else None
        if value is None:
            told = "–"
        elif np.isnan(value):
            told = self.say("missing")
        else:
            told = f"{100 * value:.0f} %" if active and self.scale is CHANCE else f"{value:.1f}"
        return f'<span class="{"on" if active else ""}">{escape(title)} <b>{escape(told)}</b></span>'
