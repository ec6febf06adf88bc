"""A small picture of a file, as a drawing that needs no canvas: where it rains in the wettest of a few hours.

It is text made beside the server's loop, so that a dialog full of files costs the browser next to nothing.
"""

from __future__ import annotations

import base64
import io

import numpy as np

from app import raster
from app.theme import BORDER, COAST, LAND, RAIN, SEA
from engine.fields import Box
from engine.looks import Look

WIDE, HIGH = 340, 250  # pixels


def drawing(look: Look) -> str:
    """The picture in SVG, over land and sea; nothing without a picture or a place."""
    if not look.picture or look.reach is None:
        return ""
    west, south, east, north = look.reach.box
    box = Box(west, max(south, -84), east, min(north, 84))
    left, bottom, right, top = raster.extent(box)
    scale = min(WIDE / (right - left), HIGH / (top - bottom))
    wide, high = (right - left) * scale, (top - bottom) * scale

    def path(line: np.ndarray, end: str = "") -> str:
        points = np.round((line - (left, top)) * (scale, -scale), 1)
        apart = np.r_[True, (np.abs(np.diff(points, axis=0)) > 0).any(1)]
        return "M" + " ".join(f"{x:g},{y:g}" for x, y in points[apart]) + end

    shores = raster.shores(box)
    land = "".join(path(each, "Z") for each in shores.land)
    lines = "".join(path(each) for each in shores.coasts)
    borders = "".join(path(each) for each in shores.borders)
    return (
        f'<svg viewBox="0 0 {wide:.0f} {high:.0f}" width="{wide:.0f}" height="{high:.0f}" role="img">'
        f'<rect width="100%" height="100%" fill="{SEA}"/><path d="{land}" fill="{LAND}"/>'
        f"{_rain(look, left, top, scale)}"
        f'<path d="{lines}" fill="none" stroke="{COAST}"/>'
        f'<path d="{borders}" fill="none" stroke="{BORDER}" stroke-dasharray="3 2"/></svg>'
    )


def _rain(look: Look, left: float, top: float, scale: float) -> str:
    lat, lon = (np.array(look.picture[axis], float) for axis in ("lat", "lon"))
    values = np.array(look.picture["values"], float)
    if look.reach and look.reach.gauges:
        x, y = (raster.to_x(lon) - left) * scale, (top - raster.to_y(lat)) * scale
        levels = raster.classes(values[None], RAIN.edges)[0]
        dots = zip(x, y, levels, strict=True)
        return "".join(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{RAIN.palette[level]}" stroke="{COAST}"/>'
            for x, y, level in dots
        )
    if lat.size < 2 or lon.size < 2:
        return ""
    edges = RAIN.edges if look.reach and look.reach.quantity == "rain" else _even(values)
    rows = raster.Rows.of(lat, lon)
    x, y = (rows.left - left) * scale, (top - rows.bottom - rows.height) * scale
    return (
        f'<image x="{x:.1f}" y="{y:.1f}" width="{rows.width * scale:.1f}" height="{rows.height * scale:.1f}" '
        f'preserveAspectRatio="none" href="{_png(raster.classes(rows(values), edges))}"/>'
    )


def _even(values: np.ndarray) -> tuple[float, ...]:
    """Classes of a quantity that is no rain: its own ninths."""
    low, high = (float(each) for each in np.nanquantile(values, [0, 1]))
    return tuple(np.linspace(low, max(high, low + 1e-9), 11)[1:-1].tolist())


def _png(classes: np.ndarray) -> str:
    from PIL import Image

    colours = [tuple(bytes.fromhex(f"{each[1:]}ff"[:8])) for each in RAIN.palette]
    image = Image.fromarray(np.array(colours, np.uint8)[classes][::-1], "RGBA")
    kept = io.BytesIO()
    image.save(kept, "PNG")
    return "data:image/png;base64," + base64.b64encode(kept.getvalue()).decode()
