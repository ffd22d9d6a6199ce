"""Spikes -> currents where many neurons fire: every weight is multiplied by how many spikes it meets, mostly 0 or 1.

What it costs does not depend on the spikes: an instruction multiplies a vector of bytes (see :mod:`.tiles`) in a
fraction of the time that :mod:`.synapses` needs to add one row of 64 weights. Sums of products are exact, as sums of
rows are, so the currents are the same bits.

The sums of a tile, such as four pixels by 64 outputs, stay in registers, so that weights and counts are loaded for
several products each. CPUs without such an instruction, and float32, do without.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .aligned import aligned
from .compiled import compiled
from .events import bytes_of, store_word
from .tiles import GROUP, Instruction, instruction, tile_of

Pair = tuple[int, int]

BYTES = 8  # of a word of counts
HOW = instruction()


class Products(NamedTuple):
    """A layer's weights as :func:`multiply_spikes` reads them; made by :func:`lay_out_products`.

    Parameters
    ----------
    weights : (blocks, KH, KW·⌈C/4⌉, outputs, 4) int8, 64-byte aligned, in blocks of 16, 32 or 64 outputs; no blocks
        where this cannot be used
    from_rows : from how many rows on, of spikes or of silent neurons, adding them takes longer
    groups_at_once : groups of four counts whose products a register can sum
    """

    weights: NDArray[np.int8]
    from_rows: int
    groups_at_once: int


class ProductRoom(NamedTuple):
    """Memory that :func:`multiply_spikes` works in; made by :func:`product_room`.

    Parameters
    ----------
    counts : (H, W, C rounded up to 4) uint8 — sum-pooled spikes of the padded map; zeros around
    tile : (pixels · outputs,) int32 — sums of a tile where the last block has fewer outputs
    """

    counts: NDArray[np.uint8]
    tile: NDArray[np.int32]


def lay_out_products(kernel: NDArray[Any], summed: int, seen: tuple[int, int], positions: tuple[int, int]) -> Products:
    """Lay weights out for products, if these can be used.

    Parameters
    ----------
    kernel : (O, C, KH, KW) int8 or float32
    summed : how many neurons the pooling sums
    seen, positions : height and width of the pooled map, and of the map of currents
    """
    outputs, channels, kernel_rows, kernel_columns = kernel.shape
    if HOW is None or kernel.dtype != np.int8 or not (at_once := HOW.groups_at_once(summed)):
        return Products(np.zeros((0, 0, 0, 0, GROUP), np.int8), np.iinfo(np.int64).max, 0)
    lanes = block_size(HOW.tiles, outputs)
    blocks, groups = -(-outputs // lanes), -(-channels // GROUP)
    padded = np.zeros((blocks * lanes, groups * GROUP, kernel_rows, kernel_columns), np.int8)
    padded[:outputs, :channels] = kernel
    parts = padded.reshape(blocks, lanes, groups, GROUP, kernel_rows, kernel_columns).transpose(0, 4, 5, 2, 1, 3)
    weights = aligned(parts.reshape(blocks, kernel_rows, kernel_columns * groups, lanes, GROUP))
    size = block_size(HOW.rows, outputs)
    rows = -(-outputs // size)  # of weights, of a pixel and input
    several, single = divmod(positions[1], HOW.tiles[lanes])
    pixels = positions[0] * (several * HOW.tiles[lanes] + 2 * single)  # weights are loaded for one pixel alone
    instructions = pixels * (weights.size // (HOW.lanes * GROUP)) - positions[0] * positions[1] * HOW.pixel * rows
    rows_per_spike = rows * kernel_rows * kernel_columns * math.prod(positions) / math.prod(seen)
    return Products(weights, max(0, int(instructions / (HOW.rows[size] * rows_per_spike))), at_once)


def block_size(sizes: Collection[int], outputs: int) -> int:
    """The smallest of these sizes, which ascend, that holds all outputs, or else the largest."""
    return next((size for size in sizes if outputs <= size), max(sizes))


def product_room(products: Products, shape: tuple[int, int, int], pool: Pair, padding: Pair) -> ProductRoom:
    """Room to work in for maps of (C, H, W); every thread needs its own."""
    channels, height, width = shape
    lanes = products.weights.shape[3]
    if HOW is None or not lanes:
        return ProductRoom(np.zeros((0, 0, 0), np.uint8), np.zeros(0, np.int32))
    sides = height // pool[0] + 2 * padding[0], width // pool[1] + 2 * padding[1]
    inputs = -(-channels // GROUP) * GROUP
    counts = np.zeros(math.prod(sides) * inputs + BYTES, np.uint8)[:-BYTES]  # more may be written than is there
    return ProductRoom(counts.reshape(*sides, inputs), np.zeros(HOW.tiles[lanes] * lanes, np.int32))


class Sizes(NamedTuple):
    """What :func:`multiply_row_of` must know of the arrays' shapes.

    Parameters
    ----------
    kernel_rows, groups, outputs : KH, groups of four inputs in a row of the kernel, and outputs of a block
    groups_at_once : as of :class:`Products`
    width, inputs : of the counts
    columns, channels : of the currents
    stride : (y, x), as of a layer
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


