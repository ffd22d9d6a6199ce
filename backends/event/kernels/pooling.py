"""Maximum pooling: of spikes, in front of synapses, and of currents, behind them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.event.kernels.compiled import compiled


@compiled
def pool_spikes(spikes: NDArray[np.bool_], pool: tuple[int, int], pooled: NDArray[np.bool_]) -> None:
    """Write which windows hold a spike: the maximum of bits is their OR.

    Parameters
    ----------
    spikes : (H, W, C) bool
    pool : (y, x) of a window
    pooled : (H/y, W/x, C) bool, written
    """
    rows, columns = pool
    pooled[:] = False
    for row in range(spikes.shape[0]):
        for column in range(spikes.shape[1]):
            for channel in range(spikes.shape[2]):
                pooled[row // rows, column // columns, channel] |= spikes[row, column, channel]


@compiled
def pool_currents(currents: NDArray[Any], pool: tuple[int, int], pooled: NDArray[Any]) -> None:
    """Write the largest current of every window.

    Parameters
    ----------
    currents : (H, W, C) int32 or float32
    pool : (y, x) of a window
    pooled : (H/y, W/x, C), of that dtype, written
    """
    rows, columns = pool
    for row in range(pooled.shape[0]):
        for column in range(pooled.shape[1]):
            for channel in range(pooled.shape[2]):
                pooled[row, column, channel] = currents[row * rows, column * columns, channel]
            for y in range(row * rows, (row + 1) * rows):
                for x in range(column * columns, (column + 1) * columns):
                    for channel in range(pooled.shape[2]):
                        pooled[row, column, channel] = max(pooled[row, column, channel], currents[y, x, channel])
