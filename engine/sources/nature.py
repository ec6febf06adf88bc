"""The nature run: a small moist atmosphere that makes storms whose truth is known.

Moist shallow water on a rotating channel, periodic from west to east, with walls in the south and the
north: wind u, v (m/s), thickness h (m, which plays the part of pressure) and column water Q (mm)::

    du/dt =  zeta v - d/dx (g h + (u^2 + v^2)/2) + nu lap u - (u - U)/tau_wind
    dv/dt = -zeta u - d/dy (g h + (u^2 + v^2)/2) + nu lap v - (v - V)/tau_wind
    dh/dt = -div(h v) + nu lap (h - H) - (h - H)/tau_height - L P h/H0 + F
    dQ/dt = -div(Q v) + nu lap Q + E - P

with zeta = dv/dx - du/dy + f on a beta plane. Where the column holds more than Qs it rains, with
P = (Q - Qs)/tau; where it holds less than Qs0 it evaporates, with E = (Qs0 - Q)/tau_vapour. Rain warms:
it takes mass out of the layer (L), air flows in and brings water, and so a rain area holds itself
together. Qs is Qs0 times one plus a *trigger*, a noise that lives for half an hour.

The *front*. U, V are a zonal flow with a jet in the north and easterlies in the south, and a stationary
wave one channel long: between trough and ridge moist air flows north against the gradient of Qs0, along
the axis of dilation of the deformation. So a Meiyu front is made: a band that stays for days and on which
disturbances form and travel. H is in geostrophic balance with U, V. F, slow, red and drifting east,
stands for the waves aloft. Near the walls the wind is drawn to U, V within hours.

Time goes in third-order Runge-Kutta steps, space in centred differences in flux form: what leaves a cell
enters the next, nothing passes the walls, and the water budget closes to rounding. What a `Span` says of
rain and of the divergence of the moisture flux (VIMD) is the exact integral of what the scheme added, so
dQ = E - P - VIMD + diffusion holds hour by hour.

Cells have equal steps in degrees. Everything is *simulated*, and its place on a map is borrowed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter1d

from engine.fields import KM_PER_DEGREE, Box, Grid
from engine.values import Invalid

GRAVITY, EARTH_TURN, EARTH_RADIUS = 9.81, 7.2921e-5, 6.371e6  # m/s2, 1/s, m
HOUR, DAY = 3600.0, 86400.0  # s


@dataclass(frozen=True)
class Atmosphere:
    """Every constant of the atmosphere. The defaults are the truth."""

    box: tuple[float, float, float, float] = (94.0, 16.0, 130.0, 48.0)  # degrees; the channel
    step: float = 0.1  # degrees
    time_step: float = 120.0  # s
    seed: int = 2020
    depth: float = 260.0  # H0, m
    jet: float = 20.0  # m/s, the westerlies in the north
    jet_at: float = 650.0  # km north of the middle
    low_jet: float = 7.0  # m/s, the moist westerlies south of the front
    low_jet_at: float = -450.0  # km
    easterly: float = -4.0  # m/s, everywhere below them
    wave: float = 8.0  # m/s, largest meridional wind of the stationary wave
    wave_at: float = 0.50  # where its southerlies are strongest, share of the channel from the west
    viscosity: float = 8e3  # nu, m2/s
    heating: float = 3.4  # L, m of layer that go up with each mm of rain
    tau_rain: float = 1.0  # h
    tau_vapour: float = 2.5  # d
    tau_wind: float = 2.5  # d
    tau_height: float = 5.0  # d
    forcing: float = 5e-4  # F, m/s, standard deviation
    forcing_scale: float = 250.0  # km
    forcing_memory: float = 33.0  # h; an hourly autocorrelation of 0.97
    forcing_drift: float = 5.0  # m/s towards the east
    moist: float = 52.0  # mm, Qs0 in the middle of the gradient
    contrast: float = 16.0  # mm, half the difference from south to north
    front_at: float = 0.0  # km north of the middle, on average
    front_bend: float = 250.0  # km by which it swings south (in the west) and north (in the east)
    front_width: float = 180.0  # km
    trigger: float = 0.03  # relative noise of Qs
    trigger_size: float = 30.0  # km
    trigger_memory: float = 0.5  # h
    warming: float = 0.0  # K; Qs rises by 7% with each

    @property
    def grid(self) -> Grid:
        return Grid(Box(*self.box), self.step)

    @property
    def spacing(self) -> tuple[float, float]:
        """Metres from row to row and, as on the middle latitude, from column to column."""
        north, middle = KM_PER_DEGREE * self.step * 1e3, np.deg2rad((self.box[1] + self.box[3]) / 2)
        return north, north * float(np.cos(middle))

    def __post_init__(self) -> None:
        # Gravity waves on winds of up to 40 m/s, in cells per second.
        fastest = (math.sqrt(GRAVITY * self.depth) + 40.0) * math.hypot(*(1 / step for step in self.spacing))
        if self.time_step * fastest > np.sqrt(3):  # where this scheme stops being stable
            raise Invalid(f"time_step: {self.time_step:g} s is unstable; give at most {1.7 / fastest:.0f}")
        if HOUR % self.time_step:
            raise Invalid(f"time_step: {self.time_step:g} s does not divide an hour; give 60, 90 or 120")


TRUTH = Atmosphere()
# Coarse and wrong in its constants: rain that starts too soon, lasts too long and lies too far north.
CLIMATE = replace(
    TRUTH, step=0.5, time_step=600.0, seed=7, viscosity=6e4, tau_rain=3.0, heating=2.6, moist=49.0,
    contrast=14.0, front_at=90.0, jet=23.0, tau_vapour=2.0,
)  # fmt: skip
WARMED = replace(CLIMATE, warming=2.0)
# Another coarse world, for asking whether what was learnt from the one holds in the other.
SECOND = replace(
    TRUTH, step=0.5, time_step=600.0, seed=11, viscosity=4e4, tau_rain=1.5, heating=2.8, moist=55.0,
    contrast=18.0, front_at=-90.0, wave=10.0, easterly=-6.0, forcing=6e-4,
)  # fmt: skip


class State(NamedTuple):
    """Wind (m/s), thickness (m) and column water (mm) on (lat, lon); budgets run in mm and seconds."""

    u: np.ndarray
    v: np.ndarray
    h: np.ndarray
    water: np.ndarray


class Rates(NamedTuple):
    """What changes the column water, mm/s."""

    rain: np.ndarray
    divergence: np.ndarray
    evaporation: np.ndarray


class Span(NamedTuple):
    """A span of time that has ended: its end state, and means over it in mm/h."""

    end: float  # s since the beginning
    state: State
    rain: np.ndarray
    divergence: np.ndarray  # VIMD = div(Q v)
    evaporation: np.ndarray


class Background(NamedTuple):
    """What the flow is drawn to, and where it stands."""

    u: np.ndarray
    v: np.ndarray
    h: np.ndarray
    saturation: np.ndarray  # Qs0, mm
    coriolis: np.ndarray  # 1/s, a column
    wall: np.ndarray  # 1/s, a column: how fast the wind is drawn near the walls, besides tau_wind


def saturation(atmosphere: Atmosphere) -> np.ndarray:
    """Qs0 in mm: moist south of the front and dry north of it; 7% more with each degree of warming."""
    columns = atmosphere.grid.shape[1]
    phase = 2 * np.pi * (np.arange(columns) / columns - atmosphere.wave_at)
    front = atmosphere.front_at + atmosphere.front_bend * np.sin(phase)
    gradient = np.tanh((_north(atmosphere)[:, None] - front) / atmosphere.front_width)
    return (atmosphere.moist - atmosphere.contrast * gradient) * 1.07**atmosphere.warming


def background(atmosphere: Atmosphere) -> Background:
    """The flow that relaxation draws to: zonal winds and a stationary wave, in geostrophic balance."""
    y, (dy, dx) = _north(atmosphere), atmosphere.spacing
    columns = atmosphere.grid.shape[1]
    middle = np.deg2rad((atmosphere.box[1] + atmosphere.box[3]) / 2)
    beta = 2 * EARTH_TURN * np.cos(middle) / EARTH_RADIUS
    coriolis = 2 * EARTH_TURN * np.sin(middle) + beta * y * 1e3
    zonal = atmosphere.easterly + np.zeros_like(y)
    for speed, at in ((atmosphere.jet, atmosphere.jet_at), (atmosphere.low_jet, atmosphere.low_jet_at)):
        zonal += (speed - atmosphere.easterly) * np.exp(-(((y - at) / 350.0) ** 2))
    slope = -coriolis * zonal / GRAVITY
    height = np.concatenate([[0.0], np.cumsum((slope[1:] + slope[:-1]) / 2 * dy)])
    phase = 2 * np.pi * (np.arange(columns) / columns - atmosphere.wave_at)
    # A stream function psi with v = d psi/dx and u = -d psi/dy, gone at the walls.
    edge = (y[-1] - y[0]) / 2
    waist = np.cos(np.pi / 2 * (y - y.mean()) / (edge + dy / 1e3)) ** 2
    psi = atmosphere.wave * columns * dx / (2 * np.pi) * waist[:, None] * np.sin(phase)
    height = (height - height.mean())[:, None] + coriolis[:, None] * psi / GRAVITY
    wall = np.exp(-(edge - np.abs(y - y.mean())) / 100.0) / (6 * HOUR)
    return Background(
        zonal[:, None] - _ddy(psi, dy, 1), _ddx(psi, dx), atmosphere.depth + height,
        saturation(atmosphere), coriolis[:, None], wall[:, None],
    )  # fmt: skip


def _north(atmosphere: Atmosphere) -> np.ndarray:
    """Distance of each row from the channel's middle, km."""
    return (np.arange(rows := atmosphere.grid.shape[0]) - (rows - 1) / 2) * atmosphere.spacing[0] / 1e3


