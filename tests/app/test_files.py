"""Files leave by HTTP: only known ones of known runs, each made once, and a report that asks for nothing."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
import zipfile
from io import BytesIO

import panel as pn
import pytest
import xarray as xr
from bokeh.command.util import build_single_handler_application
from bokeh.server.urls import toplevel_patterns

from app import files, making, store
from app.delivery import ROUTES
from app.running import arguments  # noqa: F401  (the commands are there without a page)
from app.theme import Words
from app.views.report import Report
from engine.values import Invalid
from tests.app.test_page import a_state
from tests.app.test_runs_screen import finished
from tests.conftest import wait


@pytest.fixture
def site(desk):
    """The address of a server with nothing but the files."""
    server = pn.serve(
        {"app": lambda: pn.pane.Str("")}, port=0, address="127.0.0.1", threaded=True, show=False,
        verbose=False, extra_patterns=ROUTES,
    )  # fmt: skip
    try:
        wait(lambda: any(each for each, *_ in pn.state._servers.values()) or not server.is_alive())
        running = next(each for each, *_ in pn.state._servers.values())
        yield f"http://127.0.0.1:{running.port}"
    finally:
        pn.state.kill_all_servers()


def test_a_file_is_made_once_and_streamed(site, task):
    name = finished(task)
    for _ in range(2):
        with urllib.request.urlopen(f"{site}/files/{name}/bundle.zip", timeout=120) as answer:
            assert f'filename="{name}-bundle.zip"' in answer.headers["Content-Disposition"]
            told = answer.read()
    with zipfile.ZipFile(BytesIO(told)) as whole:
        texts = {each.partition("/")[2]: whole.read(each).decode() for each in whole.namelist()}
    assert texts["task.yaml"] == task.to_yaml()
    assert "simulated" in texts["README.md"]
    assert len(texts["members.sha256"].splitlines()) == task.members
    assert "Apache-2.0" in texts["LICENCES.md"]
    compile(texts["script.py"], "script.py", "exec")


@pytest.mark.parametrize(
    "path",
    [
        "RUN/manifest.yaml", "RUN/../RUN/manifest.yaml", "RUN/..%2fmanifest.yaml", "..%2f..%2fetc/passwd", "",
        "gone/bundle.zip", "RUN", "RUN/bundle.zip?language=xx", "RUN/report.html/", "krig/bundle.zip",
    ],
)  # fmt: skip
def test_nothing_else_can_be_had(site, task, path):
    asked = path.replace("RUN", finished(task))
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{site}/files/{asked}", timeout=30)
    with refused.value as answer:
        assert answer.code == 404
        assert len(answer.read().decode().strip().splitlines()) == 1


def test_panel_serve_has_the_route_too(monkeypatch):
    monkeypatch.syspath_prepend(str(files.ROOT))
    build_single_handler_application(str(files.ROOT / "app"))
    assert ROUTES[0] in toplevel_patterns
    toplevel_patterns.remove(ROUTES[0])


def test_every_format_is_what_it_says(desk, task, tmp_path):
    run = store.journal().get(finished(task, members=3))
    made = {
        name: making.make(store.journal(), run, name, tmp_path / name)
        for name in ("ensemble.nc", "ensemble.zarr.zip", "summary.csv")
    }
    with xr.open_dataset(made["ensemble.nc"], engine="h5netcdf") as whole:
        assert whole.rain.sizes["member"] == 3
    with zipfile.ZipFile(made["ensemble.zarr.zip"]) as packed:
        packed.extractall(tmp_path / "unzipped")
    with xr.open_zarr(tmp_path / "unzipped" / f"{run.id}.zarr", chunks=None) as whole:
        assert whole.rain.sizes["member"] == 3
    assert made["summary.csv"].read_text().startswith("lat,lon,time,mean_mm_per_h,p10")
    assert not [*tmp_path.glob("*.partial")]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_report_holds_all_of_it_and_asks_for_nothing(desk, task, tmp_path, language):
    journal, name = store.journal(), finished(task)
    said = files.Said("<Title> & more", "A. Author", "One.\n\nTwo <b>.", "2020-07-01T03:00")
    path = making.make(journal, journal.get(name), "report.html", tmp_path / "x.html", language, said)
    html, say = path.read_text(encoding="utf-8"), Words(language)
    assert "<title>&lt;Title&gt; &amp; more</title>" in html
    assert "Two &lt;b&gt;." in html
    assert "default-src 'none'" in html
    assert html.count("<svg ") == 2
    addresses = re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?([^\"')\s>]+)", html)
    assert all(each.startswith(("#", "data:")) for each in addresses)
    for told in (say("report_scores"), say("report_mean"), journal.get(name).key, "small/satellite"):
        assert told in html
    for member in journal.finished(name).values():
        assert member in html
    assert "CRPS" in html
    assert "02:00–03:00" in html


def test_what_a_person_says_makes_another_report(desk, task):
    journal, name = store.journal(), finished(task)
    before = files.place(journal, name, "report.html")
    rain = files.place(journal, name, "ensemble.nc")
    files.say(journal, name, files.Said(title="Another"))
    assert files.said(journal, name).title == "Another"
    assert files.place(journal, name, "report.html") != before
    assert files.place(journal, name, "ensemble.nc") == rain
    with pytest.raises(Invalid, match="has no"):
        files.place(journal, name, "said.yaml")


def test_the_screen_keeps_what_is_said_of_a_run(desk, task, monkeypatch):
    name = finished(task)
    monkeypatch.setattr(files, "_made", lambda *told: files.place(*told))
    view = Report(a_state(screen="report"), Words("en"))
    assert view.chosen.value == name
    assert f"files/{name}/ensemble.nc" in view._files.object
    assert Words("en")("report_being_made") in view._paper.object
    view.fields["title"].value = "The front"
    view.write()
    assert files.said(store.journal(), name).title == "The front"
    view.close()


def test_without_a_result_the_screen_says_what_to_do(desk, small):
    view = Report(a_state(screen="report"), Words("en"))
    assert view._empty.visible
    assert not view._all.visible
    view.close()
