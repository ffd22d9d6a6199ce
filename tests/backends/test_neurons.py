"""One step of a layer's neurons, in NumPy, in torch and in the event kernels: numbers worked by
hand, and a law.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spikesam.backends.event.kernels import steps
from spikesam.backends.event.kernels.compiled import entry
from spikesam.backends.event.kernels.neurons import dynamics_of
from spikesam.backends.network import (
    LIF,
    MEMBRANE_LIMIT,
    THETA,
    FixedLIF,
    Identity,
    Input,
    SpikingNeuron,
)
from spikesam.backends.network.step import Neurons

Traces = tuple[NDArray[Any], NDArray[np.bool_]]  # v[t] and s[t] of t = 1, 2, …: (T, C)
update = entry(steps.update)


def in_numpy(
    neuron: SpikingNeuron, inputs: Sequence[Input], currents: NDArray[Any], real: Any = np.float32
) -> Traces:
    dtype = np.int64 if isinstance(neuron, FixedLIF) else real
    neurons, found = Neurons(neuron, inputs, (currents.shape[2], 1, 1), dtype), []
    for t, rows in enumerate(currents[..., None, None], start=1):
        found.append((neurons.step(t, rows, neurons.fires), neurons.fires))
    v, s = (np.array(each)[..., 0, 0] for each in zip(*found, strict=True))
    return v, s


def in_double(neuron: SpikingNeuron, inputs: Sequence[Input], currents: NDArray[Any]) -> Traces:
    return in_numpy(neuron, inputs, currents, np.float64)


def in_torch(neuron: SpikingNeuron, inputs: Sequence[Input], currents: NDArray[Any]) -> Traces:
    torch = pytest.importorskip("torch")
    from spikesam.backends.torch.neurons import TorchNeurons

    neurons, found = TorchNeurons(neuron, inputs, (1, 1, currents.shape[2]), "cpu"), []
    given = torch.tensor(currents, dtype=torch.int32 if neurons.fixed else torch.float32)
    for t, rows in enumerate(given[:, :, None, None], start=1):
        spikes = neurons.step(list(rows), t).numpy()[0, 0] > 0
        found.append((neurons.membrane.numpy()[0, 0].copy(), spikes))
    v, s = map(np.array, zip(*found, strict=True))
    return v, s


def in_kernels(neuron: SpikingNeuron, inputs: Sequence[Input], currents: NDArray[Any]) -> Traces:
    dtype, dynamics = (
        np.int32 if isinstance(neuron, FixedLIF) else np.float32,
        dynamics_of(neuron, inputs),
    )
    shape = count, channels = len(currents), currents.shape[2]
    membrane, synaptic = (
        np.zeros((1, channels), dtype),
        np.zeros((int(dynamics.apart), channels), dtype),
    )
    v, fired = np.zeros(shape, dtype), np.zeros((count, 1, channels), np.bool_)
    for i, rows in enumerate(currents.astype(dtype)):
        update(i + 1, 0, dynamics, rows[None, :, None], membrane, synaptic, fired[i : i + 1], 0)
        v[i] = membrane[0]
    return v, fired[:, 0]


WAYS = pytest.mark.parametrize("steps_of", [in_numpy, in_double, in_torch, in_kernels])


def gained(*rows: float, shift: int = 0) -> Input:
    """An input of one channel, with a gain for each step."""
    return Input(Identity(), gain=np.array(rows)[:, None], shift=shift)


ONE, HALVES, LARGEST = [gained(1)], [gained(3, shift=1)], gained(32767)
REAL, FIXED, HELD, AGAIN = [1, 0, 0, 1], [-7, 7, 5461, 0, 0], [-3, -3, -3, 2], [3, 0.25]
BY_HAND: list[tuple[SpikingNeuron, list[Input], list[Any], list[float]]] = [
    # v = v/2 + 2 i + 0.5 - 0.25 s, and v = v/2 (1 - s) + 2 i + 0.5
    (LIF(0.5, 2.0, bias=0.5, reset_by=0.25), [gained(2)], REAL, [2.5, 1.5, 1.25, 3.125]),
    (LIF(0.5, 2.0, bias=0.5, reset="zero"), [gained(2)], REAL, [2.5, 0.5, 0.75, 2.875]),
    # i ← i/2 + x; v = v + i, fires at 1.5: 1, 1.5, 0.25, 0.25 + 1.125; and where 1.5 is not above
    # 1.5
    (
        LIF(1.0, 1.5, reset="zero", fires_at_threshold=True, synaptic_leak=0.5),
        ONE,
        REAL,
        [1, 1.5, 0.25, 1.375],
    ),
    (LIF(1.0, 1.5, reset="zero", synaptic_leak=0.5), ONE, REAL, [1, 1.5, 1.75, 1.125]),
    (
        LIF(0.5, synaptic_leak=0.5),
        ONE,
        [2, 0, 0],
        [2, 1, 1],
    ),  # then i/2 + v/2 - 1, then without a spike
    # A membrane of 3 that may have fired, half of which is kept, and a current of 0.25
    (LIF(0.5), ONE, AGAIN, [3, 0.75]),
    (LIF(0.5, reset_by=0.5), ONE, AGAIN, [3, 1.25]),
    (LIF(0.5, reset="zero"), ONE, AGAIN, [3, 0.25]),
    (LIF(0.5, bias=[[0], [0.25]]), ONE, AGAIN, [3, 1]),  # not above the threshold
    (LIF(0.5, bias=[[0], [0.25]], fires_at_threshold=True), ONE, AGAIN, [3, 1]),
    (LIF(0.5, threshold=3.0), ONE, AGAIN, [3, 1.75]),  # 3 is not above 3
    (LIF(0.5, threshold=3.0, fires_at_threshold=True), ONE, AGAIN, [3, -1.25]),
    # Three currents of -3, then 2: it would fall to -3, -4.5, -5.25, and then to -2.625 + 2
    (LIF(0.5, 10.0), ONE, HELD, [-3, -4.5, -5.25, -0.625]),
    (LIF(0.5, 10.0, min_v_mem=-4.0), ONE, HELD, [-3, -4, -4, 0]),
    (LIF(0.5, 10.0, min_v_mem=0.0), ONE, HELD, [0, 0, 0, 2]),
    # The rows of the steps: 2 · 1 + 1 · 10 + 0.5, then + 3 · 1 + 1 · 10 + 0.25, and the first rows
    # again
    (
        LIF(1.0, 100.0, bias=[[0.5], [0.25]]),
        [gained(2, 3), *ONE],
        3 * [[1, 10]],
        [12.5, 25.75, 38.25],
    ),
    # Half is kept, a gain of 3/2: rz(-10.5), rz(-10/2) + 10, rz(5/2) + 8191 > 4096, 4096 - 4096, 0
    (FixedLIF(2048), HALVES, FIXED, [-10, 5, 8193, 0, 0]),
    (FixedLIF(2048, reset="zero"), HALVES, FIXED, [-10, 5, 8193, 0, 0]),
    (
        FixedLIF(2048, threshold=8193),
        HALVES,
        FIXED,
        [-10, 5, 8193, 4096, 2048],
    ),  # 8193 is not above 8193
    (
        FixedLIF(2048, threshold=8193, fires_at_threshold=True),
        HALVES,
        FIXED,
        [-10, 5, 8193, -4097, -2048],
    ),
    (FixedLIF(2048, min_v_mem=-7, reset_by=5000), HALVES, FIXED, [-7, 7, 8194, -7, -3]),
    # i = -10, -5 + 10, 2 + 8191, 4096, 2048; v = v/2 + i - 4096 s
    (FixedLIF(2048, synaptic_decay=2048), HALVES, FIXED, [-10, 0, 8193, 4096, 4096]),
    # Three inputs sum to 12,484,227 > 2²³; the bias is added before the sum saturates
    (FixedLIF(4096), 3 * [LARGEST], [3 * [127]], [MEMBRANE_LIMIT]),
    (FixedLIF(4096, bias=-8_000_000), 3 * [LARGEST], [3 * [127]], [4_484_227]),
    # A membrane, and the step after it
    (FixedLIF(96), ONE, [1000, 0], [1000, 976]),  # 1000 · 4000/4096 = 976.56
    (FixedLIF(96), ONE, [-1000, 0], [-1000, -976]),  # toward zero, not down to -977
    (FixedLIF(0), [gained(5, shift=2)], [0, -3], [0, -3]),  # -15 / 4 = -3.75
    (FixedLIF(0, bias=7), [gained(5, shift=2)], [3], [10]),  # 15 / 4 = 3.75 → 3, + 7
    (FixedLIF(0), ONE, [4096, 0], [4096, 4096]),  # at the threshold: no spike
    (FixedLIF(0), ONE, [5000, 0], [5000, 904]),
    (FixedLIF(0), [gained(1, 32767)], 2 * [MEMBRANE_LIMIT], 2 * [MEMBRANE_LIMIT]),
    (
        FixedLIF(0, bias=[[0], [-(1 << 30)]]),
        [gained(-1, -32767)],
        2 * [MEMBRANE_LIMIT],
        2 * [-MEMBRANE_LIMIT],
    ),
    (
        FixedLIF(0, bias=[[0], [4096]]),
        ONE,
        [MEMBRANE_LIMIT, 0],
        2 * [MEMBRANE_LIMIT],
    ),  # saturates after the reset
    (FixedLIF(4096), ONE, [123, 50], [123, 50]),  # full decay forgets
    # 5,592,411 · 3 = 16,777,233 takes 25 bits, of which float32 has 24
    (FixedLIF(4096, bias=-16_777_230), [gained(3)], [5_592_411], [3]),
]


@WAYS
@pytest.mark.parametrize(("neuron", "inputs", "currents", "expected"), BY_HAND)
def test_a_neuron_by_hand(
    neuron: SpikingNeuron,
    inputs: list[Input],
    currents: list[Any],
    expected: list[float],
    steps_of: Callable[..., Any],
) -> None:
    neuron = neuron.of_channels(1)
    v, s = steps_of(
        neuron, inputs, np.array(currents, float).reshape(len(currents), len(inputs), 1)
    )
    assert v[:, 0].tolist() == expected
    above = np.greater_equal if neuron.fires_at_threshold else np.greater
    assert s[:, 0].tolist() == above(expected, neuron.threshold).tolist()


@WAYS
def test_channels_may_differ_in_every_constant(steps_of: Callable[..., Traces]) -> None:
    neuron = LIF(
        [0.5, 1.0], [1.0, 2.0], reset_by=[0.5, 1.5], bias=[[0.5, 0], [0, 0.25]]
    ).of_channels(2)
    v, s = steps_of(
        neuron, [Input(Identity(), gain=np.array([[1.0, 2], [3, 4]]))], np.ones((2, 1, 2))
    )
    assert v.tolist() == [[1.5, 2], [0.75 + 3 - 0.5, 2 + 4 + 0.25]]
    assert s.tolist() == [[True, False], [True, True]]


@given(
    st.integers(0, THETA),
    st.sampled_from([0, 1000, THETA]),
    st.integers(0, 30),
    st.sampled_from([THETA, 1 << 30]),
    st.sampled_from([99, MEMBRANE_LIMIT]),
    st.integers(0, 2**32),
)
@settings(max_examples=60)
@pytest.mark.parametrize("steps_of", [in_torch, in_kernels])
def test_fixed_point_is_the_equation_to_the_bit(
    steps_of: Callable[..., Traces],
    decay: int,
    synaptic_decay: int,
    shift: int,
    most: int,
    loudest: int,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    bias, gain = rng.integers(-most, most + 1, (3, 37)), rng.integers(-32767, 32768, (2, 37))
    neuron = FixedLIF(decay, synaptic_decay=synaptic_decay, bias=bias).of_channels(37)
    given = (
        neuron,
        [Input(Identity(), gain=gain, shift=shift)],
        rng.integers(-loudest, loudest + 1, (6, 1, 37)),
    )
    for found, expected in zip(steps_of(*given), in_numpy(*given), strict=True):
        assert np.array_equal(found, expected)


def test_integers_as_real_numbers_do_not_round() -> None:
    """-7 · 3/2 = -10.5, of which half is kept: -5.25 + 10.5."""
    neurons = Neurons(FixedLIF(2048).of_channels(1), HALVES, (1, 1, 1), np.float64)
    assert [
        neurons.step(t, [np.full((1, 1, 1), a)], neurons.fires).item() for t, a in ((1, -7), (2, 7))
    ] == [
        -10.5,
        5.25,
    ]
