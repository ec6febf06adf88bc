"""Spellings: what columns of rain tables are called, and how their units are written.

Names are compared without case, accents and punctuation; a unit may follow in brackets or as a last word:
``Niederschlag [mm/h]``, ``precip_mm``, ``降水量(0.1mm)``.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from typing import Any

# The first name of a list wins where several columns could be meant.
NAMES: dict[str, tuple[str, ...]] = {
    "time": (
        "time", "datetime", "date time", "timestamp", "valid time", "valid", "observation time", "obs time",
        "time stamp", "zeit", "zeitstempel", "zeitpunkt", "mess datum", "messzeit", "datum uhrzeit",
        "horodate", "date heure", "temps", "fecha hora", "fecha y hora", "tiempo", "时间", "观测时间",
        "资料时间", "日期时间", "unix", "unixtime", "unix time", "epoch",
    ),
    "date": ("date", "day date", "datum", "tag", "fecha", "jour", "日期"),
    "clock": ("clock", "time", "time of day", "uhrzeit", "zeit", "heure", "hora", "时刻", "时间"),
    "year": ("year", "jahr", "annee", "ano", "年", "年份"),
    "month": ("month", "monat", "mois", "mes", "月", "月份"),
    "day": ("day", "tag", "jour", "dia", "日"),
    "hour": ("hour", "stunde", "heure", "hora", "时", "小时"),
    "minute": ("minute", "minuto", "分", "分钟"),
    "gauge": (
        "gauge", "gauge id", "id", "station id", "stations id", "station", "code", "site id", "site",
        "stid", "station code", "station number", "wmo id", "stationsnummer", "stations nr", "id station",
        "station nummer", "messstelle", "numero station", "num poste", "estacion", "codigo", "indicativo",
        "站号", "区站号", "站点", "站点编号", "测站", "测站编码", "台站号", "站名", "name",
    ),
    "lat": ("lat", "latitude", "breite", "geographische breite", "geobreite", "geogr breite", "breitengrad",
            "latitud", "纬度", "y lat"),
    "lon": ("lon", "longitude", "long", "lng", "lange", "geographische lange", "geolange", "geogr lange",
            "geolaenge", "geogr laenge", "laenge", "langengrad", "longitud", "经度", "x lon"),
    "rain": (
        "rainfall amount", "rain", "rainfall", "precipitation", "precip", "pr", "prcp", "ppt", "rain rate",
        "precipitation amount", "total precipitation", "niederschlag", "niederschlagshohe", "regen",
        "regenmenge", "r1", "pluie", "precipitations", "precipitacion", "lluvia", "prec", "rr", "rr1",
        "降水", "降水量", "雨量", "降雨", "降雨量", "小时降水量", "1小时降水量", "日降水量",
        "accumulated rain", "cumulative rain", "rain counter", "累计降水量", "累计雨量",
    ),
    "elevation": (
        "elevation", "elev", "altitude", "alt", "height", "hohe", "stationshohe", "hoehe",
        "stationshoehe", "altura", "altitud",
        "海拔", "海拔高度", "高度",
    ),
}  # fmt: skip
ROLES = tuple(NAMES)
COUNTERS = ("accumulated rain", "cumulative rain", "rain counter", "累计降水量", "累计雨量")
# What may follow a name as its last words without changing what it is.
TAILS = {
    "elevation": {"m", "meter", "metres", "meters", "msl", "m asl", "asl", "米"},
    "lat": {"deg", "degree", "degrees", "dd", "wgs84", "n", "度"},
    "lon": {"deg", "degree", "degrees", "dd", "wgs84", "e", "度"},
    "time": {"utc", "gmt", "z", "ut", "local", "lst", "lt", "cst", "cet", "cest", "mez", "mesz", "est", "edt",
             "pst", "pdt", "mst", "mdt", "cdt", "bjt", "jst", "ist", "北京时", "beijing", "世界时"},
}  # fmt: skip
TAILS["clock"] = TAILS["hour"] = TAILS["date"] = TAILS["time"]
BRACKETS = re.compile(r"[(\[（【]\s*([^)\]）】]*?)\s*[)\]）】]")

UNITS = ("mm", "in", "inch", "inches", "cm", "mm h", "mm hr", "mm d", "mm day", "in h", "in hr", "mm h 1")
# As people write what `engine.intervals` knows by another spelling.
REWRITTEN = (
    (r"毫米", "mm"), (r"小时", "h"), (r"\b(std|stunde|heure|hora)\b", "h"),
    (r"\b(tag|jour|dia)\b|天|日", "day"),
    (r"l ?/ ?m[²2]", "mm"), (r"\bpro\b", "per"), (r'"', "in"), (r"^(mm|in) (h|hr|d|day)( 1)?$", r"\1/\2"),
    (r"^(tenths?|zehntel|dixiemes?|decimas?)( of| de)? ?(an? )?", "0.1 "),
    (r"^(hundredths?|hundertstel)( of| de)? ?(an? )?", "0.01 "),
    (r"^(\d+),(\d+)", r"\1.\2"), (r"^([\d.]+) ?[*x×] ?", r"\1 "),
)  # fmt: skip
SHARE = re.compile(r"1 ?/ ?(\d+) ?(.+)")
SPAN = re.compile(r"(.+?) ?(?:/|per) ?(\d+) ?(.+)")


def plain(name: str) -> str:
    """A name without case, accents and punctuation."""
    bare = unicodedata.normalize("NFKD", name.strip("\ufeff \"'"))
    bare = "".join(each for each in bare if not unicodedata.combining(each)).casefold()
    return re.sub(r"[\s_\-.:/]+", " ", bare.replace("ß", "ss")).strip()


@functools.lru_cache(maxsize=4096)
def split_name(name: str, role: str | None = None) -> tuple[str, str] | None:
    """The known name that a column has (in this role) and what its name says beside it, or none."""
    if role is None:
        return next((found for each in ROLES if (found := split_name(name, each))), None)
    said = BRACKETS.search(name)
    base = plain(BRACKETS.sub(" ", name))
    if base in NAMES[role]:
        return base, said[1].strip() if said else ""
    words = base.split(" ")
    for kept in range(len(words) - 1, 0, -1):
        head, tail = " ".join(words[:kept]), " ".join(words[kept:])
        if head in NAMES[role] and _may_follow(role, tail):
            return head, tail
    return None


def is_counter(column: str) -> bool:
    """Whether a column's name says that it is a counter of rain."""
    split = split_name(column, "rain")
    return split is not None and split[0] in COUNTERS


def _may_follow(role: str, tail: str) -> bool:
    return tail in (UNITS if role == "rain" else TAILS.get(role, ()))


def measure(written: Any) -> tuple[str, float]:
    """A unit as `engine.intervals` knows it, and a factor: 0.1 mm, 1/100 inch, mm/10min, 毫米."""
    text, factor = re.sub(r"\s+", " ", str(written).strip().casefold()), 1.0
    for pattern, known in REWRITTEN:
        text = re.sub(pattern, known, text)
    if share := SHARE.fullmatch(text):
        text, factor = share[2], 1 / int(share[1])
    if span := SPAN.fullmatch(text):
        text, factor = f"{span[1]}/{span[3]}", factor / max(int(span[2]), 1)
    return text, factor
