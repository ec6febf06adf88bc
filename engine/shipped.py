"""Results that come with the project: ensembles computed beforehand, opened without computing anything.

Each is one small file in `assets/results`, made by ``scripts/make_results.py``: the rain of a finished run,
packed as cases pack it (16-bit steps of 0.01 mm/h), with its manifest and the times of its run. `bring_in`
enters them into a store as finished runs of the origin "shipped", under the file's name, so that whatever
works on a run works on them. It is done once for each name and each store: one that the user deleted stays
deleted, and a result is never changed under its name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import xarray as xr
import yaml

from engine import READING
from engine.journal import Run
from engine.runs import Store, write_safely
from engine.sources.cases import PACKING, unpacked
from engine.tasks import Task

FOLDER = Path(__file__).resolve().parents[1] / "assets" / "results"
ORIGIN = "shipped"
STEP = 0.01  # mm/h


def pack(store: Store, run: Run, target: Path) -> None:
    """Write a finished run as one small file."""
    manifest = yaml.safe_load((store.folder(run.id) / "manifest.yaml").read_text(encoding="utf-8"))
    manifest |= {"run": target.stem, "packed": f"in steps of {STEP} mm/h from run {run.id}"}
    times = {name: getattr(run, name).isoformat() for name in ("created", "finished")}
    rain = store.ensemble(run.id).load().drop_attrs(deep=False)
    rain.encoding = {}
    about = {"title": run.task.title, "manifest": json.dumps(manifest), "times": json.dumps(times)}
    target.parent.mkdir(parents=True, exist_ok=True)
    packing = PACKING | {"scale_factor": np.float32(STEP), "complevel": 9}
    with READING:
        rain.to_dataset(name="rain").assign_attrs(about).to_netcdf(
            target, engine="h5netcdf", encoding={"rain": packing}
        )


def bring_in(store: Store) -> None:
    """Enter the shipped results that this store has never had."""
    known = store.root / "shipped"
    new = [path for path in sorted(FOLDER.glob("*.nc")) if not (known / path.stem).exists()]
    if not new:
        return
    known.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(store.root / "shipped.lock"):  # two servers may begin at once
        for path in new:
            if not (known / path.stem).exists() and path.stem not in {run.id for run in store.runs()}:
                _enter(store, path)
            (known / path.stem).touch()


def _enter(store: Store, path: Path) -> None:
    """A run as if it were computed here: its members first, and last the line that says it is done. It
    never started here, so nobody takes its time for this machine's."""
    rain, manifest, times = _read(path)
    task = Task.of(manifest["task"])
    folder = store.folder(path.stem)
    folder.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(dict(manifest), sort_keys=False, allow_unicode=True)
    write_safely(folder / "manifest.yaml", text.encode())
    store.prepare(path.stem, task)
    for member, values in enumerate(rain):
        store.commit(path.stem, member, values)
    done = {"state": "done", "progress": 1.0, "origin": ORIGIN}
    store.insert(path.stem, manifest["key"], task, **done, **times)


def _read(path: Path) -> tuple[np.ndarray, Mapping[str, Any], dict[str, float]]:
    with READING, xr.open_dataset(path, engine="h5netcdf", mask_and_scale=False) as packed:
        values = unpacked(packed["rain"].load()).values
        told = {name: json.loads(packed.attrs[name]) for name in ("manifest", "times")}
    return (
        values,
        told["manifest"],
        {name: datetime.fromisoformat(time).timestamp() for name, time in told["times"].items()},
    )
