"""Spikes -> maps in integers: traces of all neurons of a layer, one step after the other; see
`backends/trace.py`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.event.kernels.compiled import compiled, compiled_making_arrays
from spikesam.backends.event.kernels.events import unpack_spikes

LOW = np.int32(4095)
TWELVE = np.int32(12)

Constants = tuple[np.int32, np.int32, np.int32]  # see spikesam.backends.trace.SpikeTrace.constants


@compiled
def step_map(
    fired: NDArray[np.bool_],
    constants: Constants,
    traces: NDArray[np.int32],
    sums: NDArray[np.int32],
) -> None:
    """Advance traces by a step, and sum what spikes carry over channels.

    Parameters
    ----------
    fired : (P, C) bool — who fires, at P positions
    traces : (P, C) int32 — N[t-1] on entry, N[t] on return
    sums : (P,) int32, written — M[t]
    """
    kept_fraction, spike, shift = constants
    for position in range(len(fired)):
        total = np.int32(0)
        for channel in range(fired.shape[1]):
            previous = traces[position, channel]
            # N · kept takes 35 bits; its halves take 24 each, of which CPUs multiply twice as many
            # at a time. Numba would widen every result to 64 bits again.
            lower = np.int32(np.int32(previous & LOW) * kept_fraction)
            trace = np.int32(
                np.int32(np.int32(previous >> TWELVE) * kept_fraction) + np.int32(lower >> TWELVE)
            )
            fires = np.int32(-np.int32(fired[position, channel]))  # all bits, or none
            trace = np.int32(trace + np.int32(spike & fires))
            traces[position, channel] = trace
            total = np.int32(total + np.int32(np.int32(trace >> shift) & fires))
        sums[position] = total


@compiled_making_arrays
def step_maps(
    packed: NDArray[np.uint8],
    shape: tuple[int, int, int],
    constants: Constants,
    summed: int,
    total: NDArray[np.int32],
    dropped: np.int32,
    steps: NDArray[np.uint16],
) -> None:
    """All steps of one sample.

    Parameters
    ----------
    packed : (T, ⌈C·H·W/8⌉) uint8 — bits of (C, H, W) in C-order, as files have them
    shape : (H, W, C)
    summed : how many first steps are summed
    total : (H·W,) int32, written — their sum
    dropped : m
    steps : (S, H·W) uint16, written — rz(M, m) of the first S ≤ T steps
    """
    spikes = np.empty((1, *shape), np.bool_)
    fired = spikes.reshape(shape[0] * shape[1], shape[2])
    traces = np.zeros(fired.shape, np.int32)
    sums = np.empty(len(fired), np.int32)
    total[:] = 0
    for t in range(max(summed, len(steps))):
        unpack_spikes(packed[t : t + 1], spikes)
        step_map(fired, constants, traces, sums)
        if t < summed:
            total += sums
        if t < len(steps):
            steps[t] = sums >> dropped
