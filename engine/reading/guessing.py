"""Guessing: what a text table means by its letters, lines, names and numbers.

A table that someone sends says little of itself, and says it in the manner of its country. What can be told
from the *whole* table is told: the letters from its bytes, the delimiter from lines that fall into equally
many columns below a line of known names, the decimal mark from all its numbers. What could mean two things
is refused, with the word that would decide it. Numbers are read in `engine.reading.numerals`, times in
`engine.reading.clocks`; names and units are listed in `engine.reading.spellings`.
"""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from engine.reading.guard import fits
from engine.reading.rtables import is_r, r_table
from engine.reading.spellings import NAMES, ROLES, split_name
from engine.reading.unpacking import beginning, unpacked
from engine.values import Invalid, brief

DELIMITERS = (",", ";", "\t", "|", " ")
REMARK = re.compile(r"\s*(#|%|!|//)")
FIGURES = re.compile(r"[-+\d.,:/\sTZeE]*")  # numbers and times, which are no names
HEAD = 2**16  # bytes that are enough to see what a table is
MOST_TEXT = 2**28  # bytes; their cells take some fifteen times as much
SAMPLE = 200  # lines that decide the layout
DEEPEST = 60  # lines of preamble at most


def letters(content: bytes, where: str) -> tuple[str, str]:
    """The text and the name of its encoding; bytes that are no text are refused."""
    for mark, name in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if content.startswith(mark):
            return _decoded(content, name, where), name
    if b"\0" in content:
        raise Invalid(f"{where}: is no text, or UTF-16 without its mark; save it as UTF-8")
    try:
        return _decoded(content, "utf-8", where), "utf-8"
    except Invalid:
        pass
    try:  # an old Chinese file decodes as GB 18030, and so do most others: known names must appear
        chinese = content.decode("gb18030")
        if any(not name.isascii() and name in chinese[:4000] for names in NAMES.values() for name in names):
            return chinese, "gb18030"
    except UnicodeDecodeError:
        pass
    return _decoded(content, "cp1252", where), "latin1"


def _decoded(content: bytes, name: str, where: str) -> str:
    try:
        text = content.decode(name)
    except UnicodeDecodeError:
        text = "\0"
    if any(ord(each) < 32 and each not in "\t\n\r\f\x1a" for each in set(text)):
        raise Invalid(f"{where}: is no text in UTF-8, UTF-16, GB 18030 or Latin 1; save it as UTF-8")
    return text


def first_lines(path: Path) -> bytes:
    """The first lines of a file, unpacked."""
    content = beginning(path, HEAD)
    return content[: content.rfind(b"\n") + 1] if len(content) == HEAD else content


