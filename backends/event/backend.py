"""The event backend: each spike adds the weights that it reaches; a thread per sample, or several
per layer of one.
"""

from __future__ import annotations

import math
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import replace
from functools import partial
from itertools import count, islice, product
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.base import Backend, BackendError, InputBatch
from spikesam.backends.event._spikes import ChainSpikes, GraphSpikes, unpacked_steps
from spikesam.backends.event.kernels.chain import Chain, alike
from spikesam.backends.event.kernels.events import unpack
from spikesam.backends.event.kernels.layer import Call, LayerKernel, LayerState, compile_kernels
from spikesam.backends.input_currents import backend_input, by_input
from spikesam.backends.network import Network
from spikesam.backends.network.acting import ActingSteps
from spikesam.backends.readout import ReadoutIntegrator
from spikesam.common.errors import at
from spikesam.common.parallel import cores, in_order, result_of, submitted, thread_pool
from spikesam.recordings.raster.batch import RasterBatch

CHUNK = 32  # steps of one layer at a time, at least: its weights stay in the cache
SPIKES = (
    1 << 17
)  # bytes: more steps where the spikes of the largest layer are no more, as each call has its cost
KEPT = 4  # networks that are kept laid out
HANDED_OVER = (
    1 << 20
)  # bytes, at most, of several samples that a thread simulates in a row: threads then seldom meet

Item = TypeVar("Item")


