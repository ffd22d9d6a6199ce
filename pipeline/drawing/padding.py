"""Which cells of a map lie so far out that zero padding, not the image, makes much of what they see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.network import Layer, Network

MOSTLY_IMAGE = 2 / 3  # from this share of its inputs on, a cell counts as seeing the image
BRIGHTER = 1.25  # times as bright as the cells inside, on average, is a border that the padding lights up

Outside = Mapping[str, NDArray[np.bool_]]  # layer -> (H, W), true where a cell sees too little of the image


def outside(network: Network) -> Outside:
    """Where less than two thirds of what reaches a cell comes from inside the image, layer by layer."""
    return {name: share < MOSTLY_IMAGE - 1e-9 for name, share in shares_inside(network).items()}


def shares_inside(network: Network) -> dict[str, NDArray[np.float64]]:
    """The share of a cell's inputs that come from the image and not from padding, were all weights alike.

    A cell's share is the mean, over its kernel, of the shares in the layer before; padding has share 0. So padding of
    earlier layers counts, too. In a corner it is the share along the side that has less.

    Returns
    -------
    convolution -> (H, W) in 0 … 1
    """
    height, width = network.input_shape[1:]
    rows, columns = np.ones(height), np.ones(width)
    shares = {}
    for layer in network.layers:
        if layer.kind != "conv":
            break
        kernel_height, kernel_width = layer.weight.shape[2:]
        rows, columns = _after(rows, layer, kernel_height), _after(columns, layer, kernel_width)
        shares[layer.name] = np.minimum.outer(rows, columns)
    return shares


def lit_border(heat: NDArray[np.floating[Any]], padded: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    """The cells that see much padding, where they are brighter than the others; None where they are not.

    Parameters
    ----------
    heat : (H, W) ≥ 0
    padded : (H, W), see :func:`outside`; None if unknown
    """
    if padded is None or not padded.any() or padded.all():
        return None
    return padded if heat[padded].mean() > BRIGHTER * heat[~padded].mean() else None


def _after(shares: NDArray[np.float64], layer: Layer, kernel: int) -> NDArray[np.float64]:
    """The shares along one side of what a layer gives, from those of what it gets."""
    pooled = shares.reshape(-1, layer.pool).mean(axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(pooled, layer.padding), kernel)
    seen = windows.mean(axis=1)[:: layer.stride]
    return seen.reshape(-1, layer.current_pool).mean(axis=1)