def _ddx(field: np.ndarray, dx: float) -> np.ndarray:
    return (np.roll(field, -1, 1) - np.roll(field, 1, 1)) / (2 * dx)


def _ddy(field: np.ndarray, dy: float, mirror: int) -> np.ndarray:
    """Beyond a wall a field is its mirror image (1), or the negative of it (-1), as what flows through is."""
    padded = np.concatenate([mirror * field[:1], field, mirror * field[-1:]])
    return (padded[2:] - padded[:-2]) / (2 * dy)


def _laplacian(field: np.ndarray, dy: float, dx: float) -> np.ndarray:
    """Nothing diffuses through the walls."""
    padded = np.concatenate([field[:1], field, field[-1:]])
    across = (padded[2:] + padded[:-2] - 2 * field) / dy**2
    return across + (np.roll(field, -1, 1) + np.roll(field, 1, 1) - 2 * field) / dx**2


def tendency(
    atmosphere: Atmosphere, ground: Background, state: State, forcing: np.ndarray, limit: np.ndarray
) -> tuple[State, Rates]:
    """The right-hand side of the four equations, per second. ``limit`` is Qs with its trigger."""
    (dy, dx), nu, (u, v, h, water) = atmosphere.spacing, atmosphere.viscosity, state
    vorticity = _ddx(v, dx) - _ddy(u, dy, 1) + ground.coriolis
    energy = GRAVITY * h + (u * u + v * v) / 2
    drag = 1 / (atmosphere.tau_wind * DAY) + ground.wall
    rain = np.maximum(water - limit, 0) / (atmosphere.tau_rain * HOUR)
    evaporation = np.maximum(ground.saturation - water, 0) / (atmosphere.tau_vapour * DAY)
    divergence = _ddx(water * u, dx) + _ddy(water * v, dy, -1)
    du = vorticity * v - _ddx(energy, dx) + nu * _laplacian(u, dy, dx) - (u - ground.u) * drag
    dv = -vorticity * u - _ddy(energy, dy, 1) + nu * _laplacian(v, dy, dx) - (v - ground.v) * drag
    dh = nu * _laplacian(h - ground.h, dy, dx) - (h - ground.h) / (atmosphere.tau_height * DAY) + forcing
    dh -= _ddx(h * u, dx) + _ddy(h * v, dy, -1) + atmosphere.heating * rain * h / atmosphere.depth
    dwater = nu * _laplacian(water, dy, dx) - divergence + evaporation - rain
    return State(du, dv, dh, dwater), Rates(rain, divergence, evaporation)


