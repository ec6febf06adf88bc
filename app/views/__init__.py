"""Views: the pieces of the page, each a stranger to the others. One file a view.

A view is made from the `State` of its session and the `Words` of its language. It has a ``panel`` to be
placed on the page, ``follow()`` to be called when any run changed, and ``close()`` for the end. It writes
choices into the state, watches the choices it depends on, and asks `app.store` for what follows. What only
the page can do for it, the shell hands it: ``copy`` puts a text on the clipboard, ``tell`` says a line.

Some views are always there, others make up a screen: these are made when their screen is first opened, and
stay. A screen that is not on show need not be right: a view that is costly to draw looks at ``shown``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import panel as pn
from panel.io.document import hold
from tornado.ioloop import IOLoop

from app.state import State
from app.theme import Words


@contextlib.contextmanager
def in_order(document: Any) -> Iterator[None]:
    """What changes in here reaches the browser in the order in which it changed.

    Bokeh writes its messages when the document's lock is let go, Panel its own at once: without this a
    message that only names a new figure may overtake the one that brings it, and the page loses its way.
    """
    if document is None or document.session_context is None:
        yield
    else:
        with hold(document, "collect"):
            yield


class View:
    """What every view shares: its watches end with it, and slow work wakes it at most once at a time."""

    panel: Any
    screen = ""  # that it is part of; none: it is always there
    beside = False  # at the right of its screen instead of below the views before it

    def __init__(self, state: State, say: Words) -> None:
        self.copy: Callable[[str], None] = lambda _text: None
        self.tell: Callable[[str], None] = lambda _text: None
        self.state, self.say, self.closed = state, say, False
        self._document, self._loop = pn.state.curdoc, IOLoop.current()
        self._watches: list[Any] = []
        self._woken: set[Callable[[], None]] = set()

    def watch(self, call: Callable[[], Any], *names: str) -> None:
        self._watches.append(self.state.param.watch(lambda *_: self._call(call), list(names)))

    def _call(self, call: Callable[[], Any]) -> None:
        if not self.closed:
            with in_order(self._document):
                call()

    def after(self, works: Sequence[Future[Any]], call: Callable[[], None]) -> None:
        """Call on the session's own loop once any of this is ready; many at once make one call."""

        def wake(_done: Future[Any]) -> None:
            # Runs on the worker's thread: it may only leave a note for the loop. The document itself would
            # lose a callback that is added while it lets go of the events it held back.
            with contextlib.suppress(RuntimeError):  # the loop is gone: the server is closing
                self._loop.add_callback(plan)

        def plan() -> None:
            self._plan(call)

        if self._document is not None:
            for work in works:
                work.add_done_callback(wake)

    def soon(self, call: Callable[[], None]) -> None:
        """Call with the document's lock, without which no Bokeh object may be touched: an event of a widget
        comes without it. Many at once make one call."""
        if self._document is not None:
            self._loop.add_callback(self._plan, call)
        elif not self.closed:  # there is no document: nobody looks, nothing is locked
            call()

    def _plan(self, call: Callable[[], None]) -> None:
        def run() -> None:
            self._woken.discard(call)
            self._call(call)

        if self._document and self._document.session_context and call not in self._woken:
            self._woken.add(call)
            self._document.add_next_tick_callback(run)

    def next_tick(self, call: Callable[[], None]) -> None:
        """Call once the browser has what was made so far."""
        if self._document is None or self._document.session_context is None:
            call()
        else:
            self._document.add_next_tick_callback(lambda: self._call(call))

    @property
    def shown(self) -> bool:
        """Whether its screen is on show."""
        return self.screen in ("", self.state.screen)

    def follow(self) -> None:
        """Some run changed, or its screen came on show."""

    def close(self) -> None:
        self.closed = True
        for watch in self._watches:
            self.state.param.unwatch(watch)
        self._watches.clear()
        self._document = None
