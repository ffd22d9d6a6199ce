"""One layer of a network alone, driven by spikes that a model fired in front of it: what it fires is its own doing."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.network import Network, Readout


def single_layer_network(network: Network, number: int, silent: int, steps: int) -> Network:
    """A network of one layer of another.

    Parameters
    ----------
    network : the whole one, in fixed point
    number : of the layer, from 0
    silent : steps before anything can have arrived at it; they are left out
    steps : T of the spikes that will drive it

    Returns
    -------
    a network of T + 1 steps: the layer costs one
    """
    layer, shape = network.layers[number], network.shapes[number]
    neuron = layer.spiking_neuron
    gain, bias = (_from(rows, silent, steps + 1) for rows in (neuron.gain, neuron.bias))
    only = replace(layer, neuron=replace(neuron, gain=gain, bias=bias))
    readout = Readout(np.zeros((1, prod(network.shapes[number + 1])), network.readout.weight.dtype))
    encoder = network.encoder if number == 0 else "spikes"
    return Network(shape, steps + 1, (only,), readout, encoder)


def _from(rows: NDArray[Any], start: int, steps: int) -> NDArray[Any]:
    """Constants of so many steps, from one on."""
    if len(rows) == 1:
        return rows
    chosen = rows[start : start + steps]
    return np.concatenate([chosen, np.repeat(chosen[-1:], steps - len(chosen), axis=0)])
