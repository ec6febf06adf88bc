"""Files leave by HTTP, never by the websocket: ``/files/RUN/FILE`` streams from the disk in pieces.

Only runs of the journal and the names in `app.files.FILES` are known here; everything else is a 404 in one
line, so a path can lead nowhere else. `rainloom serve` hands `ROUTES` to the server; `panel serve app` takes
them from `app/app_hooks.py`. Whoever must log in for the page must log in for its files.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import panel as pn
from bokeh.server.views.auth_request_handler import AuthRequestHandler
from tornado.iostream import StreamClosedError
from tornado.web import authenticated

from app import files, store
from app.theme import LANGUAGES
from engine.values import Invalid

PIECE = 1 << 18  # bytes


class Delivery(AuthRequestHandler):
    """One file of one run."""

    @authenticated
    async def get(self, asked: str) -> None:
        run, _, name = asked.partition("/")
        language = self.get_argument("language", "en")
        if store.run(run) is None or name not in files.FILES or language not in LANGUAGES:
            return await self._refuse(404, "files: no such file; the page's Report screen lists them")
        try:
            path, wait = files.prepared(store.journal(), run, name, language)
            if wait is not None:
                path = await asyncio.wrap_future(wait)
        except Invalid as refused:
            return await self._refuse(404, str(refused))
        assert path is not None
        return await self._send(path, f"{run}-{name}", name)

    async def _send(self, path: Path, called: str, name: str) -> None:
        shown = name == "report.html" and not self.get_argument("save", "")
        self.set_header("Content-Type", files.FILES[name])
        self.set_header("Content-Length", path.stat().st_size)
        self.set_header("Cache-Control", "no-cache")
        self.set_header("X-Content-Type-Options", "nosniff")
        how = "inline" if shown else "attachment"
        self.set_header("Content-Disposition", f'{how}; filename="{called}"')
        loop = asyncio.get_running_loop()
        with path.open("rb") as stream:
            while piece := await loop.run_in_executor(None, stream.read, PIECE):
                self.write(piece)
                try:
                    await self.flush()
                except StreamClosedError:
                    return

    async def _refuse(self, code: int, line: str) -> None:
        self.set_status(code)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        await self.finish(line + "\n")


def address(run: str, name: str, language: str, *, save: bool = True) -> str:
    """Where a browser finds a file; to be saved, or shown."""
    return f"{pn.state.base_url}files/{run}/{name}?language={language}" + ("&save=1" if save else "")


ROUTES = [(r"/files/(.*)", Delivery)]
