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

    def of(self, given: Iterable[int] = ()) -> list[range]:
        """Those of the input and of each layer; any of those `given`, by number, 0 of the first
        layer.
        """
        known = frozenset(given)
        if known not in self._found:
            self._found[known] = self._acting(known)
        return self._found[known]

    def _acting(self, given: Collection[int]) -> list[range]:
        """The steps, computed anew."""
        network, steps = self._network, self._network.timesteps
        own = [(0, steps) if number in given else each for number, each in enumerate(self._own)]
        firsts, ends = zip((0, steps), *own, strict=True)
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
    shapes = (network.shape_read(each) for each in layer.inputs)
    current = sum(_most(each, shape) for each, shape in zip(layer.inputs, shapes, strict=True))
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


def _most(given: Input, shape: Shape) -> float:
    """At least what an input, whose sources are (C, H, W), can add to a membrane in a step."""
    current = float(given.most(shape, given.synapse.largest_sum))
    return current * float(np.abs(given.gain).max()) / 2**given.shift
