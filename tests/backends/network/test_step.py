"""One step in NumPy: numbers worked by hand, and the synapses of torch."""

from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spikesam.backends.network import LIF, FixedLIF, Input, Source, pair
from spikesam.backends.network.step import Neurons, arrived, current_of, summed_currents


def trace(neuron: LIF | FixedLIF, inputs: list[Input], currents: list[list[float]], dtype: Any) -> list[float]:
    """v[t] of one neuron, t = 1, 2, …, that is driven by the currents of each input."""
    neurons, found = Neurons(neuron.of_channels(1, ""), inputs, (1, 1, 1), dtype), []
    fired = np.zeros((1, 1, 1), np.bool_)
    for t, row in enumerate(currents, 1):
        found.append(neurons.step(t, [np.full((1, 1, 1), each) for each in row], fired).item())
        fired = neurons.fires
    return found


def gained(*rows: float, shift: int = 0) -> Input:
    return Input(None, gain=np.array(rows)[:, None], shift=shift)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("neuron", "gain", "expected"),
    [
        # v = v/2 + 2 i + 0.5 - 0.25 s
        (LIF(0.5, 2.0, bias=0.5, reset_by=0.25), 2.0, [2.5, 1.5, 1.25, 3.125]),
        # v = v/2 (1 - s) + 2 i + 0.5
        (LIF(0.5, 2.0, bias=0.5, reset="zero"), 2.0, [2.5, 0.5, 0.75, 2.875]),
        # i ← i/2 + x; v = v + i, fires at 1.5: 1, 1.5, 0.25, 0.25 + 1.125
        (LIF(1.0, 1.5, reset="zero", fires_at_threshold=True, synaptic_leak=0.5), 1.0, [1, 1.5, 0.25, 1.375]),
        (LIF(1.0, 1.5, reset="zero", synaptic_leak=0.5), 1.0, [1, 1.5, 1.75, 1.125]),  # 1.5 is not above 1.5
        (LIF(0.5, min_v_mem=-0.5), -1.0, [-0.5, -0.25, -0.125, -0.5]),
    ],
)
def test_real_membranes_by_hand(neuron: LIF, gain: float, expected: list[float], dtype: Any) -> None:
    assert trace(neuron, [gained(gain)], [[1], [0], [0], [1]], dtype) == expected


@pytest.mark.parametrize(
    ("v", "a", "gain", "bias", "decay", "shift", "expected"),
    [
        (1000, 0, 1, 0, 96, 0, 976),  # 1000 · 4000/4096 = 976.56 → 976
        (-1000, 0, 1, 0, 96, 0, -976),  # toward zero, not down to -977
        (0, -3, 5, 0, 0, 2, -3),  # -15 / 4 = -3.75 → -3
        (0, 3, 5, 7, 0, 2, 10),  # 15 / 4 = 3.75 → 3, + 7
        (5000, 0, 1, 0, 0, 0, 904),  # the reset of the step before: 5000 - 4096
        (4096, 0, 1, 0, 0, 0, 4096),  # at the threshold: no spike
        (8388607, 8388607, 32767, 0, 0, 0, 8388607),  # saturates above
        (-8388607, 8388607, -32767, -(1 << 30), 0, 0, -8388607),  # and below
        (8388607, 0, 0, 4096, 0, 0, 8388607),  # saturates last: 8388607 + 4096 - 4096
        (123, 50, 1, 0, 4096, 0, 50),  # full decay forgets
    ],
)
def test_a_membrane_in_fixed_point_by_hand(
    v: int, a: int, gain: int, bias: int, decay: int, shift: int, expected: int
) -> None:
    neuron = FixedLIF(decay, bias=bias).of_channels(1, "")
    neurons = Neurons(neuron, [gained(gain, shift=shift)], (1, 1, 1), np.int64)
    neurons.v[:] = v
    assert neurons.step(1, [np.full((1, 1, 1), a)], neurons.fires).item() == expected


@pytest.mark.parametrize(
    ("neuron", "expected"),
    [
        # Half is kept, a gain of 3/2: rz(-10.5), rz(-10/2) + 10, rz(5/2) + 8191 > 4096, 4096 - 4096, 0
        (FixedLIF(2048), [-10, 5, 8193, 0, 0]),
        (FixedLIF(2048, reset="zero"), [-10, 5, 8193, 0, 0]),
        (FixedLIF(2048, threshold=8193), [-10, 5, 8193, 4096, 2048]),  # 8193 is not above 8193
        (FixedLIF(2048, threshold=8193, fires_at_threshold=True), [-10, 5, 8193, -4097, -2048]),
        (FixedLIF(2048, min_v_mem=-7, reset_by=5000), [-7, 7, 8194, -7, -3]),
        # i = -10, -5 + 10, 2 + 8191, 4096, 2048; v = v/2 + i - 4096 s
        (FixedLIF(2048, synaptic_decay=2048), [-10, 0, 8193, 4096, 4096]),
    ],
)
def test_membranes_in_fixed_point_by_hand(neuron: FixedLIF, expected: list[int]) -> None:
    assert trace(neuron, [gained(3, shift=1)], [[-7], [7], [5461], [0], [0]], np.int64) == expected


def test_gains_and_biases_are_those_of_their_step_and_inputs_are_summed() -> None:
    """v = 2 · 1 + 1 · 10 + 0.5, then + 3 · 1 + 1 · 10 + 0.25, and the first rows again."""
    inputs, neuron = [gained(2, 3), gained(1)], LIF(1.0, 100.0, bias=[[0.5], [0.25]])
    assert trace(neuron, inputs, [[1, 10]] * 3, np.float32) == [12.5, 25.75, 38.25]


