"""The hostile-input proof: whatever is wrong with a file, it is told, and nothing else happens.

A child opens all of `malformed` with 500 MB of memory beyond its own and five seconds of the processor for
each, as the system enforces them. It must live, write nothing outside its home, and answer each in time."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.engine.malformed import KINDS, Malformed, made, spoilt

pytest.importorskip("rasterio")
pytest.importorskip("resource")
ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 60.0  # s of the wall, for a machine that is busy; the processor's five are the system's to count


class Reader:
    """A child that reports on one path after the other; another one is started where it died."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.child: subprocess.Popen[bytes] | None = None

    def __call__(self, path: Path) -> dict[str, Any]:
        if self.child is None or self.child.poll() is not None:
            self.child = self.start()
            assert self.answer() == b"ready\n"
        assert self.child.stdin
        self.child.stdin.write(json.dumps(str(path)).encode() + b"\n")
        self.child.stdin.flush()
        line = self.answer()
        return json.loads(line) if line else {"raised": f"it hung, or the process ended: {self.child.poll()}"}

    def answer(self) -> bytes:
        assert self.child
        assert self.child.stdout
        if select.select([self.child.stdout], [], [], DEADLINE)[0]:
            return self.child.stdout.readline()
        self.end()
        return b""

    def start(self) -> subprocess.Popen[bytes]:
        place = self.folder / f"home{len(list(self.folder.iterdir()))}"
        place.mkdir()
        named = {
            "HOME": str(place),
            "RAINLOOM_HOME": str(place),
            "TMPDIR": str(place),
            "OMP_NUM_THREADS": "1",
        }
        return subprocess.Popen(
            [sys.executable, "-B", "-m", "tests.engine.malformed", str(place)],
            cwd=ROOT,
            env=os.environ | named,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def end(self) -> None:
        if self.child:
            self.child.kill()
            self.child.communicate()


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for inside, _, names in os.walk(folder):
        for name in names:
            about = os.lstat(os.path.join(inside, name))
            found[os.path.join(inside, name)] = about.st_size, about.st_mtime_ns
    return found


pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limits are those of Linux")


def test_whatever_is_wrong_is_told_in_time_and_in_bounds(tmp_path):
    (tmp_path / "watched").mkdir()
    inputs = made(tmp_path / "watched")
    assert len(inputs) >= 200
    assert len(KINDS) >= 20
    borne(tmp_path, inputs)


def test_spoilt_real_files_of_every_kind_are_borne(tmp_path, shared):
    (tmp_path / "watched").mkdir()
    borne(tmp_path, spoilt(shared, tmp_path / "watched"))


def borne(folder: Path, inputs: list[Malformed]) -> None:
    """One child lives through them all, says what is wrong with each, and changes nothing."""
    (folder / "homes").mkdir()
    before, read, wrong = listing(folder / "watched"), Reader(folder / "homes"), []
    try:
        for each in inputs:
            if len(wrong) > 20:
                break
            if complaint := judged(each.end, read(each.path)):
                wrong.append(f"{each.kind} ({each.path.parent.name}): {complaint}")
    finally:
        read.end()
    assert not wrong, "\n".join(wrong)
    assert listing(folder / "watched") == before
    assert len(list((folder / "homes").iterdir())) == 1


def judged(end: str, answer: dict[str, Any]) -> str:
    if "raised" in answer:
        return answer["raised"]
    refused = answer["refused"]
    if refused and not (refused.isprintable() and len(refused) < 1000):
        return f"not one short line: {refused!r}"
    if end == "refused" and not refused:
        return f"was read, and {answer['told'] or 'nothing said'}"
    return "" if refused or answer["told"] or end == "borne" else "was read, and nothing said"
