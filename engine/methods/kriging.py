"""Kriging of rain in a Gaussian space, with external drift and conditional simulation.

The latent field at place s in one hour is

    z(s) = mu + a(s) + (beta + b(s)) g(s) + r(s) + e,        rain where z > c, dry elsewhere,

with g the background's own normal score, a and b slowly varying coefficients, r the rain's own field and
e the nugget. All are Gaussian, so everything is one covariance, C = C_a + C_r + g C_b g', applied by FFT
(`engine.covariance`). With coefficients correlated over a length, kriging with external drift in *local
neighbourhoods* comes without windows, hence without seams: at every place the relation of rain and
background is that of the gauges around it, and far from any gauge it returns to the common one. An
infinite length is kriging with one global drift; without a background it is ordinary kriging with a local
mean. The means mu and beta come from a censored regression over all hours; with several backgrounds it
also joins them into one g.

Where a background is missing, g is a random field of its own there, with the background's variance.

Members are conditional simulations (`engine.conditioning`); dry gauges are censored (`engine.censored`).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import xarray as xr
from scipy import ndimage
from scipy.special import ndtr, ndtri

from engine import fields
from engine.bilinear import at_places, on_grid
from engine.censored import NormalScore, ranks, tobit
from engine.conditioning import Drift, Network, Weave
from engine.covariance import Structure, Torus
from engine.fields import Grid, Snapshot
from engine.given import evidence
from engine.methods import Method, setting
from engine.tasks import Task
from engine.variography import ROUGHEST, draw_hours, draw_pairs, fit, memory_of

GAP = 0.05  # share of the drift that is missing, from which a report does not help to fit it
DRY_KM = 40.0  # a dry cell of the background is the wetter, the more rain lies within this distance
FITTING = "fitting the covariance"
JOINING = "joining backgrounds and gauges"


@dataclass(frozen=True)
class Kriging(Method):
    """The geostatistical reference: gauges, and if given a background, spread by their covariance.

    **What it does.** Rain is turned into a Gaussian field that is cut off at zero. The covariance of that
    field (range, nugget, direction of the longest correlation, memory from hour to hour) is fitted to the
    gauges in use. Each member honours every gauge within its error, is as rough as the rain itself, and
    differs from the others where gauges are far. With a background, its relation to the gauges is fitted
    too, and is free to change slowly across the map: kriging with external drift in local neighbourhoods.

    **When to use it.** With a network of gauges of which every place has some within the range of the
    correlation; as the yardstick that a trained prior has to beat; whenever a result must be explained
    from a formula. It needs no training and no accelerator.

    **When not.** Its fields are Gaussian underneath: lines, eyes and other organised shapes come from the
    background or not at all. Hours are tied by memory in place, not by movement. Where there is neither a
    gauge nor a background, it returns to the climate of the period.

    **How sure.** A dry gauge counts as *at most the threshold*, not as zero. A gauge that contradicts its
    neighbours loses weight, as far as it contradicts them.
    """

    title: ClassVar[str] = "Kriging with external drift"
    reference: ClassVar[str] = (
        "Chiles and Delfiner 2012, Geostatistics, 10.1002/9781118136188; censored sampling: Pakman and "
        "Paninski 2014, 10.1080/10618600.2013.788448"
    )
    needs: ClassVar[tuple[str, ...]] = ("gauges",)
    uses: ClassVar[tuple[str, ...]] = ("background",)

    drift: str = setting(
        "background",
        "What the mean follows: the backgrounds given, or nothing",
        choices=("background", "none"),
    )
    neighbourhood_km: float = setting(
        500.0, "Distance (km) over which drift and mean may change; 0: the same everywhere", 0, 5000
    )
    range_km: float = setting(
        0.0, "Distance (km) at which the correlation has fallen to 1/e; 0: fitted to the gauges", 0, 3000
    )
    power: float = setting(
        0.0, "Smoothness: power of the correlation exp(-(d / range)^power), 1 exponential; 0: fitted", 0, 1.9
    )
    anisotropic: bool = setting(True, "Let the correlation reach farther in one direction")
    memory_h: float = setting(
        0.0, "Hours after which the noise has forgotten itself to 1/e; 0: fitted to the gauges", 0, 240
    )
    threshold: float = setting(0.1, "Rain (mm/h) below which a gauge counts as dry", 0.01, 5)
    speckle: float = setting(
        0.5,
        "Share of the nugget that is rain below the grid, shown in members; the rest is gauge error",
        0,
        1,
    )
    doubt: float = setting(
        4.0, "Deviations from its neighbours at which a report loses weight; 0: trust all", 0, 20
    )
    most_gauges: int = setting(1200, "Gauges used at most; of more, an even choice", 2, 3000)

    def run(self, task: Task, seed: int, members: Sequence[int]) -> Iterator[Snapshot]:
        self.accept(task)
        yield Snapshot(0.0, "reading")
        seen = evidence(task)
        assert seen.gauges is not None
        grid, times, interval = seen.grid, seen.period.times, seen.period.interval
        backgrounds = list(seen.of("background").values()) if self.drift == "background" else []
        spare = np.concatenate([each.values[:, ::9, ::9].reshape(-1) for each in backgrounds] or [()])
        network = Network.of(seen.gauges, self.threshold, self.most_gauges, spare)
        drift = None
        if backgrounds:
            drift, network = yield from joined(backgrounds, grid, network, self.threshold)
        law, memory = yield from self._fitted(grid, network, seen.period.step / np.timedelta64(1, "h"))
        weave = Weave(grid, network, drift, law, memory, self.speckle)
        yield Snapshot(0.1, "weighing the reports")

        def field(rates: np.ndarray) -> xr.DataArray:
            return fields.rain(rates, times, grid.lat, grid.lon, interval=interval)

        median = np.zeros((len(times), *grid.shape), np.float32)
        for hour in range(len(times)):
            weave.weigh(hour, self.doubt)
            yield Snapshot(0.1 + 0.15 * (hour + 0.5) / len(times), "weighing the reports")
            median[hour] = weave.median(hour)
            yield Snapshot(0.1 + 0.15 * (hour + 1) / len(times), "weighing the reports")
        yield Snapshot(0.25, "kriging median", preview=field(median))
        for count, member in enumerate(members):
            stage, rates = f"member {count + 1} of {len(members)}", np.empty_like(median)
            for hour, rain in enumerate(weave.member(seed, member)):
                rates[hour] = rain
                yield Snapshot(0.25 + 0.75 * (count + hour / len(times)) / len(members), stage)
            done = field(rates[None]).assign_coords(member=[member])
            yield Snapshot(0.25 + 0.75 * (count + 1) / len(members), stage, members=done)

    def _fitted(
        self, grid: Grid, network: Network, step_h: float
    ) -> Generator[Snapshot, None, tuple[Structure, float]]:
        """Covariance, and memory over one step, from pairs of the gauges' reports."""
        drifting, variance = bool(np.ptp(network.drift)), network.deviation**2
        law = Structure(
            sill=0.7 * variance,
            range_km=self.range_km or 120.0,
            nugget=0.05 * variance,
            level=0.2 * variance,
            slope=0.1 * variance if drifting else 0.0,
            length_km=self.neighbourhood_km or np.inf,
            power=max(self.power, ROUGHEST) if self.power else 1.2,
        )
        free = ("sill", "nugget", "level") + ("slope",) * drifting + ("p", "q") * self.anisotropic
        free += ("range_km",) * (not self.range_km) + ("power",) * (not self.power)
        east = network.lon * fields.KM_PER_DEGREE * Torus(grid, 0.0).shrink
        rng = np.random.default_rng(0)  # which pairs are looked at is part of the method, not of a member
        places = (east, network.lat * fields.KM_PER_DEGREE)
        told = np.where(network.gap < GAP, network.residual, np.nan)
        told = told if np.isfinite(told).any() else network.residual
        reports = (told, network.dry, network.drift, *places, rng)
        yield Snapshot(0.03, FITTING)
        if len(network.lat) > 2:
            pairs = draw_pairs(*reports)
            for count, better in enumerate(fit(pairs, law, network.wet_reports, free)):
                law = better
                yield Snapshot(0.03 + 0.001 * count, FITTING)
        if self.memory_h:
            return law, float(np.exp(-step_h / self.memory_h))
        return law, memory_of(draw_hours(*reports), law) if network.dry.shape[1] > 1 else 0.0


