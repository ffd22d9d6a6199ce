"""A float32 network as a differentiable function: the spikes of the torch backend, with surrogate gradients.

What a gradient needs besides the equations of :mod:`backends.network`: the spike's derivative is replaced by Eq. 8's
∂s/∂v = 0.3·max(0, 1 - |v/θ - 1|) / θ, as in training, and none flows through the reset. The 1/θ, which Eq. 8 leaves
out, is that of the chain rule, and scales all gradients that pass through a layer alike.

References
----------
Kim & Panda 2021, Eq. 2-5 and 8.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from backends.network import LIF, Layer, Network
from backends.torch_backend import _at, _exact_sums, _synapses
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
        inputs : (T, B, 2C, H, W) float32 of 0 and 1 — encoded images; gradients reach them if they require it

        Returns
        -------
        logits : (B, classes) float32
        spikes : per layer (T, B, C, H, W) float32 of 0 and 1, in order of depth; the logits have gradients for each
        """
        tracked = torch.is_grad_enabled()
        spikes = [inputs]
        with _exact_sums():
            for layer, weight in zip(self.network.layers, self.weights, strict=True):
                fired = _run_layer(layer, weight, spikes[-1])
                spikes.append(fired if fired.requires_grad or not tracked else fired.requires_grad_())
            logits = spikes[-1].sum(0).flatten(1) @ self.readout.T / self.network.timesteps
        return logits * self.network.readout.scale, spikes[1:]


def _run_layer(layer: Layer, weight: Tensor, spikes: Tensor) -> Tensor:
    """(T, B, …) float spikes of the layer before -> (T, B, C, H, W) of this one, as the torch backend computes them."""
    neuron = layer.neuron
    assert isinstance(neuron, LIF)
    steps, batch = spikes.shape[:2]
    shape = layer.output_shape((spikes.shape[2], spikes.shape[3], spikes.shape[4]))
    current = _synapses(layer, weight, spikes[:-1].flatten(0, 1)).reshape(steps - 1, batch, *shape)
    membrane = fired = torch.zeros(batch, *shape, device=spikes.device)
    output = [fired]
    for t, arrived in enumerate(current.unbind()):
        driven = _at(neuron.gain, t, arrived) * arrived + _at(neuron.bias, t, arrived)
        membrane = neuron.leak * membrane + driven - fired.detach() * neuron.threshold
        fired = Surrogate.apply((membrane - neuron.threshold) / neuron.threshold)
        output.append(fired)
    return torch.stack(output)


def _constant(weight: object) -> nn.Parameter:
    return nn.Parameter(torch.tensor(weight), requires_grad=False)
