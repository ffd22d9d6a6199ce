"""Faults injected into a command from outside: death at the k-th call that changes a disk, a clock
that runs ahead.
"""

import builtins
import io
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

CALLS = (
    "fsync",
    "replace",
    "rename",
    "link",
    "symlink",
    "unlink",
    "remove",
    "rmdir",
    "mkdir",
    "ftruncate",
    "truncate",
)


class Boundaries:
    """Counts the calls that change what lies on a disk, and dies at one of them.

    Those are the functions of `os` that do so, the opening of files for writing, and every write of
    HDF5 to its file.
    """

    def __init__(
        self,
        at: int = 0,  # die at this call, counted from 1; never at 0
        after: bool = False,  # the call, not before it
        when: Callable[[], bool] = lambda: False,  # die at the first call at which this is true
        # seconds, at most, that each call is held up, so that commands meet which seldom would
        pause: float = 0.0,
        report: Path | None = None,  # a file for the count, when the command has ended
    ) -> None:
        self.at, self.after, self.when, self.pause, self.report = at, after, when, pause, report
        self.count = 0
        self._random = Random()
        self._lock = threading.RLock()
        self._owner = 0

    def install(self) -> None:
        """Replace these functions in this process."""
        self._owner = os.getpid()
        for name in CALLS:
            setattr(os, name, self._counted(getattr(os, name)))
        opened = self._counted(builtins.open, _writes)
        builtins.open = io.open = opened
        os.open = self._counted(os.open, _makes)
        try:
            from spikesam.recordings.new_hdf5 import Target
        except ImportError:
            return
        if "write" in vars(Target):
            Target.write = self._counted(Target.write)

    def save(self) -> None:
        """Say how many calls there were."""
        if self.report is not None:
            self.report.write_text(str(self.count))

    def _counted(
        self, function: Callable[..., Any], counts: Callable[..., bool] = lambda *args, **more: True
    ) -> Any:
        def call(*args: Any, **more: Any) -> Any:
            if os.getpid() != self._owner or not counts(*args, **more):
                return function(*args, **more)
            if self.pause:
                time.sleep(self._random.random() * self.pause)
            with self._lock:
                self.count += 1
                dies = self.count == self.at or self.when()
            if dies and not self.after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = function(*args, **more)
            if dies:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call


def log_samples(log: Path, slow: float = 0.0) -> None:
    """Let the folder of a run note how many samples it has been given; the clock jumps `slow`
    seconds for each.
    """
    from spikesam.pipeline.engine.folder import FolderStore

    add, handle, clock = (
        FolderStore.add,
        os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND),
        time.monotonic,
    )
    ahead = [0.0]
    if slow:
        time.monotonic = lambda: clock() + ahead[0]

    def noted(self: FolderStore, sample: Any) -> None:
        ahead[0] += slow
        add(self, sample)
        os.write(handle, b".")

    FolderStore.add = noted


def log_workers(log: Path, slow: float, patience: float) -> None:
    """The same in the workers of dask, of which one is replaced after so many seconds without a
    sign of life.
    """
    import dask

    from spikesam.pipeline.engine import cluster

    os.environ["SAMPLES_LOG"], os.environ["SAMPLES_SLOW"] = str(log), str(slow)
    dask.config.set({"distributed.worker.preload": [__name__]})
    cluster.PATIENCE = patience


def dask_setup(_: Any) -> None:
    """Called by dask in every worker."""
    log_samples(Path(os.environ["SAMPLES_LOG"]), float(os.environ["SAMPLES_SLOW"]))


def _writes(path: Any, mode: str = "r", *args: Any, **more: Any) -> bool:
    return any(letter in mode for letter in "wxa+")


def _makes(path: Any, flags: int, *args: Any, **more: Any) -> bool:
    return bool(flags & (os.O_CREAT | os.O_TRUNC))
