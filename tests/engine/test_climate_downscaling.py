"""Downscaling of climate simulations: exact where it can be, seamless around the world, refused in a line."""

import importlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from torch import Tensor, nn

from engine import fields
from engine.downscaled import Downscaled, conserved, downscaled
from engine.downscaler import NEEDED, Downscaler, Endless, Prior, around
from engine.fields import Box, Grid, Period, ensemble
from engine.methods import method
from engine.noise import Streams
from engine.overlap import onto
from engine.sources.cases import write_case
from engine.tasks import Task
from engine.values import Invalid

ROOT = Path(__file__).resolve().parents[2]
SHARES, RANDOM = 48, np.random.default_rng(0)
WORLD = Grid(Box(110, 28, 118, 36), 1.0)
INSIDE = Box(111, 29, 116, 34)
NETWORK = {"widths": [8, 8], "padding": "zeros"}
STANDARD = {"air": (0.0, 1.0), "wind_u": (0.0, 1.0), "rain": (0.3, 0.5)}
CARD = {
    "run": {
        "predictors": ["air", "wind_u"], "interval": "6h", "coarse": 1.0, "tile": 16,
        "regression": {"patch": 1, **NETWORK}, "fine": {"patch": 2, **NETWORK},
    },
    "box": list(WORLD.box), "around": 8.0, "step": 0.25, "standard": STANDARD, "top": 400.0, "noisiest": 8.0,
    "shapes": {"law": [SHARES, 8, 8], "reference": [20, 8, 8]},
}  # fmt: skip


class Heard(nn.Module):
    """A regression that knows all: the first quantity is the rain, on its latent side."""

    unit = 2

    def forward(self, seen: Tensor, level: Tensor) -> Tensor:
        return seen[:, :1]


@pytest.fixture
def prior() -> Prior:
    """Taught nothing, but with a reference, and a regression that is perfect."""
    network = Downscaler(CARD["run"], CARD["shapes"]).requires_grad_(False)
    network.regression = Heard()  # type: ignore[assignment]
    known = Prior("tiny", CARD, network)
    law = np.sort(
        np.where(RANDOM.random((SHARES, 8, 8)) < 0.6, RANDOM.gamma(0.7, 9, (SHARES, 8, 8)) + 0.2, 0), 0
    )
    network.laws.get_buffer("rain").copy_(torch.from_numpy(law))
    network.laws.get_buffer("air").copy_(torch.from_numpy(known.forward(law)))
    network.laws.get_buffer("wind_u").copy_(torch.from_numpy(np.sort(RANDOM.normal(size=law.shape), 0)))
    network.reference.copy_(torch.from_numpy(RANDOM.gamma(0.7, 9, (20, 8, 8))))
    return known


def simulated(prior: Prior, heard: np.ndarray, **more: np.ndarray) -> dict[str, xr.DataArray]:
    """Fields whose first quantity is this rain (mm/day); it is not told itself."""
    times = pd.date_range("2001-01-01", periods=len(heard), freq="6h")
    said = {"air": prior.forward(heard), "wind_u": RANDOM.normal(size=heard.shape)} | more
    where = {"time": times, "lat": WORLD.lat, "lon": WORLD.lon}
    return {name: xr.DataArray(each, where, ("time", "lat", "lon"), name) for name, each in said.items()}


def shuffled(law: np.ndarray) -> np.ndarray:
    return RANDOM.permuted(law, axis=0)


def end(steps):
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def law_of(prior: Prior) -> np.ndarray:
    return prior.network.laws.get_buffer("rain").double().numpy()


def test_a_simulation_without_error_passes_through(prior):
    rain = shuffled(law_of(prior))
    found = end(downscaled(prior, INSIDE, simulated(prior, rain), {})).rain
    wet = rain[:, 1:6, 1:6] >= 0.1
    np.testing.assert_allclose(found[wet], rain[:, 1:6, 1:6][wet], rtol=1e-4)
    np.testing.assert_array_equal(found[~wet], 0)


def test_a_simulation_with_errors_gets_the_law_of_the_reference(prior):
    wrong = 0.3 * shuffled(law_of(prior)) ** 1.2 + RANDOM.uniform(0, 0.01, (SHARES, 8, 8))
    found = end(downscaled(prior, INSIDE, simulated(prior, wrong, wind_u=7 + wrong), {})).rain
    law = law_of(prior)[:, 1:6, 1:6]
    np.testing.assert_allclose(np.sort(found, 0), np.where(law < 0.1, 0, law), rtol=1e-4, atol=1e-6)


