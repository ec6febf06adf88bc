"""One table for every list of numbers or names: on a terminal, in a file, on the page, in a program."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Table:
    """Rows of named values. ``columns`` gives their order; a missing or NaN value shows as a dash."""

    columns: Sequence[str]
    rows: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> Table:
        """All columns that any row has, in order of appearance."""
        return cls(list(dict.fromkeys(name for row in rows for name in row)), rows)

    def where(self, **wanted: Any) -> Table:
        """The rows that have these values."""
        return Table(self.columns, [row for row in self.rows if wanted.items() <= dict(row).items()])

    def only(self, *columns: str) -> Table:
        """The same rows with these columns."""
        return Table(columns, self.rows)

    def text(self) -> str:
        """For a terminal: words left, numbers right, four figures."""
        cells = self.shown()
        widths = [
            max([cells_wide(name), *(cells_wide(line[i]) for line in cells)])
            for i, name in enumerate(self.columns)
        ]
        right = self.numeric()
        lines = [list(self.columns), ["-" * width for width in widths], *cells]
        return "\n".join("  ".join(map(padded, line, widths, right)).rstrip() for line in lines)

    def shown(self) -> list[list[str]]:
        """The cells as a reader sees them, row by row: for a terminal and for a table of the page."""
        return [[shown(row.get(name)) for name in self.columns] for row in self.rows]

    def numeric(self) -> list[bool]:
        """Which columns hold numbers, and stand on the right."""
        return [any(is_number(row.get(name)) for row in self.rows) for name in self.columns]

    def frame(self) -> pd.DataFrame:
        """For a program: full precision; what is missing in a column of numbers is NaN."""
        import pandas as pd

        names = list(self.columns)
        frame = pd.DataFrame([[row.get(name) for name in names] for row in self.rows], columns=names)
        for name, number in zip(names, self.numeric(), strict=True):
            if number:
                frame[name] = pd.to_numeric(frame[name])
        return frame

    def csv(self) -> str:
        """For a file: full precision, comma separated, empty where missing."""
        return self.frame().to_csv(index=False, lineterminator="\n")


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
