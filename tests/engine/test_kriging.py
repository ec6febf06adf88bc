"""Kriging against closed forms, brute force and another implementation."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from engine import fields
from engine.bilinear import at_places, on_grid, positions
from engine.censored import (
    NormalScore,
    below_mean,
    both_below,
    bounce,
    pair_log_likelihood,
    settle,
    tobit,
)
from engine.conditioning import Drift, Network, Weave, doubted, even_choice
from engine.covariance import Sites, Structure, Torus
from engine.fields import Box, Grid, Observations, Period
from engine.values import instant
from engine.variography import draw_hours, draw_pairs, fit, memory_of

GRID = Grid(Box(110, 30, 112.4, 32), 0.2)
LAW = Structure(sill=1.0, range_km=60.0, nugget=0.1, level=0.3, length_km=np.inf, power=1.3)


def places(count: int, seed: int, grid: Grid = GRID) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    west, south, east, north = grid.box
    return rng.uniform(south, north, count), rng.uniform(west, east, count)


def dense(law: Structure, torus: Torus) -> np.ndarray:
    """Covariance of every cell of the grid with every other, from the distances."""
    row, col = (each.reshape(-1) for each in np.indices(torus.grid.shape))
    north, east = (
        (each[:, None] - each[None, :]) * size for each, size in zip((row, col), torus.cell_km, strict=True)
    )
    return law.base(east, north)


def reading(sites: Sites) -> np.ndarray:
    """H as a matrix (site, cell of the grid)."""
    rows, cols, weights = sites.corners
    full = np.zeros((len(sites.lat), *sites.torus.shape))
    for site in range(len(sites.lat)):
        np.add.at(full[site], (rows[site], cols[site]), weights[site])
    return full[:, : GRID.shape[0], : GRID.shape[1]].reshape(len(sites.lat), -1)


# The plane and the torus


def test_distances_follow_the_sphere():
    """A cell at 60 degrees north is half as wide as high, and a box's width is its parallel's length."""
    torus = Torus(Grid(Box(0, 59, 4, 61), 0.5), 0)
    north, east = torus.cell_km
    assert east / north == pytest.approx(0.5, rel=1e-9)
    assert north == pytest.approx(0.5 * 111.19, rel=1e-3)
    assert east * 8 == pytest.approx(fields.EARTH_RADIUS_KM * np.cos(np.radians(60)) * np.radians(4))


def test_spectrum_stands_for_the_covariance():
    torus = Torus(GRID, LAW.reach_km)
    table = torus.table(torus.spectrum(LAW.base))
    rows, cols = GRID.shape
    north, east = (
        np.arange(count)[:, None] * size for count, size in zip(GRID.shape, torus.cell_km, strict=True)
    )
    np.testing.assert_allclose(table[:rows, :cols], LAW.base(east.T, north), atol=2e-3)


def test_stretch_turns_and_keeps_the_area():
    """Along the axis of p the range shrinks by exp(p), across it grows by as much."""
    law = Structure(sill=1, range_km=100, stretch=(0.4, 0.0), power=1.0)
    assert law.near(100 * np.exp(-0.4), 0.0) == pytest.approx(np.exp(-1))
    assert law.near(0.0, 100 * np.exp(0.4)) == pytest.approx(np.exp(-1))
    turned = Structure(sill=1, range_km=100, stretch=(0.0, 0.4), power=1.0)
    along = 100 * np.exp(-0.4) / np.sqrt(2)
    assert turned.near(along, along) == pytest.approx(np.exp(-1))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_applied_and_read_covariances_equal_dense_ones(seed):
    """C H' w by FFT, H C H' by differences, and H' as the adjoint of H, against matrices."""
    torus = Torus(GRID, LAW.reach_km)
    spectrum = torus.spectrum(LAW.base)
    north, east = np.indices(torus.shape).reshape(2, -1)
    table = torus.table(spectrum)
    whole = table[north[:, None] - north, east[:, None] - east]
    inner = (north < GRID.shape[0]) & (east < GRID.shape[1])
    lat, lon = places(7, seed)
    # Half a cell from the edge and farther in: all that is read lies on the grid.
    sites = Sites(torus, np.clip(lat, 30.1, 31.9), np.clip(lon, 110.1, 112.3))
    matrix, cells = reading(sites), whole[np.ix_(inner, inner)]
    weights = np.random.default_rng(seed).standard_normal(7)
    applied = torus.crop(sites.onto(spectrum, weights)).reshape(-1)
    np.testing.assert_allclose(applied, cells @ matrix.T @ weights, atol=1e-5)
    np.testing.assert_allclose(sites.between(spectrum), matrix @ cells @ matrix.T, atol=1e-10)
    field = np.random.default_rng(seed + 1).standard_normal(torus.shape)
    assert weights @ sites.read(field) == pytest.approx((sites.spread(weights) * field).sum(), abs=1e-5)


