"""Events -> currents: each spike adds a row of weights for every output pixel that sees it.

Why it is fast:

* The weights of 64 outputs lie side by side, in one cache line (of a layer that has fewer, 32 or
  16). An output pixel's 64 sums stay in vector registers while the rows of all spikes it sees are
  added.
* Eight rows are added as a tree, in bytes: of two bytes, an instruction gives the mean, rounded up.
  Such means of eight weights are an eighth of their sum, rounded up by at most 12/8. The sum of
  bytes modulo 256 says by how much the means were rounded up in all, while that is below 256: 21
  means. So 64 weights take one load and 2.25 instructions, where widening them first takes five,
  and each sum is exact.
* With rows laid out as [block][x][y][channel], the row that an event needs lies behind a row that
  depends on the output pixel alone, as far as the list of `list_window` says. So one list serves a
  row of output pixels and all outputs, and what an output pixel sees is one slice of it: a single
  loop, whose end the processor mispredicts once.
* A block of many weights does not stay in the nearest cache. They are laid out as
  [block][y][x][channel], and those of one row of the kernel are added for all output pixels before
  those of the next row are.
* Where more than half of all neurons fire, the silent ones are subtracted from what all would
  cause, so that half is the worst case. In float32, where that would round differently, it is not
  done.
* Between few and nearly all, where multiplying is cheaper,
  :mod:`spikesam.backends.event.kernels._products` does that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

from spikesam.backends.event.kernels._products import (
    Pair,
    ProductRoom,
    ProductWeights,
    block_size,
    lay_out_products,
    multiply_spikes,
    product_room,
)
from spikesam.backends.event.kernels._tiles import HOW
from spikesam.backends.event.kernels.aligned import LINE, at_cache_line
from spikesam.backends.event.kernels.compiled import LEAN, PART, inlined, internal
from spikesam.backends.event.kernels.events import (
    COPIED,
    WORD,
    count_spikes,
    list_events,
    list_window,
)
from spikesam.backends.event.kernels.private_numba import cgutils
from spikesam.common.errors import InputError

BLOCKS = (
    16,
    32,
    64,
)  # outputs whose weights lie side by side: the fewest that hold all of a layer, or else the most
HALVINGS = 3
TOGETHER = 1 << HALVINGS  # rows of a tree
ADDITIONS = TOGETHER * (
    256 * 2 // (HALVINGS * TOGETHER)
)  # of rows whose means are rounded up by less than 256: 168
FLOAT_ADDITIONS = (
    258  # in float32, by which sums are rounded: another number is another network's digest
)
FARTHEST = 1 << 32  # bytes that an event's row lies from its base, fewer


class WeightLayout(NamedTuple):
    """A layer's weights as the kernels read them; made by :func:`lay_out`.

    Parameters
    ----------
    weights : (⌈O/64⌉, KW, KH, C, 64) uint8, 128 more, or float32 — rows, aligned; of few outputs
        the 16 or 32 that hold them all. Bytes are of outputs 0, 32, 1, 33, …
    pool, stride, padding : (y, x), as of a layer
    everything : (OH, OW, O) int32 — the current if all neurons fired; empty in float32
    products : the same weights for
        :func:`spikesam.backends.event.kernels._products.multiply_spikes`
    """

    weights: NDArray[Any]
    pool: Pair
    stride: Pair
    padding: Pair
    everything: NDArray[np.int32]
    products: ProductWeights


class Room(NamedTuple):
    """Memory that :func:`correlate` works in; made by :func:`room_for`.

    Parameters
    ----------
    events, ends : see :func:`spikesam.backends.event.kernels.events.list_events`
    window, starts : see :func:`spikesam.backends.event.kernels.events.list_window`
    block_current : (outputs of a block,) as the current
    products : see :func:`spikesam.backends.event.kernels._products.multiply_spikes`
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
        np.empty(channels * height * width + WORD, np.int32),
        np.empty((height // rows, width // columns + 1), np.int32),
        np.empty(channels * width * rows * kernel_rows + COPIED, np.int32),
        np.empty(width // columns + 1, np.int32),
        np.zeros(lanes, np.int32 if synapses.weights.dtype == np.uint8 else np.float32),
        product_room(
            synapses.products, shape, synapses.pool, synapses.stride, synapses.padding, positions
        ),
    )


def lay_out(
    kernel: NDArray[Any],
    shape: tuple[int, int, int],
    pool: Pair,
    stride: Pair,
    padding: Pair,
    sources: int = 1,
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
    fits = kernel.dtype != np.int8 or (
        HOW is not None and HOW.lanes * 4 == max(BLOCKS)
    )  # eight rows in registers
    size = block_size(BLOCKS if fits else BLOCKS[:-1], outputs)
    blocks = -(-outputs // size)
    padded = np.zeros((blocks * size, channels, kernel_rows, kernel_columns), kernel.dtype)
    padded[:outputs] = kernel
    if (reach := shape[2] // pool[1] * kernel_rows * channels * size * kernel.itemsize) > FARTHEST:
        raise InputError(
            f"event: weights for a row of {channels}×{shape[2]} neurons span {reach:,} bytes, at "
            "most 2³²"
        )
    rows = padded.reshape(blocks, size, channels, kernel_rows, kernel_columns)
    rows = rows.transpose(0, 4, 3, 2, 1)
    seen_sides, summed = (shape[1] // pool[0], shape[2] // pool[1]), pool[0] * pool[1]
    positions = positions_of(seen_sides, (kernel_rows, kernel_columns), stride, padding)
    products = lay_out_products(kernel, summed * sources)
    if kernel.dtype == np.int8:
        rows = rows.view(np.uint8) ^ np.uint8(128)
        rows = rows.reshape(*rows.shape[:-1], 2, size // 2).swapaxes(-2, -1).reshape(rows.shape)
        everything = _everything(kernel, seen_sides, positions, stride, padding) * np.int32(summed)
    else:
        everything = np.zeros((0, 0, 0), np.int32)
    return WeightLayout(at_cache_line(rows), pool, stride, padding, everything, products)


def positions_of(seen_sides: Pair, kernel: Sequence[int], stride: Pair, padding: Pair) -> Pair:
    """The numbers of positions of a kernel on the pooled map that it sees, down and across."""
    down, across = (
        (side + 2 * padded_by - taps) // step + 1
        for side, taps, step, padded_by in zip(seen_sides, kernel, stride, padding, strict=True)
    )
    return down, across


def _everything(
    kernel: NDArray[np.int8], seen_sides: Pair, positions: Pair, stride: Pair, padding: Pair
) -> NDArray[np.int32]:
    """(OH, OW, O): the sum of all weights that lie on the pooled map that is seen, at every
    position of the kernel.
    """
    taps = kernel.sum(axis=1, dtype=np.int32)
    current = np.zeros((*positions, len(taps)), np.int32)
    for y, x in np.ndindex(taps.shape[1:]):
        rows, columns = map(
            _covered, (y - padding[0], x - padding[1]), stride, positions, seen_sides
        )
        current[rows, columns] += taps[:, y, x]
    return current


def _covered(offset: int, stride: int, positions: int, side: int) -> slice:
    """The positions i for which 0 ≤ i·stride + offset < side."""
    return slice(max(0, -(offset // stride)), max(0, min(positions, -((offset - side) // stride))))


def rows_of(outputs: int) -> Any:
    """A function that adds rows of the weights of so many outputs."""

    @intrinsic
    def add_rows(
        _: Any,
        weights: Any,
        base: Any,
        events: Any,
        first: Any,
        last: Any,
        current: Any,
        target: Any,
        add_to_current: Any,
    ) -> tuple[Any, Callable[..., Any]]:
        """Set the current from `target` on to the rows base + events[first … last-1] of `weights`,
        or add if `add_to_current`.

        They are summed in registers first. Written as LLVM code, because numba would store the sums
        after every row. Events count in bytes; `base` in rows. Of bytes, 1 to 8 rows are left for
        the end, where missing ones are zeros.
        """
        fixed = weights.dtype == types.uint8
        index, short, byte = (ir.IntType(bits) for bits in (64, 16, 8))
        row = ir.VectorType(byte if fixed else ir.FloatType(), outputs)
        pairs, widened = (ir.VectorType(short, lanes) for lanes in (outputs // 2, outputs))
        kinds = (row, pairs, pairs) if fixed else (row,)
        together, left = (TOGETHER, 1) if fixed else (1, 0)

        def everywhere(number: int, vector: Any = pairs) -> Any:
            return ir.Constant(vector, [number] * vector.count)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            _, base, _, first, last, _, target, accumulate = arguments
            zeros = [ir.Constant(kind, None) for kind in kinds]

            def after(place: Any, number: int) -> Any:
                return builder.add(place, ir.Constant(index, number))

            def element(array: int, place: Any, kind: Any) -> Any:
                data = context.make_array(signature.args[array])(
                    context, builder, arguments[array]
                ).data
                return builder.bitcast(builder.gep(data, [place]), kind.as_pointer())

            def row_of(event: Any) -> Any:
                return builder.bitcast(builder.gep(rows, [event]), row.as_pointer())

            def row_at(place: Any) -> Any:
                return row_of(builder.zext(builder.load(element(2, place, ir.IntType(32))), index))

            def two_rows_at(place: Any) -> list[Any]:
                """Their events are loaded together: a processor loads few numbers beside a
                vector.
                """
                two_events = builder.load(element(2, place, index), align=4)
                halves = (
                    builder.and_(two_events, ir.Constant(index, FARTHEST - 1)),
                    builder.lshr(two_events, ir.Constant(index, 32)),
                )
                return [row_of(half) for half in halves]

            def mean(first: Any, second: Any) -> Any:
                """Rounded up, in the words by which LLVM knows the instruction."""
                total = builder.add(builder.zext(first, widened), builder.zext(second, widened))
                return builder.trunc(
                    builder.lshr(
                        builder.add(total, everywhere(1, widened)), everywhere(1, widened)
                    ),
                    row,
                )

            def tree(rows_to_add: list[Any]) -> tuple[Any, Any]:
                """The sum of rows, modulo 256, and their mean."""
                if len(rows_to_add) == 1:
                    return rows_to_add[0], rows_to_add[0]
                (sums, means), (more_sums, more_means) = map(
                    tree,
                    (rows_to_add[: len(rows_to_add) // 2], rows_to_add[len(rows_to_add) // 2 :]),
                )
                return builder.add(sums, more_sums), mean(means, more_means)

            def added(sums: list[Any], pointers: list[Any]) -> list[Any]:
                loaded = [
                    builder.load(pointer, align=min(LINE, outputs * (1 if fixed else 4)))
                    for pointer in pointers
                ]
                if not fixed:
                    return [builder.fadd(sums[0], loaded[0])]
                total, means = tree(loaded)
                mean_pairs = builder.bitcast(means, pairs)
                terms = total, mean_pairs, builder.lshr(mean_pairs, everywhere(8))
                return [
                    builder.add(*terms_of_sum) for terms_of_sum in zip(sums, terms, strict=True)
                ]

            def add_to_current(offset: int, sums: Any) -> None:
                kind = ir.VectorType(ir.IntType(32) if fixed else ir.FloatType(), sums.type.count)
                pointer = element(5, after(target, offset), kind)
                earlier = builder.select(
                    accumulate, builder.load(pointer, align=4), ir.Constant(kind, None)
                )
                total = (
                    builder.add(earlier, builder.sext(sums, kind))
                    if fixed
                    else builder.fadd(earlier, sums)
                )
                builder.store(total, pointer, align=4)

            rows = builder.bitcast(
                element(0, builder.mul(base, ir.Constant(index, outputs)), row), byte.as_pointer()
            )
            entry, loop, done = (
                builder.block,
                builder.append_basic_block("rows"),
                builder.append_basic_block("done"),
            )
            builder.cbranch(
                builder.icmp_signed("<=", after(first, together + left), last), loop, done
            )

            builder.position_at_end(loop)
            place, *earlier_sums = looping = [builder.phi(kind) for kind in (index, *kinds)]
            row_pointers = [
                row_pointer
                for number in range(0, together - 1, 2)
                for row_pointer in two_rows_at(after(place, number))
            ]
            sums = added(earlier_sums, row_pointers or [row_at(place)])
            here = after(place, together)
            builder.cbranch(
                builder.icmp_signed("<=", after(here, together + left), last), loop, done
            )

            builder.position_at_end(done)
            place, *total = ending = [builder.phi(kind) for kind in (index, *kinds)]
            for phis in (looping, ending):
                for phi, begin, again in zip(phis, (first, *zeros), (here, *sums), strict=True):
                    phi.add_incoming(begin, entry)
                    phi.add_incoming(again, loop)
            if not fixed:
                add_to_current(0, total[0])
                return context.get_dummy_value()
            nothing: Any = cgutils.global_constant(builder, "nothing", zeros[0])  # type: ignore[no-untyped-call]
            nothing.align = LINE
            places = [after(place, number) for number in range(together)]
            last_rows = [
                builder.select(
                    builder.icmp_signed("<", place_of_row, last), row_at(place_of_row), nothing
                )
                for place_of_row in places
            ]
            total_bytes, mean_pairs, high = added(total, last_rows)
            low_bytes = builder.bitcast(total_bytes, pairs)
            count, counts = (
                builder.trunc(builder.sub(last, first), short),
                ir.Constant(pairs, ir.Undefined),
            )
            for lane in range(pairs.count):
                counts = builder.insert_element(counts, count, ir.Constant(ir.IntType(32), lane))
            surplus = builder.mul(counts, everywhere(128))
            low = builder.sub(mean_pairs, builder.shl(high, everywhere(8)))
            halves = (low, low_bytes), (high, builder.lshr(low_bytes, everywhere(8)))
            for number, (means, modulo) in enumerate(halves):
                rounded = builder.shl(means, everywhere(HALVINGS))
                by = builder.and_(builder.sub(rounded, modulo), everywhere(255))
                add_to_current(number * pairs.count, builder.sub(builder.sub(rounded, by), surplus))
            return context.get_dummy_value()

        integer = types.int64
        return types.void(
            weights, integer, events, integer, integer, current, integer, types.boolean
        ), generate

    return add_rows


add_rows_16, add_rows_32, add_rows_64 = map(rows_of, BLOCKS)


@inlined
def add_rows(
    size: int,
    weights: Any,
    base: int,
    events: Any,
    first: int,
    last: int,
    current: Any,
    target: int,
    add_to_current: bool,
) -> None:
    """The one of these functions that is of so many outputs."""
    if size == 16:
        add_rows_16(weights, base, events, first, last, current, target, add_to_current)
    elif size == 32:
        add_rows_32(weights, base, events, first, last, current, target, add_to_current)
    else:
        add_rows_64(weights, base, events, first, last, current, target, add_to_current)


@internal
def add_spikes(
    spikes: NDArray[np.bool_], synapses: WeightLayout, room: Room, current: NDArray[Any]
) -> None:
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
    blocks, kernel_columns, kernel_rows, channels, size = weights.shape
    width = ends.shape[1] - 1
    rows, columns, outputs = current.shape
    row_size, max_additions = (
        size * weights.itemsize,
        ADDITIONS if weights.itemsize == 1 else FLOAT_ADDITIONS,
    )
    weight_rows, flat = weights.reshape(-1), current.reshape(-1)
    mostly = 2 * list_events(spikes, True, pool, events, ends) > spikes.size and everything.size > 0
    if mostly:
        list_events(spikes, False, pool, events, ends)
    for i in range(rows):
        top = i * stride[0] - padding[0]
        list_window(events, ends, top, kernel_rows, channels, row_size, window, np.int64(0), starts)
        for block in range(blocks):
            whole_block = outputs - block * size >= size
            sums = flat if whole_block else block_current
            for j in range(columns):
                left = j * stride[1] - padding[1]
                start = min(max(0, left), width)
                end = max(start, min(width, left + kernel_columns))
                event, last = np.int64(starts[start]), np.int64(starts[end])
                base = (block * kernel_columns - left) * kernel_rows * channels
                target = (i * columns + j) * outputs + block * size
                place = target if whole_block else 0
                add_to_current = begun = False
                while not begun or event < last:  # without events the current is set, to 0
                    upto = min(last, event + max_additions)
                    add_rows(
                        size, weight_rows, base, window, event, upto, sums, place, add_to_current
                    )
                    event, add_to_current, begun = upto, True, True
                if not whole_block:
                    # a slice would compile how to tell of its shape
                    for output in range(outputs - block * size):
                        flat[target + output] = sums[output]
    if mostly:
        total = everything.reshape(-1)
        for neuron in range(len(flat)):
            flat[neuron] = total[neuron] - flat[neuron]


def _multiplied(spikes: Any, synapses: WeightLayout, room: Room, current: Any) -> bool:
    """Set `current` by :func:`~._products.multiply_spikes` if that is cheaper; whether it was."""
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
        multiply_spikes(
            spikes,
            products,
            synapses.pool,
            synapses.stride,
            synapses.padding,
            room.products,
            current,
        )
        return True

    return multiply


@njit(inline="always")  # compiled by itself, it would take seconds
def correlate(
    spikes: NDArray[np.bool_], synapses: WeightLayout, room: Room, current: NDArray[Any]
) -> None:
    """:func:`add_spikes`, or where that takes longer :func:`~._products.multiply_spikes`, with the
    same result.
    """
    if not _multiplied(spikes, synapses, room, current):
        add_spikes(spikes, synapses, room, current)
