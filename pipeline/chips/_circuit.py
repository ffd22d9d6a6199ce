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
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import Conv, Identity, Input, Layer, Network, Shape, Source, pair
from spikesam.backends.network.synapses.linear import Weighted
from spikesam.backends.network.windows import NO_POOLING
from spikesam.common.errors import InputError
from spikesam.common.text import shorten

BIAS, READOUT = "bias", "readout"
# The chip cuts membranes off to 1/64 toward zero at every step, as 32-bit integers.
STEP, LARGEST = 64, 1 << 31
FINEST = 20  # weights are multiplied by at most 2 to this
NEVER = 1e30  # a threshold

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Group:
    """Neurons of one kind.

    Parameters
    ----------
    name : of the layer; "bias", "readout", or "conv1, 1 step later" of relays
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
class Synapses:
    """Synapses between two groups, `source` and `target`; each of `origins`, `targets` and
    `weights` has an entry a synapse. `kind` is "conv", "dense" or "sparse".
    """

    source: str
    target: str
    kind: str
    origins: NDArray[np.int64]
    targets: NDArray[np.int64]
    weights: Floats


@dataclass(frozen=True, eq=False)
class Circuit:
    """A network as groups and synapses; `bias_spikes` (T, sources) are those of the group
    "bias".
    """

    groups: dict[str, Group]
    synapses: tuple[Synapses, ...]
    bias_spikes: NDArray[np.bool_]

    @property
    def size(self) -> int:
        """Number of synapses."""
        return sum(len(part.weights) for part in self.synapses)


def circuit_of(network: Network) -> Circuit:
    """The circuit of a network in float32.

    Raises
    ------
    InputError : if a part of the network has none on the chip; the message names it
    """
    if network.precision != "float32":
        raise InputError(
            "a model of a chip plays networks in float32, this one is in fixed point, where gain × "
            "current is rounded and a chip has no such step"
        )
    driven = {network.layers[place].name for place, _ in network.driven}
    for layer in network.layers:
        if layer.name not in driven:
            _refuse(layer)
    groups: dict[str, Group] = {}
    parts: list[Synapses] = []
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
    return _scaled(Circuit(groups, tuple(parts), spikes), network.timesteps)


def _refuse(layer: Layer) -> None:
    """Refuse what the chip has no part for."""
    neuron = layer.spiking_neuron
    for layer_input in layer.inputs:
        synapse = layer_input.synapse
        if not isinstance(synapse, (Weighted, Identity)):
            raise _unfit(layer, "products of spikes (attention)")
        if (layer_input.gain != layer_input.gain[:1]).any():
            raise _unfit(layer, "gains that change from step to step (BNTT)")
        if isinstance(synapse, Weighted) and (
            synapse.pooling == "max" or synapse.windows != NO_POOLING
        ):
            raise _unfit(layer, "maximum pooling")
        if synapse.current_sum:
            raise _unfit(layer, "sums of currents over all places")
        if any(isinstance(source.delay, tuple) for source in layer_input.sources):
            raise _unfit(layer, "delays that differ by channel")
    if np.any(np.asarray(neuron.synaptic_leak) > 0):
        raise _unfit(layer, "a current that outlasts a step (synaptic_leak)")
    if neuron.min_v_mem is not None:
        raise _unfit(layer, "a lowest membrane (min_v_mem)")


def _unfit(layer: Layer, part: str) -> InputError:
    return InputError(f"layer {layer.name!r}: has {part}, which the model of the chip has not")


def _add_layer(
    network: Network,
    layer: Layer,
    groups: dict[str, Group],
    parts: list[Synapses],
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
            parts.append(_synapses(origin, layer.name, source, layer_input, source_shape))
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
    network: Network, source: Source, groups: dict[str, Group], parts: list[Synapses]
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


def _synapses(
    origin: str, target: str, source: Source, layer_input: Input, shape: Shape
) -> Synapses:
    """The synapses of one source of an input, of a layer (C, H, W) = `shape`."""
    triples = list(_triples(layer_input, shape))
    origins, targets, weights, channels = (
        np.concatenate([triple[part] for triple in triples]) for part in range(4)
    )
    weights = source.sign * layer_input.gain[0][channels] * weights
    kind = "sparse"
    if isinstance(layer_input.synapse, Weighted):
        kind = "conv" if isinstance(layer_input.synapse, Conv) else "dense"
    kept = weights != 0
    return Synapses(origin, target, kind, origins[kept], targets[kept], weights[kept])


def _triples(layer_input: Input, shape: Shape) -> Iterator[tuple[NDArray[Any], ...]]:
    """Origins, targets, weights and channels of targets of all synapses."""
    synapse, size = layer_input.synapse, int(np.prod(shape))
    # x of the numbers of the neurons, from 1; 0 where zeros are read.
    numbers = synapse.arranged(np.arange(1, size + 1).reshape(shape))
    if not isinstance(synapse, Weighted):
        origins = numbers.ravel() - 1
        targets = np.flatnonzero(origins >= 0)
        channels = targets // (numbers.shape[1] * numbers.shape[2])
        yield origins[targets], targets, np.ones(len(targets)), channels
        return
    (y, x), (down, right), (top, left) = (
        pair(getattr(synapse, name)) for name in ("pool", "stride", "padding")
    )
    channels_in, pooled_rows, pooled_columns = synapse.pooled_shape(numbers.shape)
    kernel = synapse.kernel(synapse.averaged_weight, (channels_in, pooled_rows, pooled_columns))
    channels_out, _, kernel_rows, kernel_columns = kernel.shape
    rows = (pooled_rows + 2 * top - kernel_rows) // down + 1
    columns = (pooled_columns + 2 * left - kernel_columns) // right + 1
    all_targets = np.arange(channels_out * rows * columns).reshape(channels_out, 1, rows, columns)
    channels_of_targets = np.arange(channels_out).reshape(-1, 1, 1, 1)
    for row in range(kernel_rows):
        read_rows = np.arange(rows) * down + row - top
        inside_rows = np.flatnonzero((read_rows >= 0) & (read_rows < pooled_rows))
        for column in range(kernel_columns):
            read_columns = np.arange(columns) * right + column - left
            inside_columns = np.flatnonzero((read_columns >= 0) & (read_columns < pooled_columns))
            weights = kernel[:, :, row, column][:, :, None, None]
            of_targets = all_targets[:, :, inside_rows][:, :, :, inside_columns]
            for place in range(y * x):
                at_rows = read_rows[inside_rows] * y + place // x
                at_columns = read_columns[inside_columns] * x + place % x
                origins = numbers[:, at_rows][:, :, at_columns] - 1
                present = (origins >= 0) & (weights != 0)
                sides = np.broadcast_shapes(present.shape, of_targets.shape)
                present = np.broadcast_to(present, sides)
                yield tuple(
                    np.broadcast_to(values, sides)[present]
                    for values in (origins, of_targets, weights, channels_of_targets)
                )


def _add_readout(network: Network, groups: dict[str, Group], parts: list[Synapses]) -> None:
    """The readout as neurons that never fire; its bias is left to whoever reads the membranes."""
    weight = network.readout.weight.astype(np.float64)
    classes = len(weight)
    leak = np.full(classes, network.readout.leak)
    groups[READOUT] = Group(READOUT, classes, False, np.full(classes, NEVER), leak)
    targets, origins = np.nonzero(weight)
    last = network.layers[-1].name
    parts.append(Synapses(last, READOUT, "dense", origins, targets, weight[targets, origins]))


def _scaled(circuit: Circuit, steps: int) -> Circuit:
    """The circuit with weights and thresholds times a power of two for each group, the largest at
    which no membrane can leave the chip's integers.
    """
    scale = {}
    for group in circuit.groups.values():
        reached = np.zeros(group.size)
        for part in circuit.synapses:
            if part.target == group.name:
                reached += np.bincount(part.targets, np.abs(part.weights), group.size)
        if group.played:
            continue
        with np.errstate(divide="ignore"):
            remembered = np.minimum(steps, 1 / (1 - group.leak))
        largest = float((reached * remembered).max(initial=1e-6))
        if largest * STEP >= LARGEST:
            raise InputError(
                f"layer {group.name!r}: its membranes can reach {largest:.3g}, expected less than "
                f"{LARGEST // STEP:,}, the largest of the model of the chip"
            )
        scale[group.name] = 2.0 ** min(FINEST, int(np.floor(np.log2(LARGEST / STEP / largest))))
    groups = {
        name: group
        if group.played
        else Group(name, group.size, False, group.threshold * scale[name], group.leak, group.reset)
        for name, group in circuit.groups.items()
    }
    parts = tuple(
        Synapses(
            part.source,
            part.target,
            part.kind,
            part.origins,
            part.targets,
            part.weights * scale[part.target],
        )
        for part in circuit.synapses
    )
    return Circuit(groups, parts, circuit.bias_spikes)


def refuse_too_large(circuit: Circuit, most: int) -> None:
    """Refuse more synapses than can be simulated."""
    if circuit.size > most:
        largest = sorted(circuit.synapses, key=lambda part: -len(part.weights))[:3]
        names = shorten([f"{part.source} → {part.target}" for part in largest])
        raise InputError(
            f"network: has {circuit.size:,} synapses on the chip (most at {names}), expected at "
            f"most {most:,}, which SANA-FE holds in memory"
        )
