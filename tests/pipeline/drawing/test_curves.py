"""Curves: what the table says stands where it should, in one colour per curve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from spikesam.pipeline.drawing.canvas import PALETTE
from spikesam.pipeline.drawing.curves import CurveOptions, draw_curves, reach
from tests.pipeline.drawing.extents import assert_nothing_is_cut_off


def draw(table: pd.DataFrame, path: Path, saved: list[Figure], y: Any = "share", **options: Any) -> list[Any]:
    """The axes with curves."""
    draw_curves(path / "curves.png", "Title", "subtitle", table, "step", y, CurveOptions(**options))
    assert (path / "curves.png").stat().st_size > 5000
    return saved[-1].axes[1:]


def ticks(axes: Any) -> list[str]:
    return [label.get_text() for label in axes.get_xticklabels()]


def legend(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_numbers_are_joined_and_have_a_band(tmp_path: Path, saved: list[Figure]) -> None:
    table = pd.DataFrame({"curve": "conv1", "x": [0, 1, 4], "mean": [1, 2, 3], "low": [0.5, 2, 1], "high": [2, 3, 5]})
    (axes,) = draw(table, tmp_path, saved)
    (line,) = axes.lines
    np.testing.assert_array_equal(line.get_xydata(), [[0, 1], [1, 2], [4, 3]])
    (band,) = axes.collections
    corners = {tuple(corner) for corner in band.get_paths()[0].vertices}
    assert corners == {(0, 0.5), (1, 2), (4, 1), (4, 5), (1, 3), (0, 2)}
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title()) == ("step", "share", "")
    assert legend(axes) == ["conv1"]


def test_thin_lines_have_the_colour_of_their_curve_and_no_interval(tmp_path: Path, saved: list[Figure]) -> None:
    table = pd.DataFrame({"curve": "conv1", "x": [0, 1] * 3, "mean": range(6), "faint": ["", "", "a", "a", "b", "b"]})
    (axes,) = draw(table.assign(low=0.0, high=6.0), tmp_path, saved)
    assert [line.get_linewidth() < 1 for line in axes.lines] == [False, True, True]
    assert {line.get_color() for line in axes.lines} == {PALETTE[0]}
    assert len(axes.collections) == 1 and legend(axes) == ["conv1"]


def test_long_numbers_leave_room_for_the_label(tmp_path: Path, saved: list[Figure]) -> None:
    places = {"panel": ["a", "b"] * 2, "x": [0, 0, 1, 1], "mean": [-0.011, -0.011, 0.01, 0.01]}
    left, right = draw(pd.DataFrame({"curve": "conv1", **places}), tmp_path, saved, y="error − count", alike=True)
    assert "−0.005" in [label.get_text() for label in left.get_yticklabels()]
    extents = [axes.yaxis.label.get_window_extent() for axes in (left, right)]
    assert extents[0].x0 > 5 and extents[1].x0 > left.get_window_extent().x1 + 5


def test_a_curve_has_one_colour_in_all_panels_and_styles(tmp_path: Path, saved: list[Figure]) -> None:
    table = pd.DataFrame(
        [
            ("left", "b", 0, 1, "-"),
            ("left", "b", 1, 2, "-"),
            ("left", "b", 1, 2, ":"),
            ("left", "b", 2, 3, ":"),
            ("left", "a", 0, 3, "-"),
            ("right", "a", 0, 3, "-"),
        ],
        columns=["panel", "curve", "x", "mean", "style"],
    )
    left, right = draw(table, tmp_path, saved, y={"left": "nats", "right": "bits"})
    assert [(line.get_color(), line.get_linestyle()) for line in left.lines] == [
        (PALETTE[0], "-"), (PALETTE[0], ":"), (PALETTE[1], "-"),
    ]  # fmt: skip
    assert [line.get_color() for line in right.lines] == [PALETTE[1]]
    assert (left.get_title(), left.get_ylabel(), right.get_title(), right.get_ylabel()) == (
        *("left", "nats"), *("right", "bits"),
    )  # fmt: skip
    assert legend(right) == ["b", "a"] and left.get_legend() is None


def test_categories_stand_side_by_side(tmp_path: Path, saved: list[Figure]) -> None:
    table = pd.DataFrame(
        [("z", "one", 1, 0, 3), ("z", "other spikes", 2, 2, 2), ("a", "other spikes", 5, -np.inf, np.inf)],
        columns=["curve", "x", "mean", "low", "high"],
    )
    (axes,) = draw(table, tmp_path, saved)
    z, a = axes.containers
    np.testing.assert_allclose(z.lines[0].get_xydata(), [[-0.06, 1], [0.94, 2]])
    np.testing.assert_allclose(a.lines[0].get_xydata(), [[1.06, 5]])
    np.testing.assert_allclose(z.lines[2][0].get_segments()[0], [[-0.06, 0], [-0.06, 3]])
    assert not np.size(a.lines[2][0].get_segments())  # no bar where the interval is everything
    assert ticks(axes) == ["one", "other\nspikes"]


def test_categories_can_be_joined(tmp_path: Path, saved: list[Figure]) -> None:
    table = pd.DataFrame({"curve": "conv1", "x": ["trained", "readout", "fc1"], "mean": [1, 0.5, 0.2]})
    (axes,) = draw(table, tmp_path, saved, joined=True)
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), [[0, 1], [1, 0.5], [2, 0.2]])
    assert ticks(axes) == ["trained", "readout", "fc1"]


def test_a_colour_can_be_given(tmp_path: Path, saved: list[Figure]) -> None:
    table = pd.DataFrame({"curve": ["a", "b"], "x": 0, "mean": [1, 2], "colour": "#123456"})
    (axes,) = draw(table, tmp_path, saved)
    assert [line.get_color() for line in axes.lines] == ["#123456"] * 2


@pytest.mark.parametrize("points", [19, 20])
def test_many_points_have_no_markers(tmp_path: Path, saved: list[Figure], points: int) -> None:
    table = pd.DataFrame({"curve": "a", "x": np.arange(points), "mean": np.arange(points)})
    (axes,) = draw(table, tmp_path, saved)
    assert axes.lines[0].get_marker() == ("o" if points < 20 else "")


def test_a_long_title_and_a_long_name_fit(tmp_path: Path, saved: list[Figure]) -> None:
    table = pd.DataFrame({"curve": "a name " * 9, "x": [0, 1], "mean": [1, 2]})
    draw_curves(tmp_path / "long.png", "Short", "a long explanation, " * 12, table, "x", "y")
    figure = saved[-1]
    right = figure.bbox.width
    assert all(text.get_window_extent().x1 < right for text in figure.axes[0].texts)
    assert figure.axes[1].get_legend().get_window_extent().x1 < right


def test_panels_alike_with_a_level(tmp_path: Path, saved: list[Figure]) -> None:
    table = pd.DataFrame({"curve": "c", "panel": ["a", "a", "b", "b"], "x": [0, 1] * 2, "mean": [0.4, 0.6, 0.5, 0.9]})
    left, right = draw(table, tmp_path, saved, level=(0.5, "even"), alike=True)
    assert left.get_ylim() == right.get_ylim()
    assert left.get_ylim()[0] < 0.4 and left.get_ylim()[1] > 0.9
    for axes in (left, right):
        (level,) = (line for line in axes.lines if line.get_linestyle() == "--")
        assert set(level.get_ydata()) == {0.5}
    assert legend(right) == ["even", "c"]
    (axes,) = draw(table[:2], tmp_path, saved, limits=(0, 1))
    assert axes.get_ylim() == (0, 1)


@pytest.mark.parametrize("width", [3.0, 5.0])
def test_no_legend_is_cut_off(tmp_path: Path, saved: list[Figure], width: float) -> None:
    name = "SNN of a very long name of a network 100.0%"
    table = pd.DataFrame({"curve": ["short", name], "x": [0, 1], "mean": [1, 2]})
    draw(table, tmp_path, saved, width=width)
    draw(table[:1], tmp_path, saved, width=width, level=(1, name))
    for figure in saved:
        assert_nothing_is_cut_off(figure)


def test_reach() -> None:
    estimates = pd.DataFrame({"mean": [1.0, 1], "low": [0.25, -np.inf], "high": [3, np.inf]})
    np.testing.assert_array_equal(reach(estimates), [[0.75, np.nan], [2, np.nan]])
