"""Pseudo-precipitation: waves are mirrored exactly, dry is dry, u is normal, members are their own."""

import importlib
import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from engine import fields
from engine.fields import Box, Grid, Period, ensemble
from engine.networks.pixel import SCORES, Pixel, Rising, scores, unlike_normal
from engine.overlap import onto
from engine.pseudo import NEEDED, Prior, Pseudo, Refined, Truncation, moisture, prior, waves
from engine.sources.cases import write_case
from engine.tasks import Task
from engine.values import Invalid

ROOT = Path(__file__).resolve().parents[2]
RANDOM = np.random.default_rng(0)
BOX = Box(110, 28, 118, 36)
RUN = {"system": "pseudo_precipitation", "interval": "6h", "coarse": 1.0, "tile": 16}
CARD = {"run": RUN | {"network": {"widths": [8, 8], "padding": "zeros"}}, "step": 0.25, "top": 60.0}
PERIOD = Period("2020-07-01T00:00", "2020-07-01T18:00", "6h")  # pyright: ignore[reportArgumentType]


def test_cosines_are_orthonormal():
    each = waves(12)
    torch.testing.assert_close(each @ each.T, torch.eye(12, dtype=torch.float64))


def test_cutting_short_waves_is_a_projection():
    truncation = Truncation.of((6, 9), 4)
    fine, coarse = torch.randn(3, 24, 36), torch.randn(3, 6, 9)
    torch.testing.assert_close(truncation.down(truncation.up(coarse)), coarse, atol=1e-5, rtol=1e-5)
    once = truncation.cut(fine)
    torch.testing.assert_close(truncation.cut(once), once, atol=1e-5, rtol=1e-5)
    other = torch.randn(3, 24, 36)
    torch.testing.assert_close((once * other).sum(), (fine * truncation.cut(other)).sum())
    # down is the adjoint of up, for means over cells so many times larger
    torch.testing.assert_close(
        (truncation.down(fine) * coarse).sum() * 16, (fine * truncation.up(coarse)).sum()
    )


def test_long_waves_and_means_are_kept_and_edges_do_not_meet():
    truncation = Truncation.of((8, 8), 4)
    north = torch.cos(torch.pi * 3 * (torch.arange(32) + 0.5) / 32)
    long = (2 + north[:, None]).expand(32, 32)
    torch.testing.assert_close(truncation.cut(long), long, atol=1e-5, rtol=1e-5)
    slope = torch.linspace(-1, 1, 32)[:, None].expand(32, 32)  # a torus would ring where its ends meet
    assert (truncation.cut(slope) - slope).abs().max() < 0.05
    torch.testing.assert_close(truncation.down(slope).mean(), slope.mean(), atol=1e-6, rtol=0)


def test_a_rising_network_rises():
    torch.manual_seed(0)
    network = Rising((2, 8, 8, 1), 2.0).requires_grad_(False)
    x = torch.randn(200, 2) * 3
    for step in (torch.tensor([0.3, 0.0]), torch.tensor([0.0, 0.3])):
        assert (network(x + step) > network(x)).all()


@pytest.fixture
def pixel() -> Pixel:
    torch.manual_seed(0)
    made = Pixel().requires_grad_(False)
    made.threshold.fill_(0.3)
    return made


