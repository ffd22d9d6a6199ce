"""Maps of samples: what stands in which row and column, relative to what, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.drawing.grid import Row
from pipeline.drawing.samples import draw_over_time, draw_side_by_side, largest
from pipeline.drawing.subject import Subject

RANDOM = np.random.default_rng(0)


def some_maps(timesteps: int, *shapes: tuple[int, int]) -> dict[str, NDArray[np.float32]]:
    return {
        f"conv{number}": RANDOM.gamma(1, size=(timesteps, *shape)).astype(np.float32)
        for number, shape in enumerate(shapes, 1)
    }


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_scale_is_one_per_layer() -> None:
    maps = np.array([[[0, 1]], [[2, 4]]], np.float32)
    np.testing.assert_array_equal(maps / largest(maps), maps / 4)
    np.testing.assert_array_equal(np.float32(0) / largest(np.zeros((2, 1, 1), np.float32)), 0)


def test_over_time(tmp_path: Path, saved: list[Figure]) -> None:
    maps = {"conv1": np.ones((2, 4, 6), np.float32), "conv2": np.ones((3, 1, 1), np.float32)}
    draw_over_time(tmp_path / "maps.png", Subject("photo 3", "lion"), maps, "Spike Activation Map", "γ = 0.5.")
    assert texts(saved[0]) == [
        "Spike Activation Map: photo 3, predicted lion",
        "γ = 0.5. Each layer is relative to its largest value. Blank: too late to change the answer.",
        *("t = 0", "t = 1", "t = 2", "conv1\n4×6", "conv2\n1×1", "max", "half", "0"),
    ]
    silent = {"conv1": np.zeros((1, 4, 6), np.float32)}
    draw_over_time(
        tmp_path / "maps.png", Subject("photo 3", "lion", image=RANDOM.random((4, 6, 3))), silent, "Grad-CAM"
    )
    assert texts(saved[1]) == [
        *("Grad-CAM", "Each layer is relative to its largest value.", "predicted\nlion", "conv1\nall zero"),
        *("max", "half", "0"),
    ]


def test_side_by_side(tmp_path: Path, saved: list[Figure]) -> None:
    subjects = [Subject("sample 3", "lion", "cat"), Subject("sample 8")]
    maps = [some_maps(4, (5, 5)), some_maps(4, (5, 5))]
    for sample, best in zip(maps, (1, 3), strict=True):
        sample["conv1"][best, 0, 0] = 100
    draw_side_by_side(tmp_path / "overview.png", subjects, maps, "Where neurons fire", "Spike Activation Map")
    assert texts(saved[0]) == [
        "Where neurons fire",
        "Spike Activation Map. Each map is of the step where it varies most over the image.",
        "Each layer is relative to its largest value.",
        *("sample 3\npredicted lion\nis cat", "sample 8", "conv1", "t = 1", "t = 3", "max", "half", "0"),
    ]


def test_maps_lie_over_what_has_just_reached_their_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: list[Figure]
) -> None:
    drawn: list[Row] = []
    monkeypatch.setattr("pipeline.drawing.samples.draw_maps", lambda *given, **named: drawn.extend(given[4]))
    frames = np.arange(4)[:, None, None, None] * np.ones((4, 2, 2, 3)) / 4
    subject = Subject("film", "lion", image=frames[0], frames=frames)
    maps = {"input": np.ones((4, 2, 2), np.float32), "conv1": np.ones((5, 2, 2), np.float32)}
    maps["conv1"][0] = 0
    draw_over_time(tmp_path / "maps.png", subject, maps, "SAM", delays={"input": 0, "conv1": 1})
    below = [[cell.image.max() * 4 for cell in row.cells] for row in drawn]
    assert below == [[1, 2, 3], [0, 1, 2]]  # at steps 1, 2, 3, which both layers have
    monkeypatch.undo()
    draw_over_time(tmp_path / "maps.png", subject, maps, "SAM", delays={"conv1": 1})
    draw_side_by_side(tmp_path / "overview.png", [subject], [maps], "Where", "SAM", {"conv1": 1})
    for figure in saved:
        assert "Below each map: the events that have just reached the layer." in " ".join(texts(figure))
        assert "Blank" not in " ".join(texts(figure))


@pytest.mark.parametrize(
    ("subject", "maps"),
    [
        (Subject("3", "lion", "cat", RANDOM.random((64, 64, 3)), (3.5, 4, 50, 64)), some_maps(16, (64, 64), (16, 16))),
        (
            Subject("a very long name of a file.jpeg", "x", None, RANDOM.random((48, 80, 3))),
            some_maps(3, (48, 80)),
        ),
        (Subject("tall", "tall", "tall", RANDOM.random((90, 30, 3))), some_maps(5, (45, 15), (3, 1))),
        (Subject("sample 3"), some_maps(30, *[(8, 8)] * 10)),
        (Subject("sample 3", "class 3", "class 4"), {"conv1": np.zeros((1, 1, 1), np.float32)}),
    ],
    ids=["usual", "wide", "tall", "ten layers without image", "one silent pixel"],
)
def test_every_shape_is_drawn(
    tmp_path: Path, saved: list[Figure], subject: Subject, maps: dict[str, NDArray[np.float32]]
) -> None:
    draw_over_time(tmp_path / "maps.png", subject, maps, "Spike Activation Map", "γ = 0.5.")
    draw_side_by_side(tmp_path / "overview.png", [subject] * 3, [maps] * 3, "Where neurons fire", "SAM")
    for figure in saved:
        width, height = figure.get_size_inches()
        assert 5 < width < 16 and 2 < height < 18
        assert len(figure.axes[0].images) > len(maps)
