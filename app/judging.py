"""Judging: what the Verify screen shows, computed off the server's loop and kept.

What is asked for is one value, `Asked`: a run, its judge, other runs beside it, and which gauges and hours
count. Readings are made once for a run and what stands beside it, as far as it is finished; a judgement of
all gauges or of some follows from them in a fraction of a second; the shapes of fields take longer and wait
for nothing else. All of it has one thread of its own: Datashader's compiler does not bear two.

A run that cannot be judged is a result too: the one line of `Invalid`.
"""

from __future__ import annotations

import atexit
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
import xarray as xr

from app import curves, store
from app.pictures import Shelf
from app.readings import GAUGES, Readings, backgrounds, gathered, independence
from engine.diagnostics.independence import leakage
from engine.diagnostics.paired import paired, told
from engine.diagnostics.reliability import pit_histogram, rank_histogram, reliability
from engine.diagnostics.tables import Table
from engine.diagnostics.verdicts import verdicts
from engine.given import cut, references
from engine.journal import Run
from engine.sources import field_of
from engine.values import Invalid

TRUTH = "truth"  # the judge that a simulated case has besides its gauges
FEWEST_GAUGES = 20  # below it a score says more of the gauges than of the ensemble
MOST_RANKS = 40  # members; the ranks of more are told in ten bins

_judging = ThreadPoolExecutor(1, "judging")
atexit.register(lambda: _judging.shutdown(wait=False, cancel_futures=True))
_readings = Shelf(_judging, 6)
_judgements = Shelf(_judging, 64)
_densities = Shelf(_judging, 64)
_shapes = Shelf(_judging, 12)


@dataclass(frozen=True)
class Asked:
    """No gauges or no hours named means all of them."""

    run: str
    judge: str = GAUGES
    others: tuple[str, ...] = ()
    gauges: tuple[int, ...] = ()
    hours: tuple[int, ...] = ()

    @property
    def whole(self) -> Asked:
        return replace(self, gauges=(), hours=())


@dataclass(frozen=True)
class Judgement:
    """All that is shown of a run at gauges; ``tables`` holds what stands behind each figure. From
    ``verdicts`` on there is nothing where gauges are too few."""

    judge: str  # gauges, or the name of the field that is the truth
    has_truth: bool
    gauges: int
    of_gauges: int
    hours: int
    reports: int
    leakage: Mapping[str, float]
    independent: Mapping[str, str]
    tables: Mapping[str, Table]
    verdicts: Sequence[str] = ()
    gains: Mapping[str, str] = field(default_factory=dict)
    scores: Table = field(default_factory=lambda: Table.of([]))
    thresholds: tuple[float, ...] = ()

    @property
    def enough(self) -> bool:
        return bool(self.scores.rows)


def rivals(run: Run) -> list[Run]:
    """Other runs that the same gauges judge in the same hours."""
    mine = run.task
    return [
        each
        for each in store.runs()
        if each.id != run.id
        and each.done
        and not each.under_way
        and (each.task.gauges, each.task.period, each.task.domain) == (mine.gauges, mine.period, mine.domain)
    ]


Told = tuple[Any, Future[Any] | None]  # what is known (a line if it was refused), or a future to wait for


def judgement(asked: Asked) -> Told:
    return _known(_judgements, (asked, *_finished(asked)), lambda: _judge(asked))


def shapes(asked: Asked) -> Told:
    """Spectra, variograms and ellipses. They are the run's own, whoever judges it and where."""
    run = replace(asked.whole, judge=GAUGES)
    return _known(_shapes, _finished(Asked(asked.run)), lambda: _shape(run))


def density(asked: Asked) -> Told:
    """The pairs of members and reports; Datashader takes seconds to load, so no score waits for it."""
    return _known(_densities, (asked, *_finished(asked)), lambda: _dense(asked))


def _finished(asked: Asked) -> tuple[Any, ...]:
    """Runs with the number of their finished members: what a judgement depends on besides the choice."""
    return tuple((name, store.journal().get(name).done) for name in (asked.run, *asked.others))


def _known(shelf: Shelf, key: Any, make: Callable[[], Any]) -> Told:
    return shelf.ask(key, lambda: _or_line(make))


