"""What batch normalisation through time (BNTT) sees, and a network whose statistics are estimated anew.

A network file holds gain and bias per channel and step, in which the statistics of training are folded (Eq. 4):
g = γ/√(σ² + ε), b = -g·μ. Where weights or inputs change, μ and σ are no longer those of the currents, and neurons may
fall silent or fire all the time for that reason alone. The learnt scale is γ = g·√(σ² + ε), with σ as measured.

References
----------
Kim & Panda 2020, Revisiting batch normalization for training low-latency deep SNNs from scratch, arXiv:2010.01729.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikesam.backends.network import Layer, Network
from spikesam.pipeline.networks.differentiable import DifferentiableNetwork
from spikesam.pipeline.networks.firing import fire
from spikesam.pipeline.training.spiking_network import BNTT_EPSILON
from spikesam.recordings.errors import InputError

Floats = NDArray[np.float64]


class Moments(NamedTuple):
    """Mean and variance of a layer's currents over images and pixels, both (T - 1, C) float64: steps 1 … T - 1."""

    mean: Floats
    variance: Floats


def current_moments(network: Network, inputs: Tensor) -> list[Moments]:
    """What each layer's synapses hand to its neurons, in order of depth.

    The network is in float32; its inputs are (T, B, C, H, W) float32 of 0 and 1, of all images that are measured on.
    """
    found = []
    with torch.no_grad():
        fired = {"input": inputs}
        layers: Any = DifferentiableNetwork(network).layers
        for layer, module in zip(network.layers, layers, strict=True):
            currents = module.currents(fired)
            found.append(_moments(currents))
            fired[layer.name] = fire(module.neuron, module.gain, currents)
    return found


def learnt_scales(network: Network, moments: Sequence[Moments]) -> list[Floats]:
    """BNTT's γ of every layer, (T - 1, C), as far as the currents have the spread that they had in training.

    A channel to which no current comes at a step has √ε·g there, practically 0: its gain does nothing.
    """
    scales = []
    for layer, (_, variance) in zip(network.layers, moments, strict=True):
        gain = layer.inputs[0].gain
        steps = np.arange(len(variance)) % len(gain)  # a converted network has one gain for all steps
        scales.append(gain[steps] * np.sqrt(variance + BNTT_EPSILON))
    return scales


def renormalised(network: Network, inputs: Tensor, scales: Sequence[Floats], first: int = 0) -> Network:
    """The network with BNTT's statistics estimated on these inputs, layer after layer.

    Parameters
    ----------
    network, inputs : as for :func:`current_moments`, with a gain and bias for every step
    scales : γ of every layer, see :func:`learnt_scales`
    first : position of the first layer whose statistics are estimated; those before keep theirs
    """
    network.check_chain("BNTT")
    layers, fired = list(network.layers), {"input": inputs}
    modules: Any = DifferentiableNetwork(network).layers
    with torch.no_grad():
        for position, (module, scale) in enumerate(zip(modules, scales, strict=True)):
            currents = module.currents(fired)
            if position >= first:
                layers[position] = _with_statistics(layers[position], scale, _moments(currents), network.timesteps)
            layer = layers[position]
            fired[module.name] = fire(layer.spiking_neuron, layer.inputs[0].gain, currents)
    return replace(network, layers=tuple(layers))


def _with_statistics(layer: Layer, scale: Floats, moments: Moments, timesteps: int) -> Layer:
    """A layer whose gain and bias fold other statistics."""
    neuron, (given,) = layer.spiking_neuron, layer.inputs
    if len(given.gain) != timesteps:
        raise InputError(f"BNTT: {layer.name} has no gain per step, expected a network with BNTT")
    gain, bias = (np.array(each, np.float64) for each in (given.gain, neuron.bias))
    gain[:-1] = scale / np.sqrt(moments.variance + BNTT_EPSILON)  # the last one is for a step that never comes
    bias[:-1] = -gain[:-1] * moments.mean
    return Layer(layer.name, replace(given, gain=gain), replace(neuron, bias=bias))


def _moments(currents: Tensor) -> Moments:
    """Of (T - 1, B, C, H, W) or (T - 1, B, C, 1, 1), one step at a time, in double precision."""
    steps = [torch.var_mean(step.double(), dim=(0, 2, 3), correction=0) for step in currents]
    variance, mean = (torch.stack(each).cpu().numpy() for each in zip(*steps, strict=True))
    return Moments(mean, variance)
