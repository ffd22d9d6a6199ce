"""The peers in simulation, given the network of the backends: snnTorch and SpikingJelly, used as their manuals do, and
a loop in PyTorch alone.

snnTorch's neuron is this project's, so its spikes are too, but for rounding. SpikingJelly's fires at the threshold
rather than above it, resets before the leak rather than after it, and its layers have no delay: other spikes, about as
many, and the same work. Gains and biases are folded into the weights, images are laid out channels last, which is
the fastest for both on CPUs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import snntorch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.common.environment import LOOP, missing_spikingjelly
from spikesam.backends.network import LIF, Layer, Network
from spikesam.pipeline.config import NetworkSection
from spikesam.pipeline.networks.firing import SURROGATE_SLOPE
from spikesam.pipeline.networks.layer_list import LayerPlan, count_inputs, plan_layers
from spikesam.pipeline.training.precision import convolution_type
from spikesam.pipeline.training.spiking_network import BNTT_EPSILON

Peer = Callable[[Tensor], Tensor]  # spikes (T, B, C, H, W) float32 -> readout (B, classes)


def peers(network: Network) -> dict[str, Peer]:
    """Every peer that is installed, by name.

    Parameters
    ----------
    network : in float32, without gains or biases that change from step to step
    """
    found: dict[str, Peer] = {"snnTorch": SnnTorchNetwork(network)}
    if not missing_spikingjelly():
        found["SpikingJelly"] = SpikingJellyNetwork(network)
    return found | {LOOP: TorchLoopNetwork(network)}


def spikingjelly() -> Any:
    """Its `activation_based` package, with the modules used here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # about torch.jit, which it uses
        from spikingjelly import activation_based
        from spikingjelly.activation_based import functional, layer, neuron, surrogate  # noqa: F401
    return activation_based


def lif_node(leak: float, threshold: float, **options: Any) -> nn.Module:
    """SpikingJelly's leaky neurons, which take all steps at a time."""
    lif: Any = spikingjelly().neuron.LIFNode
    about = {"tau": 1 / (1 - leak), "decay_input": False, "v_threshold": threshold, "v_reset": None, "step_mode": "m"}
    neurons: nn.Module = lif(**about, **options)
    return neurons


class SnnTorchNetwork(nn.Module):
    """A loop over time; each layer gets what the one before it sent in the last step."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.synapses = nn.ModuleList(map(synapses, network.layers))
        self.neurons: Any = nn.ModuleList(
            snntorch.Leaky(beta=neuron.leak, threshold=neuron.threshold)
            for neuron in (layer.spiking_neuron for layer in network.layers)
        )
        self.readout = readout(network)
        self.shapes = network.shapes

    @torch.inference_mode()
    def forward(self, spikes: Tensor) -> Tensor:
        """(T, B, C, H, W) -> (B, classes)."""
        membranes = [neuron.reset_mem() for neuron in self.neurons]
        sent = [torch.zeros(spikes.shape[1], *shape) for shape in self.shapes]
        fired = sent[-1].flatten(1)
        for arriving in spikes[:-1]:
            sent[0] = arriving
            for number in reversed(range(len(self.neurons))):
                current = self.synapses[number](sent[number])
                sent[number + 1], membranes[number] = self.neurons[number](current, membranes[number])
            fired += sent[-1].flatten(1)
        return self.readout(fired)


class SpikingJellyNetwork(nn.Module):
    """Multi-step mode: all steps of a layer, then the next layer."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.library = spikingjelly()
        layers: list[nn.Module] = []
        for layer in network.layers:
            assert isinstance(layer.spiking_neuron, LIF)
            leaky = lif_node(layer.spiking_neuron.leak, layer.spiking_neuron.threshold)
            layers += [self.library.layer.SeqToANNContainer(synapses(layer)), leaky]
        self.layers = nn.Sequential(*layers).eval()
        self.readout = readout(network)

    @torch.inference_mode()
    def forward(self, spikes: Tensor) -> Tensor:
        """(T, B, C, H, W) -> (B, classes)."""
        self.library.functional.reset_net(self.layers)
        fired: Tensor = self.layers(spikes[:-1])
        return self.readout(fired.sum(0).flatten(1))


