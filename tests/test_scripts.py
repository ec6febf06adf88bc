"""The environment of the two commands: made once, noticed when broken, refused with one line."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """The module, looking at a healthy pretended environment."""
    spec = importlib.util.spec_from_file_location("environment", ROOT / "scripts" / "environment.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    venv = tmp_path / ".venv"
    site = venv / "lib" / "python3.11" / "site-packages"
    (site / "panel").mkdir(parents=True)
    (site / "torch").mkdir()
    (venv / "bin").mkdir()
    (venv / "bin" / "python").symlink_to(sys.executable)
    monkeypatch.setattr(module, "VENV", venv)
    monkeypatch.setattr(module, "RECORD", venv / "rainloom.json")
    module.RECORD.write_text(json.dumps({"origin": module.origin(), "packages": module.packages()}))
    return module


def test_a_healthy_environment_is_used_as_it_is(environment, monkeypatch):
    monkeypatch.setattr(environment, "build", lambda: pytest.fail("built again"))
    assert environment.ensure() == str(environment.VENV / "bin" / "python")


def lose_the_record(environment):
    environment.RECORD.unlink()


def tear_the_record(environment):
    environment.RECORD.write_text('{"origin": "')


def write_nonsense(environment):
    environment.RECORD.write_text("[]")


def lose_a_package(environment):
    (environment.VENV / "lib" / "python3.11" / "site-packages" / "torch").rmdir()


def lose_the_interpreter(environment):
    (environment.VENV / "bin" / "python").unlink()


def change_the_lock(environment):
    environment.LOCK = environment.VENV / "other.lock"
    environment.LOCK.write_text("panel==0")


@pytest.mark.parametrize(
    "damage",
    [lose_the_record, tear_the_record, write_nonsense, lose_a_package, lose_the_interpreter, change_the_lock],
)
def test_damage_is_noticed_and_repaired(environment, monkeypatch, damage):
    built = []
    monkeypatch.setattr(environment, "build", lambda: built.append(True))
    damage(environment)
    environment.ensure()
    assert built


def test_an_unsupported_python_says_so_in_one_line(environment, monkeypatch):
    monkeypatch.setattr(environment.sys, "version_info", (3, 9, 1))
    with pytest.raises(SystemExit) as refused:
        environment.ensure()
    assert "needs Python 3.11 to 3.13; this is 3.9" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_lock_covers_every_dependency():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = (ROOT / "scripts" / "requirements.lock").read_text()
    extras = project["optional-dependencies"]
    wanted = project["dependencies"] + [
        one for name in ("grib", "geotiff", "r", "test", "install") for one in extras[name]
    ]
    for one in wanted:
        name = one.split(">")[0].split("[")[0]
        assert name == "torch" or f"\n{name}==" in locked, f"{name}: run scripts/lock.py"
    assert "torch==" not in locked


def test_benchmarks_are_listed_and_an_unknown_one_is_refused():
    script = str(ROOT / "scripts" / "benchmark.py")
    listed = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, timeout=120)
    for path in (ROOT / "scripts" / "benchmarks").glob("*.py"):
        assert path.stem in listed.stdout
    refused = subprocess.run(
        [sys.executable, script, "nope"], capture_output=True, text=True, check=False, timeout=60
    )
    assert refused.returncode == 2
