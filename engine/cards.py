"""The shelf of trained priors: which there are, and what the card of each says.

A prior is one safetensors file. Its metadata is the *training card*: what it learned from, file by file with
hashes, what was held out, how long, on what, how well; and what its use needs: the transform of rain, the
network's sizes, the labels of its sources, and the climate of each (`engine.climate`). Those that come with
the project lie in assets/priors, a user's own in the folder ``priors`` of the user's data. A card is read
without the weights, and without torch.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open

from engine import home
from engine.values import Invalid

SHIPPED = Path(__file__).resolve().parents[1] / "assets" / "priors"
NEEDED = ("run", "labels", "score", "climate")


def shelf() -> dict[str, Path]:
    """Every prior there is; a user's own hides a shipped one of its name."""
    folders = (SHIPPED, home() / "priors")
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.safetensors"))}


def names() -> tuple[str, ...]:
    return tuple(shelf())


def place(name: str) -> Path:
    if (path := shelf().get(name)) is None:
        raise Invalid(f"settings.prior: no {name!r}; there are {', '.join(names()) or 'none'}")
    return path


def card(name: str) -> Mapping[str, Any]:
    path = place(name)
    return _card(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=32)
def _card(path: Path, changed: int) -> Mapping[str, Any]:
    with safe_open(path, "np") as file:
        found = {name: json.loads(value) for name, value in (file.metadata() or {}).items()}
    if lacking := [name for name in NEEDED if name not in found]:
        raise Invalid(f"prior {path.stem}: its card has no {lacking[0]}; keep it again with scripts/train.py")
    return found
