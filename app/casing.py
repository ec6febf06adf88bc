"""``rainloom case``: a case of one's own, from sources that the readers read.

Each source may be followed by what it does not say of itself, as ``unit=mm``, and by what it is in the case:
``role=reference``, ``layer=radar``, ``title=...``, ``independent=true``, ``licence=...``, ``reader=cf``.
Progress goes to standard error, the file's name to standard output.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from engine.values import Invalid, plain_yaml

if TYPE_CHECKING:
    from engine.gathered import Part

TEXT = "make a case of your own from sources: files, folders, patterns, names of sources.yaml"
OWN = ("role", "layer", "title", "independent", "licence", "reader")  # what a source is in the case


def arguments(one: argparse.ArgumentParser) -> None:
    one.add_argument("name", metavar="NAME", help="what the case is called")
    one.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="a source, and after it what it does not say (unit=mm) and is (role=reference)",
    )
    one.add_argument("--gauges", nargs="+", default=[], metavar="SOURCE", help="gauges, told in the same way")
    domain = "degrees; without it what all sources cover"
    one.add_argument("--domain", nargs=4, metavar=("W", "S", "E", "N"), help=domain)
    one.add_argument("--start", help="when the first interval begins, in UTC; without it what all cover")
    one.add_argument("--end", help="when the last interval ends")
    one.add_argument("--step", help="length of its intervals (default: the longest of its sources)")
    one.add_argument("--title", default="", help="what it is, in a few words")
    one.add_argument("--replace", action="store_true", help="take the place of a case of this name")


def case(options: argparse.Namespace) -> int:
    """Make the case, and say where it is."""
    from engine.fields import Box
    from engine.gathered import gather, place_of

    path = place_of(options.name)
    if path.exists() and not options.replace:
        raise Invalid(f"case: {options.name} is there already; give another name, or --replace")
    parts = [*named(options.sources), *named(options.gauges)]
    box = Box.of(options.domain) if options.domain else None
    gather(path, parts, box, (options.start, options.end, options.step), options.title, heard)
    print(json.dumps({"case": options.name, "file": str(path)}) if options.json else path)
    return 0


def heard(share: float, source: str) -> None:
    print(f"{share:4.0%}  {source}", file=sys.stderr, flush=True)


def named(words: Sequence[str]) -> list[Part]:
    """Sources, each with the KEY=VALUE that follow it."""
    from engine.catalogue import TOLD, as_told
    from engine.gathered import Part

    found: list[tuple[str, list[str], dict[str, Any]]] = []
    for word in words:
        key, _, value = word.partition("=")
        if found and key in OWN and value:
            said = plain_yaml(value, f"case: {key}") if key == "independent" else value
            found[-1][2][key] = said
        elif found and key in TOLD and value:
            found[-1][1].append(word)
        else:
            found.append((word, [], {}))
    return [Part(name, told=as_told(told), **own) for name, told, own in found]
