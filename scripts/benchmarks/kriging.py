"""Kriging and interpolation at held-out gauges, and kriging's speed.

Every configuration makes its ensemble of a whole case from the gauges in use; it is judged at the gauges
that were held out and, where the case has one, against the layer ``truth`` on the grid. Intervals (``low``,
``high``: 90%) come from drawing the gauges anew 400 times.

    crps             fair, mm/h; for one field it is the absolute error
    mae              of the ensemble's median, mm/h
    spread_skill     root mean variance, times (M+1)/M, over the error of the mean; 1 is honest
    log_spread_skill the same for log(0.1 + rain), on which a broken gauge has little hold
    above_all        share of reports above all members, over 1/(M+1); 1 is honest
    rank_distance    sum of |rank frequency - 1/(M+1)|, dry ties drawn at random; 0 is flat
    wet              share of wet hours, over that of the reports
    total_spread     spread_skill of the sums over the whole period
    seconds, longest all of a run, and its longest step
"""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr
from scores.probability import crps_for_ensemble

from engine.bilinear import at_places, on_grid
from engine.conditioning import Network, Weave
from engine.covariance import Structure
from engine.fields import Grid, Observations
from engine.given import evidence, held_out
from engine.methods import method
from engine.sources import cases, layer
from engine.tasks import Task

WET = 0.1  # mm/h
BEST = "front"  # the embedded case
DRAWS = 400

Row = dict[str, Any]


def run(case: str | None, quick: bool) -> list[Row]:
    """Rows of figures; ``quick`` looks at six hours and the main configurations."""
    name = case or BEST
    rows: list[Row] = []
    for label, kind, settings, sources in configurations(name, quick):
        rows += judged(name, label, kind, settings, sources, quick)
    rows += [raw(name, source, quick) for source in backgrounds(name)]
    return [*rows, *speed(name)]


def backgrounds(name: str) -> list[str]:
    about = cases()[name].layers
    return [f"{name}/{each}" for each, known in about.items() if known.get("role") == "background"]


def configurations(name: str, quick: bool) -> Iterator[tuple[str, str, Mapping[str, Any], list[str]]]:
    """Label, method, settings, sources."""
    yield "kriging, no background", "kriging", {"drift": "none"}, []
    if not quick:
        yield "kriging, no background, one mean", "kriging", {"drift": "none", "neighbourhood_km": 0}, []
    for source in backgrounds(name)[: 1 if quick else None]:
        layer_name = source.partition("/")[2]
        yield f"kriging, {layer_name}, local drift", "kriging", {}, [source]
        yield f"kriging, {layer_name}, global drift", "kriging", {"neighbourhood_km": 0}, [source]
        for gauges in ("added", "ratio")[: 1 if quick else None]:
            yield f"interpolation, {layer_name}, {gauges}", "interpolation", {"gauges": gauges}, [source]
    if not quick and len(backgrounds(name)) > 1:
        yield "kriging, all backgrounds, local drift", "kriging", {}, backgrounds(name)
    for kind in ("inverse distance",) if quick else ("inverse distance", "nearest", "linear"):
        yield f"interpolation, {kind}", "interpolation", {"kind": kind, "gauges": "alone"}, []


def task_of(name: str, kind: str, settings: Mapping, sources: list[str], quick: bool) -> Task:
    case = cases()[name]
    field = next(each for each in case.layers if case.layers[each]["kind"] == "field")
    start, end = case.period.start, case.period.end
    members = min(method(kind, settings).most_members, 8 if quick else 16)
    return Task(
        case.box,
        Grid.of(layer(f"{name}/{field}")).step,  # pyright: ignore[reportArgumentType]
        {"start": start, "end": min(end, start + 6 * case.period.step) if quick else end},  # pyright: ignore[reportArgumentType]
        kind,
        tuple(sources),  # pyright: ignore[reportArgumentType]
        f"{name}/gauges",  # pyright: ignore[reportArgumentType]
        settings,
        members,
    )


