"""Kernels are compiled again when any source they are made of changes."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from spikesam.backends.event.kernels import _products as products
from spikesam.backends.event.kernels._tiles import AVX2, VNNI

ROOT = Path(__file__).parents[3]
RUN = """
import numpy as np
from spikesam.backends.event.kernels.layer import LayerKernel
from spikesam.backends.network import FixedLIF, Input, Layer

layer = Layer("fc1", Input(np.ones((1, 1), np.int8), gain=4097), FixedLIF(0))
kernel = LayerKernel(layer, (1, 1, 1))
spikes, fired = np.ones((2, 4, 1, 1, 1), np.bool_)
kernel.run(0, [spikes], kernel.rest(), fired, np.zeros((4, 1), np.uint8))
print(fired.ravel().tolist())
"""


def test_a_change_in_one_file_reaches_the_functions_of_the_others(tmp_path: Path) -> None:
    (tmp_path / "spikesam").mkdir()
    for name in ("__init__.py", "__init__.pyi"):
        shutil.copy(ROOT / "spikesam" / name, tmp_path / "spikesam")
    shutil.copytree(ROOT / "spikesam" / "common", tmp_path / "spikesam" / "common")
    for package in ("backends", "recordings"):
        shutil.copytree(
            ROOT / package, tmp_path / "spikesam" / package
        )  # with what is compiled already, if it is
    assert _run(tmp_path) == "[False, True, True, True]"
    neurons = tmp_path / "spikesam" / "backends" / "event" / "kernels" / "neurons.py"
    text = neurons.read_text(encoding="utf-8")
    assert text.count("= v > same_above") == 1
    neurons.write_text(text.replace("= v > same_above", "= v < same_above"), encoding="utf-8")
    assert (
        _run(tmp_path) == "[False, False, False, False]"
    )  # run_steps is in steps.py, which has not changed


def _run(folder: Path) -> str:
    hasty = os.environ | {
        "NUMBA_OPT": "1"
    }  # compiles in two thirds of the time; with 0 it would keep nothing
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        cwd=folder,
        env=hasty,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_kernels_of_several_sizes_have_names_of_their_own() -> None:
    """By its name, code that another process cached is taken for code that is loaded already."""
    names = [kernel.py_func.__qualname__ for kernel in (products.count_few, products.count_many)]
    names += [
        products.multiply_row_of(instruction).py_func.__qualname__ for instruction in (VNNI, AVX2)
    ]
    assert len(set(names)) == 4


def test_one_file_alone_imports_from_inside_numba() -> None:
    """Names that numba does not document may change in any release."""
    packages = ("backends", "benchmarks", "paper", "pipeline", "recordings", "spikesam", "tests")
    inside = re.compile(r"^\s*(from|import) numba\.(?!extending\b)", re.MULTILINE)
    importing = {
        path.name
        for package in packages
        for path in (ROOT / package).rglob("*.py")
        if inside.search(path.read_text(encoding="utf-8"))
    }
    # the test of child processes asks numba's own settings what it read in its folder
    assert importing == {"private_numba.py", "test_child.py"}
