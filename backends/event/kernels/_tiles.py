"""Sums of products of bytes that stay in vector registers, as LLVM code: what :mod:`._products` is
made of.

Instructions multiply an int32's four unsigned bytes by four signed ones:

* AMX: 16 rows of 64 bytes by 64 bytes of 16 columns, in registers of their own; see :mod:`._amx`.

* VNNI (AVX-512): 16 int32 at once, each with its four products added, exactly.
* AVX2: 8 int32 at once. Two neighbouring products are added in an int16, these to others until they
  could overflow, and then both halves to an int32: two instructions for half as many bytes.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from spikesam.backends.event.kernels.private_numba import processor

GROUP = 4  # inputs of a sum that one instruction takes
INDEX, INTEGER, SHORT, BYTE = (ir.IntType(bits) for bits in (64, 32, 16, 8))
FEATURES = processor()[2].split(",")  # of the CPU that kernels are compiled for


class Instruction(NamedTuple):
    """A way to multiply bytes: `lanes` int32 sums in a register or in a row of a tile, `exact` or
    pairs of int16.

    `tiles` are outputs of a block of weights -> pixels whose sums stay in registers; a row of a
    kernel has a multiple of `groups` groups of weights.
    """

    lanes: int
    exact: bool
    tiles: dict[int, int]
    groups: int = 1

    def groups_at_once(self, count: int) -> int:
        """Groups of four counts of at most `count` whose products a register sums; 0 if even one's
        are too large.
        """
        if count > np.iinfo(np.uint8).max:
            return 0
        if self.exact:
            return np.iinfo(np.int32).max
        return np.iinfo(np.int16).max // (2 * -np.iinfo(np.int8).min * count)


AMX = Instruction(16, True, tiles={16: 16, 32: 16}, groups=16)
VNNI = Instruction(16, True, tiles={16: 8})
AVX2 = Instruction(8, False, tiles={16: 4})


def instruction() -> Instruction | None:
    """Those of :data:`FEATURES`, if the system allows them; None if there are none."""
    if "+amx-int8" in FEATURES and tiles_allowed():
        return AMX
    return next(
        (
            instruction
            for name, instruction in (("+avx512vnni", VNNI), ("+avx2", AVX2))
            if name in FEATURES
        ),
        None,
    )


def tiles_allowed() -> bool:
    """Ask Linux for the registers of AMX, once for all threads of this process and of those that it
    forks.
    """
    if not sys.platform.startswith("linux"):
        return False
    arch_prctl, request_permission, tile_data = 158, 0x1023, 18
    return ctypes.CDLL(None).syscall(arch_prctl, request_permission, tile_data) == 0


HOW = instruction()


def tile_of(how: Instruction, pixels: int, vectors: int) -> Any:
    """A function that sums products for so many neighbouring pixels and vectors of outputs."""
    lanes, exact = how.lanes, how.exact
    sums, shorts, bytes_ = (
        ir.VectorType(kind, size)
        for kind, size in ((INTEGER, lanes), (SHORT, 2 * lanes), (BYTE, 4 * lanes))
    )
    register = sums if exact else shorts
    tile = [(pixel, number) for pixel in range(pixels) for number in range(vectors)]

    def constant(number: int) -> Any:
        return ir.Constant(INDEX, number)

    def added(builder: Any, total: Any, counts: Any, weights: Any) -> Any:
        """`total` and the products of a register of counts with one of weights."""
        module = builder.module
        if exact:
            kind: Any = ir.FunctionType(sums, [sums] * 3)
            multiply = module.declare_intrinsic("llvm.x86.avx512.vpdpbusd.512", fnty=kind)
            return builder.call(multiply, [total, counts, weights])
        kind = ir.FunctionType(shorts, [bytes_] * 2)
        multiply = module.declare_intrinsic("llvm.x86.avx2.pmadd.ub.sw", fnty=kind)
        operands = [builder.bitcast(register_value, bytes_) for register_value in (counts, weights)]
        return builder.add(total, builder.call(multiply, operands))

    def summed(builder: Any, total: Any) -> Any:
        """The int32 that a register holds."""
        if exact:
            return total
        kind: Any = ir.FunctionType(sums, [shorts] * 2)
        pairs = builder.module.declare_intrinsic("llvm.x86.avx2.pmadd.wd", fnty=kind)
        return builder.call(pairs, [total, ir.Constant(shorts, [1] * 2 * lanes)])

    @intrinsic
    def add_products(
        _: Any,
        weights: Any,
        weight: Any,
        counts: Any,
        count: Any,
        rows: Any,
        groups: Any,
        weight_row: Any,
        count_row: Any,
        stride: Any,
        current: Any,
        target: Any,
        pitch: Any,
        add_to_current: Any,
    ) -> tuple[Any, Callable[..., Any]]:
        """Set current[target + p·pitch + o] for pixels p and outputs o, or add to it if
        `add_to_current`.

        The products are of the weights from `weight` on, and in each of `rows`, `weight_row` apart;
        and of the `groups` of four counts from `count` + p·`stride` on, and in each row,
        `count_row` apart.
        """

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            def element(array: int, place: Any, kind: Any) -> Any:
                data = context.make_array(signature.args[array])(
                    context, builder, arguments[array]
                ).data
                return builder.bitcast(builder.gep(data, [place]), kind.as_pointer())

            def spread(value: Any) -> Any:
                undefined = ir.Constant(sums, ir.Undefined)
                first = builder.insert_element(undefined, value, ir.Constant(INTEGER, 0))
                return builder.shuffle_vector(
                    first, undefined, ir.Constant(ir.VectorType(INTEGER, lanes), [0] * lanes)
                )

            (
                _,
                weight,
                _,
                count,
                rows,
                groups,
                weight_row,
                count_row,
                stride,
                _,
                target,
                pitch,
                add_to_current,
            ) = arguments
            size = GROUP * lanes * vectors  # of the weights of a group
            entry = builder.block
            row_loop, group_loop, next_row, done = (
                builder.append_basic_block(name) for name in ("row", "group", "next_row", "done")
            )
            builder.branch(row_loop)

            builder.position_at_end(row_loop)
            row, *sums_before = [builder.phi(kind) for kind in (INDEX, *[register] * len(tile))]
            first_weight = builder.add(weight, builder.mul(row, weight_row))
            first_count = builder.add(count, builder.mul(row, count_row))
            builder.branch(group_loop)

            builder.position_at_end(group_loop)
            group, *totals = [builder.phi(kind) for kind in (INDEX, *[register] * len(tile))]
            first = builder.add(first_weight, builder.mul(group, constant(size)))
            loaded = [
                builder.load(
                    element(0, builder.add(first, constant(GROUP * lanes * number)), sums),
                    align=GROUP * lanes,
                )
                for number in range(vectors)
            ]
            place = builder.add(first_count, builder.mul(group, constant(GROUP)))
            spread_counts = [
                spread(
                    builder.load(
                        element(2, builder.add(place, builder.mul(stride, constant(p))), INTEGER),
                        align=1,
                    )
                )
                for p in range(pixels)
            ]
            after = [
                added(builder, total, spread_counts[pixel], loaded[number])
                for total, (pixel, number) in zip(totals, tile, strict=True)
            ]
            following = builder.add(group, constant(1))
            builder.cbranch(builder.icmp_signed("<", following, groups), group_loop, next_row)

            builder.position_at_end(next_row)
            below = builder.add(row, constant(1))
            builder.cbranch(builder.icmp_signed("<", below, rows), row_loop, done)

            zero = ir.Constant(register, None)
            for phi, begin, again in zip(
                (row, *sums_before),
                (constant(0), *[zero] * len(tile)),
                (below, *after),
                strict=True,
            ):
                phi.add_incoming(begin, entry)
                phi.add_incoming(again, next_row)
            for phi, begin, again in zip(
                (group, *totals), (constant(0), *sums_before), (following, *after), strict=True
            ):
                phi.add_incoming(begin, row_loop)
                phi.add_incoming(again, group_loop)

            builder.position_at_end(done)
            places = [
                builder.add(target, builder.mul(pitch, constant(pixel))) for pixel in range(pixels)
            ]
            for total, (pixel, number) in zip(after, tile, strict=True):
                pointer = element(9, builder.add(places[pixel], constant(lanes * number)), sums)
                earlier = builder.select(
                    add_to_current, builder.load(pointer, align=4), ir.Constant(sums, None)
                )
                builder.store(builder.add(earlier, summed(builder, total)), pointer, align=4)
            return context.get_dummy_value()

        integer = types.int64
        taken = (weights, integer, counts, *[integer] * 6, current, integer, integer, types.boolean)
        return types.void(*taken), generate

    return add_products
