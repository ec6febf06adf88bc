"""The maps: what each shows, which hours the browser has, what two of them differ by, and by which scale."""

from __future__ import annotations

import contextlib
from concurrent.futures import Future
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from app import chosen, films, ground, store
from app.films import Pair
from app.keys import press
from app.page import Session, complete
from app.pictures import Picture, Shown
from app.raster import STATISTICS
from app.state import RUN, State
from app.theme import PALETTES, Words, scale_of
from app.views.choice import Choice
from app.views.maps import Map
from app.views.series import TimeBar
from tests.conftest import wait


def a_state(**chosen) -> State:
    state = State(case="small", **chosen)
    complete(state)
    return state


def painted(view: Map) -> Map:
    wait(lambda: view.paint() or all(pane.picture is not None for pane in view.on_show))
    return view


def filmed(view: Map) -> Map:
    """The browser has all six hours of every map."""
    wait(lambda: [pane._send() for pane in view.on_show] and not any(pane._todo for pane in view.on_show))
    return view


def hours(view: Map, place: int = 0) -> list[float]:
    return sorted(view.panes[place].canvas.frames.data["time"])


# What each map shows

texts = st.text(st.characters(codec="utf-8"), max_size=20)


@contextlib.contextmanager
def every_run_is_here():
    """A case with one source, and of which every run is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "run", lambda name: SimpleNamespace(task=None) if name else None)
        patch.setattr(store, "case_of", lambda task: "small")
        patch.setattr(store, "fields", lambda case: ["satellite"])
        yield SimpleNamespace(name="small")


@given(statistic=st.sampled_from(STATISTICS), member=st.integers(0, 999), above=st.floats(0.1, 500))
def test_what_a_map_shows_is_written_and_read(statistic, member, above):
    above = float(f"{above:g}") if statistic == "above" else 0.0
    shown = Shown("small", RUN, "kriging-1", statistic, above, member if statistic == "member" else 0)
    with every_run_is_here() as case:
        assert chosen.read(chosen.write(shown), case) == shown


@given(texts)
def test_no_text_breaks_a_map(text):
    with every_run_is_here() as case:
        chosen.read(text, case)
        chosen.read(f"run~kriging-1~{text}~{text}", case)


def test_a_map_of_which_nothing_is_said_shows_the_next_source(desk, small):
    state = a_state(others="nonsense,run~gone-1~p90")
    shown = chosen.all_of(state, store.case("small"))
    assert [each.layer for each in shown[:2]] == ["satellite", "truth"]


def test_another_choice_for_one_map_leaves_the_others(desk, small):
    state, case = a_state(panes=2), store.case("small")
    chosen.choose(state, case, 1, Shown("small", "satellite"))
    assert (state.layer, state.others) == ("satellite", "satellite")
    chosen.choose(state, case, 0, Shown("small", "truth"))
    assert (state.layer, state.others) == ("truth", "satellite")
    assert "panes=2&others=satellite" in state.query()


# Frames


def test_the_browser_gets_every_hour_once_and_then_no_picture_any_more(desk, small):
    state = a_state()
    view = filmed(painted(Map(state, Words("en"))))
    canvas = view.canvas
    assert hours(view) == [time.timestamp() * 1e3 for time in view.case.period.times]
    assert {image.dtype.name for image in canvas.frames.data["image"]} == {"uint8"}
    image, frames = canvas.picture.data["image"][0], canvas.frames.data
    state.time = "2020-07-01T05:00"
    assert canvas.picture.data["image"][0] is image
    assert canvas.frames.data is frames
    assert "04:00–05:00 UTC" in view.panes[0].plate.object
    view.close()


def test_frames_are_what_the_map_would_paint(desk, small):
    view = filmed(painted(Map(a_state(), Words("en"))))
    canvas = view.canvas
    at = canvas.frames.data["time"].index(view.state.end_of_interval.timestamp() * 1e3)
    np.testing.assert_array_equal(canvas.frames.data["image"][at], canvas.picture.data["image"][0])
    view.close()


def test_frames_of_something_else_are_forgotten(desk, small):
    state = a_state()
    view = filmed(painted(Map(state, Words("en"))))
    state.palette = "cma"
    assert max(max(map(np.max, view.canvas.frames.data["image"]), default=0), 0) <= 7
    filmed(painted(view))
    assert len(hours(view)) == 6
    view.close()


def test_gauges_take_the_colours_of_every_hour(desk, small):
    view = painted(Map(a_state(), Words("en")))
    readings, gauges = view.canvas.readings.data, store.gauges(view.case)
    assert gauges is not None
    np.testing.assert_allclose(np.array(readings["value"]).T, gauges.values, rtol=1e-6)
    assert len(readings["level"]) == 6
    view.close()


@pytest.mark.parametrize("at", [0, 30, 99])
def test_of_a_long_film_the_hours_around_the_time_are_sent_those_ahead_first(at, monkeypatch):
    monkeypatch.setattr(films, "MOST", 4800)
    monkeypatch.setattr(films, "CHUNK", 600)
    times = pd.date_range("2020-07-01", periods=100, freq="1h")
    plan = films.plan(times, times[at], 100)
    sent = [time for part in plan for time in part]
    assert len(sent) == len(set(sent)) == 48
    assert times[at] in plan[0]
    assert max(map(len, plan)) == 6


def drawn(view: Map) -> None:
    """The browser tells how wide its maps are."""
    for pane in view.panes:
        pane.canvas.figure.trigger("inner_width", None, 800)


def test_the_play_head_knows_the_frames_of_the_maps_on_show(desk, small):
    session = Session(a_state())
    head, view = session.views[TimeBar].bars.head, session.views[Map]
    assert head.tags == []
    drawn(view)
    assert head.tags == [view.canvas.frames]
    session.state.panes = 4
    drawn(view)
    assert len(head.tags) == 4
    session.state.screen = "runs"
    assert head.tags == []
    session.close()


def test_a_picture_that_fails_is_told_in_one_line_and_asked_for_once(desk, small, monkeypatch):
    asked = []

    def broken(shown, when):
        asked.append(when)
        work = Future()
        work.set_exception(OSError("the file is gone\nin two lines"))
        return None, work

    whole = store.picture
    monkeypatch.setattr(store, "picture", broken)
    state = a_state()
    view = Map(state, Words("en"))
    pane = view.panes[0]
    for _ in range(5):
        pane.paint()
    assert len(asked) == 1
    assert "the file is gone. " in pane.plate.object
    assert "two lines" not in pane.plate.object
    monkeypatch.setattr(store, "picture", whole)
    state.time = "2020-07-01T05:00"
    wait(lambda: pane.paint() or pane.picture is not None)
    assert "the file is gone" not in pane.plate.object
    view.close()


def test_a_film_that_fails_is_made_again_when_it_is_played(desk, small, monkeypatch):
    def broken(shown, hours, edges):
        work = Future()
        work.set_exception(OSError("the file is gone"))
        return None, work

    state, whole = a_state(), films.chunk
    monkeypatch.setattr(films, "chunk", broken)
    view = painted(Map(state, Words("en")))
    pane = view.panes[0]
    pane._send()
    assert pane._torn
    assert not hours(view)
    monkeypatch.setattr(films, "chunk", whole)
    state.time = "2020-07-01T05:00"
    state.playing = True
    assert len(hours(filmed(view))) == 6
    view.close()


def test_the_legend_names_only_gauges_that_there_are(desk, small):
    state, say = a_state(), Words("en")
    view = Map(state, say)
    assert say("side_ignored") not in view._legend.object
    assert say("gauge_apart") not in view._legend.object
    state.ignored = store.gauges(view.case).names[:1]
    assert say("side_ignored") in view._legend.object
    assert say("gauge_apart") in view._legend.object
    view.close()


# Several maps, and two in one


def test_maps_share_their_window_and_are_kept(desk, small):
    state = a_state(panes=4)
    view = painted(Map(state, Words("en")))
    first, *others = view.panes
    assert all(pane.canvas.figure.x_range is first.canvas.figure.x_range for pane in others)
    state.panes = 1
    assert len(view.on_show) == 1
    assert len(view.panes) == 4
    view.close()


def test_a_difference_is_the_first_less_the_second_on_the_finer_grid():
    def picture(values: np.ndarray, count: int) -> Picture:
        step = 4 / count
        return Picture.of(
            values, grid(np.arange(count) * step + step / 2 + 30, np.arange(count) * step + 110)
        )

    def grid(lat, lon):

        return xr.DataArray(np.zeros((lat.size, lon.size)), {"lat": lat, "lon": lon + (lat[1] - lat[0]) / 2})

    coarse = picture(np.array([[1.0, 2], [3, 4]], dtype="f4"), 2)
    fine = picture(np.zeros((8, 8), dtype="f4"), 8)
    found = films.difference(coarse, fine)
    np.testing.assert_array_equal(found.values, np.kron(coarse.values, np.ones((4, 4))))
    np.testing.assert_array_equal(films.difference(fine, coarse).values, -found.values)


def test_two_are_compared_in_one_map_with_a_scale_of_its_own(desk, small):
    state, say = a_state(compare="difference"), Words("en")
    view = filmed(painted(Map(state, say)))
    assert [pane.asked for pane in view.on_show] == [
        Pair(Shown("small", "satellite"), Shown("small", "truth"))
    ]
    assert say("difference_of") in view._legend.object
    assert len(hours(view)) == 6
    state.compare = "swipe"
    assert len(view.on_show) == 2
    assert view._curtain.drawn
    assert "swipe" in view.panes[1].panel.css_classes
    view.close()


def test_keys_choose_maps_comparison_and_palette(desk, small):
    state = a_state()
    for pressed, told in (
        ("4 panes#0#1", (4, "none", "default")),
        ("s#0#2", (4, "swipe", "default")),
        ("1 panes#0#3", (1, "none", "default")),
        ("p#0#4", (1, "none", "cma")),
    ):
        press(state, pressed)
        assert (state.panes, state.compare, state.palette) == told


def test_lists_follow_the_maps(desk, small):
    state = a_state()
    row = Choice(state, Words("en"))
    row.pickers[0].source.value = "truth"
    assert state.layer == "truth"
    state.compare = "swipe"
    assert row.pickers[1].panel.visible
    row.pickers[1].source.value = "truth"
    assert state.others == "truth"
    row.layers.toggled = []
    assert not state.gauges
    row.close()


# Scales and ground


@pytest.mark.parametrize("palette", PALETTES)
@pytest.mark.parametrize("span", [0.5, 1, 3, 6, 12, 24, 48])
@pytest.mark.parametrize("statistic", ["", "spread", "above", "difference"])
def test_every_scale_grows_and_has_a_colour_for_each_class(statistic, span, palette):
    scale = scale_of(statistic, span, palette)
    assert list(scale.edges) == sorted(set(scale.edges))
    assert len(scale.colours) == len(scale.edges)
    assert len(scale.palette) == len(scale.edges) + 2


def test_grades_are_those_of_the_standard_whatever_the_period():
    assert [scale_of("", 24, "cma").label(edge) for edge in scale_of("", 24, "cma").edges] == [
        "0.1", "10", "25", "50", "100", "250",
    ]  # fmt: skip
    assert scale_of("", 24, "cma").edges[1] == pytest.approx(10 / 24)
    assert scale_of("", 1).edges[0] > scale_of("", 6).edges[0] > scale_of("", 24).edges[0]


def test_lines_of_distance_lie_as_far_from_the_gauge_as_they_say():
    from app import raster
    from engine.fields import Box

    told = ground._contours(Box(108, 28, 116, 34), np.array([31.0]), np.array([112.0]))
    assert {text for text, _ in told} >= {"50 km", "100 km"}
    for text, line in told:
        lat, lon = np.radians(raster.to_lat(line[:, 1])), np.radians(raster.to_lon(line[:, 0]))
        away = np.sin((lat - np.radians(31)) / 2) ** 2
        away += np.cos(lat) * np.cos(np.radians(31)) * np.sin((lon - np.radians(112)) / 2) ** 2
        km = 2 * raster.EARTH_RADIUS_M / 1000 * np.arcsin(np.sqrt(away))
        np.testing.assert_allclose(km, float(text.split()[0]), rtol=0.02)


def test_no_tile_is_asked_for_until_somebody_wants_it(desk, small):
    state = a_state()
    view = Map(state, Words("en"))
    kinds = {type(each).__name__ for each in view.canvas.figure.renderers}
    assert "TileRenderer" not in kinds
    state.tiles = True
    assert "TileRenderer" in {type(each).__name__ for each in view.canvas.figure.renderers}
    view.close()
