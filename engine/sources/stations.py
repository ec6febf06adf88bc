"""Instruments that stand at places: a network of radars and a network of gauges.

A radar sees far and finely, and errs along its beam: the higher the beam the less of the rain it meets,
behind a mountain it meets nothing, behind a heavy core its power is spent, and near its foot it sees the
ground. All of this is written along rays and carried back onto the map.

A gauge sees one place exactly and errs in its bucket: wind blows drops past it, it counts whole tips, its
clock is off, it gets stuck, it jumps, and a list of gauges holds some twice. What is wrong with which one
is told in ``faults``, for judging a quality control; no method may read it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.ndimage import map_coordinates

from engine.fields import KM_PER_DEGREE, Grid, Observations
from engine.fields import rain as rain_field


@dataclass(frozen=True)
class Radars:
    """A network of radars and how each errs."""

    sites: int = 40
    reach: float = 230.0  # km
    apart: float = 190.0  # km, between two sites at least
    highest: float = 2000.0  # m; none stands higher
    calibration: float = 0.12  # standard deviation of a site's log factor
    overshoot: float = 0.3  # log units lost at the end of the reach; grows with range squared
    blocked: float = 0.4  # share of the sites with a blocked sector
    sector: float = 25.0  # degrees of azimuth that are blocked
    block_from: float = 40.0  # km
    passes: float = 0.1  # what still comes through
    attenuation: float = 0.003  # log units lost with each km of 10 mm/h; goes as rain to the power 1.2
    clutter: float = 0.02  # share of cells within 40 km that echo without rain
    clutter_rain: float = 4.0  # mm/h, what such an echo is taken for
    noise: float = 0.1  # standard deviation of the log error of each cell and hour


@dataclass(frozen=True)
class Network:
    """A network of gauges and how each errs."""

    gauges: int = 800
    plain: float = 800.0  # m; density falls by e with each such rise
    sea: float = 0.02  # density at sea (islands, platforms) over that of the plain
    catch_loss: float = 0.025  # share lost with each m/s of wind at the rim
    rim: float = 0.5  # wind at the rim over the resolved wind
    tip: float = 0.2  # mm
    late: float = 0.15  # share of gauges whose clock is off
    latest: float = 15.0  # minutes
    stuck: float = 0.02  # share of gauges that say zero for a spell
    spell: int = 14  # h
    spiky: float = 0.02  # share of gauges with spikes
    spike: float = 90.0  # mm/h, the typical one
    twice: float = 0.01  # share of gauges that the list holds under a second name
    lost: float = 0.015  # share of readings that never arrive


def radar_sites(settings: Radars, elevation: xr.DataArray, sea: xr.DataArray, seed: int) -> np.ndarray:
    """Places (lat, lon) on land, rather low than high, and apart from each other."""
    rng = np.random.default_rng(seed)
    good = np.flatnonzero((sea.values < 0.5) & (elevation.values < settings.highest))
    weight = np.exp(-elevation.values.ravel()[good] / 500.0)
    lat, lon = elevation.lat.values, elevation.lon.values
    sites: list[tuple[float, float]] = []
    for place in rng.choice(good, good.size, replace=False, p=weight / weight.sum()):
        row, column = divmod(int(place), lon.size)
        here = float(lat[row]), float(lon[column])
        if all(_km(here, other) >= settings.apart for other in sites):
            sites.append(here)
        if len(sites) == settings.sites:
            break
    return np.array(sites)


def radar(fine: xr.DataArray, sites: np.ndarray, step: float, settings: Radars, seed: int) -> xr.DataArray:
    """A mosaic on cells of ``step`` degrees: each cell from its nearest radar, beyond all reach missing."""
    rng, grid = np.random.default_rng(seed), Grid(Grid.of(fine).box, step)
    factor = np.exp(settings.calibration * rng.standard_normal(len(sites)))
    blocked = np.where(rng.random(len(sites)) < settings.blocked, rng.uniform(0, 360, len(sites)), np.nan)
    reading = np.full((fine.sizes["time"], *grid.shape), np.nan, np.float32)
    nearest = np.full(grid.shape, np.inf)
    for site, gain, azimuth in zip(sites, factor, blocked, strict=True):
        north = (grid.lat - site[0])[:, None] * KM_PER_DEGREE
        east = (grid.lon - site[1])[None, :] * KM_PER_DEGREE * np.cos(np.deg2rad(site[0]))
        distance = np.hypot(north, east)
        own = (distance < nearest) & (distance <= settings.reach)
        nearest = np.where(own, distance, nearest)
        gates = distance[own], np.rad2deg(np.arctan2(np.broadcast_to(east, own.shape), north))[own] % 360
        seen = beam(sweep(fine, site, settings.reach), settings, azimuth)
        reading[:, own] = gain * _from_rays(seen, *gates)
    near = nearest < 40.0
    echoes = near & (rng.random(near.shape) < settings.clutter)
    flicker = rng.exponential(settings.clutter_rain, reading.shape) * (rng.random(reading.shape) < 0.6)
    reading *= np.exp(settings.noise * rng.standard_normal(reading.shape))
    reading += np.where(echoes, flicker, 0.0).astype(np.float32)
    return rain_field(reading, fine.indexes["time"], grid.lat, grid.lon, source="simulated")


def sweep(fine: xr.DataArray, site: np.ndarray, reach: float, gate: float = 2.0) -> np.ndarray:
    """Rain along rays: (time, azimuth in degrees from north, range in gates of ``gate`` km). Zero outside."""
    distance = (np.arange(round(reach / gate)) + 0.5) * gate
    azimuth = np.deg2rad(np.arange(360.0) + 0.5)[:, None]
    degrees = distance / KM_PER_DEGREE
    lat = site[0] + degrees * np.cos(azimuth)
    lon = site[1] + degrees * np.sin(azimuth) / np.cos(np.deg2rad(site[0]))
    grid = Grid.of(fine)
    row = (lat - float(fine.lat[0])) / grid.step
    column = (lon - float(fine.lon[0])) / grid.step
    return np.stack([map_coordinates(field, [row, column], order=0, cval=0.0) for field in fine.values])


def beam(rays: np.ndarray, settings: Radars, blocked: float = float("nan"), gate: float = 2.0) -> np.ndarray:
    """What the beam makes of the rain along it; ``blocked`` is the middle azimuth of a blocked sector."""
    distance = (np.arange(rays.shape[2]) + 0.5) * gate
    overshoot = np.exp(-settings.overshoot * (distance / settings.reach) ** 2)
    loss = settings.attenuation * gate * (np.maximum(rays, 0) / 10.0) ** 1.2
    # Rain in a gate weakens what lies behind it, not itself.
    behind = np.exp(-2 * (np.cumsum(loss, 2) - loss))
    seen = rays * overshoot * behind
    if np.isfinite(blocked):
        azimuth = np.arange(rays.shape[1]) + 0.5
        within = np.abs((azimuth - blocked + 180.0) % 360.0 - 180.0) <= settings.sector / 2
        seen[:, within] *= np.where(distance >= settings.block_from, settings.passes, 1.0)
    return seen


def _from_rays(rays: np.ndarray, distance: np.ndarray, azimuth: np.ndarray, gate: float = 2.0) -> np.ndarray:
    along = np.minimum((distance / gate).astype(int), rays.shape[2] - 1)
    return rays[:, azimuth.astype(int) % 360, along]


def gauge_sites(
    settings: Network, elevation: xr.DataArray, sea: xr.DataArray, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Exact places (lat, lon) and heights: dense in plains, thin in mountains and at sea."""
    rng, grid = np.random.default_rng(seed), Grid.of(elevation)
    density = np.exp(-elevation.values / settings.plain) * (1 - sea.values) + settings.sea * sea.values
    density = density * np.cos(np.deg2rad(grid.lat))[:, None]
    chosen = rng.choice(density.size, settings.gauges, replace=False, p=(density / density.sum()).ravel())
    row, column = np.divmod(chosen, grid.shape[1])
    inside = rng.uniform(-0.49, 0.49, (2, chosen.size)) * grid.step
    height = elevation.values[row, column]
    return np.round(grid.lat[row] + inside[0], 4), np.round(grid.lon[column] + inside[1], 4), np.round(height)


