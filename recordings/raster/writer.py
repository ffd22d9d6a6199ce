"""Writing a raster so that a kill loses nothing finished: shards first, merged into raster.h5 at the end."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np

from recordings.disk import check_free, reason
from recordings.errors import InputError, RasterError
from recordings.schema import SampleTable
from recordings.seal import Seal, seal
from recordings.temporary import remove_leftovers

from .merging import MergedRaster, merging
from .reader import RasterReader
from .recorder import Recorder
from .records import SampleRecord
from .schema import MAX_SHARD_SAMPLES, RasterHeader
from .shards import (
    MANIFEST,
    add_shards,
    differences,
    fills_shard,
    good_shards,
    read_manifest,
    shard_path,
    write_manifest,
    write_shard,
)

FLUSH_SECONDS = 10.0  # of work on finished samples: less than that is lost to a kill, beyond the batch at hand
STORED_PER_PACKED = 0.75  # deflate leaves this much of rasters in which a fifth of all bits are set; usually less


class RasterWriter(Recorder):
    """Records the rasters of a run under `directory`, in any number of sittings.

    Finished samples are safe on disk after 16 of them, or ten seconds of work, whichever comes first. So a kill loses
    the batch at hand, and at most 15 finished samples, which took less than ten seconds in all.

    Hold :func:`recordings.lock.out_lock` on the directory meanwhile.

    Parameters
    ----------
    directory : where `raster.h5` will be, and `raster.parts/` is until then; made if missing
    header, samples : what the raster holds
    resume : continue what an earlier run left; without it, existing work is refused, never overwritten
    ahead : fill `raster.h5` while samples are still recorded, from memory, instead of at the end from shards. The last
        samples go there at once, so call :meth:`finalize` when nothing remains, and :meth:`close` if that fails
    only : positions that this writer records, whole ranges (:data:`MAX_SHARD_SAMPLES`), while others record the rest in
        the same folder; all if not given. Needs `resume`

    Attributes
    ----------
    remaining : (n,) int64 ascending — positions in `samples` still to compute
    dropped : number of damaged shards found, whose samples are computed again

    Raises
    ------
    InputError : if there is earlier work and `resume` is false or does not fit it, if the disk is too small or full, or
        the directory cannot be written; what was finished stays
    """

    def __init__(
        self,
        directory: Path,
        header: RasterHeader,
        samples: SampleTable,
        *,
        resume: bool = False,
        ahead: bool = False,
        only: range | None = None,
    ) -> None:
        super().__init__(header, samples)
        self.directory = Path(directory)
        self.path = self.directory / "raster.h5"
        self.parts = self.directory / "raster.parts"
        self.dropped = 0
        self._run_uuid = str(uuid.uuid4())
        self._shards: dict[int, int] = {}
        self._seals: dict[int, Seal] = {}
        self._records: list[SampleRecord] = []
        self._flushed_at = time.monotonic()
        self._shared = only is not None
        self._ahead = ahead
        self._merging = ExitStack()
        self._merged: MergedRaster | None = None
        self._copied: set[int] = set()  # of the shards, those whose samples the merged raster has
        with self._writing():
            finished = self.path.exists()
            begun = (self.parts / MANIFEST).exists() or any(self.parts.glob("*.h5"))
            if (finished or begun) and not resume:
                existing = self.path if finished else self.parts
                raise InputError(f"{existing}: already exists; use --resume to continue that run, or another --out")
            if finished:
                self._adopt_finished()
                return
            if begun:
                self._adopt_manifest()
            self.directory.mkdir(parents=True, exist_ok=True)
            self.parts.mkdir(exist_ok=True)
            if not self._shared:
                remove_leftovers(self.parts)
        self.turn_to(range(len(samples)) if only is None else only)
        if not begun:
            with self._writing():
                write_manifest(self.parts, header, samples, self._run_uuid)

    def turn_to(self, only: range) -> None:
        """Record the samples of other positions from now on: those of them that no good shard holds."""
        self.flush()
        if self.path.exists():
            return
        with self._writing():
            self._shards, dropped = good_shards(self.parts, self.header, self.samples, only)
            self.dropped += dropped
            remaining = np.array(only)
            for first, count in self._shards.items():
                remaining = remaining[(remaining < first) | (remaining >= first + count)]
            self.remaining = remaining
            self._check_space()

    def take(self, record: SampleRecord) -> None:
        """Take the next sample of `remaining`, encoded already."""
        super().take(record)
        if not self._last() and time.monotonic() - self._flushed_at >= FLUSH_SECONDS:
            self.flush()

    def _keep(self, record: SampleRecord) -> None:
        if self._records and record.position != self._records[-1].position + 1:
            self.flush()  # a shard holds consecutive samples
        self._records.append(record)
        ends_range = (record.position + 1) % MAX_SHARD_SAMPLES == 0  # so that no shard lies in two ranges
        if not self._last() and (ends_range or fills_shard(self._records)):
            self.flush()

    def _last(self) -> bool:
        """Whether what is in memory goes to `raster.h5` at once."""
        return self._ahead and not len(self.remaining)

    def flush(self) -> None:
        """Put the samples held in memory safely on disk."""
        if self._records:
            with self._writing():
                self._write_shard()
        self._flushed_at = time.monotonic()

    def _write_shard(self) -> None:
        records, first, count = self._records, self._records[0].position, len(self._records)
        shard = self.parts, self.header, self.samples[first : first + count], self._run_uuid, records
        try:
            image = write_shard(*shard)
        except (OSError, RuntimeError):
            if self._merged is None:
                raise
            self.close()  # what it takes of a full disk may be all that is missing
            image = write_shard(*shard)
        self._shards[first], self._records = count, []
        if not self._ahead:
            self._seals[first] = seal(image)
            return
        try:
            self._opened().add_records(records)
            self._copied.add(first)
        except (OSError, RuntimeError):
            self.close()  # finalize() tries again

    def _opened(self) -> MergedRaster:
        """The raster that is made ahead."""
        if self._merged is None:
            new = merging(self.path, self.header, self.samples, self._run_uuid)
            self._merged = self._merging.enter_context(new)
        return self._merged

    def close(self) -> None:
        """Remove what there is of an unfinished `raster.h5`; shards stay."""
        self._ahead, self._merged = False, None
        self._copied.clear()
        with suppress(_UnfinishedError), self._merging:
            raise _UnfinishedError

    def shards(self, positions: range) -> dict[int, tuple[int, Seal]]:
        """What is on disk of these samples: position of a shard's first one -> how many it holds, and its seal."""
        found = {}
        for first, count in self._shards.items():
            if first in positions:
                if first not in self._seals:  # an earlier sitting wrote it
                    self._seals[first] = seal(shard_path(self.parts, first).read_bytes())
                found[first] = count, self._seals[first]
        return found

    def finalize(self, seals: Mapping[int, Seal] | None = None) -> Path:
        """Finish `raster.h5`, and remove the shards. Those that it lacks are verified first, and their chunks copied.

        Parameters
        ----------
        seals : of shards that an earlier sitting wrote, as :meth:`shards` gives them; spares them to be decoded

        Raises
        ------
        InputError : if the disk is full, or a shard was damaged since it was written; every shard stays
        ValueError : if samples are missing
        """
        self._check_nothing_remains()
        self._seals |= seals or {}
        if not self.path.exists():
            with self._writing(), self._naming_the_damage():
                try:
                    self._merge()
                except BaseException:
                    self.close()
                    self.flush()
                    raise
        shutil.rmtree(self.parts, ignore_errors=True)
        return self.path

    def _merge(self) -> None:
        if not self._ahead:
            self.flush()
        merged = self._opened()
        if self._records:
            merged.add_records(self._records)
        rest = {first: count for first, count in self._shards.items() if first not in self._copied}
        advice = f"all samples are kept in {self.parts}; free space, then --resume"
        add_shards(merged, self.parts, rest, self._seals, advice)
        self._merging.close()

    def _adopt_finished(self) -> None:
        with RasterReader(self.path) as finished:
            self._refuse_differences(self.path, finished.header, finished.samples)
            if self.parts.exists():  # killed before they were removed, as finalize() will now do
                finished.verify()
        self.remaining = self.remaining[:0]

    def _adopt_manifest(self) -> None:
        header, samples, self._run_uuid = read_manifest(self.parts)
        self._refuse_differences(self.parts, header, samples)

    def _refuse_differences(self, where: Path, header: RasterHeader, samples: SampleTable) -> None:
        if found := differences(header, samples, self.header, self.samples):
            raise InputError(f"{where}: cannot resume: {'; '.join(found)}; use the same settings, or another --out")

    def _check_space(self) -> None:
        """Shards of what remains, then the merged file beside all shards."""
        packed = self.header.timesteps * sum(layer.step_bytes for layer in self.header.layers)
        merged = 0 if self._shared else len(self.samples)
        needed = int(packed * STORED_PER_PACKED * (len(self.remaining) + merged))
        check_free(self.directory, needed, "fewer-samples")

    @contextmanager
    def _naming_the_damage(self) -> Iterator[None]:
        """Say of a damaged shard what to do about it."""
        try:
            yield
        except RasterError as error:
            raise RasterError(
                f"{error}; all other samples are kept in {self.parts}, and --resume computes the missing ones again"
            ) from error

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn a full or unwritable disk into one line that says what is kept."""
        try:
            yield
        except InputError:
            raise
        except (OSError, RuntimeError) as error:
            kept = sum(count for first, count in self._shards.items() if shard_path(self.parts, first).is_file())
            advice = (
                f"{kept} of {len(self.samples)} samples are kept in {self.parts}; free space, then use --resume"
                if kept
                else "nothing was recorded; choose another --out"
            )
            raise InputError(f"{self.directory}: cannot write there ({reason(error)}); {advice}") from error


class _UnfinishedError(Exception):
    """Makes :func:`merging` leave nothing."""
