"""The kernel behind :func:`pipeline.maps.sam_sum.spike_activation_sum`, compiled by numba.

64 neighbouring pixels of a channel go through all steps at once, silent or not: their scores and sums are vectors that
stay in registers. Per neuron and step that is a product and two additions, which cost less than finding spikes one by
one, as :mod:`pipeline.maps.sam_kernel` must. Nothing of size T is written.

A pixel's sum is a float64 sum over channels in ascending order, and of each channel over steps. It does not depend on
blocks, threads or other samples, so neither do the resulting bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from backends.event.kernels.cache import cached

ZERO, ONE, THREE, EIGHT, WORD = (np.uint64(number) for number in (0, 1, 3, 8, 64))
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
    counts: Any,
    current: Any,
) -> tuple[Any, Callable[..., Any]]:
    """Add to `sums` (2·64 float64) what the trains of up to 64 neurons of a channel give over some first steps.

        earlier = score · decay
        score   = earlier + spike
        sum    += spike · (score, or earlier if `current` is None)
        count  += spike                                             behind the sums, unless `counts` is None

    Their bits begin `offset` bits behind byte `byte` of every step, the highest first; lane 63 is the first pixel.
    """
    counts_itself, counts_spikes = (not isinstance(each, types.NoneType) for each in (current, counts))

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        data = context.make_array(signature.args[6])(context, builder, arguments[6]).data
        both = builder.bitcast(data, LANES.as_pointer())
        summed = [builder.gep(both, [ir.Constant(ir.IntType(32), row)]) for row in range(1 + counts_spikes)]
        steps, byte, offset, width, decay = arguments[1:6]
        word = ir.IntType(64)
        eight, unused = ir.Constant(word, 8), builder.sub(ir.Constant(word, 64), width)
        spills = builder.icmp_unsigned(">", builder.add(offset, width), ir.Constant(word, 64))  # into a ninth byte
        ninth = builder.select(spills, eight, ir.Constant(word, 0))
        behind = builder.select(spills, builder.sub(eight, offset), ir.Constant(word, 0))
        decays = builder.insert_element(ir.Constant(LANES, ir.Undefined), decay, ir.Constant(ir.IntType(32), 0))
        spread = ir.Constant(ir.VectorType(ir.IntType(32), 64), [0] * 64)
        decays = builder.shuffle_vector(decays, ir.Constant(LANES, ir.Undefined), spread)
        ones, nothing = ir.Constant(LANES, [1.0] * 64), ir.Constant(LANES, [0.0] * 64)
        score, *totals = (cgutils.alloca_once(builder, LANES) for _ in range(1 + len(summed)))  # type: ignore[no-untyped-call]
        builder.store(nothing, score)
        for before, total in zip(summed, totals, strict=True):
            builder.store(builder.load(before, align=8), total)
        stride = builder.extract_value(array.strides, 0)
        with cgutils.for_range(builder, steps, intp=word) as loop:
            place = builder.gep(array.data, [builder.add(builder.mul(loop.index, stride), byte)])
            bits = builder.load(builder.bitcast(place, word.as_pointer()), align=1)
            bits = builder.shl(builder.bswap(bits), offset)
            last = builder.zext(builder.load(builder.gep(place, [ninth]), align=1), word)
            bits = builder.or_(bits, builder.select(spills, builder.lshr(last, behind), ir.Constant(word, 0)))
            bits = builder.shl(builder.lshr(bits, unused), unused)  # those of other channels are no spikes
            fires = builder.bitcast(bits, ir.VectorType(ir.IntType(1), 64))
            earlier = builder.fmul(builder.load(score), decays)
            later = builder.select(fires, builder.fadd(earlier, ones), earlier)
            builder.store(later, score)
            for added, total in zip((later if counts_itself else earlier, ones), totals, strict=False):
                before = builder.load(total)
                builder.store(builder.fadd(before, builder.select(fires, added, nothing)), total)
        for after, total in zip(summed, totals, strict=True):
            builder.store(builder.load(total), after, align=8)
        return context.get_dummy_value()

    return types.void(packed, steps, byte, offset, width, decay, sums, counts, current), generate


@cached(nogil=True)
def sum_trains(
    packed: NDArray[np.uint8],
    channels: np.uint64,
    pixels: np.uint64,
    steps: np.uint64,
    decay: float,
    current: bool | None,
    sums: NDArray[np.float64],
    counts: NDArray[np.float64] | None,
) -> None:
    """Fill `sums` with Σ_t Σ_c S·N of one sample in one layer, and `counts` with Σ_t Σ_c S.

    Parameters
    ----------
    packed : (T, ⌈C·P/8⌉) uint8, at least 8 bytes a step — the bits of (C, P) in C-order, the first one highest
    channels, pixels : C and P = H·W
    steps : how many first ones are summed, at most T
    decay : e^{-γ}
    current : True if a spike counts itself, None if only earlier ones count
    sums : (P) float64, written
    counts : (P) float64, written; None to count nothing
    """
    last_word = np.uint64(packed.shape[1]) - EIGHT
    block = np.empty(WORD + WORD)
    for first in range(ZERO, pixels, WORD):
        width = min(WORD, pixels - first)
        block[:] = 0
        for channel in range(ZERO, channels):
            bit = channel * pixels + first
            byte = min(bit >> THREE, last_word)  # nothing is read behind the end
            add_trains(packed, steps, byte, bit - (byte << THREE), width, decay, block, counts, current)  # type: ignore[call-arg]  # numba gives the first argument
        for pixel in range(width):
            sums[first + pixel] = block[WORD - ONE - pixel]
            if counts is not None:
                counts[first + pixel] = block[WORD + WORD - ONE - pixel]
