"""Build `assets/coastlines.npz`: the land and the borders of the world, for a map without a network.

    npm pack world-atlas@2 && tar xzf world-atlas-2.*.tgz
    python scripts/make_coastlines.py package/countries-50m.json assets/coastlines.npz

The source is Natural Earth at 1:50 million (public domain), as TopoJSON from the package `world-atlas`.
TopoJSON keeps every line between two places once, as an *arc*; a country is a list of arcs. So a border
is an arc that two countries use, and the land is what remains when those arcs are forgotten.

The file holds plain arrays, read with ``numpy.load(path)`` (no pickle):

``land``
    (points, 2) float32: longitude and latitude of closed rings, one after another. A place is land if it
    lies inside an odd number of rings (so inland seas, which are rings inside rings, are sea).
``land_starts``
    (rings + 1,) int32: ring ``i`` is ``land[land_starts[i]:land_starts[i + 1]]``; its last point is its
    first.
``borders``
    (points, 2) float32: longitude and latitude of the lines between two countries.
``borders_starts``
    (lines + 1,) int32: line ``i`` is ``borders[borders_starts[i]:borders_starts[i + 1]]``.

Coasts are the rings of ``land``, except where a ring follows the 180 degree meridian or the edge of the
map below 89 degrees south: there the source closed its polygons, and no water begins.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


def main(source: Path, target: Path) -> None:
    topology = json.loads(source.read_text())
    arcs = unpacked(topology)
    land = [joined(ring, arcs) for ring in rings(topology["objects"]["land"])]
    uses = Counter(
        arc if arc >= 0 else ~arc
        for country in topology["objects"]["countries"]["geometries"]
        for arc in {arc if arc >= 0 else ~arc for ring in rings(country) for arc in ring}
    )
    borders = [arcs[arc] for arc, times in sorted(uses.items()) if times > 1]
    target.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = flat("land", land) | flat("borders", borders)
    np.savez_compressed(target, **arrays)
    print(f"{target}: {len(land)} rings, {len(borders)} borders, {target.stat().st_size / 1e3:.0f} kB")


def unpacked(topology: dict[str, Any]) -> list[np.ndarray]:
    """Arcs in degrees: TopoJSON stores whole steps, each as the difference to the one before."""
    scale, origin = (np.array(topology["transform"][name]) for name in ("scale", "translate"))
    return [np.cumsum(np.array(arc), axis=0) * scale + origin for arc in topology["arcs"]]


def rings(thing: dict[str, Any]) -> Iterator[list[int]]:
    """Every ring of a geometry, as the numbers of its arcs; ``~n`` is arc ``n`` walked backwards."""
    if thing["type"] == "GeometryCollection":
        for each in thing["geometries"]:
            yield from rings(each)
    elif thing["type"] == "Polygon":
        yield from thing["arcs"]
    elif thing["type"] == "MultiPolygon":
        for polygon in thing["arcs"]:
            yield from polygon


def joined(ring: list[int], arcs: list[np.ndarray]) -> np.ndarray:
    """One line from arcs; the first point of each repeats the last of the one before."""
    parts = [arcs[arc] if arc >= 0 else arcs[~arc][::-1] for arc in ring]
    return np.concatenate([parts[0], *(part[1:] for part in parts[1:])])


def flat(name: str, lines: list[np.ndarray]) -> dict[str, np.ndarray]:
    starts = np.concatenate([[0], np.cumsum([len(line) for line in lines])])
    return {name: np.concatenate(lines).astype("float32"), f"{name}_starts": starts.astype("int32")}


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("give the TopoJSON of the countries and the file to write")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
