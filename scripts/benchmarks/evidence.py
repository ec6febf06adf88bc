"""Likelihoods against exact samplers: dry gauges, faulty gauges, a dry-or-wet prior, rain seen through a log.

Small fields, of which the posterior is not Gaussian but can be sampled exactly (`tests.engine.references`).
Guided is the default: hybrid, Ito sampler, started from the climate. Each row is an average over truths,
with an interval of 95% over them.

* dry gauges: 24 x 24 cells, some gauged with an error of 0.1; half of the gauges or more are dry and say so.
  CRPS in the eight cells about each dry gauge, over that of Gibbs sampling; the truths are 300 draws of the
  exact posterior for each set of reports, whose sampling error is part of the interval.
* faulty gauges: a twentieth of them stuck at zero or tenfold. CRPS in the cells without a gauge, against the
  truth, over that of normal errors and sound gauges.
* dry or wet: a mixture of a flat low field and a rough high one. Energy distance to the exact posterior, over
  the root of the number of cells; two sets of exact draws give what chance alone leaves.
* rain: gauges, area means, or both, see exp(3 + x) / 10 mm/h with an error of 0.3, against tempered Monte
  Carlo: variance over the exact one, and how far the mean is off in exact standard deviations.

``case`` picks one of them: dry, faulty, mixture, rain.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from engine.denoise import Denoiser, Gaussian, Waves
from engine.evidence import Seen, together
from engine.guide import Posterior
from engine.laws import Censored, Law, Normal, Robust
from engine.noise import HIGHEST, Streams, karras
from engine.observe import Areas, Through, overlaps
from engine.sample import ito, last
from engine.transforms import Affine, Chain, Log
from engine.values import Invalid
from tests.engine import references as exact

NOISE = 0.1
Found = dict[tuple[str, str], list[tuple[float, float]]]  # of (method, metric): numerators, denominators


def gaussian(side: int, mean: float = 0.0, length: float = 4.0, spread: float = 1.0) -> Gaussian:
    wave = torch.fft.fftfreq(side, dtype=torch.float64)
    power = (1 + (2 * torch.pi * length) ** 2 * (wave[:, None] ** 2 + wave**2)) ** -2.0
    mean_field = torch.full((side, side), mean, dtype=torch.float64)
    return Gaussian(mean_field, Waves(spread**2 * power / power.mean()))


def sampled(
    seen: Seen,
    climate: Gaussian,
    steps: int,
    members: int,
    prior: Denoiser | None = None,
    mode: str = "hybrid",
) -> Tensor:
    streams = Streams(0, range(members))
    guided = Posterior(prior or climate, seen, climate, mode)
    return last(ito(guided, guided.start(streams, HIGHEST), karras(steps), streams))


def drawn(prior: Gaussian, number: int) -> Tensor:
    return prior.draw(Streams(number, [0])("truth", tuple(prior.mean.shape)).double())[0]


def dry(found: Found, number: int, share: float, steps: tuple[int, ...]) -> None:
    prior, mean, variance = gaussian(24), "mean error, exact sd", "variance / exact"
    gauges, reports, free = exact.gauged(drawn(prior, number), share, NOISE, number)
    reports = reports.clamp(min=0)
    mask = torch.zeros(24 * 24).index_fill(0, gauges.index.flatten()[reports <= 0], 1.0).reshape(1, 1, 24, 24)
    near = free & (functional.max_pool2d(mask, 3, 1, 1)[0, 0] > 0)
    known = exact.censored(prior, exact.dense(gauges), NOISE, reports, 0.0, 600, number)[:, near]
    best = exact.crps(known[:300], known[300:])

    def put(method: str, draws: Tensor) -> None:
        found[method, "CRPS about dry gauges / exact"].append((exact.crps(draws, known[300:]), best))
        found[method, mean].append((off(draws, known), 1.0))
        found[method, variance].append((float((draws.var(0) / known.var(0)).mean()), 1.0))

    for count in steps:
        draws = sampled(Seen(gauges, Censored(reports, NOISE)), prior, count, 80)
        put(f"censored, {count} steps", draws[:, near])
    draws = sampled(Seen(gauges, Normal(reports, NOISE)), prior, steps[0], 64)
    put(f"dry taken for zero, {steps[0]} steps", draws[:, near])


def off(draws: Tensor, known: Tensor) -> float:
    """Squared distance of the means in standard deviations, freed of what chance leaves."""
    away = ((draws.mean(0) - known.mean(0)) / known.std(0)).square().mean()
    return float(away) - 1 / len(draws) - 1 / len(known)


def faulty(found: Found, number: int, share: float, steps: tuple[int, ...]) -> None:
    prior = gaussian(24, 2.0)
    truth = drawn(prior, number)
    gauges, reports, free = exact.gauged(truth, share, NOISE, number)
    bad, wrong = reports.clone(), torch.arange(number % 10, len(reports), 20)
    bad[wrong[::2]] = 0
    bad[wrong[1::2]] *= 10

    def score(draws: Tensor) -> float:
        return exact.crps(draws[:, free], truth[free][None])

    laws: dict[str, Callable[[Tensor], Law]] = {
        "normal": lambda told: Normal(told, NOISE),
        "robust": lambda told: Robust(told, NOISE),
    }
    matrix, sound = exact.dense(gauges), score(sampled(Seen(gauges, Normal(reports, NOISE)), prior, 18, 48))
    for told, state in ((reports, "sound"), (bad, "5% faulty")):
        metric = f"CRPS without a gauge, {state} / normal, sound"
        for count in steps:
            for name, law in laws.items():
                if name == "robust" or count == 18:
                    scored = score(sampled(Seen(gauges, law(told)), prior, count, 48))
                    found[f"{name}, {count} steps", metric].append((scored, sound))
        known = exact.student(prior, matrix, NOISE, 4.0, told, 48, number)
        found["Student's t by Gibbs", metric].append((score(known), sound))


def mixture(found: Found, number: int, share: float, steps: tuple[int, ...]) -> None:
    parts = gaussian(16, -1.0, 6.0, 0.3), gaussian(16, 1.0, 2.0)
    prior = exact.Mixture(parts, torch.tensor([0.6, 0.4], dtype=torch.float64))
    gauges, reports, _ = exact.gauged(prior.draw(1, number)[0], share, NOISE, number)
    post = prior.posterior(exact.dense(gauges), NOISE, reports)
    known, metric = post.draw(200, 1), "energy distance to exact"
    found["exact, other draws", metric].append((exact.energy_distance(post.draw(200, 2), known), 1.0))
    for mode in ("hybrid", "climate"):
        for count in steps:
            draws = sampled(Seen(gauges, Normal(reports, NOISE)), prior.climate, count, 200, prior, mode)
            found[f"{mode}, {count} steps", metric].append((exact.energy_distance(draws, known), 1.0))


def rain(found: Found, number: int, kind: str, steps: tuple[int, ...]) -> None:
    prior, way, edges = gaussian(16, length=3.0), Chain((Log(), Affine(3.0, 1.0))), np.arange(0.0, 17, 4)
    truth, rows = drawn(prior, number), overlaps(np.arange(17.0), edges)
    places = {"gauges": exact.gauged(truth, 0.1, NOISE, number)[0], "area means": Areas(rows, rows)}
    seen = []
    for name, place in places.items():
        if name in kind:
            clean = Through(place, way)(truth[None])[0]
            heard = clean + 0.3 * Streams(number, [0])(name, clean.shape)[0]
            seen.append(Seen(Through(place, way), Normal(heard, 0.3)))
    joined = together(*seen)
    known = exact.through(prior, joined.operator, 0.3, joined.law.observed, 400, number)
    for count in steps:
        draws = sampled(joined, prior, count, 150)
        ratio = float((draws.var(0) / known.var(0)).mean())
        found[f"hybrid, {count} steps", "variance / exact"].append((ratio, 1.0))
        found[f"hybrid, {count} steps", "mean error, exact sd"].append((off(draws, known), 1.0))


CASES: dict[str, tuple[str, Callable, tuple, int]] = {
    "dry": ("dry gauges, {:.0%} of cells", dry, (0.1,), 8),
    "faulty": ("faulty gauges, {:.0%} of cells", faulty, (0.1,), 8),
    "mixture": ("dry or wet, gauges {:.0%}", mixture, (0.1, 0.02), 5),
    "rain": ("rain, {}", rain, ("gauges", "area means", "gauges and area means"), 4),
}


def run(case: str | None, quick: bool) -> list[dict]:
    if case and case not in CASES:
        raise Invalid(f"evidence: no case {case!r}; give one of {', '.join(CASES)}")
    rows = []
    for name in [case] if case else CASES:
        title, measure, settings, truths = CASES[name]
        for setting in settings[:1] if quick else settings:
            found: Found = defaultdict(list)
            for number in range(2 if quick else truths):
                measure(found, number, setting, (18,) if quick else (18, 32))
            rows += [row(title.format(setting), *key, np.array(pairs)) for key, pairs in found.items()]
    return rows


def row(case: str, method: str, metric: str, pairs: np.ndarray) -> dict:
    """The ratio of two means over truths, with its interval; mean errors are roots of mean squares."""
    over, under = pairs.T
    value = over.mean() / under.mean()
    half = 1.96 * (over - value * under).std(ddof=1) / np.sqrt(len(pairs)) / under.mean()
    ends = np.array([value, value - half, value + half])
    if metric.startswith("mean error"):
        ends = np.sqrt(ends.clip(min=0))
    about = {"case": case, "method": method, "metric": metric, "n": len(pairs), "unit": "1"}
    return about | dict(zip(("value", "low", "high"), ends.tolist(), strict=True))
