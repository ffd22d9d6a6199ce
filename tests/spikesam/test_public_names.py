"""The public names: each is there, documented by an example that runs, and imported only when used."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import spikesam

HEAVY = ("torch", "lava", "numba", "h5py", "numpy", "matplotlib", "pandas", "rich")
FIRST = """load train convert compact simulate explain record report open_raster open_maps write_raster sam measure
from_torch compare Network quantise"""


def test_importing_it_imports_nothing_heavy_and_explaining_neither_torch_nor_lava() -> None:
    code = f"import sys, spikesam\nprint([name for name in {HEAVY} if name in sys.modules])\n"
    code += "spikesam.open_raster, spikesam.open_maps, spikesam.write_raster, spikesam.explain, spikesam.sam\n"
    code += "print([name for name in ('torch', 'lava') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n[]\n"


def test_type_checkers_see_the_names_that_are_there() -> None:
    tree = ast.parse(Path(spikesam.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    typed = {
        alias.asname or alias.name: f"{node.module}:{alias.name}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == spikesam._WHERE
    assert set(spikesam.__all__) == set(typed)


@pytest.mark.parametrize("name", spikesam.__all__)
def test_every_name_is_documented(name: str) -> None:
    assert name in dir(spikesam)
    assert (inspect.getdoc(getattr(spikesam, name)) or "").strip()


@pytest.mark.parametrize("name", FIRST.split())
def test_what_users_call_first_has_an_example(name: str) -> None:
    assert ">>> " in (inspect.getdoc(getattr(spikesam, name)) or "")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'spikesam' has no attribute 'simulat'"):
        spikesam.simulat  # noqa: B018


def test_the_version_is_that_of_the_distribution() -> None:
    from importlib.metadata import version

    assert spikesam.__version__ == version("spikesam")
