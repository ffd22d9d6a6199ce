"""The proof of an import bit by bit, for models so large that some membrane meets its threshold by rounding.

Every bit is worked out from the model's own bits before it, so that one that differs takes no others with it.
"""

from __future__ import annotations

import torch

from spikesam.backends.network import NetworkError
from spikesam.pipeline.imports.example import Example
from spikesam.pipeline.imports.folding.assemble import Imported
from spikesam.pipeline.imports.proving.alone import LayerAlone, positions
from spikesam.pipeline.imports.proving.difference import ROUNDING, Difference


def prove_up_to_rounding(imported: Imported, example: Example) -> None:
    """Compare every bit of a model with what its network fires after the model's own bits."""
    network, device = imported.network, str(example.sequence.device)
    given = imported.of_model(example)
    for number, layer in enumerate(network.layers):
        about, shift = imported.layers[number].about, imported.shifts[number]
        threshold = torch.tensor(layer.spiking_neuron.threshold, dtype=torch.float32, device=device)
        alone = LayerAlone(network, number, given, device)
        for t, fired in alone.run(shift, min(network.timesteps, shift + example.timesteps)):
            model = positions(given[layer.name][t], device)
            far = (alone.neurons.membrane - threshold).abs() > ROUNDING * threshold + about.rounding
            wrong = ((fired != model) & far).mT.flatten(1).nonzero()
            if len(wrong):
                sample, neuron = wrong[0].tolist()
                bit = bool(given[layer.name][t, sample].flat[neuron])
                raise NetworkError(
                    Difference(imported, number, t - shift, sample, neuron, bit).explained(given, device)
                )
            alone.neurons.spikes.copy_(model)