def multiply_row_of(how: Instruction, outputs: int) -> Any:
    """A function that sets one row of currents for one block of so many outputs.

    Its arrays are flat, and it makes no others: numba counts the references to an array, and threads that use the
    same weights would wait for each other at that count.
    """
    pixels, vectors = how.tiles[outputs], outputs // how.lanes
    add_tile, add_pixel = tile_of(how, pixels, vectors), tile_of(how, 1, vectors)

    @njit(nogil=True)
    def multiply_row(block: int, row: int, sizes: Sizes, weights: Any, counts: Any, tile: Any, current: Any) -> None:
        kernel_rows, groups, _, most, width, inputs, columns, channels, (down, right) = sizes
        first, step = block * outputs, right * inputs
        missing = max(0, first + outputs - channels)
        sums, pitch = (tile, outputs) if missing else (current, channels)
        group_size = outputs * GROUP
        row_size = groups * group_size
        groups_at_once = min(groups, most)
        rows_at_once = min(kernel_rows, max(1, most // groups))
        column = 0
        while column < columns:
            several = columns - column >= pixels
            target = (row * columns + column) * channels + first
            place = 0 if missing else target
            corner = (row * down * width + column * right) * inputs
            y, more = 0, False
            while y < kernel_rows:  # a range would divide
                group = 0
                while group < groups:
                    weight = (block * kernel_rows + y) * row_size + group * group_size
                    count = corner + y * width * inputs + group * GROUP
                    below, beside = min(rows_at_once, kernel_rows - y), min(groups_at_once, groups - group)
                    extent = below, beside, row_size, width * inputs, step
                    if several:
                        add_tile(weights, weight, counts, count, *extent, sums, place, pitch, more)
                    else:
                        add_pixel(weights, weight, counts, count, *extent, sums, place, pitch, more)
                    group, more = group + groups_at_once, True
                y += rows_at_once
            if missing:
                for pixel in range(pixels if several else 1):
                    for output in range(outputs - missing):
                        current[target + pixel * channels + output] = tile[pixel * pitch + output]
            column += pixels if several else 1

    return multiply_row


def _multiply_row() -> Any:
    """:func:`multiply_row_of` for whatever blocks this CPU has."""
    kernels = [multiply_row_of(HOW, outputs) for outputs in HOW.tiles] if HOW else []
    if not kernels:  # nothing calls it
        return None
    if len(kernels) == 1:
        return kernels[0]
    of_16, of_32, of_64 = kernels

    @njit(nogil=True)
    def multiply_row(block: int, row: int, sizes: Sizes, weights: Any, counts: Any, tile: Any, current: Any) -> None:
        if sizes.outputs == 16:
            of_16(block, row, sizes, weights, counts, tile, current)
        elif sizes.outputs == 32:
            of_32(block, row, sizes, weights, counts, tile, current)
        else:
            of_64(block, row, sizes, weights, counts, tile, current)

    return multiply_row


multiply_row = _multiply_row()


@njit(nogil=True)
def count_pooled(spikes: NDArray[np.bool_], pool: Pair, padding: Pair, counts: NDArray[np.uint8]) -> None:
    """Write the sum-pooled spikes (H, W, C) into the middle of `counts`, see :class:`ProductRoom`."""
    height, width, channels = spikes.shape
    pitch, inputs = counts.shape[1:]
    flat, flat_counts = spikes.reshape(-1), counts.reshape(-1)
    rows, columns = pool
    for row in range(height // rows):
        for column in range(width // columns):
            place = ((row + padding[0]) * pitch + column + padding[1]) * inputs
            corner = (row * rows * width + column * columns) * channels
            for first in range(0, channels, BYTES):
                if rows * columns == 1:
                    total = bytes_of(flat, corner + first)
                else:
                    total = np.uint64(0)  # of eight channels, a byte each
                    for y in range(rows):
                        for x in range(columns):
                            total += bytes_of(flat, corner + (y * width + x) * channels + first)
                others = np.uint64(8 * max(0, first + BYTES - channels))  # bits of the next pixel, written later
                mine = (total << others) >> others
                store_word(mine, flat_counts, place + first)  # type: ignore[call-arg]


@compiled
def multiply_spikes(
    spikes: NDArray[np.bool_],
    products: Products,
    pool: Pair,
    stride: Pair,
    padding: Pair,
    room: ProductRoom,
    current: NDArray[Any],
) -> None:
    """Set `current` to the correlation of the sum-pooled spikes with the weights.

    Parameters
    ----------
    spikes : (H, W, C) bool, C-contiguous
    products : the weights; some
    pool, stride, padding : (y, x), as of a layer
    room : to work in
    current : (OH, OW, O) int32, C-contiguous, written
    """
    count_pooled(spikes, pool, padding, room.counts)
    weights, counts = products.weights, room.counts
    kernel_rows, groups, outputs = weights.shape[1:4]
    rows, columns, channels = current.shape
    width, inputs = counts.shape[1:]
    sizes = Sizes(kernel_rows, groups, outputs, products.groups_at_once, width, inputs, columns, channels, stride)
    flat_weights, flat_counts, flat = weights.reshape(-1), counts.reshape(-1), current.reshape(-1)
    for block in range(len(weights)):
        for row in range(rows):
            multiply_row(block, row, sizes, flat_weights, flat_counts, room.tile, flat)
