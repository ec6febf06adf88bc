"""Whole cells: a domain is made of them, whatever bounds a hand has drawn or typed."""

from __future__ import annotations

import math
from collections.abc import Sequence

from engine.fields import Box, Grid
from engine.values import Invalid


def snapped(bounds: Sequence[float], box: Box, step: float, *, inwards: bool = False) -> Box | None:
    """The whole cells of a box that bounds ask for: the nearest ones, or only those wholly inside. None if
    there are fewer than two either way."""
    west, south, east, north = bounds
    near = 1e-6 if inwards else 0.5
    edges = []
    for low, high, first, last in ((west, east, box.west, box.east), (south, north, box.south, box.north)):
        least = math.ceil(first / step - 1e-6)
        most = math.floor(last / step + 1e-6)
        low, high = max(math.ceil(low / step - near), least), min(math.floor(high / step + near), most)
        if high - low < 2:
            return None
        edges.append((low, high))
    (left, right), (below, above) = edges
    return Box(*(round(each * step, 6) for each in (left, below, right, above)))


def are_whole(bounds: Sequence[float], box: Box, step: float) -> bool:
    """Whether bounds are whole cells by themselves, wherever these begin, and lie in a box."""
    try:
        inside = Grid(Box(*bounds), step).box
    except Invalid:
        return False
    return bool(box.contains(inside.south, inside.west) and box.contains(inside.north, inside.east))
