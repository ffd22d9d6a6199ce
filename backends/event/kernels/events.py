"""Spikes as bytes -> lists of who fired, and bits for the file.

Both look at 64 neurons at a time: one vector comparison makes a word of them, and only its set bits
are visited. A loop whose end depends on the spikes costs as much as several events, since the
processor guesses it wrong; so events are listed and copied a few at a time, whether there are so
many or not, and what is surplus is overwritten by the next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from spikesam.backends.event.kernels._tiles import FEATURES
from spikesam.backends.event.kernels.compiled import (
    entry,
    inlined,
    internal,
    internal_making_arrays,
)
from spikesam.backends.event.kernels.private_numba import cgutils, populate_array

WORD = 64
ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
LISTED = 8  # events at a time; fewer than COPIED
COPIED = 16


@intrinsic
def trailing_zeros(_: Any, word: Any) -> tuple[Any, Callable[..., Any]]:
    """Position of the lowest set bit, 64 if there is none: one machine instruction, which numba has
    no name for.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), False))

    return types.uint64(word), generate


@intrinsic
def popcount(_: Any, word: Any) -> tuple[Any, Callable[..., Any]]:
    """Number of set bits: one machine instruction."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(word), generate


@intrinsic
def load_word(_: Any, spikes: Any, first: Any) -> tuple[Any, Callable[..., Any]]:
    """Bit i is spikes[first + i], for 64 neighbours of a flat bool array: a vector load and a
    comparison.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        vector = ir.VectorType(ir.IntType(8), WORD)
        pointer = builder.bitcast(builder.gep(array.data, [arguments[1]]), vector.as_pointer())
        fired = builder.icmp_unsigned(
            "!=", builder.load(pointer, align=1), ir.Constant(vector, None)
        )
        return builder.bitcast(fired, ir.IntType(WORD))

    return types.uint64(spikes, types.int64), generate


@inlined
def word_of(spikes: NDArray[np.bool_], first: int, width: int) -> Any:
    """Bit i is spikes[first + i] for i < width ≤ 64, other bits are 0."""
    if first + WORD <= len(spikes):
        word: Any = load_word(spikes, first)  # type: ignore[call-arg]  # numba gives the first argument
        return word & (ALL >> np.uint64(WORD - width))
    word = np.uint64(0)
    for i in range(width):
        word |= np.uint64(spikes[first + i]) << np.uint64(i)
    return word


@intrinsic
def load_bytes(_: Any, spikes: Any, first: Any) -> tuple[Any, Callable[..., Any]]:
    """Byte i is spikes[first + i], for 8 neighbours of a flat array of bytes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        pointer = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(WORD).as_pointer())
        return builder.load(pointer, align=1)

    return types.uint64(spikes, types.int64), generate


@inlined
def bytes_of(spikes: NDArray[Any], first: int) -> Any:
    """Byte i is spikes[first + i], of spikes or any bytes, for i < 8; 0 beyond the end."""
    if first + 8 <= len(spikes):
        return load_bytes(spikes, first)  # type: ignore[call-arg]
    word = np.uint64(0)
    for i in range(len(spikes) - first):
        word |= np.uint64(spikes[first + i]) << np.uint64(8 * i)
    return word


def array_at(dtype: Any, sides: int) -> Any:
    """A function that gives the C-contiguous array at an address, which the caller keeps alive, of
    a shape.

    So any number of arrays are passed. Numba's own carray counts references.
    """
    array = types.Array(dtype, sides, "C")

    @intrinsic
    def found(_: Any, address: Any, shape: Any) -> tuple[Any, Callable[..., Any]]:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            size = context.get_abi_sizeof(context.get_data_type(dtype))
            shape: Any = cgutils.unpack_tuple(builder, arguments[1])  # type: ignore[no-untyped-call]
            strides: list[Any] = [context.get_constant(types.int64, size)]
            for side in shape[:0:-1]:
                strides.insert(0, builder.mul(strides[0], side))
            made_array = context.make_array(array)(context, builder)
            data = builder.inttoptr(arguments[0], made_array.data.type)
            populate_array(made_array, data, shape, strides, strides[-1], None)  # type: ignore[no-untyped-call]
            return made_array._getvalue()

        return array(types.int64, shape), generate

    return found


maps_at, bits_at = array_at(types.boolean, 4), array_at(types.uint8, 2)
integers_at, floats_at = array_at(types.int32, 4), array_at(types.float32, 4)


@intrinsic
def reverse_bits(_: Any, word: Any) -> tuple[Any, Callable[..., Any]]:
    """The word with the bits of each of its bytes in reverse order, as files have them."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bswap(builder.bitreverse(arguments[0]))

    return types.uint64(word), generate


