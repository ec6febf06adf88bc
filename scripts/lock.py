"""Write `scripts/requirements.lock` from `pyproject.toml`: `python3 scripts/lock.py`, needs uv.

Every package but torch is pinned with its hashes, for every platform and supported Python.
torch stays a range (see `environment.py`), so what only its CUDA build needs is left to it; torchvision,
which azula names but nothing that is measured imports, is left out for it would pin torch.
"""

import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
LOCK = ROOT / "scripts" / "requirements.lock"
OF_TORCH = re.compile(r"^(torch|triton|nvidia-|cuda-|setuptools)")
HEADER = "# Made by scripts/lock.py from pyproject.toml. Do not edit by hand.\n"


def main() -> None:
    extras = [f"--extra={name}" for name in ("grib", "geotiff", "r", "test", "install")]
    target = "--universal --python-version 3.11 --fork-strategy fewest"
    shape = "--generate-hashes --no-annotate --no-header --quiet --upgrade"
    command = ["uv", "pip", "compile", "pyproject.toml", *extras, *target.split(), *shape.split()]
    text = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    entries = re.split(r"\n(?=\S)", text.strip())
    kept = [entry for entry in entries if not OF_TORCH.match(entry)]
    LOCK.write_text(HEADER + "\n".join(kept) + "\n")


if __name__ == "__main__":
    main()