def test_the_change_of_rain_is_that_of_the_simulations_own(prior):
    past = shuffled(law_of(prior)) * 0.4
    own = simulated(prior, 3 * past) | {"rain": simulated(prior, past, rain=1.3 * past / 24)["rain"]}
    before = {"rain": simulated(prior, past, rain=past / 24)["rain"]}
    found = end(downscaled(prior, INSIDE, own, before)).rain
    law = law_of(prior)[:, 1:6, 1:6]
    wet = law > 3  # more than a trace in the simulation too
    np.testing.assert_allclose((np.sort(found, 0) / np.maximum(law, 0.1))[wet], 1.3, rtol=1e-3)
    order = past[:, 1:6, 1:6].argsort(0)
    rising = np.diff(np.take_along_axis(np.asarray(found, float), order, 0), axis=0)
    assert np.mean(rising >= 0) > 0.95  # but for the dry


def test_without_the_simulated_rain_the_regressed_change_is_kept(prior):
    past = shuffled(law_of(prior))
    grown = end(downscaled(prior, INSIDE, simulated(prior, 1.5 * past), simulated(prior, past))).rain
    law = law_of(prior)[:, 1:6, 1:6]
    wet = law > 2
    ratio = (np.sort(grown, 0) / np.maximum(law, 0.1))[wet]
    assert ratio.min() > 1.2
    assert grown.max() > law.max()


def test_mass_is_kept_in_every_coarse_cell():
    fine, coarse = RANDOM.gamma(0.5, 4, (3, 16, 24)), RANDOM.gamma(0.5, 4, (4, 6))
    fine[:, :4, :4] = 0.0
    coarse[2, 3] = 0.0
    kept = conserved(fine, coarse)
    np.testing.assert_allclose(kept.reshape(3, 4, 4, 6, 4).mean((2, 4)), np.broadcast_to(coarse, (3, 4, 6)))
    shape = kept[:, 4:8, 4:8] / fine[:, 4:8, 4:8]
    np.testing.assert_allclose(shape, np.broadcast_to(shape[:, :1, :1], shape.shape))
    assert (kept >= 0).all()


@dataclass(frozen=True)
class Turned(Streams):
    """The same noise, farther east."""

    cells: int = 0

    def __call__(self, name, shape, device="cpu"):
        return super().__call__(name, shape, device).roll(self.cells, -1)


class Near(nn.Module):
    """A network that sees the next cells only."""

    def __init__(self):
        super().__init__()
        self.see = nn.Conv2d(3, 1, 3, padding=1)
        self.see.weight.data.normal_(generator=torch.Generator().manual_seed(0))

    def forward(self, x, level, *others):
        return self.see(torch.cat([x, *others], 1))


def test_a_world_without_ends_is_the_same_wherever_it_is_cut(prior):
    region = prior.cells(WORLD.box)
    assert region.endless
    assert not prior.cells(INSIDE).endless
    prior.network.fine.network = Near().requires_grad_(False)
    coarse, x = torch.randn(8, 8), torch.randn(2, 32, 32)
    here = region.fine(coarse, Streams(0, (0, 1)), 1.0)(x, 0.7)
    moved = region.fine(coarse.roll(3, -1), Turned(0, (0, 1), 12), 1.0)(x.roll(12, -1), 0.7)
    torch.testing.assert_close(moved, here.roll(12, -1))
    edge = Endless(lambda x, sigma: x.cumsum(-1), 4)  # type: ignore[arg-type]
    torch.testing.assert_close(edge(x, 1.0), around(x, 4).cumsum(-1)[..., 4:-4])


def test_noise_in_fine_cells_hides_a_spectrum_of_coarse_ones():
    """White noise of level s, in means of n by n cells, has the spectrum (s / n)^2: so s* is n times the
    level that the spectra of two coarse maps tell."""
    white = 3.0 * RANDOM.standard_normal((200, 32, 32))
    assert white.reshape(200, 8, 4, 8, 4).mean((2, 4)).std() == pytest.approx(3.0 / 4, rel=0.03)


