"""``rainloom desktop``: the same page in a window of its own; the server ends when the window is closed.

The window is pywebview's if that is installed, else that of a Chromium, Chrome or Edge that shows nothing but
the page, with a profile of its own: so it is a process that ends with its window and touches nobody's tabs.
Without any of them the page opens in the browser of the system, and Ctrl-C ends the server. The server is a
process beside this one, because a window may want the main thread for itself.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import webbrowser
from collections.abc import Iterator
from pathlib import Path

from engine import home
from engine.values import Invalid

NAMES = (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge",
    "microsoft-edge",
)  # fmt: skip
PLACES = (  # where macOS and Windows keep them
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
)
WIDTH, HEIGHT = 1440, 900
BRIEF = 3.0  # s; a browser that ends sooner, and not well, has shown nothing
TEXT = "open the page in a window of its own; the server ends with it"


def arguments(one: argparse.ArgumentParser) -> None:
    one.add_argument("--port", type=int, help="port of its server (default: 5006, or the next free one)")


def desktop(options: argparse.Namespace) -> int:
    """Serve, open a window, and stop serving when it is closed."""
    with served(options.port) as (server, address):
        try:
            if not (framed(address) or windowed(address)):
                webbrowser.open(address)
                print("no Chrome, Chromium, Edge or pywebview: opened in a tab; Ctrl-C ends it", flush=True)
                server.wait()
        except KeyboardInterrupt:
            return 130
    return 0


@contextlib.contextmanager
def served(port: int | None) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server and its address; interrupted at the end as Ctrl-C would, so that runs are kept."""
    command = [sys.executable, "-m", "app", "serve", *([f"--port={port}"] if port is not None else [])]
    place, here = Path(__file__).resolve().parents[1], os.environ | {"RAINLOOM_HOME": str(home().resolve())}
    server = subprocess.Popen(command, cwd=place, env=here, stdout=subprocess.PIPE, text=True)
    assert server.stdout
    try:
        said = server.stdout.readline()
        if "http" not in said:
            raise Invalid("desktop: the server did not start; the line above says why")
        print(said, end="", flush=True)
        yield server, said.partition(" at ")[2].split()[0]
    finally:
        with contextlib.suppress(OSError, ValueError):
            server.terminate() if os.name == "nt" else server.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(15)
        server.kill()
        server.wait()
        server.stdout.close()


def framed(address: str) -> bool:
    """In pywebview's window, until it is closed. False where it is not installed."""
    if importlib.util.find_spec("webview") is None:
        return False
    webview = importlib.import_module("webview")
    webview.create_window("Rainloom", address, width=WIDTH, height=HEIGHT)
    webview.start()
    return True


def browser() -> str | None:
    """A browser that can show a page as a window: the one that ``RAINLOOM_CHROMIUM`` names, else any."""
    on_path = next(filter(None, map(shutil.which, NAMES)), None)
    found = on_path or next((each for each in PLACES if Path(each).is_file()), None)
    return os.environ.get("RAINLOOM_CHROMIUM") or found


def windowed(address: str) -> bool:
    """In a browser's window, until it is closed. False where there is none, or it would not start."""
    program = browser()
    if program is None:
        return False
    with tempfile.TemporaryDirectory(prefix="window-", dir=home(), ignore_cleanup_errors=True) as profile:
        options = [f"--app={address}", f"--user-data-dir={profile}", f"--window-size={WIDTH},{HEIGHT}"]
        options += ["--no-first-run", "--no-default-browser-check"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            options.append("--no-sandbox")  # its sandbox refuses root
        begun, quiet = time.monotonic(), subprocess.DEVNULL
        try:
            ended = subprocess.run([program, *options], stdout=quiet, stderr=quiet, check=False)
        except OSError:
            return False
    return ended.returncode == 0 or time.monotonic() - begun > BRIEF
