"""The event backend: computes on the CPU where there are spikes, one sample per thread, or several threads per sample.

A convolution multiplies every weight by every 0. Here each spike adds the weights it reaches, and nothing else is
computed (see the kernels, which the Lava models use as well). Samples go step by step through all layers, a few steps
of one layer at a time, so with T only the packed result grows; of a network that is no chain, the spikes of samples in
work are kept unpacked as well, a byte for each neuron and step. Where there are fewer samples than threads, several
threads simulate one sample: while one computes some steps of a layer, another computes later steps of an earlier layer.
Where a layer reads a later one, one thread goes step by step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from backends.base import InputBatch
from backends.input_currents import by_input, drive
from backends.network import Network
from backends.readout import ReadoutIntegrator
from recordings.parallel import cores, in_order
from recordings.raster.batch import RasterBatch, joined

from .kernels.layer import LayerKernel, State, compile_kernels
from .progress import Progress
from .spikes import ChainSpikes, GraphSpikes, unpacked

CHUNK = 16  # steps of one layer at a time: its weights stay in the cache, its spikes are few
FEW = 1 << 14  # neurons of every layer that take twice as many steps at a time, since a call takes some 50 µs
PARALLEL_CHUNK = 8  # steps of one layer at a time where several threads simulate a sample; with fewer, they wait less


class EventBackend:
    """Simulates a network event by event.

    Parameters
    ----------
    threads : samples simulated at a time, or threads for one; all cores this process may use if not given
    """

    name = "event"
    device = "cpu"

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or cores()
        self._prepared: WeakKeyDictionary[Network, _PreparedNetwork] = WeakKeyDictionary()

    def prepare(self, network: Network) -> None:
        """Compile the kernels, or load them from numba's cache, and lay out the weights."""
        if network not in self._prepared:
            network.check_spiking(self.name)
            compile_kernels(network.precision)
            self._prepared[network] = _PreparedNetwork(network)

    def run(self, network: Network, inputs: Iterable[InputBatch], n_samples: int) -> Iterator[RasterBatch]:
        """Simulate samples; see :class:`backends.base.Backend`. In float32, sums are formed in another order."""
        self.prepare(network)
        simulate = partial(self._prepared[network].run, threads=max(1, self.threads // max(1, n_samples)))
        finished = in_order(simulate, _samples(network, inputs), self.threads)
        while batch := list(islice(finished, self.threads)):
            yield joined(batch)  # as many at a time as there are cores, so that recording them can use all, too


def first_currents(network: Network, inputs: Iterable[InputBatch]) -> Iterator[NDArray[Any]]:
    """The currents into a network's first layer: a[1] … a[T-1] of every sample; a constant current once.

    Yields
    ------
    (S, H, W, C) float32, or int32 in fixed point: some steps of one sample
    """
    layer = LayerKernel(network.layers[0], network.shapes[0])
    state = layer.rest()
    for sample in _samples(network, inputs):
        if network.current_input:
            [(_, maps)] = by_input(network, sample)
            yield np.moveaxis(maps, 1, -1)[: max(1, network.timesteps - 1)]
            continue
        for start in range(0, len(sample) - 1, CHUNK):
            arrived = unpacked(sample[start : min(start + CHUNK, len(sample) - 1)], network.input_shape)
            currents = np.empty((len(arrived), *layer.output_shape), layer.dtype)
            for spikes, current in zip(arrived, currents, strict=True):
                layer.add([spikes], state)
                current[:] = state.current[0]
            yield currents


def _samples(network: Network, inputs: Iterable[InputBatch]) -> Iterator[NDArray[Any]]:
    """One by one: packed spikes (T, bytes), or currents (S, N)."""
    for batch in inputs:
        yield from drive("event", network, batch)


class _Room(NamedTuple):
    """The memory that one sample changes."""

    states: list[State]
    spikes: ChainSpikes | GraphSpikes
    integrator: ReadoutIntegrator


class _PreparedNetwork:
    """A network laid out for the kernels, for any number of samples and threads."""

    def __init__(self, network: Network) -> None:
        self.timesteps = network.timesteps
        self.spiking_input = network.spiking_input
        self.raster_names = network.raster_names
        self.raster_bytes = network.raster_bytes
        self.layers = [
            LayerKernel(layer, *(network.shapes[network.place(each.sources[0].layer)] for each in inputs))
            for layer, inputs in zip(network.layers, network.inputs, strict=True)
        ]
        self.has_loops = network.has_loops
        self.reads = [
            {network.place(source.layer) - 1 for each in inputs for source in each.sources} - {-1, number}
            for number, inputs in enumerate(network.inputs)
        ]
        self.new_spikes = partial(ChainSpikes if network.is_chain else GraphSpikes, network)
        channels, height, width = network.shapes[-1]
        weight = network.readout.weight.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
        self.readout = replace(network.readout, weight=weight.reshape(len(weight), -1))  # channels last, as the spikes
        largest = max(math.prod(layer.output_shape) for layer in self.layers)
        self.chunk = 2 * CHUNK if largest <= FEW else CHUNK
        self._unused: SimpleQueue[_Room] = SimpleQueue()  # that no sample uses now: new memory costs page faults

    def run(self, sample: NDArray[Any], threads: int) -> RasterBatch:
        """All steps of one sample: packed spikes (T, bytes), or currents (S, N), once if it is constant."""
        try:
            room = self._unused.get_nowait()
        except Empty:
            states = [layer.rest() for layer in self.layers]
            room = _Room(states, self.new_spikes(), ReadoutIntegrator(self.readout, self.timesteps))
        room.integrator.rest()
        packed = [np.empty((self.timesteps, size), np.uint8) for size in self.raster_bytes]
        if self.spiking_input:
            packed[0] = sample
        for (place, number), current in room.spikes.begin(sample):
            room.states[place].current[number] = current
        if self.has_loops:
            self._run_steps(room, packed[-len(self.layers) :])
        else:
            self._run_chunks(room, packed[-len(self.layers) :], threads)
        self._unused.put(room)
        rasters = {name: bits[None] for name, bits in zip(self.raster_names, packed, strict=True)}
        return RasterBatch(rasters, room.integrator.result()[None])

    def _run_steps(self, room: _Room, packed: list[NDArray[np.uint8]]) -> None:
        """Fill the packed spikes (T, bytes) of every layer, step by step."""
        for t in range(self.timesteps):
            now = slice(t, t + 1)
            for number, (layer, state) in enumerate(zip(self.layers, room.states, strict=True)):
                fired = room.spikes.room(number + 1, now)
                layer.advance(t, state, fired[0], packed[number][t])
            room.integrator.add(fired.reshape(1, -1))
            for number, (layer, state) in enumerate(zip(self.layers, room.states, strict=True)):
                arrived = room.spikes.arrived(number, now)
                layer.add([None if each is None else each[0] for each in arrived], state)

    def _run_chunks(self, room: _Room, packed: list[NDArray[np.uint8]], threads: int) -> None:
        """Fill the packed spikes (T, bytes) of every layer, some steps of a layer at a time."""
        size = self.chunk if threads == 1 else min(PARALLEL_CHUNK, -(-self.timesteps // (2 * threads)))
        starts = range(0, self.timesteps, size)
        progress = Progress(len(starts), self.reads, parallel=threads > 1)

        def advance() -> None:
            """Compute some steps of a layer, again and again, until nothing is left."""
            with progress:
                while (task := progress.begin()) is not None:
                    chunk, number = task
                    steps = slice(starts[chunk], min(starts[chunk] + size, self.timesteps))
                    arrived, fired = room.spikes.arrived(number, steps), room.spikes.room(number + 1, steps)
                    self.layers[number].run(steps.start, arrived, room.states[number], fired, packed[number][steps])
                    if number + 1 == len(self.layers):  # chunk by chunk, as every layer
                        room.integrator.add(fired.reshape(len(fired), -1))
                    progress.end(number)

        with ThreadPoolExecutor(threads) as pool:  # starts no thread before it has work
            others = [pool.submit(advance) for _ in range(threads - 1)]
            advance()
            for other in others:
                other.result()
