"""A run on paper: one HTML file that holds all of it and asks nobody for anything.

What was asked, what came out, how good it is, of what it was made, and how to make it again: in the words of
one language, with the maps and the hyetograph as SVG in the page. A policy in the page itself forbids every
request. What was simulated is called simulated. The verdicts and the page of a method are the engine's own
words, which are English.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import xarray as xr
import yaml

from app import figures, raster
from app.controls import page
from app.credits import credits
from app.figures import Line, Panel, scaled
from app.files import Said
from app.reports import at_thresholds, scores, sentences, side_by_side
from app.theme import Words
from app.told import facts, source
from engine.diagnostics.tables import Table
from engine.given import cut
from engine.journal import Run
from engine.methods import methods
from engine.runs import Store
from engine.sources import field_of
from engine.values import Invalid, instant

STYLE = (Path(__file__).parent / "paper.css").read_text(encoding="utf-8")
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
MOST_SOURCES = 3
ROUND = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)


def write(store: Store, run: Run, path: Path, language: str, told: Said) -> None:
    """The report, or only its maps, as the file's name says."""
    if path.suffix == ".png" and len(figures.fonts()) == 1:
        language = "en"  # no font on this machine has the signs
    paper = Paper(store, run, Words(language), told)
    kind = path.suffix[1:]
    path.write_bytes(paper.maps(kind) if kind in ("png", "svg") else paper.html().encode())


