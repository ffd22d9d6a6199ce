"""The kernels behind :func:`spikesam.pipeline.maps.sam.spike_activation_sum`, compiled by numba.

64 neighbouring pixels of a channel go through all steps at once, silent or not: their scores and
sums are vectors that stay in registers. Per neuron and step that is a product and two additions,
which cost less than finding spikes one by one, as :mod:`spikesam.pipeline.maps._sam_kernel` must.
Nothing of size T is written.

A pixel's sum is a float64 sum over channels in ascending order, and of each channel over steps. It
does not depend on blocks, threads or other samples, so neither do the resulting bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from spikesam.backends.event.kernels.cache import cached
from spikesam.backends.event.kernels.private_numba import cgutils

ZERO, ONE, THREE, EIGHT, WORD = (np.uint64(number) for number in (0, 1, 3, 8, 64))
PLANES = 64  # binary digits of a counter
BITS = ir.IntType(64)
LANES = ir.VectorType(ir.DoubleType(), 64)


@intrinsic
def add_trains(
    _: Any,
    packed: Any,
    steps: Any,
    byte: Any,
    offset: Any,
    width: Any,
    decay: Any,
    sums: Any,
    current: Any,
) -> tuple[Any, Callable[..., Any]]:
    """Add to `sums` (64 float64) what the trains of up to 64 neurons of a channel give over some
    first steps.

        earlier = score · decay
        score   = earlier + spike
        sum    += spike · (score, or earlier if `current` is None)

    Their bits begin `offset` bits behind byte `byte` of every step, the highest first; lane 63 is
    the first pixel.
    """
    counts_itself = not isinstance(current, types.NoneType)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        data = context.make_array(signature.args[6])(context, builder, arguments[6]).data
        summed = builder.bitcast(data, LANES.as_pointer())
        steps, byte, offset, width, decay = arguments[1:6]
        decays = builder.insert_element(
            ir.Constant(LANES, ir.Undefined), decay, ir.Constant(ir.IntType(32), 0)
        )
        spread = ir.Constant(ir.VectorType(ir.IntType(32), 64), [0] * 64)
        decays = builder.shuffle_vector(decays, ir.Constant(LANES, ir.Undefined), spread)
        units, nothing = ir.Constant(LANES, [1.0] * 64), ir.Constant(LANES, [0.0] * 64)
        score, total = (cgutils.alloca_once(builder, LANES) for _ in range(2))  # type: ignore[no-untyped-call]
        builder.store(nothing, score)
        builder.store(builder.load(summed, align=8), total)
        with cgutils.for_range(builder, steps, intp=BITS) as loop:
            bits = _load_bits(builder, array, loop.index, byte, offset, width)
            fires = builder.bitcast(bits, ir.VectorType(ir.IntType(1), 64))
            earlier = builder.fmul(builder.load(score), decays)
            later = builder.select(fires, builder.fadd(earlier, units), earlier)
            builder.store(later, score)
            added = builder.select(fires, later if counts_itself else earlier, nothing)
            builder.store(builder.fadd(builder.load(total), added), total)
        builder.store(builder.load(total), summed, align=8)
        return context.get_dummy_value()

    return types.void(packed, steps, byte, offset, width, decay, sums, current), generate


@intrinsic
def load_train_bits(
    _: Any, packed: Any, step: Any, byte: Any, offset: Any, width: Any
) -> tuple[Any, Callable[..., Any]]:
    """The spikes of up to 64 neurons at one step, see :func:`add_trains`: uint64, the first one
    highest.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        return _load_bits(builder, array, *arguments[1:])

    return types.uint64(packed, step, byte, offset, width), generate


def _load_bits(builder: Any, array: Any, step: Any, byte: Any, offset: Any, width: Any) -> Any:
    """The bits that :func:`load_train_bits` gives; LLVM takes out of a loop over steps what does
    not change in it.
    """
    eight, unused = ir.Constant(BITS, 8), builder.sub(ir.Constant(BITS, 64), width)
    spills = builder.icmp_unsigned(
        ">", builder.add(offset, width), ir.Constant(BITS, 64)
    )  # into a ninth byte
    ninth = builder.select(spills, eight, ir.Constant(BITS, 0))
    shift = builder.select(spills, builder.sub(eight, offset), ir.Constant(BITS, 0))
    stride = builder.extract_value(array.strides, 0)
    place = builder.gep(array.data, [builder.add(builder.mul(step, stride), byte)])
    bits = builder.load(builder.bitcast(place, BITS.as_pointer()), align=1)
    bits = builder.shl(builder.bswap(bits), offset)
    last = builder.zext(builder.load(builder.gep(place, [ninth]), align=1), BITS)
    bits = builder.or_(
        bits, builder.select(spills, builder.lshr(last, shift), ir.Constant(BITS, 0))
    )
    return builder.shl(builder.lshr(bits, unused), unused)  # those of other channels are no spikes


