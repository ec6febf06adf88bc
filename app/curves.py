"""Curves: what each figure of the Verify screen shows, as a table.

A figure is drawn from its table, and the table is what a reader gets beside it, to copy or to hear. Those at
gauges are made from readings, so from all gauges and hours or from some; those of whole fields (spectra,
variograms, ellipses) look at the hours that were wettest at the gauges, for dry ones have no shape.

Missing is left out. What is below 0.1 mm/h is dry on both sides, and logarithmic axes begin there.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from engine.diagnostics.blocks import Blocks, interval, resampled
from engine.diagnostics.curves import intensities, quantile_quantile
from engine.diagnostics.shape import ellipse, variogram
from engine.diagnostics.spectra import spacing_km, spectrum
from engine.diagnostics.tables import Table
from engine.diagnostics.tally import DRY, grades

PIXELS = 90
BINS = 8  # of spread, each with as many cases
FEWEST_CASES = 20  # in a bin
BAND = (0.1, 0.9)
MEAN = "mean"  # of the members, as a field of its own
MOST_MEMBERS, FEW_MEMBERS = 32, 4  # whose spectra, and whose slower variograms, are taken
WETTEST = 12  # hours in which fields are looked at

Members = Mapping[str, xr.DataArray]


def totals(read: Members, observed: xr.DataArray) -> Table:
    """Each gauge over all hours that are known, in mm; the members' mean with p10 and p90."""
    hours = pd.Timedelta(observed.attrs.get("interval", "1h")).total_seconds() / 3600
    known = observed.notnull()
    told = {
        "gauge": observed.gauge.values.astype(str),
        "lat": observed.lat.values,
        "lon": observed.lon.values,
        "hours": known.sum("time").values * hours,
        "judge": observed.sum("time", min_count=1).values * hours,
    }
    own, *others = [each.where(known).sum("time", min_count=1).values * hours for each in read.values()]
    with np.errstate(invalid="ignore"):
        low, high = np.quantile(own, BAND, axis=0)
    told |= {"mean": own.mean(0), "p10": low, "p90": high}
    told |= {name: each.mean(0) for name, each in zip(list(read)[1:], others, strict=True)}
    return _columns(told)


def by_hour(read: Members, observed: xr.DataArray) -> Table:
    """The mean over gauges hour by hour, in mm/h; of the members their mean, p10 and p90."""
    known = observed.notnull()
    told: dict[str, Any] = {"time": observed.indexes["time"], "judge": _mean(observed.values, 0)}
    own, *others = [
        _mean(each.where(known).transpose("member", "gauge", "time").values, 1) for each in read.values()
    ]
    low, high = np.quantile(own, BAND, axis=0)
    told |= {"mean": own.mean(0), "p10": low, "p90": high}
    told |= {name: each.mean(0) for name, each in zip(list(read)[1:], others, strict=True)}
    return _columns(told)


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    """The mean of what is known; missing where nothing is."""
    count = np.isfinite(values).sum(axis)
    return np.nansum(values, axis) / np.where(count > 0, count, np.nan)


def _columns(told: Mapping[str, Any]) -> Table:
    frame = pd.DataFrame(told)
    return Table(list(frame.columns), frame.to_dict("records"))  # pyright: ignore[reportArgumentType]


