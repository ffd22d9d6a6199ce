"""The raster: who fires when."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from pipeline.drawing.raster import draw_raster
from recordings.raster.batch import pack


def test_the_most_active_neurons_are_on_top(tmp_path: Path, saved: list[Figure]) -> None:
    spikes = np.zeros((4, 3, 1, 1), bool)
    spikes[1, 0] = spikes[[0, 2, 3], 2] = True  # the second neuron is silent
    draw_raster(tmp_path / "raster.png", "conv1", pack(spikes[:, None])[0], 3, "sample 3")
    sheet, axes = saved[0].axes
    np.testing.assert_array_equal(axes.images[0].get_array(), [[1, 0, 1, 1], [0, 1, 0, 0]])
    assert [text.get_text() for text in sheet.texts] == ["Spikes of conv1: sample 3", "2 of 3 neurons fire."]


@pytest.mark.parametrize(
    ("timesteps", "shape", "rate", "said"),
    [
        (16, (8, 16, 16), 0.1, "One in 8 is shown."),
        (5, (2, 3, 3), 0, "0 of 18 neurons fire."),
        (1, (1, 1, 1), 1, "1 of 1 neurons fire."),
    ],
)
def test_every_size_is_drawn(
    tmp_path: Path, saved: list[Figure], timesteps: int, shape: tuple[int, int, int], rate: float, said: str
) -> None:
    spikes = np.random.default_rng(0).random((timesteps, *shape)) < rate
    draw_raster(tmp_path / "raster.png", "conv3", pack(spikes[:, None])[0], spikes[0].size, "sample 3")
    sheet, axes = saved[0].axes
    assert sheet.texts[1].get_text().endswith(said)
    assert len(axes.images) == (rate > 0) and len(axes.texts) == (rate == 0)
