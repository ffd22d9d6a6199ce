"""Maximum pooling: of spikes, in front of synapses, and of currents, behind them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled


@compiled
def pool_spikes(spikes: NDArray[np.bool_], pool: int, pooled: NDArray[np.bool_]) -> None:
    """Write which windows hold a spike: the maximum of bits is their OR.

    Parameters
    ----------
    spikes : (H, W, C) bool
    pool : side of a window
    pooled : (H/pool, W/pool, C) bool, written
    """
    pooled[:] = False
    for row in range(spikes.shape[0]):
        for column in range(spikes.shape[1]):
            for channel in range(spikes.shape[2]):
                pooled[row // pool, column // pool, channel] |= spikes[row, column, channel]


@compiled
def pool_currents(currents: NDArray[Any], pool: int, pooled: NDArray[Any]) -> None:
    """Write the largest current of every window.

    Parameters
    ----------
    currents : (H, W, C) int32 or float32
    pool : side of a window
    pooled : (H/pool, W/pool, C), of that dtype, written
    """
    rows, columns, channels = pooled.shape
    for row in range(rows):
        for column in range(columns):
            for channel in range(channels):
                pooled[row, column, channel] = currents[row * pool, column * pool, channel]
            for y in range(row * pool, (row + 1) * pool):
                for x in range(column * pool, (column + 1) * pool):
                    for channel in range(channels):
                        pooled[row, column, channel] = max(pooled[row, column, channel], currents[y, x, channel])
