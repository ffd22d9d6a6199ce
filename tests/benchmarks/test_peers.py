"""That the peers compute what this project does, so that comparing their speed means something."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from benchmarks.common.environment import missing_spikingjelly
from benchmarks.common.networks import TINY, random_network, random_spikes
from benchmarks.common.peers import (
    SnnTorchNetwork,
    SnnTorchTraining,
    SpikingJellyNetwork,
    SpikingJellyTraining,
    TorchLoopNetwork,
    as_tensor,
)
from spikesam.backends.event.backend import EventBackend
from spikesam.backends.network import LIF, Input, Layer, Network, Readout
from spikesam.pipeline.config import NetworkSection
from spikesam.pipeline.training.spiking_network import SpikingNetwork

NETWORK = NetworkSection(layers=(4, "P", 6, "P4", "D8"), timesteps=7, leak=0.9, threshold=1.3)

needs_spikingjelly = pytest.mark.skipif(bool(missing_spikingjelly()), reason="SpikingJelly is not installed")


def test_snntorch_gives_the_readout_of_the_event_backend():
    network = random_network(TINY, 0.2, 0)
    spikes = random_spikes(network.input_shape, network.timesteps, 3, 0.2, 1)
    batches = EventBackend(1).run(network, [spikes], 3)
    expected = np.concatenate([batch.readout for batch in batches])
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(SnnTorchNetwork(network)(as_tensor(spikes)), expected, rtol=1e-4, atol=1e-4)


@needs_spikingjelly
def test_spikingjelly_has_leak_soft_reset_gain_and_bias():
    # leak 0.5, i = 2·0.5·s + 0.25: v = 1.25 (fires, keeps 0.25), 1.375 (fires, keeps 0.375), then without input
    # 0.4375, and with it again 1.46875 (fires).
    layer = Layer("fc1", np.ones((1, 1), np.float32), LIF(0.5, bias=0.25))
    network = Network((1, 1, 1), 5, (layer,), Readout(np.full((1, 1), 3, np.float32)))
    spikes = np.array([1, 1, 0, 1, 1], np.bool_).reshape(5, 1, 1, 1, 1)  # the last arrives nowhere
    assert SpikingJellyNetwork(network)(as_tensor(spikes)).tolist() == [[9.0]]
    assert TorchLoopNetwork(network)(as_tensor(spikes)).tolist() == [[9.0]]


@needs_spikingjelly
def test_the_loop_fires_as_spikingjelly_does():
    # Weights are whole numbers, leaks 1/2, membranes small: bfloat16 holds them exactly for three steps.
    rng = np.random.default_rng(0)
    layers = (
        Layer("conv1", Input(rng.integers(-1, 3, (4, 6, 3, 3)).astype(np.float32), padding=1), LIF(0.5, 2.0)),
        Layer("fc2", Input(rng.integers(-1, 2, (5, 4 * 4 * 4)).astype(np.float32), pool=2), LIF(0.5, 4.0)),
    )
    network = Network((6, 8, 8), 4, layers, Readout(np.eye(5, dtype=np.float32)))
    spikes = as_tensor(random_spikes(network.input_shape, 4, 3, 0.1, 0))
    found = TorchLoopNetwork(network)(spikes)
    assert found.any()
    assert torch.equal(found, SpikingJellyNetwork(network)(spikes))


def test_snntorch_trains_the_function_of_this_project():
    torch.manual_seed(0)
    ours, theirs = SpikingNetwork(NETWORK, (3, 16, 16), 5).train(), SnnTorchTraining(NETWORK, 16, 5).train()
    for number, layer in enumerate(ours.layers):
        theirs.synapses[number][-1].load_state_dict(layer.synapses.state_dict())
        theirs.norms[number].load_state_dict(layer.bntt.state_dict())
    theirs.readout.load_state_dict(ours.readout.state_dict())
    spikes = torch.randn(7, 4, 3, 16, 16).sign()
    expected, found = ours(spikes), theirs(spikes)
    torch.testing.assert_close(found, expected)
    for logits in (expected, found):
        functional.cross_entropy(logits, torch.tensor([0, 1, 2, 3])).backward()
    for number, layer in enumerate(ours.layers):
        assert layer.synapses.weight.grad.abs().max() > 0
        torch.testing.assert_close(theirs.synapses[number][-1].weight.grad, layer.synapses.weight.grad)


@needs_spikingjelly
def test_spikingjelly_trains_every_weight():
    torch.manual_seed(0)
    model = SpikingJellyTraining(NETWORK, 16, 5).train()
    spikes = torch.randn(7, 4, 3, 16, 16).sign()
    for _ in range(2):  # what the first time left behind does not matter
        model.zero_grad()
        functional.cross_entropy(model(spikes), torch.tensor([0, 1, 2, 3])).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.ndim == 1 or parameter.grad.abs().max() > 0, name


def test_as_tensor_keeps_the_spikes():
    spikes = random_spikes((2, 3, 4), 5, 2, 0.5, 0)
    tensor = as_tensor(spikes)
    assert np.array_equal(tensor.numpy(), spikes)
    assert tensor[0].is_contiguous(memory_format=torch.channels_last)
