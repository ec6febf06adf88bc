"""A climate simulation's rain, made anew from its circulation and refined (`engine.downscaled`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import xarray as xr

from engine.cards import names
from engine.fields import Snapshot
from engine.given import evidence
from engine.methods import Draws, Method, drawn, of_steps, setting
from engine.tasks import Role, Task
from engine.values import Invalid


@dataclass(frozen=True)
class ClimateDownscaling(Method):
    """What rain a climate simulation should have made of its circulation, on a finer grid, in many members.

    **What it does.** Simulations know the air better than the rain. A regression says which rain goes with
    their humidity, wind and pressure on coarse cells; quantile mapping gives all of these, and the rain, the
    law of the reference that the prior was taught, cell by cell, with the change kept that the simulation
    makes between its *history* and now; and a diffusion refines what comes of it, having learned how coarse
    rain looks in detail. Scales at which the rain's map is too smooth are hidden from it by noise, and made
    anew. How much noise that takes the spectra tell; the setting *noise* multiplies it.

    **When to use it.** For climate runs, which are never paired with the weather: only their statistics can
    agree. For other years of a run, a warmer one, or another simulation, without training anew.

    **When not.** Outside the prior's region, or with other quantities than it was taught (see its card). With
    no *history* of the same simulation nothing tells its errors from a changed climate: it then gets the
    reference's law as it is. Where it warms, give its own rain as *background*, now and in its history: the
    change of rain is taken from there; the regression alone exaggerates it. And keep the *mass*: the
    diffusion pulls rain that it never saw back to its own climate. Intervals are independent.

    **How sure.** Members differ in what is finer than the simulation, or hidden from it. They do not know
    whether the simulation's large scales, or its change, are right.
    """

    title: ClassVar[str] = "Downscaling of climate simulations"
    reference: ClassVar[str] = "Aich et al. 2025, arXiv 2504.00307"
    needs: ClassVar[tuple[str, ...]] = ("predictor",)
    uses: ClassVar[tuple[str, ...]] = ("background", "history")

    prior: str = setting(
        "climate", "What was learned: the reference and its region", choices=names("climate_downscaling")
    )
    noise: float = setting(
        1.0, "Noise on what the diffusion is told: 1 as the spectra tell, 0 none, more makes more anew", 0, 2
    )
    steps: int = setting(18, "Steps from noise to rain; 12 are enough for a draft", 4, 256)
    mass: bool = setting(False, "Members keep the mean of every coarse cell")

    def run(self, task: Task, seed: int, members: Sequence[int]) -> Iterator[Snapshot]:
        # torch is loaded by whoever computes, never by the page that shows these settings
        from engine.downscaled import downscaled
        from engine.downscaler import prior
        from engine.overlap import onto

        self.accept(task)
        yield Snapshot(0.0, "reading")
        own, past = whole(task, "background", "predictor"), whole(task, "history")
        ready = yield from downscaled(prior(self.prior), task.domain, own, past)
        ready = ready.at(task.period.times)

        def draws(part: Sequence[int]) -> Draws:
            for share, rain in ready.draws(seed, part, self.steps, self.noise, self.mass):
                yield share, None if rain is None else onto(task.grid, ready.grid, rain)

        yield from drawn(ready.parts(members), draws, task.grid, task.period, 0.06)

    def accept(self, task: Task) -> None:
        super().accept(task)
        of_steps(task, self.prior)


def whole(task: Task, *roles: Role) -> dict[str, xr.DataArray]:
    """All that the sources in these roles hold, whatever the task's period, by quantity."""
    uses = tuple(replace(use, role="history") for use in task.sources if use.role in roles)
    found = evidence(replace(task, sources=uses, gauges=None)).of("history")
    known: dict[str, xr.DataArray] = {}
    for name, field in found.items():
        if (quantity := str(field.name)) in known:
            raise Invalid(f"source {name}: a second {quantity} among {' and '.join(roles)}; give one")
        known[quantity] = field
    return known
