"""One neuron of a network: what it reads, and its membrane, from spikes that are known. Plain NumPy, step by step.

Backends simulate whole layers. This is for whoever asks about one neuron: its inputs are the spikes that were recorded,
so what other neurons do wrong changes nothing here. Equations: neurons.py and inputs.py of `backends/network/`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.input_currents import currents_of
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

Given = Callable[[str], NDArray[Any]]  # name of a layer -> its spikes, (T, C, H, W) bool; or the numbers of a current


class SingleNeuron:
    """One neuron.

    Parameters
    ----------
    network : in float32 or in fixed point
    layer : name of the neuron's layer
    place : (channel, row, column) of the neuron
    """

    def __init__(self, network: Network, layer: str, place: Shape) -> None:
        self.network, self.place, self.number = network, place, network.place(layer) - 1
        self.layer, self.inputs = network.layers[self.number], network.inputs[self.number]
        self.neuron = self.layer.spiking_neuron

    def reads(self) -> Iterator[tuple[Source, NDArray[np.bool_]]]:
        """Each source of spikes, and which of its neurons reach this one through a weight that is not 0: (C, H, W)."""
        for number, each in enumerate(self.inputs):
            if (self.number, number) in self.network.driven:
                continue
            shape = self._shape(each)
            mask = np.zeros(shape, np.bool_)
            for rows, columns, kernel in _windows(each, shape, self.place):
                down, across = pair(each.pool)
                mask[:, rows, columns] |= (kernel != 0).repeat(down, axis=1).repeat(across, axis=2)
            for source in each.sources:
                yield source, mask

    def currents(self, given: Given) -> list[NDArray[Any]]:
        """a[t] of each input: (T,) float32, or int64 in fixed point.

        Parameters
        ----------
        given : what each layer fired in one sample, (T, C, H, W) bool; of "input", where a current drives it, int8
            (C, H, W) of a constant one, (T, C, H, W) of a changing one
        """
        return [
            self._driven(number, given("input"))
            if (self.number, number) in self.network.driven
            else self._summed(each, given)
            for number, each in enumerate(self.inputs)
        ]

    def membrane(
        self, currents: Sequence[NDArray[Any]], fired: NDArray[np.bool_], neuron: SpikingNeuron | None = None
    ) -> NDArray[Any]:
        """v[t] from rest, where the neuron has fired as it is said to have, whatever its membrane would have.

        Parameters
        ----------
        currents : (T,) of each input, see :meth:`currents`
        fired : (T,) bool — its own spikes
        neuron : another one than the network's

        Returns
        -------
        (T,) float32, or int64 in fixed point
        """
        neuron = neuron or self.neuron
        fixed, reals = isinstance(neuron, FixedLIF), np.float32
        of: Callable[[Any], Any] = (lambda number: int(self._own(number))) if fixed else lambda n: reals(self._own(n))
        scales = [(neuron.gain, getattr(neuron, "shift", 0)), *((each.gain, each.shift) for each in self.layer.more)]
        outlasts = bool(np.any(np.asarray(neuron.synaptic_leak) > 0))
        subtracted = of(0 if neuron.reset == "zero" else neuron.subtracted)
        v, i, before = of(0), of(0), False
        found = np.zeros(len(fired), np.int64 if fixed else np.float32)
        with np.errstate(all="ignore"):
            for t in range(1, len(fired)):
                before = bool(fired[t - 1])
                v = of(0) if before and neuron.reset == "zero" else v
                drive = of(0)
                for (gains, shift), current in zip(scales, currents, strict=True):
                    gain = of(gains[(t - 1) % len(gains)])
                    drive += _to_zero(int(current[t]) * gain, shift) if fixed else reals(current[t]) * gain
                drive += of(neuron.bias[(t - 1) % len(neuron.bias)])
                if isinstance(neuron, FixedLIF):
                    i = drive + (_to_zero(i * (THETA - of(neuron.synaptic_decay)), 12) if outlasts else 0)
                    i = _saturated(i) if outlasts or self.layer.more else i
                    v = _saturated(_to_zero(v * (THETA - of(neuron.decay)), 12) + i - subtracted * before)
                else:
                    i = i * of(neuron.synaptic_leak) + drive if outlasts else drive
                    v = v * of(neuron.leak) + i - subtracted * reals(before)
                v = v if neuron.min_v_mem is None else max(v, of(neuron.min_v_mem))
                found[t] = v
        return found

    def fires(self, membrane: NDArray[Any], neuron: SpikingNeuron | None = None) -> NDArray[np.bool_]:
        """s[t] of v[t]; at step 0 nothing fires."""
        above: NDArray[np.bool_] = membrane > self._own((neuron or self.neuron).fires_above)
        above[0] = False
        return above

    @property
    def threshold(self) -> float:
        """θ of the neuron's channel."""
        return float(self._own(self.neuron.threshold))

    def _own(self, constant: Any) -> Any:
        """Of one number, or (C,), what counts for this channel."""
        return constant[self.place[0]] if np.ndim(constant) else constant

    def _shape(self, each: Input) -> Shape:
        return self.network.shapes[self.network.place(each.sources[0].layer)]

    def _driven(self, number: int, numbers: NDArray[np.int8]) -> NDArray[Any]:
        """a[t] of an input that numbers drive."""
        found = currents_of(self.network, (self.number, number), np.expand_dims(numbers, -4))
        steps, delay = found[(0, slice(None), *self.place)], self.inputs[number].sources[0].delay
        current = np.zeros(self.network.timesteps, steps.dtype)
        times = np.arange(delay, self.network.timesteps)
        current[delay:] = steps[np.minimum(times - delay, len(steps) - 1)]
        return current

    def _summed(self, each: Input, given: Given) -> NDArray[Any]:
        """a[t] = W ⊛ pool(x[t]) at this neuron."""
        spikes, fixed = [given(source.layer) for source in each.sources], self.network.precision == "fixed"
        found = []
        for rows, columns, kernel in _windows(each, self._shape(each), self.place):
            arrived = np.zeros(spikes[0][:, :, rows, columns].shape, np.int64)
            for source, fired in zip(each.sources, spikes, strict=True):
                arrived[source.delay :] += source.sign * fired[: -source.delay, :, rows, columns]
            (down, across), (_, height, width) = pair(each.pool), kernel.shape
            blocks = arrived.reshape(*arrived.shape[:2], height, down, width, across)
            pooled = blocks.max(axis=(3, 5), initial=0) if each.pooling == "max" else blocks.sum(axis=(3, 5))
            found.append(np.einsum("tchw,chw->t", pooled, kernel.astype(np.int64 if fixed else np.float64)))
        current: NDArray[Any] = np.max(found, axis=0)  # of the currents that are pooled; there is one otherwise
        return current if fixed else (current / each.summed).astype(np.float32)