def advance(
    atmosphere: Atmosphere, ground: Background, state: State, forcing: np.ndarray, limit: np.ndarray
) -> tuple[State, Rates]:
    """One time step: Runge-Kutta of third order (Shu and Osher), and the mean rates over the step.

    The stages amount to 1/6, 1/6 and 2/3 of their tendencies: so weighted, rates give what was rained.
    """
    weights, total, current = (1 / 6, 1 / 6, 2 / 3), [np.zeros(())] * 3, state
    for kept, weight in zip((0.0, 3 / 4, 1 / 3), weights, strict=True):
        change, rates = tendency(atmosphere, ground, current, forcing, limit)
        moved = (now + atmosphere.time_step * each for now, each in zip(current, change, strict=True))
        current = State(*(kept * old + (1 - kept) * new for old, new in zip(state, moved, strict=True)))
        total = [so_far + weight * rate for so_far, rate in zip(total, rates, strict=True)]
    return current, Rates(*total)


def integrate(atmosphere: Atmosphere, spin_up: float, hours: float, span: float = 1.0) -> Iterator[Span]:
    """Run from the balanced flow for ``spin_up`` hours, then yield each ``span`` of the next ``hours``.

    All noise comes from the seed, in the order of time: the same settings give the same storms.
    """
    rng = np.random.default_rng(atmosphere.seed)
    ground, steps = background(atmosphere), round(span * HOUR / atmosphere.time_step)
    if steps < 1 or abs(steps * atmosphere.time_step - span * HOUR) > 1e-6:
        raise Invalid(f"span: {span:g} h is not one or more steps of {atmosphere.time_step:g} s")
    weather = _forcing_noise(atmosphere, rng)
    width = [max(0.7, atmosphere.trigger_size * 1e3 / (2 * step)) for step in atmosphere.spacing]
    trigger = _red(atmosphere, rng, width, atmosphere.trigger_memory)
    state = State(ground.u, ground.v, ground.h, 0.9 * ground.saturation)
    for number in range(1, round((spin_up + hours) / span) + 1):
        total = [np.zeros(atmosphere.grid.shape) for _ in Rates._fields]
        for _ in range(steps):
            forcing, noise = next(weather), next(trigger)
            limit = ground.saturation * (1 + atmosphere.trigger * noise)
            state, rates = advance(atmosphere, ground, state, forcing, limit)
            total = [so_far + rate * (HOUR / steps) for so_far, rate in zip(total, rates, strict=True)]
        if not np.isfinite(state.h).all():
            raise Invalid("time_step: the integration blew up; give a shorter step or more viscosity")
        if number * span > spin_up + 1e-9:
            yield Span(number * span * HOUR, state, *total)


