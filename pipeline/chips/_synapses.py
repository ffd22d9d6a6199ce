"""Synapses of a chip: those of one source of an input, all written out, or counted only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import Input, Shape, Source, pair
from spikesam.backends.network.synapses.linear import Weighted

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Synapses:
    """Synapses between two groups, `source` and `target`; each of `origins`, `targets` and
    `weights` has an entry a synapse. `kind` is "conv", "dense" or "sparse".
    """

    source: str
    target: str
    kind: str
    origins: NDArray[np.int64]
    targets: NDArray[np.int64]
    weights: Floats

    def count(self, size: int) -> NDArray[np.int64]:
        """The number of synapses that reach each neuron of a target of so many."""
        return np.bincount(self.targets, minlength=size)

    def reach(self, size: int) -> Floats:
        """Σ|weights| of each neuron of a target of so many."""
        return np.bincount(self.targets, np.abs(self.weights), size)

    def made(self) -> Synapses:
        """Itself."""
        return self


@dataclass(frozen=True, eq=False)
class SourceSynapses:
    """The synapses of one source of an input, written out only when asked for: they can be many.

    Parameters
    ----------
    source, target : names of groups
    fired : the source in the network, of which `source` may be a relay
    layer_input : that reads it
    shape : (C, H, W) of the source
    """

    source: str
    target: str
    fired: Source
    layer_input: Input
    shape: Shape

    def count(self, size: int) -> NDArray[np.int64]:
        """See :meth:`Synapses.count`."""
        counts = self._currents(lambda weight: (weight != 0).astype(weight.dtype))
        present = self.layer_input.gain[0] != 0
        return np.rint(counts * present[:, None, None]).astype(np.int64).ravel()

    def reach(self, size: int) -> Floats:
        """See :meth:`Synapses.reach`."""
        averaged = self._currents(np.abs) / self.layer_input.synapse.averaged
        return (averaged * np.abs(self.layer_input.gain[0])[:, None, None]).ravel()

    def _currents(self, weights: Callable[[NDArray[Any]], Any]) -> Floats:
        """The currents (C, H, W) where all sources spike, of weights that a function makes."""
        synapse = self.layer_input.synapse
        spikes = synapse.arranged(np.ones(self.shape, np.int8))
        return synapse.weighed(weights).currents(self.layer_input, spikes)

    def made(self) -> Synapses:
        """All of them."""
        triples = list(_triples(self.layer_input, self.shape))
        origins, targets, weights, channels = (
            np.concatenate([triple[part] for triple in triples]) for part in range(4)
        )
        weights = self.fired.sign * self.layer_input.gain[0][channels] * weights
        synapse = self.layer_input.synapse
        kind = synapse.kind if isinstance(synapse, Weighted) else "sparse"
        present = weights != 0
        ends_and_weights = (values[present] for values in (origins, targets, weights))
        return Synapses(self.source, self.target, kind, *ends_and_weights)


def _triples(layer_input: Input, shape: Shape) -> Iterator[tuple[NDArray[Any], ...]]:
    """Origins, targets, weights and channels of targets of all synapses."""
    synapse, size = layer_input.synapse, int(np.prod(shape))
    # x of the numbers of the neurons, from 1; 0 where zeros are read.
    numbers = synapse.arranged(np.arange(1, size + 1).reshape(shape))
    if not isinstance(synapse, Weighted):
        origins = numbers.ravel() - 1
        targets = np.flatnonzero(origins >= 0)
        channels = targets // (numbers.shape[1] * numbers.shape[2])
        yield origins[targets], targets, np.ones(len(targets)), channels
        return
    (y, x), (down, right), (top, left) = (
        pair(getattr(synapse, name)) for name in ("pool", "stride", "padding")
    )
    channels_in, pooled_rows, pooled_columns = synapse.pooled_shape(numbers.shape)
    kernel = synapse.kernel(synapse.averaged_weight, (channels_in, pooled_rows, pooled_columns))
    channels_out, _, kernel_rows, kernel_columns = kernel.shape
    rows = (pooled_rows + 2 * top - kernel_rows) // down + 1
    columns = (pooled_columns + 2 * left - kernel_columns) // right + 1
    all_targets = np.arange(channels_out * rows * columns).reshape(channels_out, 1, rows, columns)
    channels_of_targets = np.arange(channels_out).reshape(-1, 1, 1, 1)
    for row in range(kernel_rows):
        read_rows = np.arange(rows) * down + row - top
        inside_rows = np.flatnonzero((read_rows >= 0) & (read_rows < pooled_rows))
        for column in range(kernel_columns):
            read_columns = np.arange(columns) * right + column - left
            inside_columns = np.flatnonzero((read_columns >= 0) & (read_columns < pooled_columns))
            weights = kernel[:, :, row, column][:, :, None, None]
            of_targets = all_targets[:, :, inside_rows][:, :, :, inside_columns]
            for place in range(y * x):
                at_rows = read_rows[inside_rows] * y + place // x
                at_columns = read_columns[inside_columns] * x + place % x
                origins = numbers[:, at_rows][:, :, at_columns] - 1
                present = (origins >= 0) & (weights != 0)
                sides = np.broadcast_shapes(present.shape, of_targets.shape)
                present = np.broadcast_to(present, sides)
                yield tuple(
                    np.broadcast_to(values, sides)[present]
                    for values in (origins, of_targets, weights, channels_of_targets)
                )
