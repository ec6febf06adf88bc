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
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app import fetching
from app.meter import follow, waiting
from app.reports import at_thresholds, blocks, findings, listed, scores, sentences, side_by_side, table, told
from engine.values import Invalid

if TYPE_CHECKING:
    from engine.runner import Runner
    from engine.runs import Run, Store

ENDED = {"done": 0, "failed": 1, "cancelled": 3, "interrupted": 3}


def show(rows: Sequence[dict[str, Any]], as_json: bool, as_text: Callable = table) -> None:
    if as_json:
        finite = [{key: None if value != value else value for key, value in row.items()} for row in rows]
        print(json.dumps(finite, default=str))
    else:
        print(as_text(rows) if rows else "none yet")


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


def run(options: argparse.Namespace) -> int:
    from dataclasses import replace

    from engine.runner import Runner
    from engine.runs import Store
    from engine.tasks import Task

    path = Path(options.task)
    if options.task != "-" and not path.is_file():
        raise Invalid(f"task: no file {path}; a whole one is assets/tasks/front-kriging.yaml")
    try:
        text = sys.stdin.read() if options.task == "-" else path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise Invalid(f"task: {path} is no text file; give a task in YAML") from None
    task = Task.of_yaml(text)
    if options.members is not None:
        task = replace(task, members=options.members)
    store = Store()
    runner = Runner(store, "command")
    return _ended(store, runner, lambda: runner.submit(task, fresh=options.fresh), options.json)


def resume(options: argparse.Namespace) -> int:
    from engine.runner import Runner
    from engine.runs import Store

    store = Store()
    runner = Runner(store, "command")
    return _ended(store, runner, lambda: runner.resume(store.get(options.run).id), options.json)


def _ended(store: Store, runner: Runner, begin: Callable[[], Run], as_json: bool) -> int:
    run, stopped = follow(store, runner, begin)
    if as_json:
        show([_row(run)], True)
    elif run.done:
        print(store.folder(run.id) / "ensemble.zarr")
    return 130 if stopped else ENDED[run.state]


def _row(run: Run) -> dict[str, Any]:
    return {
        "run": run.id,
        "state": run.state,
        "progress": f"{run.progress:.0%}",
        "members": f"{run.done}/{run.task.members}",
        "method": run.task.method,
        "created": run.created.strftime("%Y-%m-%d %H:%M UTC"),
        "error": run.error,
    }


def list_runs(options: argparse.Namespace) -> int:
    from engine.runs import Store

    store = Store()
    store.sweep()
    show([_row(each) for each in store.runs()], options.json)
    return 0


def cancel(options: argparse.Namespace) -> int:
    from engine.runs import Store

    store = Store()
    store.sweep()
    asked = store.get(options.run)
    store.ask_cancel(asked.id)
    until = time.monotonic() + 10
    while (now := store.get(asked.id)).under_way and time.monotonic() < until:
        time.sleep(0.05)
    show([_row(now)], options.json)
    return 1 if now.under_way else 0


def export(options: argparse.Namespace) -> int:
    from engine.formats import FORMATS
    from engine.formats import export as write
    from engine.runs import Store

    store = Store()
    asked = store.get(options.run)
    path = Path(options.output or f"{asked.id}{FORMATS[options.to][0]}")
    ensemble = store.ensemble(asked.id).load()
    title = asked.task.title or f"{asked.task.method} ensemble"
    write(ensemble, path, options.to, replace=options.force, title=title, task=asked.task.to_yaml())
    show([{"run": asked.id, "file": str(path)}], True) if options.json else print(path)
    return 0


def score(options: argparse.Namespace) -> int:
    from engine.runs import Store

    store = Store()
    asked = store.get(options.run)
    rows = scores(store, asked)
    if options.json:
        show(rows, True)
        return 0
    print(f"{asked.id} at the gauges held out from the method, in mm/h, with 95% intervals over gauges")
    show(side_by_side(rows), False)
    print(f"\n{asked.task.method}, judged by the gauges, at the grades of rain of the CMA")
    show(at_thresholds(rows, asked.task.method), False)
    print()
    print("\n".join(f"- {each}" for each in sentences(rows)))
    return 0


def inspect(options: argparse.Namespace) -> int:
    from engine.findings import report

    with waiting(options.file):
        found = report(options.file, options.reader, **told(options.told))
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
    one = command("methods", list_methods, "list the methods, or explain one and its settings")
    one.add_argument("name", nargs="?", help="a method")
    one = command("run", run, "run a task, show its progress, and print where the ensemble is")
    one.add_argument("task", metavar="TASK.yaml", help="a task in YAML, or - for standard input")
    one.add_argument("--members", type=int, help="another number of members")
    one.add_argument("--fresh", action="store_true", help="compute again even if this was computed before")
    command("runs", list_runs, "list the runs, newest first")
    for name, do, text in (
        ("cancel", cancel, "stop a run; its finished members are kept"),
        ("resume", resume, "compute what a run still lacks"),
        ("score", score, "judge a run at the gauges held out from it"),
    ):
        command(name, do, text).add_argument("run", metavar="RUN", help="a run's id, or the beginning of it")
    one = command("export", export, "write a run's ensemble as a file")
    one.add_argument("run", metavar="RUN", help="a run's id, or the beginning of it")
    kinds = "netcdf and zarr hold every member, geotiff their mean, csv mean and quantiles"
    one.add_argument("--to", choices=("netcdf", "zarr", "geotiff", "csv"), default="netcdf", help=kinds)
    one.add_argument("--output", "-o", help="the file (default: the run's id)")
    one.add_argument("--force", action="store_true", help="replace an existing file")
    _of_sources(command)
    return top


def _of_sources(command: Callable[..., argparse.ArgumentParser]) -> None:
    command("cases", list_cases, "list the installed cases and their layers")
    command("sources", list_sources, "list what is registered in sources.yaml, in RAINLOOM_HOME")
    one = command("inspect", inspect, "tell what a source holds, how it was read, and what looks wrong")
    one.add_argument("file", metavar="FILE", help="a path, a pattern, or a name such as front/satellite")
    one.add_argument(
        "told", nargs="*", metavar="KEY=VALUE", help="what it does not say: unit=mm, stamp=start"
    )
    one.add_argument("--as", dest="reader", metavar="READER", help="read it with this reader")
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
