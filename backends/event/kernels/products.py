"""Spikes -> currents where many neurons fire: every weight is multiplied by how many spikes it meets, mostly 0 or 1.

What it costs does not depend on the spikes. One instruction of CPUs with VNNI multiplies 64 bytes by 64 and adds each
four products to an int32: for 16 outputs, four inputs each. It takes a third of the time that
:mod:`backends.event.kernels.synapses` needs to add one row of 64 weights. Sums of products are exact, as sums of rows
are, so the currents are the same bits.

A tile of 16 sums, such as four pixels by four times 16 outputs, stays in registers, so that weights and counts are
loaded for several products each. Other CPUs, and float32, do without.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core.registry import cpu_target
from numba.extending import intrinsic
from numpy.typing import NDArray

from .aligned import aligned
from .compiled import compiled
from .events import bytes_of, store_word

LANES = 16  # sums of a vector register
GROUP = 4  # inputs of a sum that one instruction takes
BYTES = 8  # of a word of counts
ROW = 3.5  # instructions in the time of adding a row of 64 weights
TILES = {16: 8, 32: 8, 64: 4}  # outputs of a block -> pixels of a tile


class Products(NamedTuple):
    """A layer's weights as :func:`multiply_spikes` reads them; made by :func:`lay_out_products`.

    Parameters
    ----------
    weights : (blocks, KH, KW·⌈C/4⌉, outputs, 4) int8, 64-byte aligned, in blocks of 16, 32 or 64 outputs; no blocks
        where this cannot be used
    from_spikes : how many spikes in a step make it cheaper than adding rows
    """

    weights: NDArray[np.int8]
    from_spikes: int


class ProductRoom(NamedTuple):
    """Memory that :func:`multiply_spikes` works in; made by :func:`product_room`.

    Parameters
    ----------
    counts : (H/pool + 2·padding, W/pool + 2·padding, C rounded up to 4) uint8 — sum-pooled spikes; zeros around
    tile : (pixels · outputs,) int32 — sums of a tile where the last block has fewer outputs
    """

    counts: NDArray[np.uint8]
    tile: NDArray[np.int32]


def has_products() -> bool:
    """Whether kernels are compiled for a CPU with AVX-512 VNNI."""
    return "+avx512vnni" in cpu_target.target_context.codegen().magic_tuple()[2]


def lay_out_products(kernel: NDArray[Any], pool: int, stride: int, rows: int, columns: int) -> Products:
    """Lay weights out for products, if these can be used.

    Parameters
    ----------
    kernel : (O, C, KH, KW) int8 or float32
    pool, stride : as of a layer
    rows, columns : of the map of currents
    """
    outputs, channels, kernel_rows, kernel_columns = kernel.shape
    if kernel.dtype != np.int8 or pool**2 > np.iinfo(np.uint8).max or not has_products():
        return Products(np.zeros((0, 0, 0, 0, GROUP), np.int8), np.iinfo(np.int64).max)
    lanes = next((lanes for lanes in TILES if outputs <= lanes), max(TILES))
    blocks, groups = -(-outputs // lanes), -(-channels // GROUP)
    padded = np.zeros((blocks * lanes, groups * GROUP, kernel_rows, kernel_columns), np.int8)
    padded[:outputs, :channels] = kernel
    parts = padded.reshape(blocks, lanes, groups, GROUP, kernel_rows, kernel_columns).transpose(0, 4, 5, 2, 1, 3)
    weights = aligned(parts.reshape(blocks, kernel_rows, kernel_columns * groups, lanes, GROUP))
    instructions = rows * -(-columns // TILES[lanes]) * TILES[lanes] * weights.size // (LANES * GROUP)
    rows_per_spike = kernel_rows * kernel_columns * -(-outputs // 64) / stride**2
    return Products(weights, int(instructions / (ROW * rows_per_spike)))


def product_room(products: Products, shape: tuple[int, int, int], pool: int, padding: int) -> ProductRoom:
    """Room to work in for maps of (C, H, W); every thread needs its own."""
    channels, height, width = shape
    lanes = products.weights.shape[3]
    if not lanes:
        return ProductRoom(np.zeros((0, 0, 0), np.uint8), np.zeros(0, np.int32))
    sides = height // pool + 2 * padding, width // pool + 2 * padding
    inputs = -(-channels // GROUP) * GROUP
    counts = np.zeros(math.prod(sides) * inputs + BYTES, np.uint8)[:-BYTES]  # more may be written than is there
    return ProductRoom(counts.reshape(*sides, inputs), np.zeros(TILES[lanes] * lanes, np.int32))


def tile_of(pixels: int, vectors: int) -> Any:
    """A function that sums products for so many neighbouring pixels and vectors of 16 outputs."""

    @intrinsic
    def add_products(
        _: Any,
        weights: Any,
        weight: Any,
        counts: Any,
        count: Any,
        rows: Any,
        groups: Any,
        jump: Any,
        stride: Any,
        current: Any,
        target: Any,
        pitch: Any,
    ) -> tuple[Any, Callable[..., Any]]:
        """Set current[target + p·pitch + o] for pixels p and outputs o.

        The products are of the weights from `weight` on, and in each of `rows`, `jump` apart, of the `groups` of four
        counts from `count` + p·`stride` on.
        """
        index, integer = ir.IntType(64), ir.IntType(32)
        vector = ir.VectorType(integer, LANES)
        tile = [(pixel, number) for pixel in range(pixels) for number in range(vectors)]

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            if not has_products():  # then it is never called, and this CPU has no such instruction
                return context.get_dummy_value()

            def element(array: int, place: Any, kind: Any) -> Any:
                data = context.make_array(signature.args[array])(context, builder, arguments[array]).data
                return builder.bitcast(builder.gep(data, [place]), kind.as_pointer())

            def constant(number: int) -> Any:
                return ir.Constant(index, number)

            def spread(value: Any) -> Any:
                undefined = ir.Constant(vector, ir.Undefined)
                first = builder.insert_element(undefined, value, ir.Constant(integer, 0))
                return builder.shuffle_vector(first, undefined, ir.Constant(vector, [0] * LANES))

            kind: Any = ir.FunctionType(vector, [vector] * 3)
            multiply = builder.module.declare_intrinsic("llvm.x86.avx512.vpdpbusd.512", fnty=kind)
            _, weight, _, count, rows, groups, jump, stride, _, target, pitch = arguments
            size = GROUP * LANES * vectors  # of the weights of a group
            entry = builder.block
            row_loop, group_loop, next_row, done = (
                builder.append_basic_block(name) for name in ("row", "group", "next_row", "done")
            )
            builder.branch(row_loop)

            builder.position_at_end(row_loop)
            row, *before = [builder.phi(kind) for kind in (index, *[vector] * len(tile))]
            first_weight = builder.add(weight, builder.mul(builder.mul(row, groups), constant(size)))
            first_count = builder.add(count, builder.mul(row, jump))
            builder.branch(group_loop)

            builder.position_at_end(group_loop)
            group, *totals = [builder.phi(kind) for kind in (index, *[vector] * len(tile))]
            first = builder.add(first_weight, builder.mul(group, constant(size)))
            loaded = [
                builder.load(element(0, builder.add(first, constant(GROUP * LANES * number)), vector), align=64)
                for number in range(vectors)
            ]
            place = builder.add(first_count, builder.mul(group, constant(GROUP)))
            given = [
                spread(builder.load(element(2, builder.add(place, builder.mul(stride, constant(p))), integer), align=1))
                for p in range(pixels)
            ]
            after = [
                builder.call(multiply, [total, given[pixel], loaded[number]])
                for total, (pixel, number) in zip(totals, tile, strict=True)
            ]
            following = builder.add(group, constant(1))
            builder.cbranch(builder.icmp_signed("<", following, groups), group_loop, next_row)

            builder.position_at_end(next_row)
            below = builder.add(row, constant(1))
            builder.cbranch(builder.icmp_signed("<", below, rows), row_loop, done)

            for phi, begin, again in zip(
                (row, *before), (constant(0), *[ir.Constant(vector, None)] * len(tile)), (below, *after), strict=True
            ):
                phi.add_incoming(begin, entry)
                phi.add_incoming(again, next_row)
            for phi, begin, again in zip((group, *totals), (constant(0), *before), (following, *after), strict=True):
                phi.add_incoming(begin, row_loop)
                phi.add_incoming(again, group_loop)

            builder.position_at_end(done)
            places = [builder.add(target, builder.mul(pitch, constant(pixel))) for pixel in range(pixels)]
            for total, (pixel, number) in zip(after, tile, strict=True):
                at = element(8, builder.add(places[pixel], constant(LANES * number)), vector)
                builder.store(total, at, align=4)
            return context.get_dummy_value()

        whole = types.int64
        taken = (weights, whole, counts, *[whole] * 5, current, whole, whole)
        return types.void(*taken), generate

    return add_products


def multiply_row_of(outputs: int) -> Any:
    """:func:`multiply_row` for blocks of so many outputs."""
    pixels, vectors = TILES[outputs], outputs // LANES
    add_tile, add_pixel = tile_of(pixels, vectors), tile_of(1, vectors)

    @njit(nogil=True)
    def multiply(weights: Any, block: int, row: int, stride: int, counts: Any, tile: Any, current: Any) -> None:
        kernel_rows, groups = weights.shape[1:3]
        columns, channels = current.shape[1:]
        width, inputs = counts.shape[1:]
        flat_weights, flat_counts, flat = weights.reshape(-1), counts.reshape(-1), current.reshape(-1)
        first, step, sizes = block * outputs, stride * inputs, (kernel_rows, groups, width * inputs)
        weight = block * kernel_rows * groups * outputs * GROUP
        missing = max(0, first + outputs - channels)
        pitch = outputs if missing else channels
        column = 0
        while column < columns:
            several = columns - column >= pixels
            target = (row * columns + column) * channels + first
            count = (row * stride * width + column * stride) * inputs
            if several and not missing:
                add_tile(flat_weights, weight, flat_counts, count, *sizes, step, flat, target, pitch)
            elif several:
                add_tile(flat_weights, weight, flat_counts, count, *sizes, step, tile, 0, pitch)
            elif not missing:
                add_pixel(flat_weights, weight, flat_counts, count, *sizes, step, flat, target, pitch)
            else:
                add_pixel(flat_weights, weight, flat_counts, count, *sizes, step, tile, 0, pitch)
            if missing:
                for pixel in range(pixels if several else 1):
                    for output in range(outputs - missing):
                        flat[target + pixel * channels + output] = tile[pixel * pitch + output]
            column += pixels if several else 1

    return multiply


multiply_row_16, multiply_row_32, multiply_row_64 = map(multiply_row_of, TILES)


@njit(nogil=True)
def multiply_row(
    products: Products, block: int, row: int, stride: int, counts: Any, tile: Any, current: NDArray[Any]
) -> None:
    """Set a row of `current`, (OH, OW, O), for a block of outputs; `counts` are those of a step."""
    outputs = products.weights.shape[3]
    if outputs == 16:
        multiply_row_16(products.weights, block, row, stride, counts, tile, current)
    elif outputs == 32:
        multiply_row_32(products.weights, block, row, stride, counts, tile, current)
    else:
        multiply_row_64(products.weights, block, row, stride, counts, tile, current)


@njit(nogil=True)
def count_pooled(spikes: NDArray[np.bool_], pool: int, padding: int, counts: NDArray[np.uint8]) -> None:
    """Write the sum-pooled spikes (H, W, C) into the middle of `counts`, see :class:`ProductRoom`."""
    height, width, channels = spikes.shape
    pitch, inputs = counts.shape[1:]
    flat, flat_counts = spikes.reshape(-1), counts.reshape(-1)
    for row in range(height // pool):
        for column in range(width // pool):
            place = ((row + padding) * pitch + column + padding) * inputs
            corner = (row * width + column) * pool * channels
            for first in range(0, channels, BYTES):
                if pool == 1:
                    total = bytes_of(flat, corner + first)
                else:
                    total = np.uint64(0)  # of eight channels, a byte each
                    for y in range(pool):
                        for x in range(pool):
                            total += bytes_of(flat, corner + (y * width + x) * channels + first)
                others = np.uint64(8 * max(0, first + BYTES - channels))  # bits of the next pixel, written later
                mine = (total << others) >> others
                store_word(mine, flat_counts, place + first)  # type: ignore[call-arg]


@compiled
def multiply_spikes(
    spikes: NDArray[np.bool_],
    products: Products,
    pool: int,
    stride: int,
    padding: int,
    room: ProductRoom,
    current: NDArray[Any],
) -> None:
    """Set `current` to the correlation of the sum-pooled spikes with the weights.

    Parameters
    ----------
    spikes : (H, W, C) bool, C-contiguous
    products : the weights; some
    pool, stride, padding : as of a layer
    room : to work in
    current : (OH, OW, O) int32, C-contiguous, written
    """
    count_pooled(spikes, pool, padding, room.counts)
    for block in range(len(products.weights)):
        for row in range(len(current)):
            multiply_row(products, block, row, stride, room.counts, room.tile, current)
