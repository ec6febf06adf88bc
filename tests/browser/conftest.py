"""A real server and a real browser: the server on a free port of the loopback, the browser without a network.

The browser is the one that ``RAINLOOM_CHROMIUM`` names, else a Chromium or Chrome of the system; without any
the tests are skipped and say so. A page fails its test if it asks for anything off this machine, or if a
script in it fails.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import wait

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")


@pytest.fixture(scope="session")
def chromium() -> str:
    found = os.environ.get("RAINLOOM_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if not found:
        pytest.skip("no browser: install Chromium or set RAINLOOM_CHROMIUM to one")
    return found


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=1):
            return True
    except OSError:
        return False


@pytest.fixture
def server(small: str, home: Path, tmp_path: Path) -> Iterator[str]:
    """The address of `panel serve app`, with the small world among its cases."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["-m", "panel", "serve", "app", "--port", str(port), "--address", "127.0.0.1", "--warm"]
    command += ["--allow-websocket-origin", f"127.0.0.1:{port}"]
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            stdout=log,
            stderr=log,
            env=os.environ | {"RAINLOOM_HOME": str(home)},
        )
        try:
            address = f"http://127.0.0.1:{port}"
            wait(
                lambda: (
                    process.poll() is not None
                    or answers(f"{address}/favicon.ico")
                    or answers(f"{address}/static/js/bokeh.min.js")
                )
            )
            assert process.poll() is None, (tmp_path / "server.log").read_text()
            yield f"{address}/app"
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(15)


@pytest.fixture
def browser(chromium: str):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tool:
        started = tool.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield started
        started.close()


@pytest.fixture
def page(browser, server: str):
    """A page that is watched: what it asks for, and whether a script in it fails."""
    opened = browser.new_page(viewport={"width": 1440, "height": 900})
    opened.set_default_timeout(30_000)
    strangers, errors = [], []
    host = server.rpartition("/")[0]
    near = (host, host.replace("http", "ws", 1), "data:", "blob:", "about:")
    opened.on("request", lambda asked: None if asked.url.startswith(near) else strangers.append(asked.url))
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    opened.close()
    assert strangers == []
    assert errors == []
