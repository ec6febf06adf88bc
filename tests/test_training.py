"""Training: tiles and gauges of the right hours, two stages, and a run that stops and goes on as if it had
not stopped."""

import importlib
import json
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors import safe_open

from engine.climate import Climate
from engine.networks.points import Points
from engine.signed import signed
from engine.sketch import Sketch, Sketched
from engine.transforms import NormalScore
from engine.values import Invalid

ROOT = Path(__file__).resolve().parents[1]
RUN = {
    "system": "coordinate_prior", "title": "A small run", "seed": 0, "sources": [], "hold_out": "2h",
    "turned": True,
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
def system(train):
    return importlib.import_module("training.systems.coordinate_prior")


@pytest.fixture
def gauges(train):
    return importlib.import_module("training.gauges")


@pytest.fixture
def hours(corpus):
    rng, times = np.random.default_rng(0), pd.date_range("2020-01-01T01:00", periods=6, freq="h")
    maps = rng.gamma(0.5, 4, (6, 48, 64)).astype(np.float16)
    maps[:, :3] = np.nan
    worlds = np.array(["a", "a", "a", "a", "b", "b"])
    return corpus.Hours("radar", 0.02, 30.0, 100.0, maps, times, worlds, (1, 2), {})


@pytest.fixture
def score() -> NormalScore:
    """Of rain that is everywhere, as in `hours`."""
    return NormalScore.signed(np.random.default_rng(1).gamma(0.5, 4, 5000))


@pytest.fixture
def reports(gauges, hours):
    """Gauges in every third cell of both ways: they say half of what is there, and sometimes nothing."""
    row, column = (each.ravel() for each in np.mgrid[4:46:3, 1:62:3])
    lat, lon = hours.south + row * hours.step, hours.west + column * hours.step
    values = np.asarray(hours.maps, float)[:, row, column].T / 2
    values[::5, 1] = np.nan
    networks = [
        gauges.Network(world, lat, lon, values[:, hours.worlds == world], hours.times[hours.worlds == world])
        for world in ("a", "b")
    ]
    return gauges.Reports("gauge", hours.step, (1, 2), networks, {})


@pytest.fixture
def cases(small, home) -> Path:
    """Three worlds of the same two hours and more."""
    folder = home / "cases"
    for name in "abc":
        (folder / f"{name}.nc").write_bytes((folder / f"{small}.nc").read_bytes())
    (folder / f"{small}.nc").unlink()
    return folder


@pytest.fixture
def run_of_cases(cases, home) -> Path:
    """A run of two stages, with a case held out."""
    layer = {"cases": "cases/*.nc", "layer": "satellite"}
    run = RUN | {
        "sources": [{"label": "satellite", "multiples": [1, 2], **layer}],
        "gauges": {
            "label": "gauge", "cases": "cases/*.nc", "layer": "gauges", "mapped": "satellite",
            "multiples": [1, 2], "steps": 3,
        },
        "hold_out": 1, "tile": 8, "steps": 2,
    }  # fmt: skip
    path = home / "small.yaml"
    path.write_text(yaml.safe_dump(run))
    return path


def test_means_of_squares_need_half_of_them(corpus):
    field = np.array([[1, 3, 2, np.nan], [5, 7, np.nan, np.nan]])
    np.testing.assert_array_equal(corpus.pooled(field, 2), [[4, np.nan]])
    np.testing.assert_array_equal(corpus.pooled(np.array([[1, np.nan], [3, np.nan]]), 2), [[2]])


def test_signed_rain_of_squares_is_mean_rain_else_mean_distance(corpus):
    field = np.array([[4, -2, -3, -5], [0.4, -8, -7, np.nan]])
    np.testing.assert_allclose(corpus.coarser(field, 2), [[1.1, -5]])


def test_the_last_times_are_held_out_whole(corpus, hours):
    learned, held = corpus.parted(hours, pd.Timedelta("2h"))
    assert list(learned.times) == list(hours.times[:4])
    assert list(held.times) == list(hours.times[4:])


def test_no_hour_that_one_source_holds_out_is_learned_from_another(corpus, hours):
    shorter = hours.part(np.arange(6) < 5)
    held = corpus.HeldOut.of("2h", [hours, shorter])
    assert [corpus.parted(each, held)[0].times[-1] for each in (hours, shorter)] == [hours.times[2]] * 2


def test_worlds_are_held_out_whole_though_their_dates_overlap(corpus, hours):
    overlapping = corpus.Hours(
        "radar", 0.02, 30.0, 100.0, hours.maps, hours.times[[0, 1, 2, 3, 2, 3]], hours.worlds, (1,), {}
    )
    learned, held = corpus.parted(overlapping, corpus.HeldOut.of(1, [overlapping]))
    assert set(learned.worlds) == {"a"}
    assert set(held.worlds) == {"b"}
    np.testing.assert_array_equal(held.maps[0], hours.maps[4])
    for bad in (0, 2, "some"):
        with pytest.raises(Invalid, match="hold_out"):
            corpus.HeldOut.of(bad, [overlapping])


def test_tiles_are_pieces_of_the_maps(corpus, hours):
    tile, middle = hours.tile(np.random.default_rng(1), 16, 2)
    assert tile.shape == (16, 16)
    assert hours.south < middle < hours.south + 48 * hours.step
    whole = corpus.coarser(hours.maps[:, 0:32, 0:32], 2)
    assert whole.shape == (6, 16, 16)
    assert hours.tile(np.random.default_rng(1), 16, 4) is None  # wider than the map
    dry = corpus.Hours(
        "radar", 0.02, 30.0, 100.0, np.zeros_like(hours.maps), hours.times, hours.worlds, (1,), {}
    )
    kept = sum(dry.tile(np.random.default_rng(seed), 16, 1) is not None for seed in range(400))
    assert 0.02 < kept / 400 < 0.09


def test_a_gauge_stands_at_its_exact_place_of_the_lattice(gauges, reports):
    network = reports.networks[0]
    plane = 500 + 40 * network.lat - 3 * network.lon
    wet = gauges.Network("a", network.lat, network.lon, np.repeat(plane[:, None], 4, 1), network.times)
    for seed in range(5):
        window = replace(reports, networks=[wet]).window(np.random.default_rng(seed), 16, 3)
        assert window.values.shape == (3, len(window.row))
        assert 0 <= window.row.min() < window.row.max() < 16
        there = np.stack([np.ones_like(window.row), window.row * window.step, window.column * window.step], 1)
        found, *_ = np.linalg.lstsq(there, window.values[0], rcond=None)
        np.testing.assert_allclose(found[1:], [40, -3], rtol=1e-6)


def test_gauges_are_dealt_with_what_they_did_not_say(system, hours, reports, score):
    batches, missing, spacings = system.Batches(RUN, [hours], reports), 0, set()
    batches.scored(score)
    for seed in range(10):
        batch = batches.gauged(np.random.default_rng(seed))
        assert batch.latent.shape == batch.known.shape == (4, len(batch.places.index))
        assert batch.label.tolist() == [batches.labels.index("gauge")] * 4 == [1] * 4
        assert not batch.latent[batch.known == 0].any()
        missing += int((batch.known == 0).sum())
        spacings |= {round(each, 2) for each in batch.spacing.tolist()}
    assert missing
    assert spacings == {2.22, 4.45}


def test_a_source_is_likened_to_the_gauges(gauges, hours, reports):
    likeness = gauges.Likeness.of(reports, hours)
    mapped, field = likeness(hours.maps[0]), np.asarray(hours.maps[0], float)
    np.testing.assert_array_equal(np.isnan(mapped), np.isnan(field))
    wet = field > 0.1
    np.testing.assert_allclose(mapped[wet], field[wet] / 2, rtol=0.05, atol=0.03)
    assert likeness(np.full((4, 4), 200.0)) == pytest.approx(100, rel=0.05)  # its ratio goes on


def test_rain_that_a_source_misses_returns_around_what_it_sees(corpus, gauges, hours, reports):
    """To a source that is blind below 1 mm/h: its dry cells near rain become wet, the others do not."""
    fields = np.zeros((6, 48, 64))
    fields[:, 10:30, 10:30] = 6 * np.exp(-((np.mgrid[-1:1:20j, -1:1:20j] * 2) ** 2).sum(0))
    blind = replace(hours, maps=[signed(np.where(each < 1, 0, each), (2.2, 1.9)) for each in fields])
    network = reports.networks[0]
    row = np.round((network.lat - hours.south) / hours.step).astype(int)
    column = np.round((network.lon - hours.west) / hours.step).astype(int)
    networks = [replace(network, values=fields[:4, row, column].T)]
    mapped = gauges.Likeness.of(replace(reports, networks=networks), blind)(blind.maps[0])
    new = (mapped >= 0.1) & (blind.maps[0] < 0)
    assert new.sum() > 20
    assert (fields[0][new] > 0.01).mean() > 0.9
    dry = mapped < 0
    np.testing.assert_array_equal(mapped[dry], np.minimum(blind.maps[0][dry], -1))


def test_reports_that_are_held_out_are_not_learned_from(corpus, hours, reports):
    learned, held = reports.parted(corpus.HeldOut.of(1, [hours]))
    assert [each.world for each in learned.networks] == ["a"]
    assert [each.world for each in held.networks] == ["b"]
    learned, held = reports.parted(corpus.HeldOut.of("1h", [hours]))
    assert [len(each.times) for each in learned.networks] == [4, 1]
    assert [len(each.times) for each in held.networks] == [1]


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(train, system, gauges, hours, reports, tmp_path):
    """Through both stages."""
    run = RUN | {"steps": 4, "gauges": {"label": "gauge", "steps": 4, "mapped": "radar"}}

    def training(name: str):
        batches = system.Batches(run, [hours], reports)
        batches.like(gauges.Likeness.of(reports, hours))
        batches.fit(40)
        return train.Learning(system.Rain(run, batches, batches), tmp_path / name, "cpu")

    one, other = training("one.pt"), training("other.pt")
    for _ in range(8):
        one.learn()
    for _ in range(3):
        other.learn()
    other.keep()
    again = training("other.pt")
    again.go_on()
    for _ in range(5):
        again.learn()
    for mine, theirs in zip(one.kept.parameters(), again.kept.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)
    labels = one.denoiser.network.label.weight
    assert (labels != 0).any(1).all()  # both were taught


def test_the_loss_is_of_what_is_known(system, hours, score):
    batches = system.Batches(RUN, [hours])
    batches.scored(score)
    batch = batches.tiles(np.random.default_rng(0))
    denoiser, holed = Sketched(Points(1, **RUN["network"])), batch.known.clone()
    holed[:, :8] = 0

    def loss(field):
        generator = torch.Generator().manual_seed(0)
        part = replace(batch, latent=field, known=holed)
        return float(system.loss(denoiser, part, generator, system.LEARNED).detach())

    filled = torch.where(holed > 0, batch.latent, torch.tensor(9.0))
    assert loss(batch.latent) == pytest.approx(loss(filled))


def test_a_run_of_cases_leaves_a_prior_with_its_card(train, run_of_cases, monkeypatch, home, capsys):
    monkeypatch.setattr(train, "ROOT", home)
    monkeypatch.setattr(train, "EVERY", 2)
    kept, again = home / "small.safetensors", home / "again.safetensors"
    monkeypatch.setattr("sys.argv", ["train", str(run_of_cases), "--to", str(kept)])
    train.main()
    checkpoint, told = home / "build" / "small.pt", capsys.readouterr().out
    with safe_open(kept, "pt") as file:
        card = {name: json.loads(value) for name, value in file.metadata().items()}
        weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    Sketched(Points(2, **RUN["network"])).load_state_dict(weights)
    assert card["labels"] == ["satellite", "gauge"]
    assert card["steps"] == 5
    assert [each["cases"] for each in card["learned"] + card["held out"]] == 2 * [["a", "b"]] + 2 * [["c"]]
    assert card["learned"][0]["count"] == 12
    assert set(card["files"]) == {"a.nc", "b.nc", "c.nc"}
    rows = [(each["label"], round(each["spacing"], 1)) for each in card["climate"]]
    assert rows == [("satellite", 27.8), ("satellite", 55.6), ("gauge", 27.8), ("gauge", 55.6)]
    assert all(Climate.read(each).variance == pytest.approx(1) for each in card["climate"])
    assert len(card["curve"]) == 2
    assert card["seconds"] >= 0
    assert "thread" in card["hardware"]
    table = pd.read_csv(checkpoint.with_suffix(".csv"))
    assert list(table.step) == [2, 4]
    assert told.count("held out") == 2
    before = checkpoint.read_bytes()
    monkeypatch.setattr("sys.argv", ["train", str(run_of_cases), "--minutes", "0", "--to", str(again)])
    train.main()
    with safe_open(kept, "pt") as one, safe_open(again, "pt") as other:
        assert one.metadata() == other.metadata()
        assert all(torch.equal(one.get_tensor(name), other.get_tensor(name)) for name in weights)
    assert checkpoint.read_bytes() == before


def test_what_is_kept_is_a_mean_of_the_last_steps(train, tmp_path):
    loop = importlib.import_module("training.loop")
    mean, seen = torch.zeros(1), torch.arange(1.0, 3001.0)
    for number, value in enumerate(seen, 1):
        loop.remembering(0.995)([mean], [value[None]], torch.tensor(number))
        if number == 500:  # a tenth of the steps so far
            assert mean == pytest.approx(500 - 500 / 11, rel=0.01)
    assert mean == pytest.approx(3000 - 0.995 / 0.005, rel=1e-3)


TOGETHER = """
import sys
sys.path[:0] = sys.argv[1:]
from training.loop import joined
from tests.test_training import taught
print("ready", flush=True)
joined("cpu")
print(taught(1, None))
"""


def taught(rank: int | None, checkpoint: Path | None) -> list[float]:
    """The weights after some steps on its own half of the data, or on all."""
    from training.loop import Training

    torch.manual_seed(0)
    network, data = torch.nn.Linear(3, 1), torch.arange(6.0).reshape(2, 3)
    training = Training(network, 0.1, 0.9, checkpoint or Path("none.pt"))
    for _ in range(3):
        training.step(network(data if rank is None else data[rank]).square().mean(), 1.0)
    training.save()
    return network.weight[0].tolist()


def test_processes_go_down_the_mean_of_their_slopes(train, tmp_path, monkeypatch):
    """Two of them, each with half of the data, end where one with all of it does; the first one keeps."""
    loop, alone = importlib.import_module("training.loop"), taught(None, tmp_path / "alone.pt")
    for name, value in {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": free(),
        "WORLD_SIZE": 2,
        "RANK": 1,
    }.items():
        monkeypatch.setenv(name, str(value))
    command = [sys.executable, "-c", TOGETHER, str(ROOT), str(ROOT / "scripts")]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "ready\n"
        monkeypatch.setenv("RANK", "0")
        loop.joined("cpu")
        try:
            mine = taught(0, tmp_path / "mine.pt")
        finally:
            torch.distributed.destroy_process_group()
        theirs = json.loads(other.stdout.readline())
    assert mine == theirs
    assert mine == pytest.approx(alone, rel=1e-5)
    assert {each.name for each in tmp_path.glob("*.pt")} == {"alone.pt", "mine.pt"}


def free() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_a_run_that_cannot_be_is_told_in_one_line(train, run_of_cases, tmp_path, monkeypatch):
    path, whole = run_of_cases.with_name("x.yaml"), yaml.safe_load(run_of_cases.read_text())
    monkeypatch.setattr(train, "ROOT", tmp_path)
    source, reports = whole["sources"][0], whole["gauges"]

    def changed(**entries) -> str:
        return yaml.safe_dump(whole | entries)

    for text, line in (
        ("title: x", "system: give one of"),
        (changed(system="weather"), "system: give one of"),
        ("system: coordinate_prior", "title is missing"),
        (changed(colour="red"), "unknown"),
        ("a: [", "not YAML"),
        (changed(sources=[{"files": "x"}]), "sources: label is missing"),
        (changed(gauges={"label": "gauge"}), "gauges: mapped is missing"),
        (changed(gauges=reports | {"weigth": 1}), "weight"),
        (changed(hold_out=3), "hold_out: got 3 of 3 cases"),
        (changed(hold_out="long"), "hold_out: got 'long'"),
        (changed(tile=16), "satellite: 16 x 16 cells; give a smaller tile"),
        (changed(sources=[source | {"layer": "gauges"}]), "holds gauges"),
        (changed(sources=[source | {"files": "x"}]), "give either files, or cases"),
        (changed(sources=[source | {"layer": "snow"}]), "no such layer"),
        (changed(gauges=reports | {"layer": "satellite"}), "holds a field"),
        (changed(gauges=reports | {"mapped": "radar"}), "gauges.mapped: no source 'radar'"),
    ):
        path.write_text(text)
        monkeypatch.setattr("sys.argv", ["train", str(path)])
        with pytest.raises(SystemExit, match=line):
            train.main()


def test_a_network_grows_and_says_the_same(system):
    small, large = (
        Sketched(Points(1, widths=widths, blocks=blocks))
        for widths, blocks in (((8, 12), 1), ((8, 12, 16), [1, 2, 2]))
    )
    for weight in small.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    system.grown(large, small.state_dict())
    x, nothing = torch.randn(2, 16, 16), Sketch(torch.zeros(16, 16), torch.ones(16, 16))
    about = (0.7, nothing, torch.tensor(0), torch.tensor(4.0))
    torch.testing.assert_close(large(x, *about), small(x, *about))
    with pytest.raises(Invalid, match="which the run's network lacks"):
        system.grown(small, large.state_dict())
