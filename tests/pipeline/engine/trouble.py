"""Trouble in a worker, in a module of its own: a worker that imports all of a test is silent for seconds meanwhile."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from spikesam.pipeline.engine.source import Parts, RangeSamples


@dataclass(frozen=True)
class Trouble:
    """Reads samples as :class:`Parts` does, but something happens first.

    Parameters
    ----------
    parts : what reads them
    at : first position of the range at which it happens
    folder : holds a file for each time that it happened
    times : how often
    sends : a signal to the process; 0 to fail as a disk does
    """

    parts: Parts
    at: int
    folder: Path
    times: int
    sends: int

    def __call__(self, positions: range) -> RangeSamples:
        happened = len(list(self.folder.iterdir()))
        if positions.start == self.at and happened < self.times:
            (self.folder / str(happened)).touch()
            if self.sends:
                os.kill(os.getpid(), self.sends)
                time.sleep(1)
            raise OSError(28, os.strerror(28), str(self.folder))
        return self.parts(positions)


@dataclass(frozen=True)
class TroubleAt:
    """Reads samples as :class:`Parts` does, but not in one worker, where nothing ever succeeds.

    Parameters
    ----------
    parts : what reads them
    worker : its address
    """

    parts: Parts
    worker: str

    def __call__(self, positions: range) -> RangeSamples:
        from distributed import get_worker

        if get_worker().address == self.worker:
            raise MemoryError
        return self.parts(positions)
