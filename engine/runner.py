"""The runner: who works on runs, and when. Jobs belong to the process, never to a page or a session.

A `Runner` has one lane a device: a background thread with a warm engine process (`engine.worker`) that
loads what it needs once and keeps it. The thread waits for the process, writes its progress into the
journal, passes a cancel on within a twentieth of a second, kills a process that does not listen, and
starts a new one in its place. So a run that is cancelled gives its memory back, and one that crashes
takes nobody down. A process that dies is tried twice more; bad input never is.

Nothing here knows torch. Whoever wants to know how a run goes asks the store.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import logging
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import filelock

from engine import fingerprint
from engine.given import absolute
from engine.journal import Owner, Run
from engine.methods import method
from engine.runs import Store
from engine.sources import digest
from engine.tasks import Task

LOOK = 0.05  # s between two looks at the cancel flag
PATIENCE = 2.0  # s that a process has to obey a cancel before it is killed
ATTEMPTS = 3
REPORT = 0.2  # s between two entries of progress


def devices() -> list[str]:
    """One lane for each GPU that this process may use, else one for the processor."""
    allowed, found = os.environ.get("CUDA_VISIBLE_DEVICES"), Path("/proc/driver/nvidia/gpus")
    if allowed is not None:
        return [each.strip() for each in allowed.split(",") if each.strip()] or ["cpu"]
    return [str(number) for number in range(len(list(found.iterdir())))] if found.is_dir() else ["cpu"]


def key_of(task: Task) -> tuple[str, dict[str, str], dict[str, str]]:
    """What decides a result: the task, the content of its sources, the engine; and the versions below it."""
    names = [use.name for use in task.sources if use.role != "reference"]
    names += [task.gauges.source] if task.gauges else []
    inputs = {name: digest(name) for name in sorted(set(names))} | {"engine": fingerprint()}
    packages = ("rainloom", "numpy", "scipy", "xarray", "zarr", "torch")
    versions = {name: metadata.version(name) for name in packages} | {"python": sys.version.split()[0]}
    told = json.dumps([task.hash, inputs, versions], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest(), inputs, versions


class Runner:
    """Works on the runs of a store for as long as this process lives."""

    def __init__(self, store: Store, origin: str = "page", lanes: Sequence[str] | None = None) -> None:
        self.store, self.origin = store, origin
        self._owner = Owner(store)
        self._line: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        store.sweep()
        self._lanes = [Lane(self, device) for device in lanes or devices()]
        atexit.register(self.close)

    def submit(self, task: Task, *, fresh: bool = False) -> Run:
        """Ask for a task. What was computed before is found again; what was broken off goes on."""
        self.store.discard()
        chosen = method(task.method, task.settings)
        chosen.accept(task)
        task = absolute(task)
        key, inputs, versions = key_of(task)
        chosen.seen(task)  # a missing hour or an empty domain is told now, not after a wait
        with filelock.FileLock(self.store.root / "submit.lock"):  # two clicks are one run
            known = None if fresh else self.store.find(key)
            if known:
                return self.resume(known.id)
            run = self.store.add(task, key, inputs, versions, owner=self._owner.name, origin=self.origin)
        self._line.put(run.id)
        return run

    def resume(self, name: str) -> Run:
        """Compute what a run still lacks."""
        self.store.sweep()
        run = self.store.get(name)
        if run.under_way or (run.state == "done" and self.store.intact(run.id)):
            return run
        self.store.queue(run.id, self._owner.name, self.origin)
        self._line.put(run.id)
        return self.store.get(run.id)

    def resume_interrupted(self) -> list[Run]:
        """Take up the runs that a server of the same kind left when it died."""
        left = [run for run in self.store.runs() if run.state == "interrupted" and run.origin == self.origin]
        return [self.resume(run.id) for run in reversed(left)]

    def cancel(self, name: str) -> None:
        self.store.ask_cancel(self.store.get(name).id)

    def close(self) -> None:
        """Stop every lane; what is under way is interrupted and can be resumed."""
        if self._closing.is_set():
            return
        self._closing.set()
        atexit.unregister(self.close)
        for _ in self._lanes:
            self._line.put(None)
        for lane in self._lanes:
            lane.join()
        self._owner.close()
        self.store.sweep()


class Lane(threading.Thread):
    """One device, one thread, one warm engine process."""

    def __init__(self, runner: Runner, device: str) -> None:
        super().__init__(name=f"lane {device}", daemon=True)
        self.runner, self.store, self.device = runner, runner.store, device
        self._process: subprocess.Popen[str] | None = None
        self._said: queue.SimpleQueue[dict | None] = queue.SimpleQueue()
        self.start()

    def run(self) -> None:
        try:
            while (name := self.runner._line.get()) is not None and not self.runner._closing.is_set():
                try:
                    self._work(name)
                except Exception as error:  # a full disk, say: this run fails, the lane goes on
                    logging.getLogger("rainloom").exception("run %s", name)
                    self._end_process()
                    with contextlib.suppress(Exception):
                        why = f"{type(error).__name__}: {error}".splitlines()[0]
                        self.store.update(name, state="failed", error=why, finished=time.time(), eta=None)
        finally:
            self._end_process()

    def _work(self, name: str) -> None:
        run = self.store.get(name)
        if run.state != "queued" or run.owner != self.runner._owner.name:
            return
        self.store.update(name, state="running", started=time.time(), stage="", attempts=run.attempts + 1)
        state, error = self._follow(name)
        if state == "lost" and self.runner._closing.is_set():
            state, error = "interrupted", ""
        if state == "lost" and run.attempts + 1 < ATTEMPTS:
            self.store.update(name, state="queued", stage="starting again", error=error)
            self.runner._line.put(name)
            return
        state = {"lost": "failed"}.get(state, state)
        ended = {"progress": 1.0} if state == "done" else {}
        self.store.update(name, state=state, error=error, finished=time.time(), eta=None, stage="", **ended)

    def _follow(self, name: str) -> tuple[str, str]:
        """Have the process do a run, and listen to it until the run ends, one way or another."""
        self._tell({"run": name})
        asked, reported = 0.0, 0.0
        while True:
            try:
                status = self._said.get(timeout=LOOK)
            except queue.Empty:
                status = {}
            if status is None:
                code = self._end_process()
                return ("cancelled", "") if asked else ("lost", f"the engine process died (exit {code})")
            if "end" in status:
                return status["end"], status["error"]
            now = time.monotonic()
            if "progress" in status and now - reported > REPORT:
                self.store.update(name, **{each: status[each] for each in ("progress", "stage", "eta")})
                reported = now
            if self.runner._closing.is_set():
                self._end_process()
                return ("cancelled" if asked else "interrupted"), ""
            if asked and now - asked > PATIENCE:
                self._end_process()
                return "cancelled", ""
            if not asked and self.store.get(name).cancel:
                self._tell({"cancel": True})
                asked = now

    def _tell(self, order: dict) -> None:
        if self._process is None or self._process.poll() is not None:
            self._process = self._start_process()
        with contextlib.suppress(BrokenPipeError):  # then `_said` brings the end
            assert self._process.stdin
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()

    def _start_process(self) -> subprocess.Popen[str]:
        environment = dict(os.environ)
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 2) - 1)))
        environment["CUDA_VISIBLE_DEVICES"] = "" if self.device == "cpu" else self.device
        with (self.store.root / "engine.log").open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "engine.worker", str(self.store.root)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
                cwd=Path(__file__).resolve().parents[1],
                start_new_session=True,  # Ctrl-C in a terminal is for us to pass on
            )
        self._said = queue.SimpleQueue()
        threading.Thread(target=_listen, args=(process, self._said), daemon=True).start()
        return process

    def _end_process(self) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        process.kill()
        code = process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError, ValueError):
                assert pipe
                pipe.close()
        return code


def _listen(process: subprocess.Popen[str], said: queue.SimpleQueue) -> None:
    """Pass on what a process says; at its end, None."""
    assert process.stdout
    with contextlib.suppress(ValueError):  # closed under our hands
        for line in process.stdout:
            said.put(json.loads(line))
    said.put(None)