def at_places(fields: xr.DataArray, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """The cells that hold these places, as (place, time)."""
    grid = Grid.of(fields)
    row = np.clip(((lat - grid.box.south) / grid.step).astype(int), 0, grid.shape[0] - 1)
    column = np.clip(((lon - grid.box.west) / grid.step).astype(int), 0, grid.shape[1] - 1)
    return fields.values[:, row, column].T.astype(float)


def gauges(
    fine: xr.DataArray, wind: xr.DataArray, places: tuple[np.ndarray, ...], settings: Network, seed: int
) -> Observations:
    """Hourly readings. ``wind`` is its speed in m/s on any grid over the same box and times."""
    lat, lon, elevation = places
    rng, count = np.random.default_rng(seed), len(lat)
    names = np.array([f"S{number:04d}" for number in range(count)])
    late = np.where(rng.random(count) < settings.late, rng.uniform(3, settings.latest, count), 0.0)
    caught = delayed(at_places(fine, lat, lon), late)
    caught *= 1 - caught_less(settings, at_places(wind, lat, lon))
    reading = tipped(caught, settings.tip)
    stuck = rng.random(count) < settings.stuck
    spiky = (rng.random(count) < settings.spiky) & ~stuck
    hours = reading.shape[1]
    for each in np.flatnonzero(stuck):
        begin = rng.integers(0, max(1, hours - settings.spell + 1))
        reading[each, begin : begin + settings.spell] = 0.0
    for each in np.flatnonzero(spiky):
        when = rng.choice(hours, min(hours, int(rng.integers(1, 4))), replace=False)
        reading[each, when] = np.round(settings.spike * rng.lognormal(0, 0.4, when.size), 1)
    reading[rng.random(reading.shape) < settings.lost] = np.nan
    twice = np.flatnonzero(rng.random(count) < settings.twice)
    faults = {
        "late": names[late > 0].tolist(),
        "stuck": names[stuck].tolist(),
        "spiky": names[spiky].tolist(),
        "twice": [f"{names[each]}B" for each in twice],
    }
    every = np.concatenate([np.arange(count), twice])
    names = np.concatenate([names, np.array(faults["twice"], dtype=str)])
    return Observations.of(
        reading[every], names, fine.indexes["time"], lat[every], lon[every], elevation[every],
        source="simulated", faults=json.dumps(faults),
    )  # fmt: skip


def caught_less(settings: Network, wind: np.ndarray) -> np.ndarray:
    """The share of the rain that wind (m/s, resolved) carries past the rim."""
    return np.clip(settings.catch_loss * settings.rim * wind, 0.0, 0.6)


def delayed(rain: np.ndarray, minutes: np.ndarray) -> np.ndarray:
    """A clock that is late stamps the rain of the last minutes of an hour with the next one."""
    share = (minutes / 60.0)[:, None]
    before = np.concatenate([rain[:, :1], rain[:, :-1]], 1)
    return (1 - share) * rain + share * before


def tipped(rain: np.ndarray, tip: float) -> np.ndarray:
    """Whole tips; what is left in the bucket counts for the next hour."""
    tips = np.floor(np.cumsum(rain, 1) / tip + 1e-9)
    return np.round(np.diff(tips, axis=1, prepend=0.0) * tip, 6)


def _km(here: tuple[float, float], there: tuple[float, float]) -> float:
    north = here[0] - there[0]
    east = (here[1] - there[1]) * np.cos(np.deg2rad((here[0] + there[0]) / 2))
    return KM_PER_DEGREE * float(np.hypot(north, east))
