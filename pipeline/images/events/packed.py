"""Recordings of events as a network gets them, packed in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from spikesam.pipeline.images.events.binning import EventBinning, picture_of
from spikesam.pipeline.images.events.events import Events
from spikesam.recordings.raster.batch import PackedSpikes


@dataclass(frozen=True, eq=False)
class PackedEvents:
    """Recordings in bins, a bit per pixel, polarity and bin.

    Parameters
    ----------
    binning : how they were binned
    packed : (N, bins, bytes) uint8 — bits of (2, H, W) in C-order
    count, merged, left_out : (N,) int64 — events of each recording, those that fell on a bit set already, and those
        outside the crop or later than the last bin
    """

    binning: EventBinning
    packed: NDArray[np.uint8]
    count: NDArray[np.int64]
    merged: NDArray[np.int64]
    left_out: NDArray[np.int64]

    @classmethod
    def empty(cls, count: int, binning: EventBinning) -> PackedEvents:
        """Room for so many recordings."""
        size = -(-2 * binning.height * binning.width // 8)
        numbers = (np.zeros(count, np.int64) for _ in range(3))
        return cls(binning, np.zeros((count, binning.bins, size), np.uint8), *numbers)

    def add(self, place: int, events: Image.Image | Events) -> NDArray[np.uint8]:
        """Bin a recording, and keep it; returns its picture, (H, W, 3) uint8; see :meth:`EventBinning.binned`."""
        binned = self.binning.binned(events)
        self.packed[place] = np.packbits(binned.bits.reshape(self.binning.bins, -1), axis=1)
        self.count[place], self.merged[place], self.left_out[place] = binned.count, binned.merged, binned.left_out
        return picture_of(binned.bits)

    def part(self, chosen: slice) -> PackedEvents:
        """Some consecutive recordings."""
        numbers = (self.count[chosen], self.merged[chosen], self.left_out[chosen])
        return PackedEvents(self.binning, self.packed[chosen], *numbers)

    def frames(self, place: int) -> NDArray[np.uint8]:
        """Pictures of one recording, bin by bin: (bins, H, W, 3) uint8."""
        bits = self.spikes([place], self.binning.bins).unpacked()
        return np.stack([picture_of(step) for step in bits])

    def spikes(self, chosen: Sequence[int], timesteps: int) -> PackedSpikes:
        """The chosen recordings, followed by silence up to so many steps."""
        bits = np.zeros((len(chosen), timesteps, self.packed.shape[2]), np.uint8)
        bits[:, : self.binning.bins] = self.packed[list(chosen)]
        return PackedSpikes(bits, self.binning.input_shape)

    @property
    def note(self) -> str:
        """A line for the user: how many events became how many bits."""
        kept = self.count.sum() - self.merged.sum() - self.left_out.sum()
        return (
            f"{self.count.sum():,} events became {kept:,} spikes: {self.merged.sum():,} shared pixel, polarity and bin "
            f"with another, {self.left_out.sum():,} were outside the crop or later than the last bin"
        )
