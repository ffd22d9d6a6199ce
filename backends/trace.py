"""Spike Activation Maps in integers, as a neuromorphic chip can form them.

Lava's graph and the maps of a recorded raster (variant "fixed") use this arithmetic.

For a neuron with spikes S[t] ∈ {0, 1}, and rz the rounding toward zero of all fixed point here:

    κ        = rint(4096 · (1 - e^-γ))
    N[t]     = rz(N[t-1] · (4096 - κ), 12) + 2ⁿ · S[t]      its trace; N[-1] = 0
    P[t]     = S[t] · rz(N[t], n - k)                       what its spike carries
    M[t,h,w] = Σ_c P[t]                                     the map; M / 2ᵏ is SAM, but for rounding

The trace has more bits than the spike: with as few, rounding at every step would stop a slow decay.
A map of one step is stored in 16 bits, rz(M[t], m); the sum over steps, Σ_t M[t], in 32 bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import MEMBRANE_LIMIT, THETA, Shape
from spikesam.common.errors import InputError

GAMMA = 0.5  # 1/step, the default everywhere: that of the authors of SAM
TRACE_BITS = 16  # n at most
PAYLOAD_BITS = 8  # k at most
SUM_LIMIT = 2**31  # of a map summed over steps
STEP_TYPE, SUM_TYPE = (
    np.dtype(np.uint16),
    np.dtype(np.int32),
)  # of maps of one step, and of their sum


@dataclass(frozen=True)
class SpikeTrace:
    """The constants of integer SAM in one layer, made by :func:`spike_trace`.

    `decay_factor` is 4096 - κ. Bits behind the point: n of the trace, k ≤ n of what a spike
    carries. The lowest m bits of a step's map are not stored.
    """

    decay_factor: int
    trace_bits: int
    payload_bits: int
    dropped_bits: int

    @property
    def constants(self) -> tuple[np.int32, np.int32, np.int32]:
        """The numbers that kernels read: 4096 - κ, 2ⁿ and n - k."""
        return (
            np.int32(self.decay_factor),
            np.int32(1 << self.trace_bits),
            np.int32(self.trace_bits - self.payload_bits),
        )

    def of_steps(self, stored: NDArray[np.uint16]) -> NDArray[np.float32]:
        """Stored maps of single steps -> SAM; exact."""
        return np.ldexp(stored.astype(np.float32), self.dropped_bits - self.payload_bits)

    def of_sum(self, stored: NDArray[np.int32]) -> NDArray[np.float32]:
        """A stored map summed over steps -> SAM, rounded to float32 once."""
        return np.ldexp(stored.astype(np.float32), -self.payload_bits)


@lru_cache(maxsize=64)
def spike_trace(gamma: float, channels: int, timesteps: int) -> SpikeTrace:
    """Constants with the most bits that cannot overflow, whatever fires, for γ ≥ 0 per step, C and
    T.

    n is the largest number up to 16 with which a trace stays below 2²³; k the largest up to 8 and n
    with which the sum over channels stays below 2²³, where Lava's `Conv` wraps, and its sum over
    steps below 2³¹; m the smallest with which a step's map fits into 16 bits. An InputError if κ
    rounds to 0 although γ > 0, or to 4096, or if sums could overflow even without bits behind the
    point.
    """
    if not (math.isfinite(gamma) and gamma >= 0):
        raise InputError(
            f"gamma: got {gamma}, expected a finite number ≥ 0 (1/step; 0.5 is the authors' "
            "default)"
        )
    decay = round(-THETA * math.expm1(-gamma))
    if decay == THETA or (gamma > 0 and not decay):
        raise InputError(
            f"gamma: got {gamma:g}, whose decay rounds to {decay} of {THETA}; in integers, γ is 0 "
            "or 0.000123 to 9.01"
        )
    decay_factor = THETA - decay
    for trace_bits in range(TRACE_BITS, -1, -1):
        largest = _largest_trace(decay_factor, trace_bits, timesteps)
        if largest > MEMBRANE_LIMIT:
            continue
        for payload_bits in range(min(PAYLOAD_BITS, trace_bits), -1, -1):
            of_step = channels * (largest >> (trace_bits - payload_bits))
            if of_step <= MEMBRANE_LIMIT and of_step * timesteps < SUM_LIMIT:
                dropped_bits = max(0, of_step.bit_length() - 8 * STEP_TYPE.itemsize)
                return SpikeTrace(decay_factor, trace_bits, payload_bits, dropped_bits)
        break
    raise InputError(
        f"gamma: with {gamma:g}, integer maps of {channels} channels over {timesteps} steps could "
        "overflow; use a larger γ or fewer steps"
    )


def _largest_trace(decay_factor: int, trace_bits: int, timesteps: int) -> int:
    """The trace of a neuron that fires at every step, the largest there can be."""
    if decay_factor == THETA:
        return timesteps << trace_bits
    trace, previous = 0, -1
    for _ in range(timesteps):
        previous, trace = trace, (trace * decay_factor >> 12) + (1 << trace_bits)
        if trace == previous:  # it has settled
            break
    return trace


class GradedSpikes:
    """The numbers that spikes of one layer carry, step by step, one sample after the other."""

    def __init__(self, trace: SpikeTrace) -> None:
        self._trace = trace
        self._scores: NDArray[np.int64] = np.zeros((), np.int64)

    def step(self, t: int, fired: NDArray[np.bool_]) -> NDArray[np.int32]:
        """P[t] of a sample, which begins at t = 0: bool of any shape to int32 of that shape."""
        trace = self._trace
        decayed = self._scores * trace.decay_factor >> 12 if t else 0
        self._scores = decayed + (fired.astype(np.int64) << trace.trace_bits)
        return np.where(fired, self._scores >> (trace.trace_bits - trace.payload_bits), 0).astype(
            np.int32
        )


class StepMaps:
    """The map of one layer (H, W, C), step by step: :class:`GradedSpikes` summed over channels in
    one compiled call.
    """

    def __init__(self, trace: SpikeTrace, shape: tuple[int, int, int]) -> None:
        self._constants = trace.constants
        height, width, channels = shape
        self._traces = np.zeros((height * width, channels), np.int32)
        self._sums = np.empty(height * width, np.int32)

    def step(self, t: int, fired: NDArray[np.bool_]) -> NDArray[np.int32]:
        """M[t] of a sample, from t = 0: (H, W, C) bool, C-contiguous, to (H·W,) int32, overwritten
        by the next.
        """
        from spikesam.backends.event.kernels.trace import step_map

        if t == 0:
            self._traces[:] = 0
        step_map(fired.reshape(self._traces.shape), self._constants, self._traces, self._sums)
        return self._sums


class StoredMaps:
    """Gathers M[t] of samples as stored: `steps` (room, H·W) uint16, `sum` (H·W,) int32 over the
    steps that matter.
    """

    def __init__(self, trace: SpikeTrace, pixels: int, steps_that_matter: int, room: int) -> None:
        self._trace, self._summed = trace, steps_that_matter
        self.steps, self.sum = np.zeros((room, pixels), STEP_TYPE), np.zeros(pixels, SUM_TYPE)

    def add(self, t: int, sums: NDArray[np.int32]) -> None:
        """Take M[t], (H·W,) int32, of the next step; t = 0 begins a sample."""
        if t == 0:
            self.sum[:] = 0
        if t < self._summed:
            self.sum += sums
        np.right_shift(
            sums, self._trace.dropped_bits, out=self.steps[t % len(self.steps)], casting="unsafe"
        )


def maps_of_packed(
    packed: NDArray[np.uint8], shape: Shape, trace: SpikeTrace, steps_that_matter: int, steps: int
) -> tuple[NDArray[np.uint16], NDArray[np.int32]]:
    """Stored maps of a sample in a layer (C, H, W) of packed spikes (T, ⌈C·H·W/8⌉): `steps` of
    them, and their sum.
    """
    from spikesam.backends.event.kernels.trace import step_maps

    channels, height, width = shape
    of_steps, of_sum = (
        np.empty((steps, height * width), STEP_TYPE),
        np.empty(height * width, SUM_TYPE),
    )
    arguments = (
        (height, width, channels),
        trace.constants,
        steps_that_matter,
        of_sum,
        np.int32(trace.dropped_bits),
    )
    step_maps(np.ascontiguousarray(packed), *arguments, of_steps)
    return of_steps, of_sum


def compile_maps() -> None:
    """Compile the kernels, or load them from numba's cache. Call it before timing, and before
    forking.
    """
    trace, fired = spike_trace(0.5, 1, 1), np.zeros((1, 1, 1), np.bool_)
    StepMaps(trace, fired.shape).step(0, fired)
    maps_of_packed(np.zeros((1, 1), np.uint8), fired.shape, trace, 1, 1)
