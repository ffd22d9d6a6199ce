"""Event-driven kernels: the only hot code, compiled by numba and free of any simulator.

Spikes are sparse, so synapses work per event: every spike adds its block of weights to the currents it reaches. With
channels last the block is contiguous, and the innermost loops run over consecutive memory, which the compiler turns
into vector instructions. Nothing here allocates or returns; results go into the array given last.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .network import MEMBRANE_LIMIT, THETA


@njit(cache=True, nogil=True)
def add_conv(
    spikes: NDArray[np.bool_],
    blocks: NDArray[Any],
    stride: int,
    padding: int,
    pool: int,
    current: NDArray[Any],
) -> None:
    """Add to `current` the correlation of summed pooling over `spikes` with a kernel.

    Parameters
    ----------
    spikes : (H, W, C) bool
    blocks : (C, KH, KW, O) int8 or float32 — the weights of an input channel side by side: a spike reads one
    stride, padding : of the correlation, in pooled pixels, the same for rows and columns
    pool : side of the sum pooling in front of it, 1 for none
    current : (OH, OW, O) int32 or float32, C-contiguous
    """
    height, width, channels = spikes.shape
    kernel_rows, kernel_columns, outputs = blocks.shape[1:]
    rows, columns = current.shape[:2]
    for y in range(height):
        row = y // pool + padding
        first_row = max(0, (row - kernel_rows + stride) // stride)
        last_row = min(rows - 1, row // stride)
        for x in range(width):
            column = x // pool + padding
            first_column = max(0, (column - kernel_columns + stride) // stride)
            last_column = min(columns - 1, column // stride)
            for channel in range(channels):
                if spikes[y, x, channel]:
                    for i in range(first_row, last_row + 1):
                        for j in range(first_column, last_column + 1):
                            target = current[i, j]
                            block = blocks[channel, row - i * stride, column - j * stride]
                            for output in range(outputs):
                                target[output] += block[output]


@njit(cache=True, nogil=True)
def add_dense(
    spikes: NDArray[np.bool_],
    blocks: NDArray[Any],
    current: NDArray[Any],
) -> None:
    """Add to `current` (O,) the row of `blocks` (N, O) of every spike in `spikes` (N,)."""
    outputs = len(current)
    for source in range(len(spikes)):
        if spikes[source]:
            block = blocks[source]
            for output in range(outputs):
                current[output] += block[output]


@njit(cache=True, nogil=True)
def step_fixed(
    current: NDArray[np.int32],
    gain: NDArray[np.int32],
    bias: NDArray[np.int32],
    decay: int,
    shift: int,
    membrane: NDArray[np.int32],
    spikes: NDArray[np.bool_],
) -> None:
    """Advance soft-reset neurons by one step in integers; see :class:`backends.network.FixedLIF`.

    Parameters
    ----------
    current : (P, C) int32 — `a[t]` at P positions of C channels
    gain, bias : (C,) int32 — of step t - 1
    membrane, spikes : (P, C) int32 and bool — of step t - 1 on entry, of step t on return
    """
    kept = np.int64(THETA - decay)
    for position in range(current.shape[0]):
        for channel in range(current.shape[1]):
            scaled = membrane[position, channel] * kept
            driven = np.int64(current[position, channel]) * np.int64(gain[channel])
            # rz: shifting the magnitude rounds toward zero, as Loihi decays; shifting a negative would round down.
            v = scaled >> 12 if scaled >= 0 else -(-scaled >> 12)
            v += driven >> shift if driven >= 0 else -(-driven >> shift)
            v += bias[channel]
            if spikes[position, channel]:
                v -= THETA
            v = min(max(v, -MEMBRANE_LIMIT), MEMBRANE_LIMIT)
            membrane[position, channel] = v
            spikes[position, channel] = v > THETA


@njit(cache=True, nogil=True)
def step_float(
    current: NDArray[np.float32],
    gain: NDArray[np.float32],
    bias: NDArray[np.float32],
    leak: np.float32,
    threshold: np.float32,
    membrane: NDArray[np.float32],
    spikes: NDArray[np.bool_],
) -> None:
    """Advance soft-reset neurons by one step in float32; see :class:`backends.network.LIF` and :func:`step_fixed`."""
    for position in range(current.shape[0]):
        for channel in range(current.shape[1]):
            v = leak * membrane[position, channel] + (gain[channel] * current[position, channel] + bias[channel])
            if spikes[position, channel]:
                v -= threshold
            membrane[position, channel] = v
            spikes[position, channel] = v > threshold


def compile_kernels(precision: str) -> None:
    """Compile (or load from numba's cache) every kernel for one precision: seconds the first time, then a moment.

    Call it before a timed part, and before forking, so that no child compiles again.
    """
    weight: Any = np.int8 if precision == "fixed" else np.float32
    current: Any = np.int32 if precision == "fixed" else np.float32
    spikes = np.zeros((1, 1, 1), np.bool_)
    add_conv(spikes, np.zeros((1, 1, 1, 1), weight), 1, 0, 1, np.zeros((1, 1, 1), current))
    add_dense(spikes[0, 0], np.zeros((1, 1), weight), np.zeros(1, current))
    channel: NDArray[Any] = np.zeros(1, current)
    state: NDArray[Any] = np.zeros((1, 1), current)
    if precision == "fixed":
        step_fixed(state, channel, channel, 0, 0, state.copy(), spikes[0])
    else:
        step_float(state, channel, channel, np.float32(1), np.float32(1), state.copy(), spikes[0])
