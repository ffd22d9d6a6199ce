"""Spikes neuron by neuron, from a file that stores them sample by sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from spikesam.pipeline.interop.selection import Selection
from spikesam.recordings.raster.schema import LayerSpec

BLOCK_BYTES = 64 << 20  # of packed spikes in memory at a time
UNPACKED_BYTES = 16 << 20


class SpikeTimes:
    """The spikes of one layer of a raster in order of neuron, and of step within a neuron.

    The samples follow each other: step t of the p-th chosen sample is step p·T + t.
    """

    def __init__(self, selection: Selection, layer: LayerSpec) -> None:
        self.layer = layer
        self._raster, self._samples = selection.recording, selection.samples
        steps = len(self._samples) * self._raster.timesteps
        self._width = min(layer.step_bytes, max(1, BLOCK_BYTES // steps))  # bytes of a step in memory at a time
        self._starts = range(0, layer.step_bytes, self._width)

    @property
    def reads(self) -> int:
        """How many samples are read in all, some several times."""
        return len(self._samples) * (1 + len(self._starts))

    def counts(self, advance: Callable[[], object]) -> NDArray[np.int64]:
        """(C·H·W,) number of spikes of every neuron; calls `advance` after each sample."""
        counts = np.zeros(self.layer.neurons, np.int64)
        rows = max(1, UNPACKED_BYTES // self.layer.neurons)
        for sample in self._samples:
            packed = self._raster.packed(self.layer, sample)
            for start in range(0, len(packed), rows):
                bits = np.unpackbits(packed[start : start + rows], axis=-1, count=self.layer.neurons)
                counts += bits.sum(axis=0, dtype=np.int64)
            advance()
        return counts

    def steps(self, counts: NDArray[np.int64], advance: Callable[[], object]) -> Iterator[NDArray[np.int64]]:
        """The steps of all spikes of one neuron after the other, for each that fires; `advance` after each sample."""
        timesteps = self._raster.timesteps
        for start in self._starts:
            width = min(self._width, self.layer.step_bytes - start)
            block = np.empty((width, len(self._samples) * timesteps), np.uint8)  # by byte, then by step
            for row, sample in enumerate(self._samples):
                packed = self._raster.packed(self.layer, sample)[:, start : start + width]
                block[:, row * timesteps : (row + 1) * timesteps] = packed.T
                advance()
            firing = np.flatnonzero(counts[8 * start : 8 * (start + width)])
            for neuron in firing.tolist():
                yield np.flatnonzero(block[neuron // 8] & (0x80 >> neuron % 8))
