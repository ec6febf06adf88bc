"""Clocks: from written times to UTC.

Which number is the month is decided by the whole column: one 23.08. settles that days come first. Where no
line settles it, it is refused. A clock without a zone is UTC; one that says ``local`` or ``CST`` (which is
China's and Chicago's) is refused until its zone is told. In a zone with summer time an hour of spring does
not exist, and one of autumn happens twice: the first is refused, the second is told apart by the order of
the reports, or refused. 24:00 is the beginning of the next day.
"""

from __future__ import annotations

import re
import zoneinfo
from typing import Any

import numpy as np
import pandas as pd

from engine.values import Invalid, brief

ORDERS = ("dmy", "mdy", "epoch")
DAYS = (
    r"(?P<y>\d{4})[-/.年](?P<m>\d{1,2})[-/.月](?P<d>\d{1,2})日?",
    r"(?P<a>\d{1,2})(?P<s>[-/.])(?P<b>\d{1,2})(?P=s)(?P<y>\d{4})",
    r"(?P<d>\d{1,2})[-\s.]*(?P<name>[A-Za-z]{3})[a-z]*\.?[-,\s]+(?P<y>\d{4})",
    r"(?P<name>[A-Za-z]{3})[a-z]*\.?\s+(?P<d>\d{1,2}),?\s+(?P<y>\d{4})",
)
CLOCK = (
    r"(?:[T\s,]*(?P<H>\d{1,2})(?:[:h时](?P<M>\d{1,2})?(?:[:分](?P<S>\d{1,2})(?:[.,]\d+)?)?)?[分秒]?"
    r"\s*(?P<half>[AaPp]\.?[Mm]\.?)?)?"
)
ZONE = r"\s*(?P<zone>Z|[+-]\d\d(?::?\d\d)?|[A-Z]{2,5})?"
PACKED = (
    r"(?P<y>\d{4})(?P<m>\d\d)(?P<d>\d\d)(?:[T\s_-]?(?P<H>\d\d)(?::?(?P<M>\d\d)(?::?(?P<S>\d\d))?)?)?" + ZONE
)
FORMS = [re.compile(form) for form in (*(day + CLOCK + ZONE for day in DAYS), PACKED)]
STRICT = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?)?")
NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MONTHS = {name: at + 1 for at, name in enumerate(NAMES)}
HOURS = {"utc": 0, "gmt": 0, "z": 0, "ut": 0, "世界时": 0, "cet": 1, "mez": 1, "cest": 2, "mesz": 2, "jst": 9,
         "bjt": 8, "beijing": 8, "beijing time": 8, "北京时": 8, "北京时间": 8}  # fmt: skip
LOCAL = {"local", "local time", "lst", "lt", "cst", "est", "edt", "pst", "pdt", "mst", "mdt", "cdt", "ist",
         "地方时", "ortszeit", "hora local", "heure locale"}  # fmt: skip
DAYS_ONLY = "its times are days without a clock, read as 00:00 of that day"
HOW = "write times as 2021-08-23T09:50 (UTC)"


def instants(
    written: np.ndarray,
    where: str,
    *,
    order: str | None = None,
    zone: str | None = None,
    said: str = "",
    gauges: np.ndarray | None = None,
) -> tuple[pd.DatetimeIndex, list[str]]:
    """Times in UTC without a zone, and notes of what was assumed.

    ``order`` is dmy, mdy or epoch (seconds since 1970), ``zone`` as Asia/Shanghai or +08:00; ``said`` is what
    the column's name says of its zone, and ``gauges`` whose reports these are, row by row.
    """
    if order is not None and order not in ORDERS:
        raise Invalid(f"{where}: got date_order {brief(order)}; give {', '.join(ORDERS)}")
    codes, each = pd.factorize(np.asarray(written, dtype=object))
    texts = np.asarray(each, dtype=object)
    notes: list[str] = []
    if order == "epoch" or said.lower() in ("epoch", "unix"):
        return pd.DatetimeIndex(_epoch(texts, where)[codes]), ["its times are seconds since 1970"]
    if all(STRICT.fullmatch(text) for text in texts) and not any("24:" in text for text in texts):
        local, offsets = _strict(texts, where), np.full(len(texts), np.nan)
    else:
        local, offsets, notes = _parsed(texts, order, zone, where)
    if np.isfinite(offsets).any():
        if zone is not None or np.isnan(offsets).any():
            told = "leave zone away" if zone is not None else "write one with every time, or with none"
            raise Invalid(f"{where}: its times say their zone; {told}")
        shift = (offsets * 60).astype("timedelta64[s]")
        moved = f"its times were brought to UTC, from {_signed(set(offsets))}" if offsets.any() else ""
        return pd.DatetimeIndex((local - shift)[codes]).as_unit("ns"), [*notes, moved]
    found, told = _in_zone(local[codes], zone, said, gauges, where)
    if len(texts) and all(
        re.fullmatch(r"\D*\d{4}\D?\d\d?\D?\d\d?\D?|\d\d?\D\d\d?\D\d{4}", each) for each in texts
    ):
        told.append(DAYS_ONLY)
    return found, [*notes, *told]


