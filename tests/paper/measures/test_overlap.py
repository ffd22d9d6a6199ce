"""Overlap at the object's area, by hand and by its invariances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from paper.measures.overlap import iou_at_area


@given(arrays(np.float64, (2, 3, 4, 5), elements=st.integers(-2, 4).map(float)), arrays(np.bool_, (4, 5)))
def test_a_stack_is_measured_map_by_map(stack: NDArray[np.float64], mask: NDArray[np.bool_]) -> None:
    expected = [[iou_at_area(image_map, mask) for image_map in row] for row in stack]
    np.testing.assert_allclose(iou_at_area(stack, mask), expected, rtol=1e-12)


def test_iou_at_the_objects_area_by_hand():
    mask = np.array([[True, True, False, False]])
    assert iou_at_area(np.array([[3.0, 1, 2, 0]]), mask) == pytest.approx(1 / 3)  # picks 1 of 2: 1 / (2·2 - 1)
    assert iou_at_area(np.array([[3.0, 2, 1, 0]]), mask) == 1
    assert iou_at_area(np.array([[3.0, 1, 1, 1]]), mask) == pytest.approx((4 / 3) / (4 - 4 / 3))  # a third of one more
    assert iou_at_area(np.zeros((1, 4)), mask) == 0


def test_iou_at_the_objects_area_asks_for_an_order_alone():
    random = np.random.default_rng(0)
    mask, image_map = random.random((6, 7)) < 0.3, random.random((6, 7))
    assert iou_at_area(image_map**3 + 5, mask) == iou_at_area(image_map, mask)
    assert iou_at_area(np.maximum(image_map - 0.3, 0), mask) == iou_at_area(image_map, mask)
