"""Each instrument errs as it says, and in nothing else."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.ndimage import gaussian_filter

from engine.fields import Box, Grid, rain
from engine.sources import instruments, stations
from engine.sources.instruments import Forecast, Reanalysis, Satellite
from engine.sources.stations import Network, Radars
from engine.values import Invalid

GRID = Grid(Box(110, 30, 115, 35), 0.05)
TIMES = pd.date_range("2020-07-01T01:00", periods=24, freq="1h")


def storm(seed: int = 0) -> xr.DataArray:
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal((24, *GRID.shape)), (1, 4, 4))
    return rain(np.maximum(noise / noise.std(), 0) ** 2 * 8, TIMES, GRID.lat, GRID.lon)


def constant(value: float) -> xr.DataArray:
    return rain(np.full((24, *GRID.shape), value), TIMES, GRID.lat, GRID.lon)


EXACT_SATELLITE = replace(
    Satellite(), displacement=0.0, error=0.0, missed=0.0, convective=1.0, land=1.0, sea=1.0, gaps=0.0
)
EXACT_RADAR = replace(
    Radars(), calibration=0.0, overshoot=0.0, blocked=0.0, attenuation=0.0, clutter=0.0, noise=0.0
)
EXACT_GAUGES = replace(
    Network(), gauges=60, catch_loss=0.0, tip=1e-6, late=0.0, stuck=0.0, spiky=0.0, twice=0.0, lost=0.0
)


# ---- area means ------------------------------------------------------------------------------------


def test_area_means_conserve():
    fine = storm()
    for step in (0.1, 0.25, 0.5):
        mean, grid = instruments.area_mean(fine, step)
        assert mean.shape[1:] == grid.shape
        np.testing.assert_allclose(mean.mean((1, 2)), fine.values.mean((1, 2)), rtol=1e-12)
    assert mean[3, 0, 0] == pytest.approx(fine.values[3, :10, :10].mean())
    with pytest.raises(Invalid, match="whole multiple"):
        instruments.area_mean(fine, 0.12)


# ---- reanalysis ------------------------------------------------------------------------------------


def test_a_reanalysis_without_errors_is_the_area_mean():
    exact = replace(Reanalysis(), smoothing=0.0, displacement=0.0, drizzle=0.0, damping=1.0, error=0.0)
    seen = instruments.reanalysis(storm(), exact, 1)
    np.testing.assert_allclose(seen.values, instruments.area_mean(storm(), 0.25)[0], rtol=1e-5, atol=1e-6)


def test_a_reanalysis_is_smooth_drizzly_and_shy():
    truth = instruments.area_mean(storm(), 0.25)[0]
    seen = instruments.reanalysis(storm(), Reanalysis(), 1).values
    assert (seen > 0.02).mean() > (truth > 0.02).mean()
    assert np.percentile(seen, 99.5) < 0.6 * np.percentile(truth, 99.5)
    damped = instruments.reanalysis(storm(), replace(Reanalysis(), error=0.0), 1).values
    plain = instruments.reanalysis(storm(), replace(Reanalysis(), error=0.0, damping=1.0), 1).values
    assert damped.max() < plain.max()
    np.testing.assert_allclose(damped[plain < 0.9], plain[plain < 0.9])


def test_displacement_has_the_length_it_says():
    grid, spacing = Grid(Box(100, 20, 125, 45), 0.25), (27.8, 23.4)
    columns = np.repeat(np.arange(100.0)[None], 100, 0) * spacing[1]
    ramp = np.repeat(columns[None], 40, 0)
    moved = instruments.warped(ramp, spacing, 25.0, 300.0, 8.0, np.random.default_rng(2))
    inner = (moved - ramp)[:, 10:-10, 10:-10]
    assert grid.shape == inner.shape[1:] or inner.shape[1:] == (80, 80)
    assert inner.std() == pytest.approx(25.0 / np.sqrt(2), rel=0.15)


# ---- satellite -------------------------------------------------------------------------------------


def satellite(**settings):
    sea = np.zeros((50, 50))
    sea[:, 25:] = 1
    return instruments.satellite(storm(), sea, replace(EXACT_SATELLITE, **settings), 3).values


def test_a_satellite_without_errors_is_the_area_mean():
    np.testing.assert_allclose(satellite(), instruments.area_mean(storm(), 0.1)[0], rtol=1e-5, atol=1e-6)


def test_a_satellite_reads_land_and_sea_differently():
    ratio = satellite(land=1.2, sea=0.8) / np.maximum(satellite(), 1e-9)
    wet = satellite() > 0.1
    np.testing.assert_allclose(ratio[:, :, :25][wet[:, :, :25]], 1.2, rtol=1e-4)
    np.testing.assert_allclose(ratio[:, :, 25:][wet[:, :, 25:]], 0.8, rtol=1e-4)


def test_a_satellite_misses_light_rain_only():
    plain, seen = satellite(), satellite(missed=0.3)
    assert (seen[plain > 6.0] > 0).all()
    light = (plain > 0.02) & (plain < 0.1)
    assert (seen[light] > 0).mean() < 0.15
    around = (plain > 0.25) & (plain < 0.35)
    assert 0.3 < (seen[around] > 0).mean() < 0.7


def test_a_satellite_over_reads_convection_only():
    plain, seen = satellite(), satellite(convective=1.3)
    np.testing.assert_allclose(seen[plain < 5], plain[plain < 5])
    assert (seen[plain > 6] > plain[plain > 6]).all()


def test_a_satellites_error_keeps_the_mean_and_is_correlated():
    sea = np.zeros((50, 50))
    exact = replace(EXACT_SATELLITE, error=0.5)
    seen = np.stack([instruments.satellite(constant(2.0), sea, exact, seed).values for seed in range(6)])
    assert seen.mean() == pytest.approx(2.0, rel=0.08)
    log = np.log(seen)
    assert log.std() == pytest.approx(0.5, rel=0.12)
    assert np.corrcoef(log[..., :-2].ravel(), log[..., 2:].ravel())[0, 1] > 0.6


def test_swaths_are_missing_in_some_hours():
    seen = satellite(gaps=0.5, gap_width=120.0)
    holed = np.isnan(seen).any((1, 2))
    assert 5 <= holed.sum() <= 19
    assert (np.isnan(seen).mean((1, 2))[holed] < 0.6).all()


# ---- forecast --------------------------------------------------------------------------------------


def test_a_forecast_gets_worse_with_lead_time():
    same = rain(np.repeat(storm().values[:1], 24, 0), TIMES, GRID.lat, GRID.lon)
    growing = replace(Forecast(), displacement_growth=3.0, error_growth=0.03)
    truth = instruments.area_mean(same, 0.1)[0]
    errors = np.mean(
        [np.abs(instruments.forecast(same, growing, seed).values - truth).mean((1, 2)) for seed in range(4)],
        0,
    )
    assert errors[-6:].mean() > 1.2 * errors[:6].mean()


def test_a_forecast_without_errors_is_the_area_mean():
    exact = Forecast(displacement=0, displacement_growth=0, error=0, error_growth=0, smoothing=0)
    seen = instruments.forecast(storm(), exact, 1)
    np.testing.assert_allclose(seen.values, instruments.area_mean(storm(), 0.1)[0], rtol=1e-5, atol=1e-6)


# ---- radar -----------------------------------------------------------------------------------------

SITE = np.array([[32.5, 112.5]])


def radar(fine, **settings):
    return stations.radar(fine, SITE, 0.05, replace(EXACT_RADAR, **settings), 4)


def distances() -> np.ndarray:
    north = (GRID.lat - 32.5)[:, None] * 111.195
    return np.hypot(north, (GRID.lon - 112.5)[None] * 111.195 * np.cos(np.deg2rad(32.5)))


def test_a_radar_without_errors_sees_the_rain_within_its_reach():
    seen = radar(constant(2.0), reach=150.0).values
    far = distances() > 150.0
    assert np.isnan(seen[:, far]).all()
    np.testing.assert_allclose(seen[:, ~far], 2.0, rtol=1e-5)
    seen, truth = radar(storm(), reach=150.0).values[:, ~far], storm().values[:, ~far]
    assert np.corrcoef(seen.ravel(), truth.ravel())[0, 1] > 0.9


def test_a_radar_overshoots_with_range():
    seen = radar(constant(2.0), overshoot=0.5, reach=200.0).values[0]
    inside = distances() < 195.0
    expected = 2.0 * np.exp(-0.5 * (distances() / 200.0) ** 2)
    np.testing.assert_allclose(seen[inside], expected[inside], rtol=0.02)


def test_a_blocked_sector_is_blocked_and_nothing_else():
    rays = np.full((1, 360, 100), 3.0)
    seen = stations.beam(rays, replace(EXACT_RADAR, sector=20.0, block_from=40.0, passes=0.1), blocked=355.0)
    azimuth, distance = np.arange(360) + 0.5, np.arange(100) * 2 + 1
    within = (np.abs((azimuth - 355 + 180) % 360 - 180) <= 10)[:, None] & (distance >= 40)[None]
    assert within.sum() == 20 * 80
    np.testing.assert_allclose(seen[0][within], 0.3)
    np.testing.assert_allclose(seen[0][~within], 3.0)


def test_rain_behind_a_core_is_weakened_and_the_core_itself_is_not():
    rays = np.full((1, 360, 100), 0.0)
    rays[0, 90, 30:35], rays[0, 90, 60] = 60.0, 5.0
    rays[0, 180, 60] = 5.0
    seen = stations.beam(rays, replace(EXACT_RADAR, attenuation=0.004))
    assert seen[0, 90, 30] == pytest.approx(60.0)
    assert seen[0, 180, 60] == pytest.approx(5.0)
    lost = 2 * 5 * 2.0 * 0.004 * 6.0**1.2
    assert seen[0, 90, 60] == pytest.approx(5.0 * np.exp(-lost))


def test_azimuth_runs_from_north_over_east():
    wedge = constant(0.0)
    wedge.values[:, 50:, 60:] = 5.0
    rays = stations.sweep(wedge, SITE[0], 150.0)
    assert rays[0, 45:70, 60].min() == 5.0
    assert rays[0, 95:265].max() == 0.0
    seen = radar(wedge, reach=200.0).values[0]
    assert seen[75, 75] == 5.0
    assert seen[25, 75] == 0.0


def test_clutter_echoes_near_the_radar_only():
    seen = radar(constant(0.0), clutter=0.1, reach=150.0).values
    far = (distances() > 45) & (distances() < 149)
    assert seen[:, distances() < 38].max() > 1
    assert seen[:, far].max() == 0


# ---- gauges ----------------------------------------------------------------------------------------


def static(values: np.ndarray, name: str) -> xr.DataArray:
    return xr.DataArray(values, {"lat": GRID.lat, "lon": GRID.lon}, ("lat", "lon"), name)


PLAIN, LAND = static(np.zeros(GRID.shape), "elevation"), static(np.zeros(GRID.shape), "sea")


def network(wind: float = 0.0, fine: xr.DataArray | None = None, **settings):
    chosen = replace(EXACT_GAUGES, **settings)
    places = stations.gauge_sites(chosen, PLAIN, LAND, 6)
    return stations.gauges(storm() if fine is None else fine, constant(wind), places, chosen, 7)


def test_a_gauge_without_errors_reads_the_fine_truth_at_its_place():
    seen = network()
    expected = storm().sel(
        lat=xr.DataArray(seen.lat, dims="gauge"), lon=xr.DataArray(seen.lon, dims="gauge"), method="nearest"
    )
    np.testing.assert_allclose(seen.values, expected.transpose("gauge", "time").values, atol=2e-6)
    assert len(seen) == 60


def test_readings_are_whole_tips_and_keep_the_total():
    fallen = np.random.default_rng(1).gamma(0.3, 2.0, (40, 24))
    read = stations.tipped(fallen, 0.2)
    np.testing.assert_allclose(read / 0.2, np.round(read / 0.2), atol=1e-5)
    left = fallen.cumsum(1) - read.cumsum(1)
    assert left.min() > -1e-6
    assert left.max() < 0.2 + 1e-6
    assert stations.tipped(np.full((1, 4), 0.1), 0.2).tolist() == [[0.0, 0.2, 0.0, 0.2]]


def test_wind_carries_rain_past_the_rim():
    totals = [network(wind, catch_loss=0.03, rim=0.5).values.sum() for wind in (0.0, 5.0, 10.0, 20.0)]
    np.testing.assert_allclose(np.array(totals) / totals[0], [1, 0.925, 0.85, 0.7], rtol=1e-4)
    assert stations.caught_less(Network(), np.array([500.0]))[0] == 0.6


def test_a_late_clock_moves_rain_into_the_next_hour():
    hourly = np.array([[0.0, 6.0, 0.0, 0.0]])
    np.testing.assert_allclose(stations.delayed(hourly, np.array([10.0])), [[0, 5, 1, 0]])
    np.testing.assert_allclose(stations.delayed(hourly, np.array([0.0])), hourly)


def test_faults_are_where_they_are_said_to_be():
    seen = network(late=0.2, stuck=0.1, spiky=0.1, twice=0.1, spell=10, fine=constant(3.0), lost=0.02)
    faults = json.loads(seen.rain.attrs["faults"])
    assert all(faults.values())
    zero = {name for name, hours in zip(seen.names, seen.values, strict=True) if (hours == 0).sum() >= 8}
    high = {name for name, hours in zip(seen.names, seen.values, strict=True) if np.nanmax(hours) > 20}
    named = {kind: {name.removesuffix("B") for name in names} for kind, names in faults.items()}
    assert {name.removesuffix("B") for name in zero} == named["stuck"]
    assert {name.removesuffix("B") for name in high} == named["spiky"]
    for name in faults["twice"]:
        first, second = seen.rain.sel(gauge=name.removesuffix("B")), seen.rain.sel(gauge=name)
        np.testing.assert_array_equal(first.values, second.values)
        assert float(first.lat) == float(second.lat)
    assert 0.005 < np.isnan(seen.values).mean() < 0.05


def test_gauges_stand_in_plains_rather_than_mountains_and_sea():
    elevation, sea = PLAIN.copy(deep=True), LAND.copy(deep=True)
    elevation.values[:, :40], sea.values[:, 80:] = 1600.0, 1.0
    lat, lon, height = stations.gauge_sites(replace(Network(), gauges=500), elevation, sea, 1)
    mountains, plains, at_sea = (lon < 112).sum(), ((lon > 112) & (lon < 114)).sum(), (lon > 114).sum()
    assert plains > 5 * mountains > 20 * max(at_sea, 1)
    assert (height[lon < 112] == 1600).all()
    assert len(set(zip(lat, lon, strict=True))) == 500


def test_radars_stand_apart_on_low_land():
    elevation, sea = PLAIN.copy(deep=True), LAND.copy(deep=True)
    elevation.values[:, :40], sea.values[:, 80:] = 3000.0, 1.0
    sites = stations.radar_sites(replace(Radars(), apart=80.0), elevation, sea, 1)
    assert 3 <= len(sites) <= 40
    assert ((sites[:, 1] > 112) & (sites[:, 1] < 114)).all()
    gaps = [stations._km(tuple(a), tuple(b)) for i, a in enumerate(sites) for b in sites[:i]]
    assert min(gaps) >= 80.0


# ---- all -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "look",
    [
        lambda seed: instruments.reanalysis(storm(), Reanalysis(), seed),
        lambda seed: instruments.satellite(storm(), np.zeros((50, 50)), Satellite(), seed),
        lambda seed: instruments.forecast(storm(), Forecast(), seed),
        lambda seed: stations.radar(storm(), SITE, 0.05, Radars(), seed),
    ],
    ids=["reanalysis", "satellite", "forecast", "radar"],
)
def test_the_same_seed_sees_the_same(look):
    first, again, other = look(1), look(1), look(2)
    np.testing.assert_array_equal(first.values, again.values)
    assert not np.array_equal(first.values, other.values, equal_nan=True)
    assert np.nanmin(first.values) >= 0
    assert first.indexes["time"].equals(TIMES)