def sample(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    rain = RANDOM.gamma(0.6, 2, count) * (RANDOM.random(count) > 0.6)
    return torch.from_numpy(rain).float(), torch.from_numpy(RANDOM.normal(size=count)).float()


def test_dry_is_dry_exactly_and_wet_is_wet(pixel):
    rain, air = sample(5000)
    for _ in range(2):
        u = pixel.encode(rain, air)
        back = pixel.decode(u)
        assert (back[rain == 0] == 0).all()
        assert (back[rain > 0.01] > 0).all()
        assert u[rain == 0].max() < u[rain > 0].min()
        pixel.level(pixel.raw(rain, air))  # the last map changes none of it
    half = {name: value.half().float() for name, value in pixel.state_dict().items()}
    pixel.load_state_dict(half)  # nor does the precision of the file
    assert (pixel.decode(pixel.encode(rain, air))[rain == 0] == 0).all()


def test_more_u_is_never_less_rain_and_never_runs_away(pixel):
    pixel.level(pixel.raw(*sample(5000)))
    u = torch.linspace(-20, 20, 4001)
    network = Pseudo(CARD["run"]["network"], 60.0).requires_grad_(False)
    network.pixel = pixel
    rain = network.decode(u)
    assert (rain.diff() >= 0).all()
    assert (rain[u < -1] == 0).all()
    assert rain.isfinite().all()
    far = network.decode(torch.tensor([100.0, 101.0, 102.0])).diff()
    torch.testing.assert_close(far[0], far[1], rtol=1e-3, atol=1e-3)  # a line, no exponential


def test_moist_air_is_nearer_to_rain(pixel):
    divergence = torch.linspace(5, -5, 50)
    assert (pixel.encode(torch.zeros(50), moisture(divergence)).diff() > 0).all()


def test_the_quantile_loss_is_nothing_for_a_normal_and_the_last_map_makes_one(pixel):
    normal = torch.linspace(-3, 3, 61, dtype=torch.float64)
    exact = torch.special.ndtri((torch.arange(20000, dtype=torch.float64) + 0.5) / 20000)
    assert float(unlike_normal(exact[torch.randperm(20000)], normal)) < 1e-6
    assert float(unlike_normal(exact + 0.5, normal)) == pytest.approx(0.25, rel=1e-3)
    rain, air = sample(100_000)
    assert float(unlike_normal(pixel.encode(rain, air), normal)) > 0.01
    pixel.level(pixel.raw(rain, air))
    found = scores(pixel.encode(rain, air), SCORES[12:-12])
    torch.testing.assert_close(found, SCORES[12:-12].to(found), atol=0.03, rtol=0)


@pytest.fixture
def known() -> Prior:
    torch.manual_seed(1)
    network = Pseudo(CARD["run"]["network"], CARD["top"])
    network.pixel.level(network.pixel.raw(network.log.forward(sample(5000)[0]), sample(5000)[1]))
    return Prior("tiny", CARD, network.requires_grad_(False))


def world(step: float = 1.0) -> tuple:
    """Rain and divergence of three times."""
    grid = Grid(BOX, step)
    rain, air = (each.numpy().reshape(3, *grid.shape) for each in sample(3 * int(np.prod(grid.shape))))
    made = fields.rain(rain, PERIOD.times, grid.lat, grid.lon, interval="6h")
    return made, made.copy(data=-air).rename("vimd").assign_attrs(units="mm h-1")


def drawn(ready: Refined, members, seed: int = 1) -> np.ndarray:
    *_, (share, rain) = ready.draws(seed, list(members), 4)
    assert share == 1
    assert rain is not None
    return rain


def test_members_and_times_have_noise_of_their_own(known):
    ready = Refined.of(known, BOX, *world())
    whole = drawn(ready, range(3))
    assert whole.shape == (3, 3, 32, 32)
    np.testing.assert_array_equal(drawn(ready, [2]), whole[2:])
    middle = replace(ready, times=ready.times[1:2], rain=ready.rain[1:2], divergence=ready.divergence[1:2])
    np.testing.assert_array_equal(drawn(middle, [0, 1]), whole[:2, 1:2])
    assert not np.array_equal(whole[0], whole[1])
    assert np.isfinite(whole).all()
    assert (whole >= 0).all()
    assert 0 < (whole == 0).mean() < 1


def test_smaller_cells_are_averaged_and_domains_widened_to_whole_cells(known):
    rain, divergence = world(0.25)
    ready = Refined.of(known, BOX, rain, divergence)
    wanted = rain.values.reshape(3, 8, 4, 8, 4).mean((2, 4))
    np.testing.assert_allclose(ready.rain, wanted, rtol=0.02, atol=0.01)  # rows count by their parallels
    assert known.cells(Box(110.4, 28.2, 115, 34.1)) == Grid(Box(110, 28, 115, 35), 1.0)
    assert onto(Grid(Box(111, 29, 115, 34), 0.1), ready.grid, drawn(ready, [0])).shape == (1, 3, 50, 40)


def test_refusals_are_one_line_that_names_what_is_wrong(known):
    rain, divergence = world()
    with pytest.raises(Invalid, match="4 degrees a side"):
        known.cells(Box(110, 28, 112, 36))
    with pytest.raises(Invalid, match="rain: has missing values"):
        Refined.of(known, BOX, rain.where(rain.lat > 30), divergence)
    with pytest.raises(Invalid, match="moisture divergence: has missing values"):
        Refined.of(known, BOX, rain, divergence.sel(lon=slice(112, None)))
    with pytest.raises(Invalid, match="cells of 2 degrees; give cells of 1"):
        Refined.of(known, BOX, *world(2.0))


@pytest.fixture
def method(known, home):
    """The method with a tiny prior on the shelf: which there are it asks when it is loaded."""
    path = home / "priors" / "pseudo.safetensors"
    path.parent.mkdir(parents=True)
    weights = {name: value.half() for name, value in known.network.state_dict().items()}
    save_file(weights, path, {name: json.dumps(value) for name, value in CARD.items()})
    rain, divergence = world()
    about = {"kind": "field", "title": "A field", "role": "", "native": "1°", "independent": True}
    told = {
        "title": "A world",
        "box": list(BOX),
        "start": str(PERIOD.start),
        "end": str(PERIOD.end),
        "step": "6h",
    }
    layers = {
        "coarse": (about, rain),
        "more": (about, rain),
        "vimd": (about, divergence),
        "u": (about, divergence.rename("wind_u")),
    }
    write_case(home / "cases" / "coarse.nc", told, layers)
    where = ROOT / "engine" / "methods" / "pseudo_precipitation.py"
    spec = importlib.util.spec_from_file_location("engine.methods.again", where)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("sys").modules, "engine.methods.again", module)
        spec.loader.exec_module(module)
        yield module.PseudoPrecipitation


