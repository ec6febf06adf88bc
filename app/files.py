"""The files of a run: what they are called, where each lies once it is made, and who makes it.

A file leaves the page by HTTP (`app.delivery`), streamed from the run's own folder, where it stays for the
next who asks. It is made by a process of its own (`app.making`): packing an ensemble takes seconds and
gigabytes, and neither may be the server's. A file is named by what it was made from, so an ensemble that has
grown, or a report that was told another title, is another file.

What a person says of a run (a title, who they are, notes, which maps) goes into its reports; it lies beside
the run and is the same for every session.
"""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import yaml

from app.pictures import Shelf
from engine.runs import Store, write_safely
from engine.values import Invalid, plain_yaml

ROOT = Path(__file__).resolve().parents[1]
# What can be taken from a run, and what a browser is to take it for.
FILES = {
    "ensemble.nc": "application/x-netcdf",
    "ensemble.zarr.zip": "application/zip",
    "mean.tif": "image/tiff",
    "summary.csv": "text/csv",
    "bundle.zip": "application/zip",
    "report.html": "text/html; charset=utf-8",
    "maps.png": "image/png",
    "maps.svg": "image/svg+xml",
}
TOLD = ("report", "maps")  # files that say what a person said, in a language
LONGEST = {"title": 200, "author": 200, "notes": 4000, "time": 40}

_makers = ThreadPoolExecutor(2, "files")  # a bundle need not wait for a report
_asked = Shelf(_makers, 64)


@dataclass(frozen=True)
class Said:
    """What a person says of a run. ``time`` is the hour of the maps; empty for the whole period."""

    title: str = ""
    author: str = ""
    notes: str = ""
    time: str = ""

    @property
    def digest(self) -> str:
        return hashlib.sha256(repr(dataclasses.astuple(self)).encode()).hexdigest()[:8]


def said(store: Store, run: str) -> Said:
    try:
        told = plain_yaml((store.folder(run) / "said.yaml").read_text(encoding="utf-8"), "said")
        return Said(**{name: str(told[name]) for name in LONGEST if name in told})
    except (OSError, Invalid, TypeError):
        return Said()


def say(store: Store, run: str, what: Said) -> None:
    told = {name: getattr(what, name)[:most] for name, most in LONGEST.items()}
    text = yaml.safe_dump(told, allow_unicode=True)
    write_safely(store.folder(run) / "said.yaml", text.encode())


def place(store: Store, run: str, name: str, language: str = "en") -> Path:
    """Where a file of a run lies, or will lie."""
    found = store.get(run)
    if run != found.id or name not in FILES:
        raise Invalid(f"files: run {run} has no {name}; there are {', '.join(FILES)}")
    if not found.done:
        raise Invalid(f"run {found.id}: no member is finished yet")
    made_from = f"{found.done}"
    if name.partition(".")[0] in TOLD:
        made_from += f"-{language}-{said(store, run).digest}"
    return store.folder(run) / "files" / made_from / name


def prepared(
    store: Store, run: str, name: str, language: str = "en"
) -> tuple[Path | None, Future[Path] | None]:
    """The file if it is there, else a future to wait for. What cannot be made is refused in one line."""
    path = place(store, run, name, language)
    if path.exists():
        return path, None
    return None, _asked.fetch((path, "made"), lambda: _made(store, run, name, language))


def _made(store: Store, run: str, name: str, language: str) -> Path:
    command = [sys.executable, "-m", "app.making", str(store.root), run, name, language]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    if made.returncode:
        last = (made.stderr.strip().splitlines() or [f"exit {made.returncode}"])[-1]
        raise Invalid(f"files: {name} of {run} could not be made: {last}")
    return Path(made.stdout.strip())