def drawn(ready: Downscaled, members, seed: int = 1, mass: bool = False) -> np.ndarray:
    *_, (share, rain) = ready.draws(seed, list(members), 4, 1.0, mass)
    assert share == 1
    assert rain is not None
    return rain


def test_members_and_times_have_noise_of_their_own(prior):
    ready = end(downscaled(prior, INSIDE, simulated(prior, shuffled(law_of(prior))), {}))
    three = ready.at(ready.times[4:7])
    whole = drawn(three, range(3))
    np.testing.assert_array_equal(drawn(three, [2]), whole[2:])
    np.testing.assert_array_equal(drawn(three.at(three.times[1:2]), [0, 1]), whole[:2, 1:2])
    assert not np.array_equal(whole[0], whole[1])
    assert np.isfinite(whole).all()
    assert (whole >= 0).all()
    kept = drawn(three, [0], mass=True)[0].reshape(3, 5, 4, 5, 4).mean((2, 4)) * 24
    np.testing.assert_allclose(kept, three.rain, rtol=1e-4, atol=1e-5)


def test_rain_is_brought_to_the_tasks_cells(prior):
    ready = end(downscaled(prior, INSIDE, simulated(prior, shuffled(law_of(prior))), {}))
    rain = RANDOM.gamma(0.5, 2, (2, 3, 20, 20)).astype(np.float32)
    np.testing.assert_allclose(onto(Grid(INSIDE, 0.25), ready.grid, rain), rain, rtol=1e-5)
    coarser = onto(Grid(INSIDE, 0.5), ready.grid, rain)
    np.testing.assert_allclose(coarser.mean(), rain.mean(), rtol=2e-3)
    assert onto(Grid(INSIDE, 0.1), ready.grid, rain).shape == (2, 3, 50, 50)


def test_refusals_are_one_line_that_names_what_is_missing(prior):
    own = simulated(prior, shuffled(law_of(prior)))
    for domain, said in ((Box(105, 29, 116, 34), "stay inside"), (Box(111, 29, 113, 34), "4 degrees a side")):
        with pytest.raises(Invalid, match=said):
            prior.cells(domain)
    with pytest.raises(Invalid, match="predictors: no wind_u; prior tiny needs air, wind_u, there are air"):
        end(downscaled(prior, INSIDE, {"air": own["air"]}, {}))
    with pytest.raises(Invalid, match="predictors: ice is of no use; prior tiny needs air, wind_u"):
        end(downscaled(prior, INSIDE, own | {"ice": own["air"]}, {}))
    with pytest.raises(Invalid, match="12 times are no climate"):
        end(downscaled(prior, INSIDE, {name: each[:12] for name, each in own.items()}, {}))
    with pytest.raises(Invalid, match="history: no air"):
        end(downscaled(prior, INSIDE, own, {"wind_u": own["wind_u"]}))
    gap = own | {"air": own["air"].where(own["air"].lat > 30)}
    with pytest.raises(Invalid, match="air has missing values"):
        end(downscaled(prior, INSIDE, gap, {}))
    ready = end(downscaled(prior, INSIDE, own, {}))
    with pytest.raises(Invalid, match="1 of 1 times are missing"):
        ready.at(pd.DatetimeIndex(["2031-01-01"]))


def task(**changes) -> Task:
    told = Task.of_yaml((ROOT / "assets" / "tasks" / "climate.yaml").read_text())
    return replace(told, **changes)


SHORT = {
    "domain": Box(102, 22, 118, 38),
    "period": {"start": "2020-06-29T00:00", "end": "2020-06-29T06:00", "step": "6h"},
}


def test_the_shipped_task_in_small():
    asked = task(**SHORT, settings={"steps": 4}, members=2)
    rain = ensemble(method("climate_downscaling", asked.settings).run(asked, 0, [0, 1]))
    fields.check(rain)
    assert rain.shape == (2, 1, 64, 64)
    assert 0.02 < float((rain >= 0.1).mean()) < 0.9
    assert float(rain.max()) < 150


