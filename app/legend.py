"""The legend of one quantity: its unit, the period of its mean or total, its classes; the rings of gauges."""

from __future__ import annotations

from html import escape

import pandas as pd

from app.events import When
from app.rimmed import RINGS, parts
from app.state import State
from app.theme import CHANCE, Scale, Words
from engine.sources.cases import Case


def legend(say: Words, scale: Scale, what: str, above: float, when: When | None, step: pd.Timedelta) -> str:
    """``what`` is the statistic that is shown, or what else the legend holds for."""
    unit, period = say.unit(when), say.span(when, step)
    if scale is CHANCE:
        unit, what = say("unit_chance", above=f"{above:g}", unit=unit), ""
    if scale.hours:
        unit, period = say("unit_total"), say("legend_graded", hours=scale.hours)
    what = f" · {what}" if what else ""
    edges = [f"{scale.label(edge)}" for edge in scale.edges]
    if scale.name == "difference":
        edges = [f"{edge:+.3g}".replace("-", "−") for edge in scale.edges]
    elif scale is not CHANCE:
        edges[-1] += "+"
    swatches = "".join(
        f'<li><s style="background:{colour}"></s>{label}</li>'
        for label, colour in zip(edges, scale.colours, strict=True)
    )
    if scale.name == "difference":
        swatches = f'<li><s style="background:{scale.lowest}"></s></li>{swatches}'
    warning = f"<em>{escape(say('unsafe', name=say(f'palette_{scale.school}')))}</em>" if scale.school else ""
    head = f"<b>{escape(unit)}</b> {escape(period)}{escape(what)}"
    return f"<section><div>{head}{warning}</div><ol>{swatches}</ol></section>"


def rings(say: Words, case: Case, state: State) -> str:
    """What holds for all legends: missing, and the marks of the gauges that there are."""
    there = set(parts(case, state)) if state.gauges else set()
    told = [
        f'<u><s style="border-color:{colour}"></s>{escape(say(key))}</u>'
        for key, colour in RINGS.items()
        if key in there
    ]
    if there and state.ignored:
        told.append(f'<u class="cross"><s></s>{escape(say("side_ignored"))}</u>')
    return f'<p><u class="grey"><s></s>{escape(say("missing"))}</u>{"".join(told)}</p>'
