"""Samplers on an exact Gaussian prior, ours and azula's: variance, order of convergence, evaluations, time.

The prior is the red 48 x 48 field of ``guidance``, its denoiser is exact, and all start from the same exact
fields at the highest noise and walk down nearly the same clock, even in ln sigma. So whatever differs is the
sampler's error. Each gets the same number of evaluations of the denoiser (a sampler of two a step takes half
the steps). Variances are over those of the prior, in all and in the shortest waves (a quarter of the cells'
Nyquist wavenumber and beyond it), with 95% intervals over members.

The flow has an exact answer for each member: its start with every wave shrunk from sqrt(S + high^2) to
sqrt(S + low^2). The order is the slope of the distance to it between 16 and 128 steps, in doublings.
``case`` picks the samplers whose name contains it.
"""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
import torch
from benchmarks.guidance import SIDE, climate
from torch import Tensor

from engine.denoise import Denoiser, Gaussian, Level
from engine.noise import HIGHEST, LOWEST, Streams, karras
from engine.sample import corrected, heun, ito, multistep, start

BUDGETS, ORDERS = (18, 32, 64), (16, 128)


class Counted(Denoiser):
    """A denoiser that counts how often it is asked."""

    def __init__(self, prior: Gaussian) -> None:
        self.prior, self.count = prior, 0

    def __call__(self, x: Tensor, sigma: Level) -> Tensor:
        self.count += 1
        return self.prior(x, sigma)


class Way(NamedTuple):
    """A sampler: from a denoiser, the start and a number of steps to fields at the lowest noise."""

    sample: Callable[[Denoiser, Tensor, int], Tensor]
    evaluations: int  # a step
    flow: bool  # it follows the flow, without noise


def run(case: str | None, quick: bool) -> list[dict]:
    torch.set_num_threads(1)  # processor seconds of idle threads are no one's
    members = 32 if quick else 256
    prior, streams = climate(), Streams(0, range(members))
    ways = {name: way for name, way in (ours(streams) | azulas()).items() if not case or case in name}
    first = start(streams, (SIDE, SIDE), HIGHEST, prior)
    rows = [] if find_spec("azula") else [{"method": "azula", "metric": "not installed"}]
    for name, way in ways.items():
        for budget in BUDGETS:
            rows += spread(name, way, prior, first, budget)
        if way.flow:
            rows.append(order(name, way, prior, first))
    rows += costs(ways, prior, first, 3 if quick else 5)
    return [{"case": "red field, 48 x 48"} | row for row in rows]


def ours(streams: Streams) -> dict[str, Way]:
    def stopped(steps) -> Tensor:
        """Where the walk has reached the lowest noise; its last move only takes that off."""
        for step in steps:
            if step.sigma <= LOWEST * 1.001:
                return step.x
        raise RuntimeError("the clock does not reach the lowest noise")

    def clock(steps: int) -> Tensor:
        return karras(steps + 1)

    return {
        "heun": Way(lambda d, x, n: stopped(heun(d, x, clock(n))), 2, True),
        "multistep": Way(lambda d, x, n: stopped(multistep(d, x, clock(n))), 1, True),
        "ito": Way(lambda d, x, n: stopped(ito(d, x, clock(n), streams)), 1, False),
        "corrected": Way(lambda d, x, n: stopped(corrected(d, x, clock(n), streams)), 2, False),
    }


