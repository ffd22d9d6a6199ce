"""Integer SAM, the variant "fixed": maps whose bits a graph of neurons and one 1×1 convolution gives as well.

The equations, and how many bits are kept, are those of `backends/trace.py`. Here is one pass over packed bits; maps
that leave Lava's graph are equal to the bit (docs/on-chip.md).

References
----------
Kim & Panda 2021, Sci. Rep. 11, 19037, Eq. 12-14.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.trace import maps_of_packed, spike_trace
from spikesam.pipeline.maps.sam import check_packed
from spikesam.recordings.errors import InputError


def fixed_maps(
    packed: NDArray[np.uint8],
    shape: tuple[int, int, int],
    gamma: float,
    summed: int | None = None,
    steps: int | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Integer SAM of one sample in one layer, in a single pass over its spikes.

    Parameters
    ----------
    packed : (T, ⌈C·H·W/8⌉) uint8 — `np.packbits` of (C, H, W) in C-order
    shape : (C, H, W)
    gamma : decay of the kernel, 1/step, finite and ≥ 0
    summed : how many first steps are summed, 1 … T; all if not given
    steps : of how many first steps the maps are kept, 0 … T; of all if not given

    Returns
    -------
    (steps, H, W) float32, maps of 16 bits; (H, W) float32, the sum before maps are rounded to so many. Both are
    dimensionless and ≥ 0, as SAM in real numbers is

    Raises
    ------
    InputError : as `spike_trace`, or if `packed` does not hold C·H·W bits per step, or if there
        are not as many steps
    """
    check_packed(packed, shape)
    timesteps = len(packed)
    summed, steps = (timesteps if count is None else count for count in (summed, steps))
    if not (1 <= summed <= timesteps and 0 <= steps <= timesteps):
        raise InputError(f"steps: got {summed} and {steps}, expected at most {timesteps}, the steps of these spikes")
    trace = spike_trace(gamma, shape[0], timesteps)
    of_steps, of_sum = maps_of_packed(packed, shape, trace, summed, steps)
    return trace.of_steps(of_steps).reshape(-1, *shape[1:]), trace.of_sum(of_sum).reshape(shape[1:])
