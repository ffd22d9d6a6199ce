"""The steps in which layers can fire: before, nothing has reached them; after, a bias may keep them
from it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np

from spikesam.backends.network import MEMBRANE_LIMIT, PIXEL_LIMIT, FixedLIF, Input, Network, Shape
from spikesam.backends.network.wiring import least_steps


class ActingSteps:
    """The steps in which layers can fire, as their biases and what they read allow it."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._found: dict[frozenset[int], list[range]] = {}
        self._own = [_by_bias(network, number) for number in range(len(network.layers))]

    def of(self, indices: Iterable[int] = ()) -> list[range]:
        """Those of the input and of each layer; any of those `indices`, by number, 0 of the first
        layer.
        """
        index_set = frozenset(indices)
        if index_set not in self._found:
            self._found[index_set] = self._acting(index_set)
        return self._found[index_set]

    def _acting(self, indices: Collection[int]) -> list[range]:
        """The steps, computed anew."""
        network, steps = self._network, self._network.timesteps
        spans_of_inputs = [
            (0, steps) if number in indices else spans for number, spans in enumerate(self._own)
        ]
        firsts, ends = zip((0, steps), *spans_of_inputs, strict=True)
        ways = (
            (source.layer, source.shortest, layer.name)
            for layer in network.layers
            for source in layer.sources
        )
        begins = least_steps(dict(zip(network.names, firsts, strict=True)), ways)
        return [
            range(min(begins[name], end), end)
            for name, end in zip(network.names, ends, strict=True)
        ]


def _by_bias(network: Network, number: int) -> tuple[int, int]:
    """The first step in which a layer's bias acts, and that from which it keeps all from firing,
    whatever arrives.
    """
    layer, steps = network.layers[number], network.timesteps
    neuron = layer.spiking_neuron
    bias = np.broadcast_to(neuron.bias, (steps, neuron.bias.shape[1]))[
        : steps - 1
    ]  # row t acts at step t + 1
    begins = 1 + int(bias.any(axis=1).argmax()) if bias.any() else steps
    if len(neuron.bias) == 1 or np.any(neuron.synaptic_leak):
        return begins, steps
    shapes = (network.shape_read(layer_input) for layer_input in layer.inputs)
    current = sum(
        _most(layer_input, shape) for layer_input, shape in zip(layer.inputs, shapes, strict=True)
    )
    if number in dict(network.driven):
        current *= max(PIXEL_LIMIT, network.input_range)
    lasts = 1 / max(
        1 / steps, 1 - float(np.max(neuron.leak))
    )  # steps, of which a membrane holds the currents
    membrane = lasts * (current + max(0.0, float(bias.max())))
    if isinstance(neuron, FixedLIF):
        membrane = min(membrane, MEMBRANE_LIMIT)
    fires = (bias + 2 * (membrane + current) > neuron.fires_above).any(
        axis=1
    )  # twice, since sums are rounded
    return begins, steps - int(fires[::-1].argmax()) if fires.any() else 1


def _most(layer_input: Input, shape: Shape) -> float:
    """At least what an input, whose sources are (C, H, W), can add to a membrane in a step."""
    current = float(layer_input.most(shape, layer_input.synapse.largest_sum))
    return current * float(np.abs(layer_input.gain).max()) / 2**layer_input.shift
