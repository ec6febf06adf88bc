"""What lies under the rain of a map and around it: land and sea, coasts, borders, hills, tiles, distances.

Land, coasts and borders are drawn once from the file in the assets. Hills are a quiet shade under the rain;
lines of equal distance to the nearest used gauge tell where a fused field had nobody to ask. Tiles come from
a server of maps on the internet: nothing is asked of it until somebody switches them on.
"""

from __future__ import annotations

import atexit
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, LinearColorMapper, WMTSTileSource

from app import raster, store
from app.pictures import Shelf
from app.state import State
from app.theme import BORDER, COAST, LAND, SEA
from engine.fields import Box
from engine.sources.cases import Case

ROOM_X, ROOM_Y = 1.5, 0.7  # how far around the domain one may pan, in widths and heights of it
TILES = "https://tile.openstreetmap.org/{Z}/{X}/{Y}.png"
ATTRIBUTION = "© OpenStreetMap contributors"
SHADES = 16
SUN = (-1.0, 1.0)  # it stands in the north-west
KM = (25.0, 50.0, 100.0, 200.0)  # distances that get a line

_worker = ThreadPoolExecutor(1, "ground")
_shelf = Shelf(_worker, 16)
atexit.register(lambda: _worker.shutdown(wait=False, cancel_futures=True))


def around(box: Box) -> Box:
    wide, high = ROOM_X * (box.east - box.west), ROOM_Y * (box.north - box.south)
    west, east = max(box.west - wide, -180), min(box.east + wide, 180)
    return Box(west, max(box.south - high, -85), east, min(box.north + high, 85))


