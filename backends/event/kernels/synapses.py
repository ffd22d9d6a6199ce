"""Events -> currents: each spike adds a row of weights for every output pixel that sees it.

Why it is fast:

* The weights of 64 outputs lie side by side, in one cache line (of a layer that has fewer, 32 or 16). An output pixel's
  64 sums stay in vector registers while the rows of all spikes it sees are added.
* Sums are int16, half the work of int32. Each weight is at most 127 in magnitude, so 258 of them reach at most
  32,766 < 2¹⁵; after so many the sums are moved to int32.
* An int16 holds two weights, as 256·h + (l + 128), and are added together; the upper byte, shifted down, is added once
  more. Of n rows the first sum is 256·Σh + Σl + 128·n modulo 2¹⁶, and the second is Σh, which gives Σl. That is one
  load, a shift and two additions for 64 weights, where widening them from int8 first takes twice as much.
* With rows laid out as [block][x][y][channel], the row that an event needs is its number in the list of
  `list_window` plus a constant of the output pixel. So one list serves a row of
  output pixels and all outputs, and what an output pixel sees is one slice of it: a single loop, whose end the
  processor mispredicts once.
* Where more than half of all neurons fire, the silent ones are subtracted from what all would cause, so that half is
  the worst case. In float32, where that would round differently, it is not done.
* Between few and nearly all, where multiplying is cheaper, :mod:`spikesam.backends.event.kernels.products` does that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

from spikesam.backends.event.kernels.aligned import LINE, aligned
from spikesam.backends.event.kernels.compiled import LEAN, PART, internal
from spikesam.backends.event.kernels.events import COPIED, count_spikes, list_events, list_window
from spikesam.backends.event.kernels.products import (
    Pair,
    ProductRoom,
    Products,
    block_size,
    lay_out_products,
    multiply_spikes,
    product_room,
)
from spikesam.backends.event.kernels.tiles import HOW
from spikesam.backends.network import WEIGHT_LIMIT

BLOCKS = (16, 32, 64)  # outputs whose weights lie side by side: the fewest that hold all of a layer, or else the most
ADDITIONS = np.iinfo(np.int16).max // WEIGHT_LIMIT  # of int8 weights that an int16 holds: 258


class WeightLayout(NamedTuple):
    """A layer's weights as the kernels read them; made by :func:`lay_out`.

    Parameters
    ----------
    weights : (⌈O/64⌉, KW, KH, C, 32) int16, each of two weights, or (…, 64) float32 — rows, aligned; of few outputs the
        16 or 32 that hold them all
    pool, stride, padding : (y, x), as of a layer
    everything : (OH, OW, O) int32 — the current if all neurons fired; empty in float32
    products : the same weights for :func:`spikesam.backends.event.kernels.products.multiply_spikes`
    """

    weights: NDArray[Any]
    pool: Pair
    stride: Pair
    padding: Pair
    everything: NDArray[np.int32]
    products: Products


class Room(NamedTuple):
    """Memory that :func:`correlate` works in; made by :func:`room_for`.

    Parameters
    ----------
    events, ends : see :func:`spikesam.backends.event.kernels.events.list_events`
    window, starts : see :func:`spikesam.backends.event.kernels.events.list_window`
    block_current : (outputs of a block,) as the current
    products : see :func:`spikesam.backends.event.kernels.products.multiply_spikes`
    """

    events: NDArray[np.int32]
    ends: NDArray[np.int32]
    window: NDArray[np.int32]
    starts: NDArray[np.int32]
    block_current: NDArray[Any]
    products: ProductRoom


def room_for(synapses: WeightLayout, shape: tuple[int, int, int]) -> Room:
    """Room to work in for maps of (C, H, W); every thread needs its own."""
    channels, height, width = shape
    (rows, columns), (_, _, kernel_rows, _, lanes) = synapses.pool, synapses.weights.shape
    positions = synapses.everything.shape[:2]  # where there are products
    return Room(
        np.empty(channels * height * width + COPIED, np.int32),
        np.empty((height // rows, width // columns + 1), np.int32),
        np.empty(channels * rows * width * kernel_rows + COPIED, np.int32),
        np.empty(width // columns + 1, np.int32),
        np.zeros(2 * lanes, np.int32) if synapses.weights.dtype == np.int16 else np.zeros(lanes, np.float32),
        product_room(synapses.products, shape, synapses.pool, synapses.stride, synapses.padding, positions),
    )


def lay_out(
    kernel: NDArray[Any], shape: tuple[int, int, int], pool: Pair, stride: Pair, padding: Pair, sources: int = 1
) -> WeightLayout:
    """Lay weights out for the kernels.

    Parameters
    ----------
    kernel : (O, C, KH, KW) int8 or float32 — of a correlation, for the sum-pooled map
    shape : (C, H, W) of the map in front of the pooling
    pool, stride, padding : (y, x), as of a layer
    sources : how many maps may be summed before they are multiplied
    """
    outputs, channels, kernel_rows, kernel_columns = kernel.shape
    size = block_size(BLOCKS, outputs)
    blocks = -(-outputs // size)
    padded = np.zeros((blocks * size, channels, kernel_rows, kernel_columns), kernel.dtype)
    padded[:outputs] = kernel
    rows = padded.reshape(blocks, size, channels, kernel_rows, kernel_columns).transpose(0, 4, 3, 2, 1)
    seen, summed = (shape[1] // pool[0], shape[2] // pool[1]), pool[0] * pool[1]
    positions = positions_of(seen, (kernel_rows, kernel_columns), stride, padding)
    products = lay_out_products(kernel, summed * sources)
    if kernel.dtype == np.int8:
        low, high = np.split(rows.astype(np.int16), 2, axis=-1)
        rows = 256 * high + low + 128
        everything = _everything(kernel, seen, positions, stride, padding) * np.int32(summed)
    else:
        everything = np.zeros((0, 0, 0), np.int32)
    return WeightLayout(aligned(rows), pool, stride, padding, everything, products)


def positions_of(seen: Pair, kernel: Sequence[int], stride: Pair, padding: Pair) -> Pair:
    """How many positions a kernel has on the pooled map that it sees, down and across."""
    down, across = (
        (side + 2 * around - taps) // step + 1
        for side, taps, step, around in zip(seen, kernel, stride, padding, strict=True)
    )
    return down, across


def _everything(
    kernel: NDArray[np.int8], seen: Pair, positions: Pair, stride: Pair, padding: Pair
) -> NDArray[np.int32]:
    """(OH, OW, O): the sum of all weights that lie on the pooled map that is seen, at every position of the kernel."""
    taps = kernel.sum(axis=1, dtype=np.int32)
    current = np.zeros((*positions, len(taps)), np.int32)
    for y, x in np.ndindex(taps.shape[1:]):
        rows, columns = map(_covered, (y - padding[0], x - padding[1]), stride, positions, seen)
        current[rows, columns] += taps[:, y, x]
    return current


def _covered(offset: int, stride: int, positions: int, side: int) -> slice:
    """The positions i for which 0 ≤ i·stride + offset < side."""
    return slice(max(0, -(offset // stride)), max(0, min(positions, -((offset - side) // stride))))


def rows_of(outputs: int) -> Any:
    """A function that adds rows of the weights of so many outputs."""

    @intrinsic
    def add_rows(
        _: Any, weights: Any, base: Any, events: Any, first: Any, last: Any, current: Any, target: Any, more: Any
    ) -> tuple[Any, Callable[..., Any]]:
        """Set the current from `target` on to the rows base + events[first … last-1] of `weights`, or add if `more`.

        They are summed in registers first. Written as LLVM code, because numba would store the sums after every row.
        """
        fixed = weights.dtype == types.int16
        index, short = ir.IntType(64), ir.IntType(16)
        lanes = outputs // 2 if fixed else outputs
        row = ir.VectorType(short if fixed else ir.FloatType(), lanes)

        def everywhere(number: int) -> Any:
            return ir.Constant(row, [number] * lanes)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            def element(array: int, place: Any) -> Any:
                data = context.make_array(signature.args[array])(context, builder, arguments[array]).data
                return builder.gep(data, [place])

            def add_to_current(offset: int, sums: Any) -> None:
                wide = ir.VectorType(ir.IntType(32) if fixed else ir.FloatType(), lanes)
                place = builder.add(arguments[6], ir.Constant(index, offset))
                pointer = builder.bitcast(element(5, place), wide.as_pointer())
                before = builder.select(arguments[7], builder.load(pointer, align=4), ir.Constant(wide, None))
                total = builder.add(before, builder.sext(sums, wide)) if fixed else builder.fadd(before, sums)
                builder.store(total, pointer, align=4)

            base, first, last = arguments[1], arguments[3], arguments[4]
            rows = element(0, builder.mul(base, ir.Constant(index, lanes)))
            entry, loop, done = builder.block, builder.append_basic_block("rows"), builder.append_basic_block("done")
            builder.cbranch(builder.icmp_signed("<", first, last), loop, done)

            builder.position_at_end(loop)
            place, *before = (builder.phi(kind) for kind in (index, row, row)[: 3 if fixed else 2])
            event = builder.mul(builder.zext(builder.load(element(2, place)), index), ir.Constant(index, lanes))
            weight = builder.load(
                builder.bitcast(builder.gep(rows, [event]), row.as_pointer()),
                align=min(LINE, lanes * (2 if fixed else 4)),
            )
            terms = (weight, builder.ashr(weight, everywhere(8))) if fixed else (weight,)
            after = [(builder.add if fixed else builder.fadd)(*pair) for pair in zip(before, terms, strict=True)]
            following = builder.add(place, ir.Constant(index, 1))
            zero = ir.Constant(row, None)
            for phi, begin, again in zip((place, *before), (first, zero, zero), (following, *after), strict=False):
                phi.add_incoming(begin, entry)
                phi.add_incoming(again, loop)
            builder.cbranch(builder.icmp_signed("<", following, last), loop, done)

            builder.position_at_end(done)
            sums = [builder.phi(row) for _ in after]
            for total, new in zip(sums, after, strict=True):
                total.add_incoming(zero, entry)
                total.add_incoming(new, loop)
            if fixed:
                both, high = sums
                count = builder.trunc(builder.sub(last, first), short)
                counts = ir.Constant(row, ir.Undefined)
                for lane in range(lanes):
                    counts = builder.insert_element(counts, count, ir.Constant(ir.IntType(32), lane))
                low = builder.sub(
                    builder.sub(both, builder.shl(high, everywhere(8))), builder.mul(counts, everywhere(128))
                )
                add_to_current(0, low)
                add_to_current(lanes, high)
            else:
                add_to_current(0, sums[0])
            return context.get_dummy_value()

        integer = types.int64
        return types.void(weights, integer, events, integer, integer, current, integer, types.boolean), generate

    return add_rows


add_rows_16, add_rows_32, add_rows_64 = map(rows_of, BLOCKS)


@internal
def add_spikes(spikes: NDArray[np.bool_], synapses: WeightLayout, room: Room, current: NDArray[Any]) -> None:
    """Set `current` to the correlation of the sum-pooled spikes with the weights.

    Parameters
    ----------
    spikes : (H, W, C) bool, C-contiguous
    synapses : the weights
    room : to work in
    current : (OH, OW, O) int32 or float32, C-contiguous, written
    """
    weights, pool, stride, padding, everything, _ = synapses
    events, ends, window, starts, block_current, _ = room
    blocks, kernel_columns, kernel_rows, channels, _ = weights.shape
    width = ends.shape[1] - 1
    rows, columns, outputs = current.shape
    size = len(block_current)
    weight_rows, flat = weights.reshape(-1), current.reshape(-1)
    mostly = 2 * list_events(spikes, True, pool, events, ends) > spikes.size and everything.size > 0
    if mostly:
        list_events(spikes, False, pool, events, ends)
    for i in range(rows):
        list_window(events, ends, i * stride[0] - padding[0], kernel_rows, channels, window, starts)
        for block in range(blocks):
            whole = outputs - block * size >= size
            sums = flat if whole else block_current
            for j in range(columns):
                left = j * stride[1] - padding[1]
                start = min(max(0, left), width)
                event, last = np.int64(starts[start]), np.int64(starts[max(start, min(width, left + kernel_columns))])
                base = (block * kernel_columns - left) * kernel_rows * channels
                target = (i * columns + j) * outputs + block * size
                place = target if whole else 0
                more = False
                while not more or event < last:
                    upto = min(last, event + ADDITIONS)
                    if size == 16:
                        add_rows_16(weight_rows, base, window, event, upto, sums, place, more)
                    elif size == 32:
                        add_rows_32(weight_rows, base, window, event, upto, sums, place, more)
                    else:
                        add_rows_64(weight_rows, base, window, event, upto, sums, place, more)
                    event, more = upto, True
                if not whole:
                    for output in range(outputs - block * size):  # a slice would compile how to tell of its shape
                        flat[target + output] = sums[output]
    if mostly:
        total = everything.reshape(-1)
        for neuron in range(len(flat)):
            flat[neuron] = total[neuron] - flat[neuron]


def _multiplied(spikes: Any, synapses: WeightLayout, room: Room, current: Any) -> bool:
    """Set `current` by :func:`~.products.multiply_spikes` if that is cheaper; whether it was."""
    raise NotImplementedError  # compiled only


@overload(_multiplied, jit_options=LEAN | PART)
def _multiplied_overload(spikes: Any, synapses: Any, room: Any, current: Any) -> Any:
    if HOW is None or current.dtype != types.int32:  # then nothing of it is compiled

        def never(spikes: Any, synapses: Any, room: Any, current: Any) -> bool:
            return False

        return never

    def multiply(spikes: Any, synapses: Any, room: Any, current: Any) -> bool:
        products = synapses.products
        if not len(products.weights):
            return False
        count = count_spikes(spikes)
        if min(count, spikes.size - count) + products.costs.pixels <= products.costs.step:
            return False
        multiply_spikes(spikes, products, synapses.pool, synapses.stride, synapses.padding, room.products, current)
        return True

    return multiply


@njit(inline="always")  # compiled by itself, it would take seconds
def correlate(spikes: NDArray[np.bool_], synapses: WeightLayout, room: Room, current: NDArray[Any]) -> None:
    """:func:`add_spikes`, or where that takes longer :func:`~.products.multiply_spikes`, with the same result."""
    if not _multiplied(spikes, synapses, room, current):
        add_spikes(spikes, synapses, room, current)
