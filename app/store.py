"""What follows from choices: cases, pictures, series, runs. One store for the whole server.

Everything here belongs to the process and outlives every session: the journal of runs, the runner with its
engine processes, the layers that were read, the pictures that were computed. Sessions ask; nothing here
knows who asks. This is the only module of the page that talks to the runner.

Nothing slow happens on the server's loop. `picture` and `series` return at once what is known, or None and
then a future does the reading; whoever waits is woken and asks again. Pictures and series have a thread
each, so that the long sum over a whole run never delays the next hour of a map.
"""

from __future__ import annotations

import atexit
import functools
import threading
import time
from collections.abc import Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import xarray as xr

from app import raster
from app.events import Event, When, rain_over
from app.pictures import Picture, Series, Shelf, Shown
from app.state import RUN, State
from engine.fields import Observations
from engine.journal import Run
from engine.runner import Runner
from engine.runs import Store
from engine.shipped import bring_in
from engine.sources.cases import Case, cases
from engine.tasks import Gauges, Task
from engine.values import Invalid

SWEEP = 2.0  # s between two looks for runs whose owner is gone

_making = threading.RLock()
_pictures = ThreadPoolExecutor(1, "pictures")
_series = ThreadPoolExecutor(1, "series")
_tasks = ThreadPoolExecutor(1, "tasks")


@functools.cache
def _journal() -> Store:
    return Store()


@functools.cache
def _runner() -> Runner:
    runner = Runner(_journal())
    runner.resume_interrupted()
    return runner


def journal() -> Store:
    with _making:
        return _journal()


def runner() -> Runner:
    """The one runner of this server; the first call starts its threads."""
    with _making:
        return _runner()


def begin() -> None:
    """Bring in what is shipped and take up what an earlier server left; the page waits for neither."""
    _tasks.submit(lambda: (bring_in(journal()), runner()))


_swept = 0.0


def version() -> int:
    """A number that moves whenever any run changed, one whose process died included."""
    global _swept
    now = time.monotonic()
    if now - _swept > SWEEP:
        _swept = now
        journal().sweep()
    return journal().version()


@atexit.register
def close() -> None:
    """Stop the runner and the threads; what is under way can be resumed."""
    with _making:
        if _runner.cache_info().currsize:
            _runner().close()
            _runner.cache_clear()
    for each in (_pictures, _series, _tasks):
        each.shutdown(wait=False, cancel_futures=True)


# Runs


def runs() -> list[Run]:
    return journal().runs()


def run(name: str) -> Run | None:
    """A run by its id; none if the link named one that is not here."""
    try:
        return journal().get(name) if name else None
    except Invalid:
        return None


def submit(task: Task) -> Future[Run]:
    """Ask for a task. Reading its evidence takes a moment, so this is a future."""
    return _tasks.submit(lambda: runner().submit(task))


def resume(name: str) -> Future[Run]:
    return _tasks.submit(lambda: runner().resume(name))


def cancel(name: str) -> None:
    runner().cancel(name)


def details(name: str) -> str:
    """The whole story of a failure, for whoever has to find its cause."""
    path = journal().folder(name) / "error.txt"
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def case_of(task: Task) -> str:
    """The case that a task reads from, or nothing."""
    named = [use.name for use in task.sources] + ([task.gauges.source] if task.gauges else [])
    return next((name.partition("/")[0] for name in named if "/" in name), "")


# Cases


def case(name: str) -> Case:
    """A case by name, else the simulated front, else the first one."""
    found = cases()
    if not found:
        raise Invalid("cases: none is installed; put one into the folder of the cases")
    return found.get(name) or found.get("front") or next(iter(found.values()))


def fields(found: Case) -> list[str]:
    told = found.layers  # of rain, not of what goes with it
    return [each for each in told if told[each]["kind"] == "field" and told[each]["role"] != "predictor"]


def gauge_layer(found: Case) -> str | None:
    return next((name for name, about in found.layers.items() if about["kind"] == "gauges"), None)


def split(found: Case, state: State) -> Gauges | None:
    """How the run that the setup describes parts the gauges of its domain."""
    known, name = gauges(found), gauge_layer(found)
    if known is None:
        return None
    return state.split(f"{found.name}/{name}", known.inside(state.domain(found.box)).names)


Sides = tuple[list[str], list[str]]  # the gauges that speak, and those held out


def planned(found: Case, state: State) -> Sides:
    """Both sides in the run that the setup describes; none while it describes none."""
    known = gauges(found)
    try:
        parted = split(found, state)
        return parted.split(known.inside(state.domain(found.box))) if parted and known else ([], [])
    except Invalid:
        return [], []


