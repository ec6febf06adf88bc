"""GRIB messages: told apart and looked at before they are unpacked.

A GRIB file is a row of messages. Each holds a field at a time, or, in edition 2, several that share what
stands before them. A message says in a few hundred bytes what it holds: the quantity and its unit, the
forecast it belongs to, its interval, its grid. All that is read here first, with what it claims in cells,
and a message is unpacked only when it is wanted.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from engine.reading.codes import library, opened, reader_of
from engine.reading.guard import fits
from engine.values import Invalid

MOST_MESSAGES = 200_000
MISSING = 9.999e33
# Where pictures tell their sides: after which mark, as what, how far after it begins.
PICTURES = {
    "grid_png": (b"\x89PNG\r\n\x1a\n", ">II", 16),
    "grid_jpeg": (b"\xff\x4f\xff\x51", ">IIII", 8),
}
TITLES: dict[tuple, tuple[str, str]] = {}  # of quantities: ecCodes is slow to look them up
# Of edition 2: values at a time or over an interval, of a forecast or a member. Other templates hold
# probabilities, percentiles, spreads.
TEMPLATES = {0, 1, 8, 11, 60, 61}
# Of ECMWF: spreads, probabilities, percentiles, indices; and streams of monthly means.
NO_VALUES = {"es", "ses", "ep", "pb", "pd", "cd", "efi", "sot"}
MONTHLY = {"moda", "mnth", "msmm", "edmo", "edmm", "wamo", "mmsa"}


@dataclass(frozen=True)
class Message:
    """What one field of a file says of itself."""

    path: Path
    parts: tuple[tuple[int, int], ...]  # its bytes in the file: from, to
    product: tuple[int, int, int] | None  # discipline, category, number in edition 2
    name: str
    title: str
    unit: str
    level: str
    centre: str
    strange: str  # why it is no field of values at a time, if so
    reference: Any  # the start of its forecast; NaT where the message tells none
    start: Any  # of its interval, from the reference on
    end: Any
    kind: str  # instant, accum, avg, ...
    member: int
    along_grid: bool  # whether winds are along the rows of its map
    shape: tuple[int, int] | None  # rows, columns; none where rows are of several lengths
    count: int
    grid: str
    key: str  # equal for equal grids
    quantum: float  # the smallest difference that its packing keeps

    @property
    def begins(self) -> Any:
        return self.reference + self.start

    @property
    def ends(self) -> Any:
        return self.reference + self.end

    def content(self) -> bytes:
        with self.path.open("rb") as stream:
            found = []
            for start, stop in self.parts:
                stream.seek(start)
                found.append(stream.read(stop - start))
        return _joined(found)


def messages(path: Path) -> list[Message]:
    """Every field of a file, as its header says."""
    found: list[Message] = []
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for span in _spans(content, str(path)):
            for parts in _fields(content, span, str(path)):
                found.append(_header(path, parts, _joined([content[a:b] for a, b in parts])))
                if len(found) > MOST_MESSAGES:
                    raise Invalid(f"{path}: holds more than {MOST_MESSAGES} messages; split it by time")
    return found


def _joined(parts: list[bytes]) -> bytes:
    if len(parts) == 1:
        return parts[0]
    whole = bytearray(b"".join((*parts, b"7777")))
    whole[8:16] = len(whole).to_bytes(8)
    return bytes(whole)


def _spans(content: mmap.mmap, where: str) -> Iterator[tuple[int, int]]:
    """From and to of each message; what stands between, as headings of bulletins do, is passed over."""
    at, number = content.find(b"GRIB"), 1
    while at >= 0:
        stop = at + _length(content, at)
        if stop - at < 20 or content[stop - 4 : stop] != b"7777":
            raise Invalid(f"{where}: its message {number} is cut off or damaged; fetch it again")
        yield at, stop
        at, number = content.find(b"GRIB", stop), number + 1


def _length(content: mmap.mmap, at: int) -> int:
    def told(place: int, size: int = 3) -> int:
        return int.from_bytes(content[place : place + size])

    if told(at + 7, 1) == 2:
        return told(at + 8, 8)
    length = told(at + 4)
    if length & 0x800000:  # beyond 8 MB: units of 120 bytes, and the excess instead of section 4's length
        section, flags = at + 8 + told(at + 8), told(at + 15, 1)
        for flag in (0x80, 0x40):
            section += told(section) if flags & flag else 0
        if told(section) < 120:
            length = (length & 0x7FFFFF) * 120 - told(section) + 4
    return length


def _fields(content: mmap.mmap, span: tuple[int, int], where: str) -> Iterator[tuple[tuple[int, int], ...]]:
    """The bytes of each field of a message: sections 2 to 7 of edition 2 may repeat, others are shared."""
    start, stop = span
    if content[start + 7] != 2:
        yield (span,)
        return
    at, sections, several = start + 16, {0: (start, start + 16)}, []
    while at < stop - 4:
        size, number = int.from_bytes(content[at : at + 4]), content[at + 4]
        if size < 5 or at + size > stop - 4 or not 1 <= number <= 7:
            raise Invalid(f"{where}: a section of a message is damaged; fetch it again")
        if number != 6 or content[at + 5] != 254:  # 254: the bitmap given before holds on
            sections[number] = (at, at + size)
        if number == 7:
            several.append(tuple(sections[each] for each in sorted(sections)))
        at += size
    yield from [(span,)] if len(several) == 1 else several


def _header(path: Path, parts: tuple[tuple[int, int], ...], content: bytes) -> Message:
    with opened(content) as handle:
        told = reader_of(handle)
        if told("7777", "") != "7777":  # ecCodes goes on without what it cannot make out, and may crash
            raise Invalid(f"{path}: a message is damaged or of an unknown kind; fetch it again")
        two, name = told("edition", 1) == 2, told("shortName", "unknown")
        shape, grid = _shape(told, f"{path}: {name}")
        _picture(content, told, shape, f"{path}: {name}")
        product = (told("discipline", 0), told("parameterCategory", 0), told("parameterNumber", 0))
        centre, kind, surface = (
            told("centre", ""),
            told("stepType", "instant"),
            told("typeOfLevel", "unknown"),
        )
        table = [told(each, 0) for each in ("table2Version", "indicatorOfParameter", "localTablesVersion")]
        key = (two, name, *product, *table, centre, kind, surface)
        if key not in TITLES:
            TITLES[key] = told("name", ""), told("units", "")
        title, unit = TITLES[key]
        return Message(
            path=path,
            parts=parts,
            product=product if two else None,
            name=f"product {product}" if two and name == "unknown" else name,
            title=title,
            unit=unit.replace("**", ""),
            level=f"{told('level', 0)} {surface}",
            centre=centre,
            strange=_strange(told, two),
            reference=_reference(told),
            kind=kind,
            member=told("perturbationNumber", 0),
            along_grid=told("uvRelativeToGrid", 0) == 1,
            shape=shape,
            count=told("numberOfDataPoints", 0),
            grid=grid,
            key=told("md5GridSection", ""),
            quantum=2.0 ** _scale(told, "binary", -99) / 10.0 ** _scale(told, "decimal", 0),
            **_steps(handle, told),  # last: it changes the handle
        )


def _scale(told: Callable, kind: str, default: int) -> int:
    return max(-99, min(told(f"{kind}ScaleFactor", default), 99))


def _shape(told: Callable, where: str) -> tuple[tuple[int, int] | None, str]:
    """Rows and columns, once they are known to fit; and what its grid is called."""
    rows, columns, count = told("Nj", 0), told("Ni", 0), told("numberOfDataPoints", 0)
    kind, even = told("gridType", "unknown"), not told("PLPresent", 0)
    if even:
        fits((rows, columns), where)
    fits((max(count, 8 * told("N", 0) ** 2),), where)  # of a Gaussian grid: all places around the globe
    fits((told("numberOfValues", 0),), where)
    if even and rows * columns == count:
        return (rows, columns), f"{kind} {columns}x{rows}"
    return None, f"{kind} {told('gridName', str(count))}"


def _picture(content: bytes, told: Callable, shape: tuple[int, int] | None, where: str) -> None:
    """Refuse a picture (PNG, JPEG 2000) that is not of its message's values, before it is unpacked."""
    kind, count = told("packingType", ""), told("numberOfValues", 0)
    if kind not in PICTURES:
        return
    mark, places, offset = PICTURES[kind]
    at = content.find(mark)
    if at < 0 or at + 24 > len(content):
        raise Invalid(f"{where}: its picture is damaged; fetch it again")
    sides = struct.unpack(places, content[at + offset : at + offset + struct.calcsize(places)])
    wide, tall = (side - off for side, off in zip(sides[:2], sides[2:] or (0, 0), strict=True))
    turned = told("jPointsAreConsecutive", 0) == 1
    if wide * tall != count or ((tall, wide)[:: -1 if turned else 1] != shape and 1 not in (wide, tall)):
        rows = f"{shape[1]} x {shape[0]}" if shape else count
        raise Invalid(f"{where}: its picture is of {wide} x {tall} pixels, not {rows}; fetch it again")