def joined(
    backgrounds: list[xr.DataArray], grid: Grid, network: Network, threshold: float
) -> Generator[Snapshot, None, tuple[Drift, Network]]:
    """One drift of all backgrounds, and the network that has met it."""
    scored, missing = [], []
    for rain in backgrounds:
        scores, unknown = yield from scored_hours(rain, grid, threshold)
        scored.append(scores)
        missing.append(unknown)
    for which in range(len(scored) * (len(scored) > 1)):
        fill(which, scored, missing)
        yield Snapshot(0.02, JOINING)
    places = (grid, network.lat, network.lon)
    sites = []
    for each in (*scored, *missing):
        sites.append(np.stack([at_places(hour, *places) for hour in each], -1))
        yield Snapshot(0.02, JOINING)
    read, gaps = np.stack(sites[: len(scored)], -1), np.stack(sites[len(scored) :], -1)
    known = np.isfinite(network.latent) & (gaps.max(-1) < GAP)
    rows = np.flatnonzero(known if known.any() else np.isfinite(network.latent))
    rows = rows[:: max(1, rows.size // 20000)]
    response, dry = network.latent.reshape(-1)[rows], network.dry.reshape(-1)[rows]
    coefficients, deviation = tobit(response, dry, read.reshape(-1, len(scored))[rows])
    share = np.abs(coefficients[1:]) / max(float(np.abs(coefficients[1:]).sum()), 1e-9)
    met = network.meeting(read @ coefficients[1:], float(coefficients[0]), deviation, gaps @ share)
    drift, gap = np.zeros(scored[0].shape, np.float32), np.zeros(scored[0].shape, np.float32)
    for each, unknown, weight, part in zip(scored, missing, coefficients[1:], share, strict=True):
        drift += np.float32(weight / met.coefficient) * each
        gap += np.float32(part) * unknown
    yield Snapshot(0.025, JOINING)
    return Drift(drift, gap if gap.any() else None, fall_km(drift[::6], grid)), met


def fill(which: int, scored: list[np.ndarray], missing: list[np.ndarray]) -> None:
    """Put the others' mean where one background is missing, as far as the two go together.

    What is left unknown of a normal score after a correlation of rho is a share sqrt(1 - rho^2) of it.
    """
    lost = missing[which] > 0
    if not lost.any() or lost.all():
        return
    others = [each for index, each in enumerate(scored) if index != which]
    mean = np.mean(others, 0)
    both = np.stack([scored[which][~lost][::50], mean[~lost][::50]])
    rho = float(np.clip(np.corrcoef(both)[0, 1], 0, 0.99)) if np.ptp(both, 1).min() > 0 else 0.0
    scored[which][lost] = rho * (both[0].std() / max(both[1].std(), 1e-6)) * mean[lost]
    missing[which][lost] = np.sqrt(1 - rho**2)


def fall_km(drift: np.ndarray, grid: Grid) -> float:
    """Distance at which a drift's correlation with itself, south to north, has fallen to 1/e."""
    off = drift - drift.mean()
    variance = float((off**2).mean()) or 1.0
    for lag in range(1, grid.shape[0] // 2):
        if (off[:, lag:] * off[:, :-lag]).mean() < variance / np.e:
            return lag * grid.step * fields.KM_PER_DEGREE
    return grid.shape[0] / 2 * grid.step * fields.KM_PER_DEGREE


def scored_hours(
    rain: xr.DataArray, grid: Grid, threshold: float
) -> Generator[Snapshot, None, tuple[np.ndarray, np.ndarray]]:
    """A background on the grid as normal scores (time, lat, lon), and where it is missing (0 or 1).

    Its dry cells are ranked by the rain around them, so that the edge of rain and the middle of a desert
    are not the same; missing cells get the mean, zero.
    """
    cells = DRY_KM / (grid.step * fields.KM_PER_DEGREE)
    score = NormalScore.of(rain.values[:, ::3, ::3], threshold)
    rates, sample = np.empty((2, rain.sizes["time"], *grid.shape), np.float32), []
    for hour, each in enumerate(rain):
        rates[0, hour] = on_grid(each, grid)
        rates[1, hour] = ndimage.gaussian_filter(np.nan_to_num(rates[0, hour]), cells, truncate=3)
        sample.append(rates[1, hour][rates[0, hour] < threshold][::25])
        yield Snapshot(0.01, JOINING)
    around, share = ranks(np.round(np.r_[0.0, *sample], 4))
    below = np.maximum(ndtri(share * ndtr(score.dry)), -2.5)
    for hour, (here, near) in enumerate(zip(*rates, strict=True)):
        scores = np.where(here < threshold, np.interp(near, around, below), score.score(here))
        rates[0, hour], rates[1, hour] = np.nan_to_num(scores, nan=0.0), np.isnan(here)
        yield Snapshot(0.015, JOINING)
    return rates[0], rates[1]
