"""Values as people write them, checked: numbers, times, lengths of time, YAML.

Whatever does not do is refused with `Invalid`: one line that names the entry, the value and what would do.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import yaml

DEEPEST = 50  # levels of a YAML


class Invalid(ValueError):
    """Bad input, told in one line: what, where, and what would do."""


def number(name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> float:
    """A finite number within bounds, or one line that says what would do."""
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        raise Invalid(f"{name}: got {brief(value)}; give a number") from None
    if not (math.isfinite(result) and low <= result <= high) or isinstance(value, bool):
        bounds = f" from {low:g} to {high:g}" if math.isfinite(low + high) else f" of at least {low:g}"
        raise Invalid(f"{name}: got {brief(value)}; give a number{bounds if math.isfinite(low) else ''}")
    return result + 0.0  # -0 becomes 0


def brief(value: Any) -> str:
    """A value as it was given, short enough for a line."""
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**60 else "a number of many digits"
    return text if len(text) <= 60 else text[:57] + "..."


def whole(name: str, value: Any, low: int, high: int) -> int:
    """A whole number within bounds."""
    result = value if isinstance(value, int) and not isinstance(value, bool) else number(name, value)
    if result != int(result) or not low <= result <= high:
        raise Invalid(f"{name}: got {brief(value)}; give a whole number from {low} to {high}")
    return int(result)


def instant(name: str, value: Any) -> pd.Timestamp:
    """A time in UTC without a zone; a value with a zone is converted."""
    try:  # a bare number would be taken for nanoseconds
        time = pd.NaT if isinstance(value, int | float) else pd.Timestamp(value)
    except (TypeError, ValueError):
        time = pd.NaT
    if not isinstance(time, pd.Timestamp):
        raise Invalid(f"{name}: got {brief(value)}; give a time such as 2020-07-01T12:00 (UTC)")
    return time.tz_convert(None) if time.tzinfo else time


def spelled(interval: pd.Timedelta) -> str:
    """A length of time as attributes hold it: 1h, 30min, 90s."""
    seconds = round(interval.total_seconds())
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def plain_yaml(text: str | bytes, where: str) -> Any:
    """YAML that a person wrote. Without aliases: by them a few lines can stand for more than memory holds."""
    try:
        deep = 0
        for event in yaml.parse(text, yaml.SafeLoader):
            deep += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent) or deep > DEEPEST:
                why = "is nested too deeply" if deep > DEEPEST else "has an alias (*); write it out"
                raise Invalid(f"{where}: line {event.start_mark.line + 1}: {why}")
        return yaml.safe_load(text)
    except Invalid:
        raise
    except (yaml.YAMLError, ValueError, KeyError, AttributeError) as error:  # PyYAML lets some of its own out
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        why = str(getattr(error, "problem", None) or error).splitlines()[0]
        raise Invalid(f"{where}: not YAML: {line}{why}") from None