class Ground:
    """Drawn in two turns: `Ground` itself under the rain, `lines` over it."""

    def __init__(self, figure: Any, box: Box) -> None:
        self.figure, self.box, self._tiles, self._shaded = figure, box, None, False
        areas = raster.shores(around(box)).land
        xs, ys = [area[:, 0] for area in areas], [area[:, 1] for area in areas]
        west, south, east, north = raster.extent(around(box))
        # Not the figure's background: that follows the dress of the page, and the sea does not.
        sides = {"left": west, "right": east, "bottom": south, "top": north}
        sea = figure.quad(**sides, fill_color=SEA, line_color=None, level="underlay")
        land = figure.patches(xs, ys, fill_color=LAND, line_color=None, level="underlay")
        self._drawn = (sea, land)
        self.shade = ColumnDataSource({name: [] for name in ("image", "x", "y", "dw", "dh")})
        dark = [f"#000000{round(110 * (1 - k / 7)):02x}" for k in range(8)]
        light = [f"#ffffff{round(130 * k / 7):02x}" for k in range(8)]
        self.hills = figure.image(
            "image", "x", "y", "dw", "dh", source=self.shade, level="underlay", visible=False,
            color_mapper=LinearColorMapper(palette=[*dark, *light], low=-0.5, high=SHADES - 0.5),
        )  # fmt: skip

    def lines(self, home: tuple[float, float, float, float]) -> None:
        """Coasts, borders, the edge of the domain, and the distances."""
        shores = raster.shores(around(self.box))
        for lines, colour, width, dash in (
            (shores.coasts, COAST, 0.9, "solid"),
            (shores.borders, BORDER, 0.8, [5, 3]),
        ):
            xs, ys = [line[:, 0] for line in lines], [line[:, 1] for line in lines]
            style = {"line_color": colour, "line_width": width, "line_dash": dash, "line_alpha": 0.85}
            self.figure.multi_line(xs, ys, **style)
        sides = dict(zip(("left", "bottom", "right", "top"), home, strict=True))
        style = {"line_color": COAST, "line_width": 0.8, "line_alpha": 0.5, "line_dash": [2, 3]}
        self.figure.quad(**sides, fill_color=None, **style)
        self.rings = ColumnDataSource({"xs": [], "ys": []})
        self.figure.multi_line("xs", "ys", source=self.rings, line_color="#b3476b", line_width=1.1)
        self.names = ColumnDataSource({"x": [], "y": [], "text": []})
        self.figure.text(
            "x", "y", "text", source=self.names, text_font_size="10px", text_color="#8e2f50",
            text_align="center", text_baseline="middle", text_outline_color="#ffffff",
        )  # fmt: skip

    def show_hills(self, shade: tuple[np.ndarray, raster.Rows] | None) -> None:
        self.hills.visible = shade is not None
        if shade is not None and not self._shaded:
            self._shaded = True
            image, rows = shade
            place = {"x": [rows.left], "y": [rows.bottom], "dw": [rows.width], "dh": [rows.height]}
            self.shade.data = {"image": [image], **place}

    def show_distances(self, told: list[tuple[str, np.ndarray]]) -> None:
        self.rings.data = {"xs": [line[:, 0] for _, line in told], "ys": [line[:, 1] for _, line in told]}
        middle = [(text, line[len(line) // 2]) for text, line in told if len(line) > 24]
        self.names.data = {
            "x": [float(at[0]) for _, at in middle],
            "y": [float(at[1]) for _, at in middle],
            "text": [text for text, _ in middle],
        }

    def show_tiles(self, shown: bool) -> None:
        if shown and self._tiles is None:
            self._tiles = self.figure.add_tile(WMTSTileSource(url=TILES, attribution=ATTRIBUTION))
            self._tiles.level = "underlay"
        if self._tiles is not None:
            self._tiles.visible = shown
        for each in self._drawn:
            each.visible = not shown


def hills(case: Case) -> tuple[tuple[np.ndarray, raster.Rows] | None, Future[Any] | None]:
    """The shade of the case's terrain if it is known, else a future to wait for."""
    key = (case.path, "hills")
    found = _shelf.known(key)
    return (found, None) if found else (None, _shelf.fetch(key, lambda: _shaded(case)))


def has_hills(case: Case) -> bool:
    return case.layers.get("elevation", {}).get("kind") == "static"


def _shaded(case: Case) -> tuple[np.ndarray, raster.Rows]:
    high = case.statics()["elevation"]
    rows = raster.Rows.of(high.lat.values.astype(float), high.lon.values.astype(float))
    metres = rows(np.nan_to_num(high.values.astype(float)))
    up, across = np.gradient(metres, rows.height / metres.shape[0], rows.width / metres.shape[1])
    slope = -(SUN[0] * across + SUN[1] * up)
    bright = slope / max(1e-9, float(np.quantile(np.abs(slope), 0.98)))
    return np.clip((bright + 1) / 2 * SHADES, 0, SHADES - 1).astype(np.uint8), rows


def distances(case: Case, state: State) -> tuple[list[tuple[str, np.ndarray]], Future[Any] | None]:
    """Lines of equal distance to the nearest used gauge, each with what it says."""
    gauges, used = store.gauges(case), set(store.sides(case, state)[0])
    if gauges is None or not used:
        return [], None
    speaks = np.array([name in used for name in gauges.names])
    lat, lon = gauges.lat[speaks], gauges.lon[speaks]
    key = (case.path, lat.tobytes(), lon.tobytes())
    found = _shelf.known(key)
    if found is not None:
        return found, None
    return [], _shelf.fetch(key, lambda: _contours(case.box, lat, lon))


def _contours(box: Box, lat: np.ndarray, lon: np.ndarray) -> list[tuple[str, np.ndarray]]:
    from contourpy import contour_generator
    from scipy.spatial import KDTree

    across, up = np.linspace(box.west, box.east, 160), np.linspace(box.south, box.north, 160)
    tree = KDTree(_on_sphere(lat, lon))
    chord, _ = tree.query(_on_sphere(*np.meshgrid(up, across, indexing="ij")))
    km = 2 * raster.EARTH_RADIUS_M / 1000 * np.arcsin(np.clip(chord / 2, 0, 1))
    found = contour_generator(raster.to_x(across), raster.to_y(up), km)
    return [(f"{level:g} km", np.asarray(line)) for level in KM for line in found.lines(level)]


def _on_sphere(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    lat, lon = np.radians(lat), np.radians(lon)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)
