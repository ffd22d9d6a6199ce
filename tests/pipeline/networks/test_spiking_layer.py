"""Gradients of layers that read several others: the backend's spikes, and gradients that arrive where they should."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from spikesam.backends.network import LIF, Input, Layer, Network, Readout
from spikesam.backends.torch.backend import TorchBackend
from spikesam.pipeline.networks.checkpoint import load_checkpoint
from spikesam.pipeline.networks.differentiable import DifferentiableNetwork
from spikesam.recordings.errors import InputError
from spikesam.recordings.raster.batch import unpack
from tests.backends.graphs import FLOAT, graphs

random = np.random.default_rng(0)


@settings(max_examples=25)
@drawn(st.sampled_from(("spikes", "constant-current", "changing-current")).flatmap(lambda name: graphs(FLOAT, name)))
def test_the_spikes_are_the_backends(network: Network) -> None:
    shape = 2, *network.input_shape
    given = random.integers(-3, 4, (network.timesteps, *shape), np.int8)
    given = given > 0 if network.spiking_input else given[0] if network.encoder == "constant-current" else given
    model = DifferentiableNetwork if not network.has_loops else refused
    if (built := model(network)) is None:
        return
    _, outputs = built(torch.tensor(given, dtype=torch.float32))
    (batch,) = TorchBackend("cpu").run(network, [given], 2)
    for name, found in zip(network.raster_names[-len(outputs) :], outputs, strict=True):
        expected = unpack(batch.spikes[name], network.shape_of[name])
        np.testing.assert_array_equal(found.detach().numpy().astype(bool), expected)


def refused(network: Network) -> None:
    with pytest.raises(InputError, match="gradients: a layer reads one that comes later"):
        DifferentiableNetwork(network)


def two_layers(*more: Input) -> Network:
    """Two dense layers of three neurons, whose second one may read others, too. T = 6."""
    layers = (
        Layer("fc1", random.uniform(0.1, 0.4, (3, 2)), LIF(0.9, 0.4)),
        Layer("fc2", (Input(random.uniform(0.1, 0.4, (3, 3))), *more), LIF(0.8, 0.5, synaptic_leak=0.3)),
    )
    return Network((2, 1, 1), 6, layers, Readout(random.normal(size=(2, 3))), encoder="spikes")


def gradient(network: Network, spikes: torch.Tensor) -> torch.Tensor:
    inputs = spikes.clone().requires_grad_()
    DifferentiableNetwork(network)(inputs)[0][:, 0].sum().backward()
    assert inputs.grad is not None
    return inputs.grad


@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_a_layer_that_reads_itself_with_weights_of_zero_has_the_gradient_of_one_that_does_not(reset: Any) -> None:
    alone = two_layers()
    fc1, fc2 = alone.layers
    fc2 = replace(fc2, neuron=replace(fc2.neuron, reset=reset))
    again = replace(alone, layers=(fc1, replace(fc2, inputs=(*fc2.inputs, Input(np.zeros((3, 3)), "fc2")))))
    spikes = torch.tensor(random.random((6, 4, 2, 1, 1)) < 0.5, dtype=torch.float32)
    expected = gradient(replace(alone, layers=(fc1, fc2)), spikes)
    assert expected.abs().max() > 0
    torch.testing.assert_close(gradient(again, spikes), expected)


def test_a_shortcut_brings_gradients_from_later_steps() -> None:
    """Through two layers the last step but two is the last that matters; through the shortcut the last but one."""
    spikes = torch.tensor(random.random((6, 32, 2, 1, 1)) < 0.3, dtype=torch.float32)
    chain, short = two_layers(), two_layers(Input(random.uniform(0.1, 0.4, (3, 2)), "input"))
    assert [step.abs().max() > 0 for step in gradient(chain, spikes)][4:] == [False, False]
    assert [step.abs().max() > 0 for step in gradient(short, spikes)][4:] == [True, False]


def test_gradients_reach_the_image_through_shortcuts_and_through_the_layer_that_repeats_the_answers() -> None:
    network = load_checkpoint("residual-digits").network
    image = torch.tensor(random.integers(-127, 128, (1, *network.input_shape)), dtype=torch.float32, requires_grad=True)
    logits, outputs = DifferentiableNetwork(network)(image)
    logits[:, 3].sum().backward()
    assert image.grad is not None and image.grad.abs().max() > 0
    assert [layer.name for layer in network.layers][-1] == "answer" and len(outputs) == 10


def test_an_image_may_drive_a_layer_in_front_of_one_that_reads_itself() -> None:
    """Images are (B, C, H, W), without an axis of steps, and have as many channels as they please."""
    layers = (
        Layer("fc1", random.uniform(0.1, 0.4, (3, 2)), LIF(0.9, 0.4)),
        Layer("fc2", (random.uniform(0.1, 0.4, (3, 3)), Input(0.2 * np.eye(3), "fc2")), LIF(0.8, 0.5)),
    )
    network = Network((2, 1, 1), 6, layers, Readout(random.normal(size=(2, 3))), encoder="constant-current")
    images = random.integers(-127, 128, (5, 2, 1, 1), np.int8)
    _, outputs = DifferentiableNetwork(network)(torch.tensor(images, dtype=torch.float32))
    (batch,) = TorchBackend("cpu").run(network, [images], 5)
    for name, found in zip(network.raster_names, outputs, strict=True):
        np.testing.assert_array_equal(found.detach().numpy().astype(bool), unpack(batch.spikes[name], (3, 1, 1)))