@intrinsic
def store_word(_: Any, word: Any, packed: Any, first: Any) -> tuple[Any, Callable[..., Any]]:
    """packed[first : first + 8] = the bytes of a word."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[1])(context, builder, arguments[1]).data
        pointer = builder.bitcast(builder.gep(data, [arguments[2]]), ir.IntType(WORD).as_pointer())
        builder.store(arguments[0], pointer, align=1)
        return context.get_dummy_value()

    return types.void(word, packed, types.int64), generate


@inlined
def store_bits(word: Any, packed: NDArray[np.uint8], first: int, size: int) -> None:
    """Write bit i of a word as the file's bit i of packed[first : first + size], for a size of at
    most 8.
    """
    ordered: Any = reverse_bits(word)  # type: ignore[call-arg]
    if size == 8:
        store_word(ordered, packed, first)
    else:
        for i in range(size):
            packed[first + i] = np.uint8(ordered >> np.uint64(8 * i))


@intrinsic
def store_spikes(_: Any, word: Any, spikes: Any, first: Any) -> tuple[Any, Callable[..., Any]]:
    """spikes[first + i] = bit i of a word, for 64 neighbours of a flat bool array; undoes
    :func:`load_word`.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[1])(context, builder, arguments[1]).data
        bits, bytes_ = (ir.VectorType(ir.IntType(size), WORD) for size in (1, 8))
        fired = builder.zext(builder.bitcast(arguments[0], bits), bytes_)
        builder.store(
            fired, builder.bitcast(builder.gep(data, [arguments[2]]), bytes_.as_pointer()), align=1
        )
        return context.get_dummy_value()

    return types.void(word, spikes, types.int64), generate


@inlined
def load_bits(packed: NDArray[np.uint8], first: int) -> Any:
    """Undo :func:`store_bits`; bits beyond the end are 0."""
    ordered: Any = reverse_bits(bytes_of(packed, first))  # type: ignore[call-arg]
    return ordered


@internal
def count_spikes(spikes: NDArray[np.bool_]) -> int:
    """The number of neurons of a C-contiguous map that fired."""
    flat = spikes.reshape(-1)
    count = np.uint64(0)
    for first in range(0, len(flat), WORD):
        count += popcount(word_of(flat, first, min(WORD, len(flat) - first)))  # type: ignore[call-arg]
    return int(count)


@internal
def any_fired(spikes: NDArray[np.bool_]) -> bool:
    """True if a neuron of a C-contiguous map fired; found at the first of them."""
    flat = spikes.reshape(-1)
    for first in range(0, len(flat), WORD):  # Numba compiles no generators
        if word_of(flat, first, min(WORD, len(flat) - first)):
            return True
    return False


def _everywhere(builder: Any, number: Any, vector: Any) -> Any:
    """A vector of a number, shortened to its integers."""
    vectors, value = ir.Constant(vector, ir.Undefined), builder.trunc(number, vector.element)
    for i in range(vector.count):
        vectors = builder.insert_element(vectors, value, ir.Constant(ir.IntType(32), i))
    return vectors


@intrinsic
def compress_word(
    _: Any, word: Any, first: Any, events: Any, count: Any
) -> tuple[Any, Callable[..., Any]]:
    """:func:`list_word`, with an instruction that moves those of 64 bytes together whose bits are
    set.
    """
    bytes_, integers = ir.VectorType(ir.IntType(8), WORD), ir.VectorType(ir.IntType(32), COPIED)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word, first, _, count = arguments
        fired = builder.bitcast(word, ir.VectorType(ir.IntType(1), WORD))
        channels: Any = ir.Constant(bytes_, list(range(WORD)))
        kind: Any = ir.FunctionType(bytes_, [bytes_, bytes_, fired.type])
        compress = builder.module.declare_intrinsic(
            "llvm.x86.avx512.mask.compress.v64i8", fnty=kind
        )
        listed = builder.call(compress, [channels, ir.Constant(bytes_, None), fired])
        data = context.make_array(signature.args[2])(context, builder, arguments[2]).data

        added = _everywhere(builder, first, integers)

        def store(part: int) -> None:
            places = ir.Constant(
                ir.VectorType(ir.IntType(32), COPIED), list(range(part, part + COPIED))
            )
            sixteen = builder.zext(builder.shuffle_vector(listed, listed, places), integers)
            place = builder.gep(data, [builder.add(count, ir.Constant(ir.IntType(WORD), part))])
            builder.store(
                builder.add(sixteen, added), builder.bitcast(place, integers.as_pointer()), align=4
            )

        number = builder.ctpop(word)
        store(0)
        with builder.if_then(builder.icmp_unsigned(">", number, ir.Constant(number.type, COPIED))):
            for part in range(COPIED, WORD, COPIED):
                store(part)
        return builder.add(count, number)

    return types.uint64(word, types.int64, events, types.uint64), generate


