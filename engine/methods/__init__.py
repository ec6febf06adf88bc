"""Methods: from a task and a seed to an ensemble. One file a method; a new file is a new method.

A method is a frozen dataclass. Its fields are its settings, each with a text and bounds (`setting`);
its docstring is its page in the application; `run` yields `Snapshot`s. The file's existence registers
it, its fields draw its controls, and the contract tests find it.

A member's noise depends on the seed and the member's number alone: more members never change the first
ones, and a resumed run equals an unbroken one, bit for bit. So `run` takes the members that are wanted,
and computes each by itself.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib
import inspect
import math
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from engine import fields
from engine.cards import card
from engine.fields import Evidence, Grid, Period, Snapshot
from engine.given import evidence
from engine.tasks import MOST_MEMBERS, Task
from engine.values import Invalid, number, whole

__all__ = ["Method", "drawn", "method", "methods", "of_steps", "setting", "settings_of", "stage_of"]


@dataclass(frozen=True)
class Method(ABC):
    """From a task and a seed to an ensemble."""

    title: ClassVar[str]
    reference: ClassVar[str]
    needs: ClassVar[tuple[str, ...]]  # what must be in the task: "gauges", "background", ...
    uses: ClassVar[tuple[str, ...]]  # what it can use besides
    most_members: ClassVar[int] = MOST_MEMBERS  # 1 where there is no randomness

    @abstractmethod
    def run(self, task: Task, seed: int, members: Sequence[int]) -> Iterator[Snapshot]:
        """Yield snapshots of growing progress; the last has progress 1.

        Steps are short (well under half a second each), for a cancel is seen between two of them.
        """

    def seen(self, task: Task) -> Evidence:
        """What it may see of a task; what cannot be read is refused."""
        return evidence(task)

    def __post_init__(self) -> None:
        for each in dataclasses.fields(self):
            object.__setattr__(self, each.name, _checked(each, getattr(self, each.name)))

    def accept(self, task: Task) -> None:
        """Refuse, in one line, a task that this method cannot do."""
        given = {use.role for use in task.sources} | ({"gauges"} if task.gauges else set())
        for need in self.needs:
            if need not in given:
                raise Invalid(f"method {task.method}: needs {need}; add it to the task")
        if task.members > self.most_members:
            raise Invalid(
                f"members: got {task.members}; {task.method} gives {self.most_members}, set members: 1"
            )


def setting(
    default: Any, doc: str, low: float = -math.inf, high: float = math.inf, choices: tuple = ()
) -> Any:
    """A field of a method: its default, one sentence that explains it, and what values would do."""
    about = {"doc": doc, "low": low, "high": high, "choices": choices}
    return dataclasses.field(default=default, metadata=about)


def stage_of(members: Sequence[int]) -> str:
    """What a snapshot says while these are drawn together."""
    first, last = members[0] + 1, members[-1] + 1
    return f"members {first} to {last}" if len(members) > 1 else f"member {first}"


Draws = Iterator[tuple[float, np.ndarray | None]]  # how far some members are, at last with their rain


def drawn(
    parts: Sequence[Sequence[int]],
    draws: Callable[[Sequence[int]], Draws],
    grid: Grid,
    period: Period,
    begun: float,
) -> Iterator[Snapshot]:
    """Members in groups that are drawn one after another, once a share of all work is done."""
    for done, part in enumerate(parts):
        for share, rain in draws(part):
            progress = begun + (1 - begun) * (done + share) / len(parts)
            if rain is None:
                yield Snapshot(min(progress, 0.999), stage_of(part))
                continue
            made = fields.rain(rain, period.times, grid.lat, grid.lon, interval=period.interval)
            yield Snapshot(progress, stage_of(part), members=made.assign_coords(member=list(part)))


def of_steps(task: Task, prior: str) -> None:
    """Refuse a task of other steps than a prior was taught."""
    if task.period.interval != (taught := card(prior)["run"]["interval"]):
        raise Invalid(f"period.step: got {task.period.interval}; prior {prior} was taught means of {taught}")


def _checked(each: dataclasses.Field, value: Any) -> Any:
    about, name = each.metadata, f"settings.{each.name}"
    if about["choices"]:
        if value not in about["choices"]:
            raise Invalid(f"{name}: got {value!r}; give one of {', '.join(map(str, about['choices']))}")
        return value
    if isinstance(each.default, bool):
        if not isinstance(value, bool):
            raise Invalid(f"{name}: got {value!r}; give true or false")
        return value
    if isinstance(each.default, int):
        return whole(name, value, int(about["low"]), int(about["high"]))
    return number(name, value, about["low"], about["high"])


@functools.cache
def methods() -> Mapping[str, type[Method]]:
    """Every method of this folder by the name of its file."""
    found: dict[str, type[Method]] = {}
    for each in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{each.name}")
        for _, cls in inspect.getmembers(module, inspect.isclass):
            if issubclass(cls, Method) and cls.__module__ == module.__name__:
                found[each.name] = cls
    return found


def settings_of(cls: type[Method]) -> list[dict[str, Any]]:
    """Name, default, text and bounds of every setting, in order: what draws the controls."""
    return [{"name": each.name, "default": each.default, **each.metadata} for each in dataclasses.fields(cls)]


def method(name: str, settings: Mapping[str, Any] | None = None) -> Method:
    """A method by its name, with its settings checked."""
    if name not in methods():
        near = difflib.get_close_matches(name, methods(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(methods())}"
        raise Invalid(f"method: no {name!r}; {hint}")
    cls = methods()[name]
    known = [each["name"] for each in settings_of(cls)]
    for key in settings or {}:
        if key not in known:
            raise Invalid(f"settings.{key}: {name} has no such setting; it has {', '.join(known)}")
    return cls(**(settings or {}))
