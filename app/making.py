"""Make one file of a run, in a process of its own: ``python -m app.making HOME RUN FILE LANGUAGE``.

Prints where the file lies. What goes wrong is told in one line on standard error. The commands make the same
files with the same `make`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from app.files import Said, place, said
from engine.journal import Run
from engine.runs import Store
from engine.values import Invalid

PACKED = {"ensemble.nc": "netcdf", "ensemble.zarr.zip": "zarr", "mean.tif": "geotiff", "summary.csv": "csv"}


def make(
    store: Store, run: Run, name: str, path: Path, language: str = "en", told: Said | None = None
) -> Path:
    """Write a file of a run, as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, suffix=".partial") as folder:
        unfinished = Path(folder) / name
        if name in PACKED:
            _pack(store, run, PACKED[name], unfinished)
        elif name == "bundle.zip":
            from app.bundle import bundle

            bundle(store, run, unfinished)
        else:
            from app import paper

            paper.write(store, run, unfinished, language, told or said(store, run.id))
        unfinished.replace(path)
    return path


def _pack(store: Store, run: Run, kind: str, path: Path) -> None:
    from engine.formats import export

    ensemble = store.ensemble(run.id).load()
    title = run.task.title or f"{run.task.method} ensemble"
    target = path.with_suffix("") if kind == "zarr" else path
    export(ensemble, target, kind, title=title, task=run.task.to_yaml())
    if kind == "zarr":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as whole:  # its chunks are packed already
            for part in sorted(each for each in target.rglob("*") if each.is_file()):
                whole.write(part, f"{run.id}.zarr/{part.relative_to(target).as_posix()}")


def _sweep(path: Path) -> None:
    """Remove the same file made from what is no more."""
    for older in path.parent.parent.glob(f"*/{path.name}"):
        kind = path.parent.name.rpartition("-")[0]
        if older.parent != path.parent and older.parent.name.rpartition("-")[0] == kind:
            shutil.rmtree(older.parent, ignore_errors=True)


def main(arguments: list[str]) -> int:
    home, name, file, language = arguments
    with contextlib.suppress(AttributeError):
        os.nice(5)  # the server comes first
    try:
        store = Store(home)
        path = place(store, name, file, language)
        make(store, store.get(name), file, path, language)
        _sweep(path)
    except Invalid as refused:
        print(refused, file=sys.stderr)
        return 2
    except Exception as error:
        print(f"{type(error).__name__}: {error}".replace("\n", " "), file=sys.stderr)
        return 1
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
