"""Computing ranges: encode → simulate → record, explain and measure, which overlap over all cores.

Samples are simulated one after the other in one stream. While the backend goes on, threads record, explain and measure
what it has finished, and one thread writes files; a few samples wait at most, so memory does not grow. A range whose
files are whole is not computed again, and the same plan gives the same bits wherever and however often it runs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from backends.base import Backend, InputBatch
from backends.formed_maps import FormedMaps
from backends.network import Network
from recordings.disk import reason
from recordings.errors import InputError
from recordings.parallel import behind, cores, in_order
from recordings.raster.batch import RasterBatch
from recordings.raster.reader import RasterReader
from recordings.raster.recorder import check_batch
from recordings.raster.writer import RasterWriter

from .files import RangeFiles
from .graph import process_maps, run_maps
from .plan import RANGE, Plan
from .sample import ProcessedSample, process
from .source import RangeSamples, Read
from .stages import Stages

AHEAD = 8  # samples that may wait for the disk

# A batch, a row of it, the sample's position, and whether to store its spikes; or what left Lava's graph of a sample.
Job = tuple[RasterBatch, int, int, bool] | tuple[FormedMaps, int]


@dataclass
class Work:
    """What a process computes ranges with.

    Parameters
    ----------
    plan : of the run
    out : folder of the run
    network : in the plan's precision
    backend : that simulates it
    read : positions of one range -> its samples, prepared
    batch_size : samples that are encoded together
    workers : threads that record, explain and measure; 1 does so between simulations
    alone : whether nobody else writes in the folder; then damaged shards of any range are dropped
    ahead : whether `raster.h5` is filled while ranges are computed, for :func:`pipeline.ranges.merge.merge` to finish.
        Then :meth:`close` this, also when the run fails
    stages : how long each stage took
    notes : lines for the user

    Attributes
    ----------
    recorder : of the spikes; None if none are recorded, or were all recorded before
    """

    plan: Plan
    out: Path
    network: Network
    backend: Backend
    read: Read
    batch_size: int
    workers: int = field(default_factory=cores)
    alone: bool = True
    ahead: bool = False
    stages: Stages = field(default_factory=Stages)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._about: dict[int, RangeSamples] = {}
        self._reading = threading.Lock()
        self.recorder: RasterWriter | None = None

    def close(self) -> None:
        """Remove what there is of an unfinished `raster.h5`; ranges stay."""
        if self.recorder is not None:
            self.recorder.close()

    def compute(self, numbers: Sequence[int], advance: Callable[[int], None] = lambda samples: None) -> Iterator[int]:
        """Compute ranges, and yield the number of each that is finished, those included that were so before.

        Parameters
        ----------
        numbers : ascending, at least one
        advance : called with the number of samples just finished

        Raises
        ------
        InputError : if the disk is full, or a simulation fails; what was finished is kept
        """
        files = {number: RangeFiles(self.out, self.plan, number) for number in numbers}
        todo = [number for number in numbers if not files[number].finished()]
        recorder = self._recorder(todo)
        unrecorded = set() if recorder is None else set(recorder.remaining.tolist())
        for number in sorted(set(numbers) - set(todo)):
            advance(len(files[number].positions))
            yield number
        missing = [p for n in todo for p in files[n].positions if recorder is None or p in unrecorded]
        recorded = [p for n in todo for p in files[n].positions if not (recorder is None or p in unrecorded)]
        waiting: dict[int, dict[int, ProcessedSample]] = {number: {} for number in todo}

        def store(sample: ProcessedSample) -> int | None:
            """Keep one sample; the number of its range, if that is finished now."""
            position = sample.record.position
            if recorder is not None and position in unrecorded:
                with self.stages.time("record"):
                    recorder.take(sample.record)
            number = position // RANGE
            waiting[number][position] = sample
            if len(waiting[number]) < len(files[number].positions):
                return None
            self._finish(files[number], waiting.pop(number), recorder)
            return number

        try:
            with (
                closing(in_order(self._process, self._jobs(missing, recorded), self.workers)) as processed,
                closing(self._stored(store, processed)) as stored,
            ):
                for finished in stored:
                    advance(1)
                    if finished is not None:
                        yield finished
        except BaseException:  # Ctrl-C, or a simulation that fails: what is finished is kept
            if recorder is not None:
                recorder.flush()
            raise

    def _stored(
        self, store: Callable[[ProcessedSample], int | None], samples: Iterator[ProcessedSample]
    ) -> Generator[int | None, None, None]:
        """What `store` gives for each sample; in a thread of its own where there are several, since disks are slow."""
        if self.workers == 1:
            yield from map(store, samples)
        else:
            yield from behind(store, samples, AHEAD)

    def _recorder(self, numbers: Sequence[int]) -> RasterWriter | None:
        if self.plan.drops_spikes or not numbers:
            return None
        first, last = self.plan.ranges[numbers[0]].start, self.plan.ranges[numbers[-1]].stop
        only = None if self.alone else range(first, last)
        if only is not None and self.recorder is not None:  # spares it to read the manifest for every range
            self.recorder.turn_to(only)
            return self.recorder
        about = self.out, self.plan.header, self.plan.samples
        self.recorder = recorder = RasterWriter(*about, resume=True, ahead=self.ahead, only=only)
        if recorder.dropped:
            self.notes.append(f"{recorder.dropped} damaged shards dropped; their samples are computed again")
        return recorder

    def _jobs(self, missing: Sequence[int], recorded: Sequence[int]) -> Iterator[Job]:
        """The samples that are recorded already, then those that are still to be simulated."""
        if recorded:
            yield from self._read_back(recorded)
        if not missing:
            return
        positions = iter(missing)
        inputs = self.stages.timed("encode", self._inputs(missing))
        if self.plan.keep == "graph":
            maps = run_maps(self.plan, self.network, self.backend, inputs, missing)
            yield from zip(self.stages.timed("simulate", maps), positions, strict=True)
            return
        batches = self.stages.timed("simulate", self.backend.run(self.network, inputs, len(missing)))
        for batch in batches:
            batch = self._chosen(batch)
            check_batch(self.plan.header, batch)
            for row in range(len(batch)):
                yield batch, row, next(positions), True

    def _chosen(self, batch: RasterBatch) -> RasterBatch:
        """The layers that the plan records."""
        layers = self.plan.header.layers
        if len(batch.spikes) == len(layers):
            return batch
        return replace(batch, spikes={layer.name: batch.spikes[layer.name] for layer in layers})

    def _inputs(self, positions: Sequence[int]) -> Iterator[InputBatch]:
        """What the network gets, range by range, so that no more than one range's samples are prepared at a time."""
        by_range: dict[int, list[int]] = {}
        for position in positions:
            by_range.setdefault(position // RANGE, []).append(position)
        for number, chosen in by_range.items():
            rows = [position % RANGE for position in chosen]
            yield from self._samples(number).encoded(rows, self.network, self.plan.header.seed, self.batch_size)

    def _samples(self, number: int) -> RangeSamples:
        """The samples of a range, read once until it is finished."""
        with self._reading:
            if number not in self._about:
                with self.stages.time("load"):
                    self._about[number] = self._read(self.plan.ranges[number])
            return self._about[number]

    def _read(self, positions: range) -> RangeSamples:
        found, expected = self.read(positions), self.plan.samples[positions.start : positions.stop]
        for name in ("index", "label"):
            if not np.array_equal(getattr(found.table, name), getattr(expected, name)):
                raise InputError(f"{found.name}: a sample has another {name} than when the run began; was it changed?")
        return found

    def _read_back(self, positions: Sequence[int]) -> Iterator[Job]:
        """Samples whose spikes an earlier sitting recorded, but whose maps it did not finish."""
        path = self.out / "raster.h5"
        shards = [path] if path.exists() else sorted((self.out / "raster.parts").glob("[0-9]*.h5"))
        wanted = set(positions)
        for shard in shards:
            first = int(shard.stem) if shard != path else 0
            with RasterReader(shard) as raster:
                for row in range(raster.n_samples):
                    if first + row not in wanted:
                        continue
                    spikes = {layer.name: raster.packed(layer, row)[None] for layer in raster.layers}
                    yield RasterBatch(spikes, raster.readout[row : row + 1]), 0, first + row, False

    def _process(self, job: Job) -> ProcessedSample:
        if len(job) == 2:
            maps, position = job
            return process_maps(self.plan, maps, position, self._samples(position // RANGE), self.stages)
        batch, row, position, with_spikes = job
        stored = with_spikes and not self.plan.drops_spikes
        about = self._samples(position // RANGE)
        return process(self.plan, batch, row, position, about, stored, self.stages)

    def _finish(self, files: RangeFiles, samples: dict[int, ProcessedSample], recorder: RasterWriter | None) -> None:
        shards = {}
        if recorder is not None:
            recorder.flush()
            shards = recorder.shards(files.positions)
        ordered = [samples[position] for position in files.positions]
        try:
            with self.stages.time("write"):
                files.write(ordered, shards, self.backend.name, self.backend.device, self.stages.take())
        except OSError as error:
            kept = "" if self.plan.drops_spikes else "; the spikes are kept"
            raise InputError(
                f"{files.record.parent}: cannot write there ({reason(error)}){kept}; free space, then use --resume"
            ) from error
        del self._about[files.positions.start // RANGE]
