"""Why a bit differs: the membranes of the network's neuron, driven by the network's currents and by the model's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import LIF, Input
from spikesam.backends.network.step import ROUNDING, Neurons
from spikesam.pipeline.imports.proving.alone import LayerAlone, by_position
from spikesam.pipeline.imports.torch.imported import Imported


@dataclass(frozen=True, eq=False)
class Difference:
    """A bit that differs, where everything before it is the same; the place is in the model's steps."""

    imported: Imported  # the network and the model
    number: int  # of the layer, from 0
    t: int
    sample: int
    neuron: int
    fired: bool  # whether the model fires there

    def explained(self, given: Mapping[str, NDArray[Any]], device: str) -> str:
        """One line: where the bit is, the membranes, and the likely reason; see :class:`LayerAlone`."""
        layer, shape = self.imported.layers[self.number], self.imported.network.shapes[self.number + 1]
        place = tuple(map(int, np.unravel_index(self.neuron, shape)))
        neuron = self.imported.network.layers[self.number].spiking_neuron
        assert isinstance(neuron, LIF)
        membranes = {"in the network": self._membrane(given, device)}
        if layer.currents is not None and not layer.about.begins:
            currents = layer.currents[:, self.sample, self.neuron].cpu().numpy()
            own, gain = self.imported.neurons[self.number], self.imported.gains[self.number]
            assert isinstance(own, LIF)
            membranes["with the model's own currents"] = membrane(own, gain, place[0], currents)[self.t]
        threshold = float(np.broadcast_to(neuron.threshold, shape[0])[place[0]])
        reason = layer.about.caveat
        if all(abs(each - threshold) <= ROUNDING * threshold + layer.about.rounding for each in membranes.values()):
            reason = f"{reason or 'the order of additions decides'}, which rounding=True accepts"
        where = f"{layer.label}: at step {self.t} of sample {self.sample}, neuron {place}"
        fires = "fires in the model, not in the network" if self.fired else "fires in the network, not in the model"
        found = ", ".join(f"{value:.9g} {whose}" for whose, value in membranes.items())
        return f"{where} {fires}; its membrane is {found}, its threshold {threshold:.9g}{reason and '; '}{reason}"

    def _membrane(self, given: Mapping[str, NDArray[Any]], device: str) -> float:
        """v[t] of the neuron in the network, after the model's own bits."""
        network, step = self.imported.network, self.imported.shifts[self.number] + self.t
        here = slice(self.sample, self.sample + 1)
        one = {name: bits[..., here, :, :, :] for name, bits in given.items()}
        alone = LayerAlone(network, self.number, one, device)
        for t, _ in alone.run(self.imported.shifts[self.number], step + 1):
            alone.neurons.spikes.copy_(by_position(one[network.layers[self.number].name][t], device))
        return alone.neurons.membrane.mT.flatten()[self.neuron].item()


def membrane(
    neuron: LIF, gain: NDArray[np.float64], channel: int, currents: NDArray[np.float32]
) -> NDArray[np.float32]:
    """v[t] of one neuron in float32, (S,), driven from rest by a[t], (S,); a channel's constants count."""
    neurons = Neurons(neuron, [Input(None, gain=gain)], (gain.shape[1], 1, 1), np.float32)
    found, fired = [], np.zeros_like(neurons.v, np.bool_)
    for t, current in enumerate(currents, start=1):
        found.append(neurons.step(t, [np.full_like(neurons.v, current)], fired)[channel].item())
        fired = neurons.fires
    return np.array(found, np.float32)
