"""The synapses of a layer in NumPy, a step at a time, forward and back: pooling, products, maxima of currents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from spikesam.backends.input_currents import current_cells
from spikesam.backends.network import Input, Sides, pair

Floats = NDArray[np.float64]


def pooled(layer: Input, spikes: NDArray[Any]) -> Floats:
    """Pooling of spikes: (C, H, W) -> (C, H / y, W / x) float64, the sum of a window, or its maximum."""
    windows = _windows(spikes, layer.pool)
    return windows.max(axis=(2, 4)).astype(np.float64) if layer.pooling == "max" else windows.sum((2, 4), np.float64)


def unpooled(layer: Input, spikes: NDArray[Any], values: Floats) -> Floats:
    """The transpose of :func:`pooled`: values (C, H / y, W / x) to the spikes (C, H, W) in front, none to silence.

    A spike gets all of its window's value from a sum, an equal share from a maximum.
    """
    windows = _windows(spikes, layer.pool)
    if layer.pooling == "max":
        values = values / np.maximum(windows.sum(axis=(2, 4)), 1)
    shared: Floats = (windows * values[:, :, None, :, None]).reshape(spikes.shape)
    return shared


def correlate(layer: Input, weight: Floats, maps: Floats) -> Floats:
    """W ⊛ x of a pooled map: (C, H, W) -> (C', H', W'), of a dense layer (C', 1, 1); W · x of an identity."""
    if layer.kind == "identity":
        return weight * maps
    if layer.kind == "dense":
        return (weight @ maps.ravel())[:, None, None]
    (top, left), (down, right) = pair(layer.padding), pair(layer.stride)
    padded = np.pad(maps, ((0, 0), (top, top), (left, left)))
    patches = sliding_window_view(padded, weight.shape[2:], axis=(1, 2))[:, ::down, ::right]
    currents: Floats = np.tensordot(weight, patches, axes=((1, 2, 3), (0, 3, 4)))
    return currents


def spread(layer: Input, weight: Floats, values: Floats, shape: tuple[int, ...]) -> Floats:
    """The transpose of :func:`correlate`: (C', H', W') -> (C, H, W) = `shape`."""
    if layer.kind == "identity":
        return weight * values
    if layer.kind == "dense":
        return (weight.T @ values.ravel()).reshape(shape)
    (top, left), (down, right) = pair(layer.padding), pair(layer.stride)
    parts = np.tensordot(weight, values, axes=((0,), (0,)))  # (C, y, x, H', W')
    padded = np.zeros((shape[0], shape[1] + 2 * top, shape[2] + 2 * left))
    rows, columns = down * (values.shape[1] - 1) + 1, right * (values.shape[2] - 1) + 1
    for y in range(weight.shape[2]):
        for x in range(weight.shape[3]):
            padded[:, y : y + rows : down, x : x + columns : right] += parts[:, y, x]
    return padded[:, top : top + shape[1], left : left + shape[2]]


def winners(layer: Input, currents: Floats) -> NDArray[np.intp]:
    """The cell of each window that holds its maximum, the first of several: (C', OH, OW) -> (C', H', W').

    Cells are counted row by row, from 0, those outside the map too.
    """
    return current_cells(layer, currents).argmax(axis=3)


def won(layer: Input, currents: Floats, winners: NDArray[np.intp]) -> Floats:
    """The current of each window's winner: (C', OH, OW) -> (C', H', W')."""
    found: Floats = np.take_along_axis(current_cells(layer, currents), winners[..., None], axis=3)[..., 0]
    return found


def to_winners(layer: Input, values: Floats, winners: NDArray[np.intp], sides: Sequence[int]) -> Floats:
    """The transpose of :func:`won`: the winner takes all, (C', H', W') -> (C', OH, OW), (OH, OW) = `sides`."""
    (y, x), (down, across), (above, beside) = layer.windows
    (channels, height, width), (rows, columns) = values.shape, sides
    padded = np.zeros((channels, rows + 2 * above, columns + 2 * beside))
    for cell, (row, column) in enumerate(np.ndindex(y, x)):
        taken = np.where(winners == cell, values, 0)
        padded[:, row : row + height * down : down, column : column + width * across : across] += taken
    return padded[:, above : above + rows, beside : beside + columns]


def _windows(maps: NDArray[Any], sides: Sides) -> NDArray[Any]:
    """(C, H, W) -> (C, H / y, y, W / x, x)."""
    (channels, height, width), (y, x) = maps.shape, pair(sides)
    return maps.reshape(channels, height // y, y, width // x, x)
