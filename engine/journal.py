"""The journal of all runs: one SQLite file that tells what is asked for, under way and finished.

Every change is one transaction, flushed to the disk before it counts (write-ahead log, full
synchronisation), and moves a clock: whoever watches compares `Journal.version` and reads only when it
moved. A run's owner is a process that holds a file lock for as long as it lives; where that lock is
free, the run was interrupted, however its owner ended. No process numbers, no wall clocks.
"""

from __future__ import annotations

import contextlib
import functools
import json
import sqlite3
import threading
import time
import uuid
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import filelock

from engine import home
from engine.tasks import Task
from engine.values import Invalid

State = Literal["queued", "running", "done", "cancelled", "failed", "interrupted"]
UNDER_WAY = ("queued", "running")

SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY, key TEXT NOT NULL, task TEXT NOT NULL, state TEXT NOT NULL,
    progress REAL NOT NULL DEFAULT 0, stage TEXT NOT NULL DEFAULT '', error TEXT NOT NULL DEFAULT '',
    created REAL NOT NULL, started REAL, finished REAL, eta REAL,
    owner TEXT NOT NULL DEFAULT '', origin TEXT NOT NULL DEFAULT '',
    cancel INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0,
    pinned INTEGER NOT NULL DEFAULT 0, deleted REAL);
CREATE INDEX IF NOT EXISTS runs_by_key ON runs (key);
CREATE TABLE IF NOT EXISTS members (
    run TEXT NOT NULL, member INTEGER NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (run, member));
