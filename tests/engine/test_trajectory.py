"""Trajectories: films without a seam, held to what was seen, the same in any company and of any length."""

import importlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from safetensors.torch import save_file
from torch import Tensor

from engine import fields
from engine.denoise import Denoiser, Level
from engine.evidence import Seen
from engine.fields import Box, Grid, Observations, Period, ensemble
from engine.films import HOURS, KEPT, KNOWN, MEMORY, NEEDED, Films, Prior, Told, prior
from engine.laws import Normal
from engine.methods import methods
from engine.noise import Streams, karras
from engine.observe import Areas, Each, Hours, Then, Through, areas
from engine.sample import ito, last
from engine.sources.cases import write_case
from engine.streamed import LEFT, Held, Tabled, streamed
from engine.tasks import Task
from engine.trajectories import Settings, Trajectories, hourly, trajectories
from engine.transforms import Expected, Log, NormalScore
from engine.values import Invalid

ROOT = Path(__file__).resolve().parents[2]
RANDOM = np.random.default_rng(0)
WORLD = Grid(Box(110, 28, 118, 36), 1.0)
SIGNED = np.r_[-RANDOM.gamma(1, 200, 6000) - 1, RANDOM.gamma(0.6, 2, 4000) + 0.01]
CARD = {
    "run": {
        "system": "trajectory", "others": ["u"], "intervals": [1, 3, 6], "coarse": 1.0, "tile": 16,
        "network": {"widths": [8, 8], "patch": 2, "padding": "zeros"},
    },
    "box": list(WORLD.box), "step": 0.25, "shapes": {"law": [48, 8, 8]},
    "standard": {"rain": [0.0, 0.7], "u": [1.0, 5.0]}, "score": NormalScore.signed(SIGNED).told,
}  # fmt: skip
START = pd.Timestamp("2020-07-03T00:00")


@dataclass(frozen=True)
class Red(Denoiser):
    """Films of which each cell goes its own way, red in time; the first hour may be known."""

    memory: float
    known: Tensor | None = None

    def __call__(self, x: Tensor, sigma: Level) -> Tensor:
        hours = torch.arange(HOURS)
        covariance, mean = self.memory ** (hours[:, None] - hours).abs(), torch.zeros_like(x)
        if self.known is not None:
            fading = self.memory**hours
            covariance = covariance - fading[:, None] * fading
            mean = fading.to(x)[:, None, None] * self.known
        gain = torch.linalg.solve(covariance + float(sigma) ** 2 * torch.eye(HOURS), covariance).T
        return mean + torch.einsum("ts,nvsrc->nvtrc", gain.to(x), x - mean)


def film(denoiser: Denoiser, members: int, shape: tuple[int, ...], steps: int) -> Tensor:
    streams = Streams(0, range(members))
    return last(ito(denoiser, 20 * streams("start", shape), karras(steps), streams))


def test_films_follow_each_other_without_a_seam():
    """A red prior's trajectories are red across the ends of films as within them."""
    shape, members = (1, HOURS, 3, 3), range(250)
    noise = [Streams(seed, members) for seed in range(4)]
    parts = [
        part for _, part in streamed(lambda _, known: Red(0.9, known), shape, noise, 16) if part is not None
    ]
    whole = torch.cat(parts, 2).numpy()
    assert whole.shape == (250, 1, 4 * KEPT, 3, 3)
    series = whole.transpose(2, 0, 1, 3, 4).reshape(4 * KEPT, -1)
    together = np.corrcoef(series)
    wanted = 0.9 ** np.abs(np.subtract.outer(range(4 * KEPT), range(4 * KEPT)))
    assert np.abs(together - wanted).max() < 0.1
    np.testing.assert_allclose(series.std(1), 1, atol=0.06)
    steps = np.diff(series, axis=0).std(1)
    seams = np.arange(KEPT - 1, 4 * KEPT - 1, KEPT)
    assert steps[seams].mean() == pytest.approx(np.delete(steps, seams).mean(), rel=0.05)


def sums(count: int = 2) -> tuple[Then, Areas]:
    """Means of 2 x 2 areas over intervals of six hours, after the first hour of a film of 4 x 4 cells."""
    means = areas(Grid(Box(0, 0, 1, 1), 0.25), Grid(Box(0, 0, 1, 1), 0.5))
    weight = torch.zeros(count, HOURS)
    for each in range(count):
        weight[each, MEMORY + 6 * each :][:6] = 1 / 6
    return Then(Each(means, HOURS), Hours(weight, (HOURS, 2, 2))), means


