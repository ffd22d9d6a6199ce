"""Events -> currents: each spike adds a row of weights for every output pixel that sees it, and nothing else happens.

Why it is fast:

* The weights of 64 outputs (BLOCK) lie side by side, in one cache line of int8. An output pixel's 64 sums stay in
  vector registers while the rows of all spikes it sees are added: two of AVX-512, four of AVX2, as LLVM finds fit.
* Sums are int16, half the work of int32. Each weight is at most 127 in magnitude, so 258 of them reach at most
  32,766 < 2¹⁵; after so many the sums are moved to int32.
* With rows laid out as [block][y][x][channel], the row that an event needs is its number in the list of
  :func:`backends.kernels.events.list_events` plus a constant of the output pixel. So one list serves all output pixels,
  each with slices of it, and nothing is copied.
* Where more than half of all neurons fire, the silent ones are subtracted from what all would cause, so that half is
  the worst case. In float32, where that would round differently, it is not done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from backends.network import WEIGHT_LIMIT

from .events import list_events

BLOCK = 64  # outputs whose weights lie side by side
ADDITIONS = np.iinfo(np.int16).max // WEIGHT_LIMIT  # of int8 weights that an int16 holds: 258


class Synapses(NamedTuple):
    """A layer's weights as the kernels read them; made by :func:`lay_out`.

    Parameters
    ----------
    weights : (⌈O/64⌉, KH, KW, C, 64) int8 or float32 — rows, 64-byte aligned
    pool, stride, padding : as of a layer
    everything : (OH, OW, O) int32 — the current if all neurons fired; empty in float32
    """

    weights: NDArray[Any]
    pool: int
    stride: int
    padding: int
    everything: NDArray[np.int32]


def lay_out(kernel: NDArray[Any], shape: tuple[int, int, int], pool: int, stride: int, padding: int) -> Synapses:
    """Lay weights out for the kernels.

    Parameters
    ----------
    kernel : (O, C, KH, KW) int8 or float32 — of a correlation, for the sum-pooled map
    shape : (C, H, W) of the map in front of the pooling
    pool, stride, padding : as of a layer
    """
    outputs, channels, kernel_rows, kernel_columns = kernel.shape
    blocks = -(-outputs // BLOCK)
    rows = _aligned((blocks, kernel_rows, kernel_columns, channels, BLOCK), kernel.dtype)
    padded = np.zeros((blocks * BLOCK, channels, kernel_rows, kernel_columns), kernel.dtype)
    padded[:outputs] = kernel
    rows[:] = padded.reshape(blocks, BLOCK, channels, kernel_rows, kernel_columns).transpose(0, 3, 4, 2, 1)
    if kernel.dtype == np.int8:
        height, width = shape[1] // pool, shape[2] // pool
        everything = _everything(kernel, height, width, stride, padding) * np.int32(pool**2)
    else:
        everything = np.zeros((0, 0, 0), np.int32)
    return Synapses(rows, pool, stride, padding, everything)


def _everything(kernel: NDArray[np.int8], height: int, width: int, stride: int, padding: int) -> NDArray[np.int32]:
    """(OH, OW, O): the sum of all weights that lie on the (height, width) map, at every position of the kernel."""
    taps = kernel.sum(axis=1, dtype=np.int32)
    outputs, kernel_rows, kernel_columns = taps.shape
    sides = ((height, kernel_rows), (width, kernel_columns))
    rows, columns = ((side + 2 * padding - size) // stride + 1 for side, size in sides)
    current = np.zeros((rows, columns, outputs), np.int32)
    for y in range(kernel_rows):
        inside = _covered(y - padding, stride, rows, height)
        for x in range(kernel_columns):
            current[inside, _covered(x - padding, stride, columns, width)] += taps[:, y, x]
    return current


def _covered(offset: int, stride: int, positions: int, side: int) -> slice:
    """The positions i for which 0 ≤ i·stride + offset < side."""
    return slice(max(0, -(offset // stride)), max(0, min(positions, -((offset - side) // stride))))


def _aligned(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """An array that begins at a cache line."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.empty(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size].view(dtype).reshape(shape)


