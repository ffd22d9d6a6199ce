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
    return _sum(packed, shape, 0.0, _checked_steps(packed, shape, steps), True)


def sum_and_count(
    packed: NDArray[np.uint8], shape: tuple[int, int, int], gamma: float, steps: int | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """:func:`spike_activation_sum` and :func:`spike_count_sum` of the same spikes, which are read once for both."""
    check_real_parameters(gamma, True, "paper")
    counts = np.empty(shape[1:])
    sums = _sum(packed, shape, math.exp(-gamma), _checked_steps(packed, shape, steps), True, counts)
    return sums, counts.astype(np.float32)


def compile_sums() -> None:
    """Compile the kernel, or load it from numba's cache. Call it before timing."""
    spikes = np.zeros((1, 1), np.uint8)
    spike_count_sum(spikes, (1, 1, 1))
    sum_and_count(spikes, (1, 1, 1), 0.0)


def _checked_steps(packed: NDArray[np.uint8], shape: tuple[int, int, int], steps: int | None) -> int:
    check_packed(packed, shape)
    if steps is not None and not 1 <= steps <= len(packed):
        raise InputError(f"steps: got {steps}, expected 1 to {len(packed)}, the steps of these spikes")
    return len(packed) if steps is None else steps


def _sum(
    packed: NDArray[np.uint8],
    shape: tuple[int, int, int],
    decay: float,
    steps: int,
    include_current: bool,
    counts: NDArray[np.float64] | None = None,
) -> NDArray[np.float32]:
    from .sam_sum_kernel import sum_trains  # here, because importing numba takes half a second

    sums = np.empty(shape[1:])
    sizes = (np.uint64(size) for size in (shape[0], sums.size, steps))
    current, counted = True if include_current else None, None if counts is None else counts.reshape(-1)
    sum_trains(readable_words(packed), *sizes, decay, current, sums.reshape(-1), counted)
    return sums.astype(np.float32)
