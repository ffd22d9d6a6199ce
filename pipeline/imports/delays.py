"""Networks without delay between layers, written as networks with one step of delay in each layer.

They take as many steps more as they have layers. Layer l then fires l steps later. It has no bias in the steps before
anything can have arrived, and behind its last step one so negative that nothing fires which the original has not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import Network, NetworkError

MOST_BIASES = 1 << 28  # of one layer, over all steps
SILENCE = 1 << 17  # thresholds that such a bias is below zero: 2²⁹ in fixed point


def delayed(
    bias: NDArray[np.float64], silent: int, timesteps: int, window: int | None = None, threshold: Any = 0.0
) -> NDArray[np.float64]:
    """A bias that acts in some steps alone: (C,) or rows (S, C) -> rows (T, C), or (1, C) where all are the same.

    Parameters
    ----------
    bias : of these steps
    silent : steps in front of them, whose bias is zero
    window : how many they are, behind which neurons of this threshold are kept from firing; None if to the end

    Raises
    ------
    NetworkError : if these would be more numbers than a network can hold
    """
    rows = np.atleast_2d(bias)
    channels, stop = rows.shape[1], timesteps if window is None else silent + window
    if len(rows) == 1 and stop >= timesteps - 1 and not (bias.any() and silent):
        return rows
    if timesteps * channels > MOST_BIASES:
        raise NetworkError(
            f"biases: {timesteps:,} steps of {channels:,} channels, expected at most {MOST_BIASES:,} numbers"
        )
    found = np.where(np.arange(timesteps)[:, None] < silent, 0.0, rows_later(rows, silent, timesteps))
    found[stop:-1] = -SILENCE * np.asarray(threshold)  # the last row acts at no step, and stays the bias
    return found


def with_window(network: Network, window: int | None, depths: Sequence[int]) -> Network:
    """The network with its window, if each layer stands as far from the readout as its depth says; else without.

    Raster files tell where a layer's window is by its way to the readout, which a delay of the model may shorten.
    """
    last, ways = depths[-1], network.to_readout
    stands = [last - ways[name] for name in ("input", *(layer.name for layer in network.layers))]
    return replace(network, window=window) if stands == [0, *depths] else network


def rows_later(rows: NDArray[np.float64], steps: int, timesteps: int) -> NDArray[np.float64]:
    """Rows (S, C) so many steps later, (T, C): the first and the last one go on; one row stays one."""
    return rows if len(rows) == 1 else rows[np.clip(np.arange(timesteps) - steps, 0, len(rows) - 1)]
