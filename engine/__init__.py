"""The engine: from imperfect records to ensembles of rain fields. It never knows the page.

Read `fields` first (the words and conventions), then `tasks` (what is asked for), `sources` and
`methods` (two folders to which anyone may add), `runs` and `runner` (what is kept, who works). Of the half
that needs torch, `denoise` first (a prior is one function), then `evidence`, `guide`, `sample` and `sketch`.
"""

import functools
import hashlib
import os
import threading
from pathlib import Path

# HDF5 is not safe to read from two threads at once. Whoever reads holds this, xarray's lazy arrays included.
READING = threading.RLock()


def home() -> Path:
    """The folder of what belongs to the user: runs and cases. ``RAINLOOM_HOME`` moves it."""
    named = os.environ.get("RAINLOOM_HOME")
    return Path(named).expanduser() if named else Path.home() / ".local" / "share" / "rainloom"


@functools.cache
def fingerprint() -> str:
    """A hash of every line of the engine: what an older one computed is not taken for today's."""
    files = sorted(Path(__file__).parent.rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
