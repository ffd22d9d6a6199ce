"""Spikes (T, C, H, W) to make maps of: any, and those of one neuron."""

import numpy as np
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

rasters = array_shapes(min_dims=4, max_dims=4, max_side=6).flatmap(
    lambda shape: arrays(np.bool_, shape)
)


def single_neuron(*spikes: int) -> NDArray[np.bool_]:
    return np.array(spikes, bool).reshape(-1, 1, 1, 1)
