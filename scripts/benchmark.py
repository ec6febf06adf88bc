"""Measure: `python scripts/benchmark.py NAME [CASE] [--json] [--quick]`. Without a name, list them.

One registry: each file in `scripts/benchmarks` is a benchmark, with a docstring whose first line says
what it measures and `run(case, quick)` that returns flat rows: case, method, metric, value, low, high,
n, unit; and where such rows read badly below each other, `shown(rows)`: the same for a person. Peers are
rows too, with their version in `method`. `--quick` ends within a minute. Timings are of this machine at
this hour: trust ratios within one table.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import time
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

import environment  # noqa: E402

if __name__ == "__main__":
    environment.enter()

from engine.diagnostics.tables import Table  # noqa: E402
from engine.values import Invalid  # noqa: E402

KEYS = ("case", "method", "metric", "value", "low", "high", "n", "unit")
SHOWN_VERSIONS = ("rainloom", "numpy", "scipy", "xarray", "zarr", "torch", "panel")


def names() -> list[str]:
    return sorted(path.stem for path in (ROOT / "scripts" / "benchmarks").glob("*.py"))


def machine() -> str:
    """What the figures were measured on."""
    load = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load unknown"
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in SHOWN_VERSIONS)
    where = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {load}"
    return f"{where}; Python {platform.python_version()}, {versions}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", nargs="?", choices=names(), help="what to measure")
    parser.add_argument("case", nargs="?", help="which case, where there are several")
    parser.add_argument("--json", action="store_true", help="print one list of flat rows")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions; within a minute")
    options = parser.parse_args()
    if options.name is None:
        known = {name: importlib.import_module(f"benchmarks.{name}") for name in names()}
        print(
            Table.of(
                [
                    {"name": name, "measures": (found.__doc__ or "").splitlines()[0]}
                    for name, found in known.items()
                ]
            ).text()
        )
        return 0
    begun = time.monotonic()
    try:
        measured = importlib.import_module(f"benchmarks.{options.name}")
        rows = measured.run(options.case, options.quick)
    except Invalid as refused:
        print(f"benchmark: {refused}", file=sys.stderr)
        return 2
    rows = [{key: row.get(key) for key in KEYS} for row in rows]
    if options.json:
        print(json.dumps(rows))
    else:
        print(machine())
        print((Table.of(measured.shown(rows)) if hasattr(measured, "shown") else Table(KEYS, rows)).text())
        print(f"{len(rows)} rows in {time.monotonic() - begun:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