@dataclass(frozen=True)
class White(Denoiser):
    variance: float

    def __call__(self, x: Tensor, sigma: Level) -> Tensor:
        return self.variance / (self.variance + float(sigma) ** 2) * x


def test_what_is_held_to_sums_is_the_exact_posterior_of_a_white_prior():
    operator, _ = sums()
    observed, error = torch.linspace(-0.3, 0.3, 8), 0.05
    held = Held(White(LEFT), Seen(operator, Normal(observed, error)))
    found = film(held, 400, (2, HOURS, 4, 4), 24)
    means = operator(found[:, 0])
    size = LEFT * operator(operator.adjoint(torch.eye(8))).diagonal()
    gain = size / (size + error**2)
    np.testing.assert_allclose(means.mean(0), gain * observed, atol=0.012)
    np.testing.assert_allclose(means.std(0), (gain * error**2).sqrt(), rtol=0.15)
    assert float(found.var()) == pytest.approx(LEFT, rel=0.05)


def test_sums_of_rain_are_held_through_its_transform():
    operator, _ = sums()
    rain = Through(operator, Log(0.3))
    observed = torch.tensor([0.15, 0.3, 0.6, 0.2, 0.4, 0.25, 0.5, 0.3])
    error = 0.1 * observed
    found = film(Held(White(LEFT), Seen(rain, Normal(observed, error))), 60, (1, HOURS, 4, 4), 24)
    missed = (rain(found[:, 0]) - observed) / error
    assert float(missed.mean(0).abs().max()) < 2  # what is four times what the prior expects is met last
    assert float(missed.square().mean().sqrt()) < 1.5
    np.testing.assert_allclose(missed.std(0), 1, atol=0.4)


def test_a_table_says_what_its_transform_says():
    score = Expected(NormalScore.signed(SIGNED), 0.2)
    latent = torch.linspace(-7, 9, 3001)
    found = Tabled.of(score)
    torch.testing.assert_close(found.inverse(latent), score.inverse(latent), atol=2e-3, rtol=1e-3)
    assert float((found.slope(latent) - score.slope(latent)).abs().mean()) < 0.06  # of 7: knots are jagged
    assert (found.inverse(latent[latent < -4]) == 0).all()


def test_what_is_told_says_what_it_is_worth():
    coarse = torch.ones(1, 2, HOURS, 2, 2)
    coarse[0, 1, 3, 0, 0] = torch.nan
    coarse[0, 0, 5] = torch.nan
    told = Told.of(coarse, torch.tensor([0.25]), 4)
    assert told.values.shape == (1, 2, HOURS, 8, 8)
    assert float(told.worth[0, 1, 3, :4, :4].sum()) == 0
    assert float(told.worth[0, 1, 3, 4:].min()) == 0.5
    assert float(told.values[0, 0, 5].abs().sum() + told.worth[0, 0, 5].sum()) == 0
    known = told.remembering(torch.full((1, 2, MEMORY, 8, 8), 7.0), torch.tensor([True]))
    assert (known.values[:, :, :MEMORY] == 7).all()
    assert (known.worth[:, :, :MEMORY] == KNOWN).all()
    torch.testing.assert_close(known.values[:, :, MEMORY:], told.values[:, :, MEMORY:])
    assert not torch.equal(known.flat(torch.ones(8, 8)), told.flat(torch.ones(8, 8)))


@pytest.fixture(scope="module")
def untaught() -> Films:
    """A network that says something, but has learned nothing, and laws."""
    torch.manual_seed(0)
    made = Films(CARD["run"], CARD["shapes"])
    with torch.no_grad():
        for each in made.film.parameters():
            each.add_(0.03 * torch.randn(each.shape))
    for name, values in made.laws.named_buffers():
        drawn = (
            RANDOM.gamma(0.5, 1, values.shape)
            if name.startswith("rain")
            else RANDOM.normal(size=values.shape)
        )
        values.copy_(torch.from_numpy(np.sort(drawn, 0)))
    return made.requires_grad_(False)


@pytest.fixture
def known(untaught) -> Prior:
    return Prior("tiny", CARD, untaught)


