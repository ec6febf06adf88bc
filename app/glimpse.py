"""Small pictures of runs: what a run makes, at a glance, in the list of runs and beside its facts.

The picture is the mean rain over the period: of the first members where there are some, else of the early
picture that a run under way gives. It is a PNG in the page itself, of the colour classes of the map, drawn by
a thread of its own and again only when there is more to see.
"""

from __future__ import annotations

import base64
import io
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from app import raster, store
from app.pictures import Shelf
from app.theme import COAST, LAND, RAIN
from engine.journal import Run

FEW = 4  # members that are read
_worker = ThreadPoolExecutor(1, "glimpses")
_shelf = Shelf(_worker, 400)


def glimpse(run: Run, size: int) -> tuple[str | None, Future[str] | None]:
    """The picture of at most this many pixels a side if it is known, else a future to wait for.
    Both None: there is nothing to see yet, and a known text may be empty."""
    if not run.done and not run.under_way:
        return None, None
    seen = (min(run.done, FEW),) if run.done else (0, int(run.progress * 20), run.stage)
    key = (store.journal().root, run.id, size, *seen)
    return _shelf.ask(key, lambda: _drawn(run, size))


def _drawn(run: Run, size: int) -> str:
    values = _rain(run)
    return "" if values is None else png(values, run, size)


def _rain(run: Run) -> np.ndarray | None:
    if run.done:
        return store.journal().ensemble(run.id).isel(member=slice(0, FEW)).mean(("member", "time")).values
    early = store.journal().preview(run.id)
    return None if early is None else early.mean("time").values


def png(values: np.ndarray, run: Run, size: int) -> str:
    """Rain as colour classes over light land, with the coast, as the address of an inline picture."""
    from PIL import Image, ImageDraw

    grid = run.task.grid
    rows = raster.Rows.of(grid.lat, grid.lon)
    classes = raster.classes(rows(values), RAIN.edges)[::-1]
    picture = Image.fromarray(classes, "P")
    colours = [LAND, *RAIN.colours, "#9aa0a6", COAST]
    picture.putpalette(b"".join(bytes.fromhex(each[1:]) for each in colours))
    scale = size / max(picture.size)
    shape = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    picture = picture.resize(shape, Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(picture)
    for coast in raster.shores(run.task.domain).coasts:
        across = (coast[:, 0] - rows.left) / rows.width * shape[0]
        down = (1 - (coast[:, 1] - rows.bottom) / rows.height) * shape[1]
        pen.line(list(zip(across.tolist(), down.tolist(), strict=True)), fill=len(colours) - 1)
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
