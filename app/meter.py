"""Progress on standard error. Of a run: a bar with the time left on a terminal, a line a tenth elsewhere.
Of a source that takes long to read: for how long it has been read."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.runner import Runner
    from engine.runs import Run, Store

LOOK = 0.1  # s
PATIENCE = 5.0  # s


def follow(store: Store, runner: Runner, begin: Callable[[], Run]) -> tuple[Run, bool]:
    """Show a run until it ends; Ctrl-C cancels it. The run as it ended, and whether it was stopped so."""
    try:
        with waiting("its sources"):
            asked = begin()
        meter, stopped = Meter(), False
        while (now := store.get(asked.id)).under_way:
            try:
                meter.show(now)
                time.sleep(LOOK)
                store.sweep()  # it may be another process that works on it, and that may have died
            except KeyboardInterrupt:
                if stopped:
                    raise
                stopped = True
                runner.cancel(asked.id)
        meter.end(now, already=asked.state == "done")
        return now, stopped
    finally:
        runner.close()


@contextlib.contextmanager
def waiting(what: str) -> Iterator[None]:
    """Say every few seconds what is waited for."""
    begun, over, live = time.monotonic(), threading.Event(), sys.stderr.isatty()
    start, end = ("\r\033[K", "") if live else ("", "\n")

    def tell() -> None:
        while not over.wait(PATIENCE):
            text = f"reading {what}, for {time.monotonic() - begun:.0f} s"
            print(f"{start}{text}", end=end, file=sys.stderr, flush=True)

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()
        print(start, end="", file=sys.stderr, flush=True)


class Meter:
    """The bar, or the lines."""

    def __init__(self) -> None:
        self.live, self.tenth, self.begun = sys.stderr.isatty(), -1, time.monotonic()

    def show(self, run: Run) -> None:
        left = "" if run.eta is None else f", {run.eta:.0f} s left"
        told = f"{run.progress:4.0%}  {run.done} of {run.task.members} members{left}  {run.stage}"
        if self.live:
            filled = round(30 * run.progress)
            print(f"\r\033[K{run.id}  [{'=' * filled:<30}] {told}", end="", file=sys.stderr, flush=True)
        elif int(run.progress * 10) != self.tenth:
            self.tenth = int(run.progress * 10)
            print(f"{run.id}  {told}", file=sys.stderr, flush=True)

    def end(self, run: Run, already: bool) -> None:
        start = "\r\033[K" if self.live else ""
        how = "already computed" if already else f"{run.state} in {time.monotonic() - self.begun:.1f} s"
        kept = f"{run.done} of {run.task.members} members" + (f": {run.error}" if run.error else "")
        print(f"{start}{run.id}  {how}, {kept}", file=sys.stderr)
