"""The grid: cells in their places, relative to what they should be, at a size fit for a page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from spikesam.pipeline.drawing.grid import HEAT, PALE, Cell, Row, draw_maps, overlay
from spikesam.pipeline.drawing.subject import Subject
from tests.pipeline.drawing.conftest import Pictures
from tests.pipeline.drawing.extents import assert_nothing_is_cut_off

RANDOM = np.random.default_rng(0)
IMAGE = RANDOM.random((64, 64, 3))
ONE, HALF = np.ones((2, 2), np.float32), np.full((2, 2), 0.5, np.float32)


def test_a_map_covers_the_image_with_its_value() -> None:
    image = np.random.default_rng(0).random((8, 12, 3))
    shown = [overlay(image, np.full((2, 3), value, np.float32), (8, 12)) for value in (0, 1)]
    grey = image @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(np.corrcoef(shown[0].mean(axis=2).ravel(), grey.ravel())[0, 1], 1, atol=0.1)
    np.testing.assert_allclose(shown[1], np.broadcast_to(HEAT(1.0)[:3], shown[1].shape), atol=0.05)


def test_a_map_alone_goes_from_the_first_colour_to_the_last() -> None:
    alone = overlay(None, np.array([[0, 1]], np.float32), (4, 8))
    np.testing.assert_allclose(alone[:, 0], np.broadcast_to(HEAT(0.0)[:3], (4, 3)))
    np.testing.assert_allclose(alone[:, -1], np.broadcast_to(HEAT(1.0)[:3], (4, 3)))


def test_cells_lie_in_rows_and_columns(tmp_path: Path, saved: list[Figure], pictures: Pictures) -> None:
    rows = [Row("one", [Cell(ONE), Cell()]), Row("two", [Cell(image=IMAGE), None, Cell(HALF, IMAGE)])]
    draw_maps(tmp_path / "grid.png", "Title", "about", ["a", "b"], rows)
    *found, _ = pictures[saved[0]]
    (x0, x1, x2), (y0, y1) = sorted({cell.x for cell in found}), sorted({cell.y for cell in found})
    assert [(cell.x, cell.y) for cell in found] == [(x0, y0), (x1, y0), (x0, y1), (x2, y1)]
    assert x2 - x1 == pytest.approx(x1 - x0) == pytest.approx(y1 - y0)
    expected = [overlay(None, ONE, (64, 64)), PALE, IMAGE, overlay(IMAGE, HALF, (64, 64))]
    for cell, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(cell.pixels[[0, -1]][:, [0, -1]], wanted[[0, -1]][:, [0, -1]])
    texts = {text.get_text(): text.get_position()[0] for text in saved[0].axes[0].texts}
    assert texts["one"] < x0 < x1 < texts["a"] < x2 < texts["b"]  # headings belong to the last columns


def test_the_bar_stands_beside_the_maps(tmp_path: Path, saved: list[Figure], pictures: Pictures) -> None:
    rows = [Row("", [Cell(image=IMAGE)] * 2), Row("conv1", [Cell(ONE, IMAGE)] * 2)]
    draw_maps(tmp_path / "grid.png", "Title", "about", ["a", "b"], rows, colours=["red", "black"])
    *cells, bar = pictures[saved[0]]
    assert bar.y == cells[2].y  # at the top of the second row
    assert bar.x > max(cell.x + cell.width for cell in cells)
    assert [text.get_color() for text in saved[0].axes[0].texts if text.get_text() in {"a", "b"}] == ["red", "black"]


def test_the_box_lies_where_the_object_is(tmp_path: Path, saved: list[Figure], pictures: Pictures) -> None:
    cell = Cell(image=np.zeros((10, 20, 3)), box=(5, 2, 15, 8))
    draw_maps(tmp_path / "grid.png", "Title", "about", [], [Row("", [cell, Cell(ONE)])])
    image = pictures[saved[0]][0]
    frames = saved[0].axes[0].patches
    for frame in frames:
        share = [(frame.get_x() - image.x) / image.width, (frame.get_y() - image.y) / image.height]
        assert [*share, frame.get_width() / image.width, frame.get_height() / image.height] == pytest.approx(
            [0.25, 0.2, 0.5, 0.6]
        )
    assert len(frames) == 2


def test_a_sample_stands_aside(tmp_path: Path, saved: list[Figure], pictures: Pictures) -> None:
    subject = Subject("3", "lion", "cat", IMAGE, (0, 0, 64, 64))
    draw_maps(tmp_path / "grid.png", "Title", "about", [], [Row("conv1", [Cell(ONE, IMAGE)])], aside=subject)
    aside, cell, _ = pictures[saved[0]]
    assert aside.x < cell.x and aside.y == cell.y
    (caption,) = (text for text in saved[0].axes[0].texts if text.get_text() == subject.caption)
    assert caption.get_window_extent().y0 > 0  # it is on the page, though there is one row


@pytest.mark.parametrize(
    ("rows", "columns", "shape"),
    [(1, 1, (1, 1)), (10, 8, (8, 8)), (7, 8, (64, 64)), (3, 9, (48, 80)), (2, 5, (90, 30)), (20, 3, (5, 5))],
)
def test_every_grid_fits_a_page(
    tmp_path: Path, saved: list[Figure], rows: int, columns: int, shape: tuple[int, int]
) -> None:
    maps = RANDOM.random((rows, columns, *shape))
    named = [Row(f"conv{number}\n{shape}", [Cell(each) for each in row]) for number, row in enumerate(maps)]
    headings = ["a very long name of a class indeed\nis another"] * columns
    draw_maps(tmp_path / "grid.png", "Title", "about", headings, named)
    width, height = saved[0].get_size_inches()
    assert 5 < width < 15 and 2 < height < 22
    for text in saved[0].axes[0].texts:
        extent = text.get_window_extent()
        assert extent.x0 >= 0 and extent.x1 <= saved[0].bbox.width + 1 and extent.y0 >= 0


def test_rows_with_headings_and_columns_apart(tmp_path: Path, saved: list[Figure], pictures: Pictures) -> None:
    rows = [Row("one", [Cell(ONE)] * 3), Row("two", [Cell(HALF)] * 3, ["all", "t = 2"]), Row("three", [Cell(ONE)])]
    draw_maps(tmp_path / "grid.png", "Title", "about", ["a", "b", "c"], rows, apart=1)
    *found, _ = pictures[saved[0]]
    (x0, x1, x2), (y0, y1, y2) = sorted({cell.x for cell in found}), sorted({cell.y for cell in found})
    assert x1 - x0 > x2 - x1 + 0.1
    assert y1 - y0 > y2 - y1 + 0.1
    places = {text.get_text(): text.get_position() for text in saved[0].axes[0].texts}
    assert y0 < places["all"][1] < y1 and places["all"][0] == places["a"][0] and places["t = 2"][0] == places["b"][0]
    assert_nothing_is_cut_off(saved[0])