@intrinsic
def add_rows(
    _: Any, sums: Any, weights: Any, base: Any, events: Any, first: Any, last: Any
) -> tuple[Any, Callable[..., Any]]:
    """Add to `sums` (64,) the rows base + events[first … last-1] of `weights`; the sums stay in registers meanwhile.

    int8 weights are added to int16 sums, float32 to float32. Written as LLVM code, because numba would store the sums
    after every row.
    """
    fixed = weights.dtype == types.int8
    row = ir.VectorType(ir.IntType(8) if fixed else ir.FloatType(), BLOCK)
    total = ir.VectorType(ir.IntType(16) if fixed else ir.FloatType(), BLOCK)
    index = ir.IntType(64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = [context.make_array(signature.args[i])(context, builder, arguments[i]).data for i in (0, 1, 3)]
        sums = builder.bitcast(data[0], total.as_pointer())
        base, first, last = arguments[2], arguments[4], arguments[5]
        before = builder.load(sums, align=2)
        entry, loop, done = builder.block, builder.append_basic_block("rows"), builder.append_basic_block("done")
        builder.cbranch(builder.icmp_signed("<", first, last), loop, done)

        builder.position_at_end(loop)
        place, partial = builder.phi(index), builder.phi(total)
        event = builder.zext(builder.load(builder.gep(data[2], [place])), index)
        start = builder.mul(builder.add(base, event), ir.Constant(index, BLOCK))
        weight = builder.load(builder.bitcast(builder.gep(data[1], [start]), row.as_pointer()), align=16)
        after = builder.add(partial, builder.sext(weight, total)) if fixed else builder.fadd(partial, weight)
        following = builder.add(place, ir.Constant(index, 1))
        for phi, begin, again in ((place, first, following), (partial, before, after)):
            phi.add_incoming(begin, entry)
            phi.add_incoming(again, loop)
        builder.cbranch(builder.icmp_signed("<", following, last), loop, done)

        builder.position_at_end(done)
        result = builder.phi(total)
        result.add_incoming(before, entry)
        result.add_incoming(after, loop)
        builder.store(result, sums, align=2)
        return context.get_dummy_value()

    return types.void(sums, weights, types.int64, events, types.int64, types.int64), generate


@intrinsic
def move_sums(_: Any, sums: Any, current: Any, first: Any) -> tuple[Any, Callable[..., Any]]:
    """Add `sums` (64,) to current[first : first + 64] and clear them, as vectors again."""
    fixed = sums.dtype == types.int16
    narrow = ir.VectorType(ir.IntType(16) if fixed else ir.FloatType(), BLOCK)
    wide = ir.VectorType(ir.IntType(32) if fixed else ir.FloatType(), BLOCK)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = [context.make_array(signature.args[i])(context, builder, arguments[i]).data for i in (0, 1)]
        sums = builder.bitcast(data[0], narrow.as_pointer())
        target = builder.bitcast(builder.gep(data[1], [arguments[2]]), wide.as_pointer())
        before, added = builder.load(target, align=4), builder.load(sums, align=2)
        after = builder.add(before, builder.sext(added, wide)) if fixed else builder.fadd(before, added)
        builder.store(after, target, align=4)
        builder.store(ir.Constant(narrow, None), sums, align=2)
        return context.get_dummy_value()

    return types.void(sums, current, types.int64), generate


@njit(inline="always")
def _move(sums: NDArray[Any], current: NDArray[Any], first: int, width: int) -> None:
    """Add the first `width` sums to current[first : first + width] and clear all."""
    if width == BLOCK:
        move_sums(sums, current, first)  # type: ignore[call-arg]  # numba gives the first argument
    else:
        for output in range(width):
            current[first + output] += sums[output]
        sums[:] = 0


@njit(cache=True, nogil=True)
def add_spikes(
    spikes: NDArray[np.bool_],
    synapses: Synapses,
    events: NDArray[np.int32],
    ends: NDArray[np.int32],
    sums: NDArray[Any],
    current: NDArray[Any],
) -> None:
    """Set `current` to the correlation of the sum-pooled spikes with the weights.

    Parameters
    ----------
    spikes : (H, W, C) bool, C-contiguous
    synapses : the weights
    events, ends : int32, room for :func:`backends.kernels.events.list_events`
    sums : (64,) int16 or float32, zero; room for partial sums
    current : (OH, OW, O) int32 or float32, C-contiguous, written
    """
    weights, pool, stride, padding, everything = synapses
    _, kernel_rows, kernel_columns, channels, _ = weights.shape
    height, width = ends.shape[0], ends.shape[1] - 1
    outputs = current.shape[2]
    rows = weights.reshape(-1)
    mostly = 2 * list_events(spikes, True, pool, events, ends) > spikes.size and everything.size > 0
    if mostly:
        list_events(spikes, False, pool, events, ends)
    flat = current.reshape(-1)
    flat[:] = 0
    for block in range(weights.shape[0]):
        used = min(BLOCK, outputs - block * BLOCK)
        for i in range(current.shape[0]):
            top = i * stride - padding
            for j in range(current.shape[1]):
                left = j * stride - padding
                start = min(max(0, left), width)
                stop = max(start, min(width, left + kernel_columns))
                target = (i * current.shape[1] + j) * outputs + block * BLOCK
                added = 0
                for y in range(max(0, top), min(height, top + kernel_rows)):
                    base = ((block * kernel_rows + y - top) * kernel_columns - left) * channels
                    event, last = np.int64(ends[y, start]), np.int64(ends[y, stop])
                    while event < last:
                        upto = min(last, event + ADDITIONS - added)
                        add_rows(sums, rows, base, events, event, upto)  # type: ignore[call-arg]
                        added += upto - event
                        event = upto
                        if added == ADDITIONS:
                            _move(sums, flat, target, used)
                            added = 0
                _move(sums, flat, target, used)
    if mostly:
        total = everything.reshape(-1)
        for neuron in range(len(flat)):
            flat[neuron] = total[neuron] - flat[neuron]
