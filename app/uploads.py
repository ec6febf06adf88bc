"""A desk for a person's own files: kept apart until they are known, then made into a case.

Whatever the browser sends is written piece by piece into a folder of this session alone, under a name made
here, and counted as it comes: what the page asks of the browser is no limit. A file is read by a process that
can do no harm (`engine.confined`); what it says becomes an `Own`, with a reason in one line where it is
refused. A refused file is deleted, unless there is something to tell that would help. A file of this machine
can be named instead of sent; it is read by the same process, and never moved.

A desk ends with its session, and its folder with it; a case under way keeps both until it is made.
"""

from __future__ import annotations

import atexit
import itertools
import re
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from app.preview import drawing
from engine import catalogue, confined, home
from engine.fields import Box
from engine.gathered import Part, Reach, place_of, slug
from engine.looks import Look
from engine.sources import existing, one_line
from engine.values import Invalid, brief

MOST_FILE, MOST_ALL, MOST_FILES = 2 * 10**9, 8 * 10**9, 1000  # bytes, bytes, files of a session
STALE = 2 * 86400  # s without a new file
ASKED = re.compile(rf"\b({'|'.join(catalogue.TOLD)})(?==)|\b(?:no|tell|tell its|give|the) (unit|stamp)\b")

_work = ThreadPoolExecutor(2, "uploads")
atexit.register(_work.shutdown, wait=False, cancel_futures=True)


@dataclass(frozen=True)
class Own:
    """A source on the desk. ``called`` is its owner's name for it, ``told`` what its reader is told."""

    number: int
    called: str
    path: Path
    names: dict[str, str] = field(default_factory=dict)  # of files on the desk, as their owner calls them
    told: dict[str, str] = field(default_factory=dict)
    role: str = ""
    reading: bool = True
    look: Look | None = None
    drawing: str = ""
    problem: str = ""

    @property
    def ready(self) -> bool:
        return self.look is not None and self.look.reach is not None and not self.problem

    def asks(self) -> list[str]:
        """What would help to read it, if it was told."""
        return list(dict.fromkeys(one or other for one, other in ASKED.findall(self.problem)))

    def said(self, text: str) -> str:
        """A line about it, with its own names."""
        for path, name in self.names.items():
            text = text.replace(path, name)
        return one_line(text.replace(str(self.path), self.called))


@dataclass
class Making:
    """A case under way. Only the worker writes ``share``, ``state`` and ``problem``."""

    name: str
    share: float = 0.0
    what: str = ""
    state: str = "running"
    problem: str = ""
    stop: threading.Event = field(default_factory=threading.Event)


class Stopped(Exception):
    """Whoever asked for a case does not want it any more."""


@dataclass
class _Coming:
    path: Path
    next: int = 1
    size: int = 0


