"""The shell: the header with its screens, the setup at the left, the screen on show over the time bar.

One call a session. The link is read before any view is built. Views know only the state; the shell puts them
side by side and gives them their beat: one callback a session compares the journal's version with the last
one seen and has the views follow only when it moved. A screen is built when it is first opened and then kept,
hidden while another is on show. Whatever the session made ends with the session.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui

from app import roles, store
from app.clock import mind_the_line
from app.events import Event
from app.header import FRAME, header, tabs
from app.keys import press
from app.state import LINKED, RUN, SCREENS, State, stamp
from app.theme import Words, dress, sheet
from app.views import View, in_order
from app.views.choice import Choice
from app.views.files import Files
from app.views.gauges import GaugeRegister
from app.views.inspect import Inspect
from app.views.keys import Keys
from app.views.maps import Map
from app.views.notice import Notice
from app.views.report import Report
from app.views.runs import Runs
from app.views.series import TimeBar
from app.views.setup import Setup
from app.views.stamps import Ensemble
from app.views.stories import Stories, Teller
from app.views.strip import Strip
from app.views.verify import Verify
from app.views.welcome import Welcome
from engine.methods import methods
from engine.sources.cases import Case, changed

ALWAYS: tuple[type[View], ...] = (Setup, Files, Strip, TimeBar, Notice, Keys, Teller)
# A screen's views stand one below the other, but for those that stand beside them.
VIEWS: tuple[type[View], ...] = (
    Welcome,
    *(Choice, Map, GaugeRegister, Inspect),
    *(Ensemble, Verify, Runs, Report, Stories),
)
THERE = [name for name in SCREENS if any(cls.screen == name for cls in VIEWS)]
OF_AN_HOUR = ("explore", "ensemble")  # screens that stand over the time bar
WIDE = ("welcome", "stories")  # screens that need no setup beside them
BEAT = 250  # ms between two looks at the version of the journal
LOGO = Path(__file__).parent / "logo.svg"


def make() -> Any:
    """The page of one session."""
    pn.extension("filedropper", global_loading_spinner=False)
    state = State(screen="welcome")
    if pn.state.location is not None:
        state.follow(pn.state.location.search)
    complete(state)
    return Session(state).page


def complete(state: State) -> None:
    """Fill in what the link left open or said of things that are not here."""
    run = store.run(state.run)
    case = store.case(state.case or (store.case_of(run.task) if run else ""))
    if run and store.case_of(run.task) != case.name:
        run = None
    times = run.task.period.times if run and state.layer == RUN else case.period.times
    shown = store.fields(case)
    if state.layer not in shown and not (state.layer == RUN and run):
        state.layer = next((name for name in shown if case.layers[name]["role"] == "background"), shown[0])
    whole = case.period
    state.param.update(
        screen=state.screen if state.screen in THERE else "explore",
        case=case.name,
        time=stamp(state.end_of_interval if state.end_of_interval in times else times[len(times) // 2]),
        method=state.method if _possible(state.method, case) else _first_method(case),
    )
    event, spot = Event.of(state.event), state.spot
    if event is None or not event.within(whole):
        state.event = ""
    if spot is None or not case.box.contains(*spot):
        state.place = ""
    if not stamp(whole.start) <= state.start < state.end <= stamp(whole.end):
        state.param.update(start=stamp(whole.start), end=stamp(whole.end), every=whole.interval)
    roles.complete(state, case)


def _possible(name: str, case: Case) -> bool:
    cls = methods().get(name)
    return bool(cls) and ("gauges" not in cls.needs or store.gauge_layer(case) is not None)


def _first_method(case: Case) -> str:
    """Kriging where there are gauges, else the first that a task is shipped for."""
    if store.gauge_layer(case):
        return "kriging"
    return next((name for name in methods() if roles.example(case.name, name)), next(iter(methods())))


class Session:
    """What one open page is made of."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.views: dict[type[View], Any] = {}
        self.screens: dict[str, Any] = {}
        self._seen, self._wide = -1, False
        self.page = pmui.Page(
            title="Rainloom",
            logo=LOGO,
            favicon=LOGO,
            sidebar_width=328,
            sidebar_resizable=False,
            theme_toggle=False,
            busy_indicator=None,
            theme_config=dress(),
            site_url="",
            sx=FRAME,
        )
        unbind(self.page)
        mind_the_line(pn.state.curdoc, Words(state.language)("offline"))
        self._location = pn.state.location
        self._build()
        self._fold()
        self._on(self._build, "language", "case", "zone")
        self._on(lambda: self._build() if state.zone == "local" else None, "local")
        self._on(self._open, "screen")
        state.param.watch(lambda *_: self._fold(), ["screen", "story"])
        state.param.watch(self._write_link, list(LINKED))
        state.param.watch(lambda event: self.page.param.update(dark_theme=event.new), "dark")
        if self._location is not None:
            self._watch = self._location.param.watch(self._link_changed, "search")
        # A page that is fetched and never opened is not loaded and would be kept for it: hold it weakly.
        mine = weakref.WeakMethod(self._loaded)
        pn.state.onload(lambda: loaded() if (loaded := mine()) else None)
        pn.state.on_session_destroyed(lambda _context: self.close())

    def _on(self, call: Callable[[], None], *names: str) -> None:
        """Call when a choice changes."""
        document = pn.state.curdoc

        def changed(*_events: Any) -> None:
            with in_order(document):
                call()

        self.state.param.watch(changed, list(names))

    def _build(self) -> None:
        """Make the views in the language and for the case that are chosen now."""
        for view in self.views.values():
            view.close()
        self.views.clear()
        self.screens.clear()
        complete(self.state)
        self.say = Words(self.state.language, self.state.clock_zone)
        setup, files, strip, bar, notice, keys, teller = (self._view(cls) for cls in ALWAYS)
        bar.clock.param.watch(lambda event: press(self.state, event.new), "pressed")
        bar.clock.param.watch(lambda event: self.state.hear_zone(event.new), "zone")
        for view in (setup, files, strip):
            self._serve(view)
        self._head()
        self.page.sidebar = [
            pn.Column(files.panel, setup.panel, strip.panel, sizing_mode="stretch_both", margin=0)
        ]
        self._work = pn.Column(sizing_mode="stretch_both", margin=0)
        work = pn.Column(
            self._work,
            bar.panel,
            notice.panel,
            keys.panel,
            sizing_mode="stretch_both",
            margin=0,
            stylesheets=[sheet("work")],
        )
        self.page.main = [pn.Row(work, teller.panel, sizing_mode="stretch_both", margin=0)]
        self._open()

    def _head(self) -> None:
        """The header, which knows the cases that there are."""
        self._cases = changed()
        self._tabs = tabs(self.state, self.say, THERE)
        self.page.header = header(self.page, self.state, self.say, self._tabs, self._share)

    def _share(self) -> None:
        place = self._location.href.partition("?")[0] if self._location is not None else ""
        self.views[Setup].copy(f"{place}?{self.state.query()}")

    def _view(self, cls: type[View]) -> Any:
        view = self.views[cls] = cls(self.state, self.say)
        return view

    def _serve(self, view: View) -> None:
        """What only the page can do, for a view."""
        clock, notice, copied = self.views[TimeBar].clock, self.views[Notice], self.say("copied")

        def copy(text: str) -> None:
            clock.copy(text)
            notice.tell(copied)

        view.copy, view.tell = copy, notice.tell

    def _open(self) -> None:
        """Show the screen that is chosen; the first time it is made."""
        name = self.state.screen if self.state.screen in THERE else "explore"
        if name not in self.screens:
            made = [self._view(cls) for cls in VIEWS if cls.screen == name]
            for view in made:
                self._serve(view)
            if name == "explore":
                self.views[Map].lead(self.views[TimeBar].bars.head)
            below, beside = ([view.panel for view in made if view.beside == side] for side in (False, True))
            column = pn.Column(*below, sizing_mode="stretch_both", margin=0)
            self.screens[name] = pn.Row(column, *beside, sizing_mode="stretch_both", margin=0, name=name)
            self._work.append(self.screens[name])
            if name == "explore" and self._seen >= 0:
                self.views[Map].warm()
        else:
            for cls, view in self.views.items():
                if cls.screen == name:
                    view.follow()
        for other, screen in self.screens.items():
            screen.visible = other == name
        self._tabs.active = THERE.index(name)
        self.views[TimeBar].panel.visible = name in OF_AN_HOUR

    def _fold(self) -> None:
        """The setup makes room where nothing is set up, and comes back afterwards."""
        wide = self.state.screen in WIDE or bool(self.state.story)
        if wide != self._wide:
            self._wide = wide
            self.page.sidebar_open = not wide

    def _loaded(self) -> None:
        store.begin()
        self._seen = store.version()
        pn.state.add_periodic_callback(self._tick, period=BEAT)
        if Map in self.views:
            self.views[Map].warm()
        self._write_link()

    def _tick(self) -> None:
        if self._cases != changed():
            self.state.case = store.case(self.state.case).name
            self._head()
        version = store.version()
        if version != self._seen:
            self._seen = version
            with in_order(pn.state.curdoc):
                for view in self.views.values():
                    if view.shown:
                        view.follow()

    def _write_link(self, *_events: Any) -> None:
        if self._location is not None and self._location.search != (link := "?" + self.state.query()):
            self._location.search = link

    def _link_changed(self, event: Any) -> None:
        """The address was changed by hand, or by going back."""
        if event.new != "?" + self.state.query():
            self.state.follow(event.new)
            complete(self.state)

    def close(self) -> None:
        for view in self.views.values():
            view.close()
        self.views.clear()
        if self._location is not None:  # it is kept by its document, and the document by the views
            self._location.param.unwatch(self._watch)
            self._location = None


def unbind(page: Any) -> None:
    """Cut the page from the busy state of the server, which would message and keep alive every session."""
    watchers = pn.state.param.watchers.get("busy", {}).get("value", [])
    for watcher in [each for each in watchers if getattr(each.fn, "__self__", None) is not None]:
        if getattr(watcher.fn.__self__, "self", None) is page:
            pn.state.param.unwatch(watcher)
