"""The spikes that layers hand to each other while they are computed, some steps of one layer at a time.

A place is a number among the shapes of the network: 0 of the input, 1 of the first layer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.network import Network, Shape

from .kernels.events import unpack_spikes


class ChainSpikes:
    """Spikes that the next layer alone reads, one step later: they are kept until it has read them."""

    def __init__(self, network: Network) -> None:
        self._shapes = network.shapes
        self._spiking_input = network.spiking_input
        self._given: NDArray[Any] | None = None
        self._unread: dict[tuple[int, int], NDArray[np.bool_]] = {}  # by place and first step

    def begin(self, given: NDArray[Any] | None) -> None:
        """Begin a sample: input spikes, packed (T, bytes), or currents (T, H, W, C) of layer 1; None if constant."""
        self._given = given
        self._unread.clear()

    def room(self, place: int, steps: slice) -> NDArray[np.bool_]:
        """(S, H, W, C) bool, to be written: the spikes of some steps."""
        spikes = _empty(steps.stop - steps.start, self._shapes[place])
        if place + 1 < len(self._shapes):
            self._unread[place, steps.start] = spikes
        return spikes

    def arrived(self, number: int, steps: slice) -> list[NDArray[Any] | None]:
        """What :meth:`~.kernels.layer.LayerKernel.run` takes of layer `number`, 0 of the first; once."""
        if number:
            return [self._unread.pop((number, steps.start))]
        if self._given is None:
            return [None]
        given = self._given[steps]
        return [unpacked(given, self._shapes[0]) if self._spiking_input else given]


class GraphSpikes:
    """Spikes that any layers read, any number of steps later: those of a whole sample are kept, a byte each."""

    def __init__(self, network: Network) -> None:
        self._sources = [
            [(network.place(source.layer), source.delay) for each in inputs for source in each.sources]
            for inputs in network.inputs
        ]
        self._spiking_input = network.spiking_input
        self._currents: NDArray[Any] | None = None
        self._before = [0] * len(network.shapes)  # steps without spikes that are kept in front of the first
        for place, delay in (source for sources in self._sources for source in sources):
            self._before[place] = max(self._before[place], delay - 1)
        self._maps = [
            np.zeros((before + network.timesteps, height, width, channels), np.bool_)
            for before, (channels, height, width) in zip(self._before, network.shapes, strict=True)
        ]

    def begin(self, given: NDArray[Any] | None) -> None:
        """See :meth:`ChainSpikes.begin`."""
        if given is not None and self._spiking_input:
            unpack_spikes(given, self._maps[0][self._before[0] :])
        else:
            self._currents = given

    def room(self, place: int, steps: slice) -> NDArray[np.bool_]:
        """See :meth:`ChainSpikes.room`."""
        return self._maps[place][self._before[place] :][steps]

    def arrived(self, number: int, steps: slice) -> list[NDArray[Any] | None]:
        """See :meth:`ChainSpikes.arrived`; as often as needed."""
        found: list[NDArray[Any] | None] = []
        for place, delay in self._sources[number]:
            first = self._before[place] + 1 - delay
            if place or self._spiking_input:
                found.append(self._maps[place][first + steps.start : first + steps.stop])
            else:
                found.append(None if self._currents is None else self._currents[steps])
        return found


def unpacked(packed: NDArray[np.uint8], shape: Shape) -> NDArray[np.bool_]:
    """Some steps of the input as the kernels read them: packed (S, bytes) of (C, H, W) -> (S, H, W, C)."""
    spikes = _empty(len(packed), shape)
    unpack_spikes(packed, spikes)
    return spikes


def _empty(steps: int, shape: Shape) -> NDArray[np.bool_]:
    channels, height, width = shape
    return np.empty((steps, height, width, channels), np.bool_)
