"""A file that nobody vouches for, read by a process that can do no harm.

A library that unpacks a hostile file may crash, hang, or take all memory, and in the worst case do what the
file says. So a child of its own reads it, behind `engine.walls`: bounded memory, time and file size, no
writing but in one folder, no program, no connection, and none of this process's environment but what Python
needs to start. It answers with the report of `engine.findings`, alone or in a `Look`, or with the field, or a
case, as a plain NetCDF file, which goes through the gate like any other. A crash, a hang or a kill of the
child is one line.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from engine import READING, fingerprint, home, walls
from engine.fields import Box, Observations, check
from engine.reading.guard import guarded
from engine.values import Invalid

if TYPE_CHECKING:
    from engine.findings import Report
    from engine.gathered import Part, Span
    from engine.looks import Look

ROOT = Path(__file__).resolve().parents[1]
ANSWER, FIELD, CASE, PROGRESS = "answer.json", "field.nc", "case.nc", "progress.json"
BEAT = 0.1  # s between two looks at a child
MOST_ANSWER = 2**24  # bytes
MOST_KEPT = 20 * 10**9  # bytes of the cache
HELD = 5 * 10**7  # cells that are read at once; more are read as they are asked for
PART = 10**7  # cells
KEPT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONPATH", "SYSTEMROOT")
KEPT += ("PROJ_DATA", "PROJ_LIB", "GDAL_DATA", "ECCODES_DEFINITION_PATH", "ECCODES_DIR")
SINGLE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
Found = xr.DataArray | Observations


@dataclass(frozen=True)
class Limits:
    """What a child may take: bytes of memory beyond the program's own, seconds, and bytes of a file."""

    memory: int = 2 * 10**9
    seconds: float = 60
    file_bytes: int = 4 * 10**9


def inspected(path: str | Path, reader: str | None = None, limits: Limits = Limits(), **about: Any) -> Report:
    """The report on a file."""
    from engine.findings import Report

    with tempfile.TemporaryDirectory(dir=_cache(None)) as folder:
        return Report(
            **_asked("inspect", str(path), Path(folder), limits, reader=reader, about=_written(about))
        )


def looked(path: str | Path, folder: Path, limits: Limits = Limits(), **about: Any) -> Look:
    """A look at a file; the child works in a folder that is given."""
    from engine.looks import Look

    with tempfile.TemporaryDirectory(dir=folder) as work:
        return Look.of(_asked("look", str(path), Path(work), limits, about=_written(about)))


def gathered(
    path: Path,
    parts: Sequence[Part],
    box: Box | None,
    span: Span,
    title: str,
    heard: Callable[[float, str], None],
    limits: Limits = Limits(4 * 10**9, 3600),
) -> None:
    """A case of files, made by the child. ``heard`` is told how far it is, and may raise to end it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as work:
        told = [asdict(each) | {"told": _written(dict(each.told))} for each in parts]
        asked = {"parts": told, "box": list(box) if box else None, "title": title or path.stem}
        asked |= {"span": [str(each) if each else None for each in span]}
        _asked("gather", str(path), Path(work), limits, lambda: _hear(Path(work) / PROGRESS, heard), **asked)
        guarded(Path(work) / CASE)
        (Path(work) / CASE).replace(path)


def _hear(path: Path, heard: Callable[[float, str], None]) -> None:
    share, what = json.loads(path.read_bytes()) if path.exists() else (0.0, "")
    heard(share, what)


def opened(
    path: str | Path,
    reader: str | None = None,
    folder: Path | None = None,
    limits: Limits = Limits(),
    **about: Any,
) -> Found:
    """What a file holds, by way of a plain file in a folder (that of the cache, if none is given), where it
    is found again."""
    from engine.sources import digest

    told = json.dumps([digest(str(path)), reader, _written(about), fingerprint()], sort_keys=True)
    kept = _cache(folder) / f"{hashlib.sha256(told.encode()).hexdigest()[:32]}.nc"
    if not kept.exists():
        with tempfile.TemporaryDirectory(dir=kept.parent) as work:
            _asked("open", str(path), Path(work), limits, reader=reader, about=_written(about))
            (Path(work) / FIELD).replace(kept)
        _prune(kept.parent)
    return _read(kept)


def _cache(folder: Path | None) -> Path:
    found = folder or home() / "cache" / "opened"
    found.mkdir(parents=True, exist_ok=True)
    return found


def _prune(folder: Path) -> None:
    """Leave the newest files, as many as the cache may keep."""
    total = 0
    for path in sorted(folder.glob("*.nc"), key=lambda each: each.stat().st_mtime, reverse=True):
        total += path.stat().st_size
        if total > MOST_KEPT:
            path.unlink()


def _written(about: dict[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, Box) else value for key, value in about.items()}


def _asked(
    what: str,
    path: str,
    folder: Path,
    limits: Limits,
    waiting: Callable[[], None] = lambda: None,
    **told: Any,
) -> dict[str, Any]:
    """The child's answer. Meanwhile ``waiting`` is called again and again; if it raises, the child ends."""
    request = {"what": what, "path": os.path.abspath(os.path.expanduser(path)), "reader": None, "about": {}}
    request |= {**told, "folder": str(folder.resolve()), "limits": asdict(limits)}
    child = _started(folder)
    try:
        assert child.stdin
        with contextlib.suppress(BrokenPipeError), child.stdin:
            child.stdin.write(json.dumps(request).encode())
        _awaited(child, path, limits, waiting)
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL) if os.name == "posix" else child.kill()
            child.wait()
    answer = folder / ANSWER
    if child.returncode == -getattr(signal, "SIGXCPU", 24):
        raise _hung(path, limits)
    if child.returncode or not answer.is_file() or answer.stat().st_size > MOST_ANSWER:
        ended = f"was ended by signal {-child.returncode}" if child.returncode < 0 else "gave no answer"
        raise Invalid(f"source: {path!a} cannot be read: its reader {ended}; it is damaged or hostile")
    found = json.loads(answer.read_bytes())
    if "refused" in found:
        raise Invalid(str(found["refused"]))
    return found["report"]


