"""Networks as plain, checked, frozen data: their neurons, layers and graph; fixed point and files in modules beside."""

from .checks import NetworkError, Sides, pair
from .graph import DEFAULT_RANGE, Encoder, Kind, Network
from .inputs import CURRENT_LIMIT, WEIGHT_LIMIT, Input, Shape, Source
from .layers import PIXEL_LIMIT, Layer, Readout
from .neurons import LIF, MEMBRANE_LIMIT, THETA, FixedLIF, Neuron, ReLU, SpikingNeuron

__all__ = [
    "CURRENT_LIMIT",
    "DEFAULT_RANGE",
    "LIF",
    "MEMBRANE_LIMIT",
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
    "pair",
]
