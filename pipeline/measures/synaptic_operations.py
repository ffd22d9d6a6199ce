"""Synaptic operations: how often a spike is added to a neuron, beside the products (MACs) of an ANN
of the same layers.

A spike costs one addition at every synapse that it reaches; how many those are is its fan-out. In a
convolution a spike at the border reaches fewer neurons than one in the middle. A synapse whose
weight is 0 is none, as in NeuroBench. An input without weights, the identity, adds each spike to
one neuron. A spike that is repeated counts as often. Pooling and neurons count nothing.

Attention adds in the order that needs fewer additions in a step: p = kᵀ · v, one for each two
spikes of a head at a token, then a row of p for each spike of q; or s = q · kᵀ, one for each two
spikes of a channel, then s[n, m] for each spike of v at a token m where it is not 0.

A spike counts at the step at which it fires, however long it travels, and for every input that
reads it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import (
    Attention,
    Conv,
    Dense,
    Input,
    Layer,
    LinearSynapse,
    Network,
    Readout,
    Shape,
    Source,
    SpikingNeuron,
    Synapse,
    pair,
)
from spikesam.backends.network.step import arrived
from spikesam.backends.network.synapses.synapse import repeated

Counts = NDArray[np.int64]


Synapses = Input | Readout


def fan_out(synapses: Synapses, shape: Shape, *, dense: bool = False) -> Counts:
    """Synapses that one value of the pooled map reaches: (C, H // y, W // x) int64, of a layer (C,
    H, W) = `shape`.

    Of a convolution it is Σ_{y, x} n[c, y, x] · rows[h, y] · columns[w, x], where n counts the
    outputs whose weight is not 0 at place (y, x) of the kernel, and rows[h, y] is 1 if some place
    of the kernel has its row y on row h, else 0. `dense` counts weights of 0, too, but those that
    only fill a kernel, see :func:`_all_outputs`.
    """
    y, x = pool_of(synapses)
    pooled = shape[0], shape[1] // y, shape[2] // x
    weights, synapse = _weights(synapses), _synapse(synapses)
    if not weights:
        return np.ones(pooled, np.int64)
    (weight,) = weights
    count_all = dense and not passes_on(weight)
    outputs = _all_outputs(weight) if count_all else np.count_nonzero(weight, axis=0)
    kernel_sides = weight.shape[2:] or pooled[1:]  # a matrix sees the whole map
    reached = outputs.reshape(-1, *kernel_sides)
    geometry = zip(
        pooled[1:], kernel_sides, pair(synapse.stride), pair(synapse.padding), strict=True
    )
    rows, columns = (
        covering(side, kernel, stride, (border, border))
        for side, kernel, stride, border in geometry
    )
    return np.einsum("cyx,hy,wx->chw", reached, rows, columns, optimize=True)


@dataclass(frozen=True, eq=False)
class Connection:
    """The spikes of `source`, (C, H, W) = `shape`, through one input of `target`, a layer or the
    readout.
    """

    source: str
    target: str
    synapses: Synapses
    shape: Shape

    @cached_property
    def fan_out(self) -> Counts:
        """See :func:`fan_out`; of spikes that are repeated already."""
        return fan_out(self.synapses, self.seen)

    @property
    def seen(self) -> Shape:
        """(C, H, W) of the spikes, repeated where they are spread."""
        return (
            self.shape if isinstance(self.synapses, Readout) else self.synapses.arriving(self.shape)
        )

    @cached_property
    def dense(self) -> int:
        """Operations of one step at which every neuron of the source fires, weights of 0
        included.
        """
        y, x = pool_of(self.synapses)
        passed = 1 if _maximum(self.synapses) else y * x
        return passed * int(fan_out(self.synapses, self.seen, dense=True).sum())

    def operations(self, spikes: NDArray[np.bool_]) -> tuple[Counts, Counts]:
        """Additions that spikes (T, C, H, W) cause: by step, (T,), and by cell of the pooled map,
        (h, w).
        """
        (y, x), (channels, height, width) = pool_of(self.synapses), self.seen
        spikes = _arranged(spikes, self.synapses)
        reached = self.fan_out
        if _maximum(self.synapses):
            spikes = spikes.reshape(len(spikes), channels, height // y, y, width // x, x).any(
                axis=(3, 5)
            )
            y = x = 1
        else:
            reached = reached.repeat(y, axis=1).repeat(x, axis=2)
        rows, columns = spikes.shape[2:]
        by_step, by_cell = np.zeros(len(spikes), np.int64), np.zeros(rows * columns)
        for step, fired in enumerate(spikes.reshape(len(spikes), -1)):
            neurons = np.flatnonzero(fired)
            added = reached.ravel()[neurons]
            by_step[step] = added.sum()
            by_cell += np.bincount(neurons % by_cell.size, added, by_cell.size)
        by_place = by_cell.astype(np.int64).reshape(rows // y, y, columns // x, x).sum(axis=(1, 3))
        return by_step, by_place

    def caused(self, spikes: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Additions that each spike causes, (T, C, H, W); spikes of which one maximum is passed on
        share its own.
        """
        (y, x), synapse = pool_of(self.synapses), _synapse(self.synapses)
        fired = _arranged(spikes, self.synapses).astype(np.float64)
        if _maximum(self.synapses):
            steps, (channels, height, width) = len(fired), self.seen
            together = fired.reshape(steps, channels, height // y, y, width // x, x).sum(
                axis=(3, 5)
            )
            fired /= repeated(np.maximum(together, 1), (1, y, x))
        fired *= repeated(self.fan_out, (1, y, x))
        return synapse.gathered(fired, self.shape)


