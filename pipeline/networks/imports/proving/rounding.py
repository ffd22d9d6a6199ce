"""The proof of an import bit by bit, for models so large that some membrane meets its threshold by rounding.

Every bit is worked out from the model's own bits before it, so that one that differs takes no others with it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backends.constant_current import input_currents
from backends.network import NetworkError
from backends.torch.neurons import make_neurons
from backends.torch.synapses import FloatSynapses, exact_sums
from pipeline.networks.imports.example import Example
from pipeline.networks.imports.folding.assemble import Imported

from .difference import ROUNDING, Difference


def prove_up_to_rounding(imported: Imported, example: Example) -> None:
    """Compare every bit of a model with what its network fires after the model's own bits."""
    network, device = imported.network, str(example.sequence.device)
    arrived = example.encoded(network.timesteps)
    for number, (layer, shift) in enumerate(zip(imported.layers, imported.shifts, strict=True)):
        shape = network.shapes[number + 1]
        of_model = np.zeros((network.timesteps, example.samples, *shape), np.bool_)
        of_model[shift : shift + example.timesteps] = layer.spikes.reshape(-1, example.samples, *shape).cpu().numpy()
        _prove_layer(imported, number, arrived, of_model, device)
        arrived = of_model


@torch.inference_mode()
def _prove_layer(
    imported: Imported, number: int, arrived: NDArray[Any], of_model: NDArray[np.bool_], device: str
) -> None:
    """One layer, given the model's bits (T, B, C, H, W) in front of it and its own."""
    network, shift = imported.network, imported.shifts[number]
    layer, about = network.layers[number], imported.layers[number].about
    channels, height, width = network.shapes[number + 1]
    neurons = make_neurons(layer.spiking_neuron, (of_model.shape[1], height * width, channels), device)
    synapses = FloatSynapses(layer.first, network.shapes[number], device)
    threshold = torch.as_tensor(layer.spiking_neuron.threshold, dtype=torch.float32, device=device)
    given = input_currents(network, arrived) if arrived.dtype == np.int8 else None
    with exact_sums():
        for t in range(1, shift + len(imported.layers[number].spikes)):
            if given is None:
                current = synapses(_positions(arrived[t - 1], device)).view_as(neurons.spikes)
            else:
                current = torch.from_numpy(given[:, min(t, given.shape[1]) - 1]).to(device).flatten(2).mT
            fired, model = neurons.step(current, t), _positions(of_model[t], device)
            far = (neurons.membrane - threshold).abs() > ROUNDING * threshold + about.rounding
            wrong = ((fired != model) & far).mT.flatten(1).nonzero()
            if len(wrong):
                sample, neuron = wrong[0].tolist()
                bit = bool(of_model[t, sample].flat[neuron])
                raise NetworkError(
                    Difference(imported, number, t - shift, sample, neuron, bit).explained(arrived, device)
                )
            neurons.spikes.copy_(model)


def _positions(spikes: NDArray[np.bool_], device: str) -> Tensor:
    """(B, C, H, W) bool -> (B, H·W, C) int8."""
    return torch.from_numpy(spikes).to(device, torch.int8).flatten(2).mT