def simulated(name: str, count: int, every: int = 6, scale: float = 1.0) -> xr.DataArray:
    """A quantity on cells of one degree, in intervals that end when the start's do."""
    rng = np.random.default_rng(3)
    values = scale * (rng.gamma(0.5, 1, (count, 8, 8)) if name == "rain" else rng.normal(size=(count, 8, 8)))
    times = pd.date_range(START - 48 * pd.Timedelta("1h"), periods=count, freq=f"{every}h")
    return fields.rain(values.astype("f4"), times, WORLD.lat, WORLD.lon, interval=f"{every}h").rename(name)


INSIDE, PLAIN = Box(111, 29, 115, 33), Settings(False, 0.1, 0.1)


def ready(known: Prior, hours: int, count: int = 24, **more) -> Trajectories:
    told = {"now": {"rain": simulated("rain", count)}, "past": {}, "gauges": None, "settings": PLAIN} | more
    period = Period(START, START + pd.Timedelta(hours, "h"))
    return trajectories(known, period, known.cells(INSIDE), **told)


def drawn(found: Trajectories, members, seed: int = 0) -> np.ndarray:
    rain = None
    for _, rain in found.draws(Grid(INSIDE, 0.25), seed, members, 4):  # noqa: B007
        pass
    assert rain is not None
    return rain


def test_of_a_longer_trajectory_the_first_hours_are_those_of_a_shorter_one(known):
    short, long = drawn(ready(known, 9), [0, 1]), drawn(ready(known, 14), [0, 1])
    assert short.shape == (2, 9, 16, 16)
    np.testing.assert_array_equal(short, long[:, :9])
    assert not np.array_equal(short[:, :6], drawn(ready(known, 9), [0, 1], seed=1)[:, :6])


def test_a_member_is_the_same_in_any_company(known):
    found = ready(known, 6)
    np.testing.assert_array_equal(drawn(found, [2, 0])[0], drawn(found, [2])[0])


def test_memory_is_that_of_one_film_however_long(known):
    """What a film is drawn from is a film's, and nothing else is handed on."""
    found, sizes = ready(known, 30), []
    assert found.count == 5

    def following(number: int, before: Tensor | None) -> Denoiser:
        sizes.append(None if before is None else (tuple(before.shape), before._base is None))
        return Red(0.5, before)

    noise = [Streams(seed, [0]) for seed in range(found.count)]
    for _ in streamed(following, (2, HOURS, 4, 4), noise, 2):
        pass
    assert sizes == [None, *[((1, 2, MEMORY, 4, 4), True)] * 4]


def test_a_trajectory_may_begin_within_an_interval(known):
    late = Period(START + pd.Timedelta("2h"), START + pd.Timedelta("9h"))
    arguments = ({"rain": simulated("rain", 24)}, {}, None, PLAIN)
    found = trajectories(known, late, known.cells(INSIDE), *arguments)
    assert found.first == START
    np.testing.assert_array_equal(drawn(found, [0]), drawn(ready(known, 9), [0])[:, 2:])


def test_hours_have_the_mean_of_their_interval(known):
    field = simulated("rain", 24)
    hours = pd.date_range(START + pd.Timedelta("1h"), periods=12, freq="h")
    found = hourly(field, field.values, 6, hours, Period(START, START + pd.Timedelta("12h")))
    for number, stamp in ((0, "06:00"), (5, "06:00"), (6, "12:00"), (11, "12:00")):
        np.testing.assert_array_equal(found[number], field.sel(time=f"2020-07-03T{stamp}"))
    after = pd.date_range(field.indexes["time"][-1], periods=3, freq="h")
    beyond = hourly(field, field.values, 6, after, Period(START, START + pd.Timedelta("12h")))
    assert np.isnan(beyond[1:]).all()
    assert np.isfinite(beyond[0]).all()


def test_a_biased_simulation_gets_the_law_of_the_reference(known):
    settings = replace(PLAIN, calibrated=True)
    wrong = {"rain": simulated("rain", 48, scale=5.0)}
    found = ready(known, 12, now=wrong, settings=settings).coarse[0]
    same = ready(known, 12, now={"rain": simulated("rain", 48)}, settings=settings).coarse[0]
    wet = same > 0.3
    np.testing.assert_allclose(found[wet], same[wet], rtol=0.05)
    law = known.cells(INSIDE).law("rain", 6)
    assert np.nanmax(found) <= law.max() * 1.01
    warmer = {"now": wrong, "past": {"rain": simulated("rain", 48, scale=2.5)}, "settings": settings}
    np.testing.assert_allclose(ready(known, 12, **warmer).coarse[0][wet] / same[wet], 2, rtol=0.05)