class Desk:
    """The own files of one session."""

    def __init__(self) -> None:
        root = home() / "uploads"
        root.mkdir(parents=True, exist_ok=True)
        _sweep(root)
        self.folder = Path(tempfile.mkdtemp(dir=root, prefix="desk-"))
        self.owns: dict[int, Own] = {}
        self.making: Making | None = None
        self.coming: dict[str, _Coming] = {}
        self._arrived: list[tuple[str, Path]] = []
        self._count = self._bytes = 0
        self._numbers = itertools.count(1)
        self.close = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    # What comes

    def take(self, told: Any) -> bool:
        """Take a piece of a file; whether it was the last one. A piece of a file that was refused is passed
        over."""
        name, number, last, piece = _piece(told)
        if number == 1:
            self._begin(name)
        coming = self.coming.get(name)
        if coming is None:
            return False
        coming.size += len(piece)
        self._bytes += len(piece)
        if number != coming.next:
            self._forget(name)
            raise Invalid(f"{name}: did not come whole; send it again")
        if coming.size > MOST_FILE or self._bytes > MOST_ALL:
            self._forget(name)
            most = min(MOST_FILE, MOST_ALL) / 1e9
            raise Invalid(f"{name}: is more than the {most:g} GB taken here; name its path on this machine")
        try:
            with coming.path.open("ab") as stream:
                stream.write(piece)
        except OSError as error:
            self._forget(name)
            raise Invalid(f"{name}: cannot be kept ({error.strerror}); make room on the disk") from None
        coming.next += 1
        if number == last:
            self._arrived.append((name, self.coming.pop(name).path))
        return number == last

    def _begin(self, name: str) -> None:
        self._forget(name)
        self._count += 1
        if self._count > MOST_FILES:
            raise Invalid(f"{name}: more than {MOST_FILES} files; put them into a folder and name its path")
        ending = re.fullmatch(r"\.[A-Za-z0-9]{1,8}", Path(name).suffix)
        self.coming[name] = _Coming(self.folder / f"{self._count:05d}{ending[0] if ending else ''}")
        self.coming[name].path.touch()

    def _forget(self, name: str) -> None:
        if gone := self.coming.pop(name, None):
            gone.path.unlink(missing_ok=True)
            self._bytes -= gone.size

    def sort(self, together: bool) -> list[Future[None]]:
        """Make sources of the files that came: one each, or one of all that end alike; and look at them."""
        kinds: dict[Any, list[tuple[str, Path]]] = {}
        for name, path in self._arrived:
            kinds.setdefault(path.suffix if together else path, []).append((name, path))
        self._arrived = []
        return [self._placed(files) for files in kinds.values()]

    def _placed(self, files: Sequence[tuple[str, Path]]) -> Future[None]:
        (name, path), several = files[0], len(files) > 1
        if several:
            folder = path.with_suffix("")
            folder.mkdir()
            files = [(one, each.rename(folder / each.name)) for one, each in files]
            name, path = f"{name} + {len(files) - 1}", folder
        return self.add(Own(next(self._numbers), name, path, {str(each): one for one, each in files}))

    def named(self, text: str) -> Future[None]:
        """A path or a pattern of this machine, or a name of sources.yaml."""
        text = text.strip()
        if entry := catalogue.entry(text):
            told = {key: str(value) for key, value in entry.told.items()}
            return self.add(Own(next(self._numbers), text, existing(entry.path), told=told))
        return self.add(Own(next(self._numbers), text, existing(text).absolute()))

    # What it is

    def add(self, own: Own) -> Future[None]:
        self.owns[own.number] = replace(own, reading=True, problem="")
        return _work.submit(self._look, own.number)

    def tell(self, number: int, key: str, value: str) -> Future[None]:
        """Tell what a file does not say, or no longer, and look again."""
        own = self.owns[number]
        told = {name: text for name, text in {**own.told, key: value}.items() if text}
        return self.add(replace(own, told=told))

    def play(self, number: int, role: str) -> None:
        self.owns[number] = replace(self.owns[number], role=role)

    def drop(self, number: int) -> None:
        if (own := self.owns.pop(number, None)) and own.names:
            _delete(own.path)

    def _look(self, number: int) -> None:
        own = self.owns.get(number)
        if own is None:
            return
        seen, drawn, problem = None, "", ""
        try:
            seen = confined.looked(own.path, self.folder, **_as_told(own.told))
            problem, drawn = seen.report.refused, drawing(seen)
        except Invalid as refused:
            problem = str(refused)
        except Exception as error:  # the child's answer may be anything
            problem = f"source: {own.path} cannot be read ({type(error).__name__}); it may be damaged"
        now = self.owns.get(number)
        if now is None or now.told != own.told:  # taken away meanwhile, or told something else
            return
        done = replace(now, reading=False, look=seen, drawing=drawn, problem=own.said(problem))
        self.owns[number] = done
        if problem and seen is None and own.names and not done.asks():
            _delete(own.path)

    # What becomes of it

    def make(self, name: str, title: str, domain: str, span: tuple[str, str, str]) -> Future[None]:
        """Make a case of what is ready."""
        path = place_of(name.strip())
        if path.exists():
            raise Invalid(f"case: {name} is there already; give another name, or delete it first")
        if self.making and self.making.state == "running":
            raise Invalid("case: one is being made; wait for it, or cancel it")
        box = Box.of(domain) if domain.strip() else None
        parts = [_part(own) for own in self.owns.values() if own.ready]
        self.making = Making(name.strip())
        return _work.submit(self._make, self.making, path, parts, box, span, title.strip() or name)

    def _make(self, making: Making, path: Path, parts: Any, box: Any, span: Any, title: str) -> None:
        def heard(share: float, what: str) -> None:
            if making.stop.is_set():
                raise Stopped
            making.share, making.what = share, what

        try:
            confined.gathered(path, parts, box, span, title, heard)
            making.state = "done"
        except Stopped:
            making.state = "cancelled"
        except Exception as error:
            told = str(error) if isinstance(error, Invalid) else f"case: could not be made ({error})"
            for own in self.owns.values():
                told = own.said(told)
            making.problem, making.state = told, "failed"


_desks: weakref.WeakKeyDictionary[Any, Desk] = weakref.WeakKeyDictionary()


def desk(owner: Any) -> Desk:
    """The desk of a session, which ends with it."""
    if owner not in _desks:
        _desks[owner] = Desk()
    return _desks[owner]


def reaches(owns: Sequence[Own]) -> list[Reach]:
    return [own.look.reach for own in owns if own.look and own.look.reach]


def _part(own: Own) -> Part:
    gauges = own.look is not None and own.look.reach is not None and own.look.reach.gauges
    name = Path(own.called.partition(" + ")[0]).stem
    layer = "gauges" if gauges else slug(own.called.partition(" + ")[0])
    return Part(str(own.path), None, _as_told(own.told), own.role, layer, title=name, called=own.called)


def _as_told(told: dict[str, str]) -> dict[str, Any]:
    return catalogue.as_told([f"{key}={value}" for key, value in told.items()])


def _piece(told: Any) -> tuple[str, int, int, bytes]:
    """A piece as the browser sends it; whoever sends it may be no browser."""
    try:
        name, piece = told["name"], told["data"]
        number, last = told["chunk"], told["total_chunks"]
    except (TypeError, KeyError):
        raise Invalid("upload: got no piece of a file; send it again") from None
    sound = isinstance(name, str) and isinstance(piece, bytes | bytearray | memoryview)
    if not sound or type(number) is not int or type(last) is not int or not 0 < number <= last:
        raise Invalid(f"upload: got no piece of a file ({brief(name)}); send it again")
    return one_line(name.replace("\\", "/").rpartition("/")[2])[:120] or "?", number, last, bytes(piece)


def _delete(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _sweep(root: Path) -> None:
    """Take away what a server left that ended without a word."""
    for left in root.iterdir():
        if left.stat().st_mtime < time.time() - STALE:
            shutil.rmtree(left, ignore_errors=True)
