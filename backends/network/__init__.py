"""Networks as plain, checked, frozen data: their neurons, layers and graph; fixed point and files
in modules beside.
"""

from spikesam.backends.network.checks import NetworkError, Sides, pair
from spikesam.backends.network.graph import Network
from spikesam.backends.network.inputs import (
    CURRENT_LIMIT,
    NO_POOLING,
    WEIGHT_LIMIT,
    Input,
    Shape,
    Source,
    Windows,
)
from spikesam.backends.network.layers import PIXEL_LIMIT, Layer, Readout
from spikesam.backends.network.neurons import (
    EXACT,
    LIF,
    MEMBRANE_LIMIT,
    THETA,
    FixedLIF,
    Neuron,
    ReLU,
    SpikingNeuron,
)
from spikesam.backends.network.structure import DEFAULT_RANGE, Encoder, Kind

__all__ = [
    "CURRENT_LIMIT",
    "DEFAULT_RANGE",
    "EXACT",
    "LIF",
    "MEMBRANE_LIMIT",
    "NO_POOLING",
    "PIXEL_LIMIT",
    "THETA",
    "WEIGHT_LIMIT",
    "Encoder",
    "FixedLIF",
    "Input",
    "Kind",
    "Layer",
    "Network",
    "NetworkError",
    "Neuron",
    "ReLU",
    "Readout",
    "Shape",
    "Sides",
    "Source",
    "SpikingNeuron",
    "Windows",
    "pair",
]
