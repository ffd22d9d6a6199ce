"""The README's code runs as printed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.image
import numpy as np
import pytest

from backends.network.quantise import quantise
from pipeline.networks.checkpoint import load_checkpoint

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs" / "your-network.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def block(containing: str) -> str:
    (found,) = (text for text in BLOCKS if containing in text)
    return found


def test_the_first_lines_print_and_plot_what_they_say(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(block("spikesam.simulate("), names)
    assert capsys.readouterr().out == re.findall(r"```text\n(.*?)```", README, re.DOTALL)[0]
    matplotlib.use("agg")
    exec(block("plt.subplots("), names)
    assert np.ptp(matplotlib.image.imread("maps.png")[..., :3]) > 0.5


def test_your_own_network(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(block("save(Checkpoint("), names)
    checkpoint = load_checkpoint("runs/mine.safetensors")
    assert quantise(checkpoint.network).shapes[-1] == (20, 1, 1)


def test_reading_a_raster(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("runs/a").mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "recordings" / "golden-v3.h5", "runs/a/raster.h5")
    names: dict[str, Any] = {}
    exec(block('h5py.File("runs/a/raster.h5")'), names)
    assert names["spikes"].dtype == bool
    assert names["spikes"].ndim == 4
    assert float(capsys.readouterr().out.split()[-1]) == pytest.approx(names["spikes"].mean())


def test_the_three_ways_in(tmp_path, monkeypatch, capsys):
    """Record, import and write down, as printed; files of other programs, which are not there, are left out."""
    monkeypatch.chdir(tmp_path)
    blocks = [block for block in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL) if "theirs.nir" not in block]
    names: dict[str, Any] = {}
    for code in blocks:
        exec(compile(code, "your-network.md", "exec"), names)
    assert len(blocks) == 3
    assert "event: 0 of 20,880 bits differ in float32" in capsys.readouterr().out
    assert names["raster"].predictions.shape == (2,)
    assert {"arrays.h5", "chip.h5", "runs"} <= {path.name for path in tmp_path.iterdir()}
    assert names["maps"].n_samples == 4
