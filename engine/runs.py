"""Runs: a durable store. What was finished once is never lost, whoever dies.

One folder a run, and one journal for all of them::

    journal.sqlite            every run's state and every committed member
    runs/<id>/manifest.yaml   the task, its inputs' hashes and the versions: enough to run it again
    runs/<id>/ensemble.zarr   (member, time, lat, lon), CF; one file a member, one chunk an hour
    runs/<id>/preview.npy     an early picture while the run is under way
    runs/<id>/error.txt       the details of a failure

A member is written, flushed to the disk with its folder, and only then entered in the journal, which is
flushed too. So a member in the journal is on the disk, and one that is not in the journal is computed
again; there is no third state. Noise belongs to the member, so the second time gives the same bits; the
journal keeps a hash of them, and a resumed run checks it. A deleted run is off the list at once and on the
disk for another hour, so that it can be brought back; a pinned one cannot be deleted.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import filelock
import numpy as np
import xarray as xr
import yaml
import zarr

from engine.fields import Snapshot
from engine.formats import RAIN, coordinates, template, write_zarr
from engine.journal import Journal, Run
from engine.tasks import Task
from engine.values import Invalid

KEPT = 3600.0  # s that a deleted run can be brought back


def flush(path: Path) -> None:
    """Make sure that a file or a folder's list of names is on the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open folders; its renames are journalled
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_safely(path: Path, content: bytes) -> None:
    """Replace a file as a whole: readers see the old one or the new one."""
    unfinished = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.partial")
    unfinished.write_bytes(content)
    flush(unfinished)
    unfinished.replace(path)
    flush(path.parent)


