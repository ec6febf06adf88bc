"""Reading: 30 days of hourly rain by 0.1 degrees are opened and a day is read: seconds and memory.

The files are made here: showers that move over 25 x 25 and 50 x 60 degrees (180 and 864 MB unpacked), packed
as archives pack them. Each reading is a process of its own; its seconds are those after the imports, its
memory is all that the process ever held, libraries included.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from engine.values import Invalid

CASES = {"25 x 25 degrees": (250, 250), "50 x 60 degrees": (500, 600)}
HOURS = 720
READING = """
import json, resource, sys, time
from engine.fields import Box, Period
from engine.given import cut
from engine.sources import open_any
begun = time.perf_counter()
rain = open_any(sys.argv[1])
opened = time.perf_counter()
day = cut("rain", rain, Box(104, 24, 119, 39), Period("2020-07-10", "2020-07-11")).load()
done = time.perf_counter()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
assert day.sizes["time"] == 24
print(json.dumps({"open": opened - begun, "open and read a day": done - begun, "peak memory": peak}))
"""


def run(case: str | None, quick: bool) -> Iterator[dict[str, Any]]:
    if case is not None and case not in CASES:
        raise Invalid(f"reading: got {case!r}; give one of {', '.join(CASES)}")
    names = [case] if case else list(CASES)[: 1 if quick else None]
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            path = Path(folder) / f"{name}.nc"
            month(path, *CASES[name])
            readings = [read(path) for _ in range(2 if quick else 5)]
            for metric in readings[0]:
                found = [each[metric] for each in readings]
                about = {"case": name, "method": f"cf, {path.stat().st_size / 1e6:.0f} MB", "metric": metric}
                span = {"value": float(np.median(found)), "low": min(found), "high": max(found)}
                yield about | span | {"n": len(found), "unit": "MB" if metric == "peak memory" else "s"}


def read(path: Path) -> dict[str, float]:
    command = [sys.executable, "-c", READING, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    if done.returncode:
        raise Invalid(f"reading: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout)


def month(path: Path, rows: int, columns: int) -> None:
    """Showers a dozen cells wide that move east, in hundredths, dry between them."""
    rng = np.random.default_rng(0)
    tall, wide = np.mgrid[:rows, :columns]
    with h5py.File(path, "w") as file:
        axes = {"time": np.arange(1, HOURS + 1), "lat": 54.95 - 0.1 * np.arange(rows)}
        axes["lon"] = 100.05 + 0.1 * np.arange(columns)
        rain = file.create_dataset(
            "pr",
            (HOURS, rows, columns),
            "f4",
            chunks=(24, rows // 2, columns // 2),
            compression=4,
            shuffle=True,
        )
        rain.attrs["units"] = "mm/h"
        for at, (name, values) in enumerate(axes.items()):
            scale = file.create_dataset(name, data=values)
            scale.make_scale(name)
            rain.dims[at].attach_scale(scale)
        file["time"].attrs["units"] = "hours since 2020-07-01"
        for day in range(HOURS // 24):
            rain[24 * day : 24 * day + 24] = [shower(rng, tall, wide) for _ in range(24)]


def shower(rng: np.random.Generator, tall: np.ndarray, wide: np.ndarray) -> np.ndarray:
    waves = rng.uniform(0.05, 0.4, (4, 2)), rng.uniform(0, 6.3, 4)
    field = sum(
        np.sin(north * tall + east * wide + phase) for (north, east), phase in zip(*waves, strict=True)
    )
    return np.round(np.maximum(4 * (field - 1.5), 0) * rng.gamma(1, 1, tall.shape), 2)
