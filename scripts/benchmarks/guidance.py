"""Posterior sampling against exact answers: guidance modes and samplers on a Gaussian prior.

A 48 x 48 field with a red spectrum, some of its cells gauged with an error of 0.1: mean and covariance of
the posterior are known in closed form. For each share of gauged cells, and for block means alone and with
gauges, several truths are drawn, and an ensemble is sampled for each. Reported are the RMSE of the
ensemble's mean against the exact posterior mean's (both against the truth, at cells without a gauge; an
ensemble of M members adds 1/(2M) by itself, which is taken off), the variance against the exact one, in all
cells and in what is observed, and the share of values that are no number. ``case`` picks a mode.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import torch

from engine.denoise import Dense, Gaussian, Waves
from engine.evidence import Normal, Seen, together
from engine.guide import MODES, Diverged, Posterior
from engine.noise import HIGHEST, Streams, karras
from engine.observe import Areas, Gather, Linear, cells, overlaps
from engine.sample import ito, last, start
from engine.values import Invalid

SIDE, NOISE, LENGTH = 48, 0.1, 4.0
SHARES = (0.02, 0.1, 0.2, 0.5)
SETS = (*(f"gauges {share:.0%}" for share in SHARES), "block means", "gauges 2% and block means")


def climate() -> Gaussian:
    ky = torch.fft.fftfreq(SIDE, dtype=torch.float64)[:, None]
    kx = torch.fft.fftfreq(SIDE, dtype=torch.float64)
    power = (1 + (2 * torch.pi * LENGTH) ** 2 * (ky**2 + kx**2)) ** -2.0
    return Gaussian(torch.zeros(SIDE, SIDE, dtype=torch.float64), Waves(power / power.mean()))


def operators(name: str, generator: torch.Generator) -> list[Linear]:
    found: list[Linear] = []
    if "gauges" in name:
        share = float(name.split()[1].rstrip("%")) / 100
        found.append(cells((torch.rand(SIDE, SIDE, generator=generator) < share).numpy()))
    if "block" in name:
        edges = overlaps(np.arange(SIDE + 1.0), np.arange(0.0, SIDE + 1, 4))
        found.append(Areas(edges, edges))
    return found


class World(NamedTuple):
    """A truth, what was seen of it, and the exact answer."""

    truth: torch.Tensor
    seen: Seen
    matrix: torch.Tensor
    free: torch.Tensor  # cells without a gauge
    mean: torch.Tensor
    variance: float  # of a cell, on average
    seen_variance: float  # of what is observed


@functools.lru_cache(maxsize=12)
def world(name: str, number: int) -> World:
    prior, generator = climate(), torch.Generator().manual_seed(number)
    truth = prior.draw(torch.randn(1, SIDE, SIDE, generator=generator, dtype=torch.float64))
    parts, rows, free = [], [], torch.ones(SIDE, SIDE, dtype=torch.bool)
    for operator in operators(name, generator):
        clean = operator(truth)[0]
        heard = clean + NOISE * torch.randn(clean.shape, generator=generator, dtype=torch.float64)
        parts.append(Seen(operator, Normal(heard, NOISE)))
        rows.append(operator(torch.eye(SIDE**2, dtype=torch.float64).reshape(-1, SIDE, SIDE)).T)
        if isinstance(operator, Gather):
            free.view(-1)[operator.index.flatten()] = False
    matrix, seen = torch.cat(rows), together(*parts)
    error = NOISE**2 * torch.eye(len(matrix), dtype=torch.float64)
    exact = prior.posterior(matrix, error, seen.law.observed)
    basis = exact.basis
    assert isinstance(basis, Dense)
    variance = float((basis.vectors**2 @ basis.values).mean())
    in_sight = float(((matrix @ basis.vectors) ** 2 @ basis.values).mean())
    return World(truth, seen, matrix, free, exact.mean, variance, in_sight)


def one(name: str, mode: str, steps: int, number: int, members: int) -> dict[str, float]:
    """One truth: sums that are averaged over truths."""
    here, prior, streams = world(name, number), climate(), Streams(number, range(members))
    guided = Posterior(prior, here.seen, prior, mode, rounds=50 if mode == "mmps" else 2)
    try:
        draws = last(ito(guided, start(streams, (SIDE, SIDE), HIGHEST, prior), karras(steps), streams))
    except Diverged:
        return {"diverged": 1.0}
    error, best = (draws.mean(0) - here.truth[0])[here.free], (here.mean - here.truth[0])[here.free]
    return {
        "square": float(error.square().mean() - draws.var(0)[here.free].mean() / members),
        "best": float(best.square().mean()),
        "variance": float(draws.var(0).mean()) / here.variance,
        "seen": float((draws.flatten(1) @ here.matrix.T).var(0).mean()) / here.seen_variance,
    }


def run(case: str | None, quick: bool) -> list[dict]:
    if case and case not in MODES:
        raise Invalid(f"guidance: no mode {case!r}; give one of {', '.join(MODES)}")
    every = ("hybrid", "climate", "detached", "mmps", "sda", "dps", "replacement")
    modes = (case,) if case else every[: 3 if quick else None]
    truths, rows = 2 if quick else 12, []
    for name in SETS[:3] if quick else SETS:
        for mode in modes:
            if mode == "replacement" and "block" in name:
                continue
            for steps in (18, 32):
                rows += of_mode(name, mode, steps, truths)
    return rows


def of_mode(name: str, mode: str, steps: int, truths: int) -> list[dict]:
    found = [one(name, mode, steps, number, 32) for number in range(truths)]
    good = [each for each in found if "diverged" not in each]
    about = {"case": name, "method": f"{mode}, {steps} steps", "n": truths, "unit": "1"}
    rows = [about | {"metric": "truths on which it diverged, and said so", "value": len(found) - len(good)}]
    if good:
        ratio = np.sqrt(np.sum([each["square"] for each in good]) / np.sum([each["best"] for each in good]))
        rows.append(about | {"metric": "RMSE of the mean / exact", "value": float(ratio)})
        for key, metric in (("variance", "variance / exact"), ("seen", "variance of what is seen / exact")):
            values = np.array([each[key] for each in good])
            half = 1.96 * values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
            low, high = values.mean() - half, values.mean() + half
            rows.append(about | {"metric": metric, "value": values.mean(), "low": low, "high": high})
    return rows
