"""Maps from the graph are those that the same spikes give outside it, to the bit, whatever the
network.
"""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from spikesam.backends.base import FormedMaps, MapRequest
from spikesam.backends.event.backend import EventBackend
from spikesam.backends.lava._backend import LavaBackend
from spikesam.backends.network import LIF, Layer, Network, Readout
from spikesam.backends.network.quantise import quantise
from spikesam.backends.trace import GradedSpikes, StepMaps, maps_of_packed, spike_trace
from spikesam.recordings.raster.batch import RasterBatch, pack
from tests.backends.equations import make_backend
from tests.backends.networks import (
    driven,
    driven_by_an_image,
    everything,
    odd_sizes,
    one_step,
    overlaps,
    rectangles,
)
from tests.reference import simulate_reference

SAMPLES, STEPPED = 3, 2


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
    ("name", "build", "timesteps", "gamma"),
    [
        *(
            pytest.param("processes", *drawn, marks=pytest.mark.short)
            for drawn in (
                (one_step, 1, 0.5),
                (everything, 9, 0.5),
                (everything, 16, 0.0),  # messages of 16 steps that are full
                (everything, 17, 0.01),  # and one that is not
                (odd_sizes, 9, 3.0),
                (rectangles, 9, 0.5),
                (overlaps, 9, 0.01),
                (driven, 9, 0.5),
                (driven_by_an_image, 9, 0.5),
            )
        ),
        *(
            pytest.param("processes-stock", *drawn, marks=pytest.mark.short)
            for drawn in (
                (everything, 16, 0.5),
                (everything, 17, 0.01),
                (rectangles, 9, 0.5),
                (driven_by_an_image, 9, 0.5),
            )
        ),
        ("lava", one_step, 1, 0.5),
        ("lava", everything, 17, 0.01),
        ("lava", driven, 9, 0.5),
        ("lava-stock", everything, 17, 0.01),
        ("lava-stock", driven, 9, 0.5),
    ],
)
def test_maps_of_any_network(name: str, build: Any, timesteps: int, gamma: float) -> None:
    rng = np.random.default_rng(4)
    network = quantise(build(rng, timesteps) if build is everything else build(rng))
    assert network.timesteps == timesteps
    shape = (timesteps, *network.input_shape)
    if network.spiking_input:
        quiet, loud = (rng.random(shape) < density for density in (0.3, 0.9))
    else:
        shape = network.input_shape if network.encoder == "constant-current" else shape
        quiet, loud = rng.integers(-127, 128, (2, *shape), np.int8)
    inputs = np.stack([quiet, loud, quiet], axis=-4)
    expected, _ = simulate_reference(network, inputs)
    for raster in expected:  # each layer fires now and then, and each sample starts from rest
        assert 0 < raster.mean() < 1 or timesteps == 1
        assert np.array_equal(raster[:, 0], raster[:, 2])
    has_maps = [name for name, shape in network.shape_of.items() if shape[1:] != (1, 1)]
    summed = {name: int(rng.integers(1, timesteps + 1)) for name in has_maps}
    map_request = MapRequest(gamma, summed, STEPPED)
    batches = np.split(inputs, [1], axis=-4)
    backend: Any = make_backend(name)
    found = list(backend.run_maps(network, batches, SAMPLES, map_request))
    assert_those_of_the_raster(network, map_request, found, inputs)


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
