"""A network for a larger image: convolutions slide, and dense layers average over the larger map."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import Network, Sides, pair
from spikesam.recordings.errors import InputError


def widen(network: Network, height: int, width: int) -> Network:
    """Make a network take larger images, as if it averaged its last map over the whole image.

    Where the first dense layer (or the readout) saw one cell of the last map, it sees the mean over a block of the
    larger one: its weights are repeated over the block and divided by its size. Height and width are multiples of its
    own input's; its own size gives the network itself.
    """
    channels, own_height, own_width = network.input_shape
    if network.precision != "float32":
        raise InputError("widen: got a network in fixed point, expected float32; widen it before quantising")
    if height % own_height or width % own_width or not height or not width:
        raise InputError(
            f"widen: got {height}×{width}, expected multiples of the network's own input of {own_height}×{own_width}"
        )
    block = (height // own_height, width // own_width)
    if block == (1, 1):
        return network
    layers = list(network.layers)
    readout = network.readout
    for number, (layer, shape) in enumerate(zip(layers, network.shapes, strict=False)):
        first, *more = layer.inputs
        if first.kind == "dense":
            wide = replace(first, weight=_over_blocks(first.weight, shape, first.pool, block))
            layers[number] = replace(layer, inputs=(wide, *more))
            break
    else:
        readout = replace(readout, weight=_over_blocks(readout.weight, network.shapes[-1], 1, block))
    return replace(network, input_shape=(channels, height, width), layers=tuple(layers), readout=readout)


def _over_blocks(
    weight: NDArray[Any], shape: tuple[int, int, int], pool: Sides, block: tuple[int, int]
) -> NDArray[np.float32]:
    """(out, C·h·w) weights on an h×w map -> (out, C·rh·cw) on one (r, c) = `block` times as large."""
    channels, height, width = shape
    y, x = pair(pool)
    cells = weight.reshape(len(weight), channels, height // y, width // x)
    cells = cells.repeat(block[0], axis=2).repeat(block[1], axis=3) / np.float32(block[0] * block[1])
    return cells.reshape(len(weight), -1).astype(np.float32, copy=False)
