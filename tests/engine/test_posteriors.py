"""Posteriors of the shipped prior: what was seen is kept, and what was not seen is left open."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from engine import cards
from engine.cards import card, names
from engine.fields import Box, Evidence, Grid, Observations, Period
from engine.methods import method
from engine.posteriors import posteriors
from engine.priors import NEEDED, prior
from engine.reports import Reports
from engine.tasks import Task
from engine.values import Invalid

GRID = Grid(Box(110, 30, 111.28, 31.28), 0.04)
PERIOD = Period("2020-07-01T00:00", "2020-07-01T02:00")  # pyright: ignore[reportArgumentType]


def network(spike: float = 0.0) -> Observations:
    """A shower in the middle, dry in the west; two hours."""
    rng = np.random.default_rng(0)
    lat, lon = rng.uniform(30.1, 31.2, 30), rng.uniform(110.1, 111.2, 30)
    shower = 12 * np.exp(-((lat - 30.6) ** 2 + (lon - 110.8) ** 2) / 0.08)
    values = np.stack([np.where(shower > 0.5, shower, 0.0)] * 2, -1)
    if spike:
        values[np.argmin(lon), 0] = spike
    return Observations.of(values, [f"G{each:02d}" for each in range(30)], PERIOD.times, lat, lon)


def ready(gauges: Observations | None):
    steps = posteriors(prior("radar"), Evidence(GRID, PERIOD, {}, gauges, {}), 0.1)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def drawn(made, members=range(4), steps=12, tau=None) -> np.ndarray:
    *_, (share, rain) = made.draws(1, list(members), steps, tau)
    assert share == 1
    return rain


def heard(gauges: Observations, share: float = 0.1) -> Reports:
    return Reports.of(gauges, GRID, prior("radar").score, share)


def test_members_keep_the_reports_and_are_open_elsewhere():
    gauges = network()
    rain = drawn(ready(gauges))
    assert rain.shape == (4, 2, *GRID.shape)
    seen, score = heard(gauges).hour(0).readings, prior("radar").score
    wet = ~seen.dry
    latent = score.forward(torch.from_numpy(rain[:, 0]))
    read = seen.place(latent).numpy()
    assert np.median(np.abs(read - seen.value)[:, wet]) < 0.15
    assert (read[:, ~wet] < score.dry + 0.3).mean() > 0.95
    spread = latent.std(0)
    assert float(seen.place(spread[None])[0].mean()) < 0.6 * float(spread.mean())
    assert rain.max() < 200
    assert (rain[rain > 0] >= 0.02).all()


def test_a_report_is_as_unsure_as_its_share_of_the_amount():
    seen, exact = (heard(network(), share) for share in (0.1, 0.01))
    wet = ~seen.dry
    assert (seen.error[wet] > exact.error[wet]).all()


def test_an_hours_noise_is_its_own_in_any_period():
    nothing = Evidence(GRID, PERIOD, {}, None, {})
    later = Evidence(GRID, Period(PERIOD.times[0], PERIOD.end), {}, None, {})
    whole, part = (_made(each) for each in (nothing, later))
    np.testing.assert_array_equal(drawn(whole, steps=6)[:, 1:], drawn(part, steps=6))


def _made(given):
    steps = posteriors(prior("radar"), given, 0.1)
    try:
        while True:
            next(steps)
    except StopIteration as end:
        return end.value


def test_as_published_overwrites_the_gauges():
    gauges = network()
    rain = drawn(ready(gauges), tau=0.6)
    seen = heard(gauges).overwriting(0)
    wet = seen.law.observed > prior("radar").score.dry
    read = seen.operator(prior("radar").score.forward(torch.from_numpy(rain[:, 0])))
    assert float((read - seen.law.observed)[:, wet].abs().median()) < 0.1


def test_one_spike_does_not_make_a_storm():
    sound, broken = (ready(each).hours[0].sketch for each in (network(), network(spike=90.0)))
    assert float((broken.mean - sound.mean).abs().max()) < 0.6


def test_it_draws_from_the_prior_where_nothing_was_seen(small):
    entries = {"domain": (110, 28, 111.28, 29.28), "step": 0.04, "method": "coordinate_prior"}
    task = Task(period=PERIOD, members=2, **entries)  # pyright: ignore[reportArgumentType]
    *_, last = method("coordinate_prior", {"steps": 8}).run(task, 0, [0, 1])
    assert last.progress == 1
    assert last.members is not None
    assert 0 < float((last.members >= 0.1).mean()) < 0.9


def test_a_card_is_read_without_the_weights(home):
    assert "radar" in names("coordinate_prior")
    assert {"run", *NEEDED, "files"} <= set(card("radar"))
    (home / "priors").mkdir(parents=True)
    about = {"run": json.dumps({"system": "coordinate_prior"})}
    save_file({"a": torch.zeros(1)}, home / "priors" / "mine.safetensors", about)
    (home / "priors" / "broken.safetensors").write_text("nothing")
    assert "mine" in names("coordinate_prior")
    assert not {"mine", "broken"} & set(names("trajectory"))
    with pytest.raises(Invalid, match="its card has no labels"):
        card("mine", NEEDED)
    with pytest.raises(Invalid, match=r"prior broken: cannot be read .*; remove"):
        card("broken")
    with pytest.raises(Invalid, match=r"no 'none'; there are .*radar"):
        cards.place("none")
