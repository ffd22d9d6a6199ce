"""Curves, rates and networks: what the table says stands where it should,
in one colour per curve.
"""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from skimage.color import deltaE_ciede2000, rgb2lab

import spikesam
from spikesam.backends.network import LIF, Identity, Input, Layer, Network, Readout, Source
from spikesam.common.errors import InputError
from spikesam.pipeline.drawing.activity import DEPTH, draw_raster, draw_rates
from spikesam.pipeline.drawing.canvas import (
    PALETTE,
    SUBTITLE,
    TITLE,
    drawing,
    fitted,
    text_width,
    wrapped,
)
from spikesam.pipeline.drawing.curves import CurveOptions, draw_curves
from spikesam.pipeline.drawing.difference import DrawnNeuron, draw_difference
from tests.pipeline.drawing.conftest import assert_nothing_is_cut_off, texts


def draw(
    table: pd.DataFrame, path: Path, saved: list[Figure], y: Any = "share", **options: Any
) -> list[Any]:
    """The axes with curves."""
    draw_curves(path / "curves.png", "Title", "subtitle", table, "step", y, CurveOptions(**options))
    assert (path / "curves.png").stat().st_size > 5000
    return saved[-1].axes[1:]


def ticks(axes: Any) -> list[str]:
    return [label.get_text() for label in axes.get_xticklabels()]


def legend(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_numbers_are_joined_and_have_a_band(tmp_path: Path, saved: list[Figure]) -> None:
    table = pd.DataFrame(
        {"curve": "conv1", "x": [0, 1, 4], "mean": [1, 2, 3], "low": [0.5, 2, 1], "high": [2, 3, 5]}
    )
    (axes,) = draw(table, tmp_path, saved)
    (line,) = axes.lines
    np.testing.assert_array_equal(line.get_xydata(), [[0, 1], [1, 2], [4, 3]])
    (band,) = axes.collections
    corners = {tuple(corner) for corner in band.get_paths()[0].vertices}
    assert corners == {(0, 0.5), (1, 2), (4, 1), (4, 5), (1, 3), (0, 2)}
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title()) == ("step", "share", "")
    assert legend(axes) == ["conv1"]


def test_doubling_doses_are_equally_far_apart(tmp_path: Path, saved: list[Figure]) -> None:
    table = pd.DataFrame({"curve": "conv1", "x": [0.0, 2.0, 4.0, 8.0], "mean": [0, 1, 2, 3]})
    (axes,) = draw(table, tmp_path, saved, logarithmic_x_from=2.0)
    zero, first, second, third = axes.transData.transform([(x, 0) for x in table["x"]])[:, 0]
    assert zero < first and second - first == pytest.approx(third - second)
    assert ticks(axes) == ["0", "2", "4", "8"]


def test_thin_lines_have_the_colour_of_their_curve_and_no_interval(
    tmp_path: Path, saved: list[Figure]
) -> None:
    table = pd.DataFrame(
        {"curve": "conv1", "x": [0, 1] * 3, "mean": range(6), "faint": ["", "", "a", "a", "b", "b"]}
    )
    (axes,) = draw(table.assign(low=0.0, high=6.0), tmp_path, saved)
    assert [line.get_linewidth() < 1 for line in axes.lines] == [False, True, True]
    assert {line.get_color() for line in axes.lines} == {PALETTE[0]}
    assert len(axes.collections) == 1 and legend(axes) == ["conv1"]


def test_long_numbers_leave_room_for_the_label(tmp_path: Path, saved: list[Figure]) -> None:
    places = {"panel": ["a", "b"] * 2, "x": [0, 0, 1, 1], "mean": [-0.011, -0.011, 0.01, 0.01]}
    left, right = draw(
        pd.DataFrame({"curve": "conv1", **places}), tmp_path, saved, y="error − count", alike=True
    )
    assert "−0.005" in [label.get_text() for label in left.get_yticklabels()]
    extents = [axes.yaxis.label.get_window_extent() for axes in (left, right)]
    assert extents[0].x0 > 5 and extents[1].x0 > left.get_window_extent().x1 + 5


