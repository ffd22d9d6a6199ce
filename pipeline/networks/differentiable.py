"""A float32 network, spiking or not, as a differentiable function of its encoded input.

What a gradient through spikes needs besides the equations of :mod:`backends.network.neurons`: the spike's derivative is
replaced by Eq. 8's ∂s/∂v = 0.3·max(0, 1 - |v/θ - 1|) / θ, as in training, and none flows through the reset. The 1/θ,
which Eq. 8 leaves out, is that of the chain rule, and scales all gradients that pass through a layer alike.

References
----------
Kim & Panda 2021, Eq. 2-5 and 8.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from backends.base import InputBatch, unpacked
from backends.network import LIF, PIXEL_LIMIT, Layer, Network, Readout, ReLU
from backends.torch.synapses import exact_sums, synapses
from recordings.errors import InputError

from .architecture import Surrogate


class DifferentiableNetwork(nn.Module):
    """A network through which gradients flow from the logits to the outputs of its layers and to its input.

    Weights are constants. Of a spiking network, a layer's membranes are kept for the gradient only where one can flow
    further back, so what is held at most is about three float32 per neuron and step.

    Parameters
    ----------
    network : in float32

    Attributes
    ----------
    layers : ModuleList, one per layer; what leaves a module are spikes, or activations behind a ReLU

    Raises
    ------
    InputError : if the network is in fixed point
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        if network.precision != "float32":
            raise InputError("gradients: got a network in fixed point, expected float32; use the one before quantise()")
        self.network = network
        self.layers = nn.ModuleList(MODULES[type(layer.neuron)](layer, network) for layer in network.layers)
        readout, timesteps = network.readout, network.timesteps
        self.readout = _constant(readout.weight)
        bias = torch.tensor(readout.bias, dtype=torch.float64).expand(timesteps, -1)
        self.bias = _constant((_leaked(readout, timesteps) @ bias).numpy().astype(np.float32))

    def forward(self, inputs: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Run all layers.

        Parameters
        ----------
        inputs : what the network's encoder makes of images, as float32: (T, B, 2C, H, W) of 0 and 1, or (B, C, H, W),
            for a constant current in -127 … 127; gradients reach them if they require it

        Returns
        -------
        logits : (B, classes) float32
        outputs : of each layer, in order of depth: spikes (T, B, C, H, W) float32 of 0 and 1, for each of which the
            logits have gradients; or an ANN's activations, (B, C, H, W) or of dense layers (B, C)
        """
        network, tracked = self.network, torch.is_grad_enabled()
        outputs: list[Tensor] = []
        with exact_sums():
            for layer in self.layers:
                output = layer(outputs[-1] if outputs else inputs)
                outputs.append(output if output.requires_grad or not tracked else output.requires_grad_())
            last = self._integrated(outputs[-1]) if network.kind == "snn" else outputs[-1]
            logits = (last.flatten(1) @ self.readout.T + self.bias) / network.timesteps
        return logits * network.readout.scale, outputs

    def _integrated(self, spikes: Tensor) -> Tensor:
        """Spikes of the last layer, (T, …), summed over the steps as the readout does: those long ago have leaked."""
        readout, timesteps = self.network.readout, self.network.timesteps
        if readout.leak == 1:
            return spikes.sum(0)
        return torch.tensordot(_leaked(readout, timesteps).to(spikes), spikes, 1)


class _SpikingLayer(nn.Module):
    """Spikes of a layer, (T, B, C, H, W), from those of the layer before, or from the constant current of an image."""

    def __init__(self, layer: Layer, network: Network) -> None:
        super().__init__()
        self.layer, self.timesteps = layer, network.timesteps
        self.constant = network.encoder == "constant-current" and layer is network.layers[0]
        self.weight = _constant(layer.weight)

    def forward(self, inputs: Tensor) -> Tensor:
        return fire(self.layer, self.currents(inputs))

    def currents(self, inputs: Tensor) -> Tensor:
        """What the synapses hand to the neurons at steps 1 … T-1: (T-1, B, C, H, W)."""
        return self._constant_current(inputs) if self.constant else self._currents(inputs)

    def _constant_current(self, images: Tensor) -> Tensor:
        """a[1] … a[T-1], all equal, summed in float64 and rounded once, see backends/constant_current.py."""
        current = synapses(self.layer, self.weight.double(), images.double() / PIXEL_LIMIT).float()
        channels, height, width = images.shape[1:]
        current = current.reshape(len(images), *self.layer.output_shape((channels, height, width)))
        return current.expand(self.timesteps - 1, -1, -1, -1, -1)

    def _currents(self, spikes: Tensor) -> Tensor:
        """a[1] … a[T-1], (T, B, …) -> (T-1, B, C, H, W)."""
        channels, height, width = spikes.shape[2:]
        shape = self.layer.output_shape((channels, height, width))
        currents = synapses(self.layer, self.weight, spikes[:-1].flatten(0, 1))
        return currents.reshape(len(spikes) - 1, spikes.shape[1], *shape)


class _RectifiedLayer(nn.Module):
    """Activations of a layer of ReLU neurons."""

    def __init__(self, layer: Layer, network: Network) -> None:
        super().__init__()
        self.layer = layer
        self.weight = _constant(layer.weight)

    def forward(self, inputs: Tensor) -> Tensor:
        return functional.relu(rectifier_inputs(self.layer, self.weight, inputs))


MODULES = {LIF: _SpikingLayer, ReLU: _RectifiedLayer}


def rectifier_inputs(layer: Layer, weight: Tensor, activations: Tensor) -> Tensor:
    """What a layer's ReLU gets of the activations before it: (B, C, H, W) -> (B, C', H', W') or (B, C')."""
    return synapses(layer, weight, activations, torch.contiguous_format)


def classes_meant(logits: Tensor, labels: Tensor) -> Tensor:
    """(B,) the labels, with the predicted class for those that are unknown, which are -1."""
    given = labels.to(logits.device, torch.int64)
    return given.where(given >= 0, logits.argmax(1))


def predictions(network: Network, inputs: Iterable[InputBatch]) -> NDArray[np.int64]:
    """The class that a float32 network gives every image of encoded batches: (N,)."""
    model = DifferentiableNetwork(network)
    with torch.no_grad():
        batches = [model(torch.from_numpy(unpacked(batch)).to(torch.float32))[0].argmax(1) for batch in inputs]
    return torch.cat(batches).numpy()


def fire(layer: Layer, currents: Tensor) -> Tensor:
    """Spikes (T, B, C, H, W) of neurons driven by (T-1, B, C, H, W), operation by operation as the torch backend's."""
    neuron = layer.spiking_neuron
    gains, biases = (
        torch.tensor(constants, dtype=currents.dtype, device=currents.device)[..., None, None]
        for constants in (neuron.gain, neuron.bias)
    )
    leak, threshold, subtracted, fires_above, synaptic_leak = (
        torch.tensor(constant, dtype=currents.dtype, device=currents.device)
        for constant in map(
            _by_channel,
            (neuron.leak, neuron.threshold, neuron.subtracted, neuron.fires_above, neuron.synaptic_leak),
        )
    )
    outlasts = bool(synaptic_leak.any())
    driven = membrane = fired = torch.zeros(currents.shape[1:], device=currents.device)
    output = [fired]
    for t, current in enumerate(currents.unbind()):
        arrived = gains[t % len(gains)] * current + biases[t % len(biases)]
        driven = synaptic_leak * driven + arrived if outlasts else arrived
        if neuron.reset == "zero":
            membrane = leak * membrane * (1 - fired.detach()) + driven
        else:
            membrane = leak * membrane + driven - fired.detach() * subtracted
        fired = Surrogate.apply((membrane - fires_above) / threshold)
        output.append(fired)
    return torch.stack(output)


def _by_channel(constant: Any) -> Any:
    """A number as it is, (C,) as (C, 1, 1)."""
    return np.asarray(constant)[..., None, None] if np.ndim(constant) else constant


def _leaked(readout: Readout, timesteps: int) -> Tensor:
    """(T,) float64: what is left at the last step of what the readout got at each."""
    return readout.leak ** torch.arange(timesteps - 1, -1, -1, dtype=torch.float64)


def _constant(weight: object) -> nn.Parameter:
    return nn.Parameter(torch.tensor(weight), requires_grad=False)
