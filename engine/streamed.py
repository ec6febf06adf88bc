"""Trajectories of any length from a prior of short films: one film after another, held to what was seen.

The first hour of each film is the last that was kept of the one before, and is known to it; of the others six
are kept, and the last six, drawn so that what comes later is felt, are dropped. Weather remembers little but
its state, so a film after a known hour is drawn as if all hours before were known, and no seam is left.
Memory is that of one film, however long the trajectory; time goes with its length, and each hour is drawn
twice. (To fold the windows of one long film at every noise level, with each hour in the middle of its own,
takes thirteen times the work, all of the trajectory in memory, and the score of neighbouring windows for that
of the whole.)

*Held.* Guidance without gradients of the network, as `engine.guide` has it: clean + S A' (R + A S A')^-1 r,
where A looks through the way back from the latent side and S is the variance that is left of each cell of the
rain. A correction is spread evenly: where rain belongs within a large cell the network knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from engine.denoise import Denoiser, Level
from engine.evidence import Seen
from engine.films import KEPT, MEMORY
from engine.guide import conjugate_gradients
from engine.noise import HIGHEST, Streams, karras
from engine.observe import Through
from engine.sample import ito
from engine.transforms import Transform

LEFT = 0.5  # variance of a cell's rain, on the latent side, under what the network is told
LOW, HIGH, STEP = -6.0, 8.0, 0.01  # scores of the table
ROUNDS = 16  # of conjugate gradients, at most: gauges share cells, areas do not
TURNS = 2  # of Gauss and Newton: rain is no line
GUESSES = 2  # each leaves a tenth of the error of the one before


@dataclass(frozen=True)
class Held(Denoiser):
    """A prior of films whose rain is held to what was seen of it.

    Of each cell of the denoised rain a variance is left: what the network was told leaves `LEFT`, and the
    noise its own. What it errs by goes ``together`` in so many cells: a mean over an area errs by more than
    that of cells that err alone, and S is so much wider.
    """

    prior: Denoiser
    seen: Seen  # of rain, (members, hours, rows, columns), on the latent side
    together: float = 1.0

    def __call__(self, x: Tensor, sigma: Level) -> Tensor:
        clean, noise = self.prior(x, sigma), float(sigma)
        left = 1 / (1 / LEFT + noise**-2)
        seen, rain = tabled(self.seen.expecting(left)), clean[:, 0]
        moved = rain
        wide = self.together * left
        for _ in range(TURNS):
            predicted, linear = seen.operator(moved), seen.operator.linear(moved)
            target, variance = seen.law.site(predicted, torch.zeros_like(predicted))
            size = linear(linear.adjoint(torch.ones_like(predicted)))  # A A' where they share no cell
            solved = conjugate_gradients(
                lambda w, linear=linear, variance=variance: variance * w + wide * linear(linear.adjoint(w)),
                target - predicted + linear(moved - rain),
                variance + wide * size,
                ROUNDS,
                1e-8,
            )
            moved = rain + wide * linear.adjoint(solved)
        return torch.cat([moved[:, None], clean[:, 1:]], 1)


@dataclass(frozen=True)
class Tabled(Transform):
    """A way back that is read off a table: straight between equal steps of the latent side, and beyond.

    A film has a hundred thousand cells, and to take the mean of a transform about each costs more than the
    network that drew it.
    """

    transform: Transform
    values: Tensor

    @classmethod
    def of(cls, transform: Transform) -> Tabled:
        count = round((HIGH - LOW) / STEP) + 1
        return cls(
            transform, transform.inverse(torch.linspace(LOW, HIGH, count, dtype=torch.float64)).float()
        )

    def forward(self, rain: Tensor) -> Tensor:
        return self.transform.forward(rain)

    def inverse(self, latent: Tensor) -> Tensor:
        place, low = self._place(latent)
        return torch.lerp(self.values[low], self.values[low + 1], place - low)

    def slope(self, latent: Tensor) -> Tensor:
        _, low = self._place(latent)
        return (self.values[low + 1] - self.values[low]) / STEP

    def _place(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        place = (latent - LOW) / STEP
        return place, place.long().clamp(0, len(self.values) - 2)


def tabled(seen: Seen) -> Seen:
    operator = seen.operator
    if not isinstance(operator, Through):
        return seen
    return replace(seen, operator=Through(operator.inner, Tabled.of(operator.transform)))


Following = Callable[[int, Tensor | None], Denoiser]  # of a film's number and the hours known from the last


def streamed(
    following: Following, shape: tuple[int, ...], streams: Sequence[Streams], steps: int
) -> Iterator[tuple[float, Tensor | None]]:
    """Films one after another, each with its noise: how far they are, and now and then the hours that one of
    them adds (members, quantities, `KEPT`, rows, columns)."""
    before = None
    for number, noise in enumerate(streams):
        denoiser, step = following(number, before), None
        for step in ito(denoiser, begun(denoiser, noise, shape), karras(steps), noise):
            yield (number + step.progress) / len(streams), None
        assert step is not None
        film = step.x
        before = film[:, :, KEPT : KEPT + MEMORY].clone()
        yield (number + 1) / len(streams), film[:, :, MEMORY : MEMORY + KEPT]


def begun(denoiser: Denoiser, streams: Streams, shape: tuple[int, ...]) -> Tensor:
    """Films noised to the highest level, about what the denoiser says itself: a start about nothing would be
    evidence of mean weather."""
    guess = torch.zeros(len(streams.members), *shape)
    for turn in range(GUESSES):
        guess = denoiser(guess + HIGHEST * streams(f"guess {turn}", shape), HIGHEST)
    return guess + HIGHEST * streams("start", shape)
