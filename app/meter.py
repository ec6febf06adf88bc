"""A run's progress on standard error: a bar with the time left on a terminal, a line a tenth elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.runner import Runner
    from engine.runs import Run, Store

LOOK = 0.1  # s


def follow(store: Store, runner: Runner, begin: Callable[[], Run]) -> tuple[Run, bool]:
    """Show a run until it ends; Ctrl-C cancels it. The run as it ended, and whether it was stopped so."""
    try:
        asked, meter, stopped = begin(), Meter(), False
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
