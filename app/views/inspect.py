"""The panel at the right: one place, and everything that is known there.

A click on the map opens it. It tells what each source, the run and the nearest gauge say of the interval or
the event on show; how rain went there, as a meteogram and, for whoever wants numbers, as a table; and where
what the map shows comes from. Sources are at hand at once; the members of a run are read from the disk, and
come when they are there.
"""

from __future__ import annotations

from concurrent.futures import Future
from html import escape
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui
import xarray as xr

from app import points, provenance, store
from app.events import Event, When
from app.meteogram import HEIGHT, Meteogram, colour
from app.state import RUN, State
from app.theme import Words, sheet
from app.views import View
from engine.methods import methods

WIDTH = 312


class Inspect(View):
    """Values, meteogram, table and provenance at the place that was clicked."""

    screen = "explore"
    beside = True

    def __init__(self, state: State, say: Words) -> None:
        super().__init__(state, say)
        self.case = store.case(state.case)
        self._waits: list[Future[Any]] = []
        self._failure = ""
        self._sources: dict[str, xr.DataArray] = {}
        self._members: xr.DataArray | None = None
        self._gauge: points.Gauge | None = None
        self.chart = Meteogram(self.case.period, say)
        self._head, self._values, self._caption, self._table, self._about = (
            pn.pane.HTML(stylesheets=[sheet("inspect")], margin=(0, 14), sizing_mode="stretch_width")
            for _ in range(5)
        )
        self._rows = pmui.Switch(label=say("as_table"), value=False, margin=(2, 12), size="small")
        self.panel = self._layout()
        self.watch(self._read_anew, "place", "run", "layer")
        self.watch(self.show, "time", "event", "hold_out", "hold_seed")
        self.watch(self.wear, "dark")
        self._rows.param.watch(lambda _: self.show(), "value")
        self.wear()
        self.read()

    def _layout(self) -> Any:
        close = pmui.IconButton(
            icon="close", size="small", margin=(6, 8, 0, 0), description=self.say("close")
        )
        close.on_click(lambda _: self._leave())
        figure = pn.pane.Bokeh(self.chart.figure, sizing_mode="stretch_width", height=HEIGHT, margin=(0, 6))
        return pn.Column(
            pn.Row(self._head, close, sizing_mode="stretch_width", margin=0),
            self._values,
            self._caption,
            figure,
            self._rows,
            self._table,
            self._about,
            width=WIDTH,
            sizing_mode="stretch_height",
            scroll="y-auto",
            margin=0,
            css_classes=["inspect"],
            stylesheets=[sheet("inspect")],
        )

    def _leave(self) -> None:
        self.state.place = ""

    def wear(self) -> None:
        self.chart.wear("dark" if self.state.dark else "light")

    def follow(self) -> None:
        if self.state.layer == RUN:
            self.read()

    # What is known

    def _read_anew(self) -> None:
        self._waits = []  # with what failed before
        self.read()

    def read(self) -> None:
        """Ask for what is known of the place, and show as much of it as there is."""
        spot = self.state.spot
        self.panel.visible = spot is not None
        if spot is None:
            return
        failed = [wait.exception() for wait in self._waits if wait.done() and not wait.cancelled()]
        self._failure = next((str(each) for each in failed if each), "")
        sources, wait = points.sources(self.case, spot)
        members, later = points.members(self.state.run, spot) if self.state.layer == RUN else (None, None)
        self._waits = [each for each in (wait, later) if each is not None]
        self._sources, self._members = sources or {}, members
        self._gauge = points.gauge(store.gauges(self.case), spot)
        if not self._failure:
            self.after(self._waits, self.read)
        gauge = self._gauge.rain if self._gauge else None
        self.chart.paint(self._sources, members, gauge, self.state.layer)
        self.show()

    def show(self) -> None:
        """Everything that depends on the time, the event or the run."""
        spot, when, say = self.state.spot, self.state.when, self.say
        if spot is None or when is None:
            return
        step = self.case.period.step
        self.chart.place(self.state.end_of_interval, step, Event.of(self.state.event))
        self._head.object = (
            f"<h3>{escape(say.place(*spot))}</h3><p>{escape(say.when(when, step))}</p>"
            f"<p>{escape(say.unit(when))}, {escape(say.span(when, step))}</p>"
        )
        self._values.object = self._values_html(when)
        self._caption.object = f"<h4>{escape(self._caption_text())}</h4>"
        self._table.object = self._table_html() if self._rows.value else ""
        self._about.object = self._about_html()

    # What is written

    def _values_html(self, when: When) -> str:
        say, rows = self.say, []
        if self.state.layer == RUN:
            rows.append(self._run_row(when))
        for place, (name, rain) in enumerate(self._sources.items()):
            title = say.layer(name, self.case.layers[name])
            rows.append((f'<s style="background:{colour(place)}"></s>', title, self._told(rain, when)))
        found = self._gauge
        if found is not None:
            role = "gauge_used" if found.name in store.sides(self.case, self.state)[0] else "gauge_held_out"
            title = say("gauge_near", name=found.name, km=f"{found.distance:.0f}", role=say(role))
            rows.append(('<s class="dot"></s>', title, self._told(found.rain, when)))
        told = "".join(
            f"<tr><td>{mark}</td><td>{escape(title)}</td><td>{escape(value)}</td></tr>"
            for mark, title, value in rows
        )
        waiting = f"<p>{escape(say('reading_point'))}</p>" if self._waits else ""
        if self._failure:
            waiting = f"<p>{escape(say('point_failed', why=self._failure))}</p>"
        return f"<table class='values'>{told}</table>{waiting}"

    def _run_row(self, when: When) -> tuple[str, str, str]:
        run, say = store.run(self.state.run), self.say
        title = say.method(run.task.method, methods().get(run.task.method)) if run else self.state.run
        if self._members is None:
            return "<s class='run'></s>", title, "…" if self._waits else say("not_here")
        values = points.value(self._members, when)
        if np.isnan(values).any():
            return "<s class='run'></s>", title, say("missing")
        if len(values) == 1:
            return "<s class='run'></s>", title, f"{values[0]:.1f}"
        low, _, high = points.quantiles(values)
        return (
            "<s class='run'></s>",
            f"{title}, {say('mean_and_band')}",
            (f"{values.mean():.1f} [{low:.1f}–{high:.1f}]"),
        )

    def _told(self, rain: xr.DataArray, when: When) -> str:
        value = float(points.value(rain, when))
        return self.say("missing") if np.isnan(value) else f"{value:.1f}"

    def _caption_text(self) -> str:
        say = self.say
        span = say.span(None, self.case.period.step)
        fan = say("fan_of", n=len(self._members)) if self._members is not None else ""
        return f"{say('unit_rate')}, {span} · {say.zone_name(self.case.period.start)}{fan}"

    def _table_html(self) -> str:
        """The meteogram in numbers."""
        say, columns = self.say, []
        if self._members is not None:
            names = ("p10", "p50", "p90") if len(self._members) > 1 else ("p50",)
            known = dict(zip(("p10", "p50", "p90"), points.quantiles(self._members.values), strict=True))
            times = self._members.indexes["time"]
            columns += [(name, dict(zip(times, known[name], strict=True))) for name in names]
        given = [(say.layer(name, self.case.layers[name]), rain) for name, rain in self._sources.items()]
        given += [(self._gauge.name, self._gauge.rain)] if self._gauge else []
        columns += [(name, dict(zip(rain.indexes["time"], rain.values, strict=True))) for name, rain in given]
        zone = say.zone_name(self.case.period.start)
        head = "".join(
            f"<th>{escape(name)}</th>" for name in (say("until", zone=zone), *(c[0] for c in columns))
        )
        lines = []
        for time in self.case.period.times:
            cells = (column.get(time, np.nan) for _, column in columns)
            told = "".join(f"<td>{'–' if np.isnan(value) else f'{value:.1f}'}</td>" for value in cells)
            lines.append(f"<tr><th>{escape(say.moment(time))}</th>{told}</tr>")
        return f"<div class='rows'><table><thead><tr>{head}</tr></thead>{''.join(lines)}</table></div>"

    def _about_html(self) -> str:
        state, run = self.state, store.run(self.state.run) if self.state.layer == RUN else None
        told = (
            provenance.of_run(run, self.case, self.say)
            if run
            else provenance.of_layer(self.case, state.layer, self.say)
        )
        rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in told if text)
        return f"<h4>{escape(self.say('on_the_map'))}</h4><dl>{rows}</dl>"
