"""The circuit that a network is on a chip of leaky integrate-and-fire neurons: groups of neurons,
and synapses between them.

The chip has fewer parts than a network, so that some are made of others:

* A reset by ρ is an inhibitory synapse of each neuron onto itself, of weight -ρ: the chip itself
  subtracts in front of the leak, a network behind it. Where that is the same, ρ = leak · θ, the
  chip's own reset is used.
* A bias is a source of spikes, one for each different row of the bias, with the bias as weights. It
  fires one step before, so that step 0 has no bias, as in a network.
* A delay of d steps is d - 1 relays, neurons that repeat each spike a step later.
* Layers that read numbers are computed outside; their recorded spikes are played in.
* An edited layer fires what the edit says: a neuron of it forgets all at each step, and fires if
  and only if a played neuron drove it one step before, by more than all other synapses together.
  So its synapses and neurons take energy as they would otherwise.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import Identity, Layer, Network, Source
from spikesam.backends.network.synapses.linear import Weighted
from spikesam.backends.network.windows import NO_POOLING
from spikesam.common.errors import InputError
from spikesam.common.text import shorten
from spikesam.pipeline.chips._synapses import Floats, SourceSynapses, Synapses

BIAS, READOUT, EDITED = "bias", "readout", "{}, as edited"
# The chip cuts membranes off to 1/64 toward zero at every step, as 32-bit integers.
STEP, LARGEST = 64, 1 << 31
FINEST = 20  # weights are multiplied by at most 2 to this
NEVER = 1e30  # a threshold
# SANA-FE 2.2.9 takes 0.8 kB of memory and 3 µs for each, beside 1.7 GB for the chip.
MOST_SYNAPSES = 10_000_000


@dataclass(frozen=True, eq=False)
class Group:
    """Neurons of one kind.

    Parameters
    ----------
    name : of the layer; "bias", "readout", "conv1, 1 step later" of relays, or "conv1, as edited"
        of what drives an edited layer
    size : number of neurons
    played : whether its spikes are given
    threshold, leak : of each neuron, (size,)
    reset : "soft" subtracts the threshold before the leak, "hard" sets to 0, "none"
    """

    name: str
    size: int
    played: bool = False
    threshold: Floats = field(default_factory=lambda: np.zeros(0))
    leak: Floats = field(default_factory=lambda: np.zeros(0))
    reset: str = "none"


@dataclass(frozen=True, eq=False)
class Circuit:
    """A network as groups and synapses; `bias_spikes` (T, sources) are those of the group
    "bias".
    """

    groups: dict[str, Group]
    synapses: tuple[Synapses, ...]
    bias_spikes: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Plan:
    """The groups of a network, and what connects them, of which most is not written out yet."""

    groups: dict[str, Group]
    connections: tuple[Synapses | SourceSynapses, ...]
    bias_spikes: NDArray[np.bool_]

    def count(self, group: Group) -> NDArray[np.int64]:
        """The number of synapses that reach each neuron of a group."""
        counts = np.zeros(group.size, np.int64)
        for part in self.connections:
            if part.target == group.name:
                counts += part.count(group.size)
        return counts

    def reach(self, group: Group) -> Floats:
        """Σ|weights| of the synapses of each neuron of a group."""
        reached = np.zeros(group.size)
        for part in self.connections:
            if part.target == group.name:
                reached += part.reach(group.size)
        return reached

    def scale(self, group: Group, steps: int) -> float:
        """The largest power of two by which weights and threshold of a group can be multiplied so
        that no membrane leaves the chip's integers; an InputError if none can.
        """
        with np.errstate(divide="ignore"):
            remembered = np.minimum(steps, 1 / (1 - group.leak))
        largest = float((self.reach(group) * remembered).max(initial=1e-6))
        if largest * STEP >= LARGEST:
            raise InputError(
                f"layer {group.name!r}: its membranes can reach {largest:.3g}, expected less than "
                f"{LARGEST // STEP:,}, the largest of the model of the chip"
            )
        return 2.0 ** min(FINEST, int(np.floor(np.log2(LARGEST / STEP / largest))))


def plan_of(network: Network) -> Plan:
    """The plan of a network, also of one with parts that the chip has not."""
    driven = {network.layers[place].name for place, _ in network.driven}
    groups: dict[str, Group] = {}
    parts: list[Synapses | SourceSynapses] = []
    bias_rows: list[NDArray[np.bool_]] = []
    for name, shape in zip(network.names, network.shapes, strict=True):
        if name in driven or (name == "input" and network.spiking_input):
            groups[name] = Group(name, int(np.prod(shape)), played=True)
    for layer in network.layers:
        if layer.name not in driven:
            _add_layer(network, layer, groups, parts, bias_rows)
    _add_readout(network, groups, parts)
    if bias_rows:
        groups[BIAS] = Group(BIAS, len(bias_rows), played=True)
    spikes = np.array(bias_rows, np.bool_).reshape(len(bias_rows), network.timesteps).T
    return Plan(groups, tuple(parts), spikes)


def circuit_of(
    network: Network, most: int = MOST_SYNAPSES, edited: Collection[str] = ()
) -> Circuit:
    """The circuit of a network in float32, of at most so many synapses, some layers of which fire
    what an edit says.

    Raises
    ------
    InputError : if a part of the network has none on the chip; the message names it
    """
    refuse_precision(network)
    refuse_missing_parts(network)
    plan = plan_of(network)
    for name in edited:
        if not plan.groups[name].played:
            plan = _edited(plan, name)
    refuse_too_many(plan, most)
    scale = {
        name: 1.0 if group.played else plan.scale(group, network.timesteps)
        for name, group in plan.groups.items()
    }
    groups = {
        name: replace(group, threshold=group.threshold * scale[name])
        for name, group in plan.groups.items()
    }
    made = [part.made() for part in plan.connections]
    parts = tuple(replace(part, weights=part.weights * scale[part.target]) for part in made)
    return Circuit(groups, parts, plan.bias_spikes)


def _edited(plan: Plan, name: str) -> Plan:
    """A plan in which a layer fires what a group of its own says one step before."""
    layer = plan.groups[name]
    reached = float(plan.reach(layer).max(initial=1.0))
    fires = replace(
        layer,
        threshold=np.full(layer.size, 2 * reached),
        leak=np.zeros(layer.size),
        reset="hard",
    )
    player = Group(EDITED.format(name), layer.size, played=True)
    everyone, weights = np.arange(layer.size), np.full(layer.size, 4 * reached)
    part = Synapses(player.name, name, "sparse", everyone, everyone, weights)
    groups = {**plan.groups, name: fires, player.name: player}
    return replace(plan, groups=groups, connections=(*plan.connections, part))


def refuse_precision(network: Network) -> None:
    """Refuse a network in fixed point."""
    if network.precision != "float32":
        raise InputError(
            "a model of a chip plays networks in float32, this one is in fixed point, where gain × "
            "current is rounded and a chip has no such step"
        )


def refuse_missing_parts(network: Network) -> None:
    """Refuse a network with a part that the chip has none for."""
    driven = {network.layers[place].name for place, _ in network.driven}
    for layer in network.layers:
        for part in parts_without(layer) if layer.name not in driven else ():
            raise InputError(
                f"layer {layer.name!r}: has {part}, which the model of the chip has not"
            )


def refuse_too_many(plan: Plan, most: int = MOST_SYNAPSES) -> None:
    """Refuse more synapses than can be simulated."""
    counts = {name: int(plan.count(group).sum()) for name, group in plan.groups.items()}
    if (total := sum(counts.values())) > most:
        largest = sorted(counts, key=lambda name: -counts[name])[:3]
        raise InputError(
            f"network: has {total:,} synapses on the chip (most drive {shorten(largest)}), "
            f"expected at most {most:,}, which SANA-FE holds in memory"
        )


def parts_without(layer: Layer) -> Iterator[str]:
    """Parts of a layer that the chip has none for."""
    neuron = layer.spiking_neuron
    for layer_input in layer.inputs:
        synapse = layer_input.synapse
        if not isinstance(synapse, (Weighted, Identity)):
            yield "products of spikes (attention)"
        if (layer_input.gain != layer_input.gain[:1]).any():
            yield "gains that change from step to step (BNTT)"
        if synapse.pooling == "max" or synapse.windows != NO_POOLING:
            yield "maximum pooling"
        if synapse.current_sum:
            yield "sums of currents over all places"
        if any(isinstance(source.delay, tuple) for source in layer_input.sources):
            yield "delays that differ by channel"
    if np.any(np.asarray(neuron.synaptic_leak) > 0):
        yield "a current that outlasts a step (synaptic_leak)"
    if neuron.min_v_mem is not None:
        yield "a lowest membrane (min_v_mem)"


def _add_layer(
    network: Network,
    layer: Layer,
    groups: dict[str, Group],
    parts: list[Synapses | SourceSynapses],
    bias_rows: list[NDArray[np.bool_]],
) -> None:
    neuron, shape = layer.spiking_neuron, network.shapes[network.place(layer.name)]
    size = int(np.prod(shape))

    def of_neurons(constant: Any) -> Floats:
        places = size // shape[0]
        return np.broadcast_to(np.asarray(constant, np.float64), (shape[0],)).repeat(places)

    leak = of_neurons(neuron.leak)
    subtracted = of_neurons(0 if neuron.reset == "zero" else neuron.subtracted)
    threshold = of_neurons(neuron.fires_above)
    soft = np.array_equal(np.float32(subtracted), np.float32(leak * threshold))
    reset = "hard" if neuron.reset == "zero" else "soft" if soft else "none"
    groups[layer.name] = Group(layer.name, size, False, threshold, leak, reset)
    for layer_input in layer.inputs:
        for source in layer_input.sources:
            origin = _relayed(network, source, groups, parts)
            source_shape = network.shapes[network.place(source.layer)]
            parts.append(SourceSynapses(origin, layer.name, source, layer_input, source_shape))
    everyone = np.arange(size)
    if reset == "none" and subtracted.any():
        parts.append(Synapses(layer.name, layer.name, "sparse", everyone, everyone, -subtracted))
    steps = np.arange(network.timesteps) % len(neuron.bias)
    for row in np.unique(neuron.bias, axis=0):
        if row.any():
            fires = (neuron.bias[steps] == row).all(axis=1)
            bias = of_neurons(row)
            reached = np.flatnonzero(bias)
            origins = np.full(len(reached), len(bias_rows))
            parts.append(Synapses(BIAS, layer.name, "sparse", origins, reached, bias[reached]))
            bias_rows.append(fires)


def _relayed(
    network: Network,
    source: Source,
    groups: dict[str, Group],
    parts: list[Synapses | SourceSynapses],
) -> str:
    """The name of the group that fires the spikes of a source one step before they act."""
    size = int(np.prod(network.shapes[network.place(source.layer)]))
    previous = source.layer
    for later in range(1, source.shortest):
        name = f"{source.layer}, {later} step{'s' * (later > 1)} later"
        if name not in groups:
            groups[name] = Group(name, size, False, np.full(size, 0.5), np.zeros(size), "hard")
            everyone = np.arange(size)
            parts.append(Synapses(previous, name, "sparse", everyone, everyone, np.ones(size)))
        previous = name
    return previous


def _add_readout(
    network: Network, groups: dict[str, Group], parts: list[Synapses | SourceSynapses]
) -> None:
    """The readout as neurons that never fire; its bias is left to whoever reads the membranes."""
    weight = network.readout.weight.astype(np.float64)
    classes = len(weight)
    leak = np.full(classes, network.readout.leak)
    groups[READOUT] = Group(READOUT, classes, False, np.full(classes, NEVER), leak)
    targets, origins = np.nonzero(weight)
    last = network.layers[-1].name
    parts.append(Synapses(last, READOUT, "dense", origins, targets, weight[targets, origins]))
