"""Gauges held out: by chance, in blocks, from every height, by hand; and how independent they are."""

import numpy as np
import pandas as pd
import pytest

from engine.diagnostics.independence import correlation_length, distances, leakage, told
from engine.fields import Observations
from engine.formats import export
from engine.given import held_out, in_use, independent
from engine.tasks import Gauges, Task, Use
from engine.values import Invalid
from tests.conftest import small_world

TIMES = pd.date_range("2020-07-01T01:00", periods=48, freq="1h")


def network(size=400, seed=0, values=None, high=None):
    random = np.random.default_rng(seed)
    lat, lon = random.uniform(28, 34, size), random.uniform(108, 116, size)
    elevation = random.gamma(1, 600, size) if high is None else high
    reports = np.zeros((size, len(TIMES))) if values is None else values
    return Observations.of(reports, [f"G{each}" for each in range(size)], TIMES, lat, lon, elevation)


def test_blocks_are_held_out_whole_and_more_gauges_move_none():
    gauges, design = network(), Gauges("g", 0.3, seed=2, by="block", block_km=80)
    used, held = design.split(gauges)
    assert 0.15 < len(held) / 400 < 0.45
    some = gauges.names[::3]
    assert set(design.split(gauges.select(some))[1]) == set(held) & set(some)
    far = np.median(distances(gauges.select(held), gauges.select(used)).min(1))
    plain_used, plain_held = Gauges("g", 0.3, seed=2).split(gauges)
    near = np.median(distances(gauges.select(plain_held), gauges.select(plain_used)).min(1))
    assert far > 1.5 * near
    assert Gauges("g", 0.3, seed=3, by="block", block_km=80).split(gauges)[1] != held
    with pytest.raises(Invalid, match="block needs the places"):
        design.split(gauges.names)


def test_every_height_gives_its_share():
    gauges = network()
    design = Gauges("g", 0.25, by="elevation")
    used, held = design.split(gauges)
    assert sorted(used + held) == sorted(gauges.names)
    high = dict(zip(gauges.names, gauges.elevation, strict=True))
    for low, top in ((-1e3, 200), (200, 500), (500, 1000), (1000, 2000), (2000, 3000)):
        inside = [name for name in gauges.names if low <= high[name] < top]
        share = sum(name in held for name in inside) / len(inside)
        assert share == pytest.approx(0.25, abs=0.5 / len(inside) + 1e-9)
    with pytest.raises(Invalid, match=r"elevation of G7 in g \(1 such\) is not known"):
        design.split(network(high=np.where(np.arange(400) == 7, np.nan, 100.0)))


def test_old_tasks_keep_their_hash_and_new_designs_change_it(task):
    whole = task.as_entries()
    assert set(whole["gauges"]) == {"source", "hold_out", "seed", "ignore"}
    assert set(whole["sources"][0]) == {"name", "role"}
    blocks = Task.of(whole | {"gauges": whole["gauges"] | {"by": "block", "block_km": 50}})
    assert blocks.hash != task.hash
    assert Task.of_yaml(blocks.to_yaml()) == blocks
    assert "blocks of 50 km, seed 0" in blocks.gauges.design
    assert Gauges("g", ("a", "b")).design == "2 by hand"
    both = held_out(blocks), in_use(blocks)
    assert not set(both[0].names) & set(both[1].names)
    for wrong, words in (
        ({"by": "river"}, "gauges.by: got 'river'; give gauge, block"),
        ({"block_km": 0}, "block_km"),
    ):
        with pytest.raises(Invalid, match=words):
            Task.of(whole | {"gauges": whole["gauges"] | wrong})


def test_leakage_is_the_distance_to_the_nearest_gauge_in_use():
    used = network(3, high=[0, 0, 0])
    held = Observations.of(
        np.zeros((2, 48)), ["a", "b"], TIMES, used.lat[:2] + np.array([1, 0.1]), used.lon[:2]
    )
    table = leakage(used, held, length_km=50)
    middle, least, length, near = (row["value"] for row in table.rows)
    assert least == pytest.approx(11.12, abs=0.01)
    assert middle == pytest.approx((11.12 + 111.19) / 2, abs=0.01)
    assert (length, near) == (50, 0.5)
    assert "50% lie nearer" in told(table)
    alone = leakage(used, held)  # three gauges in a dry world
    assert np.isnan(alone.rows[2]["value"])
    assert "cannot be told" in told(alone)
    nobody = leakage(used.select([]), held)
    assert np.isnan(nobody.rows[0]["value"])


@pytest.mark.parametrize("length", [30.0, 120.0])
def test_the_correlation_length_is_found(length):
    gauges = network(150, seed=4)
    covariance = np.exp(-distances(gauges, gauges) / length) + 1e-9 * np.eye(150)
    latent = np.linalg.cholesky(covariance) @ np.random.default_rng(5).normal(size=(150, 48))
    gauges = network(150, seed=4, values=np.exp(latent))
    assert correlation_length(gauges) == pytest.approx(length, rel=0.25)


def test_a_source_that_knew_gauges_is_told_apart(small, tmp_path):
    assert independent(Use(f"{small}/satellite")) is True
    assert independent(Use(f"{small}/satellite", independent=False)) is False
    field = small_world()[0]
    for said, known in ((None, None), ("false", False), ("true", True)):
        about = {} if said is None else {"independent": said}
        path = export(field.assign_attrs(about), tmp_path / f"{said}.nc", "netcdf")
        assert independent(Use(str(path))) is known
    with pytest.raises(Invalid, match=r"source.independent: got 'perhaps'"):
        Use("x", independent="perhaps")  # pyright: ignore[reportArgumentType]
