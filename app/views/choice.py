"""The row above the maps: what is shown, how many maps there are, how two are compared, what lies on them.

While several maps stand side by side each has its own list; while two are compared, both lists are here.
"""

from __future__ import annotations

from typing import Any

import panel as pn
import panel_material_ui as pmui

from app import chosen, ground, store
from app.controls import bind
from app.picker import Picker
from app.state import COMPARISONS, State
from app.theme import PALETTES, Words
from app.views import View


class Choice(View):
    """A row of lists; each shows itself only where it means something."""

    screen = "explore"

    def __init__(self, state: State, say: Words) -> None:
        super().__init__(state, say)
        self.case = store.case(state.case)
        self.pickers = [
            Picker(self.case, say, lambda shown: chosen.choose(state, self.case, 0, shown), wide=True),
            Picker(self.case, say, lambda shown: chosen.choose(state, self.case, 1, shown), wide=True),
        ]
        self._make_tools()
        self._names = ["gauges", *(["terrain"] if ground.has_hills(self.case) else [])]
        self._names += [*(["distance"] if store.gauge_layer(self.case) else []), "tiles"]
        # A flex box, not a row: a row is never narrower than all its parts together, the hidden ones too.
        tools = pn.Row(
            self.panes, self.compare, self.palette, self.layers, margin=0, styles={"margin-left": "auto"}
        )
        self.panel = pn.FlexBox(
            *(picker.panel for picker in self.pickers),
            tools,
            align_items="center",
            sizing_mode="stretch_width",
            margin=(0, 6),
        )
        what = ("layer", "run", "statistic", "member", "above", "others", "event")
        self.watch(self.follow, *what, "panes", "compare")
        self.watch(self._show_tools, "palette", "gauges", "terrain", "distance", "tiles")
        self.follow()
        self._show_tools()
        bind(state, self.compare, "compare")
        bind(state, self.palette, "palette")
        self.panes.param.watch(lambda event: state.param.update(panes=event.new, compare="none"), "value")
        self.layers.param.watch(self._layers_chosen, "toggled")

    def _make_tools(self) -> None:
        state, say = self.state, self.say
        self.panes = pmui.RadioButtonGroup(
            options={str(n): n for n in state.param.panes.objects},
            value=state.panes,
            size="small",
            margin=(10, 6),
        )
        small = {"size": "small", "margin": (10, 4, 6, 4), "variant": "outlined"}
        comparisons = {say(f"compare_{name}"): name for name in COMPARISONS}
        self.compare = pmui.Select(label=say("compare"), options=comparisons, width=118, **small)
        palettes = {say(f"palette_{name}"): name for name in PALETTES}
        self.palette = pmui.Select(label=say("palette"), options=palettes, width=150, **small)
        self.layers = pmui.MenuToggle(
            label=say("layers"),
            icon="layers",
            size="small",
            margin=(10, 6),
            variant="outlined",
            color="default",
        )

    def _layers_chosen(self, event: Any) -> None:
        self.state.param.update(**{name: at in event.new for at, name in enumerate(self._names)})

    def _show_tools(self) -> None:
        state, say = self.state, self.say
        self.palette.value = state.palette
        on = [at for at, name in enumerate(self._names) if getattr(state, name)]
        if not self.layers.items:
            self.layers.items = [
                {
                    "label": say(f"shown_{name}"),
                    "icon": "check_box_outline_blank",
                    "active_icon": "check_box",
                    "toggled": at in on,
                }
                for at, name in enumerate(self._names)
            ]
        if sorted(self.layers.toggled) != on:
            self.layers.toggled = on

    def follow(self) -> None:
        state = self.state
        compared = state.compare != "none"
        for place, picker in enumerate(self.pickers):
            picker.panel.visible = compared or (place == 0 and state.panes == 1)
            if picker.panel.visible:
                picker.follow(chosen.all_of(state, self.case)[place], state.when)
        self.compare.value = state.compare
        self.panes.value = state.panes