class EventBackend(Backend):
    """Simulates a network event by event, in as many threads as cores, or as given: samples, or
    parts of one.
    """

    name = "event"

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or cores()
        self._prepared: OrderedDict[str, _PreparedNetwork] = (
            OrderedDict()
        )  # by SHA-256, the last one used at the end

    def prepare(self, network: Network) -> None:
        """Compile the kernels, or load them from numba's cache, and lay out the weights."""
        self._laid_out(network)

    def _laid_out(self, network: Network) -> _PreparedNetwork:
        """The network for the kernels; that of an equal one that was read again is the same, and
        few are kept.
        """
        prepared = self._prepared.get(network.sha256)
        if prepared is None:
            with at(self.name):
                network.check_spiking()
            compile_kernels(network.precision)
            prepared = _PreparedNetwork(network)
        self._prepared[network.sha256] = prepared
        self._prepared.move_to_end(network.sha256)
        while len(self._prepared) > KEPT:
            self._prepared.popitem(last=False)
        return prepared

    def run(
        self, network: Network, inputs: Iterable[InputBatch], n_samples: int
    ) -> Iterator[RasterBatch]:
        """Simulate samples; see `Backend`. In float32, sums are formed in another order."""
        calls = self.calls(network, inputs, n_samples)
        yield from in_order(lambda call: call[1](), calls, min(self.threads, max(1, n_samples)))

    def calls(
        self, network: Network, inputs: Iterable[InputBatch], n_samples: int
    ) -> Iterator[tuple[int, Callable[[], RasterBatch]]]:
        """Simulate samples in threads of the caller's; see :class:`Backend`."""
        simulate = partial(
            self._laid_out(network).run, threads=max(1, self.threads // max(1, n_samples))
        )
        max_samples = HANDED_OVER // (network.timesteps * sum(network.raster_bytes))
        parts = _parts(_samples(network, inputs), n_samples, self.threads, max_samples)
        return ((len(part), partial(simulate, part)) for part in parts)

    def rerun(
        self, network: Network, samples: Iterable[Mapping[str, NDArray[Any]]], n_samples: int
    ) -> Iterator[RasterBatch]:
        """Simulate only layers whose spikes, (T, bytes) packed by name, are not given; a
        RasterBatch of each sample.
        """
        simulate = partial(
            self._laid_out(network).rerun, threads=max(1, self.threads // max(1, n_samples))
        )
        yield from in_order(simulate, samples, min(self.threads, max(1, n_samples)))


def first_currents(network: Network, inputs: Iterable[InputBatch]) -> Iterator[NDArray[Any]]:
    """a[1] … a[T-1] of a network's first layer, some steps of a sample at a time, (S, H, W, C); a
    constant one once.
    """
    layer = LayerKernel(network.layers[0], network.shapes[0])
    state = layer.rest()
    for sample in _samples(network, inputs):
        if network.current_input:
            [(_, maps)] = by_input(network, sample)
            yield np.moveaxis(maps, 1, -1)[: max(1, network.timesteps - 1)]
            continue
        for start in range(0, len(sample) - 1, CHUNK):
            arrived = unpacked_steps(
                sample[start : min(start + CHUNK, len(sample) - 1)], network.input_shape
            )
            currents = np.empty((len(arrived), *layer.output_shape), layer.dtype)
            for spikes, current in zip(arrived, currents, strict=True):
                layer.add([spikes], state)
                current[:] = state.current[0]
            yield currents


def _samples(network: Network, inputs: Iterable[InputBatch]) -> Iterator[NDArray[Any]]:
    """One by one: packed spikes (T, bytes), or currents (S, N)."""
    for batch in inputs:
        yield from backend_input("event", network, batch)


def _parts(
    samples: Iterator[Item], n_samples: int, threads: int, max_samples: int
) -> Iterator[list[Item]]:
    """Samples that one thread simulates, one after the other: no more than `max_samples`, and as
    many for each thread.
    """
    for number in count():
        if number % threads == 0:
            size = max(1, min(max_samples, n_samples // threads))
            n_samples -= threads * size
        part = list(islice(samples, size))
        if not part:
            return
        yield part


class _Room(NamedTuple):
    """The memory that one sample changes: parts of each layer, one for each thread or fewer, or one
    chain of them.
    """

    parts: list[list[tuple[LayerKernel, LayerState]]]
    chain: Chain | None
    spikes: ChainSpikes | GraphSpikes
    calls: dict[
        tuple[int, int, range], _Calls
    ]  # by layer, first step and `acting`, where the same for each sample


class _Calls(NamedTuple):
    """Some steps of a layer, from `first` to `last`; in the others it is silent."""

    first: int
    last: int
    parts: list[Call]
    fired: NDArray[np.bool_]


class _PreparedNetwork:
    """A network laid out for the kernels, for any number of samples and threads."""

    def __init__(self, network: Network) -> None:
        self.network, self.timesteps = network, network.timesteps
        self.spiking_input = network.spiking_input
        self.raster_names = network.raster_names
        self.raster_bytes = network.raster_bytes
        self.layers = [
            LayerKernel(
                layer,
                *(network.shape_read(layer_input) for layer_input in layer.inputs),
                driven=[input_number for place, input_number in network.driven if place == number],
            )
            for number, layer in enumerate(network.layers)
        ]
        # Channels of other delays are copied together, which would lack the spikes that a layer is
        # yet to fire itself.
        copied = any(
            source.layer == layer.name and len(source.delays) > 1
            for layer in network.layers
            for source in layer.sources
        )
        self.step_by_step = network.has_loops or copied
        largest = max(channels * height * width for channels, height, width in network.shapes)
        self.chunk = min(max(CHUNK, SPIKES // largest), self.timesteps)
        self.acting = ActingSteps(network)
        self.reads = [
            {network.place(source.layer) - 1 for source in layer.sources} - {-1}
            for layer in network.layers
        ]
        self.new_spikes = partial(ChainSpikes if network.is_chain else GraphSpikes, network)
        self.last_size = math.prod(network.shapes[-1])
        weight = network.readout.weight.reshape(-1, *network.shapes[-1])
        averages = network.readout.leak == 1 and bool((weight == weight[:, :, :1, :1]).all())
        places = math.prod(network.shapes[-1][1:]) if averages else 1
        readout = replace(
            network.readout, weight=np.ascontiguousarray(network.readout.weight[:, ::places])
        )
        self.integrator = ReadoutIntegrator(readout, network.timesteps, places)  # at rest
        # By number of threads, those that no sample uses now: new memory costs page faults.
        self._unused: defaultdict[int, SimpleQueue[_Room]] = defaultdict(SimpleQueue)

    def run(self, samples: Sequence[NDArray[Any]], threads: int) -> RasterBatch:
        """All steps of some samples: of each, packed spikes (T, bytes), or currents (S, N), once if
        it is constant.
        """
        sizes = self.raster_bytes[-len(self.layers) :]
        packed = [np.empty((len(samples), self.timesteps, size), np.uint8) for size in sizes]
        room = self._unused_room(threads)
        if room.chain:
            room.chain.run(samples, packed)
        else:
            for row, sample in enumerate(samples):
                self._begin(room, sample)
                self._simulate(room, [bits[row] for bits in packed], {})
        self._unused[threads].put(room)
        readout = self._readout(packed[-1])
        if self.spiking_input:
            packed.insert(0, np.stack(samples))
        return RasterBatch(dict(zip(self.raster_names, packed, strict=True)), readout)

    def _readout(self, packed: NDArray[np.uint8]) -> NDArray[Any]:
        """The readout (B, K) of the last layer's packed spikes (B, T, bytes)."""
        integrator = copy(self.integrator)
        for first in range(0, self.timesteps, CHUNK):
            bits = np.unpackbits(packed[:, first : first + CHUNK], axis=-1, count=self.last_size)
            integrator.add(bits.swapaxes(0, 1))
        return integrator.result()

    def rerun(self, given_bits: Mapping[str, NDArray[Any]], threads: int) -> RasterBatch:
        """One sample, of which some layers are given; see :meth:`EventBackend.rerun`."""
        numbers = {self.network.place(name) - 1: bits for name, bits in given_bits.items()}
        for number, layer in enumerate(self.network.layers):
            reads = {source.layer for source in layer.sources}
            if "input" in reads and number not in numbers and -1 not in numbers:
                raise BackendError(
                    f"event: layer {layer.name!r} reads the input, which is not given"
                )
        room = self._unused_room(threads)
        if -1 in numbers:
            self._begin(room, numbers[-1])
        packed = [
            np.empty((self.timesteps, size), np.uint8)
            for size in self.raster_bytes[-len(self.layers) :]
        ]
        self._simulate(room, packed, numbers)
        self._unused[threads].put(room)
        readout = self._readout(packed[-1][None])
        spikes = [numbers[-1], *packed] if -1 in numbers and self.spiking_input else packed
        rasters = [bits[None] for bits in spikes]
        names = self.raster_names[-len(rasters) :]
        return RasterBatch(dict(zip(names, rasters, strict=True)), readout)

    def _begin(self, room: _Room, sample: NDArray[Any]) -> None:
        """Take the input of a sample, packed spikes (T, bytes), or currents (S, N)."""
        for (place, number), current in room.spikes.begin(sample):
            for layer, state in room.parts[place]:
                state.current[number] = current[layer.rows]

    def _unused_room(self, threads: int) -> _Room:
        try:
            return self._unused[threads].get_nowait()
        except Empty:
            parts = [
                [
                    (part, part.rest())
                    for part in layer.parts(1 if self.step_by_step or number in reads else threads)
                ]
                for number, (layer, reads) in enumerate(zip(self.layers, self.reads, strict=True))
            ]
            return _Room(parts, self._chain(parts), self.new_spikes(), {})

    def _chain(self, parts: list[list[tuple[LayerKernel, LayerState]]]) -> Chain | None:
        layer_inputs = [state.inputs.first for of_layer in parts for _, state in of_layer]
        if (
            not self.network.is_chain
            or not self.spiking_input
            or len(layer_inputs) > len(parts)
            or not alike(layer_inputs)
        ):
            return None
        if not all(layer.plain and not layer.repeats for layer in self.layers):
            return None
        shapes = [(height, width, channels) for channels, height, width in self.network.shapes]
        return Chain(layer_inputs, shapes, self.chunk)

    def _simulate(
        self,
        room: _Room,
        packed: list[NDArray[np.uint8]],
        given_bits: Mapping[int, NDArray[np.uint8]],
    ) -> None:
        """Fill the packed spikes (T, bytes) of every layer; `given_bits` has those of layers that
        are not simulated.
        """
        simulated = (
            reads - {number} for number, reads in enumerate(self.reads) if number not in given_bits
        )
        read = set[int]().union(*simulated)
        for number in given_bits.keys() - {-1}:
            packed[number][:] = given_bits[number]
        fired = {number: bits if number in read else None for number, bits in given_bits.items()}
        acting = self.acting.of(range(len(self.layers)) if self.step_by_step else given_bits)
        room.spikes.rest(acting)
        if self.step_by_step:
            self._run_steps(room, packed, fired)
        else:
            self._run_chunks(room, packed, fired, acting[1:])

    def _run_steps(
        self,
        room: _Room,
        packed: list[NDArray[np.uint8]],
        given_bits: Mapping[int, NDArray[np.uint8] | None],
    ) -> None:
        """Simulate step by step; see :meth:`_run_chunks`."""
        kernels = [part for (part,) in room.parts]
        for t in range(self.timesteps):
            now = slice(t, t + 1)
            for number, (layer, state) in enumerate(kernels):
                fired = room.spikes.room(number + 1, now)
                if number not in given_bits:
                    layer.advance(t, state, fired[0], packed[number][t])
                elif (bits := given_bits[number]) is not None:
                    unpack(bits[now], fired)
            for number, (layer, state) in enumerate(kernels):
                if number in given_bits:
                    continue
                arrived = room.spikes.arrived(number, now)
                layer.add(
                    [None if arriving_map is None else arriving_map[0] for arriving_map in arrived],
                    state,
                )

    def _run_chunks(
        self,
        room: _Room,
        packed: list[NDArray[np.uint8]],
        given_bits: Mapping[int, NDArray[np.uint8] | None],
        acting: Sequence[range],
    ) -> None:
        """Simulate some steps of a layer at a time, in which it is `acting`; `given_bits` are
        packed spikes by number.
        """
        with thread_pool(
            max(1, *(len(parts) - 1 for parts in room.parts))
        ) as pool:  # starts no thread without work
            for start, number in product(
                range(0, self.timesteps, self.chunk), range(len(self.layers))
            ):
                steps = slice(start, min(start + self.chunk, self.timesteps))
                if number not in given_bits:
                    calls = room.calls.get((number, start, acting[number]))
                    calls = calls or self._calls(room, number, steps, acting[number])
                    self._run_layer(pool, room.parts[number][0][0], calls, steps, packed[number])
                elif (known_bits := given_bits[number]) is not None:
                    fired = room.spikes.room(number + 1, steps)
                    unpack(known_bits[steps], fired)

    def _calls(self, room: _Room, number: int, steps: slice, acting: range) -> _Calls:
        """The work of some steps of a layer, in which it is `acting`; kept if it is so
        for each sample.
        """
        arrived, fired = room.spikes.arrived(number, steps), room.spikes.room(number + 1, steps)
        first = min(
            max(steps.start, acting.start - 1), steps.stop
        )  # in the step before the first it is at rest
        last = max(first, min(steps.stop, acting.stop))
        now, rest_step = slice(first - steps.start, last - steps.start), acting.start - 1
        arriving, spikes = (
            [
                arriving_maps if arriving_maps is None else arriving_maps[now]
                for arriving_maps in arrived
            ],
            fired[now],
        )
        parts = room.parts[number] if first < last else []
        part_calls = [part.call(first, arriving, state, spikes, rest_step) for part, state in parts]
        calls = _Calls(first, last, part_calls, spikes)
        if room.spikes.keeps([*arriving, spikes]):
            room.calls[number, steps.start, acting] = calls
        return calls

    def _run_layer(
        self,
        pool: ThreadPoolExecutor,
        layer: LayerKernel,
        calls: _Calls,
        steps: slice,
        packed: NDArray[np.uint8],
    ) -> None:
        """Simulate the parts of a layer at the same time, in some steps: its bits are `packed`, (T,
        bytes).
        """
        first, last, parts, fired = calls
        packed[steps.start : first] = packed[last : steps.stop] = 0
        if first == last:
            return
        call, *further_parts = parts
        bits = packed[first:last]
        computed = [submitted(pool, part_call, bits) for part_call in further_parts]
        call(bits)
        for part in computed:
            result_of(part)
        if not layer.packs:
            layer.pack(fired, bits)