CREATE TABLE IF NOT EXISTS clock (tick INTEGER NOT NULL);
INSERT INTO clock SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM clock);
COMMIT;
"""
LATER = {"pinned": "INTEGER NOT NULL DEFAULT 0", "deleted": "REAL"}  # what a journal may lack
RUNS = """SELECT runs.*, (SELECT count(*) FROM members WHERE members.run = runs.id) AS done FROM runs
    WHERE deleted IS NULL"""


@dataclass(frozen=True)
class Run:
    """One run as the journal has it now."""

    id: str
    key: str
    told: str  # the task, as JSON
    state: State
    progress: float
    stage: str
    error: str
    done: int
    created: datetime
    started: datetime | None
    finished: datetime | None
    eta: float | None
    owner: str
    origin: str
    cancel: bool
    attempts: int
    pinned: bool

    @property
    def under_way(self) -> bool:
        return self.state in UNDER_WAY

    @functools.cached_property
    def task(self) -> Task:
        return Task.of(json.loads(self.told))


class Owner:
    """A process that works on runs, for as long as it lives."""

    def __init__(self, journal: Journal) -> None:
        self.name = uuid.uuid4().hex
        self._lock = filelock.FileLock(journal.root / "owners" / self.name, thread_local=False)
        self._lock.acquire()

    def close(self) -> None:
        self._lock.release()
        Path(self._lock.lock_file).unlink(missing_ok=True)


class _Connection:
    """A connection that is closed when its thread ends."""

    def __init__(self, path: Path) -> None:
        self.journal = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        self.journal.row_factory = sqlite3.Row
        self.journal.execute("PRAGMA journal_mode=WAL")
        self.journal.execute("PRAGMA synchronous=FULL")

    def close(self) -> None:
        self.journal.close()

    __del__ = close


class Journal:
    """Every run under one folder; safe to use from many threads and many processes at once."""

    def __init__(self, root: Path | str | None = None) -> None:
        self.root = Path(root) if root else home()
        try:
            (self.root / "owners").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Invalid(
                f"RAINLOOM_HOME: {self.root} cannot be used ({error.strerror}); name another folder"
            ) from None
        self._local = threading.local()
        self._opened: weakref.WeakSet[_Connection] = weakref.WeakSet()
        self._journal().executescript(SCHEMA)
        if self._lacking():
            with self._change() as journal:
                for column in self._lacking():
                    journal.execute(f"ALTER TABLE runs ADD COLUMN {column} {LATER[column]}")

    def _lacking(self) -> set[str]:
        there = {row["name"] for row in self._journal().execute("PRAGMA table_info(runs)")}
        return set(LATER) - there

    def _journal(self) -> sqlite3.Connection:
        """One connection a thread: a reader never waits for another thread's flush."""
        held = getattr(self._local, "held", None)
        if held is None:
            held = self._local.held = _Connection(self.root / "journal.sqlite")
            self._opened.add(held)
        return held.journal

    def close(self) -> None:
        """Close every thread's connection; call it when nobody uses the journal any more."""
        for held in list(self._opened):
            held.close()
        self._local = threading.local()

    @contextlib.contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """One transaction; it moves the clock that `version` reads."""
        journal = self._journal()
        journal.execute("BEGIN IMMEDIATE")
        try:
            yield journal
            journal.execute("UPDATE clock SET tick = tick + 1")
            journal.execute("COMMIT")
        except BaseException:
            journal.execute("ROLLBACK")
            raise

    def version(self) -> int:
        """A number that grows whenever any run changed, in any process."""
        return self._journal().execute("SELECT tick FROM clock").fetchone()[0]

    def runs(self) -> list[Run]:
        """Every run, newest first."""
        return [_run(row) for row in self._journal().execute(RUNS + " ORDER BY created DESC, id")]

    def get(self, name: str) -> Run:
        """A run by its id, or by the beginning of its id where only one begins so."""
        rows = self._journal().execute(
            RUNS + " AND (id = ? OR substr(id, 1, ?) = ?)", (name, len(name), name)
        )
        found = [_run(row) for row in rows]
        exact = [run for run in found if run.id == name]
        if len(found) != 1 and not exact:
            if found:
                several = ", ".join(run.id for run in found[:4])
                raise Invalid(f"run: several begin with {name!r} ({several}); give more of the one you mean")
            raise Invalid(f"run: no run {name!r}; `rainloom runs` lists them")
        return (exact or found)[0]

    def find(self, key: str) -> Run | None:
        """The newest run of this key, the finished ones first."""
        order = " AND key = ? ORDER BY state = 'done' DESC, created DESC LIMIT 1"
        row = self._journal().execute(RUNS + order, (key,)).fetchone()
        return _run(row) if row else None

    def update(self, name: str, **columns: Any) -> None:
        names = ", ".join(f"{column} = ?" for column in columns)
        with self._change() as journal:
            journal.execute(f"UPDATE runs SET {names} WHERE id = ?", (*columns.values(), name))

    def queue(self, name: str, owner: str, origin: str) -> None:
        """Put a run that is not under way back into the line, with this owner."""
        with self._change() as journal:
            journal.execute(
                "UPDATE runs SET state = 'queued', owner = ?, origin = ?, cancel = 0, attempts = 0,"
                " error = '', finished = NULL, eta = NULL"
                " WHERE id = ? AND state NOT IN ('queued', 'running')",
                (owner, origin, name),
            )

    def ask_cancel(self, name: str) -> None:
        """Ask whoever works on the run to stop; a run that nobody works on is stopped at once."""
        with self._change() as journal:
            journal.execute(
                "UPDATE runs SET cancel = 1,"
                " state = CASE state WHEN 'running' THEN state ELSE 'cancelled' END,"
                " finished = CASE state WHEN 'running' THEN finished ELSE ? END"
                " WHERE id = ? AND state IN ('queued', 'running', 'interrupted')",
                (time.time(), name),
            )

    def sweep(self) -> list[Run]:
        """Mark the runs whose owner is gone as interrupted, and return them."""
        gone = [run for run in self.runs() if run.under_way and not self._alive(run.owner)]
        if not gone:
            return gone
        with self._change() as journal:
            journal.executemany(
                "UPDATE runs SET eta = NULL,"
                " state = CASE cancel WHEN 1 THEN 'cancelled' ELSE 'interrupted' END"
                " WHERE id = ? AND owner = ? AND state IN ('queued', 'running')",
                [(run.id, run.owner) for run in gone],
            )
        return gone

    def _alive(self, owner: str) -> bool:
        path = self.root / "owners" / owner
        if not owner or not path.exists():
            return False
        try:
            with filelock.FileLock(path, timeout=0):
                path.unlink(missing_ok=True)
                return False
        except filelock.Timeout:
            return True

    def insert(self, name: str, key: str, task: Task, **columns: Any) -> None:
        """Enter a new run."""
        values = {
            "id": name,
            "key": key,
            "task": json.dumps(task.as_entries()),
            "state": "queued",
            "created": time.time(),
        }
        values |= columns
        marks = ", ".join("?" * len(values))
        with self._change() as journal:
            journal.execute(
                f"INSERT INTO runs ({', '.join(values)}) VALUES ({marks})", tuple(values.values())
            )

    def enter(self, name: str, member: int, digest: str) -> None:
        """A member is on the disk."""
        with self._change() as journal:
            row = (name, member, digest)
            journal.execute("INSERT OR REPLACE INTO members (run, member, digest) VALUES (?, ?, ?)", row)

    def finished(self, name: str) -> dict[int, str]:
        """The committed members and the hash of each."""
        rows = self._journal().execute(
            "SELECT member, digest FROM members WHERE run = ? ORDER BY member", (name,)
        )
        return {row["member"]: row["digest"] for row in rows}

    def forget(self, name: str, members: Sequence[int]) -> None:
        """Take members out of the journal, so that they are computed again."""
        with self._change() as journal:
            journal.executemany(
                "DELETE FROM members WHERE run = ? AND member = ?", [(name, each) for each in members]
            )


def _run(row: sqlite3.Row) -> Run:
    values: dict[str, Any] = dict(row)
    for name in ("created", "started", "finished"):
        values[name] = datetime.fromtimestamp(values[name], UTC) if values[name] else None
    told, _ = values.pop("task"), values.pop("deleted")
    values |= {name: bool(values[name]) for name in ("cancel", "pinned")}
    return Run(told=told, **values)
