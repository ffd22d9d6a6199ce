"""Layers that are changed for a test, and a network of two."""

from dataclasses import replace
from typing import Any

import numpy as np

from spikesam.backends.network import LIF, Conv, Dense, Input, Layer, Network, Readout
from spikesam.backends.network.synapses import weights_as_synapse


def input_of(
    weight: Any, source: Any = (), gain: Any = 1, shift: int = 0, **geometry: Any
) -> Input:
    """An input of weights with the axes of a convolution or of a dense layer."""
    return Input(weights_as_synapse(weight, **geometry), source, gain, shift)


def with_first(layer: Layer, **changes: Any) -> Layer:
    """A layer whose first input, or its synapse, has other numbers."""
    first, *more = layer.inputs
    of_input = {name: changes.pop(name) for name in ("source", "gain", "shift") if name in changes}
    first = replace(first, synapse=replace(first.synapse, **changes), **of_input)
    return replace(layer, inputs=(first, *more))


def two_layers(planes: int, encoder: str, timesteps: int = 6) -> Network:
    """A convolution and a dense layer for an input of 8×6 pixels, and a readout of two classes."""
    random = np.random.default_rng(0)
    layers = (
        Layer("conv1", Input(Conv(random.normal(0.3, 1, (3, planes, 3, 3)), padding=1)), LIF(0.9)),
        Layer("fc1", Dense(random.normal(0.2, 1, (5, 36)), pool=2), LIF(0.9)),
    )
    return Network((planes, 8, 6), timesteps, layers, Readout(random.normal(size=(2, 5))), encoder)
