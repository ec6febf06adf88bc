"""Stories: every stored view opens, both languages are whole, and every number told is computed anew."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from string import Formatter
from urllib.parse import parse_qsl

import pytest

from app import store
from app.page import Session, complete
from app.state import LINKED, RUN, State
from app.stories import show, stories
from app.theme import LANGUAGES, Words
from app.views.stories import Stories, Teller, paragraphs
from engine import shipped
from engine.runs import Store
from tests.app.figures import of_the_front

RESULTS = Path(__file__).resolve().parents[2] / "assets" / "results"
SCENES = [(story, number) for story in stories().values() for number in range(len(story.scenes))]
NAMES = [f"{story.name}-{number + 1}" for story, number in SCENES]


@pytest.fixture
def results(desk, monkeypatch) -> Store:
    """The store with what is shipped."""
    monkeypatch.setattr(shipped, "FOLDER", RESULTS)
    shipped.bring_in(store.journal())
    return store.journal()


def test_every_stored_view_opens(results):
    for story, number in SCENES:
        state, said = State(), dict(parse_qsl(story.view(number)))
        assert set(said) <= set(LINKED)
        show(state, story, number)
        assert {key: str(getattr(state, key)) for key in said} == said, "some entry was not understood"
        before = (state.case, state.layer, state.run, state.time)
        complete(state)
        assert (state.case, state.layer, state.run, state.time) == before, "something is not there"


@pytest.mark.parametrize(("story", "number"), SCENES, ids=NAMES)
def test_a_scene_is_whole_in_both_languages(story, number):
    scene = story.scenes[number]
    for text in (story.title, story.about, scene.title, scene.text):
        assert set(text) == set(LANGUAGES)
        assert all(each.strip() for each in text.values())
    blanks = [{name for _, name, _, _ in Formatter().parse(each) if name} for each in scene.text.values()]
    assert blanks[0] == blanks[1]
    assert not re.search(r"[{}]", story.text(number, "en") + story.text(number, "zh"))


def test_a_story_of_what_is_not_shipped_says_what_to_get_and_shows_something_else():
    for story in stories().values():
        if story.case == "front":
            continue
        assert story.needs
        assert f"rainloom case {story.case}" in story.needs.commands
        assert set(story.needs.about) == set(LANGUAGES)
        assert all("case=front" in scene.instead for scene in story.scenes)
        assert all(f"case={story.case}" in scene.view for scene in story.scenes)


def test_every_number_of_the_front_is_computed(results):
    told, found = stories()["front"].figures, of_the_front(results)
    wrong = {}
    for name, value in told.items():
        digits = len(str(value).partition(".")[2])
        if round(float(found[name]), digits) != value:
            wrong[name] = (value, found[name])
    assert not wrong
    texts = "".join(text for scene in stories()["front"].scenes for text in scene.text.values())
    assert all(f"{{{name}}}" in texts for name in told)


def test_a_case_that_is_made_takes_the_place_of_the_front(desk, small):
    story = replace(stories()["radolan"], case="small")
    assert story.there
    story = replace(story, scenes=(replace(story.scenes[0], view="screen=explore&case=small&layer=radar"),))
    assert story.view(0) == "screen=explore&case=small&layer=truth"  # its layers have other names


def test_files_are_found_in_the_folder_of_real_ones(tmp_path, monkeypatch):
    story = stories()["radolan"]
    assert story.needs
    monkeypatch.setenv("RAINLOOM_DATA", str(tmp_path))
    assert not story.reachable
    for name in story.needs.files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert story.reachable


def test_a_story_is_read_scene_by_scene_and_taken_over(results):
    state = State(case="front")
    complete(state)
    session = Session(state)
    teller = session.views[Teller]
    assert not teller.panel.visible
    show(state, stories()["front"], 0)
    assert teller.panel.visible
    assert teller.back.disabled
    assert not session.page.sidebar_open
    for _ in range(3):
        teller._go(1)
    assert (state.scene, state.layer, state.run, state.statistic) == (3, RUN, "front-prior", "member")
    assert stories()["front"].scenes[3].title["en"] in teller._text.object
    assert "story=front&scene=3" in state.query()
    teller.leave.clicks += 1
    assert state.story == ""
    assert state.run == "front-prior"
    assert session.page.sidebar_open
    session.close()


def test_after_the_last_scene_come_all_stories(desk):
    state = State(case="front")
    complete(state)
    teller = Teller(state, Words("zh"))
    show(state, stories()["front"], 6)
    teller._go(1)
    assert (state.story, state.screen) == ("", "stories")
    state.param.update(story="front", scene=99)
    assert not teller.panel.visible
    teller.close()


def test_the_list_shows_commands_only_where_a_case_is_missing(desk):
    view = Stories(State(case="front"), Words("en"))
    html = [card[0].object for card in view._cards]
    assert ["<pre>" in each for each in html] == [False, True, True]
    assert "RAINLOOM_DATA" in html[2]
    view.close()


def test_texts_are_escaped():
    assert paragraphs("a < b\n\n`rainloom fetch`") == "<p>a &lt; b</p><p><code>rainloom fetch</code></p>"
