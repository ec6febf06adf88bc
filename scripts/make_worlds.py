"""Build simulated worlds to learn from, and the shipped case of climate simulations.

``python scripts/make_worlds.py`` makes them one after the other on one core, in half an hour. The same seed
gives the same arrays on the same kind of machine. Names choose: ``make_worlds.py truth_1 climate``.

*Worlds* cover the whole channel of the nature run, which is periodic from west to east, and go to
build/worlds; they are not shipped. The truths are the atmosphere of the shipped front on cells of 0.25
degrees, hour by hour, each of another seed. The simulations (one, the same 2 K warmer, and a second one)
run on half a degree with constants of their own, and are kept as a climate archive would: on cells of one
degree, as means of six hours. Rain and VIMD are means over an interval, the state stands at the end of an
hour; a mean of six hours is that of six such states.

The *case* is what a method is shown and judged by: thirty days of another truth in the box of the front,
large scales of it as if they were known perfectly, and simulations of other seeds that are not paired with
it in time.

Rain of 0.25 degrees is no area mean of rain in finer cells, but is meant to look like one: it is moved about
(see `engine.sources.cells`) by octaves no shorter than two of its cells, and is cut less, for a large cell is
seldom quite dry. Beside area means of five fine truths of two days, at equal mean rain, its power differs by
at most 1 dB above 60 km, and its 99.9th percentile by 5%.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

import environment  # noqa: E402

if __name__ == "__main__":
    environment.enter()

import numpy as np  # noqa: E402
import xarray as xr  # noqa: E402
from make_case import BOX, PERIOD, SPIN_UP, Layers, about, hourly, quantity, say, told, window  # noqa: E402

from engine.fields import Box, Grid, Period  # noqa: E402
from engine.sources import nature  # noqa: E402
from engine.sources.cases import SHIPPED, write_case  # noqa: E402
from engine.sources.cells import Convection  # noqa: E402
from engine.sources.instruments import area_mean  # noqa: E402
from engine.sources.nature import Atmosphere  # noqa: E402

COARSE, SLOW = 1.0, 6  # degrees and hours of what a climate archive keeps
TRUTH = replace(nature.TRUTH, step=0.25, time_step=300.0)
CELLS = replace(Convection(), refine=1, scales=(240.0, 120.0, 60.0), dry=0.0)
STATE = ("humidity", "u", "v", "height")
TRUTHS = {f"truth_{number}": replace(TRUTH, seed=4000 + number) for number in range(1, 6)}
SIMULATIONS = {"climate": nature.CLIMATE, "warmed": nature.WARMED, "second": nature.SECOND}
LENGTHS = {"truth": 40, "simulation": 200, "case": 30}  # days
OTHER = 100  # is added to the seeds of the shipped case, so that no world is in it

TITLES = {
    "rain": "rain",
    "humidity": "column water",
    "u": "wind to the east",
    "v": "wind to the north",
    "height": "height of the layer",
    "vimd": "divergence of the moisture flux",
}
NAMES = {
    "climate": "climate simulation",
    "warmed": "climate simulation, 2 K warmer",
    "second": "second climate simulation",
}
WORLD = (
    "A world to learn from, made by a small atmosphere: nothing here was measured. Its place on the map is "
    "borrowed, its dates mean nothing, and it is periodic from west to east."
)
CLIMATE = (
    "Thirty days of rain along a Meiyu-like front, made by a small atmosphere, and free-running coarse "
    "simulations of its climate: one with errors of its own, the same 2 K warmer, and a second one. All of "
    "it is simulated; nothing was measured. The simulations are not paired in time with the truth: only "
    "their statistics can agree. Beside the truth stand its own rain and its large scales on cells of one "
    "degree, as a simulation without an error would give them."
)


def ending(days: float, step: str) -> Period:
    """All worlds end when the front does."""
    return Period(PERIOD.end - np.timedelta64(round(24 * days), "h"), PERIOD.end, step)


def run(
    atmosphere: Atmosphere, days: float, names: tuple[str, ...], convection: Convection | None = None,
    box: Box | None = None, every: int = 1, spin_up: float = SPIN_UP,
) -> dict[str, xr.DataArray]:  # fmt: skip
    """These layers of a world in the box, as means of ``every`` hours."""
    box = box or Box(*atmosphere.box)
    rows, columns = window(atmosphere, box)
    period = ending(days, f"{every}h")
    hours = hourly(atmosphere, every * len(period.times), spin_up, convection)
    kept = list(_means(({name: hour[name][rows, columns] for name in names} for hour in hours), every))
    grid = Grid(box, atmosphere.step)
    return {
        name: quantity(name, np.stack([each[name] for each in kept]), period.times, grid, period.interval)
        for name in names
    }


def _means(hours: Iterator[dict[str, np.ndarray]], every: int) -> Iterator[dict[str, np.ndarray]]:
    for first in hours:
        spell = [first, *(next(hours) for _ in range(every - 1))]
        yield {name: np.mean([hour[name] for hour in spell], 0) for name in first}


def coarse(field: xr.DataArray) -> xr.DataArray:
    """The same on cells of one degree."""
    values, grid = area_mean(field, COARSE)
    times, interval = field.indexes["time"], field.attrs["interval"]
    return quantity(str(field.name), values.astype(np.float32), times, grid, interval)


def layers_of(fields: dict[str, xr.DataArray], of: str = "") -> Layers:
    """What is known of each, and the field. Rain is a background, what goes with it a predictor."""
    known: Layers = {}
    for name, field in fields.items():
        title = " ".join(each for each in ("Simulated", TITLES[name], of) if each)
        role = "background" if name == "rain" else "predictor"
        known[name] = (about("field", title, role, f"{Grid.of(field).step:g}°"), field)
    return known


def world(name: str, days: float | None, spin_up: float = SPIN_UP) -> tuple[dict, Layers]:
    """A world to learn from, by name."""
    if name in TRUTHS:
        atmosphere, days = TRUTHS[name], days or LENGTHS["truth"]
        fields = run(atmosphere, days, ("rain", *STATE, "vimd"), CELLS, spin_up=spin_up)
        title, period = "A simulated world", ending(days, "1h")
    else:
        atmosphere, days = SIMULATIONS[name], days or LENGTHS["simulation"]
        fields = run(atmosphere, days, ("rain", *STATE), every=SLOW, spin_up=spin_up)
        fields = {each: coarse(field) for each, field in fields.items()}
        title, period = f"A simulated world: {NAMES[name]}", ending(days, f"{SLOW}h")
    box = Box(*atmosphere.box)
    return _described(title, WORLD, period, atmosphere.seed, box), layers_of(fields)


def _described(title: str, description: str, period: Period, seed: int, box: Box) -> dict:
    return told(title, description, period, seed, box) | {"step": period.interval}


def case(days: float | None, spin_up: float = SPIN_UP) -> tuple[dict, Layers]:
    """The shipped case."""
    days = days or LENGTHS["case"]
    atmosphere = replace(TRUTH, seed=TRUTH.seed + OTHER)
    fields = run(atmosphere, days, ("rain", *STATE, "vimd"), CELLS, BOX, SLOW, spin_up)
    truth = (about("field", "Simulated truth", "reference", f"{TRUTH.step:g}°"), fields["rain"])
    own = layers_of({name: coarse(field) for name, field in fields.items()}, "of the truth, coarse")
    layers: Layers = {"truth": truth, "coarse": own.pop("rain")} | own
    say("truth of the case")
    for name, simulation in SIMULATIONS.items():
        other = replace(simulation, seed=simulation.seed + OTHER)
        fields = run(other, days, ("rain", *STATE), None, BOX, SLOW, spin_up)
        known = layers_of({each: coarse(field) for each, field in fields.items()}, f"of the {NAMES[name]}")
        layers[name] = known.pop("rain")
        layers |= {f"{name}_{each}": content for each, content in known.items()}
        say(f"{name} of the case")
    period = ending(days, f"{SLOW}h")
    return _described("Simulated climates", CLIMATE, period, atmosphere.seed, BOX), layers


def main() -> None:
    parse = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    choices = ("case", *TRUTHS, *SIMULATIONS)
    parse.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(choices)}; else all")
    parse.add_argument("--days", type=float, help="length of each; else 40 of a truth, 200 of a simulation")
    parse.add_argument("--to", type=Path, default=ROOT / "build" / "worlds", help="folder of the worlds")
    parse.add_argument("--case", type=Path, default=SHIPPED / "climate.nc", help="where the case goes")
    chosen = parse.parse_args()
    if strange := sorted(set(chosen.names) - set(choices)):
        parse.error(f"no world {strange[0]}; there are {', '.join(choices)}")
    for name in chosen.names or choices:
        path = chosen.case if name == "case" else chosen.to / f"{name}.nc"
        write_case(path, *(case(chosen.days) if name == "case" else world(name, chosen.days)))
        say(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
