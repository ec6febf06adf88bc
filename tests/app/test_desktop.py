"""The page in its own window, with a pretended browser: opened on the server's address, ended with it."""

from __future__ import annotations

import argparse
import sys
import urllib.error
import urllib.request

import pytest

from app import desktop

FAKE = """#!{python}
import sys, urllib.request
given = dict(each.lstrip("-").split("=", 1) for each in sys.argv[1:] if "=" in each)
with urllib.request.urlopen(given["app"], timeout=60) as page:
    found = b"Rainloom" in page.read()
open({told!r}, "w").write(given["app"] + " " + str(found) + " " + given["user-data-dir"])
sys.exit({code})
"""


def pretend(tmp_path, monkeypatch, code: int = 0):
    """A browser that fetches the page once and is closed."""
    told, program = tmp_path / "told", tmp_path / "browser"
    program.write_text(FAKE.format(python=sys.executable, told=str(told), code=code))
    program.chmod(0o755)
    monkeypatch.setenv("RAINLOOM_CHROMIUM", str(program))
    monkeypatch.setattr(desktop.importlib.util, "find_spec", lambda _name: None)
    return told


@pytest.mark.skipif(sys.platform == "win32", reason="the pretended browser is a script")
def test_the_window_shows_the_page_and_the_server_ends_with_it(home, tmp_path, monkeypatch):
    told = pretend(tmp_path, monkeypatch)
    assert desktop.desktop(argparse.Namespace(port=None)) == 0
    address, found, profile = told.read_text().split()
    assert address.startswith("http://127.0.0.1:")
    assert found == "True"
    assert profile.startswith(str(home))
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address, timeout=5)
    assert not list(home.glob("window-*"))


def test_without_a_browser_there_is_no_window(home, monkeypatch):
    monkeypatch.delenv("RAINLOOM_CHROMIUM", raising=False)
    monkeypatch.setattr(desktop.shutil, "which", lambda _name: None)
    monkeypatch.setattr(desktop, "PLACES", ())
    assert desktop.browser() is None
    assert not desktop.windowed("http://127.0.0.1:1/app")


def test_a_browser_that_does_not_start_is_no_window(home, monkeypatch, tmp_path):
    home.mkdir()
    monkeypatch.setenv("RAINLOOM_CHROMIUM", str(tmp_path / "gone"))
    assert not desktop.windowed("http://127.0.0.1:1/app")


def test_a_server_that_does_not_start_is_one_line(home):
    from engine.values import Invalid

    with pytest.raises(Invalid, match=r"^desktop: the server did not start"), desktop.served(99999):
        pass
