"""A server's store that belongs to one test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app import films, ground, points, store

STORED = (store._hours, store._seen, store._layers, store._sums)


@pytest.fixture
def desk(home) -> Iterator[None]:
    """The store of the server begins empty in this test's home, and is closed after it."""

    def clear() -> None:
        for worker in (store._pictures, store._series, store._tasks):  # what is asked for reads the journal
            worker.submit(int).result(120)
        if store._runner.cache_info().currsize:
            store._runner().close()
        if store._journal.cache_info().currsize:
            store._journal().close()
        for each in (store._runner, store._journal):
            each.cache_clear()
        for shelf in (*STORED, films._chunks, films._differences, ground._shelf):
            shelf.clear()
        points.clear()

    clear()
    yield
    clear()
