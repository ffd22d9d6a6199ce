"""All ranges of a run, together: raster.h5, sam.h5, and what is known of every sample."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.common.disk import check_free, reason
from spikesam.common.errors import OTHER_OUT, InputError
from spikesam.common.parallel import cores, in_order
from spikesam.pipeline.engine.job import FREE_SPACE, RANGE, JobSpec
from spikesam.pipeline.engine.range_file import (
    MADE,
    PARTS,
    RangeFile,
    Sections,
    check_range,
    range_files,
)
from spikesam.pipeline.maps.localisation import GatheredScores
from spikesam.recordings.digests import raster_digest
from spikesam.recordings.errors import RasterError
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.maps.writer import writing_maps
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.raster.schema import PRECISIONS
from spikesam.recordings.raster.writer import SPEC
from spikesam.recordings.writer import SampleRecord, SampleWriter, writing_samples

SHOWN = 5  # ranges that a message names


class Totals:
    """All that is known of a run without its spikes: a hundredth of what the records say."""

    def __init__(self, spec: JobSpec) -> None:
        self.spec, count = spec, len(spec.samples)
        self.names: list[str] = []  # of the samples
        self.predictions = np.empty(count, np.int32)
        self.readout: NDArray[Any] = np.empty(
            (count, spec.header.classes), PRECISIONS[spec.header.precision]
        )
        self.spikes: Counter[str] = Counter(
            {layer.name: 0 for layer in spec.recorded}
        )  # of all samples, by layer
        self.scores = GatheredScores()  # of maps that find the object
        self.seconds: dict[str, float] = defaultdict(
            float
        )  # by stage, of all ranges and threads together
        self._origins: tuple[dict[str, None], dict[str, None]] = {}, {}
        self._digests = {name: np.empty(count, "S64") for name in self.spikes}
        self._covered = np.zeros(count, np.bool_)

    def add(self, file: RangeFile) -> Sections:
        """Take the next file, unless another one has some of its samples; gives its spikes and
        maps.
        """
        record = file.record
        rows = slice(record.first, record.first + record.count)
        if self._covered[rows].any():
            raise RasterError(
                f"{file.sections.path}: belongs to no range of this run; remove it, then merge "
                "again"
            )
        self._covered[rows] = True
        for names, name in zip(self._origins, (record.backend, record.device), strict=True):
            names[name] = None
        self.names += record.names
        self.predictions[rows], self.readout[rows] = record.predictions, record.readout
        for layer in self._digests:
            self._digests[layer][rows] = record.digests[layer]
            self.spikes[layer] += sum(record.spikes[layer])
        self.scores.add(record.scores)
        for stage, taken in record.seconds.items():
            self.seconds[stage] += taken
        return file.sections

    def refuse_gaps(self, folder: Path) -> None:
        """Refuse a run of which some samples are missing, saying of which ranges."""
        missing = sorted({int(position) // RANGE for position in np.flatnonzero(~self._covered)})
        if missing:
            named = ", ".join(str(number) for number in missing[:SHOWN]) + (
                ", …" if len(missing) > SHOWN else ""
            )
            raise InputError(
                f"{folder}: {len(missing)} of {len(self.spec.ranges)} ranges are not finished "
                f"({named}); run the processes that compute them again, then merge"
            )

    @property
    def origin(self) -> tuple[str, str]:
        """Backend and device; several are joined by "+"."""
        backend, device = map("+".join, self._origins)
        return backend, device

    @cached_property
    def raster_digest(self) -> str | None:
        """The digest of all spikes; None where the backend formed the maps."""
        return raster_digest(self._digests.values()) if self._digests else None


def merge(
    folder: Path,
    spec: JobSpec,
    advance: Callable[[int], None] = lambda ranges: None,
    whole_raster: WholeRaster | None = None,
    checked: Mapping[int, str] = MappingProxyType({}),
) -> Totals:
    """Make the files of a run of its ranges, each verified; refuses missing, damaged, forged and
    foreign ones.

    Hold :func:`spikesam.common.lock.out_lock` on the folder meanwhile. :func:`.remove_parts`
    removes the ranges. `advance` gets the number of files of ranges just checked, then merged.
    `whole_raster` may have most of the spikes already. `checked` has the digests, by first
    position, of files that this process has written or checked.
    """
    totals, recorded = Totals(spec), (folder / MADE["raster"]).exists()

    def check(path: Path) -> RangeFile:
        file = RangeFile(path, spec)
        if checked.get(file.record.first) != file.digest:
            check_range(file, spec, recorded=recorded)
        return file

    files = list[Sections]()
    with closing(
        in_order(check, range_files(folder, range(0), everything=True), cores())
    ) as ranges:
        for range_number in ranges:
            files.append(totals.add(range_number))
            advance(1)
    totals.refuse_gaps(folder)
    _refuse_strangers(folder, files)
    sam = folder / MADE["maps"]
    with ExitStack() as stack:  # the maps appear when the raster is there
        if "maps" in spec.keep.sections:
            header = spec.maps(range(len(spec.samples)), totals.raster_digest or "")
            maps = stack.enter_context(writing_maps(sam, header, spec.samples, overwrite=True))
            for file in files:
                maps.copy(file.first, file.read("maps"))
                advance(1)
        if "raster" in spec.keep.sections:
            _merge_raster(folder, files, totals, whole_raster or WholeRaster(folder, spec), advance)
    if "maps" in spec.keep.sections:
        MapReader(
            sam, trusted=True
        ).close()  # what is wrong with it is found while the ranges are there
    return totals


class WholeRaster:
    """`raster.h5` while it is filled: from memory as samples are computed, or from range files;
    whole when finished.

    `added` are positions of the first samples of what it has. An OSError or RuntimeError says if it
    is not written.
    """

    def __init__(self, folder: Path, spec: JobSpec) -> None:
        self.path = folder / MADE["raster"]
        self.added: set[int] = set()
        self._spec, self._resources = spec, ExitStack()
        self._raster: SampleWriter | None = None

    def add(self, records: Sequence[SampleRecord]) -> None:
        """Take consecutive samples from memory, and put them on disk while others are computed."""
        raster = self._opened()
        raster.add(records[0].position, records)
        raster.sync()
        self.added.add(records[0].position)

    def copy(self, first: int, section: bytes) -> None:
        """Take the samples from `first` on from a raster file of them, chunk by chunk as they are
        stored.
        """
        self._opened().copy(first, section)
        self.added.add(first)

    def finish(self) -> None:
        """Say that everything is there, once all samples were taken."""
        self._opened()
        self._resources.close()

    def close(self) -> None:
        """Remove what there is of it, unless it is finished."""
        self.added.clear()
        self._raster = None
        with suppress(_UnfinishedError), self._resources:
            raise _UnfinishedError

    def _opened(self) -> SampleWriter:
        if self._raster is None:
            spec = self._spec
            new = writing_samples(self.path, spec.header, spec.samples, run_uuid=spec.run_uuid)
            self._raster = self._resources.enter_context(new)
        return self._raster


class _UnfinishedError(Exception):
    """Makes :func:`spikesam.recordings.writer.writing_samples` leave nothing."""


def _merge_raster(
    folder: Path,
    files: list[Sections],
    totals: Totals,
    whole_raster: WholeRaster,
    advance: Callable[[int], None],
) -> None:
    path, merged_before = (
        whole_raster.path,
        whole_raster.path.exists(),
    )  # by an earlier run of the command
    if not merged_before:
        kept_note = f"all samples are kept in {folder / PARTS}"
        missing_files = [file for file in files if file.first not in whole_raster.added]
        try:
            check_free(
                folder,
                sum(file.seals["raster"].size for file in missing_files),
                FREE_SPACE,
                kept_note,
            )
            for file in missing_files:
                whole_raster.copy(file.first, file.read("raster"))
                if "maps" not in totals.spec.keep.sections:  # else maps were counted
                    advance(1)
            whole_raster.finish()
        except (OSError, RuntimeError) as error:
            raise InputError(
                f"{folder}: cannot write there ({reason(error)}); {kept_note}", FREE_SPACE
            ) from error
        finally:
            if not path.exists():
                whole_raster.close()
    with RasterReader(path, trusted=not merged_before) as raster:
        if raster.raster_digest != totals.raster_digest:
            raise InputError(f"{path}: its spikes are not those that were explained", OTHER_OUT)


def _refuse_strangers(folder: Path, files: list[Sections]) -> None:
    """Refuse what nobody who takes part in the run has left among its files."""
    known_names = {SPEC, *(file.path.name for file in files)}
    strangers = {path for path in (folder / PARTS).glob("[!.]*") if path.name not in known_names}
    if strangers:
        raise InputError(
            f"{min(strangers)}: belongs to no range of this run; remove it, then merge again"
        )
