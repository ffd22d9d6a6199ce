"""The compiled kernel behind `poisson_batch`: random numbers become packed spikes.

NumPy draws 8 uint32 with its Philox, moves them to memory, and reads them three more times to
compare, join and pack. Here a step's numbers stay in the cache until they are bits. Philox is a
function of the number of a block, so a step begins with whichever block its first draw lies in.

References
----------
Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3": Philox4x64 of ten rounds, whose
constants these are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from spikesam.backends.event.kernels.compiled import compiled_making_arrays
from spikesam.backends.event.kernels.events import WORD, store_bits

ROUNDS = 10
MULTIPLIERS = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
KEY_STEPS = (
    np.uint64(0x9E3779B97F4A7C15),
    np.uint64(0xBB67AE8584CAA73B),
)  # added to the key after every round
DRAWS = 8  # uint32 of a block
ONE, TWO, THREE, FOUR = (np.uint64(number) for number in (1, 2, 3, 4))


@intrinsic
def full_product(_: Any, a: Any, b: Any) -> tuple[Any, Callable[..., Any]]:
    """Upper and lower half of the 128 bits of a·b: one machine instruction, which numba has no name
    for.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        half_type, product_type = ir.IntType(64), ir.IntType(128)
        product = builder.mul(*(builder.zext(factor, product_type) for factor in arguments))
        upper = builder.trunc(builder.lshr(product, ir.Constant(product_type, 64)), half_type)
        return context.make_tuple(
            builder, signature.return_type, [upper, builder.trunc(product, half_type)]
        )

    pair: Any = types.UniTuple(types.uint64, 2)  # type: ignore[no-untyped-call]
    return pair(types.uint64, types.uint64), generate


@njit(inline="always")
def philox_block(number: Any, seed: Any, index: Any) -> Any:
    """Four uint64: the values 4·number … 4·number + 3 of `numpy.random.Philox(key=(seed,
    index)).random_raw`.
    """
    zero = np.uint64(0)
    a, b, c, d = number + np.uint64(1), zero, zero, zero  # NumPy counts before it draws
    for _ in range(ROUNDS):
        of_a: Any = full_product(MULTIPLIERS[0], a)  # type: ignore[call-arg]  # numba gives the first argument
        of_c: Any = full_product(MULTIPLIERS[1], c)
        a, b, c, d = of_c[0] ^ b ^ seed, of_c[1], of_a[0] ^ d ^ index, of_a[1]
        seed += KEY_STEPS[0]
        index += KEY_STEPS[1]
    return a, b, c, d


@intrinsic
def below(
    _: Any, draws: Any, first: Any, limits: Any, place: Any
) -> tuple[Any, Callable[..., Any]]:
    """Bit i of a word: whether draws[first + i] >> 8 < limits[place + i], for 64 neighbours in a
    few instructions.
    """
    vector = ir.VectorType(ir.IntType(32), WORD)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def load(array: int) -> Any:
            data = context.make_array(signature.args[array])(
                context, builder, arguments[array]
            ).data
            pointer = builder.gep(data, [arguments[array + 1]])
            return builder.load(builder.bitcast(pointer, vector.as_pointer()), align=4)

        drawn = builder.lshr(load(0), ir.Constant(vector, [8] * WORD))
        return builder.bitcast(builder.icmp_unsigned("<", drawn, load(2)), ir.IntType(WORD))

    return types.uint64(draws, types.int64, limits, types.int64), generate


def plane_limits(
    x: NDArray[np.float32], limits: NDArray[np.uint32]
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """`on` and `off` of :func:`draw_spikes` for an image (C, H, W) and the limits of its pixels."""
    on, off = np.zeros((2, -(-2 * x.size // WORD) * WORD), np.uint32)
    on[: x.size] = (limits * (x > 0)).ravel()
    off[x.size : 2 * x.size] = (limits * (x < 0)).ravel()
    return on, off


@compiled_making_arrays
def draw_spikes(
    on: NDArray[np.uint32],
    off: NDArray[np.uint32],
    pixels: int,
    seed: np.uint64,
    index: np.uint64,
    packed: NDArray[np.uint8],
) -> None:
    """Draw the spikes of an image of P pixels, into (T, ⌈2P/8⌉) uint8: big-endian bits, ON planes
    before OFF planes.

    A neuron of `on` or `off`, (2P, padded to a multiple of 64) uint32, fires where its pixel's
    draw, shifted right by 8, is below its limit. Pixels lie at 0 … P-1 of `on` and P … 2P-1 of
    `off`, other limits are 0. Draw t·P + p of the random numbers of (seed, index) is that of step t
    and pixel p.
    """
    words = np.zeros(
        (WORD + DRAWS + pixels + WORD) // 2, np.uint64
    )  # a word's room before and after the draws
    draws = words.view(np.uint32)
    for t in range(len(packed)):
        row = packed[t]
        block, skipped = divmod(t * pixels, DRAWS)
        place = np.uint64(WORD // 2)
        for number in range(block, block + (skipped + pixels + DRAWS - 1) // DRAWS):
            values = philox_block(np.uint64(number), seed, index)
            words[place], words[place + ONE], words[place + TWO], words[place + THREE] = values
            place += FOUR
        first = WORD + skipped
        for neuron in range(0, len(on), WORD):
            word = np.uint64(0)
            if neuron < pixels:
                word |= below(draws, first + neuron, on, neuron)  # type: ignore[call-arg]
            if neuron + WORD > pixels:
                word |= below(draws, first + neuron - pixels, off, neuron)  # type: ignore[call-arg]
            store_bits(word, row, neuron // 8, min(8, len(row) - neuron // 8))
