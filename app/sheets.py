"""Sheets: the tables of the Verify screen as a reader sees them, and as files.

Every number stands with its interval, and the best of a column is marked where it can be told which way is
better. A table behind a figure is folded away below it; its file has full precision and names in English,
so that a script can read it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

import pandas as pd

from app.theme import Words
from engine.diagnostics.tables import Table, is_number, shown
from engine.diagnostics.tally import GRADE_NAMES

Label = Callable[[str], str]
MOST_ROWS = 200  # of a table on the page; the file holds all

# What each score is best at, and the word that it goes by.
OVERALL = {
    "CRPS": "score_crps",
    "MAE of the mean": "score_mae",
    "bias of the mean": "score_bias",
    "RMSE of the mean": "score_rmse",
    "correlation of the mean": "score_correlation",
    "spread/skill": "score_spread",
}
GRADED = {
    "POD": "score_pod",
    "FAR": "score_far",
    "CSI": "score_csi",
    "ETS": "score_ets",
    "Brier": "score_brier",
}
LARGEST = ("correlation of the mean", "POD", "CSI", "ETS")  # is best; of the others what is nearest zero
GRADES = {name: f"graded_{name.replace(' ', '_')}" for name in GRADE_NAMES}


def _off(metric: str, value: Any) -> float:
    """How far from its best a score is; infinitely where it is not known."""
    if value is None or math.isnan(value):
        return math.inf
    if metric in LARGEST:
        return -value
    return abs(value - (1.0 if metric == "spread/skill" else 0.0))


def _best(rows: Sequence[Mapping[str, Any]], metric: str) -> list[bool]:
    """Which of these rows is best; none where they all are, or only one is known."""
    off = [_off(metric, row.get("value")) for row in rows]
    known = [each for each in off if math.isfinite(each)]
    if len(known) < 2 or max(known) == min(known):
        return [False] * len(rows)
    return [each == min(known) for each in off]


def _cell(row: Mapping[str, Any], best: bool) -> str:
    value, low, high = (row.get(name, math.nan) for name in ("value", "low", "high"))
    if value is None or math.isnan(value):
        return "<td>–</td>"
    known = "" if math.isnan(low) else f"<small>{low:.3g} … {high:.3g}</small>"
    return f'<td class="{"best" if best else ""}"><b>{value:.3g}</b>{known}</td>'


def _rows(cells: Mapping[str, list[str]]) -> str:
    return "".join(f"<tr>{''.join(line)}</tr>" for line in cells.values())


def overall(scores: Table, say: Words, label: Label, chips: Mapping[str, str]) -> str:
    """A row for the run and for each that stands beside it, a column a score."""
    names = list(dict.fromkeys(row["of"] for row in scores.rows))
    lines = {name: [f"<th>{escape(label(name))}{chips.get(name, '')}</th>"] for name in names}
    for metric in OVERALL:
        rows = {row["of"]: row for row in scores.where(metric=metric, threshold=None).rows}
        each = [rows.get(name, {}) for name in names]
        for name, row, best in zip(names, each, _best(each, metric), strict=True):
            lines[name].append(_cell(row, best))
    heads = "".join(f"<th>{escape(say(word))}</th>" for word in OVERALL.values())
    return f"<table><tr><th></th>{heads}</tr>{_rows(lines)}</table>{_file(scores, say, 'scores')}"


def graded(scores: Table, thresholds: Sequence[float], say: Words, label: Label) -> str:
    """For each grade of rain that was reported, the run and what stands beside it."""
    names, parts = list(dict.fromkeys(row["of"] for row in scores.rows)), []
    for threshold, grade in zip(thresholds, GRADES.values(), strict=False):
        table = scores.where(threshold=threshold)
        events = next((row["value"] for row in table.where(metric="events").rows), 0)
        if not events:
            continue
        about = say(grade, least=f"{threshold:g}", n=f"{events:.0f}")
        lines = {name: [f"<th>{escape(label(name))}</th>"] for name in names}
        first = next(iter(lines.values()))
        first.insert(0, f'<th rowspan="{len(names)}" class="grade">{escape(about)}</th>')
        for metric in GRADED:
            rows = {row["of"]: row for row in table.where(metric=metric).rows}
            each = [rows.get(name, {}) for name in names]
            for name, row, best in zip(names, each, _best(each, metric), strict=True):
                lines[name].append(_cell(row, best))
        parts.append(_rows(lines))
    heads = "".join(f"<th>{escape(say(word))}</th>" for word in GRADED.values())
    return f'<table class="graded"><tr><th></th><th></th>{heads}</tr>{"".join(parts)}</table>'


def twin(table: Table, say: Words, label: Label, name: str) -> str:
    """A figure's table, folded away, and its file."""
    head = "".join(f"<th>{escape(_column(say, label, each))}</th>" for each in table.columns)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(_told(row.get(each), label))}</td>' for each in table.columns)}</tr>"
        for row in table.rows[:MOST_ROWS]
    )
    cut = len(table.rows) - MOST_ROWS
    more = f"<p>{escape(say('rows_more', n=cut))}</p>" if cut > 0 else ""
    inner = f"<div><table><tr>{head}</tr>{body}</table>{more}</div>"
    return f"<details><summary>{escape(say('as_table'))}</summary>{inner}</details>{_file(table, say, name)}"


def _column(say: Words, label: Label, name: str) -> str:
    word = say.maybe(f"column_{name}", "")
    return word or label(name)


def _told(value: Any, label: Label) -> str:
    if isinstance(value, pd.Timestamp):
        return f"{value:%m-%d %H:%M}"
    return shown(value) if is_number(value) or value is None else label(str(value))


def _file(table: Table, say: Words, name: str) -> str:
    """A link that saves the table; the file is in the link, so no address of the server is needed."""
    link = f"data:text/csv;charset=utf-8,{quote(table.csv())}"
    return f'<a download="rainloom_{name}.csv" href="{link}">{escape(say("as_csv"))}</a>'