def test_a_simulation_that_is_too_short_is_taken_at_its_word(known):
    settings = replace(PLAIN, calibrated=True)
    np.testing.assert_array_equal(ready(known, 12, settings=settings).coarse, ready(known, 12).coarse)


def test_gauges_bend_a_trajectory_where_they_stand(known):
    times = pd.date_range(START + pd.Timedelta("1h"), periods=6, freq="h")
    gauges = Observations.of(np.full((1, 6), 3.0), ["A"], times, [31.125], [113.125])
    plain, bent = drawn(ready(known, 6), [0, 1]), drawn(ready(known, 6, gauges=gauges), [0, 1])
    here = Grid(INSIDE, 0.25)
    row, column = (
        int(np.abs(axis - place).argmin()) for axis, place in ((here.lat, 31.125), (here.lon, 113.125))
    )
    gap = [np.abs(each[:, :, row, column] - 3).mean() for each in (plain, bent)]
    assert gap[1] < 0.5 * gap[0]


def test_what_cannot_be_told_is_refused_in_one_line(known):
    with pytest.raises(Invalid, match="taught 1h, 3h, 6h"):
        ready(known, 12, now={"rain": simulated("rain", 60, every=2)})
    with pytest.raises(Invalid, match="hours are missing"):
        ready(known, 24 * 20)
    with pytest.raises(Invalid, match="humidity: of no use"):
        ready(known, 12, now={"rain": simulated("rain", 24), "humidity": simulated("humidity", 24)})
    with pytest.raises(Invalid, match="stay inside"):
        known.cells(Box(100, 20, 104, 24))


@pytest.fixture
def world(home, untaught, monkeypatch) -> str:
    """A case of six-hourly rain and wind, and a prior on the shelf."""
    about = {"title": "A run", "box": list(WORLD.box), "start": "2020-07-01T00:00", "end": "2020-07-10T00:00"}
    known = {"kind": "field", "title": "A field", "role": "background", "native": "1°", "independent": True}
    wind = simulated("u", 40).assign_attrs(units="m s-1")
    truth = (known | {"role": "reference"}, simulated("rain", 40, scale=2))
    layers = {"rain": (known, simulated("rain", 40)), "u": (known, wind), "truth": truth}
    write_case(home / "cases" / "run.nc", about, layers)
    (home / "priors").mkdir()
    weights = {name: value.half() for name, value in untaught.state_dict().items()}
    save_file(
        weights, home / "priors" / "tiny.safetensors", {name: json.dumps(each) for name, each in CARD.items()}
    )
    setting = {each.name: each for each in methods()["trajectory"].__dataclass_fields__.values()}["prior"]
    monkeypatch.setattr(setting, "metadata", dict(setting.metadata) | {"choices": ("tiny",)})
    return "run"


def task(**changes) -> Task:
    told = {
        "domain": INSIDE, "step": 0.25, "members": 2, "method": "trajectory",
        "period": {"start": str(START), "end": str(START + pd.Timedelta("8h"))},
        "sources": [{"name": "run/rain"}, {"name": "run/u", "role": "predictor"}],
        "settings": {"prior": "tiny", "steps": 4},
    }  # fmt: skip
    return Task.of(told | changes)


def test_a_day_from_six_hourly_means(world):
    asked = task()
    chosen = methods()["trajectory"](**asked.settings)
    rain = ensemble(chosen.run(asked, 0, [0, 1]))
    fields.check(rain)
    assert rain.shape == (2, 8, 16, 16)
    assert rain.attrs["interval"] == "1h"
    assert np.isfinite(rain).all()
    coarser = ensemble(chosen.run(task(step=0.5), 0, [0]))
    assert coarser.shape == (1, 8, 8, 8)
    seen = chosen.seen(asked)
    assert seen.of("background")["run/rain"].attrs["interval"] == "6h"
    assert seen.of("background")["run/rain"].sizes["time"] == 40


