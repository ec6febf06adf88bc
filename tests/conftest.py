"""A home of its own for every test, and a small world that is quick to compute."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from engine import shipped
from engine.fields import Box, Grid, Observations, Period, rain
from engine.sources.cases import write_case
from engine.tasks import Task

BOX = Box(110, 28, 114, 32)
PERIOD = Period("2020-07-01T00:00", "2020-07-01T06:00")  # pyright: ignore[reportArgumentType]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`RAINLOOM_HOME` is a folder of this test alone, and nothing that is shipped comes into it."""
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "nothing")
    folder = tmp_path / "home"
    monkeypatch.setenv("RAINLOOM_HOME", str(folder))
    return folder


@pytest.fixture
def shared() -> Path:
    """The folder of real files, where there is one."""
    folder = Path(os.environ.get("RAINLOOM_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no real files: set RAINLOOM_DATA to their folder")
    return folder


def small_world(seed: int = 0) -> tuple[xr.DataArray, xr.DataArray, Observations]:
    """A travelling band of rain, a biased picture of it, and 40 gauges."""
    random = np.random.default_rng(seed)
    grid, hours = Grid(BOX, 0.25), np.arange(6.0)
    south, west = grid.lat[:, None] - BOX.south, grid.lon[None, :] - BOX.west
    band = [np.exp(-(((south - 1 - 0.3 * hour - 0.2 * west) / 0.6) ** 2)) for hour in hours]
    truth = rain((np.maximum(np.array(band) - 0.2, 0) * 8).astype("f4"), PERIOD.times, grid.lat, grid.lon)
    seen = truth.copy(data=(truth.values * random.lognormal(0.2, 0.3, truth.shape)).astype("f4"))
    lat, lon = random.uniform(28.2, 31.8, 40), random.uniform(110.2, 113.8, 40)
    places = {"lat": xr.DataArray(lat, dims="gauge"), "lon": xr.DataArray(lon, dims="gauge")}
    read = truth.interp(places).transpose("gauge", "time").values
    names = [f"S{number:02d}" for number in range(40)]
    return truth, seen, Observations.of(read, names, PERIOD.times, lat, lon, random.uniform(0, 900, 40))


@pytest.fixture
def small(home: Path) -> str:
    """A small case among the user's own; its name."""
    truth, seen, gauges = small_world()
    about = {"title": "A small world", "description": "Simulated, for tests.", "simulated": "true"}
    about |= {"box": list(BOX), "start": str(PERIOD.start), "end": str(PERIOD.end), "licence": "Apache-2.0"}

    def known(kind: str, title: str, role: str) -> dict:
        return {"kind": kind, "title": title, "role": role, "native": "0.25°", "independent": True}

    write_case(
        home / "cases" / "small.nc",
        about,
        {
            "truth": (known("field", "Simulated truth", "reference"), truth),
            "satellite": (known("field", "Simulated satellite", "background"), seen),
            "gauges": (known("gauges", "Simulated gauges", ""), gauges),
        },
    )
    return "small"


@pytest.fixture
def task(small: str) -> Task:
    """Kriging of the small world, eight members."""
    return Task.of(
        {
            "domain": list(BOX),
            "step": 0.25,
            "period": {"start": "2020-07-01T00:00", "end": "2020-07-01T06:00"},
            "sources": [f"{small}/satellite"],
            "gauges": {"source": f"{small}/gauges", "hold_out": 0.25},
            "method": "kriging",
            "members": 8,
            "seed": 3,
        }
    )


def wait(until: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for a condition, with a deadline."""
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)
