"""Computing samples: encode → simulate → record, explain and measure, which overlap over all cores.

A thread that has simulated samples records, explains and measures them; where a backend has threads of its own, others
do so behind it. One more thread stores what they finish. A few samples wait at most, so memory does not grow. The same
job gives the same bits wherever and however often it runs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Protocol

import numpy as np

from spikesam.backends.base import InputBatch
from spikesam.backends.formed_maps import FormedMaps
from spikesam.backends.trace import compile_maps
from spikesam.pipeline.engine.formed_maps import map_request, process_maps
from spikesam.pipeline.engine.job import RANGE, Job
from spikesam.pipeline.engine.sample import SampleResult, process_spikes
from spikesam.pipeline.engine.timer import StageTimer
from spikesam.pipeline.images.encoding import compile_encoding
from spikesam.pipeline.images.samples import Samples
from spikesam.pipeline.maps.sam import compile_kernel, compile_sums
from spikesam.recordings.errors import InputError
from spikesam.recordings.parallel import behind, cores, in_order
from spikesam.recordings.raster.batch import RasterBatch
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.raster.writer import check_batch

AHEAD = 8  # samples that may wait for the disk

Work = Callable[[], list[SampleResult]]  # what is left to do with some samples; any thread may do it


class Store(Protocol):
    """Where results go: memory, or the folder of a run."""

    @property
    def timer(self) -> StageTimer:
        """Takes the time of each stage."""

    @property
    def missing(self) -> Sequence[int]:
        """Positions of the samples that it lacks, ascending."""

    @property
    def recorded(self) -> Path | None:
        """The finished raster of an earlier run of the command: its spikes need not be simulated again."""

    def add(self, sample: SampleResult) -> None:
        """Take the next sample that is missing."""

    def flush(self) -> None:
        """Put the samples that are in memory where they are safe, if that is not memory."""


def compute(
    job: Job, store: Store, advance: Callable[[int], None] = lambda samples: None, workers: int | None = None
) -> None:
    """Compute the samples that a store lacks.

    Parameters
    ----------
    advance : called with the number of samples just stored
    workers : threads that do all but storing, one for each core if not given; 1 stores, too, between samples

    Raises
    ------
    InputError : if the disk is full, or a simulation fails; what was finished is kept
    """
    if not store.missing:
        return
    workers, samples = workers or cores(), _Ranges(job, store.timer)

    def add(sample: SampleResult) -> int:
        store.add(sample)
        return sample.position

    try:
        with (
            closing(in_order(lambda work: work(), _work(job, store, samples), workers)) as results,
            closing(_stored(add, chain.from_iterable(results), workers)) as stored,
        ):
            for position in stored:
                samples.forget_before(position)
                advance(1)
    except BaseException:  # Ctrl-C, or a simulation that fails: what is finished is kept
        store.flush()
        raise
    store.flush()


def compile_kernels(job: Job) -> None:
    """Do once what simulating and explaining need, before anything is timed."""
    job.backend.prepare(job.network)
    compile_encoding(job.network)
    if job.spec.variant == "fixed":
        compile_maps()
    elif job.spec.keep.maps is not None:
        compile_sums()
        if job.spec.keep.stepped:
            compile_kernel()


def _stored(
    add: Callable[[SampleResult], int], results: Iterator[SampleResult], workers: int
) -> Generator[int, None, None]:
    """What `add` gives for each result; in a thread of its own where there are several, since disks are slow."""
    yield from map(add, results) if workers == 1 else behind(add, results, AHEAD)


class _Ranges:
    """The samples of a job, range by range: each is read once, and forgotten when the next ones are being stored."""

    def __init__(self, job: Job, timer: StageTimer) -> None:
        self._job, self._timer = job, timer
        self._ranges: dict[int, Samples] = {}
        self._lock = threading.Lock()

    def of(self, position: int) -> Samples:
        """Those of the range in which a sample lies."""
        number = position // RANGE
        with self._lock:
            if number not in self._ranges:
                with self._timer.time("load"):
                    self._ranges[number] = self._read(self._job.spec.ranges[number])
            return self._ranges[number]

    def forget_before(self, position: int) -> None:
        """Forget the ranges before the one in which a sample lies."""
        with self._lock:
            for number in [number for number in self._ranges if number < position // RANGE]:
                del self._ranges[number]

    def inputs(self, positions: Sequence[int]) -> Iterator[InputBatch]:
        """What the network gets, range by range, so that no more than one range's samples are encoded at a time."""
        job, by_range = self._job, dict[int, list[int]]()
        for position in positions:
            by_range.setdefault(position // RANGE, []).append(position)
        for chosen in by_range.values():
            rows = [position % RANGE for position in chosen]
            yield from self.of(chosen[0]).encoded(rows, job.network, job.spec.header.seed, job.batch_size)

    def _read(self, positions: range) -> Samples:
        found, expected = self._job.read(positions), self._job.spec.samples[positions.start : positions.stop]
        for name in ("index", "label"):
            if not np.array_equal(getattr(found.table, name), getattr(expected, name)):
                raise InputError(f"{found.name}: a sample has another {name} than when the run began; was it changed?")
        found.refuse_changed(self._job.spec.contents[positions.start : positions.stop])
        return found


def _work(job: Job, store: Store, samples: _Ranges) -> Iterator[Work]:
    """What is to be done with the missing samples, in their order."""
    spec, missing, timer = job.spec, store.missing, store.timer
    keep_spikes = spec.keep.spikes and store.recorded is None

    def process(positions: Sequence[int], batch: RasterBatch) -> list[SampleResult]:
        return [
            process_spikes(spec, batch, row, position, samples.of(position), timer, keep_spikes=keep_spikes)
            for row, position in enumerate(positions)
        ]

    def simulate(positions: Sequence[int], call: Callable[[], RasterBatch]) -> list[SampleResult]:
        with timer.time("simulate"):
            batch = call()
        return process(positions, _checked(job, batch))

    def measure(position: int, maps: FormedMaps) -> list[SampleResult]:
        return [process_maps(spec, maps, position, samples.of(position), timer)]

    if store.recorded is not None:
        for position, batch in _read_back(store.recorded, missing):
            yield partial(process, [position], batch)
        return
    inputs, positions = timer.timed("encode", samples.inputs(missing)), iter(missing)
    if spec.keep.maps == "backend":
        formed = job.backend.run_maps(job.network, inputs, len(missing), map_request(spec, missing))
        for position, maps in zip(missing, timer.timed("simulate", formed), strict=True):
            yield partial(measure, position, maps)
    else:
        for count, call in timer.timed("simulate", job.backend.calls(job.network, inputs, len(missing))):
            yield partial(simulate, list(islice(positions, count)), call)


def _checked(job: Job, batch: RasterBatch) -> RasterBatch:
    """The layers that are recorded, once they are seen to be what the header says."""
    layers = job.spec.header.layers
    if len(batch.spikes) > len(layers):
        batch = replace(batch, spikes={layer.name: batch.spikes[layer.name] for layer in layers})
    check_batch(job.spec.header, batch)
    return batch


def _read_back(path: Path, positions: Sequence[int]) -> Iterator[tuple[int, RasterBatch]]:
    """Samples whose spikes an earlier run of the command has recorded."""
    with RasterReader(path) as raster:
        for position in positions:
            spikes = {layer.name: raster.packed(layer, position)[None] for layer in raster.layers}
            yield position, RasterBatch(spikes, raster.readout[position : position + 1])
