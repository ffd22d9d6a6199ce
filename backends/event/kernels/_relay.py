"""Inputs that pass spikes on, each channel to one output, times a weight: the identity, parts of a
concatenation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload
from numpy.typing import NDArray

from spikesam.backends.event.kernels.compiled import LEAN, PART
from spikesam.backends.event.kernels.events import floats_at, integers_at
from spikesam.backends.network import (
    MEMBRANE_LIMIT,
    NO_POOLING,
    Conv,
    FixedLIF,
    Identity,
    Input,
    Shape,
    SpikingNeuron,
    pair,
)

WHOLE = (
    (1, 1),
    (0, 0),
    (1, 1),
    (1, 1),
)  # stride, padding, pool and kernel of an input that sees one place


class Relay(NamedTuple):
    """The weights (n,) of neighbouring outputs from `output` on, each of which reads one channel,
    from `channel` on.
    """

    weights: NDArray[Any]
    output: int
    channel: int


def relay_of(layer_input: Input, shape: Shape) -> Relay | None:
    """An input of (C, H, W) that is a relay: the identity, or 1×1 weights, of which one diagonal
    alone is not 0.
    """
    dtype = np.int32 if layer_input.fixed else np.float32
    synapse = layer_input.synapse
    if isinstance(synapse, Identity):
        return Relay(np.ones(shape[0], dtype), 0, 0)
    if not isinstance(synapse, Conv):
        return None
    geometry = synapse.stride, synapse.padding, synapse.pool
    sides = *map(pair, geometry), synapse.weight.shape[2:]
    if sides != WHOLE or synapse.windows != NO_POOLING or synapse.current_sum:
        return None
    outputs, channels = diagonal = synapse.weight[:, :, 0, 0].nonzero()
    if not len(outputs) or any((np.diff(places) != 1).any() for places in diagonal):
        return None
    return Relay(
        synapse.weight[outputs, channels, 0, 0].astype(dtype), int(outputs[0]), int(channels[0])
    )


def joined_gains(
    neuron: SpikingNeuron, inputs: Sequence[Input], relays: Sequence[Relay | None]
) -> NDArray[np.float64] | None:
    """The gains (1 or T, C) of several relays to different outputs, which are one input; None of
    other inputs.
    """
    outputs = inputs[0].gain.shape[1]
    gains, taken = (
        np.zeros((max(len(layer_input.gain) for layer_input in inputs), outputs)),
        np.zeros(outputs, np.int64),
    )
    for layer_input, relay in zip(inputs, relays, strict=True):
        if relay is None:
            return None
        relay_outputs = slice(relay.output, relay.output + len(relay.weights))
        taken[relay_outputs] += 1
        gains[:, relay_outputs] = layer_input.gain[:, relay_outputs] / 2**layer_input.shift
    if len(inputs) == 1 or taken.max() > 1 or np.any(neuron.synaptic_leak):
        return None
    largest = (
        max(layer_input.largest_current for layer_input in inputs) * np.abs(gains).max()
        + np.abs(neuron.bias).max()
    )
    limited = (
        isinstance(neuron, FixedLIF) and largest > MEMBRANE_LIMIT
    )  # the current of several inputs is
    return None if limited else gains


def add_relayed(*_: Any) -> None:
    """Set a current (H', W', C') to the weights at an address of channels that fire, or add them if
    `further`.

    `places` are how many there are, and the first channel of the current and of the map.
    """
    raise NotImplementedError  # compiled only


@overload(add_relayed, jit_options=LEAN | PART)
def _add_relayed(
    spikes: Any, address: Any, places: Any, further: Any, sign: Any, current: Any
) -> Any:
    weights_at, number = (
        (integers_at, np.int32) if current.dtype == types.int32 else (floats_at, np.float32)
    )

    def relayed(
        spikes: Any, address: Any, places: Any, further: Any, sign: Any, current: Any
    ) -> None:
        count, output, channel = places
        weights = weights_at(address, (1, 1, 1, count)).reshape(-1)
        flat, fired = current.reshape(-1), spikes.reshape(-1)
        for position in range(
            current.shape[0] * current.shape[1]
        ):  # unsigned, since other indices may be negative
            target = np.uint64(position * current.shape[2] + output)
            source = np.uint64(position * spikes.shape[2] + channel)
            for i in range(np.uint64(count)):
                earlier = flat[target + i] if further else number(0)
                weight = weights[i] if fired[source + i] else number(0)
                flat[target + i] = (
                    number(earlier + weight) if sign > 0 else number(earlier - weight)
                )

    return relayed
