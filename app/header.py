"""The header: the case, a tab for each screen, a link to this view, the keys, the language and the dress."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import panel as pn
import panel_material_ui as pmui

from app import store
from app.state import State
from app.theme import LANGUAGES, Words

INK = "var(--panel-on-background-color) !important"
TABS = {
    "& .MuiTabs-root, & .MuiTab-root": {"minHeight": "54px"},
    "& .MuiTab-root": {"padding": "6px 14px", "minWidth": 0, "color": INK, "opacity": 0.7},
    "& .MuiTab-root.Mui-selected": {"color": "primary.main", "opacity": 1, "fontWeight": 600},
}


def header(page: Any, state: State, say: Words, screens: Any, share: Callable[[], None]) -> list[Any]:
    """What stands in it, from left to right; ``share`` copies the link."""
    cases = {
        case.title if say.language == "en" else say.maybe(f"case_{case.name}", case.title): case.name
        for case in store.cases().values()
    }
    case = pmui.Select(
        label="",
        options=cases,
        value=state.case,
        width=200,
        size="small",
        margin=(0, 8, 0, 16),
        align="center",
        variant="outlined",
        sx={"& .MuiSelect-select, & svg": {"color": INK}},
    )
    case.param.watch(lambda event: state.param.update(case=event.new), "value")
    language = pmui.RadioButtonGroup(
        options={label: name for name, label in LANGUAGES.items()},
        value=state.language,
        size="small",
        margin=(0, 8),
        align="center",
    )
    language.param.watch(lambda event: state.param.update(language=event.new), "value")
    dark = pmui.ToggleIcon(
        icon="dark_mode",
        active_icon="light_mode",
        value=state.dark,
        description=say("dark"),
        margin=0,
        align="center",
        sx={"& .MuiIcon-root": {"color": INK}},
    )
    dark.param.watch(lambda event: state.param.update(dark=event.new), "value")
    fold = pmui.IconButton(icon="menu", description=say("fold"), margin=(0, 0, 0, 12), align="center")
    fold.on_click(lambda _: page.param.update(sidebar_open=not page.sidebar_open))
    link = pmui.IconButton(icon="link", description=say("share"), margin=0, align="center")
    link.on_click(lambda _: share())
    keys = pmui.IconButton(icon="keyboard", description=say("keys"), margin=0, align="center")
    keys.on_click(lambda _: setattr(state, "help", True))
    space = pn.Spacer(sizing_mode="stretch_width")
    return [fold, case, screens, space, link, keys, language, dark]


def tabs(state: State, say: Words, there: Sequence[str]) -> Any:
    """A tab for each screen that is there."""
    bar = pmui.Tabs(
        *((say(f"screen_{name}"), pn.Spacer(height=0)) for name in there),
        active=there.index(state.screen) if state.screen in there else 0,
        margin=0,
        width=90 * len(there),
        height=54,
        align="center",
        sx=TABS,
    )
    bar.param.watch(lambda event: state.param.update(screen=there[event.new]), "active")
    return bar
