"""Attention: products of the spikes of q, k and v, head by head, the tokens first.

    p[c, e] = Σ_m k[m, c] · v[m, e]         each spike of k adds the row of v at its token
    a[n, e] = Σ_c q[n, c] · p[c, e]         each spike of q adds the row of p of its channel

Spikes that are not there cost nothing, and rows are added 64 numbers of 16 bits at a time: p of so
few tokens that no sum of 64 of its rows is larger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from spikesam.backends.event.kernels.aligned import aligned
from spikesam.backends.event.kernels.compiled import internal
from spikesam.backends.event.kernels.events import WORD, word_of
from spikesam.backends.event.kernels.private_numba import cgutils

LARGEST = 65535  # of 16 bits
ROW = ir.VectorType(ir.IntType(16), WORD)


class AttentionRoom(NamedTuple):
    """Memory that :func:`attend` works in, of one head.

    Parameters
    ----------
    pairs : (⌈d/64⌉, d, 64) uint16 — p, 64 columns behind the other
    sums : (64,) uint16 — of rows of p
    values : (64,) bool — spikes of v at the end of its map, where fewer than 64 follow
    """

    pairs: NDArray[np.uint16]
    sums: NDArray[np.uint16]
    values: NDArray[np.bool_]


def attention_room(depth: int) -> AttentionRoom:
    """Room for heads of so many channels; every thread needs its own."""
    pairs = aligned(np.zeros((-(-depth // WORD), depth, WORD), np.uint16))
    return AttentionRoom(pairs, aligned(np.zeros(WORD, np.uint16)), np.zeros(WORD, np.bool_))


@internal
def attend(
    query: NDArray[np.bool_],
    key: NDArray[np.bool_],
    value: NDArray[np.bool_],
    firsts: tuple[int, int, int],
    room: AttentionRoom,
    current: NDArray[Any],
) -> None:
    """Set the currents (H', W', C), of the rows that `query` has, to q · kᵀ · v.

    Parameters
    ----------
    query, key, value : (H, W, C or more) bool, of which `firsts` are the first channels that are
        read
    """
    depth, channels, tokens = room.pairs.shape[1], current.shape[2], key.shape[0] * key.shape[1]
    tokens_at_once = LARGEST // min(depth, WORD)  # tokens of which no sum is too large
    flat = query.reshape(-1), key.reshape(-1), value.reshape(-1)
    current[:] = 0
    for head in range(0, channels, depth):
        begins = firsts[0] + head, firsts[1] + head, firsts[2] + head
        for first in range(0, tokens, tokens_at_once):
            room.pairs[:] = 0
            span = first, min(tokens, first + tokens_at_once)
            _add_values((flat[1], flat[2]), begins[1:], (key.shape[2], value.shape[2]), span, room)
            _add_pairs(
                flat[0], (begins[0], head), (query.shape[2], channels), room, current.reshape(-1)
            )


@internal
def _add_values(
    flat: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    begins: tuple[int, int],
    sizes: tuple[int, int],
    span: tuple[int, int],
    room: AttentionRoom,
) -> None:
    """Add the spikes of v at each token to the rows of p of the channels of k that fire there."""
    (key, value), (blocks, depth, _) = flat, room.pairs.shape
    for token in range(*span):
        for channel in range(0, depth, WORD):
            word = word_of(key, token * sizes[0] + begins[0] + channel, min(WORD, depth - channel))
            for block in range(blocks if word else 0):
                values, begin = value, token * sizes[1] + begins[1] + block * WORD
                if begin + WORD > len(value):
                    for i in range(len(value) - begin):
                        room.values[i] = value[begin + i]
                    values, begin = room.values, 0
                _add_to_rows(word, room.pairs, block * depth + channel, values, begin)  # type: ignore[call-arg]


@internal
def _add_pairs(
    query: NDArray[np.bool_],
    begins: tuple[int, int],
    sizes: tuple[int, int],
    room: AttentionRoom,
    current: NDArray[Any],
) -> None:
    """Add the rows of p of the channels of q that fire at each token to its currents."""
    blocks, depth, _ = room.pairs.shape
    for token in range(len(current) // sizes[1]):
        for channel in range(0, depth, WORD):
            word = word_of(
                query, token * sizes[0] + begins[0] + channel, min(WORD, depth - channel)
            )
            for block in range(blocks if word else 0):
                _sum_rows(word, room.pairs, block * depth + channel, room.sums)  # type: ignore[call-arg]
                begin = token * sizes[1] + begins[1]
                _add(
                    room.sums,
                    current[begin + block * WORD : begin + min(depth, (block + 1) * WORD)],
                )


@internal
def _add(sums: NDArray[np.uint16], current: NDArray[Any]) -> None:
    """Add the first of one to the other: in a function of its own, LLVM sees that no index is
    negative.
    """
    for i in range(len(current)):
        current[i] += sums[i]


@intrinsic
def _add_to_rows(
    _: Any, word: Any, rows: Any, first: Any, values: Any, begin: Any
) -> tuple[Any, Callable[..., Any]]:
    """rows[first + i] += values[begin : begin + 64] for every bit i of a word."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values = _pointer(
            context,
            builder,
            signature,
            arguments,
            3,
            arguments[4],
            ir.VectorType(ir.IntType(8), WORD),
        )
        added = builder.zext(builder.load(values, align=1), ROW)
        rows = _pointer(context, builder, signature, arguments, 1, None, ROW)
        with _each_bit(builder, arguments[0], arguments[2]) as row:
            place = builder.gep(rows, [row])
            builder.store(builder.add(builder.load(place, align=2), added), place, align=2)
        return context.get_dummy_value()

    return types.void(types.uint64, rows, types.int64, values, types.int64), generate


@intrinsic
def _sum_rows(
    _: Any, word: Any, rows: Any, first: Any, sums: Any
) -> tuple[Any, Callable[..., Any]]:
    """sums[:] = the sum of rows[first + i] for every bit i of a word, which is formed in
    registers.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        total = cgutils.alloca_once_value(builder, ir.Constant(ROW, None))  # type: ignore[no-untyped-call]
        rows = _pointer(context, builder, signature, arguments, 1, None, ROW)
        with _each_bit(builder, arguments[0], arguments[2]) as row:
            added = builder.load(builder.gep(rows, [row]), align=2)
            builder.store(builder.add(builder.load(total), added), total)
        builder.store(
            builder.load(total),
            _pointer(context, builder, signature, arguments, 3, None, ROW),
            align=2,
        )
        return context.get_dummy_value()

    return types.void(types.uint64, rows, types.int64, sums), generate


def _pointer(
    context: Any, builder: Any, signature: Any, arguments: Any, number: int, begin: Any, vector: Any
) -> Any:
    """The address of a vector that begins at an element of an array, the first if None."""
    data = context.make_array(signature.args[number])(context, builder, arguments[number]).data
    return builder.bitcast(
        data if begin is None else builder.gep(data, [begin]), vector.as_pointer()
    )


@contextmanager
def _each_bit(builder: Any, word: Any, first: Any) -> Iterator[Any]:
    """A loop over the positions of the bits of a word, counted from `first`."""
    left = cgutils.alloca_once_value(builder, word)  # type: ignore[no-untyped-call]
    with cgutils.for_range(builder, builder.ctpop(word)):
        bits = builder.load(left)
        builder.store(builder.and_(bits, builder.sub(bits, ir.Constant(bits.type, 1))), left)
        yield builder.add(first, builder.cttz(bits, ir.Constant(ir.IntType(1), True)))
