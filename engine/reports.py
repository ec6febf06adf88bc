"""The reports of a task's gauges on the latent side: what they said, where on the grid, and how surely.

A wet report stands at the score of its amount (`engine.transforms.NormalScore`), with an error that follows
from its share of the amount and from the smallest amount that a gauge can tell. A dry one stands at the score
of no rain, which it is only known to be below.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from engine.climate import apart
from engine.evidence import Seen
from engine.fields import Grid, Observations
from engine.laws import Normal
from engine.observe import Gather, points
from engine.readings import Hour, Readings
from engine.signed import halfway
from engine.transforms import NormalScore

SMALLEST = 0.02  # mm/h, below which a report is dry, and which it cannot tell from nothing


@dataclass(frozen=True)
class Reports:
    """(site, time), missing as NaN."""

    latent: np.ndarray
    dry: np.ndarray
    error: np.ndarray  # standard deviation
    gauges: Observations
    place: Gather
    away: np.ndarray  # km between sites
    score: NormalScore

    @classmethod
    def of(cls, gauges: Observations, grid: Grid, score: NormalScore, share: float) -> Reports:
        """The slope of the score brings a report's error to the latent side."""
        rain, missing = torch.from_numpy(np.nan_to_num(gauges.values)).double(), np.isnan(gauges.values)
        dry = (rain < SMALLEST).numpy() & ~missing
        wide = torch.hypot(share * rain, torch.tensor(SMALLEST).double())
        low, high = (score.forward(each).numpy() for each in ((rain - wide).clamp(min=0), rain + wide))
        latent = np.where(missing, np.nan, np.where(dry, score.dry, score.forward(rain).numpy()))
        place, away = points(grid, gauges.lat, gauges.lon), apart(gauges.lat, gauges.lon)
        return cls(latent, dry, (high - low) / 2, gauges, place, away, score)

    def hour(self, number: int) -> Hour:
        there = np.isfinite(self.latent[:, number])
        told = Readings(self.place, *(each[:, number] for each in (self.latent, self.error, self.dry)))
        return Hour(told, self.away).part(there)

    @property
    def hours(self) -> list[Hour]:
        return [self.hour(number) for number in range(self.latent.shape[1])]

    def overwriting(self, number: int) -> Seen:
        """The field of each report as it is: where it is dry, of a place halfway to the nearest wet one."""
        latent, dry = self.latent[:, number], self.dry[:, number]
        there = np.isfinite(latent)
        to_rain = halfway((~dry & there)[:, None], self.away)[:, 0]
        value = np.where(dry, self.score.forward(torch.from_numpy(to_rain)).numpy(), latent)[there]
        law = Normal(torch.from_numpy(value).float(), torch.ones(len(value)))
        return Seen(self.hour(number).readings.place, law)
