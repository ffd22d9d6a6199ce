"""Spike Activation Map (SAM): where, at every step, neurons fire in quick succession.

For a neuron with spikes S[t] ∈ {0, 1} and P its firing times up to and including t:

    TSCS  T(t, t') = exp(-γ |t - t'|)
    NCS   N[t]     = Σ_{t' ∈ P, t' ≤ t} T(t, t')
    SAM   M[t,h,w] = Σ_c S[t] · N[t]

γ is the decay of a spike's weight per step: with γ = 0 all earlier spikes count alike, with a large
one only those just before, and γ → ∞ leaves the number of spikes. No gradient, no class label.

Two forms of the same thing: :func:`spike_activation_map` is the definition, to read and to test
against. One pass over packed bits gives the maps of every step, for any number of γ
(:func:`spike_activation_maps`), or their sum over steps without anything of size T
(:func:`spike_activation_sum`): pictures, measures and files of maps show these sums. All agree to
float32 rounding. γ enters the kernels as e^{-γΔ} or e^{-γ}; see _sam_kernel.py and
_sam_sum_kernel.py.

References
----------
Kim & Panda 2021, Sci. Rep. 11, 19037, Eq. 12-14.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikesam.common.errors import InputError
from spikesam.recordings.raster.batch import packed_bytes

Variant = Literal["paper", "authors-code"]
AnyVariant = Literal[
    "paper", "authors-code", "fixed"
]  # the last one in integers, see methods/sam.py
STRIP_BYTES = 1 << 26  # of float64 sums that the variant "authors-code" holds at a time


def temporal_spike_contribution_score(
    t: ArrayLike, t_previous: ArrayLike, gamma: float
) -> NDArray[np.float64]:
    """Weight of a spike at t' for the same neuron at step t: exp(-γ |t - t'|), float64 in [0, 1]
    (Eq. 12).
    """
    score: NDArray[np.float64] = np.exp(-gamma * np.abs(np.subtract(t, t_previous)))
    return score


def neuronal_contribution_score(
    spikes: NDArray[np.bool_],
    gamma: float,
    *,
    include_current: bool = True,
    variant: Variant = "paper",
) -> NDArray[np.float64]:
    """Sum of the scores of a neuron's spikes up to every step, (T, ...) float64, by the definition:
    O(T²) (Eq. 13).
    """
    check_parameters(gamma, include_current, variant, Variant)
    steps = np.arange(len(spikes))
    now, then = steps[:, None], steps[None, :]
    reached = then <= now if include_current else then < now
    kernel = np.where(reached, temporal_spike_contribution_score(now, then, gamma), 0.0)
    score: NDArray[np.float64] = np.tensordot(kernel, spikes.astype(np.float64), axes=1)
    if variant == "authors-code":
        silent_steps = np.cumsum(~spikes, axis=0)
        score += (np.exp(-gamma * steps) * silent_steps.T).T
    return score


def spike_activation_map(
    spikes: NDArray[np.bool_],
    gamma: float,
    *,
    include_current: bool = True,
    variant: Variant = "paper",
) -> NDArray[np.float32]:
    """SAM of one layer, by the definition (Eq. 14).

    Parameters
    ----------
    spikes : (T, B, C, H, W) bool — raster of one layer
    gamma : float, 1/step — decay of the kernel, finite and ≥ 0; 0 counts all earlier spikes alike
    include_current : whether a spike at t counts itself (as the authors' code does), or strictly
        earlier ones only
    variant : "paper" (the equations), or "authors-code": their published script, which writes the
        time of a spike as S[t']·t', so that every silent step, and a spike at t' = 0, adds
        exp(-γt). Kept for comparison

    Returns
    -------
    (T, B, H, W) float32, dimensionless, ≥ 0

    Raises
    ------
    InputError : if `spikes` is not 5-D bool, gamma is negative or not finite, or the variant is
        unknown
    """
    if spikes.ndim != 5 or spikes.dtype != np.bool_:
        raise InputError(
            f"SAM: got spikes of shape {spikes.shape} {spikes.dtype}, expected (T, B, C, H, W) bool"
        )
    score = neuronal_contribution_score(
        spikes, gamma, include_current=include_current, variant=variant
    )
    maps: NDArray[np.float32] = (spikes * score).sum(axis=2).astype(np.float32)
    return maps


def spike_activation_maps(
    packed: NDArray[np.uint8],
    shape: tuple[int, int, int],
    gammas: Sequence[float],
    *,
    include_current: bool = True,
    variant: Variant = "paper",
) -> NDArray[np.float32]:
    """SAM of packed spikes (T, ⌈C·H·W/8⌉) for G decays γ in a single pass over them: (G, T, H, W)
    float32 ≥ 0.

    Scores and their sum over channels, in ascending order, are float64, rounded to float32 once.
    The same spikes give the same bits, whatever wrote them and whichever other γ are asked for.
    """
    gammas = tuple(map(float, gammas))
    if not gammas:
        raise InputError("gammas: got none, expected at least one (0.5 is the authors' default)")
    for gamma in gammas:
        check_parameters(gamma, include_current, variant, Variant)
    check_packed(packed, shape)
    pixels = shape[1] * shape[2]
    maps = np.empty((len(gammas), len(packed), pixels), np.float32)
    if variant == "paper":
        _sum_scores(packed, shape, gammas, include_current, 0, maps)
    else:
        for begin, strip in _strips_as_the_authors(packed, shape, gammas):
            maps[..., begin : begin + strip.shape[-1]] = strip
    return maps.reshape(*maps.shape[:2], *shape[1:])


def spike_count_map(packed: NDArray[np.uint8], shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Spikes per pixel and step of packed (T, bytes) uint8, Σ_c S[t]: (T, H, W) float32, SAM
    without kernel (γ → ∞).
    """
    check_packed(packed, shape)
    maps = np.empty((1, len(packed), shape[1] * shape[2]), np.float32)
    _sum_scores(packed, shape, (math.inf,), True, 0, maps)
    return maps.reshape(len(packed), *shape[1:])


def spike_activation_sum(
    packed: NDArray[np.uint8],
    shape: tuple[int, int, int],
    gamma: float,
    steps: int | None = None,
    *,
    include_current: bool = True,
    variant: Variant = "paper",
) -> NDArray[np.float32]:
    """SAM summed over the first `steps`, all if not given: (H, W) float32 ≥ 0, see
    :func:`spike_activation_maps`.
    """
    check_parameters(gamma, include_current, variant, Variant)
    count = _checked_steps(packed, shape, steps)
    if variant == "paper":
        from spikesam.pipeline.maps._sam_sum_kernel import sum_trains

        exact, current = np.empty(shape[1:]), True if include_current else None
        sum_trains(
            _readable_words(packed),
            *_sizes(shape, count),
            math.exp(-gamma),
            current,
            exact.reshape(-1),
        )
        return exact.astype(np.float32)
    sums = np.empty(shape[1] * shape[2], np.float32)
    for begin, (maps,) in _strips_as_the_authors(packed[:count], shape, (gamma,)):
        sums[begin : begin + maps.shape[1]] = maps.sum(axis=0)
    return sums.reshape(shape[1:])


def spike_count_sum(
    packed: NDArray[np.uint8], shape: tuple[int, int, int], steps: int | None = None
) -> NDArray[np.float32]:
    """Spikes per pixel over the first steps, Σ_t Σ_c S[t], (H, W) float32: the baseline that SAM's
    kernel must beat.
    """
    from spikesam.pipeline.maps._sam_sum_kernel import count_trains

    count = _checked_steps(packed, shape, steps)
    counts = np.empty(shape[1:], np.float32)
    count_trains(_readable_words(packed), *_sizes(shape, count), counts.reshape(-1))
    return counts


def compile_kernel() -> None:
    """Compile the kernel for one γ, or load it from numba's cache: a second the first time. Call it
    before timing.
    """
    spike_count_map(np.zeros((1, 1), np.uint8), (1, 1, 1))


def compile_sums() -> None:
    """Compile the kernels of sums, or load them from numba's cache. Call it before timing."""
    spikes = np.zeros((1, 1), np.uint8)
    spike_activation_sum(spikes, (1, 1, 1), 0.0)
    spike_count_sum(spikes, (1, 1, 1))


def check_packed(packed: NDArray[np.uint8], shape: tuple[int, int, int]) -> None:
    """Refuse an array that is not (T, ⌈C·H·W/8⌉) uint8."""
    width = packed_bytes(math.prod(shape))
    if packed.ndim != 2 or packed.dtype != np.uint8 or packed.shape[1] != width:
        raise InputError(
            f"packed spikes: got shape {packed.shape} {packed.dtype}, expected (T, {width}) uint8 "
            f"for a layer of (C, H, W) = {tuple(shape)}"
        )


def _strips_as_the_authors(
    packed: NDArray[np.uint8], shape: tuple[int, int, int], gammas: tuple[float, ...]
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """The variant "authors-code", some pixels at a time: the first pixel, and (G, T, pixels)
    float64.
    """
    pixels = shape[1] * shape[2]
    size = max(64, STRIP_BYTES // (8 * (len(gammas) + 2) * len(packed)) // 64 * 64)
    for begin in range(0, pixels, size):
        yield begin, _sum_as_the_authors(packed, shape, gammas, begin, min(size, pixels - begin))


def _sum_as_the_authors(
    packed: NDArray[np.uint8],
    shape: tuple[int, int, int],
    gammas: tuple[float, ...],
    begin: int,
    pixels: int,
) -> NDArray[np.float64]:
    """(G, T, pixels) from pixel `begin` on: e^{-γt} is added for t + 1 steps less the spikes, which
    γ = 0 counts.
    """
    sums = np.empty((len(gammas) + 2, len(packed), pixels))
    _sum_scores(packed, shape, (*gammas, 0.0, math.inf), True, begin, sums)
    steps, decays = np.arange(1, len(packed) + 1), _decays(gammas, len(packed))[:, : len(gammas)]
    silent_steps = steps[:, None] * sums[-1] - sums[-2]
    maps: NDArray[np.float64] = sums[:-2] + decays.T[..., None] * silent_steps
    return maps


def _sum_scores(
    packed: NDArray[np.uint8],
    shape: tuple[int, int, int],
    gammas: tuple[float, ...],
    include_current: bool,
    begin: int,
    maps: NDArray[Any],
) -> None:
    """Σ_c S·N for every γ, ∞ allowed, into (G, T, pixels): the pixels from `begin` on."""
    from spikesam.pipeline.maps._sam_kernel import (
        sum_scores,
    )  # here, because numba takes half a second to import

    channels, pixels = np.uint64(shape[0]), np.uint64(shape[1] * shape[2])
    decays = _decays(gammas, len(packed))
    current = (float(include_current),) * decays.shape[1]
    sum_scores(_readable_words(packed), channels, pixels, np.uint64(begin), decays, current, maps)


def _checked_steps(
    packed: NDArray[np.uint8], shape: tuple[int, int, int], steps: int | None
) -> int:
    check_packed(packed, shape)
    if steps is not None and not 1 <= steps <= len(packed):
        raise InputError(
            f"steps: got {steps}, expected 1 to {len(packed)}, the steps of these spikes"
        )
    return len(packed) if steps is None else steps


def _sizes(shape: tuple[int, int, int], steps: int) -> tuple[np.uint64, ...]:
    """Channels, pixels and steps, as the kernels take them."""
    return np.uint64(shape[0]), np.uint64(shape[1] * shape[2]), np.uint64(steps)


def _readable_words(packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Packed spikes as the kernels read them: eight bytes at a time, and never written."""
    spikes = np.ascontiguousarray(packed).view()
    if spikes.shape[1] < 8:
        spikes = np.pad(spikes, [(0, 0), (0, 8 - spikes.shape[1])])
    spikes.setflags(
        write=False
    )  # arrays that may and may not be written would be compiled for apart
    return spikes


@lru_cache(maxsize=8)
def _decays(gammas: tuple[float, ...], timesteps: int) -> NDArray[np.float64]:
    """e^{-γΔ} for 0 ≤ Δ < T: (T, K) float64 with K ≥ G, the rest zeros: one γ, or a multiple of
    four, a vector's worth.

    Python's exp is the C library's; NumPy's has other last bits on other processors.
    """
    decays = np.zeros((timesteps, 1 if len(gammas) == 1 else -(-len(gammas) // 4) * 4))
    for column, gamma in enumerate(gammas):
        decays[:, column] = [
            math.exp(-gamma * elapsed) if elapsed else 1.0 for elapsed in range(timesteps)
        ]
    return decays


def check_parameters(
    gamma: float, include_current: bool, variant: str, variants: Any = AnyVariant
) -> None:
    """Refuse a kernel that has no meaning, with an InputError that says what would; `variants` is a
    Literal.
    """
    if not (math.isfinite(gamma) and gamma >= 0):
        raise InputError(
            f"gamma: got {gamma}, expected a finite number ≥ 0 (1/step; 0.5 is the authors' "
            "default)"
        )
    if variant not in get_args(variants):
        raise InputError(
            f"variant: got {variant!r}, expected one of {', '.join(get_args(variants))}"
        )
    if variant != "paper" and not include_current:
        raise InputError(
            f"variant {variant!r} always counts the current spike; use 'paper' for earlier spikes "
            "only"
        )