def task(**changes) -> Task:
    told = Task.of_yaml((ROOT / "assets" / "tasks" / "pseudo.yaml").read_text())
    sources = [{"name": f"coarse/{use.name.partition('/')[2]}", "role": use.role} for use in told.sources]
    small = {"domain": Box(111, 29, 117, 35), "period": PERIOD, "sources": sources, "members": 2}
    return replace(told, **(small | changes))


def test_the_shipped_task_in_small(method):
    rain = ensemble(method(steps=4).run(task(), 0, [0, 1]))
    fields.check(rain)
    assert rain.shape == (2, 3, 24, 24)
    np.testing.assert_array_equal(ensemble(method(steps=4).run(task(), 0, [1])), rain[1:])


def test_the_method_refuses_in_one_line(method):
    made, sources = method(steps=4), task().sources
    with pytest.raises(Invalid, match="needs predictor"):
        made.accept(task(sources=sources[:1]))
    with pytest.raises(Invalid, match="taught means of 6h"):
        made.accept(task(period=Period("2020-07-01", "2020-07-02", "12h")))  # pyright: ignore[reportArgumentType]
    wrong = [sources[0], {"name": "coarse/u", "role": "predictor"}]
    with pytest.raises(Invalid, match="wind_u is no moisture_divergence"):
        list(made.run(task(sources=wrong), 0, [0]))
    twice = task(sources=[*sources, {"name": "coarse/more", "role": "background"}])
    with pytest.raises(Invalid, match="background: got coarse/coarse and coarse/more; give one"):
        list(made.run(twice, 0, [0]))


@pytest.fixture
def lessons(monkeypatch, home):
    """Two small worlds of thirty hours, the second held out."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    system = importlib.import_module("training.systems.pseudo_precipitation")
    grid, period = Grid(BOX, 0.25), Period("2020-07-01T00:00", "2020-07-02T06:00")  # pyright: ignore[reportArgumentType]
    for number in (1, 2):
        rain, air = (each.numpy().reshape(30, *grid.shape) for each in sample(30 * 32 * 32))
        made = fields.rain(rain, period.times, grid.lat, grid.lon)
        layers = {"rain": made, "vimd": made.copy(data=air).rename("vimd").assign_attrs(units="mm h-1")}
        about = {"kind": "field", "title": "A field", "role": "", "native": "0.25°", "independent": True}
        told = {"title": "A world", "box": list(grid.box)}
        known = {name: (about, each) for name, each in layers.items()}
        write_case(home / "cases" / f"world_{number}.nc", told, known)
    run = RUN | {"worlds": "cases/world_?.nc", "hold_out": 1, "batch": 3, "pixel": {"steps": 3}}
    monkeypatch.setattr(importlib.import_module("training.pixels"), "LAST", 4000)
    return system.taught(run | {"network": {"widths": [8, 8]}, "seed": 0, "steps": 2}, home, home)


def test_a_batch_is_told_the_long_waves_of_what_it_is(lessons, monkeypatch):
    system = importlib.import_module("training.systems.pseudo_precipitation")
    monkeypatch.setattr(system, "TRUNCATED", 1.0)
    lessons.run["tile"] = 32
    lessons.fit()
    batch = lessons.batch(np.random.default_rng(0), torch.Generator(), 0)
    wanted = Truncation.of((8, 8), 4).cut(batch.fine)
    torch.testing.assert_close(batch.told, wanted, atol=0.01, rtol=0.01)
    monkeypatch.setattr(system, "TRUNCATED", 0.0)
    batch = lessons.batch(np.random.default_rng(0), torch.Generator(), 0)
    assert (batch.told - wanted).abs().max() > 0.1
    assert np.corrcoef(batch.told.flatten(), wanted.flatten())[0, 1] > 0.3


def test_what_is_taught_is_what_is_used(lessons, home):
    made, generator = lessons.denoiser(), torch.Generator().manual_seed(0)
    lessons.fit()
    assert not any(each.requires_grad for each in made.pixel.parameters())
    before = [each.clone() for each in made.pixel.parameters()]
    batch = lessons.batch(np.random.default_rng(0), generator, 0)
    lessons.loss(made, batch, generator).backward()
    assert all(each.grad is None for each in made.pixel.parameters())
    assert all(torch.equal(one, other) for one, other in zip(before, made.pixel.parameters(), strict=True))
    about = {"run": lessons.run} | lessons.card()
    assert set(NEEDED) <= set(about)
    path = home / "priors" / "again.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    weights = {name: value.half() for name, value in made.state_dict().items()}
    save_file(weights, path, {name: json.dumps(value) for name, value in about.items()})
    made.load_state_dict({name: value.float() for name, value in weights.items()})
    rain, air = sample(1000)
    torch.testing.assert_close(prior("again").network.encode(rain, air), made.encode(rain, air))
    with torch.no_grad():
        judged = lessons.judged(made, 0, 1)
    assert set(judged) == {"quantiles of u", "rain", "0.1", "0.5", "2", "5", "10"}
    assert np.isfinite(list(judged.values())).all()
