"""A trained prior: its own rain beside rain it never saw, and whether it holds at any coordinates.

*Rain.* At three of the spacings that the prior was taught, fields are sampled without any evidence and laid
beside windows of the times that were held out from it, dealt as its training dealt its tiles (mostly dry ones
are mostly left out), so that both have one climate. Windows of the training's own times stand beside them: so
far are two draws of this weather from each other, and a prior that knew its files by heart would come no
nearer. Spectra are of log(1 + rain / 0.1), averaged over fields; a wavelength is the half octave around it.
Cells count as squares.

*Coordinates.* What the same prior says at scattered points, in any order, against the same cells of a grid;
fields of the finest spacing, averaged two by two, against those of twice the spacing (of windows too: how
they are dealt depends on their size); and the time that a random quarter of the points takes, on a lattice of
twice the spacing, over that of all.

Intervals are 95%, of windows and samples drawn anew; windows of one hour are not independent, so those of the
few held-out hours are too narrow rather than too wide. A figure goes to build/. ``case`` is the prior's name,
radar if there is none; ``--quick`` samples few fields.
"""

from __future__ import annotations

import itertools
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from training.corpus import Hours
from training.systems.coordinate_prior import corpora

from engine.bilinear import pooled
from engine.denoise import Denoiser
from engine.diagnostics.curves import WET
from engine.diagnostics.shape import ellipse
from engine.diagnostics.spectra import log_spectral_distance, spectrum
from engine.fields import KM_PER_DEGREE, Box, Grid
from engine.noise import HIGHEST, Streams, karras
from engine.observe import Gather, points
from engine.priors import Prior, prior
from engine.sample import ito, last, start

ROOT = Path(__file__).resolve().parents[2]
SIDE, STEPS, DRAFT = 96, 32, 18
WAVELENGTHS = (12.0, 25.0, 50.0, 100.0, 200.0)  # km
QUANTILES = (0.5, 0.9, 0.99, 0.999)
AMOUNTS = np.geomspace(WET, 300.0, 801)  # mm/h: classes of 1%
LEVELS = (0.05, 0.2, 1.0, 5.0, 20.0)
SHAPED = 0.02  # share of a field that must be wet before it has a shape
AGAIN, WINDOWS = 300, 12  # draws of the bootstrap; windows for each sample, for they cost little


@dataclass(frozen=True)
class Rain:
    """Fields of one kind, and what is counted of each."""

    fields: np.ndarray  # (n, rows, columns) mm/h
    known: np.ndarray  # cells
    counts: np.ndarray  # (n, amounts): known cells in each class of wet rain
    power: np.ndarray  # (n, rings)
    length: np.ndarray  # km
    ratio: np.ndarray

    @classmethod
    def of(cls, fields: np.ndarray, spacing: float) -> Rain:
        counts = np.stack([np.histogram(each, np.r_[AMOUNTS, np.inf])[0] for each in fields])
        known = np.isfinite(fields).sum((1, 2))
        _, power = spectrum(np.log1p(fields / WET), (spacing, spacing))
        wet = counts.sum(1) > SHAPED * known
        outline = ellipse(np.where(wet[:, None, None], fields, np.nan), (spacing, spacing))
        return cls(fields, known, counts, power, outline.length, outline.ratio)

    def again(self, rng: np.random.Generator) -> Rain:
        drawn = rng.integers(len(self.known), size=len(self.known))
        parts = (self.known, self.counts, self.power, self.length, self.ratio)
        return Rain(self.fields, *(each[drawn] for each in parts))

    def wet(self) -> float:
        return float(self.counts.sum() / self.known.sum())

    def quantile(self, share: float) -> float:  # of wet rain
        beneath = np.cumsum(self.counts.sum(0)) / self.counts.sum()
        return float(np.interp(share, np.r_[0.0, beneath[:-1]], AMOUNTS))


def run(case: str | None, quick: bool) -> list[dict]:
    known = prior(case or "radar")
    name, about = known.name, known.card["run"]
    taught, held = (each.sources[0] for each in corpora(about, ROOT / "assets" / "training", ROOT / "build"))
    count, rows, drawn = 8 if quick else 24, [], {}
    for multiple in chosen(held):
        spacing = held.step * multiple * KM_PER_DEGREE
        print(f"prior {name}: {spacing:.1f} km", file=sys.stderr, flush=True)
        fields = {
            "samples": samples(known, spacing, count),
            "held-out hours": windows(held, multiple, WINDOWS * count, about["turned"]),
            "training hours": windows(taught, multiple, WINDOWS * count, about["turned"]),
        }
        kinds = {kind: Rain.of(each, spacing) for kind, each in fields.items()}
        truth = dict.fromkeys(kinds, kinds["held-out hours"])
        rows += compared(f"{name}, {spacing:.1f} km", kinds, truth, spacing)
        drawn[spacing] = kinds
    rows += finer(name, drawn)
    rows += [*scattered(known, min(drawn)), *quarter(known, min(drawn), 2 if quick else 5)]
    print(f"prior {name}: {figure(drawn, ROOT / 'build' / f'prior_{name}.png')}", file=sys.stderr)
    return rows


