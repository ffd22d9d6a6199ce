"""Trouble in a worker, in a module of its own: a worker that imports all of a test is silent for
seconds meanwhile.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from spikesam.pipeline.images.samples import Samples


@dataclass(frozen=True)
class Trouble:
    """Gives some of the samples, but something happens first."""

    read: Callable[[range], Samples]
    at: int  # first position of the range at which it happens
    folder: Path  # holds a file for each time that it happened
    times: int  # how often
    sends: int  # a signal to the process; 0 to fail as a disk does

    def __call__(self, positions: range) -> Samples:
        happened = len(list(self.folder.iterdir()))
        if positions.start == self.at and happened < self.times:
            (self.folder / str(happened)).touch()
            if self.sends:
                os.kill(os.getpid(), self.sends)
                time.sleep(1)
            raise OSError(28, os.strerror(28), str(self.folder))
        return self.read(positions)
