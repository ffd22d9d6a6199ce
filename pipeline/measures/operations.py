"""Synaptic operations: how often a spike is added to a neuron, beside the products (MACs) of an ANN of the same layers.

A spike costs one addition at every synapse it reaches; how many those are is its fan-out. In a convolution a spike at
the border reaches fewer neurons than one in the middle. A synapse counts whatever its weight; pooling and neurons count
nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backends.network import Input, Layer, Network, Readout, pair

Shape = tuple[int, int, int]


def fan_out(layer: Input | Layer | Readout, shape: Shape) -> NDArray[np.int64]:
    """How many synapses one value of the pooled map reaches; channels do not differ in it.

        fan-out[h, w] = C_out · rows(h) · columns(w)         of a convolution; C_out of a dense layer and of the readout

    where rows(h) counts the places of the kernel that cover row h.

    Parameters
    ----------
    layer : the synapses
    shape : (C, H, W) of the layer before

    Returns
    -------
    (H // y, W // x) int64, with pool = (y, x)
    """
    y, x = _pool(layer)
    height, width = shape[1] // y, shape[2] // x
    if layer.weight is None:  # of the identity
        return np.ones((height, width), np.int64)
    if isinstance(layer, Readout) or layer.kind == "dense":
        return np.full((height, width), len(layer.weight), np.int64)
    rows, columns = map(_covering, (height, width), layer.weight.shape[2:], pair(layer.stride), pair(layer.padding))
    return len(layer.weight) * rows[:, None] * columns[None, :]


def synaptic_operations(layer: Input | Layer | Readout, packed: NDArray[np.uint8], shape: Shape) -> int:
    """Additions that the spikes of one layer cause in the next: the sum of their fan-outs.

    Average pooling passes every spike on; maximum pooling passes on one per channel, pool and step.

    Parameters
    ----------
    layer : the synapses behind the spikes
    packed : (T, ⌈C·H·W/8⌉) uint8 — packed spikes of one sample
    shape : (C, H, W) of the layer that fired
    """
    channels, height, width = shape
    y, x = _pool(layer)
    bits = np.unpackbits(packed, axis=1, count=channels * height * width)
    if getattr(layer, "pooling", "average") == "max":
        bits = bits.reshape(-1, height // y, y, width // x, x).max(axis=(2, 4))
        height, width, y, x = height // y, width // x, 1, 1
    counts = bits.reshape(len(packed) * channels, -1).sum(axis=0, dtype=np.int64)  # whole maps at a time, which is fast
    passed = counts.reshape(height // y, y, width // x, x).sum(axis=(1, 3))
    return int((passed * fan_out(layer, shape)).sum())


def products(network: Network) -> dict[str, int]:
    """MACs of an ANN with these layers for one image: what the values of each layer, and of "input", cause.

    Every pooled value is multiplied once at each of its synapses; the zeros around the image are not counted. The ON
    and OFF planes of Poisson spikes are one image to an ANN.
    """
    shapes = dict(zip(("input", *(layer.name for layer in network.layers)), network.shapes, strict=True))
    found = {
        name: sum(int(fan_out(each, shapes[name]).sum()) * shapes[name][0] for each in synapses)
        for name, synapses in synapses_behind(network).items()
    }
    return found | {"input": found["input"] // (2 if network.encoder == "poisson" else 1)}


def synapses_behind(network: Network) -> dict[str, list[Input | Readout]]:
    """Name of each layer, and "input" -> all the synapses that its spikes reach, each as often as they do."""
    found: dict[str, list[Input | Readout]] = {"input": [], **{layer.name: [] for layer in network.layers}}
    for each in (each for inputs in network.inputs for each in inputs):
        for source in each.sources:
            found[source.layer].append(each)
    found[network.layers[-1].name].append(network.readout)
    return found


def _pool(layer: Input | Layer | Readout) -> tuple[int, int]:
    return (1, 1) if isinstance(layer, Readout) else pair(layer.pool)


def _covering(side: int, kernel: int, stride: int, padding: int) -> NDArray[np.int64]:
    """How many places of a kernel cover each of `side` cells: (side,) int64."""
    covering = np.zeros(side + 2 * padding, np.int64)
    for place in range(0, len(covering) - kernel + 1, stride):
        covering[place : place + kernel] += 1
    return covering[padding : padding + side]