def sides(found: Case, state: State) -> Sides:
    """Both sides in the run on show, else in the one that the setup describes."""
    on_show, known = run(state.run) if state.layer == RUN else None, gauges(found)
    if on_show is None or known is None:
        return planned(found, state)
    about = on_show.task
    return about.gauges.split(known.inside(about.domain)) if about.gauges else ([], [])


def gauges(found: Case) -> Observations | None:
    name = gauge_layer(found)
    layer = found.layer(name) if name else None
    return layer if isinstance(layer, Observations) else None


_hours = Shelf(_pictures, 6)  # all members of an hour: a few MB each
_seen = Shelf(_pictures, 96)
_layers = Shelf(_pictures, 64)
_sums = Shelf(_series, 512)


def _state(name: str) -> tuple[Any, ...]:
    """What a picture of a run depends on besides the choice: how much of the run there is."""
    found = journal().get(name)
    return (found.done,) if found.done else (0, found.progress)


def picture(shown: Shown, when: When) -> tuple[Picture | None, Future[Any] | None]:
    """The picture if it is known, else a future to wait for. Both None: there is no such hour or event."""
    if shown.layer == RUN:
        key, make = (shown, when, *_state(shown.run)), functools.partial(_of_run, shown, when)
    else:
        layer, wait = _field(shown)
        if layer is None:
            return None, wait
        if not isinstance(when, Event):  # an hour of what was read is at hand, a sum is not
            return _of_layer(layer, when), None
        key, make = (_layer_key(shown), when), functools.partial(_of_layer, layer, when)
    found = _seen.known(key)
    if found is not None:
        return (found or None), None
    return None, _seen.fetch(key, lambda: make() or False)


def _of_layer(layer: xr.DataArray, when: When) -> Picture | None:
    found = rain_over(layer, when)
    return None if found is None else Picture.of(found.values, layer)


def _layer_key(shown: Shown) -> Hashable:
    path = case(shown.case).path
    return path, path.stat().st_mtime_ns, shown.layer


def _field(shown: Shown) -> tuple[xr.DataArray | None, Future[Any] | None]:
    found, key = case(shown.case), _layer_key(shown)
    if _layers.known(key):
        return found.layer(shown.layer), None  # type: ignore[return-value]
    return None, _layers.fetch(key, lambda: found.layer(shown.layer) is not None)


def _of_run(shown: Shown, when: When) -> Picture | None:
    if not journal().get(shown.run).done:
        early = journal().preview(shown.run)
        found = None if early is None else rain_over(early, when)
        return None if found is None else Picture.of(found.values, found, 0)
    found = members(shown.run, when)
    return None if found is None else Picture.of_members(found, shown)


def members(name: str, when: When) -> xr.DataArray | None:
    """All members of an hour or an event, read here and now: not for the loop. None: no such time."""
    key = (name, journal().get(name).done, when)
    if (known := _hours.known(key)) is not None:
        return known
    found = rain_over(journal().ensemble(name), when)
    return None if found is None else _hours.made(key, found.load)


def series(shown: Shown) -> tuple[Series | None, Future[Any] | None]:
    """Rain over the whole domain through the period, if it is known, else a future to wait for."""
    if shown.layer == RUN:
        key, make = (shown.run, *_state(shown.run)[:1]), functools.partial(_sum_of_run, shown.run)
    else:
        key, make = _layer_key(shown), functools.partial(_sum_of_layer, shown)
    known = _sums.known(key)
    return (known or None, None) if known is not None else (None, _sums.fetch(key, lambda: make() or False))


def _sum_of_layer(shown: Shown) -> Series:
    return Series.of(case(shown.case).layer(shown.layer))  # type: ignore[arg-type]


def _sum_of_run(name: str) -> Series | None:
    if not journal().get(name).done:
        return None
    ensemble = journal().ensemble(name)
    sums = []
    for place, member in enumerate(ensemble.member.values):
        key = (name, "member", int(member))
        if (one := _sums.known(key)) is None:
            part = ensemble.isel(member=place)
            one = _sums.made(key, lambda part=part: raster.area_mean(part.values, part.lat.values))
        sums.append(one)
    whole = np.array(sums)
    band = np.quantile(whole, [0.1, 0.9], axis=0) if len(whole) > 1 else (None, None)
    return Series(ensemble.indexes["time"], whole.mean(axis=0), *band)  # type: ignore[arg-type]


def loaded(found: Case, name: str) -> bool:
    return _layers.known(_layer_key(Shown(found.name, name))) is not None


def warm(found: Case) -> list[Future[Any]]:
    """Read every layer of a case in the background, so that the readout knows them all."""
    return [wait for name in fields(found) if (wait := _field(Shown(found.name, name))[1])]