def azulas() -> dict[str, Way]:
    if find_spec("azula") is None:
        return {}
    from azula import sample
    from azula.denoise import Denoiser as Asked
    from azula.denoise import DiracPosterior
    from azula.noise import VESchedule

    class Lent(Asked):
        """Our denoiser as one of azula's, with its schedule over the same levels."""

        def __init__(self, denoiser: Denoiser) -> None:
            super().__init__()
            self.denoiser, self.schedule = denoiser, VESchedule(LOWEST, HIGHEST)

        def forward(self, x_t: Tensor, t: Tensor, **kwargs) -> DiracPosterior:
            return DiracPosterior(self.denoiser(x_t, self.schedule(t)[1]))

    def of(kind: Callable, evaluations: int = 1, flow: bool = True) -> Way:
        def walk(denoiser: Denoiser, x: Tensor, steps: int) -> Tensor:
            with torch.random.fork_rng(devices=[]):  # its noise is the global generator's
                torch.manual_seed(0)
                return kind(Lent(denoiser), steps=steps, silent=True, dtype=x.dtype)(x)

        return Way(walk, evaluations, flow)

    kinds = {
        "DDPM": of(sample.DDPMSampler, flow=False),
        "DDIM": of(sample.DDIMSampler),
        "Heun": of(sample.HeunSampler, 2),
        "Ito": of(sample.ItoSampler, flow=False),
        "zAB (LMS)": of(sample.zABSampler),
        "zEAB (DPM)": of(sample.zEABSampler),
        "xEAB (DPM++)": of(sample.xEABSampler),
        "REAB (DPM-v3)": of(sample.REABSampler),
        "PC": of(sample.PCSampler, 2, flow=False),
    }
    version = importlib.metadata.version("azula")
    return {f"azula {version} {name}": way for name, way in kinds.items()}


def spread(name: str, way: Way, prior: Gaussian, first: Tensor, budget: int) -> list[dict]:
    """Variances of the result over the exact ones: those of the prior, or those that the flow makes of
    these very starts, which leaves the chance of the draw out."""
    found = way.sample(prior, first, budget // way.evaluations)
    exact = (prior.basis.values + LOWEST**2).expand(len(first), SIDE, SIDE)
    wanted = power(flowed(prior, first)) if way.flow else exact
    k = torch.fft.fftfreq(SIDE, dtype=torch.float64)
    short = (k[:, None] ** 2 + k**2).sqrt() >= 0.125
    about = {"method": f"{name}, {budget} evaluations", "n": len(found)}
    rows = []
    for which, waves in (("all waves", torch.ones_like(short)), ("short waves", short)):
        mine, right = (each[:, waves].sum(1).numpy() for each in (power(found), wanted))
        ratio = mine.mean() / right.mean()
        half = 1.96 * (mine - ratio * right).std(ddof=1) / np.sqrt(len(mine)) / right.mean()
        about |= {"metric": f"variance / exact, {which}", "value": ratio, "unit": "1"}
        rows.append(about | {"low": ratio - half, "high": ratio + half})
    return rows


def power(fields: Tensor) -> Tensor:
    return torch.fft.fft2(fields).abs().square() / SIDE**2


def flowed(prior: Gaussian, first: Tensor) -> Tensor:
    """Where the flow takes these starts, exactly."""
    waves = prior.basis.values
    return prior.basis.apply(first, ((waves + LOWEST**2) / (waves + HIGHEST**2)).sqrt())


def order(name: str, way: Way, prior: Gaussian, first: Tensor) -> dict:
    first = first[:8]
    exact = flowed(prior, first)
    off = [float((way.sample(prior, first, steps) - exact).square().mean().sqrt()) for steps in ORDERS]
    value = np.log2(off[0] / off[1]) / np.log2(ORDERS[1] / ORDERS[0])
    metric = f"order, from {ORDERS[0]} to {ORDERS[1]} steps"
    return {"method": name, "metric": metric, "value": float(value), "n": len(first), "unit": "1"}


def costs(ways: dict[str, Way], prior: Gaussian, first: Tensor, repeats: int) -> list[dict]:
    """Evaluations and processor time of a step; all take turns."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    asked = Counted(prior)
    for _ in range(repeats):
        for name, way in ways.items():
            asked.count, begun, steps = 0, time.process_time(), BUDGETS[0] // way.evaluations
            way.sample(asked, first, steps)
            taken[name].append(1000 * (time.process_time() - begun) / steps)
            if asked.count != way.evaluations * steps:
                raise RuntimeError(f"{name}: {asked.count} evaluations in {steps} steps")
    rows, metric = [], f"time of a step of {len(first)} members"
    for name, spent in taken.items():
        asks = {"metric": "evaluations a step", "value": ways[name].evaluations, "unit": "1"}
        about = {"metric": metric, "value": float(np.median(spent)), "low": min(spent), "high": max(spent)}
        rows += [{"method": name} | asks, {"method": name, "n": repeats, "unit": "ms"} | about]
    return rows
