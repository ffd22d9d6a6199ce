"""The cost of one sample of a recording, by layer, step and pixel; and the network that fired it,
if it is at hand.

    operations   O_l[t] = Σ over inputs of l, their sources j, and spikes of j at step t:  fan-out
    updates      U_l[t] = C·H·W
    bytes        B_l[t] = (O_l[t] + M_l[t]) · (b_w + 8) + U_l[t] · 8 · n_l
    energy       E_l[t] = e_op O_l[t] + e_mac M_l[t] + e_up (U_l[t] - S_l[t]) + e_fire S_l[t]
                          + e_byte B_l[t]

The fan-out is that at the spike's place; every neuron is updated at every step. S are spikes. M are
the products of a graded input, which is multiplied: once of an image that stays a current, every
step of a changing one. A synaptic operation reads a weight of b_w bytes (4 of float32, 1 of int8,
none of the identity), and reads and writes a sum of 4 bytes; so does a product. An update reads and
writes n state variables of 4 bytes: the membrane, and the current where it outlasts a step.

Steps are those of the model: a network that was imported from one without delay between layers
takes more steps, in which its layers stand one behind the other, and are silent otherwise.

Beside it, as papers on spiking transformers estimate it: every synapse at the mean rate of what it
reads, borders and weights of 0 like others, and attention as its dense twin has it, at the mean
rate of q, k and v.

    rated        A_l[t] = Σ over inputs of l, their sources j:  rate_j[t] · O_l[t] if all of j fire

In space, an operation or a product lies where the spike or number came from, and an update where
its neuron is. What dense layers and the readout spend has no place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import Input, Layer, Network, Readout, Shape, Source
from spikesam.backends.network.step import Neurons, arrived, current_of
from spikesam.common.errors import InputError
from spikesam.common.text import shorten
from spikesam.pipeline.cost.prices import Prices
from spikesam.pipeline.measures.maps import overlaps
from spikesam.pipeline.measures.synaptic_operations import (
    Counts,
    attentions,
    connections,
    fan_out,
    only_repeats,
    products,
    readout_name,
    weight_bytes,
)
from spikesam.pipeline.networks.recorded import BESIDE, fired_by, unlike, unlike_layer
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.raster.schema import LayerSpec

UNSAID, AWAY = "the recording does not say which network fired", "the network is not at hand"


def network_of(raster: RasterReader, network_source: Any = None) -> tuple[Network | None, str]:
    """The network of a raster, in the raster's precision, or None and why it is not known.

    A raster that does not say what fired it takes any network whose layers have its names and
    shapes. It may hold others beside them, and lack those that only repeat spikes, which the model
    has not that the network was imported from.
    """
    if network_source is None and not raster.header.network_sha256:
        return None, UNSAID
    if network_source is None and (
        raster.path is None or not raster.path.with_name(BESIDE).is_file()
    ):
        return None, AWAY
    network = fired_by(raster, network_source)
    of_model = _recorded_from_model(raster, network)
    repeated = {layer.name for layer in network.layers if of_model and only_repeats(layer)}
    reason = unlike(raster, network)
    holds_all = {*network.raster_names} - repeated <= {*raster}
    if not reason or (holds_all and not unlike_layer(raster, network)):
        return network, ""
    if network_source is None:
        return None, f"the recording {reason}"
    raise InputError(
        f"{raster.file_name}: {reason}; operations are counted where all layers of the network are "
        "recorded"
    )


def _recorded_from_model(raster: RasterReader, network: Network) -> bool:
    """True of a recording of the model that the network was imported from, which has no delay
    between layers.
    """
    return raster.header.layer_delay == 0 and network.window is not None


def sources_in_model(network: Network, target: str, layer_input: Input) -> tuple[Source, ...]:
    """The sources of an input of a layer with their delays in the steps of the model, which has
    none between layers.
    """
    starts = network.starts
    return tuple(
        source.later(starts[source.layer] - starts[target]) for source in layer_input.sources
    )


def repeated_spikes(
    network: Network, layer: Layer, spikes: Mapping[str, NDArray[np.bool_]]
) -> NDArray[np.bool_]:
    """The spikes (T, C, H, W) of a layer without memory, in the model's steps, of those of all
    layers that it reads.
    """
    inputs = [
        replace(layer_input, source=sources_in_model(network, layer.name, layer_input))
        for layer_input in layer.inputs
    ]
    shape = network.shapes[network.place(layer.name)]
    neurons = Neurons(layer.spiking_neuron, inputs, shape, np.float64)
    repeated = np.zeros((len(next(iter(spikes.values()))), *shape), np.bool_)
    for t, fired in enumerate(repeated):
        # Step 0 has the last row of constants, which each of the model's steps has.
        neurons.step(
            0,
            [current_of(layer_input, arrived(layer_input, spikes, t)) for layer_input in inputs],
            np.zeros(shape, np.bool_),
        )
        fired[:] = neurons.fires
    return repeated


PICO = 1e-12
WORD = 4  # bytes of a state variable, or of a sum


@dataclass(frozen=True, eq=False)
class SampleCost:
    """The cost of one sample, by the name of a layer or of the readout: (T,) of each."""

    spikes: dict[str, Counts]
    operations: dict[str, Counts]
    macs: dict[str, Counts]
    rated: dict[str, Floats]
    bytes: Mapping[str, Counts | Floats]
    joules: dict[str, Floats]
    map: Floats | None  # (H, W) in J on the input's grid; None where that has no extent


class Ledger:
    """Counts the samples of a raster with all layers of the network that fired it, but for some
    that only repeat.

    By layer, or readout: `updates` per step, `dense` operations if all neurons fire at all
    steps, `ann_macs` of a pass.
    """

    def __init__(self, raster: RasterReader, network: Network, prices: Prices) -> None:
        self.raster, self.network, self.prices = raster, network, prices
        self.shapes = {
            layer.name: network.shapes[network.place(layer.name)] for layer in network.layers
        }
        self.updates = {name: int(np.prod(shape)) for name, shape in self.shapes.items()}
        self.readout = readout_name(network)
        self.updates[self.readout] = network.classes
        self.ann_macs = products(network)
        self._states = {
            layer.name: 1 + bool(np.any(layer.spiking_neuron.synaptic_leak))
            for layer in network.layers
        }
        self._states[self.readout] = 1
        self.names = [*network.raster_names, self.readout]
        self.without_spikes = [self.readout]
        self.steps = raster.header.window or raster.timesteps
        # A recording of a model has no window; all its steps are the model's.
        self._in_steps_of_model = raster.header.window is not None or _recorded_from_model(
            raster, network
        )
        ways = connections(network)
        self._ways = [way for way in ways if way.source in network.raster_names]
        self.dense = dict.fromkeys(self.updates, 0)
        for way in self._ways:
            self.dense[way.target] += way.dense
        self._attentions = attentions(network)
        for attending in self._attentions:
            self.dense[attending.target] += attending.dense
        self.dense = {name: operations * self.steps for name, operations in self.dense.items()}
        self._graded = [way for way in ways if way.source not in network.raster_names]
        notes = [
            "the input's current is multiplied, which has no price and is not among the joules"
        ]
        notes = notes if self._graded and prices.mac is None else []
        if others := [name for name in raster if name not in network.raster_names]:
            notes.append(f"not of the network, and left out: {shorten(others)}")
        if network.window is not None:
            added = network.timesteps - self.steps
            notes.append(
                f"counted are the model's {self.steps} steps; the {added} added for delays cost "
                "nothing"
            )
            notes.append(
                "linear operations of the model in a row count as the one synapse that they became"
            )
        if self._attentions:
            notes.append(
                "attention counts the order that needs fewer additions in a step: q · kᵀ first, or "
                "kᵀ · v"
            )
        self.note = "; ".join(notes)

    def sample(self, number: int) -> SampleCost:
        """Count one sample."""
        steps, prices, fired = self.steps, self.prices, self._fired(number)
        names = list(self.updates)
        operations, macs, moved = (
            {name: np.zeros(steps, np.int64) for name in names} for _ in range(3)
        )
        rates = {name: spikes.mean(axis=(1, 2, 3)) for name, spikes in fired.items()}
        rated = {name: np.zeros(steps) for name in names}
        size = self.network.input_shape[1:]
        heat = None if size == (1, 1) else np.zeros(size)
        joules = {
            name: np.full(steps, self._update_cost(name) * self.updates[name]) for name in names
        }

        def count(way: Any, by_step: Counts, by_place: Counts, rate: Floats) -> None:
            operations[way.target] += by_step
            rated[way.target] += rate
            moved[way.target] += by_step * _bytes(way.synapses)
            cost = prices.operation + prices.byte * _bytes(way.synapses)
            joules[way.target] += cost * by_step
            _add(heat, cost * by_place, way.shape)

        for source, spikes in fired.items():
            for way in (way for way in self._ways if way.source == source):
                count(way, *way.operations(spikes), way.dense * rates[source])
            if source in self.shapes:
                firing_price = prices.firing - prices.update
                joules[source] += firing_price * spikes.sum(axis=(1, 2, 3))
                spent = self._update_cost(source) * steps + firing_price * spikes.sum(axis=0)
                _add(heat, spent.sum(axis=0), self.shapes[source])
        for attending in self._attentions:
            sources = attending.synapses.sources
            if self._in_steps_of_model:
                sources = sources_in_model(self.network, attending.target, attending.synapses)
            rate = attending.macs * np.mean([rates[source.layer] for source in sources], axis=0)
            count(attending, *attending.operations(fired, sources), rate)
        for name in names:
            moved[name] += 2 * WORD * self._states[name] * self.updates[name]
        for way in self._graded:
            driven_steps = (
                slice(0, 1) if self.network.encoder == "constant-current" else slice(None)
            )
            by_place = fan_out(way.synapses, way.shape, dense=True).sum(axis=0)
            cost = (prices.mac or 0) + prices.byte * _bytes(way.synapses)
            macs[way.target][driven_steps] += by_place.sum()
            moved[way.target][driven_steps] += by_place.sum() * _bytes(way.synapses)
            joules[way.target][driven_steps] += cost * by_place.sum()
            _add(heat, cost * by_place * (1 if driven_steps.stop else steps), way.shape)
        in_joules = {name: PICO * spent for name, spent in joules.items()}
        counts = {name: spikes.sum(axis=(1, 2, 3)) for name, spikes in fired.items()}
        return SampleCost(
            counts, operations, macs, rated, moved, in_joules, None if heat is None else PICO * heat
        )

    def of_neurons(self, number: int, layer: LayerSpec) -> Floats:
        """J of each neuron's updates and spikes at all steps of the raster, (T, C, H, W), without
        attention.
        """
        spikes, prices = self.raster[layer.name][number], self.prices
        joules = np.zeros(spikes.shape)
        if layer.name in self.shapes:
            joules[self.raster.header.window_of(layer)] = self._update_cost(layer.name)
            joules += (prices.firing - prices.update) * spikes
        for way in (way for way in self._ways if way.source == layer.name):
            joules += (prices.operation + prices.byte * _bytes(way.synapses)) * way.caused(spikes)
        return PICO * joules

    def _fired(self, number: int) -> dict[str, NDArray[np.bool_]]:
        """(T, C, H, W) of the input and all layers of a sample; of layers that are not recorded,
        what they repeat.
        """
        fired = {
            layer.name: self.raster[layer.name][number][self.raster.header.window_of(layer)]
            for layer in self.raster.layers
            if layer.name in self.network.raster_names
        }
        for layer in self.network.layers:
            if layer.name not in fired:
                fired[layer.name] = repeated_spikes(self.network, layer, fired)
        return fired

    def _update_cost(self, name: str) -> float:
        """PJ of a neuron's step without a spike."""
        return self.prices.update + self.prices.byte * 2 * WORD * self._states[name]

    def ann_joules(self, name: str) -> float:
        """J of the products of an ANN, each with a weight and a value read; NaN where products have
        no price.
        """
        if self.prices.mac is None:
            return float("nan")
        return PICO * self.ann_macs[name] * (self.prices.mac + self.prices.byte * 2 * WORD)


def _bytes(synapses: Input | Readout) -> int:
    """Bytes that move for one operation: a weight, and a sum that is read and written."""
    return weight_bytes(synapses) + 2 * WORD


def _add(heat: Floats | None, spent: NDArray[Any], shape: Shape) -> None:
    """Add what lies at the places of a layer with an extent, of this shape, to the map."""
    if heat is not None and shape[1:] != (1, 1):
        heat += spread_evenly(spent, (heat.shape[0], heat.shape[1]))


Floats = NDArray[np.float64]


def spread_evenly(amounts: NDArray[Any], size: tuple[int, int]) -> Floats:
    """Spread the amount of each cell (h, w) evenly over the part of a grid (H, W) that it covers;
    the sum stays.
    """
    rows, columns = (overlaps(old, new) for old, new in zip(amounts.shape, size, strict=True))
    return rows @ amounts @ columns.T