def test_draws_have_the_covariance():
    torus = Torus(GRID, LAW.reach_km)
    spectrum = torus.spectrum(LAW.base)
    root, rng = np.sqrt(spectrum).astype(np.float32), np.random.default_rng(0)
    draws = np.stack([torus.draw(root, rng) for _ in range(4000)])
    table = torus.table(spectrum)
    for lag in ((0, 0), (0, 1), (2, 0), (3, 4)):
        product = (draws * np.roll(draws, lag, (1, 2))).mean((1, 2))
        error = product.std() / np.sqrt(len(product))
        assert abs(product.mean() - table[lag]) < 4 * error


# Rain and its scores


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.02, 0.98), st.sampled_from([0.0, 0.1, 0.2]))
def test_scores_invert(seed, wet, tick):
    rng = np.random.default_rng(seed)
    rates = np.where(rng.random(3000) < wet, 0.1 + rng.gamma(0.6, 4, 3000), 0)
    rates = np.round(rates / tick) * tick if tick else rates
    score = NormalScore.of(rates, 0.1)
    assert (np.diff(score.scores) > 0).all()
    assert (np.diff(score.rates) > 0).all()
    inside = rates[(rates >= 0.1 + tick) & (rates < np.quantile(rates, 0.97))]
    np.testing.assert_allclose(score.rain(score.score(inside)), inside, rtol=1e-6)
    latent = rng.standard_normal(200000)
    assert (score.rain(latent) > 0).mean() == pytest.approx((rates >= 0.1).mean(), abs=0.01)
    assert score.rain(latent).mean() == pytest.approx(rates.mean(), rel=0.15, abs=0.02)


def test_one_broken_gauge_cannot_stretch_the_tail():
    rng = np.random.default_rng(1)
    rates = np.where(rng.random(5000) < 0.3, rng.exponential(3, 5000), 0)
    sound, broken = NormalScore.of(rates, 0.1), NormalScore.of(np.r_[rates, 900.0], 0.1)
    assert broken.rates[-1] == pytest.approx(sound.rates[-1], rel=0.15)
    assert sound.rain(np.array([9.0])) == sound.rates[-1]
    assert sound.rates[-1] < 4 * rates.max()


@pytest.mark.parametrize("rates", [[0.0], [3.0], [0.0, 0.0, 5.0], [np.nan, 0.2], np.full(30, 0.1)])
def test_scores_of_hardly_anything(rates):
    score = NormalScore.of(rates, 0.1)
    rain = score.rain(np.linspace(-6, 6, 1000))
    assert np.isfinite(rain).all()
    assert (np.diff(rain) >= 0).all()
    assert rain[0] == 0
    assert rain[-1] > 0


# Censored reports


def test_two_below_against_scipy():
    rng = np.random.default_rng(2)
    first, second, rho = rng.normal(size=40), rng.normal(size=40), rng.uniform(-0.95, 0.95, 40)
    wanted = [
        stats.multivariate_normal(cov=[[1, r], [r, 1]]).cdf([a, b])  # pyright: ignore[reportArgumentType]
        for a, b, r in zip(first, second, rho, strict=True)
    ]
    np.testing.assert_allclose(both_below(first, second, rho), wanted, atol=2e-5)