def _strict(texts: np.ndarray, where: str) -> np.ndarray:
    try:
        return np.asarray(texts, "datetime64[s]")
    except ValueError:
        wrong = next(text for text in texts if pd.isna(pd.to_datetime(text, errors="coerce")))
        raise Invalid(f"{where}: got time {brief(wrong)}; {HOW}") from None


def _epoch(texts: np.ndarray, where: str) -> np.ndarray:
    try:
        seconds = np.asarray(texts, float)
    except ValueError:
        seconds = np.array([np.nan])
    if not (np.isfinite(seconds) & (np.abs(seconds) < 5e9)).all():
        raise Invalid(f"{where}: its times are no seconds since 1970; {HOW}")
    return np.round(seconds).astype("datetime64[s]").astype("datetime64[ns]")


def _parsed(
    texts: np.ndarray, order: str | None, zone: str | None, where: str
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Local times, their offsets from UTC in minutes (NaN where none is written), and notes."""
    found = []
    for text in texts:
        match = next((each for form in FORMS if (each := form.fullmatch(text.strip()))), None)
        if match is None:
            raise Invalid(f"{where}: got time {brief(text)}; {HOW}")
        found.append(match.groupdict())
    notes, first = [], "d"
    if two := [each for each in found if each.get("a")]:
        first, note = _order(two, order, where)
        notes.append(note)
    local = np.empty(len(found), "datetime64[s]")
    offsets, midnights = np.full(len(found), np.nan), 0
    for at, (part, text) in enumerate(zip(found, texts, strict=True)):
        if part.get("a"):
            part["d"], part["m"] = (part["a"], part["b"]) if first == "d" else (part["b"], part["a"])
        local[at], late = _instant(part, text, where)
        midnights += late
        if part["zone"] and not (zone and part["zone"].lower() in LOCAL):
            offsets[at] = _minutes(part["zone"], where)
    if midnights:
        notes.append(f"24:00 ({midnights} different days) is the beginning of the next day")
    return local, offsets, notes


def _order(found: list[dict[str, Any]], told: str | None, where: str) -> tuple[str, str]:
    """Whether the day or the month comes first, from all of them."""
    days_first = next((each for each in found if int(each["a"]) > 12), None)
    months_first = next((each for each in found if int(each["b"]) > 12), None)
    if days_first and months_first:
        raise Invalid(f"{where}: its dates are in two orders, day first and month first; {HOW}")
    one = found[0]
    shown = f"{one['a']}{one['s']}{one['b']}{one['s']}{one['y']}"
    if not days_first and not months_first:
        if told is None:
            raise Invalid(f"{where}: {shown} could be two days; give date_order, dmy or mdy, or {HOW}")
        return told[0], f"dates such as {shown} were read as {told}, as told"
    seen = "dmy" if days_first else "mdy"
    if told not in (None, seen):
        raise Invalid(f"{where}: dates such as {shown} are {seen}, not {told}; leave date_order away")
    return seen[0], f"dates such as {shown} were read as {seen}, the only order that fits all of them"


def _instant(part: dict[str, Any], text: str, where: str) -> tuple[np.datetime64, bool]:
    hour, minute, second = (int(part.get(each) or 0) for each in "HMS")
    if part.get("half"):
        if not 1 <= hour <= 12:
            raise Invalid(f"{where}: got time {brief(text)}; {HOW}")
        hour = hour % 12 + 12 * (part["half"][0] in "pP")
    month = MONTHS.get(part["name"].lower()) if part.get("name") else part["m"]
    late = (hour, minute, second) == (24, 0, 0)
    if (
        month is None
        or (hour > 23 and not late)
        or minute > 59
        or second > 59
        or not 1800 <= int(part["y"]) <= 2200
    ):
        raise Invalid(f"{where}: got time {brief(text)}; {HOW}")
    try:
        day = np.datetime64(f"{part['y']}-{int(month):02d}-{int(part['d']):02d}", "s")
    except ValueError:
        raise Invalid(f"{where}: got time {brief(text)}, a day that does not exist; {HOW}") from None
    return day + np.timedelta64(3600 * hour + 60 * minute + second, "s"), late


def _minutes(zone: str, where: str) -> float:
    if found := re.fullmatch(r"([+-])(\d\d):?(\d\d)?", zone):
        return float(f"{found[1]}1") * (60 * int(found[2]) + int(found[3] or 0))
    if zone.lower() not in HOURS:
        raise Invalid(f"{where}: its times are in {zone}, which is not one zone; write +08:00 instead")
    return 60.0 * HOURS[zone.lower()]


def _signed(minutes: set[float]) -> str:
    return ", ".join(
        f"{'-' if each < 0 else '+'}{abs(each) // 60:02.0f}:{abs(each) % 60:02.0f}"
        for each in sorted(minutes)
    )


def _in_zone(
    local: np.ndarray, zone: str | None, said: str, gauges: np.ndarray | None, where: str
) -> tuple[pd.DatetimeIndex, list[str]]:
    """Local times of a zone in UTC; each gauge tells the hour that happens twice apart by its order."""
    times = pd.DatetimeIndex(local.astype("datetime64[ns]"))
    named = _zone_named(zone, said.lower().strip(), where)
    if named is None:
        return times, ["its times do not say their zone and were taken for UTC"]
    told = [f"its times were brought to UTC, from {named}"]
    if fixed := re.fullmatch(r"(?:UTC|GMT)?([+-])(\d{1,2}):?(\d\d)?", named, re.IGNORECASE):
        minutes = int(fixed[1] + "1") * (60 * int(fixed[2]) + int(fixed[3] or 0))
        return times - pd.Timedelta(minutes=minutes), told if minutes else []
    try:
        law = zoneinfo.ZoneInfo(named)
    except (ValueError, zoneinfo.ZoneInfoNotFoundError, OSError):
        raise Invalid(f"{where}: got zone {brief(named)}; give one as Asia/Shanghai or +08:00") from None
    own = pd.Series(times).groupby(np.zeros(len(times), int) if gauges is None else gauges)
    found = np.empty(len(times), "datetime64[ns]")
    for rows in own.indices.values():
        try:
            series = times[rows].tz_localize(law, ambiguous="infer")
        except ValueError as error:
            which = re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d", str(error))
            what = "does not exist" if "nonexistent" in str(error) else "happened twice"
            raise Invalid(
                f"{where}: {which[0] if which else 'an hour of autumn'} {what} in {named}; if its clock "
                "keeps one time all year, give zone as +01:00"
            ) from None
        found[rows] = series.tz_convert(None).values
    return pd.DatetimeIndex(found), told


def _zone_named(zone: str | None, said: str, where: str) -> str | None:
    """The zone as told, else as the column's name says it, or none; a word of several zones is refused."""
    if zone is not None:
        if said in HOURS:
            raise Invalid(f"{where}: its times are in {said.upper()}, as their column says; leave zone away")
        return zone
    if not said or said in HOURS:
        return f"+{HOURS[said]:02d}:00" if said else None
    if re.fullmatch(r"(utc|gmt)?[+-]\d{1,2}(:?\d\d)?", said):
        return said
    raise Invalid(f"{where}: its times are {said}; give zone, as Asia/Shanghai or +08:00")
