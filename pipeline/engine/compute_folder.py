"""A job computed in a folder, by this process alone or on a cluster, and its files made."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from spikesam.pipeline.engine.compute import compile_kernels, compute
from spikesam.pipeline.engine.folder import FolderStore
from spikesam.pipeline.engine.job import Job, JobSpec, read_spec
from spikesam.pipeline.engine.merge import Totals, merge
from spikesam.pipeline.engine.range_file import PARTS, SPEC, RangeFile, range_files
from spikesam.pipeline.engine.whole_raster import WholeRaster
from spikesam.recordings.errors import InputError, RasterError
from spikesam.recordings.progress import Tracker

if TYPE_CHECKING:
    from distributed import Client


def compute_all(folder: Path, job: Job, tracker: Tracker) -> Totals:
    """Compute what is missing of a run, in this process alone, and make its files.

    Hold :func:`spikesam.recordings.lock.out_lock` on the folder meanwhile.

    Parameters
    ----------
    job : with the specification that :func:`spikesam.pipeline.engine.folder.begin` gave

    Raises
    ------
    InputError : if a simulation fails, the disk is full, or files are damaged; what was finished is kept
    """
    count, whole = len(job.spec.samples), WholeRaster(folder, job.spec)
    try:
        store = FolderStore(folder, job, whole=whole)
        tracker.notes += store.notes
        if store.missing:
            with tracker.time("prepare"), tracker.show("preparing (the first time, kernels are compiled)"):
                compile_kernels(job)
        with tracker.show(f"simulating on {job.backend.name}", count) as advance:
            advance(count - len(store.missing))
            compute(job, store, advance)
        return merge_all(folder, job.spec, tracker, whole, store.checked)
    finally:
        whole.close()


def compute_on_cluster(folder: Path, job: Job, client: Client, tracker: Tracker) -> Totals:
    """Compute what is missing of a run on a cluster, and make its files; see :func:`compute_all`."""
    from spikesam.pipeline.engine.cluster import Task, distribute  # asyncio is slow to import

    count = len(job.spec.samples)
    with tracker.time("simulate"), tracker.show("computing on the cluster", count) as advance:
        distribute(client, Task(folder.absolute(), job), advance, tracker.say)
    return merge_all(folder, job.spec, tracker)


def merge_all(
    folder: Path,
    spec: JobSpec,
    tracker: Tracker,
    whole: WholeRaster | None = None,
    checked: Mapping[int, str] = MappingProxyType({}),
) -> Totals:
    """Make the files of a run of which all ranges are computed; adds to the seconds of the tracker.

    Parameters are those of :func:`compute_all`, and of :func:`spikesam.pipeline.engine.merge.merge`.
    """
    with tracker.time("merge"), tracker.show("checking and merging", 2 * len(spec.ranges)) as advance:
        totals = merge(folder, spec, advance, whole, checked)
    return replace(totals, seconds=totals.seconds | tracker.seconds)


def samples_kept(folder: Path) -> int:
    """How many samples lie in the ranges of a run."""
    kept = 0
    with suppress(InputError):  # of a run that has not begun
        spec = read_spec(folder / PARTS / SPEC)
        for path in range_files(folder, range(0), everything=True):
            with suppress(RasterError):
                kept += RangeFile(path, spec).record.count
    return kept
