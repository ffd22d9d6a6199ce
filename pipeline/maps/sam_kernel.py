"""The event-driven kernel behind :func:`pipeline.maps.sam.spike_activation_maps`, compiled by numba.

Work is proportional to the number of spikes; silent neurons are never touched. What makes it fast, and why:

* Decay is caught up when a neuron fires, from a table of e^{-γΔ}: nothing happens to it in between.
* The bits of 64 neighbouring pixels of a channel are put into one word, wherever they begin, and only its set bits are
  visited. Maps and channels may have any size.
* Blocks of 64 pixels do not depend on each other. One after the other keeps the scores of a block in the cache.
* The scores of several γ lie side by side and advance in one vector instruction or a few. Finding a spike costs more
  than using it, so that eleven γ take about twice the time of one. Their number is compiled in.

The map of a pixel is a float64 sum over channels in ascending order; each term is a float64 recurrence over the spikes
of one neuron. Neither depends on the other γ, on blocks, threads or other samples, so neither do the resulting bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from backends.event.kernels.events import trailing_zeros

# Indices are unsigned, which spares numba a check for negative ones at every access.
ZERO, ONE, SIX, LAST_BIT, WORD = (np.uint64(number) for number in (0, 1, 6, 63, 64))


@intrinsic
def fire(
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
            array = context.make_array(signature.args[position])(context, builder, arguments[position])
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
        builder.store(builder.fadd(earlier, ir.Constant(vector, [1.0] * len(current))), score, align=8)
        builder.store(builder.fadd(load(total), builder.fadd(earlier, counted)), total, align=8)
        return context.get_dummy_value()

    return types.void(scores, neuron, decays, elapsed, sums, place, current), generate


@njit(nogil=True, cache=True)
def sum_scores(
    words: NDArray[np.uint64],
    channels: np.uint64,
    pixels: np.uint64,
    decays: NDArray[np.float64],
    current: tuple[float, ...],
    maps: NDArray[Any],
) -> None:
    """Fill `maps` with Σ_c S·N of one sample in one layer, for every γ.

    Parameters
    ----------
    words : (T, ⌈C·P/64⌉) uint64 — the bits of (C, P) in C-order, the first one highest
    channels, pixels : C and P = H·W
    decays : (T, K) float64, C-contiguous — e^{-γΔ} by Δ and γ
    current : K numbers, all 1 if a spike counts itself, all 0 if only earlier ones count
    maps : (G, T, P) float32 or float64, written; the first G ≤ K of `decays`
    """
    block = min(WORD, pixels)
    scores = np.empty((channels * block, np.uint64(len(current))))
    last = np.empty(channels * block, np.uint32)
    sums = np.empty((block, np.uint64(len(current))))
    for first in range(ZERO, pixels, block):
        width = min(block, pixels - first)
        scores[:] = 0
        last[:] = 0  # any step will do: a score of 0 has nothing to decay
        for t in range(np.uint64(len(words))):
            sums[:] = 0
            for channel in range(channels):
                begin = channel * pixels + first
                index, offset = begin >> SIX, begin & LAST_BIT
                bits = words[t, index] << offset
                if offset + width > WORD:
                    bits |= words[t, index + ONE] >> (WORD - offset)
                bits >>= WORD - width  # now the last of the `width` pixels is the lowest bit
                while bits:
                    place: Any = trailing_zeros(bits)  # type: ignore[call-arg]  # numba gives the first argument
                    bits &= bits - ONE
                    neuron = channel * block + place
                    elapsed = t - np.uint64(last[neuron])
                    last[neuron] = t
                    fire(scores, neuron, decays, elapsed, sums, place, current)
            for g in range(np.uint64(len(maps))):
                for pixel in range(width):
                    maps[g, t, first + pixel] = sums[width - ONE - pixel, g]
