"""Recordings of saccade digits for an experiment: what a network sees, and where the digit is in every bin."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from spikesam.pipeline.images.datasets.saccade_digits import DURATION_US, NAME, SaccadeDigits
from spikesam.pipeline.images.events.binning import EventBinning
from spikesam.pipeline.images.samples import Samples, choose
from spikesam.pipeline.networks.checkpoint import Checkpoint


@dataclass(frozen=True, eq=False, kw_only=True)
class EventSet(Samples):
    """Recordings as a network gets them.

    Parameters
    ----------
    digits : (N, bins, H, W) bool — the digit in each bin
    """

    digits: NDArray[np.bool_]

    @cached_property
    def sha256(self) -> str:
        """Identity of the bits."""
        assert self.events is not None
        return hashlib.sha256(self.events.packed.tobytes()).hexdigest()


def saccade_recordings(checkpoint: Checkpoint, count: int, seed: int) -> EventSet:
    """The first `count` validation recordings of a seeded class-balanced order."""
    binning = checkpoint.preparation
    assert isinstance(binning, EventBinning)
    assert binning.window_us is not None
    chosen = choose(NAME, checkpoint, count, seed)
    dataset = SaccadeDigits("val")
    digits = [masks_over_time(dataset, int(index), binning.window_us) for index in chosen.table.index]
    return EventSet(**vars(chosen.read()), digits=np.stack(digits))


def masks_over_time(dataset: SaccadeDigits, index: int, window_us: int) -> NDArray[np.bool_]:
    """Where the digit was in each bin: (bins, 32, 32) bool, every pixel that it covered between begin and end.

    Parameters
    ----------
    window_us : length of a bin, µs; a divisor of the recording's 300 ms
    """
    ink, times, _, _ = dataset.seen(index)
    covered = ink >= 0.5
    begins = range(0, DURATION_US, window_us)
    return np.stack([covered[(times >= begin) & (times <= begin + window_us)].any(axis=0) for begin in begins])
