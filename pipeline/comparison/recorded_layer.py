"""One layer of a network, driven by spikes that are known: its currents, its membranes, and what reaches a neuron.

Backends simulate whole networks. This is for whoever asks about one layer of a recording: its inputs are the spikes
that were recorded, so what other layers do wrong changes nothing here. Plain NumPy, all neurons of the layer at once,
step by step, so that memory does not grow with the number of steps. Equations: neurons.py and inputs.py of
`backends/network/`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.input_currents import currents_of_numbers
from spikesam.backends.network import Input, Network, Shape, Source, SpikingNeuron, pair
from spikesam.backends.network.step import Neurons, arrived, current_of
from spikesam.pipeline.maps.correlation import gathered, spread

Given = Callable[[str], NDArray[Any]]  # name of a layer -> its spikes, (T, C, H, W) bool; or the numbers of a current
Currents = Callable[[int], list[NDArray[Any]]]  # t -> a[t] of each input, (C, H, W)


class DrivenLayer:
    """One layer, by name, of a network in float32 or in fixed point."""

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
            if each.heads:
                yield from zip(each.sources, self._attended(each, place), strict=True)
                continue
            if each.weight is None:
                mask = np.zeros(shape, np.bool_)
                mask[place] = True
            else:
                down, across = pair(each.pool)
                cells = np.zeros((1, *each.unpooled_shape(self._source(each))[1:]))
                rows, columns = (
                    slice(max(0, at * step - around), at * step - around + side)
                    for at, side, step, around in zip((row, column), *each.windows, strict=True)
                )
                cells[:, rows, columns] = 1
                if each.current_sum:
                    cells[:] = 1
                weight = (each.weight[channel : channel + 1] != 0).astype(np.float64)
                reached = spread(each, weight, cells, (shape[0], shape[1] // down, shape[2] // across)) > 0
                mask = reached.repeat(down, axis=1).repeat(across, axis=2)
            for source in each.sources:
                yield source, gathered(mask.astype(np.float64), each.spread) > 0

    def _attended(self, each: Input, place: Shape) -> list[NDArray[np.bool_]]:
        """The neurons of each source of attention that can reach one neuron: of its head, its token, its channel."""
        (channel, row, column), channels = place, self.shape[0]
        query, key, value = masks = np.zeros((3, *self.shape), np.bool_)
        depth = channels // each.heads
        head = slice(channel // depth * depth, (channel // depth + 1) * depth)
        query[head, row, column] = key[head] = value[channel] = True
        return list(masks) if len(each.sources) == 3 else [masks.reshape(-1, *self.shape[1:])]

    def currents(self, given: Given) -> Currents:
        """Function to a[t] of each input, (C, H, W), of what each layer fired in a sample, (T, C, H, W) bool.

        Of "input" that is numbers in units of int8, where a current drives it: (C, H, W) of a constant one, (T, C, H,
        W) of a changing one.
        """
        inputs = [self._current(each, (self.number, number), given) for number, each in enumerate(self.inputs)]
        return lambda t: [of_input(t) for of_input in inputs]

    def _source(self, each: Input) -> Shape:
        return self.network.shapes[self.network.place(each.sources[0].layer)]

    def _seen(self, each: Input) -> Shape:
        return each.arriving(self._source(each))

    def _current(self, each: Input, key: tuple[int, int], given: Given) -> Callable[[int], NDArray[Any]]:
        read = {source.layer: given(source.layer) for source in each.sources}
        if key in self.network.driven:
            (source,), dtype = each.sources, np.int64 if self.fixed else np.float32
            delay = source.longest
            (steps,) = currents_of_numbers(self.network, key, np.expand_dims(read[source.layer], -4))
            return lambda t: (steps[min(max(t - delay, 0), len(steps) - 1)] * (t >= delay)).astype(dtype)
        return lambda t: current_of(each, arrived(each, read, t))


class Membranes(Neurons):
    """The membranes of a layer, or of another neuron in its place, from rest, whatever fires."""

    def __init__(self, layer: DrivenLayer, neuron: SpikingNeuron | None = None) -> None:
        super().__init__(neuron or layer.neuron, layer.inputs, layer.shape, np.int64 if layer.fixed else np.float32)

    @property
    def at(self) -> NDArray[np.bool_]:
        """Where v[t] equals the threshold."""
        equal: NDArray[np.bool_] = self.v == self.of(self.neuron.threshold)
        return equal
