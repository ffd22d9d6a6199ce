"""Does a map depend on what the network has learnt? Weights destroyed layer by layer, from the readout down.

A map that hardly changes shows the image, not the network. SAM of a layer depends only on the layers below: the readout
and the layers above cannot change it. Grad-CAM depends on the layers above, too.

References
----------
Adebayo et al. 2018, Sanity checks for saliency maps, arXiv:1810.03292, Section 3.1, cascading randomisation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import Network
from spikesam.recordings.errors import InputError


def randomise_from_top(network: Network, seed: int) -> Iterator[tuple[str, Network]]:
    """Shuffle the weights of the readout, then of the last layer too, and so on down to the first.

    The source draws new weights from the initial distribution. Here each layer's weights are permuted, over all of its
    channels: their distribution stays, and with it about as many spikes, so that a map does not change merely because
    its layer has fallen silent. Thresholds, leaks, gains and biases stay. In the first layer the OFF planes keep the
    negated weights of the ON planes: these encode signed spikes, and are not learnt. The permutation of a layer depends
    on `seed` and the layer's number alone. The network is in float32.

    Yields
    ------
    name of the layer shuffled last ("readout" first), and the network so far
    """
    if network.precision != "float32":
        raise InputError("randomise_from_top: got a network in fixed point, expected float32; quantise it afterwards")
    readout = replace(network.readout, weight=_shuffled(network.readout.weight, seed, len(network.layers) + 1))
    network = replace(network, readout=readout)
    yield "readout", network
    layers = list(network.layers)
    for position in reversed(range(len(layers))):
        first, *more = layers[position].inputs
        weight = first.weight
        half = weight.shape[1] // 2
        if position == 0 and np.array_equal(weight[:, half:], -weight[:, :half]):
            on = _shuffled(weight[:, :half], seed, 1)
            weight = np.concatenate([on, -on], axis=1)
        else:
            weight = _shuffled(weight, seed, position + 1)
        layers[position] = replace(layers[position], inputs=(replace(first, weight=weight), *more))
        network = replace(network, layers=tuple(layers))
        yield layers[position].name, network


def _shuffled(weight: NDArray[Any], seed: int, number: int) -> NDArray[Any]:
    return np.random.default_rng([seed, number]).permutation(weight.ravel()).reshape(weight.shape)