class Store(Journal):
    """A journal with a folder for each run."""

    def sweep(self) -> list[Run]:
        gone = super().sweep()
        for run in gone:
            for leftover in [*self.folder(run.id).rglob("*.partial")]:
                if leftover.is_dir():
                    shutil.rmtree(leftover, ignore_errors=True)
                leftover.unlink(missing_ok=True)
        return gone

    def delete(self, name: str) -> None:
        """Take a run off the list. `restore` brings it back for as long as `discard` leaves it."""
        run = self.get(name)
        if run.pinned:
            raise Invalid(f"run {run.id}: it is pinned; unpin it first")
        if run.under_way:
            raise Invalid(f"run {run.id}: it is under way; cancel it first")
        self.update(run.id, deleted=time.time())

    def restore(self, name: str) -> None:
        self.update(name, deleted=None)

    def discard(self, kept: float = KEPT) -> None:
        """Remove for good what was deleted longer ago than this, in seconds: first the folder, then the
        entry, so that what is cut short is found again."""
        rows = self._journal().execute("SELECT id FROM runs WHERE deleted < ?", (time.time() - kept,))
        for name in [row["id"] for row in rows]:
            shutil.rmtree(self.folder(name), ignore_errors=True)
            with self._change() as journal:
                journal.execute("DELETE FROM members WHERE run = ?", (name,))
                journal.execute("DELETE FROM runs WHERE id = ?", (name,))

    def intact(self, name: str) -> bool:
        """Whether the ensemble is there and can be opened; not whether every bit of it is right."""
        try:
            task = self.get(name).task
            shape = (task.members, len(task.period.times), *task.grid.shape)
            return zarr.open_array(self._rain(name), mode="r").shape == shape
        except Exception:  # a damaged store makes its library say many things
            return False

    def _rain(self, name: str) -> Path:
        return self.folder(name) / "ensemble.zarr" / "rain"

    def folder(self, name: str) -> Path:
        return self.root / "runs" / name

    def add(
        self, task: Task, key: str, inputs: Mapping[str, str], versions: Mapping[str, str], **columns
    ) -> Run:
        """A new run, written down before anyone works on it."""
        name = stem = f"{task.method}-{key[:8]}"
        for count in range(2, 10_000):
            with contextlib.suppress(FileExistsError):
                self.folder(name).mkdir(parents=True)
                break
            name = f"{stem}-{count}"
        manifest = {
            "run": name,
            "key": key,
            "task": task.as_entries(),
            "inputs": dict(inputs),
            "versions": dict(versions),
        }
        text = yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True)
        write_safely(self.folder(name) / "manifest.yaml", text.encode())
        self.insert(name, key, task, **columns)
        return self.get(name)

    @contextlib.contextmanager
    def claim(self, name: str) -> Iterator[None]:
        """Only one process works on a run, even where an old one takes a moment to die."""
        with filelock.FileLock(self.folder(name) / "lock", timeout=30):
            yield

    def prepare(self, name: str, task: Task) -> None:
        """Make the empty ensemble, as a whole or not at all."""
        target = self.folder(name) / "ensemble.zarr"
        if self.intact(name):
            return
        shutil.rmtree(target, ignore_errors=True)  # members in it are found missing, and computed again
        unfinished = self.folder(name) / f"{uuid.uuid4().hex[:8]}.partial"
        shape = (len(task.period.times), *task.grid.shape)
        layout = {"chunks": (1, 1, *task.grid.shape), "shards": (1, *shape), "_FillValue": np.float32(np.nan)}
        write_zarr(template(task), unfinished, rain=layout)
        for path in [*unfinished.rglob("*"), unfinished]:
            flush(path)
        unfinished.replace(target)
        flush(target.parent)

    def commit(self, name: str, member: int, values: np.ndarray) -> None:
        """Write a member, flush it, and only then enter it in the journal."""
        values = np.ascontiguousarray(values, dtype=np.float32)
        target = self._rain(name)
        array = zarr.open_array(target, mode="r+")
        array[member] = values
        file = target / "c" / str(member) / "0" / "0" / "0"
        if file.exists():  # a member that is missing everywhere is all fill value and has no file
            for path in (file, *file.parents[:5]):  # up to the array's own folder, which names `c`
                flush(path)
        self.enter(name, member, digest(values))

    def verify(self, name: str) -> list[int]:
        """The committed members whose bits on the disk are not those that were committed."""
        return [each for each, told in self.finished(name).items() if self._digest(name, each) != told]

    def _digest(self, name: str, member: int) -> str:
        try:
            return digest(np.asarray(zarr.open_array(self._rain(name), mode="r")[member]))
        except Exception:  # gone, or bits that no longer decode: each codec has its own word for it
            return ""

    def ensemble(self, name: str) -> xr.DataArray:
        """The committed members, read when looked at."""
        members = list(self.finished(name))
        if not members:
            raise Invalid(f"run {name}: no member is finished yet")
        whole = xr.open_zarr(self.folder(name) / "ensemble.zarr", chunks=None)["rain"]
        return whole.isel(member=members)

    def write_preview(self, name: str, preview: xr.DataArray) -> None:
        target = self.folder(name) / "preview.npy"
        unfinished = target.with_suffix(".partial")
        with unfinished.open("wb") as stream:
            np.save(stream, preview.values.astype(np.float32), allow_pickle=False)
        unfinished.replace(target)  # a picture, not a result: not worth a flush

    def preview(self, name: str) -> xr.DataArray | None:
        """The early picture of a run (time, lat, lon), if there is one."""
        try:
            values = np.load(self.folder(name) / "preview.npy", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        task = self.get(name).task
        about = RAIN | {"interval": task.period.interval}
        return xr.DataArray(values, coordinates(task, members=None), name="rain", attrs=about)

    def record(self, name: str, snapshot: Snapshot) -> None:
        """Keep what a snapshot brings."""
        if snapshot.members is not None:
            for member in snapshot.members.member.values:
                self.commit(name, int(member), snapshot.members.sel(member=member).values)
        if snapshot.preview is not None:
            self.write_preview(name, snapshot.preview)


def digest(values: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()
