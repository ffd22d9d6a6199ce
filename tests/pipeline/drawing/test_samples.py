"""Maps of samples: what stands in which row and column, relative to what, and what is said of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray

from spikesam.pipeline.drawing.grid import Row, draw_maps
from spikesam.pipeline.drawing.samples import (
    active_steps,
    best_step,
    common_steps,
    draw_over_time,
    draw_side_by_side,
    largest,
    stretches,
    thinned,
)
from spikesam.pipeline.drawing.subject import Subject
from tests.pipeline.drawing.conftest import Pictures
from tests.pipeline.drawing.extents import assert_nothing_is_cut_off

RANDOM = np.random.default_rng(0)


def some_maps(timesteps: int, *shapes: tuple[int, int]) -> dict[str, NDArray[np.float32]]:
    return {
        f"conv{number}": RANDOM.gamma(1, size=(timesteps, *shape)).astype(np.float32)
        for number, shape in enumerate(shapes, 1)
    }


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


@pytest.fixture
def grids(monkeypatch: pytest.MonkeyPatch) -> list[list[Row]]:
    """The rows of every grid that is drawn."""
    drawn: list[list[Row]] = []

    def keep(*given: Any, **named: Any) -> None:
        drawn.append(list(given[4]))
        draw_maps(*given, **named)

    monkeypatch.setattr("spikesam.pipeline.drawing.samples.draw_maps", keep)
    return drawn


def test_scale_is_one_per_layer() -> None:
    maps = np.array([[[0, 1]], [[2, 4]]], np.float32)
    np.testing.assert_array_equal(maps / largest(maps), maps / 4)
    np.testing.assert_array_equal(np.float32(0) / largest(np.zeros((2, 1, 1), np.float32)), 0)


def test_over_time(tmp_path: Path, saved: list[Figure]) -> None:
    maps = {"conv1": np.ones((2, 4, 6), np.float32), "conv2": np.ones((3, 1, 1), np.float32)}
    draw_over_time(tmp_path / "maps.png", Subject("photo 3", "lion"), maps, "Spike Activation Map", "γ = 0.5.")
    title, *about, sums, first, second, third, size, small, top, half, zero = texts(saved[0])
    assert title == "Spike Activation Map: photo 3, predicted lion"
    assert " ".join(about) == (
        "γ = 0.5. First: summed over the steps that can still change the answer. Sums are relative to "
        "their own largest value, steps to their layer's. Blank: too late to change the answer."
    )
    assert [sums, first, second, third, size, small, top, half, zero] == [
        *("all steps", "t = 0", "t = 1", "t = 2", "conv1\n4×6", "conv2\n1×1", "max", "half", "0")
    ]
    silent = {"conv1": np.zeros((1, 4, 6), np.float32)}
    draw_over_time(
        tmp_path / "maps.png", Subject("photo 3", "lion", image=RANDOM.random((4, 6, 3))), silent, "Grad-CAM"
    )
    assert texts(saved[1]) == [
        *("Grad-CAM", "Each map is relative to its largest value.", "predicted\nlion", "conv1\nall zero"),
        *("max", "half", "0"),
    ]


def test_the_sum_comes_first_and_steps_after(tmp_path: Path, grids: list[list[Row]]) -> None:
    maps = {
        "conv1": np.array([[[0, 1]], [[2, 5]]], np.float32),
        "conv2": np.array([[[3, 0]], [[0, 3]], [[0, 3]]], "f4"),
    }
    draw_over_time(tmp_path / "maps.png", Subject("3"), maps, "SAM")
    first, second = ([None if cell.heat is None else cell.heat.tolist() for cell in row.cells] for row in grids[0])
    one = np.float32(1) / 3
    assert first == [[[one, 1]], [[0, np.float32(0.2)]], [[np.float32(0.4), 1]], None]
    assert second == [[[0.5, 1]], [[1, 0]], [[0, 1]], [[0, 1]]]
    draw_side_by_side(tmp_path / "overview.png", [Subject("3")] * 2, [maps] * 2, "Where", "SAM")
    shown = [[cell.heat.tolist() for cell in row.cells] for row in grids[1]]
    assert shown == [[[[one, 1]]] * 2, [[[0.5, 1]]] * 2]


def test_long_recordings_are_summed_over_stretches(tmp_path: Path, saved: list[Figure], grids: list[list[Row]]) -> None:
    maps = {"conv1": np.zeros((500, 1, 2), np.float32)}
    maps["conv1"][20:, 0, 0] = 1  # 480 steps, 60 in an eighth
    maps["conv1"][20:50, 0, 1] = 1
    draw_over_time(tmp_path / "maps.png", Subject("3"), maps, "SAM")
    (row,) = grids[0]
    assert [cell.heat[0].tolist() for cell in row.cells] == [[1, 1 / 16], [1, 0.5], *([1, 0] for _ in range(7))]


def test_stretches_are_headed_by_their_steps(tmp_path: Path, saved: list[Figure]) -> None:
    draw_over_time(tmp_path / "maps.png", Subject("3"), some_maps(80, (2, 2)), "SAM")
    shown = texts(saved[0])
    assert "all steps" in shown and "t = 0 … 9" in shown and "t = 70 … 79" in shown
    assert "Then: summed over the steps named." in " ".join(shown)


def test_side_by_side(tmp_path: Path, saved: list[Figure]) -> None:
    subjects = [Subject("sample 3", "lion", "cat"), Subject("sample 8")]
    maps = [some_maps(4, (5, 5)), some_maps(4, (5, 5))]
    draw_side_by_side(tmp_path / "overview.png", subjects, maps, "Where neurons fire", "Spike Activation Map")
    assert texts(saved[0]) == [
        "Where neurons fire",
        "Spike Activation Map, summed over the steps that can still change the answer. Each map is",
        "relative to its largest value.",
        *("sample 3\npredicted lion\nis cat", "sample 8", "conv1", "max", "half", "0"),
    ]


def test_one_sample_fills_a_row(tmp_path: Path, grids: list[list[Row]], saved: list[Figure]) -> None:
    maps = some_maps(4, (5, 5), (3, 3))
    draw_side_by_side(
        tmp_path / "one.png", [Subject("3", "lion", image=RANDOM.random((6, 6, 3)))], [maps], "Where", "SAM"
    )
    draw_side_by_side(tmp_path / "one.png", [Subject("3", "lion")], [maps], "Where", "SAM")
    assert [(row.label, len(row.cells)) for rows in grids for row in rows] == [("", 3), ("3\npredicted lion", 2)]


def test_moving_images_get_a_step_after_the_sum(tmp_path: Path, grids: list[list[Row]]) -> None:
    frames = RANDOM.random((4, 2, 2, 3))
    subjects = [Subject("film", image=frames[0], frames=frames)] * 2
    maps = {"conv1": np.zeros((4, 1, 2), np.float32), "conv2": np.ones((4, 1, 2), np.float32)}
    maps["conv1"][2, 0, 1] = 1
    draw_side_by_side(tmp_path / "overview.png", subjects, [maps] * 2, "Where", "SAM", {"conv1": 1})
    assert [row.label for row in grids[0]] == ["", "conv1", "conv2", "conv1\none step", "conv2\none step"]
    assert grids[0][3].cells[0].tag == "t = 2" and grids[0][3].cells[0].image is not None
    np.testing.assert_array_equal(grids[0][3].cells[0].image, frames[1])


def test_a_border_that_padding_lights_up_is_hatched(tmp_path: Path, saved: list[Figure], pictures: Pictures) -> None:
    padded = {"conv1": np.array([[True, False, False, True]])}
    maps = {"conv1": np.array([[[1, 0, 1, 1]], [[0, 1, 0, 0]]], np.float32)}  # in sum 1 outside and 1 inside
    draw_over_time(tmp_path / "maps.png", Subject("3"), maps, "SAM", padded=padded)
    maps["conv1"][0] *= 2
    draw_over_time(tmp_path / "maps.png", Subject("3"), maps, "SAM", padded=padded)
    dark, lit = saved
    assert not dark.axes[0].patches and "Hatched" not in " ".join(texts(dark))
    assert len(lit.axes[0].patches) == 2 and "Hatched" in " ".join(texts(lit))  # the sum and the first step
    cell = pictures[lit][0]
    x = lit.axes[0].patches[0].get_path().vertices[:, 0]
    shares = sorted({round((each - cell.x) / cell.width, 3) for each in x})
    assert shares == [0, 0.25, 0.75, 1]


def test_maps_lie_over_what_has_just_reached_their_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: list[Figure]
) -> None:
    drawn: list[Row] = []
    monkeypatch.setattr("spikesam.pipeline.drawing.samples.draw_maps", lambda *given, **named: drawn.extend(given[4]))
    frames = np.arange(4)[:, None, None, None] * np.ones((4, 2, 2, 3)) / 4
    subject = Subject("film", "lion", image=frames[0], frames=frames)
    maps = {"input": np.ones((4, 2, 2), np.float32), "conv1": np.ones((5, 2, 2), np.float32)}
    maps["conv1"][0] = 0
    draw_over_time(tmp_path / "maps.png", subject, maps, "SAM", delays={"input": 0, "conv1": 1})
    below = [[cell.image.max() * 4 for cell in row.cells] for row in drawn]
    assert [cells[1:] for cells in below] == [[1, 2, 3], [0, 1, 2]]  # at steps 1, 2, 3, which both layers have
    monkeypatch.undo()
    draw_over_time(tmp_path / "maps.png", subject, maps, "SAM", delays={"conv1": 1})
    draw_side_by_side(tmp_path / "overview.png", [subject], [maps], "Where", "SAM", {"conv1": 1})
    for figure in saved:
        assert "Below each map of a step: the events that have just reached the layer." in " ".join(texts(figure))
        assert "Blank" not in " ".join(texts(figure))


@pytest.mark.parametrize(
    ("subject", "maps"),
    [
        (Subject("3", "lion", "cat", RANDOM.random((64, 64, 3)), (3.5, 4, 50, 64)), some_maps(16, (64, 64), (16, 16))),
        (Subject("a very long name of a file.jpeg", "x", None, RANDOM.random((48, 80, 3))), some_maps(3, (48, 80))),
        (Subject("tall", "tall", "tall", RANDOM.random((90, 30, 3))), some_maps(5, (45, 15), (3, 1))),
        (Subject("sample 3"), some_maps(30, *[(8, 8)] * 10)),
        (Subject("sample 3", "class 3", "class 4"), {"conv1": np.zeros((1, 1, 1), np.float32)}),
    ],
    ids=["usual", "wide", "tall", "ten layers without image", "one silent pixel"],
)
def test_every_shape_is_drawn(
    tmp_path: Path, saved: list[Figure], pictures: Pictures, subject: Subject, maps: dict[str, NDArray[np.float32]]
) -> None:
    draw_over_time(tmp_path / "maps.png", subject, maps, "Spike Activation Map", "γ = 0.5.")
    draw_side_by_side(tmp_path / "overview.png", [subject] * 3, [maps] * 3, "Where neurons fire", "SAM")
    for figure in saved:
        width, height = figure.get_size_inches()
        assert 5 < width < 16 and 2 < height < 18
        assert_nothing_is_cut_off(figure)
        assert len(pictures[figure]) > len(maps)


def test_thinned() -> None:
    assert thinned(5) == [0, 1, 2, 3, 4]
    assert thinned(30, first=5) == [5, 8, 12, 15, 19, 22, 26, 29]
    assert thinned(30, 3) == [0, 14, 29]
    assert thinned(4, first=9) == [3]


def test_active_steps_span_what_happens() -> None:
    maps = {"a": np.zeros((30, 2, 2), np.float32), "b": np.zeros((30, 1, 1), np.float32)}
    assert active_steps(maps) == [29]
    maps["a"][5, 0, 0] = maps["b"][7] = 1
    assert active_steps(maps) == [5, 6, 7]
    maps["b"][26] = 1
    assert active_steps(maps) == [5, 8, 11, 14, 17, 20, 23, 26]


def test_common_steps_are_those_of_every_layer() -> None:
    maps = {"a": np.ones((9, 2, 2), np.float32), "b": np.ones((12, 1, 1), np.float32)}
    maps["b"][:3] = 0
    assert common_steps(maps) == [3, 4, 5, 6, 7, 8]
    assert common_steps({"a": np.zeros((2, 1, 1), np.float32)}) == [0, 1]
    maps["b"][:10] = 0  # it begins when the other has ended
    assert common_steps(maps) == [8]


def test_stretches_fill_a_long_time() -> None:
    maps = {"a": np.ones((63, 1, 1), np.float32)}
    assert stretches(maps) == [range(step, step + 1) for step in active_steps(maps)]
    maps = {"a": np.zeros((500, 1, 1), np.float32), "b": np.zeros((498, 1, 1), np.float32)}
    maps["a"][20:] = 1
    assert stretches(maps) == [range(start, start + 60) for start in range(20, 500, 60)]


def test_best_step_varies_most() -> None:
    maps = np.zeros((3, 2, 2), np.float32)
    maps[0] = 9
    maps[1, 0, 0] = 2
    assert best_step(maps) == 1
    assert best_step(np.array([1, 3, 2], np.float32).reshape(3, 1, 1)) == 1
