"""One table for every list of numbers or names: on a terminal, and for a program that reads."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Table:
    """Rows of named values. ``columns`` gives their order; a missing or NaN value shows as a dash."""

    columns: Sequence[str]
    rows: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> Table:
        """All columns that any row has, in order of appearance."""
        return cls(list(dict.fromkeys(name for row in rows for name in row)), rows)

    def text(self) -> str:
        """For a terminal: words left, numbers right, four figures."""
        cells = [[shown(row.get(name)) for name in self.columns] for row in self.rows]
        widths = [
            max([cells_wide(name), *(cells_wide(line[i]) for line in cells)])
            for i, name in enumerate(self.columns)
        ]
        right = [any(is_number(row.get(name)) for row in self.rows) for name in self.columns]
        lines = [list(self.columns), ["-" * width for width in widths], *cells]
        return "\n".join("  ".join(map(padded, line, widths, right)).rstrip() for line in lines)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def shown(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def cells_wide(text: str) -> int:
    """How many cells of a terminal a text takes: Chinese takes two each."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def padded(text: str, width: int, right: bool) -> str:
    space = " " * (width - cells_wide(text))
    return space + text if right else text + space
