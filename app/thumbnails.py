"""Small pictures of cases, for whoever stands at the door: the rain of one hour over land and sea.

The hour is the wettest of the case, of its reference if it has one (a simulated truth), else of its first
field of rain; `caption` says which. The picture is a PNG that stands in the page itself; drawing it takes
a moment, so it is made once for each file of a case, by a thread of its own.
"""

from __future__ import annotations

import base64
import io
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from app import raster
from app.pictures import Shelf
from app.theme import COAST, LAND, RAIN, SEA
from engine.intervals import steady
from engine.sources.cases import Case

if TYPE_CHECKING:
    from PIL import Image

WIDTH, HEIGHT = 640, 256  # pixels
FINE = 2  # land is drawn so much larger, then made smaller: smooth coasts

_worker = ThreadPoolExecutor(1, "thumbnails")
_shelf = Shelf(_worker, 64)


@dataclass(frozen=True)
class Thumbnail:
    """A picture as an address, and what it shows."""

    address: str
    layer: str
    start: pd.Timestamp
    end: pd.Timestamp


def thumbnail(case: Case) -> tuple[Thumbnail | None, Future[Thumbnail] | None]:
    """The picture if it is known, else a future to wait for."""
    key = (case.path, case.path.stat().st_mtime_ns)
    return _shelf.ask(key, lambda: draw(case))


def draw(case: Case) -> Thumbnail:
    fields = {
        name: about for name, about in case.layers.items()
        if about["kind"] == "field" and about["role"] != "predictor"
    }  # fmt: skip
    name = next((each for each, about in fields.items() if about["role"] == "reference"), next(iter(fields)))
    rain = case.layer(name)
    assert isinstance(rain, xr.DataArray)
    means = [raster.area_mean(hour, rain.lat.values) for hour in rain.values]
    hour = int(np.nanargmax(means))
    end: pd.Timestamp = rain.indexes["time"][hour]
    address = _png(rain.values[hour], rain.lat.values.astype(float), rain.lon.values.astype(float), case)
    return Thumbnail(address, name, end - steady(rain, name), end)


def _png(values: np.ndarray, lat: np.ndarray, lon: np.ndarray, case: Case) -> str:
    """The strip of the map where it rains most, as wide as the case."""
    from PIL import Image

    rows = raster.Rows.of(lat, lon)
    rain = raster.classes(rows(values), RAIN.edges)[::-1]  # north at the top
    scale = WIDTH / rain.shape[1]
    size = (WIDTH, round(rain.shape[0] * scale))
    wide = Image.fromarray(_coloured(rain)).resize(size, Image.Resampling.BICUBIC)
    ground = _ground(case, rows, wide.size)
    ground.paste(wide, (0, 0), wide)
    wet = (rain * (rain <= len(RAIN.edges))).sum(axis=1, dtype=float)
    middle = (wet * np.arange(wet.size)).sum() / max(wet.sum(), 1) * scale
    top = round(np.clip(middle - HEIGHT / 2, 0, max(0, wide.size[1] - HEIGHT)))
    strip = ground.crop((0, top, WIDTH, top + HEIGHT)).quantize(96)
    stream = io.BytesIO()
    strip.save(stream, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def _coloured(classes: np.ndarray) -> np.ndarray:
    """Red, green, blue and how much of the ground they hide."""
    told = [each.lstrip("#").ljust(8, "f") for each in RAIN.palette]
    return np.array([[int(each[i : i + 2], 16) for i in (0, 2, 4, 6)] for each in told], np.uint8)[classes]


def _ground(case: Case, rows: raster.Rows, size: tuple[int, int]) -> Image.Image:
    """Land, sea and coast. A place is land if it lies inside an odd number of rings."""
    from PIL import Image, ImageChops, ImageDraw

    fine = (size[0] * FINE, size[1] * FINE)

    def pixels(line: np.ndarray) -> list[tuple[float, float]]:
        across = (line[:, 0] - rows.left) / rows.width * fine[0]
        down = (1 - (line[:, 1] - rows.bottom) / rows.height) * fine[1]
        return list(zip(across.tolist(), down.tolist(), strict=True))

    shores, land = raster.shores(case.box), Image.new("1", fine)
    for area in shores.land:
        ring = Image.new("1", fine)
        ImageDraw.Draw(ring).polygon(pixels(area), fill=1)
        land = ImageChops.logical_xor(land, ring)
    ground = Image.new("RGB", fine, SEA)
    ground.paste(LAND, (0, 0), land)
    pen = ImageDraw.Draw(ground)
    for coast in shores.coasts:
        pen.line(pixels(coast), fill=COAST, width=FINE)
    return ground.resize(size, Image.Resampling.LANCZOS)
