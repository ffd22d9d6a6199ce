"""How far maps move: numbers worked by hand, and that silence does not pass for robustness."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from paper.measures.shift import heatmap_shift, mass_shift

Maps = NDArray[np.float64]

levels = st.integers(0, 6).map(float)  # as maps of spikes have: few values, many ties, often zero
maps = arrays(np.float64, (3, 2, 4), elements=levels)


def test_shift_by_hand() -> None:
    assert heatmap_shift([[0.0, 1]], [[9.0, 3]]) == 1
    assert heatmap_shift([[0.0, 1, 2]], [[0.0, 2, 2]]) == pytest.approx(0.5 / 3)
    assert mass_shift([[1.0, 1, 2]], [[4.0, 4, 0]]) == 0.5
    assert mass_shift([[1.0, 0, 0]], [[0, 2.0, 0]]) == 1


def test_silence_does_not_pass_for_robustness() -> None:
    silent, left, right = [[0.0, 0]], [[1.0, 0]], [[0.0, 1]]
    for shift in (heatmap_shift, mass_shift):
        assert shift([silent, left, silent], [silent, right, silent]) == 1
        assert shift([silent, silent], [silent, silent]) == 0
    assert heatmap_shift(silent, left) == 0.5
    assert mass_shift(silent, left) == 1


@given(maps, maps)
def test_shift_is_a_bounded_symmetric_distance(one: Maps, other: Maps) -> None:
    for shift in (heatmap_shift, mass_shift):
        assert shift(one, one) == 0  # exactly: an attack of strength 0 moves nothing
        assert 0 <= shift(one, other) <= 1 + 1e-12
        assert shift(one, other) == shift(other, one)
