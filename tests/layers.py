"""Layers that are changed for a test, and a network of two."""

from dataclasses import replace
from typing import Any

import numpy as np

from spikesam.backends.network import LIF, Input, Layer, Network, Readout


def with_first(layer: Layer, **changes: Any) -> Layer:
    """A layer whose first input has other numbers."""
    first, *more = layer.inputs
    return replace(layer, inputs=(replace(first, **changes), *more))


def two_layers(planes: int, encoder: str, timesteps: int = 6) -> Network:
    """A convolution and a dense layer for an input of 8×6 pixels, and a readout of two classes."""
    random = np.random.default_rng(0)
    layers = (
        Layer("conv1", Input(random.normal(0.3, 1, (3, planes, 3, 3)), padding=1), LIF(0.9)),
        Layer("fc1", Input(random.normal(0.2, 1, (5, 36)), pool=2), LIF(0.9)),
    )
    return Network((planes, 8, 6), timesteps, layers, Readout(random.normal(size=(2, 5))), encoder)
