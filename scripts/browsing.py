"""A real server and a real browser, for whoever looks at the page: figures, the benchmark of its budgets.

The server is the one that `rainloom serve` starts, in a home of its own, and it also counts how late its loop
is: every 20 ms it is asked for a beat, and what it is late by is written down. The browser is the one that
``RAINLOOM_CHROMIUM`` names, else a Chromium or Chrome of the system.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.values import Invalid

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
PATIENCE = 60.0  # s
SERVER = """
import json, sys, threading, time
from tornado.ioloop import IOLoop, PeriodicCallback
from app import serving
late, due = [], [None]

def beat():
    now = time.monotonic()
    if due[0] is not None:
        late.append(max(0.0, now - due[0]))
    due[0] = now + 0.02

def listen():
    for line in sys.stdin:
        told, late[:] = list(late), []
        print(json.dumps({"late": told}), flush=True)

threading.Thread(target=listen, daemon=True).start()
IOLoop.current().call_later(0, lambda: PeriodicCallback(beat, 20).start())
serving.serve(int(sys.argv[1]), False)
"""
# A Bokeh thing by its name, wherever it is; and what its columns hold.
NAMED = """(name) => {
  for (const each of Bokeh?.documents ?? [])
    for (const thing of each._all_models.values()) if (thing.name === name) return thing
}"""


def chromium() -> str:
    found = os.environ.get("RAINLOOM_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if not found:
        raise Invalid("browser: none found; install Chromium or set RAINLOOM_CHROMIUM to one")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2):
            return True
    except OSError:
        return False


class Server:
    """A server with a home of its own."""

    def __init__(self, home: Path) -> None:
        port = free_port()
        self.address = f"http://127.0.0.1:{port}/app"
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(port)],
            cwd=ROOT,
            env=os.environ | {"RAINLOOM_HOME": str(home)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(home / "server.log").open("w"),
            text=True,
        )
        assert self.process.stdout
        self.said = self.process.stdout.readline()  # its address, once it answers
        until = time.monotonic() + PATIENCE
        while not answers(self.address) and time.monotonic() < until:
            time.sleep(0.05)

    def late(self) -> list[float]:
        """By how much each beat of the loop was late since this was asked last, in seconds."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write("late\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())["late"]

    def megabytes(self) -> float:
        """What the server itself holds in memory."""
        told = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return int(told.split("Pss:")[1].split()[0]) / 1024

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()


@contextlib.contextmanager
def served(home: Path) -> Iterator[Server]:
    home.mkdir(parents=True, exist_ok=True)
    server = Server(home)
    try:
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tool:
        started = tool.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield started
        started.close()


def opened(browsing: Any, address: str, width: int = 1440, height: int = 900) -> Any:
    """A page that has loaded, and that remembers what it asked for elsewhere and what failed in it."""
    page = browsing.new_page(viewport={"width": width, "height": height})
    page.set_default_timeout(1000 * PATIENCE)
    page.strangers, page.failures = [], []
    host = address.partition("/app")[0]
    near = (host, host.replace("http", "ws", 1), "data:", "blob:", "about:")
    page.on("request", lambda asked: None if asked.url.startswith(near) else page.strangers.append(asked.url))
    page.on("pageerror", lambda error: page.failures.append(str(error)))
    page.goto(address)
    page.locator("#loader").wait_for(state="hidden")
    return page
