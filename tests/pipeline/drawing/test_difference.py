"""Where two rasters differ: a table of cells, and two membranes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from spikesam.pipeline.drawing.difference import DrawnNeuron, draw_difference

NEURON = DrawnNeuron(
    1,
    2,
    "fc1, neuron (3, 0, 0), sample 0",
    {"A": np.array([0, 0.5, 1.5]), "B": np.array([0, 0.5, -1.0])},
    {"A": np.array([False, False, True]), "B": np.zeros(3, np.bool_)},
)


def test_cells_are_shares_of_bits_and_membranes_of_thresholds(tmp_path: Path, saved: list[Figure]) -> None:
    counts = np.array([[0, 0, 0], [0, 0, 5]])
    draw_difference(tmp_path / "d.png", "A: a. B: b.", ["conv1", "fc1"], counts, [100, 20], NEURON)
    sheet, table, membranes = saved[0].axes
    assert table.images[0].get_array().tolist() == [[0, 0, 0], [0, 0, 25]]
    assert [label.get_text() for label in table.get_yticklabels()] == ["conv1", "fc1"]
    assert [(text.get_text(), text.get_position()) for text in table.texts] == [("5", (2, 1))]
    assert table.patches[0].get_xy() == (1.5, 0.5)
    a, b, fires, *_ = membranes.lines
    assert a.get_ydata().tolist() == [0, 50, 150]
    assert b.get_ydata().tolist() == [0, 50, -100]
    assert fires.get_xdata().tolist() == [2]
    said = " ".join(text.get_text() for text in sheet.texts)
    assert "the more of its bits differ, up to 25%. The frame: the neuron below." in said
    assert NEURON.about in said


@pytest.mark.parametrize("shape", [(1, 1), (60, 4), (3, 700)])
def test_every_size_is_drawn(tmp_path: Path, saved: list[Figure], shape: tuple[int, int]) -> None:
    counts = np.random.default_rng(0).integers(0, 30_000, shape)
    names = [f"layer{number}" for number in range(shape[0])]
    draw_difference(tmp_path / "d.png", "A. B.", names, counts, [40_000] * shape[0])
    assert len(saved[0].axes) == 2
    assert (tmp_path / "d.png").stat().st_size > 5_000


def test_nothing_differs(tmp_path: Path, saved: list[Figure]) -> None:
    draw_difference(tmp_path / "d.png", "A. B.", ["conv1"], np.zeros((1, 3), np.int64), [4])
    assert any("No bit differs." in text.get_text() for text in saved[0].axes[0].texts)
