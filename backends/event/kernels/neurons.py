"""Currents -> membranes and spikes: one step of soft-reset neurons, in integers and in float32."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload
from numpy.typing import NDArray

from backends.network import MEMBRANE_LIMIT, THETA, FixedLIF, SpikingNeuron

from .compiled import compiled


class Neurons(NamedTuple):
    """The constants of a layer's neurons.

    Parameters
    ----------
    gain, bias : (1 or T, C) int32 or float32
    first, second : decay and shift in fixed point, leak and threshold otherwise
    """

    gain: NDArray[Any]
    bias: NDArray[Any]
    first: Any
    second: Any


def constants_of(neuron: SpikingNeuron) -> Neurons:
    """The neurons of a network as the kernels read them; real numbers are rounded to float32."""
    if isinstance(neuron, FixedLIF):
        return Neurons(neuron.gain, neuron.bias, neuron.decay, neuron.shift)
    gain, bias = neuron.gain.astype(np.float32), neuron.bias.astype(np.float32)
    return Neurons(gain, bias, np.float32(neuron.leak), np.float32(neuron.threshold))


@compiled
def step_fixed(
    current: NDArray[np.int32],
    gain: NDArray[np.int32],
    bias: NDArray[np.int32],
    decay: int,
    shift: int,
    membrane: NDArray[np.int32],
    spikes: NDArray[np.bool_],
) -> None:
    """Advance soft-reset neurons by one step in integers; see :class:`backends.network.FixedLIF`.

    Parameters
    ----------
    current : (P, C) int32 — `a[t]` at P positions of C channels
    gain, bias : (C,) int32 — of step t - 1
    membrane : (P, C) int32 — of step t - 1 on entry, which also tells who fired then; of step t on return
    spikes : (P, C) bool, written — of step t
    """
    kept = np.int64(THETA - decay)
    for position in range(current.shape[0]):
        for channel in range(current.shape[1]):
            before = membrane[position, channel]
            scaled = before * kept
            driven = np.int64(current[position, channel]) * np.int64(gain[channel])
            # rz: shifting the magnitude rounds toward zero, as Loihi decays; shifting a negative would round down.
            v = scaled >> 12 if scaled >= 0 else -(-scaled >> 12)
            v += driven >> shift if driven >= 0 else -(-driven >> shift)
            v += bias[channel]
            if before > THETA:
                v -= THETA
            v = min(max(v, -MEMBRANE_LIMIT), MEMBRANE_LIMIT)
            membrane[position, channel] = v
            spikes[position, channel] = v > THETA


@compiled
def step_float(
    current: NDArray[np.float32],
    gain: NDArray[np.float32],
    bias: NDArray[np.float32],
    leak: np.float32,
    threshold: np.float32,
    membrane: NDArray[np.float32],
    spikes: NDArray[np.bool_],
) -> None:
    """Advance soft-reset neurons by one step in float32; see :func:`step_fixed`."""
    for position in range(current.shape[0]):
        for channel in range(current.shape[1]):
            before = membrane[position, channel]
            v = leak * before + (gain[channel] * current[position, channel] + bias[channel])
            if before > threshold:
                v -= threshold
            membrane[position, channel] = v
            spikes[position, channel] = v > threshold


def step(current: Any, gain: Any, bias: Any, first: Any, second: Any, membrane: Any, spikes: Any) -> None:
    """:func:`step_fixed` or :func:`step_float`, by the dtype of `current`; for use in compiled code."""


@overload(step)
def _step(current: Any, gain: Any, bias: Any, first: Any, second: Any, membrane: Any, spikes: Any) -> Any:
    chosen = step_fixed if current.dtype == types.int32 else step_float

    def compiled(current: Any, gain: Any, bias: Any, first: Any, second: Any, membrane: Any, spikes: Any) -> None:
        chosen(current, gain, bias, first, second, membrane, spikes)

    return compiled