def _windows(each: Input, shape: Shape, place: Shape) -> Iterator[tuple[slice, slice, NDArray[Any]]]:
    """Rows and columns of a map of `shape` that a neuron reads, and its weights there, (C, h, w) after pooling.

    Padding is left out. There is one window, or one for each of the currents of which the neuron takes the maximum.
    """
    (channels, height, width), (channel, row, column) = shape, place
    if each.weight is None:
        one = np.zeros((channels, 1, 1), np.int64)
        one[channel] = 1
        yield slice(row, row + 1), slice(column, column + 1), one
        return
    (down, across), kernel = pair(each.pool), each.weight[channel]
    if each.kind == "dense":
        yield slice(0, height), slice(0, width), kernel.reshape(channels, height // down, width // across)
        return
    (down_by, across_by), (top, left) = map(pair, (each.stride, each.padding))
    along = zip((row, column), each.unpooled_shape(shape)[1:], *each.windows, strict=True)
    currents = [
        range(max(0, place * step - around), min(place * step - around + side, end))
        for place, end, side, step, around in along
    ]
    for i, j in product(*currents):
        rows, of_rows = _seen(i * down_by - top, kernel.shape[1], height // down)
        columns, of_columns = _seen(j * across_by - left, kernel.shape[2], width // across)
        yield _times(rows, down), _times(columns, across), kernel[:, of_rows, of_columns]


def _seen(start: int, size: int, side: int) -> tuple[slice, slice]:
    """What a kernel that begins at `start` sees of a side of the map, and which part of the kernel sees it."""
    first = max(start, 0)
    last = max(first, min(start + size, side))
    return slice(first, last), slice(first - start, last - start)


def _times(part: slice, pool: int) -> slice:
    """A part of a pooled side, as it is in front of the pooling."""
    return slice(part.start * pool, part.stop * pool)


def _to_zero(number: int, bits: int) -> int:
    """Round a quotient by 2ⁿ to zero."""
    return abs(number) >> bits if number >= 0 else -(abs(number) >> bits)


def _saturated(number: int) -> int:
    return max(-MEMBRANE_LIMIT, min(MEMBRANE_LIMIT, number))
