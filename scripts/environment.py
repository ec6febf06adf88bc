"""The virtual environment both commands run in: made once from the lock, repaired when broken.

Only the standard library, and only syntax that any Python 3 reads, so that an unsupported
Python gets one clear line instead of a syntax error.

`.venv/rainloom.json` is written last. It records what the environment was made from and which
entries site-packages held, so a half-made or damaged environment is noticed in milliseconds:
no record, another lock, a moved checkout, a missing package, an interpreter that does not start.
"""

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import venv

ROOT = pathlib.Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK = ROOT / "scripts" / "requirements.lock"
RECORD = VENV / "rainloom.json"
SUPPORTED = ((3, 11), (3, 14))  # as requires-python: from, below
# A range, not a pin: a CPU wheel offered locally and the CUDA build of the index both satisfy it.
TORCH = "torch>=2.10,<2.14"


def python():
    """The interpreter of the environment."""
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def ensure():
    """Make or repair the environment if needed, and return its interpreter as a string."""
    low, high = SUPPORTED
    if not low <= sys.version_info[:2] < high:
        here = "{}.{} ({})".format(sys.version_info[0], sys.version_info[1], sys.executable)
        sys.exit("Rainloom needs Python 3.{} to 3.{}; this is {}".format(low[1], high[1] - 1, here))
    if not healthy():
        build()
    return str(python())


def origin():
    """What an environment must have been made from to be used as it is."""
    text = LOCK.read_bytes() + str(ROOT).encode()
    return hashlib.sha256(text + TORCH.encode() + sys.version.encode()).hexdigest()


def packages():
    """Names of the entries of site-packages."""
    found = list(VENV.glob("lib/python*/site-packages")) + list(VENV.glob("Lib/site-packages"))
    return sorted(entry.name for folder in found for entry in folder.iterdir())


def healthy():
    try:
        record = json.loads(RECORD.read_text())
        if record["origin"] != origin() or not set(record["packages"]) <= set(packages()):
            return False
        return subprocess.run([str(python()), "-c", ""], timeout=60, check=False).returncode == 0
    except (OSError, ValueError, KeyError, subprocess.SubprocessError):
        return False


def build():
    print("Preparing .venv from the lock (once; some minutes, about 2.5 GB) ...", flush=True)
    if VENV.is_symlink() or VENV.is_file():
        VENV.unlink()
    shutil.rmtree(VENV, ignore_errors=True)
    try:
        venv.create(VENV, with_pip=True)
    except (subprocess.CalledProcessError, OSError) as error:
        sys.exit("cannot make {}: {}. On Debian or Ubuntu: apt install python3-venv".format(VENV, error))
    steps = [
        ("packages", ["--require-hashes", "--no-deps", "-r", str(LOCK)]),
        ("torch", [TORCH]),
        ("rainloom", ["--no-deps", "--no-build-isolation", "-e", str(ROOT)]),
    ]
    for name, arguments in steps:
        print(f"  installing {name} ...", flush=True)
        command = [str(python()), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        if subprocess.run(command + arguments, cwd=str(ROOT), check=False).returncode:
            sys.exit(f"installing {name} failed (see above); mend the cause and run the same command again")
    RECORD.write_text(json.dumps({"origin": origin(), "packages": packages()}))
    print("  done.", flush=True)


def run(*arguments):
    """Become the environment's Python with these arguments."""
    command = [ensure(), *arguments]
    if os.name == "nt":
        sys.exit(subprocess.run(command, check=False).returncode)
    sys.stdout.flush()
    os.execv(command[0], command)