class Paper:
    """A report while it is written."""

    def __init__(self, store: Store, run: Run, say: Words, told: Said) -> None:
        self.store, self.run, self.say, self.told = store, run, say, told
        self.task, self.rain = run.task, store.ensemble(run.id).load()
        self.hours = pd.Timedelta(self.task.period.step).total_seconds() / 3600
        self.raw = self._raw()
        times = self.rain.indexes["time"]
        hour = instant("time", told.time) if told.time else None
        self.hour = hour if hour is not None and hour in times else None

    def _raw(self) -> dict[str, xr.DataArray]:
        """The backgrounds, cut to the task; one that cannot be read any more is left out."""
        found = {}
        for use in self.task.sources:
            if use.role == "background" and len(found) < MOST_SOURCES:
                try:
                    found[use.name] = cut(use.name, field_of(use.name), self.task.domain, self.task.period)
                except (Invalid, OSError):
                    continue
        return found

    # Figures

    def _seen(self, rain: xr.DataArray) -> np.ndarray:
        """What the maps tell of: an hour in mm/h, or the whole period in mm."""
        if self.hour is not None:
            return rain.sel(time=self.hour).values
        return (rain.sum("time", skipna=False) * self.hours).values

    def panels(self) -> list[Panel]:
        say, members = self.say, self._seen(self.rain)
        hours = 1.0 if self.hour is not None else self.hours * self.rain.sizes["time"]
        lat, lon = (self.rain[axis].values for axis in ("lat", "lon"))
        unit = say("unit_rate") if self.hour is not None else say("unit_total")
        mean = members.mean(axis=0)
        self.above = max([each for each in ROUND if each <= np.nanquantile(mean, 0.95)], default=ROUND[0])
        wanted = [("mean", say("report_mean"), 0)]
        if len(members) > 1:
            chance = say("report_chance", above=f"{self.above:g}", unit=unit)
            wanted += [("spread", say("statistic_spread"), 0), ("above", chance, 0)]
            numbers = self.rain.member.values[:2]
            wanted += [("member", say("member_number", n=n), place) for place, n in enumerate(numbers)]
        made = [
            Panel(title, raster.statistic(members, name, self.above, n), lat, lon, scaled(name, hours))
            for name, title, n in wanted
        ]
        for name, rain in self.raw.items():
            lat, lon = (rain[axis].values.astype(float) for axis in ("lat", "lon"))
            made.append(Panel(source(name, say), self._seen(rain), lat, lon, scaled("mean", hours)))
        return made

    def maps(self, kind: str) -> bytes:
        say = self.say
        unit = say("unit_rate") if self.hour is not None else say("unit_total")
        with self._style():
            panels = self.panels()
            legends = {"rain": say("report_rain", unit=unit), "spread": say("report_spread", unit=unit)}
            legends["chance"] = say("report_share", above=f"{self.above:g}", unit=unit)
            return figures.drawn(figures.maps(panels, self.task.domain, legends), kind, "maps")

    def hyetograph(self) -> bytes:
        say, lat = self.say, self.rain.lat.values
        whole = raster.area_mean(self.rain.values, lat)
        band = np.quantile(whole, [0.1, 0.9], axis=0) if len(whole) > 1 else (None, None)
        lines = [Line(say("report_mean"), whole.mean(axis=0), *band)]
        for name, rain in self.raw.items():
            inside = rain.sel(lat=slice(lat[0], lat[-1]))
            lines.append(Line(source(name, say), raster.area_mean(inside.values, inside.lat.values)))
        with self._style():
            drawn = figures.hyetograph(
                self.rain.indexes["time"], lines, say("report_axis"), say("report_band")
            )
            return figures.drawn(drawn, "svg", "hyetograph")

    def _style(self) -> Any:
        return matplotlib.rc_context(
            {"font.family": figures.fonts(), "svg.fonttype": "none", "svg.hashsalt": self.run.id}
        )

    # The page

    def html(self) -> str:
        say, told = self.say, self.told
        title = told.title or self.task.title or say.method(self.task.method, self.cls)
        shown = {
            "report_asked": self._asked(),
            "report_maps": self._figure(self.maps("svg"), self._of_maps()),
            "report_rain_in_time": self._figure(self.hyetograph(), say("report_of_hyetograph")),
            "report_scores": self._scores(),
            "report_honest": _list(self._honest()),
            "report_method": page(self.cls) if self.cls else "",
            "report_credits": self._credits(),
            "report_versions": self._versions(),
            "report_again": self._again(),
        }
        parts = "".join(
            f"<section><h2>{escape(say(key))}</h2>{part}</section>" for key, part in shown.items()
        )
        return (
            f'<!doctype html><html lang="{say.language}"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
            f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
            f"<style>{STYLE}</style></head><body><main>{self._head(title)}{parts}</main></body></html>"
        )

    @property
    def cls(self) -> Any:
        return methods().get(self.task.method)

    def _head(self, title: str) -> str:
        say, told, run = self.say, self.told, self.run
        when = f"{run.finished or run.created:%Y-%m-%d %H:%M} UTC"
        by = f"<p>{escape(told.author)}</p>" if told.author else ""
        notes = "".join(f"<p>{escape(each)}</p>" for each in told.notes.split("\n\n") if each.strip())
        simulated = "".join(f"<aside>{escape(each)}</aside>" for each in self._simulated())
        about = say("report_about", run=run.id, when=when, n=run.done, of=self.task.members)
        return f"<header><h1>{escape(title)}</h1>{by}<p>{escape(about)}</p>{simulated}{notes}</header>"

    def _simulated(self) -> list[str]:
        named = [source(each.name, self.say) for each in credits(self.task) if each.simulated]
        return [self.say("report_simulated", sources=", ".join(named))] if named else []

    def _asked(self) -> str:
        rows = [{"": label, " ": value} for label, value in facts(self.task, self.say).items()]
        told = escape(self.task.to_yaml())
        return f"{_table(rows)}<details><summary>YAML</summary><pre>{told}</pre></details>"

    def _of_maps(self) -> str:
        say, period = self.say, self.task.period
        start = period.start if self.hour is None else self.hour - period.step
        end = period.end if self.hour is None else self.hour
        key = "report_of_total" if self.hour is None else "report_of_hour"
        return say(key, period=say.period(start, end), n=self.run.done, year=f"{end:%Y}")

    def _figure(self, svg: bytes, caption: str) -> str:
        """SVG in the page: without its head, with a name for who cannot see it."""
        text = re.sub(r"^.*?(?=<svg)", "", svg.decode(), flags=re.DOTALL)
        text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
        text = text.replace("<svg ", f'<svg role="img" aria-label="{escape(caption)}" ', 1)
        return f"<figure>{text}<figcaption>{escape(caption)}</figcaption></figure>"

    def _scores(self) -> str:
        try:
            rows = scores(self.store, self.run)
        except Invalid as refused:
            return f"<p>{escape(str(refused))}</p>"
        parts = [f"<p>{escape(self.say('report_of_scores'))}</p>", _table(side_by_side(rows), self.say)]
        if graded := at_thresholds(rows, self.task.method):
            parts += [f"<p>{escape(self.say('report_of_grades'))}</p>", _table(graded, self.say)]
        return "".join([*parts, _list(sentences(rows))])

    def _honest(self) -> list[str]:
        say, run = self.say, self.run
        notes = self._simulated()
        if run.done < self.task.members:
            notes.append(say("partial", n=run.done, of=self.task.members))
        for credit in credits(self.task):
            if credit.independent is not True and credit.seen:
                key = "report_not_independent" if credit.independent is False else "report_unknown"
                notes.append(say(key, source=credit.name))
        held = self.task.gauges is not None and self.task.gauges.hold_out not in (0, ())
        notes.append(say("report_held_out" if held else "report_nothing_held"))
        return [*notes, say("report_spread_is"), say("report_members_are")]

    def _credits(self) -> str:
        say = self.say
        rows = [
            {
                say("report_source"): credit.name,
                say("report_what"): source(credit.name, say).partition(" (")[0],
                say("report_role"): say(f"role_{credit.role}") if credit.role else say("gauges"),
                say("report_native"): credit.native,
                say("report_licence"): credit.licence,
            }
            for credit in credits(self.task)
        ]
        described = dict.fromkeys(credit.description for credit in credits(self.task) if credit.description)
        return _table(rows) + "".join(f"<p>{escape(each)}</p>" for each in described)

    def _versions(self) -> str:
        say = self.say
        manifest = yaml.safe_load((self.store.folder(self.run.id) / "manifest.yaml").read_text())
        part, number, name = say("report_part"), say("report_version"), say("report_source")
        versions = [{part: each, number: f"{value}"} for each, value in manifest["versions"].items()]
        inputs = [{name: each, "SHA-256": f"{value}"} for each, value in manifest["inputs"].items()]
        members = [
            {say("member"): n, "SHA-256": each} for n, each in self.store.finished(self.run.id).items()
        ]
        seeds = [f"{say('seed')}: {self.task.seed}", f"{say('report_key')}: {self.run.key}"]
        if self.task.gauges:
            seeds.insert(1, f"{say('hold_seed')}: {self.task.gauges.seed}")
        folded = f"<details><summary>{escape(say('report_hashes'))}</summary>{_table(members)}</details>"
        return _list(seeds) + _table(versions) + _table(inputs) + folded

    def _again(self) -> str:
        say = self.say
        lines = "rainloom run task.yaml\nrainloom score RUN\nrainloom report RUN -o report.html"
        return f"<p>{escape(say('report_how'))}</p><pre>{escape(lines)}</pre>"


def _table(rows: Sequence[Mapping[str, Any]], say: Words | None = None) -> str:
    """Rows as a table; columns that the engine names are told in the reader's language."""
    table = Table.of(rows)
    right = ["number" if each else "" for each in table.numeric()]
    names = [say.maybe(f"column_{name}", name) if say else name for name in table.columns]
    heads = "".join(f'<th class="{of}">{escape(name)}</th>' for name, of in zip(names, right, strict=True))
    head = f"<thead><tr>{heads}</tr></thead>" if any(name.strip() for name in names) else ""
    body = "".join(f"<tr>{''.join(map(_cell, line, right))}</tr>" for line in table.shown())
    return f'<div class="wide"><table>{head}<tbody>{body}</tbody></table></div>'


def _cell(text: str, of: str) -> str:
    of = "long" if len(text) > 40 and " " not in text else of
    return f'<td class="{of}">{escape(text)}</td>'


def _list(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(each)}</li>" for each in lines) + "</ul>"
