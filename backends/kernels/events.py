"""Spikes as bytes -> lists of who fired, and bits for the file.

Both look at 64 neurons at a time: one vector comparison makes a word of them, and only its set bits are visited.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

WORD = 64
ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


@intrinsic
def trailing_zeros(_: Any, word: Any) -> tuple[Any, Callable[..., Any]]:
    """Position of the lowest set bit of a word ≠ 0: one machine instruction, which numba has no name for."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), True))

    return types.uint64(word), generate


@intrinsic
def load_word(_: Any, spikes: Any, first: Any) -> tuple[Any, Callable[..., Any]]:
    """Bit i is spikes[first + i], for 64 neighbours of a flat bool array: a vector load and a comparison."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        vector = ir.VectorType(ir.IntType(8), WORD)
        pointer = builder.bitcast(builder.gep(array.data, [arguments[1]]), vector.as_pointer())
        fired = builder.icmp_unsigned("!=", builder.load(pointer, align=1), ir.Constant(vector, None))
        return builder.bitcast(fired, ir.IntType(WORD))

    return types.uint64(spikes, types.int64), generate


@njit(inline="always")
def word_of(spikes: NDArray[np.bool_], first: int, width: int) -> Any:
    """Bit i is spikes[first + i] for i < width ≤ 64, other bits are 0."""
    if first + WORD <= len(spikes):
        word: Any = load_word(spikes, first)  # type: ignore[call-arg]  # numba gives the first argument
        return word & (ALL >> np.uint64(WORD - width))
    word = np.uint64(0)
    for i in range(width):
        word |= np.uint64(spikes[first + i]) << np.uint64(i)
    return word


@njit(cache=True, nogil=True)
def list_events(
    spikes: NDArray[np.bool_], fired: bool, pool: int, events: NDArray[np.int32], ends: NDArray[np.int32]
) -> int:
    """List the neurons that fired, or those that did not, by the pooled pixel they belong to.

    Parameters
    ----------
    spikes : (H, W, C) bool, C-contiguous
    fired : whether to list those that fired, or the silent ones
    pool : side of the sum pooling, 1 for none; divides H and W
    events : (≥ H·W·C,) int32, written — X·C + c of every event, for pooled column X and channel c. Events of a pooled
        row lie side by side and ascend in X, so that those a kernel covers are one slice
    ends : (H/pool, W/pool + 1) int32, written — the events of pooled pixel (Y, X) are events[ends[Y, X] : ends[Y, X+1]]

    Returns
    -------
    number of events
    """
    height, width, channels = spikes.shape
    flat = spikes.reshape(-1)
    flip = np.uint64(0) if fired else ALL
    count = 0
    for row in range(height // pool):
        for column in range(width // pool):
            ends[row, column] = count
            for y in range(row * pool, (row + 1) * pool):
                for x in range(column * pool, (column + 1) * pool):
                    pixel = (y * width + x) * channels
                    for first in range(0, channels, WORD):
                        span = min(WORD, channels - first)
                        word = word_of(flat, pixel + first, span) ^ (flip >> np.uint64(WORD - span))
                        event = column * channels + first
                        while word:
                            place: Any = trailing_zeros(word)  # type: ignore[call-arg]
                            events[count] = event + np.int64(place)
                            word &= word - np.uint64(1)
                            count += 1
        ends[row, width // pool] = count
    return count


@njit(cache=True, nogil=True)
def pack_spikes(spikes: NDArray[np.bool_], packed: NDArray[np.uint8]) -> None:
    """Write `np.packbits` of the map in the file's order.

    Parameters
    ----------
    spikes : (H, W, C) bool, C-contiguous
    packed : (⌈C·H·W/8⌉,) uint8, written — big-endian bits of (C, H, W) in C-order, pad bits zero
    """
    height, width, channels = spikes.shape
    flat = spikes.reshape(-1)
    pixels = height * width
    packed[:] = 0
    for pixel in range(pixels):
        for first in range(0, channels, WORD):
            word = word_of(flat, pixel * channels + first, min(WORD, channels - first))
            while word:
                place: Any = trailing_zeros(word)  # type: ignore[call-arg]
                bit = np.uint64((first + np.int64(place)) * pixels + pixel)
                packed[bit >> np.uint64(3)] |= np.uint8(128) >> np.uint8(bit & np.uint64(7))
                word &= word - np.uint64(1)