def test_pair_densities_sum_to_one():
    """Both wet over the quadrant, one wet over each half line, and both dry."""
    ceiling, variances, covariance = 0.3, (1.4, 0.8), 0.6
    step = 0.02
    wet = np.arange(ceiling + step / 2, 9, step)
    one, other = (each.reshape(-1) for each in np.meshgrid(wet, wet))

    def density(first, second, dry):
        size = np.ones(len(first))
        told = pair_log_likelihood(
            (first, second),
            tuple(np.full(len(first), side) for side in dry),
            tuple(size * each for each in variances),
            size * covariance,
        )
        return np.exp(told) - 1e-4

    edge = np.full(len(wet), ceiling)
    total = density(one, other, (False, False)).sum() * step**2
    total += (density(wet, edge, (False, True)) + density(edge, wet, (True, False))).sum() * step
    total += density(edge[:1], edge[:1], (True, True)).sum()
    assert total == pytest.approx(1, abs=1e-3)


def test_regression_sees_below_the_ceiling():
    rng = np.random.default_rng(3)
    predictors = rng.standard_normal((4000, 2))
    latent = 0.2 + predictors @ [0.8, -0.3] + 0.5 * rng.standard_normal(4000)
    dry = latent < 0.7
    coefficients, deviation = tobit(np.maximum(latent, 0.7), dry, predictors)
    np.testing.assert_allclose(coefficients, [0.2, 0.8, -0.3], atol=0.04)
    assert deviation == pytest.approx(0.5, abs=0.03)


def test_flow_under_ceilings_against_rejection():
    """Three correlated coordinates under ceilings: means, deviations and correlations."""
    covariance = np.array([[1.0, 0.8, 0.3], [0.8, 1.5, -0.2], [0.3, -0.2, 0.7]])
    ceiling = np.array([0.2, -0.5, 1.0])
    rng, root = np.random.default_rng(4), np.linalg.cholesky(covariance)
    free = rng.standard_normal((400000, 3)) @ root.T
    wanted = free[(free <= ceiling).all(1)]
    place, chain = np.full(3, -1.0), []
    for _ in range(20000):
        place = bounce(place, root @ rng.standard_normal(3), covariance, ceiling, np.pi / 2)
        chain.append(place)
    found = np.array(chain[10:])
    assert (found <= ceiling + 1e-12).all()
    np.testing.assert_allclose(found.mean(0), wanted.mean(0), atol=0.03)
    np.testing.assert_allclose(found.std(0), wanted.std(0), atol=0.03)
    np.testing.assert_allclose(np.corrcoef(found.T), np.corrcoef(wanted.T), atol=0.03)


def test_flow_without_ceilings_is_a_fresh_draw():
    speed = np.array([0.3, -1.2])
    moved = bounce(np.array([5.0, 5.0]), speed, np.eye(2), np.full(2, 99.0), np.pi / 2)
    np.testing.assert_allclose(moved, speed, atol=1e-12)


def test_mean_under_a_ceiling():
    mean, deviation, ceiling = np.array([0.0, 1.0, -3.0]), np.array([1.0, 2.0, 0.5]), 0.4
    wanted = stats.truncnorm.mean(-np.inf, (ceiling - mean) / deviation, mean, deviation)
    np.testing.assert_allclose(below_mean(mean, deviation, ceiling), wanted, rtol=1e-9)
    inverse = np.diag(1 / deviation**2)
    settled = settle(inverse, np.full(3, ceiling), mean, np.arange(3), ceiling)
    np.testing.assert_allclose(settled, wanted, rtol=1e-9)


# Kriging and conditional simulation

IDENTITY = NormalScore(-50.0, np.array([-50.0, 50.0]), np.array([0.0, 100.0]))


def woven(
    latent: np.ndarray, lat, lon, law: Structure, drift=None, speckle: float = 0.0, score=IDENTITY, gap=None
):
    """A weave of these latent reports (site, time); its rain is the latent field plus 50."""
    dry = latent <= score.dry
    field = None if drift is None else Drift(drift.astype(np.float32), gap, 80.0)
    network = Network(lat, lon, score, latent, dry, np.zeros(latent.shape))
    if drift is not None:
        read = np.stack([at_places(hour, GRID, lat, lon) for hour in drift], -1)
        network = Network(lat, lon, score, latent, dry, read, mean=0.2, coefficient=0.9)
        if gap is not None:
            share = np.stack([at_places(hour, GRID, lat, lon) for hour in gap], -1)
            network = replace(network, gap=share)
    return Weave(GRID, network, field, law, 0.0, speckle)


