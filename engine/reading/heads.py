"""What many files hold, remembered: the times and the grid of each, without its values.

To join an archive of a year of hours, each file must be opened once, which takes minutes. Its *head* is then
kept in the cache, with the file's size and date: as long as these stay, and the engine and what the reader is
told, the archive opens at once. What cannot be remembered exactly is read again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from engine import fingerprint, home

Later = Callable[[Path, np.ndarray, tuple[int, ...], np.dtype], Any]


def stamp(path: Path) -> tuple[int, int]:
    """By what a file is known to be the same."""
    about = path.stat()
    return about.st_size, about.st_mtime_ns


class Heads:
    """The heads of the files of one place, read in one way."""

    def __init__(self, place: Path, told: str) -> None:
        name = hashlib.sha256(json.dumps([str(place), told, fingerprint()]).encode()).hexdigest()[:32]
        self.file = home() / "cache" / "heads" / f"{name}.json"
        try:
            found = json.loads(self.file.read_bytes())
            self.kinds, self.rows = list(found["kinds"]), dict(found["rows"])
        except (OSError, ValueError, KeyError, TypeError):
            self.kinds, self.rows = [], {}

    def field(self, path: Path, later: Later) -> xr.DataArray | None:
        """The field of a file as far as it is remembered; its values come ``later``."""
        row = self.rows.get(str(path))
        if row is None or row[0] != list(stamp(path)):
            return None
        kind, times = json.loads(self.kinds[row[1]]), np.array(row[2], "M8[ns]")
        axes = {name: np.array(values, form) for name, (values, form) in kind["axes"].items()} | {
            "time": times
        }
        shape = tuple(len(axes[name]) for name in kind["dims"])
        values = later(path, times, shape, np.dtype(kind["type"]))
        return xr.DataArray(values, axes, kind["dims"], kind["name"], kind["attrs"])

    def keep(self, parts: Sequence[tuple[Path, xr.DataArray]]) -> None:
        """Remember these, if each can be written exactly."""
        kinds: dict[str, int] = {}
        rows: dict[str, Any] = {}
        for path, one in parts:
            if set(one.coords) != set(one.dims):
                return
            axes = {str(name): (one[name].values.tolist(), one[name].dtype.str) for name in one.dims}
            del axes["time"]
            about = {"axes": axes, "dims": list(one.dims), "type": one.dtype.str, "name": one.name}
            try:
                kind = json.dumps(about | {"attrs": one.attrs})
            except TypeError:
                return
            times = one.time.values.astype("M8[ns]").astype(int).tolist()
            rows[str(path)] = stamp(path), kinds.setdefault(kind, len(kinds)), times
        if json.loads(json.dumps(rows)) == self.rows:
            return
        self.file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.file.with_suffix(".partial")
        unfinished.write_text(json.dumps({"kinds": list(kinds), "rows": rows}))
        unfinished.replace(self.file)
