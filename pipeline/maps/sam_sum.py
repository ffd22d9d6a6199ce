"""SAM summed over steps, Σ_t M[t,h,w], in one pass over packed bits that writes nothing of size T.

The definition is :func:`pipeline.maps.sam.spike_activation_map`, summed; the two agree to float32 rounding. Pictures,
measures and files of maps show these sums, over the steps that can still change the answer.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from recordings.errors import InputError

from .sam import Variant, check_packed, check_real_parameters, readable_words, strips_as_the_authors


def spike_activation_sum(
    packed: NDArray[np.uint8],
    shape: tuple[int, int, int],
    gamma: float,
    steps: int | None = None,
    *,
    include_current: bool = True,
    variant: Variant = "paper",
) -> NDArray[np.float32]:
    """SAM of one sample in one layer, summed over its first steps.

    Scores and their sums are float64, rounded to float32 once. The same spikes give the same bits, whatever wrote them.

    Parameters
    ----------
    packed : (T, ⌈C·H·W/8⌉) uint8 — `np.packbits` of (C, H, W) in C-order
    shape : (C, H, W)
    gamma : decay of the kernel, 1/step, finite and ≥ 0
    steps : how many first steps are summed, 1 … T; all if not given
    include_current, variant : see :func:`pipeline.maps.sam.spike_activation_map`

    Returns
    -------
    (H, W) float32, dimensionless, ≥ 0

    Raises
    ------
    InputError : as :func:`pipeline.maps.sam.spike_activation_maps`, or if there are not as many steps
    """
    check_real_parameters(gamma, include_current, variant)
    count = _checked_steps(packed, shape, steps)
    if variant == "paper":
        return _sum(packed, shape, math.exp(-gamma), count, include_current)
    sums = np.empty(shape[1] * shape[2], np.float32)
    for begin, (maps,) in strips_as_the_authors(packed[:count], shape, (gamma,)):
        sums[begin : begin + maps.shape[1]] = maps.sum(axis=0)
    return sums.reshape(shape[1:])


def spike_count_sum(
    packed: NDArray[np.uint8], shape: tuple[int, int, int], steps: int | None = None
) -> NDArray[np.float32]:
    """Spikes per pixel over its first steps, Σ_t Σ_c S[t]: the baseline that SAM's kernel must beat.

    Parameters and result are those of :func:`spike_activation_sum`.
    """
    from .sam_sum_kernel import count_trains  # here, because importing numba takes half a second

    count = _checked_steps(packed, shape, steps)
    counts = np.empty(shape[1:], np.float32)
    count_trains(readable_words(packed), *_sizes(shape, count), counts.reshape(-1))
    return counts


def compile_sums() -> None:
    """Compile the kernels, or load them from numba's cache. Call it before timing."""
    spikes = np.zeros((1, 1), np.uint8)
    spike_activation_sum(spikes, (1, 1, 1), 0.0)
    spike_count_sum(spikes, (1, 1, 1))


def _checked_steps(packed: NDArray[np.uint8], shape: tuple[int, int, int], steps: int | None) -> int:
    check_packed(packed, shape)
    if steps is not None and not 1 <= steps <= len(packed):
        raise InputError(f"steps: got {steps}, expected 1 to {len(packed)}, the steps of these spikes")
    return len(packed) if steps is None else steps


def _sum(
    packed: NDArray[np.uint8], shape: tuple[int, int, int], decay: float, steps: int, include_current: bool
) -> NDArray[np.float32]:
    from .sam_sum_kernel import sum_trains

    sums = np.empty(shape[1:])
    sum_trains(
        readable_words(packed), *_sizes(shape, steps), decay, True if include_current else None, sums.reshape(-1)
    )
    return sums.astype(np.float32)


def _sizes(shape: tuple[int, int, int], steps: int) -> tuple[np.uint64, ...]:
    """Channels, pixels and steps, as the kernels take them."""
    return np.uint64(shape[0]), np.uint64(shape[1] * shape[2]), np.uint64(steps)