@pytest.mark.parametrize(("drifting", "gaps"), [(False, False), (True, False), (True, True)])
def test_members_have_the_mean_and_covariance_of_kriging(drifting, gaps):
    """Against the closed form of the same law in matrices, within Monte Carlo error."""
    law = Structure(1.0, 60.0, 0.1, 0.3, 0.4 if drifting else 0.0, 90.0, (0.2, 0.1), 1.3)
    lat, lon = places(9, 6)
    lat, lon = np.clip(lat, 30.1, 31.9), np.clip(lon, 110.1, 112.3)
    rng = np.random.default_rng(7)
    background = rng.standard_normal((1, *GRID.shape)) if drifting else None
    gap = (rng.random((1, *GRID.shape)) < 0.4).astype(np.float32) if gaps else None
    weave = woven(rng.standard_normal((9, 1)), lat, lon, law, background, gap=gap)
    matrix = reading(weave.hour(0).sites)
    cells = torus_covariance(weave, weave.parts[0].spectrum)
    cross, reports = cells @ matrix.T, matrix @ cells @ matrix.T
    mean = np.zeros(cells.shape[0])
    if background is not None:
        g, at = background.reshape(-1), weave.network.drift[:, 0]
        factors: list[tuple[np.ndarray, np.ndarray]] = [(g, at)]
        if gap is not None:
            factors.append((gap.reshape(-1), weave.network.gap[:, 0]))
        for part, (there, here) in zip(weave.parts[1:], factors, strict=True):
            turned = torus_covariance(weave, part.spectrum)
            cross = cross + there[:, None] * (turned @ matrix.T) * here
            reports = reports + here[:, None] * (matrix @ turned @ matrix.T) * here
            cells = cells + there[:, None] * turned * there
        mean = 0.2 + 0.9 * g
    gain = np.linalg.solve(reports + np.diag(weave.error[:, 0]), cross.T).T
    away = weave.network.latent[:, 0] - weave.hour(0).mean
    wanted = mean + gain @ away
    np.testing.assert_allclose(weave.median(0).reshape(-1) - 50, wanted, atol=2e-4)
    draws = np.stack([next(weave.member(1, member)).reshape(-1) - 50 for member in range(1500)])
    posterior = cells - gain @ cross.T
    error = np.sqrt(np.diag(posterior) / len(draws))
    assert (np.abs(draws.mean(0) - wanted) / error).max() < 5
    ratio = draws.var(0, ddof=1) / np.diag(posterior)
    assert ratio.mean() == pytest.approx(1, abs=0.02)
    assert np.abs(ratio - 1).max() < 5 * np.sqrt(2 / len(draws))
    spread = np.cov(draws.T) - posterior
    assert np.abs(spread).max() < 6 * np.diag(posterior).max() / np.sqrt(len(draws))


def torus_covariance(weave: Weave, spectrum: np.ndarray) -> np.ndarray:
    row, col = (each.reshape(-1) for each in np.indices(GRID.shape))
    return weave.torus.table(spectrum.astype(float))[row[:, None] - row, col[:, None] - col]


def test_kriging_equals_pykrige():
    """Ordinary kriging of uncensored values, to four digits.

    An unknown mean is a level of infinite variance. What a finite one leaves falls with its inverse, so two
    levels, one twice the other, tell the limit; a huge one would drown in single precision instead.
    """
    from pykrige.ok import OrdinaryKriging

    law = Structure(sill=1.0, range_km=40.0, nugget=0.05, level=60.0, length_km=np.inf, power=1.0)
    torus = Torus(GRID, law.reach_km)
    rng, (size_north, size_east) = np.random.default_rng(8), torus.cell_km
    rows, cols = rng.permutation(120)[:14] // 12, rng.permutation(120)[:14] % 12
    lat, lon, values = GRID.lat[rows], GRID.lon[cols], rng.normal(3, 1, 14)
    other = OrdinaryKriging(
        cols * size_east,
        rows * size_north,
        values,
        variogram_model="exponential",
        variogram_parameters={"psill": 1.0, "range": 3 * 40.0, "nugget": 0.05},
    )
    wanted, _ = other.execute("grid", np.arange(12.0) * size_east, np.arange(10.0) * size_north)
    single, double = (
        woven(values[:, None], lat, lon, replace(law, level=level)).median(0) - 50 for level in (60.0, 120.0)
    )
    away = np.ones(GRID.shape, bool)
    away[rows, cols] = False  # at a gauge itself pykrige returns the report, nugget and all
    np.testing.assert_allclose((2 * double - single)[away], np.asarray(wanted)[away], rtol=1e-4)