@inlined
def visit_word(word: Any, first: int, events: NDArray[np.int32], count: Any) -> Any:
    """:func:`list_word`, bit by bit."""
    after: Any = count + popcount(word)  # type: ignore[call-arg]
    while count < after:
        for i in range(LISTED):
            place: Any = trailing_zeros(word)
            events[count + np.uint64(i)] = np.uint64(first) + place
            word &= word - np.uint64(1)
        count += np.uint64(LISTED)
    return after


list_word: Any = compress_word if "+avx512vbmi2" in FEATURES else visit_word
"""Write, from events[count] on, the channels of a word's set bits, of which the first has `first`:
how many there are.

Up to 64 events are written, whatever they hold.
"""


@internal
def list_events(
    spikes: NDArray[np.bool_],
    fired: bool,
    pool: tuple[int, int],
    events: NDArray[np.int32],
    ends: NDArray[np.int32],
) -> int:
    """List the neurons of (H, W, C) that fired, or those that did not, by the pooled pixel they
    belong to: how many.

    `events` (H·W·C + WORD,) int32 gets the channel of every event, pooled row by row and pixel by
    pixel; those of pooled pixel (Y, X) are events[ends[Y, X] : ends[Y, X+1]], `ends` being (H/y,
    W/x + 1) int32.
    """
    height, width, channels = spikes.shape
    flat = spikes.reshape(-1)
    flip = np.uint64(0) if fired else ALL
    rows, columns = pool
    count = np.uint64(0)
    for row in range(height // rows):
        for column in range(width // columns):
            ends[row, column] = count
            for y in range(row * rows, (row + 1) * rows):
                for x in range(column * columns, (column + 1) * columns):
                    pixel = (y * width + x) * channels
                    for first in range(0, channels, WORD):
                        span = min(WORD, channels - first)
                        word = word_of(flat, pixel + first, span) ^ (flip >> np.uint64(WORD - span))
                        count = list_word(word, first, events, count)
        ends[row, width // columns] = count
    return int(count)


@intrinsic
def copy_events(
    _: Any, events: Any, first: Any, offset: Any, units: Any, copies: Any, place: Any
) -> tuple[Any, Callable[..., Any]]:
    """copies[place + i] = (events[first + i] + offset) · units for COPIED neighbours, in a few
    vector instructions.
    """
    vector = ir.VectorType(ir.IntType(32), COPIED)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def pointer(array: int, place: int) -> Any:
            data = context.make_array(signature.args[array])(
                context, builder, arguments[array]
            ).data
            return builder.bitcast(builder.gep(data, [arguments[place]]), vector.as_pointer())

        offset, units = (_everywhere(builder, number, vector) for number in arguments[2:4])
        copied = builder.add(builder.load(pointer(0, 1), align=4), offset)
        builder.store(builder.mul(copied, units), pointer(4, 5), align=4)
        return context.get_dummy_value()

    return types.void(events, *[types.int64] * 3, copies, types.int64), generate


@internal
def list_window(
    events: NDArray[np.int32],
    ends: NDArray[np.int32],
    top: int,
    rows: int,
    channels: int,
    units: int,
    window: NDArray[np.int32],
    count: int,
    starts: NDArray[np.int32],
) -> None:
    """List the events of neighbouring rows column by column, as a kernel that moves along them
    meets them.

    The `rows` begin at `top`, which may lie outside the map. `window` int32 gets, from `count` on,
    `units` times (X·rows + Y - top)·C + c of the events at pooled pixel (Y, X), and has room for
    COPIED more; those of column X are window[starts[X] : starts[X + 1]].
    """
    width = ends.shape[1] - 1
    above, below = max(0, top), min(len(ends), top + rows)
    for column in range(width):
        starts[column] = count
        for row in range(above, below):
            first, last = np.int64(ends[row, column]), np.int64(ends[row, column + 1])
            offset = (column * rows + row - top) * channels
            copy_events(events, first, offset, units, window, count)  # type: ignore[call-arg]
            for copied in range(COPIED, last - first, COPIED):
                copy_events(events, first + copied, offset, units, window, count + copied)
            count += last - first
    starts[width] = count


@internal
def pack_spikes(
    spikes: NDArray[np.bool_], place: tuple[int, int], packed: NDArray[np.uint8]
) -> None:
    """Write `np.packbits` of a map (H, W, C) in the file's order, or of some of its rows, whose
    bits fill whole bytes.

    `place` is the first of these rows, and how many the map has. `packed` (⌈C·H·W/8⌉,) holds
    big-endian bits of (C, H, W) in C-order, with pad bits zero; or is empty.
    """
    if not len(packed):
        return
    _, width, channels = spikes.shape
    first, pixels = place[0] * width, place[1] * width
    if pixels == 1:  # bits lie in the order of the file
        flat = spikes.reshape(-1)
        for channel in range(0, channels, WORD):
            span = min(WORD, channels - channel)
            store_bits(word_of(flat, channel, span), packed, channel // 8, (span + 7) // 8)
    elif pixels % 8 == 0:
        pack_squares(spikes.reshape(-1), first, pixels, channels, packed)
    else:  # a byte may hold bits of two channels
        pack_one_by_one(spikes.reshape(-1), pixels, channels, packed)


@internal_making_arrays
def pack_squares(
    flat: NDArray[np.bool_], start: int, pixels: int, channels: int, packed: NDArray[np.uint8]
) -> None:
    """Turn squares of 64 pixels by 64 channels, a word for each pixel, to a word for each channel.

    Where channels are few, a word holds as many pixels as fit, each 64 behind the one before.
    `start` and `pixels` are the number of the first pixel, and how many the map has.
    """
    square = np.empty(WORD, np.uint64)
    n_pixels = len(flat) // channels
    pixels_of_word = max(1, WORD // channels)
    for pixel in range(0, n_pixels, pixels_of_word * WORD):
        for first in range(0, channels, WORD):
            n_channels = min(WORD, channels - first)
            mine = ALL >> np.uint64(WORD - n_channels)
            square[:] = 0
            for part in range(pixels_of_word):
                begin, shift = (
                    (pixel + part * WORD) * channels + first,
                    np.uint64(part * n_channels),
                )
                count = min(WORD, n_pixels - pixel - part * WORD)
                inside = max(0, min(count, (len(flat) - WORD - begin) // channels + 1))
                for i in range(inside):
                    loaded: Any = load_word(flat, begin + i * channels)  # type: ignore[call-arg]
                    square[i] |= (loaded & mine) << shift
                for i in range(inside, count):
                    square[i] |= word_of(flat, begin + i * channels, n_channels) << shift
            transpose(square)
            for part in range(pixels_of_word):
                begin = pixel + part * WORD
                size = min(WORD, n_pixels - begin) // 8
                for i in range(n_channels):
                    place = ((first + i) * pixels + start + begin) // 8
                    store_bits(square[part * n_channels + i], packed, place, size)


@internal
def transpose(square: NDArray[np.uint64]) -> None:
    """Swap rows and columns of 64 words of 64 bits, by halves of words, then halves of these, down
    to single bits.
    """
    side, mask = WORD // 2, np.uint64(0xFFFFFFFF)
    while side:
        shift = np.uint64(side)
        for first in range(0, WORD, 2 * side):
            for i in range(first, first + side):
                swapped = ((square[i] >> shift) ^ square[i + side]) & mask
                square[i + side] ^= swapped
                square[i] ^= swapped << shift
        side //= 2
        mask ^= mask << np.uint64(side)


@internal
def pack_one_by_one(
    flat: NDArray[np.bool_], pixels: int, channels: int, packed: NDArray[np.uint8]
) -> None:
    """Only the neurons that fired."""
    packed[:] = 0
    for pixel in range(pixels):
        for first in range(0, channels, WORD):
            word = word_of(flat, pixel * channels + first, min(WORD, channels - first))
            while word:
                place: Any = trailing_zeros(word)  # type: ignore[call-arg]
                bit = np.uint64((first + np.int64(place)) * pixels + pixel)
                packed[bit >> np.uint64(3)] |= np.uint8(128) >> np.uint8(bit & np.uint64(7))
                word &= word - np.uint64(1)


@internal
def unpack_spikes(packed: NDArray[np.uint8], spikes: NDArray[np.bool_]) -> None:
    """Undo :func:`pack_spikes` for several steps: (S, ⌈C·H·W/8⌉) uint8 -> (S, H, W, C) bool,
    written.
    """
    steps, height, width, channels = spikes.shape
    pixels = height * width
    if pixels == 1:  # the channels of a pixel lie in memory as the pixels of a channel do
        pixels, channels = channels, 1
    spikes[:] = False
    for step in range(steps):
        flat = spikes[step].reshape(-1)
        channel, end = 0, pixels  # of the channel's bits
        for first in range(0, len(flat), WORD):
            word = load_bits(packed[step], first // 8)
            if channels == 1 and first + WORD <= len(flat):
                store_spikes(word, flat, first)  # type: ignore[call-arg]
                continue
            while word:
                place: Any = trailing_zeros(word)  # type: ignore[call-arg]
                bit = first + np.int64(place)
                while bit >= end:
                    channel += 1
                    end += pixels
                flat[(bit - end + pixels) * channels + channel] = True
                word &= word - np.uint64(1)


unpack = entry(unpack_spikes)
