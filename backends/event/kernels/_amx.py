"""Products of tiles of bytes, in registers of their own: what :mod:`._products` does with AMX.

A tile of counts has 16 rows, steps or neighbouring pixels, of 64 inputs; a tile of weights 64
inputs of 16 outputs. An instruction adds their 16 · 16 · 64 products to a tile of int32 sums,
exactly. Two tiles of counts, and two of weights, or one where outputs are few, are loaded for four
products, or two.

Tiles belong to a thread, and hold nothing outside of :func:`multiply_tiles`: it configures them and
releases them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from spikesam.backends.event.kernels.compiled import internal

ROWS = 16  # of a tile, at most
WIDTH = 64  # bytes of a row
OUTPUTS = 16  # of a tile of weights; a block has one tile, or two
SUMS, COUNTS, WEIGHTS = (0, 1, 2, 3), (4, 5), (6, 7)  # the numbers of the registers

INDEX, BYTE = ir.IntType(64), ir.IntType(8)
POINTER = BYTE.as_pointer()


def tile_configuration(rows: int) -> NDArray[np.uint8]:
    """Contents of the tile registers, as the CPU reads them, where tiles of counts and of sums have
    so many rows.
    """
    configuration = np.zeros(64, np.uint8)
    configuration[0] = 1  # the palette
    for register in (*SUMS, *COUNTS, *WEIGHTS):
        configuration[16 + 2 * register] = WIDTH
        configuration[48 + register] = ROWS if register in WEIGHTS else rows
    return configuration


CONFIGURATIONS = np.array([tile_configuration(rows) for rows in range(ROWS + 1)])


def _call(builder: Any, name: str, *operands: Any) -> None:
    """An instruction of AMX; numbers are those of registers."""
    values = [
        ir.Constant(BYTE, operand) if isinstance(operand, int) else operand for operand in operands
    ]
    kind: Any = ir.FunctionType(ir.VoidType(), [value.type for value in values])
    builder.call(builder.module.declare_intrinsic(f"llvm.x86.{name}", fnty=kind), values)


def _element(context: Any, builder: Any, array: Any, value: Any, place: Any) -> Any:
    """A pointer to an element of an array, as one to bytes."""
    return builder.bitcast(
        builder.gep(context.make_array(array)(context, builder, value).data, [place]), POINTER
    )


@intrinsic
def configure(_: Any, configurations: Any, rows: Any) -> tuple[Any, Callable[..., Any]]:
    """Set what the registers hold."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = builder.mul(arguments[1], ir.Constant(INDEX, WIDTH))
        _call(
            builder, "ldtilecfg", _element(context, builder, signature.args[0], arguments[0], place)
        )
        return context.get_dummy_value()

    return types.void(configurations, types.int64), generate


