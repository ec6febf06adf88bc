"""The shelf of trained priors: which there are, and what the card of each says.

A prior is one safetensors file. Its metadata is the *training card*: the run that taught it, with the system
that it belongs to, what it learned from, file by file with hashes, what was held out, how long, on what, how
well; and what its use needs, as the network's sizes and the transform of rain. Those that come with the
project lie in assets/priors, a user's own in the folder ``priors`` of the user's data. A card is read without
the weights, and without torch.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from engine import home
from engine.values import Invalid

SHIPPED = Path(__file__).resolve().parents[1] / "assets" / "priors"


def shelf() -> dict[str, Path]:
    """Every prior there is; a user's own hides a shipped one of its name."""
    folders = (SHIPPED, home() / "priors")
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.safetensors"))}


def names(system: str) -> tuple[str, ...]:
    """Those of a system, a method's name. What cannot be read is none of it."""
    return tuple(name for name in shelf() if _system(name) == system)


def place(name: str) -> Path:
    if (path := shelf().get(name)) is None:
        raise Invalid(f"settings.prior: no {name!r}; there are {', '.join(shelf()) or 'none'}")
    return path


def card(name: str, needed: Sequence[str] = ()) -> Mapping[str, Any]:
    """What is known of a prior, among which what is needed of it."""
    path = place(name)
    found = _card(path, path.stat().st_mtime_ns)
    if lacking := [each for each in needed if each not in found]:
        raise Invalid(f"prior {name}: its card has no {lacking[0]}; keep it again with scripts/train.py")
    return found


def _system(name: str) -> str | None:
    try:
        return card(name).get("run", {}).get("system")
    except Invalid:
        return None


@functools.lru_cache(maxsize=32)
def _card(path: Path, changed: int) -> Mapping[str, Any]:
    try:
        with safe_open(path, "np") as file:
            return {name: json.loads(value) for name, value in (file.metadata() or {}).items()}
    except (SafetensorError, ValueError) as error:
        raise Invalid(f"prior {path.stem}: cannot be read ({error}); remove {path.name}") from None
