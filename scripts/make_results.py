"""Compute the results that come with the project: `assets/results/NAME.nc`.

``python scripts/make_results.py [NAME ...]`` runs shipped tasks through the ordinary runner, in a folder of
their own, and packs each finished ensemble into one small file (`engine.shipped` says how). The page opens
them without computing. Two minutes each on two cores; a result that changes needs a new name.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

import environment  # noqa: E402

if __name__ == "__main__":
    environment.enter()

from engine.fields import Box, Period  # noqa: E402
from engine.runner import Runner  # noqa: E402
from engine.runs import Store  # noqa: E402
from engine.shipped import FOLDER, pack  # noqa: E402
from engine.tasks import Task  # noqa: E402
from engine.values import instant  # noqa: E402


def shipped(name: str) -> Task:
    return Task.of_yaml((ROOT / "assets" / "tasks" / f"{name}.yaml").read_text(encoding="utf-8"))


def tasks() -> dict[str, Task]:
    """The tasks by the names of their results. The front is cut to its wettest hours, where a prior and
    kriging see the same sources and the same gauges."""
    part = {
        "domain": Box(106, 25, 118, 35),
        "period": Period(instant("start", "2020-07-02T00:00"), instant("end", "2020-07-02T08:00")),
    }
    prior = replace(shipped("front-prior"), **part)
    kriged = replace(
        shipped("front-kriging"),
        title="The simulated front, kriged",
        sources=prior.sources,
        gauges=prior.gauges,
        **part,
    )
    return {"front-prior": prior, "front-kriging": kriged, "warmer-climate": shipped("climate")}


def make(name: str, task: Task) -> None:
    store = Store()
    runner = Runner(store, "command")
    try:
        run = runner.submit(task)
        while (run := store.get(run.id)).under_way:
            time.sleep(1)
            print(f"\r{name}: {run.progress:.0%}, {run.stage}   ", end="", file=sys.stderr, flush=True)
        if run.state != "done":
            raise SystemExit(f"{name}: {run.state}, {run.error}")
        target = FOLDER / f"{name}.nc"
        pack(store, run, target)
        print(f"\n{target}: {target.stat().st_size / 1e6:.2f} MB", flush=True)
    finally:
        runner.close()
        store.close()


def main() -> None:
    wanted = tasks()
    parse = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parse.add_argument("names", nargs="*", help=f"of {', '.join(wanted)}; all of them, if none is named")
    names = parse.parse_args().names or list(wanted)
    if unknown := set(names) - set(wanted):
        parse.error(f"no result {unknown.pop()!r}; there are {', '.join(wanted)}")
    for name in names:
        with tempfile.TemporaryDirectory() as home:
            os.environ["RAINLOOM_HOME"] = home
            make(name, wanted[name])


if __name__ == "__main__":
    main()