@cached(nogil=True)
def sum_trains(
    packed: NDArray[np.uint8],
    channels: np.uint64,
    pixels: np.uint64,
    steps: np.uint64,
    decay: float,
    current: bool | None,
    sums: NDArray[np.float64],
) -> None:
    """Fill `sums` (P) float64 with Σ_t Σ_c S·N of packed spikes (T, ⌈C·P/8⌉), at least 8 bytes a
    step.

    `decay` is e^{-γ}; `current` is True if a spike counts itself, None if only earlier ones count.
    """
    last_word = np.uint64(packed.shape[1]) - EIGHT
    block = np.empty(WORD)
    for first in range(ZERO, pixels, WORD):
        width = min(WORD, pixels - first)
        block[:] = 0
        for channel in range(ZERO, channels):
            bit = channel * pixels + first
            byte = min(bit >> THREE, last_word)  # nothing is read behind the end
            add_trains(packed, steps, byte, bit - (byte << THREE), width, decay, block, current)  # type: ignore[call-arg]  # numba gives the first argument
        for pixel in range(width):
            sums[first + pixel] = block[WORD - ONE - pixel]


@cached(nogil=True)
def count_trains(
    packed: NDArray[np.uint8],
    channels: np.uint64,
    pixels: np.uint64,
    steps: np.uint64,
    counts: NDArray[np.float32],
) -> None:
    """Fill `counts` (P) with Σ_t Σ_c S of packed spikes, see `sum_trains`.

    64 counters stand side by side, a plane for each binary digit. Eight words of spikes are added
    up by carry-save adders (Warren, Hacker's Delight, 2nd ed., section 5-1: Harley and Seal), so
    that the carry runs through the planes once.
    """
    last_word = np.uint64(packed.shape[1]) - EIGHT
    planes, words = np.empty(PLANES, np.uint64), np.empty(8, np.uint64)
    for first in range(ZERO, pixels, WORD):
        width = min(WORD, pixels - first)
        planes[:] = 0
        words[:] = 0
        held, used = 0, 3
        for channel in range(ZERO, channels):
            bit = channel * pixels + first
            byte = min(bit >> THREE, last_word)
            for step in range(ZERO, steps):
                words[held] = load_train_bits(packed, step, byte, bit - (byte << THREE), width)  # type: ignore[call-arg]
                held += 1
                if held == 8:
                    used = max(used, _add_words(planes, words))
                    held = 0
        words[held:] = 0
        used = max(used, _add_words(planes, words))
        for pixel in range(width):
            count = ZERO
            for digit in range(used):
                count |= (planes[digit] >> (WORD - ONE - pixel) & ONE) << np.uint64(digit)
            counts[first + pixel] = count


@cached(nogil=True)
def _add_words(planes: NDArray[np.uint64], words: NDArray[np.uint64]) -> int:
    """Add one to the counters of every bit that is set in eight words; returns how many planes may
    be in use.
    """
    twos, units = _add(planes[0], words[0], words[1])
    more_twos, units = _add(units, words[2], words[3])
    fours, twos = _add(planes[1], twos, more_twos)
    more_twos, units = _add(units, words[4], words[5])
    last_twos, units = _add(units, words[6], words[7])
    more_fours, twos = _add(twos, more_twos, last_twos)
    carry, planes[2] = _add(planes[2], fours, more_fours)
    planes[0], planes[1] = units, twos
    digit = 3
    while carry:
        planes[digit], carry = planes[digit] ^ carry, planes[digit] & carry
        digit += 1
    return digit


@cached(nogil=True)
def _add(a: np.uint64, b: np.uint64, c: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Sums of three bits, at 64 places: the digit of twos, and that of ones."""
    either = a ^ b
    return a & b | either & c, either ^ c
