"""The code of the README, and of the pages that begin where it ends, runs as printed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.image
import numpy as np

from backends.network.quantise import quantise
from pipeline.networks.checkpoint import load_checkpoint

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
START = (ROOT / "docs" / "start.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs" / "your-network.md").read_text(encoding="utf-8")


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page, re.DOTALL)


def block(page: str, containing: str) -> str:
    (found,) = (text for text in blocks(page) if containing in text)
    return found


def test_the_first_lines_print_what_they_say(capsys):
    exec(block(README, "spikesam.simulate("), {})
    assert capsys.readouterr().out == re.findall(r"```text\n(.*?)```", README, re.DOTALL)[0]


def test_the_first_page_draws_maps(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    matplotlib.use("agg")
    exec(block(START, "plt.subplots("), {})
    assert np.ptp(matplotlib.image.imread("maps.png")[..., :3]) > 0.5


def test_your_own_network(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(block(GUIDE, "save(Checkpoint("), names)
    checkpoint = load_checkpoint("runs/mine.safetensors")
    assert quantise(checkpoint.network).shapes[-1] == (20, 1, 1)


def test_the_three_ways_in(tmp_path, monkeypatch, capsys):
    """Record, import and write down, as printed; files of other programs, which are not there, are left out."""
    monkeypatch.chdir(tmp_path)
    tried = [code for code in blocks(GUIDE) if "theirs.nir" not in code and "save(Checkpoint(" not in code]
    names: dict[str, Any] = {}
    for code in tried:
        exec(compile(code, "your-network.md", "exec"), names)
    assert len(tried) == 3
    assert "event: 0 of 20,880 bits differ in float32" in capsys.readouterr().out
    assert names["raster"].predictions.shape == (2,)
    assert {"arrays.h5", "chip.h5", "runs"} <= {path.name for path in tmp_path.iterdir()}
    assert names["maps"].n_samples == 4
