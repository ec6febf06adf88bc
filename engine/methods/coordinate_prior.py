"""A trained prior of rain, and what was seen: samples of what may have fallen (`engine.posteriors`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from engine.cards import names
from engine.fields import Snapshot
from engine.given import evidence
from engine.methods import Draws, Method, drawn, setting
from engine.tasks import Task


@dataclass(frozen=True)
class CoordinatePrior(Method):
    """A generative prior of rain fields, bent to whatever was seen: gauges, maps, both, or nothing.

    **What it does.** A network has learned from many hours what fields of rain look like, at any resolution
    within its range. Given gauges, maps or both it draws members that look like rain *and* agree with what
    was seen, within its errors: it corrects bias, downscales, fills gaps and fuses, all in the same way.
    What a map is worth is learned from the gauges in use; several maps at once are weighed.

    **When to use it.** Where shape matters: lines, cores and gaps between gauges. Where gauges are few and
    distance weights or Gaussian fields are too smooth. For ensembles that feed a model downstream.

    **When not.** Far from what the prior was taught (its card says what that was): snow, other climates,
    other resolutions. Where there are no gauges, a map's bias stays. Hours are drawn independently: sums over
    many hours are too certain.

    **How it is done.** What a Gaussian with the prior's climate makes of all that was seen, a mean and a
    spread at each cell, is told to the network, which has learned what rain there may be under such a sketch.

    **How sure.** Members differ where nothing was seen. *As published* is the method of the reference, for
    comparison: it knows no errors of gauges and starts from the background.
    """

    title: ClassVar[str] = "Coordinate-based diffusion prior"
    reference: ClassVar[str] = "PRIMER: Sun et al. 2025, 10.1038/s41467-025-67987-9"
    needs: ClassVar[tuple[str, ...]] = ()
    uses: ClassVar[tuple[str, ...]] = ("gauges", "background")

    prior: str = setting("radar", "What rain looks like: a trained prior", choices=names("coordinate_prior"))
    mode: str = setting(
        "posterior",
        "Evidence with errors of its own; or as published: from the background, gauges put in their place",
        choices=("posterior", "as published"),
    )
    steps: int = setting(24, "Steps from noise to rain; 12 are enough for a draft", 4, 256)
    gauge_error: float = setting(0.1, "Error of a gauge, as a share of what it reports", 0.01, 2)
    tau: float = setting(
        0.6, "As published: how far the background is noised, from 0 (kept) to 1 (forgotten)", 0.05, 0.95
    )

    def run(self, task: Task, seed: int, members: Sequence[int]) -> Iterator[Snapshot]:
        # torch is loaded by whoever computes, never by the page that shows these settings
        from engine.posteriors import posteriors
        from engine.priors import prior

        self.accept(task)
        yield Snapshot(0.0, "reading")
        given = evidence(task)
        ready = yield from posteriors(prior(self.prior), given, self.gauge_error)
        tau = self.tau if self.mode == "as published" else None

        def draws(part: Sequence[int]) -> Draws:
            return ready.draws(seed, part, self.steps, tau)

        yield from drawn(ready.parts(members), draws, given.grid, given.period, 0.08)
