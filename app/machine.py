"""What this machine is, and what is installed on it: for the card on the first screen.

Nothing here is measured or loaded: the system is asked, packages say their versions, and a prior's card is
read without its weights. All of it takes some milliseconds.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pandas as pd

from engine import cards
from engine.runner import devices
from engine.values import instant

PACKAGES = ("rainloom", "torch", "numpy", "panel")


@dataclass(frozen=True)
class Machine:
    """``memory`` in GB; no graphics: everything is computed on the processor."""

    processor: str
    cores: int
    memory: float | None
    graphics: tuple[str, ...]
    versions: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Taught:
    """A trained prior and what it was taught on: so many hours from then to then, or so many worlds."""

    name: str
    method: str
    title: str
    count: int
    first: pd.Timestamp | None = None
    last: pd.Timestamp | None = None


def machine() -> Machine:
    versions = (("python", platform.python_version()), *((name, metadata.version(name)) for name in PACKAGES))
    graphics = () if devices() == ["cpu"] else tuple(_graphics(each) for each in devices())
    return Machine(_processor(), os.cpu_count() or 1, _memory(), graphics, versions)


def _processor() -> str:
    told = Path("/proc/cpuinfo")
    if told.exists():
        for line in told.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    return platform.processor() or platform.machine()


def _memory() -> float | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (AttributeError, ValueError, OSError):  # Windows knows no sysconf
        return None


def _graphics(number: str) -> str:
    """The name of a device by its number, as its driver tells it; else the number."""
    folders = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    if number.isdigit() and int(number) < len(folders):
        for line in folders[int(number)].read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("Model:"):
                return line.partition(":")[2].strip()
    return number


def priors() -> list[Taught]:
    """Every prior that says what it was taught on; one whose card cannot be read is not offered."""
    found = []
    for name in cards.shelf():
        try:
            card = cards.card(name)
            run, learned = card["run"], card["learned"]
            about = (name, str(run["system"]), str(run.get("title", name)))
        except (ValueError, KeyError):
            continue
        if learned and isinstance(learned[0], dict):
            times = [instant(end, each[end]) for each in learned for end in ("first", "last")]
            found.append(Taught(*about, max(each["count"] for each in learned), min(times), max(times)))
        else:
            found.append(Taught(*about, len(learned)))
    return found
