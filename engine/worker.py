"""The engine process: it does one run after another, stays warm, and tells how far it is.

`engine.runner` starts it as ``python -m engine.worker ROOT`` and talks to it through its pipes, a line of
JSON at a time: in ``{"run": id}`` and ``{"cancel": true}``; out ``{"ready": ...}``, ``{"progress": ...,
"stage": ..., "eta": ...}`` and at last ``{"end": state, "error": line}``. Only status travels; members go
from here to the disk. When the input ends, whoever asked is gone, and so is this process, at once: what
is committed is safe, and the rest can be computed again.

This is the process that may load torch, use all of a device, run out of memory, or be killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable

from engine.methods import method
from engine.runs import Store, write_safely
from engine.values import Invalid

Tell = Callable[..., None]


def work(store: Store, name: str, cancelled: Callable[[], bool], tell: Tell) -> str:
    """Compute what a run still lacks; the state it ends in."""
    task = store.get(name).task
    with store.claim(name):
        store.prepare(name, task)
        (store.folder(name) / "error.txt").unlink(missing_ok=True)
        if broken := store.verify(name):
            store.forget(name, broken)
        finished = store.finished(name)
        missing = [member for member in range(task.members) if member not in finished]
        share, begun = len(missing) / task.members, time.monotonic()
        steps = method(task.method, task.settings).run(task, task.seed, missing) if missing else iter(())
        for snapshot in steps:
            if cancelled():
                return "cancelled"
            store.record(name, snapshot)
            elapsed = time.monotonic() - begun
            left = elapsed * (1 / snapshot.progress - 1) if snapshot.progress > 0.01 else None
            tell(progress=1 - share + share * snapshot.progress, stage=snapshot.stage, eta=left)
        lacking = task.members - len(store.finished(name))
        if lacking:
            raise RuntimeError(f"method {task.method} ended without {lacking} of {task.members} members")
    return "done"


def attempt(store: Store, name: str, cancelled: Callable[[], bool], tell: Tell) -> dict[str, str]:
    """Work, and turn whatever happens into a state and one line."""
    try:
        return {"end": work(store, name, cancelled, tell), "error": ""}
    except Invalid as refused:
        return {"end": "failed", "error": str(refused)}
    except MemoryError:
        return {
            "end": "lost",
            "error": "out of memory; ask for a smaller domain, a coarser step or fewer hours",
        }
    except Exception as error:
        with contextlib.suppress(OSError):  # a full disk must not hide its own message
            write_safely(store.folder(name) / "error.txt", traceback.format_exc().encode())
        return {"end": "failed", "error": f"{type(error).__name__}: {error}".splitlines()[0]}


def main() -> None:
    # The pipe keeps the real standard output to itself; what libraries print goes to the log.
    pipe = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    if hasattr(os, "nice"):
        os.nice(5)  # the page comes first
    store, asked, stop = Store(sys.argv[1]), queue.SimpleQueue(), threading.Event()

    def listen() -> None:
        for line in sys.stdin:
            order = json.loads(line)
            if "run" in order:
                stop.clear()
                asked.put(order["run"])
            else:
                stop.set()
        os._exit(0)

    def tell(**status) -> None:
        pipe.write(json.dumps(status) + "\n")

    threading.Thread(target=listen, daemon=True).start()
    tell(ready=os.getpid())
    while True:
        tell(**attempt(store, asked.get(), stop.is_set, tell))


if __name__ == "__main__":
    main()
