"""The scoreboard of the Verify screen: two tables where gauges are enough, else why there are none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import panel as pn

from app.judging import FEWEST_GAUGES, Judgement
from app.sheets import graded, overall
from app.theme import Words, sheet


class Scoreboard:
    """Scores over all rain, and by grade of rain."""

    def __init__(self, say: Words) -> None:
        self.say = say
        wide: Any = {"margin": (4, 6), "sizing_mode": "stretch_width"}
        self.scores = pn.pane.HTML(stylesheets=[sheet("scores")], **wide)
        self.grades = pn.pane.HTML(stylesheets=[sheet("scores")], **wide)
        self.panels = (self.scores, self.grades)

    def show(self, found: Judgement, label: Callable[[str], str], chips: Mapping[str, str]) -> None:
        say, title = self.say, escape(self.say("scores"))
        self.grades.visible = found.enough
        if not found.enough:
            few = say("too_few", n=found.gauges, least=FEWEST_GAUGES)
            self.scores.object = f"<h3>{title}</h3><p>{escape(few)}</p>"
            return
        told = escape(say("scores_at", n=found.gauges, hours=found.hours, reports=found.reports))
        table = overall(found.scores, say, label, chips)
        self.scores.object = f"<h3>{title}</h3><p>{told}</p>{table}"
        about, title = escape(say("scores_graded_about")), escape(say("scores_graded"))
        table = graded(found.scores, found.thresholds, say, label)
        self.grades.object = f"<h3>{title}</h3><p>{about}</p>{table}"


def key(say: Words, label: Callable[[str], str], names: Sequence[str], colours: Mapping[str, str]) -> str:
    """The colours of all figures, said once."""
    parts = [
        f'<u><s style="background:{colours[name]}"></s>{escape(label(name))}</u>'
        for name in names
        if name in colours
    ]
    return f"<h3>{escape(say('figures'))}</h3><p>{''.join(parts)}</p>"