def judged(name: str, label: str, kind: str, settings: Mapping, sources: list[str], quick: bool) -> list[Row]:
    """One configuration: made, timed, read at the held-out gauges and on the grid, scored."""
    task = task_of(name, kind, settings, sources, quick)
    gauges = held_out(task)
    assert gauges is not None
    seconds, read, cells = [], [], []
    began = time.perf_counter()
    for snapshot in method(kind, settings).run(task, 0, range(task.members)):
        seconds.append(time.perf_counter() - began)
        if snapshot.members is not None:
            rain = snapshot.members.values[0]
            read.append([at_places(hour, task.grid, gauges.lat, gauges.lon) for hour in rain])
            cells.append(rain[:, ::5, ::5].reshape(len(rain), -1))
        began = time.perf_counter()
    rows = scored(np.stack(read).swapaxes(1, 2), gauges.values)
    if "truth" in cases()[name].layers:
        truth = layer(f"{name}/truth")
        assert not isinstance(truth, Observations)
        wanted = np.stack([on_grid(truth.sel(time=each), task.grid)[::5, ::5] for each in task.period.times])
        both = np.stack(cells).swapaxes(1, 2), wanted.reshape(len(wanted), -1).T
        rows += [row | {"metric": f"{row['metric']} of the truth"} for row in scored(*both)]
    timing = {"seconds": sum(seconds), "longest": max(seconds)}
    rows += [figure(metric, value, unit="s") for metric, value in timing.items()]
    return [{"case": name, "method": label} | row for row in rows]


def figure(metric: str, value, low=np.nan, high=np.nan, n: int = 1, unit: str = "1") -> Row:
    return {
        "metric": metric,
        "value": float(value),
        "low": float(low),
        "high": float(high),
        "n": n,
        "unit": unit,
    }


def scored(members: np.ndarray, reports: np.ndarray) -> list[Row]:
    """Figures of an ensemble (member, place, time) against reports (place, time)."""
    told = np.isfinite(reports).any(1)
    members, reports = members[:, told].astype(float), reports[told]
    sums = sums_of(members, reports)
    rng, places = np.random.default_rng(0), len(reports)
    picks = [rng.integers(places, size=places) for _ in range(DRAWS)]
    rows = []
    for metric, (of, each) in sums.items():
        low, high = np.quantile([of(*(part[pick] for part in each)) for pick in picks], (0.05, 0.95))
        unit = "mm h-1" if metric in ("crps", "mae") else "1"
        rows.append(figure(metric, of(*each), low, high, int(np.isfinite(reports).sum()), unit))
    return rows


def sums_of(members: np.ndarray, reports: np.ndarray) -> dict[str, tuple]:
    """For every metric a formula and, per place, the sums that it is made of."""
    count = len(members)
    known = np.isfinite(reports)

    def total(values) -> np.ndarray:
        return np.where(known, values, 0.0).sum(1)

    number = known.sum(1).astype(float)
    error = total(np.abs(np.median(members, 0) - reports))
    sums: dict[str, tuple] = {"mae": (share, (error, number)), "crps": (share, (error, number))}
    wet = total(members.mean(0) >= WET) if count == 1 else total((members >= WET).mean(0))
    sums["wet"] = (share, (wet, total(reports >= WET)))
    if count == 1:
        return sums
    dims = ("member", "place", "time")
    crps = crps_for_ensemble(
        xr.DataArray(members, dims=dims),
        xr.DataArray(reports, dims=dims[1:]),
        "member",
        method="fair",
        preserve_dims="all",
    )
    sums["crps"] = (share, (total(crps.values), number))
    variance, off = members.var(0, ddof=1) * (count + 1) / count, members.mean(0) - reports
    sums["spread_skill"] = (root, (total(variance), total(off**2)))
    logs, told = np.log(0.1 + members), np.log(0.1 + reports)
    variance = logs.var(0, ddof=1) * (count + 1) / count
    sums["log_spread_skill"] = (root, (total(variance), total((logs.mean(0) - told) ** 2)))
    ranks = ranked(members, reports)
    sums["above_all"] = (share, (total(ranks == count) * (count + 1), number))
    counts = [total(ranks == rank) for rank in range(count + 1)]
    sums["rank_distance"] = (uneven, (np.stack(counts, 1),))
    whole, told = np.where(known, members, 0.0).sum(2), np.where(known, reports, 0.0).sum(1)
    variance = whole.var(0, ddof=1) * (count + 1) / count
    sums["total_spread"] = (root, (variance, (whole.mean(0) - told) ** 2))
    return sums


