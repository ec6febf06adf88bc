"""The header: the case, a tab for each screen, a link to this view, the keys, the language and the dress."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import panel as pn
import panel_material_ui as pmui

from app import store
from app.state import State
from app.theme import LANGUAGES, Words

FRAME = {
    "& .MuiAppBar-root": {
        "boxShadow": "none",
        "backgroundImage": "none",
        "backgroundColor": "background.paper",
        "color": "text.primary",
        "borderBottom": "1px solid",
        "borderColor": "divider",
        "& .title": {
            "color": "text.primary",
            "fontSize": "1.2rem",
            "fontWeight": 700,
            "letterSpacing": "-0.01em",
        },
        "& .logo": {"height": "30px"},
        "& .MuiIconButton-edgeStart": {"display": "none"},  # its tooltip speaks one language only
    },
    "& .MuiToolbar-root": {"minHeight": "54px !important"},
    "& .main": {"minWidth": 0},
}
INK = "var(--panel-on-background-color) !important"
TABS = {
    "& .MuiTabs-root, & .MuiTab-root": {"minHeight": "54px"},
    "& .MuiTab-root": {"padding": "6px 14px", "minWidth": 0, "color": INK, "opacity": 0.7},
    "& .MuiTab-root.Mui-selected": {"color": "primary.main", "opacity": 1, "fontWeight": 600},
}


def header(page: Any, state: State, say: Words, screens: Any, share: Callable[[], None]) -> list[Any]:
    """What stands in it, from left to right; ``share`` copies the link."""
    case = pmui.Select(
        label="",
        options=_cases(say),
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
    fold = _button("menu", say("fold"), lambda: page.param.update(sidebar_open=not page.sidebar_open))
    fold.margin = (0, 0, 0, 12)
    link = _button("link", say("share"), share)
    keys = _button("keyboard", say("keys"), lambda: setattr(state, "help", True))
    space = pn.Spacer(sizing_mode="stretch_width")
    return [fold, case, screens, space, link, keys, language, dark]


def _cases(say: Words) -> dict[str, str]:
    return {
        case.title if say.language == "en" else say.maybe(f"case_{case.name}", case.title): case.name
        for case in store.cases().values()
    }


def _button(icon: str, told: str, call: Callable[[], Any]) -> Any:
    button = pmui.IconButton(icon=icon, description=told, margin=0, align="center")
    button.on_click(lambda _: call())
    return button


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
