"""Pseudo-precipitation: whether u is normal and rain comes back, what rings, and coarse rain made fine.

The worlds are those of `scripts/make_worlds.py`, in build/worlds; all is simulated. The prior learned truths
1 to 4 and never saw truth 5. Rain is in mm/h, means of six hours.

*Pixels.* Quantiles of u are compared with a normal's from 0.001 to 0.999, of the worlds that were learned and
of the other one: its dry share is another, so its u cannot be quite normal. "Before the last map" is what the
network does by itself. Beside it stands the classical way, a truncated Gaussian: wet pixels get the score of
their rank, dry ones are drawn at random below the threshold: so its dry part says nothing. "Rank correlation"
is that of u and converging moisture among dry pixels. Rain is packed in steps, and the smallest amounts are
often the same: there nothing is quite normal.

*Ringing.* Fine maps lose the waves that cells of one degree do not have, as rain, as u, or as the Gaussian,
and become rain again. *Far from rain* are dry cells more than one degree from any rain: what is there, as a
mean of its size, is ringing, or rain that was invented. *Near rain* are the other dry cells. *Overshoot* is
by how much a cell passes all that fell within half a degree of it, a mean over all cells; *below zero* is
rain below zero, likewise. A figure goes to build/.

*Made fine.* Truth 5 in the box of the shipped cases, from its own means over cells of one degree. "encoded"
is told what the method is told, u of coarse rain; "truncated", as published, the fine u without its short
waves, which no one has. CRPS is fair, and that of a single field its absolute error. Spectra are of
log(1 + rain / 0.1), in half octaves, Hann's taper, averaged over times and members. Intervals are 95%, of
times drawn anew. ``case`` is the prior's name; ``--quick`` draws few members.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from scipy.special import ndtri
from scipy.stats import rankdata
from torch import Tensor
from torch.nn import functional
from training.systems.pseudo_precipitation import World, drawn, read

from engine.diagnostics.blocks import interval, resampled
from engine.diagnostics.spectra import spectrum
from engine.diagnostics.tally import crps
from engine.fields import KM_PER_DEGREE
from engine.networks.pixel import scores
from engine.noise import Streams, karras
from engine.pseudo import HIGHEST, TRACE, Prior, Truncation, moisture, prior
from engine.sample import ito, last, restart
from engine.transforms import NormalScore
from engine.values import Invalid

ROOT = Path(__file__).resolve().parents[2]
BOX = slice(16, 116), slice(24, 124)  # fine cells of the channel in the box of the shipped cases
PIXELS, MAPS = 1_000_000, 40
SHARES = torch.linspace(0.001, 0.999, 999, dtype=torch.float64)
BANDS = np.array([55.0, 80.0, 110.0, 160.0, 220.0, 320.0, 450.0, 640.0, 900.0])  # km

Row = dict[str, Any]


def run(case: str | None, quick: bool) -> list[Row]:
    torch.set_num_threads(1)
    known = prior(case or "pseudo")
    taught, other = worlds(known, "learned"), worlds(known, "held out")
    classic = Classic(drawn(taught, np.random.default_rng(2), PIXELS)[0])
    rows = [{"case": "pixels, learned"} | row for row in pixels(known, classic, taught)]
    rows += [{"case": f"pixels, {other[0].name}"} | row for row in pixels(known, classic, other)]
    rows += [{"case": f"ringing, {other[0].name}"} | row for row in ringing(known, classic, other[0])]
    figure(known, classic, other[0], ROOT / "build" / f"pseudo_{known.name}.png")
    told = finer(known, other[0], *((3, 3, 6) if quick else (20, 5, 18)))
    return [*rows, *({"case": f"made fine, {other[0].name}"} | row for row in told)]


def worlds(known: Prior, which: str) -> list[World]:
    found = []
    for name in known.card[which]:
        path = ROOT / "build" / "worlds" / f"{name}.nc"
        if not path.exists():
            raise Invalid(f"benchmark pseudo: no {path}; make it with scripts/make_worlds.py {name}")
        found.append(read(path, known.card["run"]["interval"], ROOT / "build" / "corpus"))
    return found


class Classic:
    """The truncated Gaussian: rain by its rank, and drawn at random where it is dry."""

    def __init__(self, rain: Tensor) -> None:
        self.score = NormalScore.of(rain.numpy(), trace=0.0)
        self.dry = float((rain == 0).double().mean())

    def encode(self, rain: Tensor) -> Tensor:
        share = np.random.default_rng(0).uniform(0, self.dry, rain.shape)
        drawn = torch.from_numpy(ndtri(share)).to(rain)
        return torch.where(rain > 0, self.score.forward(rain), drawn)

    def decode(self, u: Tensor) -> Tensor:
        return self.score.inverse(u)


def pixels(known: Prior, classic: Classic, some: list[World]) -> Iterator[Row]:
    rain, divergence = drawn(some, np.random.default_rng(1), PIXELS)
    network = known.network
    raw = network.pixel.raw(network.log.forward(rain), moisture(divergence))
    yield about("u before the last map", "quantiles, largest difference", unnormal(raw), PIXELS)
    made = {"u": network.encode(rain, divergence), "truncated Gaussian": classic.encode(rain)}
    for method, u in made.items():
        back = network.decode(u) if method == "u" else classic.decode(u)
        dry, missed = rain == 0, (back - rain).abs()
        yield about(method, "quantiles, largest difference", unnormal(u), PIXELS)
        yield about(method, "mean absolute error of rain", float(missed.mean()), PIXELS, "mm/h")
        for least in (1.0, 10.0):
            wet = rain >= least
            yield about(
                method, f"the same, from {least:g} mm/h on", float(missed[wet].mean()), int(wet.sum()), "mm/h"
            )
        yield about(method, "dry pixels that come back wet", int((back[dry] > 0).sum()), int(dry.sum()))
        yield about(method, "wet pixels that come back dry", int((back[~dry] == 0).sum()), int((~dry).sum()))
        yield about(method, "standard deviation where dry", float(u[dry].std()), int(dry.sum()))
        ranks = [rankdata(each[dry].numpy()) for each in (u, -divergence)]
        rank = float(np.corrcoef(*ranks)[0, 1])
        yield about(method, "rank correlation with moisture where dry", rank, int(dry.sum()))


def unnormal(u: Tensor) -> float:
    normal = torch.special.ndtri(SHARES)
    return float((scores(u, normal) - normal).abs().max())


def maps(world: World, count: int) -> tuple[Tensor, Tensor]:
    chosen = np.linspace(0, len(world.rain) - 1, count).round().astype(int)
    both = (each[chosen].astype(np.float32) for each in (world.rain, world.divergence))
    rain, divergence = map(torch.from_numpy, both)
    return rain, divergence


def truncated(known: Prior, classic: Classic, rain: Tensor, divergence: Tensor) -> dict[str, Tensor]:
    """Fine maps without their short waves, as rain."""
    cut = Truncation.of([side // known.times for side in rain.shape[-2:]], known.times).cut
    network = known.network
    return {
        "rain": cut(rain),
        "u": network.decode(cut(network.encode(rain, divergence))),
        "truncated Gaussian": classic.decode(cut(classic.encode(rain))),
    }


def ringing(known: Prior, classic: Classic, world: World) -> Iterator[Row]:
    rain, divergence = maps(world, MAPS)
    away = np.stack([np.asarray(ndimage.distance_transform_edt(each == 0)) for each in rain.numpy()])
    most = ndimage.maximum_filter(rain.numpy(), (1, 5, 5))
    far, near = away > known.times, (away > 0) & (away <= known.times)
    found: dict[str, np.ndarray] = {}
    for method, made in truncated(known, classic, rain, divergence).items():
        values = made.numpy()
        parts = {
            "far from rain": (np.abs(values) * far).sum((1, 2)),
            "near rain": (np.abs(values) * near).sum((1, 2)),
            "overshoot": np.maximum(values - most, 0).sum((1, 2)),
            "below zero": np.maximum(-values, 0).sum((1, 2)),
        }
        sizes = {"far from rain": far.sum((1, 2)), "near rain": near.sum((1, 2))}
        for metric, sums in parts.items():
            size = sizes.get(metric, np.full(len(rain), rain[0].numel()))
            yield ratio(method, metric, sums, size, "mm/h")
            if method == "rain":
                found[metric] = sums
            else:
                yield ratio(method, f"{metric} / that of rain", sums, found[metric])
        yield about(method, "lowest value", float(values.min()), len(rain), "mm/h")
    yield from coarse(known, rain, divergence)


def coarse(known: Prior, rain: Tensor, divergence: Tensor) -> Iterator[Row]:
    """u of coarse rain beside the fine u without its short waves, in coarse cells."""
    times, network = known.times, known.network
    below = Truncation.of([side // times for side in rain.shape[-2:]], times).down(
        network.encode(rain, divergence)
    )
    means = (functional.avg_pool2d(each[:, None], times)[:, 0] for each in (rain, divergence))
    here = network.encode(*means)
    together = float(np.corrcoef(here.flatten(), below.flatten())[0, 1])
    name = "u of coarse rain against truncated u"
    yield about(name, "correlation", together, here.numel())
    yield about(name, "difference, mean", float((here - below).mean()), here.numel())
    yield about(name, "difference, standard deviation", float((here - below).std()), here.numel())


def finer(known: Prior, world: World, times: int, members: int, steps: int) -> Iterator[Row]:
    rain, divergence = (each[:, *BOX] for each in maps(world, times))
    means = [functional.avg_pool2d(each[:, None], known.times)[:, 0] for each in (rain, divergence)]
    bilinear = functional.interpolate(means[0][:, None], scale_factor=known.times, mode="bilinear")[:, 0]
    cut = Truncation.of(means[0].shape[1:], known.times).cut
    told = {
        "encoded": [known.told(*pair) for pair in zip(*means, strict=True)],
        "truncated": list(cut(known.network.encode(rain, divergence))),
    }
    made: dict[str, Tensor] = {"bilinear": bilinear[None]}
    for method, conditions in told.items():
        streams = [Streams(number, range(members)) for number in range(times)]
        parts = [sampled(known, *each, steps) for each in zip(conditions, streams, strict=True)]
        made[method] = torch.stack(parts, 1)
    plain = (bilinear - rain).abs().mean((1, 2)).numpy()
    for method, each in made.items():
        yield from judged(method, each.numpy(), rain.numpy(), plain)
        off = functional.avg_pool2d(each, known.times) - means[0]
        yield about(
            method, "mean absolute error of coarse cells", float(off.abs().mean()), off.numel(), "mm/h"
        )


def sampled(known: Prior, told: Tensor, streams: Streams, steps: int) -> Tensor:
    """Rain of members under one condition."""
    x, clock = restart(streams, told, HIGHEST), karras(steps, high=HIGHEST)
    return known.network.decode(last(ito(known.under(told), x, clock, streams)))


def judged(method: str, made: np.ndarray, observed: np.ndarray, plain: np.ndarray) -> Iterator[Row]:
    """Against the truth of the same times; a block is a time."""
    count, unit = len(made), np.ones(len(observed))
    score = crps(made.reshape(count, -1), observed.ravel()).reshape(len(observed), -1).mean(1)
    yield ratio(method, "CRPS", score, unit, "mm/h")
    if count > 1:
        yield ratio(method, "CRPS / that of bilinear", score, plain)
        spread = (count + 1) / count * made.var(0, ddof=1).mean((1, 2))
        yield ratio(method, "spread/skill", spread, ((made.mean(0) - observed) ** 2).mean((1, 2)), root=True)
    for least in (0.0, TRACE, 1.0):
        wet = [(each > least).reshape(-1, *observed.shape).mean((0, 2, 3)) for each in (made, observed)]
        yield ratio(method, f"share of cells above {least:g} mm/h, ratio", *wet)
    yield ratio(method, "mean, ratio", made.mean((0, 2, 3), dtype=float), observed.mean((1, 2), dtype=float))
    high = np.quantile(made, 0.999) / np.quantile(observed, 0.999)
    yield about(method, "99.9% quantile, ratio", high, made.size)
    together = resampled(np.stack([power(made).mean(0), power(observed)], -1))
    gap = 10 * np.log10(together[..., 0] / together[..., 1])
    for low, up, one in zip(BANDS[:-1], BANDS[1:], gap.T, strict=True):
        yield told_with(method, f"PSD, {low:g} to {up:g} km, difference", one, len(observed), "dB")
    yield about(method, "PSD, largest difference of a band", np.abs(gap).max(1)[0], len(observed), "dB")


def power(rain: np.ndarray) -> np.ndarray:
    """In each band, of fields (..., rows, columns)."""
    step = KM_PER_DEGREE / 4
    length, found = spectrum(np.log1p(rain / TRACE), (step, step * math.cos(math.radians(32.5))))
    inside = (length[:, None] >= BANDS[:-1]) & (length[:, None] < BANDS[1:])
    return np.asarray(found) @ inside / inside.sum(0)


def ratio(
    method: str, metric: str, over: np.ndarray, under: np.ndarray, unit: str = "1", root: bool = False
) -> Row:
    """Of two sums over times."""
    together = resampled(np.stack([over, under], 1))
    value = together[:, 0] / together[:, 1]
    return told_with(method, metric, np.sqrt(value) if root else value, len(over), unit)


def told_with(method: str, metric: str, values: np.ndarray, blocks: int, unit: str = "1") -> Row:
    value, low, high = interval(values, blocks)
    return about(method, metric, value, blocks, unit) | {"low": low, "high": high}


def about(method: str, metric: str, value: float, n: int = 1, unit: str = "1") -> Row:
    return {"method": method, "metric": metric, "value": float(value), "n": n, "unit": unit}


def figure(known: Prior, classic: Classic, world: World, to: Path) -> None:
    """One map without its short waves, as rain, u and the Gaussian; a row of cells of it; u's law."""
    import matplotlib.figure

    rain, divergence = maps(world, MAPS)
    number = int(rain.mean((1, 2)).argmax())
    rain, divergence = rain[number : number + 1], divergence[number : number + 1]
    cut = truncated(known, classic, rain, divergence)
    kinds = {"rain as it fell": rain} | {f"without short waves, as {name}": cut[name] for name in cut}
    whole = matplotlib.figure.Figure((19, 8), layout="constrained")
    panels = whole.subplots(2, len(kinds))
    low = max(0.2, -float(kinds["without short waves, as rain"].min()))
    for panel, (title, made) in zip(panels[0], kinds.items(), strict=True):
        shown = torch.sign(made[0]) * torch.log1p(made[0].abs() / TRACE)
        most = math.log1p(low / TRACE)
        panel.imshow(shown.numpy(), cmap="RdBu", vmin=-most, vmax=most, origin="lower")
        panel.set(title=title, xticks=[], yticks=[])
    line = int(rain[0].amax(1).argmax())
    for panel, (title, made) in zip(panels[1, :3], list(kinds.items())[1:], strict=True):
        panel.plot(rain[0, line], color="0.6", label="as it fell")
        panel.plot(made[0, line], label=title)
        panel.set(title=f"row {line}, mm/h", yscale="symlog")
        panel.legend(fontsize=7)
    some = drawn([world], np.random.default_rng(1), PIXELS)
    u, classes = known.network.encode(*some), np.linspace(-4, 4, 161)
    for name, part in (("all", u), ("dry", u[some[0] == 0])):
        panels[1, 3].hist(
            part.numpy(), classes, histtype="step", weights=np.full(len(part), 20 / len(u)), label=name
        )
    panels[1, 3].plot(
        classes, 20 * 0.05 * np.exp(-(classes**2) / 2) / math.sqrt(2 * math.pi), "k:", label="normal"
    )
    panels[1, 3].set(title=f"u in {world.name}")
    panels[1, 3].legend(fontsize=7)
    whole.savefig(to, dpi=90)
