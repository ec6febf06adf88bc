"""The house: contracts, sizes, imports and words are kept by tests, not by good will."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
ALLOWED = {
    "LICENSE", "README.md", "app", "assets", "engine", "pyproject.toml", "scripts", "tests"
}  # fmt: skip
LONGEST_FILE = 300
LONGEST_FUNCTION = 40
# What is longer, and why.
LONG_FILES = {
    "engine/fields.py": "the words and the conventions are read together",
}
LONG_FUNCTIONS: dict[str, str] = {}
FORBIDDEN_NAMES = ("utils", "common", "core", "helpers", "base")


def sources() -> list[Path]:
    return sorted(path for part in ("app", "engine", "scripts") for path in (ROOT / part).rglob("*.py"))


def test_the_top_level_is_fixed():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    top = {line.split("/")[0] for line in listed.stdout.splitlines()}
    assert {name for name in top if not name.startswith(".")} <= ALLOWED


def test_files_are_short():
    long = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in sources()}
    assert {name for name, lines in long.items() if lines > LONGEST_FILE} == set(LONG_FILES)


def test_functions_are_short():
    long = set()
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno
                if node.end_lineno - node.lineno + 1 > LONGEST_FUNCTION:
                    long.add(f"{path.relative_to(ROOT)}:{node.name}")
    assert long == set(LONG_FUNCTIONS)


def test_every_module_says_what_it_is():
    for path in sources():
        if path.name != "__init__.py" or path.read_text().strip():
            assert ast.get_docstring(ast.parse(path.read_text())), path


def test_names_say_what_a_thing_is():
    for path in sources():
        assert path.stem.strip("_") not in FORBIDDEN_NAMES, path
        assert not path.stem.endswith("_impl"), path


@pytest.mark.parametrize("name", ["app.page", "app.__main__", "engine.runner", "engine.methods"])
def test_importing_it_loads_no_torch(name):
    code = f"import sys, {name}; sys.exit('torch was loaded' if 'torch' in sys.modules else 0)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)


def test_every_part_of_the_engine_imports():
    for path in sorted((ROOT / "engine").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        importlib.import_module(module)


def test_every_visible_string_is_there_in_both_languages():
    words = yaml.safe_load((ROOT / "app" / "words.yaml").read_text())

    def leaves(entry, path=""):
        if isinstance(entry, dict) and set(entry) <= {"en", "zh"}:
            yield path, entry
        elif isinstance(entry, dict):
            for key, value in entry.items():
                yield from leaves(value, f"{path}.{key}")
        else:
            yield path, entry

    for path, entry in leaves(words):
        assert isinstance(entry, dict), f"{path} is not in two languages"
        assert entry.get("en"), f"{path} lacks English"
        assert entry.get("zh"), f"{path} lacks Chinese"
