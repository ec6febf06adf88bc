"""Every word that is asked for is in the table, none there is forgotten, and none stands elsewhere."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pandas as pd
import pytest

from app.theme import LANGUAGES, SCALES, Words, sheet, table

APP = Path(__file__).resolve().parents[2] / "app"
CODE = [path for path in APP.rglob("*.py") if path.stem not in ("__main__", "desktop", "meter", "serving")]
PATTERNS = ("row_gauges", "member_number", "day")  # filled later, in the browser
SHOWN = {"label", "description", "placeholder", "helper_text", "text", "title", "name_shown"}
PREFIXES = (
    "about_", "area_", "axis_", "care_", "case_", "choice_", "clock_", "column_", "copy_", "drawn_",
    "exhibit_", "file_", "flag_", "gauge_", "grade_", "graded_", "head_", "hold_by_", "judge_", "layer_",
    "make_", "method_", "read_", "role_", "screen_", "setting_", "side_", "sort_", "sorted_", "stage_",
    "state_", "statistic_", "told_", "zone_",
    "case_", "layer_", "method_", "setting_", "about_", "choice_", "stage_", "state_", "told_", "statistic_",
    "gauge_", "area_", "role_", "screen_", "own_", "finding_",
    "gauge_", "area_", "role_", "screen_", "prior_", "result_",
    "state_", "statistic_", "told_", "zone_", "compare_", "palette_", "shown_",
)  # fmt: skip


@functools.cache
def asked() -> set[str]:
    """The constants that the code gives to `Words`, also by way of a variable."""
    constants = set()
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                constants.add(node.value)
    return constants


def said(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and (
        (isinstance(node.func, ast.Name) and node.func.id == "say")
        or (isinstance(node.func, ast.Attribute) and node.func.attr == "say")
    )


def test_every_word_asked_for_is_there():
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text())):
            if said(node) and isinstance(node, ast.Call) and isinstance(node.args[0], ast.Constant):
                assert node.args[0].value in table(), f"{path.name}:{node.lineno}"


def test_words_with_blanks_are_asked_for_with_what_fills_them():
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text())):
            if said(node) and isinstance(node, ast.Call) and isinstance(node.args[0], ast.Constant):
                key, given = node.args[0].value, {each.arg for each in node.keywords}
                blanks = set(re.findall(r"{(\w+)", table()[key]["en"]))
                assert key in PATTERNS or None in given or blanks <= given, f"{path.name}:{node.lineno}"


def test_no_word_is_forgotten_in_the_table():
    unused = {key for key in table() if key not in asked() and not key.startswith(PREFIXES)}
    assert not unused


def test_no_key_stands_twice():
    keys = re.findall(r"^([^#\s][^:]*):", (APP / "words.yaml").read_text(), re.MULTILINE)
    assert len(keys) == len(set(keys))


def test_nothing_visible_is_written_in_the_code():
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg in SHOWN and isinstance(node.value, ast.Constant):
                # The name of the application is the same in every language.
                assert node.value.value in ("", "Rainloom"), f"{path.name}:{node.value.lineno}"


@pytest.mark.parametrize("key", sorted(table()))
def test_both_languages_say_the_same_with_the_same_blanks(key):
    entry = table()[key]
    assert set(entry) == set(LANGUAGES)
    blanks = [sorted(part.split(":")[0] for part in text.split("{")[1:]) for text in map(str, entry.values())]
    names = [[blank.split("}")[0] for blank in each] for each in blanks]
    assert names[0] == names[1]


def test_an_interval_is_told_as_people_write_it():
    say = Words("en")
    assert (
        say.period(pd.Timestamp("2020-07-01T14:00"), pd.Timestamp("2020-07-01T15:00"))
        == "1 Jul 14:00–15:00 UTC"
    )
    assert say.period(pd.Timestamp("2020-07-01T23:00"), pd.Timestamp("2020-07-02")) == "1 Jul 23:00–24:00 UTC"
    assert Words("zh").day(pd.Timestamp("2020-07-01")) == "7月1日"


def test_durations_and_places_are_short():
    say = Words("en")
    assert [say.duration(each) for each in (0.2, 45, 600, 9000)] == ["1 s", "45 s", "10 min", "2.5 h"]
    assert say.place(-30.518, 114.314) == "30.52°S 114.31°E"


@pytest.mark.parametrize("scale", [*SCALES.values()])
def test_a_scale_grows_and_gets_darker(scale):
    assert list(scale.edges) == sorted(scale.edges)
    light = [sum(int(colour[i : i + 2], 16) for i in (1, 3, 5)) for colour in scale.colours]
    assert light == sorted(light, reverse=True)
    assert len(scale.colours) == len(scale.edges)


def test_every_sheet_that_is_worn_exists():
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "sheet":
                assert isinstance(node.args[0], ast.Constant)
                assert sheet(str(node.args[0].value))


def test_every_sheet_asked_for_is_there_once():
    names = re.findall(r"/\* == (\S+) == \*/", (APP / "theme.css").read_text())
    asked_for = {name for path in CODE for name in re.findall(r'sheet\("(\w+)"\)', path.read_text())}
    assert len(names) == len(set(names))
    assert asked_for == set(names) - {"shared"}
