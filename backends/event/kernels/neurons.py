"""Currents -> membranes and spikes: one step of a layer's neurons, in integers and in float32."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

from spikesam.backends.event.kernels.compiled import LEAN, PART, internal, internal_making_arrays
from spikesam.backends.network import (
    CURRENT_LIMIT,
    EXACT,
    MEMBRANE_LIMIT,
    FixedLIF,
    Input,
    SpikingNeuron,
)

TOWARD_ZERO, TO_NEAREST = np.int32(0), np.int32(1)  # as LLVM numbers them
TOGETHER = 256  # neurons, at most, of several positions


class NeuronConstants(NamedTuple):
    """The constants of a layer's neurons, N of them: :func:`repeats` times C, the same again and
    again.

    Both resets are one rule: after a spike the membrane keeps `leak_after_spike` instead of `leak`,
    and loses `subtracted`. Gains (1 or T, N) are divided by 2^shift. Biases (1 or T, N),
    `subtracted` and `fires_above` (N,) have the dtype of membranes. `narrow` are integers with
    equal constants in all channels, see :func:`narrow_membrane`.
    """

    gain: NDArray[np.float32]
    bias: NDArray[Any]
    leak: NDArray[np.float32]
    leak_after_spike: NDArray[np.float32]
    subtracted: NDArray[Any]
    fires_above: NDArray[Any]
    narrow: bool


class Currents(NamedTuple):
    """The way from the currents of a layer's K inputs to `i[t]`: float32, or float64 for integers.

    `gain` is (K, 1 or T, C), divided by 2^shift; `bias` (1 or T, C); `leak` (C,) what is left of
    `i[t-1]`.
    """

    gain: NDArray[Any]
    bias: NDArray[Any]
    leak: NDArray[Any]


class Dynamics(NamedTuple):
    """The currents and the neurons of a layer; made by :func:`dynamics_of`.

    Where currents outlast a step, or come through several inputs, `i[t]` is computed `apart`, and
    drives neurons without gain and bias. Membranes do not fall below `lowest`, (1,) or (C,), if
    that is not empty.
    """

    currents: Currents
    neurons: NeuronConstants
    apart: bool
    lowest: NDArray[Any]


def dynamics_of(
    neuron: SpikingNeuron, inputs: Sequence[Input], largest: int = CURRENT_LIMIT
) -> Dynamics:
    """A layer's neurons and gains as the kernels read them, rounded to float32; in integers |a[t]|
    ≤ `largest`.
    """
    fixed = isinstance(neuron, FixedLIF)
    dtype: Any = np.float64 if fixed else np.float32
    gains = [layer_input.gain / 2**layer_input.shift for layer_input in inputs]
    steps, channels = max(map(len, gains)), neuron.bias.shape[1]
    currents = Currents(
        np.array([np.broadcast_to(gain, (steps, channels)) for gain in gains], dtype),
        neuron.bias.astype(dtype),
        np.full(channels, neuron.synaptic_leak, dtype),
    )
    lowest = [] if neuron.min_v_mem is None else np.atleast_1d(neuron.min_v_mem)
    apart = len(gains) > 1 or bool(currents.leak.any())
    held = np.array(lowest, np.int32 if fixed else np.float32)
    if apart:
        driven = constants_of(
            replace(neuron, bias=np.zeros_like(neuron.bias[:1])), np.ones((1, channels))
        )
    else:
        driven = constants_of(neuron, gains[0], largest)
    return Dynamics(currents, driven, apart, held)


def constants_of(
    neuron: SpikingNeuron, gain: NDArray[Any], largest: int = CURRENT_LIMIT
) -> NeuronConstants:
    """The constants of neurons that `a[t]` drives through a gain, or `i[t]`, of such a
    magnitude.
    """
    fixed, channels = isinstance(neuron, FixedLIF), neuron.bias.shape[1]
    dtype = np.int32 if fixed else np.float32  # of membranes
    to_zero = neuron.reset == "zero"
    differ = any(
        np.ndim(constant) for constant in (neuron.leak, neuron.subtracted, neuron.fires_above)
    )
    times = repeats(channels)
    leak = np.tile(np.full(channels, neuron.leak, np.float32), times)
    return NeuronConstants(
        np.tile(gain.astype(np.float32), times),
        np.tile(neuron.bias.astype(dtype), times),
        leak,
        0 * leak if to_zero else leak.copy(),
        np.tile(np.full(channels, 0 if to_zero else neuron.subtracted, dtype), times),
        np.tile(np.full(channels, neuron.fires_above, dtype), times),
        fixed and not differ and bool(largest * np.abs(gain).max() <= EXACT),
    )


def repeats(channels: int) -> int:
    """The most positions that are computed as one, a power of two: a loop over few channels
    hardly pays.
    """
    return 1 << max(0, (TOGETHER // channels).bit_length() - 1)


@njit(inline="always")
def fixed_membrane(
    previous: Any,
    current: Any,
    gain: Any,
    bias: Any,
    leak: Any,
    leak_after_spike: Any,
    subtracted: Any,
    above: Any,
) -> Any:
    """`v[t]` of one neuron in integers; its membrane says whether it fired before.

    They are computed in float64, which holds them and their products, and for which CPUs have
    vectors that round to zero.
    """
    v = np.float64(previous)
    fired = v > above
    v = (
        np.trunc(v * (leak_after_spike if fired else leak))
        + np.trunc(np.float64(current) * gain)
        + bias
    )
    if fired:
        v -= subtracted
    return np.int32(min(max(v, -float(MEMBRANE_LIMIT)), float(MEMBRANE_LIMIT)))


@njit(inline="always")
def narrow_membrane(
    previous: Any,
    current: Any,
    gain: Any,
    bias: Any,
    leak: Any,
    leak_after_spike: Any,
    subtracted: Any,
    above: Any,
) -> Any:
    """:func:`fixed_membrane` in float32 that rounds toward zero, for products up to :data:`EXACT`.

    Rounded so, a product stays between the same two integers, and the next step leaves the one
    nearer to zero.
    """
    fired = previous > above
    v = np.int32(np.float32(previous) * (leak_after_spike if fired else leak))
    v = np.int32(
        np.int32(v + np.int32(np.float32(current) * gain)) + bias
    )  # numba adds int32 as int64
    v = np.int32(v - (subtracted if fired else np.int32(0)))
    return np.int32(min(max(v, np.int32(-MEMBRANE_LIMIT)), np.int32(MEMBRANE_LIMIT)))


@njit(inline="always")
def float_membrane(
    previous: Any,
    current: Any,
    gain: Any,
    bias: Any,
    leak: Any,
    leak_after_spike: Any,
    subtracted: Any,
    above: Any,
) -> Any:
    """`v[t]` of one neuron in float32; see :func:`fixed_membrane`."""
    fired = previous > above
    v = (leak_after_spike if fired else leak) * previous + (gain * current + bias)
    if fired:
        v -= subtracted
    return v


def membrane_after(*constants: Any) -> Any:
    """:func:`fixed_membrane` or :func:`float_membrane`, by the dtype of the membrane; for use in
    compiled code.
    """


@overload(membrane_after, jit_options=LEAN | PART)
def _membrane_after(
    previous: Any,
    current: Any,
    gain: Any,
    bias: Any,
    leak: Any,
    leak_after_spike: Any,
    subtracted: Any,
    above: Any,
) -> Any:
    return (fixed_membrane if previous == types.int32 else float_membrane).py_func


def scaled(current: Any, gain: Any) -> Any:
    """An input's part of `i[t]`: rz(a·G, shift) in integers, g·a in float32; for use in compiled
    code.
    """


@overload(scaled, jit_options=LEAN | PART)
def _scaled(current: Any, gain: Any) -> Any:
    def fixed(current: Any, gain: Any) -> Any:
        return np.trunc(np.float64(current) * gain)

    def real(current: Any, gain: Any) -> Any:
        return gain * current

    return fixed if current == types.int32 else real


@internal_making_arrays
def drive(t: int, currents: Currents, arrived: NDArray[Any], driven: NDArray[Any]) -> None:
    """Advance `i` (P, C) to step t ≥ 1, of `a[t]` (K, P or more, C or more) of each input."""
    gains, bias, leak = currents.gain, currents.bias[(t - 1) % len(currents.bias)], currents.leak
    now = (t - 1) % gains.shape[1]
    inputs, (positions, channels) = len(arrived), driven.shape
    total = np.empty(channels, gains.dtype)
    for position in range(positions):
        for channel in range(channels):
            total[channel] = scaled(arrived[0, position, channel], gains[0, now, channel])
        for number in range(1, inputs):
            for channel in range(channels):
                total[channel] += scaled(
                    arrived[number, position, channel], gains[number, now, channel]
                )
        for channel in range(channels):  # a membrane that never fires
            previous, left = driven[position, channel], leak[channel]
            unit_gain = gains.dtype.type(1)
            driven[position, channel] = membrane_after(
                previous, total[channel], unit_gain, bias[channel], left, left, unit_gain, np.inf
            )


@intrinsic
def use_wide_vectors(_: Any) -> tuple[Any, Callable[..., Any]]:
    """Let the function that calls this use vectors of 512 bits: LLVM shuns them for some CPUs that
    have them.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        set.add(
            builder.function.attributes, '"prefer-vector-width"="512"'
        )  # llvmlite itself knows few attributes
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def set_rounding(_: Any, mode: Any) -> tuple[Any, Callable[..., Any]]:
    """Let this thread round results of float operations toward zero, or again to the nearest: C's
    FLT_ROUNDS.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind: Any = ir.FunctionType(ir.VoidType(), [ir.IntType(32)])
        builder.call(builder.module.declare_intrinsic("llvm.set.rounding", fnty=kind), arguments)
        return context.get_dummy_value()

    return types.void(types.int32), generate


@internal
def step(
    t: int,
    neurons: NeuronConstants,
    current: NDArray[Any],
    membrane: NDArray[Any],
    spikes: NDArray[np.bool_],
    first: int,
) -> None:
    """Advance membranes (P, C) to step t ≥ 1, and on through S steps; those of before tell who
    fired.

    `current` is (S, P or more, C or more), or of fewer positions of as many times the channels;
    `spikes` (S, positions, C) bool are written from position `first` on.
    """
    use_wide_vectors()  # type: ignore[call-arg]
    leak, leak_after_spike, subtracted, above = (
        neurons.leak,
        neurons.leak_after_spike,
        neurons.subtracted,
        neurons.fires_above,
    )
    same_leak, same_leak_after_spike, same_subtracted, same_above = (
        leak[0],
        leak_after_spike[0],
        subtracted[0],
        above[0],
    )
    if neurons.narrow:
        set_rounding(TOWARD_ZERO)  # not for each step: it takes as long as a hundred neurons
    for i in range(len(current)):
        gain = neurons.gain[(t + i - 1) % len(neurons.gain)]
        bias = neurons.bias[(t + i - 1) % len(neurons.bias)]
        if neurons.narrow:
            for position in range(membrane.shape[0]):
                for channel in range(membrane.shape[1]):
                    v = narrow_membrane(
                        membrane[position, channel],
                        current[i, position, channel],
                        gain[channel],
                        bias[channel],
                        same_leak,
                        same_leak_after_spike,
                        same_subtracted,
                        same_above,
                    )
                    membrane[position, channel] = v
                    spikes[i, first + position, channel] = v > same_above
        else:
            for position in range(membrane.shape[0]):
                for channel in range(membrane.shape[1]):
                    v = membrane_after(
                        membrane[position, channel],
                        current[i, position, channel],
                        gain[channel],
                        bias[channel],
                        leak[channel],
                        leak_after_spike[channel],
                        subtracted[channel],
                        above[channel],
                    )
                    membrane[position, channel] = v
                    spikes[i, first + position, channel] = v > above[channel]
    if neurons.narrow:
        set_rounding(TO_NEAREST)


@internal
def hold(lowest: NDArray[Any], membrane: NDArray[Any]) -> None:
    """Raise membranes, (P, C), that lie below `lowest`, see :class:`Dynamics`; none that fired
    does.
    """
    for position in range(membrane.shape[0]):
        for channel in range(membrane.shape[1]):
            least = lowest[channel % len(lowest)]
            membrane[position, channel] = max(membrane[position, channel], least)
