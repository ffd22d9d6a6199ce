"""Input that is real numbers: the currents that drive layer 1, computed from int8 maps before a sample is simulated.

    float32       a_1[t] = W_1 ⊛ pool(x_q[t-1]) · ρ/127     t ≥ 1, pooling averages
    fixed point   a_1[t] = W_1 ⊛ pool(x_q[t-1])             t ≥ 1, pooling sums; the gain holds ρ/127 and 1/n of pooling

x_q[t] is a map in int8: of a constant current the same image at every step, of a changing current another map at each.
A maximum pooling of currents follows where the layer has one.

127 stands for the number `input_range` of the network, and larger numbers for no more; ρ is half of it. So a pixel of
2, for which a Poisson plane fires at every step, is 1 to the weights, whatever the range. Both precisions have the
rounded numbers. Every backend calls the one function below, so that all are driven by the same currents, in float32,
too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from .base import BackendError, InputBatch, packed_spikes, unpacked
from .network import DEFAULT_RANGE, PIXEL_LIMIT, Layer, Network, pair


def input_currents(network: Network, batch: InputBatch) -> NDArray[np.int32] | NDArray[np.float32]:
    """The currents of layer 1, sample by sample, whatever they are batched with.

    Sums are formed in float64: in fixed point every one is an integer below 2²³ (checked when the network is built)
    and so exact; in float32 they are rounded once, at the end.

    Parameters
    ----------
    network : with encoder "constant-current" or "changing-current"
    batch : images (B, C, H, W) int8 in -127 … 127, or maps (T, B, C, H, W), of `network.input_shape`

    Returns
    -------
    (B, S, C', H', W') int32 in fixed point, float32 otherwise, of the shape of layer 1: what each of T steps causes in
    the next one, a_1[1] … a_1[T]; a constant current once, S = 1

    Raises
    ------
    BackendError : if the images are of another shape or dtype, or hold -128
    """
    images = unpacked(batch)
    constant = network.encoder == "constant-current"
    steps = () if constant else (network.timesteps,)
    if images.dtype != np.int8 or images.shape != (*steps, images.shape[-4], *network.input_shape):
        expected = ", ".join(map(str, (*steps, "B", *network.input_shape)))
        raise BackendError(
            f"{network.encoder} input: got maps of {images.shape} {images.dtype}, expected ({expected}) int8; encode "
            "them with pipeline.images.encoding"
        )
    if images.min(initial=0) < -PIXEL_LIMIT:
        raise BackendError(f"{network.encoder} input: got a pixel of -128, expected -{PIXEL_LIMIT} … {PIXEL_LIMIT}")
    layer, fixed = network.layers[0], network.precision == "fixed"
    unit = 1 if fixed else PIXEL_LIMIT * layer.summed / (network.input_range / DEFAULT_RANGE)
    matrix = layer.weight.reshape(len(layer.weight), -1).astype(np.float64)
    maps = images[:, None] if constant else images.swapaxes(0, 1)
    channels, rows, columns = network.shapes[1]
    y, x = pair(layer.current_pool)
    currents: NDArray[Any] = np.empty((*maps.shape[:2], *network.shapes[1]), np.int32 if fixed else np.float32)
    for place in np.ndindex(maps.shape[:2]):
        unpooled = (matrix @ _patches(layer, maps[place])).reshape(channels, rows, y, columns, x)
        currents[place] = unpooled.max(axis=(2, 4)) / unit
    return currents


def drive(backend: str, network: Network, batch: InputBatch) -> NDArray[Any]:
    """What a backend of that name is driven by: packed spikes (B, T, bytes), or currents (B, S, C', H', W')."""
    return packed_spikes(backend, network, batch).bits if network.spiking_input else input_currents(network, batch)


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
