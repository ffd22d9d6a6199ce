"""Interval plots: every estimate in the axes, on the line and in the colour that its names say."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from paper.common.intervals import draw_intervals
from spikesam.figures import PALETTE

pytestmark = pytest.mark.filterwarnings("error")  # of the plotting library: a fault of the picture

COLUMNS = ["row", "column", "method", "series", "mean", "low", "high"]
TABLE = pd.DataFrame(
    [
        ("energy", "as is", "SAM", "surrogate", 0.5, 0.4, 0.7),
        ("energy", "as is", "count", "surrogate", 0.3, 0.3, 0.3),
        ("energy", "as is", "SAM", "converted", 0.2, 0.1, 0.3),
        ("energy", "decoys", "count", "converted", 0.9, -np.inf, np.inf),
        ("IoU", "decoys", "SAM", "converted", 0.8, 0.6, 0.9),
    ],
    columns=COLUMNS,
)


def test_estimates_stand_where_their_names_say(tmp_path: Path, saved: list[Figure]) -> None:
    draw_intervals(tmp_path / "intervals.png", "Title", "subtitle", TABLE)
    sheet, first, second, third, fourth = saved[-1].axes
    surrogate, converted = first.containers
    np.testing.assert_allclose(surrogate.lines[0].get_xydata(), [[0.5, -0.11], [0.3, 0.89]])
    np.testing.assert_allclose(converted.lines[0].get_xydata(), [[0.2, 0.11]])
    np.testing.assert_allclose(
        surrogate.lines[2][0].get_segments()[0], [[0.4, -0.11], [0.7, -0.11]]
    )
    assert [to_hex(each.lines[0].get_color()) for each in first.containers] == list(PALETTE[:2])
    np.testing.assert_allclose(second.containers[1].lines[0].get_xydata(), [[0.9, 1.11]])
    assert not any(len(each.lines[0].get_xydata()) for each in third.containers)
    np.testing.assert_allclose(fourth.containers[1].lines[0].get_xydata(), [[0.8, 0.11]])
    assert [label.get_text() for label in first.get_yticklabels()] == ["SAM", "count"]
    assert (first.get_title(), second.get_title(), fourth.get_title()) == ("as is", "decoys", "")
    assert {"energy", "IoU", "● surrogate", "● converted"} <= {
        text.get_text() for text in sheet.texts
    }
    assert first.get_xlim() == (0, 1)


def test_one_series_needs_no_names(tmp_path: Path, saved: list[Figure]) -> None:
    table = pd.DataFrame([("energy", "as is", "SAM", "all", 0.5, 0.2, 0.6)], columns=COLUMNS)
    draw_intervals(tmp_path / "intervals.png", "Title", "subtitle", table)
    assert not any("●" in text.get_text() for text in saved[-1].axes[0].texts)


def test_a_band_shows_the_margin(tmp_path: Path, saved: list[Figure]) -> None:
    draw_intervals(tmp_path / "intervals.png", "Title", "subtitle", TABLE, margin=0.02)
    for axes in saved[-1].axes[1:]:
        (band,) = axes.patches
        assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((-0.02, 0.02))
