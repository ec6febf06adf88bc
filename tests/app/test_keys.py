"""Keys do what the sheet says, and the sheet lists what keys do."""

from __future__ import annotations

import re

from app.clock import SCRIPT
from app.keys import SHEET, press
from app.state import RUN, State


def test_keys_change_choices():
    state = State(layer=RUN, run="kriging-1")
    press(state, "g#0#1")
    assert not state.gauges
    press(state, "m#0#2")
    assert (state.statistic, state.member) == ("member", 0)
    press(state, "m#0#3")
    assert state.member == 1
    press(state, "?#0#4")
    assert state.help


def test_the_browser_sends_every_key_of_the_sheet():
    sent = SCRIPT.partition("const KEYS = {")[2].partition("}")[0]
    named = [name.strip('" ') for name in re.findall(r'[{,\s]("[^"]+"|\w+):', sent)]
    for keys, _ in SHEET[2:]:
        for key in keys.split():
            assert any(name.startswith(key) for name in named), key
