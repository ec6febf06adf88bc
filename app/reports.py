"""What the commands tell of a run or of a source: rows for a table or for JSON, and sentences."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from engine.catalogue import catalogues
from engine.diagnostics.tables import Table
from engine.values import Invalid

if TYPE_CHECKING:
    from app.readings import Readings
    from engine.fields import Observations
    from engine.findings import Report
    from engine.runs import Run, Store
    from engine.tasks import Task


HEADLINE = ("CRPS", "MAE of the mean", "bias of the mean", "RMSE of the mean")
HEADLINE += ("correlation of the mean", "spread/skill")
MOST_ROWS = 30  # of a section of a report on a source
AT_THRESHOLDS = ("events", "Brier", "reliability part", "resolution part", "area under ROC")
AT_THRESHOLDS += ("POD", "FAR", "CSI", "ETS")


def scores(store: Store, run: Run) -> list[dict[str, Any]]:
    """The ensemble and its raw backgrounds at the gauges held out, judged by these gauges, and by the truth
    at the same places where there is one; and how far these gauges are independent of those in use."""
    from app.readings import gathered

    found = gathered(store, run)
    rows = [row for judge in found.judges for row in _judged(run.task, judge, found)]
    return rows + list(_design(run.task, found.used, found.held))


def _judged(task: Task, judge: str, found: Readings) -> Iterator[dict[str, Any]]:
    """The card and verdicts of the ensemble, the cards of raw sources, and the ensemble against each."""
    from app.readings import backgrounds, independence
    from engine.diagnostics.paired import paired, told
    from engine.diagnostics.scores import card
    from engine.diagnostics.tally import tally
    from engine.diagnostics.verdicts import verdicts

    own, raw, observed = task.method, backgrounds(task), found.observed(judge)
    known = {own: independence(task), **{other: independence(task, other) for other in raw}}
    for method, values in found.read.items():
        about = {"judged by": judge, "method": method}
        judged = tally(values, observed)
        table = card(judged)
        yield from ({**about, **row, "independent": known[method]} for row in table.rows)
        yield from (about | {"metric": "verdict", "says": each} for each in verdicts(judged, table))
    for other in raw:
        about = {"judged by": judge, "method": f"{own} against {other}"}
        table = paired(found.read[own], found.read[other], observed)
        yield from ({**about, **row, "independent": known[own]} for row in table.rows)
        yield about | {"metric": "verdict", "says": told(table)}


def _design(task: Task, used: Observations, held: Observations) -> Iterator[dict[str, Any]]:
    """How the gauges were held out, how near they lie to those in use, and which sources knew them."""
    from app.readings import independence
    from engine.diagnostics.independence import leakage, told

    about = {"judged by": "gauges", "method": "held out"}
    table = leakage(used, held)
    yield from ({**about, **row} for row in table.rows)
    design = task.gauges.design if task.gauges else ""
    yield about | {"metric": "verdict", "says": f"{len(held)} gauges, {design}: {told(table)}"}
    for use in task.sources:
        if use.role != "reference" and independence(task, use.name) != "yes":
            said = (
                "was adjusted to gauges" if independence(task, use.name) == "no" else "may have known gauges"
            )
            says = f"not independent: it {said}, perhaps to those that judge here"
            yield about | {"method": use.name, "metric": "verdict", "says": says}


def side_by_side(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row a method, a column a metric."""
    table: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["metric"] in HEADLINE:
            about = {name: row[name] for name in ("judged by", "method", "independent", "members", "n")}
            one = table.setdefault(f"{row['judged by']} {row['method']}", about)
            one[row["metric"]] = _with_interval(row)
    return list(table.values())


def at_thresholds(rows: Sequence[dict[str, Any]], method: str) -> list[dict[str, Any]]:
    """A row a grade of rain that was reached, as China's meteorological service names them, a column a
    metric, judged by the gauges; ``events`` is how many reports reached it."""
    from engine.diagnostics.tally import GRADE_NAMES

    mine = [row for row in rows if row["judged by"] == "gauges" and row["method"] == method]
    mine = [row for row in mine if row["metric"] in AT_THRESHOLDS]
    graded = zip(dict.fromkeys(row["threshold"] for row in mine), GRADE_NAMES, strict=False)
    table: dict[float, dict[str, Any]] = {
        threshold: {"grade": name, "from mm/h": threshold} for threshold, name in graded
    }
    for row in mine:
        table[row["threshold"]][row["metric"]] = row["value"]
    return [one for one in table.values() if one["POD"] == one["POD"]]


def sentences(rows: Sequence[dict[str, Any]]) -> list[str]:
    """What the numbers say: of the ensemble, of its gain over raw sources, of its judges."""
    return [f"{row['method']}, by {row['judged by']}: {row['says']}" for row in rows if "says" in row]


def _with_interval(row: Mapping[str, Any]) -> str:
    known = row["low"] == row["low"]  # too few blocks give no interval
    return ("{value:.3f} ({low:.3f} to {high:.3f})" if known else "{value:.3f}").format(**row)


def findings(report: Report) -> str:
    """The report on a source as tables and sentences."""
    parts = [f"{title}\n{_section(rows)}" for title, rows in report.sections.items() if rows]
    for title, lines in (("how it was read", report.notes), ("warnings", report.warnings)):
        if lines:
            parts.append("\n".join([title, *(f"- {each}" for each in lines)]))
    if report.entry:
        where = f"for {catalogues()[0]}, as a task does not say how a file is read"
        parts.append(f"{where}\n{report.entry.rstrip()}")
    if report.task:
        parts.append(f"for a task\n{report.task.rstrip()}")
    return "\n\n".join(parts)


def _section(rows: Sequence[Mapping[str, str]]) -> str:
    """A table; of very many variables one of each that is of use, rain first."""
    if len(rows) <= MOST_ROWS:
        return Table.of(rows).text()
    known = {row.get("taken for", ""): row for row in reversed(rows)}
    used = [row for taken, row in known.items() if taken not in ("", "other", "not used")]
    few = (
        sorted(used, key=lambda row: not row["taken for"].startswith("rain"))[:MOST_ROWS] or rows[:MOST_ROWS]
    )
    return f"{Table.of(few).text()}\nand {len(rows) - len(few)} more, which --json lists"


def listed() -> list[dict[str, Any]]:
    """The archives of the catalogue, a row each."""
    from engine.catalogue import known

    return [
        {
            "source": one.name,
            "there": "yes" if _there(one.path) else "no",
            "what it is": one.title,
            "path": one.path,
            "told": ", ".join(f"{key} {value}" for key, value in one.told.items()),
            "licence": one.licence,
            "credentials": one.credentials and f"{one.credentials}{_whether_set(one.credentials)}",
        }
        for one in known().values()
    ]


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    return Table.of(rows).text()


def blocks(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows too wide for a table: what each is called, and below it what is known of it."""
    lines = []
    for row in rows:
        first, *rest = [(name, str(value)) for name, value in row.items() if value]
        lines += ["", first[1]]
        for name, value in rest:
            wrapped = textwrap.wrap(value, 76, break_long_words=False, break_on_hyphens=False)
            lines += [f"  {name if at == 0 else '':<12}  {line}" for at, line in enumerate(wrapped)]
    return "\n".join(lines).lstrip("\n")


def _there(path: str) -> bool:
    from engine.sources import existing

    try:
        existing(path)
    except Invalid:
        return False
    return True


def _whether_set(variable: str) -> str:
    return "" if os.environ.get(variable) else " (not set)"
