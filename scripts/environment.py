"""The virtual environment both commands run in: made once from the lock, repaired when broken.

Only the standard library, and only syntax that any Python from 3.4 on reads, so that an unsupported
Python gets one clear line instead of a syntax error.

`.venv/rainloom.json` is written last. It records what the environment was made from and which
entries site-packages held, so a half-made or damaged environment is noticed in milliseconds:
no record, another lock, a moved checkout, a missing package, an interpreter that does not start.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

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
    try:
        if not healthy():
            build()
    except KeyboardInterrupt:
        sys.exit("Stopped. The same command goes on where it was.")
    return str(python())


def origin():
    """What an environment must have been made from to be used as it is."""
    about = "{} {} {}".format(ROOT, TORCH, sys.version_info[:2])
    return hashlib.sha256(LOCK.read_bytes() + about.encode()).hexdigest()


def packages():
    """Names of the entries of site-packages."""
    found = list(VENV.glob("lib/python*/site-packages")) + list(VENV.glob("Lib/site-packages"))
    return sorted(entry.name for folder in found for entry in folder.iterdir())


def clean():
    """The caller's environment without what would lead the interpreter or pip elsewhere."""
    stray = ("PYTHONPATH", "PYTHONHOME", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV")
    return {name: value for name, value in os.environ.items() if name not in stray}


def whole():
    """Whether the interpreter starts, is of this Python and finds every package that was installed."""
    try:
        installed = json.loads(RECORD.read_text())["packages"]
        told = "import sys; sys.exit(sys.version_info[:2] != {})".format(tuple(sys.version_info[:2]))
        starts = subprocess.run([str(python()), "-c", told], timeout=60, env=clean()).returncode == 0
        return starts and set(installed) <= set(packages())
    except (OSError, ValueError, KeyError, TypeError, subprocess.SubprocessError):
        return False


def healthy():
    return whole() and json.loads(RECORD.read_text()).get("origin") == origin()


@contextlib.contextmanager
def alone():
    """Two first starts at once: one builds, the other waits and finds it built."""
    with open(str(VENV) + ".lock", "w") as lock:
        if os.name != "nt":
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build():
    with alone():
        if healthy():
            return
        print("Preparing .venv from the lock (once; some minutes, about 2.5 GB) ...", flush=True)
        # An environment that only lacks what is new in the lock is brought up to it; any other is made anew.
        if not (whole() and install()):
            create()
            if not install():
                sys.exit("Installing failed (see above). Mend the cause and run the same command again.")
        RECORD.write_text(json.dumps({"origin": origin(), "packages": packages()}))
        print("  done.", flush=True)


def create():
    try:
        import venv

        if VENV.is_symlink() or VENV.is_file():
            VENV.unlink()
        shutil.rmtree(str(VENV), ignore_errors=True)
        venv.create(str(VENV), with_pip=True)
    except (ImportError, subprocess.CalledProcessError):
        sys.exit("Python's venv or pip is missing. On Debian or Ubuntu: apt install python3-venv")
    except OSError as error:
        sys.exit("Cannot make {}: {}. Give this folder write permission, or copy it.".format(VENV, error))


def install():
    """Three calls of pip; whether all went well."""
    steps = [
        ("packages", ["--require-hashes", "--no-deps", "-r", str(LOCK)]),
        ("torch", [TORCH]),
        ("rainloom", ["--no-deps", "--no-build-isolation", "-e", str(ROOT)]),
    ]
    for name, arguments in steps:
        print("  installing {} ...".format(name), flush=True)
        command = [str(python()), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        done = subprocess.run(
            command + arguments, cwd=str(ROOT), env=clean(), stderr=subprocess.PIPE, universal_newlines=True
        )
        if done.returncode:  # else pip only remarks that a peer of the benchmarks is here without all it asks
            print(done.stderr, file=sys.stderr)
            return False
    return True


def enter():
    """Run this script again with the environment's Python, unless it already is."""
    if pathlib.Path(sys.prefix).resolve() != VENV.resolve():
        run(*sys.argv)


def run(*arguments):
    """Become the environment's Python with these arguments."""
    command = [ensure(), *arguments]
    if os.name == "nt":
        sys.exit(subprocess.run(command, env=clean()).returncode)
    sys.stdout.flush()
    os.execve(command[0], command, clean())
