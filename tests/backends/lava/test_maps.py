"""Maps from the graph are those that the same spikes give outside it, to the bit, whatever the
network.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from spikesam.backends.base import FormedMaps, MapRequest
from spikesam.backends.event.backend import EventBackend
from spikesam.backends.lava.backend import LavaBackend
from spikesam.backends.network import LIF, Layer, Network, Readout
from spikesam.backends.network.quantise import quantise
from spikesam.backends.trace import GradedSpikes, StepMaps, maps_of_packed, spike_trace
from spikesam.recordings.raster.batch import RasterBatch, pack
from tests.backends.test_random_networks import random_network

SAMPLES, STEPPED = 3, 2


def long_network(seed: int, timesteps: int) -> Network:
    """Any kernels, strides, poolings, resets and decays; messages of 16 steps that are full or not."""
    network = random_network(np.random.default_rng(seed))
    readout = replace(network.readout, bias=network.readout.bias[:1])
    return replace(network, timesteps=timesteps, readout=readout)


def with_maps(network: Network) -> list[str]:
    return [name for name, shape in network.shape_of.items() if shape[1:] != (1, 1)]


def assert_those_of_the_raster(
    network: Network, map_request: MapRequest, found: list[FormedMaps], inputs: Any
) -> None:
    """Every map and readout, beside what the event backend records."""
    shapes = dict(zip(network.raster_names, network.raster_shapes, strict=True))
    rasters: list[RasterBatch] = list(EventBackend(threads=1).run(network, [inputs], SAMPLES))
    samples = [(raster, row) for raster in rasters for row in range(len(raster))]
    assert len(found) == len(samples) == SAMPLES
    for number, (graph, (raster, row)) in enumerate(zip(found, samples, strict=True)):
        np.testing.assert_array_equal(graph.readout, raster.readout[row])
        assert list(graph.sums) == list(map_request.summed)
        assert list(graph.maps) == (
            list(map_request.summed) if number < map_request.stepped else []
        )
        for name, summed in map_request.summed.items():
            trace = spike_trace(map_request.gamma, shapes[name][0], network.timesteps)
            steps, total = maps_of_packed(
                raster.spikes[name][row], shapes[name], trace, summed, network.timesteps
            )
            np.testing.assert_array_equal(graph.sums[name].ravel(), trace.of_sum(total))
            if number < map_request.stepped:
                np.testing.assert_array_equal(
                    graph.maps[name].reshape(steps.shape), trace.of_steps(steps)
                )


@pytest.mark.parametrize(
    ("models", "seed", "timesteps", "gamma"),
    [
        ("event", 38, 1, 0.5),
        ("event", 45, 16, 0.0),
        ("event", 41, 17, 0.01),
        ("event", 72, 5, 3.0),
        ("stock", 45, 16, 0.5),
        ("stock", 41, 17, 0.01),
    ],
)
def test_any_network(models: Any, seed: int, timesteps: int, gamma: float) -> None:
    pytest.importorskip("lava", reason="lava-nc is not installed")
    network, rng = long_network(seed, timesteps), np.random.default_rng(seed)
    inputs = rng.random((timesteps, SAMPLES, *network.input_shape)) < 0.3
    summed = {name: int(rng.integers(1, timesteps + 1)) for name in with_maps(network)}
    map_request = MapRequest(gamma, summed, STEPPED)
    found = list(
        LavaBackend(models).run_maps(network, [inputs[:, :1], inputs[:, 1:]], SAMPLES, map_request)
    )
    assert_those_of_the_raster(network, map_request, found, inputs)


def test_these_networks_are_worth_it() -> None:
    """Among them are all resets, average and maximum pooling, strides, and layers that fire now and
    then.
    """
    networks = [
        long_network(seed, timesteps) for seed, timesteps in ((38, 1), (45, 16), (41, 17), (72, 5))
    ]
    layers = [layer for network in networks for layer in network.layers if layer.kind == "conv"]
    neurons = [layer.spiking_neuron for layer in layers]
    assert {neuron.reset for neuron in neurons} == {"subtract", "zero"}
    assert {
        layer.inputs[0].synapse.pooling for layer in layers if layer.inputs[0].synapse.pool != 1
    } == {
        "average",
        "max",
    }
    assert {layer.inputs[0].synapse.stride for layer in layers} == {1, 2, 3}
    assert any(layer.inputs[0].synapse.current_pool != 1 for layer in layers)


@given(
    array_shapes(min_dims=4, max_dims=4, max_side=6).flatmap(lambda shape: arrays(np.bool_, shape)),
    st.one_of(st.just(0.0), st.floats(0.0002, 9)),
)
def test_graded_spikes_summed_over_channels_are_the_maps(
    spikes: NDArray[np.bool_], gamma: float
) -> None:
    """(T, C, H, W): what neurons send, what a fused process sums, and what is made of packed bits;
    two samples each.
    """
    timesteps, channels, height, width = spikes.shape
    trace = spike_trace(gamma, channels, timesteps)
    steps, total = maps_of_packed(
        pack(spikes[:, None])[0], (channels, height, width), trace, timesteps, timesteps
    )
    graded, fused = GradedSpikes(trace), StepMaps(trace, (height, width, channels))
    for _ in range(2):
        summed = np.zeros(height * width, np.int64)
        for t, fired in enumerate(np.ascontiguousarray(np.moveaxis(spikes, 1, -1))):
            of_step = graded.step(t, fired).sum(axis=-1).ravel()
            np.testing.assert_array_equal(of_step, fused.step(t, fired))
            np.testing.assert_array_equal(of_step >> trace.dropped_bits, steps[t])
            summed += of_step
        np.testing.assert_array_equal(summed, total)


def test_lavas_own_convolutions_of_more_than_127_channels() -> None:
    """Lava counts them in an int8, which is repaired; VGG11 has 512."""
    pytest.importorskip("lava", reason="lava-nc is not installed")
    rng = np.random.default_rng(0)
    first, second = (
        rng.normal(0.1, 1, (130, inputs, 1, 1)).astype(np.float32) for inputs in (2, 130)
    )
    layers = Layer("conv1", first, LIF(0.9)), Layer("conv2", second, LIF(0.9, 10.0))
    network = quantise(
        Network(
            (2, 2, 2), 5, layers, Readout(rng.normal(0, 1, (3, 520)).astype(np.float32)), "spikes"
        )
    )
    inputs = rng.random((5, SAMPLES, 2, 2, 2)) < 0.5
    map_request = MapRequest(0.5, {"conv1": 4, "conv2": 5}, STEPPED)
    found = list(LavaBackend("stock").run_maps(network, [inputs], SAMPLES, map_request))
    assert_those_of_the_raster(network, map_request, found, inputs)
