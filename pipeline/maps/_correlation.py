"""The way back through the synapses of step.py, for what is handed from currents to the spikes that
caused them: of one step, or of several, which then are the first axis of all arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import NO_POOLING, Attention, Input, pair
from spikesam.backends.network.synapses.synapse import Floats


def unpooled(layer: Input, spikes: NDArray[Any], values: Floats) -> Floats:
    """The transpose of `pooled`, (…, H/y, W/x) -> (…, H, W): spikes get all of a window's sum, or
    share its maximum.
    """
    (*maps, height, width), (y, x) = spikes.shape, pair(layer.synapse.pool)
    windows = spikes.reshape(*maps, height // y, y, width // x, x)
    if layer.synapse.pooling == "max":
        values = values / np.maximum(windows.sum(axis=(-3, -1)), 1)
    shared: Floats = (windows * values[..., :, None, :, None]).reshape(spikes.shape)
    return shared


def shared_by_three(layer_input: Input, maps: NDArray[Any], values: Floats) -> list[Floats]:
    """A third each for spikes of q, k and v, (…, C, H, W), of what attention of `maps` hands back,
    (…, V, H, W).
    """
    assert isinstance(layer_input.synapse, Attention)
    query, key, value = layer_input.synapse.factors(layer_input, maps.astype(np.float64))
    handed = values.reshape(value.shape)
    pairs, query_values = key @ value.mT, query @ handed.mT  # (…, heads, c, e)
    shares = pairs @ handed, query_values @ value, query_values.mT @ key
    *several, _, height, width = maps.shape
    return [share.reshape(*several, -1, height, width) / 3 for share in shares]


def winners(layer: Input, currents: Floats) -> NDArray[np.intp]:
    """The cell, row by row, of each window's first maximum: (…, OH, OW) -> (…, H', W'); cells
    outside count, too.
    """
    return layer.synapse.windows.cells(currents).argmax(axis=-1)


def won(layer: Input, currents: Floats, winners: NDArray[np.intp]) -> Floats:
    """The current of each window's winner, or the sum of these: (…, OH, OW) -> (…, H', W')."""
    if layer.synapse.windows == NO_POOLING and not layer.synapse.current_sum:
        return currents
    cells = layer.synapse.windows.cells(currents)
    winning_currents: Floats = np.take_along_axis(cells, winners[..., None], axis=-1)[..., 0]
    if layer.synapse.current_sum:
        return winning_currents.sum(axis=(-2, -1), keepdims=True)
    return winning_currents


def to_winners(
    layer: Input, values: Floats, winners: NDArray[np.intp], sides: Sequence[int]
) -> Floats:
    """The transpose of :func:`won`: the winner takes all, (…, H', W') -> (…, OH, OW), (OH, OW) =
    `sides`.
    """
    if layer.synapse.windows == NO_POOLING and not layer.synapse.current_sum:
        return values
    (y, x), (down, across), (above, beside) = layer.synapse.windows
    (*maps, height, width), (rows, columns) = winners.shape, sides
    padded = np.zeros((*maps, rows + 2 * above, columns + 2 * beside))
    for cell, (row, column) in enumerate(np.ndindex(y, x)):
        taken = np.where(winners == cell, values, 0)
        of_cell = slice(row, row + height * down, down)
        padded[..., of_cell, column : column + width * across : across] += taken
    return padded[..., above : above + rows, beside : beside + columns]
