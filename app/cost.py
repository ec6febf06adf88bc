"""What a task costs: seconds, as the latest runs of its method tell, and memory; and what would fit.

A result is single precision, members x times x cells. It is written member by member, so a large one does
not stop a run; but whoever opens it whole needs the memory, and a result beyond that of this machine is
told beforehand, with what would fit.
"""

from __future__ import annotations

import math
import os

from app import store
from engine.tasks import Task

BYTES = 4  # a number of single precision
SHARE = 0.5  # of the machine's memory that a result may take


def seconds(task: Task) -> float | None:
    """How long a task may take, by the largest of the latest runs of its method: in a small one the start
    weighs too much. None without one."""
    known = [
        (size(each.task), (each.finished - each.started).total_seconds())
        for each in store.runs()
        if each.state == "done" and each.task.method == task.method and each.started and each.finished
    ]
    largest, took = max(known[:10], default=(0, 0.0))
    return max(3.0, took * size(task) / largest) if largest else None


def size(task: Task) -> int:
    """How many numbers a task makes."""
    rows, columns = task.grid.shape
    return rows * columns * len(task.period.times) * task.members


def memory(task: Task) -> int:
    """Bytes of the result, opened whole."""
    return BYTES * size(task)


def room() -> float:
    """Bytes that a result may take here; no end where the machine does not say."""
    if not hasattr(os, "sysconf"):
        return math.inf
    return SHARE * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def fitting(task: Task, within: float) -> tuple[int, int]:
    """Members, or hours of all members, that fit within so many bytes; 0 where not even one does."""
    members = int(within // (memory(task) / task.members))
    times = int(within // (memory(task) / len(task.period.times)))
    return members, times
