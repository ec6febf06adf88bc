"""Every method draws its own controls, within its own bounds, with its own texts."""

from __future__ import annotations

import panel_material_ui as pmui
import pytest

from app.controls import control, controls, page, plain
from app.theme import LANGUAGES, Words
from engine.methods import method, methods, settings_of

EVERY = [(name, each) for name, cls in methods().items() for each in settings_of(cls)]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("name", "setting"), EVERY, ids=lambda each: each if isinstance(each, str) else each["name"]
)
def test_a_control_starts_at_the_default_and_tells_what_it_is(name, setting, language):
    widget = control(setting, name, Words(language))
    assert widget.value == setting["default"]
    assert widget.label
    assert widget.description
    method(name, {setting["name"]: widget.value})


@pytest.mark.parametrize(
    ("name", "setting"), EVERY, ids=lambda each: each if isinstance(each, str) else each["name"]
)
def test_a_control_cannot_leave_the_bounds(name, setting):
    widget = control(setting, name, Words("en"))
    if setting["choices"]:
        assert list(widget.options.values()) == list(setting["choices"])
    elif not isinstance(setting["default"], bool):
        for end in ("start", "end"):
            if getattr(widget, end) is not None:
                method(name, {setting["name"]: getattr(widget, end)})


@pytest.mark.parametrize("name", list(methods()))
def test_a_change_is_heard_under_the_name_of_the_setting(name):
    heard = {}
    settings = settings_of(methods()[name])
    for setting, widget in zip(
        settings, controls(settings, name, Words("en"), {}, heard.__setitem__), strict=True
    ):
        if isinstance(widget, pmui.Switch):
            widget.value = not widget.value
            assert heard[setting["name"]] is widget.value


def test_chosen_values_come_back():
    name, setting = EVERY[0]
    widgets = controls([setting], name, Words("en"), {setting["name"]: setting["default"]}, lambda *_: None)
    assert widgets[0].value == setting["default"]


@pytest.mark.parametrize(
    ("name", "label"),
    [("range_km", "Range (km)"), ("memory_h", "Memory (h)"), ("most_gauges", "Most gauges")],
)
def test_labels_read_as_words(name, label):
    assert plain(name) == label


@pytest.mark.parametrize("name", list(methods()))
def test_the_page_of_a_method_is_its_docstring(name):
    told = page(methods()[name])
    assert told.startswith("<p>")
    assert "**" not in told