def connections(network: Network) -> list[Connection]:
    """All of a network, in order of their targets; one for each source of each input, but for
    attention.
    """
    from_sources = [
        Connection(
            source.layer, layer.name, layer_input, network.shapes[network.place(source.layer)]
        )
        for layer in network.layers
        for layer_input in layer.inputs
        for source in layer_input.sources
        if isinstance(layer_input.synapse, LinearSynapse)
    ]
    return [
        *from_sources,
        Connection(
            network.layers[-1].name, readout_name(network), network.readout, network.shapes[-1]
        ),
    ]


@dataclass(frozen=True, eq=False)
class Attending:
    """Products of the spikes of q, k (of `query_channels`, or as many) and v in one input of
    `target`, (V, H, W).
    """

    target: str
    synapses: Input
    shape: Shape
    query_channels: int = 0

    @property
    def attention(self) -> Attention:
        """The kind of the synapses."""
        assert isinstance(self.synapses.synapse, Attention)
        return self.synapses.synapse

    @property
    def dense(self) -> int:
        """Additions of one step at which every neuron of q, k and v fires."""
        (channels, query_channels, tokens) = self._sizes
        planes, depth = self.attention.planes(self.synapses), channels // self.attention.heads
        pairs = tokens * query_channels * depth * planes * (planes + 1)
        return min(pairs, tokens**2 * planes * (planes * query_channels + channels))

    @property
    def macs(self) -> int:
        """Products of the dense twin: q · kᵀ, and that times v, for every two tokens and each
        channel.
        """
        channels, query_channels, tokens = self._sizes
        return (channels + query_channels) * tokens**2

    @property
    def _sizes(self) -> tuple[int, int, int]:
        """Channels of v, those of q, and tokens."""
        channels, height, width = self.shape
        return channels, self.query_channels or channels, height * width

    def operations(
        self, fired: Mapping[str, NDArray[np.bool_]], sources: Sequence[Source]
    ) -> tuple[Counts, Counts]:
        """Additions by step (T,), when the last spike of each fired, and by token (H, W), of spikes
        by layer.
        """
        timesteps, (channels, height, width) = len(fired[sources[0].layer]), self.shape
        depth, latest = channels // self.attention.heads, min(source.shortest for source in sources)
        synapses = replace(self.synapses, source=tuple(sources))
        by_step, by_place = np.zeros(timesteps, np.int64), np.zeros(height * width, np.int64)
        for t in range(latest, timesteps + latest):
            maps = arrived(synapses, fired, t)
            query, key, value = self.attention.factors(synapses, maps.astype(np.int64))
            pairs = (key.sum(axis=1) * value.sum(axis=1)).sum(axis=0) + query.sum(
                axis=(0, 1)
            ) * depth
            keys_met = query * key.sum(
                axis=2, keepdims=True
            )  # how many keys of its channel each spike of q meets
            meets = query.swapaxes(1, 2) @ key > 0
            summed_by_pair = keys_met.sum(axis=(0, 1)) + (meets * value.sum(axis=1)[:, None]).sum(
                axis=(0, 2)
            )
            counted = min(pairs, summed_by_pair, key=np.sum)
            by_step[t - latest] = counted.sum()
            by_place += counted
        return by_step, by_place.reshape(height, width)


def attentions(network: Network) -> list[Attending]:
    """All of a network, in order of their targets."""
    attending = []
    for layer, layer_input, _ in network.inputs_of(Attention):
        shape = network.shapes[network.place(layer.name)]
        channels = layer_input.arriving(network.shape_read(layer_input))[0]
        query_channels = (channels - shape[0]) // 2
        attending.append(Attending(layer.name, layer_input, shape, query_channels))
    return attending


