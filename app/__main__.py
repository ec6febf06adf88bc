"""``rainloom``: everything the page does, as commands. ``python -m app`` is the same.

Results go to standard output, progress and errors to standard error, so that output can be piped;
``--json`` prints one JSON value instead of a table. Exit codes: 0 done; 1 the run failed; 2 bad input,
told in one line; 3 cancelled; 130 stopped by Ctrl-C, with the finished members kept.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from app import casing, desktop, fetching, running
from app.meter import waiting
from app.reports import blocks, findings, listed, table
from app.running import show
from engine.values import Invalid


def serve(options: argparse.Namespace) -> int:
    from app.serving import serve as serve_page

    return serve_page(options.port, options.show)


def list_methods(options: argparse.Namespace) -> int:
    from engine.methods import methods, settings_of

    rows = [
        {"method": name, "title": cls.title, "needs": ", ".join(cls.needs), "uses": ", ".join(cls.uses)}
        for name, cls in methods().items()
    ]
    if options.name:
        from engine.methods import method

        method(options.name)
        cls = methods()[options.name]
        if not options.json:
            print(f"{cls.title}\n\n{cls.__doc__}\n")
        rows = [
            {
                "setting": each["name"],
                "default": each["default"],
                "values": _values(each),
                "what it does": each["doc"],
            }
            for each in settings_of(cls)
        ]
    show(rows, options.json)
    return 0


def _values(setting: dict[str, Any]) -> str:
    if setting["choices"]:
        return ", ".join(map(str, setting["choices"]))
    return "yes, no" if isinstance(setting["default"], bool) else f"{setting['low']:g} to {setting['high']:g}"


def list_cases(options: argparse.Namespace) -> int:
    from engine.sources import cases

    rows = [
        {
            "source": f"{case.name}/{name}",
            "what it is": about["title"],
            "kind": about["kind"],
            "role": about.get("role") or "",
            "native": about.get("native") or "",
        }
        for case in cases().values()
        for name, about in case.layers.items()
    ]
    show(rows, options.json)
    return 0


def inspect(options: argparse.Namespace) -> int:
    from engine.catalogue import as_told
    from engine.findings import report

    with waiting(options.file):
        found = report(options.file, options.reader, **as_told(options.told))
    print(json.dumps(asdict(found)) if options.json else findings(found))
    if found.refused:
        raise Invalid(found.refused)
    return 0


def list_sources(options: argparse.Namespace) -> int:
    show(listed(), options.json, blocks)
    return 0


def fetch(options: argparse.Namespace) -> int:
    show(fetching.rows(options), options.json, table if options.archive else blocks)
    return 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="rainloom", description="Ensembles of rain, with honest uncertainty.")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print JSON, for a program that reads")
    common.add_argument("--debug", action="store_true", help="show the details of an error")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, do: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=text, description=text, parents=[common])
        one.set_defaults(do=do)
        return one

    one = command("serve", serve, "start the page on this machine and say its address")
    one.add_argument("--port", type=int, help="port (default: 5006, or the next free one)")
    one.add_argument("--show", action="store_true", help="open it in a browser")
    desktop.arguments(command("desktop", desktop.desktop, desktop.TEXT))
    one = command("methods", list_methods, "list the methods, or explain one and its settings")
    one.add_argument("name", nargs="?", help="a method")
    running.arguments(command)
    _of_sources(command)
    return top


def _of_sources(command: Callable[..., argparse.ArgumentParser]) -> None:
    command("cases", list_cases, "list the installed cases and their layers")
    command("sources", list_sources, "list what is registered in sources.yaml, in RAINLOOM_HOME")
    one = command("inspect", inspect, "tell what a source holds, how it was read, and what looks wrong")
    one.add_argument("file", metavar="FILE", help="a path, a pattern, or a name such as front/satellite")
    one.add_argument("told", nargs="*", metavar="KEY=VALUE", help="what it does not say, as unit=mm")
    one.add_argument("--as", dest="reader", metavar="READER", help="read it with this reader")
    casing.arguments(command("case", casing.case, casing.TEXT))
    fetching.arguments(command("fetch", fetch, fetching.TEXT))


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        return options.do(options)
    except Invalid as refused:
        print(f"rainloom: {refused}", file=sys.stderr)
        if options.debug:
            traceback.print_exc()
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        print(f"rainloom: {type(error).__name__}: {error} (--debug shows where)", file=sys.stderr)
        if options.debug:
            traceback.print_exc()
        return 1


if __name__ == "__main__":
    sys.exit(main())