def test_a_curve_has_one_colour_in_all_panels_and_styles(
    tmp_path: Path, saved: list[Figure]
) -> None:
    places = {"x": [0, 1, 1, 2, 0, 0], "mean": [1, 2, 2, 3, 3, 3], "style": [*"--::--"]}
    table = pd.DataFrame({"panel": [*5 * ["left"], "right"], "curve": [*"bbbbaa"], **places})
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
        [
            ("z", "one", 1, 0, 3),
            ("z", "other spikes", 2, 2, 2),
            ("a", "other spikes", 5, -np.inf, np.inf),
        ],
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
    table = pd.DataFrame(
        {"curve": "conv1", "x": ["trained", "readout", "fc1"], "mean": [1, 0.5, 0.2]}
    )
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


def test_panels_alike_with_a_level(tmp_path: Path, saved: list[Figure]) -> None:
    table = pd.DataFrame(
        {"curve": "c", "panel": ["a", "a", "b", "b"], "x": [0, 1] * 2, "mean": [0.4, 0.6, 0.5, 0.9]}
    )
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


@pytest.mark.parametrize("style", [TITLE, SUBTITLE])
def test_text_is_as_wide_as_it_is_drawn(
    tmp_path: Path, saved: list[Figure], style: dict[str, object]
) -> None:
    text = "γ = 0.5 with $ and $, 40×40"
    with drawing(tmp_path / "text.png", "", "", 8, 2) as canvas:
        canvas.text(1, 1, text, **style)
        canvas.text(1, 1.5, f"{text}\nshort", **style)
    widths = [
        drawn.get_window_extent().width / canvas.figure.dpi for drawn in saved[0].axes[0].texts[-2:]
    ]
    assert widths == pytest.approx(
        [text_width(text, **style), text_width(f"{text}\nshort", **style)], rel=0.03
    )


OF_A_USER = {
    "savefig.dpi": 300,
    "savefig.bbox": "tight",
    "axes.grid": True,
    "figure.constrained_layout.use": True,
}


def test_a_picture_is_the_same_whatever_the_users_style(tmp_path: Path) -> None:
    for name, style in {"plain": {}, "of a user": OF_A_USER}.items():
        with mpl.rc_context(style), drawing(tmp_path / name, "Title", "subtitle", 6, 2) as canvas:
            canvas.axes(1, 1, 3, 1).plot([1, 2])
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "of a user").read_bytes()


def test_text_is_wrapped_or_fitted() -> None:
    assert wrapped("", 3) == []
    assert wrapped("one two three four", text_width("one two three")) == ["one two three", "four"]
    assert wrapped("one two", 0.01) == ["one", "two"]
    assert fitted("lion ✗\nis Egyptian cat", text_width("is Egyp…")) == "lion ✗\nis Egyp…"
    assert fitted("lion", 9) == "lion"
    assert fitted("lion", 0) == "…"


def test_title_and_subtitle_fit(tmp_path: Path, saved: list[Figure]) -> None:
    for title, subtitle, width in (
        ("Short", "a long explanation " * 9, 4),
        ("A long title " * 9, "short", 4),
    ):
        with drawing(tmp_path / "long.png", title, subtitle, width, 2) as canvas:
            canvas.text(1, 1, "content")
        figure = saved[-1]
        (*heading, content) = (text.get_window_extent() for text in figure.axes[0].texts)
        assert all(
            each.x0 > 0 and each.x1 < figure.bbox.width and each.y1 < figure.bbox.height
            for each in heading
        )
        assert all(
            lower.y1 < upper.y1
            for upper, lower in zip(heading, [*heading[1:], content], strict=True)
        )
        assert content.y0 == pytest.approx(
            figure.dpi, abs=5
        )  # 1 inch above the bottom, however many lines are on top


@pytest.fixture(scope="module")
def network() -> Network:
    random, neuron = np.random.default_rng(0), LIF(0.9)
    layers = (
        Layer("first", random.normal(size=(4, 2)), neuron),
        Layer(
            "second",
            (random.normal(size=(4, 4)), Input(Identity(), Source("first", 2, -1))),
            neuron,
        ),
        Layer(
            "third",
            (random.normal(size=(4, 4)), Input(random.normal(size=(4, 4)), "third")),
            neuron,
        ),
    )
    return Network((2, 1, 1), 5, layers, Readout(random.normal(size=(3, 4))), encoder="spikes")