def products(network: Network) -> dict[str, int]:
    """MACs of one pass of an ANN with these layers, by layer, the readout the last: each value at
    each synapse.

    Zeros around the image are not counted, nor what only fills a kernel, passes values on, or takes
    their maximum. What an input sums or averages becomes one value first. ON and OFF planes of
    Poisson spikes are one image to an ANN.
    """
    macs_by_layer = {layer.name: 0 for layer in network.layers}
    for layer in network.layers:
        for layer_input in layer.inputs:
            source, tensors = layer_input.sources[0].layer, layer_input.synapse.tensors
            weighs = any(not passes_on(weight) for weight in tensors.values())
            if weighs and not _takes_maximum(layer):
                arriving_shape = layer_input.arriving(network.shapes[network.place(source)])
                macs = int(fan_out(layer_input, arriving_shape, dense=True).sum())
                macs_by_layer[layer.name] += macs // (
                    2 if source == "input" and network.encoder == "poisson" else 1
                )
    for attending in attentions(network):
        macs_by_layer[attending.target] += attending.macs
    readout = network.readout.weight
    return macs_by_layer | {readout_name(network): 0 if passes_on(readout) else int(readout.size)}


def readout_name(network: Network) -> str:
    """The name of the readout: "readout", with "_" behind it where a layer has that name."""
    name = "readout"
    while any(layer.name == name for layer in network.layers):
        name += "_"
    return name


def passes_on(weight: NDArray[Any]) -> bool:
    """True of weights that only pass values on: each output takes one of several values, all by the
    same factor.
    """
    taken = weight.reshape(len(weight), -1)
    if taken.shape[1] == 1 or (np.count_nonzero(taken, axis=1) > 1).any():
        return False
    used = weight[weight != 0]
    return used.size > 0 and bool((used == used[0]).all())


def only_repeats(layer: Layer) -> bool:
    """True of a layer without memory: spikes alone decide whether it fires a step later, as in
    relays.
    """
    neuron = layer.neuron
    return (
        isinstance(neuron, SpikingNeuron)
        and neuron.reset == "zero"
        and not np.any(neuron.leak + neuron.synaptic_leak)
    )


def _takes_maximum(layer: Layer) -> bool:
    """True of a layer that fires where any spike arrives, through equal weights: a maximum pooling
    of spikes.
    """
    synapse = layer.inputs[0].synapse
    if not isinstance(synapse, Conv) or not only_repeats(layer):
        return False
    used = synapse.weight[synapse.weight != 0]
    return used.size > 0 and bool((used == used[0]).all())


def _all_outputs(weight: NDArray[Any]) -> Counts:
    """The outputs that see each place of the kernel, whatever their weight: (C, y, x), or (C,) of a
    matrix; without the zeros by which a kernel of groups or with gaps was filled up.

    Channels are in one group if weights lead from one to the other. A gap is a row or column of the
    kernel without any.
    """
    n_used = np.count_nonzero(weight)
    if weight.ndim == 2 or n_used in (0, weight.size):
        return np.full(weight.shape[1:], len(weight))
    taken = weight != 0
    together, n_pairs = taken.any(axis=(2, 3)), -1
    while not together.all() and n_pairs != (n_pairs := int(together.sum())):
        pairs = together.astype(np.float32)
        together = pairs @ pairs.T @ pairs > 0
    rows, columns = taken.any(axis=(0, 1, 3)), taken.any(axis=(0, 1, 2))
    outputs: Counts = np.count_nonzero(together, axis=0)[:, None, None] * rows[:, None] * columns
    return outputs


def pool_of(synapses: Synapses) -> tuple[int, int]:
    """Rows and columns of the pooling in front; the readout has none."""
    return pair(_synapse(synapses).pool)


def weight_bytes(synapses: Synapses) -> int:
    """Bytes of one weight; 0 where there are none."""
    return sum(weight.itemsize for weight in _weights(synapses))


def _synapse(synapses: Synapses) -> Synapse:
    """Those of an input; of a readout the matrix that it is."""
    return synapses.synapse if isinstance(synapses, Input) else Dense(synapses.weight)


def _weights(synapses: Synapses) -> list[NDArray[Any]]:
    return [*_synapse(synapses).tensors.values()]


def _arranged(spikes: NDArray[np.bool_], synapses: Synapses) -> Any:
    """Spikes as synapses see them."""
    return _synapse(synapses).arranged(spikes)


def _maximum(synapses: Synapses) -> bool:
    return _synapse(synapses).pooling == "max"


def covering(
    side: int, kernel: int, stride: int, padding: tuple[int, int], dilation: int = 1
) -> Counts:
    """The places of a kernel that lie on each cell of a side, at some step of the kernel: (side,
    kernel) int64 of 0 and 1. `padding` is that in front and behind.
    """
    in_front, behind = padding
    # where the kernel begins
    first = np.arange(side)[:, None] + in_front - dilation * np.arange(kernel)[None]
    places = (side + in_front + behind - dilation * (kernel - 1) - 1) // stride + 1
    return ((first % stride == 0) & (first >= 0) & (first < places * stride)).astype(np.int64)
