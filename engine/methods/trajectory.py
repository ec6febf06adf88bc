"""A coarse simulation made fine, hours that belong together, in many members (`engine.trajectories`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import xarray as xr

from engine.cards import names
from engine.fields import Evidence, Snapshot
from engine.given import evidence
from engine.methods import Draws, Method, drawn, setting
from engine.tasks import Task
from engine.values import Invalid


@dataclass(frozen=True)
class Trajectory(Method):
    """What hourly rain a coarse simulation stands for, as members whose hours follow from each other.

    **What it does.** A network has learned films of thirteen hours: rain with the humidity, wind and pressure
    that go with it, fine in space and time. Told a simulation's means over large cells and one, three or six
    hours, it draws hourly rain in fine cells that agrees with them, one film after another, each going on
    where the last one ended. So storms move and grow, sums over many hours mean what they say, and there is
    no end to how long a trajectory may be. First the simulation is given the law of the reference that the
    prior was taught, cell by cell, with the change kept that it makes between its *history* and now.

    **When to use it.** To make a coarse forecast, reanalysis or climate run fine in space and time, where
    what follows (a catchment, a sewer) needs hours that belong together. *Predictors*, the simulation's own
    humidity, wind and height, tell where within its cells rain belongs; *gauges* bend it to their reports.

    **When not.** Outside the prior's region, or for other quantities or intervals than it was taught (see its
    card). Where the simulation is the reference's own coarse rain, leave *calibrate* off: a short record's
    law is chance. With less than forty intervals of it there is no law to give, and it is taken at its word.

    **How sure.** Members differ in what is finer than the simulation. They do not know whether its weather is
    right, but for *error*. A film feels the six hours after it; what comes later it does not know.
    """

    title: ClassVar[str] = "Space-time trajectories"
    reference: ClassVar[str] = "Climate2Weather: arXiv 2412.15361"
    needs: ClassVar[tuple[str, ...]] = ("background",)
    uses: ClassVar[tuple[str, ...]] = ("predictor", "gauges", "history")

    prior: str = setting("trajectory", "What weather is like: a trained prior", choices=names("trajectory"))
    steps: int = setting(24, "Steps from noise to rain; 12 are enough for a draft", 4, 256)
    calibrate: bool = setting(True, "Give the simulation the law of the reference first")
    error: float = setting(0.1, "Error of the simulation's cells, as a share of what they say", 0.02, 2)
    gauge_error: float = setting(0.1, "Error of a gauge, as a share of what it reports", 0.01, 2)

    def run(self, task: Task, seed: int, members: Sequence[int]) -> Iterator[Snapshot]:
        # torch is loaded by whoever computes, never by the page that shows these settings
        from engine.films import prior
        from engine.trajectories import Settings, trajectories

        self.accept(task)
        yield Snapshot(0.0, "reading")
        given = self.seen(task)
        now = by_quantity(given, "background", "predictor")
        known, settings = prior(self.prior), Settings(self.calibrate, self.error, self.gauge_error)
        past, region = by_quantity(given, "history"), known.cells(task.domain)
        ready = trajectories(known, task.period, region, now, past, given.gauges, settings)
        yield Snapshot(0.02, "calibrated")

        def draws(part: Sequence[int]) -> Draws:
            return ready.draws(task.grid, seed, part, self.steps)

        yield from drawn(ready.parts(members), draws, task.grid, task.period, 0.02)

    def accept(self, task: Task) -> None:
        super().accept(task)
        if task.period.interval != "1h":
            raise Invalid(f"period.step: got {task.period.interval}; trajectories have hours, give 1h")

    def seen(self, task: Task) -> Evidence:
        """Its sources whole and in intervals of their own, as a history is: they are longer than the hours
        that are drawn, and tell a law."""
        rest = evidence(replace(task, sources=tuple(use for use in task.sources if use.role == "reference")))
        found: dict[str, dict[str, xr.DataArray]] = {}
        for use in task.sources:
            if use.role != "reference":
                whole = replace(task, sources=(replace(use, role="history"),), gauges=None)
                found.setdefault(use.role, {}).update(evidence(whole).of("history"))
        return replace(rest, fields=found)


def by_quantity(given: Evidence, *roles: str) -> dict[str, xr.DataArray]:
    known: dict[str, xr.DataArray] = {}
    for role in roles:
        for name, field in given.of(role).items():
            if (quantity := str(field.name)) in known:
                raise Invalid(f"source {name}: a second {quantity} among {' and '.join(roles)}; give one")
            known[quantity] = field
    return known
