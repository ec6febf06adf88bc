"""Many files, one source: a folder or a pattern of files whose fields, or gauges, belong together.

Archives keep an hour, a day or a month a file. Their files are joined along time, in the order of their
stamps, whatever their names. A field that stands in two files is taken once if both say the same; if they do
not, whoever knows which of them holds must say so by taking the other away. Files of other grids, quantities,
products or intervals are no part of the same source. What is of no known kind is left out and named, unless
it ends like those that are read: then it is a damaged one of them. What many files hold is not kept: each is
read again when its values are asked for.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from engine.fields import Observations
from engine.intervals import MONTH, named
from engine.quantities import noted, notes
from engine.reading.headers import is_zarr
from engine.reading.heads import Heads
from engine.values import Invalid, brief, spelled

HELD = 3 * 10**7  # cells of all files that are kept in memory, 120 MB
MOST_FILES = 100_000
Found = xr.DataArray | Observations
Read = Callable[[Path], Found | None]


def is_pattern(name: str) -> bool:
    return any(each in name for each in "*?[")


def files(place: Path) -> list[Path]:
    """The files of a folder and its folders, or of a pattern, in order of name. A Zarr store is one."""
    found = list(islice(_inside(place) if place.is_dir() else _matching(place), MOST_FILES + 1))
    if len(found) > MOST_FILES:
        raise Invalid(f"source: {place} has more than {MOST_FILES} files; name fewer of them by a pattern")
    return sorted(found)


def _matching(place: Path) -> Iterator[Path]:
    parts = place.parts
    at = next(number for number, each in enumerate(parts) if is_pattern(each))
    yield from Path(*parts[:at]).glob(str(Path(*parts[at:])))


def _inside(place: Path) -> Iterator[Path]:
    for folder, inner, names in os.walk(place):  # into no folder that is a link: it may lead round
        stores = [name for name in inner if is_zarr(Path(folder, name))]
        inner[:] = sorted(set(inner) - set(stores))
        yield from (Path(folder, name) for name in (*stores, *names))


def joined(place: Path, read: Read, told: str = "") -> Found:
    """One field, or one network, of all files. ``read`` gives None for what is of no known kind; ``told`` is
    how it reads, by which the heads of many files are known again."""
    left, parts, held, heads = [], [], 0, Heads(place, told)
    later = functools.partial(_later, read)
    for path in files(place):
        hidden = path.name.startswith(".") or (path.is_dir() and not is_zarr(path))
        found = None if hidden else heads.field(path, later)
        if found is None and not hidden:
            found = _read(path, read)
        if found is None:
            left.append(path)
            continue
        parts.append((path, found if held <= HELD else released(found, path, read)))
        size = found.size if isinstance(found, xr.DataArray) else 0
        if held <= HELD < held + size:
            parts = [(each, released(one, each, read)) for each, one in parts]
        held += size
    if not parts:
        raise Invalid(f"source: {place} holds no file that is read here; it has {_named(left)}")
    known = {path.suffix for path, _ in parts} - {""}
    if damaged := [path for path in left if path.suffix in known and not path.name.startswith(".")]:
        raise Invalid(
            f"source: {damaged[0]} is of no known kind, and its neighbours are; fetch it again, or name "
            "them by a pattern"
        )
    left_out = f"left out, being of no kind that is read here: {_named(left)}" if left else ""
    fields = [(path, one) for path, one in parts if isinstance(one, xr.DataArray)]
    networks = [(path, one) for path, one in parts if isinstance(one, Observations)]
    if fields and networks:
        raise Invalid(
            f"source: {fields[0][0]} holds a field and {networks[0][0]} gauges; take one of the two"
        )
    if networks:
        whole = network(networks)
        return Observations(noted(whole.rain, *_told([one.rain for _, one in networks]), left_out))
    if any(one.chunks is not None for _, one in fields):
        heads.keep(fields)
    return noted(series(fields), *_told([one for _, one in fields]), left_out)


def _read(path: Path, read: Read) -> Found | None:
    try:
        return read(path)
    except Invalid as refused:
        raise Invalid(f"{refused}; or name the other files by a pattern, and not this one") from refused


def released(found: Found, path: Path, read: Read) -> Found:
    """The field without its values, which are read again when they are asked for."""
    if isinstance(found, Observations) or found.chunks is not None:
        return found
    return found.copy(data=_later(read, path, found.time.values, found.shape, found.dtype))


def _later(read: Read, path: Path, times: np.ndarray, shape: tuple[int, ...], kind: np.dtype) -> Any:
    import dask.array
    from dask.delayed import delayed

    def values() -> np.ndarray:
        again = read(path)
        if not isinstance(again, xr.DataArray) or not np.array_equal(again.time.values, times):
            raise Invalid(f"source: {path} was changed while it was in use; open it again")
        return again.values

    return dask.array.from_delayed(delayed(values, pure=False)(), shape, kind)


def series(parts: Sequence[tuple[Path, xr.DataArray]]) -> xr.DataArray:
    """Fields one after the other, each time once."""
    first = parts[0]
    for other in parts[1:]:
        _alike(first, other)
    parts = sorted(parts, key=lambda part: part[1].indexes["time"][0])
    times = np.concatenate([one.time.values for _, one in parts])
    owner = np.repeat(np.arange(len(parts)), [one.sizes["time"] for _, one in parts])
    within = np.concatenate([np.arange(one.sizes["time"]) for _, one in parts])
    order = np.argsort(times, kind="stable")
    again = np.flatnonzero(times[order][1:] == times[order][:-1])
    for one, two in zip(order[again], order[again + 1], strict=True):
        _same(parts[owner[one]], within[one], parts[owner[two]], within[two])
    keep = np.delete(order, again + 1)
    axis = first[1].dims.index("time")
    whole: Any = np.concatenate([one.data for _, one in parts], axis)
    if not np.array_equal(keep, np.arange(len(times))):
        whole = whole[(slice(None),) * axis + (keep,)]
    axes = {name: one.variable for name, one in first[1].coords.items()} | {"time": times[keep]}
    about = _about([one for _, one in parts])
    field = xr.DataArray(whole, axes, first[1].dims, first[1].name, about)
    told = f"joined from {len(parts)} files" if len(parts) > 1 else ""
    twice = f"{len(again)} fields stood in two files with the same values; each was taken once"
    return noted(field, told, twice if len(again) else "", *gaps(times[keep], about["interval"]))


def gaps(times: np.ndarray, interval: str) -> Iterator[str]:
    """What is missing between the first and the last time, or said twice by intervals that overlap."""
    if interval == named(MONTH):
        months = pd.DatetimeIndex(times)
        counts = np.diff(months.year * 12 + months.month)
        if (wide := np.flatnonzero(counts > 1)).size:
            told = f"the first after {months[wide[0]]:%Y-%m}, the longest of {counts.max() - 1}mo"
            yield f"its times have {_count(wide.size, 'gap')}: {told}"
        return
    whole: Any = pd.Timedelta(interval)
    lasts = whole.to_timedelta64()
    steps = np.diff(times)
    if (wide := np.flatnonzero(steps > lasts)).size:
        longest = wide[steps[wide].argmax()]
        first, last = (times[each].astype("M8[s]") for each in (wide[0], longest))
        missing: Any = pd.Timedelta(steps[longest] - lasts)
        told = f"the first after {first}, the longest of {spelled(missing)} after {last}"
        yield f"its times have {_count(wide.size, 'gap')}: {told}"
    if narrow := int((steps < lasts).sum()):
        yield f"{_count(narrow, 'interval')} of {interval} overlap the one before"


def network(parts: Sequence[tuple[Path, Observations]]) -> Observations:
    """Gauges side by side and one after the other; what two files report must be the same."""
    first, rain = parts[0], parts[0][1].rain
    for path, one in parts[1:]:
        if one.rain.attrs["interval"] != rain.attrs["interval"]:
            raise _differ("intervals", (first[0], rain.attrs["interval"]), (path, one.rain.attrs["interval"]))
    names = list(dict.fromkeys(name for _, one in parts for name in one.names))
    times = pd.DatetimeIndex(np.unique(np.concatenate([one.rain.time.values for _, one in parts])))
    values, owner = np.full((len(names), len(times)), np.nan), np.zeros((len(names), len(times)), int)
    places, rows = np.full((3, len(names)), np.nan), {name: row for row, name in enumerate(names)}
    for number, (path, one) in enumerate(parts):
        row = np.array([rows[name] for name in one.names])
        here = np.ix_(row, times.get_indexer(one.rain.indexes["time"]))
        stands, old = np.stack([one.lat, one.lon, one.elevation]), places[:, row]
        moved = (np.abs(old - stands)[:2] > 1e-4).any(0)
        wrong = np.abs(values[here] - one.values) > 1e-5 * (1 + np.abs(one.values))
        if moved.any() or wrong.any():
            which = int(np.argmax(moved if moved.any() else wrong.any(1)))
            other = parts[int(owner[here][which].max())][0]
            what = "another place" if moved.any() else "other rain"
            raise Invalid(f"source: gauge {one.names[which]} has {what} in {other} than in {path}; keep one")
        known = np.isfinite(one.values)
        values[here] = np.where(known, one.values, values[here])
        owner[here] = number
        places[:, row] = np.where(np.isfinite(stands), stands, old)
    about = _about([one.rain for _, one in parts])
    made = Observations.of(values, names, times, *places, **about)
    return Observations(noted(made.rain, f"joined from {len(parts)} files" if len(parts) > 1 else ""))


def _alike(one: tuple[Path, xr.DataArray], two: tuple[Path, xr.DataArray]) -> None:
    """Refuse two fields that are no parts of one."""
    for what, of in (
        ("quantities", lambda field: f"{field.name} in {field.attrs.get('units')}"),
        ("products", lambda field: field.attrs.get("product")),
        ("intervals", lambda field: field.attrs.get("interval")),
        ("dimensions", lambda field: " ".join(field.dims)),
    ):
        if of(one[1]) != of(two[1]):
            raise _differ(what, (one[0], of(one[1])), (two[0], of(two[1])))
    for name in set(one[1].dims) - {"time"}:
        first, second = one[1][name].values, two[1][name].values
        close = 1e-3 * np.abs(np.diff(first[:2])).max(initial=0)  # coordinates come in single precision
        if first.shape != second.shape or (np.abs(first - second) > close).any():
            raise _differ(f"grids ({name})", *((path, _axis(field[name])) for path, field in (one, two)))


def _same(one: tuple[Path, xr.DataArray], at: Any, two: tuple[Path, xr.DataArray], there: Any) -> None:
    """Refuse two fields of one time that do not say the same."""
    (first, a), (second, b) = (one[0], one[1].isel(time=at)), (two[0], two[1].isel(time=there))
    if not np.array_equal(a.values, b.values, equal_nan=True):
        raise Invalid(
            f"source: {first} and {second} contradict each other at {a.time.values.astype('M8[s]')}; "
            "take one of them away, or name the other by a pattern"
        )


def _differ(what: str, one: tuple[Path, Any], two: tuple[Path, Any]) -> Invalid:
    told = f"{one[1]} in {one[0]}, {two[1]} in {two[0]}"
    return Invalid(f"source: its files have different {what}: {told}; name those of one kind by a pattern")


def _about(parts: Sequence[xr.DataArray]) -> dict[str, Any]:
    """What all of them say of themselves; units as they were found, each once."""
    first = parts[0].attrs
    about = {key: value for key, value in first.items() if all(one.attrs.get(key) == value for one in parts)}
    if any(one.attrs.get("independent") == "false" for one in parts):
        about["independent"] = "false"  # of gauges: no more than its parts
    if "units_found" in first:
        about["units_found"] = ", ".join(dict.fromkeys(str(one.attrs.get("units_found")) for one in parts))
    return {key: value for key, value in about.items() if key != "notes"}


def _told(parts: Sequence[xr.DataArray]) -> list[str]:
    """The notes of all, but of those that differ from file to file only a few."""
    lines = list(dict.fromkeys(line for one in parts for line in notes(one)))
    return lines if len(lines) <= 8 else [*lines[:8], f"and {len(lines) - 8} more notes on single files"]


def _axis(axis: xr.DataArray) -> str:
    return f"{axis.size} from {float(axis[0]):g} to {float(axis[-1]):g}"


def _named(paths: Sequence[Path]) -> str:
    told = ", ".join(brief(path.name)[1:-1] for path in paths[:3])
    return (f"{told} and {len(paths) - 3} more" if len(paths) > 3 else told) or "nothing"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
