"""ecCodes, which reads GRIB, kept to itself.

Its wheel brings copies of PROJ, SQLite, OpenSSL and others, and its loader puts them before those of every
library that is loaded later: pyproj then ends the interpreter, and Python's own SQLite turns years older.
Loaded here first, they are seen by ecCodes alone, in whatever order libraries come.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from engine.values import Invalid

UNPACKING = threading.RLock()  # ecCodes is not safe in two threads


@functools.cache
def library() -> Any:
    """ecCodes, its own libraries kept to itself."""
    try:
        import findlibs

        shared = findlibs._load_globally
        findlibs._load_globally = ctypes.CDLL
        try:
            import eccodes
        finally:
            findlibs._load_globally = shared
    except (ImportError, RuntimeError, OSError):
        raise Invalid(
            "GRIB needs ecCodes, which is not installed; run: pip install eccodes eccodeslib (the extra grib)"
        ) from None
    return eccodes


@contextmanager
def opened(content: bytes) -> Iterator[Any]:
    eccodes = library()
    with UNPACKING:
        handle = eccodes.codes_new_from_message(content)
        try:
            yield handle
        finally:
            eccodes.codes_release(handle)


def reader_of(handle: Any) -> Callable:
    """What a message says under a key, or what is given if it says nothing."""
    eccodes = library()

    def told(key: str, default: Any, kind: type | None = None) -> Any:
        try:
            return eccodes.codes_get(handle, key, kind or type(default))
        except (eccodes.CodesInternalError, ValueError):
            return default

    return told
