"""Residual correction: what the chain must say before it has learned, where its cells lie, and its noise."""

import importlib
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from engine.beside import finer
from engine.bilinear import pooled
from engine.cards import names
from engine.fields import Box, Grid, ensemble, rain
from engine.formats import to_netcdf
from engine.methods import method
from engine.noise import Streams
from engine.residuals import (
    RAIN,
    REDRAWN,
    SPREAD,
    STAGES,
    Chain,
    Lattice,
    Residuals,
    chain,
    filled,
    noise_of,
    redrawn,
)  # fmt: skip
from engine.tasks import Task
from engine.values import Invalid

ROOT = Path(__file__).resolve().parents[2]
NETWORK = {"widths": [8, 8], "blocks": 1, "patch": 2}
TIME = pd.Timestamp("2020-07-01T01:00")
RUN = {"factor": 5, "network": NETWORK} | {name: {"tile": 32} for name in STAGES}


def untaught(scale: float = 0.4, seed: int = 0) -> Chain:
    torch.manual_seed(seed)
    card = {"coarse": 0.1, "run": RUN, "scales": dict.fromkeys(STAGES, scale)}
    return Chain(card, Residuals(NETWORK).requires_grad_(False).eval())


def last(draws) -> np.ndarray:
    *_, (share, found) = draws
    assert share == 1
    return found


