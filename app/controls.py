"""A method's settings as controls: bounded, documented, drawn from the fields of its class.

A setting with choices is a list, a truth value a switch, a number with two ends a slider (logarithmic ranges
are left to a field), any other number a field that refuses what lies outside. The text of a control is the
text of the setting; nobody writes a control by hand, so a new method has its controls at once.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import panel_material_ui as pmui

from app.state import State
from app.theme import Words
from engine.methods import Method

FIELD = {"size": "small", "sizing_mode": "stretch_width", "variant": "outlined", "margin": (8, 16, 4, 16)}
UNITS = ("km", "h", "mm")
WIDE = 200.0  # a range over which a slider would be too coarse gets a field instead


def bind(state: State, widget: Any, choice: str, what: str = "value") -> Any:
    """A widget that writes one choice; an emptied field writes nothing."""

    def chosen(event: Any) -> None:
        if event.new is not None:
            state.param.update(**{choice: event.new})

    widget.param.watch(chosen, what)
    return widget


def control(setting: Mapping[str, Any], method: str, say: Words, value: Any = None) -> Any:
    """The widget of one setting; its value is the setting's value."""
    name, default = setting["name"], setting["default"]
    about = {
        "label": say.maybe(f"setting_{name}", plain(name)),
        "description": say.maybe(f"about_{method}_{name}", setting["doc"]),
        "value": default if value is None else value,
        "size": "small",
        "sizing_mode": "stretch_width",
        "margin": (6, 4),
    }
    if setting["choices"]:
        shown = {say.maybe(f"choice_{each}", str(each)): each for each in setting["choices"]}
        return pmui.Select(options=shown, variant="outlined", **about)
    if isinstance(default, bool):
        about.pop("size")
        return pmui.Switch(**about)
    return _number(about, default, setting["low"], setting["high"])


def plain(name: str) -> str:
    """A setting's name as a label: ``range_km`` is "Range (km)"."""
    *words, last = name.split("_")
    told = f"{' '.join(words)} ({last})" if words and last in UNITS else " ".join([*words, last])
    return told[0].upper() + told[1:]


def _number(about: dict[str, Any], default: float, low: float, high: float) -> Any:
    exact = isinstance(default, int)
    whole = int if exact else float
    bounds = {key: whole(each) for key, each in (("start", low), ("end", high)) if math.isfinite(each)}
    coarse = low > 0 and high / low > WIDE
    if len(bounds) == 2 and high - low <= WIDE and not coarse:
        step = 1 if exact else _round((high - low) / 50)
        return (pmui.IntSlider if exact else pmui.FloatSlider)(**bounds, step=step, **about)
    step = 1 if exact else _round(abs(default) / 10 or 0.1)
    field = pmui.IntInput if exact else pmui.FloatInput
    return field(**bounds, step=step, variant="outlined", **about)


def _round(step: float) -> float:
    """The nearest lower 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return power * max(each for each in (1, 2, 5) if each * power <= step * 1.0001)


def controls(
    settings: list[dict[str, Any]],
    method: str,
    say: Words,
    chosen: Mapping[str, Any],
    choose: Callable[[str, Any], None],
) -> list[Any]:
    """One widget a setting; ``choose(name, value)`` hears of every change, when the hand lets go."""
    drawn = []
    for setting in settings:
        widget = control(setting, method, say, chosen.get(setting["name"]))
        what = "value_throttled" if "value_throttled" in widget.param else "value"
        widget.param.watch(lambda event, name=setting["name"]: _hear(event.new, name, choose), what)
        drawn.append(widget)
    return drawn


def _hear(value: Any, name: str, choose: Callable[[str, Any], None]) -> None:
    if value is not None:  # an emptied field is not a value yet
        choose(name, value)


def page(cls: type[Method]) -> str:
    """A method's docstring as paragraphs: blank lines part them, two stars are bold."""
    shown, reference = [], cls.reference
    for paragraph in (inspect.getdoc(cls) or "").split("\n\n"):
        parts = escape(" ".join(paragraph.split())).split("**")
        bold = "".join(f"<b>{part}</b>" if i % 2 else part for i, part in enumerate(parts))
        shown.append(f"<p>{bold}</p>")
    return "".join(shown) + (f"<small>{escape(reference)}</small>" if reference else "")
