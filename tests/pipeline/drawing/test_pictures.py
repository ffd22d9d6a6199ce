"""Pictures of maps: what stands in which row and column, relative to what,
and what is said of it.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray

from spikesam.backends.network import LIF, Conv, Input, Layer, Network, Readout
from spikesam.pipeline.drawing.difference import DrawnNeuron, draw_difference
from spikesam.pipeline.drawing.grid import HEAT, PALE, Cell, Row, draw_maps, overlay
from spikesam.pipeline.drawing.padding import fractions_inside, lit_border, outside
from spikesam.pipeline.drawing.samples import (
    active_steps,
    common_steps,
    draw_over_time,
    draw_side_by_side,
)
from spikesam.pipeline.drawing.subject import RIGHT, WRONG, Subject
from tests.pipeline.drawing.conftest import Pictures, assert_nothing_is_cut_off, texts

RANDOM = np.random.default_rng(0)


def some_maps(timesteps: int, *shapes: tuple[int, int]) -> dict[str, NDArray[np.float32]]:
    sizes = {f"conv{number}": (timesteps, *shape) for number, shape in enumerate(shapes, 1)}
    return {name: RANDOM.gamma(1, size=size).astype(np.float32) for name, size in sizes.items()}


@pytest.fixture
def grids(monkeypatch: pytest.MonkeyPatch) -> list[list[Row]]:
    """The rows of every grid that is drawn."""
    drawn: list[list[Row]] = []

    def keep(*given: Any, **named: Any) -> None:
        drawn.append(list(given[4]))
        draw_maps(*given, **named)

    monkeypatch.setattr("spikesam.pipeline.drawing.samples.draw_maps", keep)
    return drawn


def test_over_time(tmp_path: Path, saved: list[Figure]) -> None:
    maps = {"conv1": np.ones((2, 4, 6), np.float32), "conv2": np.ones((3, 1, 2), np.float32)}
    draw_over_time(
        tmp_path / "maps.png", Subject("photo 3", "lion"), maps, "Spike Activation Map", "γ = 0.5."
    )
    title, *about, sums, first, second, third, size, small, moments, top, half, zero = texts(
        saved[0]
    )
    assert title == "Spike Activation Map: photo 3, predicted lion"
    assert " ".join(about) == (
        "γ = 0.5. First: summed over the steps that can still change the answer. Sums are relative "
        "to their own largest value, steps to their layer's. Moments: what the maps of each layer "
        "sum to, a row for each, "
        "steps from left to right. Blank: too late to change the answer."
    )
    assert [sums, first, second, third, size, small, moments, top, half, zero] == [
        *(
            "all steps",
            "t = 0",
            "t = 1",
            "t = 2",
            "conv1\n4×6",
            "conv2\n1×2",
            "moments",
            "max",
            "half",
            "0",
        )
    ]
    silent = {"conv1": np.zeros((1, 4, 6), np.float32)}
    pictured = Subject("photo 3", "lion", image=RANDOM.random((4, 6, 3)))
    draw_over_time(tmp_path / "maps.png", pictured, silent, "Grad-CAM")
    assert texts(saved[1]) == [
        *(
            "Grad-CAM",
            "Each map is relative to its largest value.",
            "predicted\nlion",
            "conv1\nall zero",
        ),
        *("max", "half", "0"),
    ]


def test_neurons_without_places_are_bands(
    tmp_path: Path, grids: list[list[Row]], saved: list[Figure]
) -> None:
    band = np.zeros((4, 3, 1), np.float32)
    band[1, 2] = band[3, 0] = 2
    draw_over_time(tmp_path / "maps.png", Subject("tone"), {"fc1": band}, "Spike Activation Map")
    (row,) = grids[0]
    (cell,) = row.cells
    np.testing.assert_array_equal(cell.heat, [[0, 0, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0]])
    assert "neurons from top to bottom, steps from left to right" in " ".join(texts(saved[0]))
    above, beside = (patch.get_path().vertices for patch in saved[0].axes[0].patches)
    for far, expected in (
        (-above[:, 1], [0, 0, 0, 1, 1, 0, 0, 1, 1, 0]),
        (beside[:, 0], [0, 1, 1, 0, 0, 1, 1, 0]),
    ):
        assert (far - far.min()) / np.ptp(far) == pytest.approx(
            expected
        )  # sums over neurons, and over steps


def test_the_sum_comes_first_and_steps_after(tmp_path: Path, grids: list[list[Row]]) -> None:
    maps = {
        "conv1": np.float32([[[0, 1]], [[2, 5]]]),
        "conv2": np.float32([[[3, 0]], [[0, 3]], [[0, 3]]]),
    }
    draw_over_time(tmp_path / "maps.png", Subject("3"), maps, "SAM")
    first, second, (moments,) = (
        [None if cell.heat is None else cell.heat.tolist() for cell in row.cells]
        for row in grids[0]
    )
    one = np.float32(1) / 3
    assert first == [[[one, 1]], [[0, np.float32(0.2)]], [[np.float32(0.4), 1]], None]
    assert second == [[[0.5, 1]], [[1, 0]], [[0, 1]], [[0, 1]]]
    assert np.array(moments)[::8, ::8].tolist() == [[pytest.approx(1 / 7), 1, 0], [1, 1, 1]]
    draw_side_by_side(tmp_path / "overview.png", [Subject("3")] * 2, [maps] * 2, "Where", "SAM")
    shown = [[cell.heat.tolist() for cell in row.cells] for row in grids[1]]
    assert shown == [[[[one, 1]]] * 2, [[[0.5, 1]]] * 2]


def test_long_recordings_are_summed_over_stretches(
    tmp_path: Path, saved: list[Figure], grids: list[list[Row]]
) -> None:
    maps = {"conv1": np.zeros((500, 1, 2), np.float32)}
    maps["conv1"][20:, 0, 0] = 1  # 480 steps, 60 in an eighth
    maps["conv1"][20:50, 0, 1] = 1
    draw_over_time(tmp_path / "maps.png", Subject("3"), maps, "SAM")
    row, _ = grids[0]
    assert [cell.heat[0].tolist() for cell in row.cells] == [
        [1, 1 / 16],
        [1, 0.5],
        *([1, 0] for _ in range(7)),
    ]
    shown = texts(saved[0])
    assert "all steps" in shown and "t = 20 … 79" in shown and "t = 440 … 499" in shown
    assert "Then: summed over the steps named." in " ".join(shown)


def test_side_by_side(tmp_path: Path, saved: list[Figure]) -> None:
    subjects = [Subject("sample 3", "lion", "cat"), Subject("sample 8")]
    maps = [some_maps(4, (5, 5)), some_maps(4, (5, 5))]
    draw_side_by_side(
        tmp_path / "overview.png", subjects, maps, "Where neurons fire", "Spike Activation Map"
    )
    assert texts(saved[0]) == [
        "Where neurons fire",
        "Spike Activation Map, summed over the steps that can still change the answer. Each map is",
        "relative to its largest value.",
        *("sample 3\npredicted lion\nis cat", "sample 8", "conv1", "max", "half", "0"),
    ]


def test_one_sample_fills_a_row(
    tmp_path: Path, grids: list[list[Row]], saved: list[Figure]
) -> None:
    maps = some_maps(4, (5, 5), (3, 3))
    for image in (RANDOM.random((6, 6, 3)), None):
        draw_side_by_side(
            tmp_path / "one.png", [Subject("3", "lion", image=image)], [maps], "Where", "SAM"
        )
    assert [(row.label, len(row.cells)) for rows in grids for row in rows] == [
        ("", 3),
        ("3\npredicted lion", 2),
    ]


def test_moving_images_get_a_step_after_the_sum(tmp_path: Path, grids: list[list[Row]]) -> None:
    frames = RANDOM.random((4, 2, 2, 3))
    subjects = [Subject("film", image=frames[0], frames=frames)] * 2
    maps = {"conv1": np.zeros((4, 1, 2), np.float32), "conv2": np.ones((4, 1, 2), np.float32)}
    maps["conv1"][2, 0, 1] = 1
    draw_side_by_side(tmp_path / "overview.png", subjects, [maps] * 2, "Where", "SAM", {"conv1": 1})
    assert [row.label for row in grids[0]] == [
        "",
        "conv1",
        "conv2",
        "conv1\none step",
        "conv2\none step",
    ]
    assert grids[0][3].cells[0].tag == "t = 2" and grids[0][3].cells[0].image is not None
    np.testing.assert_array_equal(grids[0][3].cells[0].image, frames[1])


def test_a_border_that_padding_lights_up_is_hatched(
    tmp_path: Path, saved: list[Figure], pictures: Pictures
) -> None:
    padded = {"conv1": np.array([[True, False, False, True]])}
    maps = {
        "conv1": np.array([[[1, 0, 1, 1]], [[0, 1, 0, 0]]], np.float32)
    }  # in sum 1 outside and 1 inside
    draw_over_time(tmp_path / "maps.png", Subject("3"), maps, "SAM", padded=padded)
    maps["conv1"][0] *= 2
    draw_over_time(tmp_path / "maps.png", Subject("3"), maps, "SAM", padded=padded)
    dark, lit = saved
    assert not dark.axes[0].patches and "Hatched" not in " ".join(texts(dark))
    assert len(lit.axes[0].patches) == 2 and "Hatched" in " ".join(
        texts(lit)
    )  # the sum and the first step
    cell = pictures[lit][0]
    x = lit.axes[0].patches[0].get_path().vertices[:, 0]
    shares = sorted({round((each - cell.x) / cell.width, 3) for each in x})
    assert shares == [0, 0.25, 0.75, 1]


def test_maps_lie_over_what_just_arrived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: list[Figure]
) -> None:
    drawn: list[Row] = []
    monkeypatch.setattr(
        "spikesam.pipeline.drawing.samples.draw_maps",
        lambda *given, **named: drawn.extend(given[4]),
    )
    frames = np.arange(4)[:, None, None, None] * np.ones((4, 2, 2, 3)) / 4
    subject = Subject("film", "lion", image=frames[0], frames=frames)
    maps = {"input": np.ones((4, 2, 2), np.float32), "conv1": np.ones((5, 2, 2), np.float32)}
    maps["conv1"][0] = 0
    draw_over_time(tmp_path / "maps.png", subject, maps, "SAM", delays={"input": 0, "conv1": 1})
    below = [[cell.image.max() * 4 for cell in row.cells] for row in drawn[:-1]]
    assert [cells[1:] for cells in below] == [
        [1, 2, 3],
        [0, 1, 2],
    ]  # at steps 1, 2, 3, which both layers have
    monkeypatch.undo()
    draw_over_time(tmp_path / "maps.png", subject, maps, "SAM", delays={"conv1": 1})
    draw_side_by_side(tmp_path / "overview.png", [subject], [maps], "Where", "SAM", {"conv1": 1})
    for figure in saved:
        assert "Below each map of a step: the events that have just reached the layer." in " ".join(
            texts(figure)
        )
        assert "Blank" not in " ".join(texts(figure))


@pytest.mark.parametrize(
    ("subject", "maps"),
    [
        (
            Subject("3", "lion", "cat", RANDOM.random((64, 64, 3)), (3.5, 4, 50, 64)),
            some_maps(16, (64, 64), (16, 16)),
        ),
        (
            Subject("a very long name of a file.jpeg", "x", None, RANDOM.random((48, 80, 3))),
            some_maps(3, (48, 80)),
        ),
        (
            Subject("tall", "tall", "tall", RANDOM.random((90, 30, 3))),
            some_maps(5, (45, 15), (3, 1)),
        ),
        (Subject("sample 3"), some_maps(30, *[(8, 8)] * 10)),
        (Subject("sample 3", "class 3", "class 4"), {"conv1": np.zeros((1, 1, 1), np.float32)}),
    ],
    ids=["usual", "wide", "tall", "ten layers without image", "one silent pixel"],
)
def test_every_shape_is_drawn(
    tmp_path: Path,
    saved: list[Figure],
    pictures: Pictures,
    subject: Subject,
    maps: dict[str, NDArray[np.float32]],
) -> None:
    draw_over_time(tmp_path / "maps.png", subject, maps, "Spike Activation Map", "γ = 0.5.")
    draw_side_by_side(
        tmp_path / "overview.png", [subject] * 3, [maps] * 3, "Where neurons fire", "SAM"
    )
    for figure in saved:
        width, height = figure.get_size_inches()
        assert 5 < width < 16 and 2 < height < 18
        assert_nothing_is_cut_off(figure)
        assert len(pictures[figure]) > len(maps)


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


@pytest.mark.parametrize(
    ("classes", "right", "caption", "facts", "colour"),
    [
        (("lion", "lion"), True, "lion ✓", "photo 3, predicted lion, is lion", RIGHT),
        (("lion", "cat"), False, "lion ✗\nis cat", "photo 3, predicted lion, is cat", WRONG),
        (
            ("crane", "crane"),
            False,
            "crane ✗\nis crane",
            "photo 3, predicted crane, is crane",
            WRONG,
        ),
        (("lion", None), None, "predicted\nlion", "photo 3, predicted lion", "black"),
        ((None, "cat"), None, "is cat", "photo 3, is cat", "black"),
        ((None, None), None, "photo 3", "photo 3", "black"),
    ],
)
def test_words(
    classes: tuple[Any, Any], right: bool | None, caption: str, facts: str, colour: str
) -> None:
    subject = Subject("photo 3", *classes, right=right)
    assert (subject.caption, ", ".join(subject.facts), subject.colour) == (caption, facts, colour)


def test_no_plotting_library_is_imported() -> None:
    script = "import sys, spikesam.pipeline.drawing.subject; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


IMAGE = RANDOM.random((64, 64, 3))
ONE, HALF = np.ones((2, 2), np.float32), np.full((2, 2), 0.5, np.float32)


def test_a_map_covers_the_image_with_its_value_and_alone_has_every_colour() -> None:
    image = np.random.default_rng(0).random((8, 12, 3))
    shown = [overlay(image, np.full((2, 3), value, np.float32), (8, 12)) for value in (0, 1)]
    grey = image @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(
        np.corrcoef(shown[0].mean(axis=2).ravel(), grey.ravel())[0, 1], 1, atol=0.1
    )
    np.testing.assert_allclose(shown[1], np.broadcast_to(HEAT(1.0)[:3], shown[1].shape), atol=0.05)
    alone = overlay(None, np.array([[0, 1]], np.float32), (4, 8))
    for column, value in ((0, 0.0), (-1, 1.0)):
        np.testing.assert_allclose(alone[:, column], np.broadcast_to(HEAT(value)[:3], (4, 3)))


def test_cells_lie_in_rows_and_columns(
    tmp_path: Path, saved: list[Figure], pictures: Pictures
) -> None:
    rows = [
        Row("one", [Cell(ONE), Cell()]),
        Row("two", [Cell(image=IMAGE), None, Cell(HALF, IMAGE)]),
    ]
    draw_maps(tmp_path / "grid.png", "Title", "about", ["a", "b"], rows)
    *found, _ = pictures[saved[0]]
    (x0, x1, x2), (y0, y1) = sorted({cell.x for cell in found}), sorted({cell.y for cell in found})
    assert [(cell.x, cell.y) for cell in found] == [(x0, y0), (x1, y0), (x0, y1), (x2, y1)]
    assert x2 - x1 == pytest.approx(x1 - x0) == pytest.approx(y1 - y0)
    expected = [overlay(None, ONE, (64, 64)), PALE, IMAGE, overlay(IMAGE, HALF, (64, 64))]
    for cell, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(cell.pixels[[0, -1]][:, [0, -1]], wanted[[0, -1]][:, [0, -1]])
    texts = {text.get_text(): text.get_position()[0] for text in saved[0].axes[0].texts}
    assert (
        texts["one"] < x0 < x1 < texts["a"] < x2 < texts["b"]
    )  # headings belong to the last columns


def test_the_bar_stands_beside_the_maps(
    tmp_path: Path, saved: list[Figure], pictures: Pictures
) -> None:
    rows = [Row("", [Cell(image=IMAGE)] * 2), Row("conv1", [Cell(ONE, IMAGE)] * 2)]
    draw_maps(tmp_path / "grid.png", "Title", "about", ["a", "b"], rows, colours=["red", "black"])
    *cells, bar = pictures[saved[0]]
    assert bar.y == cells[2].y  # at the top of the second row
    assert bar.x > max(cell.x + cell.width for cell in cells)
    assert [
        text.get_color() for text in saved[0].axes[0].texts if text.get_text() in {"a", "b"}
    ] == ["red", "black"]


def test_the_box_lies_where_the_object_is(
    tmp_path: Path, saved: list[Figure], pictures: Pictures
) -> None:
    cell = Cell(image=np.zeros((10, 20, 3)), box=(5, 2, 15, 8))
    draw_maps(tmp_path / "grid.png", "Title", "about", [], [Row("", [cell, Cell(ONE)])])
    image = pictures[saved[0]][0]
    frames = saved[0].axes[0].patches
    for frame in frames:
        share = [(frame.get_x() - image.x) / image.width, (frame.get_y() - image.y) / image.height]
        sides = [frame.get_width() / image.width, frame.get_height() / image.height]
        assert [*share, *sides] == pytest.approx([0.25, 0.2, 0.5, 0.6])
    assert len(frames) == 2


def test_a_sample_stands_aside(tmp_path: Path, saved: list[Figure], pictures: Pictures) -> None:
    subject = Subject("3", "lion", "cat", IMAGE, (0, 0, 64, 64))
    draw_maps(
        tmp_path / "grid.png",
        "Title",
        "about",
        [],
        [Row("conv1", [Cell(ONE, IMAGE)])],
        aside=subject,
    )
    aside, cell, _ = pictures[saved[0]]
    assert aside.x < cell.x and aside.y == cell.y
    (caption,) = (text for text in saved[0].axes[0].texts if text.get_text() == subject.caption)
    assert caption.get_window_extent().y0 > 0  # it is on the page, though there is one row


def test_rows_with_headings_and_columns_apart(
    tmp_path: Path, saved: list[Figure], pictures: Pictures
) -> None:
    rows = [
        Row("one", [Cell(ONE)] * 3),
        Row("two", [Cell(HALF)] * 3, ["all", "t = 2"]),
        Row("three", [Cell(ONE)]),
    ]
    draw_maps(tmp_path / "grid.png", "Title", "about", ["a", "b", "c"], rows, apart=1)
    *found, _ = pictures[saved[0]]
    (x0, x1, x2), (y0, y1, y2) = (
        sorted({cell.x for cell in found}),
        sorted({cell.y for cell in found}),
    )
    assert x1 - x0 > x2 - x1 + 0.1
    assert y1 - y0 > y2 - y1 + 0.1
    places = {text.get_text(): text.get_position() for text in saved[0].axes[0].texts}
    assert (
        y0 < places["all"][1] < y1
        and places["all"][0] == places["a"][0]
        and places["t = 2"][0] == places["b"][0]
    )
    assert_nothing_is_cut_off(saved[0])


def network(padding: int = 1) -> Network:
    side = 4 if padding else 1
    layers = (
        Layer("conv1", Input(Conv(np.ones((1, 1, 3, 3)), padding=padding)), LIF(leak=0.9)),
        Layer("conv2", Input(Conv(np.ones((1, 1, 3, 3)), pool=2, padding=padding)), LIF(leak=0.9)),
        Layer("fc1", np.ones((2, side * side)), LIF(leak=0.9)),
    )
    size = 2 * side if padding else 8
    return Network((1, size, size), 4, layers, Readout(np.ones((2, 2))))


def test_shares_of_the_image() -> None:
    fractions = fractions_inside(network())
    assert list(fractions) == ["conv1", "conv2"]  # a dense layer has no map
    third = 2 / 3  # one of three is padding
    np.testing.assert_allclose(fractions["conv1"][4], [third, 1, 1, 1, 1, 1, 1, third])
    edge, inner = (0 + 5 / 6 + 1) / 3, (5 / 6 + 1 + 1) / 3  # pooled: 5/6, 1, 1, 5/6
    np.testing.assert_allclose(fractions["conv2"][1], [edge, inner, inner, edge])
    assert fractions["conv2"][0, 0] == pytest.approx(edge)


def test_cells_with_more_than_a_third_of_padding_are_outside() -> None:
    found = outside(network())
    assert not found["conv1"].any()
    assert found["conv2"].tolist() == [[True] * 4, *([[True, False, False, True]] * 2), [True] * 4]
    assert not any(cells.any() for cells in outside(network(padding=0)).values())


def test_windows_of_a_maximum_see_only_what_there_is() -> None:
    overlap: dict[str, int] = {"current_pool": 3, "current_stride": 2, "current_padding": 1}
    layer = Layer("conv1", Input(Conv(np.ones((1, 1, 3, 3)), padding=1, **overlap)), LIF(leak=0.9))
    rows = fractions_inside(Network((1, 6, 6), 4, (layer,), Readout(np.ones((2, 9)))))["conv1"][1]
    np.testing.assert_allclose(rows, [(2 / 3 + 1) / 2, 1, (1 + 1 + 2 / 3) / 3])


def test_a_border_counts_where_it_is_brighter() -> None:
    padded = np.array([[True, False, True]])
    assert lit_border(np.array([[3.0, 2, 3]]), padded) is padded
    assert lit_border(np.array([[2.0, 2, 2]]), padded) is None
    assert lit_border(np.array([[3.0, 2, 3]]), None) is None
    assert lit_border(np.array([[3.0, 2, 3]]), np.ones((1, 3), bool)) is None


MEMBRANES = {"A": np.array([0, 0.5, 1.5]), "B": np.array([0, 0.5, -1.0])}
FIRED = {"A": np.array([False, False, True]), "B": np.zeros(3, np.bool_)}
NEURON = DrawnNeuron(1, 2, "fc1, neuron (3, 0, 0), sample 0", MEMBRANES, FIRED)


def test_cells_are_shares_of_bits_and_membranes_of_thresholds(
    tmp_path: Path, saved: list[Figure]
) -> None:
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
    assert NEURON.title in said


@pytest.mark.parametrize("shape", [(1, 1), (60, 4), (3, 700)])
def test_every_size_is_drawn(tmp_path: Path, saved: list[Figure], shape: tuple[int, int]) -> None:
    counts = np.random.default_rng(0).integers(0, 30_000, shape)
    names = [f"layer{number}" for number in range(shape[0])]
    draw_difference(tmp_path / "d.png", "A. B.", names, counts, [40_000] * shape[0])
    assert len(saved[0].axes) == 2
    assert (tmp_path / "d.png").stat().st_size > 5_000
    draw_difference(tmp_path / "d.png", "A. B.", names, 0 * counts, [4] * shape[0])
    assert any("No bit differs." in text.get_text() for text in saved[1].axes[0].texts)
