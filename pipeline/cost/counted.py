"""The cost of one sample of a recording whose operations were counted while its model ran.

    energy   of a module    E_m[t] = e_op A_m[t] + e_mac M_m[t]
             of a layer     E_l[t] = e_up (U_l[t] - S_l[t]) + e_fire S_l[t]

A are additions, M multiplications, U updates, S spikes.

Modules and layers have rows of their own. Without the network it is not known how many states a
neuron has, nor where an operation lies: bytes, maps and operations at mean rates are not known,
and no joules at prices of bytes.
"""

from __future__ import annotations

import numpy as np

from spikesam.pipeline.cost.ledger import PICO, Floats, SampleCost
from spikesam.pipeline.cost.prices import Prices
from spikesam.recordings.counted_operations import Operations
from spikesam.recordings.raster.reader import RasterReader

COUNTED = "operations were counted while the model ran; bytes and mean rates need the network"


class CountedLedger:
    """Counts as :class:`.Ledger` does, by module and layer, of what was counted at a recording."""

    def __init__(self, raster: RasterReader, operations: Operations, prices: Prices) -> None:
        self.raster, self.prices, self._operations = raster, prices, operations
        self.steps = raster.timesteps
        self.modules = {module.name: module for module in operations.modules}
        self.names: list[str] = []
        for layer in raster.layers:
            self.names += [name for name, of in self.modules.items() if of.layer == layer.name]
            self.names.append(layer.name)
        self.names += [name for name, module in self.modules.items() if not module.layer]
        neurons = {layer.name: layer.neurons for layer in raster.layers if layer.kind != "input"}
        rows = self.modules.keys() | neurons.keys()
        self.updates = {name: neurons.get(name, 0) for name in self.names if name in rows}
        zeros = dict.fromkeys(self.updates, 0)
        self.dense = zeros | {name: module.dense for name, module in self.modules.items()}
        self.ann_macs = zeros | {name: module.macs for name, module in self.modules.items()}
        self.without_spikes = [*self.modules]
        unpriced = "; multiplications have no price and are not among the joules"
        self.note = COUNTED + unpriced * (prices.mac is None)

    def sample(self, number: int) -> SampleCost:
        """Count one sample."""
        prices, by_module = self.prices, self._operations.sample(number)
        zeros = {name: np.zeros(self.steps, np.int64) for name in self.names}
        operations, macs, spikes = dict(zeros), dict(zeros), dict(zeros)
        joules: dict[str, Floats] = {name: np.zeros(self.steps) for name in self.names}
        unknown: dict[str, Floats] = {name: np.full(self.steps, np.nan) for name in self.names}
        for name, (additions, multiplications) in zip(self.modules, by_module, strict=True):
            operations[name], macs[name] = additions, multiplications
            multiplied = multiplications * (prices.mac or 0.0)
            joules[name] = np.asarray(
                PICO * (prices.operation * additions + multiplied), np.float64
            )
        for layer in self.raster.layers:
            spikes[layer.name] = self.raster.counts(layer)[number].astype(np.int64)
            if layer.name in self.updates:
                fired = (prices.firing - prices.update) * spikes[layer.name]
                joules[layer.name] = np.asarray(
                    PICO * (prices.update * layer.neurons + fired), np.float64
                )
        if prices.byte:
            joules = unknown
        return SampleCost(spikes, operations, macs, unknown, unknown, joules, None)

    def ann_joules(self, name: str) -> float:
        """J of the products of an ANN; NaN where products or bytes have no known price."""
        if self.prices.mac is None or self.prices.byte:
            return float("nan")
        return PICO * self.ann_macs[name] * self.prices.mac
