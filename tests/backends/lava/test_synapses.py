"""Folded pooling is found again, and event-driven convolution equals Lava's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("lava", reason="lava-nc runs on Python 3.10 only")
from lava.proc.conv.utils import conv

from backends.kernels import add_conv
from backends.lava.process.synapses import unfold


def test_pooling_2_before_a_3_by_3_kernel_is_a_6_by_6_kernel_of_stride_2() -> None:
    kernel = np.arange(9).reshape(1, 3, 3, 1)
    folded = kernel.repeat(2, axis=1).repeat(2, axis=2)
    found, stride, padding, pool = unfold(folded, stride=2, padding=2)
    assert (stride, padding, pool) == (1, 1, 2)
    assert np.array_equal(found, kernel)


def test_a_kernel_that_only_looks_folded_is_left_alone() -> None:
    kernel = np.arange(36).reshape(1, 6, 6, 1)
    found, *rest = unfold(kernel, stride=2, padding=2)
    assert rest == [2, 2, 1]
    assert np.array_equal(found, kernel)
    constant = np.ones((1, 4, 4, 1), np.int8)
    assert unfold(constant, stride=3, padding=0)[1:] == (3, 0, 1)  # tiles fit, the stride does not


@given(
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.integers(1, 2),
    padding=st.integers(0, 2),
    pool=st.integers(1, 4),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=60, deadline=None)
def test_event_driven_equals_stock(kernel: tuple[int, int], stride: int, padding: int, pool: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.integers(-127, 128, (3, *kernel, 2)).astype(np.int32).repeat(pool, axis=1).repeat(pool, axis=2)
    spikes = rng.random((4 * pool, 5 * pool, 2)) < 0.3
    stock = conv(spikes, weight, weight.shape[1:3], (stride * pool,) * 2, (padding * pool,) * 2, (1, 1), 1)
    blocks, *geometry = unfold(weight[:, ::-1, ::-1], stride * pool, padding * pool)
    current = np.zeros(stock.shape, np.int32)
    add_conv(spikes, np.ascontiguousarray(blocks.transpose(3, 1, 2, 0)), *geometry, current)
    assert np.array_equal(current, stock)