def showers(rows: int = 24, columns: int = 20, seed: int = 0) -> np.ndarray:
    """Coarse rain, part of it dry."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :columns]
    total = np.zeros((rows, columns))
    for _ in range(4):
        row, column, size = rng.uniform(0, rows), rng.uniform(0, columns), rng.uniform(2, 4)
        total += rng.uniform(3, 15) * np.exp(-((y - row) ** 2 + (x - column) ** 2) / size**2)
    return np.where(total > 0.3, total, 0.0).astype(np.float32)


# An untaught network behind Karras' scaling says E[r | r + sigma n] of white residuals of the spread s.


def test_without_residuals_the_chain_only_changes_cells():
    known, coarse = untaught(scale=0.0), showers()
    noise = noise_of(0, TIME, [0, 1])
    kept = last(known.draws(coarse, noise, 4, STAGES[:1]))
    np.testing.assert_allclose(kept, np.broadcast_to(coarse, kept.shape), rtol=1e-4)
    fine = last(known.draws(coarse, noise, 4))
    straight = RAIN.inverse(finer(RAIN.forward(torch.from_numpy(coarse)), 5)).numpy()
    np.testing.assert_allclose(fine[0], np.where(straight < 0.02, 0, straight), rtol=1e-3, atol=1e-4)


def test_untaught_residuals_are_white_and_of_the_spread():
    stage = untaught().stage("correction")
    told = torch.full((48, 48), 4.0)
    *_, step = stage.draws(told, Streams(0, [0, 1, 2]), 20)
    assert step.x.std() == pytest.approx(SPREAD, rel=0.05)
    assert abs(step.x.mean()) < 0.02
    beside = (step.x[..., 1:] * step.x[..., :-1]).mean() / step.x.var()
    assert abs(beside) < 0.03
    added = stage.added(told, step.x)
    torch.testing.assert_close(stage.residual(told, added), step.x, atol=1e-4, rtol=0)


def test_what_is_redrawn_stays_near():
    """The flow of a Gaussian of spread s takes what was noised by sigma back by s / sqrt(s^2 + sigma^2)."""
    stage = untaught().stage("correction")
    told, generator = torch.full((8, 32, 32), 3.0), torch.Generator().manual_seed(0)
    residual = SPREAD * torch.randn(told.shape, generator=generator)
    target = stage.added(told, residual)
    found = stage.residual(told, redrawn(stage, told, target, generator))
    shrunk = SPREAD / (SPREAD**2 + REDRAWN**2) ** 0.5
    assert found.std() == pytest.approx(SPREAD, rel=0.05)  # in few steps
    assert (found * residual).mean() / residual.var() == pytest.approx(shrunk, rel=0.05)


def test_pooling_and_smoothing_lie_on_the_same_cells():
    y, x = np.mgrid[:40, :30].astype(np.float32)
    ramp = 2 * y + 3 * x
    coarse = pooled(ramp, 5)
    np.testing.assert_allclose(coarse, ramp[2::5, 2::5])
    np.testing.assert_allclose(pooled(ramp, 5, "max"), ramp[4::5, 4::5])
    fine = finer(torch.from_numpy(coarse), 5).numpy()
    np.testing.assert_allclose(fine[5:-5, 5:-5], ramp[5:-5, 5:-5], rtol=1e-5)
    np.testing.assert_allclose(pooled(fine, 5)[1:-1, 1:-1], coarse[1:-1, 1:-1], rtol=1e-5)
    ramp[:5, :3] = np.nan  # more than half of one square, and a part of none
    assert np.isnan(pooled(ramp, 5)).sum() == 1
    assert np.isfinite(filled(ramp)).all()


def test_both_stages_have_noise_of_their_own():
    known, coarse = chain("satellite"), showers(12, 12)
    one = noise_of(0, TIME, [0])
    whole = last(known.draws(coarse, one, 6))
    other_end = {"correction": one["correction"], "finer": noise_of(1, TIME, [0])["finer"]}
    again, ended = last(known.draws(coarse, one, 6)), last(known.draws(coarse, other_end, 6))
    np.testing.assert_array_equal(whole, again)
    assert np.abs(whole - ended).max() > 0.1
    begun = [last(known.draws(coarse, noise_of(seed, TIME, [0]), 6, STAGES[:1])) for seed in (0, 1)]
    assert np.abs(begun[0] - begun[1]).max() > 0.1
    white = [each("start", (9, 9)) for each in one.values()]
    assert abs(np.corrcoef(white[0].ravel(), white[1].ravel())[0, 1]) < 0.4
    later = noise_of(0, TIME + pd.Timedelta("1h"), [0])["correction"]("start", (9, 9))
    assert not torch.equal(white[0], later)


def test_a_member_is_the_same_in_any_company():
    known, coarse = chain("satellite"), showers(12, 12)
    both = last(known.draws(coarse, noise_of(0, TIME, [3, 5]), 4))
    alone = last(known.draws(coarse, noise_of(0, TIME, [5]), 4))
    np.testing.assert_array_equal(both[1:], alone)
    assert not np.array_equal(both[0], both[1])


def test_tiles_leave_no_seam():
    stage = replace(chain("satellite").stage("correction"), tile=16)
    told = RAIN.forward(torch.from_numpy(showers(80, 40, seed=3)))
    denoiser = stage.under(told)
    *_, step = stage.draws(told, Streams(0, [0, 1]), 10)
    steps = (step.x[:, 1:] - step.x[:, :-1]).abs().mean((0, 2))
    size, stride = denoiser.prior.size, denoiser.prior.stride  # type: ignore[attr-defined]
    starts = [*range(0, 80 - size, stride), 80 - size]
    borders = [(one + size + other) // 2 - 1 for one, other in itertools.pairwise(starts)]
    assert len(borders) >= 2
    across, rest = steps[borders].mean(), np.delete(steps.numpy(), borders).mean()
    assert 0.7 < across / rest < 1.3


def test_a_lattice_reads_cells_where_they_lie():
    grid = Grid(Box(110, 30, 111, 31), 0.1)
    lattice = Lattice(grid, 0.1, 5)
    wide = Grid(Box(109.8, 29.8, 111.2, 31.2), 0.1)
    values = np.random.default_rng(0).gamma(1, 2, (1, *wide.shape)).astype(np.float32)
    source = rain(values, [TIME], wide.lat, wide.lon)
    told = lattice.told([source], TIME)
    np.testing.assert_allclose(told, values[0], rtol=1e-5)
    kept = lattice.to_grid(told[None], np.isnan(told))
    np.testing.assert_allclose(kept[0], values[0, 2:-2, 2:-2], rtol=1e-5)
    fine = Grid(wide.box, 0.02)
    small = rain(np.repeat(np.repeat(values, 5, 1), 5, 2), [TIME], fine.lat, fine.lon)
    np.testing.assert_allclose(lattice.told([small], TIME), values[0], rtol=1e-5)
    broad = Lattice(Grid(grid.box, 0.25), 0.1, 5)
    assert broad.stages == STAGES[:1]
    found = broad.to_grid(told[None], np.isnan(told))
    assert found.mean() == pytest.approx(values[0, 2:-2, 2:-2].mean(), rel=1e-3)
    narrow = Lattice(Grid(grid.box, 0.02), 0.1, 5)
    assert narrow.stages == STAGES
    spread = np.repeat(np.repeat(told[None], 5, 1), 5, 2)
    np.testing.assert_allclose(
        narrow.to_grid(spread, np.isnan(told))[0], spread[0, 10:-10, 10:-10], rtol=1e-5
    )


def test_where_the_satellite_is_missing_so_is_the_rain():
    lattice = Lattice(Grid(Box(110, 30, 111, 31), 0.05), 0.1, 5)
    told = np.ones(lattice.shape, np.float32)
    told[2:5, 4] = np.nan
    found = lattice.to_grid(np.ones((1, *(5 * size for size in lattice.shape))), np.isnan(told))
    gone = np.isnan(found[0])
    assert gone[:6, 4:6].all()
    assert gone.sum() == 12


@pytest.fixture
def task(small, home) -> Task:
    """One hour of the small world, at 2.5 km."""
    about = {"start": "2020-07-01T02:00", "end": "2020-07-01T03:00"}
    return Task(
        domain=Box(111, 29, 111.6, 29.5), step=0.025, period=about,  # type: ignore[arg-type]
        sources=("small/satellite",), method="residual_correction", settings={"steps": 8}, members=3,
    )  # fmt: skip


def test_a_satellite_is_corrected_and_made_finer(task):
    found = ensemble(method(task.method, task.settings).run(task, 0, range(3)))
    assert found.shape == (3, 1, 20, 24)
    assert np.isfinite(found.values).all()
    assert found.values.std(0).mean() > 0.1
    raw = (
        ensemble(method("interpolation").run(replace(task, method="interpolation"), 0, [0]))
        if False
        else None
    )
    assert raw is None
    assert 0.3 < found.values.mean() < 10


def test_a_gap_in_the_satellite_stays_one(task, tmp_path):
    grid = Grid(Box(110.9, 28.9, 111.7, 29.6), 0.1)
    seen = np.tile(showers(*grid.shape), (1, 1, 1))
    seen[:, :, :4] = np.nan  # west of 111.3
    path = tmp_path / "swath.nc"
    to_netcdf(rain(seen, task.period.times, grid.lat, grid.lon), path)
    partly = replace(task, sources=(str(path),), members=1)
    found = ensemble(method(task.method, task.settings).run(partly, 0, [0]))
    west = found.lon.values < 111.3
    assert np.isnan(found.values[..., west]).all()
    assert np.isfinite(found.values[..., ~west]).all()


def test_refusals_are_one_line(task, home):
    with pytest.raises(Invalid, match="needs background"):
        method(task.method).accept(replace(task, sources=()))
    assert "satellite" in names("residual_correction")
    with pytest.raises(Invalid, match="prior"):
        method(task.method, {"prior": "radar"})
    path = home / "priors" / "bare.safetensors"
    path.parent.mkdir(parents=True)
    save_file({"nothing": torch.zeros(1)}, path, {"run": '{"system": "residual_correction"}'})
    with pytest.raises(Invalid, match="card has no scales"):
        chain("bare")


@pytest.fixture
def lessons(monkeypatch):
    """Two hours of made-up radar, under a satellite that is a third too wet."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    system = importlib.import_module("training.systems.residual_correction")
    corpus = importlib.import_module("training.corpus")
    fine = np.stack([np.kron(showers(40, 40, seed), np.ones((5, 5), np.float32)) for seed in (0, 1)])
    fine *= np.random.default_rng(0).uniform(0.5, 1.5, fine.shape).astype(np.float32)
    times = pd.date_range("2020-07-01T01:00", periods=2, freq="1h")
    hours = corpus.Hours("radar", 0.02, 30.01, 110.01, list(fine), times, np.array(["", ""]), (1,), {})
    coarse = pooled(fine, 5)
    run = RUN | {"correction": {"tile": 16, "batch": 2}, "finer": {"tile": 40, "batch": 2}, "turned": True}
    seen = system.Seen(hours, coarse, 4 / 3 * coarse[:, None], 5)
    return system.Correction(run | {"errors": 1}, seen, seen, {})


