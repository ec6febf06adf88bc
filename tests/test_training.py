"""Training: tiles of the right hours, and a run that stops and goes on as if it had not stopped."""

import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
RUN = {
    "title": "A small run", "seed": 0, "sources": [], "hold_out": "2h", "turned": True,
    "network": {"widths": [8, 8], "blocks": 1, "patch": 2}, "tile": 16, "batch": 4, "steps": 8, "rate": 1e-3,
}  # fmt: skip


@pytest.fixture
def train(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return importlib.import_module("train")


@pytest.fixture
def corpus(train):
    return importlib.import_module("training.corpus")


@pytest.fixture
def hours(corpus):
    rng, times = np.random.default_rng(0), pd.date_range("2020-01-01T01:00", periods=6, freq="h")
    maps = rng.gamma(0.5, 4, (6, 48, 64)).astype(np.float16)
    maps[:, :3] = np.nan
    return corpus.Hours("radar", 0.02, 30.0, maps, times, (1, 2), {})


def test_means_of_squares_need_half_of_them(corpus):
    field = np.array([[1, 3, 2, np.nan], [5, 7, np.nan, np.nan]])
    np.testing.assert_array_equal(corpus.coarser(field, 2), [[4, np.nan]])
    np.testing.assert_array_equal(corpus.coarser(np.array([[1, np.nan], [3, np.nan]]), 2), [[2]])


def test_the_last_times_are_held_out_whole(corpus, hours):
    learned, held = corpus.parted(hours, pd.Timedelta("2h"))
    assert list(learned.times) == list(hours.times[:4])
    assert list(held.times) == list(hours.times[4:])


def test_tiles_are_pieces_of_the_maps(corpus, hours):
    tile = hours.tile(np.random.default_rng(1), 16, 2)
    assert tile.shape == (16, 16)
    whole = corpus.coarser(hours.maps[:, 0:32, 0:32], 2)
    assert whole.shape == (6, 16, 16)
    assert hours.tile(np.random.default_rng(1), 16, 4) is None  # wider than the map
    dry = corpus.Hours("radar", 0.02, 30.0, np.zeros_like(hours.maps), hours.times, (1,), {})
    kept = sum(dry.tile(np.random.default_rng(seed), 16, 1) is not None for seed in range(400))
    assert 0.02 < kept / 400 < 0.09


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(train, hours, tmp_path):
    def training(name: str):
        batches = train.Batches(RUN, [hours], 0.1, 150.0)
        batches.fit(40)
        return train.Learning(RUN, batches, tmp_path / name, "cpu")

    one, other = training("one.pt"), training("other.pt")
    for _ in range(6):
        one.learn()
    for _ in range(3):
        other.learn()
    other.keep()
    again = training("other.pt")
    again.go_on()
    for _ in range(3):
        again.learn()
    for mine, theirs in zip(one.kept.parameters(), again.kept.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_the_loss_is_of_what_is_known(train, hours):
    batches = train.Batches(RUN, [hours], 0.1, 150.0)
    latent, known, label, spacing = batches.tiles(np.random.default_rng(0), 16)
    denoiser, holed = train.Karras(train.Points(1, **RUN["network"])), known.clone()
    holed[:, :8] = 0

    def loss(field):
        generator = torch.Generator().manual_seed(0)
        batch = (field, holed, label, spacing)
        return float(train.loss(denoiser, batch, generator, train.LEARNED, False).detach())

    assert loss(latent) == pytest.approx(loss(torch.where(holed > 0, latent, torch.tensor(9.0))))


def test_a_run_that_cannot_be_is_told_in_one_line(train, tmp_path, monkeypatch):
    path = tmp_path / "x.yaml"
    for text, line in (("title: x", "seed is missing"), ("colour: red", "unknown"), ("a: [", "not YAML")):
        path.write_text(text)
        monkeypatch.setattr("sys.argv", ["train", str(path)])
        with pytest.raises(SystemExit, match=line):
            train.main()
