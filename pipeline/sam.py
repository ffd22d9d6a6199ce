"""Spike Activation Map (SAM): where, at every step, neurons fire in quick succession.

For a neuron with spikes S[t] ∈ {0, 1} and P its firing times up to and including t:

    TSCS  T(t, t') = exp(-γ |t - t'|)
    NCS   N[t]     = Σ_{t' ∈ P, t' ≤ t} T(t, t')
    SAM   M[t,h,w] = Σ_c S[t] · N[t]

No gradient, no class label. Two forms of the same thing: :func:`spike_activation_map` is the definition, to read and to
test against; :func:`stream_spike_activation_map` runs on packed bits in one pass. They agree to float32 rounding.

References
----------
Kim & Panda 2021, Sci. Rep. 11, 19037, Eq. 12-14.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recordings.errors import InputError

Variant = Literal["paper", "authors-code"]


def temporal_spike_contribution_score(t: ArrayLike, t_previous: ArrayLike, gamma: float) -> NDArray[np.float64]:
    """Weight of a spike at step `t_previous` for the same neuron at step `t`: exp(-γ |t - t'|) (Eq. 12).

    Parameters
    ----------
    t, t_previous : int steps, broadcast against each other
    gamma : float, 1/step — decay of the kernel, finite and ≥ 0

    Returns
    -------
    float64 in [0, 1], dimensionless
    """
    score: NDArray[np.float64] = np.exp(-gamma * np.abs(np.subtract(t, t_previous)))
    return score


def neuronal_contribution_score(
    spikes: NDArray[np.bool_], gamma: float, *, include_current: bool = True, variant: Variant = "paper"
) -> NDArray[np.float64]:
    """Sum of the scores of a neuron's spikes up to every step (Eq. 13), by the definition: O(T²).

    Parameters
    ----------
    spikes : (T, ...) bool
    gamma, include_current, variant : see :func:`spike_activation_map`

    Returns
    -------
    (T, ...) float64, dimensionless
    """
    check_parameters(gamma, include_current, variant)
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
    spikes: NDArray[np.bool_], gamma: float, *, include_current: bool = True, variant: Variant = "paper"
) -> NDArray[np.float32]:
    """SAM of one layer, by the definition (Eq. 14).

    Parameters
    ----------
    spikes : (T, B, C, H, W) bool — raster of one layer
    gamma : float, 1/step — decay of the kernel, finite and ≥ 0; 0 counts all earlier spikes alike
    include_current : whether a spike at t counts itself (as the authors' code does), or strictly earlier ones only
    variant : "paper" (the equations), or "authors-code": their published script, which writes the time of a spike as
        S[t']·t', so that every silent step, and a spike at t' = 0, adds exp(-γt). Kept for comparison

    Returns
    -------
    (T, B, H, W) float32, dimensionless, ≥ 0

    Raises
    ------
    InputError : if `spikes` is not 5-D bool, gamma is negative or not finite, or the variant is unknown
    """
    if spikes.ndim != 5 or spikes.dtype != np.bool_:
        raise InputError(f"SAM: got spikes of shape {spikes.shape} {spikes.dtype}, expected (T, B, C, H, W) bool")
    score = neuronal_contribution_score(spikes, gamma, include_current=include_current, variant=variant)
    maps: NDArray[np.float32] = (spikes * score).sum(axis=2).astype(np.float32)
    return maps


def stream_spike_activation_map(
    packed: NDArray[np.uint8],
    shape: tuple[int, int, int],
    gamma: float,
    *,
    include_current: bool = True,
    variant: Variant = "paper",
) -> NDArray[np.float32]:
    """SAM of one sample in one layer, in a single pass over its packed bits: O(T), one float64 per neuron of memory.

        N[t] = e^{-γ} N[t-1] + S[t]     strictly earlier spikes: N[t] - S[t];   authors' code: + e^{-γt} (1 - S[t])

    Scores and their sum over channels are float64, in NumPy's fixed order, and rounded to float32 once: the same bits
    in give the same bits out, whichever backend they came from.

    Parameters
    ----------
    packed : (T, ⌈C·H·W/8⌉) uint8 — `np.packbits` of (C, H, W) in C-order
    shape : (C, H, W)
    gamma, include_current, variant : see :func:`spike_activation_map`

    Returns
    -------
    (T, H, W) float32, dimensionless, ≥ 0

    Raises
    ------
    InputError : as :func:`spike_activation_map`, or if `packed` does not hold C·H·W bits per step
    """
    check_parameters(gamma, include_current, variant)
    maps = np.empty((len(packed), *shape[1:]), np.float32)
    decay, score = math.exp(-gamma), np.zeros(shape)
    for t, spikes in enumerate(steps_of(packed, shape)):
        score *= decay
        earlier = score if include_current else score.copy()
        score += spikes
        if variant == "authors-code":
            score += math.exp(-gamma * t) * (1 - spikes)
        maps[t] = (earlier * spikes).sum(axis=0)
    return maps


def spike_count_map(packed: NDArray[np.uint8], shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Spikes per pixel and step, Σ_c S[t]: SAM without its kernel (γ → ∞), the baseline that the kernel must beat.

    Parameters and result are those of :func:`stream_spike_activation_map`: (T, bytes) uint8 -> (T, H, W) float32.
    """
    return np.stack([spikes.sum(axis=0, dtype=np.float32) for spikes in steps_of(packed, shape)])


def steps_of(packed: NDArray[np.uint8], shape: tuple[int, int, int]) -> Iterator[NDArray[np.uint8]]:
    """Unpack one step at a time: (T, bytes) uint8 -> T times (C, H, W) uint8 of 0 and 1."""
    neurons = math.prod(shape)
    if packed.ndim != 2 or packed.dtype != np.uint8 or packed.shape[1] != -(-neurons // 8):
        raise InputError(
            f"packed spikes: got shape {packed.shape} {packed.dtype}, expected (T, {-(-neurons // 8)}) uint8 "
            f"for a layer of (C, H, W) = {tuple(shape)}"
        )
    return (np.unpackbits(step, count=neurons).reshape(shape) for step in packed)


def steps_that_matter(timesteps: int, layer: int, last_layer: int) -> int:
    """How many of the first steps of a layer can still change the answer, at least 1.

    Each synapse layer takes a step and the readout sums up to T - 1, so a spike of layer l after step T - 1 - (L - l)
    arrives too late. Training gives such late spikes no gradient; they are recorded, but say nothing of the answer.

    Parameters
    ----------
    timesteps : T
    layer, last_layer : numbers l and L of the layer and of the last one before the readout; the input is 0
    """
    return max(1, timesteps - (last_layer - layer))


def check_parameters(gamma: float, include_current: bool, variant: str) -> None:
    """Refuse a kernel that has no meaning, with an InputError that says what would."""
    if not (math.isfinite(gamma) and gamma >= 0):
        raise InputError(f"gamma: got {gamma}, expected a finite number ≥ 0 (1/step; 0.5 is the authors' default)")
    if variant not in get_args(Variant):
        raise InputError(f"variant: got {variant!r}, expected one of {', '.join(get_args(Variant))}")
    if variant == "authors-code" and not include_current:
        raise InputError("variant 'authors-code' always counts the current spike; use 'paper' for earlier spikes only")
