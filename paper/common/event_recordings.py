"""Recordings of saccade digits for an experiment: what a network sees, and where the digit is in every bin."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from backends.base import InputBatch
from backends.network import Network
from pipeline.images.datasets.saccade_digits import DURATION_US, NAME, SaccadeDigits
from pipeline.images.events.binning import EventBinning
from pipeline.images.samples import Samples, choose
from pipeline.networks.checkpoint import Checkpoint
from recordings.schema import SampleTable


@dataclass(frozen=True, eq=False)
class EventSet:
    """Recordings as a network gets them.

    Parameters
    ----------
    samples : N of them
    masks : (N, bins, H, W) bool — the digit in each bin
    """

    samples: Samples
    masks: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def name(self) -> str:
        """What files call it."""
        return self.samples.name

    @property
    def table(self) -> SampleTable:
        """For a raster file."""
        return self.samples.table

    @cached_property
    def sha256(self) -> str:
        """Identity of the bits."""
        events = self.samples.events
        assert events is not None
        return hashlib.sha256(events.packed.tobytes()).hexdigest()

    def encoded(self, chosen: Sequence[int], network: Network, seed: int, batch_size: int) -> Iterator[InputBatch]:
        """The chosen recordings in batches; `seed` changes nothing."""
        return self.samples.encoded(chosen, network, seed, batch_size)


def saccade_recordings(checkpoint: Checkpoint, count: int, seed: int) -> EventSet:
    """The first `count` validation recordings of a seeded class-balanced order."""
    binning = checkpoint.preparation
    assert isinstance(binning, EventBinning)
    assert binning.window_us is not None
    chosen = choose(NAME, checkpoint, count, seed)
    dataset = SaccadeDigits("val")
    masks = [masks_over_time(dataset, int(index), binning.window_us) for index in chosen.table.index]
    return EventSet(chosen.read(), np.stack(masks))


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
