"""A satellite's rain corrected by what is usually missing in it, and made finer (`engine.residuals`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from engine import fields
from engine.cards import names
from engine.fields import Snapshot
from engine.given import evidence
from engine.methods import Method, setting, stage_of
from engine.tasks import Task


@dataclass(frozen=True)
class ResidualCorrection(Method):
    """What a satellite usually misses, drawn and added: first on its own cells, then on finer ones.

    **What it does.** A network has learned from hours that both saw how a radar's rain differs from what a
    satellite shows at about 10 km. Told a map, it draws such a difference and adds it. Where the task asks
    for cells finer than that, a second network, told the corrected map, draws what lies between its cells,
    down to 2 km. Both draw anew for every member.

    **When to use it.** For a satellite like the one that the prior has learned from (its card says which),
    where there are no gauges; for members at 2 km that keep the rain of 10 km.

    **When not.** It knows its own satellite's errors and no others: what another one does wrong it leaves,
    or makes worse. Gauges say nothing to it: use *coordinate_prior* where there are some. The shipped prior
    knows hourly rain only. Hours are drawn independently: sums over many hours are too certain.

    **What it is given.** Of several backgrounds their mean. Where one is missing, so is the result; what the
    networks cannot see there they take from the nearest known cell.

    **The shipped prior** *satellite* has two days of real radar over the United States behind it, and a
    *simulated* satellite: the radar's own means with made-up errors of place, amount and detection.

    **Patents.** Two applications, US 2026/0120247 and US 2026/0120434 (status unknown), concern the
    correction of satellite rain by residuals. Look into them before any commercial use.
    """

    title: ClassVar[str] = "Residual correction and downscaling"
    reference: ClassVar[str] = "PrecipDiff: Dai and Ushijima-Mwesigwa 2025, arXiv 2501.07447"
    needs: ClassVar[tuple[str, ...]] = ("background",)
    uses: ClassVar[tuple[str, ...]] = ()

    prior: str = setting(
        "satellite", "What a satellite misses: a trained prior", choices=names("residual_correction")
    )
    steps: int = setting(16, "Steps from noise to rain, on either cells; 8 are enough for a draft", 4, 256)

    def run(self, task: Task, seed: int, members: Sequence[int]) -> Iterator[Snapshot]:
        # torch is loaded by whoever computes, never by the page that shows these settings
        from engine.residuals import Lattice, chain, noise_of

        self.accept(task)
        yield Snapshot(0.0, "reading")
        seen, known = evidence(task), chain(self.prior)
        times, grid = seen.period.times, seen.grid
        sources = list(seen.of("background").values())
        lattice = Lattice(grid, known.step, known.factor)
        parts = lattice.parts(members)
        for number, part in enumerate(parts):
            stage = stage_of(part)
            values = np.empty((len(part), len(times), *grid.shape), np.float32)
            for hour, time in enumerate(times):
                told = lattice.told(sources, time)
                noise = noise_of(seed, time, part)
                for share, rain in known.draws(told, noise, self.steps, lattice.stages):
                    done = (number + (hour + share) / len(times)) / len(parts)
                    yield Snapshot(min(done, 0.999), stage)
                    if rain is not None:
                        values[:, hour] = lattice.to_grid(rain, np.isnan(told))
            made = fields.rain(values, times, grid.lat, grid.lon, interval=seen.period.interval)
            made = made.assign_coords(member=list(part))
            yield Snapshot((number + 1) / len(parts), stage, members=made)