def test_dry_reports_say_at_most():
    """Rain at cells among a wet and two dry gauges: its mean and chance from rejection sampling."""
    score = NormalScore(0.5, np.array([0.5, 50.0]), np.array([0.0, 49.5]))
    lat, lon = np.array([31.1, 31.1, 31.3]), np.array([110.7, 111.3, 111.5])
    weave = woven(np.array([[1.4], [0.5], [0.5]]), lat, lon, LAW, score=score)
    matrix = reading(weave.hour(0).sites)
    cells = torus_covariance(weave, weave.parts[0].spectrum)
    reports = matrix @ cells @ matrix.T + np.diag(weave.error[:, 0])
    chosen = [5 * 12 + 5, 6 * 12 + 7, 2 * 12 + 2]
    joint = np.block(
        [[reports, matrix @ cells[:, chosen]], [cells[chosen] @ matrix.T, cells[np.ix_(chosen, chosen)]]]
    )
    pull = joint[1:, 0] / joint[0, 0]
    rest = joint[1:, 1:] - np.outer(pull, joint[0, 1:])
    free = np.random.default_rng(9).multivariate_normal(pull * 1.4, rest, 400000)
    wanted = np.maximum(free[(free[:, :2] <= 0.5).all(1), 2:] - 0.5, 0)
    found = np.stack([next(weave.member(2, member)).reshape(-1)[chosen] for member in range(3000)])
    error = wanted.std(0) / np.sqrt(len(found))
    assert (np.abs(found.mean(0) - wanted.mean(0)) < 4 * error).all()
    np.testing.assert_allclose((found > 0).mean(0), (wanted > 0).mean(0), atol=0.035)
    np.testing.assert_allclose(found.std(0), wanted.std(0), rtol=0.12)


def test_noise_remembers():
    """Far from any gauge two successive hours of a member correlate by the memory."""
    latent = np.zeros((1, 2))
    weave = woven(latent, np.array([30.1]), np.array([110.1]), LAW)
    weave.memory = 0.8
    pairs = np.array([[hour[-1, -1] for hour in weave.member(3, member)] for member in range(1500)])
    assert np.corrcoef(pairs.T)[0, 1] == pytest.approx(0.8, abs=0.04)


def test_a_contradicted_report_loses_weight():
    """A spike among smooth reports is doubted, its neighbours are not; so is a stuck zero."""
    lat, lon = (
        each.reshape(-1) for each in np.meshgrid(np.arange(30.3, 31.9, 0.3), np.arange(110.3, 112.3, 0.3))
    )
    law = Structure(sill=1.0, range_km=200.0, nugget=0.01, level=0.1, power=1.6)
    calm = 1.5 + 0.2 * np.sin(3 * lat)[:, None]
    for fault in (4.9, 0.0):
        latent = calm.copy()
        latent[15] = fault
        weave = woven(
            latent, lat, lon, law, score=NormalScore(0.0, np.array([0.0, 50.0]), np.array([0.0, 50.0]))
        )
        now = weave.hour(0)
        more = doubted(now, weave.likely(now), 0.0, 4.0)
        assert np.flatnonzero(more).tolist() == [15]
        before = abs(weave.median(0) - calm.mean()).max()
        weave.weigh(0, 4.0)
        assert abs(weave.median(0) - calm.mean()).max() < 0.5 * before
    assert not doubted(*sound(weave, calm), 0.0, 4.0).any()


def sound(weave: Weave, latent: np.ndarray):
    other = woven(latent, weave.network.lat, weave.network.lon, LAW)
    return other.hour(0), latent[:, 0]


def test_two_gauges_at_one_place_are_no_trouble():
    lat, lon = np.array([31.0, 31.0, 31.5]), np.array([111.0, 111.0, 111.5])
    law = Structure(sill=1.0, range_km=100.0, nugget=0.0, level=0.1)
    rain = next(woven(np.array([[1.0], [1.0], [0.4]]), lat, lon, law).member(0, 0))
    assert np.isfinite(rain).all()
    assert abs(at_places(rain - 50, GRID, lat, lon) - [1.0, 1.0, 0.4]).max() < 0.1


