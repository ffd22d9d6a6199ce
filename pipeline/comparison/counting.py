"""The bits that differ between two rasters: how many, by layer and step, and which come first."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from spikesam.pipeline.comparison.pair import Bit, Pair
from spikesam.recordings.digests import spike_counts
from spikesam.recordings.layers import find_layer


class Differences:
    """The bits that differ, counted by layer and step over all samples.

    Parameters
    ----------
    pair : of rasters, which are read once

    Attributes
    ----------
    only : (2, layers, steps) int64 — spikes that the first raster alone has, and that the second alone has
    spikes : (2, layers) int64 — all spikes of each raster in these steps
    """

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.only = np.zeros((2, len(pair.layers), pair.steps), np.int64)
        self.spikes = np.zeros((2, len(pair.layers)), np.int64)
        self._firsts: list[Bit] = []  # of each layer in each sample
        for sample in range(pair.first.n_samples):
            for number, layer in enumerate(pair.layers):
                self._count(sample, number, layer)

    def _count(self, sample: int, number: int, layer: str) -> None:
        bits = self.pair.packed(layer, sample)
        both = bits[0] & bits[1]
        for which, packed in enumerate(bits):
            counts = spike_counts(packed).astype(np.int64)
            self.spikes[which, number] += counts.sum()
            self.only[which, number] += counts - spike_counts(both)
        differ = bits[0] ^ bits[1]
        if (steps := np.flatnonzero(differ.any(axis=1))).size:
            step, shape = int(steps[0]), self.pair.first.layer(layer).shape
            neuron = int(np.unpackbits(differ[step]).argmax())
            channel, row, column = map(int, np.unravel_index(neuron, shape))
            fired = bool(np.unpackbits(bits[0][step])[neuron])
            self._firsts.append(Bit(layer, sample, step, (channel, row, column), fired))

    def firsts(self, layer: str | int | None = None, sample: int | None = None) -> Iterator[Bit]:
        """The bits that differ first in each layer and sample, the earliest first, and of one step the shallowest.

        Parameters
        ----------
        layer, sample : those of one alone

        Raises
        ------
        InputError : if there is none of that name or number
        """
        name = None
        if layer is not None:
            numbers = {each: self.pair.first.layer(each).number for each in self.pair.layers}
            name = find_layer(layer, numbers, "layer")
        order = {each: place for place, each in enumerate(self.pair.layers)}
        chosen = [bit for bit in self._firsts if bit.layer == (name or bit.layer) and sample in (None, bit.sample)]
        yield from sorted(chosen, key=lambda bit: (bit.step, order[bit.layer], bit.sample))

    def table(self) -> pd.DataFrame:
        """A row per layer and step: layer, step, only_first, only_second (spikes, over all samples)."""
        layers, steps = self.only.shape[1:]
        return pd.DataFrame(
            {
                "layer": np.repeat(self.pair.layers, steps),
                "step": np.tile(np.arange(steps), layers),
                "only_first": self.only[0].ravel(),
                "only_second": self.only[1].ravel(),
            }
        )
