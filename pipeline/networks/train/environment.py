"""The process that trains: its number among several, and what libraries print into it."""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from spikesam.recordings.child import die_with_parent

LEADER = "SPIKESAM_TRAINING_PID"  # variable: the first process of a training


def process_rank() -> int:
    """Number of this process among those of one training; Lightning starts all but the first and tells them theirs."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def end_together() -> None:
    """Let the further processes of one training end with the first, which would otherwise wait half an hour for it.

    Call this in each of them, before they meet.
    """
    if process_rank() == 0:
        os.environ[LEADER] = str(os.getpid())
    elif LEADER in os.environ:  # or else another program started them all, and ends them
        die_with_parent(int(os.environ[LEADER]))


@contextmanager
def without_empty_caches() -> Iterator[None]:
    """Remove the folder that torch makes for what it compiles where nothing was compiled: no optimiser here is."""
    try:
        yield
    finally:
        for path in Path(tempfile.gettempdir()).glob("torchinductor_*"):
            with suppress(OSError):  # one that holds something, or is another user's
                path.rmdir()


def quiet_lightning() -> None:
    """Silence Lightning's tips and hints, which are not about this project; real trouble raises."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for module in ("lightning", "torch"):
        warnings.filterwarnings("ignore", module=module)
