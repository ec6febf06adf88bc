"""Planted faults: each one, put into a copy of the engine, must be caught by an algebra test.

Tests of shapes and signs would let most of these through. A fault that no test catches is a hole in the
tests; a line that is no longer there is a fault to plant anew.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FAULTS = {
    "the level just left instead of the next one": (
        "sample.py",
        "x = x + there * math.sqrt(1 -",
        "x = x + here * math.sqrt(1 -",
        "sample",
    ),
    "a slope followed backwards": ("sample.py", "* (clean - before[0])", "* (before[0] - clean)", "sample"),
    "a forgotten observation variance": (
        "guide.py",
        "lambda w: errors(w) + linear(sigma(linear.adjoint(w)))",
        "lambda w: linear(sigma(linear.adjoint(w)))",
        "guide",
    ),
    "sigma for its square": ("guide.py", "return noise**2 * back", "return noise * back", "guide"),
    "errors taken for independent": (
        "laws.py",
        "return spread * each(self.alike, spread * w)",
        "return spread * spread * w",
        "guide",
    ),
    "the rain of the mean for the mean of rain": (
        "transforms.py",
        "return self._mean(self.transform.inverse, latent)",
        "return self.transform.inverse(latent)",
        "transforms",
    ),
    "a value below zero taken for dry": ("calibrate.py", "if not trace:", "if False:", "calibrate"),
    "a start without errors of its own": (
        "guide.py",
        "wrong = residual + own -",
        "wrong = residual -",
        "guide",
    ),
    "alpha once where it belongs twice": (
        "denoise.py",
        "alpha * alpha * x - noise",
        "alpha * x - noise",
        "denoise",
    ),
    "a skip that is not squared": (
        "denoise.py",
        "(self.spread / total) ** 2, sigma",
        "self.spread / total, sigma",
        "denoise",
    ),
    "a global generator": (
        "noise.py",
        "torch.randn(*shape, generator=self.generator(member, name))",
        "torch.randn(*shape)",
        "noise",
    ),
    "an operator that is not adjoint": (
        "observe.py",
        "parts = (w[..., None] * self.weight.to(w)).reshape(len(w), -1)",
        "parts = (w[..., None] + 0 * self.weight.to(w)).reshape(len(w), -1)",
        "observe",
    ),
    "area means without the parallel's length": (
        "observe.py",
        "np.sin(np.radians(south)), np.sin(np.radians(coarse_south))",
        "south, coarse_south",
        "observe",
    ),
    "a dry gauge taken for a wet one": (
        "laws.py",
        "torch.where(dry, target, observed)",
        "observed",
        "guide",
    ),
    "ranks that begin at one": ("calibrate.py", "return (ranks - 0.5) /", "return ranks /", "calibrate"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_caught(name, tmp_path):
    file, right, wrong, tests = FAULTS[name]
    shutil.copytree(ROOT / "engine", tmp_path / "engine", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tests" / "engine").mkdir(parents=True)
    for path in (ROOT / "tests").glob("*.py"):
        if path.name in ("__init__.py", "conftest.py"):
            shutil.copy(path, tmp_path / "tests")
    for path in ("__init__.py", "test_denoise.py", f"test_{tests}.py"):
        shutil.copy(ROOT / "tests" / "engine" / path, tmp_path / "tests" / "engine")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    text = (tmp_path / "engine" / file).read_text()
    assert right in text, f"{file} no longer has the line; plant this fault anew"
    (tmp_path / "engine" / file).write_text(text.replace(right, wrong))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        f"tests/engine/test_{tests}.py",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1, done.stdout[-2000:]
    assert "failed" in done.stdout.splitlines()[-1]
