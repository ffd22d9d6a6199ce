"""The peers in training: the layers of `spikesam.pipeline.training.spiking_network`, as their manuals do it.

A layer is silent until the image arrives, one step later per layer, and as there, those steps are not computed.
"""

from __future__ import annotations

from typing import Any

import snntorch
import torch
from torch import Tensor, nn

from benchmarks.optional import missing_spikingjelly
from benchmarks.peers import spikingjelly
from spikesam.pipeline.config import NetworkSection
from spikesam.pipeline.networks.firing import SURROGATE_SLOPE
from spikesam.pipeline.networks.layer_list import LayerPlan, count_inputs, plan_layers
from spikesam.pipeline.training.spiking_network import BNTT_EPSILON


class Surrogate(torch.autograd.Function):
    """Heaviside forward, piecewise-linear backward: ∂s/∂u = 0.3·max(0, 1 - |u|), with u = v/θ - 1 (Eq. 8)."""

    @staticmethod
    def forward(ctx: Any, u: Tensor) -> Tensor:
        """Fire where u > 0."""
        ctx.save_for_backward(u)
        return (u > 0).to(u.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Let the gradient through near the threshold."""
        (u,) = ctx.saved_tensors
        return gradients[0] * SURROGATE_SLOPE * (1 - u.abs()).clamp(min=0)


def training_peers(network: NetworkSection, size: int, classes: int) -> dict[str, nn.Module]:
    """Every peer that is installed, by name, for RGB images of a size: spikes (T, B, 3, H, W) -> logits."""
    found: dict[str, nn.Module] = {"snnTorch": SnnTorchTraining(network, size, classes)}
    if not missing_spikingjelly():
        found["SpikingJelly"] = SpikingJellyTraining(network, size, classes)
    return found


class SnnTorchTraining(nn.Module):
    """A loop over time, with a batch normalisation per step: the very function that this project trains."""

    def __init__(self, network: NetworkSection, size: int, classes: int) -> None:
        super().__init__()
        self.synapses: Any = nn.ModuleList()
        self.norms: Any = nn.ModuleList()
        self.neurons: Any = nn.ModuleList()
        plans = plan_layers(network.layers)
        for plan, inputs in zip(plans, count_inputs(plans, (3, size, size)), strict=True):
            norm = snntorch.BatchNormTT2d if plan.kind == "conv" else snntorch.BatchNormTT1d
            self.synapses.append(synapses(plan, inputs))
            self.norms.append(norm(plan.outputs, network.timesteps, eps=BNTT_EPSILON))
            self.neurons.append(
                snntorch.Leaky(
                    beta=network.leak,
                    threshold=network.threshold,
                    spike_grad=lambda distance: Surrogate.apply(distance / network.threshold),
                )
            )
        self.readout = nn.Linear(plans[-1].outputs, classes, bias=False)

    def forward(self, spikes: Tensor) -> Tensor:
        """(T, B, C, H, W) -> (B, classes)."""
        depth = len(self.neurons)
        membranes = [neuron.reset_mem() for neuron in self.neurons]
        sent = [spikes[0], *membranes]  # by each layer, the input first, in the last step
        counts = []
        for t in range(1, len(spikes)):
            for layer in reversed(range(min(t, depth))):
                current = self.norms[layer][t - 1](self.synapses[layer](sent[layer]))
                sent[layer + 1], membranes[layer] = self.neurons[layer](current, membranes[layer])
            sent[0] = spikes[t]
            if t >= depth:
                counts.append(sent[-1])
        return self.readout(torch.stack(counts).sum(0)) / len(spikes)


class SpikingJellyTraining(nn.Module):
    """Multi-step mode: all steps of a layer, then the next layer; one batch normalisation for all steps."""

    def __init__(self, network: NetworkSection, size: int, classes: int) -> None:
        super().__init__()
        self.library = spikingjelly()
        plans = plan_layers(network.layers)
        self.layers = nn.ModuleList()
        for plan, inputs in zip(plans, count_inputs(plans, (3, size, size)), strict=True):
            norm = nn.BatchNorm2d if plan.kind == "conv" else nn.BatchNorm1d
            neuron = self.library.neuron.LIFNode(
                tau=1 / (1 - network.leak),
                decay_input=False,
                v_threshold=network.threshold,
                v_reset=None,
                surrogate_function=self.library.surrogate.PiecewiseQuadratic(alpha=1.0),  # a triangle, as Eq. 8
                detach_reset=True,
                step_mode="m",
            )
            container = self.library.layer.SeqToANNContainer
            self.layers.append(
                nn.Sequential(container(synapses(plan, inputs), norm(plan.outputs, BNTT_EPSILON)), neuron)
            )
        self.readout = nn.Linear(plans[-1].outputs, classes, bias=False)

    def forward(self, spikes: Tensor) -> Tensor:
        """(T, B, C, H, W) -> (B, classes)."""
        self.library.functional.reset_net(self)
        timesteps = len(spikes)
        for layer in self.layers:
            spikes = layer(spikes[:-1])
        return self.readout(spikes.sum(0)) / timesteps


def synapses(plan: LayerPlan, inputs: int) -> nn.Sequential:
    """Average pooling, then a convolution or matrix product without bias."""
    front: list[nn.Module] = [nn.AvgPool2d(plan.pool)] if plan.pool > 1 else []
    if plan.kind == "conv":
        return nn.Sequential(*front, nn.Conv2d(inputs, plan.outputs, 3, padding=1, bias=False))
    return nn.Sequential(*front, nn.Flatten(), nn.Linear(inputs, plan.outputs, bias=False))
