"""A job computed in a folder: by this process alone, beside others, or on a cluster; and its files
made.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from spikesam.common.errors import InputError
from spikesam.common.progress import Tracker
from spikesam.pipeline.engine._compute import compile_for_job, compute
from spikesam.pipeline.engine.folder import FolderStore, compute_range
from spikesam.pipeline.engine.job import Job, JobSpec, read_spec
from spikesam.pipeline.engine.merge import Totals, WholeRaster, merge
from spikesam.pipeline.engine.range_file import PARTS, RangeFile, range_files, range_path
from spikesam.recordings.errors import RasterError
from spikesam.recordings.raster.writer import SPEC

if TYPE_CHECKING:
    from distributed import Client


def compute_all(folder: Path, job: Job, tracker: Tracker, client: Client | None = None) -> Totals:
    """Compute what is missing of a run that :func:`.folder.begin` gave, here or on a cluster, and
    make its files.

    A failed simulation, a full disk and damaged files are refused; what was finished is kept. Hold
    :func:`spikesam.common.lock.out_lock` on the folder meanwhile.
    """
    count, whole_raster, checked = (
        len(job.spec.samples),
        WholeRaster(folder, job.spec),
        dict[int, str](),
    )
    try:
        if client is not None:
            from spikesam.pipeline.engine.cluster import distribute  # asyncio is slow to import

            with (
                tracker.time("simulate"),
                tracker.show("computing on the cluster", count) as advance,
            ):
                distribute(client, folder, job, advance)
        else:
            store = FolderStore(folder, job, whole_raster=whole_raster)
            tracker.notes += store.notes
            if store.missing:
                prepare_kernels(job, tracker)
            with tracker.show(f"simulating on {job.backend.name}", count) as advance:
                advance(count - len(store.missing))
                compute(job, store, advance)
            checked = store.checked
        return merge_all(folder, job.spec, tracker, whole_raster, checked)
    finally:
        whole_raster.close()


def prepare_kernels(job: Job, tracker: Tracker) -> None:
    """Compile what is not compiled yet."""
    with tracker.time("prepare"), tracker.show("preparing"):
        compile_for_job(job)


def compute_ranges(folder: Path, job: Job, numbers: range, tracker: Tracker, part: str) -> None:
    """Compute the ranges of these numbers, a part of all, beside others; those that others have
    claimed come last.

    A claim is an empty file, and nothing depends on it but time: a range that two processes compute
    is written once. The claim on a finished range, perhaps of a process that was killed, is
    removed.
    """
    prepare_kernels(job, tracker)
    ranges, claimed = job.spec.ranges, dict[int, Path]()
    with tracker.show(
        f"{part} on {job.backend.name}", sum(len(ranges[number]) for number in numbers)
    ) as advance:
        for number in numbers:
            path = range_path(folder, ranges[number].start)
            claim = path.with_name(f".{path.name}.claim")
            try:
                claim.touch(exist_ok=False)
            except OSError:  # computing says what is wrong if it is not there yet
                claimed[number] = claim
            else:
                compute_range(folder, job, number, advance)
                claim.unlink(missing_ok=True)
        for number, claim in claimed.items():
            compute_range(folder, job, number, advance)
            with suppress(OSError):  # its process removed it, or it is another user's
                claim.unlink()


def merge_all(
    folder: Path,
    spec: JobSpec,
    tracker: Tracker,
    whole_raster: WholeRaster | None = None,
    checked: Mapping[int, str] = MappingProxyType({}),
) -> Totals:
    """Make the files of a run of which all ranges are computed; see `merge`."""
    with (
        tracker.time("merge"),
        tracker.show("checking and merging", 2 * len(spec.ranges)) as advance,
    ):
        totals = merge(folder, spec, advance, whole_raster, checked)
    totals.seconds |= tracker.seconds
    return totals


def samples_kept(folder: Path) -> int:
    """The number of samples in the ranges of a run."""
    n_kept = 0
    with suppress(InputError):  # of a run that has not begun
        spec = read_spec(folder / PARTS / SPEC)
        for path in range_files(folder, range(0), everything=True):
            with suppress(RasterError):
                n_kept += RangeFile(path, spec).record.count
    return n_kept