def test_even_choice_spreads():
    lat, lon = places(300, 10)
    chosen = even_choice(lat, lon, 20)
    assert len(set(chosen)) == 20
    gaps = np.hypot(lat[chosen, None] - lat[chosen], lon[chosen, None] - lon[chosen])
    assert np.sort(gaps, 1)[:, 1].min() > 0.2
    assert even_choice(lat, lon, 300).tolist() == list(range(300))


# The fit


def simulated(law: Structure, count: int, hours: int, memory: float, seed: int, ceiling: float = 0.4):
    """Reports (site, time) of a field with this law, cut off at the ceiling."""
    grid = Grid(Box(105, 25, 115, 35), 0.1)
    torus, rng = Torus(grid, law.reach_km), np.random.default_rng(seed)
    lat, lon = places(count, seed, grid)
    sites, root = Sites(torus, lat, lon), np.sqrt(torus.spectrum(law.base)).astype(np.float32)
    field, told = torus.draw(root, rng), []
    for _ in range(hours):
        told.append(sites.read(field) + np.sqrt(law.nugget) * rng.standard_normal(count))
        field = memory * field + np.sqrt(1 - memory**2) * torus.draw(root, rng)
    latent = np.stack(told, 1)
    east, north = lon * fields.KM_PER_DEGREE * torus.shrink, lat * fields.KM_PER_DEGREE
    dry = latent <= ceiling
    return np.where(dry, ceiling, latent), dry, np.zeros_like(latent), east, north


@pytest.mark.parametrize("power", [1.0, 1.6])
def test_the_fit_finds_the_law_behind_the_ceiling(power):
    law = Structure(0.8, 90.0, 0.1, 0.1, length_km=np.inf, stretch=(0.3, -0.1), power=power)
    reports = simulated(law, 400, 80, 0.3, seed=11)
    pairs = draw_pairs(*reports, np.random.default_rng(0))
    start = Structure(length_km=np.inf, power=1.2)
    free = ("sill", "range_km", "nugget", "level", "p", "q", "power")
    *_, found = fit(pairs, start, int((~reports[1]).sum()), free)
    assert found.range_km == pytest.approx(90, rel=0.2)
    assert found.power == pytest.approx(power, abs=0.2)
    assert found.nugget == pytest.approx(0.1, abs=0.08)
    assert found.sill + found.level + found.nugget == pytest.approx(1.0, abs=0.2)
    np.testing.assert_allclose(found.stretch, law.stretch, atol=0.1)
    memory = memory_of(draw_hours(*reports, np.random.default_rng(0)), found)
    assert memory == pytest.approx(0.3, abs=0.11)


def test_broken_gauges_cannot_bend_the_fit():
    law = Structure(0.9, 90.0, 0.05, 0.05, length_km=np.inf, power=1.0)
    latent, dry, drift, east, north = simulated(law, 250, 20, 0.0, seed=12)
    latent[:8], dry[:8] = 4.9, False
    pairs = draw_pairs(latent, dry, drift, east, north, np.random.default_rng(0))
    *_, found = fit(
        pairs, Structure(length_km=np.inf), int((~dry).sum()), ("sill", "range_km", "nugget", "level")
    )
    assert found.range_km == pytest.approx(90, rel=0.4)
    assert found.nugget < 0.25


# Bilinear reading


def test_bilinear_reading_is_exact_on_planes():
    lat, lon = np.meshgrid(GRID.lat, GRID.lon, indexing="ij")
    plane = 2 * lat - 3 * lon
    there = places(50, 13)
    there = np.clip(there[0], 30.1, 31.9), np.clip(there[1], 110.1, 112.3)
    np.testing.assert_allclose(at_places(plane, GRID, *there), 2 * there[0] - 3 * there[1], atol=1e-9)
    fine = Grid(GRID.box, 0.05)
    rain = fields.rain(
        plane[None],
        Period(instant("start", "2020-07-01"), instant("end", "2020-07-01T01:00")).times,
        GRID.lat,
        GRID.lon,
    )[0]
    read = on_grid(rain, fine)
    inner = np.s_[2:-2, 2:-2]
    wanted = 2 * fine.lat[:, None] - 3 * fine.lon
    np.testing.assert_allclose(read[inner], wanted[inner], atol=1e-9)
    assert read[0, 0] == plane[0, 0]
    np.testing.assert_array_equal(on_grid(rain, GRID), plane)


