"""That neurons in torch follow their equations: in fixed point to the bit, at the limits of every number."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikesam.backends.network import CURRENT_LIMIT, LIF, THETA, FixedLIF, Input
from spikesam.backends.network.step import Neurons
from spikesam.backends.torch.neurons import FixedNeurons, FloatNeurons


@given(
    decay=st.integers(0, THETA),
    shift=st.integers(0, 30),
    gain=st.integers(-32767, 32767),
    bias=st.integers(-(1 << 30), 1 << 30) | st.integers(-THETA, THETA),
    currents=st.lists(st.integers(1 - CURRENT_LIMIT, CURRENT_LIMIT - 1) | st.integers(-99, 99), min_size=1, max_size=9),
)
def test_fixed_point_is_the_equation_to_the_bit(decay: int, shift: int, gain: int, bias: int, currents: list[int]):
    neuron, inputs = FixedLIF(decay, bias=bias).of_channels(1, ""), [Input(None, gain=np.array([[gain]]), shift=shift)]
    neurons, expected = FixedNeurons(neuron, inputs, (1, 1, 1), "cpu"), Neurons(neuron, inputs, (1, 1, 1), np.int64)
    for t, current in enumerate(currents, start=1):
        expected.step(t, [np.array([[[current]]])], expected.fires)
        spikes = neurons.step([torch.tensor([[[current]]], dtype=torch.int32)], t)
        assert (neurons.membrane.item(), spikes.item()) == (expected.v.item(), expected.fires.item())


def test_gains_and_biases_are_those_of_their_step_and_channel():
    """Two steps, two channels, no leak: v = g·a + b added up, below a threshold of 100."""
    neuron = LIF(1.0, 100.0, bias=np.array([[0.5, 0], [0, 0.25]]))
    neurons = FloatNeurons(neuron, [Input(None, gain=np.array([[1.0, 2], [3, 4]]))], (1, 1, 2), "cpu")
    ones = torch.ones(1, 1, 2)
    for t in (1, 2):
        neurons.step([ones], t)
    assert neurons.membrane.tolist() == [[[1 + 0.5 + 3, 2 + 4 + 0.25]]]


def test_an_integer_threshold_and_membranes_that_are_held_by_hand():
    """A quarter leaks, what fires subtracts 300: 160, 120 + 200 = 320 fires, 240 - 300 - 100 is held at -50."""
    neuron = FixedLIF(THETA // 4, threshold=300, min_v_mem=-50).of_channels(1, "")
    neurons = FixedNeurons(neuron, [Input(None, gain=np.array([[1]]))], (1, 1, 1), "cpu")
    found = []
    for t, current in enumerate((160, 200, -100, 0), start=1):
        fired = neurons.step([torch.tensor([[[current]]], dtype=torch.int32)], t).item()
        found.append((int(neurons.membrane.item()), fired))
    assert found == [(160, 0), (320, 1), (-50, 0), (-37, 0)]


def test_rest_forgets_membranes_and_spikes():
    neurons = FloatNeurons(LIF(1.0).of_channels(1, ""), [Input(None, gain=np.ones((1, 1)))], (1, 1, 1), "cpu")
    current = torch.full((1, 1, 1), 1.5)
    first = [neurons.step([current], t).item() for t in (1, 2)]
    after = neurons.membrane.item()
    neurons.rest()
    assert [neurons.step([current], t).item() for t in (1, 2)] == first == [1, 1]
    assert neurons.membrane.item() == after == 2  # 1.5, then 1.5 + 1.5 - 1
