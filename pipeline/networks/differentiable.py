"""A float32 network as a differentiable function: the spikes of the torch backend, with surrogate gradients.

What a gradient needs besides the equations of :mod:`backends.network.graph`: the spike's derivative is replaced by
Eq. 8's ∂s/∂v = 0.3·max(0, 1 - |v/θ - 1|) / θ, as in training, and none flows through the reset. The 1/θ, which Eq. 8
leaves out, is that of the chain rule, and scales all gradients that pass through a layer alike.

References
----------
Kim & Panda 2021, Eq. 2-5 and 8.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from backends.network.graph import LIF, PIXEL_LIMIT, Layer, Network
from backends.torch.synapses import exact_sums, synapses
from recordings.errors import InputError

from .architecture import Surrogate


class DifferentiableNetwork(nn.Module):
    """A trained or converted network through which gradients flow from the logits to spikes and inputs.

    Weights are constants. A layer's membranes are kept for the gradient only where one can flow further back, so what
    is held at most is about three float32 per neuron and step.

    Parameters
    ----------
    network : in float32

    Raises
    ------
    InputError : if the network is in fixed point
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        if network.precision != "float32":
            raise InputError("gradients: got a network in fixed point, expected float32; use the one before quantise()")
        self.network = network
        self.weights = nn.ParameterList(_constant(layer.weight) for layer in network.layers)
        self.readout = _constant(network.readout.weight)

    def forward(self, inputs: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Simulate.

        Parameters
        ----------
        inputs : what the network's encoder makes of images, as float32: (T, B, 2C, H, W) of 0 and 1, or for a constant
            current (B, C, H, W) in -127 … 127; gradients reach them if they require it

        Returns
        -------
        logits : (B, classes) float32
        spikes : per layer (T, B, C, H, W) float32 of 0 and 1, in order of depth; the logits have gradients for each
        """
        network, tracked = self.network, torch.is_grad_enabled()
        spikes: list[Tensor] = []
        with exact_sums():
            for layer, weight in zip(network.layers, self.weights, strict=True):
                if not spikes and network.encoder == "constant-current":
                    currents = _constant_current(layer, weight, inputs).expand(network.timesteps - 1, -1, -1, -1, -1)
                else:
                    currents = _currents(layer, weight, spikes[-1] if spikes else inputs)
                fired = _fire(layer, currents)
                spikes.append(fired if fired.requires_grad or not tracked else fired.requires_grad_())
            logits = spikes[-1].sum(0).flatten(1) @ self.readout.T / network.timesteps
        return logits * network.readout.scale, spikes


def _constant_current(layer: Layer, weight: Tensor, images: Tensor) -> Tensor:
    """a[t] of layer 1 at every step t ≥ 1, summed in float64 and rounded once, see backends/constant_current.py."""
    current = synapses(layer, weight.double(), images.double() / PIXEL_LIMIT).float()
    return current.reshape(len(images), *layer.output_shape((images.shape[1], images.shape[2], images.shape[3])))


def _currents(layer: Layer, weight: Tensor, spikes: Tensor) -> Tensor:
    """a[1] … a[T-1] of the spikes of the layer before, (T, B, …) -> (T-1, B, C, H, W)."""
    shape = layer.output_shape((spikes.shape[2], spikes.shape[3], spikes.shape[4]))
    return synapses(layer, weight, spikes[:-1].flatten(0, 1)).reshape(len(spikes) - 1, spikes.shape[1], *shape)


def _fire(layer: Layer, currents: Tensor) -> Tensor:
    """Spikes (T, B, C, H, W) of neurons driven by (T-1, B, C, H, W), operation by operation as the torch backend's."""
    neuron = layer.neuron
    assert isinstance(neuron, LIF)
    gains, biases = (
        torch.tensor(constants, dtype=currents.dtype, device=currents.device)[..., None, None]
        for constants in (neuron.gain, neuron.bias)
    )
    membrane = fired = torch.zeros(currents.shape[1:], device=currents.device)
    output = [fired]
    for t, current in enumerate(currents.unbind()):
        driven = gains[t % len(gains)] * current + biases[t % len(biases)]
        membrane = neuron.leak * membrane + driven - fired.detach() * neuron.threshold
        fired = Surrogate.apply((membrane - neuron.threshold) / neuron.threshold)
        output.append(fired)
    return torch.stack(output)


def _constant(weight: object) -> nn.Parameter:
    return nn.Parameter(torch.tensor(weight), requires_grad=False)
