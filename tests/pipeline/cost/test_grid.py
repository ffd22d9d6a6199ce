"""Amounts of layers on the grid of the input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikesam.pipeline.cost.ledger import spread


def test_a_cell_covers_its_pixels() -> None:
    assert spread(np.array([[4, 8]]), (2, 4)).tolist() == [[1, 1, 2, 2], [1, 1, 2, 2]]


def test_a_pixel_in_two_cells_gets_a_part_of_each() -> None:
    # Two cells on three pixels: each gives two thirds to its own and a third to the one between.
    np.testing.assert_allclose(spread(np.array([[3, 6]]), (1, 3)), [[2, 1 + 2, 4]])


def test_a_coarser_grid_adds_up() -> None:
    np.testing.assert_allclose(spread(np.arange(8).reshape(2, 4), (1, 2)), [[0 + 1 + 4 + 5, 2 + 3 + 6 + 7]])


sides = st.integers(1, 9)


@given(st.tuples(sides, sides), st.tuples(sides, sides), st.integers(0, 99))
def test_nothing_is_lost(shape: tuple[int, int], size: tuple[int, int], seed: int) -> None:
    amounts = np.random.default_rng(seed).integers(0, 9, shape)
    found = spread(amounts, size)
    assert found.shape == size
    assert found.min() >= 0
    assert found.sum() == pytest.approx(amounts.sum())
    if size == shape:
        np.testing.assert_allclose(found, amounts, atol=1e-12)
