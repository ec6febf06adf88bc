"""Instruments that look at a known truth badly: a reanalysis, a satellite and a forecast.

Each takes rain on a fine grid, (time, lat, lon), and gives a field as its real namesake would: the area
mean over its own cells, then its own errors. Errors are not white. They are smooth in space, red in time
and multiplicative where real ones are, for it is the correlation of errors that makes a merged field
harder than an average. Every size is a setting, and all noise comes from the seed.

Radars and gauges, which stand at places, are in `stations`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.ndimage import gaussian_filter, map_coordinates

from engine.fields import KM_PER_DEGREE, Grid
from engine.fields import rain as rain_field
from engine.values import Invalid


@dataclass(frozen=True)
class Reanalysis:
    """A forecast system's short forecasts: smooth, a little displaced, drizzly, and shy of extremes."""

    step: float = 0.25  # degrees
    smoothing: float = 25.0  # km, standard deviation, besides the area mean
    displacement: float = 25.0  # km, typical length; most lie between 10 and 40
    displacement_scale: float = 300.0  # km over which the displacement changes
    displacement_memory: float = 8.0  # h
    drizzle: float = 0.06  # mm/h added where the resolved air is moist
    damping: float = 0.75  # the tail goes as intensity to this power above 1 mm/h
    error: float = 0.3  # standard deviation of the log error
    error_scale: float = 150.0  # km
    error_memory: float = 4.0  # h


@dataclass(frozen=True)
class Satellite:
    """Microwave and infrared: noisy, blind to light rain, and impressed by tall cloud."""

    step: float = 0.1  # degrees
    displacement: float = 9.0  # km; cloud is not where its rain is, and a passage is not an hour
    displacement_scale: float = 120.0  # km
    error: float = 0.45  # standard deviation of the log error
    error_scale: float = 50.0  # km
    error_memory: float = 1.5  # h
    missed: float = 0.2  # mm/h; half of the rain of this intensity is not seen
    convective: float = 1.12  # above 5 mm/h the reading goes as intensity to this power
    land: float = 1.15  # factor over land
    sea: float = 0.85  # factor over sea
    gaps: float = 0.3  # share of hours in which a swath is missing
    gap_width: float = 350.0  # km


@dataclass(frozen=True)
class Forecast:
    """One run, begun at the start of the period: its errors grow hour by hour."""

    step: float = 0.1  # degrees
    displacement: float = 8.0  # km at the start
    displacement_growth: float = 1.2  # km per hour of lead time
    displacement_scale: float = 400.0  # km
    error: float = 0.1  # standard deviation of the log error at the start
    error_growth: float = 0.012  # per hour of lead time
    error_scale: float = 120.0  # km
    memory: float = 24.0  # h; an error grows, it does not come and go
    smoothing: float = 8.0  # km; a forecast knows no single cell


def reanalysis(fine: xr.DataArray, settings: Reanalysis, seed: int) -> xr.DataArray:
    """Displaced, smoothed, damped, drizzly."""
    rng = np.random.default_rng(seed)
    values, grid = area_mean(fine, settings.step)
    spacing = km_spacing(grid)
    moved = warped(
        values, spacing, settings.displacement, settings.displacement_scale, settings.displacement_memory, rng
    )
    smooth = smoothed(moved, settings.smoothing, spacing)
    damped = np.where(smooth > 1.0, np.maximum(smooth, 1.0) ** settings.damping, smooth)
    noise = red_noise(rng, smooth.shape, _cells(settings.error_scale, spacing), settings.error_memory)
    factor = _log_error(settings.error, noise)
    # It drizzles where it rains nearby: a wide smooth of the rain stands for moist air.
    moist = smoothed(moved, 4 * settings.smoothing, spacing)
    drizzle = settings.drizzle * np.minimum(moist / 0.2, 1.0)
    return _field(damped * factor + drizzle, fine, grid)


def satellite(fine: xr.DataArray, sea: np.ndarray, settings: Satellite, seed: int) -> xr.DataArray:
    """``sea`` is the share of sea on the satellite's grid, 0..1."""
    rng = np.random.default_rng(seed)
    truth, grid = area_mean(fine, settings.step)
    spacing = km_spacing(grid)
    width = _cells(settings.error_scale, spacing)
    length, scale = settings.displacement, settings.displacement_scale
    truth = warped(truth, spacing, length, scale, settings.error_memory, rng)
    factor = _log_error(settings.error, red_noise(rng, truth.shape, width, settings.error_memory))
    read = np.where(truth > 5.0, 5.0 * (np.maximum(truth, 5.0) / 5.0) ** settings.convective, truth)
    read = read * factor * (settings.land + (settings.sea - settings.land) * sea)
    luck = red_noise(rng, truth.shape, [each / 2 for each in width], settings.error_memory)
    read = np.where(truth > settings.missed * np.exp(0.7 * luck), read, 0.0)
    for hour in np.flatnonzero(rng.random(len(read)) < settings.gaps):
        read[hour][_swath(rng, grid, settings.gap_width)] = np.nan
    return _field(read, fine, grid)


