"""The shell: the header, the setup and the runs at the left, the map and its time bar; one call a session.

The link is read before any view is built. Views know only the state; the shell puts them side by side and
gives them their beat: one callback a session compares the journal's version with the last one seen and has
the views follow only when it moved. Whatever the session made ends with the session.
"""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui

from app import roles, store
from app.clock import mind_the_line
from app.state import RUN, State, stamp
from app.theme import LANGUAGES, Words, dress, sheet
from app.views import View
from app.views.choice import Choice
from app.views.maps import Map
from app.views.notice import Notice
from app.views.runs import Runs
from app.views.series import TimeBar
from app.views.setup import Setup
from engine.methods import methods
from engine.sources.cases import Case

VIEWS: tuple[type[View], ...] = (Setup, Runs, Choice, Map, TimeBar, Notice)
BEAT = 250  # ms between two looks at the version of the journal
FRAME = {
    "& .MuiAppBar-root": {
        "boxShadow": "none",
        "backgroundImage": "none",
        "backgroundColor": "background.paper",
        "color": "text.primary",
        "borderBottom": "1px solid",
        "borderColor": "divider",
        "& .title": {
            "color": "text.primary",
            "fontSize": "1.2rem",
            "fontWeight": 700,
            "letterSpacing": "-0.01em",
        },
        "& .logo": {"height": "30px"},
        "& .MuiIconButton-edgeStart": {"display": "none"},  # its tooltip speaks one language only
    },
    "& .MuiToolbar-root": {"minHeight": "54px !important"},
    "& .main": {"minWidth": 0},
}
LOGO = Path(__file__).parent / "logo.svg"


def make() -> Any:
    """The page of one session."""
    pn.extension(global_loading_spinner=False)
    state = State()
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
        case=case.name,
        time=stamp(state.end_of_interval if state.end_of_interval in times else times[len(times) // 2]),
        method=state.method if _possible(state.method, case) else _first_method(case),
    )
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
        self._seen = -1
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
        self._build()
        state.param.watch(lambda *_: self._build(), ["language", "case"])
        state.param.watch(
            self._write_link, ["case", "time", "layer", "run", "statistic", "member", "above", "language"]
        )
        state.param.watch(lambda event: self.page.param.update(dark_theme=event.new), "dark")
        self._location = pn.state.location
        if self._location is not None:
            self._watch = self._location.param.watch(self._link_changed, "search")
        # A page that is fetched and never opened is not loaded and would be kept for it: hold it weakly.
        mine = weakref.WeakMethod(self._loaded)
        pn.state.onload(lambda: loaded() if (loaded := mine()) else None)
        pn.state.on_session_destroyed(lambda _context: self.close())

    def _build(self) -> None:
        """Make every view, in the language and for the case that are chosen now."""
        for view in self.views.values():
            view.close()
        complete(self.state)
        say = Words(self.state.language)
        self.views = {cls: cls(self.state, say) for cls in VIEWS}
        setup, runs, choice, maps, bar, notice = (self.views[cls] for cls in VIEWS)
        for view in (setup, runs):
            view.on_copy(bar.clock.copy)
            view.on_copy(lambda _text: notice.tell(say("copied")))
        self.page.header = header(self.page, self.state, say)
        self.page.sidebar = [self._side(say, setup, runs)]
        work = pn.Column(
            choice.panel,
            maps.panel,
            bar.panel,
            notice.panel,
            sizing_mode="stretch_both",
            margin=0,
            stylesheets=[sheet("work")],
        )
        self.page.main = [work]
        if self._seen >= 0:
            maps.warm()

    def _side(self, say: Words, setup: Setup, runs: Runs) -> Any:
        names = ["setup", "runs"]
        tabs = pmui.Tabs(
            (say("tab_setup"), setup.panel),
            (say("tab_runs"), runs.panel),
            active=names.index(self.state.tab),
            sizing_mode="stretch_both",
            margin=0,
            css_classes=["side"],
            stylesheets=[sheet("side")],
        )
        tabs.param.watch(lambda event: self.state.param.update(tab=names[event.new]), "active")
        setup.watch(lambda: tabs.param.update(active=names.index(self.state.tab)), "tab")
        return tabs

    def _loaded(self) -> None:
        store.begin()
        self._seen = store.version()
        pn.state.add_periodic_callback(self._tick, period=BEAT)
        self.views[Map].warm()
        self._write_link()

    def _tick(self) -> None:
        version = store.version()
        if version != self._seen:
            self._seen = version
            for view in self.views.values():
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


def header(page: Any, state: State, say: Words) -> list[Any]:
    """The case, the language and the dress."""
    cases = {
        case.title if say.language == "en" else say.maybe(f"case_{case.name}", case.title): case.name
        for case in store.cases().values()
    }
    case = pmui.Select(
        label="",
        options=cases,
        value=state.case,
        width=220,
        size="small",
        margin=(0, 8, 0, 24),
        variant="outlined",
        sx={"& .MuiSelect-select, & svg": {"color": "var(--panel-on-background-color) !important"}},
    )
    case.param.watch(lambda event: state.param.update(case=event.new), "value")
    language = pmui.RadioButtonGroup(
        options={label: name for name, label in LANGUAGES.items()},
        value=state.language,
        size="small",
        margin=(0, 8),
    )
    language.param.watch(lambda event: state.param.update(language=event.new), "value")
    dark = pmui.ToggleIcon(
        icon="dark_mode",
        active_icon="light_mode",
        value=state.dark,
        description=say("dark"),
        margin=0,
        sx={"& .MuiIcon-root": {"color": "var(--panel-on-background-color) !important"}},
    )
    dark.param.watch(lambda event: state.param.update(dark=event.new), "value")
    fold = pmui.IconButton(icon="menu", description=say("fold"), margin=(0, 0, 0, 12))
    fold.on_click(lambda _: page.param.update(sidebar_open=not page.sidebar_open))
    return [fold, case, pn.Spacer(sizing_mode="stretch_width"), language, dark]
