"""Some ranges of a run, computed in a folder while other processes compute theirs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from recordings.lock import file_lock

from .compute import compute
from .folder import FolderStore
from .job import Job
from .range_file import range_path


def compute_ranges(
    folder: Path,
    job: Job,
    numbers: range,
    advance: Callable[[int], None] = lambda samples: None,
    workers: int | None = None,
) -> None:
    """Compute some ranges of a run; each is locked meanwhile, so whoever comes second waits, and finds it finished.

    Parameters
    ----------
    numbers : of the ranges
    advance : called with the number of samples just finished
    workers : see :func:`pipeline.engine.compute.compute`
    """
    for number in numbers:
        positions = job.spec.ranges[number]
        with file_lock(range_path(folder, positions.start), wait=True):
            store = FolderStore(folder, job, positions)
            advance(len(positions) - len(store.missing))
            compute(job, store, advance, workers)
