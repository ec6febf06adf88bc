"""From one map to many: a diagnostic of a single frame, said of every member and hour.

Frame after frame costs little, for one frame fits the processor's cache and its transforms do not wait
for memory; and whatever the ensemble's size, no more than one frame's intermediate results exist.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from engine.values import Invalid


def framewise(diagnostic: Callable[..., np.ndarray], *fields: np.ndarray, dims: int = 2) -> np.ndarray:
    """``diagnostic`` of the last ``dims`` dimensions; the leading ones are broadcast and come first."""
    leading = np.broadcast_shapes(*(field.shape[:-dims] for field in fields))
    frames = [np.broadcast_to(field, (*leading, *field.shape[-dims:])) for field in fields]
    found = np.array([diagnostic(*(each[index] for each in frames)) for index in np.ndindex(leading)])
    return found.reshape(*leading, *found.shape[1:])


def large_enough(name: str, shape: tuple[int, ...], least: int = 4) -> None:
    """Refuse a frame that is too small to have this diagnostic."""
    if min(shape) < least:
        sides = " x ".join(map(str, shape))
        raise Invalid(f"{name}: a field of {sides} is too small; give at least {least} along each side")
