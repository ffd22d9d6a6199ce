"""The event-driven kernels against hand-worked numbers and against plain NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from backends.kernels import add_conv, add_dense, step_fixed, step_float
from backends.network import LIF, Layer
from tests.reference import layer_current, round_to_zero


def test_one_spike_adds_its_block_by_hand() -> None:
    # A spike at (0, 1) of a 2×3 map, kernel [[1 2] [3 4]], padding 1: out[y, x] = W[1 - y, 2 - x].
    spikes = np.zeros((2, 3, 1), np.bool_)
    spikes[0, 1] = True
    blocks = np.array([[1, 2], [3, 4]], np.int8).reshape(1, 2, 2, 1)
    current = np.full((3, 4, 1), 10, np.int32)
    add_conv(spikes, blocks, 1, 1, 1, current)
    assert current[..., 0].tolist() == [[10, 14, 13, 10], [10, 12, 11, 10], [10, 10, 10, 10]]


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Layer, NDArray[np.bool_]]:
    """A float layer of integer weights, so that its currents are exact, and the spikes before it."""
    pool, stride, padding = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(0, 3))
    rows, columns = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    height = draw(st.integers(max(1, rows - 2 * padding), 7))
    width = draw(st.integers(max(1, columns - 2 * padding), 7))
    channels, outputs = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    weight = rng.integers(-127, 128, (outputs, channels, rows, columns)).astype(np.float32)
    spikes = rng.random((channels, height * pool, width * pool)) < draw(st.sampled_from((0.0, 0.1, 0.5, 1.0)))
    return Layer("conv", weight, LIF(1.0), pool, stride, padding), spikes


@given(convolutions(), st.sampled_from((np.int8, np.float32)))
@settings(max_examples=200, deadline=None)
def test_conv_is_correlation_after_sum_pooling(drawn: tuple[Layer, NDArray[np.bool_]], dtype: type) -> None:
    layer, spikes = drawn
    expected = (layer_current(layer, spikes) * layer.pool**2).transpose(1, 2, 0)
    current = np.zeros(expected.shape, np.int32 if dtype is np.int8 else np.float32)
    blocks = np.ascontiguousarray(layer.weight.transpose(1, 2, 3, 0), dtype=dtype)
    channels_last = np.ascontiguousarray(spikes.transpose(1, 2, 0))
    add_conv(channels_last, blocks, layer.stride, layer.padding, layer.pool, current)
    assert np.array_equal(current, np.rint(expected))


@given(st.integers(1, 40), st.integers(1, 70), st.integers(0, 2**32))
@settings(max_examples=50, deadline=None)
def test_dense_is_a_matrix_product(sources: int, outputs: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    blocks = rng.integers(-127, 128, (sources, outputs)).astype(np.int8)
    spikes = rng.random(sources) < 0.4
    current = np.ones(outputs, np.int32)
    add_dense(spikes, blocks, current)
    assert np.array_equal(current, 1 + spikes @ blocks.astype(np.int32))


@pytest.mark.parametrize(
    ("v", "s", "a", "gain", "bias", "decay", "shift", "expected"),
    [
        (1000, False, 0, 1, 0, 96, 0, 976),  # 1000 · 4000/4096 = 976.56 → 976
        (-1000, False, 0, 1, 0, 96, 0, -976),  # toward zero, not down to -977
        (0, False, -3, 5, 0, 0, 2, -3),  # -15 / 4 = -3.75 → -3
        (0, False, 3, 5, 7, 0, 2, 10),  # 15 / 4 = 3.75 → 3, + 7
        (5000, True, 0, 1, 0, 0, 0, 904),  # the reset of the step before: 5000 - 4096
        (4096, False, 0, 1, 0, 0, 0, 4096),  # at the threshold: no spike
        (8388607, False, 8388607, 32767, 0, 0, 0, 8388607),  # saturates above
        (-8388607, True, 8388607, -32767, -(1 << 30), 0, 0, -8388607),  # and below
        (8388607, True, 0, 0, 4096, 0, 0, 8388607),  # saturates last: 8388607 + 4096 - 4096
        (123, False, 50, 1, 0, 4096, 0, 50),  # full decay forgets
    ],
)
def test_fixed_step_by_hand(
    v: int, s: bool, a: int, gain: int, bias: int, decay: int, shift: int, expected: int
) -> None:
    membrane, spikes = np.array([[v]], np.int32), np.array([[s]])
    step_fixed(
        np.array([[a]], np.int32),
        np.array([gain], np.int32),
        np.array([bias], np.int32),
        decay,
        shift,
        membrane,
        spikes,
    )
    assert membrane.tolist() == [[expected]]
    assert spikes.tolist() == [[expected > 4096]]


@given(st.integers(0, 4096), st.integers(0, 30), st.integers(0, 2**32))
@settings(max_examples=50, deadline=None)
def test_fixed_step_is_the_equation(decay: int, shift: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    state: Any = rng.integers(-(2**23) + 1, 2**23, (5, 3), np.int32)
    current: Any = rng.integers(-(2**23) + 1, 2**23, (5, 3), np.int32)
    gain: Any = rng.integers(-32767, 32768, 3, np.int32)
    bias: Any = rng.integers(-(2**30), 2**30 + 1, 3, np.int32)
    spikes = rng.random((5, 3)) < 0.5
    expected = np.clip(
        round_to_zero(state.astype(np.int64) * (4096 - decay), 12)
        + round_to_zero(current.astype(np.int64) * gain, shift)
        + bias
        - 4096 * spikes,
        -(2**23 - 1),
        2**23 - 1,
    )
    step_fixed(current, gain, bias, decay, shift, state, spikes)
    assert np.array_equal(state, expected)
    assert np.array_equal(spikes, expected > 4096)


def test_float_step_by_hand() -> None:
    # v = 0.5 · 3 + (2 · 0.25 + 0.125) - 1 = 1.125 for the neuron that spiked, 2.125 for the other.
    membrane, spikes = np.full((2, 1), 3, np.float32), np.array([[True], [False]])
    one = np.float32(1)
    current, gain, bias = np.full((2, 1), 0.25, np.float32), np.array([2], np.float32), np.array([0.125], np.float32)
    step_float(current, gain, bias, np.float32(0.5), 2 * one, membrane, np.array([[False], [False]]))
    assert membrane.tolist() == [[2.125], [2.125]]
    membrane[:] = 3
    step_float(current, gain, bias, np.float32(0.5), one, membrane, spikes)
    assert membrane.tolist() == [[1.125], [2.125]]
    assert spikes.tolist() == [[True], [True]]
