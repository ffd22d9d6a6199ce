"""A layer of a network, its weights and neurons; and the readout."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from recordings.errors import InputError
from recordings.layers import check_name
from recordings.text import brief

from . import neurons
from .checks import NetworkError, Sides, array, by_channel, one_or_pair, pair, real
from .neurons import THETA, Neuron, ReLU, SpikingNeuron

Shape = tuple[int, int, int]
Pooling = Literal["average", "max"]

CURRENT_LIMIT = 1 << 23  # Lava's Conv wraps at 24 bits, so no sum of weights may reach this
WEIGHT_LIMIT = 127  # the largest magnitude of an int8 weight: Lava's Dense clips -128
PIXEL_LIMIT = 127  # the largest magnitude of a constant-current pixel, an int8; it stands for 1


@dataclass(frozen=True, eq=False)
class Layer:
    """One synapse layer and the neurons it drives: pooling, then convolution or matrix product, then neurons.

    A layer copies what it is given, so one neuron may be given to several layers.

    Parameters
    ----------
    name : short identifier such as "conv1"
    weight : (out, in, y, x) for a convolution or (out, in) for a dense layer; float32, or
        int8 in fixed point, -127 … 127
    neuron : LIF, or FixedLIF in fixed point, or ReLU in an ANN
    pool : sides of the pooling in front; like those below one integer, or (y, x) where rows and columns differ
    stride, padding : of the convolution, after pooling
    pooling : "average" (fixed point sums instead; the gain absorbs the factor), or "max", which of spikes is their OR
    current_pool : sides of a maximum pooling of the currents `a`, between the synapses and the neurons
    """

    name: str
    weight: NDArray[Any]
    neuron: Neuron
    pool: Sides = 1
    stride: Sides = 1
    padding: Sides = 0
    pooling: Pooling = "average"
    current_pool: Sides = 1

    __repr__ = brief

    def __post_init__(self) -> None:
        try:
            check_name(self.name)
        except InputError as error:
            raise NetworkError(str(error)) from None
        where = f"layer {self.name!r}"
        if not isinstance(self.neuron, Neuron):
            raise NetworkError(f"{where}: neuron is {self.neuron!r}, expected LIF, FixedLIF or ReLU")
        weight = array(self.weight, self.neuron.weight_dtype, "weight", where)
        if weight.ndim not in (2, 4) or 0 in weight.shape:
            raise NetworkError(
                f"{where}: weight has shape {weight.shape}, expected (out, in, y, x) for a convolution "
                "or (out, in) for a dense layer"
            )
        _check_weight(weight, where)
        checked = {
            "weight": weight,
            "neuron": self.neuron.of_channels(len(weight), where),
            "pool": one_or_pair(self.pool, "pool", where, 1),
            "stride": one_or_pair(self.stride, "stride", where, 1),
            "padding": one_or_pair(self.padding, "padding", where, 0),
            "current_pool": one_or_pair(self.current_pool, "current_pool", where, 1),
        }
        for field, value in checked.items():
            object.__setattr__(self, field, value)
        if self.kind == "dense" and (self.stride, self.padding, self.current_pool) != (1, 0, 1):
            raise NetworkError(f"{where}: a dense layer has neither stride nor padding nor current_pool")
        if self.pooling not in get_args(Pooling):
            raise NetworkError(f"{where}: pooling is {self.pooling!r}, expected 'average' or 'max'")
        if weight.dtype == np.int8 and self.largest_current >= CURRENT_LIMIT:
            raise NetworkError(
                f"{where}: the int8 weights of one neuron sum to {self.largest_current:,} in magnitude, which "
                f"could pass 2²³ = {CURRENT_LIMIT:,}; use fewer inputs per neuron or less pooling"
            )

    @property
    def spiking_neuron(self) -> SpikingNeuron:
        """The neuron of a layer that spikes, as those of every network do that a backend runs."""
        if isinstance(self.neuron, ReLU):
            raise NetworkError(f"layer {self.name!r}: has neurons ReLU, expected neurons that spike")
        return self.neuron

    @property
    def summed(self) -> int:
        """How many neurons average pooling sums into one value; 1 with maximum pooling."""
        return 1 if self.pooling == "max" else prod(pair(self.pool))

    @property
    def averaged_weight(self) -> NDArray[Any]:
        """The weights of the sum-pooled map: average pooling averages in float32, and sums in fixed point."""
        return self.weight if self.weight.dtype == np.int8 else self.weight / np.float32(self.summed)

    @property
    def kind(self) -> str:
        """Either "conv" or "dense"."""
        return "conv" if self.weight.ndim == 4 else "dense"

    @cached_property
    def largest_current(self) -> int:
        """The largest magnitude of a that any neuron can reach, were all its inputs to spike.

        It is `max Σ|W|` times :attr:`summed`, and `max Σ|W|` with maximum pooling.
        """
        sums = np.abs(self.weight.astype(np.int64)).reshape(len(self.weight), -1).sum(axis=1)
        return int(sums.max()) * self.summed

    def output_shape(self, shape: Shape) -> Shape:
        """(C, H, W) of this layer's spikes for an input of (C, H, W); refuses what does not fit."""
        channels, height, width = shape
        where = f"layer {self.name!r}"
        pool = pair(self.pool)
        if height % pool[0] or width % pool[1]:
            raise NetworkError(
                f"{where}: pooling {self.pool} does not divide its {height}×{width} input; "
                f"choose a size whose sides are multiples of {self.pool} there"
            )
        height, width = height // pool[0], width // pool[1]
        if self.kind == "dense":
            inputs = channels * height * width
            if self.weight.shape[1] != inputs:
                raise NetworkError(
                    f"{where}: weight expects {self.weight.shape[1]} inputs, the pooled map before it has "
                    f"{channels}×{height}×{width} = {inputs}"
                )
            return (self.weight.shape[0], 1, 1)
        if self.weight.shape[1] != channels:
            raise NetworkError(
                f"{where}: weight expects {self.weight.shape[1]} channels, the layer before it has {channels}"
            )
        rows, columns = (
            (side + 2 * padding - kernel) // stride + 1
            for side, kernel, stride, padding in zip(
                (height, width), self.weight.shape[2:], pair(self.stride), pair(self.padding), strict=True
            )
        )
        if rows < 1 or columns < 1:
            raise NetworkError(
                f"{where}: kernel {self.weight.shape[2:]} does not fit its {height}×{width} input "
                f"with padding {self.padding}"
            )
        y, x = pair(self.current_pool)
        if rows % y or columns % x:
            raise NetworkError(
                f"{where}: current_pool {self.current_pool} does not divide the {rows}×{columns} currents; choose a "
                f"size whose sides are multiples of {self.current_pool} there"
            )
        return (self.weight.shape[0], rows // y, columns // x)

    def to_graph(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """The layer as a JSON-able node of the graph, and its tensors by name; undone by :meth:`from_graph`."""
        node = {
            "name": self.name,
            "kind": self.kind,
            "shape": list(self.weight.shape),
            "pool": _listed(self.pool),
            "stride": _listed(self.stride),
            "padding": _listed(self.padding),
            "pooling": self.pooling,
            "current_pool": _listed(self.current_pool),
            "neuron": neurons.to_graph(self.neuron),
        }
        arrays = {name: getattr(self.neuron, name) for name in self.neuron.arrays}
        return node, {f"{self.name}.{name}": value for name, value in {"weight": self.weight, **arrays}.items()}

    @classmethod
    def from_graph(cls, node: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> Layer:
        """Rebuild a layer from its node and the tensors of the network; raises KeyError if a part is missing."""
        name = node["name"]
        neuron = neurons.from_graph(node["neuron"], tensors, name)
        shape = (node[field] for field in ("pool", "stride", "padding", "pooling", "current_pool"))
        return cls(name, tensors[f"{name}.weight"], neuron, *shape)


@dataclass(frozen=True, eq=False)
class Readout:
    """Integrating output without delay: it does not spike.

        r[t] = leak · r[t-1] + W_out s_L[t] + bias[t]          r[-1] = 0; in fixed point rz(r[t-1]·4096·leak, 12)
        logits = scale · r[T-1] / T

    An ANN has T = 1, and activations in place of spikes.

    Parameters
    ----------
    weight : (classes, C·H·W of the last layer) float32, or int8 in fixed point, -127 … 127
    scale : real value of one raw unit; 1 in float32
    leak : in [0, 1], per step; 1 sums the spikes. In fixed point a multiple of 1/4096
    bias : scalar, (classes,), (1, classes) or (T, classes); float64, or int32 in fixed point
    """

    weight: NDArray[Any]
    scale: float = 1.0
    leak: float = 1.0
    bias: Any = 0

    __repr__ = brief

    def __post_init__(self) -> None:
        fixed = getattr(self.weight, "dtype", None) == np.int8
        weight = array(self.weight, np.int8 if fixed else np.float32, "weight", "readout")
        if weight.ndim != 2 or 0 in weight.shape:
            raise NetworkError(f"readout: weight has shape {weight.shape}, expected (classes, inputs)")
        _check_weight(weight, "readout")
        object.__setattr__(self, "weight", weight)
        object.__setattr__(self, "scale", real(self.scale, "scale", "readout"))
        leak = real(self.leak, "leak", "readout")
        if not 0 <= leak <= 1 or (fixed and leak * THETA % 1):
            raise NetworkError(f"readout: leak is {leak}, expected 0 … 1, and in fixed point a multiple of 1/4096")
        object.__setattr__(self, "leak", leak)
        bias = by_channel(self.bias, len(weight), np.int32 if fixed else np.float64, "bias", "readout")
        object.__setattr__(self, "bias", bias)


def _listed(sides: Sides) -> int | list[int]:
    """As JSON has it."""
    return list(sides) if isinstance(sides, tuple) else sides


def _check_weight(weight: NDArray[Any], where: str) -> None:
    if weight.dtype == np.int8 and weight.min() < -WEIGHT_LIMIT:
        raise NetworkError(
            f"{where}: got a weight of -128, expected -{WEIGHT_LIMIT} … {WEIGHT_LIMIT} in fixed point, which every "
            "backend can hold"
        )
