"""Input that is real numbers: the currents that it causes, computed from int8 maps before a sample
is simulated.

    float32       a[t] = W ⊛ pool(x_q[t-d]) · ρ/127     t ≥ d, pooling averages
    fixed point   a[t] = W ⊛ pool(x_q[t-d])             t ≥ d, pooling sums of n; the gain holds
                                                        ρ/127 and 1/n

a is that of each input that reads them, mostly of layer 1 alone, and d its delay; before step d it
is 0. x_q[t] is a map in int8: of a constant current the same image at every step, of a changing
current another map at each. A maximum pooling of currents follows where the layer has one.

127 stands for the number `input_range` of the network, and larger numbers for no more; ρ is half of
it. So a pixel of 2, for which a Poisson plane fires at every step, is 1 to the weights, whatever
the range. Both precisions have the rounded numbers. Every backend calls the one function below, so
that all are driven by the same currents, in float32, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.base import BackendError, InputBatch, packed_spikes, unpacked
from spikesam.backends.network import DEFAULT_RANGE, PIXEL_LIMIT, Network


def input_currents(network: Network, batch: InputBatch) -> NDArray[np.int32] | NDArray[np.float32]:
    """(B, S, N) of a batch, sample by sample: :func:`currents_of` each of `network.driven`, one
    behind the other.
    """
    currents = [currents_of(network, key, batch) for key in network.driven]
    flat = [current.reshape(*current.shape[:2], -1) for current in currents]
    return flat[0] if len(flat) == 1 else np.concatenate(flat, axis=2)


def currents_of(network: Network, key: tuple[int, int], batch: InputBatch) -> NDArray[Any]:
    """The currents of a `key` of `network.driven`: (B, S, C', H', W'), int32 or float32; S is 1 of
    a constant one.
    """
    images = unpacked(batch)
    constant = network.encoder == "constant-current"
    steps = () if constant else (network.timesteps,)
    if images.dtype != np.int8 or images.shape != (*steps, images.shape[-4], *network.input_shape):
        expected = ", ".join(map(str, (*steps, "B", *network.input_shape)))
        raise BackendError(
            f"{network.encoder} input: got maps of {images.shape} {images.dtype}, expected "
            f"({expected}) int8; encode "
            "them with spikesam.pipeline.images.encoding"
        )
    if images.min(initial=0) < -PIXEL_LIMIT:
        raise BackendError(
            f"{network.encoder} input: got a pixel of -128, expected -{PIXEL_LIMIT} … {PIXEL_LIMIT}"
        )
    return currents_of_numbers(network, key, images)


def currents_of_numbers(
    network: Network, key: tuple[int, int], numbers: NDArray[Any]
) -> NDArray[Any]:
    """The same of numbers in units of int8 that need not be rounded."""
    (place, number), fixed = key, network.precision == "fixed"
    layer_input = network.layers[place].inputs[number]
    synapse = layer_input.synapse
    unit = 1 if fixed else PIXEL_LIMIT * synapse.averaged / (network.input_range / DEFAULT_RANGE)
    maps = numbers[:, None] if network.encoder == "constant-current" else numbers.swapaxes(0, 1)
    currents = np.empty(
        (*maps.shape[:2], *network.shapes[place + 1]), np.int32 if fixed else np.float32
    )
    for place_and_step in np.ndindex(maps.shape[:2]):
        arriving = synapse.arranged(maps[place_and_step])
        currents[place_and_step] = synapse.currents(layer_input, arriving) / unit
    return currents


def by_input(network: Network, currents: Any) -> Iterator[tuple[tuple[int, int], Any]]:
    """Each of `network.driven`, and its currents: (…, N) of :func:`input_currents` -> (…, C, H, W),
    the same memory.
    """
    first = 0
    for place, number in network.driven:
        shape = network.shapes[place + 1]
        of_input = currents[..., first : first + prod(shape)]
        yield (place, number), of_input.reshape(*of_input.shape[:-1], *shape)
        first += prod(shape)


def arriving(steps: range, delay: int) -> tuple[int, slice]:
    """Of some steps, how many are silent, before what is `delay` steps late arrives; and the steps
    that then arrive.
    """
    silent = min(max(0, delay - steps.start), len(steps))
    return silent, slice(steps.start + silent - delay, steps.stop - delay)


def backend_input(backend: str, network: Network, batch: InputBatch) -> NDArray[Any]:
    """Input of a backend of that name: packed spikes (B, T, bytes), or currents (B, S, N)."""
    return (
        packed_spikes(backend, network, batch).bits
        if network.spiking_input
        else input_currents(network, batch)
    )
