"""In a worker of a cluster: ranges come one at a time, and it can be told to stop after the sample at hand."""

from __future__ import annotations

import threading

from spikesam.recordings.errors import InputError

one_at_a_time = threading.Lock()  # the threads of a worker all work on the same range
_stopping = threading.Event()


def go_on(samples: int) -> None:
    """Called after each sample; raises if this worker was told to stop."""
    if _stopping.is_set():
        raise InputError("interrupted")


def stop_computing(seconds: float) -> None:
    """Stop after the sample at hand, and return when finished ones are on the disk, or it takes longer."""
    _stopping.set()
    one_at_a_time.acquire(timeout=seconds)
