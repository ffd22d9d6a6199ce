"""The raster: who fires when."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import EventCollection
from matplotlib.figure import Figure

from spikesam.pipeline.drawing.raster import draw_raster
from spikesam.recordings.raster.batch import pack
from tests.pipeline.drawing.extents import assert_nothing_is_cut_off

WHAT = "A line is a neuron, a tick a spike."


def ticks(axes: Any) -> list[tuple[float, list[float]]]:
    """Line and steps of every neuron."""
    every = [lines for lines in axes.collections if isinstance(lines, EventCollection)]
    return [(lines.get_lineoffset(), sorted(lines.get_positions())) for lines in every]


def test_the_most_active_neurons_are_on_top(tmp_path: Path, saved: list[Figure]) -> None:
    spikes = np.zeros((4, 3, 1, 1), bool)
    spikes[1, 0] = spikes[[0, 2, 3], 2] = True  # the second neuron is silent
    draw_raster(tmp_path / "raster.png", "conv1", pack(spikes[:, None])[0], 3, "sample 3")
    sheet, axes = saved[0].axes
    assert ticks(axes) == [(0, [0, 2, 3]), (1, [1])]
    assert axes.yaxis_inverted()
    about = f"2 of 3 neurons fire. {WHAT}"
    assert [text.get_text() for text in sheet.texts] == ["Spikes of conv1: sample 3", about]


@pytest.mark.parametrize("timesteps", [16, 500])
def test_spikes_of_neighbours_do_not_touch(tmp_path: Path, saved: list[Figure], timesteps: int) -> None:
    spikes = np.ones((timesteps, 50, 1, 1), bool)
    draw_raster(tmp_path / "raster.png", "conv1", pack(spikes[:, None])[0], 50, "sample 3")
    axes = saved[0].axes[1]
    every = [lines for lines in axes.collections if isinstance(lines, EventCollection)]
    assert len(every) == 40  # as many as can be told apart
    assert every[0].get_linelength() < 0.8  # of the distance between two neurons
    points = 72 * axes.get_position().width * saved[0].get_size_inches()[0] / timesteps
    assert every[0].get_linewidth() < max(0.5 * points, 0.7)  # of a step, or a thin line
    assert_nothing_is_cut_off(saved[0])


@pytest.mark.parametrize(
    ("timesteps", "shape", "rate", "said"),
    [
        (16, (8, 16, 16), 0.1, f"One in 42 is shown, from the most to the least active. {WHAT}"),
        (5, (2, 3, 3), 0, "0 of 18 neurons fire."),
        (1, (1, 1, 1), 1, f"1 of 1 neurons fire. {WHAT}"),
    ],
)
def test_every_size_is_drawn(
    tmp_path: Path, saved: list[Figure], timesteps: int, shape: tuple[int, int, int], rate: float, said: str
) -> None:
    spikes = np.random.default_rng(0).random((timesteps, *shape)) < rate
    draw_raster(tmp_path / "raster.png", "conv3", pack(spikes[:, None])[0], spikes[0].size, "sample 3")
    sheet, axes = saved[0].axes
    assert " ".join(text.get_text() for text in sheet.texts).endswith(said)
    assert bool(ticks(axes)) == (rate > 0) and len(axes.texts) == (rate == 0)
    assert_nothing_is_cut_off(saved[0])
