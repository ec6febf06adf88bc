"""Quantile mapping: a source with the law of the gauges.

Where a gauge in use reports and the source is known, both give a value; together these pairs hold the
source's law and that of the gauges, for the whole domain and period. Each value of the source is replaced
by the gauges' value of the same rank (`engine.calibrate`), the share of dry hours included. Pairs only say
how often what falls: the map of the source, with all its errors of place, stays as it is. Dry values have
no order: where the source is dry too often, some of its dry cells are made wet, drawn anew every hour.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from engine import fields
from engine.bilinear import at_places, means_on_grid
from engine.calibrate import DeltaMapping
from engine.fields import Snapshot
from engine.given import evidence
from engine.methods import Method, setting
from engine.tasks import Task
from engine.values import Invalid

FEWEST_PAIRS = 20


@dataclass(frozen=True)
class QuantileMapping(Method):
    """The classical correction of a source's amounts: its values get the gauges' frequencies.

    **What it does.** It compares the source with the gauges in use, all places and hours together, and
    replaces every value of the source by the value that is as rare among the gauges. Too much drizzle
    becomes dry, shy extremes are raised. Of several backgrounds it takes the mean first.

    **When to use it.** As the reference for whatever claims to correct amounts; for a source that sees the
    right places with the wrong numbers; where gauges are few and far apart.

    **When not.** It moves nothing: a shower in the wrong valley stays there, now with the right strength.
    A gauge in use does not pull the map around it. With few pairs the tail is theirs alone. A source that
    is dry too often gets its missing rain at random, in cells that it has dry.
    """

    title: ClassVar[str] = "Quantile mapping"
    reference: ClassVar[str] = "Panofsky and Brier 1968; Gudmundsson et al. 2012, 10.5194/hess-16-3383-2012"
    needs: ClassVar[tuple[str, ...]] = ("gauges", "background")
    uses: ClassVar[tuple[str, ...]] = ()
    most_members: ClassVar[int] = 1

    threshold: float = setting(0.1, "Rain (mm/h) below which it is dry", 0.001, 5)
    largest: float = setting(
        5.0, "Factor beyond which no value is raised: a faulty gauge must not make the tail", 1, 100
    )

    def run(self, task: Task, seed: int, members: Sequence[int]) -> Iterator[Snapshot]:
        self.accept(task)
        yield Snapshot(0.0, "reading")
        seen = evidence(task)
        assert seen.gauges is not None
        grid, times, gauges = seen.grid, seen.period.times, seen.gauges
        values = np.empty((1, len(times), *grid.shape), np.float32)
        there = np.empty(gauges.values.shape)
        for hour, read in enumerate(means_on_grid(seen.of("background").values(), grid)):
            values[0, hour] = read
            there[:, hour] = at_places(values[0, hour], grid, gauges.lat, gauges.lon)
            yield Snapshot(0.3 * (hour + 1) / len(times), "reading")
        both = np.isfinite(there) & np.isfinite(gauges.values)
        if both.sum() < FEWEST_PAIRS:
            raise Invalid(
                f"method {task.method}: the gauges in use and the background have {both.sum()} values in "
                f"common; it needs {FEWEST_PAIRS}"
            )
        law = DeltaMapping.fit(gauges.values[both][:, None], there[both][:, None], trace=self.threshold)
        for hour, rates in enumerate(values[0]):
            mapped = law.map(rates.reshape(-1, 1), seed=2 + hour).reshape(grid.shape)
            rates[:] = np.minimum(mapped, self.largest * np.maximum(rates, self.threshold))
            yield Snapshot(0.3 + 0.69 * (hour + 1) / len(times), f"hour {hour + 1} of {len(times)}")
        rain = fields.rain(values, times, grid.lat, grid.lon, interval=seen.period.interval)
        yield Snapshot(1.0, "done", members=rain)
