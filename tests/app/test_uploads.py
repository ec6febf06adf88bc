"""Own files on the page: whatever is sent is kept apart, counted, told in one line, and leaves nothing."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from app import uploads
from app.inspected import table
from app.page import complete
from app.state import State
from app.theme import Words
from app.views.files import Files
from engine.sources import cases
from engine.values import Invalid
from tests.conftest import wait
from tests.engine.malformed import KINDS, made


def send(desk: uploads.Desk, path: Path, piece: int = 50_000) -> None:
    content = path.read_bytes()
    pieces = [content[at : at + piece] for at in range(0, max(1, len(content)), piece)]
    for number, data in enumerate(pieces, 1):
        desk.take({"name": path.name, "chunk": number, "total_chunks": len(pieces), "data": data})


@pytest.fixture
def table_of_gauges(tmp_path) -> Path:
    rows = ["time,gauge,lat,lon,rain"]
    rows += [f"2020-07-01T0{hour}:00,S{n},{29 + n},{111 + n},{n}" for hour in range(1, 7) for n in range(3)]
    (tmp_path / "gauges.csv").write_text("\n".join(rows))
    return tmp_path / "gauges.csv"


def files_in(folder: Path) -> list[Path]:
    return [each for each in folder.rglob("*") if each.is_file()]


def test_a_file_is_told_what_it_does_not_say_and_becomes_a_case(desk, small, home, table_of_gauges):
    state = State(case="small")
    complete(state)
    view = Files(state, Words("zh"))
    view.open()
    own = uploads.desk(state)
    send(own, table_of_gauges)
    view.sort()
    wait(lambda: not own.owns[1].reading)
    assert "gauges.csv" in own.owns[1].problem
    assert str(home) not in own.owns[1].problem
    assert "unit" in own.owns[1].asks()
    own.tell(1, "unit", "mm").result()
    own.tell(1, "stamp", "end").result()
    assert own.owns[1].ready, own.owns[1].problem
    told = table(own.owns[1], Words("zh"))
    assert "时段" in told
    assert "<svg" in told
    with pytest.raises(Invalid, match="no file"):
        own.named("nowhere.nc")
    view.draw()
    assert view.making.fields["domain"].value == "110.5, 28.5, 113.5, 31.5"
    own.make("mine", "", "", ("", "", "")).result()
    assert own.making
    assert "a field of rain" in own.making.problem
    view.close()


def test_a_case_is_made_of_what_was_sent_and_deleted_with_a_second_word(desk, small, home, tmp_path):
    import numpy as np

    from tests.conftest import small_world

    truth = small_world()[0].drop_attrs().assign_attrs(units="mm h-1")
    truth.to_dataset(name="rain").astype(np.float32).to_netcdf(tmp_path / "sent.nc", engine="h5netcdf")
    state = State(case="small")
    complete(state)
    view = Files(state, Words("en"))
    view.open()
    own = uploads.desk(state)
    send(own, tmp_path / "sent.nc")
    [job.result() for job in own.sort(True)]
    assert own.owns[1].ready, own.owns[1].problem
    own.make("mine", "Mine", "", ("", "", "")).result()
    assert own.making
    assert own.making.state == "done", own.making.problem
    view._made()
    assert state.case == "mine"
    assert cases()["mine"].layers["sent"]["source"] == "sent.nc"
    view.shelf._ask("mine")
    assert "mine" in cases()
    view.shelf._delete("mine")
    assert "mine" not in cases()
    view.close()
    folder = own.folder
    del own, view, state
    gc.collect()
    assert not folder.exists()


def test_bytes_are_counted_here(desk, home, tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "MOST_FILE", 100_000)
    (tmp_path / "large.nc").write_bytes(bytes(200_000))
    own = uploads.Desk()
    with pytest.raises(Invalid, match="GB taken here"):
        send(own, tmp_path / "large.nc")
    assert not files_in(own.folder)
    own.close()


@pytest.mark.parametrize(
    "piece",
    [
        None, {}, {"name": "../../x", "chunk": 2, "total_chunks": 1, "data": b""},
        {"name": 5, "chunk": 1, "total_chunks": 1, "data": b""},
        {"name": "x", "chunk": 1, "total_chunks": 1, "data": "text"},
        {"name": "x", "chunk": True, "total_chunks": 1, "data": b""},
    ],
)  # fmt: skip
def test_what_is_no_piece_of_a_file_is_refused(desk, home, piece):
    own = uploads.Desk()
    with pytest.raises(Invalid):
        own.take(piece)
    own.take({"name": "../../../etc/x.nc\n", "chunk": 1, "total_chunks": 1, "data": b"1"})
    assert [each.name for each in files_in(home)] == ["00001"]
    own.close()
    assert not files_in(home)


def test_hostile_uploads_are_told_in_one_line_and_leave_nothing(desk, home, tmp_path):
    """One of every third kind that is a file, by the way that a browser takes: each costs a process."""
    own, kinds, jobs = uploads.Desk(), set(), []
    for each in made(tmp_path / "watched"):
        if each.kind not in kinds and each.path.is_file() and each.path.stat().st_size < 10**7:
            kinds.add(each.kind)
            if len(kinds) % 3 == 0:
                send(own, each.path, 10**6)
                jobs += own.sort(False)
    assert len(kinds) >= len(KINDS) // 2
    for job in jobs:
        job.result()
    for one in own.owns.values():
        assert not one.reading
        assert one.problem.isprintable()
        assert len(one.problem) < 1000
        assert str(home) not in one.problem
        assert one.problem or one.look
        assert one.path.exists() == bool(one.look or one.asks())
    outside = [each for each in files_in(home) if own.folder not in each.parents]
    assert not outside
    own.close()
    assert not files_in(home)
