"""Numerals: how a table writes its numbers, its missing values and its traces.

The decimal mark is decided by all numbers of a table. What is no number is counted, and the counts become
notes: words and codes for missing, and *traces*. A trace is rain too little to measure: it counts as half of
the least amount that the table knows, because zero would call it dry; ``<0.1`` says its own least amount.

Codes are missing where they cannot be rain: rows of nines below zero, and 9999 and its like where all rain
is less than a tenth of it. In between it is refused until the codes are told.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from engine.values import Invalid, brief

MISSING = {"", "na", "n/a", "nan", "null", "none", "nil", "missing", "m", "缺测", "缺", "k.a.", "-.-"}
RUINS = re.compile(r"[-/.*?_–—]+|-?nan|#n/?a!?|#value!")
TRACE = {"t", "tr", "tr.", "trace", "traces", "spur", "spuren", "traza", "inap", "ip", "微量", "trc"}
BELOW = re.compile(r"<\s*(\d*[.,]?\d+)")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")
NEGATIVE_CODES = (-99, -99.9, -999, -999.9, -999.99, -9999, -9999.9, -99999)
# The China Meteorological Administration writes 32766 or 999999 for missing, 32700 or 999990 for a trace.
POSITIVE_CODES = (999, 999.9, 999.99, 9999, 9999.9, 99999, 99999.9, 999999, 32766, 32767)
TRACE_CODES = (32700, 999990)


@dataclass
class Reading:
    """How the numbers of a table are written, and what was found that is no number."""

    where: str
    mark: str = "."
    missing: Sequence[float] | None = None  # codes as told; none are guessed then
    counts: Counter = field(default_factory=Counter)

    @property
    def notes(self) -> list[str]:
        return [f"{count} {what}" for what, count in self.counts.items()]

    def values(self, cells: np.ndarray, what: str) -> np.ndarray:
        """Plain numbers, as of places; what is missing is NaN."""
        return self._parsed(cells, what)[0]

    def amounts(self, cells: np.ndarray) -> np.ndarray:
        """Amounts of rain: codes become missing, traces half of the least amount."""
        found, trace = self._parsed(cells, "rain")
        codes = self._codes(found)
        for code in codes:
            at = found == code
            self.counts[f"values are {code:g}, which was taken for missing"] += int(at.sum())
            found[at] = np.nan
        for code in TRACE_CODES if self.missing is None else ():
            at = found == code
            if at.any() and self._far(found, code):
                trace[at] = np.nan
                found[at] = np.nan
        traces = ~(trace == 0)
        if traces.any():
            positive = found[found > 0]
            least = float(positive.min()) if positive.size else 0.0
            found[traces] = np.where(np.isnan(trace[traces]), least / 2, trace[traces])
            self.counts["values are traces, which count as half of the least amount"] += int(traces.sum())
        return found

    def _codes(self, found: np.ndarray) -> list[float]:
        if self.missing is not None:
            return np.atleast_1d(np.asarray(self.missing, float)).tolist()
        codes = [code for code in NEGATIVE_CODES if (found == code).any()]
        for code in POSITIVE_CODES:
            if not (found == code).any():
                continue
            if not self._far(found, code):
                raise Invalid(
                    f"{self.where}: holds {code:g}, which may be rain or mean missing; give missing, "
                    f"as [{code:g}], or [] if it is rain"
                )
            codes.append(code)
        return codes

    @staticmethod
    def _far(found: np.ndarray, code: float) -> bool:
        """Whether a code stands far above all that is no code."""
        others = found[np.isfinite(found) & ~np.isin(found, POSITIVE_CODES + TRACE_CODES)]
        return not others.size or others.max() <= code / 10

    def _parsed(self, cells: np.ndarray, what: str) -> tuple[np.ndarray, np.ndarray]:
        """Numbers, and beside them traces: 0 is none, NaN one of unknown size."""
        codes, written = pd.factorize(cells.ravel())
        numbers, traces = np.full(len(written), np.nan), np.zeros(len(written))
        blank = np.zeros(len(written), bool)
        for at, text in enumerate(written):
            word = text.lower()
            if word in MISSING or RUINS.fullmatch(word):
                blank[at] = word != ""
            elif word in TRACE:
                traces[at] = np.nan
            elif below := BELOW.fullmatch(word):
                traces[at] = float(below[1].replace(",", ".")) / 2
            else:
                numbers[at] = self._number(text, what)
        if words := int(np.isin(codes, np.flatnonzero(blank)).sum()):
            self.counts[f"cells of {what} hold a word or mark for missing"] += words
        return numbers[codes].reshape(cells.shape), traces[codes].reshape(cells.shape)

    def _number(self, text: str, what: str) -> float:
        other = "." if self.mark == "," else ","
        plain = text.replace("\u2212", "-").replace("\xa0", "").replace("'", other).replace(" ", other)
        grouped = re.fullmatch(rf"([+-]?\d{{1,3}})((?:\{other}\d{{3}})+)(\{self.mark}\d*)?", plain)
        plain = (plain.replace(other, "") if grouped else plain).replace(self.mark, ".")
        if not NUMBER.fullmatch(plain) or (other in text and not grouped):
            raise Invalid(
                f"{self.where}: got {what} {brief(text)}; give a number, or leave what is missing empty"
            )
        return float(plain)


def decimal_mark(cells: Iterable[str], where: str, told: str | None = None) -> str:
    """The decimal mark of a table, from all its numbers."""
    if told is not None:
        if told not in (".", ","):
            raise Invalid(f"{where}: got decimal {brief(told)}; give . or ,")
        return told
    sure: dict[str, str] = {}
    grouped = ""
    for text in cells:
        marks = [each for each in text if each in ".,"]
        if not marks or re.search(r"[^\d.,+\-eE' ]", text):
            continue
        if len(set(marks)) == 2:
            sure.setdefault(marks[-1], text)
        elif len(marks) > 1:
            sure.setdefault("." if marks[0] == "," else ",", text)
        elif not GROUPED.fullmatch(text):
            sure.setdefault(marks[0], text)
        elif marks[0] == ",":
            grouped = text
    if len(sure) > 1:
        raise Invalid(f"{where}: both {sure['.']} and {sure[',']} stand in it; write one decimal mark")
    if sure:
        return next(iter(sure))
    if grouped:
        raise Invalid(f"{where}: {grouped} could be two numbers; give decimal, as . or ,")
    return "."
