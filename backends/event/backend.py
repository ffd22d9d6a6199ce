"""The event backend: computes on the CPU where there are spikes, one sample per thread, or several threads per sample.

A convolution multiplies every weight by every 0. Here each spike adds the weights it reaches, and nothing else is
computed (see the kernels, which the Lava models use as well). Samples go step by step through all layers, a few steps
of one layer at a time, so with T only the packed result grows. Where there are fewer samples than threads, several
threads simulate one sample: while one computes some steps of a layer, another computes later steps of an earlier layer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import islice
from queue import Empty, SimpleQueue
from threading import Condition
from types import TracebackType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from backends.base import InputBatch
from backends.constant_current import drive
from backends.network import Network, Shape
from backends.readout import ReadoutIntegrator
from recordings.parallel import cores, in_order
from recordings.raster.batch import RasterBatch, joined

from .kernels.events import unpack_spikes
from .kernels.layer import LayerKernel, State, compile_kernels

if TYPE_CHECKING:
    from typing import Self  # Python 3.10 lacks it

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
            network.check_chain(self.name)
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
        if network.encoder == "constant-current":
            yield np.moveaxis(sample, 0, -1)[None]
            continue
        for start in range(0, len(sample) - 1, CHUNK):
            arrived = _arrived(sample[start : min(start + CHUNK, len(sample) - 1)], network.input_shape)
            currents = np.empty((len(arrived), *layer.output_shape), layer.dtype)
            for spikes, current in zip(arrived, currents, strict=True):
                layer.add(spikes, state)
                current[:] = state.current
            yield currents


def _samples(network: Network, inputs: Iterable[InputBatch]) -> Iterator[NDArray[Any]]:
    """One by one: packed spikes (T, bytes), or the constant current of the first layer (C', H', W')."""
    for batch in inputs:
        yield from drive("event", network, batch)


def _arrived(packed: NDArray[np.uint8], shape: Shape) -> NDArray[np.bool_]:
    """Some steps of a sample as the kernels read them: packed (S, bytes) of (C, H, W) -> (S, H, W, C)."""
    channels, height, width = shape
    spikes = np.empty((len(packed), height, width, channels), np.bool_)
    unpack_spikes(packed, spikes)
    return spikes


class _PreparedNetwork:
    """A network laid out for the kernels, for any number of samples and threads."""

    def __init__(self, network: Network) -> None:
        self.timesteps = network.timesteps
        self.spiking_input, self.input_shape = network.spiking_input, network.input_shape
        self.raster_names = network.raster_names
        self.raster_bytes = network.raster_bytes
        self.layers = [LayerKernel(layer, shape) for layer, shape in zip(network.layers, network.shapes, strict=False)]
        channels, height, width = network.shapes[-1]
        weight = network.readout.weight.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
        self.readout = replace(network.readout, weight=weight.reshape(len(weight), -1))  # channels last, as the spikes
        largest = max(math.prod(layer.output_shape) for layer in self.layers)
        self.chunk = 2 * CHUNK if largest <= FEW else CHUNK
        # What one sample changes, where no sample uses it now: new memory costs page faults.
        self._unused: SimpleQueue[tuple[list[State], ReadoutIntegrator]] = SimpleQueue()

    def run(self, sample: NDArray[Any], threads: int) -> RasterBatch:
        """All steps of one sample: packed spikes (T, bytes), or a constant current (C', H', W')."""
        try:
            room = self._unused.get_nowait()
        except Empty:
            room = [layer.rest() for layer in self.layers], ReadoutIntegrator(self.readout, self.timesteps)
        states, integrator = room
        integrator.rest()
        packed = [np.empty((self.timesteps, size), np.uint8) for size in self.raster_bytes]
        if self.spiking_input:
            packed[0] = sample
        else:
            states[0].current[:] = np.moveaxis(sample, 0, -1)
        size = self.chunk if threads == 1 else PARALLEL_CHUNK
        starts = range(0, self.timesteps, size)
        fired: dict[tuple[int, int], NDArray[np.bool_] | None] = {}  # (chunk, layer) -> its input
        progress = _Progress(len(starts), len(self.layers), parallel=threads > 1)

        def advance() -> None:
            """Compute some steps of a layer, again and again, until nothing is left."""
            with progress:
                while (task := progress.begin()) is not None:
                    chunk, number = task
                    steps = slice(starts[chunk], starts[chunk] + size)
                    arrived = fired.pop(task, None)
                    if number == 0 and self.spiking_input:
                        arrived = _arrived(sample[steps], self.input_shape)
                    bits = packed[number - len(self.layers)][steps]
                    spikes = self.layers[number].run(steps.start, arrived, states[number], bits)
                    if number + 1 < len(self.layers):
                        fired[chunk, number + 1] = spikes
                    else:  # chunk by chunk, as every layer
                        integrator.add(spikes.reshape(len(spikes), -1))
                    progress.end(number)

        with ThreadPoolExecutor(threads) as pool:  # starts no thread before it has work
            others = [pool.submit(advance) for _ in range(threads - 1)]
            advance()
            for other in others:
                other.result()
        self._unused.put(room)
        rasters = {name: bits[None] for name, bits in zip(self.raster_names, packed, strict=True)}
        return RasterBatch(rasters, integrator.result()[None])


class _Progress:
    """Decides which layer computes which chunk of steps next, for the threads of one sample; each works inside `with`.

    A layer can compute a chunk when it has computed the chunk before, and the layer before has computed this one.
    Of the chunks that can be computed, a thread takes the one that comes first in time. Where there is but one thread,
    not `parallel`, it computes a chunk in all layers while it is in the cache.
    """

    def __init__(self, chunks: int, layers: int, *, parallel: bool) -> None:
        self._chunks, self._parallel = chunks, parallel
        self._done, self._taken = layers * [0], layers * [0]  # chunks of each layer
        self._changed = Condition()
        self._failed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None:  # so that no thread waits for it
            with self._changed:
                self._failed = True
                self._changed.notify_all()

    def begin(self) -> tuple[int, int] | None:
        """Take a chunk and the number of a layer; None if nothing is left to take."""
        with self._changed:
            while not self._failed and self._taken[-1] < self._chunks:
                ready = [
                    (chunk + number if self._parallel else chunk, number)
                    for number, chunk in enumerate(self._taken)
                    if chunk == self._done[number] < (self._done[number - 1] if number else self._chunks)
                ]
                if ready:
                    number = min(ready)[1]
                    self._taken[number] += 1
                    return self._done[number], number
                self._changed.wait()
            return None

    def end(self, number: int) -> None:
        """Say that a layer has done its chunk."""
        with self._changed:
            self._done[number] += 1
            self._changed.notify_all()