def forecast(fine: xr.DataArray, settings: Forecast, seed: int) -> xr.DataArray:
    """Displacement and amplitude go wrong with lead time, which is counted from the first hour."""
    rng = np.random.default_rng(seed)
    values, grid = area_mean(fine, settings.step)
    spacing, lead = km_spacing(grid), np.arange(1, len(values) + 1, dtype=float)
    length = settings.displacement + settings.displacement_growth * lead
    moved = warped(values, spacing, length, settings.displacement_scale, settings.memory, rng)
    width = _cells(settings.error_scale, spacing)
    spread = (settings.error + settings.error_growth * lead)[:, None, None]
    factor = _log_error(spread, red_noise(rng, values.shape, width, settings.memory))
    return _field(smoothed(moved, settings.smoothing, spacing) * factor, fine, grid)


def area_mean(fine: xr.DataArray, step: float) -> tuple[np.ndarray, Grid]:
    """Means over cells of ``step`` degrees, and the grid they lie on. Cells are taken as of equal area."""
    here = Grid.of(fine)
    size = round(step / here.step)
    if size < 1 or abs(size * here.step - step) > 1e-6:
        raise Invalid(f"step: {step:g} is not a whole multiple of the fine grid's {here.step:g} degrees")
    grid = Grid(here.box, step)
    times, (rows, columns) = fine.sizes["time"], grid.shape
    return fine.values.reshape(times, rows, size, columns, size).mean((2, 4), dtype=float), grid


def km_spacing(grid: Grid) -> tuple[float, float]:
    """Kilometres from row to row and, on the middle latitude, from column to column."""
    north = KM_PER_DEGREE * grid.step
    return north, north * float(np.cos(np.deg2rad((grid.box.south + grid.box.north) / 2)))


def smoothed(values: np.ndarray, km: float, spacing: tuple[float, float]) -> np.ndarray:
    """A Gaussian filter of this standard deviation, map by map."""
    return gaussian_filter(values, (0.0, km / spacing[0], km / spacing[1]), mode="reflect", truncate=3.0)


def red_noise(
    rng: np.random.Generator, shape: tuple[int, ...], width: list[float], memory: float
) -> np.ndarray:
    """Unit noise (time, lat, lon), smooth over ``width`` cells, correlated in time with a memory in hours."""
    return np.stack(list(_red_maps(rng, shape, width, memory)))


def _red_maps(
    rng: np.random.Generator, shape: tuple[int, ...], width: list[float], memory: float
) -> Iterator[np.ndarray]:
    kept, field = np.exp(-1.0 / memory), None
    for _ in range(shape[0]):
        new = gaussian_filter(rng.standard_normal(shape[1:]), width, mode="wrap")
        new *= np.sqrt(4 * np.pi * width[0] * width[1])  # the filter's loss of standard deviation
        field = new if field is None else kept * field + np.sqrt(1 - kept**2) * new
        yield field


def _cells(scale: float, spacing: tuple[float, float]) -> list[float]:
    """The filter that makes a correlation fall to 1/e within ``scale`` km, in cells."""
    return [max(scale / (2 * each), 0.6) for each in spacing]


def warped(
    values: np.ndarray,
    spacing: tuple[float, float],
    length: float | np.ndarray,
    scale: float,
    memory: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Each map taken from places displaced by a smooth random vector of typical ``length`` in km."""
    width, size = _cells(scale, spacing), np.broadcast_to(length, len(values)) / np.sqrt(2)
    north, east = (red_noise(rng, values.shape, width, memory) for _ in range(2))
    rows, columns = np.mgrid[: values.shape[1], : values.shape[2]].astype(float)
    moved = np.empty_like(values)
    for hour, field in enumerate(values):
        from_row = rows + north[hour] * size[hour] / spacing[0]
        from_column = columns + east[hour] * size[hour] / spacing[1]
        moved[hour] = map_coordinates(field, [from_row, from_column], order=1, mode="nearest")
    return moved


def _log_error(spread: float | np.ndarray, noise: np.ndarray) -> np.ndarray:
    """A log-normal factor whose mean is 1."""
    return np.exp(spread * noise - np.square(spread) / 2)


def _swath(rng: np.random.Generator, grid: Grid, width: float) -> np.ndarray:
    """A slanted strip across the map, as an orbit leaves it."""
    north, east = km_spacing(grid)
    y = (np.arange(grid.shape[0]) * north)[:, None]
    x = (np.arange(grid.shape[1]) * east)[None, :]
    slant = rng.choice([-1, 1]) * np.deg2rad(rng.uniform(65, 80))
    across = x * np.sin(slant) - y * np.cos(slant)
    middle = rng.uniform(across.min(), across.max())
    return np.abs(across - middle) < width / 2


def _field(values: np.ndarray, fine: xr.DataArray, grid: Grid) -> xr.DataArray:
    values = np.maximum(values, 0.0).astype(np.float32)
    return rain_field(values, fine.indexes["time"], grid.lat, grid.lon, source="simulated")
