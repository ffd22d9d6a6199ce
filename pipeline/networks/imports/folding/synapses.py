"""Everything between neurons that fire and neurons that they drive, as the parts of one layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.network import Shape
from pipeline.networks.kernels import Pair


@dataclass(frozen=True, eq=False)
class FoldedSynapses:
    """Parts of a layer: i = gain · max(W ⊛ pool(s)) + bias.

    Parameters
    ----------
    shape : (C, H, W) behind the operations so far
    weight : (out, in, y, x) or (out, in) float32; None before there is one
    pool, pooling, stride, padding, current_pool : as of :class:`backends.network.Layer`; (y, x)
    gain, bias : of each channel, float64
    order : where the weights see neurons in another order, or some of them
    """

    shape: Shape
    weight: NDArray[np.float32] | None = None
    pool: Pair = (1, 1)
    pooling: str = "average"
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    current_pool: Pair = (1, 1)
    gain: NDArray[np.float64] = field(default_factory=lambda: np.array(1.0))
    bias: NDArray[np.float64] = field(default_factory=lambda: np.array(0.0))
    order: tuple[int, ...] | None = None

    def scaled(self, factor: Any) -> FoldedSynapses:
        """Everything times a number, or one for each channel."""
        return replace(self, gain=self.gain * factor, bias=self.bias * factor)

    @property
    def connected(self) -> FoldedSynapses:
        """With weights: where a model has none between two layers of neurons, each neuron drives one."""
        if self.weight is not None:
            return self
        channels, height, width = self.shape
        identity = np.eye(channels, dtype=np.float32)
        return replace(self, weight=identity[:, :, None, None] if height * width > 1 else identity)

    @property
    def dense(self) -> FoldedSynapses:
        """With the weights of a dense layer: the identity where there are none."""
        if self.weight is not None:
            return self
        inputs = int(np.prod(self.shape))
        return replace(self, weight=np.eye(inputs, dtype=np.float32), shape=(inputs, 1, 1))


Fold = Callable[[FoldedSynapses, Any, str], FoldedSynapses]  # with an operation, and where it is, for errors
