"""The first screen: an empty link opens it, a card opens a result that nobody had to compute."""

from __future__ import annotations

import base64
import dataclasses
import io

import pytest

from app import store
from app.cost import seconds
from app.machine import machine, priors
from app.page import Session, complete
from app.state import RUN, State
from app.theme import Words
from app.thumbnails import thumbnail
from app.views.maps import Map
from app.views.welcome import CaseCard, Welcome
from engine import shipped
from engine.runs import Store
from tests.conftest import wait


@pytest.fixture
def packed(desk, task, tmp_path, monkeypatch):
    """A result of the small world, as it is shipped; the store does not have it yet."""
    import numpy as np

    elsewhere = Store(tmp_path / "elsewhere")
    named = dataclasses.replace(task, title="A small result")
    run = elsewhere.add(named, "key", {}, {})
    elsewhere.prepare(run.id, named)
    shape = (len(task.period.times), *task.grid.shape)
    for member in range(task.members):
        elsewhere.commit(run.id, member, np.full(shape, 0.2 * member, np.float32))
    elsewhere.update(run.id, state="done", finished=run.created.timestamp() + 60)
    folder = tmp_path / "results"
    shipped.pack(elsewhere, elsewhere.get(run.id), folder / "small-result.nc")
    elsewhere.close()
    monkeypatch.setattr(shipped, "FOLDER", folder)
    return folder


def test_what_is_shipped_becomes_a_finished_run_once(packed, task):
    import shutil

    journal = store.journal()
    shipped.bring_in(journal)
    (run,) = journal.runs()
    assert (run.id, run.state, run.done, run.origin) == ("small-result", "done", task.members, "shipped")
    assert run.task.hash == task.hash
    assert journal.intact(run.id)
    assert not journal.verify(run.id)
    assert float(journal.ensemble(run.id)[1].max()) == pytest.approx(0.2)
    assert "packed" in (journal.folder(run.id) / "manifest.yaml").read_text()
    assert seconds(task) is None  # it was not computed here
    before = journal.version()
    shipped.bring_in(journal)
    assert journal.version() == before

    with journal._change() as table:  # deleted by its user, it stays deleted
        table.execute("DELETE FROM runs")
    shutil.rmtree(journal.folder(run.id))
    shipped.bring_in(journal)
    assert journal.runs() == []


def test_bringing_in_goes_on_after_it_was_cut(packed, monkeypatch):
    journal = store.journal()
    with monkeypatch.context() as cut:
        cut.setattr(journal, "insert", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            shipped.bring_in(journal)
    assert journal.runs() == []
    shipped.bring_in(journal)
    assert journal.intact("small-result")


def test_the_door_opens_where_a_link_says():
    named = {"case=front": "explore", "case=front&screen=runs": "runs", "run=front-prior": "explore"}
    for query, screen in {"": "welcome", "language=zh": "welcome", **named}.items():
        state = State(screen="welcome")
        state.follow(query)
        assert state.screen == screen, query


def test_a_card_opens_its_result_and_its_sources(packed, small):
    state = State(screen="welcome", case="small")
    complete(state)
    session = Session(state)
    assert Map not in session.views
    view = session.views[Welcome]
    card = next(each for each in view.cards if each.case.name == small)
    assert len(card._buttons) == 1
    shipped.bring_in(store.journal())
    view.follow()
    assert [each.label for each in card._buttons] == ["Open the result", "Explore the sources"]
    assert [each.label for each in view._results] == ["A small result"]
    card._buttons[0].clicks += 1
    assert (state.screen, state.layer, state.run) == ("explore", RUN, "small-result")
    assert Map in session.views
    card._buttons[1].clicks += 1
    assert state.layer == "satellite"
    session.close()


def test_a_thumbnail_is_a_picture_that_says_what_it_shows(desk, small):
    from PIL import Image

    case = store.case(small)
    found, work = thumbnail(case)
    assert found or work
    found = found or work.result(60)
    with Image.open(io.BytesIO(base64.b64decode(found.address.partition(",")[2]))) as image:
        assert len(image.convert("RGB").getcolors(10_000) or []) > 4
    assert found.layer == "truth"
    state = State(case=small)
    complete(state)
    view = Welcome(state, Words("zh"))
    card = next(each for each in view.cards if each.case.name == small)
    wait(lambda: card.paint() or "<img" in card._picture.object)
    assert "模拟真值" in card._picture.object
    assert isinstance(card, CaseCard)
    view.close()


def test_the_machine_and_its_priors_are_told(desk, home):
    assert machine().cores > 0
    assert {"front", "radar"} <= {each.name for each in priors()}
    (home / "priors").mkdir(parents=True)
    (home / "priors" / "torn.safetensors").write_bytes(b"nothing")
    assert "torn" not in {each.name for each in priors()}
