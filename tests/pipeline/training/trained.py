"""Networks after one backward pass, by the training and by snnTorch's modules, stepped by hand."""

from typing import Any

import snntorch
import torch
from torch import Tensor
from torch.nn import functional

from spikesam.pipeline.config import NetworkSection
from spikesam.pipeline.training.trainable import SpikingNetwork
from tests.pipeline.surrogate import Surrogate

NETWORK = NetworkSection(layers=(5, "P", 6, "P4", "D9"), timesteps=7, leak=0.9, threshold=1.3)


def snntorch_loop(model: SpikingNetwork, spikes: Tensor) -> Tensor:
    """Every step of every layer, one after the other, all with gradient."""
    neuron = model.layers[0].neuron
    gradient = lambda distance: Surrogate.apply(distance / neuron.threshold)  # noqa: E731
    leaky = snntorch.Leaky(beta=neuron.leak, threshold=neuron.threshold, spike_grad=gradient)
    arriving = [None] * len(model.layers)  # what the layer in front fired one step before
    membranes = [None] * len(model.layers)
    total = 0
    for t, image in enumerate(spikes):
        fired = [image]
        for number, (plan, layer) in enumerate(zip(model.plans, model.layers, strict=True)):
            if arriving[number] is None:
                fired.append(None)
                continue
            x = functional.avg_pool2d(arriving[number], plan.pool)
            if isinstance(layer.synapses, torch.nn.Linear):
                x = x.flatten(1)
            driven = layer.bntt[t - 1](layer.synapses(x).float())
            membrane = torch.zeros_like(driven) if membranes[number] is None else membranes[number]
            spike, membranes[number] = leaky(driven, membrane)
            fired.append(spike)
        *arriving, last = fired
        total = total if last is None else total + last
    return model.readout(total) / model.timesteps


def trained_once(fused: bool, loop: bool = False, network: NetworkSection = NETWORK) -> Any:
    torch.manual_seed(0)
    model = SpikingNetwork(network, (3, 8, 16), 4, fused=fused)
    images = torch.randn(network.timesteps, 3, 3, 8, 16).sign()
    logits = snntorch_loop(model, images) if loop else model(images)
    functional.cross_entropy(logits, torch.tensor([0, 1, 3])).backward()
    return model
