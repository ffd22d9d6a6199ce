"""Everything between neurons that fire and neurons that they drive, as the parts of one input of a layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import NO_POOLING, Shape, Source, Windows
from spikesam.pipeline.imports.kernels import Pair


@dataclass(frozen=True, eq=False)
class Chosen:
    """Channels of a map in another order than its own, or some of them; or neurons, where places are moved.

    Parameters
    ----------
    numbers : (M,) int64
    among : how many the map has
    channels : whether they are channels
    """

    numbers: NDArray[np.int64]
    among: int
    channels: bool

    def columns(self, weight: NDArray[Any]) -> NDArray[Any]:
        """(out, M, …) weights of what is chosen, as (out, among, …) of the map."""
        placed = np.zeros((self.among, len(weight), *weight.shape[2:]), weight.dtype)
        np.add.at(placed, self.numbers, weight.swapaxes(0, 1))  # one may be chosen twice
        return placed.swapaxes(0, 1)


@dataclass(frozen=True, eq=False)
class FoldedSynapses:
    """Parts of an input: i = gain · max(W ⊛ pool(Σ s)) + bias. Where several meet, the first has the bias of all.

    Parameters
    ----------
    shape : (C, H, W) behind the operations so far
    weight : (out, in, y, x) or (out, in) float32; None before there is one
    pool, pooling, stride, padding : as of :class:`spikesam.backends.network.Layer`; (y, x)
    windows : of the maximum
    gain, bias : of each channel, float64; where steps differ (T, C), or (T, 1) of all channels
    order : which of the spikes stand there, where it is not all of them in order; None behind weights
    sources : whose spikes are summed: names of modules, and how many steps ago they fired
    ones : whether it sees 1 at every place of their pooled map, in one channel, instead of their spikes
    """

    shape: Shape
    weight: NDArray[np.float32] | None = None
    pool: Pair = (1, 1)
    pooling: str = "average"
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    windows: Windows = NO_POOLING
    gain: NDArray[np.float64] = field(default_factory=lambda: np.array(1.0))
    bias: NDArray[np.float64] = field(default_factory=lambda: np.array(0.0))
    order: Chosen | None = None
    sources: tuple[Source, ...] = ()
    ones: bool = False

    def scaled(self, factor: Any) -> FoldedSynapses:
        """Everything times a number, or one for each channel."""
        return replace(self, gain=self.gain * factor, bias=self.bias * factor)

    @property
    def connected(self) -> FoldedSynapses:
        """With weights: where a model has none between two layers of neurons, each neuron drives one."""
        return self if self.weight is not None else self.placed(0, self.shape[0])

    def placed(self, before: int, channels: int) -> FoldedSynapses:
        """As some of the channels of a map, behind so many others."""
        own, height, width = self.shape
        among = slice(before, before + own)
        weight = self.weight
        if weight is None:
            identity = self.columns(np.eye(own, dtype=np.float32))
            weight = identity[:, :, None, None] if height * width > 1 else identity
        placed = np.zeros((channels, *weight.shape[1:]), np.float32)
        placed[among] = weight
        gain, bias = self.gain, np.zeros((*self.bias.shape[:-1], channels))
        if gain.ndim:
            gain = np.ones(channels) * (self.gain[:, :1] if self.gain.ndim == 2 else 1)  # which weights of 0 leave open
            gain[..., among] = self.gain
        bias[..., among] = self.bias
        bias = bias if self.bias.any() else np.array(0.0)
        return replace(self, weight=placed, gain=gain, bias=bias, shape=(channels, height, width), order=None)

    def columns(self, weight: NDArray[Any]) -> NDArray[Any]:
        """(out, C, …) weights of what stands here, as those of the spikes or of the weights in front."""
        return weight if self.order is None else self.order.columns(weight)

    def with_sources_of(self, other: FoldedSynapses) -> FoldedSynapses | None:
        """One input for the spikes of both; None where these do not pass through the same."""
        if not (self.plain and other.plain and self.pool == other.pool and self.shape == other.shape):
            return None
        same, opposite = np.array_equal(self.gain, other.gain), np.array_equal(self.gain, -other.gain)
        if not (same or opposite):
            return None
        more = other.sources if same else tuple(replace(source, sign=-source.sign) for source in other.sources)
        return replace(self, sources=self.sources + more)

    @property
    def identity(self) -> bool:
        """Whether a layer can have this input without weights."""
        return self.plain and self.pool == (1, 1)

    @property
    def plain(self) -> bool:
        """Whether it is spikes, averaged perhaps, without weights."""
        return self.weight is None and self.order is None and (self.pooling == "average" or self.pool == (1, 1))

    @property
    def dense(self) -> FoldedSynapses:
        """With the weights of a dense layer: the identity where there are none."""
        if self.weight is not None:
            return self
        inputs, side = int(np.prod(self.shape)), self.shape[1] * self.shape[2]
        gain, bias = (each.repeat(side) if each.ndim else each for each in (self.gain, self.bias))
        identity = np.eye(inputs, dtype=np.float32).reshape(inputs, self.shape[0], side)
        weight = self.columns(identity).reshape(inputs, -1)
        return replace(self, weight=weight, gain=gain, bias=bias, shape=(inputs, 1, 1), order=None)


Fold = Callable[[FoldedSynapses, Any, str], FoldedSynapses]  # with an operation, and where it is, for errors
