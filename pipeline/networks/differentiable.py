"""A float32 network, spiking or not, as a differentiable function of its encoded input.

What a gradient through spikes needs besides the equations of `backends/network/neurons.py`: the spike's derivative is
replaced by Eq. 8's ∂s/∂v = 0.3·max(0, 1 - |v/θ - 1|) / θ, as in training, and none flows through the reset (see
:mod:`.firing`). The 1/θ, which Eq. 8 leaves out, is that of the chain rule, and scales all gradients that pass through
a layer alike. Each layer delays by a step, so the last steps of the input and of early layers have no gradient.

References
----------
Kim & Panda 2021, Eq. 2-5 and 8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from spikesam.backends.base import InputBatch, unpacked
from spikesam.backends.network import LIF, Layer, Network, NetworkError, Readout, ReLU
from spikesam.backends.torch.synapses import apply_synapses, exact_sums
from spikesam.pipeline.networks.spiking_layer import SpikingLayer, constant_parameter
from spikesam.recordings.errors import InputError


class DifferentiableNetwork(nn.Module):
    """A float32 network with constant weights through which gradients flow; `width` is in thresholds either side."""

    def __init__(
        self, network: Network, width: float = 1.0, memory_format: torch.memory_format = torch.contiguous_format
    ) -> None:
        super().__init__()
        if network.precision != "float32":
            raise InputError("gradients: got a network in fixed point, expected float32; use the one before quantise()")
        if network.has_loops:
            raise InputError(
                "gradients: a layer reads one that comes later, expected no loops but those of a layer to itself"
            )
        self.network = network
        made: dict[type, Callable[..., nn.Module]] = {
            LIF: partial(SpikingLayer, width=width),
            ReLU: partial(ReluLayer, memory_format=memory_format),
        }
        self.layers = nn.ModuleList(made[type(layer.neuron)](layer, network) for layer in network.layers)
        readout, timesteps = network.readout, network.timesteps
        self.readout = constant_parameter(readout.weight)
        bias = torch.tensor(readout.bias, dtype=torch.float64).expand(timesteps, -1)
        self.bias = constant_parameter((_leaked(readout, timesteps) @ bias).numpy().astype(np.float32))

    def forward(self, inputs: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits (B, classes) of encoded float32 inputs, and each layer's spikes (T, B, C, H, W) or activations."""
        tracked = torch.is_grad_enabled()
        fired = {"input": inputs}
        with exact_sums():
            for layer, module in zip(self.network.layers, self.layers, strict=True):
                output = module(fired)
                fired[layer.name] = output if output.requires_grad or not tracked else output.requires_grad_()
            outputs = list(fired.values())[1:]
            logits = self._read(outputs[-1])
        if self.network.kind == "ann" and not logits.isfinite().all():
            finite = [bool(output.isfinite().all()) for output in outputs]
            where = "readout" if all(finite) else f"layer {self.network.layers[finite.index(False)].name!r}"
            raise NetworkError(
                f"{where}: its sums leave float32 on these images, expected finite numbers; scale it down"
            )
        return logits, outputs

    def logits(self, inputs: Tensor) -> Tensor:
        """The logits of :meth:`forward` alone, sooner: spikes too late to reach them are not worked out."""
        if self.network.kind == "ann" or not self.network.is_chain:
            return self(inputs)[0]
        fired, before = {"input": inputs}, "input"
        with exact_sums():
            for layer, module in zip(self.network.layers, self.layers, strict=True):
                whole = before == "input" and self.network.encoder == "constant-current"  # an image without steps
                early = fired[before] if whole else fired[before][: module.reach]
                fired, before = {layer.name: module({before: early})}, layer.name
            return self._read(fired[before])

    def _read(self, last: Tensor) -> Tensor:
        """Logits of what the last layer fires or activates."""
        readout, timesteps = self.network.readout, self.network.timesteps
        if self.network.kind == "snn":  # (T, …), summed over the steps as the readout does: those long ago have leaked
            without_leak = readout.leak == 1
            last = last.sum(0) if without_leak else torch.tensordot(_leaked(readout, timesteps).to(last), last, 1)
        return (last.flatten(1) @ self.readout.T + self.bias) / timesteps * readout.scale


class ReluLayer(nn.Module):
    """Activations of a layer of ReLU neurons, (B, C, H, W), or (B, C) of a dense one, from those of layers by name."""

    def __init__(self, layer: Layer, network: Network, memory_format: torch.memory_format) -> None:
        super().__init__()
        assert isinstance(layer.neuron, ReLU)
        self.memory_format = memory_format
        self.inputs, shape = layer.inputs, network.shapes[network.place(layer.name)]
        self.shape = shape[:1] if layer.kind == "dense" else shape
        self.read = [network.shape_read(each) for each in self.inputs]
        self.weights = nn.ParameterList(
            constant_parameter(np.zeros(0) if each.weight is None else each.weight) for each in self.inputs
        )
        self.gains = nn.ParameterList(self._by_channel(each.gain) for each in self.inputs)
        self.bias = self._by_channel(layer.neuron.bias)
        self.limit = None if layer.neuron.limit is None else self._by_channel(layer.neuron.limit)

    def forward(self, activations: Mapping[str, Tensor]) -> Tensor:
        """The activations of the layer."""
        found = functional.relu(self.currents(activations))
        return found if self.limit is None else torch.minimum(found, self.limit)

    def currents(self, activations: Mapping[str, Tensor]) -> Tensor:
        """What the neurons rectify: Σ gain · a + bias."""
        found = self.bias
        for each, weight, gain, shape in zip(self.inputs, self.weights, self.gains, self.read, strict=True):
            first, *more = (source.sign * activations[source.layer].reshape(-1, *shape) for source in each.sources)
            maps = sum(more, first)
            currents = maps if each.weight is None else apply_synapses(each, weight, maps, self.memory_format)
            found = found + gain * currents.reshape(-1, *self.shape)
        return found

    def _by_channel(self, numbers: Any) -> nn.Parameter:
        """One number, or (C,), for the maps of the layer."""
        return constant_parameter(np.float32(numbers).reshape(-1, *[1] * (len(self.shape) - 1)))


def classes_meant(logits: Tensor, labels: Tensor) -> Tensor:
    """(B,) the labels, with the predicted class for those that are unknown, which are -1."""
    given = labels.to(logits.device, torch.int64)
    return given.where(given >= 0, logits.argmax(1))


def predictions(network: Network | DifferentiableNetwork, inputs: Iterable[InputBatch]) -> NDArray[np.int64]:
    """The class that a float32 network gives every image of encoded batches: (N,)."""
    model = DifferentiableNetwork(network) if isinstance(network, Network) else network
    with torch.no_grad():
        batches = [model.logits(torch.from_numpy(unpacked(batch)).to(torch.float32)).argmax(1) for batch in inputs]
    return torch.cat(batches).numpy()


def _leaked(readout: Readout, timesteps: int) -> Tensor:
    """(T,) float64: what is left at the last step of what the readout got at each."""
    return readout.leak ** torch.arange(timesteps - 1, -1, -1, dtype=torch.float64)