def test_tiles_of_both_cells_are_of_one_place(lessons):
    batch = lessons.drawn(lessons.learned, np.random.default_rng(0))
    assert batch.coarse.told.shape == (2, 16, 16)
    assert batch.fine.shape == (2, 40, 40)
    means = pooled(RAIN.inverse(batch.fine).numpy(), 5)
    np.testing.assert_allclose(
        means, RAIN.inverse(batch.near.target[:, 4:-4, 4:-4]).numpy(), rtol=1e-4, atol=1e-5
    )
    wet = batch.coarse.target > 3
    torch.testing.assert_close(
        RAIN.inverse(batch.coarse.told)[wet], 4 / 3 * RAIN.inverse(batch.coarse.target)[wet]
    )


def test_both_networks_learn_from_a_step(lessons):
    lessons.fit()
    assert set(lessons.scales) == set(STAGES)
    torch.manual_seed(0)
    denoiser, rng = lessons.denoiser(), np.random.default_rng(0)
    batch, generator = lessons.batch(rng, torch.Generator(), 0), torch.Generator().manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16):
        before = lessons.loss(denoiser, batch, generator)
    before.backward()
    assert all(each.grad is not None for each in denoiser.parameters())
    for stage in STAGES:
        assert float(getattr(denoiser, stage).network.leave.weight.grad.abs().max()) > 0
    again = lessons.loss(denoiser, batch, torch.Generator().manual_seed(0))
    assert float(again.detach()) == pytest.approx(float(before.detach()), rel=0.02)
    assert lessons.card()["satellite"]["simulated"]
