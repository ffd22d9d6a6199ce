"""Agreement of two maps: numbers worked by hand, silence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from paper.measures.agreement import pearson

Maps = NDArray[np.float64]

maps = arrays(np.float64, (3, 2, 4), elements=st.integers(0, 6).map(float))


def test_pearson_by_hand() -> None:
    assert pearson([[1.0, 2, 3]], [[1.0, 3, 2]]) == pytest.approx(0.5)
    assert pearson([[1.0, 2, 3]], [[7.0, 5, 3]]) == -1
    assert pearson([[1e-9, 2e-9, 3e-9]], [[3.0, 5, 7]]) == pytest.approx(1)


def test_flat_maps_agree_with_each_other_only() -> None:
    zero, flat, peak = np.zeros((2, 2)), np.full((2, 2), 0.3), np.eye(2)
    assert pearson(zero, flat) == pearson(zero, zero) == pearson([[5.0]], [[0.0]]) == 1
    assert pearson(zero, peak) == pearson(peak, flat) == 0


@given(maps, maps, st.sampled_from([0.5, 1e-6, 1e6]), st.integers(0, 3))
def test_pearson_laws(one: Maps, other: Maps, factor: float, offset: float) -> None:
    correlation = pearson(one, other)
    assert -1 <= correlation <= 1
    assert pearson(one, one) == pytest.approx(1)
    assert pearson(other, one) == pytest.approx(correlation)
    assert pearson(factor * (one + offset), other) == pytest.approx(correlation, abs=1e-9)