def test_the_method_refuses_in_one_line(world):
    chosen = methods()["trajectory"](prior="tiny")
    with pytest.raises(Invalid, match="needs background"):
        chosen.accept(task(sources=()))
    period = {"start": str(START), "end": str(START + pd.Timedelta("12h")), "step": "6h"}
    with pytest.raises(Invalid, match="trajectories have hours"):
        chosen.accept(task(period=period))
    with pytest.raises(Invalid, match="a second rain"):
        list(chosen.run(task(sources=["run/rain", {"name": "run/rain", "role": "predictor"}]), 0, [0]))


def test_a_truth_in_longer_intervals_does_not_judge_hours(world):
    given = importlib.import_module("engine.given")
    assert given.references(task()) == {}
    period = {"start": str(START), "end": str(START + pd.Timedelta("12h")), "step": "6h"}
    assert list(given.references(task(period=period))) == ["run/truth"]


@pytest.fixture
def lessons(home, monkeypatch):
    """Two small worlds of thirty hours, the second held out."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    system = importlib.import_module("training.systems.trajectory")
    grid, period = Grid(WORLD.box, 0.25), Period("2020-07-01T00:00", "2020-07-02T06:00")  # type: ignore[arg-type]
    for number in (1, 2):
        values = np.maximum(RANDOM.gamma(0.4, 2, (30, *grid.shape)) - 0.3, 0).astype(np.float32)
        rain = fields.rain(values, period.times, grid.lat, grid.lon)
        wind = (rain + 3).rename("u").assign_attrs(rain.attrs | {"units": "m s-1"})
        about = {"kind": "field", "title": "A field", "role": "", "native": "0.25°", "independent": True}
        layers = {"rain": (about, rain), "u": (about, wind)}
        write_case(home / "cases" / f"world_{number}.nc", {"title": "A world", "box": list(grid.box)}, layers)
    run = CARD["run"] | {"worlds": "cases/world_?.nc", "hold_out": 1, "batch": 24, "seed": 0, "steps": 2}
    run["network"] = {"widths": [8, 8], "patch": 2}
    return system.taught(run, home, home)


def test_a_batch_is_told_its_own_weather(lessons):
    """Where nothing is in error and all is told, the means of a film are what it is told."""
    batch = lessons.batch(np.random.default_rng(1), torch.Generator(), 0)
    films, told = batch.films, batch.told
    values = told[:, : 2 * HOURS].reshape(24, 2, HOURS, 16, 16)
    worth = told[:, 2 * HOURS : 4 * HOURS].reshape(24, 2, HOURS, 16, 16)
    exact = (worth[:, 1, MEMORY:] == 1).flatten(1).all(1)
    assert exact.any()
    for film, seen in zip(films[exact, 1, MEMORY:], values[exact, 1, MEMORY:], strict=True):
        torch.testing.assert_close(film.mean((1, 2)).mean(), seen.mean((1, 2)).mean(), atol=2e-3, rtol=1e-3)
    remembered = (worth[:, :, :MEMORY] == KNOWN).flatten(1).all(1)
    assert remembered.any()
    torch.testing.assert_close(values[remembered, :, :MEMORY], films[remembered, :, :MEMORY])
    unseen = ~(worth > 0)
    assert (values.reshape(24, 2, -1)[unseen.reshape(24, 2, -1)] == 0).all()


def test_what_is_taught_is_what_is_used(lessons):
    made, generator = lessons.denoiser(), torch.Generator().manual_seed(0)
    batch = lessons.batch(np.random.default_rng(0), generator, 0)
    loss = lessons.loss(made, batch, generator)
    loss.backward()
    made.requires_grad_(False)
    assert float(loss.detach()) > 0
    assert set(lessons.judged(made, 0, 1)) == {"0.1", "0.3", "1", "3", "10"}
    card = {"run": lessons.run} | json.loads(json.dumps(lessons.card()))
    assert set(NEEDED) <= set(card)
    again = Films(card["run"], card["shapes"])
    again.load_state_dict(made.state_dict())
    region = Prior("small", card, again.requires_grad_(False)).cells(INSIDE)
    wanted = lessons.learned[0].means(6)[:, 0, 1:5, 1:5]
    np.testing.assert_allclose(region.law("rain", 6).max(0), wanted.max(0), rtol=1e-4)


def test_a_prior_is_read_from_the_shelf(world):
    found = prior("tiny")
    assert found.quantities == ("rain", "u")
    assert found.cells(Box(111.3, 29.2, 111.9, 33)).coarse.box == Box(111, 29, 113, 33)
    with pytest.raises(Invalid, match="there are"):
        prior("none")