def _forcing_noise(atmosphere: Atmosphere, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """F in m/s: smooth in space, red in time, without a mean (mass is neither made nor lost by it)."""
    # A Gaussian filter of this width gives a correlation that falls to 1/e within the scale.
    width = [atmosphere.forcing_scale * 1e3 / (2 * step) for step in atmosphere.spacing]
    y = _north(atmosphere)
    inside = 1 - np.exp(-(((np.abs(y) - y[-1]) / 400.0) ** 2))  # none at the walls, whole 400 km from them
    for number, field in enumerate(_red(atmosphere, rng, width, atmosphere.forcing_memory)):
        cells = round(number * atmosphere.time_step * atmosphere.forcing_drift / atmosphere.spacing[1])
        field = np.roll(field, cells, 1) * inside[:, None]
        yield atmosphere.forcing * (field - field.mean())


def _red(
    atmosphere: Atmosphere, rng: np.random.Generator, width: list[float], memory: float
) -> Iterator[np.ndarray]:
    """Unit noise over ``width`` cells (north, east) with a ``memory`` in hours, renewed every quarter."""
    every = max(1, round(0.25 * HOUR / atmosphere.time_step))
    kept = np.exp(-every * atmosphere.time_step / HOUR / memory)
    field = _smooth_noise(atmosphere, rng, width)
    while True:
        for _ in range(every):
            yield field
        field = kept * field + np.sqrt(1 - kept**2) * _smooth_noise(atmosphere, rng, width)


def _smooth_noise(atmosphere: Atmosphere, rng: np.random.Generator, width: list[float]) -> np.ndarray:
    """White noise after a Gaussian filter, scaled back to unit variance by the filter's own gain."""
    smooth = gaussian_filter1d(rng.standard_normal(atmosphere.grid.shape), width[0], axis=0, mode="reflect")
    smooth = gaussian_filter1d(smooth, width[1], axis=1, mode="wrap")
    return smooth * np.sqrt(4 * np.pi * width[0] * width[1])
