"""How the next run is made: the method, how careful it is, its seed and its settings.

Draft, standard and publication are one click. They set how many members there are and, where a method goes
from noise to rain in steps, how many; what that means for a method is read off its own default.
"""

from __future__ import annotations

from typing import Any

import panel as pn
import panel_material_ui as pmui

from app.controls import FIELD, bind, controls, page
from app.state import State
from app.theme import Words, sheet
from engine.methods import methods, settings_of

CARE = {"draft": 8, "standard": 16, "publication": 50}  # members
DRAFT_STEPS, MORE_STEPS = 12, 1.5  # of a draft, and times the default of what is published
STEPS = "steps"  # the setting that counts them


def careful(method: str, care: str) -> tuple[int, int | None]:
    """Members, and the number of steps where the method has them."""
    cls = methods()[method]
    members = min(CARE[care], cls.most_members)
    for each in settings_of(cls):
        if each["name"] == STEPS:
            usual = each["default"]
            wanted = {"draft": min(DRAFT_STEPS, usual), "publication": round(MORE_STEPS * usual)}
            return members, int(min(max(wanted.get(care, usual), each["low"]), each["high"]))
    return members, None


class MethodChoice:
    def __init__(self, state: State, say: Words) -> None:
        self.state, self.say = state, say
        options = {say.method(name, cls): name for name, cls in methods().items()}
        self.method = pmui.Select(label=say("method"), options=options, value=state.method, **FIELD)
        # Buttons, not a group of which one is chosen: choices of one's own are none of these.
        about = {"size": "small", "sizing_mode": "stretch_width", "disable_elevation": True}
        self.cares = {
            name: pmui.Button(label=say(f"care_{name}"), margin=(6, 2, 2, 2), **about) for name in CARE
        }
        self.care = pn.Row(*self.cares.values(), sizing_mode="stretch_width", margin=(0, 14))
        self.members = pmui.IntInput(label=say("members"), value=state.members, start=1, end=1000, **FIELD)
        self.seed = pmui.IntInput(label=say("seed"), value=state.seed, start=0, end=2**31, **FIELD)
        self.members.margin, self.seed.margin = (8, 4, 4, 16), (8, 16, 4, 4)
        self.settings = pn.Column(margin=(0, 12), sizing_mode="stretch_width")
        self._about = pn.pane.HTML(stylesheets=[sheet("about")], margin=(4, 16), sizing_mode="stretch_width")
        self._drawn: Any = None
        for name, button in self.cares.items():
            button.on_click(lambda _, name=name: self._careful(name))
        self.panel = pn.Column(
            bind(state, self.method, "method"),
            self.care,
            pn.Row(
                bind(state, self.members, "members"),
                bind(state, self.seed, "seed"),
                sizing_mode="stretch_width",
                margin=0,
            ),
            self._more(),
            sizing_mode="stretch_width",
            margin=0,
        )
        self.follow()

    def _more(self) -> Any:
        return pmui.Accordion(
            (self.say("settings"), self.settings),
            (self.say("about_method"), self._about),
            margin=(4, 12, 12, 12),
            sizing_mode="stretch_width",
            disable_gutters=True,
            square=True,
            sx={
                "& .MuiAccordionSummary-root": {"minHeight": "36px"},
                "& .MuiAccordionSummary-content *": {"fontSize": "12.5px", "my": 0.5},
            },
        )

    def _careful(self, care: str) -> None:
        name, state = self.state.method, self.state
        members, steps = careful(name, care)
        own = {**state.settings.get(name, {}), **({STEPS: steps} if steps else {})}
        state.param.update(members=members, settings={**state.settings, name: own})

    @property
    def _care(self) -> str | None:
        """How careful the choices are; none if they are somebody's own."""
        name, state = self.state.method, self.state
        chosen = state.settings.get(name, {}).get(STEPS, careful(name, "standard")[1])
        for care in CARE:
            members, steps = careful(name, care)
            if min(state.members, methods()[name].most_members) == members and chosen == steps:
                return care
        return None

    def follow(self) -> None:
        """What was chosen elsewhere."""
        name, state = self.state.method, self.state
        if name not in methods():
            return
        for choice in ("method", "members", "seed"):
            widget = getattr(self, choice)
            if widget.value != (value := getattr(state, choice)):
                widget.value = value
        for care, button in self.cares.items():
            button.variant = "contained" if care == self._care else "outlined"
        self.care.visible = methods()[name].most_members > 1
        self.members.disabled = methods()[name].most_members == 1
        mine = state.settings.get(name, {})
        if self._drawn != (name, mine):
            self._drawn = (name, mine)
            self._draw(name, mine)

    def _draw(self, name: str, mine: Any) -> None:
        cls = methods()[name]

        def choose(key: str, value: Any) -> None:
            self._drawn = (name, {**self.state.settings.get(name, {}), key: value})  # it shows that already
            self.state.set_setting(name, key, value)

        self.settings[:] = controls(settings_of(cls), name, self.say, mine, choose)
        self._about.object = page(cls)