def chosen(hours: Hours) -> list[int]:
    """The finest spacing that was taught, twice it, and the coarsest at which there are whole windows."""
    whole = [each for each in hours.multiples if each * SIDE <= min(hours.maps[0].shape)]
    return sorted({min(whole), max(whole)} | ({2 * min(whole)} & set(whole)))


def windows(hours: Hours, multiple: int, count: int, turned: bool) -> np.ndarray:
    """Dealt as the training deals its tiles."""
    rng, found = np.random.default_rng([1, multiple]), []
    for _ in range(count):
        tile, _ = hours.chosen(rng, SIDE, multiple)
        if turned:
            tile = np.rot90(tile[:, ::-1] if rng.random() < 0.5 else tile, int(rng.integers(4)))
        found.append(np.maximum(tile, 0))
    return np.stack(found)


def square(spacing: float) -> Grid:
    """At the equator, where cells are square."""
    half, step = SIDE / 2 * spacing / KM_PER_DEGREE, spacing / KM_PER_DEGREE
    return Grid(Box(0.0, -half, 2 * half, half), step)


def sampled(denoiser: Denoiser, x: Tensor, streams: Streams, steps: int) -> Tensor:
    return last(ito(denoiser, x, karras(steps), streams))


def samples(known: Prior, spacing: float, count: int) -> np.ndarray:
    """Rain without evidence."""
    grid, streams = square(spacing), Streams(0, range(count))
    x = noised(known, grid, streams)
    return known.score.inverse(sampled(known.on(grid, known.labels[0]), x, streams, STEPS)).numpy()


def noised(known: Prior, grid: Grid, streams: Streams, sigma: float = HIGHEST) -> Tensor:
    law = known.climate(known.labels[0], grid.step * KM_PER_DEGREE)
    return start(streams, grid.shape, sigma, law.on(grid))


Figures = dict[tuple[str, str], float]  # by metric and unit


def own(rain: Rain) -> Figures:
    return {
        ("wet fraction", "1"): rain.wet(),
        ("axis ratio of the ellipse, median", "1"): float(np.nanmedian(rain.ratio)),
        ("radius of the ellipse, median", "km"): float(np.nanmedian(rain.length)),
    }


def against(rain: Rain, truth: Rain, wavelength: np.ndarray) -> Figures:
    found: Figures = {("wet fraction, ratio", "1"): rain.wet() / truth.wet()}
    for share in QUANTILES:
        found[f"{share:.1%} quantile of wet rain, ratio", "1"] = rain.quantile(share) / truth.quantile(share)
    power, reference = rain.power.mean(0), truth.power.mean(0)
    for middle in WAVELENGTHS:
        near = np.abs(np.log2(wavelength / middle)) < 0.25
        if near.any():
            gap = decibels(power[near].mean(), reference[near].mean())
            found[f"PSD at {middle:g} km, difference", "dB"] = float(gap)
    for since, least in (("12 km", WAVELENGTHS[0]), ("2 cells", 0.0)):
        within = (wavelength >= least) & (wavelength <= WAVELENGTHS[-1])
        gap = np.abs(decibels(power, reference))[within].max()
        found[f"PSD from {since} to 200 km, largest difference", "dB"] = float(gap)
    found["log-spectral distance of mean PSDs", "dB"] = float(log_spectral_distance(power, reference))
    return found


def decibels(power, reference):
    return 10 * np.log10(power / reference)


def compared(case: str, kinds: dict[str, Rain], truth: dict[str, Rain], spacing: float) -> list[dict]:
    """Each kind by itself, and against its truth."""
    wavelength = spectrum(next(iter(kinds.values())).fields[0], (spacing, spacing))[0]
    rows = []
    for method, rain in kinds.items():
        found = intervals(own, rain)
        if rain is not truth[method]:
            found += intervals(lambda one, other: against(one, other, wavelength), rain, truth[method])
        rows += [{"case": case, "method": method, "n": len(rain.known)} | each for each in found]
    return rows


def intervals(of: Callable[..., Figures], *rains: Rain) -> list[dict]:
    rng = np.random.default_rng(0)
    value, drawn = of(*rains), [of(*(each.again(rng) for each in rains)) for _ in range(AGAIN)]
    rows = []
    for (metric, unit), here in value.items():
        low, high = np.nanquantile([each[metric, unit] for each in drawn], (0.025, 0.975))
        rows.append({"metric": metric, "value": here, "low": float(low), "high": float(high), "unit": unit})
    return rows


