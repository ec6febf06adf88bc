"""``rainloom fetch``: what lies in an archive far away, as one file here.

Progress goes to standard error. Ctrl-C stops it; what has come stays in the cache, and the same command goes
on from there.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.values import Invalid

if TYPE_CHECKING:
    from engine.archives import Asked, Part, Step

TEXT = "fetch rain from an archive far away, as one file"


def arguments(one: argparse.ArgumentParser) -> None:
    one.add_argument("archive", metavar="ARCHIVE", nargs="?", help="its name; without it they are listed")
    domain = "west south east north in degrees, as 100 20 125 45 or --domain=100,20,125,45"
    one.add_argument("--domain", nargs="+", metavar="DEGREES", help=domain)
    one.add_argument("--start", help="when the first interval begins, in UTC, as 2020-07-01T00:00")
    one.add_argument("--end", help="when the last interval ends")
    one.add_argument("--variables", default="rain", help="rain, and what is wanted beside it: rain,humidity")
    one.add_argument("--out", "-o", help="the file (default: the archive's name and the period)")
    one.add_argument("--dry-run", action="store_true", help="say what would come, and ask nobody")


def rows(options: argparse.Namespace) -> list[dict[str, Any]]:
    """What the command has to show: the archives, the parts that would come, or the file that came."""
    from engine.archives import fetched, plan

    if not options.archive:
        return _archives()
    asked = _asked(options)
    parts = plan(options.archive, asked)
    if options.dry_run:
        return [_row(part, there) for part, there in parts]
    name = f"{options.archive}-{asked.period.start:%Y%m%dT%H%M}-{asked.period.end:%Y%m%dT%H%M}.nc"
    out = Path(options.out or name)
    follow(fetched(options.archive, asked, out), options.archive)
    return [{"archive": options.archive, "file": str(out), "bytes": out.stat().st_size}]


def follow(steps: Iterable[Step], name: str) -> None:
    """Show each step: a bar on a terminal, a line a tenth elsewhere."""
    live, told, begun = sys.stderr.isatty(), (-1, ""), time.monotonic()
    for step in steps:
        share = step.done / step.total if step.total else 1.0
        text = f"{share:4.0%}  {step.done / 1e6:.0f} of {step.total / 1e6:.0f} MB  {step.stage}"
        waits = step.stage.partition("; again in ")[0] if "; again in " in step.stage else told[1]
        if live:
            bar = f"[{'=' * round(30 * share):<30}]"
            print(f"\r\033[K{name}  {bar} {text}", end="", file=sys.stderr, flush=True)
        elif (now := (int(share * 10), waits)) != told:
            told = now
            print(f"{name}  {text}", file=sys.stderr, flush=True)
    start = "\r\033[K" if live else ""
    print(f"{start}{name}  fetched in {time.monotonic() - begun:.1f} s", file=sys.stderr)


def _asked(options: argparse.Namespace) -> Asked:
    from engine.archives import Asked, remote_named
    from engine.fields import Box, Period

    interval = remote_named(options.archive).interval
    lacking = [f"--{name}" for name in ("domain", "start", "end") if not getattr(options, name)]
    if lacking:
        raise Invalid(f"fetch: give {', '.join(lacking)}; see rainloom fetch --help")
    box = Box.of(" ".join(options.domain))
    period = Period(options.start, options.end, interval)
    wanted = tuple(each.strip() for each in options.variables.split(",") if each.strip())
    return Asked(box, period, wanted)


def _archives() -> list[dict[str, Any]]:
    from engine.archives import remotes

    return [
        {
            "archive": name,
            "what it is": f"{one.title}, {one.step:g}°, {one.interval}",
            "variables": ", ".join(one.offers),
            "credentials": one.credentials,
            "terms": one.page,
        }
        for name, one in remotes().items()
    ]


def _row(part: Part, there: bool) -> dict[str, Any]:
    return {
        "part": part.name,
        "MB": 0.0 if there else round(part.size / 1e6, 1),
        "in the cache": "yes" if there else "no",
    }
