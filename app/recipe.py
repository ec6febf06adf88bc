"""A task to take along: as YAML, as a command, as a script. All three give the numbers that Run gives.

A script has the task written out and calls the method as the engine process does: with all members, in order.
A member depends on the seed and its number alone, so it does not matter who computes it, or where.
"""

from __future__ import annotations

from engine.tasks import Task

SCRIPT = '''"""A task of Rainloom as a script. Run it with the Python of the project; it writes {file}."""

from pathlib import Path

from engine.fields import ensemble
from engine.formats import export
from engine.methods import method
from engine.tasks import Task

task = Task.of_yaml("""
{task}""")

snapshots = method(task.method, task.settings).run(task, task.seed, range(task.members))
rain = ensemble(snapshots)  # member, time, lat, lon; mm/h, intervals end at their time (UTC)
export(rain, Path("{file}"), "netcdf", replace=True, title=task.title or task.method, task=task.to_yaml())
print(rain)
'''
END = "TASK"


def command(task: Task) -> str:
    """For a shell; the task travels with it."""
    return f"rainloom run - <<'{END}'\n{task.to_yaml()}{END}\n"


def script(task: Task) -> str:
    """For the Python of the project."""
    written = task.to_yaml().replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return SCRIPT.format(task=written, file=f"{task.method}.nc")