def table(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """The cells of a table of any kind that is read here, as they are written, and what was noted."""
    content, where = unpacked(path, MOST_TEXT), str(path)
    if is_r(content):
        found = r_table(content, where)
        return found.astype(object).where(found.notna(), "").astype(str), []
    text, name = letters(content, where)
    plan = layout(text)
    if plan is None:
        raise Invalid(
            f"{where}: has no line of column names that are known here, as time, gauge, lat, lon, rain"
        )
    fits((text.count("\n") + 1, len(plan.names)), where)
    written, notes = cells(text, plan, where)
    if not len(written):
        raise Invalid(f"{where}: has no rows below its column names")
    return written, ([f"its letters were read as {name}"] if name in ("latin1", "gb18030") else []) + notes


@dataclass(frozen=True)
class Layout:
    """How a text falls into columns: the delimiter, the line of names, the lines that are no rows."""

    delimiter: str
    names: tuple[str, ...]
    header: int  # its line, counted from 0


def layout(text: str) -> Layout | None:
    """The delimiter and the line of names under which most lines have as many fields; or none."""
    lines = text.splitlines()[:SAMPLE]
    written = [bool(line.strip()) and not REMARK.match(line) for line in lines]
    best, found = (0, 0, 0), None
    for delimiter in DELIMITERS:
        rows = [fields(line, delimiter) for line in lines]
        for at, names in enumerate(rows[:DEEPEST]):
            names = names[:-1] if names and not names[-1] else names  # lines may end in a delimiter
            wide = len(names)
            below = [row for row, real in zip(rows[at + 1 :], written[at + 1 :], strict=True) if real]
            fitting = sum(len(row) == wide or (len(row) == wide + 1 and not row[-1]) for row in below)
            if wide < 2 or not all(names) or not below or fitting <= 0.5 * len(below):
                continue
            known = sum(split_name(name) is not None for name in names if not FIGURES.fullmatch(name))
            if known and (known, fitting, wide) > best:
                best, found = (known, fitting, wide), Layout(delimiter, tuple(names), at)
    return found


def fields(line: str, delimiter: str) -> list[str]:
    """A line in its fields, without the mark of a remark."""
    line = REMARK.sub("", line, count=1) if REMARK.match(line) else line
    line = line.strip(" \r\n") if delimiter != "\t" else line.strip("\r\n")
    try:
        row = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        return []
    return [each.strip().strip("\ufeff") for each in row]


def cells(text: str, plan: Layout, where: str) -> tuple[pd.DataFrame, list[str]]:
    """The rows below the names, every cell as it is written."""
    if twice := [name for name, count in Counter(plan.names).items() if count > 1]:
        raise Invalid(f"{where}: two columns are named {brief(twice[0])}; name each once")
    lines = text.splitlines(keepends=True)[plan.header + 1 :]
    kept = [line for line in lines if not REMARK.match(line)]
    separator = r"\s+" if plan.delimiter == " " else plan.delimiter
    names = [*plan.names, "\0behind"]  # rows may end in a delimiter
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # of cells that would be lost
            found = pd.read_csv(
                io.StringIO("".join(kept)), sep=separator, names=names, header=None, dtype=str,
                index_col=False, keep_default_na=False, skipinitialspace=True,
            )  # fmt: skip
    except (pd.errors.ParserError, pd.errors.EmptyDataError, pd.errors.ParserWarning) as error:
        said = str(error).splitlines()[0].removeprefix("Error tokenizing data. ")
        raise Invalid(f"{where}: its rows are not of {len(plan.names)} columns ({said})") from None
    behind = found.pop("\0behind").fillna("").str.strip()
    if (behind != "").any():
        at = int(np.flatnonzero(behind != "")[0]) + 1
        raise Invalid(
            f"{where}: row {at} has more than {len(plan.names)} columns; quote what holds delimiters"
        )
    notes = []
    if plan.header:
        notes.append(f"the table begins below {plan.header} lines of preamble or remarks")
    if remarks := len(lines) - len(kept):
        notes.append(f"{remarks} lines of remarks between its rows were skipped")
    short = int(found.isna().any(axis=1).sum())
    if short:
        notes.append(f"{short} rows are shorter than the line of names; what they lack is missing")
    return pd.DataFrame({name: found[name].fillna("").str.strip() for name in found}), notes


def roles(columns: Sequence[str], given: Mapping[str, str], where: str) -> dict[str, str]:
    """Which column is what: as given, else as its name says; several that could be rain are refused."""
    if strange := set(given) - set(ROLES):
        raise Invalid(f"columns.{sorted(strange)[0]}: unknown; known are {', '.join(ROLES)}")
    found: dict[str, str] = {}
    for role in ROLES:
        usual = NAMES[role]
        able = sorted((usual.index(split[0]), name) for name in columns if (split := split_name(name, role)))
        if given.get(role) in columns:
            found[role] = given[role]
        elif role == "rain" and len(able) > 1 and able[0][0] != 0:
            raise Invalid(
                f"{where}: which of {', '.join(name for _, name in able)} is rain? Name it under columns"
            )
        elif able:
            found[role] = able[0][1]
    return found


MOMENTS = (("date", "clock"), ("time",), ("date", "hour"), ("date",), ("year", "month", "day"))


def moment(named: Mapping[str, str], given: Mapping[str, str]) -> tuple[str, ...]:
    """The columns that tell the time together: one, a day and its clock, or its parts."""
    if "time" in given and "time" in named:
        return ("time",)
    for parts in MOMENTS:
        if len({named[part] for part in parts if part in named}) == len(parts):
            return parts + tuple(each for each in ("hour", "minute") if "year" in parts and each in named)
    return ()


def unit_said(column: str) -> str | None:
    """The unit in a column's name: rain (mm), precip_mm, 降水量(0.1mm); rainfall_amount is in mm."""
    split = split_name(column, "rain")
    if split and split[1]:
        return split[1]
    return "mm" if split and split[0] == "rainfall amount" else None
