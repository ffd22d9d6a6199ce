"""Why a bit differs between a model and a network: two membranes of the neuron that fires it.

One is the network's. The other is that of the network's neuron, driven by the model's own currents. Where both are the
same, the neurons differ; otherwise what drives them does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from backends.constant_current import input_currents
from backends.network import LIF
from backends.torch.neurons import FloatNeurons
from backends.torch.synapses import FloatSynapses, exact_sums
from pipeline.networks.imports.folding.assemble import Imported

ROUNDING = 1e-5  # of the threshold: the order of additions may take a membrane as close to it as this to either side


@dataclass(frozen=True, eq=False)
class Difference:
    """A bit that differs, where everything before it is the same.

    Parameters
    ----------
    imported : the network and the model
    number : of the layer, from 0
    t, sample, neuron : where the bit is, in the model's steps
    fired : whether the model fires there
    """

    imported: Imported
    number: int
    t: int
    sample: int
    neuron: int
    fired: bool

    def explained(self, arrived: NDArray[Any], device: str) -> str:
        """One line: where the bit is, the membranes, and the likely reason.

        Parameters
        ----------
        arrived : (T, B, C, H, W) bool — what drove the layer; or int8 of a current
        device : torch's name for it
        """
        layer, shape = self.imported.layers[self.number], self.imported.network.shapes[self.number + 1]
        place = tuple(map(int, np.unravel_index(self.neuron, shape)))
        neuron = self.imported.network.layers[self.number].spiking_neuron
        assert isinstance(neuron, LIF)
        step = self.imported.shifts[self.number] + self.t
        membranes = {"in the network": membrane(neuron, place[0], self._currents(arrived, device))[step - 1]}
        if layer.currents is not None:
            currents = layer.currents[:, self.sample, self.neuron].cpu().numpy()
            own = membrane(self.imported.neurons[self.number], place[0], currents)[self.t]
            membranes["with the model's own currents"] = own
        threshold = float(np.broadcast_to(neuron.threshold, shape[0])[place[0]])
        reason = layer.about.caveat
        if all(abs(each - threshold) <= ROUNDING * threshold + layer.about.rounding for each in membranes.values()):
            reason = f"{reason or 'the order of additions decides'}, which rounding=True accepts"
        where = f"{layer.label}: at step {self.t} of sample {self.sample}, neuron {place}"
        fires = "fires in the model, not in the network" if self.fired else "fires in the network, not in the model"
        found = ", ".join(f"{value:.9g} {whose}" for whose, value in membranes.items())
        return f"{where} {fires}; its membrane is {found}, its threshold {threshold:.9g}{reason and '; '}{reason}"

    def _currents(self, arrived: NDArray[Any], device: str) -> NDArray[np.float32]:
        """(T-1,) — a[t] of the neuron in the network, from step 1 on."""
        network = self.imported.network
        layer, shape = network.layers[self.number], network.shapes[self.number]
        if arrived.dtype == np.int8:
            given = input_currents(network, arrived)[self.sample]
            of_neuron = given.reshape(len(given), -1)[:, self.neuron]
            return np.broadcast_to(of_neuron, network.timesteps)[:-1].astype(np.float32)
        spikes = torch.from_numpy(arrived[:-1, self.sample]).to(device, torch.int8)
        with exact_sums(), torch.inference_mode():
            currents = FloatSynapses(layer.first, shape, device)(spikes.flatten(2).mT)
        maps = currents.unflatten(0, (len(spikes), -1)).mT.flatten(1)
        driven: NDArray[np.float32] = maps[:, self.neuron].cpu().numpy()
        return driven


def membrane(neuron: LIF, channel: int, currents: NDArray[np.float32]) -> NDArray[np.float32]:
    """v[t] of one neuron in float32, driven from rest.

    Parameters
    ----------
    neuron : as a layer has it
    channel : whose constants count
    currents : (S,) — a[t]

    Returns
    -------
    (S,)
    """
    channels = neuron.gain.shape[1]
    neurons = FloatNeurons(neuron, (1, 1, channels), "cpu")
    found = []
    for t, current in enumerate(torch.from_numpy(currents), start=1):
        neurons.step(current.expand(1, 1, channels), t)
        found.append(neurons.membrane[0, 0, channel].item())
    return np.array(found, np.float32)
