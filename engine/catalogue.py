"""The catalogue: a lab's own archives by name, and what a file of them does not say.

``sources.yaml`` in ``$RAINLOOM_HOME``, and after it in ``~/.config/rainloom`` (``XDG_CONFIG_HOME`` moves it),
holds an entry an archive::

    radar:
      path: /archive/radar/**/*.h5     # a file, a folder or a pattern; from this file's folder if relative
      title: National radar, five minutes
      unit: mm                         # what a reader can be told: unit, stamp, interval, variable, ...
      stamp: start
      independent: true                # of gauges
      licence: CC BY 4.0
      credentials: RADAR_TOKEN         # the name of an environment variable, never a secret itself

The name then stands wherever a source is named. Secrets are kept out: what looks like one is refused, and
never repeated in a message.
"""

from __future__ import annotations

import functools
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from engine import home
from engine.fields import Box
from engine.tasks import entries
from engine.values import Invalid, brief, number, plain_yaml

TOLD = ("unit", "stamp", "interval", "variable", "box", "start", "step", "missing", "level", "grid", "run")
TOLD += ("zr_a", "zr_b", "north", "west")  # of radar, and of pictures without a place
TOLD += ("places", "columns", "date_order", "zone", "decimal", "cumulative", "tip")  # of tables of gauges
NUMBERS = ("step", "zr_a", "zr_b", "north", "west", "tip")  # told as a number
LISTS = ("columns", "missing", "cumulative")  # and as YAML: columns='{rain: RR}' missing=-1
SECRET = re.compile("pass|token|key|secret|user", re.IGNORECASE)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")
LONGEST_WORD = 20  # of a variable's name; a key is one long word
MOST_BYTES = 2**18


@dataclass(frozen=True)
class Entry:
    """An entry: where an archive lies, what its reader is told, and what is known of it."""

    name: str
    path: str
    listed: Path  # in this catalogue
    reader: str | None = None
    title: str = ""
    licence: str = ""
    independent: bool | None = None
    credentials: str = ""
    told: Mapping[str, Any] = field(default_factory=dict)


def known() -> dict[str, Entry]:
    """Every entry by its name; the user's home goes before the configuration."""
    found: dict[str, Entry] = {}
    for path in catalogues():
        if path.is_file():
            for one in _read(path, path.stat().st_mtime_ns):
                found.setdefault(one.name, one)
    return found


def catalogues() -> tuple[Path, Path]:
    """Where entries may stand."""
    config = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return home() / "sources.yaml", Path(config).expanduser() / "rainloom" / "sources.yaml"


def entry(name: str) -> Entry | None:
    return known().get(name) if NAME.fullmatch(name) else None


@functools.lru_cache(maxsize=8)
def _read(path: Path, changed: int) -> tuple[Entry, ...]:
    if path.stat().st_size > MOST_BYTES:
        raise Invalid(f"{path}: is no catalogue; it has more than {MOST_BYTES} bytes")
    text = path.read_bytes()
    listed = plain_yaml(text, str(path)) or {}
    if not isinstance(listed, Mapping):
        raise Invalid(f"{path}: got {brief(listed)}; give entries such as radar: {{path: /archive/radar}}")
    names = Counter(each.value for each, _ in getattr(yaml.compose(text, yaml.SafeLoader), "value", ()))
    if twice := [str(name) for name, count in names.items() if count > 1]:
        raise Invalid(f"{path}: {brief(twice[0])[1:-1]} stands twice; give each entry a name of its own")
    return tuple(_checked(str(name), told, path) for name, told in listed.items())


def _checked(name: str, told: Any, path: Path) -> Entry:
    where = f"{path}: {brief(name)[1:-1]}"
    if not NAME.fullmatch(name):
        raise Invalid(f"{where}: is no name; give letters, digits, dot, dash and underscore")
    own = [each.name for each in fields(Entry) if each.name not in ("name", "listed", "told")]
    if isinstance(told, str):
        raise Invalid(f"{where}: got text alone; write it as {brief(name)[1:-1]}: {{path: ...}}")
    secrets = [str(key) for key in told if SECRET.search(str(key))] if isinstance(told, Mapping) else []
    if secrets:
        raise Invalid(f"{where}.{brief(secrets[0])[1:-1]}: secrets are not kept here; {_advice()}")
    given = entries(where, told, (*own, *TOLD))
    if not isinstance(given.get("path"), str) or not given["path"].strip():
        raise Invalid(f"{where}.path: got {brief(given.get('path'))}; give a file, a folder or a pattern")
    if "://" in given["path"]:  # not repeated: a password may stand in it
        raise Invalid(f"{where}.path: is an address; give a file, a folder or a pattern on this machine")
    if given.get("independent") not in (None, True, False):
        raise Invalid(f"{where}.independent: got {brief(given['independent'])}; give true or false")
    credentials = given.get("credentials") or ""
    if credentials and not _names_a_variable(credentials):
        raise Invalid(f"{where}.credentials: looks like a secret; {_advice()}")
    for key in ("reader", "title", "licence", "unit", "variable", "places"):
        if not isinstance(given.get(key, ""), str):
            raise Invalid(f"{where}.{key}: got {brief(given[key])}; give text")
    for key in {"path", "places"} & set(given):
        given[key] = str(path.parent / Path(given[key]).expanduser())
    settings = {key: given.pop(key) for key in TOLD if key in given}
    return Entry(name, listed=path, told={key: _plain(value) for key, value in settings.items()}, **given)


def _names_a_variable(text: Any) -> bool:
    """Whether it can be the name of an environment variable and not what that holds: names are words, keys
    are long runs of letters and digits."""
    if not isinstance(text, str) or not VARIABLE.fullmatch(text):
        return False
    words = text.split("_")
    mixed = any(re.search(r"[A-Z]\d+[A-Z]", each) for each in words)
    return max(map(len, words)) <= LONGEST_WORD and not (mixed and len(text) >= 16)


def _advice() -> str:
    return "put it into an environment variable, and its name here, as credentials: RADAR_TOKEN"


def _plain(value: Any) -> Any:
    """A time as it was written: YAML reads 2020-01-01 as a date."""
    return value if isinstance(value, str | int | float | list | dict) else str(value)


def as_told(pairs: Sequence[str]) -> dict[str, Any]:
    """What a reader is told, from texts such as unit=mm."""
    found: dict[str, Any] = {}
    for each in pairs:
        key, equals, value = each.partition("=")
        if not (key and equals and value):
            several = "; several files are one source as a pattern in quotes: 'radar/*.nc'"
            advice = several if os.path.exists(each) else "; tell it as unit=mm, stamp=start or interval=1h"
            raise Invalid(f"source: got {each!r}{advice}")
        found[key] = _as_told(key, value)
    return found


def _as_told(key: str, text: str) -> Any:
    if key == "box":
        return Box.of(text)
    if key in NUMBERS:
        return number(key, text)
    value = plain_yaml(text, f"source: {key}") if key in LISTS else text
    if key == "columns" and not isinstance(value, Mapping):
        raise Invalid(f"source: got columns {brief(text)}; give them as columns='{{rain: RR}}'")
    return value
