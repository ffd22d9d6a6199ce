"""Some ranges of a run, computed in a folder while other processes compute theirs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from spikesam.pipeline.engine.compute import compute
from spikesam.pipeline.engine.folder import FolderStore
from spikesam.pipeline.engine.job import Job
from spikesam.pipeline.engine.range_file import range_path
from spikesam.recordings.errors import ExistsError
from spikesam.recordings.lock import BEAT, HeldError, lease

PATIENCE = 60.0  # seconds without a sign of life after which whoever has a range, or is a worker, is given up
PAUSE = 1.0  # seconds before a range that another process has is looked at again, if there is nothing else to do


def compute_ranges(
    folder: Path,
    job: Job,
    numbers: range,
    advance: Callable[[int], None] = lambda samples: None,
    say: Callable[[str], object] = lambda text: None,
) -> None:
    """Compute some ranges of a run; those that other processes have come last, and are then found finished.

    Parameters
    ----------
    numbers : of the ranges
    advance : called with the number of samples just finished
    say : called with a line for the user
    """
    waiting, held, told = deque(numbers), 0, set[int]()
    while waiting:
        number = waiting.popleft()
        try:
            compute_one(folder, job, number, advance, say)
            held = 0
        except HeldError as error:
            waiting.append(number)
            if error.silent > 3 * BEAT and number not in told:
                told.add(number)
                say(silent(number, error))
            if (held := held + 1) >= len(waiting):
                time.sleep(PAUSE)


def silent(number: int, error: HeldError) -> str:
    """What is said of a range whose process gives no sign of life."""
    return (
        f"range {number} is held by another process ({error.holder}), silent for {error.silent:.0f} s; "
        f"after {PATIENCE:.0f} s it is computed again"
    )


def compute_one(
    folder: Path,
    job: Job,
    number: int,
    advance: Callable[[int], None] = lambda samples: None,
    say: Callable[[str], object] = lambda text: None,
    workers: int | None = None,
) -> None:
    """Compute one range of a run, or what is missing of it.

    Nothing depends on its lease but time: of two processes that compute it, each writes a file only where there is
    none, and sees then what is left to do.

    Parameters
    ----------
    workers : see :func:`spikesam.pipeline.engine.compute.compute`

    Raises
    ------
    HeldError : at once, if another process has it
    InputError : if it cannot be computed, or the folder is gone
    """
    positions, known = job.spec.ranges[number], 0

    def count(samples: int) -> None:
        nonlocal known
        known += samples
        advance(samples)

    with lease(range_path(folder, positions.start), PATIENCE) as given_up:
        if given_up:
            say(f"range {number}: {given_up} has given no sign of life for {PATIENCE:.0f} s; it is computed again")
        store = FolderStore(folder, job, positions)
        while True:
            count(len(positions) - len(store.missing) - known)
            try:
                compute(job, store, count, workers)
                return
            except ExistsError:  # of two processes, the other was faster
                before, store = store.missing, FolderStore(folder, job, positions)
                if store.missing == before:
                    raise