def _started(folder: Path) -> subprocess.Popen[bytes]:
    """A child that waits for a request, with no more of this environment than it needs."""
    environment = {key: os.environ[key] for key in KEPT if key in os.environ} | SINGLE
    environment |= {"HOME": str(folder), "TMPDIR": str(folder), "RAINLOOM_HOME": str(folder)}
    return subprocess.Popen(
        [sys.executable, "-B", "-m", "engine.confined"],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _awaited(child: subprocess.Popen[bytes], path: str, limits: Limits, waiting: Callable[[], None]) -> None:
    until = time.monotonic() + limits.seconds
    while time.monotonic() < until:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(BEAT)
            return
        waiting()
    raise _hung(path, limits)


def _hung(path: str, limits: Limits) -> Invalid:
    return Invalid(f"source: {path!a} took more than {limits.seconds} s to read; cut it, or it is hostile")


def _read(path: Path) -> Found:
    guarded(path)
    with READING, xr.open_dataset(path, engine="h5netcdf") as whole:
        field = next(iter(whole.data_vars.values()))
        large = field.size > HELD
        if not large:
            field = field.load()
    if field.dims == ("gauge", "time"):
        return Observations(field.assign_coords(gauge=field.gauge.values.astype(str)))
    field = check(field, "source", str(field.attrs.get("units")))
    return _later(path, field) if large else field


def _later(path: Path, field: xr.DataArray) -> xr.DataArray:
    """A large field, read in parts of its times when they are asked for."""
    import dask.array
    from dask.delayed import delayed

    axis = field.dims.index("time")
    step, times = max(1, PART * field.sizes["time"] // field.size), field.sizes["time"]

    def part(begin: int) -> np.ndarray:
        with READING, xr.open_dataset(path, engine="h5netcdf") as whole:
            return next(iter(whole.data_vars.values())).isel(time=slice(begin, begin + step)).values

    def shape(begin: int) -> tuple[int, ...]:
        return (*field.shape[:axis], min(step, times - begin), *field.shape[axis + 1 :])

    parts = [
        dask.array.from_delayed(delayed(part, pure=False)(begin), shape(begin), field.dtype)
        for begin in range(0, times, step)
    ]
    return field.copy(data=dask.array.concatenate(parts, axis))


def _write(found: Found, path: Path) -> None:
    field = found.rain if isinstance(found, Observations) else found
    plain = {
        key: value if isinstance(value, int | float) else str(value) for key, value in field.attrs.items()
    }
    field = field.drop_attrs().assign_attrs(plain)
    encoding = {"time": {"units": "seconds since 1970-01-01", "dtype": "int64"}}
    field.to_dataset(name=str(field.name)).to_netcdf(path, engine="h5netcdf", encoding=encoding)


def _done(request: dict[str, Any], folder: Path, about: dict[str, Any]) -> dict[str, Any]:
    """What is asked of the child: a file in the folder, or a report."""
    from engine import findings, gathered, looks, sources

    path, reader = request["path"], request["reader"]
    if request["what"] == "look":
        return looks.look(path, reader, **about).plain()
    if request["what"] == "inspect":
        return asdict(findings.report(path, reader, **about))
    if request["what"] == "open":
        _write(sources.open_any(path, reader, **about), folder / FIELD)
        return {}
    parts = [gathered.Part(**each) for each in request["parts"]]
    box, span = request["box"] and Box.of(request["box"]), tuple(request["span"])

    def heard(share: float, what: str) -> None:
        (folder / "next.json").write_text(json.dumps([share, what]))
        (folder / "next.json").replace(folder / PROGRESS)

    gathered.gather(folder / CASE, parts, box, span, request["title"], heard)
    return {}


def main() -> None:
    """The child: walls first, then whatever the file brings."""
    request = json.load(sys.stdin)
    folder, limits = Path(request["folder"]), Limits(**request["limits"])
    walls.write_only_in(folder)
    from dask import config

    from engine import looks, sources  # noqa: F401 - behind the wall of memory it could not be imported

    sources.readers()
    walls.take_at_most(limits.memory, math.ceil(limits.seconds), limits.file_bytes)
    about = {key: Box.of(value) if key == "box" else value for key, value in request["about"].items()}
    answer: dict[str, Any] = {"report": {}}
    try:
        with config.set(scheduler="synchronous"):
            answer["report"] = _done(request, folder, about)
    except Invalid as refused:
        answer = {"refused": str(refused)}
    except MemoryError:
        answer = {"refused": f"source: {request['path']!a} needs more memory than it may take; cut it"}
    (folder / ANSWER).write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
