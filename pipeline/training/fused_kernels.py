"""The loops of `pipeline/training/fused.py`: rows of channels, over all steps, in blocks that stay in cache.

Numba knows no bfloat16, so it travels as uint16: the upper half of a float32's bits.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba.extending import overload

from spikesam.backends.event.kernels.cache import cached

ROWS = 256  # rows (samples × pixels) per task: a block of all steps stays in cache, and all cores get work


def _load(value: Any) -> Any:
    """The float32 that an element of `current` stands for."""


@overload(_load)
def _load_overload(value: Any) -> Any:
    if value == numba.uint16:

        def load_bfloat16(value: Any) -> Any:
            return np.uint32(np.uint32(value) << np.uint32(16)).view(np.float32)

        return load_bfloat16

    def load_float32(value: Any) -> Any:
        return value

    return load_float32


def _store(array: Any, t: int, row: int, channel: int, value: Any) -> None:
    """Write a float32 to an element, rounding half to even where that is bfloat16."""


@overload(_store)
def _store_overload(array: Any, t: int, row: int, channel: int, value: Any) -> Any:
    if array.dtype == numba.uint16:

        def store_bfloat16(array: Any, t: int, row: int, channel: int, value: Any) -> None:
            bits = np.float32(value).view(np.uint32)
            array[t, row, channel] = np.uint16(
                (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
            )

        return store_bfloat16

    def store_float32(array: Any, t: int, row: int, channel: int, value: Any) -> None:
        array[t, row, channel] = value

    return store_float32


@cached(parallel=True)
def moments(a: Any) -> Any:
    """Σa and Σa² of each step and channel, one row of partial sums per block: 2 × (blocks, T, C) float64."""
    steps, rows, channels = a.shape
    blocks = (rows + ROWS - 1) // ROWS
    sums = np.zeros((blocks, steps, channels))
    squares = np.zeros((blocks, steps, channels))
    for block in numba.prange(blocks):
        for t in range(steps):
            total = np.zeros(channels, np.float32)
            square = np.zeros(channels, np.float32)
            for row in range(block * ROWS, min(rows, (block + 1) * ROWS)):
                for c in range(channels):
                    value = _load(a[t, row, c])
                    total[c] += value
                    square[c] += value * value
            sums[block, t] = total
            squares[block, t] = square
    return sums, squares


@cached(parallel=True)
def fire_all_steps(a: Any, gain: Any, bias: Any, leak: Any, threshold: Any, membrane: Any, spikes: Any) -> None:
    """Spikes of all steps; `membrane` is advanced from before the first to after the last."""
    steps, rows, channels = a.shape
    blocks = (rows + ROWS - 1) // ROWS
    for block in numba.prange(blocks):
        for t in range(steps):
            for row in range(block * ROWS, min(rows, (block + 1) * ROWS)):
                for c in range(channels):
                    previous = membrane[row, c]
                    reset = threshold if previous > threshold else np.float32(0)
                    now = leak * previous + gain[t, c] * _load(a[t, row, c]) + bias[t, c] - reset
                    membrane[row, c] = now
                    _store(spikes, t, row, c, np.float32(1) if now > threshold else np.float32(0))


@cached(parallel=True)
def backward_through_time(
    a: Any,
    through_spikes: Any,
    gain: Any,
    bias: Any,
    mean: Any,
    inverse: Any,
    leak: Any,
    threshold: Any,
    slope: Any,
    start: Any,
    through_membrane: Any,
) -> Any:
    """∂L/∂v into `through_membrane`, and Σ∂L/∂v and Σ∂L/∂v·â per block; membranes are worked out again."""
    steps, rows, channels = a.shape
    blocks = (rows + ROWS - 1) // ROWS
    sums = np.zeros((blocks, steps, channels))
    products = np.zeros((blocks, steps, channels))
    inverse_threshold = np.float32(1) / threshold
    steepness = slope * inverse_threshold
    for block in numba.prange(blocks):
        first, last = block * ROWS, min(rows, (block + 1) * ROWS)
        before = np.zeros((last - first, channels), np.float32)
        if start is not None:
            before[:] = start[first:last]
        v = np.empty((steps, last - first, channels), np.float32)
        for t in range(steps):
            for row in range(last - first):
                for c in range(channels):
                    previous = v[t - 1, row, c] if t > 0 else before[row, c]
                    reset = threshold if previous > threshold else np.float32(0)
                    v[t, row, c] = leak * previous + gain[t, c] * _load(a[t, first + row, c]) + bias[t, c] - reset
        later = np.zeros((last - first, channels), np.float32)
        for t in range(steps - 1, -1, -1):
            total = np.zeros(channels, np.float32)
            product = np.zeros(channels, np.float32)
            for row in range(last - first):
                for c in range(channels):
                    distance = abs(v[t, row, c] * inverse_threshold - np.float32(1))
                    surrogate = steepness * max(np.float32(0), np.float32(1) - distance)
                    now = leak * later[row, c] + _load(through_spikes[t, first + row, c]) * surrogate
                    later[row, c] = now
                    through_membrane[t, first + row, c] = now
                    total[c] += now
                    product[c] += now * (_load(a[t, first + row, c]) - mean[t, c]) * inverse[t, c]
            sums[block, t] = total
            products[block, t] = product
    return sums, products


@cached(parallel=True)
def backward_through_normalisation(
    a: Any,
    through_membrane: Any,
    gain: Any,
    mean: Any,
    inverse: Any,
    mean_gradient: Any,
    mean_product: Any,
    result: Any,
) -> None:
    """∂L/∂a = gain·(∂L/∂v - mean(∂L/∂v) - â·mean(∂L/∂v·â))."""
    steps, rows, channels = a.shape
    blocks = (rows + ROWS - 1) // ROWS
    for block in numba.prange(blocks):
        for t in range(steps):
            for row in range(block * ROWS, min(rows, (block + 1) * ROWS)):
                for c in range(channels):
                    normalised = (_load(a[t, row, c]) - mean[t, c]) * inverse[t, c]
                    value = through_membrane[t, row, c] - mean_gradient[t, c] - normalised * mean_product[t, c]
                    _store(result, t, row, c, gain[t, c] * value)
