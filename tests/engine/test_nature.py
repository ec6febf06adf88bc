"""The atmosphere against what is known of it without running it: budgets, balance, waves, decay."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from engine.sources import nature
from engine.sources.nature import CLIMATE, HOUR, SECOND, TRUTH, WARMED, Atmosphere, State
from engine.values import Invalid

SMALL = replace(
    TRUTH, box=(100.0, 20.0, 112.0, 32.0), step=0.5, time_step=600.0, jet_at=300.0, low_jet_at=-200.0,
    viscosity=2e4, forcing_scale=150.0, forcing=2e-3, wave=6.0,
)  # fmt: skip
# Nothing but the flow itself: no relaxation worth the name, no rain, no noise.
BARE = replace(
    SMALL, jet=0.0, low_jet=0.0, easterly=0.0, wave=0.0, viscosity=0.0, forcing=0.0, trigger=0.0,
    tau_wind=1e9, tau_height=1e9, tau_rain=1e9, tau_vapour=1e9, heating=0.0,
)  # fmt: skip


def turbulent(atmosphere: Atmosphere) -> State:
    rng, ground = np.random.default_rng(5), nature.background(atmosphere)
    u, v, h, water = (3 * rng.standard_normal(atmosphere.grid.shape) for _ in range(4))
    return State(ground.u + u, ground.v + v, ground.h + h, ground.saturation + water)


def step(atmosphere: Atmosphere, state: State, limit=None) -> tuple[State, nature.Rates]:
    ground = nature.background(atmosphere)
    # The walls' friction belongs to the channel; what is tested on bare flow does without it.
    ground = ground._replace(wall=0 * ground.wall) if atmosphere.tau_wind > 1e6 else ground
    limit = ground.saturation if limit is None else limit
    return nature.advance(atmosphere, ground, state, np.zeros(atmosphere.grid.shape), limit)


def test_the_water_budget_closes_to_rounding():
    before = turbulent(SMALL)
    after, rates = step(SMALL, before)
    gained = (after.water - before.water).sum()
    assert rates.rain.sum() > 0
    assert rates.evaporation.sum() > 0
    assert gained == pytest.approx(SMALL.time_step * (rates.evaporation - rates.rain).sum(), rel=1e-9)
    assert abs(rates.divergence.sum()) < 1e-12 * np.abs(rates.divergence).sum()


def test_the_water_of_each_cell_changes_by_what_flows_in_falls_and_rises():
    before = turbulent(replace(SMALL, viscosity=0.0))
    after, rates = step(replace(SMALL, viscosity=0.0), before)
    change = SMALL.time_step * (rates.evaporation - rates.rain - rates.divergence)
    np.testing.assert_allclose(after.water - before.water, change, rtol=0, atol=1e-11)


def test_hourly_rain_is_the_integral_of_the_rain_rate():
    spans = list(nature.integrate(SMALL, 0, 6))
    for before, after in pairwise(spans):
        gained = (after.state.water - before.state.water).sum()
        assert gained == pytest.approx((after.evaporation - after.rain).sum(), rel=1e-7, abs=1e-7)
    quarters = list(nature.integrate(SMALL, 0, 6, span=0.5))
    halves = (quarters[2].rain + quarters[3].rain) / 2
    np.testing.assert_allclose(spans[1].rain, halves, rtol=1e-12)
    assert spans[1].rain.max() > 0


def test_mass_is_neither_made_nor_lost_by_the_flow():
    before = turbulent(replace(BARE, viscosity=2e4))
    after, _ = step(replace(BARE, viscosity=2e4), before)
    assert after.h.sum() == pytest.approx(before.h.sum(), rel=1e-13)


def test_rain_takes_mass_out_of_the_layer():
    warm = replace(BARE, heating=3.0, tau_rain=1.0)
    level = State(*(np.full(warm.grid.shape, value) for value in (0.0, 0.0, warm.depth, 60.0)))
    after, rates = step(warm, level, np.full(warm.grid.shape, 50.0))
    lost = (level.h - after.h)[12]
    np.testing.assert_allclose(lost, 3.0 * warm.time_step * rates.rain[12], rtol=1e-2)


def test_excess_water_rains_out_exponentially():
    still = replace(BARE, tau_rain=1.5)
    state = State(*(np.full(still.grid.shape, value) for value in (0.0, 0.0, still.depth, 60.0)))
    limit, fallen = np.full(still.grid.shape, 50.0), 0.0
    for _ in range(6):
        state, rates = step(still, state, limit)
        fallen += rates.rain * still.time_step
    np.testing.assert_allclose(fallen, 10 * (1 - np.exp(-1 / 1.5)), rtol=1e-4)


def test_still_air_stays_still():
    level = nature.background(BARE).h
    state = State(np.zeros_like(level), np.zeros_like(level), level, np.full_like(level, 30.0))
    for _ in range(20):
        state, _ = step(BARE, state)
    assert np.abs(state.u).max() == 0.0
    assert np.abs(state.v).max() == 0.0


def test_a_balanced_jet_stays():
    jet = replace(BARE, box=(100.0, 20.0, 112.0, 44.0), jet=20.0, jet_at=0.0, low_jet_at=-600.0)
    ground = nature.background(jet)
    state = State(ground.u, ground.v, ground.h, np.full_like(ground.h, 20.0))
    for _ in range(72):
        state, _ = step(jet, state)
    assert ground.u.max() > 19
    assert np.abs(state.u - ground.u)[4:-4].max() < 0.3
    assert np.abs(state.v)[4:-4].max() < 0.6


def test_the_background_wind_blows_along_the_height_lines():
    ground, (dy, _) = nature.background(TRUTH), TRUTH.spacing
    blows = -nature.GRAVITY / ground.coriolis[1:-1] * (ground.h[2:] - ground.h[:-2]) / (2 * dy)
    # The wave's height is f psi/g: where f changes, it lacks beta psi/f, a fraction of its wind.
    np.testing.assert_allclose(blows, ground.u[1:-1], atol=0.3 * TRUTH.wave)


def test_a_gravity_wave_runs_at_its_speed():
    flat = replace(BARE, box=(100.0, -0.75, 124.0, 0.75), step=0.25, time_step=300.0)
    rows, columns = flat.grid.shape
    x = 2 * np.pi * np.arange(columns) / columns
    ridge = np.repeat(flat.depth + 0.01 * np.cos(x)[None], rows, 0)
    speed = np.sqrt(nature.GRAVITY * flat.depth)
    u = np.repeat((0.01 * np.cos(x) * speed / flat.depth)[None], rows, 0)
    state = State(u, np.zeros_like(u), ridge, np.full_like(u, 20.0))
    hours = 3
    for _ in range(round(hours * HOUR / flat.time_step)):
        state, _ = step(flat, state)
    phase = np.angle(np.fft.fft(state.h[rows // 2] - flat.depth)[1])
    travelled = -phase / (2 * np.pi) * columns * flat.spacing[1]
    assert travelled == pytest.approx(speed * hours * HOUR, rel=0.02)


def test_time_stepping_is_of_third_order():
    calm = replace(SMALL, tau_rain=1e9, tau_vapour=1e9, forcing=0.0, trigger=0.0)
    begin = nature.background(calm)
    lump = 20 * np.exp(-((np.arange(24)[:, None] - 12.0) ** 2 + (np.arange(24) - 12.0) ** 2) / 20)
    ends = []
    for seconds in (600.0, 300.0, 150.0, 75.0):
        state = State(begin.u, begin.v, begin.h + lump, begin.saturation * 0.5)
        for _ in range(round(HOUR / seconds)):
            state, _ = step(replace(calm, time_step=seconds), state)
        ends.append(state.h)
    errors = [np.abs(coarse - fine).max() for coarse, fine in pairwise(ends)]
    assert 6.5 < errors[0] / errors[1] < 9.5
    assert 6.5 < errors[1] / errors[2] < 9.5


def test_warming_raises_saturation_by_seven_percent_per_degree():
    np.testing.assert_allclose(
        nature.saturation(WARMED) / nature.saturation(CLIMATE), 1.07**WARMED.warming, rtol=1e-14
    )
    changed = {name for name, value in vars(WARMED).items() if value != vars(CLIMATE)[name]}
    assert changed == {"warming"}
    assert len({atmosphere.seed for atmosphere in (TRUTH, CLIMATE, SECOND)}) == 3


def test_the_same_seed_makes_the_same_storms_and_another_other_ones():
    first, again, other = (
        [span.rain for span in nature.integrate(replace(SMALL, seed=seed), 2, 3)] for seed in (1, 1, 2)
    )
    assert len(first) == 3
    assert np.array_equal(first, again)
    assert np.abs(np.array(first) - np.array(other)).max() > 0.01


def test_longer_runs_begin_like_shorter_ones():
    short = list(nature.integrate(SMALL, 1, 2))
    long = list(nature.integrate(SMALL, 0, 4))
    assert [span.end for span in short] == [span.end for span in long[1:3]]
    assert np.array_equal(short[-1].state.water, long[2].state.water)


def test_the_noise_has_unit_variance_and_its_scale():
    maps = nature._smooth_noise(
        replace(TRUTH, step=0.5, time_step=600.0), np.random.default_rng(3), [2.0, 2.0]
    )
    assert maps.std() == pytest.approx(1, abs=0.12)
    shifted = np.corrcoef(maps[:, :-4].ravel(), maps[:, 4:].ravel())[0, 1]
    assert shifted == pytest.approx(np.exp(-1), abs=0.12)


def test_red_noise_keeps_its_variance_and_forgets_at_its_pace():
    rng = np.random.default_rng(4)
    maps = np.array(
        [field for field, _ in zip(nature._red(SMALL, rng, [0.7, 0.7], 0.5), range(400), strict=False)]
    )
    every = round(900.0 / SMALL.time_step)
    assert maps[200:].std() == pytest.approx(maps[:1].std(), rel=0.15)
    lagged = (maps[:-every] * maps[every:]).mean() / (maps**2).mean()
    assert lagged == pytest.approx(np.exp(-every * SMALL.time_step / HOUR / 0.5), abs=0.05)


def test_settings_that_cannot_run_are_refused():
    with pytest.raises(Invalid, match="unstable; give at most"):
        replace(TRUTH, time_step=300.0)
    with pytest.raises(Invalid, match="does not divide an hour"):
        replace(TRUTH, time_step=110.0)
    with pytest.raises(Invalid, match="span"):
        next(nature.integrate(SMALL, 0, 1, span=0.25))
