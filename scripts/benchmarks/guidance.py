"""Posterior sampling against exact answers: guidance modes, and peers, on a Gaussian prior.

A 48 x 48 field with a red spectrum, some of its cells gauged with an error of 0.1: mean and covariance of
the posterior are known in closed form. For each share of gauged cells, and for block means alone and with
gauges, several truths are drawn, and an ensemble of 32 is sampled for each. Reported are

* the RMSE of the ensemble's mean over the exact posterior mean's, both against the truth, at cells without
  a gauge; an ensemble of M members adds 1/M of its variance to the square by itself, which is taken off;
* the mean error: how far the ensemble's mean lies from the exact one, in posterior standard deviations,
  freed of the 1/M in the same way;
* the variance over the exact one, of all cells and of what is observed;
* on how many truths a method diverged.

Beside the exact prior stands a learned one: a small network, trained on draws alone to near the Bayes error
(`scripts/make_learned.py`).
``case`` picks a mode, or "learned".

Peers see the same truths, prior and number of evaluations: azula's guidance with azula's samplers, and
pykrige for the closed form itself (ordinary kriging knows no mean, so it may be a little worse).
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from importlib import metadata
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import kv

from engine.denoise import Denoiser, Gaussian, Waves
from engine.evidence import Seen, together
from engine.guide import MODES, Diverged, Posterior
from engine.laws import Normal
from engine.noise import HIGHEST, LOWEST, Streams, karras
from engine.observe import Areas, Gather, Linear, cells, overlaps
from engine.sample import ito, last, start
from engine.values import Invalid

SIDE, NOISE, LENGTH, MEMBERS = 48, 0.1, 4.0, 32
SHARES = (0.02, 0.1, 0.2, 0.5)
SETS = (*(f"gauges {share:.0%}" for share in SHARES), "block means", "gauges 10% and block means")
OTHERS = ("climate", "detached", "mmps", "sda", "dps", "replacement")


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
    variance: torch.Tensor  # of each cell
    seen_variance: float  # of what is observed, on average


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
    mean, covariance = prior.conditioned(matrix, error, seen.law.observed)
    in_sight = float(((matrix @ covariance) * matrix).sum(1).mean())
    return World(truth, seen, matrix, free, mean, covariance.diagonal().reshape(SIDE, SIDE), in_sight)


Sampled = Callable[[World, int, int], torch.Tensor]  # from a world, steps and a seed to members


def guided(mode: str, prior: Denoiser | None = None, rounds: int = 2) -> Sampled:
    def draw(here: World, steps: int, seed: int) -> torch.Tensor:
        known, streams = climate(), Streams(seed, range(MEMBERS))
        post = Posterior(prior or known, here.seen, known, mode, rounds=rounds)
        return last(ito(post, post.start(streams, HIGHEST), karras(steps), streams))

    return draw


def azula(mode: str, iterations: int) -> Sampled:
    """Azula's guidance and sampler, its noise schedule over our range."""
    from azula.denoise import Denoiser as Theirs
    from azula.denoise import DiracPosterior
    from azula.guidance.dps import DPSSampler
    from azula.guidance.mmps import MMPSDenoiser
    from azula.linalg.covariance import IsotropicCovariance
    from azula.noise import VESchedule
    from azula.sample import ItoSampler

    class Wrapped(Theirs):
        schedule = VESchedule(LOWEST, HIGHEST)

        def forward(self, x_t, t, **kwargs):
            return DiracPosterior(climate()(x_t, float(self.schedule(t)[1])))

    def draw(here: World, steps: int, seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        known, observed = climate(), here.seen.law.observed.expand(MEMBERS, -1)
        error = IsotropicCovariance(torch.tensor(NOISE**2, dtype=torch.float64))
        about = {"steps": steps, "silent": True, "dtype": torch.float64}
        if mode == "DPS":
            sampler = DPSSampler(Wrapped(), observed, here.seen.operator, **about)
        else:
            post = MMPSDenoiser(Wrapped(), observed, here.seen.operator, error, iterations=iterations)
            sampler = ItoSampler(post, **about)
        drawn = sampler(start(Streams(seed, range(MEMBERS)), (SIDE, SIDE), HIGHEST, known))
        if not torch.isfinite(drawn).all() or drawn.abs().max() > 1e3:
            raise Diverged("azula")
        return drawn

    return draw


def one(name: str, sampled: Sampled, steps: int, number: int) -> dict[str, float]:
    """One truth: sums that are averaged over truths."""
    here = world(name, number)
    try:
        draws = sampled(here, steps, number)
    except Diverged:
        return {"diverged": 1.0}
    mean, spread = draws.mean(0), draws.var(0)
    error, best = (mean - here.truth[0])[here.free], (here.mean - here.truth[0])[here.free]
    return {
        "square": float(error.square().mean() - spread[here.free].mean() / len(draws)),
        "best": float(best.square().mean()),
        "off": float((((mean - here.mean) ** 2 - spread / len(draws)) / here.variance).mean()),
        "variance": float(spread.mean() / here.variance.mean()),
        "seen": float((draws.flatten(1) @ here.matrix.T).var(0).mean()) / here.seen_variance,
    }


def of_method(name: str, method: str, sampled: Sampled, steps: int, truths: int) -> list[dict]:
    print(f"{name}: {method}, {steps} steps", file=sys.stderr, flush=True)
    found = [one(name, sampled, steps, number) for number in range(truths)]
    good = [each for each in found if "diverged" not in each]
    about = {"case": name, "method": f"{method}, {steps} steps", "n": truths, "unit": "1"}
    rows = [about | {"metric": "truths on which it diverged, and said so", "value": len(found) - len(good)}]
    if not good:
        return rows
    draws = np.random.default_rng(0).integers(len(good), size=(400, len(good)))
    sums = {key: np.array([each[key] for each in good]) for key in good[0]}
    statistics = {
        "RMSE of the mean / exact": lambda s: np.sqrt(s["square"] / s["best"]),
        "mean error / posterior sd": lambda s: np.sqrt(np.maximum(s["off"], 0)),
        "variance / exact": lambda s: s["variance"],
        "variance of what is seen / exact": lambda s: s["seen"],
    }
    for metric, of in statistics.items():
        value = of({key: values.mean() for key, values in sums.items()})
        again = of({key: values[draws].mean(1) for key, values in sums.items()})
        low, high = np.nanquantile(again, [0.025, 0.975]) if len(good) > 1 else (np.nan, np.nan)
        rows.append(about | {"metric": metric, "value": float(value), "low": float(low), "high": float(high)})
    return rows


def kriged(name: str, truths: int) -> list[dict]:
    """pykrige's ordinary kriging with the same covariance: (r/L) K_1(r/L) is that spectrum's."""
    from pykrige.ok import OrdinaryKriging

    def variogram(parameters, distance):
        scaled = np.maximum(np.asarray(distance, float) / LENGTH, 1e-9)
        return parameters[0] + 1 - scaled * kv(1, scaled)

    squares, best = [], []
    for number in range(truths):
        here = world(name, number)
        row, column = np.divmod(here.matrix.argmax(1).numpy(), SIDE)
        kriging = OrdinaryKriging(
            column,
            row,
            here.seen.law.observed.numpy(),
            "custom",
            variogram_parameters=[NOISE**2],
            variogram_function=variogram,
            exact_values=False,
        )
        mean, _ = kriging.execute("grid", np.arange(SIDE, dtype=float), np.arange(SIDE, dtype=float))
        wrong = torch.from_numpy(np.asarray(mean)) - here.truth[0]
        squares.append(float(wrong[here.free].square().mean()))
        best.append(float((here.mean - here.truth[0])[here.free].square().mean()))
    about = {"case": name, "method": f"pykrige {metadata.version('pykrige')}, ordinary kriging", "n": truths}
    ratio = float(np.sqrt(np.sum(squares) / np.sum(best)))
    return [about | {"unit": "1", "metric": "RMSE of the mean / exact", "value": ratio}]


def with_network(few: int, many: int) -> list[tuple[str, Sampled, int]]:
    from tests.engine.learned import learned

    prior = learned()
    return [
        ("hybrid, learned prior", guided("hybrid", prior), many),
        ("climate, learned prior", guided("climate", prior), few),
        ("mmps, 50 rounds, learned prior", guided("mmps", prior, rounds=50), few),
    ]


def methods(name: str, case: str | None, quick: bool) -> list[tuple[str, Sampled, int]]:
    """Name, sampler and number of truths; ours on more of them than the others."""
    few, many = (1, 2) if quick else (3, 12)
    if case == "learned":
        return with_network(few, many)
    if case:
        return [(case, guided(case, rounds=50 if case == "mmps" else 2), many)]
    found = [("hybrid", guided("hybrid"), many)]
    found += [(mode, guided(mode, rounds=3), few) for mode in OTHERS if not quick or mode == "detached"]
    version = metadata.version("azula")
    peers = [("MMPS", 1)] if quick else [("MMPS", 1), ("MMPS", 3), ("DPS", 1)]
    for mode, rounds in peers:
        label = f"azula {version} {mode}" + (f", {rounds} rounds" if mode == "MMPS" else "")
        found.append((label, azula(mode, rounds), few))
    if not quick:
        found += with_network(few, many)
    if "block" in name:
        found = [each for each in found if each[0] != "replacement"]
    return found


def run(case: str | None, quick: bool) -> list[dict]:
    if case and case not in (*MODES, "learned"):
        raise Invalid(f"guidance: no mode {case!r}; give one of {', '.join(MODES)}, or learned")
    rows = []
    for name in SETS[:2] if quick else SETS:
        for method, sampled, truths in methods(name, case, quick):
            for steps in (18, 32):
                rows += of_method(name, method, sampled, steps, truths)
        if name in SETS[:2] and not case:
            rows += kriged(name, 1 if quick else 12)
    return rows
