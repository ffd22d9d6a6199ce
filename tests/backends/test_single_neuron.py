"""One neuron, from what others fired: its currents, its membrane and what it reads are those of the equations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spikesam.backends.network import LIF, Encoder, Input, Layer, Network, Readout, Source
from spikesam.backends.single_neuron import SingleNeuron
from tests.backends.graphs import FIXED, FLOAT, graphs
from tests.backends.test_graphs import some_numbers, some_spikes
from tests.backends.test_random_networks import random_network
from tests.reference import simulate_reference


def check(network: Network, inputs: NDArray[Any], seed: int) -> None:
    """A neuron of every layer fires what the whole network fires there, and nothing drives it but what it reads."""
    rng, rasters = np.random.default_rng(seed), simulate_reference(network, inputs)[0]
    for number, layer in enumerate(network.layers):
        fired = {name: raster[:, number % 2] for name, raster in zip(network.raster_names, rasters, strict=True)}
        fired |= {"input": inputs[..., number % 2, :, :, :]} if network.current_input else {}
        channel, row, column = place = tuple(int(rng.integers(side)) for side in network.shapes[number + 1])
        neuron, own = (
            SingleNeuron(network, layer.name, (channel, row, column)),
            fired[layer.name][(slice(None), *place)],
        )
        currents = neuron.currents(fired.__getitem__)
        assert np.array_equal(neuron.fires(neuron.membrane(currents, own)), own), (layer.name, place)
        changed = {name: bits if bits.dtype == np.int8 else ~bits for name, bits in fired.items()}
        for source, mask in neuron.reads():
            changed[source.layer] = np.where(mask, fired[source.layer], changed[source.layer])
        for before, after in zip(currents, neuron.currents(changed.__getitem__), strict=True):
            assert np.array_equal(before, after)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=12)
def test_it_fires_what_its_chain_fires_in_fixed_point(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = random_network(rng)
    check(network, rng.random((network.timesteps, 2, *network.input_shape)) < 0.5, seed)


@given(network=graphs(), seed=st.integers(0, 99))
@settings(max_examples=12)
def test_it_fires_what_its_graph_fires_in_fixed_point(network: Network, seed: int) -> None:
    check(network, some_spikes(network), seed)


@given(network=graphs(FLOAT), seed=st.integers(0, 99))
@settings(max_examples=12)
def test_it_fires_what_its_graph_fires_in_float32(network: Network, seed: int) -> None:
    check(network, some_spikes(network), seed)


@pytest.mark.parametrize("encoder", ["constant-current", "changing-current"])
@given(data=st.data(), seed=st.integers(0, 99))
@settings(max_examples=10)
def test_it_fires_what_numbers_drive_it_to(encoder: Encoder, data: st.DataObject, seed: int) -> None:
    network = data.draw(graphs(FLOAT if seed % 2 else FIXED, encoder))
    check(network, some_numbers(network), seed)


def test_a_membrane_by_hand() -> None:
    """A corner of 2×2 with padding sees one pooled pixel; a shortcut adds the spikes of two steps before.

    t                                0     1     2     3
    spikes in rows 0 and 1           1 1   1 0   0 0   0 0       of the pooled pixel
    a = 2 · mean of four                   1     0.5   0
    shortcut = 0.5 · s[t-2]                            0.5       of the neuron's own, which fires at 1 and 3
    """
    weight = np.zeros((1, 1, 2, 2), np.float32)
    weight[0, 0, 1, 1] = 2
    own = (Input(None, Source("conv1", delay=2), gain=0.5),)
    layer = Layer("conv1", weight, LIF(0.5, 0.75, reset="zero"), pool=2, padding=1, more=own)
    network = Network((1, 4, 4), 4, (layer,), Readout(np.ones((1, 9), np.float32)), encoder="spikes")
    spikes = {"input": np.zeros((4, 1, 4, 4), np.bool_), "conv1": np.zeros((4, 1, 3, 3), np.bool_)}
    spikes["input"][[0, 0, 1], 0, 0, [0, 1, 0]] = True
    spikes["conv1"][[1, 3], 0, 0, 0] = True
    neuron = SingleNeuron(network, "conv1", (0, 0, 0))
    currents = neuron.currents(spikes.__getitem__)
    assert [each.tolist() for each in currents] == [[0, 1, 0.5, 0], [0, 0, 0, 1]]
    membrane = neuron.membrane(currents, spikes["conv1"][:, 0, 0, 0])
    assert membrane.tolist() == [0, 1, 0.5, 0.75]  # 0.5, and then 0.25 + 0.5
    assert neuron.fires(membrane).tolist() == [False, True, False, False]
    equals = replace(neuron.neuron, fires_at_threshold=True)
    assert neuron.fires(membrane, equals).tolist() == [False, True, False, True]
    masks = {source.layer: mask for source, mask in neuron.reads()}
    assert np.argwhere(masks["input"]).tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1]]
    assert np.argwhere(masks["conv1"]).tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("constant", [True, False])
def test_a_current_drives_it(constant: bool) -> None:
    """127 stands for 2, which is 1 to the weights: 3 · 127/127 at each step, or at the step of the number alone."""
    encoder: Any = "constant-current" if constant else "changing-current"
    layer = Layer("fc1", np.array([[3.0, 0.0]], np.float32), LIF(1.0, 100.0))
    network = Network((2, 1, 1), 4, (layer,), Readout(np.ones((1, 1), np.float32)), encoder=encoder)
    numbers = np.zeros((2, 1, 1) if constant else (4, 2, 1, 1), np.int8)
    numbers[(0,) if constant else (1, 0)] = 127
    neuron = SingleNeuron(network, "fc1", (0, 0, 0))
    currents = neuron.currents({"input": numbers}.__getitem__)
    assert currents[0].tolist() == ([0, 3, 3, 3] if constant else [0, 0, 3, 0])
    assert neuron.membrane(currents, np.zeros(4, np.bool_)).tolist() == ([0, 3, 6, 9] if constant else [0, 0, 3, 3])
    assert not [*neuron.reads()]