class TorchLoopNetwork(nn.Module):
    """Loop as written by hand in PyTorch: the network of :class:`SpikingJellyNetwork`, without a library.

    A layer's convolutions of all steps and images are one call, in the type that the CPU convolves fastest; its neurons
    then go step by step, in place: spikes are written over the currents that cause them.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.dtype = convolution_type("auto")
        self.synapses = nn.ModuleList(map(synapses, network.layers)).to(self.dtype)
        neurons = [layer.spiking_neuron for layer in network.layers]
        self.constants = [(float(neuron.leak), float(neuron.threshold)) for neuron in neurons]
        self.readout = readout(network)

    @torch.inference_mode()
    def forward(self, spikes: Tensor) -> Tensor:
        """(T, B, C, H, W) -> (B, classes)."""
        *_, fired = self.fired(spikes[:-1])
        return self.readout(fired.sum(0, dtype=torch.float32).flatten(1))

    @torch.inference_mode()
    def fired(self, spikes: Tensor) -> Iterator[Tensor]:
        """(T, B, C, H, W) -> (T, B, …) of 0 and 1, the spikes of each layer, one layer after the other."""
        fired, steps = spikes.to(self.dtype), len(spikes)
        for layer, (leak, threshold) in zip(self.synapses, self.constants, strict=True):
            fired = layer(fired.flatten(0, 1)).unflatten(0, (steps, -1))
            membrane = torch.zeros_like(fired[0])
            for current in fired:
                membrane.mul_(leak).add_(current)
                torch.ge(membrane, threshold, out=current)
                membrane.sub_(current, alpha=threshold)
            yield fired


def as_tensor(spikes: NDArray[np.bool_]) -> Tensor:
    """(T, B, C, H, W) float32, each image with its channels last."""
    tensor = torch.from_numpy(spikes).float()
    return tensor.flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, tensor.shape[:2])


def synapses(layer: Layer) -> nn.Sequential:
    """Function from the spikes of one step, (B, C, H, W), to currents of the next, gain and bias included."""
    (given,) = layer.inputs
    gain, bias = (torch.tensor(rows[0]).float() for rows in (given.gain, layer.spiking_neuron.bias))
    weight = torch.tensor(given.weight)
    outputs, inputs, *kernel = weight.shape
    linear: Any
    modules: list[nn.Module] = [nn.AvgPool2d(given.pool)] if given.pool != 1 else []
    if kernel:
        linear = nn.Conv2d(inputs, outputs, (kernel[0], kernel[1]), given.stride, given.padding)
    else:
        linear = nn.Linear(inputs, outputs)
        modules.append(nn.Flatten())
    linear.weight.data = weight * gain.reshape(-1, *[1] * (weight.ndim - 1))
    linear.bias.data = bias
    return nn.Sequential(*modules, linear).to(memory_format=torch.channels_last)


def readout(network: Network) -> nn.Linear:
    """From the summed spikes of the last layer, flattened."""
    linear = nn.Linear(network.readout.weight.shape[1], network.classes, bias=False)
    linear.weight.data = torch.tensor(network.readout.weight)
    return linear


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
            self.synapses.append(untrained_synapses(plan, inputs))
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
            triangle = self.library.surrogate.PiecewiseQuadratic(alpha=1.0)  # as Eq. 8
            neuron = lif_node(network.leak, network.threshold, surrogate_function=triangle, detach_reset=True)
            container = self.library.layer.SeqToANNContainer
            self.layers.append(
                nn.Sequential(container(untrained_synapses(plan, inputs), norm(plan.outputs, BNTT_EPSILON)), neuron)
            )
        self.readout = nn.Linear(plans[-1].outputs, classes, bias=False)

    def forward(self, spikes: Tensor) -> Tensor:
        """(T, B, C, H, W) -> (B, classes)."""
        self.library.functional.reset_net(self)
        timesteps = len(spikes)
        for layer in self.layers:
            spikes = layer(spikes[:-1])
        return self.readout(spikes.sum(0)) / timesteps


def untrained_synapses(plan: LayerPlan, inputs: int) -> nn.Sequential:
    """Average pooling, then a convolution or matrix product without bias."""
    front: list[nn.Module] = [nn.AvgPool2d(plan.pool)] if plan.pool > 1 else []
    if plan.kind == "conv":
        return nn.Sequential(*front, nn.Conv2d(inputs, plan.outputs, 3, padding=1, bias=False))
    return nn.Sequential(*front, nn.Flatten(), nn.Linear(inputs, plan.outputs, bias=False))
