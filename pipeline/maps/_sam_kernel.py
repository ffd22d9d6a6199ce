"""The event-driven kernel behind :func:`spikesam.pipeline.maps.sam.spike_activation_maps`, compiled
by numba.

Work is proportional to the number of spikes; silent neurons are never touched. What makes it fast,
and why:

* Decay is caught up when a neuron fires, from a table of e^{-γΔ}: nothing happens to it in between.
* The bits of 64 neighbouring pixels of a channel are put into one word, wherever they begin, and
  only its set bits are visited. Maps and channels may have any size.
* Blocks of 64 pixels do not depend on each other. One after the other keeps the scores of a block
  in the cache. Of very many channels some go through all steps before the next ones do, which
  bounds memory.
* Bits are read where they are, eight bytes at a time: no copy of the spikes is made.
* The scores of several γ lie side by side and advance in one vector instruction or a few. Finding a
  spike costs more than using it, so that eleven γ take about twice the time of one. Their number is
  compiled in.

The map of a pixel is a float64 sum over channels in ascending order; each term is a float64
recurrence over the spikes of one neuron. Neither depends on the other γ, on blocks, threads or
other samples, so neither do the resulting bits.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from spikesam.backends.event.kernels.cache import cached
from spikesam.backends.event.kernels.events import trailing_zeros

# Indices are unsigned, which spares numba a check for negative ones at every access.
ZERO, ONE, THREE, EIGHT, WORD = (np.uint64(number) for number in (0, 1, 3, 8, 64))
NEURONS = np.uint64(1 << 20)  # whose scores are held at a time


@intrinsic
def fire_all_gammas(
    _: Any, scores: Any, neuron: Any, decays: Any, elapsed: Any, sums: Any, place: Any, current: Any
) -> tuple[Any, Callable[..., Any]]:
    """Let a neuron fire, for all γ in one vector (numba would go through them one by one).

    earlier        = scores[neuron] · decays[elapsed]
    scores[neuron] = earlier + 1
    sums[place]   += earlier + current
    """
    vector = ir.VectorType(ir.DoubleType(), len(current))

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        def row(position: int) -> Any:
            """Where row `arguments[position + 1]` of the array `arguments[position]` begins."""
            array = context.make_array(signature.args[position])(
                context, builder, arguments[position]
            )
            start = builder.mul(arguments[position + 1], ir.Constant(ir.IntType(64), len(current)))
            return builder.bitcast(builder.gep(array.data, [start]), vector.as_pointer())

        def load(pointer: Any) -> Any:
            return builder.load(pointer, align=8)

        counted = ir.Constant(vector, ir.Undefined)
        for i in range(len(current)):
            number = builder.extract_value(arguments[6], i)
            counted = builder.insert_element(counted, number, ir.Constant(ir.IntType(32), i))
        score, total = row(0), row(4)
        earlier = builder.fmul(load(score), load(row(2)))
        builder.store(
            builder.fadd(earlier, ir.Constant(vector, [1.0] * len(current))), score, align=8
        )
        builder.store(builder.fadd(load(total), builder.fadd(earlier, counted)), total, align=8)
        return context.get_dummy_value()

    return types.void(scores, neuron, decays, elapsed, sums, place, current), generate


@intrinsic
def eight_bytes(_: Any, packed: Any, step: Any, byte: Any) -> tuple[Any, Callable[..., Any]]:
    """The eight bytes of `packed[step]` from `byte` on, as one number, the first one highest; they
    must exist.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        offset = builder.add(
            builder.mul(arguments[1], builder.extract_value(array.strides, 0)), arguments[2]
        )
        word = ir.IntType(64)
        number = builder.load(
            builder.bitcast(builder.gep(array.data, [offset]), word.as_pointer()), align=1
        )
        return builder.bswap(number) if sys.byteorder == "little" else number

    return types.uint64(packed, step, byte), generate


@cached(nogil=True)
def sum_scores(
    packed: NDArray[np.uint8],
    channels: np.uint64,
    pixels: np.uint64,
    begin: np.uint64,
    decays: NDArray[np.float64],
    current: tuple[float, ...],
    maps: NDArray[Any],
) -> None:
    """Fill `maps` (G, T, P') with Σ_c S·N of packed spikes (T, ⌈C·P/8⌉), at least 8 bytes a step,
    from `begin` on.

    `decays` (T, K) float64 are e^{-γΔ} by Δ and γ, K ≥ G. `current` are K ones if a spike counts
    itself, else zeros.
    """
    timesteps, end = np.uint64(len(packed)), begin + np.uint64(maps.shape[2])
    last_word = np.uint64(packed.shape[1]) - EIGHT
    block = min(WORD, end - begin)
    group = min(channels, max(ONE, NEURONS // block))
    scores = np.empty((group * block, np.uint64(len(current))))
    last = np.empty(group * block, np.uint32)
    row = (
        ZERO if group == channels else block
    )  # from the sums of one step to those of the next, if all must be kept
    sums = np.zeros((row * (timesteps - ONE) + block, np.uint64(len(current))))
    for first in range(begin, end, block):
        width = min(block, end - first)
        for lowest in range(ZERO, channels, group):
            highest = min(lowest + group, channels)
            scores[:] = 0
            last[:] = 0  # any step will do: a score of 0 has nothing to decay
            for t in range(timesteps):
                for channel in range(lowest, highest):
                    bit = channel * pixels + first
                    byte = min(bit >> THREE, last_word)  # nothing is read behind the end
                    offset = bit - (byte << THREE)
                    word: Any = eight_bytes(packed, t, byte)  # type: ignore[call-arg]  # numba gives the first argument
                    bits = word << offset
                    if offset + width > WORD:
                        bits |= np.uint64(packed[t, byte + EIGHT]) >> (EIGHT - offset)
                    bits >>= WORD - width  # now the last of the `width` pixels is the lowest bit
                    while bits:
                        place: Any = trailing_zeros(bits)
                        bits &= bits - ONE
                        neuron = (channel - lowest) * block + place
                        elapsed = t - np.uint64(last[neuron])
                        last[neuron] = t
                        fire_all_gammas(
                            scores, neuron, decays, elapsed, sums, t * row + place, current
                        )
                if highest == channels:
                    for g in range(np.uint64(len(maps))):
                        for pixel in range(width):
                            maps[g, t, first - begin + pixel] = sums[
                                t * row + width - ONE - pixel, g
                            ]
                    sums[t * row : t * row + block] = 0
