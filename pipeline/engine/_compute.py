"""Computing samples: encode → simulate → record, explain and measure, which overlap over all cores.

A thread that has simulated samples records, explains and measures them. One more thread stores what
they finish. A few samples wait at most, so memory does not grow. The same job gives the same bits
wherever and however often it runs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, groupby, islice
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.base import FormedMaps, InputBatch
from spikesam.backends.trace import compile_maps
from spikesam.common.errors import InputError
from spikesam.common.parallel import cores, in_order, results_behind
from spikesam.pipeline.engine.job import RANGE, Job
from spikesam.pipeline.images.encoding import compile_encoding
from spikesam.pipeline.images.samples import Samples
from spikesam.pipeline.maps.layers import has_places
from spikesam.pipeline.maps.localisation import Score, score_sample
from spikesam.pipeline.maps.method import Explained
from spikesam.pipeline.maps.methods.sam import explain_spikes
from spikesam.pipeline.maps.sam import compile_kernel, compile_sums, spike_count_sum
from spikesam.pipeline.measures.maps import Map
from spikesam.recordings.maps.writer import make_map_record
from spikesam.recordings.raster.batch import RasterBatch
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.raster.writer import check_batch, make_record
from spikesam.recordings.schema import PREDICTION
from spikesam.recordings.writer import SampleRecord

AHEAD = RANGE  # samples that may wait for the disk: as many as it takes at a time
Item = TypeVar("Item")


@dataclass(frozen=True)
class SampleResult:
    """The part of a sample that is kept, ready to store."""

    # its spikes; counts and digests alone where spikes are dropped or stored already
    record: SampleRecord
    name: str  # for people
    maps: SampleRecord | None = None  # None where nothing is explained
    scores: tuple[Score, ...] = ()  # of maps that find the object; none if it is unknown

    @property
    def position(self) -> int:
        """In the run."""
        return self.record.position

    @property
    def nbytes(self) -> int:
        """Bytes of what is stored."""
        return self.record.nbytes + (0 if self.maps is None else self.maps.nbytes)


class StageTimer:
    """Seconds by stage, of all threads together; a stage inside another does not count for both."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._lock = threading.Lock()
        self._inside = threading.local()

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Add the seconds that the block takes, but for those of stages within it."""
        outer_seconds = getattr(self._inside, "seconds", 0.0)
        self._inside.seconds, begun = 0.0, time.perf_counter()
        try:
            yield
        finally:
            taken = time.perf_counter() - begun
            with self._lock:
                self._seconds[stage] = self._seconds.get(stage, 0.0) + taken - self._inside.seconds
            self._inside.seconds = outer_seconds + taken

    def timed(self, stage: str, items: Iterable[Item]) -> Iterator[Item]:
        """The items, with the seconds added that each takes to come."""
        iterator = iter(items)
        while True:
            with self.time(stage):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    def take(self) -> dict[str, float]:
        """The seconds added since this was last asked."""
        with self._lock:
            taken, self._seconds = self._seconds, {}
        return taken


class Store(Protocol):
    """The place that results go to: memory, or the folder of a run."""

    @property
    def timer(self) -> StageTimer:
        """Takes the time of each stage."""

    @property
    def missing(self) -> Sequence[int]:
        """Positions of the samples that it lacks, ascending."""

    @property
    def sections(self) -> Sequence[str]:
        """The parts of a sample that it takes, see `Keep.sections`."""

    @property
    def recorded(self) -> Path | None:
        """The finished raster of an earlier run of the command: its spikes need not be simulated
        again.
        """

    def add(self, sample: SampleResult) -> None:
        """Take the next sample that is missing."""

    def flush(self) -> None:
        """Put the samples that are in memory where they are safe, if that is not memory."""


def compute(
    job: Job,
    store: Store,
    advance: Callable[[int], None] = lambda samples: None,
    workers: int | None = None,
) -> None:
    """Compute the samples that a store lacks; refuses a full disk or a failed simulation, and keeps
    what was finished.

    `advance` gets the number of samples just stored. All but storing is done by `workers` threads,
    one a core if not given; 1 stores, too, between samples.
    """
    if not store.missing:
        return
    workers, computation = workers or cores(), _Computation(job, store)
    try:
        with ExitStack() as stages:
            computed = stages.enter_context(
                closing(in_order(lambda work: work(), computation.work(), workers))
            )
            samples = chain.from_iterable(computed)
            stored = stages.enter_context(closing(_stored(store.add, samples, workers)))
            for _, position in zip(stored, store.missing, strict=True):
                computation.forget_before(position)
                advance(1)
    except BaseException:  # Ctrl-C, or a simulation that fails: what is finished is kept
        store.flush()
        raise
    store.flush()


def compile_for_job(job: Job) -> None:
    """Do once what simulating and explaining need, before anything is timed."""
    job.backend.prepare(job.network)
    compile_encoding(job.network)
    if job.spec.variant == "fixed":
        compile_maps()
    elif "maps" in job.spec.keep.sections:
        compile_sums()
        if job.spec.keep.stepped:
            compile_kernel()


def _stored(
    add: Callable[[SampleResult], None], results: Iterator[SampleResult], workers: int
) -> Generator[None, None, None]:
    """A value for each result that was added; in a thread of its own where there are several, since
    disks are slow.
    """
    yield from map(add, results) if workers == 1 else results_behind(add, results, AHEAD)


class _Computation:
    """The work on the samples that a store lacks; a range is read once, and forgotten when it is
    stored.
    """

    def __init__(self, job: Job, store: Store) -> None:
        self._job, self._spec, self._store, self._timer = job, job.spec, store, store.timer
        self._ranges: dict[int, Samples] = {}
        self._lock = threading.Lock()

    def work(self) -> Iterator[Callable[[], list[SampleResult]]]:
        """The work left on some samples at a time, in their order; any thread may do it."""
        job, missing, timer = self._job, self._store.missing, self._timer
        if self._store.recorded is not None:
            with RasterReader(self._store.recorded) as raster:
                for position in missing:
                    spikes = {
                        layer.name: raster.packed(layer, position)[None] for layer in raster.layers
                    }
                    batch = RasterBatch(spikes, raster.readout[position : position + 1])
                    yield partial(self._explain, [position], batch)
            return
        inputs, positions = timer.timed("encode", self._inputs(missing)), iter(missing)
        if self._spec.keep.by_backend:
            formed = job.backend.run_maps(
                job.network, inputs, len(missing), self._spec.map_request(missing)
            )
            for position, maps in zip(missing, timer.timed("simulate", formed), strict=True):
                yield partial(self._take_maps, position, maps)
        else:
            for count, call in timer.timed(
                "simulate", job.backend.calls(job.network, inputs, len(missing))
            ):
                yield partial(self._simulate, list(islice(positions, count)), call)

    def forget_before(self, position: int) -> None:
        """Forget the ranges before the one in which a sample lies."""
        with self._lock:
            for number in [number for number in self._ranges if number < position // RANGE]:
                del self._ranges[number]

    def _simulate(
        self, positions: Sequence[int], call: Callable[[], RasterBatch]
    ) -> list[SampleResult]:
        with self._timer.time("simulate"):
            batch = call()
        layers = self._spec.header.layers
        if len(batch.spikes) > len(layers):  # others are not recorded
            batch = replace(
                batch, spikes={layer.name: batch.spikes[layer.name] for layer in layers}
            )
        check_batch(self._spec.header, batch)
        return self._explain(positions, batch)

    def _explain(self, positions: Sequence[int], batch: RasterBatch) -> list[SampleResult]:
        """Encode, explain and measure the samples of a batch."""
        return [
            self._explain_sample(batch, row, position) for row, position in enumerate(positions)
        ]

    def _explain_sample(self, batch: RasterBatch, row: int, position: int) -> SampleResult:
        spec, sections, timer = self._spec, self._store.sections, self._timer

        with timer.time("record"):
            record = make_record(
                spec.header, batch, row, position, keep_spikes="raster" in sections
            )
        if "maps" not in sections:
            return self._result(record)
        with timer.time("explain"):
            packed = {layer.name: batch.spikes[layer.name][row] for layer in spec.mapped}
            explained = explain_spikes(
                spec.all_maps, spec.mapped, packed.values(), position, record.prediction
            )
        if self._mask(position) is None:
            return self._result(record, explained)
        with timer.time("explain"):
            steps = spec.header.steps_that_matter
            counts = {
                layer.name: spike_count_sum(packed[layer.name], layer.shape, steps(layer))
                for layer in spec.mapped
                if has_places(layer.shape)
            }
        return self._result(
            record, explained, {name: (explained.sums[name], counts[name]) for name in counts}
        )

    def _take_maps(self, position: int, maps: FormedMaps) -> list[SampleResult]:
        """Measure a sample of which the backend formed the maps; how often neurons fired is not
        known.
        """
        kept_steps = {
            name: of_layer[list(self._spec.keep.steps)] for name, of_layer in maps.maps.items()
        }
        predicted = int(self._spec.header.predictions(maps.readout[None])[0])
        explained = Explained(predicted, maps.sums, kept_steps)
        record = SampleRecord(
            position, {PREDICTION: explained.prediction, "/readout": maps.readout}
        )
        return [
            self._result(
                record, explained, {name: (of_layer,) for name, of_layer in maps.sums.items()}
            )
        ]

    def _result(
        self,
        record: SampleRecord,
        explained: Explained | None = None,
        of_layers: Mapping[str, tuple[Map, ...]] = MappingProxyType({}),
    ) -> SampleResult:
        """The part of a sample that is kept; of_layers: layer -> maps that are measured where its
        object is known.
        """
        position, scores = record.position, list[Score]()
        name = self._range_of(position).name_of(position % RANGE)
        if explained is None:
            return SampleResult(record, name)
        if (mask := self._mask(position)) is not None:
            with self._timer.time("measure"):
                scores = score_sample(position, of_layers, mask)
        with self._timer.time("write"):
            maps = make_map_record(self._spec.all_maps, position, *explained)
        return SampleResult(record, name, maps, tuple(scores))

    def _mask(self, position: int) -> NDArray[np.bool_] | None:
        """(H, W), the object's pixels; None if it is unknown, or was cropped away."""
        mask = self._range_of(position).mask_of(position % RANGE)
        return mask if mask is not None and mask.any() else None

    def _inputs(self, positions: Sequence[int]) -> Iterator[InputBatch]:
        """The network's input, range by range, so that no more than one range's samples are encoded
        at a time.
        """
        job = self._job
        for number, chosen in groupby(positions, lambda position: position // RANGE):
            samples, rows = (
                self._range_of(number * RANGE),
                [position % RANGE for position in chosen],
            )
            yield from samples.encoded(rows, job.network, self._spec.header.seed, job.batch_size)

    def _range_of(self, position: int) -> Samples:
        """The samples of the range in which one lies; refuses any that changed since the run
        began.
        """
        number, spec = position // RANGE, self._spec
        with self._lock:
            if number in self._ranges:
                return self._ranges[number]
            with self._timer.time("load"):
                positions = spec.ranges[number]
                opened, expected = (
                    self._job.read(positions),
                    spec.samples[positions.start : positions.stop],
                )
                for name in ("index", "label"):
                    if not np.array_equal(getattr(opened.table, name), getattr(expected, name)):
                        text = (
                            f"a sample has another {name} than when the run began; was it changed?"
                        )
                        raise InputError(f"{opened.name}: {text}")
                opened.refuse_changed(spec.contents[positions.start : positions.stop])
            return self._ranges.setdefault(number, opened)
