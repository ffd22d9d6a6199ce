"""One layer, from what others fired: its currents, its membranes and what reaches it are those of the equations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spikesam.backends.network import LIF, Encoder, Input, Layer, Network, Readout, Source
from spikesam.pipeline.comparison.recorded_layer import Currents, Membranes, RecordedLayer
from tests.backends.graphs import FIXED, FLOAT, graphs
from tests.backends.test_graphs import some_numbers, some_spikes
from tests.backends.test_random_networks import random_network
from tests.reference import simulate_reference


def steps_of(
    layer: RecordedLayer, currents: Currents, fired: NDArray[np.bool_], neuron: LIF | None = None
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """v[t] and s[t], (T, C, H, W), of neurons that have fired as they are said to have."""
    membranes, rows = Membranes(layer, neuron), []
    for t in range(len(fired)):
        if t:
            membranes.step(t, currents(t), fired[t - 1])
        rows.append((membranes.v, membranes.fires))
    values, fires = map(np.array, zip(*rows, strict=True))
    return values, fires


def check(network: Network, inputs: NDArray[Any], seed: int) -> None:
    """A neuron of every layer fires what the whole network fires there, and nothing drives it but what it reads."""
    rng, rasters = np.random.default_rng(seed), simulate_reference(network, inputs)[0]
    for number, layer in enumerate(network.layers):
        fired = {name: raster[:, number % 2] for name, raster in zip(network.raster_names, rasters, strict=True)}
        fired |= {"input": inputs[..., number % 2, :, :, :]} if network.current_input else {}
        channel, row, column = (int(rng.integers(side)) for side in network.shapes[number + 1])
        recorded, own = RecordedLayer(network, layer.name), fired[layer.name]
        currents = recorded.currents(fired.__getitem__)
        assert np.array_equal(steps_of(recorded, currents, own)[1], own), layer.name
        changed = {name: bits if bits.dtype == np.int8 else ~bits for name, bits in fired.items()}
        for source, mask in recorded.reads((channel, row, column)):
            changed[source.layer] = np.where(mask, fired[source.layer], changed[source.layer])
        others = recorded.currents(changed.__getitem__)
        for t in range(network.timesteps):
            for before, after in zip(currents(t), others(t), strict=True):
                assert before[channel, row, column] == after[channel, row, column]


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
    layer = Layer("conv1", (Input(weight, pool=2, padding=1), *own), LIF(0.5, 0.75, reset="zero"))
    network = Network((1, 4, 4), 4, (layer,), Readout(np.ones((1, 9), np.float32)), encoder="spikes")
    spikes = {"input": np.zeros((4, 1, 4, 4), np.bool_), "conv1": np.zeros((4, 1, 3, 3), np.bool_)}
    spikes["input"][[0, 0, 1], 0, 0, [0, 1, 0]] = True
    spikes["conv1"][[1, 3], 0, 0, 0] = True
    recorded = RecordedLayer(network, "conv1")
    currents = recorded.currents(spikes.__getitem__)
    corner = [[float(each[0, 0, 0]) for each in currents(t)] for t in range(4)]
    assert corner == [[0, 0], [1, 0], [0.5, 0], [0, 1]]
    membranes, fires = steps_of(recorded, currents, spikes["conv1"])
    assert membranes[:, 0, 0, 0].tolist() == [0, 1, 0.5, 0.75]  # 0.5, and then 0.25 + 0.5
    assert fires[:, 0, 0, 0].tolist() == [False, True, False, False]
    equals = replace(recorded.neuron, fires_at_threshold=True)
    assert steps_of(recorded, currents, spikes["conv1"], equals)[1][:, 0, 0, 0].tolist() == [False, True, False, True]
    masks = {source.layer: mask for source, mask in recorded.reads((0, 0, 0))}
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
    recorded = RecordedLayer(network, "fc1")
    currents = recorded.currents({"input": numbers}.__getitem__)
    assert [currents(t)[0].item() for t in range(4)] == ([0, 3, 3, 3] if constant else [0, 0, 3, 0])
    membranes, _ = steps_of(recorded, currents, np.zeros((4, 1, 1, 1), np.bool_))
    assert membranes.ravel().tolist() == ([0, 3, 6, 9] if constant else [0, 0, 3, 3])
    assert not [*recorded.reads((0, 0, 0))]