def test_bilinear_reading_of_zeros_is_zero_and_missing_stays_missing():
    values = np.zeros((1, *GRID.shape))
    values[0, 3, 4] = np.nan
    rain = fields.rain(
        values,
        Period(instant("start", "2020-07-01"), instant("end", "2020-07-01T01:00")).times,
        GRID.lat,
        GRID.lon,
    )[0]
    read = on_grid(rain, Grid(GRID.box, 0.1))
    assert (read[np.isfinite(read)] == 0).all()
    assert np.isnan(read).sum() == 16
    assert positions(GRID.lat, GRID.lat[3] + 1e-9) == 3


def test_reports_of_all_kinds_give_rain():
    """One gauge or a few, all dry or all wet, hours without any report."""
    rng, times = (
        np.random.default_rng(14),
        Period(instant("start", "2020-07-01"), instant("end", "2020-07-01T03:00")).times,
    )
    for count, wet in ((1, 0.0), (1, 1.0), (3, 0.5), (12, 0.0), (12, 1.0)):
        rates = np.where(rng.random((count, 3)) < wet, rng.exponential(2, (count, 3)), 0.0)
        rates[:, 1] = np.nan
        lat, lon = places(count, count)
        gauges = Observations.of(rates, [f"G{index}" for index in range(count)], times, lat, lon)
        network = Network.of(gauges, 0.1, 500)
        weave = Weave(GRID, network, None, LAW, 0.5, 0.5)
        for hour in range(3):
            weave.weigh(hour, 4.0)
        rain = np.stack(list(weave.member(0, 0)))
        assert np.isfinite(rain).all()
        assert (rain >= 0).all()


def test_a_background_with_gaps(monkeypatch):
    """Where the background is known members follow it; where it is missing they are whole, and less sure."""
    import engine.methods.kriging as kriging
    from engine.methods import method
    from engine.tasks import Task

    grid, period = (
        Grid(Box(110, 30, 114, 34), 0.2),
        Period(instant("s", "2020-07-01"), instant("e", "2020-07-01T04")),
    )
    rng, torus = np.random.default_rng(15), Torus(grid, 300.0)
    root = np.sqrt(torus.spectrum(Structure(1.0, 60.0, power=1.5, level=0.0).base)).astype(np.float32)
    latent = np.stack([torus.crop(torus.draw(root, rng)) for _ in range(4)])
    truth = np.maximum(np.exp(latent) - 1, 0)
    seen = truth * np.exp(0.2 * rng.standard_normal(truth.shape))
    seen[:, :, :10] = np.nan
    lat, lon = places(40, 16, grid)
    told = np.stack([at_places(hour, grid, lat, lon) for hour in truth], 1)
    gauges = Observations.of(told, [f"G{index}" for index in range(40)], period.times, lat, lon)
    background = fields.rain(seen, period.times, grid.lat, grid.lon)
    given_ = fields.Evidence(grid, period, {"background": {"a": background}}, gauges)
    monkeypatch.setattr(kriging, "evidence", lambda task: given_)
    entries = {"domain": grid.box, "step": 0.2, "method": "kriging", "sources": ["a/b"], "gauges": "a/c"}
    dates = {"start": period.start, "end": period.end}
    task = Task.of(entries | {"period": dates, "members": 12})
    rain = fields.ensemble(method("kriging").run(task, 0, range(12))).values
    assert np.isfinite(rain).all()
    error = np.abs(np.median(rain, 0) - truth).mean((0, 1))
    spread = rain.std(0).mean((0, 1))
    assert error[10:].mean() < 0.5 * error[:10].mean()
    assert spread[10:].mean() < 0.75 * spread[:10].mean()
    below, ties = (compare(rain, truth)[..., :10].sum(0) for compare in (np.less, np.equal))
    place = (below + rng.random(below.shape) * (ties + 1)) / (len(rain) + 1)
    assert np.histogram(place, 4, (0, 1))[0].min() > 0.15 * place.size  # the truth is anywhere among them
