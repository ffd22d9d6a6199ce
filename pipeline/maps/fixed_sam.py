"""Integer SAM, the variant "fixed": maps whose bits a graph of neurons and one 1×1 convolution gives as well.

The equations, and how many bits are kept, are those of :mod:`backends.trace`. Here are the definition in NumPy, to read
and to test against, and one pass over packed bits. The two are equal to the bit, and so are the maps that leave Lava's
graph (docs/on-chip.md).

References
----------
Kim & Panda 2021, Sci. Rep. 11, 19037, Eq. 12-14.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backends.trace import maps_of_packed, spike_trace
from recordings.errors import InputError

from .sam import check_packed


def fixed_spike_activation_map(spikes: NDArray[np.bool_], gamma: float) -> NDArray[np.int64]:
    """Integer SAM of one layer, by the definition, before anything leaves.

    Parameters
    ----------
    spikes : (T, B, C, H, W) bool — raster of one layer
    gamma : float, 1/step — decay of the kernel, finite and ≥ 0

    Returns
    -------
    (T, B, H, W) int64 — M, in units of 2⁻ᵏ

    Raises
    ------
    InputError : as :func:`backends.trace.spike_trace`, or if `spikes` is not 5-D bool
    """
    if spikes.ndim != 5 or spikes.dtype != np.bool_:
        raise InputError(f"SAM: got spikes of shape {spikes.shape} {spikes.dtype}, expected (T, B, C, H, W) bool")
    trace = spike_trace(gamma, spikes.shape[2], len(spikes))
    maps = np.zeros((len(spikes), spikes.shape[1], *spikes.shape[3:]), np.int64)
    score = np.zeros(spikes.shape[1:], np.int64)
    for fired, of_step in zip(spikes, maps, strict=True):
        score = (score * trace.kept >> 12) + fired.astype(np.int64) * 2**trace.trace_bits
        of_step[:] = (fired * (score >> (trace.trace_bits - trace.payload_bits))).sum(axis=1)
    return maps


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
    InputError : as :func:`backends.trace.spike_trace`, or if `packed` does not hold C·H·W bits per step, or if there
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