def _or_line(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except Invalid as refused:
        return str(refused)
    except Exception as error:  # whatever it is, the page says so and stays
        traceback.print_exc()
        return f"{type(error).__name__}: {error}".splitlines()[0]


def _read(asked: Asked) -> Readings:
    key, journal = _finished(asked), store.journal()
    run, *others = (journal.get(name) for name in (asked.run, *asked.others))
    return _readings.known(key) or _readings.made(key, lambda: gathered(journal, run, others))


def _judge_of(asked: Asked, readings: Readings) -> str:
    truth = next((name for name in readings.judges if name != GAUGES), GAUGES)
    return truth if asked.judge == TRUTH else GAUGES


def _dense(asked: Asked) -> curves.Density:
    part = _read(asked).part(asked.gauges, asked.hours)
    return curves.density(next(iter(part.read.values())), part.observed(_judge_of(asked, part)))


def _judge(asked: Asked) -> Judgement:
    whole, task = _read(asked), store.journal().get(asked.run).task
    judge = _judge_of(asked, whole)
    part = whole.part(asked.gauges, asked.hours)
    observed, members = part.observed(judge), part.read[task.method]
    raw = backgrounds(task)
    scored = _scored(part, observed, raw) if len(part.held) >= FEWEST_GAUGES else {}
    tables = {
        # Gauges and hours are chosen in these two, so each keeps showing all of its own.
        "totals": _of(whole.part((), asked.hours), judge, curves.totals),
        "hours": _of(whole.part(asked.gauges, ()), judge, curves.by_hour),
        "quantiles": curves.quantiles(part.read, observed),
        "scatter": curves.by_grade(members, observed),
    }
    return Judgement(
        judge=judge,
        has_truth=len(whole.judges) > 1,
        gauges=len(part.held),
        of_gauges=len(whole.held),
        hours=part.held.rain.sizes["time"],
        reports=int(observed.notnull().sum()),
        leakage={row["metric"]: row["value"] for row in leakage(whole.used, whole.held).rows},
        independent={name: independence(task, name) for name in raw},
        tables=tables | scored.pop("tables", {}),
        **scored,
    )


def _of(part: Readings, judge: str, curve: Callable[..., Table]) -> Table:
    return curve(part.read, part.observed(judge))


def _scored(part: Readings, observed: xr.DataArray, raw: Sequence[str]) -> dict[str, Any]:
    """What takes enough gauges: scores, sentences, and whether the ensemble means what it says."""
    from engine.diagnostics.scores import card
    from engine.diagnostics.tally import tally

    own = next(iter(part.read))
    tallies = {name: tally(each, observed) for name, each in part.read.items()}
    cards, mine = {name: card(each) for name, each in tallies.items()}, tallies[own]
    histogram = rank_histogram if mine.members <= MOST_RANKS else pit_histogram
    tables = {"ranks": histogram(mine)} if mine.members > 1 else {}
    tables |= {f"reliability {each:g}": reliability(mine, each) for each in mine.thresholds}
    tables["spread"] = curves.spread_skill(part.read[own], observed)
    return {
        "verdicts": verdicts(mine, cards[own]),
        "gains": {name: told(paired(part.read[own], part.read[name], observed)) for name in raw},
        "scores": Table.of([{"of": name} | dict(row) for name, each in cards.items() for row in each.rows]),
        "thresholds": mine.thresholds,
        "tables": tables,
    }


@dataclass(frozen=True)
class Shapes:
    """Of whole fields: a table for each figure, and the hours that were looked at."""

    times: pd.DatetimeIndex
    tables: Mapping[str, Table]


def _shape(asked: Asked) -> Shapes:
    whole, journal = _read(asked), store.journal()
    task, times = journal.get(asked.run).task, curves.wettest(whole.judges[GAUGES])
    raw = {name: cut(name, field_of(name), task.domain, task.period) for name in backgrounds(task)}
    fields = {name: rain.sel(time=times) for name, rain in (raw | references(task)).items()}
    return Shapes(times, curves.shapes(journal.ensemble(asked.run).sel(time=times), fields, task.method))