def test_the_method_refuses_in_one_line():
    downscaling = method("climate_downscaling", {"steps": 4})
    with pytest.raises(Invalid, match="needs predictor"):
        downscaling.accept(task(sources=()))
    with pytest.raises(Invalid, match="taught means of 6h"):
        downscaling.accept(
            task(period={"start": "2020-06-29T00:00", "end": "2020-06-29T12:00", "step": "12h"})
        )
    twice = task(**SHORT, sources=[*task().sources, {"name": "climate/humidity", "role": "predictor"}])
    with pytest.raises(Invalid, match="a second humidity"):
        list(downscaling.run(twice, 0, [0]))


@pytest.fixture
def system(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return importlib.import_module("training.systems.climate_downscaling")


def test_a_law_keeps_the_mean_of_what_it_is_of(system):
    values = RANDOM.gamma(0.4, 5, (333, 2, 3))
    law = system.law(values, system.SHARES)
    assert law.shape == (system.SHARES, 2, 3)
    np.testing.assert_allclose(law.mean(0), values.mean(0), rtol=1e-6)
    assert (np.diff(law, axis=0) >= 0).all()


def test_squares_are_cut_across_the_end_of_the_world(system):
    place = np.broadcast_to(np.arange(12.0), (1, 8, 12))
    found = [system.cut(np.random.default_rng(seed), (place,), 4, 4)[0] for seed in range(30)]
    assert {tuple(each[0, 0].astype(int)) for each in found} == {(0, 1, 2, 3), (4, 5, 6, 7), (8, 9, 10, 11)}
    across = [system.cut(np.random.default_rng(seed), (place,), 8, 4)[0][0, 0] for seed in range(30)]
    assert any((np.diff(each) < 0).any() for each in across)


@pytest.fixture
def lessons(system, home):
    """Two small worlds of thirty hours, the second held out."""
    grid, period = Grid(Box(110, 28, 118, 36), 0.25), Period("2020-07-01T00:00", "2020-07-02T06:00")  # type: ignore[arg-type]
    for number in (1, 2):
        values = RANDOM.gamma(0.4, 2, (30, *grid.shape)).astype(np.float32)
        rain = fields.rain(values, period.times, grid.lat, grid.lon)
        wind = rain.rename("wind_u").assign_attrs(units="m s-1")
        about = {"kind": "field", "title": "A field", "role": "", "native": "0.25°", "independent": True}
        layers = {"rain": (about, rain), "wind_u": (about, wind)}
        write_case(home / "cases" / f"world_{number}.nc", {"title": "A world", "box": list(grid.box)}, layers)
    run = CARD["run"] | {"predictors": ["wind_u"], "worlds": "cases/world_?.nc", "hold_out": 1, "batch": 3}
    run |= {name: {"widths": [8, 8], "patch": patch} for name, patch in (("regression", 1), ("fine", 2))}
    return system.taught(run | {"seed": 0, "steps": 2}, home, home)


def test_a_batch_is_told_its_own_coarse_rain(system, lessons):
    batch = lessons.batch(np.random.default_rng(0), torch.Generator(), 0)
    mean, deviation = lessons.about["rain"]
    for fine, told in zip(batch.fine.numpy(), batch.upsampled.numpy(), strict=True):
        coarse = system.blocks(10 ** (mean + deviation * fine) - 1, 4)
        wanted = system.upsampled(lessons.scaled(coarse), 4)
        np.testing.assert_allclose(told[2:-2, 2:-2], wanted[2:-2, 2:-2], rtol=1e-3, atol=1e-4)
    assert batch.predictors.shape == (3, 2, 6, 6)
    assert batch.coarse.shape == (3, 6, 6)


def test_what_is_taught_is_what_is_used(lessons):
    made, generator = lessons.denoiser(), torch.Generator().manual_seed(0)
    batch = lessons.batch(np.random.default_rng(0), generator, 0)
    loss = lessons.loss(made, batch, generator)
    loss.backward()
    assert float(loss.detach()) > 0
    card = {"run": lessons.run} | lessons.card()
    assert set(NEEDED) <= set(card)
    again = Downscaler(card["run"], card["shapes"])
    again.load_state_dict(made.state_dict())
    region = Prior("small", card, again.requires_grad_(False)).cells(Box(112, 30, 117, 34))
    learned = lessons.coarse[:, 2:6, 2:7]
    np.testing.assert_allclose(region.law("rain").mean(0), learned.mean(0), rtol=1e-5)
