"""The part of a network behind a layer, given what was recorded of that layer."""

from pathlib import Path

import numpy as np
import pytest

from paper.common.deletion import upper_network
from spikesam.backends.event.backend import EventBackend
from spikesam.backends.network import Network
from spikesam.backends.network.quantise import quantise
from spikesam.pipeline.networks.checkpoint import load_checkpoint
from spikesam.pipeline.training.export import export_network
from spikesam.recordings.errors import InputError
from spikesam.recordings.raster.batch import PackedSpikes, RasterBatch, joined
from tests.pipeline.small_networks import constant_current_checkpoint, small_model


def run(backend: EventBackend, network: Network, inputs: PackedSpikes) -> RasterBatch:
    return joined(list(backend.run(network, [inputs], len(inputs))))


def test_recorded_spikes_cause_the_same_spikes_behind_them() -> None:
    network, backend = quantise(export_network(small_model())), EventBackend()
    spikes = np.random.default_rng(0).random((8, 3, 6, 16, 24)) < 0.4
    whole = run(backend, network, PackedSpikes.of(spikes))
    for number, name in enumerate(network.raster_names[:-1]):
        part = upper_network(network, name)
        again = run(backend, part, PackedSpikes(whole.spikes[name], network.shapes[number]))
        np.testing.assert_array_equal(again.readout, whole.readout)
        for layer in network.layers[number:]:
            np.testing.assert_array_equal(again.spikes[layer.name], whole.spikes[layer.name])


def test_behind_a_constant_current_layers_have_the_names_of_the_raster(tmp_path: Path) -> None:
    network = load_checkpoint(constant_current_checkpoint(tmp_path / "constant.safetensors")).network
    part = upper_network(network, "conv1")
    names = [[layer.name for layer in layers] for layers in (part.layers, network.layers[1:])]
    assert (part.input_shape, names[0], part.encoder) == (network.shapes[1], names[1], "spikes")
    with pytest.raises(InputError, match="^layer 'input': expected one of conv1, conv2$"):
        upper_network(network, "input")


def test_nothing_is_behind_the_last_layer() -> None:
    with pytest.raises(InputError, match="^layer 'fc1': expected one of input, conv1, conv2$"):
        upper_network(export_network(small_model()), "fc1")
