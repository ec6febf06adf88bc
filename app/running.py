"""The commands that begin runs, watch them, judge them and write them out; `app.__main__` has the others."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.meter import follow
from app.reports import at_thresholds, scores, sentences, side_by_side, table
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


def delete(options: argparse.Namespace) -> int:
    from engine.runs import Store

    store = Store()
    store.discard()
    asked = store.get(options.run)
    store.delete(asked.id)
    show([_row(asked)], options.json)
    return 0


def pin(options: argparse.Namespace) -> int:
    from engine.runs import Store

    store = Store()
    asked = store.get(options.run)
    store.update(asked.id, pinned=not options.off)
    show([_row(asked)], options.json)
    return 0


def export(options: argparse.Namespace) -> int:
    from engine.formats import FORMATS
    from engine.formats import export as write
    from engine.runs import Store

    store = Store()
    asked = store.get(options.run)
    if options.to == "bundle":
        return _made(store, asked, "bundle.zip", options.output or f"{asked.id}-bundle.zip", options)
    path = Path(options.output or f"{asked.id}{FORMATS[options.to][0]}")
    ensemble = store.ensemble(asked.id).load()
    title = asked.task.title or f"{asked.task.method} ensemble"
    write(ensemble, path, options.to, replace=options.force, title=title, task=asked.task.to_yaml())
    show([{"run": asked.id, "file": str(path)}], True) if options.json else print(path)
    return 0


def report(options: argparse.Namespace) -> int:
    from app.files import Said
    from engine.runs import Store

    store = Store()
    asked = store.get(options.run)
    path = options.output or f"{asked.id}-report.html"
    names = {".html": "report.html", ".png": "maps.png", ".svg": "maps.svg"}
    if (kind := Path(path).suffix) not in names:
        raise Invalid(
            f"report: {path} ends in no {', '.join(names)}; html is the whole, png and svg its maps"
        )
    told = Said(options.title or "", options.author or "", options.notes or "", options.hour or "")
    return _made(store, asked, names[kind], path, options, options.language, told)


def _made(store: Store, run: Run, name: str, output: str, options: argparse.Namespace, *told: Any) -> int:
    from app.making import make

    path = Path(output)
    if path.exists() and not options.force:
        raise Invalid(f"{options.command}: {path} exists; choose another name or say --force")
    make(store, run, name, path, *told)
    show([{"run": run.id, "file": output}], True) if options.json else print(path)
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


def arguments(command: Callable[..., argparse.ArgumentParser]) -> None:
    one = command("run", run, "run a task, show its progress, and print where the ensemble is")
    one.add_argument("task", metavar="TASK.yaml", help="a task in YAML, or - for standard input")
    one.add_argument("--members", type=int, help="another number of members")
    one.add_argument("--fresh", action="store_true", help="compute again even if this was computed before")
    made: dict[str, argparse.ArgumentParser] = {}
    command("runs", list_runs, "list the runs, newest first")
    for name, do, text in (
        ("cancel", cancel, "stop a run; its finished members are kept"),
        ("resume", resume, "compute what a run still lacks"),
        ("score", score, "judge a run at the gauges held out from it"),
        ("delete", delete, "take a run off the list; for an hour the page can bring it back"),
        ("pin", pin, "keep a run from being deleted"),
        ("export", export, "write a run's ensemble, or all that is needed to run it again, as a file"),
        ("report", report, "write a report of a run as one HTML file, or its maps as PNG or SVG"),
    ):
        made[name] = command(name, do, text)
        made[name].add_argument("run", metavar="RUN", help="a run's id, or the beginning of it")
    made["pin"].add_argument("--off", action="store_true", help="let it be deleted again")
    for name in ("export", "report"):
        made[name].add_argument("--output", "-o", help="the file (default: the run's id)")
        made[name].add_argument("--force", action="store_true", help="replace an existing file")
    kinds = "netcdf and zarr hold every member, geotiff their mean, csv mean and quantiles, bundle no rain"
    choices = ("netcdf", "zarr", "geotiff", "csv", "bundle")
    made["export"].add_argument("--to", choices=choices, default="netcdf", help=kinds)
    made["report"].add_argument("--language", choices=("en", "zh"), default="en")
    for name, text in (
        ("title", "of the report"),
        ("author", "who wrote it"),
        ("notes", "a paragraph or more"),
    ):
        made["report"].add_argument(f"--{name}", help=text)
    made["report"].add_argument(
        "--hour", help="end of the interval of the maps, UTC (default: the whole period)"
    )