@pytest.mark.parametrize(("bias", "expected"), [(0, 2**23 - 1), (-8_000_000, 4_484_227)])
def test_sums_of_several_inputs_saturate(bias: int, expected: int) -> None:
    """Three inputs of 127 · 32767 each sum to 12,484,227 > 2²³; the bias is added before the sum saturates."""
    assert trace(FixedLIF(4096, bias=bias), 3 * [gained(32767)], [[127] * 3], np.int64) == [expected]


def test_integers_as_real_numbers_do_not_round() -> None:
    """-7 · 3/2 = -10.5, of which half is kept: -5.25 + 10.5."""
    assert trace(FixedLIF(2048), [gained(3, shift=1)], [[-7], [7]], np.float64) == [-10.5, 5.25]


def test_what_arrives_by_hand() -> None:
    fired = {"a": np.ones((3, 1, 1, 2), np.bool_), "b": np.eye(3, 2, dtype=np.bool_)[:, None, None]}
    both = Input(None, (Source("a"), Source("b", 2, -1)))
    assert [arrived(both, fired, t).ravel().tolist() for t in range(3)] == [[0, 0], [1, 1], [0, 1]]


def test_what_arrives_is_spread_by_hand() -> None:
    """Channels, rows and columns are repeated beside themselves."""
    fired = {"a": np.array([[[[1, 0]], [[0, 1]]]], np.bool_)}  # two channels of 1×2
    found = arrived(Input(None, (Source("a"),), spread=(2, 2, 1)), fired, 1)
    assert found.tolist() == [2 * [[1, 0]], 2 * [[1, 0]], 2 * [[0, 1]], 2 * [[0, 1]]]


def test_attention_by_hand() -> None:
    """Two heads of one channel, three tokens: q of the first asks at tokens 0 and 2 for k · v, which is 2.

    k · v of the second is 0: k fires at token 1 alone, v at token 0. Then two channels in one head, where q asks at
    token 0 for channel 0, which fires in k at tokens 0 and 1: v[0] has 1 of these, v[1] both.
    """
    three = (Source("q"), Source("k", 2), Source("v"))
    fired = {name: np.zeros((3, 2, 1, 3), np.bool_) for name in "qkv"}
    fired["q"][1, :, 0] = [[1, 0, 1], [1, 1, 1]]
    fired["k"][0, :, 0] = [[1, 1, 0], [0, 1, 0]]
    fired["v"][1, :, 0] = [[1, 1, 1], [1, 0, 0]]
    assert not arrived(Input(None, three, heads=2), fired, 1)[2:].any()
    found = current_of(each := Input(None, three, heads=2), arrived(each, fired, 2))
    assert found.tolist() == [[[2, 0, 2]], [[0, 0, 0]]]
    fired["q"][1, :, 0] = [[1, 0, 0], [0, 0, 0]]
    fired["v"][1, :, 0] = [[0, 1, 1], [1, 1, 0]]
    found = current_of(each := Input(None, three, heads=1), arrived(each, fired, 2))
    assert found.tolist() == [[[1, 0, 0]], [[2, 0, 0]]]


@st.composite
def synapses(draw: Any) -> tuple[Input, NDArray[np.bool_]]:
    """An input of any kind, for maps of 2×4×8, and spikes."""
    random = np.random.default_rng(draw(st.integers(0, 99)))
    pool, pooling = draw(st.sampled_from([1, 2, (2, 4)])), draw(st.sampled_from(["average", "max"]))
    spikes = random.random((2, 4, 8)) < 0.4
    if draw(st.booleans()):
        return Input(random.normal(size=(3, 64 // prod(pair(pool)))), pool=pool, pooling=pooling), spikes
    kernel = (3, 2, draw(st.integers(1, 2)), draw(st.integers(1, 3)))
    stride, padding = (draw(st.tuples(st.integers(1, 2), st.integers(1, 2))) for _ in range(2))
    windows = draw(st.sampled_from([{}, {"current_pool": 2, "current_stride": 1, "current_padding": 1}]))
    geometry: dict[str, Any] = {"pool": pool, "stride": stride, "padding": padding, "pooling": pooling, **windows}
    return Input(random.normal(size=kernel), **geometry), spikes


@settings(max_examples=40)
@given(synapses())
def test_currents_are_those_of_torch(case: tuple[Input, NDArray[np.bool_]]) -> None:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    (each, spikes), maps = case, torch.tensor(case[1], dtype=torch.float64)[None]
    weight = torch.tensor(each.weight)
    maps = (functional.max_pool2d if each.pooling == "max" else functional.avg_pool2d)(maps, each.pool)
    if each.kind == "dense":
        expected = functional.linear(maps.flatten(1), weight)[..., None, None]
    else:
        expected = functional.conv2d(maps, weight, stride=each.stride, padding=each.padding)
        expected = functional.max_pool2d(expected, *each.windows)
    np.testing.assert_allclose(current_of(each, spikes), expected[0].numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(summed_currents(each, spikes), each.summed * expected[0].numpy(), rtol=1e-12, atol=1e-12)


def test_currents_in_fixed_point_by_hand() -> None:
    """Sums of 2×2 spikes, 2 and 1, times 3; and -1 times the number 2 is the larger of -2 and -6."""
    spikes = np.array([[[1, 0, 0, 1], [0, 1, 0, 0]]], np.bool_)
    sums = current_of(Input(np.array([[[[3]]]], np.int8), pool=2), spikes)
    assert (sums.dtype, sums.tolist()) == (np.int64, [[[6, 3]]])
    largest = Input(np.array([[[[-1]]]], np.int8), current_pool=(1, 2))
    assert current_of(largest, np.array([[[2, 6]]], np.int8)).tolist() == [[[-2]]]
    assert current_of(Input(None), spikes).tolist() == spikes.astype(float).tolist()
