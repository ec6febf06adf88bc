"""Coarse rain made finer through a continuous field that is rain where it is high (`engine.pseudo`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import xarray as xr

from engine.cards import names
from engine.fields import Snapshot
from engine.given import evidence
from engine.methods import Draws, Method, drawn, of_steps, setting
from engine.quantities import RAIN, quantity_of
from engine.tasks import Task
from engine.values import Invalid

WANTED = {"background": RAIN, "predictor": "moisture_divergence"}


@dataclass(frozen=True)
class PseudoPrecipitation(Method):
    """Fine rain under coarse rain, in many members, by way of a field that has no edges.

    **What it does.** Rain stops at an edge, and beyond it all zeros are alike: hard ground for a network, and
    for any filter, which rings there. Rain and the divergence of moisture together are made one continuous
    field, *pseudo-precipitation*: rain above a threshold, below it the drier the more moisture is spread. Its
    values are those of a normal. A diffusion says which short waves go with its long ones, and the fine field
    is turned back to rain, exactly dry below the threshold.

    **When to use it.** To downscale coarse rain whose amounts are right: a good forecast, a reanalysis, a
    corrected simulation; it needs the vertically integrated divergence of moisture of the same intervals.

    **When not.** Where coarse rain is biased: members keep its bias. With intervals or cells other than the
    prior's (see its card). The sum over a coarse cell is only kept about as well as the network learned it.

    **How sure.** Members differ in what is finer than the coarse rain, which they do not doubt. Each interval
    is drawn by itself.

    **Legal note.** A patent application, US 2026/0140281 (status unknown), concerns pseudo-precipitation. Ask
    someone who knows before you use this method commercially.
    """

    title: ClassVar[str] = "Pseudo-precipitation"
    reference: ClassVar[str] = "arXiv 2412.14620"
    needs: ClassVar[tuple[str, ...]] = ("background", "predictor")
    uses: ClassVar[tuple[str, ...]] = ()

    prior: str = setting(
        "pseudo", "What was learned: fine rain under coarse rain", choices=names("pseudo_precipitation")
    )
    steps: int = setting(18, "Steps from noise to rain; 12 are enough for a draft", 4, 256)

    def run(self, task: Task, seed: int, members: Sequence[int]) -> Iterator[Snapshot]:
        # torch is loaded by whoever computes, never by the page that shows these settings
        from engine.overlap import onto
        from engine.pseudo import Refined, prior

        self.accept(task)
        yield Snapshot(0.0, "reading")
        given = evidence(task)
        rain, divergence = (only(role, given.of(role)) for role in WANTED)
        ready = Refined.of(prior(self.prior), task.domain, rain, divergence)

        def draws(part: Sequence[int]) -> Draws:
            for share, rain in ready.draws(seed, part, self.steps):
                yield share, None if rain is None else onto(given.grid, ready.grid, rain)

        yield from drawn(ready.parts(members), draws, given.grid, given.period, 0.02)

    def accept(self, task: Task) -> None:
        super().accept(task)
        of_steps(task, self.prior)


def only(role: str, given: Mapping[str, xr.DataArray]) -> xr.DataArray:
    """The one field of the role's quantity; another one of it, or of no use, is refused."""
    wanted, found = WANTED[role], {}
    for name, field in given.items():
        own = RAIN if field.name == RAIN else quantity_of(field.name)
        if own != wanted:
            raise Invalid(f"source {name}: {field.name} is no {wanted}; as {role} give {wanted}")
        found[name] = field
    if len(found) != 1:
        raise Invalid(f"{role}: got {' and '.join(found)}; give one")
    return next(iter(found.values()))
