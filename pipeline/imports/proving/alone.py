"""One layer of a network alone, driven by bits that a model fired: what it fires of them is its own doing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikesam.backends.input_currents import currents_of
from spikesam.backends.network import Input, Network
from spikesam.backends.network.step import arrived_from
from spikesam.backends.torch.neurons import TorchNeurons
from spikesam.backends.torch.synapses import Workspace, exact_sums, make_synapses, repeat_spikes


class LayerAlone:
    """The neurons of layer `number`, from 0, at rest; `given` are (T, B, C, H, W) by name, of all that it reads."""

    def __init__(self, network: Network, number: int, given: Mapping[str, NDArray[Any]], device: str) -> None:
        self.network, self.given, self.device = network, given, device
        layer, (channels, height, width) = network.layers[number], network.shapes[number + 1]
        samples = given[layer.inputs[0].sources[0].layer].shape[-4]
        self.neurons = TorchNeurons(layer.spiking_neuron, layer.inputs, (samples, height * width, channels), device)
        self.currents = [self._currents(each, (number, place)) for place, each in enumerate(layer.inputs)]

    def run(self, first: int, stop: int) -> Iterator[tuple[int, Tensor]]:
        """Go from rest before `first` to each step before `stop`, and what fires, (B, H·W, C); `spikes` may be set."""
        for t in range(max(1, first), stop):
            with torch.inference_mode(), exact_sums():
                fired = self.neurons.step([each(t).view_as(self.neurons.membrane) for each in self.currents], t)
            yield t, fired

    def _currents(self, each: Input, key: tuple[int, int]) -> Callable[[int], Tensor]:
        """The function to a[t] of an input, (B, H·W, C); `key` are the numbers of the layer and of the input."""
        network, (first, delay) = self.network, (each.sources[0].layer, each.sources[0].longest)
        if key in network.driven:
            steps = torch.from_numpy(currents_of(network, key, self.given[first])).to(self.device).flatten(3).mT
            return lambda t: steps[:, min(max(0, t - delay), steps.shape[1] - 1)] * (t >= delay)
        seen = network.shapes[network.place(first)]
        synapses = make_synapses(each, seen, Workspace(self.device), "currents")
        return lambda t: synapses(repeat_spikes(self._arrived(each, t), each, seen))

    def _arrived(self, each: Input, t: int) -> Tensor:
        """x[t] of an input, (B, H·W, C) int8, not spread."""
        arriving = [
            source.sign * by_position(arrived_from(source, self.given[source.layer], t), self.device)
            for source in each.sources
        ]
        return torch.cat([sum(more, first) for first, *more in each.summands(arriving)], -1)


def by_position(spikes: NDArray[np.bool_], device: str) -> Tensor:
    """(B, C, H, W) bool -> (B, H·W, C) int8."""
    return torch.from_numpy(spikes).to(device, torch.int8).flatten(2).mT
