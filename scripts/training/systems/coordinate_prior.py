"""A coordinate-based prior of rain (PRIMER): gridded sources jointly, each with its label, then gauges.

The network is taught by the loss of `engine.sketch.Sketched` alone: what it was given, noised at a random
level, back without the noise, under a sketch of random evidence (`training.sketches`). Noise levels are
log-normal and stratified: a batch has one of each of its strata. A run with ``gauges`` has two stages: the
gridded sources alone, then these and the gauges (`training.gauges`) by a weighted sum of their losses, of
which a step takes one term with the chance of its weight.

A run may begin from the weights of one whose network has as many floors and blocks or fewer: what is new
begins as nothing, and new labels as the first.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from training.batches import Batch, Batches, loss, named
from training.card import card
from training.corpus import HeldOut, gathered, parted
from training.gauges import Likeness, collected
from training.lessons import Lessons, at_levels, checked, files

from engine.denoise import Levels
from engine.networks.points import Points
from engine.noise import stratified
from engine.sketch import Sketched
from engine.transforms import NormalScore
from engine.values import Invalid

MEAN, SPREAD = -0.3, 1.5  # of ln sigma: under a sketch much of what is large is known
LEARNED = functools.partial(stratified, mean=MEAN, spread=SPREAD)
SCATTERED = 0.2  # share of the batches that are a random quarter of a finer tile's cells
JUDGED = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
ENTRIES, OPTIONAL = ("sources", "hold_out", "turned", "network", "tile", "batch"), ("gauges",)
SOURCE = ("label", "files", "cases", "layer", "base", "highest", "multiples", "weight")
GAUGES = ("label", "mapped", "steps", "files", "cases", "layer", "highest", "multiples", "weight")


@dataclass(frozen=True)
class Rain(Lessons):
    run: dict[str, Any]
    learned: Batches
    held: Batches

    @property
    def steps(self) -> int:
        return self.run["steps"] + (self.run["gauges"]["steps"] if "gauges" in self.run else 0)

    def denoiser(self) -> Sketched:
        return Sketched(Points(len(self.learned.labels), **self.run["network"]))

    def batch(self, rng: np.random.Generator, generator: torch.Generator, step: int) -> Batch:
        quarter = rng.random() < SCATTERED
        batch = self.learned.drawn(rng, self._second(step))
        return batch.scattered(generator) if quarter and batch.places is None else batch

    def loss(self, denoiser: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        return self._missed(denoiser, batch, generator, LEARNED)

    def judged(self, denoiser: nn.Module, step: int, count: int) -> dict[str, float]:
        def missed(rng: np.random.Generator, generator: torch.Generator, levels: Levels) -> dict[str, Tensor]:
            return {"": self._missed(denoiser, self.held.tiles(rng, self._second(step)), generator, levels)}

        return at_levels(JUDGED, count, missed)

    def card(self) -> dict[str, Any]:
        return card(self.learned, self.held)

    @property
    def fitted(self) -> dict[str, Any]:
        return {"score": self.learned.scoring.told}

    def fit(self) -> None:
        self.learned.fit()
        self._share()

    def refit(self, fitted: Mapping[str, Any]) -> None:
        self.learned.scored(NormalScore.read(fitted["score"]))
        self._share()

    def begun(self, denoiser: nn.Module, step: int) -> bool:
        """The gauges' turn begins: their label as that of the source likened to them, and a new mean."""
        if "gauges" not in self.run or step != self.run["steps"]:
            return False
        network, gauges = _points(denoiser), self.run["gauges"]
        of, to = (self.learned.labels.index(gauges[each]) for each in ("mapped", "label"))
        with torch.no_grad():
            network.label.weight[to] = network.label.weight[of]
        return True

    def filled(self, denoiser: nn.Module, weights: dict[str, Tensor]) -> None:
        grown(denoiser, weights)

    def _second(self, step: int) -> bool:
        """Whether it is the gauges' turn."""
        return step >= self.run["steps"]

    def _share(self) -> None:
        self.held.score, self.held.climates = self.learned.score, self.learned.climates

    @staticmethod
    def _missed(denoiser: nn.Module, batch: Batch, generator: torch.Generator, levels: Levels) -> Tensor:
        assert isinstance(denoiser, Sketched)
        return loss(denoiser, batch.to(str(next(denoiser.parameters()).device)), generator, levels)


def grown(denoiser: nn.Module, weights: dict[str, Tensor]) -> None:
    """A network with the weights of one that may have fewer floors, blocks and labels, saying the same."""
    network = _points(denoiser)
    first = weights["network.label.weight"][:1].expand_as(network.label.weight)
    lacking, strange = denoiser.load_state_dict(weights | {"network.label.weight": first}, strict=False)
    if strange:
        raise Invalid(f"--start: the weights have {strange[0]}, which the run's network lacks")
    with torch.no_grad():
        for name, weight in denoiser.named_parameters():
            if name in lacking and ".rise." in name:  # a new floor's way up; a new block is nothing by itself
                weight.zero_()


def _points(denoiser: nn.Module) -> Points:
    assert isinstance(denoiser, Sketched)
    assert isinstance(denoiser.network, Points)
    return denoiser.network


def taught(run: dict[str, Any], beside: Path, build: Path) -> Rain:
    run["sources"] = [checked("sources", each, SOURCE, SOURCE[:1]) for each in run["sources"]]
    if "gauges" in run:
        run["gauges"] = checked("gauges", run["gauges"], GAUGES, GAUGES[:3])
    return Rain(run, *corpora(run, beside, build))


def corpora(run: dict[str, Any], beside: Path, build: Path) -> tuple[Batches, Batches]:
    """What a run learns from, and what it holds out."""
    whole = [gathered(each, given(each, beside), build / "corpus") for each in run["sources"]]
    held_out = HeldOut.of(run["hold_out"], whole)
    parts = [parted(each, held_out) for each in whole]
    reports = (None, None)
    if "gauges" in run:
        entry = run["gauges"]
        step = named([each[0] for each in parts], entry["mapped"]).step
        reports = collected(entry, given(entry, beside), step).parted(held_out)
    batches, held = (Batches(run, [each[side] for each in parts], reports[side]) for side in (0, 1))
    if reports[0]:
        likeness = Likeness.of(reports[0], named(batches.sources, run["gauges"]["mapped"]))
        for each in (batches, held):
            each.like(likeness)
    return batches, held


def given(entry: dict[str, Any], beside: Path) -> list[Path]:
    """The files, or cases, that an entry of a run names."""
    if ("files" in entry) == ("cases" in entry) or ("cases" in entry) != ("layer" in entry):
        raise Invalid(f"{entry['label']}: give either files, or cases and a layer")
    return files(str(entry["cases" if "cases" in entry else "files"]), beside)
