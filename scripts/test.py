"""Everything that must hold: `python3 scripts/test.py [pytest arguments]`. Makes `.venv` on first use.

Lint, format, import contracts, types, then the tests of all four kinds. Every step runs even if an
earlier one failed; the exit status is 0 only if all passed.
"""

import os
import subprocess
import sys
import time

import environment

STEPS = [
    ("lint", ["ruff", "check", "."]),
    ("format", ["ruff", "format", "--check", "."]),
    ("contracts", ["lint-imports"]),
    ("types", ["basedpyright"]),
    ("tests", ["pytest"]),
]


def main():
    bin_folder = os.path.dirname(environment.ensure())
    clean = dict(environment.clean(), PYTHONDONTWRITEBYTECODE="1")
    clean["PATH"] = bin_folder + os.pathsep + clean.get("PATH", "")
    failed = []
    for name, command in STEPS:
        begun = time.monotonic()
        print(f"== {name}: {' '.join(command)}", flush=True)
        arguments = sys.argv[1:] if name == "tests" else []
        program = os.path.join(bin_folder, command[0])
        if subprocess.run([program, *command[1:], *arguments], cwd=environment.ROOT, env=clean).returncode:
            failed.append(name)
        print(
            f"== {name}: {'FAILED' if name in failed else 'ok'} in {time.monotonic() - begun:.1f} s\n",
            flush=True,
        )
    print("failed: " + ", ".join(failed) if failed else "everything holds", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
