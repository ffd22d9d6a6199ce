"""A network of every library, as its users write it, becomes a network that fires its bits on every backend."""

from pathlib import Path

import numpy as np
import pytest
import torch

import spikesam
from tests.pipeline.imports.models import MODELS, assert_same_bits, make


@pytest.mark.parametrize("name", MODELS)
def test_every_bit_is_the_same_on_event_and_torch(name: str) -> None:
    model, example = make(name)
    network = spikesam.from_torch(model, example, timesteps=8 if example.ndim == 4 else None)
    rates = assert_same_bits(model, network, example).layers["rate"]
    assert rates.between(0.005, 0.98).all(), "a layer that never or always fires tests nothing"


@pytest.mark.long
def test_maximum_pooling_and_hard_reset_run_on_lava() -> None:
    pytest.importorskip("lava.magma")
    model, example = make("spikingjelly_sequence_hard")
    network = spikesam.from_torch(model, example)
    assert [layer.inputs[0].pooling for layer in network.layers] == ["average", "max", "max"]
    assert {layer.neuron.reset for layer in network.layers} == {"zero"}
    assert_same_bits(model, network, example, "lava")


@pytest.mark.parametrize("name", ["snntorch_loop", "spikingjelly_sequence_hard"])
def test_a_recording_of_the_model_is_the_raster_of_its_network(name: str, tmp_path: Path) -> None:
    model, example = make(name)
    network = spikesam.from_torch(model, example)
    with torch.no_grad(), spikesam.record(model, tmp_path) as recording:
        recording.finish(model(example))
    raster = spikesam.simulate(network, example, precision="float32")
    assert [layer.name for layer in recording.raster.layers] == [layer.name for layer in network.layers]
    for later, layer in enumerate(network.layers, start=1):
        assert np.array_equal(recording.raster[layer.name][:], raster[layer.name][:][later : later + len(example)])