def finer(name: str, drawn: dict[float, dict[str, Rain]]) -> list[dict]:
    """Fields of the finest spacing, averaged two by two, against the middle of those of twice the spacing."""
    fine = min(drawn)
    coarse = next((each for each in drawn if math.isclose(each, 2 * fine)), None)
    if coarse is None:
        return []
    middle = slice(SIDE // 4, SIDE // 4 + SIDE // 2)
    halves = {kind: Rain.of(pooled(rain.fields, 2), coarse) for kind, rain in drawn[fine].items()}
    direct = {kind: Rain.of(rain.fields[:, middle, middle], coarse) for kind, rain in drawn[coarse].items()}
    case = f"{name}, {fine:.1f} km in means of {coarse:.1f}, against {coarse:.1f}"
    return [row for row in compared(case, halves, direct, coarse) if row["unit"] == "dB"]


@dataclass(frozen=True)
class Picked(Streams):
    """The noise of a grid, read at some of its cells."""

    grid: tuple[int, int]
    cells: Tensor

    def __call__(self, name: str, shape: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
        return super().__call__(name, self.grid, device).flatten(1)[:, self.cells]


def among(grid: Grid, cells: Tensor, under: Grid) -> Gather:
    """Cells of a grid as places on the lattice of another."""
    return points(under, grid.lat[cells // grid.shape[1]], grid.lon[cells % grid.shape[1]])


def scattered(known: Prior, spacing: float) -> list[dict]:
    """All cells in random order, against the grid."""
    grid, streams = square(spacing), Streams(0, range(2))
    order = torch.randperm(SIDE * SIDE, generator=torch.Generator().manual_seed(0))
    field = known.on(grid, known.labels[0])
    loose = known.at(grid, known.labels[0], among(grid, order, grid))
    found, begun = {}, {sigma: noised(known, grid, streams, sigma) for sigma in LEVELS}
    for sigma, x in begun.items():
        found[f"denoised at {sigma:g}"] = field(x, sigma), loose(x.flatten(1)[:, order], sigma)
    x, picked = noised(known, grid, streams), Picked(0, range(2), grid.shape, order)
    there = sampled(loose, x.flatten(1)[:, order], picked, DRAFT)
    found[f"sampled in {DRAFT} steps"] = sampled(field, x, streams, DRAFT), there
    about = {"case": f"{known.name}, {spacing:.1f} km", "method": "cells in random order", "n": 2 * SIDE**2}
    return [
        about
        | {"metric": f"largest difference from the grid, {what}", "unit": "standard deviations"}
        | {"value": float((one.flatten(1)[:, order] - other).abs().max())}
        for what, (one, other) in found.items()
    ]


def quarter(known: Prior, spacing: float, repeats: int) -> list[dict]:
    """Time of a random quarter of the points on a lattice of twice the spacing, over that of all."""
    grid, streams = square(spacing), Streams(0, range(4))
    under = Grid(grid.box, 2 * grid.step)
    cells = torch.randperm(SIDE * SIDE, generator=torch.Generator().manual_seed(1))[: SIDE * SIDE // 4]
    field = known.on(grid, known.labels[0])
    loose = known.at(under, known.labels[0], among(grid, cells, under))
    x, picked = noised(known, grid, streams), Picked(0, range(4), grid.shape, cells)
    ratios = []
    for _ in range(repeats + 1):
        begun = time.perf_counter()
        sampled(loose, x.flatten(1)[:, cells], picked, DRAFT)
        between = time.perf_counter()
        sampled(field, x, streams, DRAFT)
        ratios.append((between - begun) / (time.perf_counter() - between))
    ratio = np.array(ratios[1:])  # the first one warms up
    about = {"case": f"{known.name}, {spacing:.1f} km", "method": "a random quarter of the cells"}
    about |= {"metric": "time of sampling / all cells", "unit": "1", "n": repeats}
    return [about | {"value": float(np.median(ratio)), "low": float(ratio.min()), "high": float(ratio.max())}]


def figure(drawn: dict[float, dict[str, Rain]], to: Path) -> Path:
    """Real windows beside samples, the intensity-frequency curve and the PSD, a row for each spacing."""
    import matplotlib.figure
    from matplotlib.colors import LogNorm

    shown = list(itertools.product(("held-out hours", "samples"), range(3)))
    whole = matplotlib.figure.Figure((22, 2.9 * len(drawn)), layout="constrained")
    panels = whole.subplots(len(drawn), len(shown) + 2, squeeze=False)
    for line, (spacing, kinds) in zip(panels, drawn.items(), strict=True):
        for panel, (kind, number) in zip(line, shown, strict=False):
            rain = np.maximum(np.nan_to_num(kinds[kind].fields[number]), 1e-3)
            panel.imshow(rain, norm=LogNorm(WET, 50), cmap="viridis", origin="lower")
            panel.set(title=f"{kind}, {spacing:.1f} km", xticks=[], yticks=[])
        for kind, rain in kinds.items():
            share = np.cumsum(rain.counts.sum(0)[::-1])[::-1] / rain.known.sum()
            line[-2].loglog(AMOUNTS, np.where(share > 0, share, np.nan), label=kind)
            line[-1].loglog(spectrum(rain.fields[0], (spacing, spacing))[0], rain.power.mean(0), label=kind)
        line[-2].set(title="share of cells with at least", xlabel="mm/h")
        line[-1].set(title="PSD of log(1 + rain / 0.1)", xlabel="km")
        line[-1].invert_xaxis()
        line[-1].legend(fontsize=7)
    whole.savefig(to, dpi=90)
    return to
