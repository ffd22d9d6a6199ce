"""Spikes -> currents where many neurons fire: every weight is multiplied by how many spikes it
meets, mostly 0 or 1.

What it costs does not depend on the spikes: an instruction multiplies a vector of bytes (see
:mod:`._tiles`) in a fraction of the time that :mod:`.synapses` needs to add one row of 64 weights.
Sums of products are exact, as sums of rows are, so the currents are the same bits.

The sums of a tile, such as eight pixels by 16 outputs, stay in registers, so weights and counts
are loaded for several products each. With AMX the rows of a tile are also steps at one pixel, since
layers that see small maps have few pixels, and weights then are loaded once for all steps. CPUs
without such an instruction, and float32, do without.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, register_jitable
from numpy.typing import NDArray

from spikesam.backends.event.kernels._amx import ROWS, multiply_tiles
from spikesam.backends.event.kernels._tiles import AMX, GROUP, HOW, Instruction, tile_of
from spikesam.backends.event.kernels.aligned import at_cache_line
from spikesam.backends.event.kernels.compiled import internal
from spikesam.backends.event.kernels.events import ALL, WORD, bytes_of, store_word
from spikesam.backends.event.kernels.private_numba import cgutils

Pair = tuple[int, int]

FEW = 16  # channels that are counted together, where they are no multiple of 64
BYTES = 8  # of a word of counts
STEPS = ROWS if HOW is AMX else 1  # of which products are summed together, at most
MANY = 1 << 16  # currents of all these steps that are held at a time: they stay in the cache
# sums, at least, between those of two steps: 16 lines of one set of the cache would displace each
# other
SPARE = 256
BEYOND = 64  # bytes behind the counts that are read or written, whatever they hold


class Costs(NamedTuple):
    """Times of adding and multiplying, in units of adding the rows of weights of one spike.

    `pixels` is adding in a step, spikes or not; `step` and `steps` the products of a step, and of
    several together.
    """

    pixels: float
    step: float
    steps: float


class ProductWeights(NamedTuple):
    """A layer's weights as :func:`multiply_spikes` reads them; made by :func:`lay_out_products`.

    (blocks, KH, KW·⌈C/4⌉, outputs, 4) int8, 64-byte aligned, in blocks of 16 outputs, with AMX
    also of 32, and there of groups up to a multiple of 16; no blocks where this cannot be used. A
    register sums the products of `groups_at_once` four counts.
    """

    weights: NDArray[np.int8]
    groups_at_once: int
    costs: Costs


class ProductRoom(NamedTuple):
    """Memory that :func:`multiply_spikes` works in; made by :func:`product_room`, both aligned.

    `counts` (STEPS, H, W, C rounded up to 4) uint8 are sum-pooled spikes of the padded map, with
    zeros around. `sums` int32 are those of a tile where the last block has fewer outputs; with AMX
    of whole rows of positions, of a step or several.
    """

    counts: NDArray[np.uint8]
    sums: NDArray[np.int32]


def lay_out_products(kernel: NDArray[Any], summed: int) -> ProductWeights:
    """Lay weights (O, C, KH, KW) out for products, if these can be used; pooling sums `summed`
    neurons.
    """
    outputs, channels, kernel_rows, kernel_columns = kernel.shape
    costs = Costs(0.0, 0.0, 0.0)
    if HOW is None or kernel.dtype != np.int8 or not (at_once := HOW.groups_at_once(summed)):
        return ProductWeights(np.zeros((0, 0, 0, 0, GROUP), np.int8), 0, costs)
    lanes = block_size(HOW.tiles, outputs)
    blocks, groups = -(-outputs // lanes), -(-channels // GROUP)
    padded = np.zeros((blocks * lanes, groups * GROUP, kernel_rows, kernel_columns), np.int8)
    padded[:outputs, :channels] = kernel
    parts = padded.reshape(blocks, lanes, groups, GROUP, kernel_rows, kernel_columns).transpose(
        0, 4, 5, 2, 1, 3
    )
    weights = parts.reshape(blocks, kernel_rows, kernel_columns * groups, lanes, GROUP)
    missing = -weights.shape[2] % HOW.groups
    return ProductWeights(
        at_cache_line(np.pad(weights, [(0, 0), (0, 0), (0, missing), (0, 0), (0, 0)])),
        at_once,
        costs,
    )


def block_size(sizes: Collection[int], outputs: int) -> int:
    """The smallest of these sizes, which ascend, that holds all outputs, or else the largest."""
    return next((size for size in sizes if outputs <= size), max(sizes))


# Python calls it, too: in every process, numba would compile it for that alone, 0.2 s
@register_jitable
def rows_at_once(steps: int, row: int, rows: int) -> int:
    """The number of rows of positions, of so many sums a row and step, computed at a time."""
    return max(1, min(rows, MANY // (steps * row)))


def product_room(
    products: ProductWeights,
    shape: tuple[int, int, int],
    pool: Pair,
    stride: Pair,
    padding: Pair,
    positions: Pair,
) -> ProductRoom:
    """Room to work in for maps of (C, H, W), and rows and columns of positions; every thread needs
    its own.
    """
    channels, height, width = shape
    blocks, kernel_rows, _, lanes, _ = products.weights.shape
    if HOW is None or not lanes:
        return ProductRoom(np.zeros((0, 0, 0, 0), np.uint8), np.zeros(0, np.int32))
    rows = max(padding[0] + height // pool[0], (positions[0] - 1) * stride[0] + kernel_rows)
    sides = STEPS, rows, width // pool[1] + 2 * padding[1]
    inputs = -(-channels // GROUP) * GROUP
    counts = at_cache_line(np.zeros(math.prod(sides) * inputs + BEYOND, np.uint8))[
        :-BEYOND
    ].reshape(*sides, inputs)
    row = positions[1] * blocks * lanes  # of sums
    held = max(
        steps * (rows_at_once(steps, row, positions[0]) * row + max(SPARE, blocks * lanes))
        for steps in (1, STEPS)
    )
    sums = held if HOW is AMX else HOW.tiles[lanes] * lanes
    return ProductRoom(counts, at_cache_line(np.zeros(sums, np.int32)))


class ProductSizes(NamedTuple):
    """Sides of the arrays of :func:`multiply_row_of`: of the kernel in groups of four inputs,
    counts and currents.
    """

    kernel_rows: int
    groups: int
    outputs: int
    groups_at_once: int
    width: int
    inputs: int
    columns: int
    channels: int
    stride: Pair


def multiply_row_of(how: Instruction) -> Any:
    """A function that sets one row of currents for one block of outputs.

    Its arrays are flat, and it makes no others: numba counts the references to an array, and
    threads that use the same weights would wait for each other at that count.
    """
    ((outputs, pixels),) = how.tiles.items()
    vectors = outputs // how.lanes
    add_tile, add_pixel = tile_of(how, pixels, vectors), tile_of(how, 1, vectors)

    @internal
    def multiply_row(
        block: int,
        row: int,
        sizes: ProductSizes,
        weights: Any,
        counts: Any,
        tile: Any,
        current: Any,
    ) -> None:
        kernel_rows, groups, _, max_groups, width, inputs, columns, channels, (down, right) = sizes
        first, step = block * outputs, right * inputs
        missing = max(0, first + outputs - channels)
        sums, pitch = (tile, outputs) if missing else (current, channels)
        group_size = outputs * GROUP
        row_size = groups * group_size
        groups_at_once = min(groups, max_groups)
        rows_at_once = min(kernel_rows, max(1, max_groups // groups))
        column = 0
        while column < columns:
            whole_tile = columns - column >= pixels
            target = (row * columns + column) * channels + first
            place = 0 if missing else target
            corner = (row * down * width + column * right) * inputs
            y, add_to_sums = 0, False
            while y < kernel_rows:  # a range would divide
                group = 0
                while group < groups:
                    weight = (block * kernel_rows + y) * row_size + group * group_size
                    count = corner + y * width * inputs + group * GROUP
                    below, beside = (
                        min(rows_at_once, kernel_rows - y),
                        min(groups_at_once, groups - group),
                    )
                    extent = below, beside, row_size, width * inputs, step
                    if whole_tile:
                        add_tile(
                            weights, weight, counts, count, *extent, sums, place, pitch, add_to_sums
                        )
                    else:
                        add_pixel(
                            weights, weight, counts, count, *extent, sums, place, pitch, add_to_sums
                        )
                    group, add_to_sums = group + groups_at_once, True
                y += rows_at_once
            if missing:
                for pixel in range(pixels if whole_tile else 1):
                    for output in range(outputs - missing):
                        current[target + pixel * channels + output] = tile[pixel * pitch + output]
            column += pixels if whole_tile else 1

    return multiply_row


# With AMX, and where there are no products, nothing calls it.
multiply_row: Any = None if HOW is None or HOW is AMX else multiply_row_of(HOW)


def count_words_of(size: int) -> Any:
    """A function that counts spikes of so many channels at a time."""
    vector = ir.VectorType(ir.IntType(8), size)

    @intrinsic
    def sum_bytes(
        _: Any,
        spikes: Any,
        first: Any,
        pool: Any,
        line: Any,
        step: Any,
        counts: Any,
        place: Any,
        further: Any,
    ) -> tuple[Any, Callable[..., Any]]:
        """Set counts[place + i] to the sum of spikes[first + y·line + x·step + i] over a pool, or
        add it.
        """

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            _, first, pool, line, step, _, place, further = arguments

            def pointer(array: int, place: Any) -> Any:
                data = context.make_array(signature.args[array])(
                    context, builder, arguments[array]
                ).data
                return builder.bitcast(builder.gep(data, [place]), vector.as_pointer())

            target, total = pointer(5, place), cgutils.alloca_once(builder, vector)  # type: ignore[no-untyped-call]
            earlier = builder.select(
                further, builder.load(target, align=1), ir.Constant(vector, None)
            )
            builder.store(earlier, total)
            with cgutils.for_range(builder, builder.extract_value(pool, 0)) as y:
                row = builder.add(first, builder.mul(y.index, line))
                with cgutils.for_range(builder, builder.extract_value(pool, 1)) as x:
                    spikes = builder.load(
                        pointer(0, builder.add(row, builder.mul(x.index, step))), align=1
                    )
                    builder.store(builder.add(builder.load(total), spikes), total)
            builder.store(builder.load(total), target, align=1)
            return context.get_dummy_value()

        sides: Any = types.UniTuple(types.int64, 2)  # type: ignore[no-untyped-call]
        return types.void(
            spikes, types.int64, sides, *[types.int64] * 2, counts, types.int64, types.boolean
        ), generate

    @internal
    def count_words(
        flat: NDArray[np.bool_],
        shape: tuple[int, int, int],
        pool: Pair,
        counts: NDArray[np.uint8],
        corner: int,
        line: int,
        further: bool,
    ) -> None:
        """:func:`count_pooled`; the counts begin at `corner`, and those of a row are a `line`."""
        height, width, channels = shape
        rows, columns = pool
        for row in range(height // rows):
            for column in range(width // columns):
                place = corner + row * line + column * channels
                neuron = (row * rows * width + column * columns) * channels
                for first in range(0, channels, size):
                    sum_bytes(
                        flat,
                        neuron + first,
                        pool,
                        width * channels,
                        channels,
                        counts,
                        place + first,
                        further,
                    )  # type: ignore[call-arg]

    return count_words


count_few, count_many = count_words_of(FEW), count_words_of(WORD)


@internal
def count_pooled(
    spikes: NDArray[np.bool_], pool: Pair, padding: Pair, counts: NDArray[np.uint8], further: bool
) -> None:
    """Write the sum-pooled spikes (H, W, C) into the middle of `counts`, or add them to those of
    other sources.
    """
    shape, (pitch, inputs) = spikes.shape, counts.shape[1:]
    corner = (padding[0] * pitch + padding[1]) * inputs
    if shape[2] % WORD == 0:
        count_many(
            spikes.reshape(-1), shape, pool, counts.reshape(-1), corner, pitch * inputs, further
        )
    elif shape[2] % FEW == 0:
        count_few(
            spikes.reshape(-1), shape, pool, counts.reshape(-1), corner, pitch * inputs, further
        )
    else:
        count_bytes(
            spikes.reshape(-1),
            shape,
            pool,
            counts.reshape(-1),
            corner,
            pitch * inputs,
            inputs,
            further,
        )


@internal
def count_bytes(
    flat: NDArray[np.bool_],
    shape: tuple[int, int, int],
    pool: Pair,
    counts: NDArray[np.uint8],
    corner: int,
    line: int,
    inputs: int,
    further: bool,
) -> None:
    """:func:`count_pooled`, eight channels at a time, of which a pixel has `inputs`, rounded up."""
    height, width, channels = shape
    rows, columns = pool
    for first in range(
        (channels - 1) // BYTES * BYTES, -1, -BYTES
    ):  # the last ones reach into the next pixel's first
        mine = ALL >> np.uint64(8 * max(0, first + BYTES - channels))
        for row in range(height // rows):
            for column in range(width // columns):
                neuron = (row * rows * width + column * columns) * channels + first
                total = bytes_of(flat, neuron)
                if rows * columns > 1:  # loops take longer than what they do once
                    total = np.uint64(0)
                    for y in range(rows):
                        for x in range(columns):
                            total += bytes_of(flat, neuron + (y * width + x) * channels)
                place, earlier = corner + row * line + column * inputs + first, np.uint64(0)
                if further:
                    earlier = bytes_of(counts, place)
                store_word(earlier + (total & mine), counts, place)  # type: ignore[call-arg]


@internal
def multiply_step_in_registers(
    products: ProductWeights, stride: Pair, room: ProductRoom, current: NDArray[Any]
) -> None:
    """Set the currents of a step whose spikes are counted; with instructions for vectors."""
    weights, counts = products.weights, room.counts
    kernel_rows, groups, outputs = weights.shape[1:4]
    rows, columns, channels = current.shape
    width, inputs = counts.shape[2:]
    sizes = ProductSizes(
        kernel_rows,
        groups,
        outputs,
        products.groups_at_once,
        width,
        inputs,
        columns,
        channels,
        stride,
    )
    flat_weights, flat_counts, flat = weights.reshape(-1), counts.reshape(-1), current.reshape(-1)
    for block in range(len(weights)):
        for row in range(rows):
            multiply_row(block, row, sizes, flat_weights, flat_counts, room.sums, flat)


@internal
def multiply_step_in_tiles(
    products: ProductWeights, stride: Pair, room: ProductRoom, current: NDArray[Any]
) -> None:
    """Set the currents of a step whose spikes are counted; with AMX, a tile holding neighbouring
    pixels.
    """
    weights, counts = products.weights, room.counts
    rows, columns, channels = current.shape
    lanes = weights.shape[0] * weights.shape[3]
    at_once, size = rows_at_once(1, columns * lanes, rows), min(columns, ROWS)
    for first in range(0, rows, at_once):
        count = min(at_once, rows - first)
        shape = count, columns, lanes
        multiply_tiles(
            weights,
            stride,
            counts,
            size,
            stride[1] * counts.shape[3],
            first,
            room.sums,
            shape,
            size,
            lanes,
        )
        sums = room.sums[: count * columns * lanes].reshape(shape)
        for row in range(count):
            for column in range(columns):
                for channel in range(channels):
                    current[first + row, column, channel] = sums[row, column, channel]


multiply_step = multiply_step_in_tiles if HOW is AMX else multiply_step_in_registers


@internal
def multiply_spikes(
    spikes: NDArray[np.bool_],
    products: ProductWeights,
    pool: Pair,
    stride: Pair,
    padding: Pair,
    room: ProductRoom,
    current: NDArray[Any],
) -> None:
    """Set `current` (OH, OW, O) int32 to the correlation of the sum-pooled spikes (H, W, C) with
    the weights.
    """
    count_pooled(spikes, pool, padding, room.counts[0], False)
    multiply_step(products, stride, room, current)


@njit(inline="always")
def multiply_rows_of_steps(
    products: ProductWeights,
    stride: Pair,
    room: ProductRoom,
    steps: int,
    first: int,
    positions: Pair,
) -> NDArray[np.int32]:
    """The currents of several steps whose spikes are counted, at some rows of positions from
    `first` on; with AMX.

    (steps, rows · columns and more, outputs and more) int32, in `room`.
    """
    weights, counts = products.weights, room.counts
    (rows, columns), lanes = positions, weights.shape[0] * weights.shape[3]
    shape, held = (rows, columns, lanes), rows * columns + max(1, SPARE // lanes)
    size = held * lanes
    multiply_tiles(weights, stride, counts, steps, counts[0].size, first, room.sums, shape, 1, size)
    return room.sums[: steps * size].reshape(steps, held, lanes)