def _pairs(members: xr.DataArray, observed: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Members (member, case) and reports (case) that are known."""
    report = observed.transpose("gauge", "time").values
    known = np.isfinite(report)
    return members.transpose("member", "gauge", "time").values[:, known], report[known]


def quantiles(read: Members, observed: xr.DataArray) -> Table:
    """Amounts of each ensemble, its members pooled, beside those of the reports at the same percentile."""
    rows: list[dict[str, Any]] = []
    for name, each in read.items():
        members, report = _pairs(each, observed)
        percentiles, mine, theirs = quantile_quantile(members, report)
        low, high = np.quantile(intensities(members, percentiles, (-1,)), BAND, axis=1)
        rows += [
            {"of": name, "percentile": rank, "judge": told, "amount": amount, "p10": least, "p90": most}
            for rank, told, amount, least, most in zip(percentiles, theirs, mine, low, high, strict=True)
            if told >= DRY
        ]
    return Table.of(rows)


@dataclass(frozen=True)
class Density:
    """How many pairs of a member and a report fall into each cell of a square with logarithmic sides."""

    counts: np.ndarray
    most: float  # mm/h, where both sides end; they begin at 0.1
    one_dry: float  # share of pairs of which one side alone is dry, which have no place in the square
    both_dry: float


def density(members: xr.DataArray, observed: xr.DataArray) -> Density:
    """All members of all hours beside the reports, counted by Datashader: they may be many millions."""
    import datashader

    mine, report = _pairs(members, observed)
    report = np.broadcast_to(report, mine.shape)
    wet, told = mine >= DRY, report >= DRY
    most = float(max(10 * DRY, report.max(initial=0), mine.max(initial=0)))
    frame = pd.DataFrame({"report": report[wet & told], "member": mine[wet & told]}, dtype=float)
    logarithmic = {"x_axis_type": "log", "y_axis_type": "log", "x_range": (DRY, most), "y_range": (DRY, most)}
    canvas = datashader.Canvas(PIXELS, PIXELS, **logarithmic)
    counts = canvas.points(frame, "report", "member").values if len(frame) else np.zeros((PIXELS, PIXELS))
    return Density(counts, most, float((wet != told).mean()), float((~wet & ~told).mean()))


def by_grade(members: xr.DataArray, observed: xr.DataArray) -> Table:
    """What the members say where a report lies in each grade of rain: the scatter as a table."""
    mine, report = _pairs(members, observed)
    edges = (0.0, *grades(observed.attrs.get("interval", "1h")), np.inf)
    rows = []
    for low, high in itertools.pairwise(edges):
        of = (report >= low) & (report < high)
        if of.any():
            middle = np.quantile(mine[:, of], (0.1, 0.5, 0.9))
            about = {"from mm/h": low, "n": int(of.sum()), "judge": float(report[of].mean())}
            spread = dict(zip(("p10", "p50", "p90"), middle.tolist(), strict=True))
            rows.append(about | {"mean": float(mine[:, of].mean())} | spread)
    return Table.of(rows)


def spread_skill(members: xr.DataArray, observed: xr.DataArray) -> Table:
    """The error of the mean where members scatter little, and where they scatter much.

    Cases are sorted by spread into bins of equal size; those where all members agree are left out.
    """
    size, shape = members.sizes["member"], observed.transpose("gauge", "time")
    values, report = members.transpose("member", "gauge", "time").values, shape.values
    if size < 2:
        return Table.of([])
    variance = values.var(0, ddof=1) * (size + 1) / size
    square = (values.mean(0) - report) ** 2
    cases = np.isfinite(report) & (variance > 0)
    bins = min(BINS, int(cases.sum()) // FEWEST_CASES)
    if not bins:
        return Table.of([])
    edges = np.quantile(variance[cases], np.linspace(0, 1, bins + 1)[1:-1])
    place = np.where(cases, np.searchsorted(edges, variance), -1)
    blocks, rows = Blocks.of(shape), []
    for number in range(bins):
        of = place == number
        sums = np.stack([blocks.sums(np.where(of, each, 0)) for each in (of, variance, square)], 1)
        n, spread, error = resampled(sums).T
        with np.errstate(invalid="ignore", divide="ignore"):
            value, low, high = interval(np.sqrt(error / n), int((sums[:, 0] > 0).sum()))
        about = {"spread": float(np.sqrt(spread[0] / n[0])), "error": value}
        rows.append(about | {"low": low, "high": high, "n": int(n[0])})
    return Table.of(rows)


def wettest(observed: xr.DataArray) -> pd.DatetimeIndex:
    """The hours in which the reports are highest on average, in their order."""
    mean = np.nan_to_num(_mean(observed.transpose("gauge", "time").values, 0), nan=-1.0)
    return observed.indexes["time"][np.sort(np.argsort(-mean, kind="stable")[:WETTEST])]  # type: ignore[return-value]


def shapes(ensemble: xr.DataArray, fields: Mapping[str, xr.DataArray], own: str) -> dict[str, Table]:
    """Spectra, variograms and ellipses of the members, of their mean, and of fields, at these hours."""
    spacing, taken = spacing_km(ensemble), min(ensemble.sizes["member"], MOST_MEMBERS)
    total, power, rise, outline = 0.0, [], [], []
    for place in range(taken):
        frames = ensemble.isel(member=place).values
        total = total + frames
        power.append(spectrum(frames, spacing))
        if place < FEW_MEMBERS:
            rise.append(variogram(frames, spacing)[:2])
            outline.append(_ellipse(frames, spacing))
    several = {"spectrum": [*_band(own, power)], "variogram": [*_band(own, rise)]}
    axes = {key: float(np.mean([each[key] for each in outline])) for key in outline[0]}
    several["ellipse"] = [{"of": own} | axes]
    mean = {MEAN: ensemble.isel(member=0).copy(data=total / taken)} if taken > 1 else {}
    for name, rain in (mean | dict(fields)).items():
        spacing, frames = spacing_km(rain), rain.values
        several["spectrum"] += _band(name, [spectrum(frames, spacing)])
        several["variogram"] += _band(name, [variogram(frames, spacing)[:2]])
        several["ellipse"].append({"of": name} | _ellipse(frames, spacing))
    return {name: Table.of(rows) for name, rows in several.items()}


def _band(name: str, curves: list[tuple[np.ndarray, np.ndarray]]) -> Iterator[dict[str, Any]]:
    """The mean over hours of one curve; of several their middle and how far they range."""
    means = np.stack([_mean(curve, 0) for _, curve in curves])
    for at, value, low, high in zip(curves[0][0], means.mean(0), means.min(0), means.max(0), strict=True):
        if np.isfinite(value):
            yield {"of": name, "km": float(at), "value": float(value), "low": float(low), "high": float(high)}


def _ellipse(frames: np.ndarray, spacing: tuple[float, float]) -> dict[str, float]:
    """Half axes (km) and direction (degrees from east to north) in the middle of the hours."""
    found = ellipse(frames, spacing)
    known = np.isfinite(found.length)
    if not known.any():
        return {"major": float("nan"), "minor": float("nan"), "angle": float("nan")}
    turn = np.exp(2j * np.deg2rad(found.angle[known])).mean()  # 89 and -89 degrees are neighbours
    axes = {name: float(np.median(getattr(found, name)[known])) for name in ("major", "minor")}
    return axes | {"angle": float(np.rad2deg(np.angle(turn)) / 2)}
