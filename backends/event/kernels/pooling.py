"""Maximum pooling: of spikes, in front of synapses, and of currents, behind them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.event.kernels.compiled import internal
from spikesam.backends.network import Windows


@internal
def pool_spikes(
    spikes: NDArray[np.bool_], pool: tuple[int, int], pooled: NDArray[np.bool_]
) -> None:
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


@internal
def pool_currents(currents: NDArray[Any], windows: Windows, pooled: NDArray[Any]) -> None:
    """Write the largest current of every window, or their sum where only one place is written for
    several windows.

    Parameters
    ----------
    currents : (H, W, C) int32 or float32
    windows : each holds some of the currents
    pooled : (H', W', nC), of that dtype, written, where channels are repeated; (1, 1, C) of sums
    """
    (rows, columns), (down, across), (above, beside) = (
        windows.sides,
        windows.stride,
        windows.padding,
    )
    window_rows = (currents.shape[0] + 2 * above - rows) // down + 1
    window_columns, channels = (
        (currents.shape[1] + 2 * beside - columns) // across + 1,
        currents.shape[2],
    )
    if pooled.shape[0] == pooled.shape[1] == 1 and window_rows * window_columns > 1:
        pooled[:] = 0
        for row in range(window_rows):
            top, bottom = (
                max(0, row * down - above),
                min(row * down - above + rows, currents.shape[0]),
            )
            for column in range(window_columns):
                left = max(0, column * across - beside)
                right = min(column * across - beside + columns, currents.shape[1])
                for channel in range(pooled.shape[2]):
                    largest = currents[top, left, channel]
                    for y in range(top, bottom):
                        for x in range(left, right):
                            largest = max(largest, currents[y, x, channel])
                    pooled[0, 0, channel] += largest
        return
    for row in range(pooled.shape[0]):
        top, bottom = max(0, row * down - above), min(row * down - above + rows, currents.shape[0])
        for column in range(pooled.shape[1]):
            left, right = (
                max(0, column * across - beside),
                min(column * across - beside + columns, currents.shape[1]),
            )
            for channel in range(channels):
                pooled[row, column, channel] = currents[top, left, channel]
            for y in range(top, bottom):
                for x in range(left, right):
                    for channel in range(channels):
                        pooled[row, column, channel] = max(
                            pooled[row, column, channel], currents[y, x, channel]
                        )
            for channel in range(channels, pooled.shape[2]):
                pooled[row, column, channel] = pooled[row, column, channel - channels]
