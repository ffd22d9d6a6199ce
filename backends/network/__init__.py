"""Networks as plain, checked, frozen data: their neurons, layers and graph; fixed point and files
in modules beside.
"""

from spikesam.backends.network._layers import PIXEL_LIMIT, Layer, Readout
from spikesam.backends.network.checks import NetworkError, Sides, pair
from spikesam.backends.network.graph import DEFAULT_RANGE, Encoder, Kind, Network
from spikesam.backends.network.inputs import Input
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
from spikesam.backends.network.sources import Source
from spikesam.backends.network.synapses import (
    Attention,
    Conv,
    Dense,
    Identity,
    LinearSynapse,
    Synapse,
    Weighted,
)
from spikesam.backends.network.synapses.linear import WEIGHT_LIMIT
from spikesam.backends.network.synapses.synapse import CURRENT_LIMIT, Shape
from spikesam.backends.network.windows import NO_POOLING, Windows

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
    "Attention",
    "Conv",
    "Dense",
    "Encoder",
    "FixedLIF",
    "Identity",
    "Input",
    "Kind",
    "Layer",
    "LinearSynapse",
    "Network",
    "NetworkError",
    "Neuron",
    "ReLU",
    "Readout",
    "Shape",
    "Sides",
    "Source",
    "SpikingNeuron",
    "Synapse",
    "Weighted",
    "Windows",
    "pair",
]
