"""Every example does what it says, where its library is installed: 0 bits differ, and Lava fires the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIBRARIES = {
    "snntorch": "snntorch",
    "spikingjelly": "spikingjelly",
    "norse": "norse",
    "sinabs": "sinabs",
    "lava_dl": "lava.lib.dl",
}


@pytest.mark.parametrize("name", LIBRARIES)
def test_an_example(name: str, tmp_path: Path) -> None:
    pytest.importorskip(LIBRARIES[name], reason=f"{name} is not installed")
    script = ROOT / "examples" / f"{name}_network.py"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (folder,) = (tmp_path / "runs").iterdir()
    assert {"raster.h5", "sam.h5", "maps.png"} <= {path.name for path in folder.iterdir()}
    for backend in ("event", "torch", "lava"):
        assert f"{backend}: 0 of " in done.stdout
    assert "fixed point is the same bits on event, torch, lava" in done.stdout


def test_there_is_a_test_of_every_example() -> None:
    assert {path.stem for path in (ROOT / "examples").glob("*_network.py")} == {f"{name}_network" for name in LIBRARIES}


def test_examples_are_short() -> None:
    for path in (ROOT / "examples").glob("*_network.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 30, path.name
