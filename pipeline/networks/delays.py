"""Networks without delay between layers, written as networks with one step of delay in each layer.

They take as many steps more as they have layers. Layer l then fires l steps later, and has no bias in the steps before
anything can have arrived.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import NetworkError

MOST_BIASES = 1 << 28  # of one layer, over all steps


def delayed(bias: NDArray[np.float64], silent: int, timesteps: int) -> NDArray[np.float64]:
    """A bias that is zero in the first steps: (C,) -> (T, C) rows, or (1, C) where all are the same.

    Raises
    ------
    NetworkError : if these would be more numbers than a network can hold
    """
    if not bias.any() or not silent:
        return bias[None]
    if timesteps * len(bias) > MOST_BIASES:
        raise NetworkError(
            f"biases: {timesteps:,} steps of {len(bias):,} channels, expected at most {MOST_BIASES:,} numbers"
        )
    return np.where(np.arange(timesteps)[:, None] < silent, 0.0, bias)