def test_every_layer_and_every_arrow(network: Network) -> None:
    figure = spikesam.draw_network(network)
    kinds = [type(patch).__name__ for patch in figure.axes[0].patches]
    assert (kinds.count("FancyBboxPatch"), kinds.count("FancyArrowPatch")) == (5, 6)
    boxed = [
        "input",
        "2×1×1",
        "first",
        "4×1×1",
        "second",
        "4×1×1",
        "third",
        "4×1×1",
        "readout",
        "3",
    ]
    assert texts(figure) == [*boxed, "2 steps, −"]


def test_rates_stand_at_the_arrows(network: Network) -> None:
    spikes = np.zeros((5, 2, 2, 1, 1), bool)
    spikes[1, 0] = True  # 2 of 20: each of two neurons once, in one of two samples
    with pytest.warns(UserWarning, match="is read as 5 steps of 2 samples"):
        raster = spikesam.simulate(network, data=spikes, backend="torch")
    found = texts(spikesam.draw_network(network, raster))
    assert "10.0 %" in found
    rate = f"{100 * float(raster.counts('first').sum()) / 40:.1f} %"
    assert {rate, f"{rate}, 2 steps, −"} <= set(found)
    with pytest.raises(
        InputError, match="draw_network: the raster has a layer 'conv1', which the network has not"
    ):
        spikesam.draw_network(
            network, spikesam.simulate("cluttered-digits", samples=1, backend="torch")
        )
    with pytest.raises(
        InputError, match="draw_network: got str, expected a Network or a Checkpoint"
    ):
        spikesam.draw_network("cluttered-digits")


def test_the_label_of_a_raster_fits_beside_few_neurons(tmp_path: Path, saved: list[Figure]) -> None:
    for neurons, label in ((3, "neurons"), (40, "neurons, most active on top")):
        draw_raster(
            tmp_path / "raster.png", "fc1", np.full((4, 5), 255, np.uint8), neurons, "sample 0"
        )
        axes = saved[-1].axes[1]
        axes.figure.canvas.draw()
        assert axes.get_ylabel() == label
        assert axes.yaxis.label.get_window_extent().height < axes.get_window_extent().height


def test_a_membrane_is_drawn_down_to_twice_its_threshold(
    tmp_path: Path, saved: list[Figure]
) -> None:
    for lowest, drawn in ((-2.5e5, -200), (-0.5, -50)):
        membrane = np.array([0.5, 1.2, lowest])
        neuron = DrawnNeuron(0, 1, "lif1", {"A": membrane}, {"A": membrane > 1})
        draw_difference(tmp_path / "diff.png", "", ["lif1"], np.array([[0, 1, 0]]), [1], neuron)
        axes = saved[-1].axes[-1]
        np.testing.assert_allclose(axes.lines[0].get_ydata(), [50, 120, drawn])
        assert drawn - 50 < axes.get_ylim()[0] < axes.get_ylim()[1] < 200


def test_means_are_dotted_where_they_no_longer_matter(tmp_path: Path, saved: list[Figure]) -> None:
    rates = {"input": np.array([[0.1, 0.2, 0.3], [0.3, 0.4, 0.5]]), "conv1": np.zeros((2, 3))}
    draw_rates(tmp_path / "rates.png", rates, {"input": 2, "conv1": 3})
    sheet, axes = saved[0].axes
    solid, dotted, *_ = axes.lines
    np.testing.assert_allclose(solid.get_xydata(), [[0, 20], [1, 30]])
    np.testing.assert_allclose(dotted.get_xydata(), [[1, 30], [2, 40]])
    assert (solid.get_linestyle(), dotted.get_linestyle()) == ("-", ":")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["input", "conv1"]
    said = (
        "Mean of 2 samples. Band: 10th to 90th percentile. Dotted: too late to change the answer."
    )
    assert sheet.texts[1].get_text() == said
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
