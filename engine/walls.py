"""Walls around a process: where it may write, and what it may take.

Linux builds the first wall itself (Landlock, since 5.13): once up, no call of this process, of Python's or of
a library's, writes, makes, moves or removes anything outside one folder, starts a program, or opens a
connection; not even with the rights of root. Elsewhere Python refuses the same of its own calls, which a
library in C does not ask. Memory, time and the size of files are bounded by the system's resource limits,
where it has them.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from pathlib import Path
from typing import Any

# Rights that Landlock handles, by their bit, and since which of its versions.
EXECUTE, WRITE_FILE, TRUNCATE = 1 << 0, 1 << 1, 1 << 14
CHANGES = {
    4: 1,
    5: 1,
    6: 1,
    7: 1,
    8: 1,
    9: 1,
    10: 1,
    11: 1,
    12: 1,
    13: 2,
    14: 3,
}  # remove, make, refer, truncate
DEVICES = 1 << 6 | 1 << 11
CONNECT_TCP, BIND_TCP, NETWORK_SINCE = 1 << 1, 1 << 0, 4
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
NO_NEW_PRIVILEGES, BENEATH = 38, 1
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
ACTS = ("subprocess.", "os.exec", "os.posix_spawn", "os.system", "os.fork", "socket.connect", "socket.bind")
MOVES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.truncate", "os.chmod")


def write_only_in(folder: Path) -> bool:
    """From now on; True if the system itself sees to it."""
    if _landlock(folder):
        return True
    sys.addaudithook(lambda event, told: _refuse(event, told, str(folder.resolve())))
    return False


def take_at_most(memory: int, seconds: int, file_bytes: int) -> None:
    """More memory than now, time of the processor, and bytes in any one file."""
    try:
        import resource
    except ImportError:  # Windows has none of it; whoever started this process counts the time
        return
    bounds = {"RLIMIT_CPU": seconds, "RLIMIT_FSIZE": file_bytes, "RLIMIT_CORE": 0}
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        bounds["RLIMIT_AS"] = pages * resource.getpagesize() + memory
    except OSError:
        bounds["RLIMIT_DATA"] = memory
    for name, most in bounds.items():
        _, hard = resource.getrlimit(getattr(resource, name))
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(getattr(resource, name), (most, most))


def _landlock(folder: Path) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(CREATE_RULESET, None, 0, 1)
    if version < 1:
        return False
    changes = sum(1 << bit for bit, since in CHANGES.items() if since <= version)
    network = CONNECT_TCP | BIND_TCP if version >= NETWORK_SINCE else 0
    handled = struct.pack("QQ", EXECUTE | WRITE_FILE | changes, network)[: 16 if network else 8]
    rules = libc.syscall(CREATE_RULESET, handled, len(handled), 0)
    if rules < 0:
        return False
    sink = WRITE_FILE | (changes & TRUNCATE)
    for place, allowed in ((folder, WRITE_FILE | changes & ~DEVICES), (Path(os.devnull), sink)):
        opened = os.open(place, os.O_PATH | os.O_CLOEXEC)
        rule = struct.pack("=Qi", allowed, opened)
        added = libc.syscall(ADD_RULE, rules, BENEATH, rule, 0)
        os.close(opened)
        if added:
            return False
    libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    up = libc.syscall(RESTRICT_SELF, rules, 0) == 0
    os.close(rules)
    return up


def _refuse(event: str, told: tuple[Any, ...], folder: str) -> None:
    if event.startswith(ACTS):
        raise PermissionError(f"{event} is not allowed here")
    writes = event == "open" and isinstance(told[2], int) and told[2] & WRITING
    if writes or event.startswith(MOVES):
        for each in told[:2] if event in ("os.rename", "os.link") else told[:1]:
            named = os.fsdecode(each) if isinstance(each, str | bytes) else ""
            inside = os.path.realpath(named).startswith(folder + os.sep)
            if named and named != os.devnull and not inside:
                raise PermissionError(f"{event} outside the folder is not allowed here")
