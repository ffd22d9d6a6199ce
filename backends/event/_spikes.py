"""Spikes between layers, some steps of one at a time; a place is a number: 0 of the input, 1 of the
first layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.event.kernels.events import unpack
from spikesam.backends.input_currents import arriving, by_input
from spikesam.backends.network import Network, Shape

Begun = list[
    tuple[tuple[int, int], Any]
]  # layer and input, by number -> its current before anything arrives


class _Currents:
    """The currents that numbers cause, as the kernels read them."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._constant = network.encoder == "constant-current"
        self._maps: dict[tuple[int, int], NDArray[Any]] = {}  # (S, H, W, C)

    def begin(self, sample: NDArray[Any]) -> Begun:
        """Begin a sample, (S, N); of a constant current, what stands from the beginning on."""
        self._maps = {
            key: np.moveaxis(maps, 1, -1) for key, maps in by_input(self._network, sample)
        }
        if not self._constant:
            return []
        return [(key, maps[0] * (self._delay(key) == 1)) for key, maps in self._maps.items()]

    def arrived(self, key: tuple[int, int], steps: slice) -> NDArray[Any] | None:
        """The currents (S, H, W, C) that act in the step after each of some steps; None if they
        stay as they are.
        """
        maps, delay = self._maps[key], self._delay(key)
        if self._constant and (delay == 1 or not steps.start < delay <= steps.stop):
            return None
        silent, among = arriving(range(steps.start + 1, steps.stop + 1), delay)
        left = among.stop - among.start, *maps.shape[1:]
        currents = np.broadcast_to(maps, left) if self._constant else maps[among]
        return (
            np.concatenate([np.zeros((silent, *maps.shape[1:]), maps.dtype), currents])
            if silent
            else currents
        )

    def _delay(self, key: tuple[int, int]) -> int:
        place, number = key
        return self._network.layers[place].inputs[number].sources[0].longest


class ChainSpikes:
    """Spikes that the next layer alone reads, one step later: they are kept until it has read
    them.
    """

    def __init__(self, network: Network) -> None:
        self._shapes = network.shapes
        self._currents = None if network.spiking_input else _Currents(network)
        self._given = np.zeros((0, 0), np.uint8)
        self._acting: Sequence[range] = ()
        self._unread: dict[tuple[int, int], NDArray[np.bool_]] = {}  # by place and first step

    def begin(self, sample_input: NDArray[Any]) -> Begun:
        """Begin a sample: input spikes, packed (T, bytes), or currents (S, N)."""
        self._unread.clear()
        self._given = sample_input
        return self._currents.begin(sample_input) if self._currents else []

    def rest(self, acting: Sequence[range]) -> None:
        """Nobody fires yet: what :meth:`room` gives is False in steps in which a place is not
        `acting`.
        """
        self._acting = acting

    def room(self, place: int, steps: slice) -> NDArray[np.bool_]:
        """(S, H, W, C) bool, to be written: the spikes of some steps."""
        spikes, acting = _empty(steps.stop - steps.start, self._shapes[place]), self._acting[place]
        spikes[: max(0, acting.start - steps.start)] = spikes[
            max(0, acting.stop - steps.start) :
        ] = False
        if place + 1 < len(self._shapes):
            self._unread[place, steps.start] = spikes
        return spikes

    def arrived(self, number: int, steps: slice) -> list[NDArray[Any] | None]:
        """Spikes for :meth:`~.kernels.layer.LayerKernel.run` of layer `number`, 0 of the first;
        once.
        """
        if number:
            return [self._unread.pop((number, steps.start))]
        if self._currents:
            return [self._currents.arrived((0, 0), steps)]
        return [unpacked_steps(self._given[steps], self._shapes[0])]

    def keeps(self, arrays: Sequence[NDArray[Any] | None]) -> bool:
        """True if the arrays that were given are those of every sample."""
        return False


class GraphSpikes:
    """Spikes that any layers read, any number of steps later: those of a whole sample are kept, a
    byte each.
    """

    def __init__(self, network: Network) -> None:
        self._sources = [
            [
                (input_number, network.place(source.layer), source)
                for input_number, layer_input in enumerate(layer.inputs)
                for source in layer_input.sources
            ]
            for layer in network.layers
        ]
        self._currents = None if network.spiking_input else _Currents(network)
        self._before = [0] * len(
            network.shapes
        )  # steps without spikes that are kept in front of the first
        for _, place, source in (read for sources in self._sources for read in sources):
            self._before[place] = max(self._before[place], source.longest - 1)
        self._maps = [
            np.zeros((steps_in_front + network.timesteps, height, width, channels), np.bool_)
            for steps_in_front, (channels, height, width) in zip(
                self._before, network.shapes, strict=True
            )
        ]
        self._acting: Sequence[range] = ()

    def begin(self, sample_input: NDArray[Any]) -> Begun:
        """See :meth:`ChainSpikes.begin`."""
        if self._currents:
            return self._currents.begin(sample_input)
        unpack(sample_input, self._maps[0][self._before[0] :])
        return []

    def rest(self, acting: Sequence[range]) -> None:
        """See :meth:`ChainSpikes.rest`."""
        for maps, acting_before, now in zip(
            self._maps, self._acting or acting, acting, strict=True
        ):
            if acting_before != now:
                maps[:] = False
        self._acting = acting

    def room(self, place: int, steps: slice) -> NDArray[np.bool_]:
        """See :meth:`ChainSpikes.room`."""
        return self._maps[place][self._before[place] :][steps]

    def arrived(self, number: int, steps: slice) -> list[NDArray[Any] | None]:
        """See :meth:`ChainSpikes.arrived`; as often as needed."""
        arriving_maps: list[NDArray[Any] | None] = []
        for input_number, place, source in self._sources[number]:
            if self._currents and not place:
                arriving_maps.append(self._currents.arrived((number, input_number), steps))
            else:
                arriving_maps.append(source.arriving(partial(self._fired, place, steps), -1))
        return arriving_maps

    def keeps(self, arrays: Sequence[NDArray[Any] | None]) -> bool:
        """See :meth:`ChainSpikes.keeps`; not copies, nor currents."""
        kept_maps = {id(maps) for maps in self._maps}
        return all(array is not None and id(array.base) in kept_maps for array in arrays)

    def _fired(self, place: int, steps: slice, delay: int) -> NDArray[np.bool_]:
        """(S, H, W, C) what fired so many steps before the step after each of some steps; the
        memory itself.
        """
        first = self._before[place] + 1 - delay
        return self._maps[place][first + steps.start : first + steps.stop]


def unpacked_steps(packed: NDArray[np.uint8], shape: Shape) -> NDArray[np.bool_]:
    """Some steps of the input as the kernels read them: packed (S, bytes) of (C, H, W) -> (S, H, W,
    C).
    """
    spikes = _empty(len(packed), shape)
    unpack(packed, spikes)
    return spikes


def _empty(steps: int, shape: Shape) -> NDArray[np.bool_]:
    channels, height, width = shape
    return np.empty((steps, height, width, channels), np.bool_)
