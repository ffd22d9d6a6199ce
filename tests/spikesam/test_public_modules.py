"""The modules of parts for research: what each lists is there, documented, and named by its
docstring; and the experiments of the repository import nothing else.
"""

import ast
import inspect
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import spikesam
from spikesam.common.extras import EXTRAS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/api/research.rst").read_text(encoding="utf-8")
MODULES = re.findall(r"^\.\. automodule:: spikesam\.(\w+)$", PAGE, re.MULTILINE)
USERS = [
    "paper",
    "benchmarks",
]  # of the repository, which are to do with the package what others can
NEEDING = {"figures": "tables", "gradients": "torch", "training": "train"}  # -> an extra


def test_the_page_describes_every_module_beside_the_folders() -> None:
    files = {path.stem for path in (ROOT / "spikesam").glob("[a-z]*.py")}
    assert sorted(MODULES) == sorted(files - {"captum", "testing"})  # which have pages of their own


@pytest.mark.parametrize("name", MODULES)
def test_what_a_module_lists_is_documented(name: str) -> None:
    module = import_module(f"spikesam.{name}")
    listed = {entry: getattr(module, entry) for entry in module.__all__}
    described = inspect.getdoc(module) or ""
    assert [entry for entry in listed if not re.search(rf"`~?{entry}`", described)] == []
    documented = {
        entry: value
        for entry, value in listed.items()
        if inspect.isclass(value) or inspect.isfunction(value)
    }
    assert [entry for entry, value in documented.items() if not inspect.getdoc(value)] == []
    assert not set(listed) & set(spikesam.__all__)  # what stands at the top is imported from there


@pytest.mark.parametrize("user", USERS)
def test_a_user_of_the_package_imports_listed_names_alone(user: str) -> None:
    imports = [
        (path.name, statement.module, alias.name)
        for path in (ROOT / user).rglob("*.py")
        for statement in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(statement, ast.ImportFrom) and (statement.module or "").startswith("spikesam")
        for alias in statement.names
    ]
    assert imports
    for file, module, name in imports:
        assert name in import_module(str(module)).__all__, f"{file}: {module}.{name}"


def test_without_extras_a_module_is_there_or_says_what_to_install() -> None:
    code = (
        f"import importlib, sys; sys.modules.update(dict.fromkeys({[*EXTRAS]}))\n"
        f"for name in {MODULES}:\n"
        "    try:\n        importlib.import_module(f'spikesam.{name}')\n"
        "    except ImportError as error:\n        print(name, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = [line.split(" ", 1) for line in done.stdout.splitlines()]
    said = {name: re.findall(r"pip install 'spikesam\[(\w+)\]'", text) for name, text in lines}
    assert said == {name: [extra] for name, extra in NEEDING.items()}
