"""The bundle of a run: everything needed to run it again and to see that it came out the same.

A zip of small texts, not of the ensemble: the task, the manifest with versions and the hashes of its inputs,
the hash of every member, a script that computes it anew and compares, citations and licences, and a README.
"""

from __future__ import annotations

import inspect
import zipfile
from pathlib import Path

from app.credits import credits
from engine.journal import Run
from engine.methods import methods
from engine.runs import Store

SCRIPT = '''"""Compute the task beside this script again and compare every member with what it was."""

import time
from pathlib import Path

from engine.runner import Runner
from engine.runs import Store
from engine.tasks import Task

here = Path(__file__).parent
lines = (here / "members.sha256").read_text().split()
known = {int(name.removeprefix("member-")): digest for digest, name in zip(lines[::2], lines[1::2])}

if __name__ == "__main__":
    store = Store()
    runner = Runner(store, "script")
    run = runner.submit(Task.of_yaml((here / "task.yaml").read_text(encoding="utf-8")))
    while (run := store.get(run.id)).under_way:
        print(f"{run.progress:.0%} {run.stage}", flush=True)
        time.sleep(2)
    runner.close()
    found = store.finished(run.id)
    differ = [member for member, digest in known.items() if found.get(member) != digest]
    print(f"{run.id}: {run.state}; {len(known) - len(differ)} of {len(known)} members have the same bits")
    print(store.folder(run.id) / "ensemble.zarr")
'''
README = """# {run}

{title}

- `task.yaml`: what was asked for.
- `manifest.yaml`: versions of the packages, and SHA-256 of every input and of the engine.
- `members.sha256`: SHA-256 of every member (float32, little endian, time x lat x lon).
- `script.py`: computes it again and compares; run it with the Python of Rainloom.
- `CITATIONS.md`: the method and what it builds on. `LICENCES.md`: of the sources.

On the command line: `rainloom run task.yaml`, `rainloom score RUN`, `rainloom report RUN -o report.html`.
The same bits need the same versions and the same kind of processor; other ones differ by rounding.
{simulated}"""
SIMULATED = "\nThe case is simulated: nothing in it was measured.\n"


def bundle(store: Store, run: Run, path: Path) -> None:
    task, cls = run.task, methods().get(run.task.method)
    members = "".join(f"{digest}  member-{n}\n" for n, digest in store.finished(run.id).items())
    listed = credits(task)
    cited = f"# {cls.title}\n\n{inspect.getdoc(cls)}\n\n{cls.reference}\n" if cls else f"# {task.method}\n"
    licences = "".join(f"- {each.name}: {each.title}. {each.licence or 'not stated'}\n" for each in listed)
    simulated = SIMULATED if any(each.simulated for each in listed) else ""
    texts = {
        "README.md": README.format(run=run.id, title=task.title or task.method, simulated=simulated),
        "task.yaml": task.to_yaml(),
        "manifest.yaml": (store.folder(run.id) / "manifest.yaml").read_text(encoding="utf-8"),
        "members.sha256": members,
        "script.py": SCRIPT,
        "CITATIONS.md": cited,
        "LICENCES.md": f"# Licences of the sources\n\n{licences}",
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as whole:
        for name, text in texts.items():
            whole.writestr(f"{run.id}/{name}", text)
