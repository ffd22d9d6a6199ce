"""Variance and total variation: numbers worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from paper.measures.spread import heatmap_variance, total_variation

Maps = NDArray[np.float64]

levels = st.integers(0, 6).map(float)  # as maps of spikes have: few values, many ties, often zero
maps = arrays(np.float64, (3, 2, 4), elements=levels)
factors = st.sampled_from([0.25, 2.0, 1e-6, 1e6])


def test_variance_by_hand() -> None:
    assert heatmap_variance([[[0.0, 0, 3, 3]]]) == 0.25
    assert heatmap_variance([[[0.0, 0, 0, 0]], [[0.0, 3, 3, 3]], [[2.0, 2, 2, 2]]]) == 0.1875
    assert heatmap_variance(np.zeros((3, 2, 2))) == heatmap_variance(np.ones((3, 1, 1))) == 0


@given(maps, factors)
def test_variance_is_bounded_and_neither_knows_a_unit(maps: Maps, factor: float) -> None:
    variance = heatmap_variance(maps)
    assert 0 <= variance <= 0.25
    assert heatmap_variance(factor * maps) == pytest.approx(variance)
    assert total_variation(factor * maps) == pytest.approx(total_variation(maps))


def test_total_variation_by_hand() -> None:
    # Normalised [[0, 1/4], [1/2, 1]]: neighbours differ by 1/4 and 1/2 along rows, 1/2 and 3/4 along columns.
    assert total_variation(np.array([[[2.0, 3.0], [4.0, 6.0]]])) == pytest.approx(2 / 4)


def test_a_chessboard_is_roughest_and_halves_are_smooth_though_their_variance_is_the_same() -> None:
    chessboard = np.indices((8, 8)).sum(axis=0) % 2.0
    halves = np.repeat([[0.0] * 4 + [1.0] * 4], 8, axis=0)
    assert chessboard.var() == halves.var()
    assert total_variation(chessboard[None]) == 1.0
    assert total_variation(halves[None]) == pytest.approx(8 / 112)


def test_the_roughest_step_counts() -> None:
    ramp, spike = np.tile(np.arange(5.0), (5, 1)), np.eye(5)
    alone = [total_variation(each[None]) for each in (ramp, spike)]
    assert total_variation(np.stack([np.zeros((5, 5)), ramp, spike])) == max(alone)


@pytest.mark.parametrize("maps", [np.zeros((3, 4, 4)), np.full((1, 2, 2), 7.0), np.ones((2, 1, 1))])
def test_flat_maps_and_single_pixels_have_none(maps: np.ndarray) -> None:
    assert total_variation(maps) == 0.0
