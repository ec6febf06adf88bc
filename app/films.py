"""Films: the hours of a map as one browser keeps them, so that a step in time asks nobody.

A frame is what a map shows of one hour: bytes, the numbers of colour classes, on the rows of Web Mercator.
Frames are made a few hours at a time in a thread of their own, so that they never delay the picture that
somebody waits for, and are shared by all sessions that look at the same. A browser is given as many as
`MOST` bytes hold, those around the time on show first; exact values stay here, for the readout.

A run is filmed once it stands still: while members come in, each would make every frame anew.

What is compared is a picture too: the difference of two, on the finer of their grids.
"""

from __future__ import annotations

import atexit
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from app import raster, store
from app.events import When
from app.pictures import Picture, Shelf, Shown
from app.state import RUN

MOST = 12_000_000  # bytes that one map keeps in a browser
CHUNK = 1_000_000  # bytes that travel together

_worker = ThreadPoolExecutor(1, "films")
_chunks = Shelf(_worker, 96)
_differences = Shelf(_worker, 48)
atexit.register(lambda: _worker.shutdown(wait=False, cancel_futures=True))


@dataclass(frozen=True)
class Pair:
    """Two pictures of which the difference is wanted: the first less the second."""

    one: Shown
    other: Shown


@dataclass(frozen=True)
class Frame:
    time: pd.Timestamp
    image: np.ndarray
    rows: raster.Rows


def still(shown: Shown | Pair) -> bool:
    """Whether what is shown will stay as it is."""
    if isinstance(shown, Pair):
        return still(shown.one) and still(shown.other)
    run = store.run(shown.run) if shown.layer == RUN else None
    return shown.layer != RUN or (run is not None and bool(run.done) and not run.under_way)


def times(shown: Shown | Pair) -> pd.DatetimeIndex:
    if isinstance(shown, Pair):
        one, other = times(shown.one), times(shown.other)
        return one[one.isin(other)]
    run = store.run(shown.run) if shown.layer == RUN else None
    return (run.task if run else store.case(shown.case)).period.times


def picture(shown: Shown | Pair, when: When) -> tuple[Picture | None, Future[Any] | None]:
    """As `store.picture`, for differences too."""
    if isinstance(shown, Shown):
        return store.picture(shown, when)
    (one, wait), (other, wait_too) = (store.picture(each, when) for each in (shown.one, shown.other))
    if one is None or other is None:
        return None, wait or wait_too
    key = (shown, when, one.members, other.members, still(shown) or id(one))
    return _differences.ask(key, lambda: difference(one, other))


def difference(one: Picture, other: Picture) -> Picture:
    """The first less the second on the finer grid; each keeps its own cells, nothing is smoothed."""
    fine = one if one.lat[1] - one.lat[0] <= other.lat[1] - other.lat[0] else other
    values = [each.values if each is fine else _on(each, fine) for each in (one, other)]
    return Picture(values[0] - values[1], fine.lat, fine.lon, fine.rows)


def _on(coarse: Picture, fine: Picture) -> np.ndarray:
    places = []
    for mine, wanted in ((coarse.lat, fine.lat), (coarse.lon, fine.lon)):
        # A hair to the south-west: a fine cell whose centre lies on an edge belongs to one side always.
        at = np.rint((wanted - mine[0]) / (mine[1] - mine[0]) - 1e-9).astype(int)
        places.append((np.clip(at, 0, mine.size - 1), (at >= 0) & (at < mine.size)))
    (rows, within), (columns, across) = places
    values = coarse.values[np.ix_(rows, columns)]
    return np.where(np.outer(within, across), values, np.float32(np.nan))


def plan(known: pd.DatetimeIndex, time: pd.Timestamp, size: int) -> list[tuple[pd.Timestamp, ...]]:
    """The hours around a time that fit, in chunks, the nearest first, going on before going back."""
    count = max(1, min(len(known), MOST // max(1, size)))
    at = int(np.sum(known < time))
    start = min(max(0, at - count // 4), len(known) - count)
    hours = max(1, CHUNK // max(1, size))
    first = start + (max(at - start, 0) // hours) * hours
    starts = list(range(start, start + count, hours))
    ahead, behind = [each for each in starts if each >= first], [each for each in starts if each < first]
    return [tuple(known[each : min(each + hours, start + count)]) for each in ahead + behind[::-1]]


def chunk(
    shown: Shown | Pair, hours: Sequence[pd.Timestamp], edges: tuple[float, ...]
) -> tuple[tuple[Frame, ...] | None, Future[Any] | None]:
    """Some frames if they are known, else a future to wait for."""
    key = (shown, hours[0], len(hours), edges, version(shown))
    return _chunks.ask(key, lambda: _made(shown, hours, edges))


def version(shown: Shown | Pair) -> Any:
    """What frames depend on besides the choice."""
    if isinstance(shown, Pair):
        return version(shown.one), version(shown.other)
    run = store.run(shown.run) if shown.layer == RUN else None
    return run.done if run else store.case(shown.case).path.stat().st_mtime_ns


def _made(shown: Shown | Pair, hours: Sequence[pd.Timestamp], edges: tuple[float, ...]) -> tuple[Frame, ...]:
    frames = []
    for time in hours:
        found = _now(shown, time)
        if found is not None:
            image = raster.classes(found.rows(found.values), edges)
            frames.append(Frame(time, image, found.rows))
    return tuple(frames)


def _now(shown: Shown | Pair, time: pd.Timestamp) -> Picture | None:
    """A picture, however long it takes; for the thread of the films."""
    if isinstance(shown, Pair):
        one, other = _now(shown.one, time), _now(shown.other, time)
        return difference(one, other) if one and other else None
    found, wait = store.picture(shown, time)
    if wait is not None:
        wait.result()
        found, _ = store.picture(shown, time)
    return found
