"""The way back through the synapses of step.py, for what is handed from currents to the spikes that
caused them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import NO_POOLING, Input, pair
from spikesam.backends.network.step import Floats, current_cells, factors


def unpooled(layer: Input, spikes: NDArray[Any], values: Floats) -> Floats:
    """The transpose of `pooled`, (C, H/y, W/x) -> (C, H, W): spikes get all of a window's sum, or
    share its maximum.
    """
    (channels, height, width), (y, x) = spikes.shape, pair(layer.pool)
    windows = spikes.reshape(channels, height // y, y, width // x, x)
    if layer.pooling == "max":
        values = values / np.maximum(windows.sum(axis=(2, 4)), 1)
    shared: Floats = (windows * values[:, :, None, :, None]).reshape(spikes.shape)
    return shared


def transposed(layer: Input, weight: Floats, values: Floats, shape: tuple[int, ...]) -> Floats:
    """The transpose of :func:`~spikesam.backends.network.step.correlated`: (C', H', W') -> (C, H,
    W) = `shape`.
    """
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


def shared_by_three(attention: Input, maps: NDArray[Any], values: Floats) -> list[Floats]:
    """A third each for spikes of q, k and v, (C, H, W), of what attention of `maps` hands back, (V,
    H, W).
    """
    query, key, value = factors(attention, maps.astype(np.float64))
    handed = values.reshape(value.shape)
    pairs, query_values = key @ value.swapaxes(1, 2), query @ handed.swapaxes(1, 2)  # (heads, c, e)
    shares = pairs @ handed, query_values @ value, query_values.swapaxes(1, 2) @ key
    return [share.reshape(-1, *maps.shape[1:]) / 3 for share in shares]


def winners(layer: Input, currents: Floats) -> NDArray[np.intp]:
    """The cell, row by row, of each window's first maximum: (C', OH, OW) -> (C', H', W'); cells
    outside count, too.
    """
    return current_cells(layer, currents).argmax(axis=3)


def won(layer: Input, currents: Floats, winners: NDArray[np.intp]) -> Floats:
    """The current of each window's winner, or the sum of these: (C', OH, OW) -> (C', H', W')."""
    if layer.windows == NO_POOLING and not layer.current_sum:
        return currents
    winning_currents: Floats = np.take_along_axis(
        current_cells(layer, currents), winners[..., None], axis=3
    )[..., 0]
    return (
        winning_currents.sum(axis=(1, 2), keepdims=True) if layer.current_sum else winning_currents
    )


def to_winners(
    layer: Input, values: Floats, winners: NDArray[np.intp], sides: Sequence[int]
) -> Floats:
    """The transpose of :func:`won`: the winner takes all, (C', H', W') -> (C', OH, OW), (OH, OW) =
    `sides`.
    """
    if layer.windows == NO_POOLING and not layer.current_sum:
        return values
    (y, x), (down, across), (above, beside) = layer.windows
    (channels, height, width), (rows, columns) = winners.shape, sides
    padded = np.zeros((channels, rows + 2 * above, columns + 2 * beside))
    for cell, (row, column) in enumerate(np.ndindex(y, x)):
        taken = np.where(winners == cell, values, 0)
        padded[:, row : row + height * down : down, column : column + width * across : across] += (
            taken
        )
    return padded[:, above : above + rows, beside : beside + columns]