def _steps(handle: Any, told: Callable) -> dict[str, Any]:
    """Start and end of its interval from the reference on; nothing where the steps make no sense."""
    eccodes = library()
    try:
        eccodes.codes_set(handle, "stepUnits", "s")
    except eccodes.CodesInternalError:
        return {"start": pd.NaT, "end": pd.NaT}
    return {each: pd.Timedelta(told(f"{each}Step", 0), "s") for each in ("start", "end")}


def _reference(told: Callable) -> Any:
    hour, minute, second = (told(key, 0) for key in ("hour", "minute", "second"))
    try:
        day = datetime.strptime(str(told("dataDate", 0)), "%Y%m%d")
        return pd.Timestamp(day.replace(hour=hour, minute=minute, second=second))
    except ValueError:
        return pd.NaT


def _strange(told: Callable, two: bool) -> str:
    kind, template = told("dataType", ""), told("productDefinitionTemplateNumber", 0)
    if kind in NO_VALUES:
        return f"spreads, probabilities or an index (type {kind})"
    if told("stream", "") in MONTHLY:
        return "monthly means, and months differ in length"
    mean = template in (2, 12) and told("derivedForecast", 255) in (0, 1)
    if two and not mean and template not in TEMPLATES:
        return f"no values at a time or over an interval (template {template})"
    return ""


def unpacked(message: Message) -> np.ndarray:
    """Its values one by one, as they were scanned; what is missing is NaN."""
    with _asked(message) as handle:
        eccodes = library()
        eccodes.codes_set(handle, "missingValue", MISSING)
        values = np.asarray(eccodes.codes_get_values(handle))
    if values.size != message.count:
        raise Invalid(f"{message.path}: {message.name} holds {values.size} values, not {message.count}")
    values[values == MISSING] = np.nan
    return values


def asked(message: Message, key: str, default: Any) -> Any:
    """What a message says under a key; a key of many values gives an array."""
    with _asked(message) as handle:
        if isinstance(default, np.ndarray):
            return np.asarray(library().codes_get_array(handle, key))
        return reader_of(handle)(key, default)


@contextmanager
def _asked(message: Message) -> Iterator[Any]:
    try:
        with opened(message.content()) as handle:
            yield handle
    except library().CodesInternalError as error:
        why = str(error).splitlines()[0]
        raise Invalid(f"{message.path}: its {message.name} cannot be unpacked ({why})") from None
