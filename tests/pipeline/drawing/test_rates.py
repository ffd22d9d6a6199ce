"""Spike rates: means and what is dotted, in colours that can be told apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from skimage.color import deltaE_ciede2000, rgb2lab

from spikesam.pipeline.drawing.rates import DEPTH, draw_rates


def test_means_are_dotted_where_they_no_longer_matter(tmp_path: Path, saved: list[Figure]) -> None:
    rates = {"input": np.array([[0.1, 0.2, 0.3], [0.3, 0.4, 0.5]]), "conv1": np.zeros((2, 3))}
    draw_rates(tmp_path / "rates.png", rates, {"input": 2, "conv1": 3})
    sheet, axes = saved[0].axes
    solid, dotted, *_ = axes.lines
    np.testing.assert_allclose(solid.get_xydata(), [[0, 20], [1, 30]])
    np.testing.assert_allclose(dotted.get_xydata(), [[1, 30], [2, 40]])
    assert (solid.get_linestyle(), dotted.get_linestyle()) == ("-", ":")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["input", "conv1"]
    assert sheet.texts[1].get_text() == (
        "Mean of 2 samples. Band: 10th to 90th percentile. Dotted: too late to change the answer."
    )
    draw_rates(tmp_path / "rates.png", {"input": np.zeros((1, 3))}, {"input": 3})
    assert saved[1].axes[0].texts[1].get_text() == "One sample."


@pytest.mark.parametrize("shape", [(5, 16), (1, 1), (2, 500)])
def test_every_length_is_drawn(tmp_path: Path, shape: tuple[int, int]) -> None:
    rates = {f"conv{number}": np.random.default_rng(0).random(shape) for number in range(11)}
    rates["fc1"] = np.zeros(shape)
    matter = {name: max(1, shape[1] - 11 + number) for number, name in enumerate(rates)}
    draw_rates(tmp_path / "rates.png", rates, matter)
    assert (tmp_path / "rates.png").stat().st_size > 20_000


@pytest.mark.parametrize("layers", [3, 6, 8, 12])
def test_neighbouring_layers_differ_and_show_on_white(layers: int) -> None:
    colours = rgb2lab(np.array(DEPTH(np.linspace(0, 1, layers)))[None, :, :3])[0]
    assert deltaE_ciede2000(colours[:-1], colours[1:]).min() > 14
    assert deltaE_ciede2000(colours, np.array([[100.0, 0, 0]])).min() > 30
