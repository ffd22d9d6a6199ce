"""One step of a layer in NumPy, in both precisions: the equations of inputs.py and neurons.py as
they are written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network.inputs import Input
from spikesam.backends.network.neurons import MEMBRANE_LIMIT, THETA, SpikingNeuron
from spikesam.backends.network.sources import Source

# of the threshold: the order of additions may take a float32 membrane as close to it to either side
ROUNDING = 1e-5


def arrived(layer_input: Input, fired: Mapping[str, NDArray[Any]], t: int) -> NDArray[np.int8]:
    """x[t] of an input, (C, H, W), of what the layers that it reads fire: (T, C, H, W) by name."""
    spikes = [
        np.int8(source.sign) * arrived_from(source, fired[source.layer], t)
        for source in layer_input.sources
    ]
    sums = [sum(further, first) for first, *further in layer_input.summands(spikes)]
    arranged: NDArray[np.int8] = layer_input.synapse.arranged(np.concatenate(sums))
    return arranged


def arrived_from(source: Source, fired: NDArray[Any], t: int) -> NDArray[Any]:
    """The spikes that arrive at step t of a source that fires (T, …, C, H, W): (…, C, H, W)."""
    spikes: NDArray[Any] = source.arriving(
        lambda delay: fired[t - delay] if t >= delay else np.zeros_like(fired[0])
    )
    return spikes


def current_of(layer_input: Input, values: NDArray[Any]) -> NDArray[Any]:
    """a of an input that x reaches, (C, H, W) -> (C', H', W'); int64 in fixed point, or float64."""
    sums = layer_input.synapse.currents(layer_input, values)
    return sums.astype(np.int64) if layer_input.fixed else sums / layer_input.synapse.averaged


class Neurons:
    """Neurons of a map (C, H, W), first at rest; `v` and `i` are of the last step. In int64 they
    round.
    """

    def __init__(
        self, neuron: SpikingNeuron, inputs: Sequence[Input], shape: Sequence[int], dtype: Any
    ) -> None:
        self.neuron, self.inputs, self.dtype = neuron, inputs, dtype
        self.limited = len(inputs) > 1 or bool(
            np.any(np.asarray(neuron.synaptic_leak) > 0)
        )  # i to 24 bits
        self.v, self.i = np.zeros((2, *shape), dtype)

    def step(
        self, t: int, currents: Sequence[NDArray[Any]], fired_before: NDArray[np.bool_]
    ) -> NDArray[Any]:
        """v[t] (C, H, W) of a[t] of each input, at t ≥ 1, where `fired_before` are s[t-1]."""
        neuron, constants, exact = self.neuron, self.of, self.dtype is np.int64
        subtracts = neuron.reset == "subtract"
        with np.errstate(all="ignore"):
            first, *further = (
                self._weighed(layer_input, a, t)
                for layer_input, a in zip(self.inputs, currents, strict=True)
            )
            driven = sum(further, first) + constants(neuron.bias[(t - 1) % len(neuron.bias)])
            v = self.v if subtracts else np.where(fired_before, constants(0), self.v)
            lost = constants(neuron.subtracted if subtracts else 0) * fired_before
            if exact:
                i = _toward_zero(self.i * constants(THETA * neuron.synaptic_leak), 12) + driven
                self.i = _saturated(i) if self.limited else i
                v = _saturated(_toward_zero(v * constants(THETA * neuron.leak), 12) + self.i - lost)
            else:
                self.i = self.i * constants(neuron.synaptic_leak) + driven
                v = v * constants(neuron.leak) + self.i - lost
        self.v = v if neuron.min_v_mem is None else np.maximum(v, constants(neuron.min_v_mem))
        return self.v

    @property
    def fires(self) -> NDArray[np.bool_]:
        """s[t] of v[t]."""
        threshold = self.of(self.neuron.threshold)
        fired: NDArray[np.bool_] = (
            self.v >= threshold if self.neuron.fires_at_threshold else self.v > threshold
        )
        return fired

    @property
    def near(self) -> NDArray[np.bool_]:
        """True where v[t] lies so near the threshold, or at it, that the order of float32 additions
        may decide.
        """
        threshold = self.of(self.neuron.threshold)
        close: NDArray[np.bool_] = np.abs(self.v - threshold) <= ROUNDING * threshold
        return close & (self.dtype is not np.int64)

    def of(self, constant: Any) -> NDArray[Any]:
        """A constant of the neurons in their numbers: one, or (C, 1, 1)."""
        return on_maps(constant).astype(self.dtype)

    def _weighed(self, layer_input: Input, current: NDArray[Any], t: int) -> NDArray[Any]:
        gain, current = (
            layer_input.gain[(t - 1) % len(layer_input.gain)],
            current.astype(self.dtype),
        )
        if self.dtype is np.int64:
            return _toward_zero(current * self.of(gain), layer_input.shift)
        return current * self.of(gain / 2.0**layer_input.shift)


def on_maps(constant: Any) -> NDArray[Any]:
    """A number, or (C,) as (C, 1, 1)."""
    number = np.asarray(constant)
    return number[:, None, None] if number.ndim else number


def _toward_zero(numbers: NDArray[Any], bits: int) -> NDArray[Any]:
    """rz(x, n): quotients by 2ⁿ, rounded toward zero."""
    return np.sign(numbers) * (np.abs(numbers) >> bits)


def _saturated(numbers: NDArray[Any]) -> NDArray[Any]:
    return np.clip(numbers, -MEMBRANE_LIMIT, MEMBRANE_LIMIT)
