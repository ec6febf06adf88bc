"""Bytes over a network that fails: going on where a transfer was cut, trying again, saying why not.

A transfer is a generator: whoever iterates shows how far it is, and stops it by no longer iterating. What
has come stays on disk, and the next transfer to the same path goes on from there.
"""

from __future__ import annotations

import errno
import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from engine.values import Invalid

WAITS = (2, 8, 30)  # s before each further attempt
LONGEST_REASON = 240  # characters
LONGEST_WAIT = 120  # s, however long a server asks to wait
TIMEOUT = (15, 60)  # s to be connected, and between two pieces
PIECE = 2**20  # bytes
HASHES = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-512": "sha512"}
PASSING = (408, 425, 429, 500, 502, 503, 504)  # of HTTP
FULL = (errno.ENOSPC, errno.EDQUOT)
NETWORK = ("requests", "urllib3", "aiohttp", "gcsfs", "http", "urllib", "ssl", "socket")  # whose errors pass


class Broken(Exception):
    """What came is not what was announced; it may be when it is fetched again."""


class Refused(Exception):
    """A page came instead of the file."""

    status = 403


def reachable(url: str) -> None:
    """Raise what hinders a file from being fetched, at once: some libraries try long before they say it."""
    import requests

    with requests.head(url, timeout=TIMEOUT, allow_redirects=True) as answer:
        answer.raise_for_status()


def download(
    session: Any, url: str, path: Path, size: int | None = None, checksum: tuple[str, str] | None = None
) -> Iterator[int]:
    """Bring a file, or the rest of one; yields how many bytes there are.

    The checksum is the name of its kind and its value; what is of an unknown kind is judged by size alone.
    """
    have = path.stat().st_size if path.exists() else 0
    if size is None or have != size:
        yield from _rest(session, url, path, have, size)
    kind = HASHES.get(checksum[0].upper()) if checksum else None
    if kind is not None and checksum is not None:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, kind).hexdigest()
        if found != checksum[1].lower():
            path.unlink()
            raise Broken("its checksum is not the one announced")


def _rest(session: Any, url: str, path: Path, have: int, size: int | None) -> Iterator[int]:
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        if answer.status_code == 416:  # what is here is longer than what is there
            path.unlink(missing_ok=True)
            raise Broken("it has changed since it was begun")
        answer.raise_for_status()
        if "html" in answer.headers.get("Content-Type", ""):
            raise Refused
        if answer.status_code != 206:  # the whole of it, whether or not a part was asked for
            have = 0
        told = answer.headers.get("Content-Length")
        whole = size if size is not None else have + int(told) if told else None
        with path.open("ab" if have else "wb") as file:
            for piece in answer.iter_content(PIECE):
                file.write(piece)
                have += len(piece)
                yield have
    if whole is not None and have != whole:
        if have > whole:
            path.unlink()
        raise Broken(f"{have} of {whole} bytes came")


def attempts(bring: Callable[[], Iterator[Any]], title: str, credentials: str, page: str) -> Iterator[Any]:
    """What ``bring`` yields, begun again a few times if what hinders it may pass."""
    for wait in (*WAITS, None):
        try:
            yield from bring()
            return
        except Invalid:
            raise
        except Exception as error:  # of whichever library
            reason, passing = trouble(error, credentials, page)
            if wait is None or not passing:
                kept = "; what has come is kept, try again later" if passing else ""
                raise Invalid(f"fetch: {title} {reason}{kept}") from error
            yield from waiting(max(wait, _asked_to_wait(error)), reason)


def waiting(seconds: int, why: str) -> Iterator[str]:
    """Wait, and say so every second, so that whoever follows may stop."""
    for left in range(seconds, -1, -1):
        yield f"{why}; again in {left} s"
        if left:
            time.sleep(1)


def trouble(error: Exception, credentials: str, page: str) -> tuple[str, bool]:
    """Why, after the name of the archive, and whether it may pass."""
    status = _status(error)
    if status == 401:
        return f"does not know the credentials in {credentials}; renew them at {page}", False
    if status == 403:
        return f"refuses access; accept its terms at {page} (credentials: {credentials})", False
    if status == 404 or isinstance(error, FileNotFoundError):
        return "does not have what was asked for; choose another period", False
    if status in PASSING:
        return f"is busy (HTTP {status})", True
    if isinstance(error, OSError) and error.errno in FULL:
        return "sends more than the disk can hold; free some, what has come is kept", False
    if isinstance(error, Broken):
        return f"sent something incomplete ({error})", True
    library = type(error).__module__.partition(".")[0]
    if status is None and (isinstance(error, ConnectionError | TimeoutError) or library in NETWORK):
        return f"cannot be reached, or broke off ({type(error).__name__}); is there a network?", True
    said = "; ".join(str(error).split("\n"))[:LONGEST_REASON] or "no reason given"
    return f"could not give it ({type(error).__name__}: {said})", False


def _status(error: Exception) -> int | None:
    """The status of HTTP that an error of requests, aiohttp, gcsfs or ours speaks of."""
    said: list[Any] = [getattr(getattr(error, "response", None), "status_code", None)]
    said += [getattr(error, name, None) for name in ("status", "code")]
    return next((int(each) for each in said if str(each).isdigit()), None)


def _asked_to_wait(error: Exception) -> int:
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    said = str(headers.get("Retry-After", ""))
    return min(int(said), LONGEST_WAIT) if said.isdigit() else 0
