"""Kill -9 in mid-run: members lost, results changed, time to recover, and how fast a cancel works.

A server with its engine process runs kriging with 64 members. At a random moment the server or the
engine process is killed. Every member that the journal had acknowledged must still be there, bit for
bit, and the run, resumed, must end in the same bits as one that nobody disturbed.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from engine.runner import Runner
from engine.runs import Store
from engine.tasks import Task

ROOT = Path(__file__).resolve().parents[2]
TASK = {
    "domain": [108, 26, 118, 36],
    "step": 0.25,
    "period": {"start": "2020-07-01T00:00", "end": "2020-07-02T00:00"},
    "sources": ["front/satellite"],
    "gauges": "front/gauges",
    "method": "kriging",
    "members": 64,
}
SERVER = """
import sys, time
from engine.runner import Runner
from engine.runs import Store
store = Store(sys.argv[1])
runner = Runner(store)
runner.resume(sys.argv[2])
while (run := store.get(sys.argv[2])).state in ("queued", "running"):
    process = runner._lanes[0]._process
    print(process.pid if process else 0, run.done, flush=True)
    time.sleep(0.02)
runner.close()
"""


def run(case: str | None, quick: bool) -> list[dict]:
    kills = 6 if quick else 100
    chance = random.Random(7)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        truth, seconds = undisturbed(store)
        tally = disturbed(store, truth, kills, lambda: chance.uniform(0.2, 1.05) * seconds, chance)
        latencies = cancels(store, 3 if quick else 40, chance)
        store.close()
    rows = [
        ("kills of the server", tally["server"], "1"),
        ("kills of the engine process", tally["worker"], "1"),
        ("runs of 64 members ended after kills", tally["runs"], "1"),
        ("committed members at the kills", tally["committed"], "1"),
        ("committed members lost", tally["lost"], "1"),
        ("members bit-equal after resume", tally["equal"] / max(1, tally["compared"]), "share"),
    ]
    named = [{"metric": name, "value": value, "n": kills, "unit": unit} for name, value, unit in rows]
    named.append(spread("time to the first new member after a kill", tally["recovery"]))
    named.append(spread("cancel, asked to ended", latencies))
    return [{"case": "front", "method": "kriging"} | row for row in named]


def spread(name: str, seconds: list[float]) -> dict:
    """Median with the 95th percentile as `high`."""
    low, middle, high = np.quantile(seconds, [0.05, 0.5, 0.95]) if seconds else (np.nan,) * 3
    return {
        "metric": name,
        "value": float(middle),
        "low": float(low),
        "high": float(high),
        "n": len(seconds),
        "unit": "s (5, 50, 95%)",
    }


def undisturbed(store: Store) -> tuple[dict[int, str], float]:
    """The bits that every run must end in, and how long an undisturbed one works."""
    runner = Runner(store)
    name = runner.submit(Task.of(TASK), fresh=True).id
    while store.get(name).under_way:
        time.sleep(0.05)
    runner.close()
    if store.get(name).state != "done":
        raise RuntimeError(store.get(name).error)
    run = store.get(name)
    assert run.started
    assert run.finished
    return store.finished(name), (run.finished - run.started).total_seconds()


def fresh(store: Store) -> str:
    """A run that waits for a server."""
    task = Task.of(TASK)
    return store.add(task, task.hash, {}, {}, state="interrupted").id


def disturbed(
    store: Store, truth: dict[int, str], kills: int, delay: Callable[[], float], chance: random.Random
) -> dict:
    tally: dict = dict.fromkeys(("server", "worker", "runs", "committed", "lost", "equal", "compared"), 0)
    tally["recovery"] = []
    name = fresh(store)
    while tally["server"] + tally["worker"] < kills:
        store.sweep()
        if store.get(name).state == "done":
            compare(store, name, truth, tally)
            name = fresh(store)
        disturb(store, name, tally, delay(), chance.choice(("server", "worker")))
    finish(store, name)
    compare(store, name, truth, tally)
    return tally


def serve(store: Store, name: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SERVER, str(store.root), name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def disturb(store: Store, name: str, tally: dict, delay: float, target: str) -> None:
    """Start a server, let it work for a while, and kill it or its engine process."""
    had, begun = len(store.finished(name)), time.monotonic()
    server, moment, waiting = serve(store, name), None, True
    assert server.stdout
    for line in server.stdout:
        worker, done = (int(word) for word in line.split())
        if done > had and waiting:
            tally["recovery"].append(time.monotonic() - begun)
            waiting = False
        moment = moment or (time.monotonic() + delay if worker else None)
        if moment and time.monotonic() >= moment:
            break
    else:
        server.wait()
        return  # it ended before its moment came
    acknowledged = store.finished(name)
    os.kill(server.pid if target == "server" else worker, signal.SIGKILL)
    tally[target] += 1
    if target == "worker":  # the server starts another one, goes on and ends the run
        for _ in server.stdout:
            pass
    server.wait()
    server.stdout.close()
    tally["committed"] += len(acknowledged)
    now, broken = store.finished(name), set(store.verify(name))
    tally["lost"] += sum(
        member not in now or member in broken or now[member] != told for member, told in acknowledged.items()
    )


def finish(store: Store, name: str) -> None:
    server = serve(store, name)
    server.communicate()


def compare(store: Store, name: str, truth: dict[int, str], tally: dict) -> None:
    found, broken = store.finished(name), store.verify(name)
    tally["runs"] += 1
    tally["compared"] += len(truth)
    tally["equal"] += sum(
        found.get(member) == told and member not in broken for member, told in truth.items()
    )


def cancels(store: Store, count: int, chance: random.Random) -> list[float]:
    """Cancel runs of the whole embedded case at random moments."""
    whole = TASK | {
        "domain": [100, 20, 125, 45],
        "step": 0.1,
        "period": {"start": "2020-07-01T00:00", "end": "2020-07-02T00:00"},
    }
    runner, seconds = Runner(store), []
    for seed in range(count):
        name = runner.submit(Task.of(whole | {"seed": seed}), fresh=True).id
        until = time.monotonic() + chance.uniform(0.5, 4)
        while store.get(name).state == "queued" or time.monotonic() < until:
            time.sleep(0.01)
        asked = time.monotonic()
        runner.cancel(name)
        while store.get(name).under_way:
            time.sleep(0.002)
        seconds.append(time.monotonic() - asked)
    runner.close()
    return seconds