@intrinsic
def release(_: Any) -> tuple[Any, Callable[..., Any]]:
    """Leave the registers empty, so that nobody has to save them."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _call(builder, "tilerelease")
        return context.get_dummy_value()

    return types.void(), generate


def sums_of(tiles: int) -> Any:
    """A function that sets two tiles of sums, for each of so many tiles of weights side by side."""
    products = [
        (SUMS[tiles * corner + number], corner, number)
        for corner in range(2)
        for number in range(tiles)
    ]

    @intrinsic
    def set_sums(
        _: Any,
        weights: Any,
        weight: Any,
        counts: Any,
        count: Any,
        other_count: Any,
        kernel_rows: Any,
        chunks: Any,
        count_row: Any,
        step: Any,
        sums: Any,
        target: Any,
        other_target: Any,
        pitch: Any,
    ) -> tuple[Any, Callable[..., Any]]:
        """Set sums[target + r·pitch + o], and the same from `other_target` on, for rows r of a tile
        and outputs o.

        The products are of the weights from `weight` on, which lie side by side, `chunks` times 64
        inputs in each of `kernel_rows`; and of the counts from `count`, or `other_count`, +
        r·`step` on, and in each row of the kernel, `count_row` apart.
        """

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            def pointer(array: int, place: int) -> Any:
                return _element(
                    context, builder, signature.args[array], arguments[array], arguments[place]
                )

            def constant(number: int) -> Any:
                return ir.Constant(INDEX, number)

            def load(register: int, place: Any, stride: Any) -> None:
                _call(builder, "tileloadd64", register, place, stride)

            pointer_of_weights = pointer(0, 1)
            corners, targets = (pointer(2, 3), pointer(2, 4)), (pointer(9, 10), pointer(9, 11))
            kernel_rows, chunks, count_row, step = arguments[5:9]
            for register, *_ in products:
                _call(builder, "tilezero", register)
            entry = builder.block
            row_loop, chunk_loop, next_row, done = map(
                builder.append_basic_block, ("row", "chunk", "next_row", "done")
            )
            builder.branch(row_loop)

            builder.position_at_end(row_loop)
            row, first_weight = builder.phi(INDEX), builder.phi(POINTER)
            below = builder.mul(row, count_row)
            builder.branch(chunk_loop)

            builder.position_at_end(chunk_loop)
            chunk, weight = builder.phi(INDEX), builder.phi(POINTER)
            beside = builder.add(below, builder.mul(chunk, constant(WIDTH)))
            for register, corner in zip(COUNTS, corners, strict=True):
                load(register, builder.gep(corner, [beside]), step)
            for number in range(tiles):
                load(
                    WEIGHTS[number],
                    builder.gep(weight, [constant(WIDTH * number)]),
                    constant(tiles * WIDTH),
                )
            for register, corner, number in products:
                _call(builder, "tdpbusd", register, COUNTS[corner], WEIGHTS[number])
            following = builder.add(chunk, constant(1))
            next_weight = builder.gep(weight, [constant(tiles * WIDTH * ROWS)])
            builder.cbranch(builder.icmp_signed("<", following, chunks), chunk_loop, next_row)

            builder.position_at_end(next_row)
            next_number = builder.add(row, constant(1))
            builder.cbranch(builder.icmp_signed("<", next_number, kernel_rows), row_loop, done)
            for phi, begin, again in (
                (row, constant(0), next_number),
                (first_weight, pointer_of_weights, next_weight),
            ):
                phi.add_incoming(begin, entry)
                phi.add_incoming(again, next_row)
            for phi, begin, again in (
                (chunk, constant(0), following),
                (weight, first_weight, next_weight),
            ):
                phi.add_incoming(begin, row_loop)
                phi.add_incoming(again, chunk_loop)

            builder.position_at_end(done)
            pitch = builder.mul(arguments[12], constant(4))
            for register, corner, number in products:
                place = builder.gep(targets[corner], [constant(WIDTH * number)])
                _call(builder, "tilestored64", register, place, pitch)
            return context.get_dummy_value()

        integer = types.int64
        return types.void(weights, integer, counts, *[integer] * 6, sums, *[integer] * 3), generate

    return set_sums


set_sums_of_one, set_sums_of_two = sums_of(1), sums_of(2)


@internal
def multiply_tiles(
    weights: NDArray[np.int8],
    stride: tuple[int, int],
    counts: NDArray[np.uint8],
    size: int,
    step: int,
    first: int,
    sums: NDArray[np.int32],
    shape: tuple[int, int, int],
    across: int,
    pitch: int,
) -> None:
    """Set the currents of some rows of positions from `first` on, of counts (S, H, W, C).

    A tile has `size` rows, whose counts lie a `step` apart, and sums a `pitch`; tiles are `across`
    columns from each other. `sums` (…, rows, columns, outputs) int32 is flat, and of a `shape`.
    """
    blocks, kernel_rows, groups, outputs, _ = weights.shape
    width, inputs = counts.shape[2:]
    (down, right), (rows, columns, channels) = stride, shape
    flat_weights, flat_counts = weights.reshape(-1), counts.reshape(-1)
    chunks = groups // ROWS
    configure(CONFIGURATIONS, size)  # type: ignore[call-arg]  # numba gives the first argument
    for block in range(blocks):
        weight = block * kernel_rows * chunks * ROWS * outputs * 4
        for row in range(rows):
            corner, target = (
                (first + row) * down * width * inputs,
                row * columns * channels + block * outputs,
            )
            for column in range(0, columns, 2 * across):  # the last tiles may overlap
                first_column, second_column = (
                    min(column, columns - across),
                    min(column + across, columns - across),
                )
                corners = (
                    corner + first_column * right * inputs,
                    corner + second_column * right * inputs,
                )
                extent = kernel_rows, chunks, width * inputs, step
                targets = target + first_column * channels, target + second_column * channels
                if outputs == OUTPUTS:
                    set_sums_of_one(
                        flat_weights, weight, flat_counts, *corners, *extent, sums, *targets, pitch
                    )
                else:
                    set_sums_of_two(
                        flat_weights, weight, flat_counts, *corners, *extent, sums, *targets, pitch
                    )
    release()