def share(part: np.ndarray, whole: np.ndarray) -> float:
    return part.sum() / max(whole.sum(), 1e-9)


def root(part: np.ndarray, whole: np.ndarray) -> float:
    return float(np.sqrt(share(part, whole)))


def uneven(counts: np.ndarray) -> float:
    frequency = counts.sum(0) / counts.sum()
    return float(np.abs(frequency - 1 / len(frequency)).sum())


def ranked(members: np.ndarray, reports: np.ndarray) -> np.ndarray:
    """Rank of every report among the members; what is below the gauge's threshold ties with zero."""
    flat, told = np.where(members < WET, 0.0, members), np.where(reports < WET, 0.0, reports)
    below, ties = (flat < told).sum(0), (flat == told).sum(0)
    return below + np.floor(np.random.default_rng(1).random(told.shape) * (ties + 1)).astype(int)


def raw(name: str, source: str, quick: bool) -> Row:
    """Absolute error of a background as it is."""
    task = task_of(name, "interpolation", {"gauges": "unused"}, [source], quick)
    gauges, rain = held_out(task), layer(source)
    assert gauges is not None
    assert not isinstance(rain, Observations)
    fields_ = [on_grid(rain.sel(time=each), task.grid) for each in task.period.times]
    read = np.stack([at_places(each, task.grid, gauges.lat, gauges.lon) for each in fields_], 1)
    off = np.abs(read - gauges.values)
    label = f"raw {source.partition('/')[2]}"
    return {"case": name, "method": label} | figure("mae", np.nanmean(off), n=off.size, unit="mm h-1")


def speed(name: str) -> list[Row]:
    """One kriged field of one hour from all gauges in use: here, and with pykrige (with its variance)."""
    from pykrige.ok import OrdinaryKriging

    seen = evidence(task_of(name, "kriging", {}, [], True))
    assert seen.gauges is not None
    network = Network.of(seen.gauges, WET, 2000)
    law = Structure(sill=1.0, range_km=100.0, nugget=0.05, level=50.0, power=1.0)
    weave = Weave(seen.grid, network, None, law, 0.0, 0.0)
    told = np.isfinite(network.latent[:, 0])
    values = network.latent[told, 0]
    ours = timed(lambda: (weave.hours.clear(), weave.kriged(0, weave.hour(0), values)))
    north, east = weave.torus.cell_km
    rows = (network.lat - seen.grid.lat[0]) / seen.grid.step * north
    cols = (network.lon - seen.grid.lon[0]) / seen.grid.step * east
    law_of = {"psill": 1.0, "range": 300.0, "nugget": 0.05}
    grid = np.arange(seen.grid.shape[1]) * east, np.arange(seen.grid.shape[0]) * north
    theirs = timed(
        lambda: OrdinaryKriging(
            cols[told], rows[told], values, variogram_model="exponential", variogram_parameters=law_of
        ).execute("grid", *grid),
        repeats=1,
    )
    version = importlib.metadata.version("pykrige")
    about = {"case": name, "method": f"kriging against pykrige {version}"}
    return [
        about | figure("seconds of one field", ours, unit="s"),
        about | figure("seconds of one field, pykrige", theirs, unit="s"),
        about | figure("ratio of seconds", ours / theirs, n=len(values)),
    ]


def timed(work, repeats: int = 5) -> float:
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return min(taken)
