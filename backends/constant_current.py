"""Constant-current input: the current map that drives layer 1 at every step of a sample, computed once from its image.

    float32       a_1[t] = W_1 ⊛ pool(x_q) / 127     t ≥ 1, pooling averages
    fixed point   a_1[t] = W_1 ⊛ pool(x_q)           t ≥ 1, pooling sums; the gain holds 1/127 and the 1/n of pooling

A maximum pooling of currents follows where the layer has one.

x_q is the image in int8, where 127 stands for a Poisson plane that fires at every step. Every backend calls the one
function below, so that all are driven by the same numbers, in float32 too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from .base import BackendError, InputBatch, packed_spikes, unpacked
from .network import PIXEL_LIMIT, Layer, Network, pair


def constant_currents(network: Network, batch: InputBatch) -> NDArray[np.int32] | NDArray[np.float32]:
    """The constant currents of layer 1, sample by sample, whatever they are batched with.

    Sums are formed in float64: in fixed point every one is an integer below 2²³ (checked when the network is built)
    and so exact; in float32 they are rounded once, at the end.

    Parameters
    ----------
    network : with encoder "constant-current"
    batch : images (B, C, H, W) int8 in -127 … 127, of `network.input_shape`

    Returns
    -------
    (B, C', H', W') int32 in fixed point, float32 otherwise; of the shape of layer 1, network.shapes[1]

    Raises
    ------
    BackendError : if the images are of another shape or dtype, or hold -128
    """
    images = unpacked(batch)
    if images.dtype != np.int8 or images.shape[1:] != network.input_shape:
        expected = ", ".join(map(str, ("B", *network.input_shape)))
        raise BackendError(
            f"constant-current input: got images of {images.shape} {images.dtype}, expected ({expected}) "
            "int8; encode them with pipeline.images.encoding.constant_current"
        )
    if images.min(initial=0) < -PIXEL_LIMIT:
        raise BackendError(f"constant-current input: got a pixel of -128, expected -{PIXEL_LIMIT} … {PIXEL_LIMIT}")
    layer, shape = network.layers[0], network.shapes[1]
    fixed = network.precision == "fixed"
    unit = 1 if fixed else PIXEL_LIMIT * layer.summed
    matrix = layer.weight.reshape(len(layer.weight), -1).astype(np.float64)
    currents: NDArray[Any] = np.empty((len(images), *shape), np.int32 if fixed else np.float32)
    channels, rows, columns = shape
    y, x = pair(layer.current_pool)
    for image, current in zip(images, currents, strict=True):
        unpooled = (matrix @ _patches(layer, image)).reshape(channels, rows, y, columns, x)
        current[:] = unpooled.max(axis=(2, 4)) / unit
    return currents


def drive(backend: str, network: Network, batch: InputBatch) -> NDArray[Any]:
    """What a backend of that name is driven by: packed spikes (B, T, bytes), or constant currents (B, C', H', W')."""
    return packed_spikes(backend, network, batch).bits if network.spiking_input else constant_currents(network, batch)


def _patches(layer: Layer, image: NDArray[np.int8]) -> NDArray[np.float64]:
    """The inputs of each neuron of a channel in the sum-pooled image, in columns: (inputs, neurons)."""
    channels, height, width = image.shape
    y, x = pair(layer.pool)
    pooled = image.reshape(channels, height // y, y, width // x, x).sum(axis=(2, 4), dtype=np.float64)
    window = layer.weight.shape[2:] if layer.kind == "conv" else pooled.shape[1:]
    (top, left), (down, right) = pair(layer.padding), pair(layer.stride)
    padded = np.pad(pooled, ((0, 0), (top, top), (left, left)))
    windows = sliding_window_view(padded, (channels, *window))[0, ::down, ::right]
    return windows.reshape(-1, channels * window[0] * window[1]).T
