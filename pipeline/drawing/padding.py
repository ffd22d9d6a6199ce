"""Cells of a map that lie so near the border that zero padding makes much of their input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from spikesam.backends.network import Conv, Dense, Input, LinearSynapse, Network, pair

MOSTLY_IMAGE = (
    2 / 3
)  # of a cell's inputs: from this fraction on, the cell counts as seeing the image
BRIGHTER = (
    1.25  # times as bright as the cells inside, on average, is a border that the padding lights up
)

Outside = Mapping[
    str, NDArray[np.bool_]
]  # layer -> (H, W), true where a cell sees too little of the image


def outside(network: Network) -> Outside:
    """The cells of which less than two thirds of the inputs come from the image, layer by layer."""
    return {
        name: fraction < MOSTLY_IMAGE - 1e-9 for name, fraction in fractions_inside(network).items()
    }


def fractions_inside(network: Network) -> dict[str, NDArray[np.float64]]:
    """The fraction of a cell's inputs that come from the image and not from padding, if all weights
    were equal.

    It is the mean over the kernel of the fractions in the first source; in a corner the smaller one
    of the two sides.
    """
    height, width = network.input_shape[1:]
    sides = {"input": (np.ones(height), np.ones(width))}
    for layer in network.layers:
        first = layer.inputs[0]
        source_name = first.sources[0].layer
        of_maps = layer.kind == "conv" and not isinstance(first.synapse, Dense)
        if of_maps and source_name in sides:
            rows, columns = (
                _after(side, first, axis) for axis, side in enumerate(sides[source_name])
            )
            sides[layer.name] = rows, columns
    return {
        layer.name: np.minimum.outer(*sides[layer.name])
        for layer in network.layers
        if layer.name in sides
    }


def lit_border(
    heat: NDArray[np.floating[Any]], padded: NDArray[np.bool_] | None
) -> NDArray[np.bool_] | None:
    """The cells of a map that see much padding, where they are brighter than the others; None where
    they are not.
    """
    if padded is None or not padded.any() or padded.all():
        return None
    return padded if heat[padded].mean() > BRIGHTER * heat[~padded].mean() else None


def _after(fractions: NDArray[np.float64], layer_input: Input, axis: int) -> NDArray[np.float64]:
    """The fractions along one side of a layer's output, rows or columns, from those of its
    input.
    """
    synapse = layer_input.synapse
    pool, stride, padding = (
        pair(sides)[axis] for sides in (synapse.pool, synapse.stride, synapse.padding)
    )
    window, step, window_padding = (sides[axis] for sides in synapse.windows)
    fractions = fractions.repeat(synapse.spread[1 + axis])
    if numbers := (synapse.rows, synapse.columns)[axis]:
        fractions = np.where(np.less(numbers, 0), 0, fractions.take(numbers))
    pooled = fractions.reshape(-1, pool).mean(axis=1)
    if not isinstance(synapse, LinearSynapse):  # every place reads all places
        return np.full_like(pooled, pooled.mean())
    if not isinstance(synapse, Conv):
        return pooled
    side = synapse.weight.shape[2 + axis]
    window_means = sliding_window_view(np.pad(pooled, padding), side).mean(axis=1)[::stride]
    if synapse.current_sum:
        return window_means.mean(keepdims=True)
    mean: NDArray[np.float64] = np.nanmean(
        sliding_window_view(np.pad(window_means, window_padding, constant_values=np.nan), window)[
            ::step
        ],
        axis=1,
    )
    return mean
