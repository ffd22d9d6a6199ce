"""How much of what a cell sees is padding, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from spikesam.backends.network import LIF, Input, Layer, Network, Readout
from spikesam.pipeline.drawing.padding import fractions_inside, lit_border, outside


def network(padding: int = 1) -> Network:
    side = 4 if padding else 1
    layers = (
        Layer("conv1", Input(np.ones((1, 1, 3, 3)), padding=padding), LIF(leak=0.9)),
        Layer("conv2", Input(np.ones((1, 1, 3, 3)), pool=2, padding=padding), LIF(leak=0.9)),
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


def test_without_padding_nothing_is_outside() -> None:
    assert not any(cells.any() for cells in outside(network(padding=0)).values())


def test_windows_of_a_maximum_see_only_what_there_is() -> None:
    overlap: dict[str, int] = {"current_pool": 3, "current_stride": 2, "current_padding": 1}
    layer = Layer("conv1", Input(np.ones((1, 1, 3, 3)), padding=1, **overlap), LIF(leak=0.9))
    rows = fractions_inside(Network((1, 6, 6), 4, (layer,), Readout(np.ones((2, 9)))))["conv1"][1]
    np.testing.assert_allclose(rows, [(2 / 3 + 1) / 2, 1, (1 + 1 + 2 / 3) / 3])


def test_a_border_counts_where_it_is_brighter() -> None:
    padded = np.array([[True, False, True]])
    assert lit_border(np.array([[3.0, 2, 3]]), padded) is padded
    assert lit_border(np.array([[2.0, 2, 2]]), padded) is None
    assert lit_border(np.array([[3.0, 2, 3]]), None) is None
    assert lit_border(np.array([[3.0, 2, 3]]), np.ones((1, 3), bool)) is None
