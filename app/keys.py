"""Keys: what a key does to the choices, and the sheet that lists them.

The browser sends a key only while nobody types (`app.clock`); steps in time belong to the time bar, which
counts them.
"""

from __future__ import annotations

from app.state import RUN, State
from app.theme import PALETTES

# Key, and the word that says what it does; the first two are the time bar's.
SHEET = (
    ("␣", "key_play"),
    ("← →", "key_steps"),
    ("1 2 4", "key_panes"),
    ("s", "key_swipe"),
    ("p", "key_palette"),
    ("g", "key_gauges"),
    ("m", "key_member"),
    ("d", "key_draw"),
    ("Esc", "key_escape"),
    ("?", "key_help"),
)


def press(state: State, pressed: str) -> None:
    """Do what a key asks for; ``pressed`` is as the clock tells it, the key first."""
    key = pressed.partition("#")[0]
    if key == "?":
        state.help = not state.help
    elif key == "g":
        state.gauges = not state.gauges
    elif key.endswith("panes"):
        state.param.update(panes=int(key[0]), compare="none")
    elif key == "s":
        state.compare = "none" if state.compare == "swipe" else "swipe"
    elif key == "p":
        state.palette = PALETTES[(PALETTES.index(state.palette) + 1) % len(PALETTES)]
    elif key == "d":
        state.drag = "" if state.drag == "domain" else "domain"
    elif key == "escape" and state.drag:  # what was begun last goes first
        state.drag = ""
    elif key == "m" and state.layer == RUN:
        state.param.update(statistic="member", member=state.member + (state.statistic == "member"))
    elif key == "escape":
        state.param.update(**({"place": ""} if state.place else {"event": ""}))
