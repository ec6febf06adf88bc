"""The sheet of keys: what each does, in one small window over the page."""

from __future__ import annotations

from html import escape

import panel as pn
import panel_material_ui as pmui

from app.keys import SHEET
from app.state import State
from app.theme import Words, sheet
from app.views import View


class Keys(View):
    """Opened by ? or its button, closed by Esc."""

    def __init__(self, state: State, say: Words) -> None:
        super().__init__(state, say)
        rows = "".join(f"<dt>{escape(key)}</dt><dd>{escape(say(word))}</dd>" for key, word in SHEET)
        self.panel = pmui.Dialog(
            pn.pane.HTML(f"<dl>{rows}</dl>", stylesheets=[sheet("keys")], margin=0),
            title=say("keys"),
            open=state.help,
            close_on_click=True,
            show_close_button=True,
        )
        self.panel.param.watch(lambda event: state.param.update(help=event.new), "open")
        self.watch(lambda: self.panel.param.update(open=state.help), "help")
