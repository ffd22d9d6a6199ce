"""One layer of a network, driven by spikes that are known: its currents, its membranes, and what reaches a neuron.

Backends simulate whole networks. This is for whoever asks about one layer of a recording: its inputs are the spikes
that were recorded, so what other layers do wrong changes nothing here. Plain NumPy, all neurons of the layer at once,
step by step, so that memory does not grow with the number of steps. Equations: neurons.py and inputs.py of
`backends/network/`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.input_currents import currents_of, sums_of
from spikesam.backends.network import (
    MEMBRANE_LIMIT,
    THETA,
    FixedLIF,
    Input,
    Network,
    Shape,
    Source,
    SpikingNeuron,
    pair,
)
from spikesam.pipeline.maps.correlation import spread

ROUNDING = 1e-5  # of the threshold: the order of additions may take a float32 membrane as close to it to either side

Given = Callable[[str], NDArray[Any]]  # name of a layer -> its spikes, (T, C, H, W) bool; or the numbers of a current
Currents = Callable[[int], list[NDArray[Any]]]  # t -> a[t] of each input, (C, H, W)


class RecordedLayer:
    """One layer.

    Parameters
    ----------
    network : in float32 or in fixed point
    name : of the layer
    """

    def __init__(self, network: Network, name: str) -> None:
        self.network, self.number = network, network.place(name) - 1
        layer = network.layers[self.number]
        self.inputs, self.neuron, self.fixed = layer.inputs, layer.spiking_neuron, network.precision == "fixed"
        self.shape = network.shapes[self.number + 1]

    def reads(self, place: Shape) -> Iterator[tuple[Source, NDArray[np.bool_]]]:
        """Each source of spikes, and which of its neurons reach that at `place` through a weight that is not 0."""
        for number, each in enumerate(self.inputs):
            if (self.number, number) in self.network.driven:
                continue
            (channel, row, column), shape = place, self._seen(each)
            if each.weight is None:
                mask = np.zeros(shape, np.bool_)
                mask[place] = True
            else:
                down, across = pair(each.pool)
                cells = np.zeros((1, *each.unpooled_shape(shape)[1:]))
                rows, columns = (
                    slice(max(0, at * step - around), at * step - around + side)
                    for at, side, step, around in zip((row, column), *each.windows, strict=True)
                )
                cells[:, rows, columns] = 1
                weight = (each.weight[channel : channel + 1] != 0).astype(np.float64)
                reached = spread(each, weight, cells, (shape[0], shape[1] // down, shape[2] // across)) > 0
                mask = reached.repeat(down, axis=1).repeat(across, axis=2)
            for source in each.sources:
                yield source, mask

    def currents(self, given: Given) -> Currents:
        """What gives a[t] of each input: (C, H, W) float32, or int64 in fixed point.

        Parameters
        ----------
        given : what each layer fired in one sample, (T, C, H, W) bool; of "input", where a current drives it, int8
            (C, H, W) of a constant one, (T, C, H, W) of a changing one
        """
        inputs = [self._current(each, (self.number, number), given) for number, each in enumerate(self.inputs)]
        return lambda t: [of_input(t) for of_input in inputs]

    def _seen(self, each: Input) -> Shape:
        return self.network.shapes[self.network.place(each.sources[0].layer)]

    def _current(self, each: Input, key: tuple[int, int], given: Given) -> Callable[[int], NDArray[Any]]:
        dtype: Any = np.int64 if self.fixed else np.float32
        read = {source: given(source.layer) for source in each.sources}
        if key in self.network.driven:
            (source,) = each.sources
            (steps,) = currents_of(self.network, key, np.expand_dims(read[source], -4))
            return lambda t: (steps[min(max(t - source.delay, 0), len(steps) - 1)] * (t >= source.delay)).astype(dtype)

        def at(t: int) -> NDArray[Any]:
            arrived = np.zeros(self._seen(each), np.int8)
            for source in each.sources:
                if t >= source.delay:
                    arrived += np.int8(source.sign) * read[source][t - source.delay]
            sums = sums_of(each, arrived)
            return sums.astype(dtype) if self.fixed else (sums / each.summed).astype(dtype)

        return at


class Membranes:
    """The membranes of a layer, from rest, whatever fires.

    Parameters
    ----------
    layer : theirs
    neuron : another one than the layer's
    """

    def __init__(self, layer: RecordedLayer, neuron: SpikingNeuron | None = None) -> None:
        self.neuron, self.inputs = neuron or layer.neuron, layer.inputs
        self.dtype: Any = np.int64 if layer.fixed else np.float32
        self.outlasts = bool(np.any(np.asarray(self.neuron.synaptic_leak) > 0))
        self.v, self.i = np.zeros((2, *layer.shape), self.dtype)

    def step(self, t: int, currents: Sequence[NDArray[Any]], before: NDArray[np.bool_]) -> NDArray[Any]:
        """v[t] (C, H, W) of a[t], t ≥ 1, where `before` are s[t-1]."""
        neuron, of = self.neuron, self._of
        v = np.where(before, of(0), self.v) if neuron.reset == "zero" else self.v
        subtracted = of(0 if neuron.reset == "zero" else neuron.subtracted) * before
        with np.errstate(all="ignore"):
            drive = np.zeros_like(v)
            for given, current in zip(self.inputs, currents, strict=True):
                weighed = current * of(given.gain[(t - 1) % len(given.gain)])
                drive += _to_zero(weighed, given.shift) if isinstance(neuron, FixedLIF) else weighed
            drive += of(neuron.bias[(t - 1) % len(neuron.bias)])
            if isinstance(neuron, FixedLIF):
                i = drive + (_to_zero(self.i * (THETA - of(neuron.synaptic_decay)), 12) if self.outlasts else 0)
                self.i = _saturated(i) if self.outlasts or len(self.inputs) > 1 else i
                v = _saturated(_to_zero(v * (THETA - of(neuron.decay)), 12) + self.i - subtracted)
            else:
                self.i = self.i * of(neuron.synaptic_leak) + drive if self.outlasts else drive
                v = v * of(neuron.leak) + self.i - subtracted
        self.v = v if neuron.min_v_mem is None else np.maximum(v, of(neuron.min_v_mem))
        return self.v

    @property
    def fires(self) -> NDArray[np.bool_]:
        """s[t] of v[t]."""
        above: NDArray[np.bool_] = self.v > self._of(self.neuron.fires_above)
        return above

    @property
    def at(self) -> NDArray[np.bool_]:
        """Where v[t] equals the threshold."""
        equal: NDArray[np.bool_] = self.v == self._of(self.neuron.threshold)
        return equal

    @property
    def near(self) -> NDArray[np.bool_]:
        """Where v[t] lies so near the threshold, or at it, that the order of float32 additions may decide."""
        threshold = self._of(self.neuron.threshold)
        close: NDArray[np.bool_] = np.abs(self.v - threshold) <= ROUNDING * threshold
        return close & (self.dtype is np.float32)

    def _of(self, constant: Any) -> Any:
        return by_channel(constant).astype(self.dtype)


def by_channel(constant: Any) -> NDArray[Any]:
    """A number, or (C,) as (C, 1, 1)."""
    found = np.asarray(constant)
    return found[:, None, None] if found.ndim else found


def _to_zero(numbers: NDArray[Any], bits: int) -> NDArray[Any]:
    """Round quotients by 2ⁿ to zero."""
    return np.sign(numbers) * (np.abs(numbers) >> bits)


def _saturated(numbers: NDArray[Any]) -> NDArray[Any]:
    return np.clip(numbers, -MEMBRANE_LIMIT, MEMBRANE_LIMIT)
